//! One attempt: from the last checkpoint to the end of the source, or to the first failure that
//! only a fresh start can cure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::RecordBatch;
use longshore_runtime::NoDeadLetters;
use longshore_runtime::contract::{Committable, State};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::commit;
use super::dead_letter_box::DeadLetterBox;
use super::driver::SinkDriver;
use super::error::RunError;
use super::instance::{Command, Instance, Prepared, Rows, SinkCounts};
use super::meanwhile::{Kept, hear};
use super::notes::{Notes, WatchedState};
use super::patience::Patience;
use super::source_thread::{self, FromSource};
use super::targets::Targets;
use super::{Coordinator, SPANS};
use crate::checkpoint_store::{Checkpoint, NewCheckpoint, Pending, TableRows};
use crate::dead_letters::{DeadLetterBatch, write_files};
use crate::evolution::TableChange;
use crate::report::{Outcome, Report};
use crate::source::{OP_COLUMN, Operation, Position, SourceBatch, SourceEvent, SourceStats};

/// Commands waiting for one instance. A batch is about 1 MiB.
const QUEUE: usize = 1;

/// Runs one attempt. What became visible is counted in `report`.
pub(super) async fn run(
    coordinator: &mut Coordinator,
    report: &mut Report,
) -> Result<Outcome, RunError> {
    let mut attempt = Attempt::new(coordinator, report);
    let result = attempt.run().await;
    attempt.end(result).await
}

