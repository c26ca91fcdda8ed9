//! Files that a commit replaced: kept a while for downloads that read an older snapshot.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{Store, layout};
use crate::catalog::{FileMove, StoreError};

/// How long replaced files stay readable.
const KEPT_TIME: Duration = Duration::from_secs(10 * 60);
/// Most bytes of replaced files that are kept.
const KEPT_BYTES: u64 = 1024 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Retired {
    files: VecDeque<(Instant, PathBuf, u64)>,
    bytes: u64,
}

impl Store {
    /// Takes note of replaced files among renames that are done, and removes those of dropped
    /// tables and old ones.
    pub(super) fn retire(&self, moves: &[FileMove]) -> Result<(), StoreError> {
        let mut retired = self
            .inner
            .retired
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for step in moves.iter().filter(|step| layout::is_retired(&step.to)) {
            let path = self.data_dir().join(&step.to);
            let Ok(metadata) = path.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                std::fs::remove_dir_all(&path)
                    .map_err(|e| StoreError::io(format!("removing {}", path.display()), e))?;
                continue;
            }
            retired.bytes += metadata.len();
            retired.files.push_back((now, path, metadata.len()));
        }
        while let Some((since, _, _)) = retired.files.front() {
            if now.duration_since(*since) < KEPT_TIME && retired.bytes <= KEPT_BYTES {
                break;
            }
            if let Some((_, path, bytes)) = retired.files.pop_front() {
                retired.bytes = retired.bytes.saturating_sub(bytes);
                layout::remove_if_present(&path)?;
            }
        }
        Ok(())
    }
}
