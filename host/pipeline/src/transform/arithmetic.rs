//! `+ - * / %`: the types of their results, and exact ones or errors.

use std::sync::Arc;

use arrow::compute::kernels::numeric;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, DecimalType as _};
use arrow_array::{ArrayRef, Datum, Decimal128Array};
use arrow_buffer::i256;
use arrow_schema::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ColumnarValue;

use super::Context;
use super::cast::{Unfit, cast};
use super::expression::{Behavior, Bound, Evaluated, failed};
use super::types::{self, MAX_SCALE, decimal, decimal_parts, is_float, is_integer, is_numeric};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Plus,
    Minus,
    Times,
    Divide,
    Remainder,
}

impl Operation {
    fn sign(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// Binds an operation on two numbers.
///
/// # Errors
///
/// One of them is none.
pub(super) fn bind(
    operation: Operation,
    left: Bound,
    right: Bound,
    context: &Context,
) -> Result<Bound, String> {
    let sign = operation.sign();
    for side in [&left, &right] {
        if !is_numeric(&side.ty) && !side.is_untyped() {
            let help = if side.ty == DataType::Utf8 && operation == Operation::Plus {
                "; `||` joins texts, CAST makes a number of one"
            } else if side.ty == DataType::Utf8 {
                "; CAST makes a number of a text"
            } else {
                ""
            };
            return Err(format!(
                "`{sign}` takes numbers, not {}{help}",
                types::name(&side.ty)
            ));
        }
    }
    if left.is_untyped() || right.is_untyped() {
        let ty = if left.is_untyped() {
            right.ty.clone()
        } else {
            left.ty.clone()
        };
        let ty = if ty == DataType::Null {
            DataType::Int32
        } else {
            ty
        };
        return Bound::null_of(&ty);
    }
    if is_float(&left.ty) || is_float(&right.ty) {
        // FLOAT with an integer stays FLOAT, as it does in Flink CDC.
        let single = |ty: &DataType| *ty == DataType::Float32 || is_integer(ty);
        let ty = if single(&left.ty) && single(&right.ty) {
            DataType::Float32
        } else {
            DataType::Float64
        };
        return same_type(operation, left, right, ty, Behavior::PLAIN, context);
    }
    if is_integer(&left.ty) && is_integer(&right.ty) {
        let ty = types::common(&left.ty, &right.ty).unwrap_or(DataType::Int64);
        return same_type(operation, left, right, ty, Behavior::FALLIBLE, context);
    }
    exact(operation, left, right, context)
}

/// Integers and floating-point numbers, by Arrow.
fn same_type(
    operation: Operation,
    left: Bound,
    right: Bound,
    ty: DataType,
    behavior: Behavior,
    context: &Context,
) -> Result<Bound, String> {
    let left = cast(left, &ty, Unfit::Fails, context.zone)?;
    let right = cast(right, &ty, Unfit::Fails, context.zone)?;
    let apply = match operation {
        Operation::Plus => numeric::add,
        Operation::Minus => numeric::sub,
        Operation::Times => numeric::mul,
        Operation::Divide => numeric::div,
        Operation::Remainder => numeric::rem,
    };
    Ok(Bound::call(
        operation.sign(),
        vec![left, right],
        ty,
        behavior,
        move |args, _| on_two(args, |left, right| Ok(apply(left, right)?)),
    ))
}

/// Calls a kernel that takes arrays and single values alike.
pub(super) fn on_two(
    args: &[ColumnarValue],
    kernel: impl Fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, DataFusionError>,
) -> Evaluated {
    let [left, right] = args else {
        return Err(failed("two operands are needed"));
    };
    Ok(ColumnarValue::Array(match (left, right) {
        (ColumnarValue::Array(left), ColumnarValue::Array(right)) => kernel(left, right)?,
        (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => {
            kernel(left, &right.to_scalar()?)?
        }
        (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
            kernel(&left.to_scalar()?, right)?
        }
        (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
            let array = kernel(&left.to_scalar()?, &right.to_scalar()?)?;
            let value = datafusion::common::ScalarValue::try_from_array(&array, 0)?;
            return Ok(ColumnarValue::Scalar(value));
        }
    }))
}

/// The type of a result, by the rules of Flink's planner, no longer than `most` digits.
fn decimal_type(operation: Operation, left: (u8, u8), right: (u8, u8), most: u8) -> (u8, u8) {
    let ((p1, s1), (p2, s2)) = (left, right);
    let (w1, w2) = (p1.saturating_sub(s1), p2.saturating_sub(s2));
    match operation {
        Operation::Plus | Operation::Minus => {
            let scale = s1.max(s2);
            ((w1.max(w2) + scale + 1).min(most), scale)
        }
        Operation::Times => {
            let scale = (s1 + s2).min(MAX_SCALE);
            ((p1 + p2).min(most), scale)
        }
        Operation::Divide => {
            let whole = (w1 + s2).min(most);
            let scale = (s1 + p2 + 1).max(6).min(most - whole).min(MAX_SCALE);
            (whole + scale, scale)
        }
        Operation::Remainder => {
            let scale = s1.max(s2);
            ((w1.min(w2) + scale).min(most), scale)
        }
    }
}

fn exact(
    operation: Operation,
    left: Bound,
    right: Bound,
    context: &Context,
) -> Result<Bound, String> {
    let parts = |side: &Bound| {
        decimal_parts(&side.ty).ok_or_else(|| {
            format!(
                "`{}` does not take {}",
                operation.sign(),
                types::name(&side.ty)
            )
        })
    };
    let (a, b) = (parts(&left)?, parts(&right)?);
    let (precision, scale) = decimal_type(operation, a, b, context.decimal_digits);
    let scale = scale.min(precision);
    let left = cast(left, &decimal(a.0, a.1), Unfit::Fails, context.zone)?;
    let right = cast(right, &decimal(b.0, b.1), Unfit::Fails, context.zone)?;
    let calculation = Calculation {
        operation,
        left_scale: a.1,
        right_scale: b.1,
        precision,
        scale,
        most: context.decimal_digits,
    };
    let ty = decimal(precision, scale);
    Ok(Bound::call(
        operation.sign(),
        vec![left, right],
        ty,
        Behavior::FALLIBLE,
        move |args, rows| calculation.apply(args, rows),
    ))
}

/// One operation on decimals of known scales.
#[derive(Debug, Clone, Copy)]
struct Calculation {
    operation: Operation,
    left_scale: u8,
    right_scale: u8,
    precision: u8,
    scale: u8,
    most: u8,
}

impl Calculation {
    fn apply(&self, args: &[ColumnarValue], rows: usize) -> Evaluated {
        let arrays = args
            .iter()
            .map(|arg| arg.to_array(rows))
            .collect::<Result<Vec<_>, _>>()?;
        let [left, right] = arrays.as_slice() else {
            return Err(failed("two operands are needed"));
        };
        let (left, right) = (
            left.as_primitive::<Decimal128Type>(),
            right.as_primitive::<Decimal128Type>(),
        );
        let limit = i256::from_i128(10_i128.pow(u32::from(self.precision.min(38))));
        let mut values = Vec::with_capacity(rows);
        for pair in left.iter().zip(right.iter()) {
            values.push(match pair {
                (Some(left), Some(right)) => Some(self.one(left, right, limit)?),
                _ => None,
            });
        }
        let array = Decimal128Array::from(values)
            .with_precision_and_scale(self.precision.max(1), self.scale.cast_signed())?;
        Ok(ColumnarValue::Array(Arc::new(array)))
    }

    fn one(&self, left: i128, right: i128, limit: i256) -> Result<i128, DataFusionError> {
        let (l, r) = (i256::from_i128(left), i256::from_i128(right));
        let (s1, s2, scale) = (
            i32::from(self.left_scale),
            i32::from(self.right_scale),
            i32::from(self.scale),
        );
        let common = s1.max(s2);
        let value = match self.operation {
            Operation::Plus | Operation::Minus | Operation::Remainder => {
                let l = scaled(l, common - s1);
                let r = scaled(r, common - s2);
                let value = match (l, r) {
                    (Some(l), Some(r)) if self.operation == Operation::Plus => l.checked_add(r),
                    (Some(l), Some(r)) if self.operation == Operation::Minus => l.checked_sub(r),
                    (Some(_), Some(r)) if r == i256::ZERO => {
                        return Err(failed("division by zero"));
                    }
                    (Some(l), Some(r)) => l.checked_rem(r),
                    _ => None,
                };
                value.and_then(|value| rounded(value, common - scale))
            }
            Operation::Times => l
                .checked_mul(r)
                .and_then(|value| rounded(value, s1 + s2 - scale)),
            Operation::Divide => {
                if right == 0 {
                    return Err(failed("division by zero"));
                }
                let shift = scale - s1 + s2;
                let (l, r) = if shift >= 0 {
                    (scaled(l, shift), Some(r))
                } else {
                    (Some(l), scaled(r, -shift))
                };
                match (l, r) {
                    (Some(l), Some(r)) => divided(l, r),
                    _ => None,
                }
            }
        };
        value
            .filter(|value| value.wrapping_abs() < limit)
            .and_then(i256::to_i128)
            .ok_or_else(|| {
                let show = |value: i128, scale: u8| {
                    Decimal128Type::format_decimal(value, 38, scale.cast_signed())
                };
                let help = if self.most < types::MAX_PRECISION {
                    "; `pipeline.transform.decimal.precision.mode: UP_TO_38` allows more digits"
                } else {
                    ""
                };
                failed(format!(
                    "`{} {} {}` does not fit DECIMAL({}, {}){help}",
                    show(left, self.left_scale),
                    self.operation.sign(),
                    show(right, self.right_scale),
                    self.precision,
                    self.scale,
                ))
            })
    }
}

fn power_of_ten(exponent: i32) -> Option<i256> {
    let exponent = u32::try_from(exponent)
        .ok()
        .filter(|exponent| *exponent <= 76)?;
    i256::from_i128(10).checked_pow(exponent)
}

fn scaled(value: i256, places: i32) -> Option<i256> {
    value.checked_mul(power_of_ten(places)?)
}

/// Drops digits, half up.
fn rounded(value: i256, places: i32) -> Option<i256> {
    if places <= 0 {
        return scaled(value, -places);
    }
    divided(value, power_of_ten(places)?)
}

/// The quotient, half up (away from zero).
fn divided(left: i256, right: i256) -> Option<i256> {
    let quotient = left.checked_div(right)?;
    let rest = left.checked_rem(right)?.wrapping_abs();
    let half_or_more = rest.checked_add(rest)? >= right.wrapping_abs();
    if !half_or_more {
        return Some(quotient);
    }
    if left.is_negative() == right.is_negative() {
        quotient.checked_add(i256::ONE)
    } else {
        quotient.checked_sub(i256::ONE)
    }
}

/// Binds a minus sign before a number.
///
/// # Errors
///
/// It is no number.
pub(super) fn negated(value: Bound) -> Result<Bound, String> {
    if value.is_untyped() {
        return Ok(value);
    }
    if !is_numeric(&value.ty) {
        return Err(format!(
            "`-` takes a number, not {}",
            types::name(&value.ty)
        ));
    }
    let ty = value.ty.clone();
    let behavior = if is_float(&ty) {
        Behavior::PLAIN
    } else {
        Behavior::FALLIBLE
    };
    Ok(Bound::call("-", vec![value], ty, behavior, |args, rows| {
        let [value] = args else {
            return Err(failed("one operand is needed"));
        };
        let array = value.to_array(rows)?;
        Ok(ColumnarValue::Array(numeric::neg(&array)?))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_results_are_those_of_flinks_planner() {
        for (operation, left, right, most, expected) in [
            (Operation::Plus, (10, 2), (5, 4), 38, (13, 4)),
            (Operation::Times, (10, 2), (5, 4), 38, (15, 6)),
            (Operation::Times, (18, 2), (18, 2), 19, (19, 4)),
            (Operation::Divide, (10, 2), (10, 2), 38, (23, 13)),
            (Operation::Divide, (10, 2), (10, 2), 19, (19, 9)),
            (Operation::Remainder, (10, 2), (5, 4), 38, (5, 4)),
        ] {
            assert_eq!(
                decimal_type(operation, left, right, most),
                expected,
                "{operation:?}"
            );
        }
    }

    #[test]
    fn quotients_round_half_up() {
        let quotient = |left: i128, right: i128| {
            divided(i256::from_i128(left), i256::from_i128(right)).and_then(i256::to_i128)
        };
        assert_eq!(quotient(7, 2), Some(4));
        assert_eq!(quotient(-7, 2), Some(-4));
        assert_eq!(quotient(10, 3), Some(3));
        assert_eq!(quotient(-10, -4), Some(3));
    }
}
