//! Runs the head of a pipeline against an empty server of its own, without its rows: what the sink
//! would have the service do then stands in that server's list of SQL jobs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longshore_pipeline::checkpoint_store::CheckpointStore;
use longshore_pipeline::coordinator::{
    CheckpointRequests, Coordinator, Machine, OpenSource, RetryPolicy, RunError, Settings,
    stop_channel,
};
use longshore_pipeline::dead_letters::DeadLetterPolicy;
use longshore_pipeline::report::LiveCounters;
use longshore_pipeline::route::Router;
use longshore_pipeline::source::{self, Peek, Source, SourceError, SourceEvent, SourceStats};

use super::PEEKED_BATCHES;
use crate::definition::Loaded;
use crate::failure::{Exit, Failure};
use crate::local::Embedded;
use crate::sink::Sink;

/// What a rehearsal showed.
pub(super) struct Rehearsal {
    /// SQL for tables that do not exist yet, in the order in which the sink would send it.
    pub(super) statements: Vec<String>,
    /// Why it went no further, where it did not.
    pub(super) failure: Option<String>,
}

/// Rehearses a pipeline whose input can be looked at; standard input can not.
pub(super) async fn rehearse(loaded: &Loaded, sink: &Sink) -> Result<Rehearsal, Failure> {
    let place = tempfile::tempdir().map_err(|error| {
        Failure::new(
            Exit::Internal,
            "there is no place for a temporary directory",
        )
        .because(error.to_string())
    })?;
    let server = sink.rehearsal_server(&place.path().join("data")).await?;
    let result = run(loaded, sink, &server, place.path()).await;
    let statements = server.statements().await;
    server.shutdown().await;
    Ok(Rehearsal {
        statements,
        failure: result?.map(|error| error.to_string()),
    })
}

async fn run(
    loaded: &Loaded,
    sink: &Sink,
    server: &Embedded,
    place: &Path,
) -> Result<Option<RunError>, Failure> {
    let requests = Arc::new(CheckpointRequests::default());
    let (factory, sink_options) = sink.rehearsing(loaded, server, Arc::clone(&requests))?;
    let definition = loaded.definition.source.clone();
    let transforms = loaded.definition.transforms();
    let open: OpenSource = Arc::new(move |_| match source::peek(&definition)? {
        Peek::Source(inner) => Ok(transforms.wrap(Box::new(Head {
            inner,
            batches: 0,
            at_cut: true,
        }))),
        Peek::StandardInput(_) => Ok(Box::new(Empty)),
    });
    let pipeline = &loaded.definition.pipeline;
    let (_handle, stop) = stop_channel();
    let coordinator = Coordinator {
        source: open,
        router: Router::new(loaded.definition.routes.clone(), pipeline.route_mode),
        sink: Arc::new(factory),
        settings: Settings {
            parallelism: 1,
            sink_options,
            checkpoint_interval: Duration::from_secs(3600),
            retry: RetryPolicy {
                give_up_after: Duration::ZERO,
                restarts: 0,
                ..RetryPolicy::default()
            },
            evolution: loaded.definition.evolution(),
            dead_letters: DeadLetterPolicy::default(),
        },
        store: CheckpointStore::open(
            &place.join("rehearsal.db"),
            &loaded.identity("rehearsal".to_owned()),
        )?,
        requests,
        live: Arc::new(LiveCounters::default()),
        stop,
        platform: Arc::new(Machine),
    };
    Ok(coordinator.run().await.1.err())
}

/// The first tables of a source, their batches without rows.
struct Head {
    inner: Box<dyn Source>,
    batches: usize,
    /// The last batch had a position, so that the run may end here.
    at_cut: bool,
}

impl Source for Head {
    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        if self.batches >= PEEKED_BATCHES && self.at_cut {
            return Ok(None);
        }
        let mut event = self.inner.next()?;
        if let Some(SourceEvent::Batch(batch)) = &mut event {
            self.batches += 1;
            self.at_cut = batch.position.is_some();
            batch.batch = batch.batch.slice(0, 0);
            batch.bytes = 0;
        }
        Ok(event)
    }

    fn stats(&self) -> SourceStats {
        self.inner.stats()
    }
}

/// An input that nobody may look at.
struct Empty;

impl Source for Empty {
    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        Ok(None)
    }

    fn stats(&self) -> SourceStats {
        SourceStats::default()
    }
}
