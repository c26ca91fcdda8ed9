//! What a run holds in memory while the service does not answer.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use longshore_tests::{LocalServer, longshore};

const ROWS: u32 = 1_000_000;
const PARTITIONS: u32 = 200;
const BUDGET_MIB: u64 = 160;

/// About 200 MiB of rows, spread over all partitions.
fn write_rows(path: &Path) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "text,part")?;
    for row in 0..ROWS {
        writeln!(file, "{row:0>200},{}", row % PARTITIONS)?;
    }
    Ok(file.flush()?)
}

/// A value of `/proc/PID/status`, in KiB.
fn memory(process: u32, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// More than the budget is waiting, and nothing of it can be sent for a while.
#[test]
fn an_outage_keeps_a_run_within_its_memory_budget() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::listen(&directory.join("data"), "127.0.0.1:0", &["--discard"])?;
    write_rows(&directory.join("rows.csv"))?;
    let pipeline = format!(
        "source:\n  type: file\n  path: rows.csv\n  table: t\n  partition-by: part\n  \
         schema: {{text: string, part: int}}\n{}  \
         compress.algorithm: raw\npipeline:\n  parallelism: 2\n  memory-budget: {BUDGET_MIB}mb\n  \
         checkpoint-interval: 1h\n",
        server.sink()?
    );
    std::fs::write(directory.join("p.yaml"), pipeline)?;
    let mut run = longshore(&["run", "p.yaml"])?
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    // As soon as the first rows have come the service is gone for a while.
    while server.administer("GET", "status")?["staged_rows"] == 0 {
        ensure!(run.try_wait()?.is_none(), "the run ended early");
    }
    server.signal("-STOP")?;
    let outage = Instant::now();
    let mut peak = 0;
    while run.try_wait()?.is_none() {
        if outage.elapsed() > Duration::from_secs(3) {
            server.signal("-CONT")?;
        }
        peak = memory(run.id(), "VmHWM:").unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = run.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{stderr}");
    println!("{:.0} MiB at most", peak as f64 / 1024.0);
    assert!(peak > 0 && peak < BUDGET_MIB * 1024, "{peak} KiB");
    let status = server.administer("GET", "status")?;
    assert_eq!(status["committed_rows"], ROWS);
    Ok(())
}
