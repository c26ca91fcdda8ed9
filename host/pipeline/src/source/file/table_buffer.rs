//! Pending rows of the tables of a text source.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{ArrayRef, Int8Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{
    super::{
        batch::{OP_COLUMN, Operation, Origin, OriginUnit, SourceBatch},
        error::{SourceError, SourceErrorKind},
        position::Position,
        table::{SourceTable, TableId},
        types::{COMMENT_METADATA_KEY, ColumnType},
    },
    column::{Column, Fault, Wire},
    columnar::sliced_size,
};
use crate::definition::{FileOptions, PerTable, nearest};

/// A column to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnSpec {
    pub(crate) name: String,
    pub(crate) ty: ColumnType,
    pub(crate) wire: Wire,
}

/// A column of a row that can not be taken.
#[derive(Debug)]
pub(crate) struct RowFault {
    pub(crate) column: Option<String>,
    pub(crate) fault: Fault,
    pub(crate) help: Option<String>,
}

/// One table: its schema and the rows since the last cut.
#[derive(Debug)]
pub(crate) struct TableBuffer {
    pub(crate) table: SourceTable,
    specs: Vec<ColumnSpec>,
    announced: bool,
    columns: Vec<Column>,
    by_name: HashMap<String, usize>,
    /// Columns that a row can not do without, whatever it is for.
    needed: Vec<bool>,
    /// For each column the number of the row that last set it.
    set_in: Vec<u64>,
    row: u64,
    operations: Vec<Operation>,
    origin: Option<Origin>,
    /// The columns hold a row that was given up, behind the others.
    abandoned: bool,
    pub(crate) bytes: usize,
}

