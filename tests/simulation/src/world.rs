//! The simulated world: a clock, what is to happen when, the network, and the service behind it.
//!
//! Time stands still while anything can run. When the runtime has nothing left to do it calls
//! [`World::advance`], which turns the clock to the next event: a timer, a request that reaches the
//! service, an answer that reaches the sink, the death of the process.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use longshore_core::contract::Now;
use longshore_core::request::{Request, RequestId, Response, TransportError};
use longshore_pipeline::coordinator::{Platform, Sleep, SourceReader};
use longshore_tests::Random;

use crate::network;
use crate::service::Service;
use crate::weather::Weather;

/// 2026-11-21T10:00:00Z, when every schedule begins.
const BEGINNING_UNIX_MS: i64 = 1_795_255_200_000;

/// What the sink is told about a request.
pub(crate) type Answer = (RequestId, Result<Response, TransportError>);

/// Shared by everything in one schedule.
#[derive(Clone)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    beginning: Instant,
}

pub(crate) struct State {
    pub(crate) now_ms: u64,
    pub(crate) random: Random,
    pub(crate) weather: Weather,
    pub(crate) service: Service,
    /// By moment; the order within one moment is drawn.
    events: BTreeMap<(u64, u64, u64), Event>,
    next_event: u64,
    inboxes: BTreeMap<u64, Inbox>,
    next_inbox: u64,
    process: Process,
    /// Woken after every event.
    supervisor: Option<Waker>,
    pub(crate) counts: Counts,
    history: History,
    /// Nothing is left to happen.
    pub(crate) stalled: bool,
}

/// What one schedule amounted to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent.
    pub requests: u64,
    /// Requests that something happened to.
    pub faults: u64,
    /// Deaths of the process.
    pub kills: u64,
    /// Starts of the process.
    pub starts: u64,
    /// Checkpoints that became visible.
    pub checkpoints: u64,
    /// Committables finished by a later process than the one that prepared them.
    pub recommitted: u64,
}

pub(crate) enum Event {
    Timer(Timer),
    /// A request reaches the service.
    Arrival(Box<network::Arrival>),
    /// An answer reaches the sink that waits for it.
    Answer(u64, Box<Answer>),
    /// The process is to die.
    Kill(u64),
}

/// Who waits for a moment; emptied when nobody does any more.
type Timer = Arc<Mutex<Option<Waker>>>;

#[derive(Default)]
struct Inbox {
    answers: VecDeque<Answer>,
    waiting: Option<Waker>,
}

/// The process under test: one after the other.
#[derive(Default)]
struct Process {
    number: u64,
    dead: bool,
    /// Calls of the component begun and ended so far.
    steps: u64,
    dies_at_step: Option<u64>,
}

