//! Tables as the catalog knows them.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::ColumnType;

/// Metadata key under which a field carries its column id, in Arrow schemas and in Parquet files.
pub const FIELD_ID: &str = "PARQUET:field_id";

/// One data or partition column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name with the letter case of the DDL; look-ups ignore case.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub ty: ColumnType,
    /// False for NOT NULL.
    pub nullable: bool,
    /// Comment, if one was given.
    pub comment: Option<String>,
    /// Number that stays with the column when it is renamed, moved or retyped. Starts at 1.
    pub column_id: i64,
    /// Text of the DEFAULT expression.
    pub default_value: Option<String>,
    /// Text of the generating expression of an automatic partition column.
    pub generate_expression: Option<String>,
}

impl Column {
    /// A nullable column without comment; the catalog gives the id when the table is created.
    pub fn new(name: impl Into<String>, ty: ColumnType) -> Self {
        Self {
            name: name.into(),
            ty,
            nullable: true,
            comment: None,
            column_id: 0,
            default_value: None,
            generate_expression: None,
        }
    }

    /// The column's field of the in-memory schema; it carries the column id as [`FIELD_ID`].
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.ty.arrow_type(), true).with_metadata(HashMap::from([(
            FIELD_ID.to_owned(),
            self.column_id.to_string(),
        )]))
    }
}

/// `CLUSTERED BY` of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clustering {
    /// True for RANGE CLUSTERED BY.
    pub range: bool,
    /// Cluster columns.
    pub columns: Vec<String>,
    /// Sort columns with `asc` or `desc`.
    pub sort: Vec<(String, String)>,
    /// Bucket count; 0 when not given (range).
    pub buckets: u32,
}

/// A table: definition and properties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableMeta {
    /// Id that stays with the table when it is renamed; a re-created table has another one.
    pub id: String,
    /// Project.
    pub project: String,
    /// Schema; `default` in the two-tier model.
    pub schema: String,
    /// Name, lower case.
    pub name: String,
    /// Data columns in order.
    pub columns: Vec<Column>,
    /// Partition columns in order.
    pub partition_columns: Vec<Column>,
    /// Names of the primary key columns; empty for append tables.
    pub primary_key: Vec<String>,
    /// `transactional` property: true for Delta tables (and transactional append tables).
    pub transactional: bool,
    /// Number of buckets of a Delta table (`write.bucket.num`, 16 by default), else 0.
    pub buckets: u32,
    /// Grows with each change of the columns. Starts at 1.
    pub schema_version: u64,
    /// Next column id to give.
    pub next_column_id: i64,
    /// TBLPROPERTIES as given.
    pub properties: BTreeMap<String, String>,
    /// PARTITIONPROPERTIES as given, by directory of the partition.
    #[serde(default)]
    pub partition_properties: BTreeMap<String, BTreeMap<String, String>>,
    /// Table comment.
    pub comment: Option<String>,
    /// Days of LIFECYCLE.
    pub lifecycle: Option<i64>,
    /// False after DISABLE LIFECYCLE.
    pub lifecycle_enabled: bool,
    /// CLUSTERED BY.
    pub clustering: Option<Clustering>,
    /// Owner as shown to clients.
    pub owner: String,
    /// Creation, epoch milliseconds.
    pub created_ms: i64,
    /// Last DDL, epoch milliseconds.
    pub ddl_ms: i64,
    /// Last change of data or definition, epoch milliseconds.
    pub modified_ms: i64,
}

impl TableMeta {
    /// True for a table with a primary key: rows are upserted, not appended.
    pub fn is_delta(&self) -> bool {
        !self.primary_key.is_empty()
    }

    /// True when the table has partition columns.
    pub fn is_partitioned(&self) -> bool {
        !self.partition_columns.is_empty()
    }

    /// `project.table`, or `project.schema.table` outside the default schema.
    pub fn full_name(&self) -> String {
        if self.schema == super::DEFAULT_SCHEMA {
            format!("{}.{}", self.project, self.name)
        } else {
            format!("{}.{}.{}", self.project, self.schema, self.name)
        }
    }

    /// Position of a data column, ignoring letter case.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| same_name(&c.name, name))
    }

    /// Data or partition column of that name, ignoring letter case.
    pub fn any_column(&self, name: &str) -> Option<&Column> {
        self.columns
            .iter()
            .chain(&self.partition_columns)
            .find(|c| same_name(&c.name, name))
    }

    /// Positions of the key columns among the data columns, in key order.
    pub fn key_indices(&self) -> Vec<usize> {
        self.primary_key
            .iter()
            .filter_map(|name| self.column_index(name))
            .collect()
    }

    /// Arrow schema of staged and scanned batches: all data columns in order, in-memory types
    /// ([`ColumnType::arrow_type`]), each field with its column id.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(
            self.columns.iter().map(Column::field).collect::<Vec<_>>(),
        ))
    }

    /// True when partial updates are allowed (`acid.partial.fields.update.enable`).
    pub fn partial_update(&self) -> bool {
        self.properties
            .get("acid.partial.fields.update.enable")
            .is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }
}

/// Names compare without letter case.
pub fn same_name(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}
