//! Building columns from JSON tokens and texts.

mod tokens;
mod values;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, TimeUnit};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chrono_tz::Tz;
use serde_json::value::RawValue;
use tokens::{Entries, Token, describe_json, float, loses_integer, special_float, unquote};
use values::Values;

use super::scalar::{
    Decimal, convert_unit, format_date, format_time, parse_date, parse_timestamp, shorten,
};
use crate::source::types::ColumnType;

/// How the input writes the values of a column, where the column's type does not tell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wire {
    /// As JSON would have it: numbers, texts, ISO dates. A number in a date column counts days
    /// since 1970, one in a timestamp column the column's own unit.
    Plain,
    /// The text is JSON itself.
    JsonText,
    /// Days since 1970-01-01.
    Days,
    /// A count since 1970-01-01T00:00.
    Epoch(TimeUnit),
    /// A count since midnight.
    Clock(TimeUnit),
    /// Base64 of a big-endian unscaled number.
    DecimalBytes { scale: i32 },
    /// An object of `scale` and base64 `value`.
    VariableDecimal,
    /// A struct, by the wires of its fields.
    Struct(Vec<Wire>),
    /// A list, by the wire of its elements.
    List(Box<Wire>),
    /// A map, by the wires of key and value.
    Map(Box<Wire>, Box<Wire>),
}

/// A value that the column can not take: why.
pub(crate) type Fault = String;

/// Rows of one column to come.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) nullable: bool,
    wire: Wire,
    type_name: String,
    values: Values,
    zone: Option<Tz>,
}

impl Column {
    /// A column of type `ty`, its values written as `wire` says.
    ///
    /// # Errors
    ///
    /// The type can not hold what the wire carries.
    pub(crate) fn new(ty: &ColumnType, wire: Wire, zone: Option<Tz>) -> Result<Self, Fault> {
        let type_name = ColumnType {
            nullable: true,
            ..ty.clone()
        }
        .to_string();
        let fits = match (&wire, &ty.data_type) {
            (Wire::Plain, _) => true,
            (Wire::JsonText, other) => *other == DataType::Utf8,
            (Wire::Days, other) => {
                matches!(other, DataType::Date32 | DataType::Utf8 | DataType::Int32)
            }
            // A wall clock is no instant: only the declared type could make it one, silently.
            (Wire::Epoch(_), other) => {
                matches!(other, DataType::Timestamp(_, None) | DataType::Int64)
            }
            (Wire::Clock(_), other) => matches!(other, DataType::Utf8 | DataType::Int64),
            (Wire::DecimalBytes { .. } | Wire::VariableDecimal, other) => matches!(
                other,
                DataType::Decimal128(..)
                    | DataType::Utf8
                    | DataType::Int64
                    | DataType::Int32
                    | DataType::Float64
            ),
            (Wire::Struct(_), other) => matches!(other, DataType::Struct(_) | DataType::Utf8),
            (Wire::List(_), other) => matches!(other, DataType::List(_) | DataType::Utf8),
            (Wire::Map(..), other) => matches!(other, DataType::Map(..) | DataType::Utf8),
        };
        if !fits {
            return Err(format!(
                "the input writes this column as {}, which type {type_name} can not hold",
                wire.describe()
            ));
        }
        let any_json = ty.sink_type.as_deref() == Some("JSON");
        Ok(Self {
            nullable: ty.nullable,
            values: Values::new(&ty.data_type, &wire, any_json, zone)?,
            wire,
            type_name,
            zone,
        })
    }

    /// Appends NULL, whether the column is nullable or not: the caller knows what the row is for.
    pub(crate) fn append_null(&mut self) -> Result<(), Fault> {
        self.values.append_null()
    }

    /// Appends a value that stands for nothing, for rows whose only meaning is their key.
    pub(crate) fn append_filler(&mut self) -> Result<(), Fault> {
        self.values.append_filler()
    }

