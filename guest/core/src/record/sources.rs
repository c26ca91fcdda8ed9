//! Arrow arrays of one family behind one accessor.

use arrow_array::cast::AsArray;
use arrow_array::types;
use arrow_array::types::{
    ArrowPrimitiveType, ArrowTimestampType, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{
    Array, BinaryArray, BinaryViewArray, Decimal256Array, FixedSizeBinaryArray, LargeBinaryArray,
    LargeStringArray, StringArray, StringViewArray,
};
use arrow_schema::{DataType, TimeUnit};

/// The values of a primitive array.
pub(crate) fn values<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    array
        .as_primitive_opt::<T>()
        .map(|array| array.values().as_ref())
}

/// Value `index`, which the caller has from the array's own length or offsets.
#[expect(
    clippy::indexing_slicing,
    reason = "rows are checked once per record, offsets by arrow"
)]
#[inline]
pub(crate) fn at<T: Copy>(values: &[T], index: usize) -> T {
    values[index]
}

/// Integers of any width.
#[derive(Clone, Copy)]
pub(crate) enum Integers<'a> {
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
}

impl<'a> Integers<'a> {
    pub(crate) fn of(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Int8 => Self::Int8(values::<types::Int8Type>(array)?),
            DataType::Int16 => Self::Int16(values::<types::Int16Type>(array)?),
            DataType::Int32 => Self::Int32(values::<types::Int32Type>(array)?),
            DataType::Int64 => Self::Int64(values::<types::Int64Type>(array)?),
            DataType::UInt8 => Self::UInt8(values::<types::UInt8Type>(array)?),
            DataType::UInt16 => Self::UInt16(values::<types::UInt16Type>(array)?),
            DataType::UInt32 => Self::UInt32(values::<types::UInt32Type>(array)?),
            DataType::UInt64 => Self::UInt64(values::<types::UInt64Type>(array)?),
            _ => return None,
        })
    }

    /// The value, or what is too large for 64 bits with a sign.
    #[inline(always)]
    pub(crate) fn get(self, i: usize) -> Result<i64, u64> {
        Ok(match self {
            Self::Int8(values) => i64::from(at(values, i)),
            Self::Int16(values) => i64::from(at(values, i)),
            Self::Int32(values) => i64::from(at(values, i)),
            Self::Int64(values) => at(values, i),
            Self::UInt8(values) => i64::from(at(values, i)),
            Self::UInt16(values) => i64::from(at(values, i)),
            Self::UInt32(values) => i64::from(at(values, i)),
            Self::UInt64(values) => {
                let value = at(values, i);
                return i64::try_from(value).map_err(|_| value);
            }
        })
    }

    #[inline]
    pub(crate) fn get_wide(self, i: usize) -> i128 {
        self.get(i).map_or_else(i128::from, i128::from)
    }
}

/// Unscaled decimals of any width, or integers, which are decimals of scale 0.
#[derive(Clone, Copy)]
pub(crate) enum Unscaled<'a> {
    Decimal32(&'a [i32]),
    Decimal64(&'a [i64]),
    Decimal128(&'a [i128]),
    Decimal256(&'a Decimal256Array),
    Integers(Integers<'a>),
}

impl<'a> Unscaled<'a> {
    /// The values and their scale.
    pub(crate) fn of(array: &'a dyn Array) -> Option<(Self, i8)> {
        Some(match array.data_type() {
            DataType::Decimal32(_, scale) => (
                Self::Decimal32(values::<types::Decimal32Type>(array)?),
                *scale,
            ),
            DataType::Decimal64(_, scale) => (
                Self::Decimal64(values::<types::Decimal64Type>(array)?),
                *scale,
            ),
            DataType::Decimal128(_, scale) => (
                Self::Decimal128(values::<types::Decimal128Type>(array)?),
                *scale,
            ),
            DataType::Decimal256(_, scale) => (Self::Decimal256(array.as_primitive_opt()?), *scale),
            _ => (Self::Integers(Integers::of(array)?), 0),
        })
    }

    /// The value, or its text where it needs more than 128 bits.
    #[inline(always)]
    pub(crate) fn get(self, i: usize) -> Result<i128, String> {
        Ok(match self {
            Self::Decimal32(values) => i128::from(at(values, i)),
            Self::Decimal64(values) => i128::from(at(values, i)),
            Self::Decimal128(values) => at(values, i),
            Self::Decimal256(array) => return narrowed(array, i),
            Self::Integers(integers) => integers.get_wide(i),
        })
    }
}

#[inline(never)]
fn narrowed(array: &Decimal256Array, i: usize) -> Result<i128, String> {
    array
        .value(i)
        .to_i128()
        .ok_or_else(|| array.value_as_string(i))
}

/// Text in any of Arrow's layouts.
#[derive(Clone, Copy)]
pub(crate) enum Texts<'a> {
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
}

impl<'a> Texts<'a> {
    pub(crate) fn of(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Utf8 => Self::Utf8(array.as_string_opt()?),
            DataType::LargeUtf8 => Self::LargeUtf8(array.as_string_opt()?),
            DataType::Utf8View => Self::Utf8View(array.as_string_view_opt()?),
            _ => return None,
        })
    }

    #[inline(always)]
    pub(crate) fn get(self, i: usize) -> &'a str {
        match self {
            Self::Utf8(array) => array.value(i),
            Self::LargeUtf8(array) => array.value(i),
            Self::Utf8View(array) => array.value(i),
        }
    }
}

