//! Values as text, the way query results show them.

use std::fmt::Write;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMillisecondType,
};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};
use serde_json::{Map, Value};

use crate::catalog::ColumnType;

/// The value at `row` of an in-memory column ([`ColumnType::arrow_type`]) as text; None for NULL.
///
/// DATETIME and TIMESTAMP are shown in UTC, with as many fraction digits as are not zero. BINARY
/// shows bytes outside printable ASCII as `=XX`. Containers are `[a, b]`, `{k:v}`, `{field:v}`.
pub fn value_text(array: &dyn Array, ty: &ColumnType, row: usize) -> Option<String> {
    text(array, ty, row, Datetimes::Exact)
}

/// As [`value_text`], but DATETIME in whole seconds, inside containers too: Python reads the old
/// preview by the fixed format `%Y-%m-%d %H:%M:%S`.
pub fn preview_text(array: &dyn Array, ty: &ColumnType, row: usize) -> Option<String> {
    text(array, ty, row, Datetimes::Seconds)
}

/// How exactly DATETIME is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Datetimes {
    /// To the millisecond.
    Exact,
    /// To the second.
    Seconds,
}

fn text(array: &dyn Array, ty: &ColumnType, row: usize, datetimes: Datetimes) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match ty {
        ColumnType::TinyInt => array.as_primitive_opt::<Int8Type>()?.value(row).to_string(),
        ColumnType::SmallInt => array
            .as_primitive_opt::<Int16Type>()?
            .value(row)
            .to_string(),
        ColumnType::Int => array
            .as_primitive_opt::<Int32Type>()?
            .value(row)
            .to_string(),
        ColumnType::BigInt => array
            .as_primitive_opt::<Int64Type>()?
            .value(row)
            .to_string(),
        ColumnType::Float => float_text(array.as_primitive_opt::<Float32Type>()?.value(row)),
        ColumnType::Double => float_text(array.as_primitive_opt::<Float64Type>()?.value(row)),
        ColumnType::Boolean => array.as_boolean_opt()?.value(row).to_string(),
        ColumnType::String | ColumnType::Varchar(_) | ColumnType::Char(_) | ColumnType::Json => {
            array.as_string_opt::<i32>()?.value(row).to_owned()
        }
        ColumnType::Binary => binary_text(array.as_binary_opt::<i32>()?.value(row)),
        ColumnType::Decimal { .. } | ColumnType::LegacyDecimal => array
            .as_primitive_opt::<Decimal128Type>()?
            .value_as_string(row),
        ColumnType::Date => date_text(array.as_primitive_opt::<Date32Type>()?.value(row)),
        ColumnType::Datetime => {
            let millis = array
                .as_primitive_opt::<TimestampMillisecondType>()?
                .value(row);
            let nanos = match datetimes {
                Datetimes::Exact => {
                    u32::try_from(millis.rem_euclid(1000)).unwrap_or_default() * 1_000_000
                }
                Datetimes::Seconds => 0,
            };
            instant_text(millis.div_euclid(1000), nanos)
        }
        ColumnType::Timestamp | ColumnType::TimestampNtz => {
            let (seconds, nanos) = seconds_nanos_at(array, row)?;
            instant_text(seconds, nanos)
        }
        ColumnType::IntervalDayTime => {
            let (seconds, nanos) = seconds_nanos_at(array, row)?;
            interval_text(seconds, nanos)
        }
        ColumnType::IntervalYearMonth => {
            let months = array.as_primitive_opt::<Int32Type>()?.value(row);
            let sign = if months < 0 { "-" } else { "" };
            format!(
                "{sign}{}-{}",
                months.unsigned_abs() / 12,
                months.unsigned_abs() % 12
            )
        }
        ColumnType::Array(element) => {
            let values = array.as_list_opt::<i32>()?.value(row);
            let items: Vec<String> = (0..values.len())
                .map(|i| nested_text(values.as_ref(), element, i, datetimes))
                .collect();
            format!("[{}]", items.join(", "))
        }
        ColumnType::Map(key, value) => {
            let entries = array.as_map_opt()?.value(row);
            let (keys, values) = (entries.columns().first()?, entries.columns().get(1)?);
            let items: Vec<String> = (0..entries.len())
                .map(|i| {
                    format!(
                        "{}:{}",
                        nested_text(keys.as_ref(), key, i, datetimes),
                        nested_text(values.as_ref(), value, i, datetimes)
                    )
                })
                .collect();
            format!("{{{}}}", items.join(", "))
        }
        ColumnType::Struct(fields) => {
            let items: Vec<String> = fields
                .iter()
                .zip(array.as_struct_opt()?.columns())
                .map(|((name, ty), column)| {
                    format!(
                        "{name}:{}",
                        nested_text(column.as_ref(), ty, row, datetimes)
                    )
                })
                .collect();
            format!("{{{}}}", items.join(", "))
        }
    })
}

