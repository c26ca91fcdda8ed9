//! Texts of single values: exact, and strict about it.

use std::fmt::Write as _;

use arrow_schema::TimeUnit;
use chrono::{NaiveDate, NaiveDateTime, TimeZone as _};
use chrono_tz::Tz;

const DAYS_TO_EPOCH: i32 = 719_163;

/// An exact decimal: `unscaled` × 10^-`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) unscaled: i128,
    pub(crate) scale: i32,
}

impl Decimal {
    /// Reads `-12.50`, `1e3`, `.5`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{}` is not a number", shorten(text));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| bad())?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(bad());
        }
        let mut unscaled: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            if !digit.is_ascii_digit() {
                return Err(bad());
            }
            unscaled = unscaled
                .checked_mul(10)
                .and_then(|value| value.checked_add(i128::from(digit - b'0')))
                .ok_or_else(|| format!("`{}` has more than 38 digits", shorten(text)))?;
        }
        let scale = i32::try_from(fraction.len())
            .ok()
            .and_then(|scale| scale.checked_sub(exponent))
            .ok_or_else(bad)?;
        Ok(Self {
            unscaled: if negative { -unscaled } else { unscaled },
            scale,
        })
    }

    /// The unscaled number at another precision and scale; an error rather than a loss.
    pub(crate) fn fit(self, precision: u8, scale: i8) -> Result<i128, String> {
        let target = i32::from(scale);
        let mut unscaled = self.unscaled;
        let mut current = self.scale;
        while current > target && unscaled % 10 == 0 && unscaled != 0 {
            unscaled /= 10;
            current -= 1;
        }
        if unscaled == 0 {
            return Ok(0);
        }
        if current > target {
            return Err(format!(
                "{self} has more than {target} digits after the point, DECIMAL({precision},{scale}) would round it"
            ));
        }
        let limit = 10_i128.checked_pow(u32::from(precision));
        u32::try_from(target - current)
            .ok()
            .and_then(|shift| 10_i128.checked_pow(shift))
            .and_then(|factor| unscaled.checked_mul(factor))
            .filter(|value| limit.is_none_or(|limit| value.abs() < limit))
            .ok_or_else(|| format!("{self} is too large for DECIMAL({precision},{scale})"))
    }

    /// Reads big-endian two's complement, as Kafka Connect writes unscaled numbers.
    pub(crate) fn from_bytes(bytes: &[u8], scale: i32) -> Result<Self, String> {
        let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
        let filler = if negative { 0xff } else { 0 };
        let significant: Vec<u8> = bytes
            .iter()
            .copied()
            .skip_while(|byte| *byte == filler)
            .collect();
        if significant.len() > 16 {
            return Err("the number has more than 38 digits".to_owned());
        }
        let mut value: i128 = if negative { -1 } else { 0 };
        for byte in significant {
            value = (value << 8) | i128::from(byte);
        }
        // 16 significant bytes can carry a sign bit that is not the number's.
        if (value < 0) != negative {
            return Err("the number has more than 38 digits".to_owned());
        }
        Ok(Self {
            unscaled: value,
            scale,
        })
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.unscaled.unsigned_abs().to_string();
        if self.unscaled < 0 {
            f.write_char('-')?;
        }
        match usize::try_from(self.scale) {
            Err(_) => write!(
                f,
                "{digits}{}",
                "0".repeat(self.scale.unsigned_abs().min(400) as usize)
            ),
            Ok(0) => f.write_str(&digits),
            Ok(scale) => {
                let padded = format!("{digits:0>width$}", width = scale + 1);
                let (whole, fraction) = padded.split_at(padded.len() - scale);
                write!(f, "{whole}.{fraction}")
            }
        }
    }
}

/// Reads `2024-02-29` as days since 1970-01-01.
pub(crate) fn parse_date(text: &str) -> Result<i32, String> {
    let bad = || format!("`{}` is not a date such as 2024-02-29", shorten(text));
    let (date, rest) = date_prefix(text).ok_or_else(bad)?;
    if rest.is_empty() {
        Ok(days(date))
    } else {
        Err(bad())
    }
}

