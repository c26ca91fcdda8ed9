//! Columns on disk and in memory.
//!
//! TIMESTAMP values are pairs of seconds and nanoseconds in memory. On disk a top-level column is
//! a plain nanosecond timestamp, which every reader knows, as long as all values of the file fit
//! (years 1678..2261); a file with other values keeps `struct<sec, nano>`. DATETIME and TIMESTAMP
//! are in UTC without a zone mark: readers need no time zone data for them. Inside ARRAY, MAP and
//! STRUCT the memory form is stored as it is.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{
    Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StructArray, TimestampMillisecondArray,
    TimestampNanosecondArray, new_null_array,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::text::value_text;
use crate::catalog::{ColumnType, SECONDS_NANOS, StoreError, TableMeta};

const NANOS: i64 = 1_000_000_000;

/// How the data columns of a table are laid out on disk.
#[derive(Debug)]
pub(super) struct DiskForm {
    /// Which columns are timestamps.
    timestamps: Vec<bool>,
}

impl DiskForm {
    pub(super) fn new(table: &TableMeta) -> Self {
        let is_timestamp =
            |ty: &ColumnType| matches!(ty, ColumnType::Timestamp | ColumnType::TimestampNtz);
        Self {
            timestamps: table.columns.iter().map(|c| is_timestamp(&c.ty)).collect(),
        }
    }

    /// For each column whether it has timestamps that 64-bit nanoseconds cannot hold.
    pub(super) fn wide_columns(&self, batch: &RecordBatch) -> Vec<bool> {
        self.timestamps
            .iter()
            .zip(batch.columns())
            .map(|(timestamp, array)| {
                *timestamp
                    && array
                        .as_struct_opt()
                        .is_some_and(|array| nanoseconds(array).is_none())
            })
            .collect()
    }

