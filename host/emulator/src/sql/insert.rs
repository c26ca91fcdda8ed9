//! INSERT: rows of a query into a table.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int8Array, RecordBatch, UInt32Array, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Schema, TimeUnit};
use arrow_select::take::take_record_batch;

use super::names::Names;
use super::query::memory_form;
use super::statement::{PartitionPairs, TableName};
use super::{InstanceResult, SqlError};
use crate::catalog::{Column, ColumnType, PartitionSpec, StoreError, TableMeta, same_name};
use crate::storage::{OPERATION_UPSERT, StageKind, StagedFile, Store, nanoseconds, value_text};
use crate::wire::{BucketHasher, HasherKind, WireColumn};

/// Where the rows go.
pub(super) struct Target<'a> {
    pub(super) name: &'a TableName,
    pub(super) overwrite: bool,
    pub(super) partition: &'a PartitionPairs,
    pub(super) columns: &'a [String],
}

pub(super) fn run(
    store: &Store,
    names: &Names,
    at: (usize, usize),
    target: &Target<'_>,
    rows: &InstanceResult,
) -> Result<(), SqlError> {
    let table = names.table(store, target.name)?;
    let failed = |error| SqlError::store(at, error);
    if table.is_delta() && target.overwrite {
        return Err(SqlError::semantic(
            at,
            "INSERT OVERWRITE is not supported on a table with a primary key",
        ));
    }
    let dynamic: Vec<&Column> = dynamic_columns(&table, target, at)?;
    let wanted: Vec<&Column> = data_columns(&table, target, at)?;
    if rows.columns.len() != wanted.len() + dynamic.len() {
        return Err(SqlError::semantic(
            at,
            format!(
                "the query gives {} columns, table {} takes {}",
                rows.columns.len(),
                table.full_name(),
                wanted.len() + dynamic.len()
            ),
        ));
    }
    let mut groups: Vec<(Option<PartitionSpec>, Vec<RecordBatch>)> = Vec::new();
    for batch in &rows.batches {
        let data = data_batch(&table, &wanted, rows, batch).map_err(failed)?;
        if dynamic.is_empty() {
            let spec = match table.is_partitioned() {
                true => Some(super::execute::exact(&table, target.partition, at)?),
                false => None,
            };
            push(&mut groups, spec, data);
            continue;
        }
        let mut by_spec: HashMap<PartitionSpec, Vec<u32>> = HashMap::new();
        for row in 0..batch.num_rows() {
            let spec = row_partition(&table, target, &dynamic, rows, batch, row, at)?;
            by_spec
                .entry(spec)
                .or_default()
                .push(u32::try_from(row).unwrap_or(u32::MAX));
        }
        for (spec, indices) in by_spec {
            let part = take_record_batch(&data, &UInt32Array::from(indices))
                .map_err(|e| failed(e.into()))?;
            push(&mut groups, Some(spec), part);
        }
    }
    if groups.is_empty() && dynamic.is_empty() {
        // No rows: the partition is made, an overwrite still empties it.
        let spec = match table.is_partitioned() {
            true => Some(super::execute::exact(&table, target.partition, at)?),
            false => None,
        };
        groups.push((spec, Vec::new()));
    }
    for (spec, batches) in groups {
        if let Some(spec) = &spec {
            store.create_partition(&table, spec).map_err(failed)?;
        }
        if table.is_delta() {
            let packs = packs(store, &table, &batches).map_err(failed)?;
            store
                .commit_upsert(&table, spec.as_ref(), &packs, None)
                .map_err(failed)?;
        } else {
            let file = store
                .stage(&table, StageKind::Append, batches.into_iter().map(Ok))
                .map_err(failed)?;
            store
                .commit_append(&table, spec.as_ref(), &[file], target.overwrite, None)
                .map_err(failed)?;
        }
    }
    Ok(())
}

fn push(
    groups: &mut Vec<(Option<PartitionSpec>, Vec<RecordBatch>)>,
    spec: Option<PartitionSpec>,
    batch: RecordBatch,
) {
    match groups.iter_mut().find(|(s, _)| *s == spec) {
        Some((_, batches)) => batches.push(batch),
        None => groups.push((spec, vec![batch])),
    }
}

