use std::sync::Arc;

use arrow_array::{
    Array as _, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, StringArray,
    StructArray, TimestampMillisecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, Fields};

use super::{
    cursor::{ChecksumInput, Cursor, Stop, Unchecked},
    decimal,
    error::{WireError, WireErrorKind},
    field::decimal_digits,
};
use crate::catalog::{ColumnType, SECONDS_NANOS};

/// The largest text or binary value, in bytes, that the service takes unless it is told otherwise.
pub(super) const MAX_FIELD_BYTES: usize = 8 * 1024 * 1024;

pub(super) const DATE_DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
pub(super) const DATETIME_MILLIS: std::ops::RangeInclusive<i64> =
    -62_167_219_200_000..=253_402_300_799_999;

/// One value as it was found in a record, before it is stored.
///
/// Numbers are in `first` and `second`; texts and containers are the byte range `first..second`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    pub(super) present: bool,
    first: i64,
    second: i64,
}

impl Slot {
    fn number(first: i64) -> Self {
        Self {
            present: true,
            first,
            second: 0,
        }
    }

    fn bytes<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        record
            .get(self.first as usize..self.second as usize)
            .unwrap_or_default()
    }
}

/// Reads one value and feeds the checksum. Containers are walked, not stored.
#[inline]
pub(super) fn scan(
    ty: &ColumnType,
    cursor: &mut Cursor<'_>,
    checksum: &mut impl ChecksumInput,
) -> Result<Slot, Stop> {
    match ty {
        ColumnType::TinyInt
        | ColumnType::SmallInt
        | ColumnType::Int
        | ColumnType::BigInt
        | ColumnType::Date
        | ColumnType::Datetime
        | ColumnType::IntervalYearMonth => {
            let value = cursor.zigzag()?;
            checksum.put(&value.to_le_bytes());
            Ok(Slot::number(value))
        }
        ColumnType::Boolean => {
            let value = cursor.flag()?;
            checksum.put(&[u8::from(value)]);
            Ok(Slot::number(i64::from(value)))
        }
        ColumnType::Float => {
            let bytes = cursor.array::<4>()?;
            checksum.put(&bytes);
            Ok(Slot::number(i64::from(u32::from_le_bytes(bytes))))
        }
        ColumnType::Double => {
            let bytes = cursor.array::<8>()?;
            checksum.put(&bytes);
            Ok(Slot::number(i64::from_le_bytes(bytes)))
        }
        ColumnType::String
        | ColumnType::Varchar(_)
        | ColumnType::Char(_)
        | ColumnType::Json
        | ColumnType::Binary
        | ColumnType::Decimal { .. }
        | ColumnType::LegacyDecimal => {
            let length = cursor.varint()?;
            if length > cursor.field_limit() as u64 {
                return Err(over_limit(length, cursor.field_limit()).into());
            }
            let start = cursor.position();
            checksum.put(cursor.take(length as usize)?);
            Ok(Slot {
                present: true,
                first: start as i64,
                second: cursor.position() as i64,
            })
        }
        ColumnType::Timestamp | ColumnType::TimestampNtz | ColumnType::IntervalDayTime => {
            let seconds = cursor.zigzag()?;
            let nanos = cursor.zigzag()?;
            let Ok(narrow) = i32::try_from(nanos) else {
                return Err(WireError::malformed(format!(
                    "{nanos} nanoseconds are more than a second"
                ))
                .into());
            };
            checksum.put(&seconds.to_le_bytes());
            checksum.put(&narrow.to_le_bytes());
            Ok(Slot {
                present: true,
                first: seconds,
                second: nanos,
            })
        }
        ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_) => {
            let start = cursor.position();
            scan_container(ty, cursor, checksum)?;
            Ok(Slot {
                present: true,
                first: start as i64,
                second: cursor.position() as i64,
            })
        }
    }
}

