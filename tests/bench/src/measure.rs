//! One run of one writer: its resources from the operating system, its bytes from the server.

use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use longshore_tests::LocalServer;
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Rows written.
    pub(crate) rows: f64,
    /// From the start of the process to its end, in seconds.
    pub(crate) wall: f64,
    /// Of the process and its children, in user and kernel mode, in seconds.
    pub(crate) cpu: f64,
    /// Largest resident set, in KiB.
    pub(crate) peak_kib: f64,
    /// Bytes of request bodies that came to the tunnel.
    pub(crate) bytes_sent: f64,
    /// From the start of the process to the first of them, in milliseconds.
    pub(crate) first_row_ms: Option<f64>,
}

impl Measured {
    pub(crate) fn rows_per_second(&self) -> f64 {
        self.rows / self.wall
    }

    pub(crate) fn rows_per_cpu_second(&self) -> f64 {
        self.rows / self.cpu
    }

    /// The run with the median of processor time.
    pub(crate) fn median(mut runs: Vec<Self>) -> Option<Self> {
        runs.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
        runs.get(runs.len() / 2).copied()
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "rows": self.rows,
            "wall_seconds": self.wall,
            "cpu_seconds": self.cpu,
            "rows_per_second": self.rows_per_second(),
            "rows_per_cpu_second": self.rows_per_cpu_second(),
            "peak_mib": self.peak_kib / 1024.0,
            "sent_mib": self.bytes_sent / 1_048_576.0,
            "first_row_ms": self.first_row_ms,
        })
    }
}

/// Runs a writer of so many rows against a server that nobody else writes to.
pub(crate) fn run(command: &Command, rows: u64, server: &LocalServer) -> Result<Measured> {
    let mut measure = Command::new(std::env::current_exe()?);
    measure
        .args(["measure", "--"])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        measure.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            measure.env(name, value);
        }
    }
    server.administer("POST", "traffic")?;
    let before = server.administer("GET", "status")?;
    let output = measure.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the writer failed: {command:?}");
    let received = server.administer("POST", "traffic")?;
    let after = server.administer("GET", "status")?;
    let resources: Value = serde_json::from_slice(&output.stdout)?;
    let number = |value: &Value, name: &str| {
        value[name]
            .as_f64()
            .with_context(|| format!("{name} in {value}"))
    };
    let committed = number(&after, "committed_rows")? - number(&before, "committed_rows")?;
    ensure!(
        committed == rows as f64,
        "{committed} rows were committed of {rows}: {command:?}"
    );
    let started = number(&resources, "started_unix_us")?;
    Ok(Measured {
        rows: rows as f64,
        wall: number(&resources, "wall_seconds")?,
        cpu: number(&resources, "cpu_seconds")?,
        peak_kib: number(&resources, "peak_kib")?,
        bytes_sent: number(&received, "body_bytes")?,
        first_row_ms: received["first_byte_unix_us"]
            .as_f64()
            .map(|first| (first - started) / 1e3),
    })
}

/// Runs one command and prints what the operating system counted for it. A process of its own, so
/// that nothing else is counted.
pub(crate) fn child(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("a command is given")?;
    let started_unix = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let start = Instant::now();
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()?;
    let wall = start.elapsed().as_secs_f64();
    ensure!(
        output.status.success(),
        "{program} failed: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    println!(
        "{}",
        json!({
            "started_unix_us": started_unix.as_micros() as u64,
            "wall_seconds": wall,
            "cpu_seconds": seconds(usage.user_time()) + seconds(usage.system_time()),
            "peak_kib": usage.max_rss(),
        })
    );
    Ok(())
}
