//! Time, from `wasi:clocks`.

use wasip2::clocks::{monotonic_clock, wall_clock};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// Milliseconds since an arbitrary moment; never goes back.
pub fn monotonic_ms() -> u64 {
    monotonic_clock::now() / NANOS_PER_MILLI
}

/// Milliseconds since 1970-01-01T00:00:00Z by the host's calendar clock, which may be set back.
pub fn unix_ms() -> i64 {
    let now = wall_clock::now();
    let millis = now
        .seconds
        .saturating_mul(1000)
        .saturating_add(u64::from(now.nanoseconds) / NANOS_PER_MILLI);
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// Nanoseconds as `wasi:clocks` counts durations.
pub(crate) fn nanos(millis: u64) -> u64 {
    millis.saturating_mul(NANOS_PER_MILLI)
}