/// Partition columns whose values come from the query.
fn dynamic_columns<'a>(
    table: &'a TableMeta,
    target: &Target<'_>,
    at: (usize, usize),
) -> Result<Vec<&'a Column>, SqlError> {
    if table.is_partitioned() && target.partition.is_empty() {
        return Err(SqlError::semantic(
            at,
            format!(
                "table {} is partitioned: name a PARTITION",
                table.full_name()
            ),
        ));
    }
    let mut dynamic = Vec::new();
    for (name, value) in target.partition {
        let column = table
            .partition_columns
            .iter()
            .find(|c| same_name(&c.name, name))
            .ok_or_else(|| {
                SqlError::semantic(
                    at,
                    format!("{name} is not a partition column of {}", table.full_name()),
                )
            })?;
        if value.is_none() {
            dynamic.push(column);
        }
    }
    Ok(dynamic)
}

/// Data columns in the order the query gives them.
fn data_columns<'a>(
    table: &'a TableMeta,
    target: &Target<'_>,
    at: (usize, usize),
) -> Result<Vec<&'a Column>, SqlError> {
    if target.columns.is_empty() {
        return Ok(table.columns.iter().collect());
    }
    target
        .columns
        .iter()
        .filter(|name| {
            !table
                .partition_columns
                .iter()
                .any(|c| same_name(&c.name, name))
        })
        .map(|name| {
            table
                .column_index(name)
                .and_then(|i| table.columns.get(i))
                .ok_or_else(|| {
                    SqlError::semantic(
                        at,
                        format!(
                            "column {name} cannot be resolved in table {}",
                            table.full_name()
                        ),
                    )
                })
        })
        .collect()
}

fn row_partition(
    table: &TableMeta,
    target: &Target<'_>,
    dynamic: &[&Column],
    rows: &InstanceResult,
    batch: &RecordBatch,
    row: usize,
    at: (usize, usize),
) -> Result<PartitionSpec, SqlError> {
    let first = rows.columns.len() - dynamic.len();
    let mut pairs = target.partition.clone();
    for (offset, column) in dynamic.iter().enumerate() {
        let source = rows
            .columns
            .get(first + offset)
            .zip(batch.columns().get(first + offset));
        let text = source.and_then(|(source, array)| value_text(array.as_ref(), &source.ty, row));
        let text = text.ok_or_else(|| {
            SqlError::semantic(
                at,
                format!("a row has NULL in partition column {}", column.name),
            )
        })?;
        for (name, value) in &mut pairs {
            if same_name(name, &column.name) {
                *value = Some(text.clone());
            }
        }
    }
    super::execute::exact(table, &pairs, at)
}

/// The rows with all data columns of the table in order.
fn data_batch(
    table: &TableMeta,
    wanted: &[&Column],
    rows: &InstanceResult,
    batch: &RecordBatch,
) -> Result<RecordBatch, StoreError> {
    let mut arrays = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let position = wanted.iter().position(|w| w.column_id == column.column_id);
        let source = position.and_then(|p| rows.columns.get(p).zip(batch.columns().get(p)));
        let array = match (source, &column.default_value) {
            (Some((source, array)), _) => assign(array, &source.ty, column)?,
            (None, Some(default)) => {
                let texts: ArrayRef =
                    Arc::new(arrow_array::StringArray::from(vec![
                        default.as_str();
                        batch.num_rows()
                    ]));
                assign(&texts, &ColumnType::String, column)?
            }
            (None, None) => new_null_array(&column.ty.arrow_type(), batch.num_rows()),
        };
        if !column.nullable && array.null_count() > 0 {
            return Err(StoreError::Invalid(format!(
                "NULL in column `{}`, which is NOT NULL",
                column.name
            )));
        }
        arrays.push(array);
    }
    Ok(RecordBatch::try_new(table.arrow_schema(), arrays)?)
}

