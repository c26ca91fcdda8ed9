//! Truth values, comparisons and choices. A branch is evaluated for the rows that take it only.

use std::sync::Arc;

use arrow::compute::kernels::cmp;
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, Datum};
use arrow_schema::{ArrowError, DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, InListExpr, IsNotNullExpr, IsNullExpr, NotExpr,
};

use super::arithmetic::on_two;
use super::bind::Binder;
use super::cast::{Unfit, cast};
use super::expression::{Behavior, Bound, failed};
use super::functions::Build;
use super::functions::Definition;
use super::types;

pub(super) const FUNCTIONS: &[Definition] = &[
    definition("COALESCE", 1, None, coalesce),
    definition("IF", 3, Some(3), if_then),
    definition("IFNULL", 2, Some(2), coalesce),
    definition("NULLIF", 2, Some(2), null_if),
];

const fn definition(
    name: &'static str,
    least: usize,
    most: Option<usize>,
    build: fn(&Binder<'_>, Vec<Bound>) -> Result<Bound, String>,
) -> Definition {
    Definition {
        name,
        least,
        most,
        build: Build::Values(build),
    }
}

/// Comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Distinct,
    NotDistinct,
}

/// A comparison; NULL where a side is, save for IS [NOT] DISTINCT FROM.
///
/// # Errors
///
/// Types that can not be compared.
pub(super) fn compare(
    binder: &Binder<'_>,
    comparison: Comparison,
    left: Bound,
    right: Bound,
) -> Result<Bound, String> {
    type Kernel = fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError>;
    let (left, right) = comparable(binder, left, right)?;
    let (sign, kernel): (_, Kernel) = match comparison {
        Comparison::Equal => ("=", cmp::eq),
        Comparison::NotEqual => ("<>", cmp::neq),
        Comparison::Less => ("<", cmp::lt),
        Comparison::LessOrEqual => ("<=", cmp::lt_eq),
        Comparison::Greater => (">", cmp::gt),
        Comparison::GreaterOrEqual => (">=", cmp::gt_eq),
        Comparison::Distinct => ("IS DISTINCT FROM", cmp::distinct),
        Comparison::NotDistinct => ("IS NOT DISTINCT FROM", cmp::not_distinct),
    };
    let behavior = match comparison {
        Comparison::Distinct | Comparison::NotDistinct => Behavior::NEVER_NULL,
        _ => Behavior::PLAIN,
    };
    Ok(Bound::call(
        sign,
        vec![left, right],
        DataType::Boolean,
        behavior,
        move |args, _| {
            on_two(args, |left, right| {
                Ok(Arc::new(kernel(left, right)?) as ArrayRef)
            })
        },
    ))
}

/// Both sides in the type they are compared in.
fn comparable(binder: &Binder<'_>, left: Bound, right: Bound) -> Result<(Bound, Bound), String> {
    let ty = match types::comparable(&left.ty, &right.ty) {
        Some(DataType::Null) => DataType::Utf8,
        Some(ty) => ty,
        None => {
            return Err(format!(
                "{} and {} can not be compared",
                types::name(&left.ty),
                types::name(&right.ty)
            ));
        }
    };
    let zone = binder.context.zone;
    Ok((
        cast(left, &ty, Unfit::Fails, zone)?,
        cast(right, &ty, Unfit::Fails, zone)?,
    ))
}

