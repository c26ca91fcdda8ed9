//! Why a checkpoint store can not be used.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

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
    /// The store was written by a newer version.
    #[error("the checkpoint store {} has format {found}, this version reads formats up to {supported}", .path.display())]
    Format {
        /// The store.
        path: PathBuf,
        /// Format of the file.
        found: u32,
        /// Format this version writes.
        supported: u32,
    },
    /// The file is something else.
    #[error("{} is no checkpoint store: {reason}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        reason: String,
    },
    /// The file does not know a checkpoint that was stored: it was put back from a copy, or its
    /// journal was removed.
    #[error(
        "the checkpoint store {} ends at checkpoint {found}, and checkpoint {stored} was stored: the file is an older \
         copy, or its journal was removed",
        .path.display()
    )]
    Older {
        /// The store.
        path: PathBuf,
        /// The newest checkpoint in it.
        found: u64,
        /// The newest there was.
        stored: u64,
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
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt {
                path,
                reason: format!("cannot {action}: {source}"),
            },
            _ => Self::Sqlite {
                path,
                action,
                source,
            },
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
                "use the version of longshore that wrote it, or a newer one; another `checkpoint-path` starts anew".into()
            }
            Self::Foreign { .. } => {
                "correct `checkpoint-path`; a file that is in the way is for you to move, it was not touched".into()
            }
            Self::Corrupt { .. } => {
                "`longshore checkpoints repair PIPELINE` saves what can be saved; `longshore checkpoints reset PIPELINE` sets the \
                 file aside, and the next run reads the source from its start".into()
            }
            Self::Older { .. } => {
                "put the newest file back; or `longshore checkpoints repair PIPELINE --accept-older` to go on from the older \
                 checkpoint: rows after it are written again, and stand twice in append tables".into()
            }
            Self::Io { .. } | Self::Sqlite { .. } => {
                "check that the directory exists on a local disk, is writable and has room".into()
            }
        }
    }
}
