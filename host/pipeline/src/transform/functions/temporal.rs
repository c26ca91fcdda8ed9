//! Functions on dates and times.

mod formatting;
mod intervals;
mod reading;

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::{DataType, TimeUnit};
use chrono::{Datelike, NaiveDateTime, Timelike};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ColumnarValue;

use super::Definition;
use super::arguments::exactly;
use crate::transform::bind::Binder;
use crate::transform::cast::{Unfit, cast};
use crate::transform::expression::{Behavior, Bound, failed};
use crate::transform::java_pattern::day_of_week;
use crate::transform::moments;
use crate::transform::types::{self, is_moment, is_time};
use formatting::{date_format, date_format_tz};
pub(in crate::transform) use intervals::{Interval, plus_interval};
use intervals::{date_add, timestamp_add, timestamp_diff};
use reading::{from_unixtime, to_date, to_timestamp, to_timestamp_ltz, unix_timestamp};

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

fn out_of_calendar() -> DataFusionError {
    failed("the moment lies outside the calendar")
}