/// Days since 1970-01-01 as `2024-02-29`.
pub(crate) fn format_date(days: i32) -> Result<String, String> {
    days.checked_add(DAYS_TO_EPOCH)
        .and_then(NaiveDate::from_num_days_from_ce_opt)
        .map(|date| date.format("%Y-%m-%d").to_string())
        .ok_or_else(|| format!("day {days} is out of range"))
}

fn days(date: NaiveDate) -> i32 {
    use chrono::Datelike as _;
    date.num_days_from_ce() - DAYS_TO_EPOCH
}

fn date_prefix(text: &str) -> Option<(NaiveDate, &str)> {
    let (date, rest) = text.split_at_checked(10)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date.as_bytes() else {
        return None;
    };
    let year = digits(&[y1, y2, y3, y4])?;
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        digits(&[m1, m2])?,
        digits(&[d1, d2])?,
    )?;
    Some((date, rest))
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0_u32, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + u32::from(byte - b'0'))
    })
}

/// Reads `2024-02-29T12:30:00.5+08:00`; `T` may be a blank, a bare date is its midnight.
///
/// `zoned`: the result is an instant, so an offset is needed, or `zone` tells it; otherwise the
/// result is a wall clock, which an offset would contradict. In units of `unit` since 1970.
pub(crate) fn parse_timestamp(
    text: &str,
    unit: TimeUnit,
    zoned: bool,
    zone: Option<Tz>,
) -> Result<i64, String> {
    let bad = || {
        format!(
            "`{}` is not a timestamp such as 2024-02-29T12:30:00.5{}",
            shorten(text),
            if zoned { "Z" } else { "" }
        )
    };
    let (date, rest) = date_prefix(text).ok_or_else(bad)?;
    let (seconds, nanos, rest) = match rest.strip_prefix(['T', 't', ' ']) {
        Some(rest) => clock_prefix(rest).ok_or_else(bad)?,
        None => (0, 0, rest),
    };
    let wall = i64::from(days(date)) * 86_400 + i64::from(seconds);
    let rest = rest.trim_start();
    let seconds = match (offset(rest).ok_or_else(bad)?, zoned) {
        (Some(offset), true) => wall - offset,
        (None, false) => wall,
        (Some(_), false) => {
            return Err(format!(
                "`{}` has an offset, which a timestamp without a zone can not keep; declare the column TIMESTAMP_LTZ",
                shorten(text)
            ));
        }
        (None, true) => {
            let Some(zone) = zone else {
                return Err(format!(
                    "`{}` has no offset, so it is no instant; write one (for example Z), set \
                     pipeline.local-time-zone, or declare the column TIMESTAMP_NTZ",
                    shorten(text)
                ));
            };
            let local = local_time(wall).ok_or_else(bad)?;
            zone.from_local_datetime(&local)
                .single()
                .ok_or_else(|| {
                    format!(
                        "`{}` does not exist or exists twice in zone {zone}; write its offset",
                        shorten(text)
                    )
                })?
                .timestamp()
        }
    };
    let too_fine = || {
        format!(
            "`{}` has finer fractions of a second than the column; declare it with more digits, \
             for example TIMESTAMP_{}(9)",
            shorten(text),
            if zoned { "LTZ" } else { "NTZ" }
        )
    };
    let (per_second, nanos_per_unit) = unit_factors(unit);
    if nanos % nanos_per_unit != 0 {
        return Err(too_fine());
    }
    seconds
        .checked_mul(per_second)
        .and_then(|value| value.checked_add(i64::from(nanos / nanos_per_unit)))
        .ok_or_else(|| format!("`{}` is out of range for the column's unit", shorten(text)))
}

fn local_time(seconds: i64) -> Option<NaiveDateTime> {
    chrono::DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc())
}

