//! Functions on dates and times.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Int32Array, Int64Array};
use arrow_schema::{DataType, TimeUnit};
use chrono::{Datelike, NaiveDateTime, TimeDelta, Timelike};
use chrono_tz::Tz;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ColumnarValue;
use datafusion::sql::sqlparser::ast::{Expr, Value};

use super::Definition;
use super::arguments::{Integers, Texts, as_integer, as_text, exactly};
use crate::transform::bind::Binder;
use crate::transform::cast::{Unfit, cast};
use crate::transform::expression::{Behavior, Bound, Evaluated, failed};
use crate::transform::java_pattern::{JavaPattern, Read, day_of_week};
use crate::transform::moments;
use crate::transform::types::{self, instant, is_moment, is_time};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition::new("NOW", 0, 0, |binder, _| Ok(now(binder))),
    Definition::new("CURRENT_TIMESTAMP", 0, 1, |binder, _| Ok(now(binder))),
    Definition::new("LOCALTIMESTAMP", 0, 1, |binder, _| {
        cast(now(binder), &TIMESTAMP_3, Unfit::Fails, binder.context.zone)
    }),
    Definition::new("CURRENT_DATE", 0, 0, |binder, _| {
        cast(
            now(binder),
            &DataType::Date32,
            Unfit::Fails,
            binder.context.zone,
        )
    }),
    Definition::new("LOCALTIME", 0, 1, |binder, _| local_time(binder)),
    Definition::new("CURRENT_TIME", 0, 1, |binder, _| local_time(binder)),
    Definition::new("YEAR", 1, 1, |binder, args| {
        field_of(binder, Field::Year, args)
    }),
    Definition::new("QUARTER", 1, 1, |binder, args| {
        field_of(binder, Field::Quarter, args)
    }),
    Definition::new("MONTH", 1, 1, |binder, args| {
        field_of(binder, Field::Month, args)
    }),
    Definition::new("WEEK", 1, 1, |binder, args| {
        field_of(binder, Field::Week, args)
    }),
    Definition::new("DAYOFYEAR", 1, 1, |binder, args| {
        field_of(binder, Field::DayOfYear, args)
    }),
    Definition::new("DAYOFMONTH", 1, 1, |binder, args| {
        field_of(binder, Field::Day, args)
    }),
    Definition::new("DAYOFWEEK", 1, 1, |binder, args| {
        field_of(binder, Field::DayOfWeek, args)
    }),
    Definition::new("HOUR", 1, 1, |binder, args| {
        field_of(binder, Field::Hour, args)
    }),
    Definition::new("MINUTE", 1, 1, |binder, args| {
        field_of(binder, Field::Minute, args)
    }),
    Definition::new("SECOND", 1, 1, |binder, args| {
        field_of(binder, Field::Second, args)
    }),
    Definition::new("DATE_FORMAT", 2, 2, date_format),
    Definition::new("DATE_FORMAT_TZ", 2, 3, date_format_tz),
    Definition::new("DATE_ADD", 2, 2, date_add),
    Definition::written("TIMESTAMPADD", 3, 3, timestamp_add),
    Definition::written("TIMESTAMPDIFF", 3, 3, timestamp_diff),
    Definition::written("TIMESTAMP_DIFF", 3, 3, timestamp_diff),
    Definition::new("TO_DATE", 1, 2, to_date),
    Definition::new("TO_TIMESTAMP", 1, 2, to_timestamp),
    Definition::new("TO_TIMESTAMP_LTZ", 1, 3, to_timestamp_ltz),
    Definition::new("FROM_UNIXTIME", 1, 2, from_unixtime),
    Definition::new("UNIX_TIMESTAMP", 0, 2, unix_timestamp),
];

const TIMESTAMP_3: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// When the batch came, the same in all its rows: `TIMESTAMP_LTZ(3)`.
fn now(binder: &Binder<'_>) -> Bound {
    binder.clock()
}

fn local_time(binder: &Binder<'_>) -> Result<Bound, String> {
    date_format(binder, vec![now(binder), Bound::literal("HH:mm:ss".into())])
}