    /// The batch as it is written, fields named as in `schema`.
    pub(super) fn to_disk(
        &self,
        schema: &SchemaRef,
        batch: &RecordBatch,
        wide: &[bool],
    ) -> Result<RecordBatch, StoreError> {
        let narrow = self
            .timestamps
            .iter()
            .zip(wide)
            .map(|(timestamp, wide)| *timestamp && !wide);
        let narrow = narrow.chain(std::iter::repeat(false));
        let mut fields = Vec::with_capacity(schema.fields().len());
        let mut arrays = Vec::with_capacity(schema.fields().len());
        for ((field, array), narrow) in schema.fields().iter().zip(batch.columns()).zip(narrow) {
            let values = if narrow {
                array.as_struct_opt().and_then(nanoseconds)
            } else {
                None
            };
            let array: ArrayRef = match values {
                Some(values) => Arc::new(values),
                None => with_type(array, field.data_type())?,
            };
            fields.push(
                Field::new(field.name(), array.data_type().clone(), field.is_nullable())
                    .with_metadata(field.metadata().clone()),
            );
            arrays.push(array);
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
    }
}

/// Same layout under the names of `wanted` (child names differ between producers).
fn with_type(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, StoreError> {
    if array.data_type() == wanted {
        return Ok(array.clone());
    }
    Ok(cast_with_options(
        array,
        wanted,
        &CastOptions {
            safe: false,
            ..Default::default()
        },
    )?)
}

/// Seconds and nanoseconds as one 64-bit number; None when a value does not fit.
pub(crate) fn nanoseconds(array: &StructArray) -> Option<TimestampNanosecondArray> {
    let seconds = array.column(0).as_primitive_opt::<Int64Type>()?;
    let nanos = array.column(1).as_primitive_opt::<Int32Type>()?;
    let values = seconds
        .values()
        .iter()
        .zip(nanos.values())
        .enumerate()
        .map(|(row, (seconds, nanos))| {
            if array.is_null(row) {
                return Some(0);
            }
            // i128: the product of the smallest second overflows although the sum may fit.
            let total = i128::from(*seconds) * i128::from(NANOS) + i128::from(*nanos);
            i64::try_from(total).ok()
        })
        .collect::<Option<Vec<i64>>>()?;
    Some(TimestampNanosecondArray::new(
        values.into(),
        array.nulls().cloned(),
    ))
}

/// Seconds and nanoseconds of 64-bit nanoseconds.
pub(crate) fn seconds_nanos(array: &TimestampNanosecondArray) -> Result<StructArray, StoreError> {
    let seconds: Int64Array = array
        .values()
        .iter()
        .map(|v| v.div_euclid(NANOS))
        .collect::<Vec<_>>()
        .into();
    let nanos: Int32Array = array
        .values()
        .iter()
        .map(|v| i32::try_from(v.rem_euclid(NANOS)).unwrap_or_default())
        .collect::<Vec<_>>()
        .into();
    Ok(StructArray::try_new(
        SECONDS_NANOS.clone(),
        vec![Arc::new(seconds), Arc::new(nanos)],
        array.nulls().cloned(),
    )?)
}

/// A column read from a file as the in-memory form of `ty`; converts when the column was retyped.
pub(crate) fn to_memory(array: &ArrayRef, ty: &ColumnType) -> Result<ArrayRef, StoreError> {
    let wanted = ty.arrow_type();
    if *array.data_type() == wanted {
        return Ok(array.clone());
    }
    match (array.data_type(), ty) {
        (
            DataType::Timestamp(TimeUnit::Nanosecond, _),
            ColumnType::Timestamp | ColumnType::TimestampNtz,
        ) => Ok(Arc::new(seconds_nanos(
            array.as_primitive::<TimestampNanosecondType>(),
        )?)),
        (DataType::Timestamp(TimeUnit::Millisecond, _), ColumnType::Datetime) => {
            let values = array.as_primitive::<arrow_array::types::TimestampMillisecondType>();
            Ok(Arc::new(TimestampMillisecondArray::new(
                values.values().clone(),
                values.nulls().cloned(),
            )))
        }
        (from, ColumnType::String) if !matches!(from, DataType::Utf8) => {
            let source = stored_type(from).ok_or_else(|| {
                StoreError::Invalid(format!(
                    "a stored column of type {from} cannot be read as STRING"
                ))
            })?;
            let array = to_memory(array, &source)?;
            let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 16);
            for row in 0..array.len() {
                builder.append_option(value_text(array.as_ref(), &source, row));
            }
            Ok(Arc::new(builder.finish()))
        }
        _ => with_type(array, &wanted),
    }
}

/// A column of NULLs, for files older than the column.
pub(super) fn nulls(ty: &ColumnType, rows: usize) -> ArrayRef {
    new_null_array(&ty.arrow_type(), rows)
}

/// The column type that is stored as this Arrow type.
pub(crate) fn stored_type(ty: &DataType) -> Option<ColumnType> {
    Some(match ty {
        DataType::Int8 => ColumnType::TinyInt,
        DataType::Int16 => ColumnType::SmallInt,
        DataType::Int32 => ColumnType::Int,
        DataType::Int64 => ColumnType::BigInt,
        DataType::Float32 => ColumnType::Float,
        DataType::Float64 => ColumnType::Double,
        DataType::Boolean => ColumnType::Boolean,
        DataType::Utf8 => ColumnType::String,
        DataType::Binary => ColumnType::Binary,
        DataType::Date32 => ColumnType::Date,
        DataType::Decimal128(precision, scale) => ColumnType::Decimal {
            precision: *precision,
            scale: u8::try_from(*scale).ok()?,
        },
        DataType::Timestamp(TimeUnit::Millisecond, _) => ColumnType::Datetime,
        DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => ColumnType::Timestamp,
        DataType::Timestamp(TimeUnit::Nanosecond, None) => ColumnType::TimestampNtz,
        DataType::Struct(fields) if *fields == *SECONDS_NANOS => ColumnType::Timestamp,
        DataType::List(element) => ColumnType::Array(Box::new(stored_type(element.data_type())?)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => match fields.as_ref() {
                [key, value] => ColumnType::Map(
                    Box::new(stored_type(key.data_type())?),
                    Box::new(stored_type(value.data_type())?),
                ),
                _ => return None,
            },
            _ => return None,
        },
        DataType::Struct(fields) => ColumnType::Struct(
            fields
                .iter()
                .map(|f| Some((f.name().clone(), stored_type(f.data_type())?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}
