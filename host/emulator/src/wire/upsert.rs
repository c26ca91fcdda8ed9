use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, cast::AsArray as _, types::Int8Type};
use arrow_schema::{Field, Schema};

use super::{WireColumn, WireError, WireErrorKind};
use crate::{
    catalog::ColumnType,
    storage::{OPERATION_COLUMN, OPERATION_DELETE, OPERATION_UPSERT, VALUE_COLUMNS},
};

/// What an upsert pack does with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Insert it, or replace the row with the same key.
    Upsert,
    /// Remove the row with the same key.
    Delete,
}

/// A batch of an upsert pack in the form the store takes: the table's columns, then the operation and the
/// list of updated column ids.
#[derive(Debug, Clone)]
pub struct UpsertBatch {
    /// The rows.
    pub batch: RecordBatch,
    /// Whether any row names the columns it updates, instead of all.
    pub partial: bool,
}

/// The columns that clients append to the user's in upsert packs.
pub fn hidden_columns() -> Vec<WireColumn> {
    let ids = || ColumnType::Array(Box::new(ColumnType::BigInt));
    let mut columns = vec![
        WireColumn::new("__version", ColumnType::BigInt),
        WireColumn::new("__app_version", ColumnType::BigInt),
        WireColumn::new(OPERATION_COLUMN, ColumnType::TinyInt),
        WireColumn::new("__key_cols", ids()),
        WireColumn::new(VALUE_COLUMNS, ids()),
    ];
    if let Some(operation) = columns.get_mut(2) {
        operation.nullable = false;
    }
    columns
}

/// Checks the hidden columns of a pack with `user_columns` columns in front, and takes out what the store
/// does not keep.
///
/// # Errors
/// [`WireErrorKind::Malformed`] for an unknown operation, a key that is NULL, a NOT NULL column without a
/// value in a full upsert, or an id that is no column's.
pub fn split_upsert(
    batch: &RecordBatch,
    columns: &[WireColumn],
    keys: &[usize],
    column_ids: &[i64],
    first_row: u64,
) -> Result<UpsertBatch, WireError> {
    let count = columns.len();
    let internal = || {
        WireError::new(
            WireErrorKind::Internal,
            "an upsert pack without its hidden columns",
        )
    };
    let (user, hidden) = batch
        .columns()
        .split_at_checked(count)
        .ok_or_else(internal)?;
    let [_, _, operations, _, ids] = hidden else {
        return Err(internal());
    };
    let codes = operations
        .as_primitive_opt::<Int8Type>()
        .ok_or_else(internal)?;
    let lists = ids.as_list_opt::<i32>().ok_or_else(internal)?;
    let at = |row: usize| format!("record {}", first_row + row as u64 + 1);
    // Columns that hold a NULL somewhere and may not: mostly none, so that most rows need no look.
    let suspects: Vec<(&WireColumn, &ArrayRef, bool)> = columns
        .iter()
        .zip(user)
        .enumerate()
        .map(|(index, (column, array))| (column, array, keys.contains(&index)))
        .filter(|(column, array, is_key)| array.null_count() > 0 && (*is_key || !column.nullable))
        .collect();
    let mut partial = false;
    for (row, code) in codes.values().iter().enumerate() {
        let operation = match *code {
            OPERATION_UPSERT => Operation::Upsert,
            OPERATION_DELETE => Operation::Delete,
            other => {
                let message = format!(
                    "operation {other} is neither {OPERATION_UPSERT} (upsert) nor {OPERATION_DELETE} (delete)"
                );
                return Err(WireError::malformed(message).at(at(row)));
            }
        };
        let listed = lists
            .value_offsets()
            .get(row..row + 2)
            .is_some_and(|ends| ends.first() != ends.last());
        partial |= listed;
        for (column, array, is_key) in &suspects {
            let required = *is_key || (operation == Operation::Upsert && !listed);
            if required && array.is_null(row) {
                let what = if *is_key { "a key column" } else { "NOT NULL" };
                let message = format!("column {} is {what} but has no value", column.name);
                return Err(WireError::malformed(message).at(at(row)));
            }
        }
        if listed {
            let list = lists.value(row);
            let list = list
                .as_primitive_opt::<arrow_array::types::Int64Type>()
                .ok_or_else(internal)?;
            if let Some(unknown) = list.values().iter().find(|id| !column_ids.contains(id)) {
                let message = format!(
                    "{VALUE_COLUMNS} names column id {unknown}, which the table does not have"
                );
                return Err(WireError::malformed(message).at(at(row)));
            }
        }
    }
    let mut arrays: Vec<ArrayRef> = user.to_vec();
    arrays.extend([Arc::clone(operations), Arc::clone(ids)]);
    let schema = batch.schema();
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().take(count).cloned().collect();
    fields.push(Arc::new(Field::new(
        OPERATION_COLUMN,
        arrow_schema::DataType::Int8,
        false,
    )));
    fields.push(Arc::new(Field::new(
        VALUE_COLUMNS,
        ids.data_type().clone(),
        true,
    )));
    Ok(UpsertBatch {
        batch: RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?,
        partial,
    })
}
