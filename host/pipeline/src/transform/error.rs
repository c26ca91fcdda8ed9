//! What is wrong with a rule, or was with a row.

use std::fmt;

use crate::definition::Location;

/// A rule that can not be used, for its own sake or for a table's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformError {
    /// Where the definition gives it.
    pub at: Location,
    /// Which part of which rule, and why.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl TransformError {
    pub(super) fn new(at: Location, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.at.line > 0 {
            write!(f, " (line {} of the definition)", self.at.line)?;
        }
        Ok(())
    }
}

impl std::error::Error for TransformError {}
