//! Which partition rows belong to, as the option `partition` says it.

use std::fmt;
use std::str::FromStr;

use super::{DatePattern, check_value, unquoted};
use crate::schema::same_name;

/// Levels a table can have at most.
pub const MAX_LEVELS: usize = 6;

/// Partition columns and where their values come from, outermost first.
///
/// Read from terms with commas between them:
///
/// - `region`: by the rows' column `region`, which is no data column then
/// - `pt=column(region)`: by the rows' column `region`, which stays a data column
/// - `ds=20180905`: always this value
/// - `dt=date_format(ts,'yyyy-MM-dd')`: by the time in the rows' column `ts`, which stays a data column
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionScheme(Vec<PartitionTerm>);

/// One partition column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionTerm {
    /// The partition column.
    pub name: String,
    /// Its values.
    pub value: PartitionValue,
}

/// Where a partition column's values come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionValue {
    /// A column of the rows.
    Column(String),
    /// The same for all rows.
    Fixed(String),
    /// The time in a column of the rows, as text.
    Time {
        /// The column.
        column: String,
        /// The form of the text.
        pattern: DatePattern,
    },
}

impl PartitionTerm {
    /// By the column of that name.
    #[must_use]
    pub fn by_column(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: PartitionValue::Column(name.to_owned()),
        }
    }

    /// The column of the rows that is read, where one is.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        match &self.value {
            PartitionValue::Column(column) | PartitionValue::Time { column, .. } => Some(column),
            PartitionValue::Fixed(_) => None,
        }
    }

    /// Whether the rows' column becomes the partition column and is no data column.
    #[must_use]
    pub fn replaces_column(&self) -> bool {
        matches!(&self.value, PartitionValue::Column(column) if same_name(column, &self.name))
    }
}

impl PartitionScheme {
    /// The terms of this scheme, then those of `columns` that it does not name.
    #[must_use]
    pub fn with_columns(&self, columns: &[String]) -> Vec<PartitionTerm> {
        let mut terms = self.0.clone();
        for column in columns {
            if !terms.iter().any(|term| same_name(&term.name, column)) {
                terms.push(PartitionTerm::by_column(column));
            }
        }
        terms
    }
}

impl FromStr for PartitionScheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut terms: Vec<PartitionTerm> = Vec::new();
        for part in split(text)? {
            let term = term(part.trim())?;
            if terms.iter().any(|other| same_name(&other.name, &term.name)) {
                return Err(format!("partition column `{}` is given twice", term.name));
            }
            terms.push(term);
        }
        if terms.len() > MAX_LEVELS {
            return Err(format!(
                "{} partition columns are given, a table has at most {MAX_LEVELS}",
                terms.len()
            ));
        }
        Ok(Self(terms))
    }
}

impl fmt::Display for PartitionTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            _ if self.replaces_column() => f.write_str(&self.name),
            PartitionValue::Column(column) => write!(f, "{}=column({column})", self.name),
            PartitionValue::Fixed(value) => write!(f, "{}={value}", self.name),
            PartitionValue::Time { column, pattern } => {
                write!(f, "{}=date_format({column},'{pattern}')", self.name)
            }
        }
    }
}

/// The pieces between commas that stand neither in quotes nor in parentheses.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut quote) = (0, 0_u32, None);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            ('(', None) => depth += 1,
            (')', None) => {
                depth = depth
                    .checked_sub(1)
                    .ok_or("a `)` has no `(` before it".to_owned())?;
            }
            (',', None) if depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    if depth > 0 {
        return Err("a `(` is not closed".to_owned());
    }
    parts.push(text.get(start..).unwrap_or_default());
    Ok(parts)
}

