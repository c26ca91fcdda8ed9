//! Log events on stderr, above the progress display.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use indicatif::MultiProgress;
use opentelemetry_sdk::trace::SdkTracer;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer as _};

static SCREEN: OnceLock<MultiProgress> = OnceLock::new();

/// The terminal that progress bars and log events share.
pub(crate) fn screen() -> &'static MultiProgress {
    SCREEN.get_or_init(MultiProgress::new)
}

/// `tracing` target of the spans that traces are made of.
pub(crate) const SPANS: &str = "longshore::span";

/// Starts logging, and turning spans into traces where there is a tracer. `LONGSHORE_LOG` wins over
/// `-v`.
pub(crate) fn start(verbose: u8, tracer: Option<SdkTracer>) {
    let default = match verbose {
        0 => "warn",
        1 => {
            "longshore=info,longshore_pipeline=info,longshore_runtime=info,longshore_emulator=info,warn"
        }
        2 => {
            "longshore=debug,longshore_pipeline=debug,longshore_runtime=debug,longshore_emulator=debug,info"
        }
        _ => "trace",
    };
    let filter =
        EnvFilter::try_from_env("LONGSHORE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // Spans are for traces; in a log they would only make lines longer.
    let filter = filter.and(filter_fn(|metadata| metadata.target() != SPANS));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(|| Lines);
    let lines = if verbose == 0 {
        lines.event_format(Brief).boxed()
    } else {
        lines.with_target(verbose > 1).boxed()
    };
    let traces = tracer.map(|tracer| {
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| {
                metadata.is_span() && metadata.target() == SPANS
            }))
    });
    let subscriber = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(traces);
    // Only tests set another one.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Level and message only: what a person needs who did not ask for a log.
struct Brief;

impl<S, N> FormatEvent<S, N> for Brief
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let label = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            _ => "note",
        };
        let mut message = Message(String::new());
        event.record(&mut message);
        writeln!(writer, "{label}: {}", message.0)
    }
}

/// The message of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Writes whole events; progress bars step aside meanwhile.
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        screen().suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
