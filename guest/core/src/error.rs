//! The one error type that leaves the sink.

use std::fmt;

/// What the host should do next, not what went wrong inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Retry the same call after at least this many milliseconds.
    Transient(u32),
    /// The service throttled us; slow this writer down by this many milliseconds.
    Throttled(u32),
    /// Credentials refused or expired; refresh, then retry.
    Unauthenticated,
    /// Committed by someone else, session stolen or fenced; this writer is dead.
    Fenced,
    /// Some rows are unacceptable; the others were buffered. See `bad_rows`.
    Data,
    /// Table and batch disagree.
    Schema,
    /// Misconfiguration or refused capability. Never retry.
    Permanent,
}

/// A row the sink refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// `Batch::sequence` of the batch it came in.
    pub sequence: u64,
    /// Index of the row in that batch, from 0.
    pub row: u32,
    /// The column at fault, where one is.
    pub column: Option<String>,
    /// Why, for a person.
    pub reason: String,
}

/// A failed call: what failed, where, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkError {
    /// What to do next.
    pub class: ErrorClass,
    /// Stable machine code, for example `tunnel.NoSuchPartition`.
    pub code: String,
    /// For a person.
    pub message: String,
    /// The service's request id, where one answered.
    pub request_id: Option<String>,
    /// Refused rows, with class `Data`.
    pub bad_rows: Vec<BadRow>,
}

impl SinkError {
    /// An error without request id or rows.
    pub fn new(class: ErrorClass, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            class,
            code: code.into(),
            message: message.into(),
            request_id: None,
            bad_rows: Vec::new(),
        }
    }

    /// A misconfiguration or refused capability.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, code, message)
    }

    /// Table and batch disagree.
    pub fn schema(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Schema, code, message)
    }

    /// The same error with `place` (a table, a partition) put before its message.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.message, self.code)?;
        if let Some(id) = &self.request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for SinkError {}
