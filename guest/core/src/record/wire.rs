//! The bytes of single fields, and the input of the record checksum beside them.

use super::cell::ValueSink;
use super::decimal_text;
use crate::checksum;
use crate::types::OdpsType;

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const FIXED32: u32 = 5;

/// Longer values go into the checksum directly instead of through the scratch buffer.
const DIRECT_CHECKSUM: usize = 512;

/// What precedes a value: the tag on the wire, the field number in the checksum. Empty inside
/// containers, whose values have neither.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    tag: u64,
    tag_len: usize,
    field: u32,
    field_len: usize,
}

impl Head {
    pub(crate) fn new(field: u32, ty: &OdpsType) -> Self {
        let wire_type = match ty {
            OdpsType::TinyInt
            | OdpsType::SmallInt
            | OdpsType::Int
            | OdpsType::BigInt
            | OdpsType::Boolean
            | OdpsType::Date
            | OdpsType::Datetime
            | OdpsType::IntervalYearMonth => VARINT,
            OdpsType::Float => FIXED32,
            OdpsType::Double => FIXED64,
            _ => LENGTH_DELIMITED,
        };
        let (tag, tag_len) = short_varint(u64::from(field) << 3 | u64::from(wire_type));
        Self {
            tag,
            tag_len,
            field,
            field_len: 4,
        }
    }
}

/// Input of one record's checksum.
#[derive(Debug)]
pub(crate) struct ChecksumInput {
    /// Begins with [`checksum::PADDING`] zeros.
    scratch: Vec<u8>,
    /// The checksum of what went before, if anything did.
    before: Option<u32>,
}

impl Default for ChecksumInput {
    fn default() -> Self {
        Self {
            scratch: vec![0; checksum::PADDING],
            before: None,
        }
    }
}

impl ChecksumInput {
    /// The record's checksum; empty again afterwards.
    #[inline]
    pub(crate) fn take(&mut self) -> u32 {
        let crc = self.so_far();
        self.clear();
        crc
    }

    #[inline]
    fn so_far(&self) -> u32 {
        match self.before {
            None => checksum::of_padded(&self.scratch),
            Some(before) => {
                let scratch = self.scratch.get(checksum::PADDING..).unwrap_or_default();
                checksum::extend(before, scratch)
            }
        }
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.scratch.truncate(checksum::PADDING);
        self.before = None;
    }

    /// The field number of `head` and up to eight bytes of value.
    #[inline]
    fn fixed(&mut self, head: Head, value: u64, len: usize) {
        let word = Word::behind(u64::from(head.field), head.field_len, value);
        word.push(&mut self.scratch, head.field_len + len);
    }

    /// The field number of `head`, eight bytes and four more.
    #[inline]
    fn fixed_twelve(&mut self, head: Head, value: u64, more: u32) {
        let mut word = Word::behind(u64::from(head.field), head.field_len, value);
        word.high |= u64::from(more) << (8 * head.field_len);
        word.push(&mut self.scratch, head.field_len + 12);
    }

    #[inline]
    fn bytes(&mut self, head: Head, value: &[u8]) {
        Word::short(u64::from(head.field)).push(&mut self.scratch, head.field_len);
        if value.len() <= DIRECT_CHECKSUM {
            push_bytes(&mut self.scratch, value);
        } else {
            self.before = Some(checksum::extend(self.so_far(), value));
            self.scratch.truncate(checksum::PADDING);
        }
    }
}

/// Writes values behind the head set before each field; inside of a container it is empty.
pub(crate) struct Wire<'a> {
    pub(crate) bytes: &'a mut Vec<u8>,
    pub(crate) checksum: &'a mut ChecksumInput,
    pub(crate) head: Head,
}

impl Wire<'_> {
    /// The head of a container; what is in it has none.
    #[inline]
    fn take_head(&mut self) -> Head {
        std::mem::take(&mut self.head)
    }
}

