//! `longshore run`

mod metrics;
pub(crate) mod progress;
pub(crate) mod signals;
mod summary;

use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_pipeline::checkpoint_store::CheckpointStore;
use longshore_pipeline::coordinator::{
    CheckpointRequests, Coordinator, Machine, RetryPolicy, RunError, Settings, Stop, stop_channel,
};
use longshore_pipeline::definition::PipelineOptions;
use longshore_pipeline::report::{LiveCounters, Outcome, Report};
use longshore_pipeline::route::Router;
use longshore_pipeline::source;
use serde_json::json;
use tracing::Instrument as _;

use crate::args::{Output, RunArgs};
use crate::definition;
use crate::failure::{Exit, Failure};
use crate::logging::SPANS;
use crate::sink::{Sink, Start};

/// Time between two checkpoints where the definition gives none.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// The interval in effect.
pub(crate) fn checkpoint_interval(pipeline: &PipelineOptions) -> Duration {
    pipeline.checkpoint_interval.unwrap_or(CHECKPOINT_INTERVAL)
}

/// How long and how often to try again.
fn retry_policy(pipeline: &PipelineOptions) -> RetryPolicy {
    let default = RetryPolicy::default();
    RetryPolicy {
        give_up_after: pipeline.give_up_after.unwrap_or(default.give_up_after),
        restarts: pipeline.restarts.unwrap_or(default.restarts),
        ..default
    }
}

/// Runs a pipeline to the end of its source.
pub(crate) async fn run(args: RunArgs, started: Instant) -> Result<Exit, Failure> {
    let loaded = definition::load(&args.pipeline)?;
    let sink = Sink::resolve(&loaded, args.pipeline.component.as_deref(), Start::Server).await?;
    if let Some(data) = &sink.local {
        progress::say(&format!("local MaxCompute, data in {}", data.display()));
    }
    let result = run_into(&args, &loaded, &sink, started).await;
    if result.is_ok() && args.pipeline.output == Output::Human {
        progress::hint(&sink);
    }
    sink.shutdown().await;
    result
}

async fn run_into(
    args: &RunArgs,
    loaded: &definition::Loaded,
    sink: &Sink,
    started: Instant,
) -> Result<Exit, Failure> {
    let identity = loaded.identity(sink.identity(loaded));
    let store = if args.fresh {
        CheckpointStore::start_anew(&loaded.store, &identity)
    } else {
        CheckpointStore::open(&loaded.store, &identity)
    }?;
    let (handle, stop) = stop_channel();
    signals::watch(handle, loaded.definition.pipeline.stop_timeout);
    let live = Arc::new(LiveCounters::default());
    let _metrics = match args.metrics.or(loaded.definition.pipeline.metrics) {
        Some(address) => Some(metrics::serve(address, Arc::clone(&live)).await?),
        None => None,
    };
    let coordinator = coordinator(loaded, sink, store, Arc::clone(&live), stop);
    let setup = started.elapsed();
    let display = progress::start(live);
    let span = tracing::info_span!(target: SPANS, "run", pipeline = loaded.name.as_str());
    let (mut report, result) = coordinator.run().instrument(span).await;
    display.finish();
    report.started_after(setup);
    let outcome =
        result.map_err(|error| failure(loaded, sink, error).with_report(json!(report)))?;
    let nothing = report.rows().read == 0 && report.left_out.filtered == 0;
    if outcome == Outcome::Finished && nothing && report.resumed_from.is_none() {
        return Err(empty(loaded, &report));
    }
    match args.pipeline.output {
        Output::Human => print!(
            "{}",
            summary::text(&report, outcome, &args.pipeline.pipeline)
        ),
        Output::Json => println!("{:#}", json!(report)),
    }
    Ok(match outcome {
        Outcome::Interrupted => Exit::Ok,
        _ if report.rows().dead_letters > 0 => Exit::DeadLetters,
        Outcome::Finished | Outcome::NothingNew => Exit::Ok,
    })
}

/// What runs the pipeline of a definition.
pub(crate) fn coordinator(
    loaded: &definition::Loaded,
    sink: &Sink,
    store: CheckpointStore,
    live: Arc<LiveCounters>,
    stop: Stop,
) -> Coordinator {
    let source = loaded.definition.source.clone();
    let transforms = loaded.definition.transforms();
    let pipeline = &loaded.definition.pipeline;
    let requests = Arc::new(CheckpointRequests::default());
    Coordinator {
        source: Arc::new(move |position| Ok(transforms.wrap(source::open(&source, position)?))),
        router: Router::new(loaded.definition.routes.clone(), pipeline.route_mode),
        sink: Arc::new(sink.factory(Arc::clone(&requests))),
        settings: Settings {
            parallelism: pipeline.parallelism,
            sink_options: sink.options.clone(),
            checkpoint_interval: checkpoint_interval(pipeline),
            retry: retry_policy(pipeline),
            evolution: loaded.definition.evolution(),
            dead_letters: pipeline.dead_letters.clone(),
        },
        store,
        requests,
        live,
        stop,
        platform: Arc::new(Machine),
    }
}

/// What ended the run, with the place in the definition, or at the service, that it is about.
pub(crate) fn failure(loaded: &definition::Loaded, sink: &Sink, error: RunError) -> Failure {
    match error {
        RunError::Source(error) => loaded.source_failure(error),
        RunError::StopLimit => stop_limit(loaded.definition.pipeline.stop_timeout),
        error => Failure::from(error).about_service(sink.endpoint()),
    }
}

/// The failure for a run that a signal stopped, with its checkpoint incomplete.
fn stop_limit(limit: Duration) -> Failure {
    Failure::new(
        Exit::Interrupted,
        format!("stopped before the checkpoint was complete: {limit:?} were not enough"),
    )
    .help("run again: the run goes on from its last checkpoint, nothing is lost or doubled; `pipeline.stop-timeout` is the limit")
}

/// The failure for an input without a row: more often a mistake than meant.
fn empty(loaded: &definition::Loaded, report: &Report) -> Failure {
    let failure = loaded
        .input_failure("the input holds no rows, nothing was written")
        .help("check `path` and `format`; whoever writes the file may not have finished")
        .with_report(json!(report));
    match report.warnings.first() {
        Some(warning) => failure.because(warning),
        None => failure,
    }
}
