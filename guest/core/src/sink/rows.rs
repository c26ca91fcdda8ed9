//! Rows that are being collected, in the form they are sent in.

use super::client::Client;
use crate::arrow_tunnel::ColumnRows;
use crate::error::SinkError;
use crate::record::{BoundRows, Operation, RecordStream};
use crate::schema::ValueError;

/// Rows of one body.
pub(super) enum Rows {
    /// As the record stream of the batch, stream and upsert tunnels.
    Records(RecordStream),
    /// As columns for the Arrow tunnel.
    Columns(ColumnRows),
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
            (Self::Records(stream), None) => bound.encode(row, stream),
            (
                Self::Records(stream),
                Some(Upsert {
                    operation: Operation::Upsert,
                    columns: Some(ids),
                }),
            ) => bound.encode_partial(row, ids, stream),
            (Self::Records(stream), Some(Upsert { operation, .. })) => {
                bound.encode_upsert(row, operation, stream)
            }
        }
    }

    pub(super) fn rows(&self) -> u64 {
        match self {
            Self::Records(stream) => stream.rows(),
            Self::Columns(columns) => columns.rows() as u64,
        }
    }

    /// Size in bytes before compression.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Records(stream) => stream.len(),
            Self::Columns(columns) => columns.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// The body of all rows, compressed, and its size before that; none are left.
    pub(super) fn take_body(&mut self, client: &Client) -> Result<(Vec<u8>, usize), SinkError> {
        match self {
            Self::Records(stream) => {
                stream.finish();
                let raw = stream.len();
                let body = compress(client, stream.bytes());
                stream.clear();
                if stream.capacity() > raw.saturating_mul(4) {
                    *stream = RecordStream::new();
                }
                Ok((body?, raw))
            }
            Self::Columns(columns) => {
                let raw = columns
                    .take_body(client.options.arrow_batch_rows)
                    .map_err(|e| SinkError::permanent("arrow", e.to_string()))?;
                Ok((compress(client, &raw)?, raw.len()))
            }
        }
    }
}

fn compress(client: &Client, raw: &[u8]) -> Result<Vec<u8>, SinkError> {
    let mut compressor = client.compressor.borrow_mut();
    let mut out = Vec::with_capacity(raw.len() / 2 + 64);
    compressor
        .write(raw, &mut out)
        .and_then(|()| compressor.finish(&mut out))
        .map_err(|e| SinkError::permanent("compress", format!("compression failed: {e}")))?;
    out.shrink_to_fit();
    Ok(out)
}
