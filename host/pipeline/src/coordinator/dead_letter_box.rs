//! Where the rows that one sink instance keeps aside wait for the next checkpoint.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use longshore_runtime::contract::{CheckpointReason, DeadLetters};
use longshore_runtime::{CheckpointListener as _, DeadLetterSink};

use super::driver::CheckpointRequests;

/// Bytes of rows that may wait before an early checkpoint is asked for.
const MANY_BYTES: usize = 8 << 20;

/// Takes dead letters during calls of an instance and gives them to whoever made the call.
pub(super) struct DeadLetterBox {
    waiting: Mutex<Vec<DeadLetters>>,
    requests: Arc<CheckpointRequests>,
}

impl DeadLetterBox {
    pub(super) fn new(requests: Arc<CheckpointRequests>) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            requests,
        })
    }

    /// What came since the last call.
    pub(super) fn take(&self) -> Vec<DeadLetters> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An early checkpoint is wanted where this many bytes wait for it.
    pub(super) fn waits(&self, bytes: usize) {
        if bytes >= MANY_BYTES {
            self.requests.request(CheckpointReason::Memory);
        }
    }
}

#[async_trait]
impl DeadLetterSink for DeadLetterBox {
    async fn put(&self, letters: DeadLetters) -> Result<(), String> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(letters);
        Ok(())
    }
}
