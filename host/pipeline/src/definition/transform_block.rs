//! The `transform` block.

use super::{
    block::Reader,
    model::Spanned,
    yaml::{Node, NodeKind},
};
use crate::transform::{Context, RuleText, TransformError, TransformRule};

const KEYS: [&str; 9] = [
    "source-table",
    "projection",
    "filter",
    "primary-keys",
    "partition-keys",
    "table-options",
    "table-options.delimiter",
    "converter-after-transform",
    "description",
];

/// Reads the rules. Expressions are checked as far as they can be without a table.
pub(super) fn read(reader: &mut Reader<'_>, node: Node, context: &Context) -> Vec<TransformRule> {
    let NodeKind::List(items) = node.kind else {
        reader.report_with_help(
            node.at,
            format!("`transform` must be a list, not {}", node.describe()),
            "put a dash before each rule:\ntransform:\n  - source-table: shop.orders\n    filter: id > 10",
        );
        return Vec::new();
    };
    let mut rules: Vec<TransformRule> = Vec::new();
    for (number, item) in (1..).zip(items) {
        let Some(text) = read_rule(reader, item) else {
            continue;
        };
        if let Some(first) = rules.iter().find(|rule| {
            rule.text.source_table.value == text.source_table.value && rule.text.filter.is_none()
        }) {
            let line = first.text.source_table.at.line;
            reader.report_with_help(
                text.source_table.at,
                format!(
                    "no row ever gets to transform rule {number}: the rule for `{}` on line {line} has no filter and takes all",
                    text.source_table.value
                ),
                "the first rule that matches wins; give it a `filter`, or put this rule before it",
            );
        }
        match TransformRule::new(number, text, context) {
            Ok((rule, warnings)) => {
                for warning in warnings {
                    let warning = reader.problem(warning.at, warning.message);
                    reader.warnings.push(warning);
                }
                rules.push(rule);
            }
            Err(problems) => {
                for TransformError { at, message, help } in problems {
                    match help {
                        Some(help) => reader.report_with_help(at, message, help),
                        None => reader.report(at, message),
                    }
                }
            }
        }
    }
    rules
}

fn read_rule(reader: &mut Reader<'_>, item: Node) -> Option<RuleText> {
    let at = item.at;
    let mut rule = RuleText::default();
    let mut source_table = None;
    let (mut options, mut delimiter) = (None, None);
    for (key, node) in reader.block(item, "a rule of `transform`") {
        let name = format!("transform.{}", key.name);
        let text = |reader: &mut Reader<'_>| {
            reader.scalar(&node, &name).map(|scalar| Spanned {
                value: scalar.value,
                at: scalar.at,
            })
        };
        match key.name.as_str() {
            "source-table" => source_table = Some(text(reader)),
            "projection" => rule.projection = text(reader),
            "filter" => rule.filter = text(reader),
            "primary-keys" => rule.primary_keys = reader.texts(&node, &name),
            "partition-keys" => rule.partition_keys = reader.texts(&node, &name),
            "table-options" => options = text(reader),
            "table-options.delimiter" => delimiter = text(reader),
            "converter-after-transform" => {
                let choice = reader.choice(&node, &name, &[("SOFT_DELETE", true)]);
                rule.soft_delete = choice.unwrap_or(false);
            }
            "description" => {
                let _ = text(reader);
            }
            _ => reader.unknown_key(&key, "a rule of `transform`", &KEYS),
        }
    }
    rule.table_options = table_options(reader, options, delimiter);
    match source_table {
        None => {
            reader.report(at, "this rule of `transform` has no `source-table`");
            None
        }
        Some(source_table) => {
            rule.source_table = source_table?;
            Some(rule)
        }
    }
}

/// The pairs of `table-options`; none where they are wrong.
fn table_options(
    reader: &mut Reader<'_>,
    options: Option<Spanned<String>>,
    delimiter: Option<Spanned<String>>,
) -> Vec<(String, String)> {
    let Some(options) = options else {
        if let Some(delimiter) = delimiter {
            reader.report(
                delimiter.at,
                "`table-options.delimiter` is given without `table-options`",
            );
        }
        return Vec::new();
    };
    let delimiter = delimiter.map_or_else(|| ",".to_owned(), |delimiter| delimiter.value);
    if delimiter.is_empty() {
        reader.report(options.at, "`table-options.delimiter` is empty");
        return Vec::new();
    }
    let mut pairs: Vec<(String, String)> = Vec::new();
    for option in options.value.split(delimiter.as_str()) {
        let pair = option
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()))
            .filter(|(name, _)| !name.is_empty());
        let Some((name, value)) = pair else {
            reader.report_with_help(
                options.at,
                format!(
                    "`table-options`: `{}` is not of the form key=value",
                    option.trim()
                ),
                "values that hold commas need a `table-options.delimiter` of their own",
            );
            return Vec::new();
        };
        if pairs.iter().any(|(other, _)| other == name) {
            reader.report(
                options.at,
                format!("`table-options`: `{name}` is given twice"),
            );
            return Vec::new();
        }
        pairs.push((name.to_owned(), value.to_owned()));
    }
    pairs
}
