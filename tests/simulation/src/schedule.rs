//! One schedule: a source, a weather, processes that live and die, and what must hold in the end.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use longshore_pipeline::checkpoint_store::{CheckpointStore, Identity, StoreError};
use longshore_pipeline::coordinator::{
    CheckpointRequests, Coordinator, RetryPolicy, RunError, Settings, stop_channel,
};
use longshore_pipeline::dead_letters::DeadLetterPolicy;
use longshore_pipeline::definition::RouteMode;
use longshore_pipeline::evolution::SchemaEvolution;
use longshore_pipeline::report::Outcome;
use longshore_pipeline::route::Router;
use longshore_tests::Random;

use crate::driver::Factory;
use crate::service::Service;
use crate::source::{Expected, Script};
use crate::weather::Weather;
use crate::world::{Counts, SimulatedPlatform, World};

/// How long after the last fault a run may take to come to its end, in simulated time.
const PATIENCE_MS: u64 = 30 * 60_000;
/// What went wrong before the last fault, or was begun before it, can show this long after it.
const AFTERMATH_MS: u64 = 30_000;

/// How one schedule ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Everything arrived, once.
    Complete,
    /// The service ended a session after its checkpoint was stored; the run said which, and
    /// nothing else is wrong.
    SessionLost,
    /// Something is wrong.
    Violation(String),
}

/// One schedule, played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// What decided everything.
    pub seed: u64,
    /// How it ended.
    pub ending: Ending,
    /// What it amounted to.
    pub counts: Counts,
    /// Rows of the source, counting both rows of an update.
    pub rows: u64,
    /// Simulated time it took, in milliseconds.
    pub simulated_ms: u64,
    /// The same for the same seed, and hardly ever for another.
    pub digest: u64,
    /// What happened, line by line, where that was asked for.
    pub history: Vec<String>,
}

/// Where the checkpoint stores of the schedules of one thread are.
#[derive(Debug)]
pub struct Scratch {
    directory: tempfile::TempDir,
    empty: Vec<u8>,
}

impl Scratch {
    /// In memory, where the machine has a place for that: a store waits for the disk at each
    /// checkpoint, and here no power is ever cut.
    ///
    /// # Errors
    /// When there is no room for files.
    pub fn new() -> anyhow::Result<Self> {
        let memory = Path::new("/dev/shm");
        let directory = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()),
            false => tempfile::tempdir(),
        }?;
        let path = directory.path().join("empty.db");
        drop(CheckpointStore::open(&path, &identity())?);
        let empty = std::fs::read(&path)?;
        Ok(Self { directory, empty })
    }

    /// An empty store: a copy of one, which is faster than making it.
    fn store(&self) -> std::io::Result<PathBuf> {
        let path = self.directory.path().join("pipeline.db");
        for rest in ["pipeline.db-wal", "pipeline.db-shm", "pipeline.db.lock"] {
            let _ = std::fs::remove_file(self.directory.path().join(rest));
        }
        std::fs::write(&path, &self.empty)?;
        Ok(path)
    }
}

fn identity() -> Identity {
    Identity {
        pipeline: "simulated".into(),
        source: "script".into(),
        sink: "model".into(),
    }
}

/// What a seed decides before anything happens.
struct Plan {
    script: Arc<Script>,
    expected: Expected,
    options: Vec<(String, String)>,
    parallelism: u32,
    checkpoint_interval: Duration,
    retry: RetryPolicy,
    pace_ms: u64,
    /// Deaths of the process at most.
    kills: u64,
    /// Chance that a process is asked to stop, in permille.
    stops: u32,
}

