//! Record batches as the continuation of one Arrow IPC stream per table and schema version.

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{Array, RecordBatch};
use arrow_ipc::writer::{StreamEncoder, StreamWriter};
use arrow_schema::{ArrowError, Schema};
use longshore_runtime::contract::{MAX_BATCH_BYTES, OPERATION_COLUMN, RowOp};

/// What a message should stay under: three copies of it exist at once (here, on its way, and in
/// the component), credit is given in larger steps, and the processor's cache holds one of this size
/// while its rows are spread over buckets.
const TARGET_BYTES: usize = 256 << 10;

/// Bytes a message needs beside its values: metadata, and padding of each buffer.
const BYTES_PER_MESSAGE: usize = 1024;
const BYTES_PER_COLUMN: usize = 512;
/// A message of very many columns is larger, so that this share of it at most goes to those bytes.
const BESIDE_VALUES: usize = 4;

/// Encodes the batches of one `(table, schema version)` for one instance.
pub(super) struct TableEncoder {
    encoder: StreamEncoder,
    /// Bytes of the schema message that the encoder puts before the first batch, and that must
    /// not travel again: the declaration carried it.
    schema_bytes: usize,
}

/// One message and the rows in it.
#[derive(Debug)]
pub(super) struct Encoded {
    /// Encapsulated messages: dictionaries as needed, then one record batch.
    pub(super) ipc: Vec<u8>,
    /// Index of the first row in the batch that was given to [`TableEncoder::encode`].
    pub(super) first_row: usize,
    /// Number of rows.
    pub(super) rows: u32,
}

/// The schema as one encapsulated IPC message.
pub(super) fn schema_message(schema: &Schema) -> Result<Vec<u8>, ArrowError> {
    let writer = StreamWriter::try_new(Vec::new(), schema)?;
    Ok(writer.get_ref().clone())
}

impl TableEncoder {
    pub(super) fn new(schema: &Schema, schema_message: &[u8]) -> Result<Self, ArrowError> {
        Ok(Self {
            encoder: StreamEncoder::try_new(schema)?,
            schema_bytes: schema_message.len(),
        })
    }

    /// Encodes `batch` from row `from` on: as many rows as fit one message. `batch` may have the
    /// operation column after the columns of the schema.
    pub(super) fn encode(
        &mut self,
        batch: &RecordBatch,
        from: usize,
    ) -> Result<Encoded, ArrowError> {
        let part = fitting(batch, from)?;
        let buffers = self.encoder.encode(&part)?;
        let total: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let mut ipc = Vec::with_capacity(total.saturating_sub(self.schema_bytes));
        for buffer in &buffers {
            if self.schema_bytes == 0 {
                ipc.extend_from_slice(buffer);
            } else {
                // The encoder never puts the end of the schema and the start of a batch into one buffer.
                self.schema_bytes = self.schema_bytes.saturating_sub(buffer.len());
            }
        }
        if ipc.len() > MAX_BATCH_BYTES {
            return Err(ArrowError::IpcError(format!(
                "row {from} alone takes {} bytes, a message holds at most {MAX_BATCH_BYTES}",
                ipc.len()
            )));
        }
        Ok(Encoded {
            ipc,
            first_row: from,
            rows: u32::try_from(part.num_rows())
                .map_err(|_| ArrowError::IpcError("more than 2^32 rows in a batch".into()))?,
        })
    }
}

/// The longest run of rows from `from` on that stays under the target, at least one row.
fn fitting(batch: &RecordBatch, from: usize) -> Result<RecordBatch, ArrowError> {
    let rest = batch.slice(from, batch.num_rows().saturating_sub(from));
    let beside_values = BYTES_PER_MESSAGE + BYTES_PER_COLUMN * batch.num_columns();
    let target = TARGET_BYTES.max(beside_values * BESIDE_VALUES);
    let mut part = rest.clone();
    while part.num_rows() > 1 && beside_values + values_size(&part)? > target {
        part = part.slice(0, part.num_rows().div_ceil(2));
    }
    if part.num_rows() < rest.num_rows() && ends_inside_an_update(&part) {
        // The row after an update travels with the row before it.
        let rows = if part.num_rows() > 1 {
            part.num_rows() - 1
        } else {
            2
        };
        part = rest.slice(0, rows);
    }
    Ok(part)
}

fn ends_inside_an_update(batch: &RecordBatch) -> bool {
    batch
        .column_by_name(OPERATION_COLUMN)
        .and_then(|column| column.as_primitive_opt::<Int8Type>())
        .and_then(|operations| operations.values().last().copied())
        == Some(RowOp::UpdateBefore.number())
}

