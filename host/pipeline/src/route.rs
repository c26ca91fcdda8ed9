//! Routes: which source table goes to which sink table, in Flink CDC's syntax.
//!
//! In `source-table` a `.` separates the levels of a name, `\.` is the regular expression's dot
//! (any character), and commas separate alternatives: `shop.orders_\.*, web.orders`. Each level
//! must match as a whole. In `sink-table` `$1` stands for what the first group of the table's
//! expression matched, unless `replace-symbol` is given: that symbol stands for the source
//! table's name.

use std::{collections::HashMap, fmt};

use regex::Regex;

use crate::{
    definition::{Location, RouteMode},
    source::TableId,
};

/// One rule of the `route` block.
#[derive(Debug, Clone)]
pub struct RouteRule {
    /// `source-table` as written.
    pub source_table: String,
    /// `sink-table` as written.
    pub sink_table: String,
    /// `replace-symbol`.
    pub replace_symbol: Option<String>,
    /// Where the definition gives it.
    pub at: Location,
    selectors: Vec<Selector>,
}

/// Where a table goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SinkPath {
    /// First tier (a MaxCompute project): the first of three levels in `sink-table`; else `None`,
    /// the sink's default.
    pub catalog: Option<String>,
    /// Second tier: the level before the table in `sink-table`; `None`, the sink's default, where
    /// it has one level and for tables without a route.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

impl fmt::Display for SinkPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tier in [&self.catalog, &self.schema].into_iter().flatten() {
            write!(f, "{tier}.")?;
        }
        f.write_str(&self.table)
    }
}

/// A rule that can not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteError {
    source: bool,
    message: String,
}

impl RouteError {
    /// Whether `source-table` is at fault, rather than `sink-table`.
    pub fn in_source_table(&self) -> bool {
        self.source
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RouteError {}

/// Two source tables that would be mixed in one sink table though no route says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteCollision {
    /// The table that came first.
    pub first: Box<TableId>,
    /// The one that came now.
    pub second: Box<TableId>,
    /// Where both would go.
    pub sink: Box<SinkPath>,
}

impl fmt::Display for RouteCollision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "source tables {} and {} would both go to sink table {} though no route says so; add \
             a rule for each of them to `route`",
            self.first, self.second, self.sink
        )
    }
}

impl std::error::Error for RouteCollision {}

/// All routes of a pipeline.
#[derive(Debug)]
pub struct Router {
    rules: Vec<RouteRule>,
    mode: RouteMode,
    unrouted: HashMap<SinkPath, TableId>,
}

impl Router {
    /// A router of the rules, in order.
    pub fn new(rules: Vec<RouteRule>, mode: RouteMode) -> Self {
        Self {
            rules,
            mode,
            unrouted: HashMap::new(),
        }
    }

    /// Where a table goes: to the targets of the rules it matches, each once, or, matching none,
    /// to the table of its own name.
    ///
    /// # Errors
    ///
    /// The table matches no rule and another table of the same name, in another schema or
    /// database, went there before: they would merge unasked.
    pub fn route(&mut self, table: &TableId) -> Result<Vec<SinkPath>, RouteCollision> {
        let mut paths: Vec<SinkPath> = Vec::new();
        for path in self.rules.iter().filter_map(|rule| rule.apply(table)) {
            if !paths.contains(&path) {
                paths.push(path);
            }
            if self.mode == RouteMode::FirstMatch {
                break;
            }
        }
        if !paths.is_empty() {
            return Ok(paths);
        }
        let path = SinkPath {
            catalog: None,
            schema: None,
            table: table.table.clone(),
        };
        match self.unrouted.get(&path) {
            Some(first) if first != table => Err(RouteCollision {
                first: Box::new(first.clone()),
                second: Box::new(table.clone()),
                sink: Box::new(path),
            }),
            _ => {
                self.unrouted.insert(path.clone(), table.clone());
                Ok(vec![path])
            }
        }
    }
}

impl RouteRule {
    /// Reads a rule.
    ///
    /// # Errors
    ///
    /// Expressions that are none, names with too many levels, groups that do not exist.
    pub fn new(
        source_table: &str,
        sink_table: &str,
        replace_symbol: Option<&str>,
    ) -> Result<Self, RouteError> {
        let in_source = |message: String| RouteError {
            source: true,
            message,
        };
        let in_sink = |message: String| RouteError {
            source: false,
            message,
        };
        let selectors = selectors(source_table)
            .map_err(|reason| in_source(format!("source-table `{source_table}`: {reason}")))?;
        if TableId::parse(sink_table).is_none() {
            return Err(in_sink(format!(
                "sink-table `{sink_table}` is no table name; write table, schema.table or \
                 namespace.schema.table"
            )));
        }
        if replace_symbol == Some("") {
            return Err(in_sink("replace-symbol is empty".to_owned()));
        }
        if replace_symbol.is_none() {
            let groups = selectors.iter().map(Selector::groups).min().unwrap_or(0);
            for group in group_references(sink_table) {
                if group > groups {
                    return Err(in_sink(format!(
                        "sink-table `{sink_table}` refers to group ${group}, but source-table \
                         `{source_table}` has {groups} group(s) in its table's expression"
                    )));
                }
            }
        }
        Ok(Self {
            source_table: source_table.to_owned(),
            sink_table: sink_table.to_owned(),
            replace_symbol: replace_symbol.map(str::to_owned),
            at: Location::default(),
            selectors,
        })
    }