impl Plan {
    fn draw(random: &mut Random) -> Self {
        let (script, expected) = Script::draw(random);
        let mut options: Vec<(String, String)> = [
            ("endpoint", "http://rest/api"),
            ("project", "p"),
            ("access-id", "i"),
            ("access-key", "<secret>"),
            ("compress.algorithm", "raw"),
            ("create-table", "false"),
            ("retry.max-delay", "4s"),
            ("connect.timeout", "1s"),
            ("response.timeout", "1s"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let mut set = |name: &str, value: String| options.push((name.to_owned(), value));
        set("flush.rows", random.pick(&[1, 2, 3, 5, 0]).to_string());
        set(
            "flush.interval",
            format!("{}ms", random.pick(&[0, 100, 3000])),
        );
        set("max-requests", random.range(1, 6).to_string());
        set("flush.concurrent-num", random.range(1, 4).to_string());
        set("commit.thread-num", random.range(1, 4).to_string());
        set("commit.timeout", format!("{}s", random.pick(&[1, 5, 30])));
        set("retry.max-retries", random.pick(&[1, 3, 8]).to_string());
        set(
            "retry.initial-delay",
            format!("{}ms", random.pick(&[20, 200])),
        );
        set("session.max-age", format!("{}s", random.pick(&[60, 3600])));
        if random.chance(300) {
            set("tunnel.endpoint", "http://tunnel:99".to_owned());
        }
        if random.chance(300) {
            set("commit.max-retries", random.range(0, 2).to_string());
        }
        Self {
            script: Arc::new(script),
            expected,
            options,
            parallelism: random.range(1, 3) as u32,
            checkpoint_interval: Duration::from_millis(random.pick(&[200, 1000, 4000, 3_600_000])),
            retry: RetryPolicy {
                first_contact: Duration::from_secs(random.pick(&[0, 30])),
                give_up_after: Duration::from_secs(random.pick(&[20, 60])),
                restarts: random.range(0, 3) as u32,
            },
            pace_ms: random.pick(&[0, 20, 500, 2000]),
            kills: random.pick(&[0, 1, 1, 2, 4, 8]),
            stops: random.pick(&[0, 0, 100, 300]),
        }
    }

    fn without_deaths_and_with_usual_patience(mut self) -> Self {
        self.options.retain(|(name, _)| {
            let tuned = ["retry.", "commit.", "connect.", "response.", "session."];
            !tuned.iter().any(|prefix| name.starts_with(prefix))
        });
        Self {
            retry: RetryPolicy::default(),
            // Slow enough that rows are still to come when the outage begins.
            pace_ms: 2_000,
            kills: 0,
            stops: 0,
            ..self
        }
    }
}

/// Plays the schedule of `seed`.
pub fn play(seed: u64, scratch: &Scratch, with_history: bool) -> Played {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random);
    let weather = Weather::draw(&mut random);
    play_plan(seed, random, &plan, weather, scratch, with_history)
}

/// Plays a run in which nothing goes wrong but that the service is away for `length`, with the
/// repeats and the patience of a definition that sets none. One process has to bear it.
pub fn play_outage(seed: u64, length: Duration, scratch: &Scratch) -> Played {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random).without_deaths_and_with_usual_patience();
    // The service was reached before: a first contact that fails is most often a wrong endpoint.
    let from_ms = random.range(6_000, 15_000);
    let to_ms = from_ms + u64::try_from(length.as_millis()).unwrap_or(u64::MAX / 2);
    let weather = Weather::outage(from_ms, to_ms);
    let mut played = play_plan(seed, random, &plan, weather, scratch, true);
    if played.ending == Ending::Complete && played.counts.starts > 1 {
        let why = "the run did not outlast the outage".to_owned();
        played.ending = Ending::Violation(why);
    }
    played
}

fn play_plan(
    seed: u64,
    mut random: Random,
    plan: &Plan,
    weather: Weather,
    scratch: &Scratch,
    with_history: bool,
) -> Played {
    let tables = plan.script.tables.iter();
    let service = Service::new(tables.map(|t| (t.name, t.partitioned, t.keyed)));
    let world = World::new(random.next(), weather, service, with_history);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| supervise(plan, &world, scratch)));
    let ending = outcome.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("of an unknown kind");
        Ending::Violation(format!("panic: {text}"))
    });
    let (digest, history) = world.history();
    let state = world.lock();
    Played {
        seed,
        ending,
        counts: state.counts,
        rows: plan.script.rows,
        simulated_ms: state.now_ms,
        digest,
        history,
    }
}

