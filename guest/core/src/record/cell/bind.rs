//! Which Arrow types each column type takes.

use arrow_array::cast::AsArray;
use arrow_array::types;
use arrow_array::{Array, StructArray};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};

use super::convert::{MIN_BIGINT, Rendered, Times};
use super::{Cell, Limits, Offsets, Rescale, Slot, TextLimit};
use crate::record::sources::{Binaries, Integers, Texts, Ticks, Unscaled, values};
use crate::schema::same_name;
use crate::types::OdpsType;

impl<'a> Slot<'a> {
    /// Binds `array` to a column of type `ty`, or says why it can not be.
    pub(crate) fn bind(
        ty: &OdpsType,
        array: &'a dyn Array,
        limits: Limits,
    ) -> Result<Self, String> {
        // The null type has no null buffer and is all NULL.
        let cell = match array.data_type() {
            DataType::Null => Cell::Null,
            DataType::Dictionary(..) => dictionary(ty, array, limits)?,
            _ => match cell(ty, array, limits) {
                Ok(Some(cell)) => cell,
                Ok(None) => {
                    return Err(format!(
                        "Arrow type {} can not be written to {ty} without loss",
                        array.data_type()
                    ));
                }
                Err(reason) => return Err(reason),
            },
        };
        Ok(Self {
            nulls: array.nulls(),
            cell,
        })
    }
}

fn cell<'a>(
    ty: &OdpsType,
    array: &'a dyn Array,
    limits: Limits,
) -> Result<Option<Cell<'a>>, String> {
    Ok(match ty {
        OdpsType::TinyInt => integer(array, i8::MIN.into(), i8::MAX.into()),
        OdpsType::SmallInt => integer(array, i16::MIN.into(), i16::MAX.into()),
        OdpsType::Int => integer(array, i32::MIN.into(), i32::MAX.into()),
        OdpsType::BigInt => integer(array, MIN_BIGINT, i64::MAX),
        OdpsType::Float => float(array),
        OdpsType::Double => double(array),
        OdpsType::Boolean => array.as_boolean_opt().map(Cell::Boolean),
        OdpsType::String => text(array, usize::MAX, limits),
        OdpsType::Varchar(length) | OdpsType::Char(length) => text(array, *length as usize, limits),
        OdpsType::Binary => Binaries::of(array).map(|values| Cell::Binary {
            values,
            max_bytes: limits.max_field_size,
        }),
        OdpsType::Json => Texts::of(array).map(|values| Cell::Json {
            values,
            max_bytes: limits.max_field_size,
        }),
        OdpsType::Decimal { precision, scale } => decimal(array, *precision, *scale),
        OdpsType::Date => date(array),
        OdpsType::Datetime => Ticks::timestamps(array)
            .map(Cell::Datetime)
            .or_else(|| values::<types::Date32Type>(array).map(Cell::DatetimeOfDate)),
        OdpsType::Timestamp | OdpsType::TimestampNtz => Ticks::timestamps(array)
            .map(Cell::Timestamp)
            .or_else(|| values::<types::Date32Type>(array).map(Cell::TimestampOfDate)),
        OdpsType::IntervalDayTime => day_time(array),
        OdpsType::IntervalYearMonth => {
            values::<types::IntervalYearMonthType>(array).map(Cell::Months)
        }
        OdpsType::Array(element) => list(element, array, limits)?,
        OdpsType::Map(key, value) => map(key, value, array, limits)?,
        OdpsType::Struct(fields) => match array.as_struct_opt() {
            Some(array) => Some(structure(fields, array, limits)?),
            None => None,
        },
    })
}

fn dictionary<'a>(ty: &OdpsType, array: &'a dyn Array, limits: Limits) -> Result<Cell<'a>, String> {
    let Some(dictionary) = array.as_any_dictionary_opt() else {
        return Err("the dictionary has an unknown key type".to_owned());
    };
    let values = Slot::bind(ty, dictionary.values().as_ref(), limits)?;
    // Without values every key is NULL, and there is nothing a key could point at.
    if dictionary.values().is_empty() {
        return Ok(Cell::Null);
    }
    Ok(Cell::Dictionary {
        keys: dictionary.normalized_keys(),
        values: Box::new(values),
    })
}

fn integer(array: &dyn Array, min: i64, max: i64) -> Option<Cell<'_>> {
    if let Some(values) = Integers::of(array) {
        return Some(Cell::Integer { values, min, max });
    }
    let (values, scale) = Unscaled::of(array)?;
    let rescale = Rescale::new(scale, 0, 38)?;
    Some(Cell::IntegerOfDecimal {
        values,
        rescale,
        min,
        max,
    })
}

fn float(array: &dyn Array) -> Option<Cell<'_>> {
    match array.data_type() {
        DataType::Float32 => values::<types::Float32Type>(array).map(Cell::Float),
        DataType::Float16 => values::<types::Float16Type>(array).map(|values| Cell::HalfFloat {
            values,
            double: false,
        }),
        _ => Integers::of(array).map(|values| Cell::FloatOfInteger {
            values,
            double: false,
        }),
    }
}

fn double(array: &dyn Array) -> Option<Cell<'_>> {
    match array.data_type() {
        DataType::Float64 => values::<types::Float64Type>(array).map(Cell::Double),
        DataType::Float32 => values::<types::Float32Type>(array).map(Cell::WidenedFloat),
        DataType::Float16 => values::<types::Float16Type>(array).map(|values| Cell::HalfFloat {
            values,
            double: true,
        }),
        _ => Integers::of(array).map(|values| Cell::FloatOfInteger {
            values,
            double: true,
        }),
    }
}

