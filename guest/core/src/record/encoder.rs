//! Arrow columns to records.

use arrow_array::{ArrayRef, RecordBatch, new_empty_array};
use arrow_schema::{DataType, Schema};

use super::DEFAULT_MAX_FIELD_SIZE;
use super::cell::{Limits, Refused, Slot, ValueSink};
use super::stream::{RecordStream, RefusedField};
use super::wire::{Head, Wire};
use crate::arrow_tunnel::ColumnRows;
use crate::schema::{Column, SchemaMismatch, ValueError};
use crate::types::OdpsType;

/// What an upsert record does with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Inserts the row or replaces it.
    Upsert,
    /// Deletes the row of that key.
    Delete,
}

impl Operation {
    /// The value of the hidden column `__operation`.
    fn code(self) -> i64 {
        match self {
            Self::Upsert => i64::from(b'U'),
            Self::Delete => i64::from(b'D'),
        }
    }
}

/// How rows of one Arrow schema become records of one table.
///
/// Conversions are exact or refused: integers and decimals of another width or scale, times of
/// another unit, integers, decimals, booleans, dates and times of day as text, text as VARCHAR, CHAR
/// or (valid) JSON. A time without a zone counts as UTC where an instant is wanted, and the other way
/// round.
#[derive(Clone, Debug)]
pub struct RowEncoder {
    columns: Vec<TargetColumn>,
    limits: Limits,
    has_keys: bool,
    operation: Head,
    value_columns: Head,
}

#[derive(Clone, Debug)]
struct TargetColumn {
    name: String,
    ty: OdpsType,
    nullable: bool,
    is_key: bool,
    source: Option<usize>,
    head: Head,
}

impl RowEncoder {
    /// An encoder of rows of `schema` into the data columns `target` (all of them, in the order of
    /// the table): column `i` reads Arrow column `source_of[i]`, or is always NULL.
    ///
    /// # Errors
    ///
    /// Where a column of the table can not take the values of its Arrow column, whatever they are,
    /// or where a NOT NULL column has none.
    pub fn new(
        schema: &Schema,
        target: &[Column],
        source_of: &[Option<usize>],
    ) -> Result<Self, SchemaMismatch> {
        if target.len() != source_of.len() {
            return Err(SchemaMismatch {
                column: None,
                reason: format!("{} columns have {} sources", target.len(), source_of.len()),
            });
        }
        let limits = Limits {
            max_field_size: DEFAULT_MAX_FIELD_SIZE,
        };
        let columns = target
            .iter()
            .zip(source_of)
            .zip(1..)
            .map(|((column, source), field)| {
                let data_type = match source {
                    Some(source) => Some(source_type(schema, column, *source)?),
                    None => None,
                };
                check_types(column, data_type, limits)?;
                Ok(TargetColumn {
                    name: column.name.clone(),
                    ty: column.ty.clone(),
                    nullable: column.nullable,
                    is_key: false,
                    source: *source,
                    head: Head::new(field, &column.ty),
                })
            })
            .collect::<Result<Vec<_>, SchemaMismatch>>()?;
        let hidden = u32::try_from(columns.len()).unwrap_or(u32::MAX - 8);
        Ok(Self {
            columns,
            limits,
            has_keys: false,
            operation: Head::new(hidden + 3, &OdpsType::TinyInt),
            value_columns: Head::new(hidden + 5, &OdpsType::Array(Box::new(OdpsType::BigInt))),
        })
    }

    /// Sets the largest STRING, BINARY or JSON value, in bytes (the session's `MaxFieldSize`).
    #[must_use]
    pub fn max_field_size(mut self, bytes: usize) -> Self {
        self.limits.max_field_size = bytes;
        self
    }

    /// Names the primary key, by target column index. Key columns then refuse NULL whatever they
    /// are declared as, and deletes carry the key columns only.
    #[must_use]
    pub fn keys(mut self, target_columns: &[usize]) -> Self {
        for (i, column) in self.columns.iter_mut().enumerate() {
            column.is_key = target_columns.contains(&i);
        }
        self.has_keys = !target_columns.is_empty();
        self
    }

