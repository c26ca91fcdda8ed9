//! MaxCompute's column types: their SQL text and the types new columns get from Arrow fields.

mod from_arrow;
mod parse;

use std::fmt;

pub use from_arrow::{TYPE_METADATA_KEY, TypeMapping, UnsupportedType};
pub use parse::ParseTypeError;

/// Largest precision of a DECIMAL.
pub const MAX_DECIMAL_PRECISION: u8 = 38;
/// Largest scale of a DECIMAL.
pub const MAX_DECIMAL_SCALE: u8 = 18;
/// Longest VARCHAR, in characters.
pub const MAX_VARCHAR_LENGTH: u32 = 65_535;
/// Longest CHAR, in characters.
pub const MAX_CHAR_LENGTH: u32 = 255;

/// A column type of MaxCompute.
///
/// `Display` prints the SQL text in upper case, `FromStr` reads it in any letter case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OdpsType {
    /// 8-bit signed integer.
    TinyInt,
    /// 16-bit signed integer.
    SmallInt,
    /// 32-bit signed integer.
    Int,
    /// 64-bit signed integer; -2^63 is not a legal value.
    BigInt,
    /// 32-bit IEEE float.
    Float,
    /// 64-bit IEEE float.
    Double,
    /// True or false.
    Boolean,
    /// UTF-8 text.
    String,
    /// UTF-8 text of at most so many characters.
    Varchar(u32),
    /// UTF-8 text of at most so many characters, padded by the service.
    Char(u32),
    /// Bytes.
    Binary,
    /// Exact decimal number.
    Decimal {
        /// Number of digits, 1 to 38.
        precision: u8,
        /// Digits after the point, 0 to 18.
        scale: u8,
    },
    /// Day without a time.
    Date,
    /// Instant with milliseconds.
    Datetime,
    /// Instant with nanoseconds.
    Timestamp,
    /// Wall clock with nanoseconds, without a zone.
    TimestampNtz,
    /// JSON text.
    Json,
    /// Length of time in seconds and nanoseconds.
    IntervalDayTime,
    /// Length of time in months.
    IntervalYearMonth,
    /// List of values of one type.
    Array(Box<OdpsType>),
    /// Map of keys to values.
    Map(Box<OdpsType>, Box<OdpsType>),
    /// Named fields, in order.
    Struct(Vec<(String, OdpsType)>),
}

impl fmt::Display for OdpsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TinyInt => f.write_str("TINYINT"),
            Self::SmallInt => f.write_str("SMALLINT"),
            Self::Int => f.write_str("INT"),
            Self::BigInt => f.write_str("BIGINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::String => f.write_str("STRING"),
            Self::Varchar(length) => write!(f, "VARCHAR({length})"),
            Self::Char(length) => write!(f, "CHAR({length})"),
            Self::Binary => f.write_str("BINARY"),
            Self::Decimal { precision, scale } => write!(f, "DECIMAL({precision},{scale})"),
            Self::Date => f.write_str("DATE"),
            Self::Datetime => f.write_str("DATETIME"),
            Self::Timestamp => f.write_str("TIMESTAMP"),
            Self::TimestampNtz => f.write_str("TIMESTAMP_NTZ"),
            Self::Json => f.write_str("JSON"),
            Self::IntervalDayTime => f.write_str("INTERVAL_DAY_TIME"),
            Self::IntervalYearMonth => f.write_str("INTERVAL_YEAR_MONTH"),
            Self::Array(element) => write!(f, "ARRAY<{element}>"),
            Self::Map(key, value) => write!(f, "MAP<{key},{value}>"),
            Self::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (i, (name, ty)) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{ty}", StructFieldName(name))?;
                }
                f.write_str(">")
            }
        }
    }
}

/// A struct field's name, in backticks only where the plain spelling would not be read back.
struct StructFieldName<'a>(&'a str);

impl fmt::Display for StructFieldName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.chars().all(|c| c.is_alphanumeric() || c == '_')
            && self.0.starts_with(|c: char| !c.is_ascii_digit());
        if plain {
            f.write_str(self.0)
        } else {
            write!(f, "`{}`", self.0.replace('`', "``"))
        }
    }
}
