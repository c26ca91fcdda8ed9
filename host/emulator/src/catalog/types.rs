//! MaxCompute column types: parsed from and shown as SQL text, and their Arrow form in memory.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Fields, TimeUnit};

/// A MaxCompute type as written in DDL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// 8-bit integer.
    TinyInt,
    /// 16-bit integer.
    SmallInt,
    /// 32-bit integer.
    Int,
    /// 64-bit integer; the service refuses -2^63.
    BigInt,
    /// 32-bit floating point.
    Float,
    /// 64-bit floating point.
    Double,
    /// Truth value.
    Boolean,
    /// Text.
    String,
    /// Text of at most this many characters.
    Varchar(u32),
    /// Text padded to this many characters.
    Char(u32),
    /// Bytes.
    Binary,
    /// Exact number with `precision` digits, `scale` of them after the point.
    Decimal {
        /// Number of digits, at most 38.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `DECIMAL` written without precision (the older type system); kept as `DECIMAL(38,18)`.
    LegacyDecimal,
    /// Calendar day.
    Date,
    /// Instant in milliseconds.
    Datetime,
    /// Instant in nanoseconds.
    Timestamp,
    /// Wall clock in nanoseconds, without a zone.
    TimestampNtz,
    /// JSON text.
    Json,
    /// Seconds and nanoseconds.
    IntervalDayTime,
    /// Months.
    IntervalYearMonth,
    /// List of values.
    Array(Box<ColumnType>),
    /// Pairs of key and value.
    Map(Box<ColumnType>, Box<ColumnType>),
    /// Named fields.
    Struct(Vec<(String, ColumnType)>),
}

/// Why a type text is not a MaxCompute type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a column type: {reason}")]
pub struct TypeError {
    /// The whole type text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Children of the in-memory struct of `TIMESTAMP`, `TIMESTAMP_NTZ` and `INTERVAL_DAY_TIME`:
/// `sec` (int64, floor seconds since 1970) and `nano` (int32, 0..=999999999), both non-null.
pub static SECONDS_NANOS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new("sec", DataType::Int64, false),
        Field::new("nano", DataType::Int32, false),
    ])
});

impl ColumnType {
    /// The Arrow type of values in memory, between tunnel, storage and scans.
    ///
    /// | MaxCompute | Arrow |
    /// |---|---|
    /// | integers, floats, BOOLEAN | same width |
    /// | STRING, VARCHAR, CHAR, JSON | Utf8 |
    /// | BINARY | Binary |
    /// | DECIMAL(p,s) | Decimal128(p,s); without precision Decimal128(38,18) |
    /// | DATE / DATETIME | Date32 / Timestamp(ms) without zone, epoch milliseconds |
    /// | TIMESTAMP, TIMESTAMP_NTZ, INTERVAL_DAY_TIME | [`SECONDS_NANOS`] struct: years 0001..9999 do not fit 64-bit nanoseconds |
    /// | INTERVAL_YEAR_MONTH | Int32 months |
    /// | ARRAY | List, child `element` nullable |
    /// | MAP | Map, entries `entries` of `key` non-null, `value` nullable |
    /// | STRUCT | Struct, fields nullable |
    pub fn arrow_type(&self) -> DataType {
        match self {
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::String | Self::Varchar(_) | Self::Char(_) | Self::Json => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Decimal { precision, scale } => {
                DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX))
            }
            Self::LegacyDecimal => DataType::Decimal128(38, 18),
            Self::Date => DataType::Date32,
            Self::Datetime => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::Timestamp | Self::TimestampNtz | Self::IntervalDayTime => {
                DataType::Struct(SECONDS_NANOS.clone())
            }
            Self::IntervalYearMonth => DataType::Int32,
            Self::Array(element) => {
                DataType::List(Arc::new(Field::new("element", element.arrow_type(), true)))
            }
            Self::Map(key, value) => DataType::Map(
                Arc::new(Field::new(
                    "entries",
                    DataType::Struct(Fields::from(vec![
                        Field::new("key", key.arrow_type(), false),
                        Field::new("value", value.arrow_type(), true),
                    ])),
                    false,
                )),
                false,
            ),
            Self::Struct(fields) => DataType::Struct(
                fields
                    .iter()
                    .map(|(name, ty)| Field::new(name, ty.arrow_type(), true))
                    .collect(),
            ),
        }
    }

    /// True for the types a partition column may have.
    pub fn is_partition_type(&self) -> bool {
        matches!(
            self,
            Self::String
                | Self::Varchar(_)
                | Self::Char(_)
                | Self::TinyInt
                | Self::SmallInt
                | Self::Int
                | Self::BigInt
                | Self::Date
        )
    }

    /// True for the types a primary key column may have: those with a bucket hash.
    pub fn is_key_type(&self) -> bool {
        !matches!(
            self,
            Self::Json
                | Self::Binary
                | Self::Array(_)
                | Self::Map(..)
                | Self::Struct(_)
                | Self::IntervalYearMonth
        )
    }

    /// True when a stored column of this type can become `to` without loss.
    ///
    /// The set is conservative: wider integers, FLOAT to DOUBLE, longer VARCHAR, text to STRING,
    /// DECIMAL with at least as many digits on both sides, and scalar values to STRING.
    pub fn can_become(&self, to: &ColumnType) -> bool {
        fn integer_rank(ty: &ColumnType) -> Option<u8> {
            match ty {
                ColumnType::TinyInt => Some(1),
                ColumnType::SmallInt => Some(2),
                ColumnType::Int => Some(3),
                ColumnType::BigInt => Some(4),
                _ => None,
            }
        }
        if self == to {
            return true;
        }
        if let (Some(from), Some(to)) = (integer_rank(self), integer_rank(to)) {
            return from < to;
        }
        match (self, to) {
            (Self::Float, Self::Double) => true,
            (Self::Varchar(from) | Self::Char(from), Self::Varchar(to)) => from <= to,
            (
                Self::Decimal {
                    precision: p1,
                    scale: s1,
                },
                Self::Decimal {
                    precision: p2,
                    scale: s2,
                },
            ) => s1 <= s2 && p1.saturating_sub(*s1) <= p2.saturating_sub(*s2),
            (
                Self::LegacyDecimal,
                Self::Decimal {
                    precision: 38,
                    scale: 18,
                },
            ) => true,
            (
                Self::TinyInt
                | Self::SmallInt
                | Self::Int
                | Self::BigInt
                | Self::Float
                | Self::Double
                | Self::Boolean
                | Self::Varchar(_)
                | Self::Char(_)
                | Self::Decimal { .. }
                | Self::LegacyDecimal
                | Self::Date
                | Self::Datetime
                | Self::Timestamp
                | Self::TimestampNtz
                | Self::Json,
                Self::String,
            ) => true,
            _ => false,
        }
    }
}

