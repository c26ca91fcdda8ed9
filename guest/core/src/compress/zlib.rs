//! zlib (RFC 1950).

use flate2::{Compress, FlushCompress, Status};

use super::CompressionError;
use super::deflate::{self, Deflate};

/// A zlib stream; the fast level has an encoder of its own.
#[derive(Debug)]
pub(super) enum Zlib {
    Fast(Fast),
    Small(Small),
}

impl Zlib {
    pub(super) fn new(level: u32) -> Self {
        match level {
            1 => Self::Fast(Fast::default()),
            _ => Self::Small(Small::new(level)),
        }
    }

    /// The levels of the library have no table that two streams can share.
    pub(super) fn sharing_tables(&self) -> Self {
        match self {
            Self::Fast(fast) => Self::Fast(fast.sharing_tables()),
            Self::Small(small) => Self::Small(Small::new(small.level)),
        }
    }

    pub(super) fn block_len(&self) -> usize {
        match self {
            Self::Fast(_) => deflate::BLOCK,
            Self::Small(_) => 1,
        }
    }

    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        match self {
            Self::Fast(fast) => {
                fast.write(bytes, out);
                Ok(())
            }
            Self::Small(small) => small.write(bytes, out),
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressionError> {
        match self {
            Self::Fast(fast) => {
                fast.finish(out);
                Ok(())
            }
            Self::Small(small) => small.finish(out),
        }
    }

    pub(super) fn reset(&mut self) {
        match self {
            Self::Fast(fast) => fast.reset(),
            Self::Small(small) => small.reset(),
        }
    }
}

/// Deflate with the largest window, compressed at the fastest level.
const FAST_HEADER: [u8; 2] = [0x78, 0x01];
const CHECKSUM_OF_NOTHING: u32 = 1;

/// Level 1.
#[derive(Debug)]
pub(super) struct Fast {
    deflate: Deflate,
    checksum: u32,
    started: bool,
}

impl Default for Fast {
    fn default() -> Self {
        Self {
            deflate: Deflate::default(),
            checksum: CHECKSUM_OF_NOTHING,
            started: false,
        }
    }
}

impl Fast {
    fn sharing_tables(&self) -> Self {
        Self {
            deflate: self.deflate.sharing_tables(),
            ..Self::default()
        }
    }

    fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if !self.started {
            out.extend_from_slice(&FAST_HEADER);
            self.started = true;
        }
        self.checksum = zlib_rs::adler32::adler32(self.checksum, bytes);
        self.deflate.write(bytes, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.write(&[], out);
        self.deflate.finish(out);
        out.extend_from_slice(&self.checksum.to_be_bytes());
        self.reset();
    }

    fn reset(&mut self) {
        self.deflate.reset();
        self.checksum = CHECKSUM_OF_NOTHING;
        self.started = false;
    }
}

/// Least free space in the output before each step.
const STEP: usize = 32 * 1024;

/// Levels 2 to 9, and 0.
#[derive(Debug)]
pub(super) struct Small {
    deflate: Compress,
    level: u32,
}

impl Small {
    fn new(level: u32) -> Self {
        let level = level.min(9);
        Self {
            deflate: Compress::new(flate2::Compression::new(level), true),
            level,
        }
    }

    fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.step(rest, out, FlushCompress::None)?.0;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressionError> {
        while self.step(&[], out, FlushCompress::Finish)?.1 != Status::StreamEnd {}
        self.deflate.reset();
        Ok(())
    }

    fn reset(&mut self) {
        // A reset in the middle of a body keeps bits of a byte begun (zlib-rs 0.6.8), which would
        // shift the next body. After the end of a body there are none.
        if self.deflate.total_in() > 0 {
            *self = Self::new(self.level);
        }
    }

    /// One call; bytes taken and how it ended.
    fn step(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        flush: FlushCompress,
    ) -> Result<(usize, Status), CompressionError> {
        if out.capacity() - out.len() < STEP / 2 {
            out.reserve(STEP);
        }
        let before = self.deflate.total_in();
        let status = self
            .deflate
            .compress_vec(bytes, out, flush)
            .map_err(|error| CompressionError {
                compression: "zlib",
                reason: error.to_string(),
            })?;
        Ok(((self.deflate.total_in() - before) as usize, status))
    }
}
