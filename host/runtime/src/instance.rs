//! One instance of a component: the calls of the contract, each bounded in time and checked.

use crate::bindings::{BlockingSinkComponent, BlockingSinkComponentPre};
use crate::contract::{
    Batch, CheckpointId, CommitOutcome, Committable, MAX_BATCH_BYTES, Metric, Progress,
    SchemaChange, SinkError, SinkInfo, State as WriterState, TableDecl, TableId,
};
use crate::error::{Call, CallError, MemoryLimitExceeded};
use crate::host::State;
use crate::limits::Limits;
use crate::output::OutputCheck;
use crate::text::printable;
use crate::transport::Traffic;
use std::fmt;
use wasmtime::Store;
use wasmtime::component::ResourceAny;

/// Longest trap message kept, in bytes.
const MAX_TRAP_BYTES: usize = 4 << 10;

/// An instance of a component, with at most one open writer and one open committer.
///
/// One call runs at a time; parallelism comes from several instances. Methods are cancel-unsafe:
/// dropping the future of an unfinished call poisons the instance, as a trap or a timeout does.
/// Afterwards every call answers [`CallError::Poisoned`], and a fresh instance has to restore from
/// the last checkpoint. Requests that still run are cancelled when the instance is dropped.
pub struct SinkInstance {
    store: Store<State>,
    bindings: BlockingSinkComponent,
    limits: Limits,
    writer: Option<ResourceAny>,
    committer: Option<ResourceAny>,
    health: Health,
}

enum Health {
    Usable,
    /// A call has begun and its end was not seen yet.
    InCall(Call),
    Poisoned(String),
}

/// Runs one call of the bindings between [`SinkInstance::begin`] and [`SinkInstance::finish`].
macro_rules! call {
    ($self:ident, $call:expr, $bindings:ident, $store:ident => $future:expr) => {{
        $self.begin($call)?;
        let outcome = {
            let $bindings = &$self.bindings;
            let $store = &mut $self.store;
            tokio::time::timeout($self.limits.call_timeout, $future).await
        };
        $self.finish($call, outcome)
    }};
}

impl SinkInstance {
    pub(crate) async fn start(
        mut store: Store<State>,
        limits: Limits,
        pre: &BlockingSinkComponentPre<State>,
    ) -> Result<Self, CallError> {
        let call = Call::Instantiate;
        let started =
            tokio::time::timeout(limits.call_timeout, pre.instantiate_async(&mut store)).await;
        let bindings = match started {
            Ok(Ok(bindings)) => bindings,
            Ok(Err(error)) => return Err(call_error(call, &error)),
            Err(_) => {
                return Err(CallError::Timeout {
                    call,
                    limit: limits.call_timeout,
                });
            }
        };
        Ok(Self {
            store,
            bindings,
            limits,
            writer: None,
            committer: None,
            health: Health::Usable,
        })
    }

    /// What the component says about itself.
    pub async fn info(&mut self) -> Result<SinkInfo, CallError> {
        let info = call!(self, Call::Info, bindings, store =>
            bindings.longshore_sink_describe().call_info(store))?;
        self.checked(Call::Info, |check| check.info(info))
    }

    /// Has the component check options; the inner error lists every complaint.
    pub async fn validate(
        &mut self,
        options: &[(String, String)],
    ) -> Result<Result<(), Vec<SinkError>>, CallError> {
        let verdict = call!(self, Call::Validate, bindings, store =>
            bindings.longshore_sink_describe().call_validate(store, options))?;
        let Err(errors) = verdict else {
            return Ok(Ok(()));
        };
        let errors = self.checked(Call::Validate, |check| {
            errors
                .into_iter()
                .map(|error| check.sink_error(error))
                .collect::<Result<_, _>>()
        })?;
        Ok(Err(errors))
    }

    /// Opens writer `subtask` of `parallelism`. `restore` is what [`snapshot`](Self::snapshot)
    /// returned at the checkpoint the pipeline starts from. Values of secret options must be
    /// replaced by the text `<secret>` first.
    pub async fn open_writer(
        &mut self,
        options: &[(String, String)],
        subtask: u32,
        parallelism: u32,
        restore: Option<&WriterState>,
    ) -> Result<(), CallError> {
        let call = Call::OpenWriter;
        if self.writer.is_some() {
            return Err(CallError::WrongState {
                call,
                reason: "the writer is open already",
            });
        }
        if subtask >= parallelism {
            return Err(CallError::InvalidInput {
                call,
                reason: format!("there is no subtask {subtask} among {parallelism}"),
            });
        }
        let opened = call!(self, call, bindings, store =>
            bindings
                .longshore_sink_blocking_sink()
                .writer()
                .call_open(store, options, subtask, parallelism, restore))?;
        self.writer = Some(self.answered(call, opened)?);
        Ok(())
    }

    /// Makes a table ready: looks it up, creates it where that is allowed, checks that it fits.
    /// Declaring a path again with a higher schema version returns the same number.
    pub async fn declare_table(&mut self, table: &TableDecl) -> Result<TableId, CallError> {
        let call = Call::DeclareTable;
        let writer = self.writer(call)?;
        let declared = call!(self, call, bindings, store =>
            bindings
                .longshore_sink_blocking_sink()
                .writer()
                .call_declare_table(store, writer, table))?;
        self.answered(call, declared)
    }