impl ValueSink for Wire<'_> {
    #[inline]
    fn integer(&mut self, value: i64) {
        let head = self.head;
        push_varint(self.bytes, head, zig_zag(value));
        self.checksum.fixed(head, value as u64, 8);
    }

    #[inline]
    fn boolean(&mut self, value: bool) {
        let head = self.head;
        push_varint(self.bytes, head, u64::from(value));
        self.checksum.fixed(head, u64::from(value), 1);
    }

    #[inline]
    fn float(&mut self, value: f32) {
        let head = self.head;
        let bits = u64::from(value.to_bits());
        Word::behind(head.tag, head.tag_len, bits).push(self.bytes, head.tag_len + 4);
        self.checksum.fixed(head, bits, 4);
    }

    #[inline]
    fn double(&mut self, value: f64) {
        let head = self.head;
        let bits = value.to_bits();
        Word::behind(head.tag, head.tag_len, bits).push(self.bytes, head.tag_len + 8);
        self.checksum.fixed(head, bits, 8);
    }

    #[inline]
    fn bytes(&mut self, value: &[u8]) {
        let head = self.head;
        push_length(self.bytes, head, value.len());
        push_bytes(self.bytes, value);
        self.checksum.bytes(head, value);
    }

    #[inline]
    fn decimal(&mut self, unscaled: i128, _precision: u8, scale: u8) {
        let text = decimal_text::decimal(unscaled, scale);
        self.bytes(text.as_bytes());
    }

    #[inline]
    fn date(&mut self, days: i64) {
        self.integer(days);
    }

    #[inline]
    fn datetime(&mut self, milliseconds: i64) {
        self.integer(milliseconds);
    }

    #[inline]
    fn timestamp(&mut self, seconds: i64, nanoseconds: i32) {
        let head = self.head;
        push_varint(self.bytes, head, zig_zag(seconds));
        push_varint(self.bytes, Head::default(), zig_zag(i64::from(nanoseconds)));
        self.checksum
            .fixed_twelve(head, seconds as u64, nanoseconds as u32);
    }

    #[inline]
    fn day_time(&mut self, seconds: i64, nanoseconds: i32) {
        self.timestamp(seconds, nanoseconds);
    }

    #[inline]
    fn months(&mut self, months: i64) {
        self.integer(months);
    }

    fn list(&mut self, length: usize) {
        let head = self.take_head();
        push_varint(self.bytes, head, length as u64);
        self.checksum.fixed(head, 0, 0);
    }

    fn structure(&mut self) {
        let head = self.take_head();
        Word::short(head.tag).push(self.bytes, head.tag_len);
        self.checksum.fixed(head, 0, 0);
    }

    fn null_flag(&mut self, is_null: bool) {
        self.bytes.push(u8::from(is_null));
    }
}

#[inline]
pub(crate) fn zig_zag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The tag of `head` and the varint of `value`.
#[inline]
pub(crate) fn push_varint(bytes: &mut Vec<u8>, head: Head, value: u64) {
    if value < 1 << 56 {
        let (varint, len) = short_varint(value);
        Word::behind(head.tag, head.tag_len, varint).push(bytes, head.tag_len + len);
    } else {
        Word::short(head.tag).push(bytes, head.tag_len);
        push_long_varint(bytes, value);
    }
}

/// The tag of `head` and a length, which is most often one byte.
#[inline(always)]
fn push_length(bytes: &mut Vec<u8>, head: Head, length: usize) {
    if length < 0x80 {
        Word::behind(head.tag, head.tag_len, length as u64).push(bytes, head.tag_len + 1);
    } else {
        push_varint(bytes, head, length as u64);
    }
}

#[cold]
fn push_long_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A varint of at most eight bytes, little endian in one word, and its length: the groups of seven
/// bits are spread by halving instead of one by one.
#[inline]
pub(crate) fn short_varint(value: u64) -> (u64, usize) {
    let x = (value & 0x00ff_ffff_f000_0000) << 4 | value & 0x0000_0000_0fff_ffff;
    let x = (x & 0x0fff_c000_0fff_c000) << 2 | x & 0x0000_3fff_0000_3fff;
    let x = (x & 0x3f80_3f80_3f80_3f80) << 1 | x & 0x007f_007f_007f_007f;
    // The highest bit in use says which bytes exist; all of them but the last continue.
    let last = (63 - (x | 1).leading_zeros()) & !7;
    let continued = 0x8080_8080_8080_8080 & !(u64::MAX << last);
    (x | continued, last as usize / 8 + 1)
}

/// Up to sixteen bytes, little endian. Two halves, because shifting a 128-bit integer is a call in
/// WebAssembly.
#[derive(Clone, Copy)]
pub(crate) struct Word {
    low: u64,
    high: u64,
}