    /// The Arrow column that the target column of that name reads.
    pub(crate) fn source_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().find(|c| c.name == name)?.source
    }

    /// Binds the rows of one batch.
    ///
    /// # Errors
    ///
    /// Where the batch has other columns than the schema the encoder was made for.
    pub fn bind<'a>(&'a self, batch: &'a RecordBatch) -> Result<BoundRows<'a>, SchemaMismatch> {
        let fields = self
            .columns
            .iter()
            .map(|column| {
                let slot = match column.source {
                    None => Slot::null(),
                    Some(source) => {
                        let array = batch_column(batch, &column.name, source)?;
                        Slot::bind(&column.ty, array.as_ref(), self.limits)
                            .map_err(|reason| SchemaMismatch::of(&column.name, reason))?
                    }
                };
                Ok(BoundField {
                    head: column.head,
                    nullable: column.nullable && !column.is_key,
                    is_key: column.is_key,
                    slot,
                })
            })
            .collect::<Result<_, SchemaMismatch>>()?;
        Ok(BoundRows {
            encoder: self,
            rows: batch.num_rows(),
            fields,
        })
    }
}

/// The type of the Arrow column `source`.
pub(crate) fn source_type<'a>(
    schema: &'a Schema,
    column: &Column,
    source: usize,
) -> Result<&'a DataType, SchemaMismatch> {
    let field = schema.fields().get(source).ok_or_else(|| {
        SchemaMismatch::of(
            &column.name,
            format!(
                "reads Arrow column {source}, the rows have {}",
                schema.fields().len()
            ),
        )
    })?;
    Ok(field.data_type())
}

/// Binds an empty array: whether the types go together does not depend on values.
fn check_types(
    column: &Column,
    data_type: Option<&DataType>,
    limits: Limits,
) -> Result<(), SchemaMismatch> {
    match data_type {
        Some(data_type) => Slot::bind(&column.ty, new_empty_array(data_type).as_ref(), limits)
            .map(|_| ())
            .map_err(|reason| SchemaMismatch::of(&column.name, reason)),
        None if column.nullable => Ok(()),
        None => Err(SchemaMismatch::of(
            &column.name,
            "is NOT NULL at the service and the rows have no such column; \
             add it to the rows or make it nullable",
        )),
    }
}

/// The Arrow column `source` of a batch.
pub(crate) fn batch_column<'a>(
    batch: &'a RecordBatch,
    column: &str,
    source: usize,
) -> Result<&'a ArrayRef, SchemaMismatch> {
    batch.columns().get(source).ok_or_else(|| {
        SchemaMismatch::of(
            column,
            format!(
                "reads Arrow column {source}, the batch has {}",
                batch.num_columns()
            ),
        )
    })
}

/// The rows of one batch, ready to encode.
pub struct BoundRows<'a> {
    encoder: &'a RowEncoder,
    rows: usize,
    fields: Vec<BoundField<'a>>,
}

struct BoundField<'a> {
    head: Head,
    nullable: bool,
    is_key: bool,
    slot: Slot<'a>,
}

impl BoundField<'_> {
    #[inline]
    fn write(&self, row: usize, wire: &mut Wire<'_>, need_value: bool) -> Result<(), Refused> {
        if self.slot.is_null(row) {
            return if need_value {
                Err(null_refused())
            } else {
                Ok(())
            };
        }
        wire.head = self.head;
        self.slot.emit(row, wire)
    }
}

#[cold]
fn null_refused() -> Refused {
    Refused::new("NULL in a column that is NOT NULL or part of the primary key")
}

