//! Between the store's Arrow types and those of the Arrow tunnel, and the checks that types alone do not make.

use std::sync::Arc;

use arrow_array::{
    Array as _, ArrayRef, Int32Array, Int64Array, ListArray, MapArray, StructArray,
    TimestampNanosecondArray, cast::AsArray as _, types,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use super::{
    WireColumn, WireError, WireErrorKind,
    column::{DATE_DAYS, DATETIME_MILLIS, check_text, over_limit},
};
use crate::catalog::{ColumnType, SECONDS_NANOS};

/// How Arrow answers carry the timestamps of columns; those inside lists, maps and structs are always 64-bit
/// nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampForm {
    /// 64-bit nanoseconds: table uploads and downloads.
    Nanoseconds,
    /// A struct of seconds and nanoseconds: previews and instance results.
    SecondsNanos,
}

/// The Arrow type in which a client carries DECIMAL without precision. Nothing in a stream tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DecimalForm {
    /// 128 bits, as the store has it.
    #[default]
    Narrow,
    /// 256 bits with 54 digits: Python.
    Wide,
}

/// The type of [`DecimalForm::Wide`].
const WIDE_DECIMAL: DataType = DataType::Decimal256(54, 18);

impl TimestampForm {
    fn keeps(self, ty: &ColumnType) -> bool {
        self == TimestampForm::SecondsNanos
            && matches!(ty, ColumnType::Timestamp | ColumnType::TimestampNtz)
    }

    /// The Arrow schema of answers with these columns, narrow decimals.
    pub fn schema(self, columns: &[WireColumn]) -> SchemaRef {
        self.schema_with(columns, DecimalForm::Narrow)
    }

    pub(super) fn schema_with(self, columns: &[WireColumn], decimals: DecimalForm) -> SchemaRef {
        let field = |column: &WireColumn| {
            let ty = if self.keeps(&column.ty) {
                column.ty.arrow_type()
            } else {
                wire_arrow_type(&column.ty, decimals)
            };
            Field::new(column.name.as_str(), ty, true)
        };
        Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// Turns a column from the store's form into that of an answer with narrow decimals; CHAR is
    /// padded with blanks.
    ///
    /// # Errors
    /// A timestamp that does not fit 64-bit nanoseconds.
    pub fn array(self, ty: &ColumnType, array: &ArrayRef) -> Result<ArrayRef, WireError> {
        self.array_with(ty, array, DecimalForm::Narrow)
    }

    pub(super) fn array_with(
        self,
        ty: &ColumnType,
        array: &ArrayRef,
        decimals: DecimalForm,
    ) -> Result<ArrayRef, WireError> {
        let array = pad_chars(ty, array);
        if self.keeps(ty) {
            Ok(array)
        } else {
            to_wire(ty, &array, decimals)
        }
    }
}

/// The Arrow type in the tunnel, which differs from the store's for timestamps and wide decimals.
fn wire_arrow_type(ty: &ColumnType, decimals: DecimalForm) -> DataType {
    let wire_arrow_type = |ty: &ColumnType| wire_arrow_type(ty, decimals);
    match ty {
        ColumnType::Timestamp | ColumnType::TimestampNtz => {
            DataType::Timestamp(TimeUnit::Nanosecond, None)
        }
        ColumnType::LegacyDecimal if decimals == DecimalForm::Wide => WIDE_DECIMAL,
        ColumnType::Array(element) => DataType::List(Arc::new(Field::new(
            "element",
            wire_arrow_type(element),
            true,
        ))),
        ColumnType::Map(key, value) => {
            let entries = Fields::from(vec![
                Field::new("key", wire_arrow_type(key), false),
                Field::new("value", wire_arrow_type(value), true),
            ]);
            DataType::Map(
                Arc::new(Field::new("entries", DataType::Struct(entries), false)),
                false,
            )
        }
        ColumnType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|(name, ty)| Field::new(name.as_str(), wire_arrow_type(ty), true))
                .collect(),
        ),
        other => other.arrow_type(),
    }
}

/// True when a value, or one inside it, has another form in the tunnel.
fn differs(ty: &ColumnType, decimals: DecimalForm) -> bool {
    holds(ty, &|ty| match ty {
        ColumnType::Timestamp | ColumnType::TimestampNtz => true,
        ColumnType::LegacyDecimal => decimals == DecimalForm::Wide,
        _ => false,
    })
}

fn holds(ty: &ColumnType, wanted: &dyn Fn(&ColumnType) -> bool) -> bool {
    wanted(ty)
        || match ty {
            ColumnType::Array(element) => holds(element, wanted),
            ColumnType::Map(key, value) => holds(key, wanted) || holds(value, wanted),
            ColumnType::Struct(fields) => fields.iter().any(|(_, ty)| holds(ty, wanted)),
            _ => false,
        }
}