    /// Appends one JSON value, given as its text. `null` must be handled before.
    pub(crate) fn append_json(&mut self, raw: &str) -> Result<(), Fault> {
        let wrong = |name: &str| format!("expected {name}, found {}", describe_json(raw));
        match &self.wire {
            Wire::Plain => {}
            Wire::JsonText => {
                return match unquote(raw) {
                    Some(text) => self.append_text(&text),
                    // What is no text is not JSON in a text either, but JSON it is.
                    None => self.append_text(raw),
                };
            }
            Wire::Days => {
                let days: i32 = raw.parse().map_err(|_| wrong("days since 1970"))?;
                return match &mut self.values {
                    Values::Date(builder) => {
                        builder.append_value(days);
                        Ok(())
                    }
                    Values::Int32(builder) => {
                        builder.append_value(days);
                        Ok(())
                    }
                    _ => self.append_text(&format_date(days)?),
                };
            }
            Wire::Epoch(unit) => {
                let count: i64 = raw.parse().map_err(|_| wrong("a count since 1970"))?;
                match &mut self.values {
                    Values::Timestamp(builder, to, _) => {
                        builder.append_value(convert_unit(count, *unit, *to)?);
                    }
                    Values::Int64(builder) => builder.append_value(count),
                    _ => return Err(wrong(&self.type_name)),
                }
                return Ok(());
            }
            Wire::Clock(unit) => {
                let count: i64 = raw.parse().map_err(|_| wrong("a count since midnight"))?;
                if let Values::Int64(builder) = &mut self.values {
                    builder.append_value(count);
                    return Ok(());
                }
                let text = format_time(count, *unit);
                return self.append_text(&text);
            }
            Wire::DecimalBytes { scale } => {
                let text = unquote(raw).ok_or_else(|| wrong("an unscaled number in base64"))?;
                let bytes = BASE64
                    .decode(text.as_bytes())
                    .map_err(|_| wrong("an unscaled number in base64"))?;
                let decimal = Decimal::from_bytes(&bytes, *scale)?;
                return self.append_decimal(decimal);
            }
            Wire::VariableDecimal => {
                #[derive(serde::Deserialize)]
                struct Variable {
                    scale: i32,
                    value: String,
                }
                let variable: Variable =
                    serde_json::from_str(raw).map_err(|_| wrong("an object of scale and value"))?;
                let bytes = BASE64
                    .decode(variable.value.as_bytes())
                    .map_err(|_| wrong("an unscaled number in base64"))?;
                let decimal = Decimal::from_bytes(&bytes, variable.scale)?;
                return self.append_decimal(decimal);
            }
            Wire::Struct(_) | Wire::List(_) | Wire::Map(..) => {}
        }
        match raw.as_bytes().first() {
            Some(b'"') => match unquote(raw) {
                Some(_) if matches!(self.values, Values::Text(_, true)) => self.append_text(raw),
                Some(text) => self.append_token(Token::Text, &text),
                None => Err(wrong(&self.type_name)),
            },
            Some(b't' | b'f') => self.append_token(Token::Bool, raw),
            Some(b'{' | b'[') => match &self.values {
                // A column of text keeps what is nested as its JSON text.
                Values::Text(..) => self.append_text(raw),
                _ => self.append_nested(raw),
            },
            _ => self.append_token(Token::Number, raw),
        }
    }

    /// Appends one field of a CSV file.
    pub(crate) fn append_field(&mut self, text: &str) -> Result<(), Fault> {
        if matches!(
            self.values,
            Values::List(..) | Values::Map(..) | Values::Struct(..)
        ) {
            self.append_nested(text)
        } else {
            self.append_token(Token::Untyped, text)
        }
    }

    fn append_decimal(&mut self, decimal: Decimal) -> Result<(), Fault> {
        match &mut self.values {
            Values::Decimal(builder, precision, scale) => {
                builder.append_value(decimal.fit(*precision, *scale)?);
                Ok(())
            }
            Values::Text(..) => self.append_text(&decimal.to_string()),
            _ => self.append_token(Token::Number, &decimal.to_string()),
        }
    }

