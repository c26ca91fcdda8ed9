//! One sink instance on its own task.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use longshore_runtime::contract::{
    BadRow, Batch, Committable, Credit, DeadLetters, ErrorClass, Metric, Progress, SchemaChange,
    SinkError, State, TableDecl,
};
use longshore_runtime::{CallError, Traffic};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use super::SPANS;
use super::dead_letter_box::DeadLetterBox;
use super::driver::SinkDriver;
use super::encode::TableEncoder;
use super::error::{RefusedRow, RunError};
use super::notes::WatchedState;
use super::patience::Patience;
use crate::dead_letters::{DeadLetter, DeadLetterBatch};
use crate::source::Origin;

/// How long one `drive` lasts while the instance has commands to wait for.
const DRIVE_IDLE_MS: u32 = 10;
/// How long one `drive` lasts while there is no credit.
const DRIVE_FULL_MS: u32 = 1000;
/// How often the sink's own values are read, where somebody looks at them.
const OBSERVE: Duration = Duration::from_secs(1);
/// Refused rows named in an error.
pub(super) const NAMED_ROWS: usize = 5;
/// How long closing may take; what is not closed by then expires at the service.
const CLOSE: Duration = Duration::from_secs(5);

/// What an instance is told to do. Commands are done in order.
pub(super) enum Command {
    /// Make a table, or a new version of one, ready.
    Declare {
        target: usize,
        table: Arc<TableDecl>,
        schema: SchemaRef,
        done: oneshot::Sender<()>,
    },
    /// Write rows of a declared table.
    Write(Rows),
    /// Prepare the rows of one table.
    PrepareTable {
        target: usize,
        checkpoint: u64,
        done: oneshot::Sender<(Vec<Committable>, State)>,
    },
    /// Change a table at the service. An answer that the sink can not do it goes to `done`.
    ChangeSchema {
        change: SchemaChange,
        next: Arc<TableDecl>,
        done: oneshot::Sender<Result<(), RunError>>,
    },
    /// Prepare a checkpoint.
    Prepare {
        checkpoint: u64,
        /// What it is a part of.
        span: tracing::Span,
        done: oneshot::Sender<Prepared>,
    },
}

/// Rows for one instance.
pub(super) struct Rows {
    pub(super) target: usize,
    pub(super) batch: RecordBatch,
    /// Index of each row in the source's batch; none = all of them, in place.
    pub(super) rows: Option<UInt32Array>,
    pub(super) origin: Arc<Origin>,
}

/// What `prepare` left.
pub(super) struct Prepared {
    pub(super) committables: Vec<Committable>,
    pub(super) state: State,
    /// What became of rows since the checkpoint before, by the sink's name of the table.
    pub(super) counts: BTreeMap<String, SinkCounts>,
    /// Rows kept aside since the checkpoint before.
    pub(super) dead_letters: Vec<DeadLetterBatch>,
    pub(super) traffic: Traffic,
}

/// What a sink counts of one table's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SinkCounts {
    /// Rows passed over on purpose.
    pub(super) ignored: u64,
    /// Rows kept aside.
    pub(super) dead_letters: u64,
    /// Values written as NULL because they did not fit.
    pub(super) nulled: u64,
}

/// An instance and what it knows.
pub(super) struct Instance {
    name: String,
    driver: Box<dyn SinkDriver>,
    patience: Patience,
    tables: HashMap<usize, Table>,
    credit: Credit,
    wake_after: Option<Duration>,
    /// Uploads may be under way that go on inside calls only.
    busy: bool,
    sequence: u64,
    /// As last read, from the start of the writer.
    counts: BTreeMap<String, SinkCounts>,
    letter_box: Arc<DeadLetterBox>,
    dead_letters: Vec<DeadLetterBatch>,
    /// When the sink's own values were read last.
    observed: Option<Instant>,
    state: WatchedState,
}

struct Table {
    id: u32,
    name: String,
    version: u32,
    encoder: TableEncoder,
}

/// Calls until it succeeds or patience ends.
macro_rules! persist {
    ($self:ident, $action:expr, $call:expr) => {
        loop {
            match $call.await {
                Ok(answer) => break answer,
                Err(error) => $self.patience.consider($action, error).await?,
            }
        }
    };
}

