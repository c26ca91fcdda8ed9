//! One dead letter in full.

use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Serialize;

use super::export::{ExportError, operation_name, split_operations};
use crate::checkpoint_store::{DeadLetterId, DeadLetterReader};
use crate::source::types::ColumnType;

/// One dead letter with its row.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ShownDeadLetter {
    /// Its number.
    pub id: String,
    /// The checkpoint it became durable with.
    pub checkpoint: u64,
    /// The target table, dotted.
    pub table: String,
    /// Where the row came from.
    pub place: String,
    /// The column at fault; none = the row as a whole.
    pub column: Option<String>,
    /// Why it was kept aside.
    pub reason: String,
    /// What the row does: `insert`, `update-before`, `update-after` or `delete`.
    pub operation: &'static str,
    /// The row, column by column.
    pub row: Vec<ShownValue>,
    /// The bytes that the sink was given: an Arrow IPC stream of the schema and this row, with its
    /// operation in a column `__op`, in base64.
    pub bytes: String,
}

/// One column of a row.
#[derive(Debug, Clone, Serialize)]
pub struct ShownValue {
    /// Name of the column.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// Its value as text; none = NULL.
    pub value: Option<String>,
}

impl ShownDeadLetter {
    /// The Arrow IPC stream itself.
    pub fn ipc(&self) -> Vec<u8> {
        // It was made from bytes.
        BASE64.decode(&self.bytes).unwrap_or_default()
    }
}

/// One dead letter; `None` when there is none of this number.
///
/// # Errors
///
/// The store can not be read, or the row can not be decoded.
pub fn show(
    letters: &DeadLetterReader,
    id: DeadLetterId,
) -> Result<Option<ShownDeadLetter>, ExportError> {
    let Some(group) = letters.group(id.group)? else {
        return Ok(None);
    };
    let Some(letter) = group.letters.get(id.row as usize) else {
        return Ok(None);
    };
    let broken = |source| ExportError::Arrow {
        table: group.table.clone(),
        source,
    };
    let Some(found) = row(&group.ipc, id.row as usize).map_err(broken)? else {
        return Ok(None);
    };
    Ok(Some(ShownDeadLetter {
        id: id.to_string(),
        checkpoint: group.checkpoint,
        table: group.table.clone(),
        place: letter.place.clone(),
        column: letter.column.clone(),
        reason: letter.reason.clone(),
        operation: found.operation,
        row: found.values,
        bytes: BASE64.encode(found.ipc),
    }))
}

struct Row {
    operation: &'static str,
    values: Vec<ShownValue>,
    ipc: Vec<u8>,
}

fn row(ipc: &[u8], mut index: usize) -> Result<Option<Row>, ArrowError> {
    for batch in StreamReader::try_new(ipc, None)? {
        let batch = batch?;
        if index >= batch.num_rows() {
            index -= batch.num_rows();
            continue;
        }
        let row = batch.slice(index, 1);
        let mut writer = StreamWriter::try_new(Vec::new(), &row.schema())?;
        writer.write(&row)?;
        let ipc = writer.into_inner()?;
        let (operations, plain) = split_operations(&row)?;
        let options = FormatOptions::default();
        let mut values = Vec::with_capacity(plain.num_columns());
        for (field, column) in plain.schema().fields().iter().zip(plain.columns()) {
            let value = match column.is_null(0) {
                true => None,
                false => Some(
                    ArrayFormatter::try_new(column, &options)?
                        .value(0)
                        .try_to_string()?,
                ),
            };
            values.push(ShownValue {
                name: field.name().clone(),
                ty: ColumnType::of_field(field).to_string(),
                value,
            });
        }
        return Ok(Some(Row {
            operation: operations.first().copied().map_or("", operation_name),
            values,
            ipc,
        }));
    }
    Ok(None)
}
