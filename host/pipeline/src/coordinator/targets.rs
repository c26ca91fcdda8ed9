//! Tables at the sink, and which source tables feed them.

use std::collections::HashMap;

use arrow_array::{RecordBatch, UInt32Array};
use longshore_runtime::contract::{TableDecl, TablePath};

use super::encode::schema_message;
use super::error::{RefusedRow, RunError};
use super::instance::NAMED_ROWS;
use super::split::{KeySplitter, Share};
use crate::checkpoint_store::TableRows;
use crate::evolution::{
    Coercion, SchemaEvolution, TableChange, TableShape, common_shape, difference,
};
use crate::source::{Origin, SourceTable, TableId};

/// One table at the sink.
pub(super) struct Target {
    pub(super) path: TablePath,
    /// What it looks like there, or will when it is created.
    pub(super) shape: TableShape,
    /// Whether it has been made ready at the sink, in this run or an earlier one.
    pub(super) created: bool,
    version: u32,
    /// Whether the instances know `version`.
    pub(super) declared: bool,
    pub(super) feeds: Vec<Feed>,
    splitter: Option<KeySplitter>,
    /// Instance that gets the next batch, where rows go in turn.
    next: usize,
    /// Rows since the last checkpoint.
    pub(super) rows: TableRows,
    /// Bytes of Arrow data since the last checkpoint.
    pub(super) bytes: u64,
    /// Rows have been written that are not prepared.
    pub(super) unprepared: bool,
}

/// A source table on its way into a target.
///
/// The source goes on from the last checkpoint, but a target whose schema changed may have been
/// committed since: `done` of the rows and changes that come again are at the sink already. A
/// source repeats the rows and changes of one table in the same order.
pub(super) struct Feed {
    /// Name of the table at the source.
    pub(super) name: String,
    /// Its number in this run; none = it has not come yet.
    pub(super) source: Option<u32>,
    /// Its shape after the events so far.
    pub(super) seen: Option<TableShape>,
    /// Its shape where the source goes on from.
    pub(super) base: Option<TableShape>,
    /// What came since there.
    pub(super) since: Count,
    /// What of it is at the sink for good.
    pub(super) done: Count,
    coercion: Option<Coercion>,
}

/// Rows and changes of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Count {
    pub(super) rows: u64,
    pub(super) changes: u64,
}

/// What the shape of a source table means for a target.
#[derive(Debug, Default)]
pub(super) struct Reshaped {
    /// How the target is to follow, where the sink has it already.
    pub(super) changes: Vec<TableChange>,
    /// Whether the source's table changed, as far as the sink does not know yet.
    pub(super) counts: bool,
}

/// Rows of a batch that are not at the sink yet.
pub(super) struct NewRows {
    pub(super) batch: RecordBatch,
    /// Index of the first in the source's batch.
    first: u32,
}

impl NewRows {
    /// Index in the source's batch of each row of a share.
    pub(super) fn places(&self, share: &Share) -> Option<UInt32Array> {
        let rows = u32::try_from(share.batch.num_rows()).unwrap_or(u32::MAX);
        match (&share.rows, self.first) {
            (Some(rows), first) => Some(rows.values().iter().map(|row| row + first).collect()),
            (None, 0) => None,
            (None, first) => Some((first..first + rows).collect()),
        }
    }
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

    /// Indices of the targets at `paths`, each with a feed from the source table.
    pub(super) fn fed_by(
        &mut self,
        table: &TableId,
        source: Option<u32>,
        paths: Vec<TablePath>,
    ) -> Vec<usize> {
        let name = table.to_string();
        let mut indices = Vec::with_capacity(paths.len());
        for path in paths {
            let index = match self.tables.iter().position(|target| target.path == path) {
                Some(index) => index,
                None => {
                    self.tables.push(Target::new(path));
                    self.tables.len() - 1
                }
            };
            if let Some(target) = self.tables.get_mut(index) {
                match target.feeds.iter_mut().find(|feed| feed.name == name) {
                    Some(feed) => feed.source = source.or(feed.source),
                    None => target.feeds.push(Feed::new(name.clone(), source)),
                }
            }
            indices.push(index);
        }
        if let Some(source) = source {
            self.by_source.insert(source, indices.clone());
        }
        indices
    }

    /// Indices of those targets at `paths` that there are.
    pub(super) fn at(&self, paths: &[TablePath]) -> Vec<usize> {
        let tables = self.tables.iter().enumerate();
        let there = tables.filter(|(_, target)| paths.contains(&target.path));
        there.map(|(index, _)| index).collect()
    }

