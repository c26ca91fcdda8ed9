//! Errors of SQL jobs, in the words of the service.

use crate::catalog::StoreError;

/// A failed statement: `ODPS-<code>:[line,column] <text>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}:[{line},{column}] {message}")]
pub struct SqlError {
    /// `ODPS-...`.
    pub code: &'static str,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Syntax that is not understood.
pub(super) const PARSE: &str = "ODPS-0130161";
/// A table that is not there.
pub(super) const NO_TABLE: &str = "ODPS-0130131";
/// A statement that is understood but not possible.
pub(super) const SEMANTIC: &str = "ODPS-0130071";
/// A DDL that collides with the catalog.
pub(super) const DDL_TASK: &str = "ODPS-0110061";
/// Missing rights.
pub(super) const NO_PERMISSION: &str = "ODPS-0130013";
/// A fault of the server.
pub(super) const INTERNAL: &str = "ODPS-0010000";

impl SqlError {
    /// An error at a place in the job's text.
    pub fn new(
        code: &'static str,
        (line, column): (usize, usize),
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            line,
            column,
            message: message.into(),
        }
    }

    /// A syntax error.
    pub fn parse(at: (usize, usize), message: impl std::fmt::Display) -> Self {
        Self::new(PARSE, at, format!("Parse exception - {message}"))
    }

    /// A semantic error.
    pub fn semantic(at: (usize, usize), message: impl std::fmt::Display) -> Self {
        Self::new(
            SEMANTIC,
            at,
            format!("Semantic analysis exception - {message}"),
        )
    }

    /// A failure of the store while running the statement at `at`.
    pub fn store(at: (usize, usize), error: StoreError) -> Self {
        match error {
            StoreError::NoSuchTable(name) => Self::new(
                NO_TABLE,
                at,
                format!("Table not found - table {name} cannot be resolved"),
            ),
            StoreError::NoSuchSchema(name) => Self::new(
                NO_TABLE,
                at,
                format!("Table not found - schema {name} cannot be resolved"),
            ),
            StoreError::NoSuchProject(name) => Self::new(
                NO_TABLE,
                at,
                format!("Table not found - project {name} not found"),
            ),
            StoreError::AlreadyExists(what) => Self::new(
                DDL_TASK,
                at,
                format!(
                    "Failed to run ddltask - AlreadyExistsException(message:{what} already exists)"
                ),
            ),
            error @ StoreError::NoSuchPartition { .. } => Self::new(
                DDL_TASK,
                at,
                format!("Failed to run ddltask - NoSuchObjectException(message:{error})"),
            ),
            error @ (StoreError::Invalid(_)
            | StoreError::InvalidPartition { .. }
            | StoreError::Arrow(_)) => Self::semantic(at, error),
            error => Self::new(INTERNAL, at, format!("System internal error - {error}")),
        }
    }
}
