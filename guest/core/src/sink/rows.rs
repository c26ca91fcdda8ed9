//! Rows that are being collected, in the form they are sent in.

use super::client::Client;
use crate::arrow_tunnel::ColumnRows;
use crate::compress::{CompressionError, Compressor};
use crate::error::SinkError;
use crate::record::{BoundRows, Operation, RecordStream};
use crate::schema::ValueError;

/// Records are compressed in pieces of this size, so that a large body is held compressed.
const PIECE: usize = 256 * 1024;

/// Rows of one body.
pub(super) enum Rows {
    /// As the record stream of the batch, stream and upsert tunnels.
    Records(Records),
    /// As columns for the Arrow tunnel.
    Columns(ColumnRows),
}

/// A record stream, and what of it is compressed already.
#[derive(Default)]
pub(super) struct Records {
    stream: RecordStream,
    packed: Option<Packed>,
}

/// The compressed start of a body.
struct Packed {
    compressor: Compressor,
    bytes: Vec<u8>,
}

/// What a row does to its key.
#[derive(Clone, Copy)]
pub(super) struct Upsert<'a> {
    pub(super) operation: Operation,
    /// Numbers of the columns it updates; None = all.
    pub(super) columns: Option<&'a [i64]>,
}

impl Rows {
    /// Appends a row, as it is without `upsert`. Where a value is refused nothing is appended.
    #[inline]
    pub(super) fn push(
        &mut self,
        bound: &BoundRows<'_>,
        row: usize,
        upsert: Option<Upsert<'_>>,
    ) -> Result<(), ValueError> {
        match (self, upsert) {
            (Self::Columns(columns), _) => bound.encode_columns(row, columns),
            (Self::Records(records), None) => bound.encode(row, &mut records.stream),
            (
                Self::Records(records),
                Some(Upsert {
                    operation: Operation::Upsert,
                    columns: Some(ids),
                }),
            ) => bound.encode_partial(row, ids, &mut records.stream),
            (Self::Records(records), Some(Upsert { operation, .. })) => {
                bound.encode_upsert(row, operation, &mut records.stream)
            }
        }
    }

    pub(super) fn rows(&self) -> u64 {
        match self {
            Self::Records(records) => records.stream.rows(),
            Self::Columns(columns) => columns.rows() as u64,
        }
    }

    /// Size in bytes before compression.
    #[inline]
    pub(super) fn raw_len(&self) -> usize {
        match self {
            Self::Records(records) => {
                usize::try_from(records.stream.total_len()).unwrap_or(usize::MAX)
            }
            Self::Columns(columns) => columns.len(),
        }
    }

    /// Bytes held.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Records(records) => records.len(),
            Self::Columns(columns) => columns.len(),
        }
    }

    /// Compresses what there is of a body of about `target` bytes, if that is enough to be worth it.
    #[inline]
    pub(super) fn pack(&mut self, client: &Client, target: usize) -> Result<(), SinkError> {
        match self {
            Self::Records(records) if records.stream.len() >= PIECE => {
                records.pack(client, target).map_err(failed)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// The body of all rows, compressed, and its size before that; none are left.
    pub(super) fn take_body(&mut self, client: &Client) -> Result<(Vec<u8>, usize), SinkError> {
        match self {
            Self::Records(records) => records.take_body(client).map_err(failed),
            Self::Columns(columns) => {
                let raw = columns
                    .take_body(client.options.arrow_batch_rows)
                    .map_err(|e| SinkError::permanent("arrow", e.to_string()))?;
                Ok((compress(client, &raw)?, raw.len()))
            }
        }
    }
}

impl Records {
    fn len(&self) -> usize {
        let packed = self.packed.as_ref();
        self.stream.len() + packed.map_or(0, |packed| Compressor::HELD_BYTES + packed.bytes.len())
    }

    fn pack(&mut self, client: &Client, target: usize) -> Result<(), CompressionError> {
        let packed = self.packed.get_or_insert_with(|| Packed {
            compressor: client.take_compressor(),
            bytes: Vec::new(),
        });
        self.stream
            .drain_into(&mut packed.compressor, &mut packed.bytes)?;
        // Room for the whole body at once, if the rest is like its start.
        let raw = self.stream.total_len().max(1);
        let expected = packed.bytes.len() as u64 * target as u64 / raw;
        let expected = usize::try_from(expected + expected / 16).unwrap_or(usize::MAX);
        let missing = expected.saturating_sub(packed.bytes.len());
        packed.bytes.reserve_exact(missing);
        Ok(())
    }

    fn take_body(&mut self, client: &Client) -> Result<(Vec<u8>, usize), CompressionError> {
        self.stream.finish();
        let raw = usize::try_from(self.stream.total_len()).unwrap_or(usize::MAX);
        let packed = self.packed.take().unwrap_or_else(|| Packed {
            compressor: client.take_compressor(),
            bytes: Vec::with_capacity(raw / 2 + 64),
        });
        let body = packed.finish(self.stream.bytes(), client);
        self.stream.clear();
        if self.stream.capacity() > raw.saturating_mul(4) {
            self.stream = RecordStream::new();
        }
        Ok((body?, raw))
    }
}

impl Packed {
    /// The whole body, of which these are the last bytes.
    fn finish(mut self, rest: &[u8], client: &Client) -> Result<Vec<u8>, CompressionError> {
        self.compressor.write(rest, &mut self.bytes)?;
        self.compressor.finish(&mut self.bytes)?;
        client.give_back(self.compressor);
        self.bytes.shrink_to_fit();
        Ok(self.bytes)
    }
}

fn compress(client: &Client, raw: &[u8]) -> Result<Vec<u8>, SinkError> {
    let packed = Packed {
        compressor: client.take_compressor(),
        bytes: Vec::with_capacity(raw.len() / 2 + 64),
    };
    packed.finish(raw, client).map_err(failed)
}

fn failed(error: CompressionError) -> SinkError {
    SinkError::permanent("compress", format!("compression failed: {error}"))
}