    /// What the shape that a source table has now means for a target. A checkpoint knows the shape
    /// it had until [`Target::reshaped`].
    pub(super) fn reshape(
        &mut self,
        index: usize,
        table: &SourceTable,
    ) -> Result<Reshaped, RunError> {
        let instances = self.instances;
        match self.tables.get_mut(index) {
            Some(target) => target.reshape(table, instances),
            None => Ok(Reshaped::default()),
        }
    }

    /// The target has this shape from now on.
    pub(super) fn adopt(&mut self, index: usize, shape: TableShape) -> Result<(), RunError> {
        let instances = self.instances;
        match self.tables.get_mut(index) {
            Some(target) => target.adopt(shape, instances),
            None => Ok(()),
        }
    }

    /// Indices of the targets of a source table.
    pub(super) fn of_source(&self, source: u32) -> Vec<usize> {
        self.by_source.get(&source).cloned().unwrap_or_default()
    }
}

impl Feed {
    pub(super) fn new(name: String, source: Option<u32>) -> Self {
        Self {
            name,
            source,
            seen: None,
            base: None,
            since: Count::default(),
            done: Count::default(),
            coercion: None,
        }
    }

    /// Counts a change; whether it is at the sink already.
    pub(super) fn is_repeated_change(&mut self) -> bool {
        let repeated = self.since.changes < self.done.changes;
        if repeated {
            self.since.changes += 1;
        }
        repeated
    }
}

impl Target {
    pub(super) fn new(path: TablePath) -> Self {
        let rows = TableRows {
            table: path.to_string(),
            ..TableRows::default()
        };
        Self {
            path,
            shape: TableShape::unknown(),
            created: false,
            version: 0,
            declared: false,
            feeds: Vec::new(),
            splitter: None,
            next: 0,
            rows,
            bytes: 0,
            unprepared: false,
        }
    }

    fn reshape(&mut self, table: &SourceTable, instances: usize) -> Result<Reshaped, RunError> {
        let shape = TableShape::of(table);
        let name = table.path.to_string();
        let alone = self.feeds.len() == 1;
        let Some(feed) = self.feeds.iter_mut().find(|feed| feed.name == name) else {
            return Ok(Reshaped::default());
        };
        let before = feed.seen.clone();
        let counts = before.is_some();
        if before.as_ref() == Some(&shape) {
            return Ok(Reshaped::default());
        }
        if counts && feed.is_repeated_change() {
            feed.seen = Some(shape);
            return Ok(Reshaped::default());
        }
        let changes = match (alone, self.created) {
            (true, false) => {
                self.adopt(shape, instances)?;
                Vec::new()
            }
            (true, true) => {
                let before = before.as_ref().unwrap_or(&self.shape);
                let changes = difference(before, &shape, &table.renamed);
                self.check_keys(table)?;
                changes
            }
            (false, created) => {
                let common = self.common(&name, &shape)?;
                if created {
                    difference(&self.shape, &common, &[])
                } else {
                    self.adopt(common, instances)?;
                    Vec::new()
                }
            }
        };
        Ok(Reshaped { changes, counts })
    }

    /// What [`Targets::reshape`] told has been done: rows of the source table's new shape follow.
    pub(super) fn reshaped(&mut self, table: &SourceTable) {
        let name = table.path.to_string();
        if let Some(feed) = self.feeds.iter_mut().find(|feed| feed.name == name) {
            feed.seen = Some(TableShape::of(table));
        }
    }

    /// The shape that takes the rows of all feeds, and those that are there.
    fn common(&self, newcomer: &str, shape: &TableShape) -> Result<TableShape, RunError> {
        let others = self.feeds.iter().filter(|feed| feed.name != newcomer);
        let shapes = others.filter_map(|feed| feed.seen.as_ref()).chain([shape]);
        let known = !self.shape.schema.fields().is_empty();
        let first = if known { &self.shape } else { shape };
        common_shape(first, shapes).map_err(|error| RunError::Merge {
            target: self.path.to_string(),
            second: newcomer.to_owned(),
            reason: error.to_string(),
        })
    }

