//! The narrowest table that takes the rows of several.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};

use super::shape::{TableShape, schema};
use crate::source::types::ColumnType;

const MAX_DECIMAL_DIGITS: u8 = 38;

/// Two tables that can not feed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCommonType {
    reason: String,
}

impl fmt::Display for NoCommonType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for NoCommonType {}

/// The shape that holds every row of `first` and of `others`: all columns of all of them, in the
/// order they came, each of the narrowest type that holds its values, STRING if no other does.
/// A column that one of them lacks may be NULL. Keys and partitions must be the same.
///
/// # Errors
///
/// Keys or partitions differ, or nested types do.
pub fn common_shape<'a>(
    first: &TableShape,
    others: impl IntoIterator<Item = &'a TableShape>,
) -> Result<TableShape, NoCommonType> {
    let mut common = first.clone();
    for other in others {
        common = pair(&common, other)?;
    }
    Ok(common)
}

fn pair(a: &TableShape, b: &TableShape) -> Result<TableShape, NoCommonType> {
    for (what, ours, theirs) in [
        ("primary keys", &a.primary_key, &b.primary_key),
        ("partition columns", &a.partition_by, &b.partition_by),
    ] {
        if ours != theirs {
            return Err(NoCommonType {
                reason: format!(
                    "their {what} differ: ({}) and ({})",
                    ours.join(", "),
                    theirs.join(", ")
                ),
            });
        }
    }
    let mut fields: Vec<FieldRef> = Vec::new();
    for field in a.schema.fields() {
        fields.push(match b.column(field.name()) {
            Some(other) => common_field(field, other)?,
            None => Arc::new(field.as_ref().clone().with_nullable(true)),
        });
    }
    for field in b.schema.fields() {
        if a.column(field.name()).is_none() {
            fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
        }
    }
    Ok(TableShape {
        schema: schema(fields, a.schema.metadata().clone()),
        primary_key: a.primary_key.clone(),
        partition_by: a.partition_by.clone(),
    })
}

fn common_field(a: &FieldRef, b: &FieldRef) -> Result<FieldRef, NoCommonType> {
    let (ours, theirs) = (ColumnType::of_field(a), ColumnType::of_field(b));
    let nullable = ours.nullable || theirs.nullable;
    let same_sink_type = ours.sink_type == theirs.sink_type;
    if same_sink_type && ours.data_type == theirs.data_type {
        return Ok(Arc::new(a.as_ref().clone().with_nullable(nullable)));
    }
    let sink_type = match (&ours.sink_type, &theirs.sink_type) {
        (Some(ours), Some(theirs)) => longer_text(ours, theirs),
        _ => None,
    };
    let data_type =
        common_type(&ours.data_type, &theirs.data_type).ok_or_else(|| NoCommonType {
            reason: format!(
                "column `{}` is {ours} in one and {theirs} in another, which no type holds both",
                a.name()
            ),
        })?;
    // What a type of the sink's own adds, such as a length, holds for its values only.
    let mut metadata = a.metadata().clone();
    metadata.remove(crate::source::types::TYPE_METADATA_KEY);
    let mut column = ColumnType {
        data_type,
        nullable,
        sink_type,
    }
    .to_field(a.name());
    metadata.extend(column.metadata().clone());
    column.set_metadata(metadata);
    Ok(Arc::new(column))
}

/// The longer of two limited texts: `VARCHAR(10)` of `CHAR(4)` and `VARCHAR(10)`.
fn longer_text(a: &str, b: &str) -> Option<String> {
    let length = |text: &str| -> Option<u32> {
        let (name, rest) = text.split_once('(')?;
        matches!(name, "CHAR" | "VARCHAR").then_some(())?;
        rest.trim_end_matches(')').parse().ok()
    };
    let longest = length(a)?.max(length(b)?);
    let both = |name: &str| a.starts_with(name) && b.starts_with(name);
    let name = if both("CHAR") { "CHAR" } else { "VARCHAR" };
    Some(format!("{name}({longest})"))
}

fn common_type(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Date32, Decimal128, Float32, Float64, Timestamp};
    if a == b {
        return Some(a.clone());
    }
    if let (Some(x), Some(y)) = (integer_digits(a), integer_digits(b)) {
        return Some(if x >= y { a.clone() } else { b.clone() });
    }
    Some(match (a, b) {
        (Decimal128(p1, s1), Decimal128(p2, s2)) => decimal((*p1, *s1), (*p2, *s2)),
        (integer, Decimal128(p, s)) | (Decimal128(p, s), integer)
            if integer_digits(integer).is_some() =>
        {
            decimal((integer_digits(integer)?, 0), (*p, *s))
        }
        (Float32, Float64) | (Float64, Float32) => Float64,
        (integer, float @ (Float32 | Float64)) | (float @ (Float32 | Float64), integer)
            if integer_digits(integer).is_some() =>
        {
            // A float holds integers of 24 bits exactly, a double those of 53.
            match (integer_digits(integer)?, float) {
                (..=5, float) => float.clone(),
                (..=10, _) => Float64,
                _ => DataType::Utf8,
            }
        }
        (Timestamp(u1, z1), Timestamp(u2, z2)) => {
            Timestamp(finer(*u1, *u2), z1.clone().or_else(|| z2.clone()))
        }
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => {
            Timestamp(*unit, zone.clone())
        }
        (DataType::List(x), DataType::List(y)) => {
            let element = common_type(x.data_type(), y.data_type())?;
            let nullable = x.is_nullable() || y.is_nullable();
            // Texts of elements would have to be made here and there: no list is made of them.
            let exact = element != DataType::Utf8 || x.data_type() == y.data_type();
            exact.then(|| DataType::List(Arc::new(Field::new(x.name(), element, nullable))))?
        }
        _ if a.is_nested() || b.is_nested() => return None,
        _ => DataType::Utf8,
    })
}

fn integer_digits(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Int8 => 3,
        DataType::Int16 => 5,
        DataType::Int32 => 10,
        DataType::Int64 => 19,
        _ => return None,
    })
}

/// Keeps the integer digits and the fraction digits of both.
fn decimal(a: (u8, i8), b: (u8, i8)) -> DataType {
    let whole = |(precision, scale): (u8, i8)| i16::from(precision) - i16::from(scale);
    let scale = a.1.max(b.1);
    let precision = whole(a).max(whole(b)) + i16::from(scale);
    match u8::try_from(precision) {
        Ok(precision) if precision <= MAX_DECIMAL_DIGITS => DataType::Decimal128(precision, scale),
        _ => DataType::Utf8,
    }
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    let rank = |unit: TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(a) >= rank(b) { a } else { b }
}
