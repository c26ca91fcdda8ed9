//! One column while it grows: values can be taken back until their row is complete.

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray,
    StructArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields};

use super::cell::Value;
use crate::record::cell::Refused;
use crate::types::OdpsType;

/// A column, or a part of a nested one.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// For each value whether there is one.
    valid: Vec<bool>,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Boolean(Vec<bool>),
    Decimal {
        unscaled: Vec<i128>,
        precision: u8,
        scale: u8,
    },
    Date(Vec<i32>),
    Datetime(Vec<i64>),
    Timestamp(Vec<i64>),
    /// Text, too: no schema travels, and their buffers are the same.
    Bytes {
        ends: Ends,
        bytes: Vec<u8>,
    },
    List {
        ends: Ends,
        element: Box<Node>,
    },
    Map {
        ends: Ends,
        key: Box<Node>,
        value: Box<Node>,
    },
    Struct(Vec<(String, Node)>),
}

/// Where each value ends in what follows; begins with 0.
#[derive(Debug, Clone)]
struct Ends(Vec<i32>);

impl Ends {
    fn new() -> Self {
        Self(vec![0])
    }

    fn last(&self) -> usize {
        self.0
            .last()
            .and_then(|end| usize::try_from(*end).ok())
            .unwrap_or(0)
    }

    fn push(&mut self, end: usize) -> Result<(), Refused> {
        let end = i32::try_from(end)
            .map_err(|_| Refused::new("the block would hold more than 2 GiB of one column"))?;
        self.0.push(end);
        Ok(())
    }

    fn repeat(&mut self) {
        self.0.push(self.0.last().copied().unwrap_or(0));
    }

    /// Keeps `len` values; where they end.
    fn truncate(&mut self, len: usize) -> usize {
        self.0.truncate(len + 1);
        self.last()
    }

    fn take(&mut self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(std::mem::replace(&mut self.0, vec![0]).into())
    }
}

type CellIter<'a> = std::slice::Iter<'a, Value>;

impl Node {
    /// A column of this type, or the type in it that has no form here.
    pub(super) fn of(ty: &OdpsType) -> Result<Self, OdpsType> {
        let boxed = |ty: &OdpsType| Self::of(ty).map(Box::new);
        let values = match ty {
            OdpsType::TinyInt => Values::Int8(Vec::new()),
            OdpsType::SmallInt => Values::Int16(Vec::new()),
            OdpsType::Int => Values::Int32(Vec::new()),
            OdpsType::BigInt => Values::Int64(Vec::new()),
            OdpsType::Float => Values::Float(Vec::new()),
            OdpsType::Double => Values::Double(Vec::new()),
            OdpsType::Boolean => Values::Boolean(Vec::new()),
            OdpsType::Decimal { precision, scale } => Values::Decimal {
                unscaled: Vec::new(),
                precision: *precision,
                scale: *scale,
            },
            OdpsType::Date => Values::Date(Vec::new()),
            OdpsType::Datetime => Values::Datetime(Vec::new()),
            OdpsType::Timestamp | OdpsType::TimestampNtz => Values::Timestamp(Vec::new()),
            OdpsType::String
            | OdpsType::Varchar(_)
            | OdpsType::Char(_)
            | OdpsType::Json
            | OdpsType::Binary => Values::Bytes {
                ends: Ends::new(),
                bytes: Vec::new(),
            },
            OdpsType::Array(element) => Values::List {
                ends: Ends::new(),
                element: boxed(element)?,
            },
            OdpsType::Map(key, value) => Values::Map {
                ends: Ends::new(),
                key: boxed(key)?,
                value: boxed(value)?,
            },
            OdpsType::Struct(fields) => Values::Struct(
                fields
                    .iter()
                    .map(|(name, ty)| Ok((name.clone(), Self::of(ty)?)))
                    .collect::<Result<_, OdpsType>>()?,
            ),
            OdpsType::IntervalDayTime | OdpsType::IntervalYearMonth => return Err(ty.clone()),
        };
        Ok(Self {
            valid: Vec::new(),
            values,
        })
    }

    /// Appends the next value of `cell`; its size in bytes.
    pub(super) fn push(&mut self, cell: &mut CellIter<'_>, text: &[u8]) -> Result<usize, Refused> {
        let size = self.values.push(cell, text)?;
        self.valid.push(true);
        Ok(size + 1)
    }

    /// As `push`, after its null flag.
    fn push_flagged(&mut self, cell: &mut CellIter<'_>, text: &[u8]) -> Result<usize, Refused> {
        match cell.next() {
            Some(Value::IsNull(true)) => Ok(self.push_null()),
            Some(Value::IsNull(false)) => self.push(cell, text),
            _ => Err(another_kind()),
        }
    }