impl TableBuffer {
    pub(crate) fn new(
        id: u32,
        path: TableId,
        version: u32,
        mut specs: Vec<ColumnSpec>,
        key_of_input: &[String],
        options: &FileOptions,
    ) -> Result<Self, SourceError> {
        let primary_key =
            chosen(&options.primary_key, &path).unwrap_or_else(|| key_of_input.to_vec());
        let partition_by = chosen(&options.partition_by, &path).unwrap_or_default();
        if specs.is_empty() {
            return Err(SourceError::new(
                SourceErrorKind::Data,
                format!("table {path} has no columns"),
            )
            .help("declare them in source.schema"));
        }
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        for (option, columns) in [
            ("primary-key", &primary_key),
            ("partition-by", &partition_by),
        ] {
            check_columns(option, columns, &names, &path)?;
        }
        if names.contains(&OP_COLUMN) {
            return Err(definition_error(format!(
                "table {path} has a column `{OP_COLUMN}`, a name the pipeline uses itself"
            )));
        }
        for spec in &mut specs {
            // What a key is made of is never NULL, so the sink may rely on it.
            spec.ty.nullable &= !primary_key.contains(&spec.name);
        }
        let columns = specs
            .iter()
            .map(|spec| {
                Column::new(&spec.ty, spec.wire.clone(), options.time_zone).map_err(|fault| {
                    definition_error(format!("table {path}, column `{}`: {fault}", spec.name))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let by_name: HashMap<String, usize> = specs
            .iter()
            .enumerate()
            .map(|(index, spec)| (spec.name.clone(), index))
            .collect();
        if by_name.len() < specs.len() {
            return Err(definition_error(format!(
                "table {path} has two columns of one name"
            )));
        }
        let fields: Vec<Field> = specs
            .iter()
            .map(|spec| spec.ty.to_field(&spec.name))
            .collect();
        let needed = specs
            .iter()
            .map(|spec| primary_key.contains(&spec.name) || partition_by.contains(&spec.name))
            .collect();
        Ok(Self {
            set_in: vec![0; specs.len()],
            table: SourceTable {
                id,
                path,
                schema: Arc::new(Schema::new(fields)),
                primary_key,
                partition_by,
                schema_version: version,
                renamed: Vec::new(),
            },
            specs,
            announced: false,
            columns,
            by_name,
            needed,
            row: 0,
            operations: Vec::new(),
            origin: None,
            abandoned: false,
            bytes: 0,
        })
    }

    pub(crate) fn specs(&self) -> &[ColumnSpec] {
        &self.specs
    }

    pub(crate) fn rows(&self) -> usize {
        self.operations.len()
    }

    /// Index of a column; `hint` is where it most likely is.
    pub(crate) fn column(&self, name: &str, hint: usize) -> Option<usize> {
        if self.specs.get(hint).is_some_and(|spec| spec.name == name) {
            return Some(hint);
        }
        self.by_name.get(name).copied()
    }

    pub(crate) fn begin_row(&mut self) {
        self.row += 1;
    }

    /// Sets a column of the row to a JSON value.
    pub(crate) fn set_json(&mut self, index: usize, raw: &str) -> Result<(), RowFault> {
        if raw == "null" {
            // Left to the end of the row, where it is known what a NULL may be.
            return self.claim(index, false);
        }
        self.claim(index, true)?;
        self.bytes += raw.len() + 4;
        let result = self
            .columns
            .get_mut(index)
            .map(|column| column.append_json(raw));
        self.faulted(index, result)
    }

    /// Sets a column of the row to a field of a CSV file.
    pub(crate) fn set_field(&mut self, index: usize, text: &str) -> Result<(), RowFault> {
        self.claim(index, true)?;
        self.bytes += text.len() + 4;
        let result = self
            .columns
            .get_mut(index)
            .map(|column| column.append_field(text));
        self.faulted(index, result)
    }

    fn faulted(&self, index: usize, result: Option<Result<(), Fault>>) -> Result<(), RowFault> {
        match result {
            Some(Err(fault)) => Err(self.fault(index, fault)),
            _ => Ok(()),
        }
    }

    fn fault(&self, index: usize, fault: Fault) -> RowFault {
        RowFault {
            column: self.specs.get(index).map(|spec| spec.name.clone()),
            fault,
            help: None,
        }
    }

    fn claim(&mut self, index: usize, filled: bool) -> Result<(), RowFault> {
        let row = self.row;
        match self.set_in.get_mut(index) {
            Some(set_in) if *set_in != row => {
                if filled {
                    *set_in = row;
                }
                Ok(())
            }
            _ => Err(self.fault(index, "the column is given twice in this row".to_owned())),
        }
    }

    /// Ends the row: columns not set are NULL.
    pub(crate) fn end_row(
        &mut self,
        operation: Operation,
        file: &Arc<str>,
        line: u64,
    ) -> Result<(), RowFault> {
        let image_before = matches!(operation, Operation::UpdateBefore | Operation::Delete);
        for index in 0..self.columns.len() {
            if self.set_in.get(index) == Some(&self.row) {
                continue;
            }
            let needed = self.needed.get(index).copied().unwrap_or(false);
            let Some(column) = self.columns.get_mut(index) else {
                continue;
            };
            let result = if column.nullable && !(needed && image_before) {
                column.append_null()
            } else if image_before && !needed {
                // Databases log only the key of what was, unless told otherwise; the other
                // columns of such a row mean nothing, but Arrow wants a value in them.
                column.append_filler()
            } else if image_before {
                Err(
                    "has no value in the row before the change, but key and partition are needed \
                     to find that row"
                        .to_owned(),
                )
            } else {
                Err("is NULL or missing, which its type does not allow".to_owned())
            };
            if let Err(fault) = result {
                let mut fault = self.fault(index, fault);
                if image_before {
                    fault.help = Some(
                        "let the database log whole rows (MySQL: binlog_row_image=FULL, Postgres: \
                         REPLICA IDENTITY FULL)"
                            .to_owned(),
                    );
                }
                return Err(fault);
            }
        }
        let row = u32::try_from(self.operations.len()).unwrap_or(u32::MAX);
        self.operations.push(operation);
        self.bytes += 8;
        self.origin
            .get_or_insert_with(|| Origin::new(Arc::clone(file), OriginUnit::Line))
            .push(row, line);
        Ok(())
    }

    /// Gives up the row that was begun. No other may be begun before the rows are taken.
    pub(crate) fn abandon_row(&mut self) {
        for (column, set_in) in self.columns.iter_mut().zip(&self.set_in) {
            if *set_in != self.row {
                // The row is cut off, so it matters to nobody that it has no value.
                let _ = column.append_filler();
            }
        }
        self.abandoned = true;
    }

    /// Gives up the last rows, of the event whose next row was given up.
    pub(crate) fn abandon_rows(&mut self, rows: usize) {
        let left = self.operations.len().saturating_sub(rows);
        self.operations.truncate(left);
    }

    /// Notes when the change that was read last happened at its origin.
    pub(crate) fn note_event(&mut self, time_ms: i64) {
        if let Some(origin) = &mut self.origin {
            origin.note_event(time_ms);
        }
    }

    /// The table's announcement, once.
    pub(crate) fn announce(&mut self) -> Option<SourceTable> {
        (!std::mem::replace(&mut self.announced, true)).then(|| self.table.clone())
    }

    /// Announces the table once more, as the next version.
    pub(crate) fn announce_again(&mut self) {
        if std::mem::replace(&mut self.announced, false) {
            self.table.schema_version += 1;
            self.table.renamed.clear();
        }
    }

    /// Renames that have not been announced.
    pub(crate) fn pending_renames(&self) -> &[(String, String)] {
        if self.announced {
            &[]
        } else {
            &self.table.renamed
        }
    }

    /// The table's comment.
    pub(crate) fn comment(&self) -> Option<&str> {
        let metadata = self.table.schema.metadata();
        metadata.get(COMMENT_METADATA_KEY).map(String::as_str)
    }

    pub(crate) fn set_comment(&mut self, comment: Option<String>) {
        let mut metadata = self.table.schema.metadata().clone();
        metadata.remove(COMMENT_METADATA_KEY);
        metadata.extend(comment.map(|text| (COMMENT_METADATA_KEY.to_owned(), text)));
        let fields = self.table.schema.fields().clone();
        self.table.schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    }

    /// Takes the pending rows.
    pub(crate) fn take_batch(
        &mut self,
        position: Option<Position>,
    ) -> Result<Option<SourceBatch>, SourceError> {
        let Some(origin) = self.origin.take() else {
            return Ok(None);
        };
        let arrays = self
            .columns
            .iter_mut()
            .map(Column::finish)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.internal(&error))?;
        let operations = std::mem::take(&mut self.operations);
        let arrays = if std::mem::take(&mut self.abandoned) {
            let whole = |array: &ArrayRef| array.slice(0, operations.len().min(array.len()));
            arrays.iter().map(whole).collect()
        } else {
            arrays
        };
        self.bytes = 0;
        let batch = with_operations(&self.table.schema, arrays, &operations)
            .map_err(|error| self.internal(&error))?;
        Ok(Some(SourceBatch {
            table: self.table.id,
            schema_version: self.table.schema_version,
            bytes: sliced_size(&batch),
            batch,
            position,
            origin,
        }))
    }

    fn internal(&self, error: &arrow_schema::ArrowError) -> SourceError {
        SourceError::new(
            SourceErrorKind::Data,
            format!("rows of table {} make no batch: {error}", self.table.path),
        )
    }
}

/// A batch of `arrays`, with the column of operations unless all are inserts.
fn with_operations(
    schema: &SchemaRef,
    mut arrays: Vec<ArrayRef>,
    operations: &[Operation],
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    if operations
        .iter()
        .all(|operation| *operation == Operation::Insert)
    {
        return RecordBatch::try_new(Arc::clone(schema), arrays);
    }
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(OP_COLUMN, DataType::Int8, false)));
    arrays.push(Arc::new(
        operations
            .iter()
            .map(|operation| Some(*operation as i8))
            .collect::<Int8Array>(),
    ));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn chosen(setting: &PerTable<Vec<String>>, table: &TableId) -> Option<Vec<String>> {
    setting.get(table).map(|columns| columns.value.clone())
}

/// Checks that an option names columns of the table, each once.
pub(crate) fn check_columns(
    option: &str,
    columns: &[String],
    names: &[&str],
    table: &TableId,
) -> Result<(), SourceError> {
    for (index, column) in columns.iter().enumerate() {
        if !names.contains(&column.as_str()) {
            let near = nearest(column, names)
                .map(|near| format!("did you mean `{near}`? "))
                .unwrap_or_default();
            return Err(definition_error(format!(
                "source.{option} names column `{column}`, which table {table} does not have"
            ))
            .help(format!("{near}its columns: {}", names.join(", "))));
        }
        if columns.iter().take(index).any(|before| before == column) {
            return Err(definition_error(format!(
                "source.{option} names column `{column}` twice for table {table}"
            )));
        }
    }
    Ok(())
}

fn definition_error(message: String) -> SourceError {
    SourceError::new(SourceErrorKind::Definition, message)
}
