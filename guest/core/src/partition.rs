//! Partitions: their names in the texts of the tunnel and of SQL, and the partition of a row.

mod date_pattern;
mod reader;
mod scheme;
mod zone;

use std::fmt;

pub use date_pattern::{DatePattern, PatternError};
pub use reader::{BoundPartitions, PartitionReader, PartitionSource, check_type};
pub use scheme::{MAX_LEVELS, PartitionScheme, PartitionTerm, PartitionValue};
pub use zone::Zone;

/// A partition: column names and values, outermost first. Empty for a table without partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionSpec(Vec<(String, String)>);

impl PartitionSpec {
    /// A partition of these columns and values.
    ///
    /// # Errors
    ///
    /// For a value that no partition can have.
    pub fn new(pairs: Vec<(String, String)>) -> Result<Self, PartitionError> {
        for (name, value) in &pairs {
            check_value(name, value)?;
        }
        Ok(Self(pairs))
    }

    /// Reads `pt=a,ds=b`, with or without quotes around the values, also with `/` between them.
    ///
    /// # Errors
    ///
    /// For a text that is not of this form, or a value that no partition can have.
    pub fn parse(text: &str) -> Result<Self, PartitionError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let pair = |part: &str| {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| PartitionError::new(part, "a partition is written name=value"))?;
            let (name, value) = (name.trim().trim_matches('`'), unquoted(value.trim()));
            Ok((name.to_owned(), value.to_owned()))
        };
        Self::new(
            text.split([',', '/'])
                .map(pair)
                .collect::<Result<_, PartitionError>>()?,
        )
    }

    /// Columns and values.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Whether this is the one part of a table without partitions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tunnel's text, without quotes: `pt=a,ds=b`.
    #[must_use]
    pub fn tunnel_text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            push_pair(&mut text, name);
            text.push_str(value);
        }
        text
    }

    /// The text of REST calls, with quotes: `pt='a',ds='b'`.
    #[must_use]
    pub fn rest_text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            push_pair(&mut text, name);
            text.push('\'');
            text.push_str(value);
            text.push('\'');
        }
        text
    }
}

impl fmt::Display for PartitionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tunnel_text())
    }
}

fn unquoted(value: &str) -> &str {
    let within = |quote: char| {
        value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
    };
    within('\'').or_else(|| within('"')).unwrap_or(value)
}

/// Appends `name=`, with a comma where it is not the first.
fn push_pair(text: &mut String, name: &str) {
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(name);
    text.push('=');
}

/// What no partition value may contain: the characters that separate, quote or escape in one of
/// the texts, for there is no way to write them that all of them read back.
const SEPARATORS: [char; 7] = ['=', ',', '/', '\\', '\'', '"', '`'];

fn check_value(name: &str, value: &str) -> Result<(), PartitionError> {
    let refuse = |reason: String| Err(PartitionError::new(&format!("{name}={value}"), reason));
    if name.is_empty() {
        return refuse("the name of the partition column is empty".to_owned());
    }
    if value.is_empty() {
        return refuse("a partition value must not be empty".to_owned());
    }
    if let Some(c) = value
        .chars()
        .find(|c| SEPARATORS.contains(c) || c.is_control())
    {
        return refuse(format!("a partition value must not contain {c:?}"));
    }
    if value.starts_with(char::is_whitespace) || value.ends_with(char::is_whitespace) {
        return refuse("a partition value must not begin or end with a space".to_owned());
    }
    Ok(())
}

/// A text or value that names no partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl PartitionError {
    fn new(text: &str, reason: impl Into<String>) -> Self {
        Self {
            text: text.to_owned(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for PartitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a partition: {}",
            self.text.escape_debug(),
            self.reason
        )
    }
}

impl std::error::Error for PartitionError {}
