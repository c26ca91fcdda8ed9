//! How one Arrow column becomes one table column: the matrix of legal conversions, and the values.
//!
//! A [`Slot`] is bound once per batch; [`Slot::emit`] hands single values to a [`ValueSink`], which
//! is the record encoder, the bucket hash or the text of a partition.

mod bind;
mod convert;

use arrow_array::BooleanArray;
use arrow_array::types::{ArrowPrimitiveType, Float16Type};
use arrow_buffer::NullBuffer;

pub(crate) use convert::{ShortText, civil_date};

use super::sources::{Binaries, Integers, Texts, Ticks, Unscaled, at};
use crate::types::OdpsType;

/// Why a value was refused.
pub(crate) struct Refused(pub(crate) Box<str>);

impl Refused {
    #[cold]
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into().into_boxed_str())
    }

    #[cold]
    fn within(self, place: std::fmt::Arguments<'_>) -> Self {
        Self(format!("{place}: {}", self.0).into_boxed_str())
    }
}

/// Takes the values of one column type.
pub(crate) trait ValueSink {
    /// TINYINT to BIGINT.
    fn integer(&mut self, value: i64);
    /// BOOLEAN.
    fn boolean(&mut self, value: bool);
    /// FLOAT.
    fn float(&mut self, value: f32);
    /// DOUBLE.
    fn double(&mut self, value: f64);
    /// STRING, VARCHAR, CHAR, JSON, BINARY.
    fn bytes(&mut self, value: &[u8]);
    /// DECIMAL of the declared precision and scale.
    fn decimal(&mut self, unscaled: i128, precision: u8, scale: u8);
    /// DATE, in days since 1970.
    fn date(&mut self, days: i64);
    /// DATETIME, in milliseconds since 1970.
    fn datetime(&mut self, milliseconds: i64);
    /// TIMESTAMP and TIMESTAMP_NTZ: seconds since 1970, rounded down, and nanoseconds.
    fn timestamp(&mut self, seconds: i64, nanoseconds: i32);
    /// INTERVAL_DAY_TIME.
    fn day_time(&mut self, seconds: i64, nanoseconds: i32);
    /// INTERVAL_YEAR_MONTH.
    fn months(&mut self, months: i64);
    /// An ARRAY of so many elements follows, or the keys or the values of a MAP.
    fn list(&mut self, length: usize);
    /// The fields of a STRUCT follow.
    fn structure(&mut self);
    /// Before each element and each struct field.
    fn null_flag(&mut self, is_null: bool);
}

/// What values must keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Largest STRING, BINARY or JSON, in bytes.
    pub(crate) max_field_size: usize,
}

/// A bound column: its values and which of them are NULL.
pub(crate) struct Slot<'a> {
    nulls: Option<&'a NullBuffer>,
    cell: Cell<'a>,
}

