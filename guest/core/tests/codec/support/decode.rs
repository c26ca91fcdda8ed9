//! The record stream's decoder, from the description of the format alone.

use longshore_core::types::OdpsType;

use super::Value;

const END_RECORD: u64 = 33_553_408;
const METRICS_END: u64 = 33_554_176;
const META_COUNT: u64 = 33_554_430;
const META_CHECKSUM: u64 = 33_554_431;

/// A decoded stream.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) rows: Vec<Vec<Value>>,
    pub(crate) metrics: Option<String>,
}

/// Reads a whole stream; every checksum, the count and the end are checked.
pub(crate) fn decode(bytes: &[u8], types: &[OdpsType]) -> Result<Decoded, String> {
    let mut reader = Reader { bytes, at: 0 };
    let mut decoded = Decoded::default();
    let mut row = vec![Value::Null; types.len()];
    let mut input = Vec::new();
    let mut checksums = Vec::new();
    let mut last_field = 0;
    loop {
        let tag = reader.varint()?;
        let (field, wire_type) = (tag >> 3, tag & 7);
        match field {
            END_RECORD => {
                let stored = reader.varint()? as u32;
                if stored != crc32c(&input) {
                    return Err(format!("checksum of record {}", decoded.rows.len()));
                }
                checksums.extend_from_slice(&stored.to_le_bytes());
                input.clear();
                last_field = 0;
                decoded
                    .rows
                    .push(std::mem::replace(&mut row, vec![Value::Null; types.len()]));
            }
            META_COUNT => {
                let count = reader.zig_zag()?;
                if count != decoded.rows.len() as i64 {
                    return Err(format!(
                        "count {count} after {} records",
                        decoded.rows.len()
                    ));
                }
                break;
            }
            _ => {
                let ty = types
                    .get(field as usize - 1)
                    .ok_or(format!("field {field}"))?;
                if field <= last_field || wire_type != expected_wire_type(ty) {
                    return Err(format!("field {field} of wire type {wire_type}"));
                }
                last_field = field;
                input.extend_from_slice(&(field as u32).to_le_bytes());
                row[field as usize - 1] = reader.value(ty, &mut input)?;
            }
        }
    }
    if !input.is_empty() {
        return Err("the last record does not end".to_owned());
    }
    let mut tag = reader.varint()?;
    if tag >> 3 == 1 {
        let text = reader.length_delimited()?.to_vec();
        if reader.varint()? >> 3 != METRICS_END {
            return Err("metrics do not end".to_owned());
        }
        let stored = reader.varint()? as u32;
        if stored != crc32c(&[&1_u32.to_le_bytes()[..], &text].concat()) {
            return Err("checksum of the metrics".to_owned());
        }
        decoded.metrics = Some(String::from_utf8(text).map_err(|error| error.to_string())?);
        tag = reader.varint()?;
    }
    if tag >> 3 != META_CHECKSUM || reader.varint()? as u32 != crc32c(&checksums) {
        return Err("checksum of checksums".to_owned());
    }
    if reader.at != bytes.len() {
        return Err("bytes behind the end".to_owned());
    }
    Ok(decoded)
}

fn expected_wire_type(ty: &OdpsType) -> u64 {
    match ty {
        OdpsType::Float => 5,
        OdpsType::Double => 1,
        OdpsType::TinyInt
        | OdpsType::SmallInt
        | OdpsType::Int
        | OdpsType::BigInt
        | OdpsType::Boolean
        | OdpsType::Date
        | OdpsType::Datetime
        | OdpsType::IntervalYearMonth => 0,
        _ => 2,
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let taken = self
            .bytes
            .get(self.at..self.at + count)
            .ok_or("the stream ends early")?;
        self.at += count;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a varint of more than ten bytes".to_owned())
    }

    fn zig_zag(&mut self) -> Result<i64, String> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn length_delimited(&mut self) -> Result<&'a [u8], String> {
        let length = self.varint()?;
        self.take(length as usize)
    }

    fn value(&mut self, ty: &OdpsType, input: &mut Vec<u8>) -> Result<Value, String> {
        Ok(match ty {
            OdpsType::TinyInt
            | OdpsType::SmallInt
            | OdpsType::Int
            | OdpsType::BigInt
            | OdpsType::Date
            | OdpsType::Datetime
            | OdpsType::IntervalYearMonth => {
                let value = self.zig_zag()?;
                input.extend_from_slice(&value.to_le_bytes());
                Value::Integer(value)
            }
            OdpsType::Boolean => {
                let value = self.varint()?;
                if value > 1 {
                    return Err(format!("boolean {value}"));
                }
                input.push(value as u8);
                Value::Boolean(value == 1)
            }
            OdpsType::Float => {
                let bytes = self.take(4)?;
                input.extend_from_slice(bytes);
                Value::Float(u32::from_le_bytes(bytes.try_into().unwrap()))
            }
            OdpsType::Double => {
                let bytes = self.take(8)?;
                input.extend_from_slice(bytes);
                Value::Double(u64::from_le_bytes(bytes.try_into().unwrap()))
            }
            OdpsType::String
            | OdpsType::Varchar(_)
            | OdpsType::Char(_)
            | OdpsType::Binary
            | OdpsType::Json
            | OdpsType::Decimal { .. } => {
                let bytes = self.length_delimited()?;
                input.extend_from_slice(bytes);
                Value::Bytes(bytes.to_vec())
            }
            OdpsType::Timestamp | OdpsType::TimestampNtz | OdpsType::IntervalDayTime => {
                let seconds = self.zig_zag()?;
                let nanoseconds = self.zig_zag()? as i32;
                input.extend_from_slice(&seconds.to_le_bytes());
                input.extend_from_slice(&nanoseconds.to_le_bytes());
                Value::Time(seconds, nanoseconds)
            }
            OdpsType::Array(element) => Value::List(self.list(element, input)?),
            OdpsType::Map(key, value) => {
                let keys = self.list(key, input)?;
                let values = self.list(value, input)?;
                if keys.len() != values.len() {
                    return Err("a map of unequal halves".to_owned());
                }
                Value::Map(keys.into_iter().zip(values).collect())
            }
            OdpsType::Struct(fields) => Value::Struct(
                fields
                    .iter()
                    .map(|(_, ty)| self.flagged(ty, input))
                    .collect::<Result<_, _>>()?,
            ),
        })
    }

    fn list(&mut self, element: &OdpsType, input: &mut Vec<u8>) -> Result<Vec<Value>, String> {
        let count = self.varint()?;
        (0..count).map(|_| self.flagged(element, input)).collect()
    }

    fn flagged(&mut self, ty: &OdpsType, input: &mut Vec<u8>) -> Result<Value, String> {
        match self.take(1)?[0] {
            0 => self.value(ty, input),
            1 => Ok(Value::Null),
            other => Err(format!("null flag {other}")),
        }
    }
}

/// Bit by bit, from the definition.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    !crc
}