    fn append_text(&mut self, text: &str) -> Result<(), Fault> {
        match &mut self.values {
            Values::Text(builder, _) => {
                builder.append_value(text);
                Ok(())
            }
            _ => Err(format!("expected {}, found a text", self.type_name)),
        }
    }

    fn append_token(&mut self, token: Token, text: &str) -> Result<(), Fault> {
        let name = &self.type_name;
        let wrong = || {
            let found = match token {
                Token::Text => format!("the text `{}`", shorten(text)),
                Token::Number => format!("the number {}", shorten(text)),
                Token::Bool => text.to_owned(),
                Token::Untyped => format!("`{}`", shorten(text)),
            };
            format!("expected {name}, found {found}")
        };
        let number = matches!(token, Token::Number | Token::Untyped);
        macro_rules! integer {
            ($builder:ident, $type:ty) => {{
                let value: i128 =
                    if number { text.parse().ok() } else { None }.ok_or_else(wrong)?;
                let value = <$type>::try_from(value)
                    .map_err(|_| format!("{text} is out of range for {name}"))?;
                $builder.append_value(value);
            }};
        }
        match &mut self.values {
            Values::Boolean(builder) => match (token, text) {
                (Token::Bool, _) => builder.append_value(text == "true"),
                (Token::Untyped, text) if text.eq_ignore_ascii_case("true") => {
                    builder.append_value(true);
                }
                (Token::Untyped, text) if text.eq_ignore_ascii_case("false") => {
                    builder.append_value(false);
                }
                _ => return Err(wrong()),
            },
            Values::Int8(builder) => integer!(builder, i8),
            Values::Int16(builder) => integer!(builder, i16),
            Values::Int32(builder) => integer!(builder, i32),
            Values::Int64(builder) => integer!(builder, i64),
            Values::Float32(builder) => {
                let value = match special_float(token, text) {
                    Some(value) => value as f32,
                    None => {
                        let value = float::<f32>(text, number).ok_or_else(wrong)?;
                        if value.is_infinite() || loses_integer(text, f64::from(value)) {
                            return Err(format!(
                                "{text} does not fit {name} exactly; declare DOUBLE"
                            ));
                        }
                        value
                    }
                };
                builder.append_value(value);
            }
            Values::Float64(builder) => {
                let value = match special_float(token, text) {
                    Some(value) => value,
                    None => {
                        let value = float::<f64>(text, number).ok_or_else(wrong)?;
                        if value.is_infinite() || loses_integer(text, value) {
                            return Err(format!(
                                "{text} does not fit {name} exactly; declare DECIMAL(38,0)"
                            ));
                        }
                        value
                    }
                };
                builder.append_value(value);
            }
            Values::Decimal(builder, precision, scale) => {
                if token == Token::Bool {
                    return Err(wrong());
                }
                let decimal = Decimal::parse(text).map_err(|_| wrong())?;
                builder.append_value(decimal.fit(*precision, *scale)?);
            }
            Values::Text(builder, any_json) => {
                if matches!(token, Token::Number | Token::Bool) && !*any_json {
                    return Err(wrong());
                }
                builder.append_value(text);
            }
            Values::Bytes(builder) => {
                let bytes = match token {
                    Token::Text | Token::Untyped => BASE64.decode(text.as_bytes()).ok(),
                    _ => None,
                };
                let bytes =
                    bytes.ok_or_else(|| format!("{} (bytes are written in base64)", wrong()))?;
                builder.append_value(bytes);
            }
            Values::Date(builder) => {
                let days = match token {
                    Token::Number => text.parse().map_err(|_| wrong())?,
                    Token::Bool => return Err(wrong()),
                    _ => parse_date(text)?,
                };
                builder.append_value(days);
            }
            Values::Timestamp(builder, unit, data_type) => {
                let zoned = matches!(data_type, DataType::Timestamp(_, Some(_)));
                let count = match token {
                    Token::Number => text.parse().map_err(|_| wrong())?,
                    Token::Bool => return Err(wrong()),
                    _ => parse_timestamp(text, *unit, zoned, self.zone)?,
                };
                builder.append_value(count);
            }
            Values::List(..) | Values::Map(..) | Values::Struct(..) => return Err(wrong()),
        }
        Ok(())
    }

