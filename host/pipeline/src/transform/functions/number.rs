//! Functions on numbers.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ColumnarValue;

use super::Definition;
use super::arguments::exactly;
use crate::transform::arithmetic::{self, Operation};
use crate::transform::bind::Binder;
use crate::transform::cast::{Unfit, cast};
use crate::transform::expression::{Behavior, Bound, failed};
use crate::transform::types::{self, MAX_PRECISION, decimal, is_integer, is_numeric};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition::new("ABS", 1, 1, abs),
    Definition::new("CEILING", 1, 1, |binder, args| {
        let [value] = exactly(args)?;
        ceil(binder, value)
    }),
    Definition::new("ROUND", 1, 2, round),
    Definition::new("MOD", 2, 2, |binder, args| {
        let [left, right] = exactly(args)?;
        arithmetic::bind(Operation::Remainder, left, right, binder.context)
    }),
];

fn number(name: &str, value: &Bound) -> Result<(), String> {
    if is_numeric(&value.ty) || value.is_untyped() {
        return Ok(());
    }
    Err(format!(
        "{name} takes a number, not {}",
        types::name(&value.ty)
    ))
}

/// A function that keeps the type of its argument.
fn same_type(
    name: &'static str,
    value: Bound,
    behavior: Behavior,
    kernel: impl Fn(&ArrayRef) -> Result<ArrayRef, DataFusionError> + Send + Sync + 'static,
) -> Bound {
    let ty = value.ty.clone();
    Bound::call(name, vec![value], ty, behavior, move |args, rows| {
        let [value] = args else {
            return Err(failed("one argument is needed"));
        };
        Ok(ColumnarValue::Array(kernel(&value.to_array(rows)?)?))
    })
}

fn abs(_: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let [value] = exactly(args)?;
    number("ABS", &value)?;
    macro_rules! integers {
        ($array:expr, $type:ty) => {
            Arc::new(
                $array
                    .as_primitive::<$type>()
                    .try_unary::<_, $type, _>(|value| {
                        value.checked_abs().ok_or_else(|| {
                            failed(format!(
                                "ABS({value}) does not fit the type; CAST to a wider one"
                            ))
                        })
                    })?,
            )
        };
    }
    Ok(same_type("ABS", value, Behavior::FALLIBLE, |array| {
        Ok(match array.data_type() {
            DataType::Int8 => integers!(array, Int8Type),
            DataType::Int16 => integers!(array, Int16Type),
            DataType::Int32 => integers!(array, Int32Type),
            DataType::Int64 => integers!(array, Int64Type),
            DataType::Float32 => Arc::new(
                array
                    .as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(f32::abs),
            ),
            DataType::Float64 => Arc::new(
                array
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(f64::abs),
            ),
            DataType::Decimal128(precision, scale) => Arc::new(
                array
                    .as_primitive::<Decimal128Type>()
                    .unary::<_, Decimal128Type>(i128::abs)
                    .with_precision_and_scale(*precision, *scale)?,
            ),
            _ => Arc::clone(array),
        })
    }))
}

/// The smallest whole number that is not below the value.
pub(in crate::transform) fn ceil(binder: &Binder<'_>, value: Bound) -> Result<Bound, String> {
    whole("CEIL", binder, value, f64::ceil, |value, unit| {
        value.div_euclid(unit) + i128::from(value.rem_euclid(unit) != 0)
    })
}

/// The greatest whole number that is not above the value.
pub(in crate::transform) fn floor(binder: &Binder<'_>, value: Bound) -> Result<Bound, String> {
    whole("FLOOR", binder, value, f64::floor, i128::div_euclid)
}

fn whole(
    name: &'static str,
    _: &Binder<'_>,
    value: Bound,
    float: fn(f64) -> f64,
    exact: fn(i128, i128) -> i128,
) -> Result<Bound, String> {
    number(name, &value)?;
    match value.ty {
        DataType::Float32 => Ok(same_type(name, value, Behavior::PLAIN, move |array| {
            let values = array.as_primitive::<Float32Type>();
            // A whole number near a FLOAT is one.
            Ok(Arc::new(values.unary::<_, Float32Type>(|value| {
                float(f64::from(value)) as f32
            })))
        })),
        DataType::Float64 => Ok(same_type(name, value, Behavior::PLAIN, move |array| {
            Ok(Arc::new(
                array
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(float),
            ))
        })),
        DataType::Decimal128(precision, scale) => {
            let unit = 10_i128.pow(u32::try_from(scale).unwrap_or(0));
            let ty = DataType::Decimal128(precision, 0);
            Ok(Bound::call(
                name,
                vec![value],
                ty,
                Behavior::PLAIN,
                move |args, rows| {
                    let [value] = args else {
                        return Err(failed("one argument is needed"));
                    };
                    let array = value.to_array(rows)?;
                    let values = array
                        .as_primitive::<Decimal128Type>()
                        .unary::<_, Decimal128Type>(|value| exact(value, unit))
                        .with_precision_and_scale(precision, 0)?;
                    Ok(ColumnarValue::Array(Arc::new(values)))
                },
            ))
        }
        _ => Ok(value),
    }
}

