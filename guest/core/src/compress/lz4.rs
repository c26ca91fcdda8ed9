//! LZ4 frames. Blocks are independent: the official Java client reads no others.

use std::cell::RefCell;
use std::rc::Rc;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::{Blocks, CompressionError};

/// Magic number, version 1 with independent blocks and no content checksum, blocks of at most
/// 256 KiB, and the descriptor's checksum, which is a constant as they are.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x50, 0xfb];
pub(super) const BLOCK: usize = 256 * 1024;
const END_MARK: [u8; 4] = [0; 4];
const UNCOMPRESSED: u32 = 1 << 31;

pub(super) struct Lz4 {
    blocks: Blocks,
    started: bool,
    table: Rc<RefCell<CompressTable>>,
}

impl Default for Lz4 {
    fn default() -> Self {
        Self::with(Rc::new(RefCell::new(CompressTable::large())))
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
        self.start(out);
        let mut table = self.table.borrow_mut();
        self.blocks
            .write(bytes, BLOCK, |block| push(block, &mut table, out))
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressionError> {
        self.start(out);
        push(&self.blocks.pending, &mut self.table.borrow_mut(), out)?;
        out.extend_from_slice(&END_MARK);
        self.reset();
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.blocks.pending.clear();
        self.started = false;
    }

    pub(super) fn sharing_tables(&self) -> Self {
        Self::with(Rc::clone(&self.table))
    }

    fn with(table: Rc<RefCell<CompressTable>>) -> Self {
        Self {
            blocks: Blocks::default(),
            started: false,
            table,
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            out.extend_from_slice(&HEADER);
        }
    }
}

fn push(
    block: &[u8],
    table: &mut CompressTable,
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
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
    let len =
        compress_into_with_table(block, room, table).map_err(|error| failed(&error.to_string()))?;
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

fn failed(reason: &str) -> CompressionError {
    CompressionError {
        compression: "lz4",
        reason: reason.to_owned(),
    }
}
