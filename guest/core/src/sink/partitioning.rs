//! The partition columns of a table: made for new tables, met with the rows of existing ones.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;

use super::table::Layout;
use crate::options::Options;
use crate::partition::{
    MAX_LEVELS, PartitionReader, PartitionSource, PartitionTerm, PartitionValue, check_type,
};
use crate::schema::{Column, SchemaMismatch, same_name, source_columns};
use crate::types::OdpsType;

/// The partition columns of a table to create. Columns of the rows that become one are taken out of
/// `columns`.
pub(super) fn columns(
    terms: &[PartitionTerm],
    columns: &mut Vec<Column>,
    faults: &mut Vec<String>,
) -> Vec<Column> {
    if terms.len() > MAX_LEVELS {
        faults.push(format!(
            "it would have {} partition columns, a table has at most {MAX_LEVELS}",
            terms.len()
        ));
    }
    let of_rows = columns.clone();
    let mut found = Vec::with_capacity(terms.len());
    for term in terms {
        let source = match term.source() {
            None => None,
            Some(name) => match of_rows.iter().find(|c| same_name(&c.name, name)) {
                Some(column) => Some(column),
                None => {
                    faults.push(format!(
                        "partition `{term}` reads column `{name}`, which the rows do not have"
                    ));
                    continue;
                }
            },
        };
        let column = match (&term.value, source) {
            (PartitionValue::Column(_), Some(source)) if term.replaces_column() => {
                columns.retain(|c| !same_name(&c.name, &source.name));
                source.clone()
            }
            (PartitionValue::Column(_), Some(source)) => Column::new(&term.name, source.ty.clone()),
            _ => Column::new(&term.name, OdpsType::String),
        };
        if columns.iter().any(|c| same_name(&c.name, &column.name)) {
            faults.push(format!(
                "partition column `{}` is also a column of the rows",
                column.name
            ));
        }
        if let Err(mismatch) = check_type(&column) {
            faults.push(mismatch.to_string());
        }
        found.push(column);
    }
    found
}

/// What stands between the partition columns of the table and where their values are to come from.
pub(super) fn differences(
    layout: &Layout,
    terms: &[PartitionTerm],
    schema: &Schema,
) -> Vec<String> {
    let mut differences = Vec::new();
    let has = |columns: &[Column], name: &str| columns.iter().any(|c| same_name(&c.name, name));
    let by_column = |name: &str| {
        terms
            .iter()
            .any(|term| term.replaces_column() && same_name(&term.name, name))
    };
    for field in schema.fields() {
        let name = field.name();
        let in_columns = has(&layout.columns, name);
        if has(&layout.partition_columns, name) {
            if terms.iter().any(|term| same_name(&term.name, name)) {
                if !by_column(name) {
                    differences.push(format!(
                        "option partition gives `{name}` another value than the rows' own column `{name}`; \
                         leave one of them out"
                    ));
                }
            } else {
                differences.push(format!(
                    "column `{name}` is a partition column in the table; name it in partition-by"
                ));
            }
        } else if !in_columns && !by_column(name) {
            differences.push(format!("column `{name}` does not exist in the table"));
        }
    }
    for term in terms {
        let name = &term.name;
        if !has(&layout.partition_columns, name) {
            let why = if has(&layout.columns, name) {
                "is a data column"
            } else {
                "does not exist"
            };
            differences.push(format!("partition column `{name}` {why} in the table"));
        }
        if let Some(source) = term.source()
            && !schema.fields().iter().any(|f| same_name(f.name(), source))
        {
            differences.push(if term.replaces_column() {
                format!("partition-by names `{source}`, which the rows do not have")
            } else {
                format!("`{term}` reads column `{source}`, which the rows do not have")
            });
        }
    }
    for column in &layout.partition_columns {
        if !terms.iter().any(|term| same_name(&term.name, &column.name)) {
            differences.push(format!(
                "the table is partitioned by `{}`, the rows are not (partition-by, or option partition)",
                column.name
            ));
        }
    }
    differences
}

/// Reads the partitions of rows; None for a table without.
pub(super) fn reader(
    layout: &Layout,
    terms: &[PartitionTerm],
    schema: &Schema,
    options: &Options,
) -> Result<Option<PartitionReader>, SchemaMismatch> {
    let index = |name: &str| {
        let column = Column::new(name, OdpsType::String);
        source_columns(&[column], schema)
            .into_iter()
            .flatten()
            .next()
    };
    let mut columns = Vec::with_capacity(layout.partition_columns.len());
    for column in &layout.partition_columns {
        let term = terms
            .iter()
            .find(|term| same_name(&term.name, &column.name));
        // What is missing is told among the differences.
        let source = match term.map(|term| &term.value) {
            Some(PartitionValue::Fixed(value)) => Some(PartitionSource::Fixed(value.clone())),
            Some(PartitionValue::Column(name)) => index(name).map(PartitionSource::Column),
            Some(PartitionValue::Time { column, pattern }) => {
                index(column).map(|column| PartitionSource::Time {
                    column,
                    pattern: pattern.clone(),
                    zone: options.partition_zone.clone(),
                })
            }
            None => None,
        };
        columns.extend(source.map(|source| (column.clone(), source)));
    }
    if columns.is_empty() {
        return Ok(None);
    }
    let reader = PartitionReader::new(columns)?.default_value(options.partition_default.clone());
    let empty = RecordBatch::new_empty(Arc::new(schema.clone()));
    reader.bind(&empty)?;
    Ok(Some(reader))
}