fn supervise(plan: &Plan, world: &World, scratch: &Scratch) -> Ending {
    let clock = world.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(move || clock.advance())
        .build();
    let store = scratch.store();
    match (runtime, store) {
        (Ok(runtime), Ok(store)) => {
            let result = runtime.block_on(live(plan, world, &store));
            result
                .and_then(|lost| {
                    settled(&store, lost)?;
                    check(plan, world, lost)
                })
                .unwrap_or_else(Ending::Violation)
        }
        (Err(error), _) | (_, Err(error)) => Ending::Violation(format!("no room: {error}")),
    }
}

/// How the life of one process ended.
enum End {
    Killed,
    Ran(Result<Outcome, RunError>),
    /// Nothing is left to happen, or it takes too long.
    Stuck(String),
}

/// Starts processes until one comes to the end of the source. True where a session was lost.
async fn live(plan: &Plan, world: &World, store: &Path) -> Result<bool, String> {
    loop {
        let started_ms = world.lock().now_ms;
        let end = one_life(plan, world, store).await?;
        if let Some(violation) = world.lock().service.violations.first() {
            return Err(violation.clone());
        }
        match end {
            End::Stuck(why) => return Err(why),
            End::Killed | End::Ran(Ok(Outcome::Interrupted)) => {}
            End::Ran(Ok(Outcome::Finished | Outcome::NothingNew)) => return Ok(false),
            End::Ran(Err(error)) => {
                world.note(format_args!("the run fails: {error}"));
                if matches!(error, RunError::InstanceDied | RunError::SourceDied) {
                    return Err(error.to_string());
                }
                if matches!(error, RunError::Commit { .. })
                    && world.lock().service.is_lost(&error.to_string())
                {
                    return Ok(true);
                }
                let state = world.lock();
                if started_ms > state.weather.calm_ms + AFTERMATH_MS {
                    return Err(format!("fails although nothing goes wrong: {error}"));
                }
            }
        }
        let pause_ms = world.lock().random.range(0, 12_000);
        wait(world, pause_ms).await;
    }
}

/// From the start of a process to its end.
async fn one_life(plan: &Plan, world: &World, path: &Path) -> Result<End, String> {
    let (process, stop_at_ms) = begin(plan, world);
    let store = match CheckpointStore::open(path, &identity()) {
        Ok(store) => store,
        Err(error) => return Err(format!("the checkpoint store does not open: {error}")),
    };
    let (handle, stop) = stop_channel();
    let requests = Arc::new(CheckpointRequests::default());
    let coordinator = Coordinator {
        source: plan.script.open(),
        router: Router::new(Vec::new(), RouteMode::AllMatch),
        sink: Arc::new(Factory {
            world: world.clone(),
            process,
            requests: Arc::clone(&requests),
        }),
        settings: Settings {
            parallelism: plan.parallelism,
            sink_options: plan.options.clone(),
            checkpoint_interval: plan.checkpoint_interval,
            retry: plan.retry,
            evolution: SchemaEvolution::default(),
            dead_letters: DeadLetterPolicy::default(),
        },
        store,
        requests,
        live: Arc::default(),
        stop,
        platform: Arc::new(SimulatedPlatform {
            world: world.clone(),
            pace_ms: plan.pace_ms,
        }),
    };
    second_process(world, path)?;
    let mut run = Box::pin(coordinator.run());
    let mut stop_at = stop_at_ms.map(|at_ms| world.sleep_until(at_ms));
    let limit_ms = world.lock().weather.calm_ms + PATIENCE_MS;
    let end = std::future::poll_fn(|cx| {
        world.watch(cx);
        if world.is_dead(process) {
            return Poll::Ready(End::Killed);
        }
        if let Some(stop) = &mut stop_at
            && std::pin::Pin::new(stop).poll(cx).is_ready()
        {
            world.note(format_args!("process {process} is asked to stop"));
            handle.stop();
            stop_at = None;
        }
        if let Poll::Ready((report, result)) = run.as_mut().poll(cx) {
            let mut state = world.lock();
            state.counts.checkpoints += report.checkpoints;
            state.counts.recommitted += report.recommitted;
            return Poll::Ready(End::Ran(result));
        }
        // It may have died in this very turn.
        if world.is_dead(process) {
            return Poll::Ready(End::Killed);
        }
        let state = world.lock();
        if state.stalled {
            let why = "deadlock: the run waits, and nothing is left to happen";
            return Poll::Ready(End::Stuck(why.to_owned()));
        }
        if state.now_ms > limit_ms {
            let why = format!(
                "no end {} minutes after the last fault",
                PATIENCE_MS / 60_000
            );
            return Poll::Ready(End::Stuck(why));
        }
        Poll::Pending
    })
    .await;
    drop(run);
    // The tasks of a dropped run end at their next turn.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    Ok(end)
}

