//! SIGINT and SIGTERM: the first stops after a checkpoint, the second at once.

use std::time::Duration;

use longshore_pipeline::coordinator::StopHandle;
use tokio::signal::unix::{SignalKind, signal};

use super::progress;

/// What shells expect of a program that a signal ended.
const STOPPED_AT_ONCE: i32 = 130;

/// Watches for signals as long as the program runs. The checkpoint may take as long as `limit`.
pub(crate) fn watch(handle: StopHandle, limit: Duration) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        tracing::warn!("signals can not be caught: a signal ends the run at once");
        return;
    };
    tokio::spawn(async move {
        for stopping in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stopping {
                std::process::exit(STOPPED_AT_ONCE);
            }
            progress::say("stopping after a checkpoint; a second signal stops at once");
            handle.stop_within(limit);
        }
    });
}
