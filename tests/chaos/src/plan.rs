//! What a seed makes of a run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_tests::Random;

use crate::table::{TABLES, TableKind};

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// `longshore run`
    Host,
    /// `longshore local`
    Server,
    /// The two of them, one right after the other.
    Both,
}

/// All victims.
pub const VICTIMS: [Victim; 3] = [Victim::Host, Victim::Server, Victim::Both];

impl Victim {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Server => "server",
            Self::Both => "both",
        }
    }
}

/// One kill.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// Who.
    pub victim: Victim,
    /// When, from the moment both run again after the kill before.
    pub after: Duration,
    /// How long the server stays away, where it was killed.
    pub away: Duration,
    /// Of both, the host is started again before the server is there.
    pub host_returns_first: bool,
}

/// A run: which table, how it is written, and the kills.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The table.
    pub table: TableKind,
    /// How rows go to a table without a key.
    pub tunnel: &'static str,
    /// Writers.
    pub parallelism: u64,
    /// Time between two checkpoints. Short, so that most of the time one is under way.
    pub checkpoint_interval: Duration,
    /// In order of time; at least one.
    pub kills: Vec<Kill>,
}

impl Plan {
    /// The plan of a seed; the kills fall within so long after each start. Seeds that follow one
    /// another go through all tables.
    #[must_use]
    pub fn of(seed: u64, within: Duration) -> Self {
        let mut random = Random::new(seed);
        let table = TABLES[(seed % TABLES.len() as u64) as usize];
        let interval_ms = random.pick(&[1, 5, 20, 60]);
        let kills = random.range(1, 4);
        Self {
            table,
            tunnel: random.pick(&["batch", "arrow"]),
            parallelism: random.range(1, 3),
            checkpoint_interval: Duration::from_millis(interval_ms),
            kills: (0..kills).map(|_| Kill::of(&mut random, within)).collect(),
        }
    }
}

impl Kill {
    fn of(random: &mut Random, within: Duration) -> Self {
        Self {
            victim: random.pick(&VICTIMS),
            after: time(random, within),
            away: time(random, Duration::from_millis(120)),
            host_returns_first: random.pick(&[true, false]),
        }
    }
}

/// A seed that nobody chose, short enough to type.
#[must_use]
pub fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_nanos() as u64 % 1_000_000_000
}

/// From 0 to `limit`, to the microsecond.
fn time(random: &mut Random, limit: Duration) -> Duration {
    let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random.range(0, limit.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_plan() {
        let plan = || format!("{:?}", Plan::of(17, Duration::from_millis(300)));
        assert_eq!(plan(), plan());
    }

    #[test]
    fn seeds_in_a_row_go_through_all_tables_and_victims() {
        let plans = (0..40).map(|seed| Plan::of(seed, Duration::from_millis(300)));
        let plans: Vec<Plan> = plans.collect();
        for table in TABLES {
            assert_eq!(plans.iter().filter(|plan| plan.table == table).count(), 10);
        }
        for victim in VICTIMS {
            let kills = plans.iter().flat_map(|plan| &plan.kills);
            assert!(kills.filter(|kill| kill.victim == victim).count() > 10);
        }
    }
}
