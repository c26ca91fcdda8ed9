//! The tables of a text source, and what a position remembers of them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    super::{error::SourceError, table::TableId, types::ColumnType},
    table_buffer::{ColumnSpec, TableBuffer},
};
use crate::definition::FileOptions;

/// Tables met so far.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) buffers: Vec<TableBuffer>,
    by_path: HashMap<TableId, usize>,
    /// Tables of the run this one continues, not met again yet.
    remembered: Vec<Remembered>,
}

/// A table in a position: an inferred schema must stay what it was, and versions must go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    path: TableId,
    version: u32,
    /// Names and types.
    columns: Vec<(String, String)>,
    #[serde(default)]
    key: Vec<String>,
}

impl Tables {
    pub(crate) fn restore(remembered: Vec<Remembered>) -> Self {
        Self {
            remembered,
            ..Self::default()
        }
    }

    pub(crate) fn find(&self, path: &TableId) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    /// Columns that an earlier run found for a table.
    pub(crate) fn remembered_columns(&self, path: &TableId) -> Option<Vec<(String, ColumnType)>> {
        let table = self.remembered.iter().find(|table| table.path == *path)?;
        table
            .columns
            .iter()
            .map(|(name, ty)| Some((name.clone(), ty.parse().ok()?)))
            .collect()
    }

    /// Adds a table, or gives a table other columns under the next version. Rows pending for it
    /// must have been taken.
    pub(crate) fn define(
        &mut self,
        path: &TableId,
        specs: Vec<ColumnSpec>,
        key_of_input: &[String],
        options: &FileOptions,
    ) -> Result<usize, SourceError> {
        if let Some(index) = self.find(path) {
            let (id, version) = match self.buffers.get(index) {
                Some(buffer) => (buffer.table.id, buffer.table.schema_version + 1),
                None => return Ok(index),
            };
            let next = TableBuffer::new(id, path.clone(), version, specs, key_of_input, options)?;
            if let Some(buffer) = self.buffers.get_mut(index) {
                *buffer = next;
            }
            return Ok(index);
        }
        let index = self.buffers.len();
        let id = u32::try_from(index).unwrap_or(u32::MAX);
        let mut buffer = TableBuffer::new(id, path.clone(), 1, specs, key_of_input, options)?;
        if let Some(place) = self.remembered.iter().position(|table| table.path == *path) {
            let before = self.remembered.remove(place);
            let now = remember(&buffer);
            let same = before.columns == now.columns && before.key == now.key;
            buffer.table.schema_version = before.version + u32::from(!same);
        }
        self.by_path.insert(path.clone(), index);
        self.buffers.push(buffer);
        Ok(index)
    }

    /// What a position must remember.
    pub(crate) fn remember(&self) -> Vec<Remembered> {
        self.buffers
            .iter()
            .map(remember)
            .chain(self.remembered.iter().cloned())
            .collect()
    }
}

fn remember(buffer: &TableBuffer) -> Remembered {
    Remembered {
        path: buffer.table.path.clone(),
        version: buffer.table.schema_version,
        columns: buffer
            .specs()
            .iter()
            .map(|spec| (spec.name.clone(), spec.ty.to_string()))
            .collect(),
        key: buffer.table.primary_key.clone(),
    }
}
