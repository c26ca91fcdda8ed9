//! Why a checkpoint store can not be used.

use std::path::{Path, PathBuf};

/// Why a checkpoint store can not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another run of the pipeline is using the store.
    #[error(
        "the checkpoint store {} is in use by {}",
        .path.display(),
        .pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The store.
        path: PathBuf,
        /// The process that holds the lock, where it wrote its number.
        pid: Option<u32>,
    },
    /// Another run has taken the store over.
    #[error(
        "another run has taken over the checkpoint store {} (it is run {newest} of it, this one is run {epoch}); \
         this run commits nothing more",
        .path.display()
    )]
    Fenced {
        /// The store.
        path: PathBuf,
        /// This run's number.
        epoch: u64,
        /// The number of the run that has it now.
        newest: u64,
    },
    /// The store holds the progress of another pipeline.
    #[error("the checkpoint store {} belongs to another pipeline: {difference}", .path.display())]
    OtherPipeline {
        /// The store.
        path: PathBuf,
        /// What differs, for a person.
        difference: String,
    },
    /// The store was written by another version.
    #[error("the checkpoint store {} has format {found}, this version reads {supported}", .path.display())]
    Format {
        /// The store.
        path: PathBuf,
        /// Format of the file.
        found: u32,
        /// Format this version reads and writes.
        supported: u32,
    },
    /// The store's content contradicts itself.
    #[error("the checkpoint store {} is damaged: {reason}", .path.display())]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A directory or the lock file can not be used.
    #[error("cannot use {}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("cannot {action} in {}: {source}", .path.display())]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: rusqlite::Error,
    },
}

impl StoreError {
    pub(super) fn sqlite(path: &Path, action: &'static str, source: rusqlite::Error) -> Self {
        Self::Sqlite {
            path: path.to_owned(),
            action,
            source,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Locked { .. } => {
                "wait until that run has ended, or give this one its own `checkpoint-path`".into()
            }
            Self::Fenced { .. } => {
                "nothing is lost: the other run goes on from the last checkpoint; never remove the `.lock` file beside a store in use, and give every pipeline a store of its own".into()
            }
            Self::OtherPipeline { .. } => {
                "give this pipeline its own name or `checkpoint-path`; `--fresh` forgets the stored progress and reads the source from its start".into()
            }
            Self::Format { .. } => {
                "use the version of longshore that wrote it; `--fresh` with another `checkpoint-path` starts anew".into()
            }
            Self::Corrupt { .. } => {
                "restore the file from a backup; `--fresh` forgets it and reads the source from its start".into()
            }
            Self::Io { .. } | Self::Sqlite { .. } => {
                "check that the directory exists on a local disk, is writable and has room".into()
            }
        }
    }
}
