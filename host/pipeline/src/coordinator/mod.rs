//! Runs a pipeline: pulls the source, deals rows to sink instances, takes checkpoints.
//!
//! The source runs on its own thread, each sink instance on its own task, with bounded channels in
//! between: when the sink gives no credit the instance stops taking commands, the channels fill,
//! and the source waits.
//!
//! A checkpoint is taken right after a batch that carries a position (every row before it has been
//! handed to the instances, none after it): all instances prepare, then position, committables and
//! writer states are stored in one transaction, then the committables are committed, each until it
//! is visible. A run that died in between finishes the commits of its last stored checkpoint before
//! it reads anything.
//!
//! Two runs never commit for one store: the second is kept away by its lock, and where the lock does
//! not hold, the run that was taken over is fenced by the store's epoch: it can store nothing more,
//! and looks before each commit and schema change. Between that look and the commit lies a moment in
//! which it can be taken over; what it commits then was stored, so the other run commits the same.
//! What can not be fenced: copies of a store that are run side by side, which know nothing of each
//! other, and rows of the stream tunnel, which are visible as soon as they are sent.

mod attempt;
mod commit;
mod dead_letter_box;
mod driver;
mod encode;
mod error;
mod evolve;
mod instance;
mod meanwhile;
mod notes;
mod patience;
mod platform;
mod replay;
mod source_thread;
mod split;
mod stop;
mod target_state;
mod targets;
#[cfg(test)]
mod tests;

pub use driver::{CheckpointRequests, SinkDriver, SinkFactory};
pub use error::{RefusedRow, RunError};
pub use patience::RetryPolicy;
pub use platform::{Machine, Platform, Sleep, SourceReader};
pub use replay::{ReplaySelection, Replayed, ReplayedRows};
pub use stop::{Stop, StopHandle, stop_channel};

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checkpoint_store::CheckpointStore;
use crate::dead_letters::DeadLetterPolicy;
use crate::evolution::SchemaEvolution;
use crate::report::{LiveCounters, Outcome, Report};
use crate::route::Router;
use crate::source::{Position, Source, SourceError};

/// `tracing` target of the spans around checkpoints and their parts.
const SPANS: &str = "longshore::span";

/// Opens the source at its beginning or after a position. Called again when a run restarts from
/// its last checkpoint.
pub type OpenSource =
    Arc<dyn Fn(Option<&Position>) -> Result<Box<dyn Source>, SourceError> + Send + Sync>;

/// How a pipeline runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Number of writers, at least 1.
    pub parallelism: u32,
    /// Options of the sink, secrets replaced.
    pub sink_options: Vec<(String, String)>,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// What to do about errors that may pass.
    pub retry: RetryPolicy,
    /// What to do about schema changes.
    pub evolution: SchemaEvolution,
    /// How many dead letters are too many.
    pub dead_letters: DeadLetterPolicy,
}

/// A pipeline, ready to run.
pub struct Coordinator {
    /// Makes the source.
    pub source: OpenSource,
    /// Names the target tables.
    pub router: Router,
    /// Makes sink instances.
    pub sink: Arc<dyn SinkFactory>,
    /// How to run.
    pub settings: Settings,
    /// Keeps the progress.
    pub store: CheckpointStore,
    /// Where sinks ask for early checkpoints; the factory's instances must report to the same one.
    pub requests: Arc<CheckpointRequests>,
    /// Counted along the way, for a progress display.
    pub live: Arc<LiveCounters>,
    /// Asks the run to stop at the next cut.
    pub stop: Stop,
    /// Tells the time and gives the source a thread: [`Machine`].
    pub platform: Arc<dyn Platform>,
}

impl Coordinator {
    /// Runs until the source has ended, the run is asked to stop, or something fails for good.
    ///
    /// The report counts what became visible, also when the run failed.
    pub async fn run(mut self) -> (Report, Result<Outcome, RunError>) {
        let started = Instant::now();
        let mut report = Report::default();
        let mut restarts = 0;
        let result = loop {
            let before = report.checkpoints;
            let mut stop = self.stop.clone();
            // What is dropped in the middle of an attempt is not stored, and so comes again; what is
            // stored is committed by the next run.
            let result = tokio::select! {
                biased;
                result = attempt::run(&mut self, &mut report) => result,
                () = stop.wait_for_limit() => Err(RunError::StopLimit),
            };
            if report.checkpoints > before {
                restarts = 0;
            }
            match result {
                Err(error)
                    if error.is_restartable()
                        && restarts < self.settings.retry.restarts
                        && !self.stop.requested() =>
                {
                    restarts += 1;
                    self.live.metrics.restarted();
                    report.restarts += 1;
                    tracing::warn!("{error}; going on from the last checkpoint");
                }
                result => break result,
            }
        };
        report.seconds = started.elapsed().as_secs_f64();
        report.first_byte_seconds = report
            .first_byte
            .map(|at| at.saturating_duration_since(started).as_secs_f64());
        report.outcome = result.as_ref().ok().copied();
        (report, result)
    }
}