/// Values of one type as another, refusing what does not fit.
fn assign(array: &ArrayRef, from: &ColumnType, column: &Column) -> Result<ArrayRef, StoreError> {
    let to = &column.ty;
    let strict = CastOptions {
        safe: false,
        ..Default::default()
    };
    let named =
        |error: StoreError| StoreError::Invalid(format!("column `{}`: {error}", column.name));
    let is_stamp = |ty: &ColumnType| matches!(ty, ColumnType::Timestamp | ColumnType::TimestampNtz);
    let is_text = matches!(
        to,
        ColumnType::String | ColumnType::Varchar(_) | ColumnType::Char(_) | ColumnType::Json
    );
    let result = if from == to || (is_stamp(from) && is_stamp(to)) {
        array.clone()
    } else if is_text && *array.data_type() != DataType::Utf8 {
        let texts: arrow_array::StringArray = (0..array.len())
            .map(|row| value_text(array.as_ref(), from, row))
            .collect();
        Arc::new(texts)
    } else if is_stamp(from) && !is_text {
        let pairs = arrow_array::cast::AsArray::as_struct(array.as_ref());
        let values = nanoseconds(pairs).ok_or_else(|| {
            named(StoreError::Invalid(
                "a timestamp lies outside the years 1678 to 2261".to_owned(),
            ))
        })?;
        let values: ArrayRef = Arc::new(values);
        memory_form(&values, to).map_err(named)?
    } else if *to == ColumnType::Datetime && *array.data_type() == DataType::Utf8 {
        let stamps = DataType::Timestamp(TimeUnit::Millisecond, None);
        cast_with_options(array, &stamps, &strict).map_err(|e| named(e.into()))?
    } else {
        memory_form(array, to).map_err(named)?
    };
    if let ColumnType::Varchar(limit) | ColumnType::Char(limit) = to {
        let texts = arrow_array::cast::AsArray::as_string::<i32>(result.as_ref());
        if texts
            .iter()
            .flatten()
            .any(|text| text.chars().count() > *limit as usize)
        {
            return Err(named(StoreError::Invalid(format!(
                "a value is longer than {limit} characters"
            ))));
        }
    }
    Ok(result)
}

/// Upsert packs of rows, one per bucket.
fn packs(
    store: &Store,
    table: &TableMeta,
    batches: &[RecordBatch],
) -> Result<Vec<StagedFile>, StoreError> {
    let keys = table
        .key_indices()
        .into_iter()
        .filter_map(|i| {
            table
                .columns
                .get(i)
                .map(|c| (i, WireColumn::new(c.name.clone(), c.ty.clone())))
        })
        .collect();
    let hasher = BucketHasher::new(HasherKind::Default, keys);
    let mut by_bucket: Vec<(u32, Vec<RecordBatch>)> = Vec::new();
    for batch in batches {
        let buckets = hasher
            .buckets(batch, table.buckets)
            .map_err(|e| StoreError::Invalid(e.to_string()))?;
        let mut rows: HashMap<u32, Vec<u32>> = HashMap::new();
        for (row, bucket) in buckets.into_iter().enumerate() {
            rows.entry(bucket)
                .or_default()
                .push(u32::try_from(row).unwrap_or(u32::MAX));
        }
        for (bucket, rows) in rows {
            let part = take_record_batch(batch, &UInt32Array::from(rows))?;
            let part = with_operation(table, bucket, &part)?;
            match by_bucket.iter_mut().find(|(b, _)| *b == bucket) {
                Some((_, parts)) => parts.push(part),
                None => by_bucket.push((bucket, vec![part])),
            }
        }
    }
    by_bucket
        .into_iter()
        .map(|(bucket, parts)| {
            store.stage(
                table,
                StageKind::Upsert { bucket },
                parts.into_iter().map(Ok),
            )
        })
        .collect()
}

fn with_operation(
    table: &TableMeta,
    bucket: u32,
    batch: &RecordBatch,
) -> Result<RecordBatch, StoreError> {
    let schema: Arc<Schema> = StageKind::Upsert { bucket }.schema(table);
    let mut arrays = batch.columns().to_vec();
    arrays.push(Arc::new(Int8Array::from(vec![
        OPERATION_UPSERT;
        batch.num_rows()
    ])));
    let last = schema
        .fields()
        .last()
        .map(|field| field.data_type().clone())
        .unwrap_or(DataType::Null);
    arrays.push(new_null_array(&last, batch.num_rows()));
    Ok(RecordBatch::try_new(schema, arrays)?)
}