/// Draws when the process dies, and when it is asked to stop.
fn begin(plan: &Plan, world: &World) -> (u64, Option<u64>) {
    let (mut dies_at_ms, mut dies_at_step, mut stop_at_ms) = (None, None, None);
    {
        let mut state = world.lock();
        let (now_ms, calm_ms) = (state.now_ms, state.weather.calm_ms);
        if now_ms < calm_ms {
            if state.counts.kills < plan.kills && state.random.chance(800) {
                if state.random.chance(400) {
                    dies_at_ms = Some(now_ms + state.random.range(0, 20_000));
                } else {
                    let steps = state.random.pick(&[15, 60, 200]);
                    dies_at_step = Some(state.random.range(1, steps));
                }
            }
            if state.random.chance(plan.stops) {
                stop_at_ms = Some(now_ms + state.random.range(0, 20_000));
            }
        }
    }
    let process = world.begin_process(dies_at_ms, dies_at_step);
    (process, stop_at_ms)
}

/// Another process with the same store is turned away while the first one lives.
fn second_process(world: &World, path: &Path) -> Result<(), String> {
    if !world.lock().random.chance(50) {
        return Ok(());
    }
    match CheckpointStore::open(path, &identity()) {
        Err(StoreError::Locked { .. }) => Ok(()),
        Ok(_) => Err("a second process opens the checkpoint store of a living one".to_owned()),
        Err(error) => Err(format!(
            "a second process is turned away, but with: {error}"
        )),
    }
}

/// Time passes without a process.
async fn wait(world: &World, ms: u64) {
    let mut sleep = world.sleep_ms(ms);
    std::future::poll_fn(|cx| {
        world.watch(cx);
        std::pin::Pin::new(&mut sleep).poll(cx)
    })
    .await;
}

/// The checkpoint store of a complete run waits for no commit.
fn settled(path: &Path, lost: bool) -> Result<(), String> {
    let pending = CheckpointStore::open(path, &identity())
        .and_then(|store| store.pending())
        .map_err(|error| format!("the checkpoint store can not be read in the end: {error}"))?;
    match pending.len() {
        0 if lost => Err("a session is lost, and no commit waits for it".to_owned()),
        count if count > 0 && !lost => Err(format!("{count} commits are still to be done")),
        _ => Ok(()),
    }
}

/// What the tables hold against what they must hold.
fn check(plan: &Plan, world: &World, lost: bool) -> Result<Ending, String> {
    let mut state = world.lock();
    let now_ms = state.now_ms;
    state.service.pass(now_ms);
    let service = &state.service;
    if let Some(violation) = service.violations.first() {
        return Err(violation.clone());
    }
    for kind in &plan.script.tables {
        let (name, none) = (kind.name, Default::default());
        let visible = service.tables.get(name).map_or(&none, |t| &t.visible);
        if lost {
            // What is there came from the source.
            let foreign = |((_, id), text): &(&(String, i64), &Option<String>)| {
                !plan.script.has(name, *id, text.as_deref())
            };
            if let Some((key, text)) = visible.iter().find(foreign) {
                return Err(format!("{name}: {key:?} is {text:?}, from nowhere"));
            }
            continue;
        }
        let expected = plan.expected.get(name).unwrap_or(&none);
        for (key, text) in expected {
            match visible.get(key) {
                Some(found) if found == text => {}
                Some(found) => {
                    return Err(format!(
                        "{name}: row {key:?} is {found:?}, and must be {text:?}"
                    ));
                }
                None => return Err(format!("{name}: row {key:?} is lost")),
            }
        }
        if let Some((key, _)) = visible.iter().find(|(key, _)| !expected.contains_key(*key)) {
            return Err(format!("{name}: row {key:?} must not be there"));
        }
    }
    Ok(match lost {
        true => Ending::SessionLost,
        false => Ending::Complete,
    })
}
