//! Tables as a source names and describes them.

use std::fmt;

use arrow_schema::SchemaRef;
use serde::{Deserialize, Serialize};

/// A table's name at the source, in up to three levels.
///
/// The text form is `namespace.schema.table`, `schema.table` or `table`; a two-level source
/// (MySQL, MariaDB) puts its database into `schema`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableId {
    /// First of three levels, for example a Postgres database.
    pub namespace: Option<String>,
    /// Schema, or database where the source has two levels.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

impl TableId {
    /// Reads `namespace.schema.table`, `schema.table` or `table`. `None` when a level is empty
    /// or there are more than three.
    pub fn parse(text: &str) -> Option<Self> {
        let levels: Vec<&str> = text.split('.').map(str::trim).collect();
        if levels.iter().any(|level| level.is_empty()) {
            return None;
        }
        let id = |namespace: Option<&str>, schema: Option<&str>, table: &str| Self {
            namespace: namespace.map(str::to_owned),
            schema: schema.map(str::to_owned),
            table: table.to_owned(),
        };
        match levels.as_slice() {
            [table] => Some(id(None, None, table)),
            [schema, table] => Some(id(None, Some(schema), table)),
            [namespace, schema, table] => Some(id(Some(namespace), Some(schema), table)),
            _ => None,
        }
    }

    /// Whether `other` names this table, levels missing on either side taken as equal.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let same = |a: &Option<String>, b: &Option<String>| match (a, b) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.table == other.table
            && same(&self.schema, &other.schema)
            && same(&self.namespace, &other.namespace)
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for level in [&self.namespace, &self.schema].into_iter().flatten() {
            write!(f, "{level}.")?;
        }
        f.write_str(&self.table)
    }
}

/// A table, as its rows to come are shaped.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceTable {
    /// Number of the table within this source, the same in every schema version.
    pub id: u32,
    /// Its name at the source; routes turn it into the name at the sink.
    pub path: TableId,
    /// Columns of its batches, without `__op`.
    pub schema: SchemaRef,
    /// Columns of the primary key, in order; empty when it has none.
    pub primary_key: Vec<String>,
    /// Columns whose values choose the partition, outermost first.
    pub partition_by: Vec<String>,
    /// 1 at first; grows with each change of the schema.
    pub schema_version: u32,
    /// Columns that have another name than in the version before, as pairs of old and new name,
    /// where the source knows. A comment of the table, where there is one, is in the metadata of
    /// `schema` under `comment`, and those of columns in the metadata of their fields.
    pub renamed: Vec<(String, String)>,
}