/// What happened, as a number to compare and, where asked for, as text.
struct History {
    digest: u64,
    lines: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather, service: Service, with_lines: bool) -> Self {
        let state = State {
            now_ms: 0,
            random: Random::new(seed),
            weather,
            service,
            events: BTreeMap::new(),
            next_event: 0,
            inboxes: BTreeMap::new(),
            next_inbox: 0,
            process: Process::default(),
            supervisor: None,
            counts: Counts::default(),
            history: History {
                digest: 0xcbf2_9ce4_8422_2325,
                lines: with_lines.then(Vec::new),
            },
            stalled: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            beginning: Instant::now(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Both clocks, as the core wants them.
    pub(crate) fn clock(&self) -> Now {
        let now_ms = self.lock().now_ms;
        Now {
            monotonic_ms: now_ms,
            unix_ms: BEGINNING_UNIX_MS + i64::try_from(now_ms).unwrap_or(i64::MAX),
        }
    }

    /// Turns the clock to the next event. Called when nothing can run at this moment.
    pub(crate) fn advance(&self) {
        loop {
            let woken = {
                let mut state = self.lock();
                match state.next() {
                    Some(waker) => waker,
                    None => continue,
                }
            };
            let supervisor = self.lock().supervisor.clone();
            for waker in woken.into_iter().chain(supervisor) {
                waker.wake();
            }
            return;
        }
    }

    /// Ready at the supervisor's next turn: after the next event.
    pub(crate) fn watch(&self, cx: &Context<'_>) {
        self.lock().supervisor = Some(cx.waker().clone());
    }

    pub(crate) fn sleep_until(&self, at_ms: u64) -> Until {
        Until {
            world: self.clone(),
            at_ms,
            timer: None,
        }
    }

    pub(crate) fn sleep_ms(&self, ms: u64) -> Until {
        let now_ms = self.lock().now_ms;
        self.sleep_until(now_ms.saturating_add(ms))
    }

    /// A place for answers.
    pub(crate) fn open_inbox(&self) -> u64 {
        let mut state = self.lock();
        state.next_inbox += 1;
        let number = state.next_inbox;
        state.inboxes.insert(number, Inbox::default());
        number
    }

    pub(crate) fn close_inbox(&self, inbox: u64) {
        self.lock().inboxes.remove(&inbox);
    }

    pub(crate) fn take_answers(&self, inbox: u64) -> VecDeque<Answer> {
        let mut state = self.lock();
        let inbox = state.inboxes.get_mut(&inbox);
        inbox
            .map(|i| std::mem::take(&mut i.answers))
            .unwrap_or_default()
    }

    /// Ready when there is an answer, or at `until_ms`.
    pub(crate) async fn answer_or(&self, inbox: u64, until_ms: u64) {
        let mut timer = self.sleep_until(until_ms);
        std::future::poll_fn(|cx| {
            {
                let mut state = self.lock();
                if let Some(inbox) = state.inboxes.get_mut(&inbox) {
                    if !inbox.answers.is_empty() {
                        return Poll::Ready(());
                    }
                    inbox.waiting = Some(cx.waker().clone());
                }
            }
            Pin::new(&mut timer).poll(cx)
        })
        .await;
    }

    /// Hands a request to the network.
    pub(crate) fn send(&self, inbox: u64, request: Request) {
        network::send(&mut self.lock(), inbox, request);
    }

    /// A process begins its life; it dies at a moment, or with a step, if at all.
    pub(crate) fn begin_process(&self, dies_at_ms: Option<u64>, dies_at_step: Option<u64>) -> u64 {
        let mut state = self.lock();
        state.counts.starts += 1;
        let number = state.process.number + 1;
        state.process = Process {
            number,
            dead: false,
            steps: 0,
            dies_at_step,
        };
        if let Some(at_ms) = dies_at_ms {
            state.schedule(at_ms, Event::Kill(number));
        }
        state.note(format_args!("process {number} starts"));
        number
    }

    pub(crate) fn is_dead(&self, process: u64) -> bool {
        let state = self.lock();
        state.process.number != process || state.process.dead
    }

    /// A place where the process can die. Nothing of it happens any more after that.
    pub(crate) async fn step(&self, process: u64, name: &str) {
        let dead = {
            let mut state = self.lock();
            if state.process.number == process {
                state.process.steps += 1;
                if state.process.dies_at_step == Some(state.process.steps) {
                    state.note(format_args!("process {process} dies at {name}"));
                    state.die();
                }
            }
            state.process.number != process || state.process.dead
        };
        if dead {
            let supervisor = self.lock().supervisor.clone();
            supervisor.into_iter().for_each(Waker::wake);
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn note(&self, what: std::fmt::Arguments<'_>) {
        self.lock().note(what);
    }

    /// A number that differs where anything happened otherwise, and what happened, if it was kept.
    pub(crate) fn history(&self) -> (u64, Vec<String>) {
        let mut state = self.lock();
        let lines = state.history.lines.take().unwrap_or_default();
        (state.history.digest, lines)
    }
}

impl State {
    pub(crate) fn schedule(&mut self, at_ms: u64, event: Event) {
        self.next_event += 1;
        let order = self.random.next();
        self.events.insert((at_ms, order, self.next_event), event);
    }

    /// What happened next: whom to wake. None = nothing that matters.
    fn next(&mut self) -> Option<Option<Waker>> {
        let Some(((at_ms, ..), event)) = self.events.pop_first() else {
            self.stalled = true;
            return Some(None);
        };
        let woken = match event {
            Event::Timer(timer) => {
                let waker = timer.lock().unwrap_or_else(PoisonError::into_inner).take();
                // Nobody waits for it any more: time does not pass for it.
                waker.as_ref()?;
                self.now_ms = self.now_ms.max(at_ms);
                waker
            }
            Event::Arrival(arrival) => {
                self.now_ms = self.now_ms.max(at_ms);
                network::arrive(self, *arrival);
                return None;
            }
            Event::Answer(inbox, answer) => {
                self.now_ms = self.now_ms.max(at_ms);
                let inbox = self.inboxes.get_mut(&inbox)?;
                inbox.answers.push_back(*answer);
                inbox.waiting.take()
            }
            Event::Kill(number) => {
                if self.process.number != number || self.process.dead {
                    return None;
                }
                self.now_ms = self.now_ms.max(at_ms);
                self.note(format_args!("process {number} is killed"));
                self.die();
                None
            }
        };
        Some(woken)
    }

    fn die(&mut self) {
        self.process.dead = true;
        self.counts.kills += 1;
    }

    pub(crate) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let mut write = |byte: u8| {
            self.history.digest =
                (self.history.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        };
        self.now_ms.to_le_bytes().into_iter().for_each(&mut write);
        struct Digest<F>(F);
        impl<F: FnMut(u8)> std::fmt::Write for Digest<F> {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                text.bytes().for_each(&mut self.0);
                Ok(())
            }
        }
        // The digest takes everything.
        let _ = std::fmt::Write::write_fmt(&mut Digest(write), what);
        if let Some(lines) = &mut self.history.lines {
            lines.push(format!("{:>9.3} s  {what}", self.now_ms as f64 / 1000.0));
        }
    }
}

/// A moment to wait for.
pub(crate) struct Until {
    world: World,
    at_ms: u64,
    timer: Option<Timer>,
}

impl Future for Until {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.world.lock();
        if state.now_ms >= self.at_ms {
            return Poll::Ready(());
        }
        let waker = Some(cx.waker().clone());
        match &self.timer {
            Some(timer) => *timer.lock().unwrap_or_else(PoisonError::into_inner) = waker,
            None => {
                let timer = Arc::new(Mutex::new(waker));
                state.schedule(self.at_ms, Event::Timer(Arc::clone(&timer)));
                drop(state);
                self.timer = Some(timer);
            }
        }
        Poll::Pending
    }
}

impl Drop for Until {
    fn drop(&mut self) {
        if let Some(timer) = &self.timer {
            timer.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

/// The coordinator's time, and its source: a task that is heard when the seed says so.
pub(crate) struct SimulatedPlatform {
    pub(crate) world: World,
    /// Longest pause before an event of the source.
    pub(crate) pace_ms: u64,
}

impl Platform for SimulatedPlatform {
    fn now(&self) -> Instant {
        self.world.beginning + Duration::from_millis(self.world.lock().now_ms)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Box::pin(self.world.sleep_ms(ms))
    }

    fn start(&self, reader: SourceReader) -> std::io::Result<()> {
        let (world, pace_ms) = (self.world.clone(), self.pace_ms);
        tokio::spawn(reader.read_on_task(move || {
            let ms = world.lock().random.range(0, pace_ms);
            world.sleep_ms(ms)
        }));
        Ok(())
    }
}