    /// Applies a schema change at the service; `next` names the table and says what it will be.
    pub async fn change_schema(
        &mut self,
        change: &SchemaChange,
        next: &TableDecl,
    ) -> Result<(), CallError> {
        let call = Call::ChangeSchema;
        let writer = self.writer(call)?;
        let changed = call!(self, call, bindings, store =>
            bindings
                .longshore_sink_blocking_sink()
                .writer()
                .call_change_schema(store, writer, change, next))?;
        self.answered(call, changed)
    }

    /// Encodes and buffers rows; uploads go on as far as they do without waiting.
    pub async fn write(&mut self, batch: &Batch) -> Result<Progress, CallError> {
        let call = Call::Write;
        let writer = self.writer(call)?;
        if batch.ipc.len() > MAX_BATCH_BYTES {
            return Err(CallError::InvalidInput {
                call,
                reason: format!(
                    "batch {} has {} bytes, the contract allows {MAX_BATCH_BYTES}; split it",
                    batch.sequence,
                    batch.ipc.len()
                ),
            });
        }
        let written = call!(self, call, bindings, store =>
            bindings.longshore_sink_blocking_sink().writer().call_write(store, writer, batch))?;
        if let Err(error) = &written {
            self.checked(call, |check| check.rows_of(batch, error))?;
        }
        let progress = self.answered(call, written)?;
        Ok(self.bounded(progress))
    }

    /// Lets uploads progress for at most `budget_ms` milliseconds, then returns; returns earlier
    /// when nothing is left to do.
    pub async fn drive(&mut self, budget_ms: u32) -> Result<Progress, CallError> {
        let call = Call::Drive;
        let writer = self.writer(call)?;
        let driven = call!(self, call, bindings, store =>
            bindings.longshore_sink_blocking_sink().writer().call_drive(store, writer, budget_ms))?;
        let progress = self.answered(call, driven)?;
        Ok(self.bounded(progress))
    }

    /// Returns when all rows written so far are durable at the service, though not yet visible.
    pub async fn flush(&mut self) -> Result<(), CallError> {
        let call = Call::Flush;
        let writer = self.writer(call)?;
        let flushed = call!(self, call, bindings, store =>
            bindings.longshore_sink_blocking_sink().writer().call_flush(store, writer))?;
        self.answered(call, flushed)
    }

    /// Flushes, then closes everything written so far into committables.
    pub async fn prepare(
        &mut self,
        checkpoint: CheckpointId,
    ) -> Result<Vec<Committable>, CallError> {
        let call = Call::Prepare;
        let writer = self.writer(call)?;
        let prepared = call!(self, call, bindings, store =>
            bindings.longshore_sink_blocking_sink().writer().call_prepare(store, writer, checkpoint))?;
        let committables = self.answered(call, prepared)?;
        self.checked(call, |check| check.committables(committables))
    }

    /// As [`prepare`](Self::prepare), for the rows of one table.
    pub async fn prepare_table(
        &mut self,
        table: TableId,
        checkpoint: CheckpointId,
    ) -> Result<Vec<Committable>, CallError> {
        let call = Call::PrepareTable;
        let writer = self.writer(call)?;
        let prepared = call!(self, call, bindings, store =>
            bindings
                .longshore_sink_blocking_sink()
                .writer()
                .call_prepare_table(store, writer, table, checkpoint))?;
        let committables = self.answered(call, prepared)?;
        self.checked(call, |check| check.committables(committables))
    }

    /// State to hand to [`open_writer`](Self::open_writer) when the pipeline restarts from this checkpoint.
    pub async fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<WriterState, CallError> {
        let call = Call::Snapshot;
        let writer = self.writer(call)?;
        let snapshot = call!(self, call, bindings, store =>
            bindings.longshore_sink_blocking_sink().writer().call_snapshot(store, writer, checkpoint))?;
        let state = self.answered(call, snapshot)?;
        self.checked(call, |check| check.state(state))
    }

    /// Values measured so far.
    pub async fn metrics(&mut self) -> Result<Vec<Metric>, CallError> {
        let call = Call::Metrics;
        let writer = self.writer(call)?;
        let metrics = call!(self, call, bindings, store =>
            bindings.longshore_sink_blocking_sink().writer().call_metrics(store, writer))?;
        self.checked(call, |check| check.metrics(metrics))
    }

    /// Ends the writer. Rows that were not prepared are given up. Another writer can be opened after it.
    pub async fn close(&mut self) -> Result<(), CallError> {
        let call = Call::Close;
        let writer = self.writer(call)?;
        let closed = call!(self, call, bindings, store =>
            bindings.longshore_sink_blocking_sink().writer().call_close(store, writer))?;
        self.answered(call, closed)?;
        self.writer = None;
        call!(self, call, _bindings, store => writer.resource_drop_async(store))
    }