pub(super) fn from_wire(
    ty: &ColumnType,
    array: &ArrayRef,
    decimals: DecimalForm,
) -> Result<ArrayRef, WireError> {
    if !differs(ty, decimals) {
        return Ok(Arc::clone(array));
    }
    map_leaves(ty, array, &ty.arrow_type(), &|ty, array| {
        if *ty == ColumnType::LegacyDecimal {
            return decimal(array, &ty.arrow_type());
        }
        let nanos = array
            .as_primitive_opt::<types::TimestampNanosecondType>()
            .ok_or_else(|| unexpected(array))?;
        let seconds: Int64Array = nanos
            .values()
            .iter()
            .map(|value| value.div_euclid(1_000_000_000))
            .collect();
        let rest: Int32Array = nanos
            .values()
            .iter()
            .map(|value| value.rem_euclid(1_000_000_000) as i32)
            .collect();
        let children: Vec<ArrayRef> = vec![Arc::new(seconds), Arc::new(rest)];
        Ok(Arc::new(StructArray::try_new(
            SECONDS_NANOS.clone(),
            children,
            nanos.nulls().cloned(),
        )?))
    })
}

fn to_wire(
    ty: &ColumnType,
    array: &ArrayRef,
    decimals: DecimalForm,
) -> Result<ArrayRef, WireError> {
    if !differs(ty, decimals) {
        return Ok(Arc::clone(array));
    }
    map_leaves(ty, array, &wire_arrow_type(ty, decimals), &|ty, array| {
        if *ty == ColumnType::LegacyDecimal {
            return decimal(array, &wire_arrow_type(ty, decimals));
        }
        let both = array.as_struct_opt().ok_or_else(|| unexpected(array))?;
        let [seconds, rest] = both.columns() else {
            return Err(unexpected(array));
        };
        let seconds = seconds
            .as_primitive_opt::<types::Int64Type>()
            .ok_or_else(|| unexpected(array))?;
        let rest = rest
            .as_primitive_opt::<types::Int32Type>()
            .ok_or_else(|| unexpected(array))?;
        let mut values = Vec::with_capacity(both.len());
        for (row, (second, nano)) in seconds.values().iter().zip(rest.values()).enumerate() {
            let value = second
                .checked_mul(1_000_000_000)
                .and_then(|value| value.checked_add(i64::from(*nano)));
            values.push(match value {
                Some(value) => value,
                None if both.is_null(row) => 0,
                None => {
                    let message = format!("the timestamp at second {second} does not fit 64-bit nanoseconds (1677 to 2262), which Arrow downloads carry; read records instead");
                    return Err(WireError::malformed(message));
                }
            });
        }
        Ok(Arc::new(TimestampNanosecondArray::try_new(
            values.into(),
            both.nulls().cloned(),
        )?))
    })
}

/// A decimal in more or fewer bits, with the same scale.
fn decimal(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, WireError> {
    let strict = CastOptions {
        safe: false,
        ..Default::default()
    };
    cast_with_options(array, to, &strict).map_err(|error| {
        WireError::malformed(format!("a DECIMAL has more than 38 digits: {error}"))
    })
}

/// CHAR values are padded with blanks when they are read.
fn pad_chars(ty: &ColumnType, array: &ArrayRef) -> ArrayRef {
    match (ty, array.as_string_opt::<i32>()) {
        (ColumnType::Char(width), Some(texts)) => {
            let width = *width as usize;
            let padded: arrow_array::StringArray = texts
                .iter()
                .map(|text| text.map(|text| format!("{text:<width$}")))
                .collect();
            Arc::new(padded)
        }
        _ => Arc::clone(array),
    }
}

type Leaf<'a> = &'a dyn Fn(&ColumnType, &ArrayRef) -> Result<ArrayRef, WireError>;

/// Rebuilds a column with its timestamps and old decimals changed, wherever they are inside.
fn map_leaves(
    ty: &ColumnType,
    array: &ArrayRef,
    target: &DataType,
    leaf: Leaf<'_>,
) -> Result<ArrayRef, WireError> {
    match (ty, target) {
        (ColumnType::Timestamp | ColumnType::TimestampNtz | ColumnType::LegacyDecimal, _) => {
            leaf(ty, array)
        }
        (ColumnType::Array(element), DataType::List(field)) => {
            let list = array
                .as_list_opt::<i32>()
                .ok_or_else(|| unexpected(array))?;
            let values = map_leaves(element, list.values(), field.data_type(), leaf)?;
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(field),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        (ColumnType::Map(key, value), DataType::Map(field, sorted)) => {
            let map = array.as_map_opt().ok_or_else(|| unexpected(array))?;
            let DataType::Struct(fields) = field.data_type() else {
                return Err(unexpected(array));
            };
            let [key_field, value_field] = &fields[..] else {
                return Err(unexpected(array));
            };
            let keys = map_leaves(key, map.keys(), key_field.data_type(), leaf)?;
            let values = map_leaves(value, map.values(), value_field.data_type(), leaf)?;
            let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(
                Arc::clone(field),
                offsets,
                entries,
                nulls,
                *sorted,
            )?))
        }
        (ColumnType::Struct(types), DataType::Struct(fields)) => {
            let all = array.as_struct_opt().ok_or_else(|| unexpected(array))?;
            let mut children = Vec::with_capacity(fields.len());
            for (((_, ty), field), child) in types.iter().zip(fields).zip(all.columns()) {
                children.push(map_leaves(ty, child, field.data_type(), leaf)?);
            }
            Ok(Arc::new(StructArray::try_new(
                fields.clone(),
                children,
                all.nulls().cloned(),
            )?))
        }
        _ => Ok(Arc::clone(array)),
    }
}

