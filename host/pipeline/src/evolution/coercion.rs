//! Rows of one shape as rows of another.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::cast::{cast, is_castable};
use crate::source::OP_COLUMN;
use crate::source::types::ColumnType;

/// A row that can not be kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// Its index in the batch.
    pub row: usize,
    /// The column at fault.
    pub column: String,
    /// Why.
    pub reason: String,
}

/// How rows of a source's schema become rows of a sink's: by name; what the sink does not have is
/// left out, what the source does not have is NULL, and types change exactly or not at all.
#[derive(Debug)]
pub struct Coercion {
    columns: Vec<ColumnRule>,
    zone: Option<chrono_tz::Tz>,
}

#[derive(Debug)]
struct ColumnRule {
    field: FieldRef,
    /// Index in the rows; `None` = NULL.
    source: Option<usize>,
    /// Every row needs a value, though the rows' own schema does not promise it.
    checked: bool,
}

impl Coercion {
    /// The way from `source` to `sink`; `None` when rows are right as they are. `zone` is that of
    /// wall clocks that meet instants.
    ///
    /// # Errors
    ///
    /// A column that no value of the source's can be kept in.
    pub fn between(
        source: &SchemaRef,
        sink: &SchemaRef,
        zone: Option<chrono_tz::Tz>,
    ) -> Result<Option<Self>, String> {
        let fields = |schema: &SchemaRef| -> Vec<(String, DataType, bool)> {
            let fields = schema.fields().iter();
            fields
                .map(|f| (f.name().clone(), f.data_type().clone(), f.is_nullable()))
                .collect()
        };
        if fields(source) == fields(sink) {
            return Ok(None);
        }
        let columns = sink
            .fields()
            .iter()
            .map(|field| rule(field, source))
            .collect::<Result<_, String>>()?;
        Ok(Some(Self { columns, zone }))
    }

    /// The rows of `batch`, whose operations stay as they are.
    ///
    /// # Errors
    ///
    /// Every row that can not be kept.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, Vec<RowFault>> {
        let mut faults = Vec::new();
        let mut fields: Vec<FieldRef> = Vec::with_capacity(self.columns.len() + 1);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len() + 1);
        for rule in &self.columns {
            let fault = |row: usize, reason: String| RowFault {
                row,
                column: rule.field.name().clone(),
                reason,
            };
            let column = match rule.source.and_then(|index| batch.columns().get(index)) {
                None => new_null_array(rule.field.data_type(), batch.num_rows()),
                Some(column) => match cast(column, rule.field.data_type(), self.zone) {
                    Ok(column) => column,
                    Err(values) => {
                        faults.extend(values.into_iter().map(|(row, why)| fault(row, why)));
                        continue;
                    }
                },
            };
            if rule.checked && column.null_count() > 0 {
                let nulls = (0..column.len()).filter(|row| column.is_null(*row));
                let why = "is NULL, which the sink's column does not allow";
                faults.extend(nulls.map(|row| fault(row, why.to_owned())));
            }
            fields.push(Arc::clone(&rule.field));
            columns.push(column);
        }
        if let Some((index, operations)) = batch.schema().column_with_name(OP_COLUMN) {
            fields.push(Arc::new(operations.clone()));
            columns.push(Arc::clone(batch.column(index)));
        }
        if !faults.is_empty() {
            faults.sort_by_key(|fault| fault.row);
            return Err(faults);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| {
            vec![RowFault {
                row: 0,
                column: String::new(),
                reason: error.to_string(),
            }]
        })
    }
}

fn rule(field: &FieldRef, source: &SchemaRef) -> Result<ColumnRule, String> {
    let found = source.column_with_name(field.name());
    if let Some((_, from)) = found
        && !is_castable(from.data_type(), field.data_type())
    {
        let name = |field: &Field| ColumnType::nullable(field.data_type().clone()).to_string();
        return Err(format!(
            "column `{}` is {} at the source, which can not be kept as {}",
            field.name(),
            name(from),
            name(field)
        ));
    }
    if found.is_none() && !field.is_nullable() {
        return Err(format!(
            "the source no longer has column `{}`, which must not be NULL at the sink",
            field.name()
        ));
    }
    Ok(ColumnRule {
        field: Arc::clone(field),
        source: found.map(|(index, _)| index),
        checked: !field.is_nullable() && found.is_some_and(|(_, from)| from.is_nullable()),
    })
}
