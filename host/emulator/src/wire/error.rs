use std::{fmt, io};

/// What is wrong with a body, in the terms of the tunnel's error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireErrorKind {
    /// The bytes are not a stream of this format, or a value does not fit its column.
    Malformed,
    /// A checksum or a count does not match: bytes were changed on the way.
    Corrupted,
    /// The body ended before the stream did.
    Incomplete,
    /// A single record is larger than the service accepts.
    TooLarge,
    /// No data arrived for too long.
    Idle,
    /// The server could not do its part (disk, memory); the request may be repeated.
    Internal,
}

/// A body that cannot be read or written, with the place and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    kind: WireErrorKind,
    message: String,
}

impl WireError {
    /// An error of one kind; `message` says where and why.
    pub fn new(kind: WireErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(WireErrorKind::Malformed, message)
    }

    pub(super) fn corrupted(message: impl Into<String>) -> Self {
        Self::new(WireErrorKind::Corrupted, message)
    }

    /// The kind, from which the tunnel chooses status and code.
    pub fn kind(&self) -> WireErrorKind {
        self.kind
    }

    /// The same error, with the place put in front of the reason.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self {
            kind: self.kind,
            message: format!("{place}: {}", self.message),
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for WireError {}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        io::Error::other(error)
    }
}

impl From<io::Error> for WireError {
    /// Decoders sit between the body and the stream reader, so an error of the body arrives wrapped.
    fn from(error: io::Error) -> Self {
        if let Some(inner) = find_wire_error(&error) {
            return inner.clone();
        }
        let kind = match error.kind() {
            io::ErrorKind::UnexpectedEof => WireErrorKind::Incomplete,
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                WireErrorKind::Malformed
            }
            _ => WireErrorKind::Internal,
        };
        WireError::new(kind, format!("the body cannot be read: {error}"))
    }
}

fn find_wire_error(error: &io::Error) -> Option<&WireError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> =
        error.get_ref().map(|inner| inner as _);
    while let Some(error) = cause {
        if let Some(wire) = error.downcast_ref::<WireError>() {
            return Some(wire);
        }
        cause = match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
    }
    None
}

impl From<arrow_schema::ArrowError> for WireError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        WireError::malformed(format!("the columns are not consistent: {error}"))
    }
}
