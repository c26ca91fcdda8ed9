//! YAML, and so JSON, as values with the lines they begin on.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use super::FaultError;

/// Rules are few; the bound stops what was never meant to be rules.
const MAX_NODES: usize = 100_000;

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads the first document of a text.
    pub(super) fn parse(text: &str) -> Result<Self, FaultError> {
        let mut stack: Vec<(Self, Option<String>)> = Vec::new();
        let mut root = None;
        let mut nodes = 0;
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                let line = error.marker().line();
                FaultError::at(line, format!("this is no valid YAML: {}", error.info()))
            })?;
            let line = span.start.line();
            let done = match event {
                Event::Scalar(text, style, _, _) => Self {
                    line,
                    kind: Kind::Scalar(scalar(&text, style == ScalarStyle::Plain)),
                },
                Event::SequenceStart(..) => {
                    let kind = Kind::List(Vec::new());
                    stack.push((Self { line, kind }, None));
                    continue;
                }
                Event::MappingStart(..) => {
                    let kind = Kind::Map(Vec::new());
                    stack.push((Self { line, kind }, None));
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                    Some((node, _)) => node,
                    None => continue,
                },
                Event::Alias(_) => {
                    return Err(FaultError::at(line, "aliases are not understood here"));
                }
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(FaultError::at(line, "there is more than one document"));
                }
                _ => continue,
            };
            nodes += 1;
            if nodes > MAX_NODES {
                return Err(FaultError::at(line, "there are too many values"));
            }
            match stack.last_mut() {
                None => root = Some(done),
                Some((parent, key)) => parent.take(key, done)?,
            }
        }
        root.ok_or_else(|| FaultError::at(1, "there is nothing in it"))
    }

    fn take(&mut self, key: &mut Option<String>, child: Self) -> Result<(), FaultError> {
        match &mut self.kind {
            Kind::Scalar(_) => {}
            Kind::List(items) => items.push(child),
            Kind::Map(entries) => match (key.take(), child.kind) {
                (Some(name), kind) => {
                    let line = child.line;
                    entries.push((name, Self { line, kind }));
                }
                (None, Kind::Scalar(name)) => {
                    let name = name
                        .as_str()
                        .map_or_else(|| name.to_string(), str::to_owned);
                    if entries.iter().any(|(known, _)| *known == name) {
                        let message = format!("key `{name}` is given twice");
                        return Err(FaultError::at(child.line, message));
                    }
                    *key = Some(name);
                }
                (None, _) => return Err(FaultError::at(child.line, "a key must be plain text")),
            },
        }
        Ok(())
    }

    /// The value without its lines.
    pub(super) fn into_value(self) -> Value {
        match self.kind {
            Kind::Scalar(value) => value,
            Kind::List(items) => items.into_iter().map(Self::into_value).collect(),
            Kind::Map(entries) => {
                let entries = entries.into_iter();
                let entries = entries.map(|(name, node)| (name, node.into_value()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

fn scalar(text: &str, plain: bool) -> Value {
    match text {
        _ if !plain => Value::from(text),
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match text.parse::<u64>() {
            Ok(number) => Value::Number(Number::from(number)),
            Err(_) => Value::from(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_are_the_same_values() {
        let yaml = "faults:\n  - route: [a, b]\n    times: 2\n    text: '2'\n    none:\n";
        let json = r#"{"faults": [{"route": ["a", "b"], "times": 2, "text": "2", "none": null}]}"#;
        let value = |text| Node::parse(text).unwrap().into_value();
        assert_eq!(value(yaml), value(json));
        assert_eq!(value(json), serde_json::from_str::<Value>(json).unwrap());
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line() {
        let error = |text| Node::parse(text).unwrap_err().to_string();
        assert!(error("a: 1\nb: [\n").contains("line"));
        assert!(error("a: 1\na: 2\n").contains("line 2: key `a` is given twice"));
        assert!(error("").contains("nothing"));
    }
}
