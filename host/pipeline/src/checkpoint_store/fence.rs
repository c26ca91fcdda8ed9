//! Which run owns a store: one that was taken over by another must not go on.
//!
//! The lock beside the store keeps two runs apart as long as it works. It does not where somebody
//! removed it, or on file systems that know no locks. Then the epoch decides: each run that opens
//! the store takes the next one, and whatever is written is written under the newest epoch only. A
//! run that slept meanwhile finds itself fenced when it wakes up.

use std::path::Path;

use rusqlite::{Connection, Result, TransactionBehavior};

use super::{StoreError, rows};

/// Key of the newest owner's epoch in `meta`.
const EPOCH: &str = "epoch";

/// What a run owns a store by.
#[derive(Debug)]
pub(super) struct Fence {
    epoch: u64,
    file: Option<FileId>,
}

impl Fence {
    /// Takes the store over from whoever had it before.
    pub(super) fn raise(
        connection: &mut Connection,
        path: &Path,
    ) -> std::result::Result<Self, StoreError> {
        let epoch = claim(connection)
            .map_err(|e| StoreError::sqlite(path, "take over the checkpoint store", e))?;
        Ok(Self {
            epoch,
            file: FileId::of(path),
        })
    }

    /// Fails when another run has taken the store over since.
    pub(super) fn check(
        &self,
        connection: &Connection,
        path: &Path,
    ) -> std::result::Result<(), StoreError> {
        let newest = newest(connection)
            .map_err(|e| StoreError::sqlite(path, "read the store's owner", e))?;
        if newest != self.epoch || FileId::of(path) != self.file {
            return Err(StoreError::Fenced {
                path: path.to_owned(),
                epoch: self.epoch,
                newest,
            });
        }
        Ok(())
    }
}

/// The next epoch, stored.
fn claim(connection: &mut Connection) -> Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let epoch = newest(&transaction)? + 1;
    rows::set_meta(&transaction, EPOCH, &epoch.to_string())?;
    transaction.commit()?;
    Ok(epoch)
}

fn newest(connection: &Connection) -> Result<u64> {
    let epoch = rows::meta(connection, EPOCH)?;
    Ok(epoch.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Tells a file from another that was put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let file = std::fs::metadata(path).ok()?;
        Some(Self(file.dev(), file.ino()))
    }

    #[cfg(not(unix))]
    fn of(_path: &Path) -> Option<Self> {
        None
    }
}
