//! Dates and times of Arrow arrays as chrono's, and back.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{
    Array, ArrayRef, Date32Array, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray,
};
use arrow_schema::{DataType, TimeUnit};
use chrono::{
    DateTime, Days, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta,
    TimeZone,
};
use chrono_tz::Tz;
use datafusion::common::DataFusionError;

use super::expression::failed;
use super::java_pattern::{JavaPattern, WallClock};

/// 1970-01-01 00:00.
pub(super) const EPOCH: NaiveDateTime = DateTime::UNIX_EPOCH.naive_utc();

/// What a clock on a wall in `zone` shows at an instant.
pub(super) fn local(instant: NaiveDateTime, zone: Tz) -> NaiveDateTime {
    zone.from_utc_datetime(&instant).naive_local()
}

/// The instant at which a clock on a wall in `zone` shows `wall`. Of two the first; a time that
/// the clock skips is taken as if it had not been set forward yet, as Java does.
pub(super) fn instant(wall: NaiveDateTime, zone: Tz) -> Option<NaiveDateTime> {
    match zone.from_local_datetime(&wall) {
        MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => Some(at.naive_utc()),
        MappedLocalTime::None => {
            let before = wall.checked_sub_signed(TimeDelta::days(1))?;
            let offset = zone
                .offset_from_utc_datetime(&before)
                .fix()
                .local_minus_utc();
            wall.checked_sub_signed(TimeDelta::seconds(i64::from(offset)))
        }
    }
}

/// Seconds east of UTC in `zone` at an instant.
pub(super) fn offset_at(instant: NaiveDateTime, zone: Tz) -> i32 {
    zone.offset_from_utc_datetime(&instant)
        .fix()
        .local_minus_utc()
}

/// The values of a DATE, TIME, timestamp or text array, instants as clocks in `zone` show them.
///
/// # Errors
///
/// Texts that are no moments.
pub(super) fn wall_clocks(
    array: &dyn Array,
    zone: Tz,
) -> Result<Vec<Option<NaiveDateTime>>, DataFusionError> {
    let zoned = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    let mut moments = as_stored(array)?;
    if zoned {
        for moment in moments.iter_mut().flatten() {
            *moment = local(*moment, zone);
        }
    }
    Ok(moments)
}

/// The values of a DATE, TIME, timestamp or text array: instants in UTC, the others as they are.
///
/// # Errors
///
/// Texts that are no moments, and values that no calendar has.
pub(super) fn as_stored(array: &dyn Array) -> Result<Vec<Option<NaiveDateTime>>, DataFusionError> {
    fn all<T: Copy>(
        values: impl Iterator<Item = Option<T>>,
        read: impl Fn(T) -> Option<NaiveDateTime>,
    ) -> Result<Vec<Option<NaiveDateTime>>, DataFusionError> {
        values
            .map(|value| match value {
                None => Ok(None),
                Some(value) => read(value).map(Some).ok_or_else(|| {
                    failed("a moment lies outside the calendar, which ends after 260000 years")
                }),
            })
            .collect()
    }
    let ticks = |value: i64, per_second: i64| {
        let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
        DateTime::from_timestamp(value.div_euclid(per_second), u32::try_from(nanos).ok()?)
            .map(|at| at.naive_utc())
    };
    match array.data_type() {
        DataType::Date32 => all(array.as_primitive::<Date32Type>().iter(), |days| {
            ticks(i64::from(days) * 86_400, 1)
        }),
        DataType::Timestamp(TimeUnit::Second, _) => {
            all(array.as_primitive::<TimestampSecondType>().iter(), |v| {
                ticks(v, 1)
            })
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => all(
            array.as_primitive::<TimestampMillisecondType>().iter(),
            |v| ticks(v, 1000),
        ),
        DataType::Timestamp(TimeUnit::Microsecond, _) => all(
            array.as_primitive::<TimestampMicrosecondType>().iter(),
            |v| ticks(v, 1_000_000),
        ),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => all(
            array.as_primitive::<TimestampNanosecondType>().iter(),
            |v| ticks(v, 1_000_000_000),
        ),
        DataType::Time32(TimeUnit::Second) => {
            all(array.as_primitive::<Time32SecondType>().iter(), |v| {
                ticks(i64::from(v), 1)
            })
        }
        DataType::Time32(_) => all(array.as_primitive::<Time32MillisecondType>().iter(), |v| {
            ticks(i64::from(v), 1000)
        }),
        DataType::Time64(TimeUnit::Microsecond) => {
            all(array.as_primitive::<Time64MicrosecondType>().iter(), |v| {
                ticks(v, 1_000_000)
            })
        }
        DataType::Time64(_) => all(array.as_primitive::<Time64NanosecondType>().iter(), |v| {
            ticks(v, 1_000_000_000)
        }),
        DataType::Utf8 => array
            .as_string::<i32>()
            .iter()
            .map(|text| match text {
                None => Ok(None),
                Some(text) => read_text(text)
                    .or_else(|| read_time(text).map(|time| (EPOCH.date().and_time(time), None)))
                    .map(|(at, _)| Some(at))
                    .ok_or_else(|| failed(format!("`{text}` is no date or time"))),
            })
            .collect(),
        DataType::Null => Ok(vec![None; array.len()]),
        other => Err(failed(format!("{other} is no date or time"))),
    }
}

/// An array of DATE or of a timestamp type.
///
/// # Errors
///
/// Values outside the type's range.
pub(super) fn array_of(
    moments: &[Option<NaiveDateTime>],
    ty: &DataType,
) -> Result<ArrayRef, DataFusionError> {
    fn all<T>(
        moments: &[Option<NaiveDateTime>],
        write: impl Fn(NaiveDateTime) -> Option<T>,
    ) -> Result<Vec<Option<T>>, DataFusionError> {
        moments
            .iter()
            .map(|moment| match moment {
                None => Ok(None),
                Some(at) => write(*at)
                    .map(Some)
                    .ok_or_else(|| failed(format!("{at} lies outside the range of the type"))),
            })
            .collect()
    }
    let zone = match ty {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    Ok(match ty {
        DataType::Date32 => Arc::new(Date32Array::from(all(moments, |at| {
            i32::try_from(at.date().signed_duration_since(EPOCH.date()).num_days()).ok()
        })?)),
        DataType::Timestamp(TimeUnit::Second, _) => Arc::new(
            TimestampSecondArray::from(all(moments, |at| Some(at.and_utc().timestamp()))?)
                .with_timezone_opt(zone),
        ),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Arc::new(
            TimestampMillisecondArray::from(all(moments, |at| {
                Some(at.and_utc().timestamp_millis())
            })?)
            .with_timezone_opt(zone),
        ),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Arc::new(
            TimestampMicrosecondArray::from(all(moments, |at| {
                Some(at.and_utc().timestamp_micros())
            })?)
            .with_timezone_opt(zone),
        ),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Arc::new(
            TimestampNanosecondArray::from(all(moments, |at| at.and_utc().timestamp_nanos_opt())?)
                .with_timezone_opt(zone),
        ),
        other => return Err(failed(format!("{other} is no type of a moment"))),
    })
}

/// Reads `2024-02-29`, `2024-02-29 23:59`, `…:59.123`, with `T` for the blank, and with `Z` or an
/// offset after it; the offset in seconds east of UTC.
pub(super) fn read_text(text: &str) -> Option<(NaiveDateTime, Option<i32>)> {
    let text = text.trim();
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some((date.and_time(NaiveTime::MIN), None));
    }
    let text = text.replacen('T', " ", 1);
    for pattern in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"] {
        if let Ok(at) = NaiveDateTime::parse_from_str(&text, pattern) {
            return Some((at, None));
        }
    }
    let text = match text.strip_suffix('Z') {
        Some(text) => format!("{text}+00:00"),
        None => text,
    };
    for pattern in ["%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S%.f %:z"] {
        if let Ok(at) = DateTime::parse_from_str(&text, pattern) {
            return Some((at.naive_local(), Some(at.offset().local_minus_utc())));
        }
    }
    None
}