fn values_size(batch: &RecordBatch) -> Result<usize, ArrowError> {
    let sizes = batch.columns().iter();
    sizes
        .map(|column| column.to_data().get_slice_memory_size())
        .sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int8Array, Int32Array, StringArray};
    use arrow_ipc::reader::StreamReader;
    use arrow_schema::{DataType, Field};

    use super::*;

    fn batch(rows: i32, text: usize, operations: bool) -> RecordBatch {
        let mut fields = vec![
            Field::new("id", DataType::Int32, false),
            Field::new("text", DataType::Utf8, true),
        ];
        let text = "x".repeat(text);
        let mut columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(0..rows)),
            Arc::new(StringArray::from_iter_values((0..rows).map(|_| &text))),
        ];
        if operations {
            fields.push(Field::new("__op", DataType::Int8, false));
            columns.push(Arc::new(Int8Array::from_iter_values((0..rows).map(|_| 3))));
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn decode(schema: &[u8], messages: &[Encoded]) -> Vec<RecordBatch> {
        let mut stream = schema.to_vec();
        for message in messages {
            stream.extend_from_slice(&message.ipc);
        }
        StreamReader::try_new(stream.as_slice(), None)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn the_schema_travels_once() {
        let first = batch(3, 5, false);
        let schema = schema_message(&first.schema()).unwrap();
        let mut encoder = TableEncoder::new(&first.schema(), &schema).unwrap();
        let messages = [
            encoder.encode(&first, 0).unwrap(),
            encoder.encode(&first, 1).unwrap(),
        ];
        assert_eq!(
            decode(&schema, &messages),
            vec![first.clone(), first.slice(1, 2)]
        );
    }

    #[test]
    fn batches_above_the_target_are_cut() {
        let large = batch(100, 100_000, false);
        let schema = schema_message(&large.schema()).unwrap();
        let mut encoder = TableEncoder::new(&large.schema(), &schema).unwrap();
        let mut messages = Vec::new();
        let mut from = 0;
        while from < large.num_rows() {
            let message = encoder.encode(&large, from).unwrap();
            assert!(message.ipc.len() <= TARGET_BYTES);
            from += message.rows as usize;
            messages.push(message);
        }
        let back = decode(&schema, &messages);
        assert!(back.len() > 1);
        assert_eq!(
            arrow::compute::concat_batches(&large.schema(), &back).unwrap(),
            large
        );
    }

    #[test]
    fn a_message_of_a_thousand_columns_holds_many_rows() {
        let column: arrow_array::ArrayRef = Arc::new(Int32Array::from_iter_values(0..1_000));
        let wide = RecordBatch::try_from_iter(
            (0..1_000).map(|number| (format!("c{number}"), Arc::clone(&column))),
        )
        .unwrap();
        let schema = schema_message(&wide.schema()).unwrap();
        let mut encoder = TableEncoder::new(&wide.schema(), &schema).unwrap();
        let message = encoder.encode(&wide, 0).unwrap();
        assert!(message.rows >= 200, "{} rows", message.rows);
    }

    #[test]
    fn the_two_rows_of_an_update_are_not_parted() {
        let plain = batch(9, 1 << 20, true);
        let mut columns = plain.columns().to_vec();
        columns[2] = Arc::new(Int8Array::from(vec![1, 2, 1, 2, 1, 2, 1, 2, 0]));
        let updates = RecordBatch::try_new(plain.schema(), columns).unwrap();
        let schema = schema_message(&updates.schema()).unwrap();
        let mut encoder = TableEncoder::new(&updates.schema(), &schema).unwrap();
        let mut from = 0;
        while from < updates.num_rows() {
            let message = encoder.encode(&updates, from).unwrap();
            from += message.rows as usize;
            let last = updates.column(2).as_primitive::<Int8Type>().value(from - 1);
            assert_ne!(last, 1);
        }
    }

    #[test]
    fn a_row_above_the_cap_is_an_error() {
        let huge = batch(1, MAX_BATCH_BYTES + 1, false);
        let schema = schema_message(&huge.schema()).unwrap();
        let mut encoder = TableEncoder::new(&huge.schema(), &schema).unwrap();
        assert!(
            encoder
                .encode(&huge, 0)
                .unwrap_err()
                .to_string()
                .contains("at most")
        );
    }

    #[test]
    fn a_batch_may_carry_operations_that_the_schema_does_not_name() {
        let plain = batch(1, 1, false);
        let with = batch(2, 1, true);
        let schema = schema_message(&plain.schema()).unwrap();
        let mut encoder = TableEncoder::new(&plain.schema(), &schema).unwrap();
        encoder.encode(&plain, 0).unwrap();
        let message = encoder.encode(&with, 0).unwrap();
        let with_schema = schema_message(&with.schema()).unwrap();
        assert_eq!(decode(&with_schema, &[message]), vec![with]);
    }
}
