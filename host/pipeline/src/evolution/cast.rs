//! Values of one type as values of another: exactly, or not at all.

use std::sync::Arc;

use arrow::compute::kernels::cmp;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Decimal128Array, Int64Array, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_cast::{CastOptions, can_cast_types, cast_with_options};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, SecondsFormat, TimeZone as _};
use chrono_tz::Tz;

use crate::source::file::scalar::{self, Decimal};
use crate::source::types::ColumnType;

/// A value that has no equal of the other type: its row, and why.
pub(super) type ValueFault = (usize, String);

const SECONDS_PER_DAY: i64 = 86_400;

/// Whether values of `from` can be tried as values of `to`.
pub(super) fn is_castable(from: &DataType, to: &DataType) -> bool {
    from == to || (from.is_nested() == to.is_nested() && can_cast_types(from, to))
}

/// The column as one of type `to`. `zone` is that of wall clocks that meet instants.
///
/// # Errors
///
/// The rows whose value has no equal.
pub(super) fn cast(
    column: &ArrayRef,
    to: &DataType,
    zone: Option<Tz>,
) -> Result<ArrayRef, Vec<ValueFault>> {
    use DataType::{Binary, Date32, Decimal128, Timestamp, Utf8};
    match (column.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(column)),
        (Timestamp(unit, None), Utf8) => texts(&counts(column)?, |count| {
            let time = instant(count, *unit)?.naive_utc();
            Ok(time.format("%Y-%m-%d %H:%M:%S%.f").to_string())
        }),
        (Timestamp(unit, Some(_)), Utf8) => texts(&counts(column)?, |count| {
            let time = instant(count, *unit)?;
            Ok(match zone {
                Some(zone) => time
                    .with_timezone(&zone)
                    .to_rfc3339_opts(SecondsFormat::AutoSi, false),
                None => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            })
        }),
        (Binary, Utf8) => {
            let bytes = column.as_binary::<i32>();
            let values = collect((0..bytes.len()).map(|row| {
                let text = || std::str::from_utf8(bytes.value(row)).map(str::to_owned);
                bytes.is_valid(row).then(text).transpose().map_err(|_| {
                    "bytes that are no UTF-8 text can not be kept in a column of texts".to_owned()
                })
            }))?;
            Ok(Arc::new(StringArray::from(values)))
        }
        (Utf8, Decimal128(precision, scale)) => {
            let values = parsed(column, |text| Decimal::parse(text)?.fit(*precision, *scale))?;
            Decimal128Array::from(values)
                .with_precision_and_scale(*precision, *scale)
                .map(|array| Arc::new(array) as ArrayRef)
                .map_err(|error| vec![(0, error.to_string())])
        }
        (Utf8, Timestamp(unit, target_zone)) => {
            let zoned = target_zone.is_some();
            let values = parsed(column, |text| {
                scalar::parse_timestamp(text, *unit, zoned, zone)
            })?;
            of_counts(values, to)
        }
        (Date32, Timestamp(unit, target_zone)) => {
            let days = column.as_primitive::<Date32Type>();
            let values = collect(days.iter().map(|day| {
                let count = |day: i32| {
                    let midnight = i64::from(day) * SECONDS_PER_DAY;
                    let seconds = match target_zone {
                        Some(_) => to_instant(midnight, TimeUnit::Second, zone)?,
                        None => midnight,
                    };
                    scalar::convert_unit(seconds, TimeUnit::Second, *unit)
                };
                day.map(count).transpose()
            }))?;
            of_counts(values, to)
        }
        (Timestamp(from_unit, from_zone), Timestamp(unit, target_zone)) => {
            let counts = counts(column)?;
            let values = collect(counts.iter().map(|count| {
                let convert = |count: i64| {
                    let moved = match (from_zone, target_zone) {
                        (None, Some(_)) => to_instant(count, *from_unit, zone)?,
                        (Some(_), None) => to_wall_clock(count, *from_unit, zone)?,
                        _ => count,
                    };
                    scalar::convert_unit(moved, *from_unit, *unit)
                };
                count.map(convert).transpose()
            }))?;
            of_counts(values, to)
        }
        _ => by_arrow(column, to),
    }
}

