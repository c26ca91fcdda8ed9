//! The core behind the coordinator's seam, in the component's place.
//!
//! It drives the core the way the component does, against the simulated network and clock: what
//! the core waits for moves only while a call runs, and answers that come between calls wait for
//! the next one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use longshore_core::contract::{CallId, Now, Reply};
use longshore_core::error::SinkError;
use longshore_core::sink::Sink;
use longshore_pipeline::coordinator::{CheckpointRequests, SinkDriver, SinkFactory};
use longshore_runtime::contract::{
    Batch, CommitOutcome, Committable, Metric, Progress, SchemaChange, State, TableDecl,
};
use longshore_runtime::{Call, CallError, CheckpointListener as _, DeadLetterSink, Traffic};

use crate::convert;
use crate::world::World;

/// As the component: with requests in flight the host has to come back this soon.
const IN_FLIGHT_WAKE_MS: u32 = 20;

thread_local! {
    /// The cores of this thread's schedule by the inbox they listen to. They are not `Send`, and
    /// drivers must be, although everything in a schedule runs on one thread.
    static CORES: RefCell<BTreeMap<u64, Sink>> = const { RefCell::new(BTreeMap::new()) };
}

/// Makes drivers of one process.
pub(crate) struct Factory {
    pub(crate) world: World,
    pub(crate) process: u64,
    pub(crate) requests: Arc<CheckpointRequests>,
}

#[async_trait]
impl SinkFactory for Factory {
    async fn instance(
        &self,
        name: &str,
        // No row of the simulated source is refused.
        _dead_letters: Arc<dyn DeadLetterSink>,
    ) -> Result<Box<dyn SinkDriver>, CallError> {
        self.world.step(self.process, "instantiate").await;
        Ok(Box::new(Driver {
            inbox: self.world.open_inbox(),
            world: self.world.clone(),
            process: self.process,
            name: name.to_owned(),
            requests: Arc::clone(&self.requests),
            in_flight: 0,
            trapped: false,
        }))
    }
}

struct Driver {
    world: World,
    process: u64,
    name: String,
    inbox: u64,
    requests: Arc<CheckpointRequests>,
    in_flight: usize,
    trapped: bool,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.world.close_inbox(self.inbox);
        // Not where the thread itself ends.
        let _ = CORES.try_with(|cores| cores.borrow_mut().remove(&self.inbox));
    }
}

