//! What the columnar formats share: one table, batches as they are, cut to size.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, FieldRef, Schema, TimeUnit};

use super::{
    super::{
        batch::{OP_COLUMN, Origin, OriginUnit, SourceBatch},
        error::{SourceError, SourceErrorKind},
        position::Position,
        table::SourceTable,
        types::{TYPE_METADATA_KEY, utc},
    },
    table_buffer::check_columns,
};
use crate::definition::FileOptions;
use crate::evolution::{TableShape, common_shape};
use crate::source::TableId;

/// The table of a columnar source, and how the columns of a file become its own.
#[derive(Debug, Clone)]
pub(crate) struct ColumnarTable {
    pub(crate) table: SourceTable,
    /// Columns that must not hold NULL, by index.
    required: Vec<usize>,
}

impl ColumnarTable {
    pub(crate) fn new(
        path: TableId,
        schema: &Schema,
        options: &FileOptions,
    ) -> Result<Self, SourceError> {
        if options.schema.get(&path).is_some() {
            return Err(definition_error(
                "source.schema is for json, csv and debezium-json; Parquet and Arrow files carry their schema"
                    .to_owned(),
            )
            .help("remove source.schema"));
        }
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        if names.contains(&OP_COLUMN) {
            return Err(definition_error(format!(
                "table {path} has a column `{OP_COLUMN}`, a name the pipeline uses itself"
            ))
            .help("rename the column in the file"));
        }
        if let Some(twice) = names.iter().enumerate().find_map(|(index, name)| {
            names
                .iter()
                .take(index)
                .any(|before| before == name)
                .then_some(name)
        }) {
            return Err(
                definition_error(format!("table {path} has two columns `{twice}`"))
                    .help("rename one in the file"),
            );
        }
        let chosen = |setting: &crate::definition::PerTable<Vec<String>>| {
            setting
                .get(&path)
                .map(|columns| columns.value.clone())
                .unwrap_or_default()
        };
        let (primary_key, partition_by) =
            (chosen(&options.primary_key), chosen(&options.partition_by));
        check_columns("primary-key", &primary_key, &names, &path)?;
        check_columns("partition-by", &partition_by, &names, &path)?;
        let fields = schema
            .fields()
            .iter()
            .map(|field| {
                let data_type = plain_type(field.data_type()).map_err(|reason| {
                    definition_error(format!("column `{}`: {reason}", field.name()))
                })?;
                let nullable = field.is_nullable() && !primary_key.contains(field.name());
                let metadata: HashMap<String, String> = field
                    .metadata()
                    .iter()
                    .filter(|(key, _)| key.as_str() == TYPE_METADATA_KEY)
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                Ok(Field::new(field.name(), data_type, nullable).with_metadata(metadata))
            })
            .collect::<Result<Vec<_>, SourceError>>()?;
        let required = fields
            .iter()
            .enumerate()
            .filter(|(_, field)| !field.is_nullable())
            .map(|(index, _)| index)
            .collect();
        Ok(Self {
            table: SourceTable {
                id: 0,
                path,
                schema: Arc::new(Schema::new(fields)),
                primary_key,
                partition_by,
                schema_version: 1,
                renamed: Vec::new(),
            },
            required,
        })
    }

    /// The table with what another file adds: columns behind the others, and wider types. `None`
    /// when it adds nothing.
    fn widened(
        &self,
        schema: &Schema,
        file: &str,
        first: &str,
        options: &FileOptions,
    ) -> Result<Option<Self>, SourceError> {
        let theirs = Self::new(self.table.path.clone(), schema, options)?;
        let (ours, theirs) = (TableShape::of(&self.table), TableShape::of(&theirs.table));
        let common = common_shape(&ours, [&theirs])
            .map_err(|error| differ(file, first, &error.to_string()))?;
        for field in common.schema.fields() {
            let (Some(our), their) = (ours.column(field.name()), theirs.column(field.name()))
            else {
                continue;
            };
            let Some(their) = their else {
                let how = format!("`{}` is missing in the former", field.name());
                return Err(differ(file, first, &how));
            };
            let is_text = |field: &FieldRef| *field.data_type() == DataType::Utf8;
            let clock = |field: &FieldRef| match field.data_type() {
                DataType::Timestamp(_, zone) => Some(zone.is_some()),
                _ => None,
            };
            // Numbers of the one are no texts because the other has texts, and wall clocks no instants.
            if (is_text(field) && !(is_text(our) && is_text(their))) || clock(our) != clock(their) {
                let (our, their) = (our.data_type(), their.data_type());
                let how = format!(
                    "`{}` is {their} in the former and {our} in the latter",
                    field.name()
                );
                return Err(differ(file, first, &how));
            }
        }
        if common.schema.fields() == ours.schema.fields() {
            return Ok(None);
        }
        let mut wide = self.clone();
        let fields = common.schema.fields().iter().enumerate();
        wide.required = fields
            .filter(|(_, field)| !field.is_nullable())
            .map(|(index, _)| index)
            .collect();
        wide.table.schema = common.schema;
        wide.table.schema_version += 1;
        Ok(Some(wide))
    }

    /// Where the table's columns are in a file that it was widened for.
    pub(crate) fn projection(&self, schema: &Schema) -> Vec<usize> {
        let names = self.table.schema.fields().iter();
        names
            .filter_map(|field| schema.column_with_name(field.name()))
            .map(|(index, _)| index)
            .collect()
    }