    /// Whether the rule is about a table.
    pub fn matches(&self, table: &TableId) -> bool {
        self.selectors
            .iter()
            .any(|selector| selector.matches(table))
    }

    fn apply(&self, table: &TableId) -> Option<SinkPath> {
        let selector = self
            .selectors
            .iter()
            .find(|selector| selector.matches(table))?;
        let name = match &self.replace_symbol {
            Some(symbol) => self.sink_table.replace(symbol.as_str(), &table.table),
            None => {
                let captures = selector.table.captures(&table.table)?;
                let mut name = String::new();
                captures.expand(&braced_groups(&self.sink_table), &mut name);
                name
            }
        };
        // The table's own name may hold dots: only those written in the rule separate levels.
        let levels = self.sink_table.matches('.').count();
        let mut parts = name
            .splitn(levels + 1, '.')
            .map(|part| part.trim().to_owned());
        let (first, second, third) = (parts.next()?, parts.next(), parts.next());
        Some(match (second, third) {
            (None, _) => SinkPath {
                catalog: None,
                schema: None,
                table: first,
            },
            (Some(table), None) => SinkPath {
                catalog: None,
                schema: Some(first),
                table,
            },
            (Some(schema), Some(table)) => SinkPath {
                catalog: Some(first),
                schema: Some(schema),
                table,
            },
        })
    }
}

/// Reads the alternatives of a `source-table`.
///
/// # Errors
///
/// Expressions that are none, and names with too many levels.
pub(crate) fn selectors(source_table: &str) -> Result<Vec<Selector>, String> {
    split_unescaped(source_table, ',')
        .iter()
        .map(|alternative| Selector::parse(alternative.trim()))
        .collect()
}

/// One alternative of `source-table`.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    namespace: Option<Regex>,
    schema: Option<Regex>,
    table: Regex,
}

impl Selector {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an alternative is empty".to_owned());
        }
        let levels = split_unescaped(text, '.')
            .iter()
            .map(|level| {
                let expression = level.trim().replace("\\.", ".");
                if expression.is_empty() {
                    return Err("a level of the name is empty".to_owned());
                }
                Regex::new(&format!("^(?:{expression})$"))
                    .map_err(|error| format!("`{expression}` is no regular expression: {error}"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut levels = levels.into_iter().rev();
        match (levels.next(), levels.next(), levels.next(), levels.next()) {
            (Some(table), schema, namespace, None) => Ok(Self {
                namespace,
                schema,
                table,
            }),
            _ => Err(
                "a name has at most three levels; write the dot of a regular expression as `\\.`"
                    .to_owned(),
            ),
        }
    }

    /// A level that the table does not have matches anything, one that the selector does not have
    /// nothing: Flink CDC's rule.
    pub(crate) fn matches(&self, table: &TableId) -> bool {
        let level = |expression: &Option<Regex>, name: &Option<String>| match (expression, name) {
            (Some(expression), Some(name)) => expression.is_match(name),
            (_, None) => true,
            (None, Some(_)) => false,
        };
        level(&self.namespace, &table.namespace)
            && level(&self.schema, &table.schema)
            && self.table.is_match(&table.table)
    }

    fn groups(&self) -> usize {
        self.table.captures_len() - 1
    }
}

/// Splits at `separator`, except after a backslash. Commas inside brackets, braces and parentheses
/// do not separate, nor does a dot that a quantifier follows: both belong to the expression.
fn split_unescaped(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut escaped) = (Vec::new(), 0, 0_usize, false);
    let mut chars = text.char_indices().peekable();
    while let Some((index, c)) = chars.next() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\\' => escaped = true,
            '.' if chars.peek().is_some_and(|(_, next)| "*+?{".contains(*next)) => {}
            '[' | '{' | '(' if separator == ',' => depth += 1,
            ']' | '}' | ')' if separator == ',' => depth = depth.saturating_sub(1),
            _ if c == separator && depth == 0 => {
                parts.push(text.get(start..index).unwrap_or_default());
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

/// Numbers of the groups that `$1`, `$2`, … refer to.
fn group_references(text: &str) -> Vec<usize> {
    text.split('$')
        .skip(1)
        .filter_map(|after| {
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        })
        .collect()
}

/// `$1_x` as `${1}_x`, since the expander would take `1_x` for the group's name. A dollar that no
/// digit follows stands for itself.
fn braced_groups(text: &str) -> String {
    let mut parts = text.split('$');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.chars().take_while(char::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        if number.is_empty() {
            out.push_str("$$");
        } else {
            out.push_str(&format!("${{{number}}}"));
        }
        out.push_str(rest);
    }
    out
}