    /// Keys and partitions of a table that exists can not change, though their columns' names can.
    fn check_keys(&self, table: &SourceTable) -> Result<(), RunError> {
        let renamed = |name: &String| {
            let mut pairs = table.renamed.iter();
            let pair = pairs.find(|(from, _)| from == name);
            pair.map_or_else(|| name.clone(), |(_, to)| to.clone())
        };
        for (what, old, new) in [
            ("primary key", &self.shape.primary_key, &table.primary_key),
            (
                "partition columns",
                &self.shape.partition_by,
                &table.partition_by,
            ),
        ] {
            if old != new && old.iter().map(renamed).ne(new.iter().cloned()) {
                let (old, new) = (old.join(", "), new.join(", "));
                return Err(RunError::SchemaChange {
                    source_table: table.path.to_string(),
                    target: self.path.to_string(),
                    change: format!("{what} ({old}) became ({new})"),
                    reason:
                        "a table that exists keeps its own; send the rows to another table with \
                             `route` and start anew"
                            .to_owned(),
                });
            }
        }
        Ok(())
    }

    fn adopt(&mut self, shape: TableShape, instances: usize) -> Result<(), RunError> {
        let key = shape
            .primary_key
            .iter()
            .map(|name| shape.schema.index_of(name))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.encode_error(&error))?;
        self.splitter = (!key.is_empty()).then(|| KeySplitter::new(key, instances));
        self.shape = shape;
        self.declare_anew();
        Ok(())
    }

    /// The instances must hear of the table again before rows come.
    pub(super) fn declare_anew(&mut self) {
        self.version += 1;
        self.declared = false;
    }

    /// Prepares for rows of all feeds in their shapes of now.
    pub(super) fn fit_feeds(&mut self, evolution: &SchemaEvolution) -> Result<(), RunError> {
        for feed in &mut self.feeds {
            let Some(seen) = feed
                .seen
                .as_ref()
                .filter(|_| feed.since.changes >= feed.done.changes)
            else {
                continue;
            };
            feed.coercion = Coercion::between(&seen.schema, &self.shape.schema, evolution.zone())
                .map_err(|reason| RunError::Encode {
                table: self.path.to_string(),
                reason,
            })?;
        }
        Ok(())
    }

    /// The declaration of the current version.
    pub(super) fn declaration(&self) -> Result<TableDecl, RunError> {
        self.declaration_of(&self.shape, self.version)
    }

    /// The declaration that follows when the table gets another shape.
    pub(super) fn next_declaration(&self, shape: &TableShape) -> Result<TableDecl, RunError> {
        self.declaration_of(shape, self.version + 1)
    }

    fn declaration_of(&self, shape: &TableShape, version: u32) -> Result<TableDecl, RunError> {
        Ok(TableDecl {
            path: self.path.clone(),
            arrow_schema: schema_message(&shape.schema)
                .map_err(|error| self.encode_error(&error))?,
            primary_key: shape.primary_key.clone(),
            partition_by: shape.partition_by.clone(),
            schema_version: version,
        })
    }

    /// The rows of a batch that are not at the sink yet, in the target's shape.
    pub(super) fn new_rows(
        &mut self,
        source: u32,
        batch: &RecordBatch,
        origin: &Origin,
    ) -> Result<Option<NewRows>, RunError> {
        let Some(feed) = self
            .feeds
            .iter_mut()
            .find(|feed| feed.source == Some(source))
        else {
            return Ok(None);
        };
        let rows = batch.num_rows();
        let done = feed.done.rows.saturating_sub(feed.since.rows);
        let first = usize::try_from(done).unwrap_or(rows).min(rows);
        feed.since.rows += rows as u64;
        // A batch without rows makes its table known all the same.
        if first == rows && rows > 0 {
            return Ok(None);
        }
        if feed.since.changes < feed.done.changes {
            return Err(RunError::Encode {
                table: self.path.to_string(),
                reason:
                    "the source did not repeat the schema changes that it told before the run was \
                         interrupted; start anew with --fresh"
                        .to_owned(),
            });
        }
        let batch = batch.slice(first, rows - first);
        let first = u32::try_from(first).unwrap_or(u32::MAX);
        let Some(coercion) = &feed.coercion else {
            return Ok(Some(NewRows { batch, first }));
        };
        match coercion.apply(&batch) {
            Ok(batch) => Ok(Some(NewRows { batch, first })),
            Err(faults) => Err(RunError::BadRows {
                table: self.path.to_string(),
                message: "rows do not fit the table's schema".to_owned(),
                total: faults.len(),
                rows: faults
                    .into_iter()
                    .take(NAMED_ROWS)
                    .map(|fault| RefusedRow {
                        place: origin.locate(first + u32::try_from(fault.row).unwrap_or(0)),
                        column: Some(fault.column),
                        reason: fault.reason,
                    })
                    .collect(),
            }),
        }
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