/// A date, time, timestamp, or a text that is read as one.
fn moment(name: &str, value: &Bound) -> Result<(), String> {
    let fits = is_moment(&value.ty)
        || is_time(&value.ty)
        || value.ty == DataType::Utf8
        || value.is_untyped();
    if fits {
        return Ok(());
    }
    Err(format!(
        "{name} takes a date or a timestamp, not {}",
        types::name(&value.ty)
    ))
}

fn unparsed(ty: &DataType) -> Behavior {
    if *ty == DataType::Utf8 {
        Behavior::FALLIBLE
    } else {
        Behavior::PLAIN
    }
}

/// What EXTRACT takes from a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    DayOfYear,
    DayOfWeek,
    Hour,
    Minute,
    Second,
}

/// `EXTRACT(unit FROM moment)`: a BIGINT.
pub(in crate::transform) fn extract(
    binder: &Binder<'_>,
    unit: &str,
    value: Bound,
) -> Result<Bound, String> {
    let field = match unit.to_uppercase().as_str() {
        "YEAR" => Field::Year,
        "QUARTER" => Field::Quarter,
        "MONTH" => Field::Month,
        "WEEK" => Field::Week,
        "DAY" => Field::Day,
        "DOY" => Field::DayOfYear,
        "DOW" => Field::DayOfWeek,
        "HOUR" => Field::Hour,
        "MINUTE" => Field::Minute,
        "SECOND" => Field::Second,
        other => {
            return Err(format!(
                "EXTRACT has no unit {other}; there are YEAR, QUARTER, MONTH, WEEK, DAY, DOY, \
                 DOW, HOUR, MINUTE and SECOND"
            ));
        }
    };
    field_of(binder, field, vec![value])
}

fn field_of(binder: &Binder<'_>, field: Field, args: Vec<Bound>) -> Result<Bound, String> {
    let [value] = exactly(args)?;
    moment("EXTRACT", &value)?;
    let of_day = matches!(field, Field::Hour | Field::Minute | Field::Second);
    if is_time(&value.ty) && !of_day {
        return Err("a TIME has hours, minutes and seconds only".to_owned());
    }
    let zone = binder.context.zone;
    let behavior = unparsed(&value.ty);
    Ok(Bound::call(
        "EXTRACT",
        vec![value],
        DataType::Int64,
        behavior,
        move |args, rows| {
            let array = first(args, rows)?;
            let values: Int64Array = moments::wall_clocks(&array, zone)?
                .into_iter()
                .map(|at| at.map(|at| part(field, at)))
                .collect();
            Ok(ColumnarValue::Array(Arc::new(values)))
        },
    ))
}

fn part(field: Field, at: NaiveDateTime) -> i64 {
    match field {
        Field::Year => i64::from(at.year()),
        Field::Quarter => i64::from(at.month0() / 3 + 1),
        Field::Month => i64::from(at.month()),
        Field::Week => i64::from(at.iso_week().week()),
        Field::Day => i64::from(at.day()),
        Field::DayOfYear => i64::from(at.ordinal()),
        Field::DayOfWeek => day_of_week(at.weekday()),
        Field::Hour => i64::from(at.hour()),
        Field::Minute => i64::from(at.minute()),
        Field::Second => i64::from(at.second()),
    }
}

