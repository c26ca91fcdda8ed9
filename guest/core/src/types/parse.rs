//! Reading the SQL text of a type.

use std::fmt;
use std::iter::Peekable;
use std::str::{CharIndices, FromStr};

use super::{
    MAX_CHAR_LENGTH, MAX_DECIMAL_PRECISION, MAX_DECIMAL_SCALE, MAX_VARCHAR_LENGTH, OdpsType,
};

/// Deeper nesting than this is refused: it is never meant and would exhaust the stack.
const MAX_DEPTH: usize = 64;

/// A text that is not a MaxCompute type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseTypeError {
    /// The whole text.
    pub text: String,
    /// Byte offset where reading stopped.
    pub at: usize,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for ParseTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a MaxCompute type: {} (at character offset {})",
            self.text, self.reason, self.at
        )
    }
}

impl std::error::Error for ParseTypeError {}

impl FromStr for OdpsType {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Self, ParseTypeError> {
        let mut parser = Parser {
            text,
            rest: text.char_indices().peekable(),
            depth: 0,
        };
        let ty = parser.ty()?;
        match parser.peek() {
            None => Ok(ty),
            Some(c) => Err(parser.error(format!("`{c}` follows a complete type"))),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    depth: usize,
}

impl Parser<'_> {
    fn ty(&mut self) -> Result<OdpsType, ParseTypeError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let word = self.word()?;
        let ty = match word.to_ascii_uppercase().as_str() {
            "TINYINT" => OdpsType::TinyInt,
            "SMALLINT" => OdpsType::SmallInt,
            "INT" | "INTEGER" => OdpsType::Int,
            "BIGINT" => OdpsType::BigInt,
            "FLOAT" => OdpsType::Float,
            "DOUBLE" => OdpsType::Double,
            "BOOLEAN" => OdpsType::Boolean,
            "STRING" => OdpsType::String,
            "VARCHAR" => OdpsType::Varchar(self.length("VARCHAR", MAX_VARCHAR_LENGTH)?),
            "CHAR" => OdpsType::Char(self.length("CHAR", MAX_CHAR_LENGTH)?),
            "BINARY" => OdpsType::Binary,
            "DECIMAL" => self.decimal()?,
            "DATE" => OdpsType::Date,
            "DATETIME" => OdpsType::Datetime,
            "TIMESTAMP" => OdpsType::Timestamp,
            "TIMESTAMP_NTZ" => OdpsType::TimestampNtz,
            "JSON" => OdpsType::Json,
            "INTERVAL_DAY_TIME" => OdpsType::IntervalDayTime,
            "INTERVAL_YEAR_MONTH" => OdpsType::IntervalYearMonth,
            "ARRAY" => {
                self.expect('<')?;
                let element = self.ty()?;
                self.expect('>')?;
                OdpsType::Array(Box::new(element))
            }
            "MAP" => {
                self.expect('<')?;
                let key = self.ty()?;
                self.expect(',')?;
                let value = self.ty()?;
                self.expect('>')?;
                OdpsType::Map(Box::new(key), Box::new(value))
            }
            "STRUCT" => self.fields()?,
            _ => return Err(self.error(format!("unknown type name `{word}`"))),
        };
        self.depth -= 1;
        Ok(ty)
    }

    fn length(&mut self, name: &str, max: u32) -> Result<u32, ParseTypeError> {
        self.expect('(')?;
        let length = self.number()?;
        self.expect(')')?;
        if (1..=max).contains(&length) {
            Ok(length)
        } else {
            Err(self.error(format!(
                "the length of {name} must be 1 to {max}, not {length}"
            )))
        }
    }

    fn decimal(&mut self) -> Result<OdpsType, ParseTypeError> {
        // Bare DECIMAL is what tables of the older type system show.
        if self.peek() != Some('(') {
            return Ok(OdpsType::Decimal {
                precision: MAX_DECIMAL_PRECISION,
                scale: MAX_DECIMAL_SCALE,
            });
        }
        self.expect('(')?;
        let precision = self.number()?;
        let scale = if self.peek() == Some(',') {
            self.expect(',')?;
            self.number()?
        } else {
            0
        };
        self.expect(')')?;
        let (precision, scale) = match (u8::try_from(precision), u8::try_from(scale)) {
            (Ok(p @ 1..=MAX_DECIMAL_PRECISION), Ok(s @ 0..=MAX_DECIMAL_SCALE)) if s <= p => (p, s),
            _ => {
                return Err(self.error(format!(
                    "DECIMAL({precision},{scale}) is outside of what MaxCompute has: precision 1 \
                     to {MAX_DECIMAL_PRECISION}, scale 0 to {MAX_DECIMAL_SCALE} and at most the precision"
                )));
            }
        };
        Ok(OdpsType::Decimal { precision, scale })
    }

    fn fields(&mut self) -> Result<OdpsType, ParseTypeError> {
        self.expect('<')?;
        let mut fields = Vec::new();
        loop {
            let name = self.field_name()?;
            self.expect(':')?;
            let ty = self.ty()?;
            if fields
                .iter()
                .any(|(other, _): &(String, OdpsType)| other.eq_ignore_ascii_case(&name))
            {
                return Err(self.error(format!("the field name `{name}` occurs twice")));
            }
            fields.push((name, ty));
            if self.peek() != Some(',') {
                break;
            }
            self.expect(',')?;
        }
        self.expect('>')?;
        Ok(OdpsType::Struct(fields))
    }

    fn field_name(&mut self) -> Result<String, ParseTypeError> {
        if self.peek() != Some('`') {
            return self.word();
        }
        self.rest.next();
        let mut name = String::new();
        while let Some((_, c)) = self.rest.next() {
            if c != '`' {
                name.push(c);
            } else if self.rest.peek().is_some_and(|&(_, next)| next == '`') {
                self.rest.next();
                name.push('`');
            } else {
                return Ok(name);
            }
        }
        Err(self.error("a quoted name does not end".to_owned()))
    }

    fn word(&mut self) -> Result<String, ParseTypeError> {
        self.skip_space();
        let mut word = String::new();
        while let Some((_, c)) = self.rest.next_if(|&(_, c)| c.is_alphanumeric() || c == '_') {
            word.push(c);
        }
        if word.is_empty() {
            Err(self.error("a name is missing".to_owned()))
        } else {
            Ok(word)
        }
    }

    fn number(&mut self) -> Result<u32, ParseTypeError> {
        self.skip_space();
        let mut digits = String::new();
        while let Some((_, c)) = self.rest.next_if(|&(_, c)| c.is_ascii_digit()) {
            digits.push(c);
        }
        digits
            .parse()
            .map_err(|_| self.error("a whole number is missing or too large".to_owned()))
    }

    fn expect(&mut self, wanted: char) -> Result<(), ParseTypeError> {
        if self.peek() == Some(wanted) {
            self.rest.next();
            Ok(())
        } else {
            Err(self.error(format!("`{wanted}` is missing")))
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.rest.peek().map(|&(_, c)| c)
    }

    fn skip_space(&mut self) {
        while self.rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
    }

    fn error(&mut self, reason: String) -> ParseTypeError {
        let at = self.rest.peek().map_or(self.text.len(), |&(at, _)| at);
        ParseTypeError {
            text: self.text.to_owned(),
            at,
            reason,
        }
    }
}
