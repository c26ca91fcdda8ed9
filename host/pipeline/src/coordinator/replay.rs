//! Writing dead letters again, each once.
//!
//! The rows go the way of all others: prepared, then stored, then committed. What is stored, in one
//! transaction, is that they are dead letters no longer and what makes them visible. A replay that
//! dies before it leaves them where they were; one that dies after it is finished by the next run or
//! replay, before it does anything else.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{ArrayRef, Int8Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{ArrowError, Schema};

use super::attempt::{AllPrepared, Attempt};
use super::error::{RefusedRow, RunError};
use super::instance::{Command, NAMED_ROWS, Rows};
use super::{Coordinator, Stop};
use crate::checkpoint_store::{Checkpoint, StoredDeadLetters};
use crate::evolution::Coercion;
use crate::report::Report;
use crate::source::{OP_COLUMN, Operation, Origin};

/// Bytes of rows that are written between two transactions.
const STEP_BYTES: usize = 32 << 20;

/// Which dead letters to write again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplaySelection {
    /// Those of this target table, dotted; none = of all tables.
    pub table: Option<String>,
    /// Those of tables with a primary key too, where a row that is written again takes the place
    /// of a version that came after it.
    pub keyed: bool,
}

/// What a replay did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// By target table.
    pub tables: BTreeMap<String, ReplayedRows>,
    /// Committables of an earlier run that were committed first.
    pub recommitted: u64,
    /// It was asked to stop before it had come to the end.
    pub interrupted: bool,
}

/// Dead letters of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayedRows {
    /// Written again, and dead letters no longer.
    pub written: u64,
    /// Kept aside once more.
    pub again: u64,
    /// Left alone, because the table has a primary key.
    pub left: u64,
}

impl Coordinator {
    /// Writes dead letters of the store again. The source is not opened.
    ///
    /// # Errors
    /// As a run. Dead letters that are not committed are where they were.
    pub async fn replay(mut self, selection: &ReplaySelection) -> (Replayed, Result<(), RunError>) {
        let mut replayed = Replayed::default();
        let mut stop = self.stop.clone();
        let result = tokio::select! {
            biased;
            result = replay(&mut self, selection, &mut replayed) => result,
            () = stop.wait_for_limit() => Err(RunError::StopLimit),
        };
        (replayed, result)
    }
}

async fn replay(
    coordinator: &mut Coordinator,
    selection: &ReplaySelection,
    replayed: &mut Replayed,
) -> Result<(), RunError> {
    // The writers go on with the state they have, and as many of them.
    let latest = coordinator.store.latest()?.map(|latest| Checkpoint {
        finished: false,
        ..latest
    });
    let writers = latest.as_ref().map_or(0, |latest| latest.states.len());
    if let Ok(writers @ 1..) = u32::try_from(writers) {
        coordinator.settings.parallelism = writers;
    }
    let mut report = Report::default();
    let stop = coordinator.stop.clone();
    let mut attempt = Attempt::new(coordinator, &mut report);
    let result = attempt
        .replay(latest.as_ref(), selection, &stop, replayed)
        .await;
    attempt.end(result).await
}

