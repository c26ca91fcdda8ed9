//! Rows that are being collected, in the form they are sent in.

use super::client::Client;
use crate::arrow_tunnel::ColumnRows;
use crate::compress::{CompressionError, Compressor};
use crate::error::SinkError;
use crate::record::{BoundRows, Operation, RecordStream};
use crate::request::Body;
use crate::schema::ValueError;

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

/// The compressed start of a body. Its pieces stay where they are: one growing vector would be
/// moved again and again, and leave holes of every size in a memory that never shrinks.
struct Packed {
    compressor: Compressor,
    pieces: Vec<Vec<u8>>,
    /// Bytes that the next block will hardly exceed, compressed.
    expected: usize,
}

/// A piece has room for so many compressed blocks.
const BLOCKS_OF_PIECE: usize = 4;

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

    /// Compresses what there is of the body, if that is enough to be worth it.
    #[inline]
    pub(super) fn pack(&mut self, client: &Client) -> Result<(), SinkError> {
        match self {
            Self::Records(records) if records.stream.len() >= client.piece => {
                records.pack(client).map_err(failed)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// The body of all rows, compressed, and its size before that; none are left.
    pub(super) fn take_body(&mut self, client: &Client) -> Result<(Body, usize), SinkError> {
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
        self.stream.len() + self.packed.as_ref().map_or(0, Packed::len)
    }

    fn pack(&mut self, client: &Client) -> Result<(), CompressionError> {
        let packed = self.packed.get_or_insert_with(|| Packed::new(client));
        let piece = match packed.pieces.pop() {
            Some(piece) if piece.capacity() - piece.len() >= packed.expected => piece,
            full => {
                packed.pieces.extend(full);
                let expected = packed.expected.max(self.stream.len() / 2);
                Vec::with_capacity(BLOCKS_OF_PIECE * expected)
            }
        };
        packed.append(piece, |compressor, piece| {
            self.stream.drain_into(compressor, piece)
        })
    }

    fn take_body(&mut self, client: &Client) -> Result<(Body, usize), CompressionError> {
        self.stream.finish();
        let raw = usize::try_from(self.stream.total_len()).unwrap_or(usize::MAX);
        let packed = self.packed.take().unwrap_or_else(|| Packed::new(client));
        let body = packed.finish(self.stream.bytes(), client);
        self.stream.clear();
        if self.stream.capacity() > raw.saturating_mul(4) {
            self.stream = RecordStream::new();
        }
        Ok((body?, raw))
    }
}

impl Packed {
    fn new(client: &Client) -> Self {
        Self {
            compressor: client.take_compressor(),
            pieces: Vec::new(),
            expected: 0,
        }
    }

    fn len(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// Makes `piece` the last one, when `compress` has appended to it.
    fn append(
        &mut self,
        mut piece: Vec<u8>,
        compress: impl FnOnce(&mut Compressor, &mut Vec<u8>) -> Result<(), CompressionError>,
    ) -> Result<(), CompressionError> {
        let before = piece.len();
        compress(&mut self.compressor, &mut piece)?;
        let written = piece.len() - before;
        self.expected = written + written / 16 + 64;
        self.pieces.push(piece);
        Ok(())
    }

    /// The whole body, of which `rest` are the last bytes.
    fn finish(mut self, rest: &[u8], client: &Client) -> Result<Body, CompressionError> {
        if let Some(piece) = self.pieces.last_mut() {
            piece.shrink_to_fit();
        }
        let piece = Vec::with_capacity(rest.len() / 2 + 64);
        self.append(piece, |compressor, piece| {
            compressor.write(rest, piece)?;
            compressor.finish(piece)
        })?;
        client.give_back(self.compressor);
        Ok(self.pieces.into())
    }
}

fn compress(client: &Client, raw: &[u8]) -> Result<Body, SinkError> {
    Packed::new(client).finish(raw, client).map_err(failed)
}

fn failed(error: CompressionError) -> SinkError {
    SinkError::permanent("compress", format!("compression failed: {error}"))
}
