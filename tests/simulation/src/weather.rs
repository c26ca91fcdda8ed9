//! What goes wrong in one schedule, and how often.
//!
//! Each schedule draws a few kinds of faults and a rate for each, instead of a little of
//! everything: a rare fault that is alone reaches places that a storm never gets to.

use longshore_tests::Random;

use crate::service::SessionRules;

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is answered.
    Answered,
    /// The connection breaks before it has an effect.
    LostBefore,
    /// The connection breaks after its effect.
    LostAfter,
    /// No effect and no answer: the client waits in vain.
    SilentBefore,
    /// An effect and no answer.
    SilentAfter,
    /// The client gives up, and the effect comes long after that.
    Late,
    /// It takes effect twice, one right after the other; one answer.
    Repeated,
    /// Its answer comes twice.
    AnsweredTwice,
    /// An error answer without an effect.
    Refused,
    /// It has its effect, and is answered with a server error.
    FailedAfter,
    /// It, or its answer, takes long.
    Slow,
}

const FATES: [Fate; 10] = [
    Fate::LostBefore,
    Fate::LostAfter,
    Fate::SilentBefore,
    Fate::SilentAfter,
    Fate::Late,
    Fate::Repeated,
    Fate::AnsweredTwice,
    Fate::Refused,
    Fate::FailedAfter,
    Fate::Slow,
];

/// Status, code, and whether it asks to wait.
const REFUSALS: [(u16, &str, bool); 10] = [
    (500, "InternalServerError", false),
    (503, "ServiceUnavailable", false),
    (502, "BadGateway", false),
    (504, "RequestTimeOut", false),
    (429, "FlowExceeded", true),
    (429, "SlotExceeded", true),
    (408, "RequestTimeOut", false),
    (400, "CorruptedDataStream", false),
    (500, "StatusConflict", false),
    (401, "ExpiredToken", false),
];

/// The weather of one schedule.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    /// Chance of each kind, in permille.
    fates: Vec<(Fate, u32)>,
    /// From when to when nobody listens.
    pub(crate) outages: Vec<(u64, u64)>,
    /// From then on nothing goes wrong any more.
    pub(crate) calm_ms: u64,
    /// Chance that a session gets a short life, in permille.
    expiry: u32,
    /// Chance that a commit takes a while, in permille.
    slow_commits: u32,
    /// Committed upsert sessions are forgotten soon.
    forgets: bool,
    /// Chance that slots move with a request, in permille.
    pub(crate) moves: u32,
    /// Chance that a call of the component traps, in permille.
    pub(crate) traps: u32,
}

impl Weather {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let rate = |random: &mut Random| random.pick(&[5, 20, 80, 250]);
        let mut fates = Vec::new();
        for fate in FATES {
            if random.chance(300) {
                fates.push((fate, rate(random)));
            }
        }
        let calm_ms = random.range(5_000, 90_000);
        let mut outages = Vec::new();
        if random.chance(200) {
            let from = random.range(0, calm_ms);
            outages.push((from, calm_ms.min(from + random.range(500, 40_000))));
        }
        let mut sometimes = |permille, rates: &[u32]| match random.chance(permille) {
            true => random.pick(rates),
            false => 0,
        };
        let expiry = sometimes(120, &[20, 100, 400]);
        let slow_commits = sometimes(350, &[100, 500, 1000]);
        let forgets = sometimes(60, &[1]) == 1;
        let moves = sometimes(200, &[10, 50, 200]);
        let traps = sometimes(100, &[2, 10, 30]);
        Self {
            fates,
            outages,
            calm_ms,
            expiry,
            slow_commits,
            forgets,
            moves,
            traps,
        }
    }

    /// Nothing goes wrong but that nobody listens for a time.
    pub(crate) fn outage(from_ms: u64, to_ms: u64) -> Self {
        Self {
            fates: Vec::new(),
            outages: vec![(from_ms, to_ms)],
            calm_ms: to_ms,
            expiry: 0,
            slow_commits: 0,
            forgets: false,
            moves: 0,
            traps: 0,
        }
    }

    pub(crate) fn is_out(&self, now_ms: u64) -> bool {
        self.outages
            .iter()
            .any(|(from, to)| (*from..*to).contains(&now_ms))
    }

    pub(crate) fn fate(&self, now_ms: u64, random: &mut Random) -> Fate {
        if now_ms >= self.calm_ms {
            return Fate::Answered;
        }
        self.fates
            .iter()
            .find(|(_, permille)| random.chance(*permille))
            .map_or(Fate::Answered, |(fate, _)| *fate)
    }

    pub(crate) fn refusal(random: &mut Random) -> (u16, &'static str, bool) {
        random.pick(&REFUSALS)
    }

    pub(crate) fn session_rules(&self, now_ms: u64, random: &mut Random) -> SessionRules {
        const DAY_MS: u64 = 24 * 3_600_000;
        let rough = now_ms < self.calm_ms;
        SessionRules {
            life_ms: match rough && random.chance(self.expiry) {
                true => random.range(1, 30_000),
                false => DAY_MS,
            },
            commit_ms: match rough && random.chance(self.slow_commits) {
                true => random.range(1, 20_000),
                false => 0,
            },
            forget_ms: match self.forgets {
                true => random.range(1, 30_000),
                false => DAY_MS,
            },
        }
    }
}