impl fmt::Display for ColumnType {
    /// SQL text in upper case; names of struct fields as given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::TinyInt => "TINYINT",
            Self::SmallInt => "SMALLINT",
            Self::Int => "INT",
            Self::BigInt => "BIGINT",
            Self::Float => "FLOAT",
            Self::Double => "DOUBLE",
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Binary => "BINARY",
            Self::LegacyDecimal => "DECIMAL",
            Self::Date => "DATE",
            Self::Datetime => "DATETIME",
            Self::Timestamp => "TIMESTAMP",
            Self::TimestampNtz => "TIMESTAMP_NTZ",
            Self::Json => "JSON",
            Self::IntervalDayTime => "INTERVAL_DAY_TIME",
            Self::IntervalYearMonth => "INTERVAL_YEAR_MONTH",
            Self::Varchar(n) => return write!(f, "VARCHAR({n})"),
            Self::Char(n) => return write!(f, "CHAR({n})"),
            Self::Decimal { precision, scale } => return write!(f, "DECIMAL({precision},{scale})"),
            Self::Array(element) => return write!(f, "ARRAY<{element}>"),
            Self::Map(key, value) => return write!(f, "MAP<{key},{value}>"),
            Self::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (index, (name, ty)) in fields.iter().enumerate() {
                    if index > 0 {
                        f.write_str(",")?;
                    }
                    if is_plain_identifier(name) {
                        write!(f, "{name}:{ty}")?;
                    } else {
                        write!(f, "`{}`:{ty}", name.replace('`', "``"))?;
                    }
                }
                return f.write_str(">");
            }
        };
        f.write_str(word)
    }
}

/// True when a name needs no backticks.
pub fn is_plain_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

impl FromStr for ColumnType {
    type Err = TypeError;

    /// Reads SQL type text in any letter case.
    fn from_str(text: &str) -> Result<Self, TypeError> {
        let mut parser = TypeParser { text, rest: text };
        let ty = parser.parse_type()?;
        if parser.peek().is_some() {
            return Err(parser.error(format!("`{}` is left over", parser.rest.trim())));
        }
        Ok(ty)
    }
}

impl serde::Serialize for ColumnType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ColumnType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