/// `value IN (…)`.
///
/// # Errors
///
/// Types that can not be compared.
pub(super) fn in_list(
    binder: &Binder<'_>,
    value: Bound,
    list: Vec<Bound>,
    negated: bool,
) -> Result<Bound, String> {
    let mut ty = value.ty.clone();
    for entry in &list {
        ty = types::comparable(&ty, &entry.ty).ok_or_else(|| {
            format!(
                "{} and {} can not be compared",
                types::name(&ty),
                types::name(&entry.ty)
            )
        })?;
    }
    if ty == DataType::Null {
        ty = DataType::Utf8;
    }
    let zone = binder.context.zone;
    let value = cast(value, &ty, Unfit::Fails, zone)?;
    let list = list
        .into_iter()
        .map(|entry| cast(entry, &ty, Unfit::Fails, zone))
        .collect::<Result<Vec<_>, _>>()?;
    let exprs = list.iter().map(|entry| Arc::clone(&entry.expr)).collect();
    let schema = Schema::new(binder.input_fields());
    let expr = InListExpr::try_new(Arc::clone(&value.expr), exprs, negated, &schema)
        .map_err(|error| error.strip_backtrace())?;
    let nullable = value.nullable || list.iter().any(|entry| entry.nullable);
    let parts: Vec<&Bound> = std::iter::once(&value).chain(&list).collect();
    Ok(Bound::of(
        Arc::new(expr),
        DataType::Boolean,
        nullable,
        &parts,
    ))
}

/// A condition.
///
/// # Errors
///
/// It is of another type than BOOLEAN.
pub(super) fn condition(binder: &Binder<'_>, value: Bound) -> Result<Bound, String> {
    if value.ty == DataType::Boolean || value.is_untyped() {
        return cast(value, &DataType::Boolean, Unfit::Fails, binder.context.zone);
    }
    Err(format!(
        "a condition is needed here, not {}",
        types::name(&value.ty)
    ))
}

pub(super) fn not(binder: &Binder<'_>, value: Bound) -> Result<Bound, String> {
    let value = condition(binder, value)?;
    let expr = NotExpr::new(Arc::clone(&value.expr));
    Ok(Bound::of(
        Arc::new(expr),
        DataType::Boolean,
        value.nullable,
        &[&value],
    ))
}

pub(super) fn is_null(value: &Bound, negated: bool) -> Bound {
    let arg = Arc::clone(&value.expr);
    let expr: Arc<dyn PhysicalExpr> = if negated {
        Arc::new(IsNotNullExpr::new(arg))
    } else {
        Arc::new(IsNullExpr::new(arg))
    };
    Bound::of(expr, DataType::Boolean, false, &[value])
}

/// `value IS [NOT] TRUE` and `… FALSE`.
pub(super) fn is_truth(
    binder: &Binder<'_>,
    value: Bound,
    truth: bool,
    negated: bool,
) -> Result<Bound, String> {
    let value = condition(binder, value)?;
    Ok(Bound::call(
        "IS",
        vec![value],
        DataType::Boolean,
        Behavior::NEVER_NULL,
        move |args, rows| {
            let [value] = args else {
                return Err(failed("one condition is needed"));
            };
            let array = value.to_array(rows)?;
            let answers: BooleanArray = array
                .as_boolean()
                .iter()
                .map(|value| Some((value == Some(truth)) != negated))
                .collect();
            Ok(ColumnarValue::Array(Arc::new(answers)))
        },
    ))
}

/// `left AND right`, or OR. Where the left side decides, the right one is not evaluated.
pub(super) fn connect(
    binder: &Binder<'_>,
    and: bool,
    left: Bound,
    right: Bound,
) -> Result<Bound, String> {
    let (left, right) = (condition(binder, left)?, condition(binder, right)?);
    if let Some(ScalarValue::Boolean(Some(value))) = left.constant() {
        return Ok(if *value == and { right } else { left });
    }
    let operator = if and { Operator::And } else { Operator::Or };
    let nullable = left.nullable || right.nullable;
    let both = BinaryExpr::new(Arc::clone(&left.expr), operator, Arc::clone(&right.expr));
    let both = Bound::of(
        Arc::new(both),
        DataType::Boolean,
        nullable,
        &[&left, &right],
    );
    if !right.fallible {
        return Ok(both);
    }
    let undecided = is_truth(binder, left, !and, true)?;
    choose(
        binder,
        vec![(undecided, both)],
        Bound::literal((!and).into()),
    )
}

