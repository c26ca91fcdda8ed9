//! YAML with places: a tree of scalars, lists and mappings, each with its line and column.

use std::{collections::HashMap, sync::Arc};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::error::{Location, Problem, Text};

/// A definition has a few hundred nodes; the bound stops aliases that multiply.
const MAX_NODES: usize = 100_000;

/// A node of the tree.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Location,
    pub(super) kind: NodeKind,
}

#[derive(Debug, Clone)]
pub(super) enum NodeKind {
    /// The empty value or a plain `null` or `~`.
    Null,
    /// Text as written, quotes and escapes resolved, placeholders not yet.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) at: Location,
}

impl Node {
    pub(super) fn describe(&self) -> &'static str {
        match self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Scalar(_) => "a value",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a block of keys",
        }
    }
}

/// Reads one document.
pub(super) fn parse(text: &Arc<Text>) -> Result<Node, Problem> {
    let mut builder = Builder {
        text,
        stack: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        nodes: 0,
    };
    for event in Parser::new_from_str(text.text()) {
        let (event, span) = event.map_err(|error| {
            let at = location(error.marker());
            let problem = Problem::at(
                text,
                at,
                format!("this is not valid YAML: {}", error.info()),
            );
            let tabs = line_of(text, at).is_some_and(|line| line.contains('\t'));
            problem.with_help(if tabs {
                "indent with spaces; YAML does not allow tabs"
            } else {
                "check indentation, brackets and quotes here and in the lines above"
            })
        })?;
        builder.event(event, span)?;
    }
    builder.root.ok_or_else(|| {
        Problem::at(
            text,
            Location::default(),
            "the pipeline definition is empty",
        )
        .with_help("write at least the blocks `source:` and `sink:`")
    })
}

struct Builder<'a> {
    text: &'a Arc<Text>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
}

struct Open {
    node: Node,
    anchor: usize,
    key: Option<Key>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let at = location(&span.start);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => Err(Problem::at(
                self.text,
                at,
                "the file holds more than one YAML document; a pipeline definition is one",
            )),
            Event::Scalar(value, style, anchor, _) => {
                let null =
                    style == ScalarStyle::Plain && matches!(value.as_ref(), "" | "~" | "null");
                let kind = if null {
                    NodeKind::Null
                } else {
                    NodeKind::Scalar(value.into_owned())
                };
                self.complete(Node { at, kind }, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                self.open(at, NodeKind::List(Vec::new()), anchor);
                Ok(())
            }
            Event::MappingStart(anchor, _) => {
                self.open(at, NodeKind::Map(Vec::new()), anchor);
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(open) => self.complete(open.node, open.anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    self.nodes += count(&node);
                    self.complete(node, 0)
                }
                None => Err(Problem::at(self.text, at, "this alias refers to no anchor")),
            },
            _ => Ok(()),
        }
    }

    fn open(&mut self, at: Location, kind: NodeKind, anchor: usize) {
        self.stack.push(Open {
            node: Node { at, kind },
            anchor,
            key: None,
        });
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Problem::at(
                self.text,
                node.at,
                format!("the definition has more than {MAX_NODES} values"),
            ));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.node.kind {
            NodeKind::List(items) => items.push(node),
            NodeKind::Map(entries) => match open.key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let name = match node.kind {
                        NodeKind::Scalar(name) => name,
                        NodeKind::Null => "null".to_owned(),
                        _ => {
                            return Err(Problem::at(
                                self.text,
                                node.at,
                                "a key must be plain text, not a list or a block",
                            ));
                        }
                    };
                    if let Some((first, _)) = entries.iter().find(|(key, _)| key.name == name) {
                        let line = first.at.line;
                        return Err(Problem::at(
                            self.text,
                            node.at,
                            format!("key `{name}` is given twice; the first is on line {line}"),
                        ));
                    }
                    open.key = Some(Key { name, at: node.at });
                }
            },
            NodeKind::Null | NodeKind::Scalar(_) => {}
        }
        Ok(())
    }
}

fn count(node: &Node) -> usize {
    match &node.kind {
        NodeKind::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        NodeKind::Map(entries) => 1 + entries.iter().map(|(_, node)| count(node)).sum::<usize>(),
        _ => 1,
    }
}

fn location(marker: &saphyr_parser::Marker) -> Location {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Location {
        line: number(marker.line()),
        column: number(marker.col()).saturating_add(1),
    }
}

fn line_of(text: &Text, at: Location) -> Option<&str> {
    text.text().lines().nth(at.line.checked_sub(1)? as usize)
}
