//! Runs that are followed by another while they still are, or seem to be, alive.

use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_tests::{Client, LocalServer, Pyodps, Run, longshore, signal};
use serde_json::Value;

const ROWS: u64 = 120_000;

fn rows_visible(server: &LocalServer) -> Result<u64> {
    let tables = server.inspect(&["tables"])?;
    let tables = tables.as_array().into_iter().flatten();
    let rows = tables.filter_map(|table| table["rows"].as_u64());
    Ok(rows.sum())
}

fn start(directory: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = longshore(&["run", "p.yaml"])?;
    command
        .args(arguments)
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    Ok(command)
}

fn stderr_of(mut process: Child) -> Result<(i32, String)> {
    let mut text = String::new();
    let mut stderr = process.stderr.take().context("stderr is piped")?;
    stderr.read_to_string(&mut text)?;
    Ok((process.wait()?.code().unwrap_or(-1), text))
}

#[test]
fn a_run_that_slept_while_another_took_over_commits_nothing_when_it_wakes_up() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::start(&directory.join("data"))?;
    let mut file = BufWriter::new(std::fs::File::create(directory.join("rows"))?);
    for id in 0..ROWS {
        writeln!(file, r#"{{"id":{id}}}"#)?;
    }
    file.flush()?;
    let pipeline = format!(
        "source:\n  type: file\n  path: rows\n  format: json\n  table: t\n  schema: {{id: bigint}}\n{}pipeline:\n  \
         name: sleeper\n  checkpoint-interval: 20ms\n  checkpoint-path: state.db\n",
        server.sink()?
    );
    std::fs::write(directory.join("p.yaml"), pipeline)?;

    let mut sleeper = start(directory, &[])?.spawn()?;
    while rows_visible(&server)? == 0 {
        ensure!(sleeper.try_wait()?.is_none(), "the first run ended early");
    }
    signal(sleeper.id(), "-STOP")?;
    // The lock is held on: without its removal a second run is refused.
    let second = Run::of(&mut start(directory, &[])?)?;
    assert_eq!(second.code, 8, "{second:?}");
    assert!(second.stderr.contains("in use by process"), "{second:?}");
    std::fs::remove_file(directory.join("state.db.lock"))?;
    loop {
        let second = Run::of(&mut start(directory, &[])?)?;
        if second.code == 0 {
            break;
        }
        // It fell asleep in the middle of writing its store: let it finish that.
        ensure!(second.stderr.contains("database is locked"), "{second:?}");
        signal(sleeper.id(), "-CONT")?;
        signal(sleeper.id(), "-STOP")?;
    }
    assert_eq!(rows_visible(&server)?, ROWS);

    signal(sleeper.id(), "-CONT")?;
    let (code, stderr) = stderr_of(sleeper)?;
    assert_eq!(code, 8, "{stderr}");
    assert!(stderr.contains("another run has taken over"), "{stderr}");
    let query = "select count(*) as n, count(distinct id) as d from t";
    let answer: Value = serde_json::from_str(&Pyodps.call(&server, &["sql", query])?)?;
    assert_eq!(answer["n"], ROWS.to_string(), "{answer}");
    assert_eq!(answer["d"], ROWS.to_string(), "{answer}");
    Ok(())
}

#[test]
fn sessions_that_a_killed_run_left_open_are_ended_by_the_next() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::start(&directory.join("data"))?;
    let pipeline = format!(
        "source:\n  type: file\n  path: '-'\n  format: json\n  table: d\n  primary-key: id\n  schema: {{id: bigint}}\n  \
         batch-rows: 100\n{}  buckets-num: 4\npipeline:\n  name: orphans\n  checkpoint-interval: 1h\n  \
         checkpoint-path: state.db\n",
        server.sink()?
    );
    std::fs::write(directory.join("p.yaml"), pipeline)?;
    let rows: String = (0..1000).map(|id| format!("{{\"id\":{id}}}\n")).collect();

    let mut killed = start(directory, &[])?.stdin(Stdio::piped()).spawn()?;
    let mut input = killed.stdin.take().context("stdin is piped")?;
    // Its input does not end, so no checkpoint comes.
    input.write_all(rows.as_bytes())?;
    input.flush()?;
    let started = Instant::now();
    while !mentions(directory, b"\"session\":\"") {
        ensure!(killed.try_wait()?.is_none(), "the first run ended early");
        ensure!(started.elapsed() < Duration::from_secs(30), "nothing noted");
    }
    killed.kill()?;
    killed.wait()?;

    let mut next = start(directory, &["-v"])?.stdin(Stdio::piped()).spawn()?;
    let mut input = next.stdin.take().context("stdin is piped")?;
    let writer = std::thread::spawn(move || input.write_all(rows.as_bytes()));
    let (code, stderr) = stderr_of(next)?;
    assert!(writer.join().is_ok_and(|written| written.is_ok()));
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains("which a run that died left open, is ended"),
        "{stderr}"
    );
    assert_eq!(rows_visible(&server)?, 1000);
    Ok(())
}

/// Whether the store or its journal has these bytes.
fn mentions(directory: &Path, wanted: &[u8]) -> bool {
    for file in ["state.db", "state.db-wal"] {
        let bytes = std::fs::read(directory.join(file)).unwrap_or_default();
        if bytes.windows(wanted.len()).any(|window| window == wanted) {
            return true;
        }
    }
    false
}