    /// Opens the committer, with the same options as the writer's.
    pub async fn open_committer(&mut self, options: &[(String, String)]) -> Result<(), CallError> {
        let call = Call::OpenCommitter;
        if self.committer.is_some() {
            return Err(CallError::WrongState {
                call,
                reason: "the committer is open already",
            });
        }
        let opened = call!(self, call, bindings, store =>
            bindings.longshore_sink_blocking_sink().committer().call_open(store, options))?;
        self.committer = Some(self.answered(call, opened)?);
        Ok(())
    }

    /// Makes committables visible. Idempotent; outcomes in input order.
    pub async fn commit(&mut self, items: &[Committable]) -> Result<Vec<CommitOutcome>, CallError> {
        let call = Call::Commit;
        let committer = self.committer(call)?;
        let outcomes = call!(self, call, bindings, store =>
            bindings.longshore_sink_blocking_sink().committer().call_commit(store, committer, items))?;
        self.checked(call, |check| check.outcomes(items, outcomes))
    }

    /// Gives up what was prepared, where the service allows it; outcomes in input order.
    pub async fn abort(&mut self, items: &[Committable]) -> Result<Vec<CommitOutcome>, CallError> {
        let call = Call::Abort;
        let committer = self.committer(call)?;
        let outcomes = call!(self, call, bindings, store =>
            bindings.longshore_sink_blocking_sink().committer().call_abort(store, committer, items))?;
        self.checked(call, |check| check.outcomes(items, outcomes))
    }

    /// What the instance has sent and received so far.
    pub fn traffic(&self) -> Traffic {
        self.store.data().transport.traffic()
    }

    /// Most linear memory the instance had so far, in bytes.
    pub fn memory_peak(&self) -> u64 {
        self.store.data().limiter.memory_peak()
    }

    /// Whether an earlier call left the instance unusable.
    pub fn is_poisoned(&self) -> bool {
        !matches!(self.health, Health::Usable)
    }

    fn writer(&self, call: Call) -> Result<ResourceAny, CallError> {
        self.check_usable(call)?;
        self.writer.ok_or(CallError::WrongState {
            call,
            reason: "no writer is open",
        })
    }

    fn committer(&self, call: Call) -> Result<ResourceAny, CallError> {
        self.check_usable(call)?;
        self.committer.ok_or(CallError::WrongState {
            call,
            reason: "no committer is open",
        })
    }

    fn check_usable(&self, call: Call) -> Result<(), CallError> {
        let cause = match &self.health {
            Health::Usable => return Ok(()),
            Health::InCall(earlier) => format!("{earlier} was cancelled by the host"),
            Health::Poisoned(cause) => cause.clone(),
        };
        Err(CallError::Poisoned { call, cause })
    }

    fn begin(&mut self, call: Call) -> Result<(), CallError> {
        self.check_usable(call)?;
        self.health = Health::InCall(call);
        Ok(())
    }

    fn finish<T>(
        &mut self,
        call: Call,
        outcome: Result<wasmtime::Result<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, CallError> {
        let error = match outcome {
            Ok(Ok(value)) => {
                self.health = Health::Usable;
                return Ok(value);
            }
            Ok(Err(error)) => call_error(call, &error),
            Err(_) => CallError::Timeout {
                call,
                limit: self.limits.call_timeout,
            },
        };
        self.health = Health::Poisoned(error.to_string());
        Err(error)
    }

    /// Runs a check of the component's output; a component that fails it is not called again.
    fn checked<T>(
        &mut self,
        call: Call,
        check: impl FnOnce(&OutputCheck<'_>) -> Result<T, String>,
    ) -> Result<T, CallError> {
        check(&OutputCheck::new(&self.limits)).map_err(|reason| {
            let error = CallError::InvalidOutput { call, reason };
            self.health = Health::Poisoned(error.to_string());
            error
        })
    }

    fn answered<T>(&mut self, call: Call, answer: Result<T, SinkError>) -> Result<T, CallError> {
        match answer {
            Ok(value) => Ok(value),
            Err(error) => {
                let error = self.checked(call, |check| check.sink_error(error))?;
                Err(CallError::Sink(Box::new(error)))
            }
        }
    }

    fn bounded(&self, mut progress: Progress) -> Progress {
        let most = self.limits.max_credit;
        progress.credit.bytes = progress.credit.bytes.min(most.bytes);
        progress.credit.rows = progress.credit.rows.min(most.rows);
        progress
    }
}

impl fmt::Debug for SinkInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkInstance")
            .field("writer", &self.writer.is_some())
            .field("committer", &self.committer.is_some())
            .field("poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}

fn call_error(call: Call, error: &wasmtime::Error) -> CallError {
    if let Some(exceeded) = error.downcast_ref::<MemoryLimitExceeded>() {
        return CallError::MemoryLimit {
            call,
            requested: exceeded.requested,
            limit: exceeded.limit,
        };
    }
    // The root cause is the trap; the contexts above it hold the backtrace.
    let reason = match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => trap.to_string(),
        None => format!("{error:#}"),
    };
    CallError::Trap {
        call,
        reason: printable(&reason, MAX_TRAP_BYTES).into_owned(),
    }
}