impl Attempt<'_> {
    async fn replay(
        &mut self,
        latest: Option<&Checkpoint>,
        selection: &ReplaySelection,
        stop: &Stop,
        replayed: &mut Replayed,
    ) -> Result<(), RunError> {
        self.coordinator.store.check_owner()?;
        let pending = self.coordinator.store.pending()?;
        replayed.recommitted = self.commit(pending).await?;
        if let Some(state) = self.coordinator.store.targets()? {
            self.targets.restore(&state)?;
        }
        let groups: Vec<(i64, String)> = self
            .coordinator
            .store
            .dead_letter_groups()?
            .into_iter()
            .filter(|(_, table)| selection.table.as_ref().is_none_or(|only| only == table))
            .collect();
        let mut step = Step::default();
        let mut groups = groups.into_iter().peekable();
        while let Some((group, table)) = groups.next() {
            let letters = self.coordinator.store.dead_letter_group(group)?;
            let count = letters.letters.len() as u64;
            let target = self.known(&table)?;
            let keyed = self.targets.tables.get(target);
            let keyed = keyed.is_some_and(|target| !target.shape.primary_key.is_empty());
            if keyed && !selection.keyed {
                replayed.tables.entry(table).or_default().left += count;
            } else {
                if self.instances.is_empty() {
                    self.open_instances(latest).await?;
                }
                step.bytes += letters.ipc.len();
                step.groups.push(group);
                *step.rows.entry(table).or_default() += count;
                self.write_again(target, letters).await?;
            }
            let full = step.bytes >= STEP_BYTES || groups.peek().is_none() || stop.requested();
            if full && !step.groups.is_empty() {
                self.finish_step(std::mem::take(&mut step), replayed)
                    .await?;
            }
            if stop.requested() && groups.peek().is_some() {
                replayed.interrupted = true;
                break;
            }
        }
        Ok(())
    }

    fn known(&self, table: &str) -> Result<usize, RunError> {
        let mut targets = self.targets.tables.iter();
        targets
            .position(|target| target.path.to_string() == table)
            .ok_or_else(|| RunError::Encode {
                table: table.to_owned(),
                reason: "the checkpoint does not know the table; export its dead letters, and let a pipeline of its own \
                         read them"
                    .into(),
            })
    }

    async fn write_again(
        &mut self,
        target: usize,
        letters: StoredDeadLetters,
    ) -> Result<(), RunError> {
        let unreadable = |error: ArrowError| RunError::Encode {
            table: letters.table.clone(),
            reason: format!("its dead letters are unreadable: {error}"),
        };
        let reader = StreamReader::try_new(letters.ipc.as_slice(), None).map_err(unreadable)?;
        let mut places = letters.letters.iter().map(|letter| letter.place.clone());
        for batch in reader {
            let batch = batch.map_err(unreadable)?;
            let rows = batch.num_rows();
            let origin = Origin::named(places.by_ref().take(rows).collect());
            let batch = complete_changes(&batch).map_err(unreadable)?;
            let batch = self.in_todays_shape(target, &batch, &origin)?;
            let origin = Arc::new(origin);
            self.declare(target).await?;
            let instances = self.instances.len();
            let Some(table) = self.targets.tables.get_mut(target) else {
                continue;
            };
            for share in table.split(&batch, instances)? {
                let rows = Rows {
                    target,
                    batch: share.batch,
                    rows: share.rows,
                    origin: Arc::clone(&origin),
                };
                self.send(share.instance, Command::Write(rows)).await?;
            }
        }
        Ok(())
    }

    /// Rows as their table looks now.
    fn in_todays_shape(
        &self,
        target: usize,
        batch: &RecordBatch,
        origin: &Origin,
    ) -> Result<RecordBatch, RunError> {
        let Some(target) = self.targets.tables.get(target) else {
            return Ok(batch.clone());
        };
        let table = target.path.to_string();
        let schema = batch.schema();
        let fields = schema.fields().iter();
        let plain = fields.filter(|field| field.name() != OP_COLUMN).cloned();
        let plain = Arc::new(Schema::new(plain.collect::<Vec<_>>()));
        let zone = self.coordinator.settings.evolution.zone();
        let coercion = Coercion::between(&plain, &target.shape.schema, zone).map_err(|reason| {
            RunError::Encode {
                table: table.clone(),
                reason,
            }
        })?;
        let Some(coercion) = coercion else {
            return Ok(batch.clone());
        };
        coercion.apply(batch).map_err(|faults| RunError::BadRows {
            table,
            message: "dead letters do not fit the table's schema of now".to_owned(),
            total: faults.len(),
            rows: faults
                .into_iter()
                .take(NAMED_ROWS)
                .map(|fault| RefusedRow {
                    place: origin.locate(u32::try_from(fault.row).unwrap_or(0)),
                    column: Some(fault.column),
                    reason: fault.reason,
                })
                .collect(),
        })
    }

    async fn finish_step(&mut self, step: Step, replayed: &mut Replayed) -> Result<(), RunError> {
        let store = &self.coordinator.store;
        let newest = store.latest()?.map_or(0, |latest| latest.id);
        let id = store.next_id()?;
        let AllPrepared {
            committables,
            states,
            dead_letters,
        } = self.prepare(id).await?;
        // What was noted before names sessions that are prepared now.
        self.notes.take();
        let pending = self.coordinator.store.store_replayed(
            &step.groups,
            newest,
            committables,
            &states,
            &dead_letters,
        )?;
        // There are dead letters only where there was a checkpoint.
        self.commit(pending.ok_or(RunError::SourceDied)?).await?;
        for (table, rows) in step.rows {
            replayed.tables.entry(table).or_default().written += rows;
        }
        for batch in dead_letters {
            let rows = replayed.tables.entry(batch.table).or_default();
            let again = batch.letters.len() as u64;
            rows.again += again;
            rows.written = rows.written.saturating_sub(again);
        }
        Ok(())
    }
}

/// Dead letters that are removed in one transaction.
#[derive(Default)]
struct Step {
    groups: Vec<i64>,
    bytes: usize,
    rows: BTreeMap<String, u64>,
}

/// The old row of an update that was kept aside without the new one, which was written: what is left
/// to do is to remove it.
fn complete_changes(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let index = batch.schema().index_of(OP_COLUMN)?;
    let Some(operations) = batch.column(index).as_primitive_opt::<Int8Type>() else {
        return Ok(batch.clone());
    };
    let mut values = operations.values().to_vec();
    for row in 0..values.len() {
        let next = values.get(row + 1).copied();
        if let Some(value) = values.get_mut(row)
            && *value == Operation::UpdateBefore as i8
            && next != Some(Operation::UpdateAfter as i8)
        {
            *value = Operation::Delete as i8;
        }
    }
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    if let Some(column) = columns.get_mut(index) {
        *column = Arc::new(Int8Array::from(values));
    }
    RecordBatch::try_new(batch.schema(), columns)
}
