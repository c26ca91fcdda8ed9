//! Many schedules, on all processors.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::schedule::{Ending, Played, Scratch, play};
use crate::world::Counts;

/// What many schedules amounted to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Schedules played.
    pub schedules: u64,
    /// Those in which everything arrived, once.
    pub complete: u64,
    /// Those in which the service ended a session after its checkpoint was stored.
    pub sessions_lost: u64,
    /// Seeds of those in which something is wrong, and what.
    pub violations: Vec<(u64, String)>,
    /// Sums over all of them.
    pub counts: Counts,
    /// Rows of the sources.
    pub rows: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Time it took.
    pub took: Duration,
}

impl Summary {
    fn add(&mut self, played: Played) {
        self.schedules += 1;
        match played.ending {
            Ending::Complete => self.complete += 1,
            Ending::SessionLost => self.sessions_lost += 1,
            Ending::Violation(what) => self.violations.push((played.seed, what)),
        }
        let (sum, counts) = (&mut self.counts, played.counts);
        sum.requests += counts.requests;
        sum.faults += counts.faults;
        sum.kills += counts.kills;
        sum.starts += counts.starts;
        sum.checkpoints += counts.checkpoints;
        sum.recommitted += counts.recommitted;
        self.rows += played.rows;
        self.simulated += Duration::from_millis(played.simulated_ms);
    }
}

/// Plays the schedules of `seeds` on `threads` threads; `observe` hears of each one's end.
///
/// # Errors
/// When there is no room for the checkpoint stores.
pub fn play_all(
    seeds: Range<u64>,
    threads: usize,
    observe: impl Fn(&Played) + Sync,
) -> anyhow::Result<Summary> {
    let started = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    let work = || -> anyhow::Result<()> {
        let scratch = Scratch::new()?;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Ok(());
            }
            let played = play(seed, &scratch, false);
            observe(&played);
            let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
            summary.add(played);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| anyhow::bail!("a thread died"))
        })
    })?;
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.violations.sort();
    summary.took = started.elapsed();
    Ok(summary)
}