/// A value inside a container: text in double quotes, NULL as `\\N`.
fn nested_text(array: &dyn Array, ty: &ColumnType, row: usize, datetimes: Datetimes) -> String {
    let Some(text) = text(array, ty, row, datetimes) else {
        return "\\N".to_owned();
    };
    match ty {
        ColumnType::String
        | ColumnType::Varchar(_)
        | ColumnType::Char(_)
        | ColumnType::Json
        | ColumnType::Binary => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        _ => text,
    }
}

/// The value at `row` as JSON: numbers and booleans as such, containers nested, the rest as text.
pub fn json_value(array: &dyn Array, ty: &ColumnType, row: usize) -> Option<Value> {
    if array.is_null(row) {
        return Some(Value::Null);
    }
    Some(match ty {
        ColumnType::TinyInt | ColumnType::SmallInt | ColumnType::Int | ColumnType::BigInt => {
            Value::from(value_text(array, ty, row)?.parse::<i64>().ok()?)
        }
        ColumnType::Float => float_value(f64::from(
            array.as_primitive_opt::<Float32Type>()?.value(row),
        )),
        ColumnType::Double => float_value(array.as_primitive_opt::<Float64Type>()?.value(row)),
        ColumnType::Boolean => Value::Bool(array.as_boolean_opt()?.value(row)),
        ColumnType::Array(element) => {
            let values = array.as_list_opt::<i32>()?.value(row);
            (0..values.len())
                .map(|i| json_value(values.as_ref(), element, i))
                .collect::<Option<_>>()?
        }
        ColumnType::Map(key, value) => {
            let entries = array.as_map_opt()?.value(row);
            let (keys, values) = (entries.columns().first()?, entries.columns().get(1)?);
            let mut map = Map::new();
            for i in 0..entries.len() {
                map.insert(
                    value_text(keys.as_ref(), key, i).unwrap_or_default(),
                    json_value(values.as_ref(), value, i)?,
                );
            }
            Value::Object(map)
        }
        ColumnType::Struct(fields) => {
            let values = array.as_struct_opt()?;
            let mut map = Map::new();
            for ((name, ty), column) in fields.iter().zip(values.columns()) {
                map.insert(name.clone(), json_value(column.as_ref(), ty, row)?);
            }
            Value::Object(map)
        }
        _ => Value::String(value_text(array, ty, row)?),
    })
}

fn float_value(value: f64) -> Value {
    serde_json::Number::from_f64(value)
        .map_or_else(|| Value::String(float_text(value)), Value::Number)
}

fn float_text(value: impl Into<f64> + std::fmt::Debug + Copy) -> String {
    let wide: f64 = value.into();
    if wide.is_nan() {
        "NaN".to_owned()
    } else if wide.is_infinite() {
        if wide > 0.0 {
            "Infinity".to_owned()
        } else {
            "-Infinity".to_owned()
        }
    } else {
        // Debug keeps a fraction (`1.0`) and the shortest digits that read back the same.
        format!("{value:?}")
    }
}

fn binary_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if (0x20..0x7f).contains(byte) && *byte != b'=' {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "={byte:02X}");
        }
    }
    text
}

fn date_text(days: i32) -> String {
    let date = NaiveDate::from_ymd_opt(1970, 1, 1)
        .and_then(|epoch| epoch.checked_add_signed(chrono::TimeDelta::days(days.into())));
    match date {
        Some(date) => format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day()),
        None => format!("{days} days"),
    }
}

fn instant_text(seconds: i64, nanos: u32) -> String {
    match DateTime::from_timestamp(seconds, nanos) {
        Some(instant) => naive_text(instant.naive_utc(), nanos),
        None => format!("{seconds}.{nanos:09}s"),
    }
}

fn naive_text(instant: NaiveDateTime, nanos: u32) -> String {
    let mut text = format!("{:04}{}", instant.year(), instant.format("-%m-%d %H:%M:%S"));
    if nanos > 0 {
        let fraction = format!("{nanos:09}");
        let _ = write!(text, ".{}", fraction.trim_end_matches('0'));
    }
    text
}

fn interval_text(seconds: i64, nanos: u32) -> String {
    // Floor seconds plus nanoseconds, shown with one sign.
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let sign = if total < 0 { "-" } else { "" };
    let (seconds, nanos) = (
        total.unsigned_abs() / 1_000_000_000,
        total.unsigned_abs() % 1_000_000_000,
    );
    format!(
        "{sign}{} {:02}:{:02}:{:02}.{nanos:09}",
        seconds / 86400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn seconds_nanos_at(array: &dyn Array, row: usize) -> Option<(i64, u32)> {
    let array = array.as_struct_opt()?;
    let seconds = array
        .columns()
        .first()?
        .as_primitive_opt::<Int64Type>()?
        .value(row);
    let nanos = array
        .columns()
        .get(1)?
        .as_primitive_opt::<Int32Type>()?
        .value(row);
    Some((seconds, u32::try_from(nanos).ok()?))
}
