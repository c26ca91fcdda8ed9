//! Rows gathered as the columns of the Arrow tunnel: the same conversions and refusals as in record
//! streams, since the values come from the same slots.

mod cell;
mod node;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, Field, Schema};

use super::{ArrowTunnelError, ArrowTunnelWriter, CHUNK_SIZE};
use crate::record::cell::Refused;
use crate::schema::{Column, SchemaMismatch};

pub(crate) use cell::CellValues;
use node::Node;

/// The rows of one body, by column.
#[derive(Debug, Clone)]
pub struct ColumnRows {
    columns: Vec<Node>,
    rows: usize,
    /// Bytes of all complete rows.
    bytes: usize,
    /// Bytes of the row that is being written.
    row_bytes: usize,
    cell: CellValues,
}

impl ColumnRows {
    /// No rows yet, of the table's data columns.
    ///
    /// # Errors
    ///
    /// For a type that has no settled form in the Arrow tunnel.
    pub fn new(columns: &[Column]) -> Result<Self, SchemaMismatch> {
        let node = |column: &Column| {
            Node::of(&column.ty).map_err(|ty| {
                SchemaMismatch::of(
                    &column.name,
                    format!("the clients disagree on the form of {ty} in the Arrow tunnel; set `tunnel` to batch"),
                )
            })
        };
        Ok(Self {
            columns: columns.iter().map(node).collect::<Result<_, _>>()?,
            rows: 0,
            bytes: 0,
            row_bytes: 0,
            cell: CellValues::default(),
        })
    }

    /// Number of complete rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the complete rows, about as many as their body will have.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Sets column `column` of the row at hand to NULL.
    pub(crate) fn put_null(&mut self, column: usize) {
        if let Some(node) = self.columns.get_mut(column) {
            self.row_bytes += node.push_null();
        }
    }

    /// Sets column `column` of the row at hand to what `emit` says.
    pub(crate) fn put(
        &mut self,
        column: usize,
        emit: impl FnOnce(&mut CellValues) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        self.cell.clear();
        emit(&mut self.cell)?;
        if let Some(node) = self.columns.get_mut(column) {
            let mut values = self.cell.values.iter();
            self.row_bytes += node.push(&mut values, &self.cell.bytes)?;
        }
        Ok(())
    }

    /// The row at hand is complete.
    pub(crate) fn end_row(&mut self) {
        self.rows += 1;
        self.bytes += std::mem::take(&mut self.row_bytes);
    }

    /// The row at hand is refused: the others stay.
    pub(crate) fn drop_row(&mut self) {
        for node in &mut self.columns {
            node.truncate(self.rows);
        }
        self.row_bytes = 0;
    }

    /// The body of all rows, in record batches of at most `batch_rows`; none are left.
    ///
    /// # Errors
    ///
    /// Where the IPC encoder fails.
    pub fn take_body(&mut self, batch_rows: usize) -> Result<Vec<u8>, ArrowTunnelError> {
        let rows = std::mem::take(&mut self.rows);
        let bytes = std::mem::take(&mut self.bytes);
        let batch = self.take_batch().map_err(ArrowTunnelError::Ipc)?;
        let mut writer = ArrowTunnelWriter::new(CHUNK_SIZE)?;
        let mut out = Vec::with_capacity(bytes + bytes / 8 + 1024);
        let batch_rows = batch_rows.max(1);
        for first in (0..rows).step_by(batch_rows) {
            let slice = batch.slice(first, batch_rows.min(rows - first));
            writer.write(&slice, &mut out)?;
        }
        writer.finish(&mut out);
        Ok(out)
    }

    fn take_batch(&mut self) -> Result<RecordBatch, ArrowError> {
        let arrays = self
            .columns
            .iter_mut()
            .map(Node::take_array)
            .collect::<Result<Vec<_>, _>>()?;
        let field = |(i, array): (usize, &ArrayRef)| {
            Field::new(i.to_string(), array.data_type().clone(), true)
        };
        let fields: Vec<Field> = arrays.iter().enumerate().map(field).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
    }
}