impl Instance {
    /// `driver` has an open writer; `name` tells it from the others.
    pub(super) fn new(
        name: String,
        driver: Box<dyn SinkDriver>,
        letter_box: Arc<DeadLetterBox>,
        patience: Patience,
        state: WatchedState,
    ) -> Self {
        Self {
            state,
            name,
            driver,
            patience,
            tables: HashMap::new(),
            // The contract gives the first credit with the answer to the first write.
            credit: Credit { bytes: 1, rows: 1 },
            wake_after: None,
            busy: false,
            sequence: 0,
            counts: BTreeMap::new(),
            letter_box,
            dead_letters: Vec::new(),
            observed: None,
        }
    }

    /// Works until the sender of commands is gone, then closes the writer.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
    ) -> Result<(), RunError> {
        let result = self.work(&mut commands).await;
        let usable = match &result {
            Ok(()) => true,
            Err(RunError::Call { error, .. }) => !error.is_fatal(),
            Err(_) => true,
        };
        // What is open is not visible and expires; closing only spares the service the wait.
        if usable && let Ok(Err(error)) = tokio::time::timeout(CLOSE, self.driver.close()).await {
            tracing::debug!("closing the writer: {error}");
        }
        result
    }

    async fn work(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<(), RunError> {
        while let Some(command) = self.next(commands).await? {
            match command {
                Command::Declare {
                    target,
                    table,
                    schema,
                    done,
                } => {
                    self.declare(target, &table, &schema).await?;
                    // Whoever asked may have given up meanwhile; the same goes for the answer below.
                    let _ = done.send(());
                }
                Command::Write(rows) => self.write(&rows).await?,
                Command::PrepareTable {
                    target,
                    checkpoint,
                    done,
                } => {
                    let _ = done.send(self.prepare_table(target, checkpoint).await?);
                }
                Command::ChangeSchema { change, next, done } => {
                    let _ = done.send(self.change_schema(&change, &next).await?);
                }
                Command::Prepare {
                    checkpoint,
                    span,
                    done,
                } => {
                    let span = tracing::info_span!(
                        target: SPANS,
                        parent: &span,
                        "prepare",
                        checkpoint,
                        sink_instance = self.name.as_str(),
                    );
                    let _ = done.send(self.prepare(checkpoint).instrument(span).await?);
                }
            }
        }
        Ok(())
    }

    /// The next command. While there is none, uploads are kept going and timers are kept.
    async fn next(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<Option<Command>, RunError> {
        loop {
            match commands.try_recv() {
                Ok(command) => return Ok(Some(command)),
                Err(mpsc::error::TryRecvError::Disconnected) => return Ok(None),
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
            if self.busy {
                self.busy = self.drive(DRIVE_IDLE_MS).await?;
                continue;
            }
            let timer = async {
                match self.wake_after {
                    // A sink that wants to be called at once, all the time, must not eat a processor.
                    Some(wait) => tokio::time::sleep(wait.max(Duration::from_millis(1))).await,
                    None => std::future::pending().await,
                }
            };
            let due = self.state.due_in(Instant::now());
            let look = async {
                match due {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                command = commands.recv() => return Ok(command),
                () = timer => self.busy = true,
                () = look => self.look_at_state().await?,
            }
        }
    }

    async fn declare(
        &mut self,
        target: usize,
        table: &TableDecl,
        schema: &SchemaRef,
    ) -> Result<(), RunError> {
        let name = table.path.to_string();
        let action = format!("declare table {name}");
        let id = persist!(self, &action, self.driver.declare_table(table));
        self.patience.succeeded(true);
        let encoder =
            TableEncoder::new(schema, &table.arrow_schema).map_err(|error| RunError::Encode {
                table: name.clone(),
                reason: error.to_string(),
            })?;
        let version = table.schema_version;
        self.tables.insert(
            target,
            Table {
                id,
                name,
                version,
                encoder,
            },
        );
        Ok(())
    }

    async fn prepare_table(
        &mut self,
        target: usize,
        checkpoint: u64,
    ) -> Result<(Vec<Committable>, State), RunError> {
        let committables = match self.tables.get(&target) {
            None => Vec::new(),
            Some(table) => {
                let (id, action) = (table.id, format!("prepare rows of {}", table.name));
                persist!(self, &action, self.driver.prepare_table(id, checkpoint))
            }
        };
        self.patience.succeeded(!committables.is_empty());
        let state = persist!(
            self,
            "take the writer's state",
            self.driver.snapshot(self.state.checkpoint)
        );
        self.state.prepared(&state);
        Ok((committables, state))
    }

    /// The inner error is the sink's refusal, after which it can go on.
    async fn change_schema(
        &mut self,
        change: &SchemaChange,
        next: &TableDecl,
    ) -> Result<Result<(), RunError>, RunError> {
        let action = format!("change table {}", next.path);
        loop {
            match self.driver.change_schema(change, next).await {
                Ok(()) => {
                    self.patience.succeeded(true);
                    return Ok(Ok(()));
                }
                Err(CallError::Sink(error))
                    if matches!(
                        error.class,
                        ErrorClass::Schema | ErrorClass::Permanent | ErrorClass::Data
                    ) =>
                {
                    return Ok(Err(RunError::call(action, CallError::Sink(error))));
                }
                Err(error) => self.patience.consider(&action, error).await?,
            }
        }
    }

    async fn write(&mut self, rows: &Rows) -> Result<(), RunError> {
        let mut from = 0;
        while from < rows.batch.num_rows() {
            self.await_credit().await?;
            let Some(table) = self.tables.get_mut(&rows.target) else {
                return Err(RunError::Encode {
                    table: format!("number {}", rows.target),
                    reason: "it was not declared".into(),
                });
            };
            let message =
                table
                    .encoder
                    .encode(&rows.batch, from)
                    .map_err(|error| RunError::Encode {
                        table: table.name.clone(),
                        reason: error.to_string(),
                    })?;
            from += message.rows as usize;
            self.sequence += 1;
            let batch = Batch {
                table: table.id,
                schema_version: table.version,
                sequence: self.sequence,
                rows: message.rows,
                ipc: message.ipc,
            };
            let progress = loop {
                match self.driver.write(&batch).await {
                    Ok(progress) => break progress,
                    Err(CallError::Sink(error)) if error.class == ErrorClass::Data => {
                        return Err(refused(&table.name, &error, rows, message.first_row));
                    }
                    Err(error) => {
                        let action = format!("write rows of {}", table.name);
                        self.patience.consider(&action, error).await?;
                    }
                }
            };
            self.patience.succeeded(false);
            let letters = self.letter_box.take();
            if !letters.is_empty() {
                let name = table.name.clone();
                self.keep_dead_letters(letters, &name, rows, message.first_row);
            }
            self.note(progress);
            self.busy = true;
            self.observe().await?;
            self.state.touched(Instant::now());
        }
        Ok(())
    }

    /// Keeps rows that the sink put aside while it took the message that starts at `first_row`.
    fn keep_dead_letters(
        &mut self,
        letters: Vec<DeadLetters>,
        table: &str,
        rows: &Rows,
        first_row: usize,
    ) {
        for letters in letters {
            let letter = |bad: BadRow| DeadLetter {
                place: if bad.sequence == self.sequence {
                    rows.place(first_row, bad.row)
                } else {
                    rows.origin.file().to_owned()
                },
                column: bad.column,
                reason: bad.reason,
            };
            self.dead_letters.push(DeadLetterBatch {
                table: table.to_owned(),
                letters: letters.rows.into_iter().map(letter).collect(),
                ipc: letters.ipc,
            });
        }
        let bytes = self.dead_letters.iter().map(|batch| batch.ipc.len()).sum();
        self.letter_box.waits(bytes);
    }

    /// Returns when the sink has room. The way there: let uploads go on; when there is nothing left
    /// to upload on the sink's own account, flush.
    async fn await_credit(&mut self) -> Result<(), RunError> {
        while self.is_full() {
            let unfinished = self.drive(DRIVE_FULL_MS).await?;
            if self.is_full() && !unfinished {
                persist!(self, "flush", self.driver.flush());
                self.drive(0).await?;
                if self.is_full() {
                    return Err(RunError::NoCredit);
                }
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.credit.bytes == 0 || self.credit.rows == 0
    }

    /// Whether the call used its whole budget, so that there is more to do.
    async fn drive(&mut self, budget_ms: u32) -> Result<bool, RunError> {
        let started = Instant::now();
        let progress = persist!(self, "upload rows", self.driver.drive(budget_ms));
        self.patience.succeeded(false);
        self.note(progress);
        self.observe().await?;
        let now = Instant::now();
        self.state.touched(now);
        if self.state.due_in(now) == Some(Duration::ZERO) {
            self.look_at_state().await?;
        }
        Ok(started.elapsed() >= Duration::from_millis(budget_ms.into()))
    }

    /// Notes the writer's state where it changed, for the run that comes after this one if it dies.
    async fn look_at_state(&mut self) -> Result<(), RunError> {
        let state = persist!(
            self,
            "take the writer's state",
            self.driver.snapshot(self.state.checkpoint)
        );
        self.state.seen(state);
        Ok(())
    }

    /// Reads the sink's own values now and then, where somebody looks at them.
    async fn observe(&mut self) -> Result<(), RunError> {
        let recently = self.observed.is_some_and(|at| at.elapsed() < OBSERVE);
        if self.patience.live().metrics.is_watched() && !recently {
            let values = persist!(self, "read the writer's metrics", self.driver.metrics());
            self.measured(values);
        }
        Ok(())
    }

    fn measured(&mut self, values: Vec<Metric>) {
        self.observed = Some(Instant::now());
        let traffic = self.driver.traffic();
        self.patience
            .live()
            .metrics
            .sink(&self.name, values, traffic);
    }

    fn note(&mut self, progress: Progress) {
        self.credit = progress.credit;
        self.wake_after = progress
            .wake_after_ms
            .map(|ms| Duration::from_millis(ms.into()));
    }

    async fn prepare(&mut self, checkpoint: u64) -> Result<Prepared, RunError> {
        let started = Instant::now();
        let committables = persist!(
            self,
            "prepare the checkpoint",
            self.driver.prepare(checkpoint)
        );
        self.patience.succeeded(!committables.is_empty());
        let state = persist!(
            self,
            "take the writer's state",
            self.driver.snapshot(checkpoint)
        );
        self.state.checkpoint = checkpoint;
        self.state.prepared(&state);
        let metrics = persist!(self, "read the writer's metrics", self.driver.metrics());
        let counts = self.newly_counted(&metrics);
        self.patience.live().metrics.flushed(started.elapsed());
        self.measured(metrics);
        let progress = persist!(self, "upload rows", self.driver.drive(0));
        self.note(progress);
        Ok(Prepared {
            committables,
            state,
            counts,
            dead_letters: std::mem::take(&mut self.dead_letters),
            traffic: self.driver.traffic(),
        })
    }

    /// The growth of the sink's counters since the last call.
    fn newly_counted(&mut self, metrics: &[Metric]) -> BTreeMap<String, SinkCounts> {
        let mut totals: BTreeMap<String, SinkCounts> = BTreeMap::new();
        for metric in metrics {
            let Some((_, table)) = metric.labels.iter().find(|(name, _)| name == "table") else {
                continue;
            };
            let totals = totals.entry(table.clone()).or_default();
            let total = match metric.name.as_str() {
                "rows_ignored_total" => &mut totals.ignored,
                "dead_letters_total" => &mut totals.dead_letters,
                "values_nulled_total" => &mut totals.nulled,
                _ => continue,
            };
            // Counters are whole numbers far below 2^53.
            *total = metric.value as u64;
        }
        let mut new = BTreeMap::new();
        for (table, total) in totals {
            let before = self.counts.insert(table.clone(), total).unwrap_or_default();
            let grown = SinkCounts {
                ignored: total.ignored.saturating_sub(before.ignored),
                dead_letters: total.dead_letters.saturating_sub(before.dead_letters),
                nulled: total.nulled.saturating_sub(before.nulled),
            };
            new.insert(table, grown);
        }
        new
    }
}

impl Rows {
    /// Where a row of the message that starts at `first_row` came from.
    fn place(&self, first_row: usize, row: u32) -> String {
        let row = first_row + row as usize;
        let row = match &self.rows {
            Some(rows) => rows.values().get(row).copied(),
            None => u32::try_from(row).ok(),
        };
        row.map_or_else(
            || self.origin.file().to_owned(),
            |row| self.origin.locate(row),
        )
    }
}

/// The error for rows of one message that the sink refused.
fn refused(table: &str, error: &SinkError, rows: &Rows, first_row: usize) -> RunError {
    RunError::BadRows {
        table: table.to_owned(),
        message: error.message.clone(),
        rows: error
            .bad_rows
            .iter()
            .take(NAMED_ROWS)
            .map(|bad| RefusedRow {
                place: rows.place(first_row, bad.row),
                column: bad.column.clone(),
                reason: bad.reason.clone(),
            })
            .collect(),
        total: error.bad_rows.len().max(1),
    }
}
