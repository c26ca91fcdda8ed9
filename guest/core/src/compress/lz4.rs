//! LZ4 frames. Blocks are independent: the official Java client reads no others.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::{Blocks, CompressionError};

/// Magic number, version 1 with independent blocks and no content checksum, blocks of at most
/// 256 KiB, and the descriptor's checksum, which is a constant as they are.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x50, 0xfb];
const BLOCK: usize = 256 * 1024;
const END_MARK: [u8; 4] = [0; 4];
const UNCOMPRESSED: u32 = 1 << 31;

#[derive(Default)]
pub(super) struct Lz4 {
    blocks: Blocks,
    frame: Frame,
}

struct Frame {
    table: CompressTable,
    started: bool,
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            table: CompressTable::large(),
            started: false,
        }
    }
}

impl std::fmt::Debug for Lz4 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lz4")
            .field("pending", &self.blocks.pending.len())
            .finish_non_exhaustive()
    }
}

impl Lz4 {
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        self.blocks
            .write(bytes, BLOCK, |block| self.frame.push(block, out))
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressionError> {
        self.frame.push(&self.blocks.pending, out)?;
        out.extend_from_slice(&END_MARK);
        self.reset();
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.blocks.pending.clear();
        self.frame.started = false;
    }
}

impl Frame {
    fn push(&mut self, block: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
        if !self.started {
            out.extend_from_slice(&HEADER);
            self.started = true;
        }
        if block.is_empty() {
            return Ok(());
        }
        // The block is compressed in place behind room for its size.
        let start = out.len();
        out.resize(start + 4 + get_maximum_output_size(block.len()), 0);
        let (size, room) = out
            .get_mut(start..)
            .and_then(|tail| tail.split_first_chunk_mut::<4>())
            .ok_or_else(|| failed("the output has no room"))?;
        let len = compress_into_with_table(block, room, &mut self.table)
            .map_err(|error| failed(&error.to_string()))?;
        if len < block.len() {
            *size = (len as u32).to_le_bytes();
            out.truncate(start + 4 + len);
        } else {
            *size = (block.len() as u32 | UNCOMPRESSED).to_le_bytes();
            out.truncate(start + 4);
            out.extend_from_slice(block);
        }
        Ok(())
    }
}

fn failed(reason: &str) -> CompressionError {
    CompressionError {
        compression: "lz4",
        reason: reason.to_owned(),
    }
}
