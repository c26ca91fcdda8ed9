//! Schemas from values read ahead.
//!
//! Whole numbers become BIGINT (DECIMAL(38,0) where one is larger), numbers with a fraction
//! DOUBLE, `true` and `false` BOOLEAN, everything else STRING; objects and lists are kept as their
//! JSON text. A column without any value becomes STRING. Every column is nullable but the key's.

use std::collections::HashMap;

use arrow_schema::DataType;

use super::super::types::ColumnType;

/// What values of a column have been, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Empty,
    Boolean,
    BigInt,
    Huge,
    Double,
    Text,
    Nested,
}

/// A column on its way to a type.
#[derive(Debug)]
struct Seen {
    name: String,
    kind: Kind,
    line: u64,
}

/// Values of one table, column by column.
#[derive(Debug, Default)]
pub(crate) struct Inference {
    columns: Vec<Seen>,
    by_name: HashMap<String, usize>,
}

/// Two values of one column that no type holds both.
#[derive(Debug)]
pub(crate) struct Conflict {
    pub(crate) column: String,
    pub(crate) message: String,
}

impl Inference {
    /// Notes a JSON value.
    pub(crate) fn see_json(&mut self, name: &str, raw: &str, line: u64) -> Result<(), Conflict> {
        let kind = match raw.as_bytes().first() {
            Some(b'n') => Kind::Empty,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'"') => Kind::Text,
            Some(b'{' | b'[') => Kind::Nested,
            _ => number(raw),
        };
        let seen = self.column(name, line);
        let merged = match (seen.kind, kind) {
            (Kind::Empty, kind) => Some(kind),
            (kind, Kind::Empty) => Some(kind),
            (a, b) if a == b => Some(a),
            (Kind::BigInt | Kind::Huge, Kind::BigInt | Kind::Huge) => Some(Kind::Huge),
            (Kind::BigInt | Kind::Double, Kind::BigInt | Kind::Double) => Some(Kind::Double),
            (Kind::Text | Kind::Nested, Kind::Text | Kind::Nested) => Some(Kind::Text),
            _ => None,
        };
        match merged {
            Some(merged) => {
                if seen.kind == Kind::Empty {
                    seen.line = line;
                }
                seen.kind = merged;
                Ok(())
            }
            None => Err(Conflict {
                column: name.to_owned(),
                message: format!(
                    "holds {} here and {} on line {}",
                    kind.describe(),
                    seen.kind.describe(),
                    seen.line
                ),
            }),
        }
    }

    /// Notes a field of a CSV file; texts hold anything there, so nothing conflicts.
    pub(crate) fn see_field(&mut self, name: &str, field: Option<&str>, line: u64) {
        let kind = match field {
            None => Kind::Empty,
            Some("true" | "false" | "TRUE" | "FALSE" | "True" | "False") => Kind::Boolean,
            Some(text) => field_number(text).unwrap_or(Kind::Text),
        };
        let seen = self.column(name, line);
        seen.kind = match (seen.kind, kind) {
            (Kind::Empty, kind) => kind,
            (kind, Kind::Empty) => kind,
            (a, b) if a == b => a,
            (Kind::BigInt | Kind::Huge, Kind::BigInt | Kind::Huge) => Kind::Huge,
            (Kind::BigInt | Kind::Double, Kind::BigInt | Kind::Double) => Kind::Double,
            _ => Kind::Text,
        };
    }

    fn column(&mut self, name: &str, line: u64) -> &mut Seen {
        let index = match self.by_name.get(name) {
            Some(index) => *index,
            None => {
                let index = self.columns.len();
                self.by_name.insert(name.to_owned(), index);
                self.columns.push(Seen {
                    name: name.to_owned(),
                    kind: Kind::Empty,
                    line,
                });
                index
            }
        };
        #[expect(
            clippy::indexing_slicing,
            reason = "the map holds indices of columns only"
        )]
        &mut self.columns[index]
    }

    /// Names and types, in the order they were first seen.
    pub(crate) fn columns(&self) -> Vec<(String, ColumnType)> {
        self.columns
            .iter()
            .map(|seen| {
                let data_type = match seen.kind {
                    Kind::Boolean => DataType::Boolean,
                    Kind::BigInt => DataType::Int64,
                    Kind::Huge => DataType::Decimal128(38, 0),
                    Kind::Double => DataType::Float64,
                    Kind::Empty | Kind::Text | Kind::Nested => DataType::Utf8,
                };
                (seen.name.clone(), ColumnType::nullable(data_type))
            })
            .collect()
    }
}

impl Kind {
    fn describe(self) -> &'static str {
        match self {
            Self::Empty => "nothing",
            Self::Boolean => "true or false",
            Self::BigInt | Self::Huge => "a whole number",
            Self::Double => "a number with a fraction",
            Self::Text => "a text",
            Self::Nested => "an object or a list",
        }
    }
}

fn number(text: &str) -> Kind {
    if text.bytes().any(|byte| b".eE".contains(&byte)) {
        Kind::Double
    } else if text.parse::<i64>().is_ok() {
        Kind::BigInt
    } else {
        Kind::Huge
    }
}

/// What number a field is. Leading zeros and plus signs make codes and telephone numbers, which
/// would not survive as numbers.
fn field_number(text: &str) -> Option<Kind> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let whole = digits.split(['.', 'e', 'E']).next()?;
    let plain = !whole.is_empty()
        && whole.bytes().all(|byte| byte.is_ascii_digit())
        && (whole.len() == 1 || !whole.starts_with('0'))
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    if !plain || text.parse::<f64>().is_err() {
        return None;
    }
    match number(text) {
        Kind::Huge if text.parse::<i128>().is_err() => None,
        kind => Some(kind),
    }
}
