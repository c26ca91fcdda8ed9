//! Values of one column, by type.

use std::sync::Arc;

use arrow_array::{
    Array as _, ArrayRef, ListArray, MapArray, StructArray,
    builder::{
        BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
        Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder, StringBuilder,
    },
};
use arrow_buffer::{NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};
use chrono_tz::Tz;

use super::{Column, Fault, Wire};
use crate::source::types::ColumnType;

/// Builders; text columns say whether any JSON may go in.
#[derive(Debug)]
pub(super) enum Values {
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Text(StringBuilder, /* any JSON */ bool),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    /// Raw counts; the unit and zone are put on when the column is finished.
    Timestamp(Int64Builder, TimeUnit, DataType),
    List(Nested, FieldRef, Box<Column>),
    Map(Nested, FieldRef, Box<Column>, Box<Column>),
    Struct(NullBufferBuilder, usize, Fields, Vec<Column>),
}

/// Offsets and validity of lists and maps.
#[derive(Debug)]
pub(super) struct Nested {
    offsets: Vec<i32>,
    validity: NullBufferBuilder,
}

impl Nested {
    fn new() -> Self {
        Self {
            offsets: vec![0],
            validity: NullBufferBuilder::new(0),
        }
    }

    pub(super) fn push(&mut self, length: usize, valid: bool) -> Result<(), Fault> {
        let length = i32::try_from(length).map_err(|_| "too many elements".to_owned())?;
        let last = self.offsets.last().copied().unwrap_or(0);
        let end = last
            .checked_add(length)
            .ok_or_else(|| "too many elements in one batch".to_owned())?;
        self.offsets.push(end);
        self.validity.append(valid);
        Ok(())
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        (
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            self.validity.finish(),
        )
    }
}

impl Values {
    pub(super) fn new(
        data_type: &DataType,
        wire: &Wire,
        any_json: bool,
        zone: Option<Tz>,
    ) -> Result<Self, Fault> {
        let child = |field: &Field, wire: Wire| {
            Column::new(&ColumnType::of_field(field), wire, zone)
                .map_err(|fault| format!("field `{}`: {fault}", field.name()))
        };
        Ok(match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int8 => Self::Int8(Int8Builder::new()),
            DataType::Int16 => Self::Int16(Int16Builder::new()),
            DataType::Int32 => Self::Int32(Int32Builder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Float32 => Self::Float32(Float32Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Decimal128(precision, scale) => Self::Decimal(
                Decimal128Builder::new().with_data_type(data_type.clone()),
                *precision,
                *scale,
            ),
            DataType::Utf8 => Self::Text(StringBuilder::new(), any_json),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Timestamp(unit, _) => {
                Self::Timestamp(Int64Builder::new(), *unit, data_type.clone())
            }
            DataType::List(element) => {
                let wire = match wire {
                    Wire::List(wire) => wire.as_ref().clone(),
                    _ => Wire::Plain,
                };
                let column = child(element, wire)?;
                Self::List(Nested::new(), Arc::clone(element), Box::new(column))
            }
            DataType::Map(entries, _) => {
                let (key_wire, value_wire) = match wire {
                    Wire::Map(key, value) => (key.as_ref().clone(), value.as_ref().clone()),
                    _ => (Wire::Plain, Wire::Plain),
                };
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err("the map's entries are no pairs".to_owned());
                };
                let [key, value] = fields.as_ref() else {
                    return Err("the map's entries are no pairs".to_owned());
                };
                Self::Map(
                    Nested::new(),
                    Arc::clone(entries),
                    Box::new(child(key, key_wire)?),
                    Box::new(child(value, value_wire)?),
                )
            }
            DataType::Struct(fields) => {
                let wires = match wire {
                    Wire::Struct(wires) if wires.len() == fields.len() => wires.clone(),
                    _ => vec![Wire::Plain; fields.len()],
                };
                let children = fields
                    .iter()
                    .zip(wires)
                    .map(|(field, wire)| child(field, wire))
                    .collect::<Result<_, _>>()?;
                Self::Struct(NullBufferBuilder::new(0), 0, fields.clone(), children)
            }
            other => return Err(format!("type {other} can not be read from text")),
        })
    }

