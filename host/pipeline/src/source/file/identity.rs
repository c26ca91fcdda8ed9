//! Telling whether a file is still the one a position was taken from.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
};

use serde::{Deserialize, Serialize};

use super::super::error::{SourceError, SourceErrorKind};

const WINDOW: u64 = 64 * 1024;

/// Size, and hashes of the first and last 64 KiB. Times of change are left out: copying a file or
/// checking it out changes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    size: u64,
    head: String,
    tail: String,
}

impl Fingerprint {
    pub(crate) fn of(path: &str) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        Self::of_prefix(&mut file, size)
    }

    fn of_prefix(file: &mut File, size: u64) -> io::Result<Self> {
        let window = size.min(WINDOW);
        Ok(Self {
            size,
            head: hash(file, 0, window)?,
            tail: hash(file, size - window, window)?,
        })
    }

    /// Checks that `path` still has this content; `growable` allows more behind it.
    pub(crate) fn check(&self, path: &str, growable: bool) -> Result<(), SourceError> {
        let changed = |how: &str| {
            SourceError::new(
                SourceErrorKind::Changed,
                format!("`{path}` {how} since the checkpoint this run continues from"),
            )
            .help(
                "bring the file back as it was, or delete the checkpoint to read everything from \
                 the beginning",
            )
        };
        let mut file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => changed("has disappeared"),
            _ => unreadable(path, &error),
        })?;
        let size = file
            .metadata()
            .map_err(|error| unreadable(path, &error))?
            .len();
        if size < self.size {
            return Err(changed("has become shorter"));
        }
        if size > self.size && !growable {
            return Err(changed("has become longer"));
        }
        let now =
            Self::of_prefix(&mut file, self.size).map_err(|error| unreadable(path, &error))?;
        if now == *self {
            Ok(())
        } else {
            Err(changed("has changed"))
        }
    }
}

pub(crate) fn unreadable(path: &str, error: &io::Error) -> SourceError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => SourceErrorKind::NotFound,
        _ => SourceErrorKind::Io,
    };
    let shown = if path == "-" { "standard input" } else { path };
    SourceError::new(kind, format!("{shown} can not be read: {error}"))
}

fn hash(file: &mut File, start: u64, length: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(format!("{:016x}", fnv1a(&bytes)))
}

/// FNV-1a: it guards against mistakes, not against forgers.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Stands for the files before one, so that a position notices a file that slipped in.
pub(crate) fn hash_of_paths(paths: &[String]) -> String {
    format!("{:016x}", fnv1a(paths.join("\n").as_bytes()))
}
