//! What the source says, and where the run hears it.

use tokio::sync::mpsc;

use super::OpenSource;
use super::error::RunError;
use super::platform::{Platform, SourceReader};
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

/// Starts to read. That ends with the input, with an error, or when the receiver is dropped.
pub(super) fn start(
    platform: &dyn Platform,
    open: OpenSource,
    position: Option<Position>,
) -> Result<mpsc::Receiver<FromSource>, RunError> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    platform
        .start(SourceReader::new(open, position, sender))
        .map_err(|_| RunError::SourceDied)?;
    Ok(receiver)
}
