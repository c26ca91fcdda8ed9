//! zlib.

use flate2::{Compress, FlushCompress, Status};

use super::CompressionError;

/// Least free space in the output before each step.
const STEP: usize = 32 * 1024;

#[derive(Debug)]
pub(super) struct Zlib {
    deflate: Compress,
    level: u32,
}

impl Zlib {
    pub(super) fn new(level: u32) -> Self {
        let level = level.min(9);
        Self {
            deflate: Compress::new(flate2::Compression::new(level), true),
            level,
        }
    }

    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.step(rest, out, FlushCompress::None)?.0;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressionError> {
        while self.step(&[], out, FlushCompress::Finish)?.1 != Status::StreamEnd {}
        self.deflate.reset();
        Ok(())
    }

    pub(super) fn reset(&mut self) {
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
