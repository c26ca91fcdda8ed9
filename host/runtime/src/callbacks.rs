//! What a component may call back for: checkpoints and dead letters.

use crate::contract::{CheckpointId, CheckpointReason, DeadLetters};
use async_trait::async_trait;

/// Hears that a sink wants a checkpoint, and tells it what is committed.
pub trait CheckpointListener: Send + Sync + 'static {
    /// The sink wants a checkpoint soon. Must return at once; requests may be merged.
    fn request(&self, reason: CheckpointReason);

    /// Highest checkpoint whose committables are all committed; `None` before the first.
    fn last_committed(&self) -> Option<CheckpointId>;
}

/// A home for rows that the service refused after the sink had accepted them.
#[async_trait]
pub trait DeadLetterSink: Send + Sync + 'static {
    /// Stores the rows. They must be safe when this returns `Ok`; an error text reaches the sink,
    /// which then fails its call.
    async fn put(&self, letters: DeadLetters) -> Result<(), String>;
}

/// Ignores requests for checkpoints. For tools that only describe, validate or commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCheckpoints;

impl CheckpointListener for NoCheckpoints {
    fn request(&self, _reason: CheckpointReason) {}

    fn last_committed(&self) -> Option<CheckpointId> {
        None
    }
}

/// Refuses dead letters, so that a sink with rows to give up fails instead of losing them.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDeadLetters;

#[async_trait]
impl DeadLetterSink for NoDeadLetters {
    async fn put(&self, letters: DeadLetters) -> Result<(), String> {
        Err(format!(
            "no place for dead letters is configured ({} rows of {} refused)",
            letters.rows.len(),
            letters.table
        ))
    }
}