/// `CASE WHEN … THEN … ELSE … END`.
///
/// # Errors
///
/// Branches without a common type.
pub(super) fn choose(
    binder: &Binder<'_>,
    branches: Vec<(Bound, Bound)>,
    otherwise: Bound,
) -> Result<Bound, String> {
    let mut ty = otherwise.ty.clone();
    for (_, value) in &branches {
        ty = types::common(&ty, &value.ty).ok_or_else(|| {
            format!(
                "{} and {} have no common type: CAST one of them",
                types::name(&ty),
                types::name(&value.ty)
            )
        })?;
    }
    if ty == DataType::Null {
        return Ok(Bound::null());
    }
    let zone = binder.context.zone;
    let otherwise = cast(otherwise, &ty, Unfit::Fails, zone)?;
    let mut nullable = otherwise.nullable;
    let mut bound = Vec::with_capacity(branches.len());
    for (when, then) in branches {
        let when = condition(binder, when)?;
        let then = cast(then, &ty, Unfit::Fails, zone)?;
        match when.constant() {
            Some(ScalarValue::Boolean(Some(true))) if bound.is_empty() => return Ok(then),
            Some(ScalarValue::Boolean(Some(true))) => {
                nullable = bound.iter().any(|(_, then): &(Bound, Bound)| then.nullable);
                return case(bound, then, ty, nullable);
            }
            Some(_) => {}
            None => {
                nullable |= then.nullable;
                bound.push((when, then));
            }
        }
    }
    if bound.is_empty() {
        return Ok(otherwise);
    }
    case(bound, otherwise, ty, nullable)
}

fn case(
    branches: Vec<(Bound, Bound)>,
    otherwise: Bound,
    ty: DataType,
    nullable: bool,
) -> Result<Bound, String> {
    let nullable = nullable || otherwise.nullable;
    let exprs = branches
        .iter()
        .map(|(when, then)| (Arc::clone(&when.expr), Arc::clone(&then.expr)))
        .collect();
    let expr = CaseExpr::try_new(None, exprs, Some(Arc::clone(&otherwise.expr)))
        .map_err(|error| error.strip_backtrace())?;
    let parts: Vec<&Bound> = branches
        .iter()
        .flat_map(|(when, then)| [when, then])
        .chain([&otherwise])
        .collect();
    Ok(Bound::of(Arc::new(expr), ty, nullable, &parts))
}

/// The first value that is not NULL.
fn coalesce(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let mut args = args;
    let mut result = args.pop().ok_or("a value is needed")?;
    for value in args.into_iter().rev() {
        if value.is_untyped() {
            // A NULL, or a column that is not known yet: the others have the type.
            continue;
        }
        if !value.nullable {
            let ty = types::common(&value.ty, &result.ty).ok_or_else(|| {
                format!(
                    "{} and {} have no common type: CAST one of them",
                    types::name(&value.ty),
                    types::name(&result.ty)
                )
            })?;
            result = cast(value, &ty, Unfit::Fails, binder.context.zone)?;
            continue;
        }
        let otherwise_nullable = result.nullable;
        let present = is_null(&value, true);
        result = choose(binder, vec![(present, value)], result)?;
        result.nullable = otherwise_nullable;
    }
    Ok(result)
}

fn if_then(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let [when, then, otherwise] =
        <[Bound; 3]>::try_from(args).map_err(|_| "three arguments are needed".to_owned())?;
    choose(binder, vec![(when, then)], otherwise)
}

/// NULL where the values are equal, else the first.
fn null_if(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let [value, other] =
        <[Bound; 2]>::try_from(args).map_err(|_| "two arguments are needed".to_owned())?;
    if value.is_untyped() {
        return Ok(value);
    }
    let equal = compare(binder, Comparison::Equal, value.clone(), other)?;
    let null = Bound::null_of(&value.ty)?;
    choose(binder, vec![(equal, null)], value)
}
