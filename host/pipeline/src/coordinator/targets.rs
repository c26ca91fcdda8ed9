//! Tables at the sink, and which source tables feed them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use longshore_runtime::contract::{TableDecl, TablePath};

use super::encode::schema_message;
use super::error::RunError;
use super::split::{KeySplitter, Share};
use crate::checkpoint_store::TableRows;
use crate::source::SourceTable;

/// One table at the sink.
pub(super) struct Target {
    pub(super) path: TablePath,
    pub(super) schema: SchemaRef,
    primary_key: Vec<String>,
    partition_by: Vec<String>,
    pub(super) version: u32,
    /// Whether the instances know `version`.
    pub(super) declared: bool,
    /// Source tables that feed it: number and name.
    sources: Vec<(u32, String)>,
    splitter: Option<KeySplitter>,
    /// Instance that gets the next batch, where rows go in turn.
    next: usize,
    /// Rows since the last checkpoint.
    pub(super) rows: TableRows,
    /// Bytes of Arrow data since the last checkpoint.
    pub(super) bytes: u64,
}

/// All tables at the sink, by the order in which they appeared.
pub(super) struct Targets {
    pub(super) tables: Vec<Target>,
    by_source: HashMap<u32, Vec<usize>>,
    instances: usize,
}

impl Targets {
    pub(super) fn new(instances: usize) -> Self {
        Self {
            tables: Vec::new(),
            by_source: HashMap::new(),
            instances,
        }
    }

    /// Takes note of a source table, or of a new schema version of one.
    pub(super) fn announce(
        &mut self,
        table: &SourceTable,
        paths: Vec<TablePath>,
    ) -> Result<(), RunError> {
        let mut indices = Vec::with_capacity(paths.len());
        for path in paths {
            let index = match self.tables.iter().position(|target| target.path == path) {
                Some(index) => {
                    if let Some(target) = self.tables.get_mut(index) {
                        target.update(table, self.instances)?;
                    }
                    index
                }
                None => {
                    self.tables.push(Target::new(path, table, self.instances)?);
                    self.tables.len() - 1
                }
            };
            indices.push(index);
        }
        self.by_source.insert(table.id, indices);
        Ok(())
    }

    /// Indices of the targets of a source table.
    pub(super) fn of_source(&self, source: u32) -> Vec<usize> {
        self.by_source.get(&source).cloned().unwrap_or_default()
    }
}

impl Target {
    fn new(path: TablePath, table: &SourceTable, instances: usize) -> Result<Self, RunError> {
        let rows = TableRows {
            table: path.to_string(),
            ..TableRows::default()
        };
        let mut target = Self {
            path,
            schema: Arc::clone(&table.schema),
            primary_key: Vec::new(),
            partition_by: Vec::new(),
            version: 0,
            declared: false,
            sources: vec![(table.id, table.path.to_string())],
            splitter: None,
            next: 0,
            rows,
            bytes: 0,
        };
        target.adopt(table, instances)?;
        Ok(target)
    }

    fn update(&mut self, table: &SourceTable, instances: usize) -> Result<(), RunError> {
        let difference = if self.schema.fields() != table.schema.fields() {
            Some("columns")
        } else if self.primary_key != table.primary_key {
            Some("primary keys")
        } else if self.partition_by != table.partition_by {
            Some("partition columns")
        } else {
            None
        };
        let other = self.sources.iter().find(|(id, _)| *id != table.id);
        match (difference, other) {
            (Some(what), Some((_, first))) => {
                return Err(RunError::Merge {
                    target: self.path.to_string(),
                    first: first.clone(),
                    second: table.path.to_string(),
                    what,
                });
            }
            (Some(_), None) => self.adopt(table, instances)?,
            (None, _) => {}
        }
        if self.sources.iter().all(|(id, _)| *id != table.id) {
            self.sources.push((table.id, table.path.to_string()));
        }
        Ok(())
    }

    fn adopt(&mut self, table: &SourceTable, instances: usize) -> Result<(), RunError> {
        let key = table
            .primary_key
            .iter()
            .map(|name| table.schema.index_of(name))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.encode_error(&error))?;
        self.splitter = (!key.is_empty()).then(|| KeySplitter::new(key, instances));
        self.schema = Arc::clone(&table.schema);
        self.primary_key.clone_from(&table.primary_key);
        self.partition_by.clone_from(&table.partition_by);
        self.version += 1;
        self.declared = false;
        Ok(())
    }

    /// The declaration of the current version.
    pub(super) fn declaration(&self) -> Result<TableDecl, RunError> {
        Ok(TableDecl {
            path: self.path.clone(),
            arrow_schema: schema_message(&self.schema)
                .map_err(|error| self.encode_error(&error))?,
            primary_key: self.primary_key.clone(),
            partition_by: self.partition_by.clone(),
            schema_version: self.version,
        })
    }

    /// Deals a batch to the instances.
    pub(super) fn split(
        &mut self,
        batch: &RecordBatch,
        instances: usize,
    ) -> Result<Vec<Share>, RunError> {
        if let Some(splitter) = &self.splitter {
            return splitter
                .split(batch)
                .map_err(|error| self.encode_error(&error));
        }
        let instance = self.next;
        self.next = (instance + 1) % instances.max(1);
        Ok(vec![Share {
            instance,
            batch: batch.clone(),
            rows: None,
        }])
    }

    fn encode_error(&self, error: &arrow_schema::ArrowError) -> RunError {
        RunError::Encode {
            table: self.path.to_string(),
            reason: error.to_string(),
        }
    }
}