    pub(super) fn append_null(&mut self) -> Result<(), Fault> {
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Int8(builder) => builder.append_null(),
            Self::Int16(builder) => builder.append_null(),
            Self::Int32(builder) => builder.append_null(),
            Self::Int64(builder) | Self::Timestamp(builder, ..) => builder.append_null(),
            Self::Float32(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Decimal(builder, ..) => builder.append_null(),
            Self::Text(builder, _) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::List(nested, ..) | Self::Map(nested, ..) => nested.push(0, false)?,
            Self::Struct(validity, rows, _, children) => {
                for child in children {
                    child.values.append_hidden()?;
                }
                validity.append(false);
                *rows += 1;
            }
        }
        Ok(())
    }

    /// Below a NULL struct: NULL where nothing forbids it, which the parent hides anyway.
    fn append_hidden(&mut self) -> Result<(), Fault> {
        self.append_filler()
    }

    pub(super) fn append_filler(&mut self) -> Result<(), Fault> {
        match self {
            Self::Boolean(builder) => builder.append_value(false),
            Self::Int8(builder) => builder.append_value(0),
            Self::Int16(builder) => builder.append_value(0),
            Self::Int32(builder) => builder.append_value(0),
            Self::Int64(builder) | Self::Timestamp(builder, ..) => builder.append_value(0),
            Self::Float32(builder) => builder.append_value(0.0),
            Self::Float64(builder) => builder.append_value(0.0),
            Self::Decimal(builder, ..) => builder.append_value(0),
            Self::Text(builder, true) => builder.append_value("null"),
            Self::Text(builder, false) => builder.append_value(""),
            Self::Bytes(builder) => builder.append_value(b""),
            Self::Date(builder) => builder.append_value(0),
            Self::List(nested, ..) | Self::Map(nested, ..) => nested.push(0, true)?,
            Self::Struct(validity, rows, _, children) => {
                for child in children {
                    child.values.append_filler()?;
                }
                validity.append(true);
                *rows += 1;
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef, arrow_schema::ArrowError> {
        Ok(match self {
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Int8(builder) => Arc::new(builder.finish()),
            Self::Int16(builder) => Arc::new(builder.finish()),
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Float32(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder, ..) => Arc::new(builder.finish()),
            Self::Text(builder, _) => Arc::new(builder.finish()),
            Self::Bytes(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder, _, data_type) => {
                let counts = builder.finish().into_data().into_builder();
                arrow_array::make_array(counts.data_type(data_type.clone()).build()?)
            }
            Self::List(nested, field, element) => {
                let values = element.finish()?;
                let (offsets, nulls) = nested.finish();
                Arc::new(ListArray::try_new(
                    Arc::clone(field),
                    offsets,
                    values,
                    nulls,
                )?)
            }
            Self::Map(nested, field, key, value) => {
                let (offsets, nulls) = nested.finish();
                let DataType::Struct(fields) = field.data_type() else {
                    return Err(arrow_schema::ArrowError::SchemaError(
                        "the map's entries are no pairs".to_owned(),
                    ));
                };
                let entries = StructArray::try_new(
                    fields.clone(),
                    vec![key.finish()?, value.finish()?],
                    None,
                )?;
                Arc::new(MapArray::try_new(
                    Arc::clone(field),
                    offsets,
                    entries,
                    nulls,
                    false,
                )?)
            }
            Self::Struct(validity, rows, fields, children) => {
                let arrays = children
                    .iter_mut()
                    .map(Column::finish)
                    .collect::<Result<Vec<_>, _>>()?;
                let length = std::mem::take(rows);
                Arc::new(StructArray::try_new_with_length(
                    fields.clone(),
                    arrays,
                    validity.finish(),
                    length,
                )?)
            }
        })
    }
}
