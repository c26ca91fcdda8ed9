//! Column types as text: the names MaxCompute and Flink use, and the Arrow types they stand for.

use std::{fmt, str::FromStr, sync::Arc};

use arrow_schema::{DataType, Field, Fields, TimeUnit};

/// Key of Arrow field metadata that names the sink's own type, for types that Arrow does not tell
/// apart: CHAR, VARCHAR, DATETIME, JSON.
pub const TYPE_METADATA_KEY: &str = "longshore.type";

/// Key of Arrow metadata that carries a comment, of a column or, in the schema's, of the table.
pub const COMMENT_METADATA_KEY: &str = "comment";

/// Start of the keys of Arrow schema metadata that carry properties of a table to be created.
pub const TABLE_PROPERTY_PREFIX: &str = "longshore.table-property.";

/// The type of a column.
///
/// Read from text such as `BIGINT NOT NULL`, `DECIMAL(18,2)`, `ARRAY<STRING>`,
/// `STRUCT<a: INT, b: DATE>` or `ROW<a INT, b DATE>`, in any letter case. `TIMESTAMP` is
/// MaxCompute's, an instant; since `TIMESTAMP(p)` means a wall clock in Flink it is refused in
/// favour of `TIMESTAMP_LTZ(p)` and `TIMESTAMP_NTZ(p)`. Displayed in a form that reads back equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnType {
    /// The Arrow type.
    pub data_type: DataType,
    /// Whether NULL is a legal value.
    pub nullable: bool,
    /// The sink's type where the Arrow type does not say it all.
    pub sink_type: Option<String>,
}

impl ColumnType {
    /// A nullable column of an Arrow type.
    pub fn nullable(data_type: DataType) -> Self {
        Self {
            data_type,
            nullable: true,
            sink_type: None,
        }
    }

    /// The Arrow field of a column of this type.
    pub fn to_field(&self, name: &str) -> Field {
        let field = Field::new(name, self.data_type.clone(), self.nullable);
        match &self.sink_type {
            Some(text) => {
                field.with_metadata([(TYPE_METADATA_KEY.to_owned(), text.clone())].into())
            }
            None => field,
        }
    }

    /// The type of an Arrow field.
    pub fn of_field(field: &Field) -> Self {
        Self {
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
            sink_type: field.metadata().get(TYPE_METADATA_KEY).cloned(),
        }
    }
}

/// Instants are kept in UTC.
pub(crate) fn utc() -> Option<Arc<str>> {
    Some(Arc::from("UTC"))
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sink_type {
            Some(text) => f.write_str(text)?,
            None => write_data_type(&self.data_type, f)?,
        }
        if self.nullable {
            Ok(())
        } else {
            f.write_str(" NOT NULL")
        }
    }
}

fn write_data_type(data_type: &DataType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let precision = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match data_type {
        DataType::Int8 => f.write_str("TINYINT"),
        DataType::Int16 => f.write_str("SMALLINT"),
        DataType::Int32 => f.write_str("INT"),
        DataType::Int64 => f.write_str("BIGINT"),
        DataType::Float32 => f.write_str("FLOAT"),
        DataType::Float64 => f.write_str("DOUBLE"),
        DataType::Boolean => f.write_str("BOOLEAN"),
        DataType::Utf8 => f.write_str("STRING"),
        DataType::Binary => f.write_str("BINARY"),
        DataType::Date32 => f.write_str("DATE"),
        DataType::Decimal128(precision, scale) => write!(f, "DECIMAL({precision},{scale})"),
        DataType::Timestamp(unit, None) => write!(f, "TIMESTAMP_NTZ({})", precision(unit)),
        DataType::Timestamp(unit, Some(_)) => write!(f, "TIMESTAMP_LTZ({})", precision(unit)),
        DataType::List(element) => write!(f, "ARRAY<{}>", ColumnType::of_field(element)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                f.write_str("MAP<")?;
                for (index, field) in fields.iter().enumerate() {
                    let ty = ColumnType::of_field(field);
                    // A key is never NULL; saying so would only be noise.
                    let ty = if index == 0 {
                        ColumnType {
                            nullable: true,
                            ..ty
                        }
                    } else {
                        f.write_str(", ")?;
                        ty
                    };
                    write!(f, "{ty}")?;
                }
                f.write_str(">")
            }
            other => write!(f, "{other}"),
        },
        DataType::Struct(fields) => {
            f.write_str("STRUCT<")?;
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    f.write_str(", ")?;
                }
                let name = field.name().replace('`', "``");
                write!(f, "`{name}`: {}", ColumnType::of_field(field))?;
            }
            f.write_str(">")
        }
        other => write!(f, "{other}"),
    }
}