fn text(array: &dyn Array, max_characters: usize, limits: Limits) -> Option<Cell<'_>> {
    let limit = TextLimit {
        max_bytes: limits.max_field_size,
        max_characters,
    };
    if let Some(values) = Texts::of(array) {
        return Some(Cell::Text { values, limit });
    }
    let times = |times| Some(Rendered::Time(times));
    let value = match array.data_type() {
        DataType::Boolean => array.as_boolean_opt().map(Rendered::Boolean),
        DataType::Date32 => values::<types::Date32Type>(array).map(Rendered::Date),
        DataType::Time32(TimeUnit::Second) => {
            times(Times::Seconds(values::<types::Time32SecondType>(array)?))
        }
        DataType::Time32(_) => times(Times::Milliseconds(values::<types::Time32MillisecondType>(
            array,
        )?)),
        DataType::Time64(TimeUnit::Microsecond) => times(Times::Microseconds(values::<
            types::Time64MicrosecondType,
        >(array)?)),
        DataType::Time64(_) => times(Times::Nanoseconds(values::<types::Time64NanosecondType>(
            array,
        )?)),
        _ => {
            let (values, scale) = Unscaled::of(array)?;
            let scale = u8::try_from(scale).ok().filter(|scale| *scale <= 38)?;
            Some(Rendered::Number { values, scale })
        }
    }?;
    Some(Cell::Rendered { value, limit })
}

fn decimal(array: &dyn Array, precision: u8, scale: u8) -> Option<Cell<'_>> {
    let (values, source_scale) = Unscaled::of(array)?;
    let rescale = Rescale::new(source_scale, scale, precision)?;
    Some(Cell::Decimal {
        values,
        rescale,
        precision,
        scale,
    })
}

fn date(array: &dyn Array) -> Option<Cell<'_>> {
    match array.data_type() {
        DataType::Date32 => values::<types::Date32Type>(array).map(Cell::Date),
        DataType::Date64 => values::<types::Date64Type>(array).map(Cell::DateOfMilliseconds),
        _ => Ticks::timestamps(array).map(Cell::DateOfTimestamp),
    }
}

fn day_time(array: &dyn Array) -> Option<Cell<'_>> {
    match array.data_type() {
        DataType::Interval(IntervalUnit::DayTime) => {
            values::<types::IntervalDayTimeType>(array).map(Cell::DayTimeOfInterval)
        }
        _ => Ticks::durations(array).map(Cell::DayTime),
    }
}

fn list<'a>(
    element: &OdpsType,
    array: &'a dyn Array,
    limits: Limits,
) -> Result<Option<Cell<'a>>, String> {
    let (offsets, values) = if let Some(list) = array.as_list_opt::<i32>() {
        (Offsets::Small(list.value_offsets()), list.values())
    } else if let Some(list) = array.as_list_opt::<i64>() {
        (Offsets::Large(list.value_offsets()), list.values())
    } else if let Some(list) = array.as_fixed_size_list_opt() {
        let first = usize::try_from(list.value_offset(0)).unwrap_or(0);
        let size = usize::try_from(list.value_length()).unwrap_or(0);
        (Offsets::Fixed { first, size }, list.values())
    } else if let Some(list) = array.as_list_view_opt::<i32>() {
        let offsets = Offsets::SmallView(list.value_offsets(), list.value_sizes());
        (offsets, list.values())
    } else if let Some(list) = array.as_list_view_opt::<i64>() {
        let offsets = Offsets::LargeView(list.value_offsets(), list.value_sizes());
        (offsets, list.values())
    } else {
        return Ok(None);
    };
    let element = Slot::bind(element, values.as_ref(), limits)
        .map_err(|reason| format!("array element: {reason}"))?;
    Ok(Some(Cell::List {
        offsets,
        element: Box::new(element),
    }))
}

fn map<'a>(
    key: &OdpsType,
    value: &OdpsType,
    array: &'a dyn Array,
    limits: Limits,
) -> Result<Option<Cell<'a>>, String> {
    let Some(map) = array.as_map_opt() else {
        return Ok(None);
    };
    let key = Slot::bind(key, map.keys().as_ref(), limits)
        .map_err(|reason| format!("map key: {reason}"))?;
    let value = Slot::bind(value, map.values().as_ref(), limits)
        .map_err(|reason| format!("map value: {reason}"))?;
    Ok(Some(Cell::Map {
        offsets: Offsets::Small(map.value_offsets()),
        key: Box::new(key),
        value: Box::new(value),
    }))
}

/// Fields meet by name. One the rows do not have is NULL; one the column does not have is refused,
/// for its values would be lost.
fn structure<'a>(
    fields: &[(String, OdpsType)],
    array: &'a StructArray,
    limits: Limits,
) -> Result<Cell<'a>, String> {
    if let Some(extra) = array
        .fields()
        .iter()
        .find(|field| !fields.iter().any(|(name, _)| same_name(name, field.name())))
    {
        return Err(format!(
            "the struct has no field `{}` at the service",
            extra.name()
        ));
    }
    let bound = fields
        .iter()
        .map(|(name, ty)| {
            let source = array
                .fields()
                .iter()
                .zip(array.columns())
                .find(|(field, _)| same_name(name, field.name()));
            let slot = match source {
                Some((_, column)) => Slot::bind(ty, column.as_ref(), limits)
                    .map_err(|reason| format!("struct field `{name}`: {reason}"))?,
                None => Slot::null(),
            };
            Ok((name.clone(), slot))
        })
        .collect::<Result<_, String>>()?;
    Ok(Cell::Struct(bound))
}
