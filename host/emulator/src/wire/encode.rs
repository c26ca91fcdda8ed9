use arrow_array::{
    Array as _, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, RecordBatch,
    StringArray, StructArray, TimestampMillisecondArray,
};

use super::{
    WireColumn, WireError, WireErrorKind,
    cursor::{ChecksumInput as _, RecordChecksum, put_varint, put_zigzag},
    decimal,
    field::{decimal_digits, wire_type_of},
    marker, wire_type,
};
use crate::catalog::ColumnType;

/// Writes Arrow batches as a record stream.
#[derive(Debug)]
pub struct RecordStreamWriter {
    columns: Vec<WireColumn>,
    out: Vec<u8>,
    rows: u64,
    checksum: RecordChecksum,
    stream_checksum: u32,
    scratch: Vec<u8>,
}

impl RecordStreamWriter {
    /// A writer of records with these columns, in field order.
    pub fn new(columns: Vec<WireColumn>) -> Self {
        Self {
            columns,
            out: Vec::new(),
            rows: 0,
            checksum: RecordChecksum::default(),
            stream_checksum: 0,
            scratch: Vec::new(),
        }
    }

    /// Adds the rows of a batch, whose columns are those of the writer in their in-memory types.
    ///
    /// # Errors
    /// [`WireErrorKind::Internal`] when the batch has other columns.
    pub fn write_batch(&mut self, batch: &RecordBatch) -> Result<(), WireError> {
        if batch.num_columns() != self.columns.len() {
            let message = format!(
                "{} columns instead of {}",
                batch.num_columns(),
                self.columns.len()
            );
            return Err(WireError::new(WireErrorKind::Internal, message));
        }
        let mut fields = Vec::with_capacity(self.columns.len());
        for (number, (column, array)) in (1u64..).zip(self.columns.iter().zip(batch.columns())) {
            let mut tag = Vec::new();
            put_varint(&mut tag, number << 3 | wire_type_of(&column.ty));
            let values = Values::bind(&column.ty, array).map_err(|error| error.at(&column.name))?;
            fields.push((tag, (number as u32).to_le_bytes(), values));
        }
        let mut end = Vec::new();
        put_varint(&mut end, marker::END_RECORD << 3 | wire_type::VARINT);
        for row in 0..batch.num_rows() {
            for (tag, number, values) in &fields {
                if values.is_null(row) {
                    continue;
                }
                self.out.extend_from_slice(tag);
                self.checksum.put(number);
                values.write(row, &mut self.out, &mut self.checksum, &mut self.scratch);
            }
            let checksum = self.checksum.finish();
            self.out.extend_from_slice(&end);
            put_varint(&mut self.out, u64::from(checksum));
            self.stream_checksum =
                crc32c::crc32c_append(self.stream_checksum, &checksum.to_le_bytes());
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Takes the bytes written so far.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The bytes since the last [`take`](Self::take), and the footer. `metrics` is a JSON text that downloads
    /// of tunnel version 6 carry.
    pub fn finish(mut self, metrics: Option<&str>) -> Vec<u8> {
        let out = &mut self.out;
        put_varint(out, marker::META_COUNT << 3 | wire_type::VARINT);
        put_zigzag(out, self.rows as i64);
        if let Some(metrics) = metrics {
            put_varint(out, 1 << 3 | wire_type::LENGTH);
            put_varint(out, metrics.len() as u64);
            out.extend_from_slice(metrics.as_bytes());
            let checksum =
                crc32c::crc32c_append(crc32c::crc32c(&1i32.to_le_bytes()), metrics.as_bytes());
            put_varint(out, marker::METRICS_END << 3 | wire_type::VARINT);
            put_varint(out, u64::from(checksum));
        }
        put_varint(out, marker::META_CHECKSUM << 3 | wire_type::VARINT);
        put_varint(out, u64::from(self.stream_checksum));
        self.out
    }
}

/// The array of one column, downcast once per batch.
enum Values<'a> {
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Date(&'a Date32Array),
    Datetime(&'a TimestampMillisecondArray),
    Bool(&'a BooleanArray),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Text(&'a StringArray),
    /// Blanks are added up to this many characters.
    Padded(&'a StringArray, usize),
    Bytes(&'a BinaryArray),
    Decimal(&'a Decimal128Array, i8),
    SecondsNanos(&'a StructArray, &'a Int64Array, &'a Int32Array),
    List(&'a ListArray, Box<Values<'a>>),
    Map(&'a MapArray, Box<Values<'a>>, Box<Values<'a>>),
    Struct(&'a StructArray, Vec<Values<'a>>),
}

impl<'a> Values<'a> {
    fn bind(ty: &ColumnType, array: &'a ArrayRef) -> Result<Self, WireError> {
        fn cast<'a, T: 'static>(ty: &ColumnType, array: &'a ArrayRef) -> Result<&'a T, WireError> {
            array.as_any().downcast_ref().ok_or_else(|| {
                let message = format!("a {ty} column is held as {}", array.data_type());
                WireError::new(WireErrorKind::Internal, message)
            })
        }
        Ok(match ty {
            ColumnType::TinyInt => Values::Int8(cast(ty, array)?),
            ColumnType::SmallInt => Values::Int16(cast(ty, array)?),
            ColumnType::Int | ColumnType::IntervalYearMonth => Values::Int32(cast(ty, array)?),
            ColumnType::BigInt => Values::Int64(cast(ty, array)?),
            ColumnType::Date => Values::Date(cast(ty, array)?),
            ColumnType::Datetime => Values::Datetime(cast(ty, array)?),
            ColumnType::Boolean => Values::Bool(cast(ty, array)?),
            ColumnType::Float => Values::Float32(cast(ty, array)?),
            ColumnType::Double => Values::Float64(cast(ty, array)?),
            ColumnType::String | ColumnType::Varchar(_) | ColumnType::Json => {
                Values::Text(cast(ty, array)?)
            }
            ColumnType::Char(width) => Values::Padded(cast(ty, array)?, *width as usize),
            ColumnType::Binary => Values::Bytes(cast(ty, array)?),
            ColumnType::Decimal { .. } | ColumnType::LegacyDecimal => {
                let scale = decimal_digits(ty).map_or(0, |(_, scale)| scale);
                Values::Decimal(cast(ty, array)?, scale)
            }
            ColumnType::Timestamp | ColumnType::TimestampNtz | ColumnType::IntervalDayTime => {
                let both: &StructArray = cast(ty, array)?;
                let [seconds, nanos] = both.columns() else {
                    return Err(WireError::new(
                        WireErrorKind::Internal,
                        format!("a {ty} needs two children"),
                    ));
                };
                Values::SecondsNanos(both, cast(ty, seconds)?, cast(ty, nanos)?)
            }
            ColumnType::Array(element) => {
                let list: &ListArray = cast(ty, array)?;
                Values::List(list, Box::new(Values::bind(element, list.values())?))
            }
            ColumnType::Map(key, value) => {
                let map: &MapArray = cast(ty, array)?;
                let (keys, values) = (
                    Values::bind(key, map.keys())?,
                    Values::bind(value, map.values())?,
                );
                Values::Map(map, Box::new(keys), Box::new(values))
            }
            ColumnType::Struct(fields) => {
                let all: &StructArray = cast(ty, array)?;
                let bound = fields
                    .iter()
                    .zip(all.columns())
                    .map(|((_, ty), array)| Values::bind(ty, array));
                Values::Struct(all, bound.collect::<Result<_, _>>()?)
            }
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Values::Int8(array) => array.is_null(row),
            Values::Int16(array) => array.is_null(row),
            Values::Int32(array) => array.is_null(row),
            Values::Int64(array) => array.is_null(row),
            Values::Date(array) => array.is_null(row),
            Values::Datetime(array) => array.is_null(row),
            Values::Bool(array) => array.is_null(row),
            Values::Float32(array) => array.is_null(row),
            Values::Float64(array) => array.is_null(row),
            Values::Text(array) | Values::Padded(array, _) => array.is_null(row),
            Values::Bytes(array) => array.is_null(row),
            Values::Decimal(array, _) => array.is_null(row),
            Values::SecondsNanos(array, ..) | Values::Struct(array, _) => array.is_null(row),
            Values::List(array, _) => array.is_null(row),
            Values::Map(array, ..) => array.is_null(row),
        }
    }

    fn write(
        &self,
        row: usize,
        out: &mut Vec<u8>,
        checksum: &mut RecordChecksum,
        scratch: &mut Vec<u8>,
    ) {
        match self {
            Values::Int8(array) => put_integer(array.value(row).into(), out, checksum),
            Values::Int16(array) => put_integer(array.value(row).into(), out, checksum),
            Values::Int32(array) => put_integer(array.value(row).into(), out, checksum),
            Values::Int64(array) => put_integer(array.value(row), out, checksum),
            Values::Date(array) => put_integer(array.value(row).into(), out, checksum),
            Values::Datetime(array) => put_integer(array.value(row), out, checksum),
            Values::Bool(array) => {
                let value = u8::from(array.value(row));
                out.push(value);
                checksum.put(&[value]);
            }
            Values::Float32(array) => {
                let bytes = array.value(row).to_le_bytes();
                out.extend_from_slice(&bytes);
                checksum.put(&bytes);
            }
            Values::Float64(array) => {
                let bytes = array.value(row).to_le_bytes();
                out.extend_from_slice(&bytes);
                checksum.put(&bytes);
            }
            Values::Text(array) => put_bytes(array.value(row).as_bytes(), out, checksum),
            Values::Padded(array, width) => {
                let text = array.value(row);
                let missing = width.saturating_sub(text.chars().count());
                scratch.clear();
                scratch.extend_from_slice(text.as_bytes());
                scratch.resize(text.len() + missing, b' ');
                put_bytes(scratch, out, checksum);
            }
            Values::Bytes(array) => put_bytes(array.value(row), out, checksum),
            Values::Decimal(array, scale) => {
                scratch.clear();
                decimal::put_text(scratch, array.value(row), *scale);
                put_bytes(scratch, out, checksum);
            }
            Values::SecondsNanos(_, seconds, nanos) => {
                put_integer(seconds.value(row), out, checksum);
                put_zigzag(out, nanos.value(row).into());
                checksum.put(&nanos.value(row).to_le_bytes());
            }
            Values::List(array, element) => {
                let range = offsets(array.value_offsets(), row);
                element.write_elements(range, out, checksum, scratch);
            }
            Values::Map(array, key, value) => {
                let range = offsets(array.value_offsets(), row);
                key.write_elements(range.clone(), out, checksum, scratch);
                value.write_elements(range, out, checksum, scratch);
            }
            Values::Struct(_, fields) => {
                for field in fields {
                    field.write_flagged(row, out, checksum, scratch);
                }
            }
        }
    }

    fn write_elements(
        &self,
        rows: std::ops::Range<usize>,
        out: &mut Vec<u8>,
        checksum: &mut RecordChecksum,
        scratch: &mut Vec<u8>,
    ) {
        put_varint(out, rows.len() as u64);
        for row in rows {
            self.write_flagged(row, out, checksum, scratch);
        }
    }

    fn write_flagged(
        &self,
        row: usize,
        out: &mut Vec<u8>,
        checksum: &mut RecordChecksum,
        scratch: &mut Vec<u8>,
    ) {
        let null = self.is_null(row);
        out.push(u8::from(null));
        if !null {
            self.write(row, out, checksum, scratch);
        }
    }
}

fn offsets(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    match offsets.get(row..row + 2) {
        Some([start, end]) => *start as usize..*end as usize,
        _ => 0..0,
    }
}

fn put_integer(value: i64, out: &mut Vec<u8>, checksum: &mut RecordChecksum) {
    put_zigzag(out, value);
    checksum.put(&value.to_le_bytes());
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>, checksum: &mut RecordChecksum) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    checksum.put(bytes);
}
