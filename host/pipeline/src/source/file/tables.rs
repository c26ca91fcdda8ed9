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
    /// Renames that no row has followed yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    renamed: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

/// What a DDL record says of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Alteration {
    /// Pairs of old and new name.
    pub(crate) renamed: Vec<(String, String)>,
    /// Names of all columns it has now.
    pub(crate) columns: Option<Vec<String>>,
    /// The comment it has now; the outer `None` = that is not told.
    pub(crate) comment: Option<Option<String>>,
}

impl Alteration {
    /// The renames of columns that the table has.
    fn renames(&self, has: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let pairs = self.renamed.iter();
        pairs.filter(|(from, _)| has(from)).cloned().collect()
    }
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
            let Some(buffer) = self.buffers.get_mut(index) else {
                return Ok(index);
            };
            let (id, version) = (buffer.table.id, buffer.table.schema_version + 1);
            let mut next =
                TableBuffer::new(id, path.clone(), version, specs, key_of_input, options)?;
            next.table.renamed = buffer.pending_renames().to_vec();
            next.set_comment(buffer.comment().map(str::to_owned));
            *buffer = next;
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
            buffer.table.renamed = before.renamed;
            buffer.set_comment(before.comment);
        }
        self.by_path.insert(path.clone(), index);
        self.buffers.push(buffer);
        Ok(index)
    }

    /// Takes note that columns of a table have other names, or that others are gone. Rows pending
    /// for it must have been taken.
    pub(crate) fn alter(
        &mut self,
        path: &TableId,
        alteration: &Alteration,
        options: &FileOptions,
    ) -> Result<(), SourceError> {
        let Some(buffer) = self.find(path).and_then(|index| self.buffers.get(index)) else {
            self.alter_remembered(path, alteration);
            return Ok(());
        };
        let mut specs = buffer.specs().to_vec();
        let mut key = buffer.table.primary_key.clone();
        let has = |name: &str| buffer.specs().iter().any(|spec| spec.name == name);
        let renamed = alteration.renames(has);
        for (name, spec) in specs.iter_mut().map(|spec| (spec.name.clone(), spec)) {
            if let Some((_, to)) = renamed.iter().find(|(from, _)| *from == name) {
                spec.name.clone_from(to);
            }
        }
        for name in &mut key {
            if let Some((_, to)) = renamed.iter().find(|(from, _)| from == name) {
                name.clone_from(to);
            }
        }
        if let Some(columns) = &alteration.columns {
            specs.retain(|spec| columns.contains(&spec.name));
        }
        let comment = alteration.comment.clone();
        if specs != buffer.specs() && !specs.is_empty() {
            self.define(path, specs, &key, options)?;
        }
        if let Some(buffer) = self
            .find(path)
            .and_then(|index| self.buffers.get_mut(index))
        {
            buffer.table.renamed.extend(renamed);
            if let Some(comment) = comment
                && buffer.comment() != comment.as_deref()
            {
                buffer.set_comment(comment);
                buffer.announce_again();
            }
        }
        Ok(())
    }

    fn alter_remembered(&mut self, path: &TableId, alteration: &Alteration) {
        let Some(table) = self.remembered.iter_mut().find(|table| table.path == *path) else {
            return;
        };
        let columns = table.columns.clone();
        let renamed = alteration.renames(|name| columns.iter().any(|(column, _)| column == name));
        for name in table
            .columns
            .iter_mut()
            .map(|(name, _)| name)
            .chain(&mut table.key)
        {
            if let Some((_, to)) = renamed.iter().find(|(from, _)| from == name) {
                name.clone_from(to);
            }
        }
        if let Some(kept) = &alteration.columns {
            table.columns.retain(|(name, _)| kept.contains(name));
        }
        table.version += 1;
        table.renamed.extend(renamed);
        if let Some(comment) = &alteration.comment {
            table.comment.clone_from(comment);
        }
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
        renamed: buffer.pending_renames().to_vec(),
        comment: buffer.comment().map(str::to_owned),
    }
}