impl Driver {
    fn open(&mut self, sink: Result<Sink, SinkError>) -> Result<(), CallError> {
        let sink = sink.map_err(convert::call_error)?;
        CORES.with_borrow_mut(|cores| cores.insert(self.inbox, sink));
        Ok(())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Sink, Now) -> T) -> T {
        let now = self.world.clock();
        CORES.with_borrow_mut(|cores| {
            let sink = cores.get_mut(&self.inbox).expect("the writer is open");
            work(sink, now)
        })
    }

    /// Before a call: here the process can die, and the component trap.
    async fn enter(&mut self, call: Call) -> Result<(), CallError> {
        self.world
            .step(self.process, &format!("the begin of {call}"))
            .await;
        if self.trapped {
            return Err(CallError::Poisoned {
                call,
                cause: "simulated".to_owned(),
            });
        }
        let traps = {
            let mut state = self.world.lock();
            let permille = match state.now_ms < state.weather.calm_ms {
                true => state.weather.traps,
                false => 0,
            };
            state.random.chance(permille)
        };
        if traps {
            self.trapped = true;
            self.world
                .note(format_args!("{} traps in {call}", self.name));
            return Err(CallError::Trap {
                call,
                reason: "simulated".to_owned(),
            });
        }
        Ok(())
    }

    /// After a call, before the host hears of its end.
    async fn leave(&self, call: Call) {
        self.world.note(format_args!("{}: {call} ends", self.name));
        self.world
            .step(self.process, &format!("the end of {call}"))
            .await;
    }

    async fn call<T>(
        &mut self,
        call: Call,
        start: impl FnOnce(&mut Sink) -> CallId + Send,
        expect: impl FnOnce(Reply) -> Option<T> + Send,
    ) -> Result<T, CallError> {
        self.enter(call).await?;
        let id = self.with(|sink, _| start(sink));
        let reply = self.wait_for(id).await;
        self.leave(call).await;
        let reply = reply.map_err(convert::call_error)?;
        expect(reply).ok_or_else(|| CallError::InvalidOutput {
            call,
            reason: "the reply of another call".to_owned(),
        })
    }

    async fn wait_for(&mut self, call: CallId) -> Result<Reply, SinkError> {
        let reply = loop {
            let started = self.send_requests();
            let (reply, wake_at) = self.with(|sink, _| (sink.take_reply(call), sink.wake_at()));
            if let Some(reply) = reply {
                break reply;
            }
            if !started && self.in_flight == 0 && wake_at.is_none() {
                break Err(SinkError::permanent(
                    "component.Stalled",
                    "the sink waits for something but has neither a request in flight nor a timer",
                ));
            }
            self.report();
            self.collect_answers(self.pause(u64::MAX)).await;
        };
        self.move_on();
        reply
    }

    /// Lets requests and answers move as far as they do without waiting.
    fn move_on(&mut self) {
        loop {
            let started = self.send_requests();
            let finished = self.take_answers();
            if !started && !finished {
                break;
            }
        }
        self.report();
    }

    fn send_requests(&mut self) -> bool {
        let mut any = false;
        while let Some(request) = self.with(|sink, now| sink.poll_request(now)) {
            any = true;
            self.in_flight += 1;
            self.world.send(self.inbox, request);
        }
        any
    }

    async fn collect_answers(&mut self, until_ms: u64) {
        self.world.answer_or(self.inbox, until_ms).await;
        self.take_answers();
    }

    fn take_answers(&mut self) -> bool {
        let answers = self.world.take_answers(self.inbox);
        let any = !answers.is_empty();
        for (id, result) in answers {
            // A second answer to the same request is not one more that is awaited.
            self.in_flight = self.with(|sink, now| {
                sink.on_response(id, result, now);
                self.in_flight.saturating_sub(1)
            });
        }
        any
    }

    /// When to look again although no answer came.
    fn pause(&self, until_ms: u64) -> u64 {
        const LONGEST_MS: u64 = 60_000;
        self.with(|sink, now| {
            let wake_ms = sink.wake_at().unwrap_or(u64::MAX).min(until_ms);
            let pause_ms = wake_ms.saturating_sub(now.monotonic_ms);
            now.monotonic_ms + pause_ms.clamp(1, LONGEST_MS)
        })
    }

    fn report(&mut self) {
        let (log, reason) = self.with(|sink, _| (sink.take_log(), sink.take_checkpoint_request()));
        for event in log {
            self.world
                .note(format_args!("{}: {}", self.name, event.message));
        }
        if let Some(reason) = reason {
            self.requests.request(convert::checkpoint_reason(reason));
        }
    }

    fn progress(&self) -> Progress {
        let mut progress = self.with(|sink, now| sink.progress(now));
        if self.in_flight > 0 {
            let wake = progress.wake_after_ms.unwrap_or(IN_FLIGHT_WAKE_MS);
            progress.wake_after_ms = Some(wake.min(IN_FLIGHT_WAKE_MS));
        }
        convert::progress(progress)
    }

    fn is_full(&self) -> bool {
        let credit = self.with(|sink, now| sink.progress(now).credit);
        credit.bytes == 0 || credit.rows == 0
    }
}

#[async_trait]
impl SinkDriver for Driver {
    async fn open_writer(
        &mut self,
        options: &[(String, String)],
        subtask: u32,
        parallelism: u32,
        restore: Option<&State>,
    ) -> Result<(), CallError> {
        self.enter(Call::OpenWriter).await?;
        let restore = restore.map(convert::core_state);
        let clock = self.world.clock();
        self.open(Sink::open(options, subtask, parallelism, restore, clock))
    }

