//! DESC and SHOW.

use super::SqlError;
use super::names::Names;
use super::statement::Statement;
use crate::catalog::{Column, DEFAULT_SCHEMA, TableMeta};
use crate::storage::Store;

/// The answer of a statement that only looks.
pub(super) fn run(
    store: &Store,
    names: &Names,
    at: (usize, usize),
    statement: &Statement,
) -> Result<String, SqlError> {
    let failed = |error| SqlError::store(at, error);
    match statement {
        Statement::ShowTables { scope, like } => {
            let (project, schema) = match scope {
                None => (names.project.clone(), names.default_schema()),
                Some(name) => scope_of(store, names, name)?,
            };
            store.require_schema(&project, &schema).map_err(failed)?;
            let tables = store
                .database()
                .tables(&project, Some(&schema))
                .map_err(failed)?;
            let wanted = |name: &str| like.as_deref().is_none_or(|pattern| matches(pattern, name));
            let lines: Vec<String> = tables
                .iter()
                .filter(|table| wanted(&table.name))
                .map(|table| format!("{}:{}", table.owner, table.name))
                .collect();
            Ok(lines_text(&lines))
        }
        Statement::ShowSchemas { project } => {
            let project = project.as_deref().unwrap_or(&names.project).to_lowercase();
            let schemas = store.database().schemas(&project).map_err(failed)?;
            Ok(lines_text(
                &schemas.into_iter().map(|s| s.name).collect::<Vec<_>>(),
            ))
        }
        Statement::ShowPartitions { name } => {
            let table = names.table(store, name)?;
            if !table.is_partitioned() {
                return Err(SqlError::semantic(
                    name.at,
                    format!("table {} is not partitioned", table.full_name()),
                ));
            }
            let partitions = store.partitions(&table).map_err(failed)?;
            Ok(lines_text(
                &partitions.iter().map(|p| p.spec.path()).collect::<Vec<_>>(),
            ))
        }
        Statement::ShowCreateTable { name } => Ok(create_text(&*names.table(store, name)?)),
        Statement::Describe {
            name,
            extended,
            partition,
        } => {
            let table = names.table(store, name)?;
            match partition {
                None => describe(store, &table, *extended).map_err(failed),
                Some(pairs) => {
                    let spec = super::execute::exact(&table, pairs, at)?;
                    store.require_partition(&table, &spec).map_err(failed)?;
                    let info = store
                        .partitions(&table)
                        .map_err(failed)?
                        .into_iter()
                        .find(|p| p.spec == spec);
                    let (bytes, rows, created) =
                        info.map_or((0, 0, 0), |p| (p.bytes, p.rows, p.created_ms));
                    Ok(format!(
                        "PartitionSize: {bytes}\nRecordNum: {rows}\nCreateTime: {}\n",
                        stamp(created)
                    ))
                }
            }
        }
        _ => Err(SqlError::semantic(at, "the statement gives no rows")),
    }
}

fn scope_of(
    store: &Store,
    names: &Names,
    name: &super::statement::TableName,
) -> Result<(String, String), SqlError> {
    let failed = |error| SqlError::store(name.at, error);
    if let [single] = name.parts.as_slice() {
        let single = single.to_lowercase();
        let schemas = store.database().schemas(&names.project).map_err(failed)?;
        if !schemas.iter().any(|s| s.name == single) {
            return Ok((single, DEFAULT_SCHEMA.to_owned()));
        }
    }
    names.schema(name)
}

/// `*` stands for any text, `|` separates alternatives.
fn matches(pattern: &str, name: &str) -> bool {
    fn fits(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some(('*' | '%', rest)), _) => {
                fits(rest, name)
                    || name
                        .split_first()
                        .is_some_and(|(_, name)| fits(pattern, name))
            }
            (Some((p, rest)), Some((n, name))) => (p == n || *p == '?') && fits(rest, name),
            _ => false,
        }
    }
    let name: Vec<char> = name.chars().collect();
    pattern
        .to_lowercase()
        .split('|')
        .any(|p| fits(&p.chars().collect::<Vec<_>>(), &name))
}

fn lines_text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn stamp(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms)
        .unwrap_or_default()
        .format("%Y-%m-%d %H:%M:%S")
        .to_string()
}

