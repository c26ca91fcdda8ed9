//! Conversions of single values: exact, or refused with the reason.

use serde::de::IgnoredAny;

use super::{Refused, Rescale, TextLimit};
use crate::record::decimal_text;
use crate::record::sources::{Unscaled, at};

pub(super) const DAY_SECONDS: i64 = 86_400;

/// 0001-01-01T00:00:00Z and the last second of 9999, since 1970.
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;

/// Largest BIGINT magnitude: the service has no -2^63.
pub(super) const MIN_BIGINT: i64 = -i64::MAX;

#[inline]
pub(super) fn integer(value: Result<i64, u64>, min: i64, max: i64) -> Result<i64, Refused> {
    match value {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        Ok(value) => Err(integer_out_of_range(&value, min, max)),
        Err(value) => Err(integer_out_of_range(&value, min, max)),
    }
}

#[cold]
fn integer_out_of_range(value: &dyn std::fmt::Display, min: i64, max: i64) -> Refused {
    Refused::new(format!("{value} is outside of {min} to {max}"))
}

impl TextLimit {
    #[inline(always)]
    pub(super) fn check(self, text: &str) -> Result<(), Refused> {
        // A text of few bytes has few characters; only longer ones are counted.
        if text.len() <= self.max_characters.min(self.max_bytes) {
            Ok(())
        } else {
            self.check_longer(text)
        }
    }

    #[inline(never)]
    fn check_longer(self, text: &str) -> Result<(), Refused> {
        check_size(text.len(), self.max_bytes)?;
        let characters = text.chars().count();
        if characters > self.max_characters {
            return Err(Refused::new(format!(
                "the text has {characters} characters, the column takes {}",
                self.max_characters
            )));
        }
        Ok(())
    }
}

#[inline]
pub(super) fn check_size(bytes: usize, max_bytes: usize) -> Result<(), Refused> {
    if bytes <= max_bytes {
        Ok(())
    } else {
        Err(too_large(bytes, max_bytes))
    }
}

#[cold]
fn too_large(bytes: usize, max_bytes: usize) -> Refused {
    Refused::new(format!(
        "the value has {bytes} bytes, the service takes {max_bytes} per field"
    ))
}

pub(super) fn check_json(text: &str) -> Result<(), Refused> {
    serde_json::from_str::<IgnoredAny>(text)
        .map(|_| ())
        .map_err(|error| Refused::new(format!("the text is not valid JSON: {error}")))
}

impl Rescale {
    /// From `from` to `to` digits after the point, into at most `precision` digits.
    pub(super) fn new(from: i8, to: u8, precision: u8) -> Option<Self> {
        let shift = i32::from(to) - i32::from(from);
        Some(Self {
            factor: 10_i128.checked_pow(shift.unsigned_abs())?,
            divide: shift < 0,
            limit: 10_i128.checked_pow(u32::from(precision))?,
        })
    }

    #[inline]
    pub(super) fn apply(self, unscaled: i128) -> Option<i128> {
        let value = if self.factor == 1 {
            unscaled
        } else if self.divide {
            if unscaled % self.factor != 0 {
                return None;
            }
            unscaled / self.factor
        } else {
            unscaled.checked_mul(self.factor)?
        };
        (-self.limit < value && value < self.limit).then_some(value)
    }
}

#[cold]
pub(super) fn decimal_does_not_fit(unscaled: i128, rescale: Rescale, p: u8, s: u8) -> Refused {
    Refused::new(format!(
        "the decimal {} does not fit DECIMAL({p},{s}) exactly",
        source_text(unscaled, rescale, s)
    ))
}

/// The value as the source has it.
fn source_text(unscaled: i128, rescale: Rescale, scale: u8) -> String {
    let shift = rescale.factor.checked_ilog10().unwrap_or(0) as i32;
    let source_scale = i32::from(scale) + if rescale.divide { shift } else { -shift };
    match u8::try_from(source_scale) {
        Ok(scale @ 0..=38) => decimal_text::decimal(unscaled, scale).as_str().to_owned(),
        _ => format!("{unscaled}e{}", -source_scale),
    }
}

pub(super) fn whole_number(
    unscaled: i128,
    rescale: Rescale,
    min: i64,
    max: i64,
) -> Result<i64, Refused> {
    rescale
        .apply(unscaled)
        .and_then(|value| i64::try_from(value).ok())
        .filter(|value| (min..=max).contains(value))
        .ok_or_else(|| {
            let text = source_text(unscaled, rescale, 0);
            Refused::new(format!("{text} is not a whole number of {min} to {max}"))
        })
}

pub(super) fn exact_double(value: i128) -> Result<f64, Refused> {
    if value.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS {
        Ok(value as f64)
    } else {
        Err(Refused::new(format!(
            "{value} has no exact DOUBLE; use BIGINT or DECIMAL"
        )))
    }
}

pub(super) fn exact_float(value: i128) -> Result<f32, Refused> {
    if value.unsigned_abs() <= 1 << f32::MANTISSA_DIGITS {
        Ok(value as f32)
    } else {
        Err(Refused::new(format!(
            "{value} has no exact FLOAT; use DOUBLE, BIGINT or DECIMAL"
        )))
    }
}

#[inline]
pub(super) fn point_in_time((seconds, nanoseconds): (i64, i32)) -> Result<(i64, i32), Refused> {
    if (FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
        Ok((seconds, nanoseconds))
    } else {
        Err(outside_of_the_calendar(seconds))
    }
}