fn unexpected(array: &ArrayRef) -> WireError {
    WireError::new(
        WireErrorKind::Internal,
        format!("unexpected Arrow type {}", array.data_type()),
    )
}

/// Checks what the Arrow types alone do not: lengths, digits, ranges, JSON.
pub(super) fn check_values(
    ty: &ColumnType,
    array: &ArrayRef,
    limit: usize,
) -> Result<(), WireError> {
    check_lengths(array, limit)?;
    match ty {
        ColumnType::Varchar(_) | ColumnType::Char(_) | ColumnType::Json => {
            let texts = array
                .as_string_opt::<i32>()
                .ok_or_else(|| unexpected(array))?;
            texts
                .iter()
                .flatten()
                .try_for_each(|text| check_text(ty, text.as_bytes()))
        }
        ColumnType::Decimal { precision, .. } => {
            let decimals = array
                .as_primitive_opt::<types::Decimal128Type>()
                .ok_or_else(|| unexpected(array))?;
            decimals
                .validate_decimal_precision(*precision)
                .map_err(|error| WireError::malformed(error.to_string()))
        }
        ColumnType::Date => {
            let days = array
                .as_primitive_opt::<types::Date32Type>()
                .ok_or_else(|| unexpected(array))?;
            match days
                .iter()
                .flatten()
                .find(|day| !DATE_DAYS.contains(&i64::from(*day)))
            {
                Some(day) => Err(WireError::malformed(format!(
                    "day {day} is not a DATE (0001-01-01 to 9999-12-31)"
                ))),
                None => Ok(()),
            }
        }
        ColumnType::Datetime => {
            let millis = array
                .as_primitive_opt::<types::TimestampMillisecondType>()
                .ok_or_else(|| unexpected(array))?;
            match millis
                .iter()
                .flatten()
                .find(|value| !DATETIME_MILLIS.contains(value))
            {
                Some(value) => Err(WireError::malformed(format!(
                    "millisecond {value} is not a DATETIME (years 0000 to 9999)"
                ))),
                None => Ok(()),
            }
        }
        ColumnType::Array(element) => check_values(
            element,
            array
                .as_list_opt::<i32>()
                .ok_or_else(|| unexpected(array))?
                .values(),
            limit,
        ),
        ColumnType::Map(key, value) => {
            let map = array.as_map_opt().ok_or_else(|| unexpected(array))?;
            check_values(key, map.keys(), limit)?;
            check_values(value, map.values(), limit)
        }
        ColumnType::Struct(fields) => {
            let all = array.as_struct_opt().ok_or_else(|| unexpected(array))?;
            fields
                .iter()
                .zip(all.columns())
                .try_for_each(|((_, ty), child)| check_values(ty, child, limit))
        }
        _ => Ok(()),
    }
}

fn check_lengths(array: &ArrayRef, limit: usize) -> Result<(), WireError> {
    let offsets = match array.data_type() {
        DataType::Utf8 => array.as_string_opt::<i32>().map(|texts| texts.offsets()),
        DataType::Binary => array.as_binary_opt::<i32>().map(|bytes| bytes.offsets()),
        _ => None,
    };
    let longest = offsets.and_then(|offsets| offsets.lengths().max());
    match longest {
        Some(length) if length > limit => Err(over_limit(length as u64, limit)),
        _ => Ok(()),
    }
}
