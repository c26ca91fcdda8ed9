//! The snappy framing format: a stream identifier, then chunks of at most 64 KiB.

use snap::raw::{Encoder, max_compress_len};

use super::{Blocks, CompressionError};
use crate::checksum;

const STREAM_IDENTIFIER: &[u8; 10] = b"\xff\x06\x00\x00sNaPpY";
const BLOCK: usize = 65_536;
const COMPRESSED: u8 = 0x00;
const UNCOMPRESSED: u8 = 0x01;

#[derive(Default)]
pub(super) struct Snappy {
    blocks: Blocks,
    chunks: Chunks,
}

struct Chunks {
    encoder: Encoder,
    scratch: Vec<u8>,
    started: bool,
}

impl Default for Chunks {
    fn default() -> Self {
        Self {
            encoder: Encoder::new(),
            scratch: Vec::new(),
            started: false,
        }
    }
}

impl std::fmt::Debug for Snappy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snappy")
            .field("pending", &self.blocks.pending.len())
            .finish_non_exhaustive()
    }
}

impl Snappy {
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        self.blocks
            .write(bytes, BLOCK, |block| self.chunks.push(block, out))
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressionError> {
        if !self.blocks.pending.is_empty() || !self.chunks.started {
            self.chunks.push(&self.blocks.pending, out)?;
        }
        self.reset();
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.blocks.pending.clear();
        self.chunks.started = false;
    }
}

impl Chunks {
    fn push(&mut self, block: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
        if !self.started {
            out.extend_from_slice(STREAM_IDENTIFIER);
            self.started = true;
        }
        if block.is_empty() {
            return Ok(());
        }
        self.scratch.resize(max_compress_len(block.len()), 0);
        let len = self
            .encoder
            .compress(block, &mut self.scratch)
            .map_err(|error| CompressionError {
                compression: "snappy",
                reason: error.to_string(),
            })?;
        // What saves less than an eighth is not worth the reader's time.
        let (kind, data) = match self.scratch.get(..len) {
            Some(compressed) if len < block.len() - block.len() / 8 => (COMPRESSED, compressed),
            _ => (UNCOMPRESSED, block),
        };
        let [a, b, c, _] = ((data.len() + 4) as u32).to_le_bytes();
        out.extend_from_slice(&[kind, a, b, c]);
        out.extend_from_slice(&masked(checksum::extend(0, block)).to_le_bytes());
        out.extend_from_slice(data);
        Ok(())
    }
}

/// The format stores checksums rotated, so that a checksum over checksums stays good.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
