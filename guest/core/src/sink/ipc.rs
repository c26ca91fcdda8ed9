//! Batches: the continuation of one Arrow IPC stream per (table, schema version).

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int8Type;
use arrow_array::{Array as _, ArrayRef, Int8Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow_buffer::Buffer;
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_ipc::{MessageHeader, root_as_message};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

/// Name of the column that carries the row operation.
pub(super) const OPERATION_COLUMN: &str = "__op";

/// What message headers need; a column that needs more is copied when it is read.
const ALIGNMENT: usize = 8;

/// Decodes the messages of one (table, schema version).
pub(super) struct Decoder {
    plain: SchemaRef,
    with_operation: SchemaRef,
    plain_nodes: usize,
    /// The declared columns and one with the operation's name.
    with_text: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
}

/// The rows of one record batch message.
pub(super) struct Rows {
    /// The declared columns, without the operation.
    pub(super) batch: RecordBatch,
    /// None = all inserts.
    pub(super) operations: Option<Int8Array>,
}

impl Decoder {
    pub(super) fn new(schema: SchemaRef) -> Self {
        let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(
            OPERATION_COLUMN,
            DataType::Int8,
            false,
        )));
        let plain_nodes = schema.fields().iter().map(|f| nodes(f.data_type())).sum();
        Self {
            plain: schema,
            with_operation: Arc::new(Schema::new(fields)),
            plain_nodes,
            with_text: None,
            dictionaries: HashMap::new(),
        }
    }

    /// Rows get a column more, the last of `schema`, that names their operation.
    pub(super) fn with_operation_text(mut self, schema: SchemaRef) -> Self {
        self.with_text = Some(schema);
        self
    }

    /// All record batches in `ipc`, in order.
    pub(super) fn decode(&mut self, ipc: Vec<u8>) -> Result<Vec<Rows>, String> {
        // The arrays point into it; allocators hardly ever give less than this alignment.
        let buffer = if ipc.as_ptr().align_offset(ALIGNMENT) == 0 {
            Buffer::from(ipc)
        } else {
            Buffer::from(ipc.as_slice())
        };
        let mut at = 0;
        let mut out = Vec::new();
        while let Some(message) = next_message(buffer.as_slice(), at)? {
            let body = buffer.slice_with_length(message.body_start, message.body_len);
            let metadata = buffer.slice_with_length(message.metadata_start, message.metadata_len);
            let header = root_as_message(metadata.as_slice())
                .map_err(|e| format!("a message header is damaged: {e}"))?;
            match header.header_type() {
                MessageHeader::RecordBatch => {
                    let batch = header
                        .header_as_record_batch()
                        .ok_or("a record batch without header")?;
                    let found = batch.nodes().map_or(0, |n| n.len());
                    let schema = if found == self.plain_nodes {
                        &self.plain
                    } else {
                        &self.with_operation
                    };
                    let batch = read_record_batch(
                        &body,
                        batch,
                        Arc::clone(schema),
                        &self.dictionaries,
                        None,
                        &header.version(),
                    )
                    .map_err(|e| e.to_string())?;
                    out.push(self.split(batch)?);
                }
                MessageHeader::DictionaryBatch => {
                    let batch = header
                        .header_as_dictionary_batch()
                        .ok_or("a dictionary without header")?;
                    read_dictionary(
                        &body,
                        batch,
                        &self.plain,
                        &mut self.dictionaries,
                        &header.version(),
                    )
                    .map_err(|e| e.to_string())?;
                }
                MessageHeader::Schema => {
                    return Err("a schema message inside a batch: the schema is given once, when the table is declared".to_owned());
                }
                other => return Err(format!("a message of kind {other:?} has no place here")),
            }
            at = message.body_start + message.body_len;
        }
        Ok(out)
    }

    fn split(&self, batch: RecordBatch) -> Result<Rows, String> {
        let mut rows = self.take_operations(batch)?;
        if let Some(schema) = &self.with_text {
            let name = |operation| match operation {
                0 => Some("INSERT"),
                1 => Some("UPDATE_BEFORE"),
                2 => Some("UPDATE_AFTER"),
                3 => Some("DELETE"),
                // Refused by its number.
                _ => None,
            };
            let names: StringArray = match &rows.operations {
                Some(operations) => operations.values().iter().map(|o| name(*o)).collect(),
                None => vec![name(0); rows.batch.num_rows()].into(),
            };
            let mut columns = rows.batch.columns().to_vec();
            columns.push(Arc::new(names));
            rows.batch = RecordBatch::try_new_with_options(
                Arc::clone(schema),
                columns,
                &RecordBatchOptions::new().with_row_count(Some(rows.batch.num_rows())),
            )
            .map_err(|e| e.to_string())?;
        }
        Ok(rows)
    }

    fn take_operations(&self, batch: RecordBatch) -> Result<Rows, String> {
        if batch.num_columns() == self.plain.fields().len() {
            return Ok(Rows {
                batch,
                operations: None,
            });
        }
        let operations = batch
            .columns()
            .last()
            .and_then(|c| c.as_primitive_opt::<Int8Type>())
            .filter(|c| c.null_count() == 0)
            .cloned()
            .ok_or("column `__op` is not a non-null int8")?;
        let columns: Vec<usize> = (0..self.plain.fields().len()).collect();
        let batch = batch.project(&columns).map_err(|e| e.to_string())?;
        Ok(Rows {
            batch,
            operations: Some(operations),
        })
    }
}

