//! Types of expressions: what they are called, and which one two of them have in common.

use arrow_schema::{DataType, TimeUnit};

use crate::source::types::{ColumnType, utc};

/// Digits after the point that a MaxCompute DECIMAL can have.
pub(super) const MAX_SCALE: u8 = 18;
/// Digits that a DECIMAL can have.
pub(super) const MAX_PRECISION: u8 = 38;

/// The name of a type in messages.
pub(super) fn name(ty: &DataType) -> String {
    match ty {
        DataType::Null => "NULL".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".to_owned(),
        other => ColumnType::nullable(other.clone()).to_string(),
    }
}

pub(super) fn is_integer(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64
    )
}

pub(super) fn is_float(ty: &DataType) -> bool {
    matches!(ty, DataType::Float32 | DataType::Float64)
}

pub(super) fn is_numeric(ty: &DataType) -> bool {
    is_integer(ty) || is_float(ty) || matches!(ty, DataType::Decimal128(..))
}

/// DATE and timestamps.
pub(super) fn is_moment(ty: &DataType) -> bool {
    matches!(ty, DataType::Date32 | DataType::Timestamp(..))
}

pub(super) fn is_time(ty: &DataType) -> bool {
    matches!(ty, DataType::Time32(_) | DataType::Time64(_))
}

pub(super) fn is_nested(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::List(_) | DataType::Map(..) | DataType::Struct(_)
    )
}

/// `TIMESTAMP_LTZ` of a unit.
pub(super) fn instant(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, utc())
}

/// Precision and scale of an exact number.
pub(super) fn decimal_parts(ty: &DataType) -> Option<(u8, u8)> {
    match ty {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(precision, scale) => {
            Some((*precision, u8::try_from(*scale).unwrap_or(0)))
        }
        _ => None,
    }
}

pub(super) fn decimal(precision: u8, scale: u8) -> DataType {
    DataType::Decimal128(precision.max(1), scale.cast_signed())
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    a.max(b)
}

/// The narrowest type that holds the values of both, without reading texts as something else.
pub(super) fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    if a == b {
        return Some(a.clone());
    }
    Some(match (a, b) {
        (DataType::Null, other) | (other, DataType::Null) => other.clone(),
        _ if is_integer(a) && is_integer(b) => {
            let width = |ty: &DataType| decimal_parts(ty).map_or(0, |(precision, _)| precision);
            if width(a) >= width(b) {
                a.clone()
            } else {
                b.clone()
            }
        }
        _ if is_numeric(a) && is_numeric(b) && (is_float(a) || is_float(b)) => DataType::Float64,
        _ if is_numeric(a) && is_numeric(b) => {
            let ((p1, s1), (p2, s2)) = (decimal_parts(a)?, decimal_parts(b)?);
            let scale = s1.max(s2);
            let whole = (p1.saturating_sub(s1)).max(p2.saturating_sub(s2));
            decimal((whole + scale).min(MAX_PRECISION), scale)
        }
        (DataType::Date32, DataType::Timestamp(..)) => b.clone(),
        (DataType::Timestamp(..), DataType::Date32) => a.clone(),
        (DataType::Timestamp(u1, z1), DataType::Timestamp(u2, z2)) => {
            DataType::Timestamp(finer(*u1, *u2), z1.clone().or_else(|| z2.clone()))
        }
        _ if is_time(a) && is_time(b) => DataType::Time64(TimeUnit::Nanosecond),
        _ => return None,
    })
}

/// The type in which two values are compared: a text is read as what it is compared with.
pub(super) fn comparable(a: &DataType, b: &DataType) -> Option<DataType> {
    if let Some(ty) = common(a, b) {
        return (!is_nested(&ty)).then_some(ty);
    }
    let readable =
        |ty: &DataType| is_numeric(ty) || is_moment(ty) || is_time(ty) || *ty == DataType::Boolean;
    match (a, b) {
        (DataType::Utf8, other) | (other, DataType::Utf8) if readable(other) => {
            // A text may have digits that the integer has not: 10.5 > 10.
            Some(if is_integer(other) {
                decimal(MAX_PRECISION, MAX_SCALE)
            } else {
                other.clone()
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(text: &str) -> DataType {
        text.parse::<ColumnType>().unwrap().data_type
    }

    #[test]
    fn common_types() {
        for (a, b, expected) in [
            ("tinyint", "bigint", "BIGINT"),
            ("int", "decimal(5,2)", "DECIMAL(12,2)"),
            ("float", "float", "FLOAT"),
            ("float", "int", "DOUBLE"),
            ("date", "timestamp_ntz(3)", "TIMESTAMP_NTZ(3)"),
            ("timestamp_ntz(0)", "timestamp_ltz(6)", "TIMESTAMP_LTZ(6)"),
        ] {
            assert_eq!(name(&common(&ty(a), &ty(b)).unwrap()), expected, "{a}, {b}");
        }
        assert_eq!(common(&ty("string"), &ty("int")), None);
        assert_eq!(
            name(&comparable(&ty("string"), &ty("date")).unwrap()),
            "DATE"
        );
        assert_eq!(comparable(&ty("boolean"), &ty("int")), None);
    }
}
