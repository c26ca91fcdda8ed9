//! Errors of sources.

use std::fmt;

/// What kind of failure it was; a host maps it to an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// A file is missing or a pattern matches none.
    NotFound,
    /// Reading failed.
    Io,
    /// The input is not what its format says: broken JSON, a value of the wrong type, an
    /// unknown column.
    Data,
    /// Options that do not fit each other or the input.
    Definition,
    /// The input is not the one the restored position was taken from.
    Changed,
}

/// A failed read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// What kind of failure.
    pub kind: SourceErrorKind,
    /// Where: `file`, `file:line` or `file:line:column`; columns count bytes from 1.
    pub place: Option<String>,
    /// What failed and why.
    pub message: String,
    /// The piece of input at fault.
    pub excerpt: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl SourceError {
    /// An error without a place.
    pub fn new(kind: SourceErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            place: None,
            message: message.into(),
            excerpt: None,
            help: None,
        }
    }

    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    pub(crate) fn excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt = Some(excerpt.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n  | {}", excerpt.replace('\n', "\n  | "))?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SourceError {}