fn scan_container(
    ty: &ColumnType,
    cursor: &mut Cursor<'_>,
    checksum: &mut impl ChecksumInput,
) -> Result<(), Stop> {
    let elements =
        |ty: &ColumnType, cursor: &mut Cursor<'_>, checksum: &mut _| -> Result<u64, Stop> {
            let count = cursor.varint()?;
            for _ in 0..count {
                if !cursor.flag()? {
                    scan(ty, cursor, checksum)?;
                }
            }
            Ok(count)
        };
    match ty {
        ColumnType::Array(element) => {
            elements(element, cursor, checksum)?;
        }
        ColumnType::Map(key, value) => {
            let keys = elements(key, cursor, checksum)?;
            let values = elements(value, cursor, checksum)?;
            if keys != values {
                return Err(WireError::malformed(format!(
                    "a map has {keys} keys but {values} values"
                ))
                .into());
            }
        }
        ColumnType::Struct(fields) => {
            for (_, ty) in fields {
                if !cursor.flag()? {
                    scan(ty, cursor, checksum)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The values of one column (or of the inside of one), growing row by row.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    ty: ColumnType,
    nulls: NullBufferBuilder,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    /// INT, DATE, months.
    Int32(Vec<i32>),
    /// BIGINT, DATETIME.
    Int64(Vec<i64>),
    /// Timestamps and day-time intervals.
    SecondsNanos(Vec<i64>, Vec<i32>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Bool(BooleanBufferBuilder),
    Bytes {
        offsets: Vec<i32>,
        data: Vec<u8>,
    },
    Decimal(Vec<i128>),
    List {
        offsets: Vec<i32>,
        element: Box<ColumnBuilder>,
    },
    Map {
        offsets: Vec<i32>,
        key: Box<ColumnBuilder>,
        value: Box<ColumnBuilder>,
    },
    Struct(Vec<ColumnBuilder>),
}

impl ColumnBuilder {
    pub(super) fn new(ty: &ColumnType, rows: usize) -> Self {
        let offsets = || {
            let mut offsets = Vec::with_capacity(rows + 1);
            offsets.push(0);
            offsets
        };
        let values = match ty {
            ColumnType::TinyInt => Values::Int8(Vec::with_capacity(rows)),
            ColumnType::SmallInt => Values::Int16(Vec::with_capacity(rows)),
            ColumnType::Int | ColumnType::Date | ColumnType::IntervalYearMonth => {
                Values::Int32(Vec::with_capacity(rows))
            }
            ColumnType::BigInt | ColumnType::Datetime => Values::Int64(Vec::with_capacity(rows)),
            ColumnType::Timestamp | ColumnType::TimestampNtz | ColumnType::IntervalDayTime => {
                Values::SecondsNanos(Vec::with_capacity(rows), Vec::with_capacity(rows))
            }
            ColumnType::Float => Values::Float32(Vec::with_capacity(rows)),
            ColumnType::Double => Values::Float64(Vec::with_capacity(rows)),
            ColumnType::Boolean => Values::Bool(BooleanBufferBuilder::new(rows)),
            ColumnType::String
            | ColumnType::Varchar(_)
            | ColumnType::Char(_)
            | ColumnType::Json
            | ColumnType::Binary => Values::Bytes {
                offsets: offsets(),
                data: Vec::with_capacity(rows * 8),
            },
            ColumnType::Decimal { .. } | ColumnType::LegacyDecimal => {
                Values::Decimal(Vec::with_capacity(rows))
            }
            ColumnType::Array(element) => Values::List {
                offsets: offsets(),
                element: Box::new(ColumnBuilder::new(element, rows)),
            },
            ColumnType::Map(key, value) => Values::Map {
                offsets: offsets(),
                key: Box::new(ColumnBuilder::new(key, rows)),
                value: Box::new(ColumnBuilder::new(value, rows)),
            },
            ColumnType::Struct(fields) => Values::Struct(
                fields
                    .iter()
                    .map(|(_, ty)| ColumnBuilder::new(ty, rows))
                    .collect(),
            ),
        };
        Self {
            ty: ty.clone(),
            nulls: NullBufferBuilder::new(rows),
            values,
        }
    }

    /// Appends the value of one record, or NULL. `record` is what the slot's byte range counts from.
    #[inline]
    pub(super) fn append(&mut self, slot: &Slot, record: &[u8]) -> Result<(), WireError> {
        if !slot.present {
            self.append_null();
            return Ok(());
        }
        match &mut self.values {
            Values::Int8(values) => values.push(narrow(slot.first, "TINYINT")?),
            Values::Int16(values) => values.push(narrow(slot.first, "SMALLINT")?),
            Values::Int32(values) => {
                if self.ty == ColumnType::Date && !DATE_DAYS.contains(&slot.first) {
                    let message = format!(
                        "day {} is not a DATE (0001-01-01 to 9999-12-31)",
                        slot.first
                    );
                    return Err(WireError::malformed(message));
                }
                values.push(narrow(slot.first, "INT")?);
            }
            Values::Int64(values) => {
                if self.ty == ColumnType::Datetime && !DATETIME_MILLIS.contains(&slot.first) {
                    let message = format!(
                        "millisecond {} is not a DATETIME (years 0000 to 9999)",
                        slot.first
                    );
                    return Err(WireError::malformed(message));
                }
                values.push(slot.first);
            }
            Values::SecondsNanos(seconds, nanos) => {
                let (second, nano) = floor_seconds(slot.first, slot.second)?;
                if self.ty != ColumnType::IntervalDayTime && !TIMESTAMP_SECONDS.contains(&second) {
                    let message =
                        format!("second {second} is not a {} (years 0001 to 9999)", self.ty);
                    return Err(WireError::malformed(message));
                }
                seconds.push(second);
                nanos.push(nano);
            }
            Values::Float32(values) => values.push(f32::from_bits(slot.first as u32)),
            Values::Float64(values) => values.push(f64::from_bits(slot.first as u64)),
            Values::Bool(values) => values.append(slot.first != 0),
            Values::Bytes { offsets, data } => {
                let bytes = slot.bytes(record);
                check_text(&self.ty, bytes)?;
                data.extend_from_slice(bytes);
                offsets.push(offset(data.len())?);
            }
            Values::Decimal(values) => {
                let Some((precision, scale)) = decimal_digits(&self.ty) else {
                    return Err(lost_type(&self.ty));
                };
                values.push(
                    decimal::parse(slot.bytes(record), precision, scale)
                        .map_err(WireError::malformed)?,
                );
            }
            Values::List { offsets, element } => {
                let mut cursor = Cursor::new(slot.bytes(record));
                append_elements(element, &mut cursor, slot.bytes(record))?;
                offsets.push(offset(element.len())?);
            }
            Values::Map {
                offsets,
                key,
                value,
            } => {
                let mut cursor = Cursor::new(slot.bytes(record));
                append_elements(key, &mut cursor, slot.bytes(record))?;
                append_elements(value, &mut cursor, slot.bytes(record))?;
                offsets.push(offset(key.len())?);
            }
            Values::Struct(fields) => {
                let mut cursor = Cursor::new(slot.bytes(record));
                for field in fields {
                    field.append_flagged(&mut cursor, slot.bytes(record))?;
                }
            }
        }
        self.nulls.append_non_null();
        Ok(())
    }

    fn append_flagged(&mut self, cursor: &mut Cursor<'_>, bytes: &[u8]) -> Result<(), WireError> {
        if cursor.flag().map_err(checked_before)? {
            self.append_null();
            return Ok(());
        }
        let slot = scan(&self.ty, cursor, &mut Unchecked).map_err(checked_before)?;
        self.append(&slot, bytes)
    }

    fn append_null(&mut self) {
        match &mut self.values {
            Values::Int8(values) => values.push(0),
            Values::Int16(values) => values.push(0),
            Values::Int32(values) => values.push(0),
            Values::Int64(values) => values.push(0),
            Values::SecondsNanos(seconds, nanos) => {
                seconds.push(0);
                nanos.push(0);
            }
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Bool(values) => values.append(false),
            Values::Decimal(values) => values.push(0),
            Values::Bytes { offsets, .. }
            | Values::List { offsets, .. }
            | Values::Map { offsets, .. } => {
                offsets.push(offsets.last().copied().unwrap_or(0));
            }
            Values::Struct(fields) => fields.iter_mut().for_each(ColumnBuilder::append_null),
        }
        self.nulls.append_null();
    }

    pub(super) fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Bytes of variable length held now: batches are cut before they grow too large.
    pub(super) fn data_bytes(&self) -> usize {
        match &self.values {
            Values::Bytes { data, .. } => data.len(),
            Values::List { element, .. } => element.data_bytes() + element.len() * 8,
            Values::Map { key, value, .. } => {
                key.data_bytes() + value.data_bytes() + key.len() * 16
            }
            Values::Struct(fields) => fields.iter().map(ColumnBuilder::data_bytes).sum(),
            _ => 0,
        }
    }

    /// Takes the values out as an array of [`ColumnType::arrow_type`] and starts again.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, WireError> {
        let fresh = ColumnBuilder::new(&self.ty, self.len());
        let ColumnBuilder {
            ty,
            mut nulls,
            values,
        } = std::mem::replace(self, fresh);
        let rows = nulls.len();
        let nulls = nulls.finish();
        let wanted = ty.arrow_type();
        let array: ArrayRef = match values {
            Values::Int8(values) => Arc::new(Int8Array::try_new(values.into(), nulls)?),
            Values::Int16(values) => Arc::new(Int16Array::try_new(values.into(), nulls)?),
            Values::Int32(values) => match ty {
                ColumnType::Date => Arc::new(Date32Array::try_new(values.into(), nulls)?),
                _ => Arc::new(Int32Array::try_new(values.into(), nulls)?),
            },
            Values::Int64(values) => match ty {
                ColumnType::Datetime => {
                    Arc::new(TimestampMillisecondArray::try_new(values.into(), nulls)?)
                }
                _ => Arc::new(Int64Array::try_new(values.into(), nulls)?),
            },
            Values::SecondsNanos(seconds, nanos) => {
                let children: Vec<ArrayRef> = vec![
                    Arc::new(Int64Array::from(seconds)),
                    Arc::new(Int32Array::from(nanos)),
                ];
                Arc::new(StructArray::try_new(
                    SECONDS_NANOS.clone(),
                    children,
                    nulls,
                )?)
            }
            Values::Float32(values) => Arc::new(Float32Array::try_new(values.into(), nulls)?),
            Values::Float64(values) => Arc::new(Float64Array::try_new(values.into(), nulls)?),
            Values::Bool(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Bytes { offsets, data } => {
                let offsets = OffsetBuffer::new(offsets.into());
                if ty == ColumnType::Binary {
                    Arc::new(BinaryArray::try_new(
                        offsets,
                        Buffer::from_vec(data),
                        nulls,
                    )?)
                } else {
                    Arc::new(StringArray::try_new(
                        offsets,
                        Buffer::from_vec(data),
                        nulls,
                    )?)
                }
            }
            Values::Decimal(values) => {
                let array = Decimal128Array::try_new(values.into(), nulls)?;
                let Some((precision, scale)) = decimal_digits(&ty) else {
                    return Err(lost_type(&ty));
                };
                Arc::new(array.with_precision_and_scale(precision, scale)?)
            }
            Values::List {
                offsets,
                mut element,
            } => {
                let DataType::List(field) = &wanted else {
                    return Err(lost_type(&wanted));
                };
                let offsets = OffsetBuffer::new(offsets.into());
                Arc::new(ListArray::try_new(
                    Arc::clone(field),
                    offsets,
                    element.finish()?,
                    nulls,
                )?)
            }
            Values::Map {
                offsets,
                mut key,
                mut value,
            } => {
                let DataType::Map(field, sorted) = &wanted else {
                    return Err(lost_type(&wanted));
                };
                let DataType::Struct(entry_fields) = field.data_type() else {
                    return Err(lost_type(&wanted));
                };
                let entries = struct_array(
                    entry_fields,
                    vec![key.finish()?, value.finish()?],
                    None,
                    None,
                )?;
                let offsets = OffsetBuffer::new(offsets.into());
                Arc::new(MapArray::try_new(
                    Arc::clone(field),
                    offsets,
                    entries,
                    nulls,
                    *sorted,
                )?)
            }
            Values::Struct(mut fields) => {
                let DataType::Struct(struct_fields) = &wanted else {
                    return Err(lost_type(&wanted));
                };
                let arrays = fields
                    .iter_mut()
                    .map(ColumnBuilder::finish)
                    .collect::<Result<Vec<_>, _>>()?;
                Arc::new(struct_array(struct_fields, arrays, nulls, Some(rows))?)
            }
        };
        Ok(array)
    }
}

fn struct_array(
    fields: &Fields,
    arrays: Vec<ArrayRef>,
    nulls: Option<arrow_buffer::NullBuffer>,
    rows: Option<usize>,
) -> Result<StructArray, WireError> {
    match rows {
        Some(rows) if arrays.is_empty() => Ok(StructArray::new_empty_fields(rows, nulls)),
        _ => {
            let named = arrays.first().map_or(0, |array| array.len());
            if arrays.iter().any(|array| array.len() != named) {
                return Err(WireError::malformed("a map has keys without values"));
            }
            Ok(StructArray::try_new(fields.clone(), arrays, nulls)?)
        }
    }
}

fn append_elements(
    builder: &mut ColumnBuilder,
    cursor: &mut Cursor<'_>,
    bytes: &[u8],
) -> Result<(), WireError> {
    let count = cursor.varint().map_err(checked_before)?;
    for _ in 0..count {
        builder.append_flagged(cursor, bytes)?;
    }
    Ok(())
}

/// The first pass saw the whole container, so the second cannot run out of bytes.
fn checked_before(stop: Stop) -> WireError {
    match stop {
        Stop::Error(error) => error,
        Stop::Need(_) => WireError::new(
            WireErrorKind::Internal,
            "a container changed between two passes",
        ),
    }
}

fn lost_type(found: &impl std::fmt::Display) -> WireError {
    WireError::new(
        WireErrorKind::Internal,
        format!("a builder of another type holds {found}"),
    )
}

fn narrow<T: TryFrom<i64>>(value: i64, name: &str) -> Result<T, WireError> {
    T::try_from(value)
        .map_err(|_| WireError::malformed(format!("{value} is outside the range of {name}")))
}

fn offset(length: usize) -> Result<i32, WireError> {
    i32::try_from(length).map_err(|_| {
        WireError::new(
            WireErrorKind::TooLarge,
            "the values of one record do not fit 2 GiB",
        )
    })
}

/// Some writers truncate times before 1970 towards zero, with negative nanoseconds: the same instant.
fn floor_seconds(seconds: i64, nanos: i64) -> Result<(i64, i32), WireError> {
    let (second, nano) = if nanos < 0 {
        (seconds.checked_sub(1), nanos + 1_000_000_000)
    } else {
        (Some(seconds), nanos)
    };
    match (second, i32::try_from(nano)) {
        (Some(second), Ok(nano)) if (0..1_000_000_000).contains(&nano) => Ok((second, nano)),
        _ => Err(WireError::malformed(format!(
            "{nanos} nanoseconds are more than a second"
        ))),
    }
}

pub(super) fn over_limit(length: u64, limit: usize) -> WireError {
    WireError::malformed(format!(
        "a value of {length} bytes is over the limit of {limit} bytes"
    ))
}

/// Checks what the service promises about a text: UTF-8, at most n characters, JSON that parses.
pub(super) fn check_text(ty: &ColumnType, bytes: &[u8]) -> Result<(), WireError> {
    if *ty == ColumnType::Binary {
        return Ok(());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        WireError::malformed(format!(
            "the text is not UTF-8 after byte {}",
            error.valid_up_to()
        ))
    })?;
    match ty {
        ColumnType::Varchar(limit) | ColumnType::Char(limit) => {
            let limit = *limit as usize;
            if bytes.len() > limit && text.chars().count() > limit {
                let message = format!(
                    "a text of {} characters is longer than the column's {limit}",
                    text.chars().count()
                );
                return Err(WireError::malformed(message));
            }
        }
        ColumnType::Json => {
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
                return Err(WireError::malformed(format!(
                    "the text is not JSON: {error}"
                )));
            }
        }
        _ => {}
    }
    Ok(())
}