    fn append_nested(&mut self, raw: &str) -> Result<(), Fault> {
        let name = self.type_name.clone();
        let wrong = || format!("expected {name}, found {}", describe_json(raw));
        match &mut self.values {
            Values::List(nested, _, element) => {
                let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| wrong())?;
                for item in &items {
                    element.append_nullable(item.get(), "an element")?;
                }
                nested.push(items.len(), true)
            }
            Values::Map(nested, _, key, value) => {
                let mut length = 0;
                if raw.trim_start().starts_with('[') {
                    // Kafka Connect writes maps whose keys are no texts as pairs.
                    let pairs: Vec<(&RawValue, &RawValue)> =
                        serde_json::from_str(raw).map_err(|_| wrong())?;
                    for (entry_key, entry_value) in pairs {
                        key.append_nullable(entry_key.get(), "a key")?;
                        value.append_nullable(entry_value.get(), "a value")?;
                        length += 1;
                    }
                } else {
                    let entries: Entries<'_> = serde_json::from_str(raw).map_err(|_| wrong())?;
                    for (entry_key, entry_value) in entries.0 {
                        key.append_token(Token::Untyped, &entry_key)?;
                        value.append_nullable(entry_value.get(), "a value")?;
                        length += 1;
                    }
                }
                nested.push(length, true)
            }
            Values::Struct(validity, rows, fields, children) => {
                let entries: Entries<'_> = serde_json::from_str(raw).map_err(|_| wrong())?;
                for (field, child) in fields.iter().zip(children.iter_mut()) {
                    let mut found = entries.0.iter().filter(|(key, _)| key == field.name());
                    match (found.next(), found.next()) {
                        (Some((_, value)), None) => child
                            .append_nullable(value.get(), "it")
                            .map_err(|fault| format!("field `{}`: {fault}", field.name()))?,
                        (Some(_), Some(_)) => {
                            return Err(format!("field `{}` is given twice", field.name()));
                        }
                        (None, _) => child
                            .append_nullable("null", "it")
                            .map_err(|fault| format!("field `{}`: {fault}", field.name()))?,
                    }
                }
                let unknown = entries
                    .0
                    .iter()
                    .find(|(key, _)| fields.iter().all(|field| field.name() != key));
                if let Some((key, _)) = unknown {
                    return Err(format!("field `{key}` is not in {name}"));
                }
                validity.append(true);
                *rows += 1;
                Ok(())
            }
            _ => Err(wrong()),
        }
    }

    fn append_nullable(&mut self, raw: &str, what: &str) -> Result<(), Fault> {
        if raw == "null" {
            if !self.nullable {
                return Err(format!("{what} is null, which the type does not allow"));
            }
            self.append_null()
        } else {
            self.append_json(raw)
        }
    }

    /// The rows so far; the column is empty again afterwards.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, arrow_schema::ArrowError> {
        self.values.finish()
    }
}

impl Wire {
    fn describe(&self) -> &'static str {
        match self {
            Self::Plain => "plain JSON",
            Self::JsonText => "JSON in a text",
            Self::Days => "days since 1970",
            Self::Epoch(_) => "a wall clock counted from 1970",
            Self::Clock(_) => "a time of day",
            Self::DecimalBytes { .. } | Self::VariableDecimal => "a decimal number",
            Self::Struct(_) => "an object",
            Self::List(_) => "a list",
            Self::Map(..) => "a map",
        }
    }
}
