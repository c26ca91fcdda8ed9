//! The source on its own thread.

use tokio::sync::mpsc;

use super::OpenSource;
use super::error::RunError;
use crate::source::{Position, SourceError, SourceEvent, SourceStats};

/// Events waiting between the source and the coordinator. A batch is about 1 MiB.
const QUEUE: usize = 2;

/// What the source's thread says.
pub(super) enum FromSource {
    /// More to do.
    Event(Box<SourceEvent>),
    /// The input has ended.
    End(SourceStats),
    /// The input can not be read on.
    Failed(SourceError),
}

/// Starts the thread. It ends with the input, with an error, or when the receiver is dropped.
pub(super) fn spawn(
    open: OpenSource,
    position: Option<Position>,
) -> Result<mpsc::Receiver<FromSource>, RunError> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    std::thread::Builder::new()
        .name("longshore-source".into())
        .spawn(move || read(&open, position.as_ref(), &sender))
        .map_err(|_| RunError::SourceDied)?;
    Ok(receiver)
}

fn read(open: &OpenSource, position: Option<&Position>, sender: &mpsc::Sender<FromSource>) {
    let mut source = match open(position) {
        Ok(source) => source,
        Err(error) => {
            // A receiver that is gone has lost interest.
            let _ = sender.blocking_send(FromSource::Failed(error));
            return;
        }
    };
    loop {
        let (message, last) = match source.next() {
            Ok(Some(event)) => (FromSource::Event(Box::new(event)), false),
            Ok(None) => (FromSource::End(source.stats()), true),
            Err(error) => (FromSource::Failed(error), true),
        };
        if sender.blocking_send(message).is_err() || last {
            return;
        }
    }
}
