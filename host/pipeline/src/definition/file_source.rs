//! Options of `source.type: file`.

use std::path::Path;

use super::{
    block::Reader,
    model::{
        DecimalStrings, DeclaredColumn, FileFormat, FileOptions, OnTruncate, PerTable, Spanned,
        UnknownColumns,
    },
    units::parse_size,
    yaml::{Key, Node, NodeKind},
};
use crate::source::{TableId, types::ColumnType};

const KEYS: [&str; 18] = [
    "type",
    "name",
    "path",
    "format",
    "table",
    "primary-key",
    "partition-by",
    "schema",
    "unknown-columns",
    "on-truncate",
    "decimal-strings",
    "delimiter",
    "quote",
    "header",
    "null-text",
    "infer-rows",
    "batch-rows",
    "batch-size",
];

pub(super) fn read(
    reader: &mut Reader<'_>,
    block: &Key,
    entries: Vec<(Key, Node)>,
    base: &Path,
) -> Option<FileOptions> {
    let mut options = FileOptions::new(Vec::<String>::new());
    let mut has_path = false;
    for (key, node) in entries {
        let name = format!("source.{}", key.name);
        match key.name.as_str() {
            "path" => {
                has_path = true;
                options.paths = paths(reader, &node, base);
            }
            "format" => options.format = reader.choice(&node, &name, &FileFormat::ALL),
            "table" => {
                options.table = reader.value(&node, &name, |text| {
                    TableId::parse(text).ok_or_else(|| {
                        format!("`{text}` is no table name; write table, schema.table or namespace.schema.table")
                    })
                });
            }
            "primary-key" => options.primary_key = columns(reader, &node, &name),
            "partition-by" => options.partition_by = columns(reader, &node, &name),
            "schema" => options.schema = schemas(reader, &node),
            "unknown-columns" => {
                let choices = [
                    ("error", UnknownColumns::Error),
                    ("ignore", UnknownColumns::Ignore),
                ];
                if let Some(choice) = reader.choice(&node, &name, &choices) {
                    options.unknown_columns = choice;
                }
            }
            "on-truncate" => {
                let choices = [
                    ("apply", OnTruncate::Apply),
                    ("error", OnTruncate::Error),
                    ("skip", OnTruncate::Skip),
                ];
                if let Some(choice) = reader.choice(&node, &name, &choices) {
                    options.on_truncate = choice;
                }
            }
            "decimal-strings" => {
                let choices = [
                    ("number", DecimalStrings::Number),
                    ("base64", DecimalStrings::Base64),
                ];
                if let Some(choice) = reader.choice(&node, &name, &choices) {
                    options.decimal_strings = choice;
                }
            }
            "delimiter" => {
                if let Some(byte) = reader.verbatim(&node, &name, one_byte) {
                    options.csv.delimiter = byte;
                }
            }
            "quote" => {
                if let Some(byte) = reader.verbatim(&node, &name, one_byte) {
                    options.csv.quote = byte;
                }
            }
            "header" => {
                if let Some(header) =
                    reader.choice(&node, &name, &[("true", true), ("false", false)])
                {
                    options.csv.header = header;
                }
            }
            "null-text" => {
                if matches!(node.kind, NodeKind::Null) {
                    // Unquoted `NULL` is a likely null text, and YAML takes it for its own null.
                    reader.report_with_help(
                        node.at,
                        format!("`{name}` has no value"),
                        "put the text in quotes: null-text: \"null\"",
                    );
                } else if let Some(scalar) = reader.scalar(&node, &name) {
                    options.csv.null_text = scalar.value;
                }
            }
            "infer-rows" => {
                if let Some(rows) = reader.value(&node, &name, |text| count(text, 1_000_000)) {
                    options.infer_rows = rows;
                }
            }
            "batch-rows" => {
                if let Some(rows) = reader.value(&node, &name, |text| count(text, 65_536)) {
                    options.batch_rows = rows;
                }
            }
            "batch-size" => {
                let size = reader.value(&node, &name, |text| {
                    let size = parse_size(text)?;
                    if (1024..=8 << 20).contains(&size) {
                        Ok(size)
                    } else {
                        Err(format!("`{text}` is not between 1kb and 8mb"))
                    }
                });
                if let Some(size) = size.and_then(|size| usize::try_from(size).ok()) {
                    options.batch_bytes = size;
                }
            }
            _ => reader.unknown_key(&key, "`source` of type file", &KEYS),
        }
    }
    if !has_path {
        reader.report_with_help(
            block.at,
            "`source` has no `path`",
            "give a file, a pattern such as data/*.parquet, a list of them, or - for standard input",
        );
        return None;
    }
    Some(options)
}

