//! Kills: of the host during a run, of the server during a run. Whatever is killed, the tables end
//! equal to the source.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};
use longshore_tests::{Client, LocalServer, Pyodps, Run, longshore};

const ROWS: u64 = 60_000;
const KEYS: u64 = 5_000;

/// Upserts and deletes over `KEYS` keys as plain Debezium JSON; returns the final version of each key.
fn write_changes(path: &Path) -> Result<Vec<Option<u64>>> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut rows = vec![None; usize::try_from(KEYS)?];
    for version in 0..ROWS {
        let id = version.wrapping_mul(2_654_435_761) % KEYS;
        let row = &mut rows[usize::try_from(id)?];
        let image = |version: u64| {
            format!(r#"{{"id":{id},"version":{version},"text":"row {id} at {version}"}}"#)
        };
        let before = row.map_or_else(|| "null".to_owned(), image);
        let (op, after) = match *row {
            Some(_) if version % 7 == 0 => ("d", None),
            Some(_) => ("u", Some(version)),
            None => ("c", Some(version)),
        };
        let after_image = after.map_or_else(|| "null".to_owned(), image);
        writeln!(
            file,
            r#"{{"before":{before},"after":{after_image},"source":{{"db":"db","table":"keyed"}},"op":"{op}","ts_ms":{version}}}"#
        )?;
        *row = after;
    }
    file.flush()?;
    Ok(rows)
}

fn pipeline(directory: &Path, server: &LocalServer, name: &str, source: &str) -> Result<String> {
    let file = format!("{name}.yaml");
    let definition = format!(
        "source:\n  type: file\n{source}\nsink:\n  type: maxcompute\n  endpoint: {}\n  project: {}\n  access-id: {}\n  \
         access-key: {}\n  buckets-num: 4\npipeline:\n  name: {name}\n  checkpoint-interval: 50ms\n",
        server.value("ODPS_ENDPOINT")?,
        server.value("ODPS_PROJECT")?,
        server.value("ODPS_ACCESS_ID")?,
        server.value("ODPS_ACCESS_KEY")?,
    );
    std::fs::write(directory.join(&file), definition)?;
    Ok(file)
}

fn keyed_source(directory: &Path) -> Result<(String, Vec<Option<u64>>)> {
    let rows = write_changes(&directory.join("changes.json"))?;
    let source = "  path: changes.json\n  format: debezium-json\n  primary-key: id\n  \
                  schema:\n    id: bigint\n    version: bigint\n    text: string";
    Ok((source.to_owned(), rows))
}

fn start(directory: &Path, pipeline: &str) -> Result<Child> {
    let mut command = longshore(&["run", pipeline, "--output", "json"])?;
    command
        .current_dir(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command.spawn()?)
}

fn assert_keyed_equals(server: &LocalServer, rows: &[Option<u64>]) -> Result<()> {
    let mut read = vec![None; rows.len()];
    for line in Pyodps.call(server, &["read", "keyed"])?.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let number = |name: &str| {
            row[name]
                .as_str()
                .and_then(|text| text.parse::<u64>().ok())
                .context("a number")
        };
        let slot = &mut read[usize::try_from(number("id")?)?];
        assert_eq!(*slot, None, "a key stands twice: {line}");
        *slot = Some(number("version")?);
    }
    for (id, (read, expected)) in read.iter().zip(rows).enumerate() {
        assert_eq!(read, expected, "version of key {id}");
    }
    Ok(())
}

/// Rows a client can see in a table; none while it does not exist.
fn visible(server: &LocalServer, table: &str) -> Result<u64> {
    let endpoint = server.address()?;
    let run = Run::of(&mut longshore(&[
        "local",
        "tables",
        "--output",
        "json",
        "--endpoint",
        &format!("http://{endpoint}/api"),
    ])?)?;
    let tables: serde_json::Value = serde_json::from_str(&run.success()?.stdout)?;
    let rows = tables
        .as_array()
        .into_iter()
        .flatten()
        .find(|entry| entry["name"] == table);
    Ok(rows.and_then(|entry| entry["rows"].as_u64()).unwrap_or(0))
}

/// Waits until some of a run is committed and the run still goes on.
fn wait_until_midway(run: &mut Child, server: &LocalServer, table: &str) -> Result<bool> {
    loop {
        if run.try_wait()?.is_some() {
            return Ok(false);
        }
        if visible(server, table)? > 0 {
            return Ok(true);
        }
    }
}

#[test]
fn a_delta_table_equals_its_source_after_the_host_is_killed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = LocalServer::start(&directory.path().join("data"))?;
    let (source, rows) = keyed_source(directory.path())?;
    let file = pipeline(directory.path(), &server, "killed", &source)?;
    let mut kills = 0;
    for _ in 0..3 {
        let mut run = start(directory.path(), &file)?;
        if wait_until_midway(&mut run, &server, "keyed")? {
            kills += 1;
        }
        run.kill()?;
        run.wait()?;
    }
    assert!(kills > 0, "every run ended before it could be killed");
    Run::of(longshore(&["run", &file])?.current_dir(directory.path()))?.success()?;
    assert_keyed_equals(&server, &rows)
}

#[test]
fn an_append_table_holds_each_row_once_after_the_host_is_killed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = LocalServer::start(&directory.path().join("data"))?;
    let mut file =
        std::io::BufWriter::new(std::fs::File::create(directory.path().join("rows.json"))?);
    for id in 0..ROWS * 2 {
        writeln!(file, r#"{{"id":{id},"part":{}}}"#, id % 3)?;
    }
    file.flush()?;
    let source = "  path: rows.json\n  format: json\n  table: appended\n  partition-by: part\n  schema:\n    id: bigint\n    part: int";
    let definition = pipeline(directory.path(), &server, "killed-append", source)?;
    let mut run = start(directory.path(), &definition)?;
    assert!(
        wait_until_midway(&mut run, &server, "appended")?,
        "the run ended before it could be killed"
    );
    run.kill()?;
    run.wait()?;
    Run::of(longshore(&["run", &definition])?.current_dir(directory.path()))?.success()?;
    let mut seen = vec![false; usize::try_from(ROWS * 2)?];
    for part in 0..3 {
        let partition = format!("part={part}");
        for line in Pyodps
            .call(&server, &["read", "appended", "--partition", &partition])?
            .lines()
        {
            let row: serde_json::Value = serde_json::from_str(line)?;
            let id: usize = row["id"].as_str().context("id is there")?.parse()?;
            assert!(
                !std::mem::replace(&mut seen[id], true),
                "row {id} stands twice"
            );
        }
    }
    assert_eq!(seen.iter().position(|seen| !seen), None, "a row is missing");
    Ok(())
}

#[test]
fn a_run_outlives_the_death_of_its_server() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = LocalServer::start(&directory.path().join("data"))?;
    let (source, rows) = keyed_source(directory.path())?;
    let file = pipeline(directory.path(), &server, "server-killed", &source)?;
    let mut run = start(directory.path(), &file)?;
    assert!(
        wait_until_midway(&mut run, &server, "keyed")?,
        "the run ended before the server could be killed"
    );
    let server = server.kill_and_restart()?;
    let output = run.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "the run failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_keyed_equals(&server, &rows)
}
