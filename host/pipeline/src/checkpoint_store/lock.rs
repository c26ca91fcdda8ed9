//! One run at a time: an operating system lock beside the store.
//!
//! The lock ends with the process, also with `kill -9`, so no stale lock needs breaking. Its file
//! also tells the number of the newest checkpoint, so that an older copy of the store is noticed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::StoreError;

#[derive(Debug)]
pub(super) struct StoreLock {
    file: File,
    /// The newest checkpoint there was; 0 = none is known of.
    newest: u64,
}

impl StoreLock {
    pub(super) fn take(store: &Path) -> Result<Self, StoreError> {
        let mut name = store.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let error = |source| StoreError::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(error)?;
        let locked = match file.try_lock() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(source)) => return Err(error(source)),
        };
        let mut text = String::new();
        // What is no text was written by a machine that lost power: nothing is known then.
        let _ = file.read_to_string(&mut text);
        let mut lines = text.lines();
        let pid = lines.next().and_then(|line| line.parse().ok());
        if locked {
            return Err(StoreError::Locked {
                path: store.to_owned(),
                pid,
            });
        }
        let newest = lines.next().and_then(|line| line.parse().ok());
        let mut lock = Self {
            file,
            newest: newest.unwrap_or(0),
        };
        lock.write().map_err(error)?;
        Ok(lock)
    }

    /// The newest checkpoint there was, as far as is known.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Notes that this is the newest checkpoint. It is in the store already, which is synchronized;
    /// this file is not, so that it never knows of more than the store.
    pub(super) fn note_newest(&mut self, checkpoint: u64) {
        self.newest = checkpoint;
        if let Err(error) = self.write() {
            tracing::debug!("the lock file was not written: {error}");
        }
    }

    fn write(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        let text = format!("{}\n{}\n", std::process::id(), self.newest);
        self.file.write_all(text.as_bytes())
    }
}
