//! Log events on stderr, above the progress display.

use std::io::{self, Write};
use std::sync::OnceLock;

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;

static SCREEN: OnceLock<MultiProgress> = OnceLock::new();

/// The terminal that progress bars and log events share.
pub(crate) fn screen() -> &'static MultiProgress {
    SCREEN.get_or_init(MultiProgress::new)
}

/// Starts logging. `LONGSHORE_LOG` wins over `-v`.
pub(crate) fn start(verbose: u8) {
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
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Lines)
        .with_target(verbose > 1)
        .finish();
    // Only tests set another one.
    let _ = tracing::subscriber::set_global_default(subscriber);
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
