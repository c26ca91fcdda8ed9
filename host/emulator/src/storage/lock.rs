//! One process per data directory.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::catalog::StoreError;

/// Holds a data directory for this process until dropped; a killed process loses it at once.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Fails with [`StoreError::InUse`] when another holder is alive.
    pub(crate) fn take(dir: &Path) -> Result<Self, StoreError> {
        let failed =
            |what: &str, error| StoreError::io(format!("{what} of {}", dir.display()), error);
        let private = dir.join(".longshore");
        std::fs::create_dir_all(&private).map_err(|e| failed("making the catalog directory", e))?;
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(private.join("lock"))
            .map_err(|e| failed("opening the lock", e))?;
        if file.try_lock().is_err() {
            let mut holder = String::new();
            // The number is only for the message.
            let _ = file.read_to_string(&mut holder);
            return Err(StoreError::InUse {
                path: dir.to_owned(),
                holder: holder.trim().to_owned(),
            });
        }
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()))
            .map_err(|e| failed("writing the lock", e))?;
        Ok(Self { _file: file })
    }
}