/// Casts, and back again where something could be lost on the way.
fn by_arrow(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, Vec<ValueFault>> {
    let options = CastOptions::default();
    let failed = |error: arrow_schema::ArrowError| vec![(0, error.to_string())];
    let cast = cast_with_options(column, to, &options).map_err(failed)?;
    let mut lost: Vec<usize> = Vec::new();
    if cast.null_count() > column.null_count() {
        lost.extend((0..column.len()).filter(|row| column.is_valid(*row) && cast.is_null(*row)));
    }
    if lost.is_empty() && *to != DataType::Utf8 && !column.data_type().is_nested() {
        let back = cast_with_options(&cast, column.data_type(), &options).map_err(failed)?;
        let differs = cmp::distinct(column, &back).map_err(failed)?;
        lost.extend((0..column.len()).filter(|row| differs.value(*row)));
    }
    if lost.is_empty() {
        return Ok(cast);
    }
    let format = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &format).map_err(failed)?;
    let name = ColumnType::nullable(to.clone());
    Err(lost
        .into_iter()
        .map(|row| {
            let value = formatter.value(row).to_string();
            let value = scalar::shorten(&value);
            (
                row,
                format!("the value `{value}` has no equal of type {name}"),
            )
        })
        .collect())
}

/// Counts of units since 1970.
fn counts(column: &ArrayRef) -> Result<Int64Array, Vec<ValueFault>> {
    cast_with_options(column, &DataType::Int64, &CastOptions::default())
        .map(|array| array.as_primitive::<Int64Type>().clone())
        .map_err(|error| vec![(0, error.to_string())])
}

fn of_counts(values: Vec<Option<i64>>, to: &DataType) -> Result<ArrayRef, Vec<ValueFault>> {
    cast_with_options(&Int64Array::from(values), to, &CastOptions::default())
        .map_err(|error| vec![(0, error.to_string())])
}

fn texts(
    counts: &Int64Array,
    text: impl Fn(i64) -> Result<String, String>,
) -> Result<ArrayRef, Vec<ValueFault>> {
    let values = collect(counts.iter().map(|count| count.map(&text).transpose()))?;
    Ok(Arc::new(StringArray::from(values)))
}

fn parsed<T>(
    column: &ArrayRef,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<Option<T>>, Vec<ValueFault>> {
    let column = column.as_string::<i32>();
    collect(column.iter().map(|text| text.map(&parse).transpose()))
}

fn collect<T>(
    values: impl Iterator<Item = Result<Option<T>, String>>,
) -> Result<Vec<Option<T>>, Vec<ValueFault>> {
    let (mut out, mut faults) = (Vec::new(), Vec::new());
    for (row, value) in values.enumerate() {
        match value {
            Ok(value) => out.push(value),
            Err(reason) => faults.push((row, reason)),
        }
    }
    if faults.is_empty() {
        Ok(out)
    } else {
        Err(faults)
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn instant(count: i64, unit: TimeUnit) -> Result<DateTime<chrono::Utc>, String> {
    let factor = per_second(unit);
    let nanos = count.rem_euclid(factor) * (1_000_000_000 / factor);
    u32::try_from(nanos)
        .ok()
        .and_then(|nanos| DateTime::from_timestamp(count.div_euclid(factor), nanos))
        .ok_or_else(|| format!("the time {count} is out of range"))
}

/// A wall clock of `zone` as an instant.
fn to_instant(count: i64, unit: TimeUnit, zone: Option<Tz>) -> Result<i64, String> {
    let wall = instant(count, unit)?.naive_utc();
    let zone = zone.ok_or_else(|| {
        format!("the wall clock {wall} is no instant; set pipeline.local-time-zone")
    })?;
    let moment = zone
        .from_local_datetime(&wall)
        .single()
        .ok_or_else(|| format!("the time {wall} does not exist or exists twice in zone {zone}"))?;
    let offset = wall.and_utc().timestamp() - moment.timestamp();
    count
        .checked_sub(offset * per_second(unit))
        .ok_or_else(|| format!("the time {wall} is out of range"))
}

/// An instant as the wall clock of `zone`; one that comes twice would no longer tell the instant.
fn to_wall_clock(count: i64, unit: TimeUnit, zone: Option<Tz>) -> Result<i64, String> {
    let moment = instant(count, unit)?;
    let zone = zone.ok_or_else(|| {
        format!("the instant {moment} is no wall clock; set pipeline.local-time-zone")
    })?;
    let wall = moment.with_timezone(&zone).naive_local();
    let offset = wall.and_utc().timestamp() - moment.timestamp();
    let wall_count = count
        .checked_add(offset * per_second(unit))
        .ok_or_else(|| format!("the time {moment} is out of range"))?;
    to_instant(wall_count, unit, Some(zone)).map(|_| wall_count)
}
