//! How long to go on trying.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longshore_runtime::CallError;

use super::error::RunError;
use super::platform::Platform;
use super::stop::Stop;
use crate::report::LiveCounters;

/// What to do about errors that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How long to go on trying to reach the service for the first time, beyond the sink's own
    /// repeats. Default: not at all, because most often the endpoint is wrong.
    pub first_contact: Duration,
    /// How long to try once the service has answered. Default 1 hour.
    pub give_up_after: Duration,
    /// How often to start over from the last checkpoint without getting to the next. Default 3.
    pub restarts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first_contact: Duration::ZERO,
            give_up_after: Duration::from_secs(3_600),
            restarts: 3,
        }
    }
}

/// Decides after each failed call of one instance whether to wait and try again.
pub(super) struct Patience {
    policy: RetryPolicy,
    contacted: Arc<AtomicBool>,
    failing_since: Option<Instant>,
    stop: Stop,
    live: Arc<LiveCounters>,
    platform: Arc<dyn Platform>,
}

impl Patience {
    /// `contacted` is shared by all instances of a run: one that reached the service vouches for it.
    pub(super) fn new(
        policy: RetryPolicy,
        contacted: Arc<AtomicBool>,
        stop: Stop,
        live: Arc<LiveCounters>,
        platform: Arc<dyn Platform>,
    ) -> Self {
        Self {
            policy,
            contacted,
            failing_since: None,
            stop,
            live,
            platform,
        }
    }

    /// Notes a call that succeeded. `remote` = it certainly talked to the service.
    pub(super) fn succeeded(&mut self, remote: bool) {
        self.failing_since = None;
        if remote {
            self.contacted.store(true, Ordering::Relaxed);
        }
    }

    /// Waits as long as the error asks for, or gives up.
    pub(super) async fn consider(
        &mut self,
        action: &str,
        error: CallError,
    ) -> Result<(), RunError> {
        match error
            .sink_error()
            .and_then(|error| error.class.retry_after())
        {
            None => Err(RunError::call(action, error)),
            Some(after) => {
                tracing::warn!("cannot {action}: {error}; trying again in {after:?}");
                if let Some(error) = error.sink_error() {
                    self.live.metrics.retried(&error.class);
                }
                let give_up = || RunError::call(action, error.clone());
                self.pause(after).await.map_err(|Exhausted| give_up())
            }
        }
    }

    /// Where the run takes its time from.
    pub(super) fn platform(&self) -> &dyn Platform {
        &*self.platform
    }

    /// What the run counts.
    pub(super) fn live(&self) -> &LiveCounters {
        &self.live
    }

    /// Waits, unless that takes longer than there is patience for, or the run is to stop.
    pub(super) async fn pause(&mut self, wait: Duration) -> Result<(), Exhausted> {
        let now = self.platform.now();
        let since = *self.failing_since.get_or_insert(now);
        let limit = if self.contacted.load(Ordering::Relaxed) {
            self.policy.give_up_after
        } else {
            self.policy.first_contact
        };
        if now.saturating_duration_since(since) + wait > limit {
            return Err(Exhausted);
        }
        tokio::select! {
            biased;
            () = self.platform.sleep(wait) => Ok(()),
            () = self.stop.wait_impatient() => Err(Exhausted),
        }
    }
}

/// There is no patience left.
#[derive(Debug)]
pub(super) struct Exhausted;
