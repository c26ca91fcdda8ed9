//! Schema changes on their way from the source's tables to the sink's.
//!
//! Before a table changes, its rows are prepared and committed, and its alone: what is stored then
//! says how far it is ahead of the last checkpoint, so that after a restart nothing is written
//! twice. The change is made at an instance of its own; the writers hear of it with the next
//! declaration. The sink takes a change that it finds made as done, so a run that died in between
//! repeats it.

use std::sync::Arc;

use arrow_schema::{ArrowError, FieldRef, Schema};
use longshore_runtime::contract::{ColumnAdd, ColumnPosition, ColumnType, SchemaChange, TablePath};
use tokio::sync::oneshot;

use super::attempt::Attempt;
use super::encode::schema_message;
use super::error::RunError;
use super::instance::Command;
use super::targets::Reshaped;
use crate::evolution::{AddedColumn, ColumnPlace, TableChange};
use crate::source::{Removal, SourceTable, TableId};

/// Why a change is left out that no sink refused.
const BY_DEFINITION: &str =
    "schema.change.behavior, include.schema.changes and exclude.schema.changes have it so";

impl Attempt<'_> {
    /// A source table came, or has another shape.
    pub(super) async fn table_came(&mut self, table: &SourceTable) -> Result<(), RunError> {
        let paths = self.paths_of(&table.path)?;
        for index in self.targets.fed_by(&table.path, Some(table.id), paths) {
            let Reshaped { changes, counts } = self.targets.reshape(index, table)?;
            for change in &changes {
                self.evolve(index, &table.path, change).await?;
            }
            if let Some(target) = self.targets.tables.get_mut(index) {
                target.reshaped(table);
            }
            if counts {
                self.changed(index, &table.path)?;
            }
            if let Some(target) = self.targets.tables.get_mut(index) {
                target.fit_feeds(&self.coordinator.settings.evolution)?;
            }
        }
        Ok(())
    }

    /// A source table was truncated or dropped.
    pub(super) async fn removed(
        &mut self,
        removal: Removal,
        change: TableChange,
    ) -> Result<(), RunError> {
        let arrivals = self.arrivals;
        let table = removal.table;
        let paths = self.paths_of(&table)?;
        let name = table.to_string();
        for index in self.targets.fed_by(&table, None, paths) {
            let Some(target) = self.targets.tables.get_mut(index) else {
                continue;
            };
            let shared = target.feeds.len() > 1;
            let feed = target.feeds.iter_mut().find(|feed| feed.name == name);
            if feed.is_some_and(|feed| feed.is_repeated_change()) {
                continue;
            }
            if shared {
                let why = format!("table {} holds rows of other tables too", target.path);
                self.left_out(&table, &change, &why);
            } else {
                self.evolve(index, &table, &change).await?;
            }
            self.changed(index, &table)?;
        }
        // What came meanwhile has a later position.
        if self.arrivals == arrivals {
            self.cut = Some(removal.position);
            self.at_cut = true;
        }
        Ok(())
    }

    pub(super) fn paths_of(&mut self, table: &TableId) -> Result<Vec<TablePath>, RunError> {
        let paths = self
            .coordinator
            .router
            .route(table)
            .map_err(|collision| RunError::Route(Box::new(collision)))?;
        let paths = paths.into_iter().map(|path| TablePath {
            catalog: path.catalog,
            schema: path.schema,
            table: path.table,
        });
        Ok(paths.collect())
    }

    /// Lets a target follow a change of a source table, as far as it is to.
    async fn evolve(
        &mut self,
        index: usize,
        source: &TableId,
        change: &TableChange,
    ) -> Result<(), RunError> {
        let Some(target) = self.targets.tables.get(index) else {
            return Ok(());
        };
        let evolution = self.coordinator.settings.evolution.clone();
        let steps =
            evolution
                .derive(change, &target.shape)
                .map_err(|refusal| RunError::SchemaChange {
                    source_table: source.to_string(),
                    target: target.path.to_string(),
                    change: change.to_string(),
                    reason: refusal.to_string(),
                })?;
        let is_removal = matches!(change, TableChange::Truncate | TableChange::Drop);
        if steps.is_empty() && (is_removal || target.shape.after(change) != target.shape) {
            self.left_out(source, change, BY_DEFINITION);
        }
        let tolerant = evolution.tolerates_failures();
        for step in steps.into_iter().flat_map(|step| parts(step, tolerant)) {
            self.commit_table(index).await?;
            let Some(target) = self.targets.tables.get(index) else {
                return Ok(());
            };
            let next = target.shape.after(&step);
            self.coordinator.store.check_owner()?;
            let at_service = contract(&step).map_err(|error| RunError::Encode {
                table: target.path.to_string(),
                reason: error.to_string(),
            })?;
            match self.change_schema(index, at_service, &next).await? {
                Ok(()) => {
                    tracing::info!(table = %source, "{step}: done at the sink");
                    self.targets.adopt(index, next)?;
                    if step == TableChange::Drop
                        && let Some(target) = self.targets.tables.get_mut(index)
                    {
                        target.created = false;
                    }
                }
                Err(error) if tolerant => {
                    self.left_out(source, &step, &error.to_string());
                    if let Some(target) = self.targets.tables.get_mut(index) {
                        target.declare_anew();
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A change of a source table has been dealt with: it must not be again.
    fn changed(&mut self, index: usize, source: &TableId) -> Result<(), RunError> {
        let name = source.to_string();
        if let Some(target) = self.targets.tables.get_mut(index) {
            for feed in target.feeds.iter_mut().filter(|feed| feed.name == name) {
                feed.since.changes += 1;
            }
            if target.unprepared {
                // Nothing was done at the sink, so nothing would be done twice.
                return Ok(());
            }
        }
        let state = self.targets.state_ahead(index);
        self.coordinator
            .store
            .store_table(Vec::new(), &state, &[])?;
        self.rows_seen = true;
        self.unstored = true;
        Ok(())
    }

    fn left_out(&mut self, source: &TableId, change: &TableChange, why: &str) {
        let warning = format!("table {source}: {change}: not applied: {why}");
        tracing::warn!("{warning}");
        self.report.warnings.push(warning);
    }

    /// Makes the rows of one table visible, while the others go on.
    async fn commit_table(&mut self, index: usize) -> Result<(), RunError> {
        // How far a table is ahead means something only beside a position of the source, which
        // notices when its input is another one.
        if self.unstored && self.at_cut && self.coordinator.store.latest()?.is_none() {
            return self.checkpoint(false).await;
        }
        let id = self.coordinator.store.next_id()?;
        let mut committables = Vec::new();
        let mut states = Vec::new();
        if self.targets.tables.get(index).is_some_and(|t| t.unprepared) {
            let mut answers = Vec::with_capacity(self.instances.len());
            for instance in 0..self.instances.len() {
                let (done, answer) = oneshot::channel();
                let command = Command::PrepareTable {
                    target: index,
                    checkpoint: id,
                    done,
                };
                self.send(instance, command).await?;
                answers.push(answer);
            }
            for answer in answers {
                match answer.await {
                    Ok((new, state)) => {
                        committables.extend(new);
                        states.push(state);
                    }
                    Err(_) => return Err(self.first_failure().await),
                }
            }
        }
        let state = self.targets.state_ahead(index);
        if !states.is_empty() {
            // What was noted before names sessions that are prepared now.
            self.notes.take();
        }
        let store = &mut self.coordinator.store;
        let stored = store.store_table(committables, &state, &states)?;
        // Before the first checkpoint a table can only change at a cut, where that is taken.
        let pending = stored.ok_or(RunError::SourceDied)?;
        self.commit(pending).await?;
        if let Some(target) = self.targets.tables.get_mut(index) {
            target.unprepared = false;
        }
        Ok(())
    }
}

/// The changes that fail or succeed alone, where a failure is borne.
fn parts(change: TableChange, alone: bool) -> Vec<TableChange> {
    match change {
        TableChange::AlterTypes(columns) if alone => columns
            .into_iter()
            .map(|column| TableChange::AlterTypes(vec![column]))
            .collect(),
        other => vec![other],
    }
}

/// The change in the contract's words.
fn contract(change: &TableChange) -> Result<SchemaChange, ArrowError> {
    let message = |field: &FieldRef| schema_message(&Schema::new(vec![Arc::clone(field)]));
    Ok(match change {
        TableChange::AddColumns(columns) => {
            let add = |column: &AddedColumn| -> Result<ColumnAdd, ArrowError> {
                Ok(ColumnAdd {
                    arrow_field: message(&column.field)?,
                    position: match &column.place {
                        ColumnPlace::First => ColumnPosition::First,
                        ColumnPlace::Last => ColumnPosition::Last,
                        ColumnPlace::After(name) => ColumnPosition::After(name.clone()),
                    },
                })
            };
            SchemaChange::AddColumns(columns.iter().map(add).collect::<Result<_, _>>()?)
        }
        TableChange::AlterTypes(columns) => {
            let alter = |field: &FieldRef| -> Result<ColumnType, ArrowError> {
                Ok(ColumnType {
                    name: field.name().clone(),
                    arrow_field: message(field)?,
                })
            };
            SchemaChange::AlterType(columns.iter().map(alter).collect::<Result<_, _>>()?)
        }
        TableChange::RenameColumns(pairs) => SchemaChange::RenameColumns(pairs.clone()),
        TableChange::DropColumns(names) => SchemaChange::DropColumns(names.clone()),
        TableChange::SetComment(comment) => SchemaChange::SetComment(comment.clone()),
        TableChange::Truncate => SchemaChange::Truncate,
        TableChange::Drop => SchemaChange::Drop,
    })
}
