//! How many repeats there may be in a minute, whatever fails and however often.

const MINUTE_US: u64 = 60_000_000;

/// Spreads the repeats of all requests of one writer, so that an outage that hits many requests at
/// once does not end in a storm. A repeat over budget is not given up: it waits for its turn.
#[derive(Debug)]
pub struct RetryBudget {
    /// Time that one repeat uses up, in microseconds; 0 = no limit.
    share_us: u64,
    /// Until when the budget is used up, on the monotonic clock in microseconds.
    used_until_us: u64,
}

impl RetryBudget {
    /// `per_minute` repeats in a minute in the long run, as many at once; 0 = without limit.
    pub fn new(per_minute: u32) -> Self {
        Self {
            share_us: MINUTE_US.checked_div(per_minute.into()).unwrap_or(0),
            used_until_us: 0,
        }
    }

    /// Takes one repeat out; returns how long it must wait at least, in milliseconds.
    pub fn take(&mut self, now_ms: u64) -> u64 {
        let now = now_ms.saturating_mul(1000);
        let used_until = self.used_until_us.max(now);
        self.used_until_us = used_until.saturating_add(self.share_us);
        // What is used up of the minute ahead is the burst; only what lies beyond it waits.
        let due = used_until.saturating_sub(MINUTE_US - self.share_us.min(MINUTE_US));
        due.saturating_sub(now).div_ceil(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_through_and_the_rest_waits_its_turn() {
        let mut budget = RetryBudget::new(60);
        let waits: Vec<u64> = (0..64).map(|_| budget.take(5000)).collect();
        assert!(waits[..60].iter().all(|wait| *wait == 0), "{waits:?}");
        assert_eq!(waits[60..], [1000, 2000, 3000, 4000]);
        // What waits is part of the budget; it is whole again a minute after the last of it.
        assert_eq!(budget.take(9000), 1000);
        assert!((0..60).all(|_| budget.take(129_000) == 0));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let mut budget = RetryBudget::new(0);
        assert!((0..10_000).all(|_| budget.take(1) == 0));
    }
}