/// `ROUND(number[, places])`: half up, away from zero; places below 0 are before the point.
fn round(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let mut args = args.into_iter();
    let value = args.next().ok_or("a number is needed")?;
    let places = args.next().unwrap_or_else(|| Bound::literal(0_i32.into()));
    number("ROUND", &value)?;
    if value.is_untyped() {
        return Ok(value);
    }
    if places.is_untyped() {
        return Bound::null_of(&value.ty);
    }
    let places = places
        .constant_integer()
        .and_then(|places| i32::try_from(places).ok())
        .filter(|places| places.abs() <= 38)
        .ok_or("ROUND takes as its second argument a constant from -38 to 38: the type of the result depends on it")?;
    match value.ty {
        DataType::Float32 => Ok(same_type("ROUND", value, Behavior::PLAIN, move |array| {
            let values = array.as_primitive::<Float32Type>();
            let rounded = values.unary::<_, Float32Type>(|value| {
                rounded_digits(&value.to_string(), places)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(value)
            });
            Ok(Arc::new(rounded))
        })),
        DataType::Float64 => Ok(same_type("ROUND", value, Behavior::PLAIN, move |array| {
            let values = array.as_primitive::<Float64Type>();
            let rounded = values.unary::<_, Float64Type>(|value| {
                rounded_digits(&value.to_string(), places)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(value)
            });
            Ok(Arc::new(rounded))
        })),
        DataType::Decimal128(precision, scale) => {
            let scale = i32::from(scale);
            if places >= scale {
                return Ok(value);
            }
            let kept = places.max(0);
            let digits = i32::from(precision) - scale + kept + 1;
            let digits = u8::try_from(digits).unwrap_or(1).clamp(1, MAX_PRECISION);
            let new_scale = u8::try_from(kept).unwrap_or(0);
            let (unit, back) = (power(scale - places), power(kept - places));
            let ty = decimal(digits, new_scale);
            Ok(Bound::call(
                "ROUND",
                vec![value],
                ty,
                Behavior::FALLIBLE,
                move |args, rows| {
                    let [value] = args else {
                        return Err(failed("one argument is needed"));
                    };
                    let array = value.to_array(rows)?;
                    let limit = 10_i128.pow(u32::from(digits));
                    let values = array
                        .as_primitive::<Decimal128Type>()
                        .try_unary::<_, Decimal128Type, _>(|value| {
                            half_up(value, unit)
                                .checked_mul(back)
                                .filter(|value| value.abs() < limit)
                                .ok_or_else(|| failed("ROUND: the result has too many digits"))
                        })?
                        .with_precision_and_scale(digits, new_scale.cast_signed())?;
                    Ok(ColumnarValue::Array(Arc::new(values)))
                },
            ))
        }
        _ if places >= 0 => Ok(value),
        _ => {
            let unit = power(-places);
            let ty = value.ty.clone();
            let wide = cast(value, &decimal(19, 0), Unfit::Fails, binder.context.zone)?;
            let rounded = Bound::call(
                "ROUND",
                vec![wide],
                decimal(38, 0),
                Behavior::PLAIN,
                move |args, rows| {
                    let [value] = args else {
                        return Err(failed("one argument is needed"));
                    };
                    let array = value.to_array(rows)?;
                    let values = array
                        .as_primitive::<Decimal128Type>()
                        .unary::<_, Decimal128Type>(|value| {
                            half_up(value, unit).saturating_mul(unit)
                        })
                        .with_precision_and_scale(38, 0)?;
                    Ok(ColumnarValue::Array(Arc::new(values)))
                },
            );
            debug_assert!(is_integer(&ty));
            cast(rounded, &ty, Unfit::Fails, binder.context.zone)
        }
    }
}

fn power(exponent: i32) -> i128 {
    10_i128.pow(u32::try_from(exponent).unwrap_or(0).min(38))
}

/// How many times the unit goes into a value, half up.
fn half_up(value: i128, unit: i128) -> i128 {
    let rest = (value % unit).abs();
    let away = if unit > 1 && rest >= unit - unit / 2 {
        value.signum()
    } else {
        0
    };
    value / unit + away
}

/// A number's shortest digits, rounded; `None` where there is nothing to round.
fn rounded_digits(text: &str, places: i32) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    // Only the digit after the last one kept decides, so that the rest can go.
    let after = usize::try_from(places).map_or(0, |places| places + 1);
    if after > fraction.len() {
        return None;
    }
    let fraction = fraction.get(..after)?;
    let digits = format!("{whole}{fraction}");
    let value: i128 = digits.parse().ok()?;
    let cut = i32::try_from(after).ok()? - places;
    let value = half_up(value, power(cut));
    let value = if places < 0 {
        value.checked_mul(power(-places))?
    } else {
        value
    };
    let sign = if whole.starts_with('-') && value == 0 {
        "-"
    } else {
        ""
    };
    Some(format!("{sign}{value}e{}", -places.max(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_as_their_digits_say() {
        for (text, places, expected) in [
            ("2.675", 2, Some("268e-2")),
            ("-2.5", 0, Some("-3e0")),
            ("1234.5", -2, Some("1200e0")),
            ("1250", -2, Some("1300e0")),
            ("0.1", 3, None),
            ("-0.04", 1, Some("-0e-1")),
        ] {
            assert_eq!(rounded_digits(text, places).as_deref(), expected, "{text}");
        }
        assert_eq!(half_up(15, 10), 2);
        assert_eq!(half_up(-14, 10), -1);
        assert_eq!(half_up(7, 1), 7);
    }
}
