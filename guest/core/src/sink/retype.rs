//! Which types a column can get.

use crate::types::OdpsType;

/// Whether `wide` holds every value of `narrow`, so that a column of the one can become the other.
///
/// The page of the service's documentation that lists its conversions could not be read where this
/// was written: these are the ones that lose nothing and that every description of it has.
pub(super) fn is_wider(narrow: &OdpsType, wide: &OdpsType) -> bool {
    use OdpsType::{
        Boolean, Char, Date, Datetime, Decimal, Double, Float, Json, String, Timestamp,
        TimestampNtz, Varchar,
    };
    if let (Some(from), Some(to)) = (integer_digits(narrow), integer_digits(wide)) {
        return from < to;
    }
    match (narrow, wide) {
        (Float, Double) => true,
        (Char(from) | Varchar(from), Varchar(to)) | (Char(from), Char(to)) => from <= to,
        (
            Decimal {
                precision: from,
                scale: digits,
            },
            Decimal {
                precision: to,
                scale: more_digits,
            },
        ) => {
            digits <= more_digits
                && from.saturating_sub(*digits) <= to.saturating_sub(*more_digits)
                && narrow != wide
        }
        (
            Boolean
            | Float
            | Double
            | Char(_)
            | Varchar(_)
            | Decimal { .. }
            | Date
            | Datetime
            | Timestamp
            | TimestampNtz
            | Json,
            String,
        ) => true,
        (integer, String) => integer_digits(integer).is_some(),
        _ => false,
    }
}

/// Whether rows that say `rows` can be written to a column of type `column` as they are.
pub(super) fn takes_rows_of(column: &OdpsType, rows: &OdpsType) -> bool {
    use OdpsType::{Char, Json, String, Varchar};
    let is_text = matches!(rows, Char(_) | Varchar(_) | Json);
    is_wider(rows, column) && (*column != String || is_text)
}

fn integer_digits(ty: &OdpsType) -> Option<u8> {
    match ty {
        OdpsType::TinyInt => Some(3),
        OdpsType::SmallInt => Some(5),
        OdpsType::Int => Some(10),
        OdpsType::BigInt => Some(19),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loses_nothing_is_wider() {
        let wider =
            |narrow: &str, wide: &str| is_wider(&narrow.parse().unwrap(), &wide.parse().unwrap());
        for (narrow, wide) in [
            ("tinyint", "bigint"),
            ("int", "bigint"),
            ("float", "double"),
            ("varchar(3)", "varchar(4)"),
            ("char(3)", "varchar(3)"),
            ("varchar(3)", "string"),
            ("decimal(10,2)", "decimal(12,2)"),
            ("decimal(10,2)", "decimal(12,4)"),
            ("bigint", "string"),
            ("timestamp_ntz", "string"),
        ] {
            assert!(wider(narrow, wide), "{narrow} -> {wide}");
            assert!(!wider(wide, narrow), "{wide} -> {narrow}");
        }
        for (one, other) in [
            ("bigint", "double"),
            ("decimal(10,2)", "decimal(11,4)"),
            ("array<int>", "string"),
            ("binary", "string"),
            ("date", "timestamp"),
        ] {
            assert!(!wider(one, other), "{one} -> {other}");
        }
    }
}
