//! What a run takes from the machine it runs on: time, and a thread for its source.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::OpenSource;
use super::source_thread::FromSource;
use crate::source::{Position, Source};

/// Time, and a place for the source to read on. [`Machine`] is the real one; a simulation brings
/// its own, in which every run repeats.
pub trait Platform: Send + Sync {
    /// A clock that never goes back.
    fn now(&self) -> Instant;

    /// Ready when `duration` has passed.
    fn sleep(&self, duration: Duration) -> Sleep;

    /// Starts to read the source, beside the run.
    ///
    /// # Errors
    /// There is no room for another thread.
    fn start(&self, reader: SourceReader) -> io::Result<()>;
}

/// A moment to wait for.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The machine that runs the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl Platform for Machine {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }

    fn start(&self, reader: SourceReader) -> io::Result<()> {
        std::thread::Builder::new()
            .name("longshore-source".into())
            .spawn(move || reader.read())
            .map(drop)
    }
}

/// Opens a source and hands its events to the run.
pub struct SourceReader {
    open: OpenSource,
    position: Option<Position>,
    events: mpsc::Sender<FromSource>,
}

impl SourceReader {
    pub(super) fn new(
        open: OpenSource,
        position: Option<Position>,
        events: mpsc::Sender<FromSource>,
    ) -> Self {
        Self {
            open,
            position,
            events,
        }
    }

    /// Reads until the input ends, until an error, or until the run has lost interest. Blocks.
    pub fn read(self) {
        let mut source = match (self.open)(self.position.as_ref()) {
            Ok(source) => source,
            Err(error) => {
                // A receiver that is gone has lost interest.
                let _ = self.events.blocking_send(FromSource::Failed(error));
                return;
            }
        };
        loop {
            let (message, last) = next(&mut *source);
            if self.events.blocking_send(message).is_err() || last {
                return;
            }
        }
    }

    /// As [`read`](Self::read), on a task; waits for `pause` before each event.
    pub async fn read_on_task<P: Future<Output = ()> + Send>(
        self,
        mut pause: impl FnMut() -> P + Send,
    ) {
        pause().await;
        let mut source = match (self.open)(self.position.as_ref()) {
            Ok(source) => source,
            Err(error) => {
                let _ = self.events.send(FromSource::Failed(error)).await;
                return;
            }
        };
        loop {
            pause().await;
            let (message, last) = next(&mut *source);
            if self.events.send(message).await.is_err() || last {
                return;
            }
        }
    }
}

/// What the source says next, and whether that is the last.
fn next(source: &mut dyn Source) -> (FromSource, bool) {
    match source.next() {
        Ok(Some(event)) => (FromSource::Event(Box::new(event)), false),
        Ok(None) => (FromSource::End(source.stats()), true),
        Err(error) => (FromSource::Failed(error), true),
    }
}