/// Units in a second, and nanoseconds in a unit.
fn unit_factors(unit: TimeUnit) -> (i64, u32) {
    match unit {
        TimeUnit::Second => (1, 1_000_000_000),
        TimeUnit::Millisecond => (1_000, 1_000_000),
        TimeUnit::Microsecond => (1_000_000, 1_000),
        TimeUnit::Nanosecond => (1_000_000_000, 1),
    }
}

/// `12:30`, `12:30:15`, `12:30:15.123`: seconds of the day, nanoseconds, what follows.
fn clock_prefix(text: &str) -> Option<(u32, u32, &str)> {
    let (clock, rest) = text.split_at_checked(5)?;
    let [h1, h2, b':', m1, m2] = *clock.as_bytes() else {
        return None;
    };
    let (hour, minute) = (digits(&[h1, h2])?, digits(&[m1, m2])?);
    let (mut second, mut nanos, mut rest) = (0, 0, rest);
    if let Some(after) = rest.strip_prefix(':') {
        let (text, after) = after.split_at_checked(2)?;
        second = digits(text.as_bytes())?;
        rest = after;
        if let Some(after) = rest.strip_prefix('.') {
            let length = after.bytes().take_while(u8::is_ascii_digit).count();
            let (fraction, after) = after.split_at(length);
            if fraction.is_empty() || fraction.len() > 9 {
                return None;
            }
            let padded = format!("{fraction:0<9}");
            nanos = padded.parse().ok()?;
            rest = after;
        }
    }
    (hour < 24 && minute < 60 && second < 60).then_some((
        hour * 3600 + minute * 60 + second,
        nanos,
        rest,
    ))
}

/// The offset in seconds: `Z`, `+08:00`, `+0800`, `+08`, or none at all. `None` = not an offset.
fn offset(text: &str) -> Option<Option<i64>> {
    if text.is_empty() {
        return Some(None);
    }
    if matches!(text, "Z" | "z" | "UTC") {
        return Some(Some(0));
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match *rest.as_bytes() {
        [h1, h2] => (digits(&[h1, h2])?, 0),
        [h1, h2, b':', m1, m2] | [h1, h2, m1, m2] => (digits(&[h1, h2])?, digits(&[m1, m2])?),
        _ => return None,
    };
    (hours <= 18 && minutes < 60).then(|| Some(sign * i64::from(hours * 3600 + minutes * 60)))
}

/// Converts counts between units; an error rather than a loss.
pub(crate) fn convert_unit(value: i64, from: TimeUnit, to: TimeUnit) -> Result<i64, String> {
    let (from_per_second, to_per_second) = (unit_factors(from).0, unit_factors(to).0);
    if to_per_second >= from_per_second {
        value
            .checked_mul(to_per_second / from_per_second)
            .ok_or_else(|| format!("{value} is out of range for the column's unit"))
    } else {
        let divisor = from_per_second / to_per_second;
        if value % divisor == 0 {
            Ok(value / divisor)
        } else {
            Err(format!(
                "{value} has finer fractions of a second than the column; declare it with more digits"
            ))
        }
    }
}

/// A time of day, or a length of time as MySQL's TIME has them: `-838:59:59`, `12:30:00.000500`.
pub(crate) fn format_time(value: i64, unit: TimeUnit) -> String {
    let (per_second, nanos_per_unit) = unit_factors(unit);
    let sign = if value < 0 { "-" } else { "" };
    let magnitude = value.unsigned_abs();
    let per_second = per_second.unsigned_abs();
    let (seconds, rest) = (magnitude / per_second, magnitude % per_second);
    let mut out = format!(
        "{sign}{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    let nanos = rest * u64::from(nanos_per_unit);
    if nanos > 0 {
        if nanos.is_multiple_of(1000) {
            let _ = write!(out, ".{:06}", nanos / 1000);
        } else {
            let _ = write!(out, ".{nanos:09}");
        }
    }
    out
}

/// A value for a message: not longer than a line.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