struct TypeParser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl TypeParser<'_> {
    fn error(&self, reason: impl Into<String>) -> TypeError {
        TypeError {
            text: self.text.to_owned(),
            reason: reason.into(),
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        if self.peek() == Some(wanted) {
            self.rest = self.rest.strip_prefix(wanted).unwrap_or(self.rest);
            return true;
        }
        false
    }

    fn expect(&mut self, wanted: char) -> Result<(), TypeError> {
        if self.eat(wanted) {
            return Ok(());
        }
        let found = self.rest.to_owned();
        Err(self.error(format!("expected `{wanted}` before `{found}`")))
    }

    fn word(&mut self) -> Result<String, TypeError> {
        if self.eat('`') {
            let mut name = String::new();
            let mut chars = self.rest.char_indices().peekable();
            while let Some((at, c)) = chars.next() {
                if c != '`' {
                    name.push(c);
                } else if chars.peek().is_some_and(|(_, next)| *next == '`') {
                    chars.next();
                    name.push('`');
                } else {
                    self.rest = self.rest.get(at + 1..).unwrap_or("");
                    return Ok(name);
                }
            }
            return Err(self.error("a backtick is not closed"));
        }
        self.peek();
        let end = self
            .rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return Err(self.error("a type name is missing"));
        }
        self.rest = rest;
        Ok(word.to_owned())
    }

    fn number(
        &mut self,
        what: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, TypeError> {
        let word = self.word()?;
        let number: u32 = word
            .parse()
            .map_err(|_| self.error(format!("{what} `{word}` is not a number")))?;
        if !range.contains(&number) {
            return Err(self.error(format!(
                "{what} {number} is outside {}..{}",
                range.start(),
                range.end()
            )));
        }
        Ok(number)
    }

    fn length(&mut self, range: std::ops::RangeInclusive<u32>) -> Result<u32, TypeError> {
        self.expect('(')?;
        let length = self.number("length", range)?;
        self.expect(')')?;
        Ok(length)
    }

    fn parse_type(&mut self) -> Result<ColumnType, TypeError> {
        let word = self.word()?;
        Ok(match word.to_ascii_uppercase().as_str() {
            "TINYINT" => ColumnType::TinyInt,
            "SMALLINT" => ColumnType::SmallInt,
            "INT" | "INTEGER" => ColumnType::Int,
            "BIGINT" => ColumnType::BigInt,
            "FLOAT" => ColumnType::Float,
            "DOUBLE" => ColumnType::Double,
            "BOOLEAN" => ColumnType::Boolean,
            "STRING" => ColumnType::String,
            "BINARY" => ColumnType::Binary,
            "DATE" => ColumnType::Date,
            "DATETIME" => ColumnType::Datetime,
            "TIMESTAMP" => ColumnType::Timestamp,
            "TIMESTAMP_NTZ" => ColumnType::TimestampNtz,
            "JSON" => ColumnType::Json,
            "INTERVAL_DAY_TIME" => ColumnType::IntervalDayTime,
            "INTERVAL_YEAR_MONTH" => ColumnType::IntervalYearMonth,
            "VARCHAR" => ColumnType::Varchar(self.length(1..=65535)?),
            "CHAR" => ColumnType::Char(self.length(1..=255)?),
            "DECIMAL" => self.parse_decimal()?,
            "ARRAY" => {
                self.expect('<')?;
                let element = self.parse_type()?;
                self.expect('>')?;
                ColumnType::Array(Box::new(element))
            }
            "MAP" => {
                self.expect('<')?;
                let key = self.parse_type()?;
                self.expect(',')?;
                let value = self.parse_type()?;
                self.expect('>')?;
                ColumnType::Map(Box::new(key), Box::new(value))
            }
            "STRUCT" => {
                self.expect('<')?;
                let mut fields = Vec::new();
                loop {
                    let name = self.word()?;
                    self.eat(':');
                    fields.push((name, self.parse_type()?));
                    if !self.eat(',') {
                        break;
                    }
                }
                self.expect('>')?;
                ColumnType::Struct(fields)
            }
            _ => return Err(self.error(format!("`{word}` is unknown"))),
        })
    }

    fn parse_decimal(&mut self) -> Result<ColumnType, TypeError> {
        if !self.eat('(') {
            return Ok(ColumnType::LegacyDecimal);
        }
        let precision = self.number("precision", 1..=38)?;
        let scale = if self.eat(',') {
            self.number("scale", 0..=38)?
        } else {
            0
        };
        self.expect(')')?;
        if scale > precision {
            return Err(self.error(format!("scale {scale} is above precision {precision}")));
        }
        let digits = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        Ok(ColumnType::Decimal {
            precision: digits(precision),
            scale: digits(scale),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_text_round_trips_in_any_letter_case() {
        for text in [
            "bigint",
            "Decimal(10, 2)",
            "decimal",
            "array<struct<a:int,`b c`:map<string,timestamp_ntz>>>",
            "varchar(65535)",
            "char(1)",
            "interval_day_time",
        ] {
            let ty: ColumnType = text.parse().unwrap();
            assert_eq!(ty, ty.to_string().parse().unwrap(), "{text}");
            assert_eq!(ty, ty.to_string().to_lowercase().parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn wrong_type_text_is_refused() {
        for text in [
            "",
            "text",
            "decimal(39,2)",
            "decimal(4,5)",
            "varchar(0)",
            "char(256)",
            "array<int",
            "int int",
        ] {
            assert!(text.parse::<ColumnType>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_widening_type_changes_are_legal() {
        let ty = |text: &str| text.parse::<ColumnType>().unwrap();
        for (from, to) in [
            ("int", "bigint"),
            ("float", "double"),
            ("varchar(3)", "varchar(4)"),
            ("char(3)", "string"),
            ("decimal(10,2)", "decimal(12,3)"),
            ("timestamp", "string"),
        ] {
            assert!(ty(from).can_become(&ty(to)), "{from} -> {to}");
        }
        for (from, to) in [
            ("bigint", "int"),
            ("string", "bigint"),
            ("decimal(10,2)", "decimal(10,3)"),
            ("double", "float"),
            ("array<int>", "string"),
        ] {
            assert!(!ty(from).can_become(&ty(to)), "{from} -> {to}");
        }
    }
}