impl BoundRows<'_> {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends row `row` to an upload stream.
    ///
    /// # Errors
    ///
    /// Where a value does not fit its column exactly. The stream is as it was.
    #[inline]
    pub fn encode(&self, row: usize, stream: &mut RecordStream) -> Result<(), ValueError> {
        self.record(row, stream, |wire| {
            for (i, field) in self.fields.iter().enumerate() {
                field
                    .write(row, wire, !field.nullable)
                    .map_err(|refused| (i, refused))?;
            }
            Ok(())
        })
    }

    /// Appends row `row` to an upsert stream, with the hidden columns behind the table's own.
    ///
    /// A delete carries the columns named by [`RowEncoder::keys`]; where none are named, whatever
    /// values the row has.
    ///
    /// # Errors
    ///
    /// As for [`encode`](Self::encode).
    #[inline]
    pub fn encode_upsert(
        &self,
        row: usize,
        operation: Operation,
        stream: &mut RecordStream,
    ) -> Result<(), ValueError> {
        let delete = operation == Operation::Delete;
        let keys_only = delete && self.encoder.has_keys;
        self.record(row, stream, |wire| {
            for (i, field) in self.fields.iter().enumerate() {
                if keys_only && !field.is_key {
                    continue;
                }
                let need_value = if delete {
                    field.is_key
                } else {
                    !field.nullable
                };
                field
                    .write(row, wire, need_value)
                    .map_err(|refused| (i, refused))?;
            }
            self.hidden_columns(wire, operation, &[]);
            Ok(())
        })
    }

    /// Appends row `row` as an update of some columns: the ones of these column ids. The table must
    /// allow partial updates.
    ///
    /// # Errors
    ///
    /// As for [`encode`](Self::encode); NULL is refused in key columns only.
    pub fn encode_partial(
        &self,
        row: usize,
        column_ids: &[i64],
        stream: &mut RecordStream,
    ) -> Result<(), ValueError> {
        self.record(row, stream, |wire| {
            for (i, field) in self.fields.iter().enumerate() {
                field
                    .write(row, wire, field.is_key)
                    .map_err(|refused| (i, refused))?;
            }
            self.hidden_columns(wire, Operation::Upsert, column_ids);
            Ok(())
        })
    }

    /// Appends row `row` to an Arrow body, whose columns must be those of the encoder.
    ///
    /// # Errors
    ///
    /// As for [`encode`](Self::encode), and for what the Arrow tunnel can not carry.
    pub fn encode_columns(&self, row: usize, rows: &mut ColumnRows) -> Result<(), ValueError> {
        self.check_row(row)?;
        for (i, field) in self.fields.iter().enumerate() {
            let result = match (field.slot.is_null(row), field.nullable) {
                (true, true) => {
                    rows.put_null(i);
                    Ok(())
                }
                (true, false) => Err(null_refused()),
                (false, _) => rows.put(i, |cell| field.slot.emit(row, cell)),
            };
            if let Err(refused) = result {
                rows.drop_row();
                return Err(self.value_error(i, refused));
            }
        }
        rows.end_row();
        Ok(())
    }

    #[inline]
    fn check_row(&self, row: usize) -> Result<(), ValueError> {
        if row < self.rows {
            return Ok(());
        }
        Err(ValueError {
            column: String::new(),
            reason: format!("there is no row {row} in a batch of {}", self.rows),
        })
    }

    #[inline]
    fn record(
        &self,
        row: usize,
        stream: &mut RecordStream,
        write: impl FnOnce(&mut Wire<'_>) -> Result<(), RefusedField>,
    ) -> Result<(), ValueError> {
        self.check_row(row)?;
        stream
            .record(write)
            .map_err(|(field, refused)| self.value_error(field, refused))
    }

    #[cold]
    fn value_error(&self, field: usize, refused: Refused) -> ValueError {
        let column = self
            .encoder
            .columns
            .get(field)
            .map(|column| column.name.clone());
        ValueError {
            column: column.unwrap_or_default(),
            reason: refused.0.into_string(),
        }
    }

    /// `__version`, `__app_version` and `__key_cols` stay NULL; an empty `__value_cols` means all.
    #[inline]
    fn hidden_columns(&self, wire: &mut Wire<'_>, operation: Operation, column_ids: &[i64]) {
        wire.head = self.encoder.operation;
        wire.integer(operation.code());
        wire.head = self.encoder.value_columns;
        wire.list(column_ids.len());
        for id in column_ids {
            wire.null_flag(false);
            wire.integer(*id);
        }
    }
}
