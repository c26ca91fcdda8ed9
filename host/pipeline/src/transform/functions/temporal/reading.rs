//! Dates and times read from texts and numbers.

use std::sync::Arc;

use arrow_array::Int64Array;
use arrow_schema::{DataType, TimeUnit};
use chrono::{NaiveDateTime, TimeDelta, Timelike};
use chrono_tz::Tz;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ColumnarValue;

use super::super::arguments::{Integers, Texts, as_integer, as_text};
use super::formatting::{formatted, pattern_of};
use super::{TIMESTAMP_3, first, now, out_of_calendar};
use crate::transform::bind::Binder;
use crate::transform::cast::{Unfit, cast};
use crate::transform::expression::{Behavior, Bound, Evaluated, failed};
use crate::transform::java_pattern::{JavaPattern, Read};
use crate::transform::moments;
use crate::transform::types::{self, instant, is_moment};

/// Reads texts by a pattern, or as SQL writes them where there is none.
fn read(pattern: Option<&JavaPattern>, text: &str) -> Option<Read> {
    match pattern {
        Some(pattern) => pattern.parse(text),
        None => moments::read_text(text).map(|(at, offset)| Read { at, offset }),
    }
}

/// The texts of the first argument, read.
fn each_read<T>(
    args: &[ColumnarValue],
    rows: usize,
    mut each: impl FnMut(&str) -> Result<Option<T>, DataFusionError>,
) -> Result<Vec<Option<T>>, DataFusionError> {
    let text = Texts::of(args, 0)?;
    (0..rows)
        .map(|row| text.get(row).map_or(Ok(None), &mut each))
        .collect()
}

/// The text argument and the compiled pattern of a function that reads texts.
fn to_read(
    name: &str,
    binder: &Binder<'_>,
    args: Vec<Bound>,
) -> Result<(Bound, Option<JavaPattern>), String> {
    let mut args = args.into_iter();
    let text = args.next().ok_or("a text is needed")?;
    let pattern = args
        .next()
        .map(|pattern| pattern_of(name, &pattern))
        .transpose()?;
    Ok((as_text(binder, name, text)?, pattern))
}

pub(super) fn to_date(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    if let [value] = args.as_slice()
        && is_moment(&value.ty)
    {
        // The date that the value itself has: of an instant that is the one in UTC.
        return cast(value.clone(), &DataType::Date32, Unfit::Fails, Tz::UTC);
    }
    if args.first().is_some_and(|value| is_moment(&value.ty)) {
        return Err("TO_DATE takes a pattern for a text only".to_owned());
    }
    let (text, pattern) = to_read("TO_DATE", binder, args)?;
    let pattern = match pattern {
        Some(pattern) => pattern,
        None => JavaPattern::new("yyyy-MM-dd")?,
    };
    Ok(Bound::call(
        "TO_DATE",
        vec![text],
        DataType::Date32,
        Behavior::NULLABLE,
        move |args, rows| {
            let values = each_read(args, rows, |text| {
                Ok(pattern.parse(text).map(|read| read.at))
            })?;
            Ok(ColumnarValue::Array(moments::array_of(
                &values,
                &DataType::Date32,
            )?))
        },
    ))
}

fn unreadable(name: &str, text: &str) -> DataFusionError {
    failed(format!("{name}: `{text}` is not as the pattern says"))
}

/// A TIMESTAMP(3) has no place for more.
fn whole_millis(
    name: &str,
    at: NaiveDateTime,
    text: &str,
) -> Result<NaiveDateTime, DataFusionError> {
    if at.nanosecond().is_multiple_of(1_000_000) {
        Ok(at)
    } else {
        Err(failed(format!(
            "{name}: `{text}` has more than the milliseconds of the result; CAST(… AS TIMESTAMP(6)) \
             keeps more"
        )))
    }
}

/// `TO_TIMESTAMP(text[, pattern])`: a TIMESTAMP(3).
pub(super) fn to_timestamp(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let (text, pattern) = to_read("TO_TIMESTAMP", binder, args)?;
    let zone = binder.context.zone;
    Ok(Bound::call(
        "TO_TIMESTAMP",
        vec![text],
        TIMESTAMP_3,
        Behavior::FALLIBLE,
        move |args, rows| {
            let values = each_read(args, rows, |text| {
                let found =
                    read(pattern.as_ref(), text).ok_or_else(|| unreadable("TO_TIMESTAMP", text))?;
                let at = match found.offset {
                    Some(offset) => {
                        let utc = found
                            .at
                            .checked_sub_signed(TimeDelta::seconds(offset.into()));
                        moments::local(utc.ok_or_else(out_of_calendar)?, zone)
                    }
                    None => found.at,
                };
                whole_millis("TO_TIMESTAMP", at, text).map(Some)
            })?;
            Ok(ColumnarValue::Array(moments::array_of(
                &values,
                &TIMESTAMP_3,
            )?))
        },
    ))
}

