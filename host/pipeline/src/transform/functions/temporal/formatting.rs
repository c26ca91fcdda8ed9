//! Dates and times as texts, by Java's patterns.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_schema::DataType;
use chrono::TimeDelta;
use chrono_tz::Tz;
use datafusion::logical_expr::ColumnarValue;

use super::super::arguments::exactly;
use super::{first, moment, out_of_calendar, unparsed};
use crate::transform::bind::Binder;
use crate::transform::expression::Bound;
use crate::transform::java_pattern::JavaPattern;
use crate::transform::moments;

/// A constant pattern, compiled.
pub(super) fn pattern_of(name: &str, value: &Bound) -> Result<JavaPattern, String> {
    match value.constant_text() {
        Some(text) => JavaPattern::new(text),
        None if value.is_untyped() => JavaPattern::new(""),
        None => Err(format!("{name} takes a constant text as its pattern")),
    }
}

pub(super) fn date_format(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let [value, pattern] = exactly(args)?;
    formatted("DATE_FORMAT", value, &pattern, binder.context.zone)
}

pub(super) fn formatted(
    name: &'static str,
    value: Bound,
    pattern: &Bound,
    zone: Tz,
) -> Result<Bound, String> {
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

pub(super) fn date_format_tz(_: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_zones_without_a_name() {
        assert_eq!(fixed_offset("+08:00"), Some(28_800));
        assert_eq!(fixed_offset("GMT+8"), Some(28_800));
        assert_eq!(fixed_offset("UTC-03:30"), Some(-12_600));
        assert_eq!(fixed_offset("moon"), None);
    }
}