fn describe(
    store: &Store,
    table: &TableMeta,
    extended: bool,
) -> Result<String, crate::catalog::StoreError> {
    let snapshot = store.snapshot(table, None)?;
    let line =
        "+------------------------------------------------------------------------------------+\n";
    let row = |text: String| format!("| {text:<82} |\n");
    let mut out = String::new();
    out.push_str(line);
    out.push_str(&row(format!(
        "Owner: {} | Project: {}",
        table.owner, table.project
    )));
    if table.schema != DEFAULT_SCHEMA {
        out.push_str(&row(format!("Schema: {}", table.schema)));
    }
    out.push_str(&row(format!(
        "TableComment: {}",
        table.comment.as_deref().unwrap_or("")
    )));
    out.push_str(line);
    out.push_str(&row(format!("CreateTime: {}", stamp(table.created_ms))));
    out.push_str(&row(format!("LastDDLTime: {}", stamp(table.ddl_ms))));
    out.push_str(&row(format!(
        "LastModifiedTime: {}",
        stamp(table.modified_ms)
    )));
    if let Some(days) = table.lifecycle {
        out.push_str(&row(format!("Lifecycle: {days}")));
    }
    out.push_str(line);
    out.push_str(&row(format!(
        "InternalTable: YES | Size: {}",
        snapshot.bytes()
    )));
    out.push_str(line);
    out.push_str(&row("Native Columns:".to_owned()));
    out.push_str(line);
    out.push_str(&row(format!(
        "{:<15} | {:<10} | {:<5} | Comment",
        "Field", "Type", "Label"
    )));
    out.push_str(line);
    let column_row = |column: &Column| {
        row(format!(
            "{:<15} | {:<10} | {:<5} | {}",
            column.name,
            column.ty.to_string().to_lowercase(),
            "",
            column.comment.as_deref().unwrap_or("")
        ))
    };
    for column in &table.columns {
        out.push_str(&column_row(column));
    }
    out.push_str(line);
    if table.is_partitioned() {
        out.push_str(&row("Partition Columns:".to_owned()));
        out.push_str(line);
        for column in &table.partition_columns {
            out.push_str(&column_row(column));
        }
        out.push_str(line);
    }
    if extended {
        out.push_str(&row("Extended Info:".to_owned()));
        out.push_str(line);
        out.push_str(&row(format!("TableID: {}", table.id)));
        out.push_str(&row(format!("FileNum: {}", snapshot.files.len())));
        out.push_str(&row(format!("RecordNum: {}", snapshot.rows())));
        if table.is_delta() {
            out.push_str(&row("Transactional: true".to_owned()));
            out.push_str(&row(format!("PrimaryKey: {:?}", table.primary_key)));
            out.push_str(&row(format!("BucketNum: {}", table.buckets)));
        }
        out.push_str(line);
    }
    Ok(out)
}

fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn quote_text(text: &str) -> String {
    format!(
        "'{}'",
        text.replace('\\', "\\\\")
            .replace('\'', "\\'")
            .replace('\n', "\\n")
    )
}

/// A statement that makes the same table.
fn create_text(table: &TableMeta) -> String {
    let column = |column: &Column| {
        let mut text = format!("{} {}", quote_name(&column.name), column.ty);
        if !column.nullable {
            text.push_str(" NOT NULL");
        }
        if let Some(default) = &column.default_value {
            text.push_str(&format!(" DEFAULT {}", quote_text(default)));
        }
        if let Some(comment) = &column.comment {
            text.push_str(&format!(" COMMENT {}", quote_text(comment)));
        }
        text
    };
    let schema = if table.schema == DEFAULT_SCHEMA {
        String::new()
    } else {
        format!("{}.", quote_name(&table.schema))
    };
    let mut lines: Vec<String> = table.columns.iter().map(column).collect();
    if table.is_delta() {
        let keys: Vec<String> = table
            .primary_key
            .iter()
            .map(|name| quote_name(name))
            .collect();
        lines.push(format!("PRIMARY KEY({})", keys.join(", ")));
    }
    let mut out = format!(
        "CREATE TABLE IF NOT EXISTS {}.{schema}{} (\n  {}\n)",
        quote_name(&table.project),
        quote_name(&table.name),
        lines.join(",\n  ")
    );
    if let Some(comment) = &table.comment {
        out.push_str(&format!("\nCOMMENT {}", quote_text(comment)));
    }
    match table.partition_columns.as_slice() {
        [] => {}
        [
            Column {
                generate_expression: Some(expression),
                name,
                ..
            },
        ] => {
            out.push_str(&format!(
                "\nAUTO PARTITIONED BY ({expression} AS {})",
                quote_name(name)
            ));
        }
        columns => {
            let columns: Vec<String> = columns.iter().map(column).collect();
            out.push_str(&format!("\nPARTITIONED BY ({})", columns.join(", ")));
        }
    }
    if let Some(clustering) = &table.clustering {
        let names: Vec<String> = clustering
            .columns
            .iter()
            .map(|name| quote_name(name))
            .collect();
        let range = if clustering.range { "RANGE " } else { "" };
        out.push_str(&format!("\n{range}CLUSTERED BY ({})", names.join(", ")));
        if !clustering.sort.is_empty() {
            let sort: Vec<String> = clustering
                .sort
                .iter()
                .map(|(name, order)| format!("{} {order}", quote_name(name)))
                .collect();
            out.push_str(&format!(" SORTED BY ({})", sort.join(", ")));
        }
        if clustering.buckets > 0 {
            out.push_str(&format!(" INTO {} BUCKETS", clustering.buckets));
        }
    }
    if !table.properties.is_empty() {
        let pairs: Vec<String> = table
            .properties
            .iter()
            .map(|(k, v)| format!("{}={}", quote_text(k), quote_text(v)))
            .collect();
        out.push_str(&format!("\nTBLPROPERTIES ({})", pairs.join(", ")));
    }
    if let Some(days) = table.lifecycle {
        out.push_str(&format!("\nLIFECYCLE {days}"));
    }
    out.push_str(";\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match() {
        assert!(matches("a*", "abc"));
        assert!(matches("x|*c", "abc"));
        assert!(!matches("a", "abc"));
    }
}
