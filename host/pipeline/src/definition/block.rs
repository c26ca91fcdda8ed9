//! Reading one block of keys: known and unknown keys, placeholders, typed values.

use std::sync::Arc;

use super::{
    error::{Location, Problem, Text},
    model::Spanned,
    yaml::{Key, Node, NodeKind},
};

/// What reading a definition carries along.
pub(super) struct Reader<'a> {
    pub(super) text: Arc<Text>,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// A scalar: as written, and with its placeholders resolved. Messages show it as written, since
/// what a placeholder stands for may be a secret.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub(super) written: String,
    pub(super) value: String,
    /// Environment variables that its placeholders name.
    pub(super) environment: Vec<String>,
    pub(super) at: Location,
}

impl Reader<'_> {
    pub(super) fn problem(&self, at: Location, message: impl Into<String>) -> Problem {
        Problem::at(&self.text, at, message)
    }

    pub(super) fn report(&mut self, at: Location, message: impl Into<String>) {
        let problem = self.problem(at, message);
        self.problems.push(problem);
    }

    pub(super) fn report_with_help(
        &mut self,
        at: Location,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let problem = self.problem(at, message).with_help(help);
        self.problems.push(problem);
    }

    /// Entries of a block; a problem and nothing when the node is no block.
    pub(super) fn block(&mut self, node: Node, name: &str) -> Vec<(Key, Node)> {
        match node.kind {
            NodeKind::Map(entries) => entries,
            _ => {
                let message = format!(
                    "`{name}` must be a block of `key: value` lines, not {}",
                    node.describe()
                );
                self.report(node.at, message);
                Vec::new()
            }
        }
    }

    /// A single value with its placeholders resolved.
    pub(super) fn scalar(&mut self, node: &Node, name: &str) -> Option<Scalar> {
        match &node.kind {
            NodeKind::Scalar(written) => {
                let (value, environment) = self.resolve(written, node.at)?;
                Some(Scalar {
                    written: written.clone(),
                    value,
                    environment,
                    at: node.at,
                })
            }
            NodeKind::Null => {
                self.report_with_help(
                    node.at,
                    format!("`{name}` has no value"),
                    "give it one or remove the line",
                );
                None
            }
            _ => {
                let message = format!("`{name}` must be a single value, not {}", node.describe());
                self.report(node.at, message);
                None
            }
        }
    }

    /// A value read by `parse`, whose error text says what is wrong with it.
    pub(super) fn value<T>(
        &mut self,
        node: &Node,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.verbatim(node, name, |text| parse(text.trim()))
    }

    /// Like [`Reader::value`], blanks around the value kept.
    pub(super) fn verbatim<T>(
        &mut self,
        node: &Node,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let scalar = self.scalar(node, name)?;
        match parse(&scalar.value) {
            Ok(value) => Some(value),
            Err(reason) => {
                let message = if scalar.value == scalar.written {
                    format!("`{name}`: {reason}")
                } else {
                    format!("`{name}`: the value of {} does not fit", scalar.written)
                };
                self.report(scalar.at, message);
                None
            }
        }
    }

    /// One of a set of spellings, compared without regard to letter case, `-` and `_` alike.
    pub(super) fn choice<T: Copy>(
        &mut self,
        node: &Node,
        name: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let plain = |text: &str| text.to_ascii_lowercase().replace('_', "-");
        self.value(node, name, |text| {
            choices
                .iter()
                .find(|(spelling, _)| plain(spelling) == plain(text))
                .map(|(_, value)| *value)
                .ok_or_else(|| {
                    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                    let hint = nearest(text, &names)
                        .map(|near| format!("; did you mean `{near}`?"))
                        .unwrap_or_default();
                    format!("`{text}` is none of {}{hint}", names.join(", "))
                })
        })
    }

    /// A list of texts: a YAML list, or one text with commas.
    pub(super) fn texts(&mut self, node: &Node, name: &str) -> Option<Spanned<Vec<String>>> {
        let mut texts = Vec::new();
        match &node.kind {
            NodeKind::List(items) => {
                for item in items {
                    texts.push(self.scalar(item, name)?.value.trim().to_owned());
                }
            }
            _ => {
                let scalar = self.scalar(node, name)?;
                texts.extend(scalar.value.split(',').map(|text| text.trim().to_owned()));
            }
        }
        if texts.iter().any(String::is_empty) {
            self.report(node.at, format!("`{name}` has an empty entry"));
            return None;
        }
        Some(Spanned {
            value: texts,
            at: node.at,
        })
    }

    /// A key that a block does not have.
    pub(super) fn unknown_key(&mut self, key: &Key, block: &str, allowed: &[&str]) {
        let near = nearest(&key.name, allowed)
            .map(|near| format!("did you mean `{near}`? "))
            .unwrap_or_default();
        self.report_with_help(
            key.at,
            format!("unknown key `{}` in {block}", key.name),
            format!("{near}allowed keys: {}", allowed.join(", ")),
        );
    }

    fn resolve(&mut self, text: &str, at: Location) -> Option<(String, Vec<String>)> {
        match resolve_placeholders(text, self.environment) {
            Ok(resolved) => Some(resolved),
            Err(PlaceholderError::Missing(name)) => {
                self.report_with_help(
                    at,
                    format!("environment variable {name} is not set"),
                    format!("set it, or write a default: ${{{name}:-…}}"),
                );
                None
            }
            Err(PlaceholderError::Malformed(reason)) => {
                self.report_with_help(at, reason, "a plain `${` is written `$${`");
                None
            }
        }
    }
}

enum PlaceholderError {
    Missing(String),
    Malformed(String),
}

/// The text with its placeholders replaced, and the names of the variables.
fn resolve_placeholders(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, Vec<String>), PlaceholderError> {
    let mut names = Vec::new();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = from.get(2..).unwrap_or_default();
            continue;
        }
        out.push_str(before);
        let inner = from.get(2..).unwrap_or_default();
        let Some((body, after)) = inner.split_once('}') else {
            return Err(PlaceholderError::Malformed(
                "placeholder `${` is not closed by `}`".to_owned(),
            ));
        };
        let (name, default) = match body.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (body, None),
        };
        let well_formed = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !well_formed {
            return Err(PlaceholderError::Malformed(format!(
                "`${{{body}}}` does not name an environment variable"
            )));
        }
        names.push(name.to_owned());
        match (environment(name), default) {
            // As in the shell, an empty variable takes the default of `:-`.
            (Some(value), None) => out.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            (None, None) => return Err(PlaceholderError::Missing(name.to_owned())),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok((out, names))
}

/// The allowed name that `name` is most likely meant to be.
pub(crate) fn nearest<'a>(name: &str, allowed: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| {
        text.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    let wanted = plain(name);
    allowed
        .iter()
        .map(|candidate| {
            let plain = plain(candidate);
            // Winkler's measure thinks little of short names with two letters exchanged.
            let likeness = match strsim::osa_distance(&wanted, &plain) {
                0 | 1 => 1.0,
                _ => strsim::jaro_winkler(&wanted, &plain),
            };
            (likeness, *candidate)
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
