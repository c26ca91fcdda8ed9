//! Thousands of schedules, the same ones each time.

use std::time::Duration;

use longshore_simulation::{Ending, Scratch, play, play_all, play_outage};

/// `cargo xtask simulate --schedules N` plays more.
const SCHEDULES: u64 = 5_000;

#[test]
fn the_same_seed_is_the_same_schedule() {
    let once = |seed| play(seed, &Scratch::new().unwrap(), true);
    for seed in 0..50 {
        assert_eq!(once(seed), once(seed), "seed {seed}");
    }
    assert_ne!(once(0).digest, once(1).digest);
}

#[test]
fn nothing_is_lost_and_nothing_is_there_twice() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let summary = play_all(0..SCHEDULES, threads, |_| {}).unwrap();
    if let Some((seed, what)) = summary.violations.first() {
        let all: Vec<u64> = summary.violations.iter().map(|(seed, _)| *seed).collect();
        panic!(
            "seed {seed}: {what}\n  to see it: cargo xtask simulate --seed {seed}\n  wrong: {all:?}"
        );
    }
    // Otherwise the seeds do not reach what they are for.
    assert!(summary.complete > SCHEDULES / 2, "{summary:?}");
    let counts = summary.counts;
    for count in [
        summary.sessions_lost,
        counts.faults,
        counts.kills,
        counts.recommitted,
    ] {
        assert!(count > 0, "{summary:?}");
    }
}

#[test]
fn a_run_with_the_usual_settings_outlasts_half_an_hour_without_the_service() {
    let scratch = Scratch::new().unwrap();
    let mut met = 0;
    for seed in 0..200 {
        let played = play_outage(seed, Duration::from_secs(30 * 60), &scratch);
        let history = played.history.join("\n");
        assert_eq!(played.ending, Ending::Complete, "seed {seed}\n{history}");
        met += u64::from(played.simulated_ms > 30 * 60_000);
    }
    // The others were done before the outage began.
    assert!(met > 100, "{met}");
}