    /// The rows of a file as rows of the table.
    pub(crate) fn adopt(
        &self,
        batch: &RecordBatch,
        projection: &[usize],
        file: &Arc<str>,
        first_row: u64,
    ) -> Result<RecordBatch, SourceError> {
        let failed = |message: String| {
            SourceError::new(SourceErrorKind::Data, message)
                .at(format!("{file}, row {}", first_row + 1))
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(projection.len());
        for (index, field) in projection.iter().zip(self.table.schema.fields()) {
            let column = batch
                .columns()
                .get(*index)
                .ok_or_else(|| failed(format!("column `{}` is missing", field.name())))?;
            columns.push(plain_column(column, field).map_err(failed)?);
        }
        for index in &self.required {
            let (Some(column), Some(field)) =
                (columns.get(*index), self.table.schema.fields().get(*index))
            else {
                continue;
            };
            if column.null_count() > 0 {
                let row = (0..column.len())
                    .find(|row| column.is_null(*row))
                    .unwrap_or(0);
                return Err(SourceError::new(
                    SourceErrorKind::Data,
                    format!(
                        "table {}, column `{}`: is NULL, but part of the primary key or declared NOT NULL",
                        self.table.path,
                        field.name()
                    ),
                )
                .at(format!("{file}, row {}", first_row + row as u64 + 1))
                .help("correct the file, or choose another primary-key"));
            }
        }
        RecordBatch::try_new(Arc::clone(&self.table.schema), columns)
            .map_err(|error| failed(format!("the rows make no batch: {error}")))
    }

    pub(crate) fn source_batch(
        &self,
        batch: RecordBatch,
        file: &Arc<str>,
        first_row: u64,
        position: Position,
    ) -> SourceBatch {
        let mut origin = Origin::new(Arc::clone(file), OriginUnit::Row);
        origin.push(0, first_row + 1);
        SourceBatch {
            table: self.table.id,
            schema_version: self.table.schema_version,
            bytes: sliced_size(&batch),
            batch,
            position: Some(position),
            origin,
        }
    }
}

/// The table of a source of several files: each file may add columns and widen types.
#[derive(Debug)]
pub(crate) struct ColumnarTables {
    /// By file.
    tables: Vec<ColumnarTable>,
    announced: Option<u32>,
}

impl ColumnarTables {
    /// `schema` is that of the first file.
    pub(crate) fn new(
        path: TableId,
        schema: &Schema,
        options: &FileOptions,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            tables: vec![ColumnarTable::new(path, schema, options)?],
            announced: None,
        })
    }

    /// Takes note of the next file.
    pub(crate) fn add(
        &mut self,
        schema: &Schema,
        file: &str,
        first: &str,
        options: &FileOptions,
    ) -> Result<(), SourceError> {
        let Some(before) = self.tables.last() else {
            return Ok(());
        };
        let next = before.widened(schema, file, first, options)?;
        let next = next.unwrap_or_else(|| before.clone());
        self.tables.push(next);
        Ok(())
    }

    /// The table as the rows of a file are to be.
    pub(crate) fn of_file(&self, index: usize) -> Option<&ColumnarTable> {
        self.tables.get(index).or(self.tables.last())
    }

    /// The table of a file, unless its version was announced before.
    pub(crate) fn announce(&mut self, index: usize) -> Option<SourceTable> {
        let table = self.of_file(index)?.table.clone();
        let version = Some(table.schema_version);
        (std::mem::replace(&mut self.announced, version) != version).then_some(table)
    }
}

fn differ(file: &str, first: &str, how: &str) -> SourceError {
    SourceError::new(
        SourceErrorKind::Data,
        format!("`{file}` and `{first}` have different columns: {how}"),
    )
    .help("read files of different schemas by separate pipelines")
}

/// Rows that make a batch of about `bytes`, given the size of all.
pub(crate) fn rows_per_batch(rows: u64, total_bytes: u64, options: &FileOptions) -> usize {
    let per_row = (total_bytes / rows.max(1)).max(1);
    let fitting = (options.batch_bytes as u64 / per_row).max(16);
    usize::try_from(fitting)
        .unwrap_or(usize::MAX)
        .min(options.batch_rows)
        .max(1)
}

/// Bytes of the rows themselves; a slice keeps its whole buffers alive, which are not its size.
pub(crate) fn sliced_size(batch: &RecordBatch) -> u64 {
    batch
        .columns()
        .iter()
        .map(|column| {
            column
                .to_data()
                .get_slice_memory_size()
                .unwrap_or_else(|_| column.get_array_memory_size()) as u64
        })
        .sum()
}

/// The type a column is handed out as: views, dictionaries and other encodings undone, zones in
/// UTC, unsigned integers in the next wider type.
fn plain_type(data_type: &DataType) -> Result<DataType, String> {
    Ok(match data_type {
        DataType::Dictionary(_, value) => plain_type(value)?,
        DataType::RunEndEncoded(_, value) => plain_type(value.data_type())?,
        DataType::Null | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, utc()),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(precision, scale) if *precision <= 38 => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _) => DataType::List(plain_field(element)?),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries)?, *sorted),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(plain_field).collect::<Result<_, _>>()?)
        }
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Decimal128(..) => data_type.clone(),
        other => {
            return Err(format!(
                "Arrow type {other} can not be handed to a sink; write the file with another type"
            ));
        }
    })
}

fn plain_field(field: &FieldRef) -> Result<FieldRef, String> {
    Ok(Arc::new(Field::new(
        field.name(),
        plain_type(field.data_type())?,
        field.is_nullable(),
    )))
}

fn plain_column(column: &ArrayRef, field: &Field) -> Result<ArrayRef, String> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    let strict = arrow_cast::CastOptions {
        safe: false,
        ..arrow_cast::CastOptions::default()
    };
    arrow_cast::cast_with_options(column, field.data_type(), &strict)
        .map_err(|error| format!("column `{}`: {error}", field.name()))
}

fn definition_error(message: String) -> SourceError {
    SourceError::new(SourceErrorKind::Definition, message)
}
