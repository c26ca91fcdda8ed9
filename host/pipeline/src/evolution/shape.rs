//! What a table looks like.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{FieldRef, Schema, SchemaRef};

use super::change::{ColumnPlace, TableChange};
use crate::source::SourceTable;
use crate::source::types::COMMENT_METADATA_KEY;

/// Columns, keys and comment of a table, at a source or at a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    /// Its columns, without `__op`.
    pub schema: SchemaRef,
    /// Columns of the primary key, in order.
    pub primary_key: Vec<String>,
    /// Columns whose values choose the partition, outermost first.
    pub partition_by: Vec<String>,
}

impl TableShape {
    /// The shape that rows of a source table have.
    pub fn of(table: &SourceTable) -> Self {
        Self {
            schema: Arc::clone(&table.schema),
            primary_key: table.primary_key.clone(),
            partition_by: table.partition_by.clone(),
        }
    }

    /// A table of which nothing but its existence is known.
    pub fn unknown() -> Self {
        Self {
            schema: Arc::new(Schema::empty()),
            primary_key: Vec::new(),
            partition_by: Vec::new(),
        }
    }

    /// The column of a name.
    pub fn column(&self, name: &str) -> Option<&FieldRef> {
        self.schema
            .fields()
            .iter()
            .find(|field| field.name() == name)
    }

    /// The table's comment.
    pub fn comment(&self) -> Option<&str> {
        self.schema
            .metadata()
            .get(COMMENT_METADATA_KEY)
            .map(String::as_str)
    }

    /// The shape after a change. What the change names and the table does not have is passed over.
    #[must_use]
    pub fn after(&self, change: &TableChange) -> Self {
        let mut fields: Vec<FieldRef> = self.schema.fields().iter().cloned().collect();
        let mut metadata = self.schema.metadata().clone();
        let (mut primary_key, mut partition_by) =
            (self.primary_key.clone(), self.partition_by.clone());
        match change {
            TableChange::AddColumns(columns) => {
                for column in columns {
                    if fields.iter().any(|f| f.name() == column.field.name()) {
                        continue;
                    }
                    let at = match &column.place {
                        ColumnPlace::First => 0,
                        ColumnPlace::Last => fields.len(),
                        ColumnPlace::After(other) => fields
                            .iter()
                            .position(|f| f.name() == other)
                            .map_or(fields.len(), |at| at + 1),
                    };
                    fields.insert(at, Arc::clone(&column.field));
                }
            }
            TableChange::AlterTypes(columns) => {
                for column in columns {
                    if let Some(field) = fields.iter_mut().find(|f| f.name() == column.name()) {
                        *field = Arc::clone(column);
                    }
                }
            }
            TableChange::RenameColumns(pairs) => {
                let renamed = |name: &str| {
                    pairs
                        .iter()
                        .find(|(from, _)| from == name)
                        .map(|(_, to)| to.clone())
                };
                for field in &mut fields {
                    if let Some(to) = renamed(field.name()) {
                        *field = Arc::new(field.as_ref().clone().with_name(to));
                    }
                }
                for name in primary_key.iter_mut().chain(&mut partition_by) {
                    if let Some(to) = renamed(name) {
                        *name = to;
                    }
                }
            }
            TableChange::DropColumns(names) => fields.retain(|f| !names.contains(f.name())),
            TableChange::SetComment(comment) => {
                match comment {
                    Some(text) => metadata.insert(COMMENT_METADATA_KEY.to_owned(), text.clone()),
                    None => metadata.remove(COMMENT_METADATA_KEY),
                };
            }
            TableChange::Truncate | TableChange::Drop => {}
        }
        Self {
            schema: schema(fields, metadata),
            primary_key,
            partition_by,
        }
    }
}

pub(super) fn schema(fields: Vec<FieldRef>, metadata: HashMap<String, String>) -> SchemaRef {
    Arc::new(Schema::new_with_metadata(fields, metadata))
}
