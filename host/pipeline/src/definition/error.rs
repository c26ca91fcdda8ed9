//! Problems of a definition, with their place and the lines around it.

use std::{fmt, sync::Arc};

/// A place in a definition. Line and column count from 1; 0 = unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Location {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// The text of a definition and its name.
#[derive(Debug)]
pub(crate) struct Text {
    name: String,
    text: String,
}

impl Text {
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// One thing that is wrong with a definition, or worth telling about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the user named it.
    pub file: String,
    /// Where in it.
    pub at: Location,
    /// What is wrong and why.
    pub message: String,
    /// The lines around the place, numbered, with a mark below; secrets masked.
    pub excerpt: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    pub(crate) fn at(text: &Arc<Text>, at: Location, message: impl Into<String>) -> Self {
        Self {
            file: text.name().to_owned(),
            at,
            message: message.into(),
            excerpt: excerpt(text.text(), at),
            help: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.at.line > 0 {
            write!(f, ":{}:{}", self.at.line, self.at.column)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.excerpt.is_empty() {
            write!(f, "\n{}", self.excerpt)?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// Everything that is wrong with a definition; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionError {
    /// The problems, in the order of their places.
    pub problems: Vec<Problem>,
}

impl From<Problem> for DefinitionError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DefinitionError {}

/// The line before, the line itself, and a mark below the column.
fn excerpt(text: &str, at: Location) -> String {
    if at.line == 0 {
        return String::new();
    }
    let line = at.line as usize;
    let width = line.to_string().len();
    let mut out = String::new();
    for (number, content) in text
        .lines()
        .enumerate()
        .map(|(index, content)| (index + 1, content))
        .filter(|(number, _)| (line.saturating_sub(1)..=line).contains(number))
    {
        let content: String = mask_secrets(content).chars().take(160).collect();
        out.push_str(&format!("  {number:>width$} | {content}\n"));
    }
    let column = (at.column as usize).clamp(1, 160);
    out.push_str(&format!("  {:>width$} | {:>column$}", "", "^"));
    out
}

/// Replaces the values of keys that look like secrets. Works on single lines, because it also
/// serves files that are not YAML at all.
pub(crate) fn mask_secrets(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(colon) = rest.find(':') {
        let (before, after) = rest.split_at(colon + 1);
        out.push_str(before);
        let key: String = before
            .trim_end_matches(':')
            .trim_end_matches(['"', '\'', ' '])
            .chars()
            .rev()
            .take_while(|c| c.is_alphanumeric() || "._-".contains(*c))
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        let value_start = after.len() - after.trim_start().len();
        let is_value = after.starts_with([' ', '\t', '"', '\'']);
        if !is_value || !looks_secret(&key) {
            rest = after;
            continue;
        }
        let (blank, value) = after.split_at(value_start);
        out.push_str(blank);
        // Without a YAML parser the end of a value is a guess; mask too much rather than too little.
        let inside_flow = out.contains('{');
        let end = if inside_flow {
            value.find([',', '}']).unwrap_or(value.len())
        } else {
            value.len()
        };
        let (secret, tail) = value.split_at(end);
        let placeholder = secret.trim().trim_matches(['"', '\'']).starts_with("${");
        out.push_str(if secret.trim().is_empty() || placeholder {
            secret
        } else {
            "***"
        });
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn looks_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let names_columns = ["primary", "partition", "foreign"]
        .iter()
        .any(|word| key.contains(word));
    ["secret", "token", "passw", "pwd", "credential"]
        .iter()
        .any(|word| key.contains(word))
        || (key.ends_with("key") && !names_columns)
}