    pub(super) fn push_null(&mut self) -> usize {
        self.valid.push(false);
        1 + match &mut self.values {
            Values::Int8(values) => pad(values),
            Values::Int16(values) => pad(values),
            Values::Int32(values) | Values::Date(values) => pad(values),
            Values::Int64(values) | Values::Datetime(values) | Values::Timestamp(values) => {
                pad(values)
            }
            Values::Float(values) => pad(values),
            Values::Double(values) => pad(values),
            Values::Boolean(values) => pad(values),
            Values::Decimal { unscaled, .. } => pad(unscaled),
            Values::Bytes { ends, .. } | Values::List { ends, .. } | Values::Map { ends, .. } => {
                ends.repeat();
                size_of::<i32>()
            }
            Values::Struct(fields) => fields.iter_mut().map(|(_, node)| node.push_null()).sum(),
        }
    }

    /// Keeps the first `len` values.
    pub(super) fn truncate(&mut self, len: usize) {
        self.valid.truncate(len);
        match &mut self.values {
            Values::Int8(values) => values.truncate(len),
            Values::Int16(values) => values.truncate(len),
            Values::Int32(values) | Values::Date(values) => values.truncate(len),
            Values::Int64(values) | Values::Datetime(values) | Values::Timestamp(values) => {
                values.truncate(len);
            }
            Values::Float(values) => values.truncate(len),
            Values::Double(values) => values.truncate(len),
            Values::Boolean(values) => values.truncate(len),
            Values::Decimal { unscaled, .. } => unscaled.truncate(len),
            Values::Bytes { ends, bytes } => bytes.truncate(ends.truncate(len)),
            Values::List { ends, element } => element.truncate(ends.truncate(len)),
            Values::Map { ends, key, value } => {
                let end = ends.truncate(len);
                key.truncate(end);
                value.truncate(end);
            }
            Values::Struct(fields) => fields.iter_mut().for_each(|(_, node)| node.truncate(len)),
        }
    }

    pub(super) fn take_array(&mut self) -> Result<ArrayRef, ArrowError> {
        let valid = std::mem::take(&mut self.valid);
        let nulls = valid
            .contains(&false)
            .then(|| NullBuffer::new(BooleanBuffer::from(valid)));
        Ok(match &mut self.values {
            Values::Int8(values) => primitive::<Int8Type>(values, nulls),
            Values::Int16(values) => primitive::<Int16Type>(values, nulls),
            Values::Int32(values) => primitive::<Int32Type>(values, nulls),
            Values::Int64(values) => primitive::<Int64Type>(values, nulls),
            Values::Float(values) => primitive::<Float32Type>(values, nulls),
            Values::Double(values) => primitive::<Float64Type>(values, nulls),
            Values::Date(values) => primitive::<Date32Type>(values, nulls),
            Values::Datetime(values) => primitive::<TimestampMillisecondType>(values, nulls),
            Values::Timestamp(values) => primitive::<TimestampNanosecondType>(values, nulls),
            Values::Boolean(values) => {
                let bits = BooleanBuffer::from(std::mem::take(values));
                Arc::new(BooleanArray::new(bits, nulls))
            }
            Values::Decimal {
                unscaled,
                precision,
                scale,
            } => {
                let values = ScalarBuffer::from(std::mem::take(unscaled));
                let array = PrimitiveArray::<Decimal128Type>::try_new(values, nulls)?;
                let scale = i8::try_from(*scale).unwrap_or(i8::MAX);
                Arc::new(array.with_precision_and_scale(*precision, scale)?)
            }
            Values::Bytes { ends, bytes } => {
                let bytes = Buffer::from_vec(std::mem::take(bytes));
                Arc::new(BinaryArray::try_new(ends.take(), bytes, nulls)?)
            }
            Values::List { ends, element } => {
                let element = element.take_array()?;
                let field = Arc::new(Field::new("element", element.data_type().clone(), true));
                Arc::new(ListArray::try_new(field, ends.take(), element, nulls)?)
            }
            Values::Map { ends, key, value } => {
                let (key, value) = (key.take_array()?, value.take_array()?);
                let fields = Fields::from(vec![
                    Field::new("key", key.data_type().clone(), false),
                    Field::new("value", value.data_type().clone(), true),
                ]);
                let entries = StructArray::try_new(fields.clone(), vec![key, value], None)?;
                let field = Field::new("entries", DataType::Struct(fields), false);
                Arc::new(MapArray::try_new(
                    Arc::new(field),
                    ends.take(),
                    entries,
                    nulls,
                    false,
                )?)
            }
            Values::Struct(fields) => {
                let mut arrays = Vec::with_capacity(fields.len());
                let mut types = Vec::with_capacity(fields.len());
                for (name, node) in fields {
                    let array = node.take_array()?;
                    types.push(Field::new(name.clone(), array.data_type().clone(), true));
                    arrays.push(array);
                }
                Arc::new(StructArray::try_new(Fields::from(types), arrays, nulls)?)
            }
        })
    }
}