/// A text that names no type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeError {
    reason: String,
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for TypeError {}

impl FromStr for ColumnType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        let mut parser = TypeParser { text, rest: text };
        let ty = parser.column_type(0)?;
        parser.skip_blanks();
        if parser.rest.is_empty() {
            Ok(ty)
        } else {
            Err(parser.error(format!("unexpected `{}`", parser.rest)))
        }
    }
}

const NAMES: [&str; 31] = [
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "LONG",
    "FLOAT",
    "REAL",
    "DOUBLE",
    "BOOLEAN",
    "BOOL",
    "STRING",
    "TEXT",
    "VARCHAR",
    "CHAR",
    "BINARY",
    "VARBINARY",
    "BYTES",
    "DECIMAL",
    "NUMERIC",
    "DATE",
    "TIME",
    "DATETIME",
    "TIMESTAMP",
    "TIMESTAMP_NTZ",
    "TIMESTAMP_LTZ",
    "JSON",
    "ARRAY",
    "MAP",
    "STRUCT",
    "ROW",
];

/// Deeper nesting is a mistake, and would be a way to exhaust the stack.
const MAX_DEPTH: usize = 32;

struct TypeParser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl TypeParser<'_> {
    fn column_type(&mut self, depth: usize) -> Result<ColumnType, TypeError> {
        if depth > MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let name = self.word().to_ascii_uppercase();
        let mut sink_type = None;
        let data_type = match name.as_str() {
            "TINYINT" => DataType::Int8,
            "SMALLINT" => DataType::Int16,
            "INT" | "INTEGER" => DataType::Int32,
            "BIGINT" | "LONG" => DataType::Int64,
            "FLOAT" | "REAL" => DataType::Float32,
            "DOUBLE" => {
                self.keyword("PRECISION");
                DataType::Float64
            }
            "BOOLEAN" | "BOOL" => DataType::Boolean,
            "STRING" | "TEXT" => DataType::Utf8,
            "VARCHAR" | "CHAR" => {
                let max = if name == "CHAR" { 255 } else { 65_535 };
                match self.arguments()?.as_slice() {
                    // Flink spells its STRING so.
                    [2_147_483_647] if name == "VARCHAR" => {}
                    [length] if (1..=max).contains(length) => {
                        sink_type = Some(format!("{name}({length})"));
                    }
                    _ => {
                        return Err(self.error(format!(
                            "{name} needs a length from 1 to {max}; STRING has none"
                        )));
                    }
                }
                DataType::Utf8
            }
            "BINARY" | "VARBINARY" | "BYTES" => {
                self.arguments()?;
                DataType::Binary
            }
            "DECIMAL" | "NUMERIC" => match *self.arguments()?.as_slice() {
                [precision @ 1..=38] => DataType::Decimal128(small(precision), 0),
                [precision @ 1..=38, scale] if scale <= precision => {
                    DataType::Decimal128(small(precision), small(scale).cast_signed())
                }
                _ => {
                    return Err(self.error(format!(
                        "{name} needs a precision from 1 to 38 and a scale up to it, for example {name}(18,2)"
                    )));
                }
            },
            "DATE" => DataType::Date32,
            // No sink type holds a time of day; its text does.
            "TIME" => {
                self.arguments()?;
                DataType::Utf8
            }
            "DATETIME" => {
                sink_type = Some(name);
                DataType::Timestamp(TimeUnit::Millisecond, utc())
            }
            "JSON" => {
                sink_type = Some(name);
                DataType::Utf8
            }
            "TIMESTAMP" => {
                if !self.arguments()?.is_empty() {
                    return Err(self.error(
                        "TIMESTAMP with a precision is ambiguous: write TIMESTAMP_LTZ(p) for an \
                         instant or TIMESTAMP_NTZ(p) for a wall clock without a zone"
                            .to_owned(),
                    ));
                }
                DataType::Timestamp(TimeUnit::Microsecond, utc())
            }
            "TIMESTAMP_LTZ" => DataType::Timestamp(self.time_unit()?, utc()),
            "TIMESTAMP_NTZ" => DataType::Timestamp(self.time_unit()?, None),
            "ARRAY" => {
                self.expect('<')?;
                let element = self.column_type(depth + 1)?;
                self.expect('>')?;
                DataType::List(Arc::new(element.to_field("item")))
            }
            "MAP" => {
                self.expect('<')?;
                let key = self.column_type(depth + 1)?;
                self.expect(',')?;
                let value = self.column_type(depth + 1)?;
                self.expect('>')?;
                map_type(&key, &value)
            }
            "STRUCT" | "ROW" => {
                let close = if self.eat('(') {
                    ')'
                } else {
                    self.expect('<')?;
                    '>'
                };
                let mut fields = Vec::new();
                loop {
                    let name = self.identifier()?;
                    self.eat(':');
                    fields.push(self.column_type(depth + 1)?.to_field(&name));
                    if !self.eat(',') {
                        break;
                    }
                }
                self.expect(close)?;
                DataType::Struct(Fields::from(fields))
            }
            "" => return Err(self.error("a type is missing".to_owned())),
            _ => {
                let hint = crate::definition::nearest(&name, &NAMES)
                    .map(|near| format!("did you mean {near}? "))
                    .unwrap_or_default();
                return Err(self.error(format!(
                    "no type `{name}`; {hint}types are {}",
                    NAMES.join(", ")
                )));
            }
        };
        let mut nullable = true;
        if self.keyword("NOT") {
            if !self.keyword("NULL") {
                return Err(self.error("NOT must be followed by NULL".to_owned()));
            }
            nullable = false;
        } else {
            self.keyword("NULL");
        }
        Ok(ColumnType {
            data_type,
            nullable,
            sink_type,
        })
    }

    fn time_unit(&mut self) -> Result<TimeUnit, TypeError> {
        match self.arguments()?.as_slice() {
            [] | [4..=6] => Ok(TimeUnit::Microsecond),
            [0] => Ok(TimeUnit::Second),
            [1..=3] => Ok(TimeUnit::Millisecond),
            [7..=9] => Ok(TimeUnit::Nanosecond),
            _ => Err(self.error("the precision of a timestamp is 0 to 9".to_owned())),
        }
    }

    fn arguments(&mut self) -> Result<Vec<u32>, TypeError> {
        let mut arguments = Vec::new();
        if !self.eat('(') {
            return Ok(arguments);
        }
        loop {
            let word = self.word();
            let number = word.parse();
            arguments.push(number.map_err(|_| self.error(format!("`{word}` is not a number")))?);
            if !self.eat(',') {
                break;
            }
        }
        self.expect(')')?;
        Ok(arguments)
    }

    fn identifier(&mut self) -> Result<String, TypeError> {
        self.skip_blanks();
        let Some(mut rest) = self.rest.strip_prefix('`') else {
            let name = self.word();
            return if name.is_empty() {
                Err(self.error("a field name is missing".to_owned()))
            } else {
                Ok(name.to_owned())
            };
        };
        let mut name = String::new();
        while let Some((before, after)) = rest.split_once('`') {
            name.push_str(before);
            match after.strip_prefix('`') {
                Some(after) => {
                    name.push('`');
                    rest = after;
                }
                None => {
                    self.rest = after;
                    return Ok(name);
                }
            }
        }
        Err(self.error("a quoted field name is not closed".to_owned()))
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let before = self.rest;
        if self.word().eq_ignore_ascii_case(keyword) {
            return true;
        }
        self.rest = before;
        false
    }

    fn word(&mut self) -> String {
        self.skip_blanks();
        let end = self
            .rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), TypeError> {
        if self.eat(wanted) {
            Ok(())
        } else if self.rest.is_empty() {
            Err(self.error(format!("`{wanted}` is missing at the end")))
        } else {
            Err(self.error(format!("`{wanted}` is missing before `{}`", self.rest)))
        }
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn error(&self, reason: String) -> TypeError {
        TypeError {
            reason: format!("type `{}`: {reason}", self.text.trim()),
        }
    }
}

pub(crate) fn map_type(key: &ColumnType, value: &ColumnType) -> DataType {
    let key = ColumnType {
        nullable: false,
        ..key.clone()
    };
    let entries = DataType::Struct(Fields::from(vec![
        key.to_field("key"),
        value.to_field("value"),
    ]));
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

fn small(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}
