//! Why a run ended early.

use longshore_runtime::CallError;
use longshore_runtime::contract::{ErrorClass, SinkError};

use crate::checkpoint_store::StoreError;
use crate::dead_letters::ExportError;
use crate::route::RouteCollision;
use crate::source::SourceError;

/// A row the sink refused, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// File and line, or file and row.
    pub place: String,
    /// The column at fault, where one is.
    pub column: Option<String>,
    /// Why, for a person.
    pub reason: String,
}

/// Why a run ended early. Rows since the last checkpoint are not visible at the sink.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The source can not be opened or read.
    #[error("{0}")]
    Source(#[from] SourceError),
    /// The source's thread died.
    #[error("the source stopped without an answer; this is a defect of longshore")]
    SourceDied,
    /// The checkpoint store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A table has no place of its own to go to.
    #[error("{0}")]
    Route(Box<RouteCollision>),
    /// Two source tables of different shape go to one table.
    #[error("table {second} goes to {target}, where other tables go already: {reason}")]
    Merge {
        /// The table at the sink.
        target: String,
        /// The source table that came later.
        second: String,
        /// What no table holds both of.
        reason: String,
    },
    /// A schema change that the definition or the sink does not allow.
    #[error("table {source_table} changed ({change}), and {target} can not follow: {reason}")]
    SchemaChange {
        /// The table at the source.
        source_table: String,
        /// The table at the sink.
        target: String,
        /// What happened to it.
        change: String,
        /// Why it is not applied.
        reason: String,
    },
    /// A batch can not be handed to the sink.
    #[error("cannot hand rows of {table} to the sink: {reason}")]
    Encode {
        /// The table at the sink.
        table: String,
        /// Why.
        reason: String,
    },
    /// The sink refused rows.
    #[error("the sink refused {total} row(s) of {table}: {message}")]
    BadRows {
        /// The table at the sink.
        table: String,
        /// The sink's own words.
        message: String,
        /// The first of them.
        rows: Vec<RefusedRow>,
        /// How many in all.
        total: usize,
    },
    /// A call of the sink failed, and trying again does not help or did not.
    #[error("cannot {action}: {error}")]
    Call {
        /// What was tried, for example `write rows of orders`.
        action: String,
        /// The last answer.
        error: Box<CallError>,
    },
    /// A stored committable can not be made visible.
    #[error("cannot commit {table} of checkpoint {checkpoint}: {error}")]
    Commit {
        /// The table at the sink.
        table: String,
        /// The checkpoint.
        checkpoint: u64,
        /// What of the source it covers, where that helps.
        rows: Option<String>,
        /// The sink's answer.
        error: Box<SinkError>,
    },
    /// An instance ended although more was to come.
    #[error("a sink instance stopped without an answer; this is a defect of longshore")]
    InstanceDied,
    /// The run was asked to stop, and the checkpoint was not complete in time.
    #[error("the run was stopped before its checkpoint was complete")]
    StopLimit,
    /// More rows are kept aside than the definition allows. They are stored, and everything before
    /// the last checkpoint is visible.
    #[error("too many dead letters of {table}: {reason}")]
    TooManyDeadLetters {
        /// The table at the sink.
        table: String,
        /// How many, and the limit.
        reason: String,
    },
    /// Dead letters can not be written as files.
    #[error("{0}")]
    DeadLetterFiles(#[from] ExportError),
    /// The sink takes no rows although everything is flushed.
    #[error("the sink gives no credit although it has flushed everything")]
    NoCredit,
}

impl RunError {
    pub(super) fn call(action: impl Into<String>, error: CallError) -> Self {
        Self::Call {
            action: action.into(),
            error: Box::new(error),
        }
    }

    /// The sink's own error behind this one, if any.
    pub fn sink_error(&self) -> Option<&SinkError> {
        match self {
            Self::Call { error, .. } => error.sink_error(),
            Self::Commit { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Whether starting over from the last checkpoint can help.
    pub(super) fn is_restartable(&self) -> bool {
        match self {
            Self::Call { error, .. } => match &**error {
                CallError::Sink(error) => error.class == ErrorClass::Fenced,
                CallError::Trap { .. } | CallError::Timeout { .. } | CallError::Poisoned { .. } => {
                    true
                }
                _ => false,
            },
            _ => false,
        }
    }
}
