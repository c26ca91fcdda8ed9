//! Arrow arrays of values.

use std::sync::Arc;

use arrow_array::builder::BooleanBuilder;
use arrow_array::types::{DurationNanosecondType, IntervalYearMonthType};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, PrimitiveArray,
    StringArray, StructArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{Field, Fields};
use longshore_core::types::OdpsType;

use super::Value;

/// An array in the natural Arrow type of `ty`.
pub(crate) fn array(ty: &OdpsType, values: &[Value]) -> ArrayRef {
    match ty {
        OdpsType::TinyInt => Arc::new(Int8Array::from_iter(
            integers(values).map(|v| v.map(|v| v as i8)),
        )),
        OdpsType::SmallInt => Arc::new(Int16Array::from_iter(
            integers(values).map(|v| v.map(|v| v as i16)),
        )),
        OdpsType::Int => Arc::new(Int32Array::from_iter(
            integers(values).map(|v| v.map(|v| v as i32)),
        )),
        OdpsType::BigInt => Arc::new(Int64Array::from_iter(integers(values))),
        OdpsType::Float => Arc::new(Float32Array::from_iter(values.iter().map(|v| match v {
            Value::Float(bits) => Some(f32::from_bits(*bits)),
            _ => None,
        }))),
        OdpsType::Double => Arc::new(Float64Array::from_iter(values.iter().map(|v| match v {
            Value::Double(bits) => Some(f64::from_bits(*bits)),
            _ => None,
        }))),
        OdpsType::Boolean => {
            let mut builder = BooleanBuilder::new();
            for value in values {
                builder.append_option(match value {
                    Value::Boolean(value) => Some(*value),
                    _ => None,
                });
            }
            Arc::new(builder.finish())
        }
        OdpsType::String | OdpsType::Varchar(_) | OdpsType::Char(_) | OdpsType::Json => {
            Arc::new(StringArray::from_iter(
                bytes(values).map(|v| v.map(|v| std::str::from_utf8(v).unwrap())),
            ))
        }
        OdpsType::Binary => Arc::new(BinaryArray::from_iter(bytes(values))),
        OdpsType::Decimal { precision, scale } => {
            let unscaled = bytes(values)
                .map(|v| v.map(|v| unscaled(std::str::from_utf8(v).unwrap(), *scale).unwrap()));
            Arc::new(
                Decimal128Array::from_iter(unscaled)
                    .with_precision_and_scale(*precision, *scale as i8)
                    .unwrap(),
            )
        }
        OdpsType::Date => Arc::new(Date32Array::from_iter(
            integers(values).map(|v| v.map(|v| v as i32)),
        )),
        OdpsType::Datetime => Arc::new(TimestampMillisecondArray::from_iter(integers(values))),
        OdpsType::Timestamp => {
            Arc::new(TimestampNanosecondArray::from_iter(nanoseconds(values)).with_timezone("UTC"))
        }
        OdpsType::TimestampNtz => {
            Arc::new(TimestampNanosecondArray::from_iter(nanoseconds(values)))
        }
        OdpsType::IntervalDayTime => Arc::new(PrimitiveArray::<DurationNanosecondType>::from_iter(
            nanoseconds(values),
        )),
        OdpsType::IntervalYearMonth => {
            Arc::new(PrimitiveArray::<IntervalYearMonthType>::from_iter(
                integers(values).map(|v| v.map(|v| v as i32)),
            ))
        }
        OdpsType::Array(element) => {
            let lists = values.iter().map(|v| match v {
                Value::List(list) => list.as_slice(),
                _ => &[],
            });
            let offsets = OffsetBuffer::from_lengths(lists.clone().map(<[Value]>::len));
            let child = array(element, &lists.flatten().cloned().collect::<Vec<_>>());
            let field = Arc::new(Field::new("element", child.data_type().clone(), true));
            Arc::new(ListArray::new(field, offsets, child, nulls(values)))
        }
        OdpsType::Map(key, value) => {
            let maps = values.iter().map(|v| match v {
                Value::Map(entries) => entries.as_slice(),
                _ => &[],
            });
            let offsets = OffsetBuffer::from_lengths(maps.clone().map(<[_]>::len));
            let (keys, items): (Vec<Value>, Vec<Value>) = maps.flatten().cloned().unzip();
            let (keys, items) = (array(key, &keys), array(value, &items));
            let fields = Fields::from(vec![
                Field::new("key", keys.data_type().clone(), false),
                Field::new("value", items.data_type().clone(), true),
            ]);
            let entries = StructArray::new(fields, vec![keys, items], None);
            let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
            Arc::new(MapArray::new(field, offsets, entries, nulls(values), false))
        }
        OdpsType::Struct(fields) => {
            let children: Vec<ArrayRef> = fields
                .iter()
                .enumerate()
                .map(|(i, (_, ty))| {
                    let column: Vec<Value> = values
                        .iter()
                        .map(|v| match v {
                            Value::Struct(fields) => fields[i].clone(),
                            _ => Value::Null,
                        })
                        .collect();
                    array(ty, &column)
                })
                .collect();
            let fields: Fields = fields
                .iter()
                .zip(&children)
                .map(|((name, _), child)| Field::new(name, child.data_type().clone(), true))
                .collect();
            Arc::new(StructArray::new(fields, children, nulls(values)))
        }
    }
}

fn nulls(values: &[Value]) -> Option<NullBuffer> {
    Some(NullBuffer::from_iter(
        values.iter().map(|v| *v != Value::Null),
    ))
}

fn integers(values: &[Value]) -> impl Iterator<Item = Option<i64>> {
    values.iter().map(|v| match v {
        Value::Integer(v) => Some(*v),
        _ => None,
    })
}

fn bytes(values: &[Value]) -> impl Iterator<Item = Option<&[u8]>> {
    values.iter().map(|v| match v {
        Value::Bytes(v) => Some(v.as_slice()),
        _ => None,
    })
}

fn nanoseconds(values: &[Value]) -> impl Iterator<Item = Option<i64>> {
    values.iter().map(|v| match v {
        Value::Time(seconds, nanos) => Some(seconds * 1_000_000_000 + i64::from(*nanos)),
        _ => None,
    })
}

/// A decimal text times 10^scale; `None` where that is not a whole number.
pub(crate) fn unscaled(text: &str, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = text.split_once('E').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().unwrap();
    let shift = exponent.parse::<i32>().unwrap() + i32::from(scale) - fraction.len() as i32;
    let factor = 10_i128.pow(shift.unsigned_abs());
    if shift >= 0 {
        Some(digits * factor)
    } else {
        (digits % factor == 0).then_some(digits / factor)
    }
}

/// The same, rounded half away from zero.
pub(crate) fn rounded(text: &str, scale: u8) -> i128 {
    if let Some(exact) = unscaled(text, scale) {
        return exact;
    }
    let fine = unscaled(text, scale + 12).unwrap();
    let factor = 10_i128.pow(12);
    (fine + fine.signum() * factor / 2) / factor
}