/// Bytes in any of Arrow's layouts, text included.
#[derive(Clone, Copy)]
pub(crate) enum Binaries<'a> {
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
    FixedSizeBinary(&'a FixedSizeBinaryArray),
    Text(Texts<'a>),
}

impl<'a> Binaries<'a> {
    pub(crate) fn of(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Binary => Self::Binary(array.as_binary_opt()?),
            DataType::LargeBinary => Self::LargeBinary(array.as_binary_opt()?),
            DataType::BinaryView => Self::BinaryView(array.as_binary_view_opt()?),
            DataType::FixedSizeBinary(_) => {
                Self::FixedSizeBinary(array.as_fixed_size_binary_opt()?)
            }
            _ => Self::Text(Texts::of(array)?),
        })
    }

    #[inline]
    pub(crate) fn get(self, i: usize) -> &'a [u8] {
        match self {
            Self::Binary(array) => array.value(i),
            Self::LargeBinary(array) => array.value(i),
            Self::BinaryView(array) => array.value(i),
            Self::FixedSizeBinary(array) => array.value(i),
            Self::Text(texts) => texts.get(i).as_bytes(),
        }
    }
}

/// Points in time or lengths of time, counted in a unit.
#[derive(Clone, Copy)]
pub(crate) struct Ticks<'a> {
    values: &'a [i64],
    unit: TimeUnit,
}

impl<'a> Ticks<'a> {
    /// A timestamp array, with or without a zone.
    pub(crate) fn timestamps(array: &'a dyn Array) -> Option<Self> {
        fn of<T: ArrowTimestampType>(array: &dyn Array) -> Option<Ticks<'_>> {
            Some(Ticks {
                values: values::<T>(array)?,
                unit: T::UNIT,
            })
        }
        match array.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => of::<TimestampSecondType>(array),
            DataType::Timestamp(TimeUnit::Millisecond, _) => of::<TimestampMillisecondType>(array),
            DataType::Timestamp(TimeUnit::Microsecond, _) => of::<TimestampMicrosecondType>(array),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => of::<TimestampNanosecondType>(array),
            _ => None,
        }
    }

    /// A duration array.
    pub(crate) fn durations(array: &'a dyn Array) -> Option<Self> {
        let DataType::Duration(unit) = array.data_type() else {
            return None;
        };
        let values = match unit {
            TimeUnit::Second => values::<DurationSecondType>(array)?,
            TimeUnit::Millisecond => values::<DurationMillisecondType>(array)?,
            TimeUnit::Microsecond => values::<DurationMicrosecondType>(array)?,
            TimeUnit::Nanosecond => values::<DurationNanosecondType>(array)?,
        };
        Some(Self {
            values,
            unit: *unit,
        })
    }

    /// Seconds, rounded down, and the nanoseconds above them.
    #[inline]
    pub(crate) fn get(self, i: usize) -> (i64, i32) {
        let value = at(self.values, i);
        // Each arm divides by a constant, which is a multiplication.
        match self.unit {
            TimeUnit::Second => (value, 0),
            TimeUnit::Millisecond => (
                value.div_euclid(1_000),
                value.rem_euclid(1_000) as i32 * 1_000_000,
            ),
            TimeUnit::Microsecond => (
                value.div_euclid(1_000_000),
                value.rem_euclid(1_000_000) as i32 * 1_000,
            ),
            TimeUnit::Nanosecond => (
                value.div_euclid(1_000_000_000),
                value.rem_euclid(1_000_000_000) as i32,
            ),
        }
    }
}
