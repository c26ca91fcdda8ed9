//! Compression of request bodies.
//!
//! The whole body is one compressed stream, named by the request's `Content-Encoding`. A
//! [`Compressor`] keeps its tables from one body to the next, and several can share them.

mod deflate;
mod lz4;
mod snappy;
mod zlib;

use std::fmt;
use std::str::FromStr;

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    Raw,
    /// zlib (RFC 1950), level 1 (fast) to 9 (small).
    Zlib {
        /// The level.
        level: u32,
    },
    /// The snappy framing format.
    Snappy,
    /// LZ4 frames of independent blocks.
    Lz4,
}

impl Default for Compression {
    /// zlib at level 1, as the official Java client.
    fn default() -> Self {
        Self::Zlib { level: 1 }
    }
}

impl Compression {
    /// The `Content-Encoding` of record streams, none for [`Compression::Raw`].
    #[must_use]
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::Raw => None,
            Self::Zlib { .. } => Some("deflate"),
            Self::Snappy => Some("x-snappy-framed"),
            Self::Lz4 => Some("x-lz4-frame"),
        }
    }

    /// The `Content-Encoding` of Arrow streams: LZ4 has a name of its own there.
    #[must_use]
    pub fn arrow_content_encoding(self) -> Option<&'static str> {
        match self {
            Self::Lz4 => Some("x-odps-lz4-frame"),
            other => other.content_encoding(),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Zlib { .. } => "zlib",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
        })
    }
}

/// A name that is not a compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCompression(pub String);

impl fmt::Display for UnknownCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a compression; there are raw, zlib, snappy and lz4",
            self.0
        )
    }
}

impl std::error::Error for UnknownCompression {}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Self, UnknownCompression> {
        match text.to_ascii_lowercase().as_str() {
            "raw" => Ok(Self::Raw),
            "zlib" => Ok(Self::default()),
            "snappy" => Ok(Self::Snappy),
            "lz4" => Ok(Self::Lz4),
            _ => Err(UnknownCompression(text.to_owned())),
        }
    }
}

/// The compressor refused its input, which is a defect of it: any bytes can be compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressionError {
    /// The compression.
    pub compression: &'static str,
    /// What it said.
    pub reason: String,
}

impl fmt::Display for CompressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} compression failed: {}",
            self.compression, self.reason
        )
    }
}

impl std::error::Error for CompressionError {}

/// Compresses one body after the other.
#[derive(Debug)]
pub struct Compressor {
    compression: Compression,
    state: State,
}

/// The beginnings of streams; tables are of use to any stream and stay in the processor's cache if
/// all take the same.
#[derive(Debug)]
enum State {
    Raw,
    Zlib(zlib::Zlib),
    Snappy(snappy::Snappy),
    Lz4(lz4::Lz4),
}

impl Compressor {
    /// A compressor at the start of a body.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        let state = match compression {
            Compression::Raw => State::Raw,
            Compression::Zlib { level } => State::Zlib(zlib::Zlib::new(level)),
            Compression::Snappy => State::Snappy(snappy::Snappy::default()),
            Compression::Lz4 => State::Lz4(lz4::Lz4::default()),
        };
        Self { compression, state }
    }

    /// A compressor for another body at the same time, with the tables of this one.
    #[must_use]
    pub fn sharing_tables(&self) -> Self {
        Self {
            compression: self.compression,
            state: match &self.state {
                State::Raw => State::Raw,
                State::Zlib(zlib) => State::Zlib(zlib.sharing_tables()),
                State::Snappy(snappy) => State::Snappy(snappy.sharing_tables()),
                State::Lz4(lz4) => State::Lz4(lz4.sharing_tables()),
            },
        }
    }

    /// Input in multiples of so many bytes is compressed where it is; what remains is copied first.
    #[must_use]
    pub fn block_len(&self) -> usize {
        match &self.state {
            State::Raw => 1,
            State::Zlib(zlib) => zlib.block_len(),
            State::Snappy(_) => snappy::BLOCK,
            State::Lz4(_) => lz4::BLOCK,
        }
    }

    /// What it was made for.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Takes the next bytes of the body and appends what is compressed of it so far to `out`.
    ///
    /// # Errors
    ///
    /// Never on account of the bytes; see [`CompressionError`].
    pub fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
        match &mut self.state {
            State::Raw => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            State::Zlib(zlib) => zlib.write(bytes, out),
            State::Snappy(snappy) => snappy.write(bytes, out),
            State::Lz4(lz4) => lz4.write(bytes, out),
        }
    }

    /// Appends the rest of the body. The next `write` starts another body.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressionError> {
        match &mut self.state {
            State::Raw => Ok(()),
            State::Zlib(zlib) => zlib.finish(out),
            State::Snappy(snappy) => snappy.finish(out),
            State::Lz4(lz4) => lz4.finish(out),
        }
    }

    /// Abandons the body begun.
    pub fn reset(&mut self) {
        match &mut self.state {
            State::Raw => {}
            State::Zlib(zlib) => zlib.reset(),
            State::Snappy(snappy) => snappy.reset(),
            State::Lz4(lz4) => lz4.reset(),
        }
    }
}

/// Bytes collected into blocks of a fixed size, in memory that is kept.
#[derive(Debug, Default)]
struct Blocks {
    pending: Vec<u8>,
}

impl Blocks {
    /// Hands every full block of `size` bytes to `emit`; keeps the rest. Blocks that lie within
    /// `bytes` are not copied.
    fn write<E>(
        &mut self,
        mut bytes: &[u8],
        size: usize,
        mut emit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.pending.is_empty() {
            let missing = size.saturating_sub(self.pending.len()).min(bytes.len());
            let (head, rest) = bytes.split_at(missing);
            self.pending.extend_from_slice(head);
            bytes = rest;
            if self.pending.len() < size {
                return Ok(());
            }
            emit(&self.pending)?;
            self.pending.clear();
        }
        let blocks = bytes.chunks_exact(size);
        let rest = blocks.remainder();
        for block in blocks {
            emit(block)?;
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }
}