/// The schema of one encapsulated `Schema` message.
pub(super) fn read_schema(message: &[u8]) -> Result<Schema, String> {
    let found = next_message(message, 0)?.ok_or("it is empty")?;
    let metadata = message
        .get(found.metadata_start..found.metadata_start + found.metadata_len)
        .ok_or("it is cut short")?;
    let header = root_as_message(metadata).map_err(|e| format!("its header is damaged: {e}"))?;
    let schema = header
        .header_as_schema()
        .ok_or("it is not a schema message")?;
    Ok(arrow_ipc::convert::fb_to_schema(schema))
}

/// Number of field nodes that a column of this type has in a record batch message.
fn nodes(ty: &DataType) -> usize {
    1 + match ty {
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::ListView(f)
        | DataType::LargeListView(f)
        | DataType::FixedSizeList(f, _)
        | DataType::Map(f, _) => nodes(f.data_type()),
        DataType::Struct(fields) => fields.iter().map(|f| nodes(f.data_type())).sum(),
        DataType::Union(fields, _) => fields.iter().map(|(_, f)| nodes(f.data_type())).sum(),
        DataType::RunEndEncoded(ends, values) => {
            nodes(ends.data_type()) + nodes(values.data_type())
        }
        _ => 0,
    }
}

struct Message {
    metadata_start: usize,
    metadata_len: usize,
    body_start: usize,
    body_len: usize,
}

/// The encapsulated message at `at`; None at the end of `bytes` or at an end-of-stream mark.
fn next_message(bytes: &[u8], at: usize) -> Result<Option<Message>, String> {
    const CUT: &str = "a message is cut short";
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(None);
    }
    let word = |from: usize| -> Result<u32, String> {
        let bytes = rest
            .get(from..from + 4)
            .and_then(|b| b.first_chunk::<4>())
            .ok_or(CUT)?;
        Ok(u32::from_le_bytes(*bytes))
    };
    // Before Arrow 0.15 there was no continuation mark.
    let (prefix, length): (usize, u32) = if word(0)? == u32::MAX {
        (8, word(4)?)
    } else {
        (4, word(0)?)
    };
    let metadata_len = usize::try_from(length).map_err(|_| CUT)?;
    if metadata_len == 0 {
        return Ok(None);
    }
    let metadata = rest
        .get(prefix..prefix.saturating_add(metadata_len))
        .ok_or(CUT)?;
    let header =
        root_as_message(metadata).map_err(|e| format!("a message header is damaged: {e}"))?;
    let body_len =
        usize::try_from(header.bodyLength()).map_err(|_| "a message has a negative length")?;
    let metadata_start = at + prefix;
    let body_start = metadata_start + metadata_len;
    if bytes.len() - body_start < body_len {
        return Err(CUT.to_owned());
    }
    Ok(Some(Message {
        metadata_start,
        metadata_len,
        body_start,
        body_len,
    }))
}