fn paths(reader: &mut Reader<'_>, node: &Node, base: &Path) -> Vec<Spanned<String>> {
    let items: Vec<&Node> = match &node.kind {
        NodeKind::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    let mut paths = Vec::new();
    for item in items {
        // No splitting at commas: a file name may hold one.
        let Some(scalar) = reader.scalar(item, "source.path") else {
            continue;
        };
        let value = if scalar.value == "-" {
            scalar.value
        } else {
            base.join(&scalar.value).to_string_lossy().into_owned()
        };
        paths.push(Spanned {
            value,
            at: scalar.at,
        });
    }
    let empty = matches!(&node.kind, NodeKind::List(items) if items.is_empty());
    if empty {
        reader.report(node.at, "`source.path` is an empty list");
    }
    if paths.len() > 1 && paths.iter().any(|path| path.value == "-") {
        reader.report(
            node.at,
            "`source.path`: standard input (-) can not be one of several files",
        );
    }
    paths
}

fn columns(reader: &mut Reader<'_>, node: &Node, name: &str) -> PerTable<Vec<String>> {
    let mut per_table = PerTable::default();
    match &node.kind {
        NodeKind::Map(entries) => {
            for (key, node) in entries {
                check_table_name(reader, key, name);
                if let Some(columns) = reader.texts(node, &format!("{name}.{}", key.name)) {
                    per_table.tables.insert(key.name.clone(), columns);
                }
            }
        }
        _ => per_table.all = reader.texts(node, name),
    }
    per_table
}

fn check_table_name(reader: &mut Reader<'_>, key: &Key, name: &str) {
    if TableId::parse(&key.name).is_none() {
        reader.report(
            key.at,
            format!(
                "`{}` in {name} is no table name; write table or schema.table",
                key.name
            ),
        );
    }
}

fn schemas(reader: &mut Reader<'_>, node: &Node) -> PerTable<Vec<DeclaredColumn>> {
    let mut per_table = PerTable::default();
    let NodeKind::Map(entries) = &node.kind else {
        reader.report_with_help(
            node.at,
            format!(
                "`source.schema` must be a block of columns, not {}",
                node.describe()
            ),
            "for example\nschema:\n  id: BIGINT NOT NULL\n  price: DECIMAL(18,2)",
        );
        return per_table;
    };
    let by_table = entries
        .iter()
        .all(|(_, node)| matches!(node.kind, NodeKind::Map(_)));
    if by_table {
        for (key, node) in entries {
            check_table_name(reader, key, "source.schema");
            if let NodeKind::Map(columns) = &node.kind {
                let columns = declared_columns(reader, columns);
                per_table.tables.insert(
                    key.name.clone(),
                    Spanned {
                        value: columns,
                        at: key.at,
                    },
                );
            }
        }
    } else {
        per_table.all = Some(Spanned {
            value: declared_columns(reader, entries),
            at: node.at,
        });
    }
    per_table
}

fn declared_columns(reader: &mut Reader<'_>, entries: &[(Key, Node)]) -> Vec<DeclaredColumn> {
    let mut columns = Vec::new();
    for (key, node) in entries {
        let ty = reader.value(node, &format!("source.schema.{}", key.name), |text| {
            text.parse::<ColumnType>()
                .map_err(|error| error.to_string())
        });
        if let Some(ty) = ty {
            columns.push(DeclaredColumn {
                name: key.name.clone(),
                ty,
                at: key.at,
            });
        }
    }
    columns
}

/// Delimiters are single ASCII characters; a tab may be written `\t`.
fn one_byte(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        b"\\t" => Ok(b'\t'),
        _ => Err(format!(
            "`{text}` is not one ASCII character (write \\t for a tab)"
        )),
    }
}

fn count(text: &str, max: usize) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|rows| (1..=max).contains(rows))
        .ok_or_else(|| format!("`{text}` is not a whole number from 1 to {max}"))
}