fn first(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef, DataFusionError> {
    args.first()
        .ok_or_else(|| failed("an argument is needed"))?
        .to_array(rows)
}

/// A constant pattern, compiled.
fn pattern_of(name: &str, value: &Bound) -> Result<JavaPattern, String> {
    match value.constant_text() {
        Some(text) => JavaPattern::new(text),
        None if value.is_untyped() => JavaPattern::new(""),
        None => Err(format!("{name} takes a constant text as its pattern")),
    }
}

fn date_format(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let [value, pattern] = exactly(args)?;
    formatted("DATE_FORMAT", value, &pattern, binder.context.zone)
}

fn formatted(name: &'static str, value: Bound, pattern: &Bound, zone: Tz) -> Result<Bound, String> {
    moment(name, &value)?;
    let pattern = pattern_of(name, pattern)?;
    let behavior = unparsed(&value.ty);
    Ok(Bound::call(
        name,
        vec![value],
        DataType::Utf8,
        behavior,
        move |args, rows| {
            let array = first(args, rows)?;
            Ok(ColumnarValue::Array(moments::formatted(
                &array, &pattern, zone,
            )?))
        },
    ))
}

fn date_format_tz(_: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let mut args = args.into_iter();
    let value = args.next().ok_or("a timestamp is needed")?;
    let last = args.next_back().ok_or("a zone is needed")?;
    let pattern = args.next();
    let pattern = pattern.unwrap_or_else(|| Bound::literal("yyyy-MM-dd HH:mm:ss".into()));
    if last.is_untyped() {
        return Ok(Bound::literal(datafusion::common::ScalarValue::Utf8(None)));
    }
    let zone = last
        .constant_text()
        .ok_or("DATE_FORMAT_TZ takes a constant text as its zone")?;
    match zone.parse::<Tz>() {
        Ok(zone) => formatted("DATE_FORMAT_TZ", value, &pattern, zone),
        Err(_) => {
            let offset = fixed_offset(zone).ok_or_else(|| {
                format!("`{zone}` is no time zone such as Asia/Shanghai or +08:00")
            })?;
            with_offset(value, &pattern, offset)
        }
    }
}

/// `+08:00`, `GMT+8`, `UTC+08:00` in seconds.
fn fixed_offset(text: &str) -> Option<i32> {
    let text = text.trim_start_matches("GMT").trim_start_matches("UTC");
    let padded = match text.split_at_checked(1)? {
        (sign, hours) if hours.len() == 1 => format!("{sign}0{hours}"),
        _ => text.to_owned(),
    };
    JavaPattern::new("X").ok()?.parse(&padded)?.offset
}

/// Formats instants as clocks at an offset from UTC show them.
fn with_offset(value: Bound, pattern: &Bound, offset: i32) -> Result<Bound, String> {
    moment("DATE_FORMAT_TZ", &value)?;
    let pattern = pattern_of("DATE_FORMAT_TZ", pattern)?;
    let behavior = unparsed(&value.ty);
    Ok(Bound::call(
        "DATE_FORMAT_TZ",
        vec![value],
        DataType::Utf8,
        behavior,
        move |args, rows| {
            let array = first(args, rows)?;
            let zoned = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
            let mut out = StringBuilder::new();
            let mut text = String::new();
            for at in moments::as_stored(&array)? {
                let Some(at) = at else {
                    out.append_null();
                    continue;
                };
                let shift = TimeDelta::seconds(if zoned { offset.into() } else { 0 });
                let at = at.checked_add_signed(shift).ok_or_else(out_of_calendar)?;
                text.clear();
                let clock = crate::transform::java_pattern::WallClock { at, offset };
                pattern.format(clock, &mut text);
                out.append_value(&text);
            }
            Ok(ColumnarValue::Array(Arc::new(out.finish())))
        },
    ))
}

fn out_of_calendar() -> DataFusionError {
    failed("the moment lies outside the calendar")
}

/// Units of `TIMESTAMPADD` and `TIMESTAMPDIFF`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_uppercase().as_str() {
            "SECOND" => Self::Second,
            "MINUTE" => Self::Minute,
            "HOUR" => Self::Hour,
            "DAY" => Self::Day,
            "WEEK" => Self::Week,
            "MONTH" => Self::Month,
            "QUARTER" => Self::Quarter,
            "YEAR" => Self::Year,
            _ => return None,
        })
    }

    /// Milliseconds, or months.
    fn length(self) -> Result<i64, i64> {
        match self {
            Self::Second => Ok(1000),
            Self::Minute => Ok(60_000),
            Self::Hour => Ok(3_600_000),
            Self::Day => Ok(86_400_000),
            Self::Week => Ok(7 * 86_400_000),
            Self::Month => Err(1),
            Self::Quarter => Err(3),
            Self::Year => Err(12),
        }
    }
}

