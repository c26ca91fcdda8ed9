//! Statements that change tables. Every one ends with `;`.

use std::fmt;

use crate::partition::PartitionSpec;
use crate::schema::Column;
use crate::types::OdpsType;

/// A name in backticks; a backtick inside is doubled.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text in single quotes. Backslashes are doubled: the service reads them as escapes.
#[must_use]
pub fn quote_string(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A table's full name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The project.
    pub project: String,
    /// The schema, in projects that have them.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", quote_identifier(&self.project))?;
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quote_identifier(schema))?;
        }
        f.write_str(&quote_identifier(&self.table))
    }
}

/// A table to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTable {
    /// Its name.
    pub name: TableName,
    /// Data columns. Those of the primary key are declared NOT NULL whatever they say.
    pub columns: Vec<Column>,
    /// Partition columns, outermost first.
    pub partition_columns: Vec<Column>,
    /// Primary key, by column name; empty for an append table.
    pub primary_key: Vec<String>,
    /// Comment of the table.
    pub comment: Option<String>,
    /// Table properties.
    pub properties: Vec<(String, String)>,
    /// Days after which untouched data are removed.
    pub lifecycle_days: Option<u32>,
    /// Do nothing where the table exists.
    pub if_not_exists: bool,
}

impl CreateTable {
    /// The statement.
    #[must_use]
    pub fn sql(&self) -> String {
        let mut parts: Vec<String> = self
            .columns
            .iter()
            .map(|column| self.column_definition(column))
            .collect();
        if !self.primary_key.is_empty() {
            parts.push(format!("PRIMARY KEY({})", identifiers(&self.primary_key)));
        }
        let exists = if self.if_not_exists {
            "IF NOT EXISTS "
        } else {
            ""
        };
        let mut sql = format!("CREATE TABLE {exists}{} ({})", self.name, parts.join(", "));
        if let Some(comment) = &self.comment {
            sql.push_str(&format!(" COMMENT {}", quote_string(comment)));
        }
        if !self.partition_columns.is_empty() {
            sql.push_str(&format!(
                " PARTITIONED BY ({})",
                definitions(&self.partition_columns)
            ));
        }
        if !self.properties.is_empty() {
            let properties: Vec<String> = self
                .properties
                .iter()
                .map(|(name, value)| format!("{}={}", quote_string(name), quote_string(value)))
                .collect();
            sql.push_str(&format!(" TBLPROPERTIES({})", properties.join(",")));
        }
        if let Some(days) = self.lifecycle_days {
            sql.push_str(&format!(" LIFECYCLE {days}"));
        }
        sql.push(';');
        sql
    }

    fn column_definition(&self, column: &Column) -> String {
        let is_key = self
            .primary_key
            .iter()
            .any(|key| crate::schema::same_name(key, &column.name));
        definition(column, !column.nullable || is_key)
    }
}

fn definition(column: &Column, not_null: bool) -> String {
    let mut text = format!("{} {}", quote_identifier(&column.name), column.ty);
    if not_null {
        text.push_str(" NOT NULL");
    }
    if let Some(comment) = &column.comment {
        text.push_str(&format!(" COMMENT {}", quote_string(comment)));
    }
    text
}

/// Definitions without NOT NULL, which neither partition columns nor added columns can have.
fn definitions(columns: &[Column]) -> String {
    let texts: Vec<String> = columns
        .iter()
        .map(|column| definition(column, false))
        .collect();
    texts.join(", ")
}

fn identifiers<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| quote_identifier(name.as_ref()))
        .collect();
    quoted.join(", ")
}

/// Drops a table.
#[must_use]
pub fn drop_table(table: &TableName, if_exists: bool) -> String {
    let exists = if if_exists { "IF EXISTS " } else { "" };
    format!("DROP TABLE {exists}{table};")
}

/// Removes all rows of a table.
#[must_use]
pub fn truncate_table(table: &TableName) -> String {
    format!("TRUNCATE TABLE {table};")
}

/// Adds columns behind the others. They are nullable whatever they say: the rows that are there
/// have no value for them.
#[must_use]
pub fn add_columns(table: &TableName, columns: &[Column]) -> String {
    format!(
        "ALTER TABLE {table} ADD COLUMNS ({});",
        definitions(columns)
    )
}

/// Drops columns.
#[must_use]
pub fn drop_columns<S: AsRef<str>>(table: &TableName, names: &[S]) -> String {
    format!("ALTER TABLE {table} DROP COLUMNS {};", identifiers(names))
}

/// Renames a column.
#[must_use]
pub fn rename_column(table: &TableName, from: &str, to: &str) -> String {
    let (from, to) = (quote_identifier(from), quote_identifier(to));
    format!("ALTER TABLE {table} CHANGE COLUMN {from} RENAME TO {to};")
}

/// Gives a column another type.
#[must_use]
pub fn change_type(table: &TableName, column: &str, ty: &OdpsType) -> String {
    let column = quote_identifier(column);
    format!("ALTER TABLE {table} CHANGE COLUMN {column} {column} {ty};")
}

/// Lets a column hold NULL.
#[must_use]
pub fn drop_not_null(table: &TableName, column: &str) -> String {
    let column = quote_identifier(column);
    format!("ALTER TABLE {table} CHANGE COLUMN {column} NULL;")
}

/// Sets a column's comment.
#[must_use]
pub fn column_comment(table: &TableName, column: &str, comment: &str) -> String {
    let (column, comment) = (quote_identifier(column), quote_string(comment));
    format!("ALTER TABLE {table} CHANGE COLUMN {column} COMMENT {comment};")
}

/// Sets the table's comment.
#[must_use]
pub fn table_comment(table: &TableName, comment: &str) -> String {
    format!("ALTER TABLE {table} SET COMMENT {};", quote_string(comment))
}

/// Adds a partition.
#[must_use]
pub fn add_partition(table: &TableName, partition: &PartitionSpec, if_not_exists: bool) -> String {
    let exists = if if_not_exists { "IF NOT EXISTS " } else { "" };
    format!(
        "ALTER TABLE {table} ADD {exists}PARTITION ({});",
        partition_clause(partition)
    )
}

/// Drops a partition.
#[must_use]
pub fn drop_partition(table: &TableName, partition: &PartitionSpec, if_exists: bool) -> String {
    let exists = if if_exists { "IF EXISTS " } else { "" };
    format!(
        "ALTER TABLE {table} DROP {exists}PARTITION ({});",
        partition_clause(partition)
    )
}

fn partition_clause(partition: &PartitionSpec) -> String {
    let pairs: Vec<String> = partition
        .pairs()
        .iter()
        .map(|(name, value)| format!("{}={}", quote_identifier(name), quote_string(value)))
        .collect();
    pairs.join(",")
}

/// Creates a schema of a project that has them.
#[must_use]
pub fn create_schema(
    project: &str,
    schema: &str,
    comment: Option<&str>,
    if_not_exists: bool,
) -> String {
    let exists = if if_not_exists { "IF NOT EXISTS " } else { "" };
    let (project, schema) = (quote_identifier(project), quote_identifier(schema));
    let comment = comment.map(|text| format!(" COMMENT {}", quote_string(text)));
    format!(
        "CREATE SCHEMA {exists}{project}.{schema}{};",
        comment.unwrap_or_default()
    )
}
