//! One run: kills as planned, restarts until the source is done, then the comparison.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use longshore_tests::LocalServer;

use crate::host::{Exit, Host};
use crate::input::Input;
use crate::moment::Moment;
use crate::plan::{Kill, Plan, Victim};
use crate::table::rows_at_rest;

/// The access key of the servers.
const SERVER_KEY: &str = "chaos";

/// How long a run may take once nothing is killed any more.
const LIMIT: Duration = Duration::from_secs(90);

/// Short waits between repeats, so that a run of a second sees them.
const RETRIES: &str = "  retry.initial-delay: 20ms\n  retry.max-delay: 200ms\n";

/// A run that came to its end with the right rows.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The kills that hit, and when.
    pub kills: Vec<(Victim, Moment)>,
    /// Planned kills that came too late: the source was done before.
    pub late: usize,
    /// Starts of the host after the first.
    pub host_restarts: usize,
    /// Starts of the server after the first.
    pub server_restarts: usize,
    /// Rows in the table.
    pub rows: u64,
}

/// An address of the loopback network that no other server of this process listens on. A server
/// killed there finds its port free again: clients connect from another address.
#[must_use]
pub fn loopback() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = 16 + std::process::id() % 200;
    let (high, low) = ((number / 250) % 250, 1 + number % 250);
    format!("127.{process}.{high}.{low}:0")
}

/// A server with the data directory `data`, which logs to `server.log`.
///
/// # Errors
/// When it does not come up.
pub fn start_server(directory: &Path, address: &str) -> Result<LocalServer> {
    LocalServer::listen_logged(
        &directory.join("data"),
        address,
        &["--access-id", "local", "--access-key", SERVER_KEY],
        &directory.join("server.log"),
    )
}

/// Follows a plan in an empty directory.
pub(crate) fn run(plan: &Plan, input: &Input, directory: &Path) -> Result<Ended> {
    let server = start_server(directory, &loopback())?;
    let address = server.address()?;
    let definition = definition(plan, input, &server.sink()?)?;
    std::fs::write(directory.join("pipeline.yaml"), definition)?;
    let mut run = Run {
        directory: directory.to_owned(),
        address,
        server: Some(server),
        host: None,
        // The first start goes to a server that is there.
        server_was_away: false,
        ended: Ended {
            kills: Vec::new(),
            late: 0,
            host_restarts: 0,
            server_restarts: 0,
            rows: 0,
        },
    };
    run.start_host()?;
    for (number, kill) in plan.kills.iter().enumerate() {
        if run.go_on(Instant::now() + kill.after)? {
            run.ended.late = plan.kills.len() - number;
            break;
        }
        run.kill(kill)?;
    }
    ensure!(
        run.go_on(Instant::now() + LIMIT)?,
        "the run did not end within {} s after its last kill",
        LIMIT.as_secs()
    );
    run.compare(input)
}

/// The pipeline of a plan; `sink` is the start of its block, which leads to a server.
///
/// # Errors
/// Never, in truth: text is written to memory.
pub fn definition(plan: &Plan, input: &Input, sink: &str) -> Result<String> {
    let mut text = format!("source:\n  type: file\n  path: {}\n", input.pattern());
    text.push_str(match plan.table.is_delta() {
        true => {
            "  format: debezium-json\n  primary-key: id\n  \
             schema: {id: bigint, version: bigint, part: int, text: string}\n"
        }
        false => "  format: json\n  table: t\n  schema: {id: bigint, part: int, text: string}\n",
    });
    if plan.table.is_partitioned() {
        text.push_str("  partition-by: part\n");
    }
    text.push_str(sink);
    text.push_str(RETRIES);
    match plan.table.is_delta() {
        true => text.push_str("  buckets-num: 3\n"),
        false => writeln!(text, "  tunnel: {}", plan.tunnel)?,
    }
    write!(
        text,
        "pipeline:\n  name: chaos\n  parallelism: {}\n  checkpoint-interval: {}ms\n",
        plan.parallelism,
        plan.checkpoint_interval.as_millis()
    )?;
    Ok(text)
}

struct Run {
    directory: PathBuf,
    /// Where the server listens, each time.
    address: String,
    server: Option<LocalServer>,
    host: Option<Host>,
    /// The server was away at some time while the host ran that runs now.
    server_was_away: bool,
    ended: Ended,
}

impl Run {
    fn start_host(&mut self) -> Result<()> {
        self.server_was_away = self.server.is_none();
        self.host = Some(Host::start(&self.directory, &[])?);
        Ok(())
    }

    fn restart_host(&mut self) -> Result<()> {
        self.ended.host_restarts += 1;
        self.start_host()
    }

    fn restart_server(&mut self) -> Result<()> {
        self.ended.server_restarts += 1;
        let server = start_server(&self.directory, &self.address)?;
        self.server = Some(server);
        Ok(())
    }

    /// Lets things take their course until an instant; true when the source is done before. A host that
    /// gave up because the server was away is started again.
    fn go_on(&mut self, until: Instant) -> Result<bool> {
        loop {
            let host = self.host.as_mut().context("a host runs")?;
            match host.ended_by(until)? {
                None => return Ok(false),
                Some(Exit::Done) => return Ok(true),
                Some(Exit::Unreachable) if self.server_was_away => self.restart_host()?,
                Some(exit) => bail!("the host ended with {exit:?}: {}", self.last_words()),
            }
        }
    }

    fn kill(&mut self, kill: &Kill) -> Result<()> {
        if kill.victim != Victim::Server
            && let Some(mut host) = self.host.take()
        {
            host.kill()?;
        }
        if kill.victim != Victim::Host
            && let Some(mut server) = self.server.take()
        {
            server.kill()?;
            self.server_was_away = true;
        }
        let moment = Moment::of(
            &self.directory.join(".longshore/chaos.db"),
            &self.directory.join("data/.longshore/catalog.sqlite"),
        );
        self.ended.kills.push((kill.victim, moment));
        match kill.victim {
            Victim::Host => self.restart_host()?,
            Victim::Server => {
                std::thread::sleep(kill.away);
                self.restart_server()?;
            }
            Victim::Both if kill.host_returns_first => {
                self.restart_host()?;
                std::thread::sleep(kill.away);
                self.restart_server()?;
            }
            Victim::Both => {
                std::thread::sleep(kill.away);
                self.restart_server()?;
                self.restart_host()?;
            }
        }
        Ok(())
    }

    /// Kills the server once more: what the host was told is committed must be there without it.
    fn compare(mut self, input: &Input) -> Result<Ended> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
        }
        let rows = rows_at_rest(&self.directory.join("data"))?;
        let compared = rows.compare(&input.rows);
        ensure!(compared.is_equal(), "{compared}");
        self.ended.rows = rows.count();
        Ok(self.ended)
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.directory.join("run.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}