pub(super) struct Attempt<'a> {
    pub(super) coordinator: &'a mut Coordinator,
    pub(super) report: &'a mut Report,
    pub(super) targets: Targets,
    pub(super) instances: Vec<mpsc::Sender<Command>>,
    tasks: JoinSet<Result<(), RunError>>,
    pub(super) notes: Arc<Notes>,
    committer: Option<Box<dyn SinkDriver>>,
    /// The instance that changes tables, once one was to be changed.
    pub(super) statements: Option<mpsc::Sender<Command>>,
    /// What the source says.
    pub(super) events: Option<mpsc::Receiver<FromSource>>,
    /// What it said while a table was being changed.
    pub(super) kept: Kept,
    contacted: Arc<AtomicBool>,
    /// Where the source goes on after the rows that came so far.
    pub(super) cut: Option<Position>,
    /// The last batch completed a cut.
    pub(super) at_cut: bool,
    /// Batches that came.
    pub(super) arrivals: u64,
    pub(super) rows_seen: bool,
    /// Rows were handed out since the last checkpoint.
    pub(super) unstored: bool,
    /// Bytes of request bodies of all instances up to the last `prepare`.
    bytes_sent: u64,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(coordinator: &'a mut Coordinator, report: &'a mut Report) -> Self {
        Self {
            targets: Targets::new(coordinator.settings.parallelism.max(1) as usize),
            // A run starts over only from what it lost at the service, so it had reached it.
            contacted: Arc::new(AtomicBool::new(
                report.checkpoints > 0 || report.restarts > 0,
            )),
            coordinator,
            report,
            instances: Vec::new(),
            tasks: JoinSet::new(),
            notes: Arc::default(),
            committer: None,
            statements: None,
            events: None,
            kept: Kept::default(),
            cut: None,
            at_cut: true,
            arrivals: 0,
            rows_seen: false,
            unstored: false,
            bytes_sent: 0,
        }
    }

    /// Ends the instances; the result with what came of that.
    pub(super) async fn end<T>(mut self, result: Result<T, RunError>) -> Result<T, RunError> {
        if result.is_err() {
            // What the instances hold is not visible; nothing of it may be finished now.
            self.tasks.abort_all();
        }
        let closed = self.close().await;
        self.report.bytes_sent += self.bytes_sent;
        // The first failure says more than those that followed from it.
        result.and_then(|outcome| closed.map(|()| outcome))
    }

    async fn run(&mut self) -> Result<Outcome, RunError> {
        // Whoever took the store over ended the sessions of this run, not the other way round.
        self.coordinator.store.check_owner()?;
        let pending = self.coordinator.store.pending()?;
        if !pending.is_empty() {
            tracing::info!(items = pending.len(), "committing what the last run left");
            // It had reached the service: a commit that takes long does not mean a wrong endpoint.
            self.contacted.store(true, Ordering::Relaxed);
            self.report.recommitted += self.commit(pending).await?;
        }
        self.dead_letters_stored(false)?;
        let latest = self.coordinator.store.latest()?;
        if let Some(checkpoint) = &latest {
            self.coordinator.requests.committed(checkpoint.id);
            self.report.resumed_from.get_or_insert(checkpoint.id);
        }
        let position = latest
            .as_ref()
            .map(|checkpoint| checkpoint.position.clone());
        self.cut.clone_from(&position);
        if let Some(state) = self.coordinator.store.targets()? {
            self.targets.restore(&state)?;
        }
        let platform = Arc::clone(&self.coordinator.platform);
        let open = Arc::clone(&self.coordinator.source);
        self.events = Some(source_thread::start(&*platform, open, position)?);
        self.open_instances(latest.as_ref()).await?;

        let interval = self.coordinator.settings.checkpoint_interval;
        let mut timer = platform.sleep(interval);
        let requests = Arc::clone(&self.coordinator.requests);
        let notes = Arc::clone(&self.notes);
        let mut stop = self.coordinator.stop.clone();
        loop {
            while let Some(said) = self.kept.take() {
                if let Some(outcome) = self.take(said).await? {
                    return Ok(outcome);
                }
            }
            let idle = self.at_cut;
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next() => return Err(instance_error(ended)),
                () = stop.wait(), if idle => {
                    self.checkpoint(false).await?;
                    return Ok(Outcome::Interrupted);
                }
                () = &mut timer, if idle && self.unstored => {
                    timer = platform.sleep(interval);
                    self.checkpoint(false).await?;
                }
                () = requests.wanted(), if idle && self.unstored => {
                    self.checkpoint(false).await?;
                    timer = platform.sleep(interval);
                }
                () = notes.changed() => self.store_notes()?,
                said = hear(&mut self.events) => {
                    let said = said.ok_or(RunError::SourceDied)?;
                    self.heard(&said);
                    if let Some(outcome) = self.take(said).await? {
                        return Ok(outcome);
                    }
                },
            }
        }
    }

    pub(super) async fn open_instances(
        &mut self,
        latest: Option<&Checkpoint>,
    ) -> Result<(), RunError> {
        let settings = &self.coordinator.settings;
        let parallelism = settings.parallelism.max(1);
        // After a run that came to its end a new one begins, which has no state yet.
        let states: &[State] = latest
            .filter(|checkpoint| !checkpoint.finished)
            .map_or(&[], |checkpoint| &checkpoint.states);
        if !states.is_empty() && states.len() != parallelism as usize {
            tracing::warn!(
                "the parallelism is {parallelism}, it was {}: the writers start without their former state",
                states.len()
            );
        }
        let same_number = states.len() == parallelism as usize;
        // What a run that died noted after its last checkpoint is newer.
        let noted = self.coordinator.store.noted_states()?;
        let noted: BTreeMap<u32, State> = noted.into_iter().collect();
        for subtask in 0..parallelism {
            let stored = states.get(subtask as usize).filter(|_| same_number);
            let restore = noted.get(&subtask).or(stored);
            let name = format!("writer {subtask}");
            let checkpoint = latest.map_or(0, |checkpoint| checkpoint.id);
            let opened = self.open_instance(name, subtask, restore, checkpoint);
            let sender = opened.await?;
            self.instances.push(sender);
        }
        Ok(())
    }

    pub(super) async fn open_instance(
        &mut self,
        name: String,
        subtask: u32,
        restore: Option<&State>,
        checkpoint: u64,
    ) -> Result<mpsc::Sender<Command>, RunError> {
        let settings = &self.coordinator.settings;
        let letter_box = DeadLetterBox::new(Arc::clone(&self.coordinator.requests));
        let mut driver = self
            .coordinator
            .sink
            .instance(&name, Arc::clone(&letter_box) as _)
            .await
            .map_err(|error| RunError::call("start the sink", error))?;
        let parallelism = settings.parallelism.max(1);
        driver
            .open_writer(&settings.sink_options, subtask, parallelism, restore)
            .await
            .map_err(|error| RunError::call("open the sink", error))?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let notes = Arc::clone(&self.notes);
        let state = WatchedState::new(subtask, checkpoint, restore.cloned(), notes);
        let instance = Instance::new(name, driver, letter_box, self.patience(), state);
        self.tasks
            .spawn(instance.run(receiver).instrument(tracing::Span::current()));
        Ok(sender)
    }

    fn patience(&self) -> Patience {
        Patience::new(
            self.coordinator.settings.retry,
            Arc::clone(&self.contacted),
            self.coordinator.stop.clone(),
            Arc::clone(&self.coordinator.live),
            Arc::clone(&self.coordinator.platform),
        )
    }

    fn store_notes(&mut self) -> Result<(), RunError> {
        for (subtask, state) in self.notes.take() {
            self.coordinator.store.note_state(subtask, &state)?;
        }
        Ok(())
    }

    /// Notes where the source goes on, where that is what it said.
    pub(super) fn heard(&mut self, said: &FromSource) {
        if let FromSource::Event(event) = said
            && let SourceEvent::Batch(batch) = event.as_ref()
        {
            self.arrivals += 1;
            self.at_cut = batch.position.is_some();
            if self.at_cut {
                self.cut.clone_from(&batch.position);
            }
        }
    }

    /// Does what the source said; the outcome when that was its end.
    pub(super) async fn take(&mut self, said: FromSource) -> Result<Option<Outcome>, RunError> {
        match said {
            FromSource::Event(event) => match *event {
                SourceEvent::Table(table) => self.table_came(&table).await?,
                SourceEvent::Truncate(removal) => {
                    self.removed(removal, TableChange::Truncate).await?;
                }
                SourceEvent::Drop(removal) => self.removed(removal, TableChange::Drop).await?,
                SourceEvent::Batch(batch) => self.deal(batch).await?,
            },
            FromSource::Failed(error) => return Err(error.into()),
            FromSource::End(stats) => return self.ended(stats).await.map(Some),
        }
        Ok(None)
    }

    async fn ended(&mut self, stats: SourceStats) -> Result<Outcome, RunError> {
        self.report.note_source(stats);
        let nothing_new = !self.rows_seen && self.report.resumed_from.is_some();
        if !nothing_new {
            self.checkpoint(true).await?;
        }
        // The last rows may have been stored before the end was known.
        self.coordinator.store.mark_finished()?;
        self.dead_letters_stored(true)?;
        Ok(match nothing_new {
            true => Outcome::NothingNew,
            false => Outcome::Finished,
        })
    }

    /// Hands the rows of a batch to the instances.
    async fn deal(&mut self, batch: SourceBatch) -> Result<(), RunError> {
        let events = event_count(&batch.batch);
        let origin = Arc::new(batch.origin);
        for target in self.targets.of_source(batch.table) {
            let Some(table) = self.targets.tables.get_mut(target) else {
                continue;
            };
            let Some(new) = table.new_rows(batch.table, &batch.batch, &origin)? else {
                continue;
            };
            self.report.rows_came(&table.rows.table);
            self.declare(target).await?;
            let instances = self.instances.len();
            let Some(table) = self.targets.tables.get_mut(target) else {
                continue;
            };
            let new_events = event_count(&new.batch);
            table.rows.read += new_events;
            table.bytes += batch.bytes;
            table.unprepared = true;
            self.coordinator.live.metrics.read(
                &table.rows.table,
                new_events,
                batch.bytes,
                origin.newest_event_ms(),
            );
            for share in table.split(&new.batch, instances)? {
                let rows = Rows {
                    target,
                    rows: new.places(&share),
                    batch: share.batch,
                    origin: Arc::clone(&origin),
                };
                self.send(share.instance, Command::Write(rows)).await?;
            }
        }
        let live = &self.coordinator.live;
        live.rows.fetch_add(events, Ordering::Relaxed);
        live.bytes.fetch_add(batch.bytes, Ordering::Relaxed);
        self.rows_seen = true;
        self.unstored = true;
        Ok(())
    }

    /// Makes a table ready before its first rows: at one instance first, so that a missing table is
    /// created once, then at the others.
    pub(super) async fn declare(&mut self, target: usize) -> Result<(), RunError> {
        let Some(table) = self.targets.tables.get_mut(target) else {
            return Ok(());
        };
        if table.declared {
            return Ok(());
        }
        table.declared = true;
        table.created = true;
        let schema = Arc::clone(&table.shape.schema);
        let declaration = Arc::new(table.declaration()?);
        for instance in 0..self.instances.len() {
            let (done, answer) = oneshot::channel();
            let table = Arc::clone(&declaration);
            let schema = Arc::clone(&schema);
            self.send(
                instance,
                Command::Declare {
                    target,
                    table,
                    schema,
                    done,
                },
            )
            .await?;
            if instance == 0 && answer.await.is_err() {
                return Err(self.first_failure().await);
            }
        }
        Ok(())
    }

    pub(super) async fn send(&mut self, instance: usize, command: Command) -> Result<(), RunError> {
        let sent = match self.instances.get(instance) {
            Some(sender) => sender.send(command).await.is_ok(),
            None => false,
        };
        if sent {
            Ok(())
        } else {
            Err(self.first_failure().await)
        }
    }

    /// The error of an instance that is known to have ended.
    pub(super) async fn first_failure(&mut self) -> RunError {
        match self.tasks.join_next().await {
            Some(ended) => instance_error(ended),
            None => RunError::InstanceDied,
        }
    }

    /// Takes a checkpoint at the current cut and makes it visible.
    pub(super) async fn checkpoint(&mut self, finished: bool) -> Result<(), RunError> {
        if !self.unstored {
            return Ok(());
        }
        // Rows without a position after them can not be resumed from: a source must not do that.
        let Some(position) = self.cut.clone().filter(|_| self.at_cut) else {
            return Err(RunError::SourceDied);
        };
        let id = self.coordinator.store.next_id()?;
        let started = std::time::Instant::now();
        let span = tracing::info_span!(target: SPANS, "checkpoint", checkpoint = id);
        let AllPrepared {
            committables,
            states,
            dead_letters,
        } = self.prepare(id).instrument(span.clone()).await?;
        let tables: Vec<TableRows> = self
            .targets
            .tables
            .iter_mut()
            .filter(|target| target.rows.read > 0)
            .map(|target| {
                let left_out = target.rows.skipped + target.rows.dead_letters;
                target.rows.written = target.rows.read.saturating_sub(left_out);
                target.rows.clone()
            })
            .collect();
        // What was noted before names sessions that are prepared now.
        self.notes.take();
        self.coordinator.store.store(&NewCheckpoint {
            id,
            position: &position,
            finished,
            committables: &committables,
            states: &states,
            tables: &tables,
            dead_letters: &dead_letters,
            targets: &self.targets.state_at_checkpoint(),
        })?;
        self.targets.checkpoint_stored();
        let pending = (0..)
            .zip(committables)
            .map(|(sequence, committable)| Pending {
                checkpoint: id,
                sequence,
                committable,
            })
            .collect();
        self.commit(pending).instrument(span).await?;
        self.coordinator.requests.committed(id);
        self.unstored = false;
        self.count_visible();
        self.coordinator.live.metrics.checkpoint(started.elapsed());
        tracing::info!(checkpoint = id, "checkpoint complete");
        self.dead_letters_stored(false)
    }

    /// Writes dead letters to files, where that is wanted, and fails when there are too many.
    fn dead_letters_stored(&mut self, finished: bool) -> Result<(), RunError> {
        let policy = &self.coordinator.settings.dead_letters;
        if let Some(directory) = &policy.files {
            write_files(&mut self.coordinator.store, directory)?;
        }
        let too_many = |table: &str, reason| RunError::TooManyDeadLetters {
            table: table.to_owned(),
            reason,
        };
        if policy.limits_rows() {
            for (table, rows) in self.coordinator.store.dead_letter_counts()? {
                if let Some(reason) = policy.too_many(&table, rows) {
                    return Err(too_many(&table, reason));
                }
            }
        }
        for rows in &self.report.tables {
            if let Some(reason) = policy.too_large_a_share(rows, finished) {
                return Err(too_many(&rows.table, reason));
            }
        }
        Ok(())
    }

    pub(super) async fn prepare(&mut self, checkpoint: u64) -> Result<AllPrepared, RunError> {
        let mut answers = Vec::with_capacity(self.instances.len());
        for instance in 0..self.instances.len() {
            let (done, answer) = oneshot::channel();
            let span = tracing::Span::current();
            let prepare = Command::Prepare {
                checkpoint,
                span,
                done,
            };
            self.send(instance, prepare).await?;
            answers.push(answer);
        }
        let mut all = AllPrepared::default();
        let mut bytes_sent = 0;
        for answer in answers {
            let Ok(Prepared {
                committables: new,
                state,
                counts,
                dead_letters,
                traffic,
            }) = answer.await
            else {
                return Err(self.first_failure().await);
            };
            all.committables.extend(new);
            all.states.push(state);
            all.dead_letters.extend(dead_letters);
            bytes_sent += traffic.bytes_sent;
            let first = self
                .report
                .first_byte
                .into_iter()
                .chain(traffic.first_body_byte)
                .min();
            self.report.first_byte = first;
            for (name, counts) in counts {
                self.count(&name, counts);
            }
        }
        self.bytes_sent = bytes_sent;
        Ok(all)
    }

    /// The sink may name a table with its defaults filled in; the last part is the same.
    fn count(&mut self, name: &str, counts: SinkCounts) {
        let same = |path: &str| {
            let longer = name.len().checked_sub(path.len() + 1);
            name.eq_ignore_ascii_case(path)
                || longer
                    .and_then(|at| name.split_at_checked(at))
                    .is_some_and(|(_, rest)| {
                        rest.strip_prefix('.')
                            .is_some_and(|rest| rest.eq_ignore_ascii_case(path))
                    })
        };
        if let Some(target) = self
            .targets
            .tables
            .iter_mut()
            .find(|target| same(&target.path.to_string()))
        {
            target.rows.skipped += counts.ignored;
            target.rows.dead_letters += counts.dead_letters;
            target.rows.nulled += counts.nulled;
        }
    }

    pub(super) async fn commit(&mut self, pending: Vec<Pending>) -> Result<u64, RunError> {
        if pending.is_empty() {
            return Ok(0);
        }
        let mut committer = match self.committer.take() {
            Some(committer) => committer,
            None => self.open_committer().await?,
        };
        let mut patience = self.patience();
        let span = tracing::info_span!(target: SPANS, "commit", items = pending.len());
        let result = commit::commit(
            &mut *committer,
            &mut self.coordinator.store,
            pending,
            &mut patience,
            &self.coordinator.requests,
        )
        .instrument(span)
        .await;
        self.committer = Some(committer);
        result
    }

    async fn open_committer(&self) -> Result<Box<dyn SinkDriver>, RunError> {
        let mut committer = self
            .coordinator
            .sink
            .instance("committer", Arc::new(NoDeadLetters))
            .await
            .map_err(|error| RunError::call("start the committer", error))?;
        committer
            .open_committer(&self.coordinator.settings.sink_options)
            .await
            .map_err(|error| RunError::call("open the committer", error))?;
        Ok(committer)
    }

    fn count_visible(&mut self) {
        self.report.checkpoints += 1;
        for target in &mut self.targets.tables {
            target.unprepared = false;
            if target.rows.read > 0 {
                self.coordinator.live.metrics.visible(&target.rows);
            }
            self.report
                .count(&target.rows, std::mem::take(&mut target.bytes));
            target.rows = TableRows {
                table: target.path.to_string(),
                ..TableRows::default()
            };
        }
        self.coordinator
            .live
            .visible
            .store(self.report.rows().written, Ordering::Relaxed);
    }

    /// Lets the instances end. Rows that were not prepared are given up.
    async fn close(&mut self) -> Result<(), RunError> {
        self.instances.clear();
        self.statements = None;
        let mut result = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            if !matches!(ended, Ok(Ok(()))) && result.is_ok() {
                result = Err(instance_error(ended));
            }
        }
        result
    }
}

/// What all instances prepared.
#[derive(Default)]
pub(super) struct AllPrepared {
    pub(super) committables: Vec<Committable>,
    pub(super) states: Vec<State>,
    pub(super) dead_letters: Vec<DeadLetterBatch>,
}

/// Why an instance ended although more was to come.
fn instance_error(ended: Result<Result<(), RunError>, tokio::task::JoinError>) -> RunError {
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(())) | Err(_) => RunError::InstanceDied,
    }
}

/// Changes in a batch: the two rows of an update count once.
fn event_count(batch: &RecordBatch) -> u64 {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int8Type;

    let rows = batch.num_rows();
    let halves = batch
        .column_by_name(OP_COLUMN)
        .and_then(|column| column.as_primitive_opt::<Int8Type>())
        .map_or(0, |operations| {
            let before = Operation::UpdateBefore as i8;
            operations
                .values()
                .iter()
                .filter(|operation| **operation == before)
                .count()
        });
    (rows - halves) as u64
}