/// Reads `23:59` or `23:59:59.123`.
pub(super) fn read_time(text: &str) -> Option<NaiveTime> {
    let text = text.trim();
    ["%H:%M:%S%.f", "%H:%M"]
        .iter()
        .find_map(|pattern| NaiveTime::parse_from_str(text, pattern).ok())
}

/// Adds to a date `2024-01-31` plus one month what Java adds: the last day of February.
pub(super) fn plus_months(at: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let count = chrono::Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 {
        at.checked_sub_months(count)
    } else {
        at.checked_add_months(count)
    }
}

/// Adds whole days.
pub(super) fn plus_days(at: NaiveDateTime, days: i64) -> Option<NaiveDateTime> {
    let count = Days::new(days.unsigned_abs());
    if days < 0 {
        at.checked_sub_days(count)
    } else {
        at.checked_add_days(count)
    }
}

/// Formats every value of an array by a pattern, instants as clocks in `zone` show them.
///
/// # Errors
///
/// Texts that are no moments.
pub(super) fn formatted(
    array: &dyn Array,
    pattern: &JavaPattern,
    zone: Tz,
) -> Result<ArrayRef, DataFusionError> {
    let zoned = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    let mut out = arrow_array::builder::StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut text = String::new();
    for moment in as_stored(array)? {
        let Some(at) = moment else {
            out.append_null();
            continue;
        };
        let offset = if !pattern.shows_offset() && !zoned {
            0
        } else if zoned {
            offset_at(at, zone)
        } else {
            instant(at, zone).map_or(0, |instant| offset_at(instant, zone))
        };
        let wall = if zoned {
            at.checked_add_signed(TimeDelta::seconds(i64::from(offset)))
                .ok_or_else(|| failed("a moment lies outside the calendar"))?
        } else {
            at
        };
        text.clear();
        pattern.format(WallClock { at: wall, offset }, &mut text);
        out.append_value(&text);
    }
    Ok(Arc::new(out.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        read_text(text).unwrap().0
    }

    #[test]
    fn a_time_that_clocks_skip_is_moved_on_and_the_first_of_two_taken() {
        let berlin = Tz::Europe__Berlin;
        // Clocks went from 02:00 to 03:00, and from 03:00 back to 02:00.
        assert_eq!(
            instant(at("2024-03-31 02:30"), berlin),
            Some(at("2024-03-31 01:30"))
        );
        assert_eq!(
            local(at("2024-03-31 01:30"), berlin),
            at("2024-03-31 03:30")
        );
        assert_eq!(
            instant(at("2024-10-27 02:30"), berlin),
            Some(at("2024-10-27 00:30"))
        );
    }

    #[test]
    fn texts() {
        assert_eq!(
            read_text("2024-02-29T01:02:03.5+08:00").unwrap().1,
            Some(28_800)
        );
        assert_eq!(read_text("2024-02-29 01:02:03Z").unwrap().1, Some(0));
        assert_eq!(read_text("2024-02-30"), None);
        assert_eq!(read_text("next week"), None);
        assert!(read_time("24:00").is_none());
    }

    #[test]
    fn months_end_where_they_end() {
        assert_eq!(plus_months(at("2024-01-31"), 1), Some(at("2024-02-29")));
        assert_eq!(plus_months(at("2024-03-31"), -13), Some(at("2023-02-28")));
    }
}