impl Word {
    #[inline]
    pub(crate) fn short(low: u64) -> Self {
        Self { low, high: 0 }
    }

    /// `value` behind a prefix of `len` bytes, at most seven.
    #[inline]
    pub(crate) fn behind(prefix: u64, len: usize, value: u64) -> Self {
        let bits = 8 * len;
        Self {
            low: prefix | value << bits,
            // In two steps, so that an empty prefix shifts everything out.
            high: value >> 1 >> (63 - bits),
        }
    }

    /// Appends the first `len` bytes. The copy has a fixed size, which is one store instead of a
    /// call.
    #[inline(always)]
    pub(crate) fn push(self, bytes: &mut Vec<u8>, len: usize) {
        let end = bytes.len() + len;
        let word = u128::from(self.low) | u128::from(self.high) << 64;
        bytes.extend_from_slice(&word.to_le_bytes());
        bytes.truncate(end);
    }
}

/// Appends a value that is most often short. Copies of fixed size that overlap in the middle beat
/// one of the right size, which is a call: out of the sandbox, where this is WebAssembly.
#[inline]
fn push_bytes(bytes: &mut Vec<u8>, value: &[u8]) {
    /// From here on the call costs less than the copies.
    const LONG: usize = 128;
    let len = value.len();
    if len > LONG {
        bytes.extend_from_slice(value);
    } else if let Some(last) = value.last_chunk::<16>() {
        let end = bytes.len() + len;
        let (chunks, _) = value.as_chunks::<16>();
        for chunk in chunks {
            bytes.extend_from_slice(chunk);
        }
        bytes.truncate(end - 16);
        bytes.extend_from_slice(last);
    } else {
        Word::of_short_slice(value).push(bytes, len);
    }
}

impl Word {
    /// The bytes of a slice of less than sixteen.
    #[inline]
    fn of_short_slice(value: &[u8]) -> Self {
        let len = value.len();
        if let (Some(first), Some(last)) = (value.first_chunk::<8>(), value.last_chunk::<8>()) {
            let last = u64::from_le_bytes(*last);
            Self {
                low: u64::from_le_bytes(*first),
                high: last >> 8 >> (8 * (15 - len)),
            }
        } else if let (Some(first), Some(last)) =
            (value.first_chunk::<4>(), value.last_chunk::<4>())
        {
            let last = u64::from(u32::from_le_bytes(*last));
            Self::short(u64::from(u32::from_le_bytes(*first)) | last << (8 * (len - 4)))
        } else {
            let byte = |at: usize| value.get(at).map_or(0, |byte| u64::from(*byte) << (8 * at));
            Self::short(byte(0) | byte(1) | byte(2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_and_slow_varints_agree() {
        let mut values = vec![
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            (1 << 56) - 1,
            1 << 56,
            u64::MAX,
        ];
        values.extend((0..64).map(|bit| 1_u64 << bit));
        values.extend((0..64).map(|bit| (1_u64 << bit) - 1));
        for value in values {
            let mut fast = Vec::new();
            push_varint(&mut fast, Head::default(), value);
            let mut slow = Vec::new();
            push_long_varint(&mut slow, value);
            assert_eq!(fast, slow, "{value}");
        }
    }

    #[test]
    fn slices_of_every_length_are_appended_whole() {
        let value: Vec<u8> = (1..=255).collect();
        for len in 0..value.len() {
            let mut bytes = vec![7];
            push_bytes(&mut bytes, &value[..len]);
            push_bytes(&mut bytes, b"!");
            assert_eq!(bytes[0], 7);
            assert_eq!(bytes[1..=len], value[..len], "{len}");
            assert_eq!(bytes[len + 1..], *b"!", "{len}");
        }
    }

    #[test]
    fn a_value_stands_behind_its_prefix() {
        let value = 0x1122_3344_5566_7788;
        for len in 0..=7 {
            let prefix = 0x00ff_eedd_ccbb_aa99 & !(u64::MAX << (8 * len));
            let mut bytes = Vec::new();
            Word::behind(prefix, len, value).push(&mut bytes, len + 8);
            assert_eq!(bytes[..len], prefix.to_le_bytes()[..len]);
            assert_eq!(bytes[len..], value.to_le_bytes());
        }
    }
}