impl Values {
    /// Appends the next value of `cell`; its size in bytes. What is left of a value that is refused
    /// half way goes with the row.
    fn push(&mut self, cell: &mut CellIter<'_>, text: &[u8]) -> Result<usize, Refused> {
        let next = cell.next().copied().ok_or_else(another_kind)?;
        match (self, next) {
            (Self::Int8(values), Value::Integer(value)) => append(values, narrow(value)?),
            (Self::Int16(values), Value::Integer(value)) => append(values, narrow(value)?),
            (Self::Int32(values), Value::Integer(value)) => append(values, narrow(value)?),
            (Self::Int64(values), Value::Integer(value)) => append(values, value),
            (Self::Float(values), Value::Float(value)) => append(values, value),
            (Self::Double(values), Value::Double(value)) => append(values, value),
            (Self::Boolean(values), Value::Boolean(value)) => append(values, value),
            (Self::Decimal { unscaled, .. }, Value::Decimal(value)) => append(unscaled, value),
            (Self::Date(values), Value::Days(days)) => append(values, narrow(days)?),
            (Self::Datetime(values), Value::Milliseconds(value)) => append(values, value),
            (Self::Timestamp(values), Value::Timestamp(seconds, nanoseconds)) => {
                append(values, nanoseconds_since_1970(seconds, nanoseconds)?)
            }
            (Self::Bytes { ends, bytes }, Value::Bytes(start, end)) => {
                let value = text.get(start..end).ok_or_else(another_kind)?;
                ends.push(bytes.len() + value.len())?;
                bytes.extend_from_slice(value);
                Ok(size_of::<i32>() + value.len())
            }
            (Self::List { ends, element }, Value::List(length)) => {
                let mut size = size_of::<i32>();
                for _ in 0..length {
                    size += element.push_flagged(cell, text)?;
                }
                ends.push(element.valid.len())?;
                Ok(size)
            }
            (Self::Map { ends, key, value }, Value::List(length)) => {
                let mut size = size_of::<i32>();
                for _ in 0..length {
                    match cell.next() {
                        Some(Value::IsNull(false)) => size += key.push(cell, text)?,
                        _ => {
                            return Err(Refused::new(
                                "a key of a MAP is NULL, which the Arrow tunnel can not carry",
                            ));
                        }
                    }
                }
                match cell.next() {
                    Some(Value::List(values)) if *values == length => {}
                    _ => return Err(another_kind()),
                }
                for _ in 0..length {
                    size += value.push_flagged(cell, text)?;
                }
                ends.push(key.valid.len())?;
                Ok(size)
            }
            (Self::Struct(fields), Value::Struct) => {
                let mut size = 0;
                for (_, node) in fields {
                    size += node.push_flagged(cell, text)?;
                }
                Ok(size)
            }
            _ => Err(another_kind()),
        }
    }
}

fn append<T>(values: &mut Vec<T>, value: T) -> Result<usize, Refused> {
    values.push(value);
    Ok(size_of::<T>())
}

fn pad<T: Default>(values: &mut Vec<T>) -> usize {
    values.push(T::default());
    size_of::<T>()
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let values = ScalarBuffer::from(std::mem::take(values));
    Arc::new(PrimitiveArray::<T>::new(values, nulls))
}

fn narrow<T: TryFrom<i64>>(value: i64) -> Result<T, Refused> {
    T::try_from(value)
        .map_err(|_| Refused::new(format!("{value} is outside of the column's range")))
}

fn nanoseconds_since_1970(seconds: i64, nanoseconds: i32) -> Result<i64, Refused> {
    let exact = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    i64::try_from(exact).map_err(|_| {
        Refused::new(
            "the Arrow tunnel carries timestamps of the years 1677 to 2262 only; set `tunnel` to batch",
        )
    })
}

/// A slot gives the values its column has, so this is a defect of the sink.
#[cold]
fn another_kind() -> Refused {
    Refused::new("the value is of another kind than its column, which is a defect of the sink")
}