    async fn declare_table(&mut self, table: &TableDecl) -> Result<u32, CallError> {
        let table = convert::core_table(table);
        self.call(
            Call::DeclareTable,
            |sink| sink.declare_table(table),
            |reply| match reply {
                Reply::Table(id) => Some(id),
                _ => None,
            },
        )
        .await
    }

    async fn change_schema(&mut self, _: &SchemaChange, _: &TableDecl) -> Result<(), CallError> {
        Err(CallError::InvalidInput {
            call: Call::ChangeSchema,
            reason: "no simulated source changes its tables".to_owned(),
        })
    }

    async fn prepare_table(
        &mut self,
        table: u32,
        checkpoint: u64,
    ) -> Result<Vec<Committable>, CallError> {
        self.call(
            Call::PrepareTable,
            |sink| sink.prepare_table(table, checkpoint),
            prepared,
        )
        .await
    }

    async fn write(&mut self, batch: &Batch) -> Result<Progress, CallError> {
        self.enter(Call::Write).await?;
        let written = self.with(|sink, now| sink.write(convert::core_batch(batch), now));
        self.move_on();
        self.leave(Call::Write).await;
        written.map_err(convert::call_error)?;
        Ok(self.progress())
    }

    async fn drive(&mut self, budget_ms: u32) -> Result<Progress, CallError> {
        if self.trapped {
            self.enter(Call::Drive).await?;
        }
        let until_ms = self.world.clock().monotonic_ms + u64::from(budget_ms);
        let was_full = self.is_full();
        loop {
            self.send_requests();
            let now_ms = self.world.clock().monotonic_ms;
            let has_room_again = was_full && !self.is_full();
            if now_ms >= until_ms || self.in_flight == 0 || has_room_again {
                break;
            }
            self.collect_answers(self.pause(until_ms)).await;
        }
        self.move_on();
        Ok(self.progress())
    }

    async fn flush(&mut self) -> Result<(), CallError> {
        self.call(Call::Flush, Sink::flush, done).await
    }

    async fn prepare(&mut self, checkpoint: u64) -> Result<Vec<Committable>, CallError> {
        self.call(Call::Prepare, |sink| sink.prepare(checkpoint), prepared)
            .await
    }

    async fn snapshot(&mut self, checkpoint: u64) -> Result<State, CallError> {
        self.enter(Call::Snapshot).await?;
        Ok(convert::state(
            self.with(|sink, _| sink.snapshot(checkpoint)),
        ))
    }

    async fn metrics(&mut self) -> Result<Vec<Metric>, CallError> {
        let metrics = self.with(|sink, _| sink.metrics());
        Ok(metrics.into_iter().map(convert::metric).collect())
    }

    async fn close(&mut self) -> Result<(), CallError> {
        self.call(Call::Close, Sink::close, done).await
    }

    async fn open_committer(&mut self, options: &[(String, String)]) -> Result<(), CallError> {
        self.enter(Call::OpenCommitter).await?;
        let clock = self.world.clock();
        self.open(Sink::committer(options, clock))
    }

    async fn commit(&mut self, items: &[Committable]) -> Result<Vec<CommitOutcome>, CallError> {
        let items = items.iter().map(convert::core_committable).collect();
        let outcomes = self
            .call(
                Call::Commit,
                |sink| sink.commit(items),
                |reply| match reply {
                    Reply::Outcomes(outcomes) => Some(outcomes),
                    _ => None,
                },
            )
            .await?;
        for outcome in &outcomes {
            self.world.note(format_args!("a commit ends: {outcome:?}"));
        }
        Ok(outcomes.into_iter().map(convert::commit_outcome).collect())
    }

    fn traffic(&self) -> Traffic {
        // The sum of all rows of a schedule is far below what anybody would measure.
        Traffic::default()
    }
}

fn prepared(reply: Reply) -> Option<Vec<Committable>> {
    match reply {
        Reply::Prepared(items) => Some(items.into_iter().map(convert::committable).collect()),
        _ => None,
    }
}

fn done(reply: Reply) -> Option<()> {
    matches!(reply, Reply::Done).then_some(())
}
