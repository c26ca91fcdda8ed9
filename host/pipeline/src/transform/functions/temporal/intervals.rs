//! Lengths of time: added to moments, and between them.

use std::sync::Arc;

use arrow_array::Int32Array;
use arrow_array::builder::StringBuilder;
use arrow_schema::{DataType, TimeUnit};
use chrono::{Datelike, NaiveDateTime, TimeDelta};
use datafusion::logical_expr::ColumnarValue;
use datafusion::sql::sqlparser::ast::{Expr, Value};

use super::super::arguments::{Integers, as_integer, exactly};
use super::{TIMESTAMP_3, first, moment, out_of_calendar};
use crate::transform::bind::Binder;
use crate::transform::cast::{Unfit, cast};
use crate::transform::expression::{Behavior, Bound, failed};
use crate::transform::moments;
use crate::transform::types::{self, is_moment};

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

fn timestamp(name: &str, value: Bound) -> Result<Bound, String> {
    if is_moment(&value.ty) {
        return Ok(value);
    }
    if value.is_untyped() {
        return Bound::null_of(&TIMESTAMP_3);
    }
    Err(format!(
        "{name} takes a date or a timestamp, not {}; TO_TIMESTAMP reads a text",
        types::name(&value.ty)
    ))
}

/// `TIMESTAMPADD(unit, count, moment)`.
pub(super) fn timestamp_add(binder: &Binder<'_>, args: &[&Expr]) -> Result<Bound, String> {
    let [unit, count, moment] = args else {
        return Err("three arguments are needed".to_owned());
    };
    let length = unit_of(unit)?.length();
    let count = as_integer(binder, "TIMESTAMPADD", binder.bind(count)?)?;
    let mut moment = timestamp("TIMESTAMPADD", binder.bind(moment)?)?;
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
pub(super) fn timestamp_diff(binder: &Binder<'_>, args: &[&Expr]) -> Result<Bound, String> {
    let [unit, from, to] = args else {
        return Err("three arguments are needed".to_owned());
    };
    let unit = unit_of(unit)?;
    let from = timestamp("TIMESTAMPDIFF", binder.bind(from)?)?;
    let to = timestamp("TIMESTAMPDIFF", binder.bind(to)?)?;
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
        return Bound::null_of(&TIMESTAMP_3);
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
pub(super) fn date_add(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
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
}