#[cold]
fn outside_of_the_calendar(seconds: i64) -> Refused {
    Refused::new(format!(
        "the time {seconds} seconds from 1970 is outside of the years 0001 to 9999"
    ))
}

#[inline]
pub(super) fn milliseconds(time: (i64, i32)) -> Result<i64, Refused> {
    let (seconds, nanoseconds) = point_in_time(time)?;
    if nanoseconds % 1_000_000 == 0 {
        Ok(seconds * 1_000 + i64::from(nanoseconds / 1_000_000))
    } else {
        Err(Refused::new(format!(
            "{nanoseconds} nanoseconds of a second do not fit DATETIME, which has milliseconds; \
             use TIMESTAMP"
        )))
    }
}

#[inline]
pub(super) fn day(days: i64) -> Result<i64, Refused> {
    const FIRST: i64 = FIRST_SECOND / DAY_SECONDS;
    const LAST: i64 = LAST_SECOND / DAY_SECONDS;
    if (FIRST..=LAST).contains(&days) {
        Ok(days)
    } else {
        Err(Refused::new(format!(
            "the day {days} days from 1970 is outside of the years 0001 to 9999"
        )))
    }
}

pub(super) fn whole_day(milliseconds: i64) -> Result<i64, Refused> {
    midnight((
        milliseconds.div_euclid(1_000),
        milliseconds.rem_euclid(1_000) as i32 * 1_000_000,
    ))
}

pub(super) fn midnight((seconds, nanoseconds): (i64, i32)) -> Result<i64, Refused> {
    if nanoseconds == 0 && seconds % DAY_SECONDS == 0 {
        day(seconds / DAY_SECONDS)
    } else {
        Err(Refused::new(
            "the value has a time of day, DATE has none; use DATETIME or TIMESTAMP",
        ))
    }
}

pub(super) fn day_time(value: arrow_buffer::IntervalDayTime) -> (i64, i32) {
    let milliseconds = i64::from(value.milliseconds);
    (
        i64::from(value.days) * DAY_SECONDS + milliseconds.div_euclid(1_000),
        milliseconds.rem_euclid(1_000) as i32 * 1_000_000,
    )
}

/// Values whose text is what a text column gets.
pub(super) enum Rendered<'a> {
    /// Integers and decimals, with the scale of the source.
    Number { values: Unscaled<'a>, scale: u8 },
    /// `true` and `false`.
    Boolean(&'a arrow_array::BooleanArray),
    /// `yyyy-MM-dd`.
    Date(&'a [i32]),
    /// `HH:mm:ss` with as many digits of a second as the unit has.
    Time(Times<'a>),
}

/// Times of day.
#[derive(Clone, Copy)]
pub(super) enum Times<'a> {
    Seconds(&'a [i32]),
    Milliseconds(&'a [i32]),
    Microseconds(&'a [i64]),
    Nanoseconds(&'a [i64]),
}

impl Rendered<'_> {
    pub(super) fn with_text(
        &self,
        i: usize,
        then: impl FnOnce(&str) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        match self {
            Self::Number { values, scale } => {
                let unscaled = values.get(i).map_err(Refused::new)?;
                then(decimal_text::decimal(unscaled, *scale).as_str())
            }
            Self::Boolean(array) => then(if array.value(i) { "true" } else { "false" }),
            Self::Date(days) => {
                let mut text = ShortText::default();
                text.date(day(i64::from(at(days, i)))?);
                then(text.as_str())
            }
            Self::Time(times) => {
                let mut text = ShortText::default();
                text.time(*times, i)?;
                then(text.as_str())
            }
        }
    }
}

/// A date or a time of day as text, on the stack.
#[derive(Default)]
pub(crate) struct ShortText {
    bytes: [u8; 24],
    len: usize,
}

impl ShortText {
    pub(crate) fn as_str(&self) -> &str {
        self.bytes
            .get(..self.len)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    /// `yyyy-MM-dd` of a day of the years 0001 to 9999.
    pub(crate) fn date(&mut self, days: i64) {
        let (year, month, day) = civil_date(days);
        self.digits(year, 4);
        self.push(b'-');
        self.digits(month, 2);
        self.push(b'-');
        self.digits(day, 2);
    }

    fn time(&mut self, times: Times<'_>, i: usize) -> Result<(), Refused> {
        let (value, per_second, digits) = match times {
            Times::Seconds(values) => (i64::from(at(values, i)), 1, 0),
            Times::Milliseconds(values) => (i64::from(at(values, i)), 1_000, 3),
            Times::Microseconds(values) => (at(values, i), 1_000_000, 6),
            Times::Nanoseconds(values) => (at(values, i), 1_000_000_000, 9),
        };
        let (seconds, fraction) = (value.div_euclid(per_second), value.rem_euclid(per_second));
        if !(0..DAY_SECONDS).contains(&seconds) {
            return Err(Refused::new(format!(
                "{seconds} seconds after midnight is not a time of day"
            )));
        }
        self.digits(seconds / 3_600, 2);
        self.push(b':');
        self.digits(seconds / 60 % 60, 2);
        self.push(b':');
        self.digits(seconds % 60, 2);
        if digits > 0 {
            self.push(b'.');
            self.digits(fraction, digits);
        }
        Ok(())
    }

    fn digits(&mut self, value: i64, count: u32) {
        for place in (0..count).rev() {
            self.push(b'0' + (value / 10_i64.pow(place) % 10) as u8);
        }
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }
}

/// Year, month and day of a day since 1970, in the proleptic Gregorian calendar.
pub(crate) fn civil_date(days: i64) -> (i64, i64, i64) {
    // Years are counted from March, so that the leap day is the last one.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