type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// Ways to read a value. The first few are the hot ones.
enum Cell<'a> {
    Integer {
        values: Integers<'a>,
        min: i64,
        max: i64,
    },
    Double(&'a [f64]),
    Text {
        values: Texts<'a>,
        limit: TextLimit,
    },
    Decimal {
        values: Unscaled<'a>,
        rescale: Rescale,
        precision: u8,
        scale: u8,
    },
    Timestamp(Ticks<'a>),
    Datetime(Ticks<'a>),
    Date(&'a [i32]),
    Boolean(&'a BooleanArray),
    Float(&'a [f32]),
    WidenedFloat(&'a [f32]),
    HalfFloat {
        values: &'a [Half],
        double: bool,
    },
    FloatOfInteger {
        values: Integers<'a>,
        double: bool,
    },
    IntegerOfDecimal {
        values: Unscaled<'a>,
        rescale: Rescale,
        min: i64,
        max: i64,
    },
    Binary {
        values: Binaries<'a>,
        max_bytes: usize,
    },
    Json {
        values: Texts<'a>,
        max_bytes: usize,
    },
    DateOfMilliseconds(&'a [i64]),
    DateOfTimestamp(Ticks<'a>),
    TimestampOfDate(&'a [i32]),
    DatetimeOfDate(&'a [i32]),
    DayTime(Ticks<'a>),
    DayTimeOfInterval(&'a [arrow_buffer::IntervalDayTime]),
    Months(&'a [i32]),
    Rendered {
        value: convert::Rendered<'a>,
        limit: TextLimit,
    },
    List {
        offsets: Offsets<'a>,
        element: Box<Slot<'a>>,
    },
    Map {
        offsets: Offsets<'a>,
        key: Box<Slot<'a>>,
        value: Box<Slot<'a>>,
    },
    Struct(Vec<(String, Slot<'a>)>),
    Dictionary {
        keys: Vec<usize>,
        values: Box<Slot<'a>>,
    },
    Null,
}

/// Longest text: in bytes always, in characters for VARCHAR and CHAR.
#[derive(Clone, Copy)]
struct TextLimit {
    max_bytes: usize,
    max_characters: usize,
}

/// How an unscaled decimal gets another scale without losing a digit.
#[derive(Clone, Copy)]
struct Rescale {
    /// Power of ten to multiply with (positive) or to divide by (negative).
    factor: i128,
    divide: bool,
    /// Exclusive bound of the magnitude afterwards.
    limit: i128,
}

/// Where the elements of each list stand in the child array.
enum Offsets<'a> {
    Small(&'a [i32]),
    Large(&'a [i64]),
    Fixed { first: usize, size: usize },
    SmallView(&'a [i32], &'a [i32]),
    LargeView(&'a [i64], &'a [i64]),
}

impl Offsets<'_> {
    fn range(&self, i: usize) -> std::ops::Range<usize> {
        match self {
            Self::Small(offsets) => at(offsets, i) as usize..at(offsets, i + 1) as usize,
            Self::Large(offsets) => at(offsets, i) as usize..at(offsets, i + 1) as usize,
            Self::Fixed { first, size } => first + i * size..first + (i + 1) * size,
            Self::SmallView(offsets, sizes) => {
                let first = at(offsets, i) as usize;
                first..first + at(sizes, i) as usize
            }
            Self::LargeView(offsets, sizes) => {
                let first = at(offsets, i) as usize;
                first..first + at(sizes, i) as usize
            }
        }
    }
}

impl<'a> Slot<'a> {
    /// A column that is NULL in every row.
    pub(crate) fn null() -> Self {
        Self {
            nulls: None,
            cell: Cell::Null,
        }
    }

    /// Whether value `i` is NULL.
    #[inline]
    pub(crate) fn is_null(&self, i: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(i))
            || match &self.cell {
                Cell::Null => true,
                Cell::Dictionary { keys, values } => values.is_null(at(keys, i)),
                _ => false,
            }
    }

    /// Hands value `i`, which is not NULL, to `sink`.
    #[inline]
    pub(crate) fn emit<S: ValueSink>(&self, i: usize, sink: &mut S) -> Result<(), Refused> {
        match &self.cell {
            Cell::Integer { values, min, max } => {
                sink.integer(convert::integer(values.get(i), *min, *max)?);
            }
            Cell::Double(values) => sink.double(at(values, i)),
            Cell::Text { values, limit } => {
                let text = values.get(i);
                limit.check(text)?;
                sink.bytes(text.as_bytes());
            }
            Cell::Decimal {
                values,
                rescale,
                precision,
                scale,
            } => {
                let unscaled = values.get(i).map_err(Refused::new)?;
                let fitted = rescale.apply(unscaled).ok_or_else(|| {
                    convert::decimal_does_not_fit(unscaled, *rescale, *precision, *scale)
                })?;
                sink.decimal(fitted, *precision, *scale);
            }
            Cell::Timestamp(ticks) => {
                let (seconds, nanoseconds) = convert::point_in_time(ticks.get(i))?;
                sink.timestamp(seconds, nanoseconds);
            }
            other => other.emit_rarer(i, sink)?,
        }
        Ok(())
    }
}

impl Cell<'_> {
    fn emit_rarer<S: ValueSink>(&self, i: usize, sink: &mut S) -> Result<(), Refused> {
        match self {
            Self::Datetime(ticks) => sink.datetime(convert::milliseconds(ticks.get(i))?),
            Self::Date(days) => sink.date(convert::day(i64::from(at(days, i)))?),
            Self::Boolean(array) => sink.boolean(array.value(i)),
            Self::Float(values) => sink.float(at(values, i)),
            Self::WidenedFloat(values) => sink.double(f64::from(at(values, i))),
            Self::HalfFloat {
                values,
                double: true,
            } => sink.double(at(values, i).to_f64()),
            Self::HalfFloat {
                values,
                double: false,
            } => sink.float(at(values, i).to_f32()),
            Self::FloatOfInteger {
                values,
                double: true,
            } => {
                sink.double(convert::exact_double(values.get_wide(i))?);
            }
            Self::FloatOfInteger {
                values,
                double: false,
            } => {
                sink.float(convert::exact_float(values.get_wide(i))?);
            }
            Self::IntegerOfDecimal {
                values,
                rescale,
                min,
                max,
            } => {
                let unscaled = values.get(i).map_err(Refused::new)?;
                sink.integer(convert::whole_number(unscaled, *rescale, *min, *max)?);
            }
            Self::Binary { values, max_bytes } => {
                let bytes = values.get(i);
                convert::check_size(bytes.len(), *max_bytes)?;
                sink.bytes(bytes);
            }
            Self::Json { values, max_bytes } => {
                let text = values.get(i);
                convert::check_size(text.len(), *max_bytes)?;
                convert::check_json(text)?;
                sink.bytes(text.as_bytes());
            }
            Self::DateOfMilliseconds(values) => sink.date(convert::whole_day(at(values, i))?),
            Self::DateOfTimestamp(ticks) => sink.date(convert::midnight(ticks.get(i))?),
            Self::TimestampOfDate(days) => {
                sink.timestamp(
                    convert::day(i64::from(at(days, i)))? * convert::DAY_SECONDS,
                    0,
                );
            }
            Self::DatetimeOfDate(days) => {
                let day = convert::day(i64::from(at(days, i)))?;
                sink.datetime(day * convert::DAY_SECONDS * 1_000);
            }
            Self::DayTime(ticks) => {
                let (seconds, nanoseconds) = ticks.get(i);
                sink.day_time(seconds, nanoseconds);
            }
            Self::DayTimeOfInterval(values) => {
                let (seconds, nanoseconds) = convert::day_time(at(values, i));
                sink.day_time(seconds, nanoseconds);
            }
            Self::Months(values) => sink.months(i64::from(at(values, i))),
            Self::Rendered { value, limit } => value.with_text(i, |text| {
                limit.check(text)?;
                sink.bytes(text.as_bytes());
                Ok(())
            })?,
            Self::List { offsets, element } => {
                element.emit_list(offsets.range(i), sink, "element")?
            }
            Self::Map {
                offsets,
                key,
                value,
            } => {
                key.emit_list(offsets.range(i), sink, "key")?;
                value.emit_list(offsets.range(i), sink, "value")?;
            }
            Self::Struct(fields) => {
                sink.structure();
                for (name, field) in fields {
                    field
                        .emit_flagged(i, sink)
                        .map_err(|refused| refused.within(format_args!("field `{name}`")))?;
                }
            }
            Self::Dictionary { keys, values } => values.emit(at(keys, i), sink)?,
            // Null is never emitted; the others are handled in `Slot::emit`.
            Self::Null
            | Self::Integer { .. }
            | Self::Double(_)
            | Self::Text { .. }
            | Self::Decimal { .. }
            | Self::Timestamp(_) => {}
        }
        Ok(())
    }
}

impl Slot<'_> {
    fn emit_list<S: ValueSink>(
        &self,
        range: std::ops::Range<usize>,
        sink: &mut S,
        what: &str,
    ) -> Result<(), Refused> {
        sink.list(range.len());
        for (n, i) in range.enumerate() {
            self.emit_flagged(i, sink)
                .map_err(|refused| refused.within(format_args!("{what} {n}")))?;
        }
        Ok(())
    }

    fn emit_flagged<S: ValueSink>(&self, i: usize, sink: &mut S) -> Result<(), Refused> {
        let is_null = self.is_null(i);
        sink.null_flag(is_null);
        if is_null { Ok(()) } else { self.emit(i, sink) }
    }
}

/// Whether the type has elements or fields of its own.
pub(crate) fn is_nested(ty: &OdpsType) -> bool {
    matches!(
        ty,
        OdpsType::Array(_) | OdpsType::Map(..) | OdpsType::Struct(_)
    )
}
