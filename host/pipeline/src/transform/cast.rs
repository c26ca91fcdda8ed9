//! CAST and TRY_CAST, written or implied.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Decimal128Array, Int64Array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::ColumnarValue;

use super::expression::{Behavior, Bound, failed};
use super::java_pattern::JavaPattern;
use super::moments;
use super::types::{self, is_float, is_integer, is_moment, is_numeric, is_time};

/// What becomes of a value that the type does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is an error.
    Fails,
    /// It becomes NULL.
    IsNull,
}

/// Converts an expression to a type.
///
/// # Errors
///
/// No value of the one type is ever one of the other.
pub(super) fn cast(from: Bound, to: &DataType, unfit: Unfit, zone: Tz) -> Result<Bound, String> {
    if from.ty == *to {
        return Ok(from);
    }
    if from.is_untyped() && from.constant().is_some() {
        return Bound::null_of(to);
    }
    if !possible(&from.ty, to) {
        return Err(format!(
            "{} can not be converted to {}",
            types::name(&from.ty),
            types::name(to)
        ));
    }
    let behavior = Behavior {
        nullable: unfit == Unfit::IsNull,
        fallible: unfit == Unfit::Fails && !always_fits(&from.ty, to),
        ..Behavior::PLAIN
    };
    let target = to.clone();
    Ok(Bound::call(
        "CAST",
        vec![from],
        to.clone(),
        behavior,
        move |args, rows| {
            let [value] = args else {
                return Err(failed("CAST takes one value"));
            };
            let scalar = matches!(value, ColumnarValue::Scalar(_));
            let array = value.to_array(if scalar { 1 } else { rows })?;
            let array = convert(&array, &target, unfit, zone)?;
            if scalar {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &array, 0,
                )?))
            } else {
                Ok(ColumnarValue::Array(array))
            }
        },
    ))
}

fn possible(from: &DataType, to: &DataType) -> bool {
    let simple = |ty: &DataType| {
        is_numeric(ty)
            || is_moment(ty)
            || is_time(ty)
            || matches!(ty, DataType::Boolean | DataType::Utf8)
    };
    match (from, to) {
        (DataType::Null, _) => true,
        (from, DataType::Utf8) => simple(from) || *from == DataType::Binary,
        (DataType::Utf8, to) => simple(to) || *to == DataType::Binary,
        (DataType::Boolean, to) => is_numeric(to),
        (from, DataType::Boolean) => is_numeric(from),
        (DataType::List(a), DataType::List(b)) => {
            a.data_type() == b.data_type() || possible(a.data_type(), b.data_type())
        }
        _ => {
            is_numeric(from) && is_numeric(to)
                || is_moment(from) && is_moment(to)
                || is_time(from) && is_time(to)
        }
    }
}

fn always_fits(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (_, DataType::Utf8) => *from != DataType::Binary,
        (_, DataType::Float32 | DataType::Float64) => is_numeric(from),
        (DataType::Utf8, DataType::Binary) => true,
        (_, DataType::Boolean) => is_numeric(from),
        (DataType::Timestamp(..), DataType::Date32) => true,
        _ => match (types::decimal_parts(from), types::decimal_parts(to)) {
            (Some((p1, s1)), Some((p2, s2))) => {
                s1 <= s2
                    && p1 - s1.min(p1) <= p2 - s2.min(p2)
                    && (!is_integer(to) || is_integer(from))
            }
            _ => false,
        },
    }
}

