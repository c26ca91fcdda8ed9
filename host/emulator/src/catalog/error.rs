//! What can go wrong in catalog and storage.

/// A failure of the catalog or of the data files, with enough words to act on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The project is not known.
    #[error("project {0} not found")]
    NoSuchProject(String),
    /// The schema is not known.
    #[error("schema {0} not found")]
    NoSuchSchema(String),
    /// The table is not known.
    #[error("table {0} not found")]
    NoSuchTable(String),
    /// The partition does not exist.
    #[error("partition {partition} of table {table} does not exist")]
    NoSuchPartition {
        /// Full table name.
        table: String,
        /// The partition, `a=1,b=2`.
        partition: String,
    },
    /// A partition specification does not fit the table.
    #[error("partition `{text}` of table {table} is not valid: {reason}")]
    InvalidPartition {
        /// Full table name.
        table: String,
        /// The text as given.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// Another process has the data directory open.
    #[error("data directory {} is in use by process {holder}", path.display())]
    InUse {
        /// The directory.
        path: std::path::PathBuf,
        /// Process id written by the holder.
        holder: String,
    },
    /// Something of that name exists already.
    #[error("{0} already exists")]
    AlreadyExists(String),
    /// The request contradicts the table.
    #[error("{0}")]
    Invalid(String),
    /// The table or its files changed since a snapshot or session was made.
    #[error("table {table} has been modified: {reason}")]
    Modified {
        /// Full table name.
        table: String,
        /// What changed.
        reason: String,
    },
    /// The session is not known (never was, deleted, or expired and cleaned).
    #[error("session {0} not found")]
    NoSuchSession(String),
    /// The session's document was changed by somebody else meanwhile.
    #[error("session {0} was changed by another request")]
    SessionConflict(String),
    /// The catalog database failed.
    #[error("catalog database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A file could not be read or written.
    #[error("{context}: {source}")]
    Io {
        /// What was done to which path.
        context: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A Parquet file could not be read or written.
    #[error("{context}: {source}")]
    Parquet {
        /// What was done to which path.
        context: String,
        /// The library's error.
        source: parquet::errors::ParquetError,
    },
    /// Values could not be converted.
    #[error("arrow: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// The catalog holds a document that cannot be read.
    #[error("catalog document: {0}")]
    Document(#[from] serde_json::Error),
}

impl StoreError {
    /// An I/O failure with what was being done.
    pub fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            context: context.into(),
            source,
        }
    }

    /// A Parquet failure with what was being done.
    pub fn parquet(context: impl Into<String>, source: parquet::errors::ParquetError) -> Self {
        Self::Parquet {
            context: context.into(),
            source,
        }
    }
}