/// `TO_TIMESTAMP_LTZ(text[, pattern[, zone]])`, the zone UTC unless given, or
/// `TO_TIMESTAMP_LTZ(number[, 0 | 3])`, seconds or milliseconds since 1970: a TIMESTAMP_LTZ(3).
pub(super) fn to_timestamp_ltz(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    const NAME: &str = "TO_TIMESTAMP_LTZ";
    let ty = instant(TimeUnit::Millisecond);
    let result = ty.clone();
    let value = args.first().ok_or("a value is needed")?;
    if types::is_integer(&value.ty) {
        let precision = match args.get(1) {
            None => 3,
            Some(precision) => precision.constant_integer().unwrap_or(-1),
        };
        let factor = match (precision, args.len()) {
            (0, 2) => 1000,
            (3, 1 | 2) => 1,
            _ => {
                return Err(format!(
                    "{NAME} of a number takes 0 (seconds) or 3 (milliseconds)"
                ));
            }
        };
        let value = as_integer(binder, NAME, value.clone())?;
        return Ok(Bound::call(
            NAME,
            vec![value],
            ty,
            Behavior::FALLIBLE,
            move |args, rows| {
                let values = Integers::of(args, 0)?;
                let moments = (0..rows)
                    .map(|row| match values.get(row) {
                        None => Ok(None),
                        Some(value) => value
                            .checked_mul(factor)
                            .and_then(chrono::DateTime::from_timestamp_millis)
                            .map(|at| Some(at.naive_utc()))
                            .ok_or_else(out_of_calendar),
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(ColumnarValue::Array(moments::array_of(&moments, &result)?))
            },
        ));
    }
    let zone = match args.get(2) {
        None => Tz::UTC,
        Some(zone) if zone.is_untyped() => Tz::UTC,
        Some(zone) => zone
            .constant_text()
            .and_then(|zone| zone.parse::<Tz>().ok())
            .ok_or("TO_TIMESTAMP_LTZ takes a constant zone such as 'Asia/Shanghai'")?,
    };
    let (text, pattern) = to_read(NAME, binder, args.into_iter().take(2).collect())?;
    Ok(Bound::call(
        NAME,
        vec![text],
        ty,
        Behavior::FALLIBLE,
        move |args, rows| {
            let values = each_read(args, rows, |text| {
                let found = read(pattern.as_ref(), text).ok_or_else(|| unreadable(NAME, text))?;
                let at = in_zone(found, zone)?;
                whole_millis(NAME, at, text).map(Some)
            })?;
            Ok(ColumnarValue::Array(moments::array_of(&values, &result)?))
        },
    ))
}

/// The instant of what was read: at its own offset, or in the zone.
fn in_zone(read: Read, zone: Tz) -> Result<NaiveDateTime, DataFusionError> {
    match read.offset {
        Some(offset) => read
            .at
            .checked_sub_signed(TimeDelta::seconds(offset.into())),
        None => moments::instant(read.at, zone),
    }
    .ok_or_else(out_of_calendar)
}

/// `FROM_UNIXTIME(seconds[, pattern])`, in the local zone.
pub(super) fn from_unixtime(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let mut args = args.into_iter();
    let seconds = args.next().ok_or("a number is needed")?;
    let seconds = as_integer(binder, "FROM_UNIXTIME", seconds)?;
    let pattern = args
        .next()
        .unwrap_or_else(|| Bound::literal("yyyy-MM-dd HH:mm:ss".into()));
    let instants = cast_seconds(seconds);
    formatted("FROM_UNIXTIME", instants, &pattern, binder.context.zone)
}

/// Seconds since 1970 as instants.
fn cast_seconds(seconds: Bound) -> Bound {
    let ty = instant(TimeUnit::Second);
    let result = ty.clone();
    Bound::call(
        "FROM_UNIXTIME",
        vec![seconds],
        ty,
        Behavior::FALLIBLE,
        move |args, rows| {
            let array = first(args, rows)?;
            let cast = arrow_cast::cast(&array, &result)?;
            Ok(ColumnarValue::Array(cast))
        },
    )
}

/// `UNIX_TIMESTAMP([text[, pattern]])`: seconds since 1970, texts without an offset in the local
/// zone.
pub(super) fn unix_timestamp(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    const NAME: &str = "UNIX_TIMESTAMP";
    let seconds = |values: Vec<Option<NaiveDateTime>>| -> Evaluated {
        let values: Int64Array = values
            .into_iter()
            .map(|at| at.map(|at| at.and_utc().timestamp()))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(values)))
    };
    if args.is_empty() {
        return Ok(Bound::call(
            NAME,
            vec![now(binder)],
            DataType::Int64,
            Behavior::PLAIN,
            move |args, rows| seconds(moments::as_stored(&first(args, rows)?)?),
        ));
    }
    let zone = binder.context.zone;
    let (text, pattern) = to_read(NAME, binder, args)?;
    Ok(Bound::call(
        NAME,
        vec![text],
        DataType::Int64,
        Behavior::FALLIBLE,
        move |args, rows| {
            let values = each_read(args, rows, |text| {
                let found = read(pattern.as_ref(), text).ok_or_else(|| unreadable(NAME, text))?;
                in_zone(found, zone).map(Some)
            })?;
            seconds(values)
        },
    ))
}
