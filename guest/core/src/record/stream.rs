//! A record stream that grows row by row.

use super::cell::Refused;
use super::wire::{ChecksumInput, Head, Wire, Word, push_varint, short_varint, zig_zag};
use crate::checksum;
use crate::compress::{CompressionError, Compressor};

/// Tag of the end of a record, as it stands on the wire, little endian.
const END_RECORD: u32 = 0x7fff_c080;
/// Tag of the number of records.
const META_COUNT: u32 = 0x7fff_fff0;
/// Tag of the checksum of checksums.
const META_CHECKSUM: u32 = 0x7fff_fff8;

/// One body of an upload or upsert request: records, then their number and checksum.
///
/// Bytes may be drained to a compressor while the stream grows; [`clear`](Self::clear) starts the
/// next stream in the same memory.
#[derive(Debug, Default)]
pub struct RecordStream {
    pending: Vec<u8>,
    drained: u64,
    rows: u64,
    record: ChecksumInput,
    checksums: u32,
}

impl RecordStream {
    /// An empty stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes written and not drained yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Bytes of the whole stream so far, drained ones included.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        self.drained + self.pending.len() as u64
    }

    /// Memory held, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.pending.capacity()
    }

    /// The bytes not drained yet.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.pending
    }

    /// Compresses the pending bytes to the end of `out`, in whole blocks of the compressor: what is
    /// less than a block stays pending.
    ///
    /// # Errors
    ///
    /// Where the compressor fails; the pending bytes stay.
    pub fn drain_into(
        &mut self,
        compressor: &mut Compressor,
        out: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        let whole = self.pending.len() - self.pending.len() % compressor.block_len();
        let blocks = self.pending.get(..whole).unwrap_or_default();
        compressor.write(blocks, out)?;
        self.drained += whole as u64;
        self.pending.drain(..whole);
        Ok(())
    }

    /// Moves the pending bytes out, with their memory.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        self.drained += self.pending.len() as u64;
        std::mem::take(&mut self.pending)
    }

    /// Appends the footer. The stream is complete then: use its [`bytes`](Self::bytes) or take them,
    /// and [`clear`](Self::clear).
    pub fn finish(&mut self) {
        Word::short(u64::from(META_COUNT)).push(&mut self.pending, 4);
        push_varint(
            &mut self.pending,
            Head::default(),
            zig_zag(self.rows as i64),
        );
        self.push_checksum(META_CHECKSUM, self.checksums);
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.pending.clear();
        self.drained = 0;
        self.rows = 0;
        self.record.clear();
        self.checksums = 0;
    }

    /// Appends one record. Where `write` refuses a value nothing is appended.
    #[inline]
    pub(super) fn record<E>(
        &mut self,
        write: impl FnOnce(&mut Wire<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.pending.len();
        let mut wire = Wire {
            bytes: &mut self.pending,
            checksum: &mut self.record,
            head: Head::default(),
        };
        if let Err(refused) = write(&mut wire) {
            self.pending.truncate(start);
            self.record.clear();
            return Err(refused);
        }
        let checksum = self.record.take();
        self.push_checksum(END_RECORD, checksum);
        self.checksums = checksum::extend(self.checksums, &checksum.to_le_bytes());
        self.rows += 1;
        Ok(())
    }

    #[inline]
    fn push_checksum(&mut self, tag: u32, checksum: u32) {
        let (varint, len) = short_varint(u64::from(checksum));
        Word::behind(u64::from(tag), 4, varint).push(&mut self.pending, 4 + len);
    }
}

/// A refused value and the index of its field.
pub(super) type RefusedField = (usize, Refused);
