//! The snappy framing format: a stream identifier, then chunks of at most 64 KiB.

use std::cell::RefCell;
use std::rc::Rc;

use snap::raw::{Encoder, max_compress_len};

use super::{Blocks, CompressionError};
use crate::checksum;

const STREAM_IDENTIFIER: &[u8; 10] = b"\xff\x06\x00\x00sNaPpY";
pub(super) const BLOCK: usize = 65_536;
const COMPRESSED: u8 = 0x00;
const UNCOMPRESSED: u8 = 0x01;

#[derive(Default)]
pub(super) struct Snappy {
    blocks: Blocks,
    started: bool,
    tables: Rc<RefCell<Tables>>,
}

struct Tables {
    encoder: Encoder,
    scratch: Vec<u8>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            encoder: Encoder::new(),
            scratch: Vec::new(),
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
        if bytes.is_empty() {
            return Ok(());
        }
        self.start(out);
        let mut tables = self.tables.borrow_mut();
        self.blocks
            .write(bytes, BLOCK, |block| tables.push(block, out))
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressionError> {
        self.start(out);
        if !self.blocks.pending.is_empty() {
            self.tables.borrow_mut().push(&self.blocks.pending, out)?;
        }
        self.reset();
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.blocks.pending.clear();
        self.started = false;
    }

    pub(super) fn sharing_tables(&self) -> Self {
        Self {
            tables: Rc::clone(&self.tables),
            ..Self::default()
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            out.extend_from_slice(STREAM_IDENTIFIER);
        }
    }
}

impl Tables {
    fn push(&mut self, block: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
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
