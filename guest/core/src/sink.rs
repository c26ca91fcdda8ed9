//! The sink as a sans-I/O state machine.
//!
//! A driver owns the sockets and the clock. It starts operations ([`Sink::declare_table`],
//! [`Sink::write`], [`Sink::prepare`], ...), sends what [`Sink::poll_request`] gives it, brings the
//! answers back with [`Sink::on_response`], calls again when [`Sink::wake_at`] has come, and takes
//! results with [`Sink::take_reply`]. Nothing here waits, opens a socket or reads a clock.

mod change;
mod client;
mod commit;
mod committable;
mod declare;
mod ipc;
mod metrics;
mod mode;
mod orphans;
mod overwrite;
mod part;
mod partitioning;
mod prepare;
mod refusal;
mod retype;
mod rows;
mod sql;
mod stream;
mod table;
mod task;
mod upload;
mod upsert;
mod write;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::rc::Rc;

use crate::contract::{
    Batch, CallId, CheckpointReason, Committable, Credit, DeadLetters, Delivery, LogEvent, Metric,
    Now, Progress, Reply, SchemaChange, SinkInfo, State, TableDecl,
};
use crate::error::{ErrorClass, SinkError};
use crate::options::{self, Options};
use crate::request::{Request, RequestId, Response, TransportError};

use client::Client;
use committable::Snapshot;
use declare::Tables;
use metrics::{add, sub};
use overwrite::Overwritten;
use part::Part;
use refusal::Refusals;
use table::Kept;
use task::{Slot, Tasks};

/// Takes rows and makes them durable at the service, and commits what it or another prepared.
///
/// # Example
///
/// Settle one call with a driver that has a function `send`:
///
/// ```no_run
/// # use longshore_core::{contract::*, request::*, sink::Sink};
/// # fn send(_: Request) -> Result<Response, TransportError> { unimplemented!() }
/// # fn clock() -> Now { Now::default() }
/// # let mut sink = Sink::open(&[], 0, 1, None, clock()).unwrap();
/// let call = sink.flush();
/// let reply = loop {
///     while let Some(request) = sink.poll_request(clock()) {
///         let id = request.id;
///         sink.on_response(id, send(request), clock());
///     }
///     if let Some(reply) = sink.take_reply(call) {
///         break reply;
///     }
///     // wait until sink.wake_at()
/// };
/// # drop(reply);
/// ```
pub struct Sink {
    client: Rc<Client>,
    tables: Tables,
    tasks: Tasks,
    calls: BTreeMap<CallId, Slot<Result<Reply, SinkError>>>,
    next_call: u64,
    commits_only: bool,
    letters: Vec<DeadLetters>,
    /// What was overwritten by rows that are prepared.
    overwritten: BTreeSet<(String, String)>,
}

impl Sink {
    /// A writer: `subtask` of `parallelism`, going on from `restore`.
    ///
    /// # Errors
    ///
    /// Class `Permanent` for a wrong option (the message has every fault) or a state of a format
    /// this version does not read.
    pub fn open(
        options: &[(String, String)],
        subtask: u32,
        parallelism: u32,
        restore: Option<State>,
        now: Now,
    ) -> Result<Self, SinkError> {
        let restored = restore.as_ref().map(Snapshot::decode).transpose()?;
        if subtask >= parallelism {
            return Err(SinkError::permanent(
                "contract.subtask",
                format!("subtask {subtask} of {parallelism} does not exist"),
            ));
        }
        let Snapshot {
            overwritten, open, ..
        } = restored.unwrap_or_default();
        let sink = Self::new(options, u64::from(subtask), false, overwritten, now)?;
        orphans::abort(&sink.client, open);
        if sink.client.options.overwrite && parallelism > 1 {
            return Err(SinkError::permanent(
                "option.contradiction",
                format!(
                    "option `overwrite` needs a single writer, and there are {parallelism}: each would replace the \
                     rows of the others; set `parallelism` under `pipeline` to 1"
                ),
            ));
        }
        Ok(sink)
    }