/// The unit that a call names, as a word or as a text.
fn unit_of(expr: &Expr) -> Result<Unit, String> {
    let text = match expr {
        Expr::Identifier(name) => name.value.clone(),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    };
    Unit::parse(&text).ok_or_else(|| {
        format!("`{text}` is no unit; there are SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER and YEAR")
    })
}

fn timestamp(name: &str, binder: &Binder<'_>, value: Bound) -> Result<Bound, String> {
    if is_moment(&value.ty) {
        return Ok(value);
    }
    if value.is_untyped() {
        return cast(
            Bound::null(),
            &TIMESTAMP_3,
            Unfit::Fails,
            binder.context.zone,
        );
    }
    Err(format!(
        "{name} takes a date or a timestamp, not {}; TO_TIMESTAMP reads a text",
        types::name(&value.ty)
    ))
}

/// `TIMESTAMPADD(unit, count, moment)`.
fn timestamp_add(binder: &Binder<'_>, args: &[&Expr]) -> Result<Bound, String> {
    let [unit, count, moment] = args else {
        return Err("three arguments are needed".to_owned());
    };
    let length = unit_of(unit)?.length();
    let count = as_integer(binder, "TIMESTAMPADD", binder.bind(count)?)?;
    let mut moment = timestamp("TIMESTAMPADD", binder, binder.bind(moment)?)?;
    let parts_of_days = matches!(length, Ok(length) if length < 86_400_000);
    if moment.ty == DataType::Date32 && parts_of_days {
        moment = cast(moment, &TIMESTAMP_3, Unfit::Fails, binder.context.zone)?;
    }
    let ty = moment.ty.clone();
    let result = ty.clone();
    Ok(Bound::call(
        "TIMESTAMPADD",
        vec![moment, count],
        ty,
        Behavior::FALLIBLE,
        move |args, rows| {
            let array = first(args, rows)?;
            let counts = Integers::of(args, 1)?;
            let moved = moments::as_stored(&array)?
                .into_iter()
                .enumerate()
                .map(|(row, at)| match (at, counts.get(row)) {
                    (Some(at), Some(count)) => {
                        let moved = match length {
                            Ok(millis) => count
                                .checked_mul(millis)
                                .and_then(TimeDelta::try_milliseconds)
                                .and_then(|delta| at.checked_add_signed(delta)),
                            Err(months) => count
                                .checked_mul(months)
                                .and_then(|months| moments::plus_months(at, months)),
                        };
                        moved.map(Some).ok_or_else(out_of_calendar)
                    }
                    _ => Ok(None),
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok(ColumnarValue::Array(moments::array_of(&moved, &result)?))
        },
    ))
}

/// `TIMESTAMPDIFF(unit, from, to)`: an INT. Months and years are those of the calendar: from
/// January 31 to February 1 it is one month.
fn timestamp_diff(binder: &Binder<'_>, args: &[&Expr]) -> Result<Bound, String> {
    let [unit, from, to] = args else {
        return Err("three arguments are needed".to_owned());
    };
    let unit = unit_of(unit)?;
    let from = timestamp("TIMESTAMPDIFF", binder, binder.bind(from)?)?;
    let to = timestamp("TIMESTAMPDIFF", binder, binder.bind(to)?)?;
    let zone = binder.context.zone;
    let zoned = |ty: &DataType| matches!(ty, DataType::Timestamp(_, Some(_)));
    let both = zoned(&from.ty) && zoned(&to.ty);
    Ok(Bound::call(
        "TIMESTAMPDIFF",
        vec![from, to],
        DataType::Int32,
        Behavior::FALLIBLE,
        move |args, rows| {
            let [from, to] = args else {
                return Err(failed("two moments are needed"));
            };
            let read = |value: &ColumnarValue| {
                let array = value.to_array(rows)?;
                if both {
                    moments::as_stored(&array)
                } else {
                    moments::wall_clocks(&array, zone)
                }
            };
            let values = read(from)?
                .into_iter()
                .zip(read(to)?)
                .map(|pair| match pair {
                    (Some(from), Some(to)) => i32::try_from(difference(unit, from, to))
                        .map(Some)
                        .map_err(|_| {
                            failed(
                                "TIMESTAMPDIFF: the result does not fit an INT; take a longer unit",
                            )
                        }),
                    _ => Ok(None),
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok(ColumnarValue::Array(Arc::new(Int32Array::from(values))))
        },
    ))
}

fn difference(unit: Unit, from: NaiveDateTime, to: NaiveDateTime) -> i64 {
    let months = |at: NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
    match unit {
        Unit::Year => i64::from(to.year()) - i64::from(from.year()),
        Unit::Quarter => months(to) / 3 - months(from) / 3,
        Unit::Month => months(to) - months(from),
        other => {
            let millis = to.signed_duration_since(from).num_milliseconds();
            millis / other.length().unwrap_or(1000)
        }
    }
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transform) struct Interval {
    pub(in crate::transform) months: i64,
    pub(in crate::transform) millis: i64,
}

impl Interval {
    /// Reads `INTERVAL 'text' unit [TO unit]`.
    ///
    /// # Errors
    ///
    /// The text does not fit the units.
    pub(in crate::transform) fn parse(
        text: &str,
        from: &str,
        to: Option<&str>,
    ) -> Result<Self, String> {
        let shown = || match to {
            Some(to) => format!("INTERVAL '{text}' {from} TO {to}"),
            None => format!("INTERVAL '{text}' {from}"),
        };
        const UNITS: [(&str, Unit); 6] = [
            ("YEAR", Unit::Year),
            ("MONTH", Unit::Month),
            ("DAY", Unit::Day),
            ("HOUR", Unit::Hour),
            ("MINUTE", Unit::Minute),
            ("SECOND", Unit::Second),
        ];
        let plain = |name: &str| name.to_uppercase().trim_end_matches('S').to_owned();
        let place = |name: &str| UNITS.iter().position(|(unit, _)| *unit == plain(name));
        let single = Unit::parse(&plain(from)).filter(|_| to.is_none());
        let (negative, digits) = match text.trim().strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.trim().trim_start_matches('+')),
        };
        let sign = if negative { -1 } else { 1 };
        let mut interval = Self {
            months: 0,
            millis: 0,
        };
        let mut add = |unit: Unit, value: &str| -> Option<()> {
            match unit.length() {
                Ok(millis) => {
                    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
                    let mut sum = whole.parse::<i64>().ok()?.checked_mul(millis)?;
                    if !fraction.is_empty() {
                        let three: String = fraction.chars().chain("000".chars()).take(3).collect();
                        let exact = fraction.len() <= 3 && unit == Unit::Second;
                        sum = sum.checked_add(three.parse::<i64>().ok().filter(|_| exact)?)?;
                    }
                    interval.millis = interval.millis.checked_add(sum.checked_mul(sign)?)?;
                }
                Err(months) => {
                    let sum = value.parse::<i64>().ok()?.checked_mul(months)?;
                    interval.months = interval.months.checked_add(sum.checked_mul(sign)?)?;
                }
            }
            Some(())
        };
        if let Some(unit) = single {
            add(unit, digits).ok_or_else(|| format!("{} is no interval", shown()))?;
            return Ok(interval);
        }
        let (Some(first), Some(last)) = (place(from), to.and_then(place)) else {
            return Err(format!("{} is no interval: its units are unknown", shown()));
        };
        let parts: Vec<&str> = digits.split(['-', ' ', ':']).collect();
        let units = UNITS.get(first..=last).unwrap_or_default();
        if units.len() != parts.len() || (first < 2) != (last < 2) {
            return Err(format!(
                "{} is no interval: its parts do not fit its units",
                shown()
            ));
        }
        for ((_, unit), value) in units.iter().zip(parts) {
            add(*unit, value).ok_or_else(|| format!("{} is no interval", shown()))?;
        }
        Ok(interval)
    }

    pub(in crate::transform) fn negated(self) -> Self {
        Self {
            months: -self.months,
            millis: -self.millis,
        }
    }
}

/// `moment + interval`. Of a DATE whole days count only; months are added in UTC to an instant.
pub(in crate::transform) fn plus_interval(
    binder: &Binder<'_>,
    moment: Bound,
    interval: Interval,
) -> Result<Bound, String> {
    if moment.is_untyped() {
        return cast(
            Bound::null(),
            &TIMESTAMP_3,
            Unfit::Fails,
            binder.context.zone,
        );
    }
    if !is_moment(&moment.ty) {
        return Err(format!(
            "an interval can be added to a date or a timestamp, not to {}",
            types::name(&moment.ty)
        ));
    }
    let zone = binder.context.zone;
    let fine = interval.millis % 1000 != 0;
    let moment = match &moment.ty {
        DataType::Timestamp(TimeUnit::Second, tz) if fine => {
            let finer = DataType::Timestamp(TimeUnit::Millisecond, tz.clone());
            cast(moment, &finer, Unfit::Fails, zone)?
        }
        _ => moment,
    };
    let ty = moment.ty.clone();
    let result = ty.clone();
    Ok(Bound::call(
        "+ INTERVAL",
        vec![moment],
        ty,
        Behavior::FALLIBLE,
        move |args, rows| {
            let array = first(args, rows)?;
            let date = result == DataType::Date32;
            let moved = moments::as_stored(&array)?
                .into_iter()
                .map(|at| {
                    let Some(at) = at else {
                        return Ok(None);
                    };
                    let at = moments::plus_months(at, interval.months);
                    let at = at.and_then(|at| {
                        if date {
                            moments::plus_days(at, interval.millis / 86_400_000)
                        } else {
                            at.checked_add_signed(TimeDelta::try_milliseconds(interval.millis)?)
                        }
                    });
                    at.map(Some).ok_or_else(out_of_calendar)
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok(ColumnarValue::Array(moments::array_of(&moved, &result)?))
        },
    ))
}

/// `DATE_ADD(date, days)`: a text `yyyy-MM-dd`, as in Flink CDC.
fn date_add(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let [value, days] = exactly(args)?;
    moment("DATE_ADD", &value)?;
    let days = as_integer(binder, "DATE_ADD", days)?;
    let zone = binder.context.zone;
    Ok(Bound::call(
        "DATE_ADD",
        vec![value, days],
        DataType::Utf8,
        Behavior::FALLIBLE,
        move |args, rows| {
            let array = first(args, rows)?;
            let days = Integers::of(args, 1)?;
            let mut out = StringBuilder::with_capacity(rows, rows * 10);
            for (row, at) in moments::wall_clocks(&array, zone)?.into_iter().enumerate() {
                match (at, days.get(row)) {
                    (Some(at), Some(days)) => {
                        let day = moments::plus_days(at, days).ok_or_else(out_of_calendar)?;
                        out.append_value(day.date().to_string());
                    }
                    _ => out.append_null(),
                }
            }
            Ok(ColumnarValue::Array(Arc::new(out.finish())))
        },
    ))
}

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

fn to_date(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
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
fn to_timestamp(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
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
fn to_timestamp_ltz(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
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
fn from_unixtime(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
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
fn unix_timestamp(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        let interval =
            |text, from, to| Interval::parse(text, from, to).map(|i| (i.months, i.millis));
        assert_eq!(interval("3", "DAY", None), Ok((0, 3 * 86_400_000)));
        assert_eq!(interval("-1-2", "YEAR", Some("MONTH")), Ok((-14, 0)));
        assert_eq!(
            interval("1 02:03:04.5", "DAY", Some("SECOND")),
            Ok((0, 93_784_500))
        );
        assert_eq!(interval("90", "MINUTES", None), Ok((0, 5_400_000)));
        assert!(interval("1:2", "DAY", Some("SECOND")).is_err());
        assert!(interval("x", "DAY", None).is_err());
        assert!(interval("1.0001", "SECOND", None).is_err());
        assert!(interval("1", "EON", None).is_err());
    }

    #[test]
    fn offsets_of_zones_without_a_name() {
        assert_eq!(fixed_offset("+08:00"), Some(28_800));
        assert_eq!(fixed_offset("GMT+8"), Some(28_800));
        assert_eq!(fixed_offset("UTC-03:30"), Some(-12_600));
        assert_eq!(fixed_offset("moon"), None);
    }
}