fn term(text: &str) -> Result<PartitionTerm, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Ok(PartitionTerm::by_column(&identifier(text)?));
    };
    let name = identifier(name)?;
    let value = value.trim();
    let value = match value.strip_suffix(')').and_then(|v| v.split_once('(')) {
        None => {
            let fixed = unquoted(value);
            if fixed.contains('*') {
                return Err(format!("`{text}`: `*` is for reading, a row needs a value"));
            }
            check_value(&name, fixed).map_err(|error| error.to_string())?;
            PartitionValue::Fixed(fixed.to_owned())
        }
        Some((function, arguments)) => call(text, function.trim(), arguments)?,
    };
    Ok(PartitionTerm { name, value })
}

fn call(text: &str, function: &str, arguments: &str) -> Result<PartitionValue, String> {
    let arguments: Vec<&str> = split(arguments)?.into_iter().map(str::trim).collect();
    match (function.to_ascii_lowercase().as_str(), arguments.as_slice()) {
        ("column", [column]) => Ok(PartitionValue::Column(identifier(column)?)),
        ("date_format", [column, pattern]) => {
            let quoted = pattern.len() >= 2
                && [('\'', '\''), ('"', '"')]
                    .iter()
                    .any(|(a, b)| pattern.starts_with(*a) && pattern.ends_with(*b));
            if !quoted {
                return Err(format!(
                    "`{text}`: the date pattern must stand in quotes, like 'yyyy-MM-dd'"
                ));
            }
            let pattern: DatePattern = pattern
                .get(1..pattern.len() - 1)
                .unwrap_or_default()
                .parse()
                .map_err(|error| format!("`{text}`: {error}"))?;
            let mut sample = String::new();
            pattern.push(0, &mut sample);
            check_value("value", &sample).map_err(|error| format!("`{text}`: {}", error.reason))?;
            Ok(PartitionValue::Time {
                column: identifier(column)?,
                pattern,
            })
        }
        _ => Err(format!(
            "`{text}`: a value is a text, column(COLUMN) or date_format(COLUMN,'PATTERN')"
        )),
    }
}

/// A column's name, with or without backticks.
fn identifier(text: &str) -> Result<String, String> {
    let text = text.trim();
    let quoted = text
        .strip_prefix('`')
        .and_then(|rest| rest.strip_suffix('`'));
    let name = quoted.unwrap_or(text);
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    let legal = match quoted {
        Some(name) => !name.contains('`'),
        None => name.chars().all(plain),
    };
    if legal && !name.is_empty() {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "`{text}` is not the name of a column; terms are NAME, NAME=VALUE, NAME=column(COLUMN) or \
             NAME=date_format(COLUMN,'PATTERN')"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_terms() {
        let text = "region, `order`=column(a_b),ds=20180905,dt=date_format(ts,'yyyy-MM-dd'), hh = DATE_FORMAT(`ts`, \"HH\")";
        let scheme: PartitionScheme = text.parse().unwrap();
        let shown: Vec<String> = scheme.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "region",
                "order=column(a_b)",
                "ds=20180905",
                "dt=date_format(ts,'yyyy-MM-dd')",
                "hh=date_format(ts,'HH')",
            ]
        );
        let columns = ["DS".to_owned(), "city".to_owned()];
        let terms = scheme.with_columns(&columns);
        assert_eq!(terms.len(), 6);
        assert_eq!(terms[5], PartitionTerm::by_column("city"));
    }

    #[test]
    fn what_is_no_scheme_is_told() {
        for (text, part) in [
            ("", "not the name of a column"),
            ("a,", "not the name of a column"),
            ("a b", "not the name of a column"),
            ("a=", "must not be empty"),
            ("a='x/y'", "must not contain"),
            ("ds=2018*", "for reading"),
            ("a,A", "twice"),
            ("a,b,c,d,e,f,g", "at most 6"),
            ("a=f(x)", "date_format"),
            ("a=date_format(ts)", "date_format"),
            ("a=date_format(ts,yyyy)", "quotes"),
            ("a=date_format(ts,'yyyy/MM')", "must not contain"),
            ("a=date_format(ts,'YYYY')", "`Y`"),
            ("a=date_format(ts,'yyyy'", "not closed"),
            ("a='x", "not closed"),
            ("a=x)", "no `(`"),
        ] {
            let error = text.parse::<PartitionScheme>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
