//! zlib.

use flate2::{Compress, FlushCompress, Status};

use super::CompressionError;

/// Least free space in the output before each step.
const STEP: usize = 32 * 1024;

#[derive(Debug)]
pub(super) struct Zlib {
    deflate: Compress,
}

impl Zlib {
    pub(super) fn new(level: u32) -> Self {
        Self {
            deflate: Compress::new(flate2::Compression::new(level.min(9)), true),
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
        self.reset();
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.deflate.reset();
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