/// Converts an array.
pub(super) fn convert(
    array: &ArrayRef,
    to: &DataType,
    unfit: Unfit,
    zone: Tz,
) -> Result<ArrayRef, DataFusionError> {
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    match (from, to) {
        (DataType::Null, _) => Ok(arrow_array::new_null_array(to, array.len())),
        (DataType::Timestamp(..) | DataType::Date32, DataType::Utf8) => as_text(array, zone),
        (DataType::Float32, DataType::Utf8) => Ok(floats(
            array
                .as_primitive::<Float32Type>()
                .iter()
                .map(|value| value.map(|v| (f64::from(v), format!("{v:e}")))),
            array.len(),
        )),
        (DataType::Float64, DataType::Utf8) => Ok(floats(
            array
                .as_primitive::<Float64Type>()
                .iter()
                .map(|value| value.map(|v| (v, format!("{v:e}")))),
            array.len(),
        )),
        (DataType::Utf8, to) if is_integer(to) => {
            let whole = integers(array, to, unfit)?;
            plain(&whole, to, unfit)
        }
        (DataType::Utf8, DataType::Decimal128(precision, scale)) => {
            decimals(array, *precision, *scale, unfit)
        }
        (DataType::Utf8, to) if is_float(to) => {
            // Java takes blanks around a number, and its own words for what is none.
            let texts: arrow_array::StringArray = array
                .as_string::<i32>()
                .iter()
                .map(|text| text.map(str::trim))
                .collect();
            plain(&(Arc::new(texts) as ArrayRef), to, unfit)
        }
        (DataType::Utf8, to) if is_moment(to) => read_moments(array, to, unfit, zone),
        (DataType::Utf8, DataType::Boolean) => booleans(array, unfit),
        (DataType::Boolean, DataType::Decimal128(..)) => {
            plain(&plain(array, &DataType::Int32, unfit)?, to, unfit)
        }
        (from, DataType::Boolean) if is_numeric(from) => {
            let zero = ScalarValue::new_zero(from)?.to_scalar()?;
            Ok(Arc::new(arrow::compute::kernels::cmp::neq(array, &zero)?))
        }
        (DataType::Decimal128(..), to) if is_integer(to) => {
            // Digits after the point are cut off, as Java does, and what is left must fit.
            let whole = truncated(array)?;
            plain(&whole, to, unfit)
        }
        (from, to) if is_moment(from) && is_moment(to) => between_moments(array, to, unfit, zone),
        (DataType::List(_), DataType::List(element)) => {
            let list = array.as_list::<i32>();
            let values = convert(list.values(), element.data_type(), unfit, zone)?;
            Ok(Arc::new(arrow_array::ListArray::try_new(
                Arc::clone(element),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        _ => plain(array, to, unfit),
    }
}

/// Arrow's own conversion.
fn plain(array: &ArrayRef, to: &DataType, unfit: Unfit) -> Result<ArrayRef, DataFusionError> {
    let options = CastOptions {
        safe: unfit == Unfit::IsNull,
        ..CastOptions::default()
    };
    cast_with_options(array, to, &options).map_err(|error| {
        let text = error.to_string();
        failed(text.strip_prefix("Cast error: ").unwrap_or(&text))
    })
}

fn unfit_text<T>(text: &str, to: &str, unfit: Unfit) -> Result<Option<T>, DataFusionError> {
    match unfit {
        Unfit::IsNull => Ok(None),
        Unfit::Fails => Err(failed(format!(
            "`{text}` is no {to}; TRY_CAST makes it NULL"
        ))),
    }
}

fn texts<T>(
    array: &ArrayRef,
    to: &str,
    unfit: Unfit,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<Option<T>>, DataFusionError> {
    array
        .as_string::<i32>()
        .iter()
        .map(|text| match text {
            None => Ok(None),
            Some(text) => match read(text.trim()) {
                Some(value) => Ok(Some(value)),
                None => unfit_text(text, to, unfit),
            },
        })
        .collect()
}

/// Digits after the point are cut off: `1.9` is 1.
fn integers(array: &ArrayRef, to: &DataType, unfit: Unfit) -> Result<ArrayRef, DataFusionError> {
    let read = |text: &str| {
        if let Ok(value) = text.parse::<i64>() {
            return Some(value);
        }
        if let Some((whole, fraction)) = text.split_once('.')
            && fraction.bytes().all(|digit| digit.is_ascii_digit())
            && let Ok(value) = (if whole.is_empty() { "0" } else { whole }).parse::<i64>()
        {
            return (!(whole.is_empty() && fraction.is_empty())).then_some(value);
        }
        let value = text.parse::<f64>().ok()?;
        // Above this a double does not hold every integer.
        let exact = value.is_finite() && value.abs() <= 9_007_199_254_740_992.0;
        exact.then(|| value.trunc() as i64)
    };
    let values = texts(array, &types::name(to), unfit, read)?;
    Ok(Arc::new(Int64Array::from(values)))
}

fn booleans(array: &ArrayRef, unfit: Unfit) -> Result<ArrayRef, DataFusionError> {
    let values = texts(array, "BOOLEAN", unfit, |text| {
        match text.to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "1" => Some(true),
            "f" | "false" | "n" | "no" | "0" => Some(false),
            _ => None,
        }
    })?;
    Ok(Arc::new(BooleanArray::from(values)))
}

fn decimals(
    array: &ArrayRef,
    precision: u8,
    scale: i8,
    unfit: Unfit,
) -> Result<ArrayRef, DataFusionError> {
    let places = usize::try_from(scale).unwrap_or(0);
    let to = types::name(&DataType::Decimal128(precision, scale));
    let limit = 10_i128.pow(u32::from(precision.min(38)));
    let values = texts(array, &to, unfit, |text| {
        read_decimal(text, places).filter(|value| value.abs() < limit)
    })?;
    let array = Decimal128Array::from(values).with_precision_and_scale(precision, scale)?;
    Ok(Arc::new(array))
}

/// Reads `-12.345` or `1.2e3` as a number of so many places after the point, the last one
/// rounded half up.
fn read_decimal(text: &str, places: usize) -> Option<i128> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, number) = match number.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut digits: String = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // Where the point is in `digits`, and then where the last place kept ends.
    let point = i64::try_from(whole.len()).ok()? + i64::from(exponent);
    let kept = point + i64::try_from(places).ok()?;
    if kept < 0 {
        return Some(0);
    }
    let kept = usize::try_from(kept).ok().filter(|kept| *kept <= 400)?;
    let up = digits
        .as_bytes()
        .get(kept)
        .is_some_and(|digit| *digit >= b'5');
    if digits.len() < kept {
        digits.extend(std::iter::repeat_n('0', kept - digits.len()));
    }
    let value = match digits.get(..kept)? {
        "" => 0,
        digits => digits.parse::<i128>().ok()?,
    };
    let value = value.checked_add(i128::from(up))?;
    Some(if negative { -value } else { value })
}

/// Without the digits after the point, as DECIMAL(38,0).
fn truncated(array: &ArrayRef) -> Result<ArrayRef, DataFusionError> {
    let DataType::Decimal128(_, scale) = array.data_type() else {
        return Ok(Arc::clone(array));
    };
    let divisor = 10_i128.pow(u32::try_from(*scale).unwrap_or(0));
    let values = array
        .as_primitive::<arrow_array::types::Decimal128Type>()
        .unary::<_, arrow_array::types::Decimal128Type>(|value| value / divisor)
        .with_precision_and_scale(38, 0)?;
    Ok(Arc::new(values))
}

fn read_moments(
    array: &ArrayRef,
    to: &DataType,
    unfit: Unfit,
    zone: Tz,
) -> Result<ArrayRef, DataFusionError> {
    let zoned = matches!(to, DataType::Timestamp(_, Some(_)));
    let read = |text: &str| {
        let (at, offset) = moments::read_text(text)?;
        let instant = match offset {
            Some(offset) => at.checked_sub_signed(chrono::TimeDelta::seconds(offset.into()))?,
            None if zoned => moments::instant(at, zone)?,
            None => return Some(at),
        };
        Some(if zoned {
            instant
        } else {
            moments::local(instant, zone)
        })
    };
    let read = texts(array, &types::name(to), unfit, read)?;
    moments::array_of(&read, to)
}

fn between_moments(
    array: &ArrayRef,
    to: &DataType,
    unfit: Unfit,
    zone: Tz,
) -> Result<ArrayRef, DataFusionError> {
    let zoned = |ty: &DataType| matches!(ty, DataType::Timestamp(_, Some(_)));
    match (zoned(array.data_type()), zoned(to)) {
        (false, false) if !matches!(to, DataType::Date32) => plain(array, to, unfit),
        (true, true) => plain(array, to, unfit),
        (true, false) => moments::array_of(&moments::wall_clocks(array, zone)?, to),
        (false, true) => {
            let values = moments::as_stored(array)?
                .into_iter()
                .map(|at| at.and_then(|at| moments::instant(at, zone)))
                .collect::<Vec<_>>();
            moments::array_of(&values, to)
        }
        (false, false) => moments::array_of(&moments::as_stored(array)?, to),
    }
}

/// Dates and timestamps as SQL writes them, instants in the local zone.
fn as_text(array: &ArrayRef, zone: Tz) -> Result<ArrayRef, DataFusionError> {
    let pattern = match array.data_type() {
        DataType::Date32 => "yyyy-MM-dd",
        DataType::Timestamp(TimeUnit::Second, _) => "yyyy-MM-dd HH:mm:ss",
        DataType::Timestamp(TimeUnit::Millisecond, _) => "yyyy-MM-dd HH:mm:ss.SSS",
        DataType::Timestamp(TimeUnit::Microsecond, _) => "yyyy-MM-dd HH:mm:ss.SSSSSS",
        _ => "yyyy-MM-dd HH:mm:ss.SSSSSSSSS",
    };
    let pattern = JavaPattern::new(pattern).map_err(failed)?;
    moments::formatted(array, &pattern, zone)
}

/// Numbers as Java writes them: `1.0`, `1.0E10`, `Infinity`. Each comes with its shortest digits
/// in scientific notation.
fn floats(values: impl Iterator<Item = Option<(f64, String)>>, rows: usize) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(rows, rows * 8);
    let mut text = String::new();
    for value in values {
        match value {
            None => out.append_null(),
            Some((value, scientific)) => {
                text.clear();
                write_float(value, &scientific, &mut text);
                out.append_value(&text);
            }
        }
    }
    Arc::new(out.finish())
}

fn write_float(value: f64, scientific: &str, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
        return;
    }
    if value.is_infinite() {
        out.push_str(if value < 0.0 { "-Infinity" } else { "Infinity" });
        return;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (first, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    out.push_str(sign);
    if value == 0.0 {
        out.push_str("0.0");
    } else if (-3..7).contains(&exponent) {
        let digits = [first, fraction].concat();
        if let Ok(places) = usize::try_from(exponent) {
            let whole = places + 1;
            let padded = format!("{digits:0<whole$}");
            let (whole, rest) = padded.split_at_checked(whole).unwrap_or((&padded, ""));
            let _ = write!(out, "{whole}.{}", if rest.is_empty() { "0" } else { rest });
        } else {
            let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
            let _ = write!(out, "0.{}{digits}", "0".repeat(zeros));
        }
    } else {
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        let _ = write!(out, "{first}.{fraction}E{exponent}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_java_writes_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-1.0, "-1.0"),
            (88.88, "88.88"),
            (1234567.0, "1234567.0"),
            (12345678.0, "1.2345678E7"),
            (0.001, "0.001"),
            (0.00012, "1.2E-4"),
            (1e300, "1.0E300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = String::new();
            write_float(value, &format!("{value:e}"), &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn decimals_round_half_up_at_the_last_place() {
        for (text, places, expected) in [
            ("12.345", 2, Some(1235)),
            ("-12.345", 2, Some(-1235)),
            ("1.2e3", 1, Some(12_000)),
            ("125e-2", 1, Some(13)),
            ("0.004", 2, Some(0)),
            (".5", 0, Some(1)),
            ("1e-50", 2, Some(0)),
            ("abc", 2, None),
            ("", 2, None),
            ("1.2.3", 2, None),
        ] {
            assert_eq!(read_decimal(text, places), expected, "{text}");
        }
    }
}