    /// A sink that only commits and aborts.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn committer(options: &[(String, String)], now: Now) -> Result<Self, SinkError> {
        Self::new(options, u64::MAX, true, BTreeSet::new(), now)
    }

    fn new(
        pairs: &[(String, String)],
        seed: u64,
        commits_only: bool,
        overwritten: BTreeSet<(String, String)>,
        now: Now,
    ) -> Result<Self, SinkError> {
        let options = Options::parse(pairs).map_err(|errors| {
            let messages: Vec<String> = errors.iter().map(|e| e.message.clone()).collect();
            let code = errors
                .first()
                .map_or("option", |e| e.code.as_str())
                .to_owned();
            SinkError::permanent(code, messages.join("; "))
        })?;
        // Different writers, and the same writer at another time, must not retry in step.
        let seed = seed.wrapping_mul(0x9E37_79B9) ^ now.unix_ms.unsigned_abs();
        let max_requests = match commits_only {
            true => options.max_requests.max(options.commit_threads),
            false => options.max_requests,
        };
        let replaced = Overwritten::restored(overwritten.clone());
        Ok(Self {
            client: Client::new(options, max_requests, replaced, seed, now),
            overwritten,
            tables: Rc::new(RefCell::new(Vec::new())),
            tasks: Tasks::default(),
            calls: BTreeMap::new(),
            next_call: 0,
            commits_only,
            letters: Vec::new(),
        })
    }

    /// Make a table ready: look it up, create it where that is allowed, check that the rows fit.
    /// Reply: [`Reply::Table`].
    pub fn declare_table(&mut self, decl: TableDecl) -> CallId {
        let (client, tables) = self.shared();
        self.call(async move {
            declare::declare(client, tables, decl)
                .await
                .map(Reply::Table)
        })
    }

    /// Apply a schema change to the table that `next` names, at the service. Declare `next` before
    /// rows of it are written. Reply: [`Reply::Done`].
    ///
    /// Rows written to the table before must have been prepared and committed: the service may
    /// refuse to commit rows of the old schema afterwards. A change that is found applied is done.
    pub fn change_schema(&mut self, change: SchemaChange, next: TableDecl) -> CallId {
        let (client, tables) = self.shared();
        self.call(async move {
            change::change(client, tables, change, next)
                .await
                .map(|()| Reply::Done)
        })
    }

    /// Encode and buffer the rows of a batch; never waits. What is large enough is queued to be
    /// sent.
    ///
    /// # Errors
    ///
    /// Class `Data`: the rows in `bad_rows` were refused, all others are buffered or dead letters
    /// (see [`take_dead_letters`](Self::take_dead_letters)). Class `Schema`:
    /// nothing was buffered. Any other class: the sink has failed before, rows are lost, and a new
    /// sink must go on from the last checkpoint.
    pub fn write(&mut self, batch: Batch, now: Now) -> Result<(), SinkError> {
        self.client.set_now(now);
        if self.commits_only {
            return Err(SinkError::permanent(
                "contract.committer",
                "a committer takes no rows",
            ));
        }
        if let Some(error) = self.client.failure() {
            return Err(error);
        }
        let mut refusals = Refusals::default();
        let table_name = {
            let mut tables = self.tables.borrow_mut();
            let Some(table) = tables.get_mut(batch.table as usize) else {
                return Err(SinkError::permanent(
                    "table.unknown",
                    format!("table number {} was not declared", batch.table),
                ));
            };
            let place = table.target.place("");
            let Some(version) = table.versions.get_mut(&batch.schema_version) else {
                return Err(SinkError::schema(
                    "table.version",
                    format!(
                        "{place}: schema version {} was not declared",
                        batch.schema_version
                    ),
                ));
            };
            let damaged = |why: String| {
                SinkError::permanent(
                    "contract.batch",
                    format!("{place}: batch {} is unreadable: {why}", batch.sequence),
                )
            };
            let decoded = version.decoder.decode(batch.ipc).map_err(damaged)?;
            let rows: usize = decoded.iter().map(|r| r.batch.num_rows()).sum();
            if rows != batch.rows as usize {
                return Err(damaged(format!(
                    "it has {rows} rows, {} were announced",
                    batch.rows
                )));
            }
            let mut first_row = 0;
            for rows in decoded {
                let origin = write::Origin {
                    sequence: batch.sequence,
                    first_row,
                    count: true,
                };
                let operations = rows.operations.as_ref();
                write::write(
                    &self.client,
                    table,
                    batch.schema_version,
                    &rows.batch,
                    operations,
                    &origin,
                    &mut refusals,
                )?;
                first_row += u32::try_from(rows.batch.num_rows()).unwrap_or(u32::MAX);
                if table.is_unconfirmed() {
                    let bytes = rows.batch.get_array_memory_size() as u64;
                    add(&self.client.counters.kept, bytes);
                    table.kept.push(Kept {
                        version: batch.schema_version,
                        batch: rows.batch,
                        operations: rows.operations,
                    });
                }
            }
            add(&table.counters.rejected, refusals.bad.len() as u64);
            for letters in &refusals.letters {
                add(&table.counters.dead, letters.rows.len() as u64);
            }
            place
        };
        self.relieve();
        let Refusals { bad, letters } = refusals;
        self.letters.extend(letters);
        if bad.is_empty() {
            return Ok(());
        }
        let first = bad.first().map_or_else(String::new, |row| {
            let column = row
                .column
                .as_ref()
                .map(|c| format!(", column `{c}`"))
                .unwrap_or_default();
            format!(
                "row {} of batch {}{column}: {}",
                row.row, row.sequence, row.reason
            )
        });
        let mut error = SinkError::new(
            ErrorClass::Data,
            "rows.refused",
            format!(
                "{table_name}: {} of {} rows refused; the first: {first}",
                bad.len(),
                batch.rows
            ),
        );
        error.bad_rows = bad;
        Err(error)
    }

    /// Reply [`Reply::Done`] when all rows written so far are durable, though not visible.
    pub fn flush(&mut self) -> CallId {
        let (client, tables) = self.shared();
        self.call(async move { prepare::flush(client, tables).await.map(|()| Reply::Done) })
    }

    /// Close everything written so far into committables; rows written later belong to the next
    /// checkpoint. Reply: [`Reply::Prepared`].
    pub fn prepare(&mut self, checkpoint: u64) -> CallId {
        let (client, tables) = self.shared();
        let _ = checkpoint;
        self.overwritten = client.overwritten.list();
        self.call(async move {
            prepare::prepare(client, tables, None)
                .await
                .map(Reply::Prepared)
        })
    }

    /// As [`prepare`](Self::prepare), for the rows of one table. Reply: [`Reply::Prepared`].
    pub fn prepare_table(&mut self, table: u32, checkpoint: u64) -> CallId {
        let (client, tables) = self.shared();
        let _ = checkpoint;
        if let Some(table) = tables.borrow().get(table as usize) {
            let replaced = client.overwritten.of_table(&table.target);
            self.overwritten.extend(replaced);
        }
        self.call(async move {
            prepare::prepare(client, tables, Some(table))
                .await
                .map(Reply::Prepared)
        })
    }

    /// Make committables visible. Idempotent. Reply: [`Reply::Outcomes`].
    pub fn commit(&mut self, items: Vec<Committable>) -> CallId {
        let client = Rc::clone(&self.client);
        self.call(async move {
            Ok(Reply::Outcomes(
                commit::run(client, items, commit::Task::Commit).await,
            ))
        })
    }

    /// Give committables up, where the service allows it; `Committed` means given up. Reply:
    /// [`Reply::Outcomes`].
    pub fn abort(&mut self, items: Vec<Committable>) -> CallId {
        let client = Rc::clone(&self.client);
        self.call(async move {
            Ok(Reply::Outcomes(
                commit::run(client, items, commit::Task::Abort).await,
            ))
        })
    }

    /// Give up what was not prepared and end all sessions. Reply: [`Reply::Done`].
    pub fn close(&mut self) -> CallId {
        let (client, tables) = self.shared();
        self.call(async move { prepare::close(client, tables).await.map(|()| Reply::Done) })
    }

    /// State to hand to [`open`](Self::open) when the run goes on from this checkpoint: what was
    /// overwritten up to it, and the sessions opened since, which the next writer ends. All else is
    /// in the committables. Taken again later, it knows the sessions of later rows.
    pub fn snapshot(&self, checkpoint: u64) -> State {
        Snapshot {
            checkpoint,
            overwritten: self.overwritten.clone(),
            open: orphans::open_sessions(&self.client, &self.tables),
        }
        .encode()
    }

    /// Values measured so far.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut out = Vec::new();
        self.client.counters.read(&mut out);
        for table in self.tables.borrow().iter() {
            let name = table.target.path.to_string();
            table.counters.read(&name, &mut out);
        }
        out
    }

    /// Room left in the buffers, and when to call again.
    pub fn progress(&self, now: Now) -> Progress {
        let limit = self.limits().sealed;
        let counters = &self.client.counters;
        let left = limit.saturating_sub(counters.sealed.get() + counters.kept.get());
        let wake_after_ms = self
            .wake_at()
            .map(|at| u32::try_from(at.saturating_sub(now.monotonic_ms)).unwrap_or(u32::MAX));
        let rows = if left == 0 { 0 } else { u64::from(u32::MAX) };
        Progress {
            credit: Credit { bytes: left, rows },
            wake_after_ms,
        }
    }

    /// The next request to send, while fewer than `max-requests` are in flight. Call until it is
    /// None, again after each answer and when [`wake_at`](Self::wake_at) has come.
    pub fn poll_request(&mut self, now: Now) -> Option<Request> {
        self.client.set_now(now);
        self.seal_old(now);
        self.run();
        self.client.next_request()
    }

    /// The answer to a request, or why there is none. Status codes are not judged by the driver.
    pub fn on_response(
        &mut self,
        id: RequestId,
        result: Result<Response, TransportError>,
        now: Now,
    ) {
        self.client.set_now(now);
        self.client.answer(id, result);
        self.run();
    }

    /// When [`poll_request`](Self::poll_request) must be called again even without an answer, on
    /// the monotonic clock.
    pub fn wake_at(&self) -> Option<u64> {
        let interval = self.client.options.flush_interval_ms;
        let oldest = match interval {
            0 => None,
            _ => self.oldest_ms().map(|since| since.saturating_add(interval)),
        };
        self.client
            .timers
            .next_due()
            .into_iter()
            .chain(oldest)
            .min()
    }

    /// Whether requests are queued or in flight.
    pub fn is_busy(&self) -> bool {
        self.client.is_busy()
    }

    /// The result of a call, once; None while it is not finished.
    pub fn take_reply(&mut self, call: CallId) -> Option<Result<Reply, SinkError>> {
        let reply = self.calls.get(&call)?.take()?;
        self.calls.remove(&call);
        Some(reply)
    }

    /// Rows that were kept aside since the last call, to be stored by the host. They belong to the
    /// checkpoint that the rows of the same `write` belong to.
    pub fn take_dead_letters(&mut self) -> Vec<DeadLetters> {
        std::mem::take(&mut self.letters)
    }

    /// Log events since the last call.
    pub fn take_log(&mut self) -> Vec<LogEvent> {
        self.client.take_log()
    }

    /// Whether, and why, an early checkpoint is wanted since the last call.
    pub fn take_checkpoint_request(&mut self) -> Option<CheckpointReason> {
        self.client.take_checkpoint_request()
    }

    fn shared(&self) -> (Rc<Client>, Tables) {
        (Rc::clone(&self.client), Rc::clone(&self.tables))
    }

    /// Start an operation; it runs as far as it can at once.
    fn call(
        &mut self,
        operation: impl Future<Output = Result<Reply, SinkError>> + 'static,
    ) -> CallId {
        self.next_call += 1;
        let id = CallId(self.next_call);
        let slot = Slot::new();
        self.calls.insert(id, slot.clone());
        self.client.spawn(async move { slot.fill(operation.await) });
        self.run();
        id
    }

    fn run(&mut self) {
        loop {
            self.tasks.run(self.client.spawned());
            if !self.respread() {
                return;
            }
        }
    }

    /// Where a session told another number of buckets or another hash than the table's description
    /// made us expect, spread the rows anew; none has been sent yet.
    fn respread(&mut self) -> bool {
        let mut changed = false;
        for table in self.tables.borrow_mut().iter_mut() {
            let kept = table.kept_bytes();
            let confirmed = table.confirm();
            sub(&self.client.counters.kept, kept - table.kept_bytes());
            let rows = match confirmed {
                Ok(Some(rows)) => rows,
                Ok(None) => continue,
                Err(error) => {
                    self.client.fail(&error);
                    continue;
                }
            };
            changed = true;
            // Bad rows were told when they came first.
            let origin = write::Origin {
                sequence: 0,
                first_row: 0,
                count: false,
            };
            for kept in &rows {
                let operations = kept.operations.as_ref();
                let again = write::write(
                    &self.client,
                    table,
                    kept.version,
                    &kept.batch,
                    operations,
                    &origin,
                    &mut Refusals::default(),
                );
                if let Err(error) = again {
                    self.client.fail(&error);
                }
            }
            if let Some(routing) = &table.routing {
                routing.confirmed.set(true);
                routing.changed.notify();
            }
        }
        changed
    }

    fn limits(&self) -> Limits {
        let options = &self.client.options;
        Limits {
            growing: options.growing_limit(),
            sealed: options.total_buffer / 4,
        }
    }

    /// Seal the largest buffers while too much is buffered, and look at the number of partitions.
    fn relieve(&mut self) {
        let limit = self.limits().growing;
        let open: usize = self.tables.borrow().iter().map(|t| t.parts.len()).sum();
        if open > self.client.options.max_open_partitions {
            self.client
                .request_checkpoint(CheckpointReason::OpenPartitions);
        }
        if self.client.counters.growing.get() <= limit {
            return;
        }
        let parts = self.parts();
        let mut largest: Vec<(usize, usize, &Rc<Part>)> = parts
            .iter()
            .filter_map(|p| p.largest().map(|(len, i)| (len, i, p)))
            .collect();
        largest.sort_by_key(|(len, ..)| std::cmp::Reverse(*len));
        // Only the largest of each part; parts with several large buckets come again.
        for (_, index, part) in &largest {
            if self.client.counters.growing.get() <= limit / 4 * 3 {
                return;
            }
            part.seal(*index);
        }
        while self.client.counters.growing.get() > limit / 4 * 3 {
            let next = parts
                .iter()
                .filter_map(|p| p.largest().map(|(len, i)| (len, i, p)))
                .max_by_key(|(len, ..)| *len);
            let Some((_, index, part)) = next else { return };
            part.seal(index);
        }
    }

    fn seal_old(&mut self, now: Now) {
        let interval = self.client.options.flush_interval_ms;
        if interval == 0
            || self
                .oldest_ms()
                .is_none_or(|since| since.saturating_add(interval) > now.monotonic_ms)
        {
            return;
        }
        let due = now.monotonic_ms.saturating_sub(interval);
        let parts = self.parts();
        parts.iter().for_each(|part| part.seal_older(due));
        let oldest = parts.iter().filter_map(|part| part.oldest_ms()).min();
        self.client.oldest_row_ms.set(oldest);
    }

    /// No buffered row came before this; looking at every part would be too much for each request.
    fn oldest_ms(&self) -> Option<u64> {
        self.client.oldest_row_ms.get()
    }

    fn parts(&self) -> Vec<Rc<Part>> {
        self.tables
            .borrow()
            .iter()
            .flat_map(|t| t.parts.values().map(Rc::clone))
            .collect()
    }
}

struct Limits {
    /// Bytes not sealed, before compression.
    growing: u64,
    /// Bytes sealed and not durable.
    sealed: u64,
}

/// What the sink says about itself; needs no options.
pub fn info() -> SinkInfo {
    SinkInfo {
        name: "maxcompute".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        delivery: Delivery::ExactlyOnce,
        state_formats: committable::READ.to_vec(),
        options: options::specs(),
    }
}

/// Check options without contacting anything.
///
/// # Errors
///
/// One for each fault, all of class `Permanent`.
pub fn validate(options: &[(String, String)]) -> Result<(), Vec<SinkError>> {
    Options::parse(options).map(|_| ())
}
