//! The short version of `cargo xtask chaos`, and kills at instants that chance seldom meets.

#![allow(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value reads as null; a wrong index is a failed test"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use longshore_chaos::{
    Campaign, Exit, Gate, Held, Host, Input, Outage, Plan, TableKind, definition, fresh_seed,
    loopback, rows_at_rest, start_server,
};
use longshore_tests::LocalServer;

/// Long enough for a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn tables_equal_their_source_whoever_is_killed_whenever() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let campaign = Campaign {
        runs: 24,
        seed: fresh_seed(),
        jobs: 4,
        within: Duration::from_millis(400),
        stream: false,
        directory: directory.path().join("runs"),
    };
    let totals = campaign.run(|_| {})?;
    let failures = totals.failures.iter();
    let failures: Vec<String> = failures.map(|failure| failure.text(&campaign)).collect();
    if !failures.is_empty() {
        let kept = directory.keep();
        bail!("kept in {}: {}", kept.display(), failures.join("\n"));
    }
    assert_eq!(totals.runs(), 24);
    assert!(totals.kills.values().sum::<u64>() > 0, "nobody was killed");
    Ok(())
}

/// A run whose first commit goes through a gate.
struct Scene {
    directory: tempfile::TempDir,
    input: Input,
    address: String,
    server: LocalServer,
    gate: Gate,
}

impl Scene {
    fn new(table: TableKind, held: Held) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let plan = Plan {
            table,
            tunnel: "batch",
            parallelism: 1,
            checkpoint_interval: Duration::from_millis(1),
            kills: Vec::new(),
        };
        let input = match table {
            TableKind::Append | TableKind::AppendPartitioned => Input::append(directory.path())?,
            TableKind::Delta | TableKind::DeltaPartitioned => Input::changes(directory.path())?,
        };
        let server = start_server(directory.path(), &loopback())?;
        let address = server.address()?;
        let gate = Gate::before(&address, held)?;
        let sink = server.sink_behind(&format!("http://{}/api", gate.authority()))?;
        let definition = definition(&plan, &input, &sink)?;
        std::fs::write(directory.path().join("pipeline.yaml"), definition)?;
        Ok(Self {
            directory,
            input,
            address,
            server,
            gate,
        })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs until the gate holds a commit, and kills the host there.
    fn kill_at_the_gate(&self) -> Result<()> {
        let mut host = Host::start(self.path(), &[])?;
        self.gate.wait()?;
        ensure!(host.ended()?.is_none(), "the host ended: {}", self.log()?);
        host.kill()?;
        self.gate.open();
        Ok(())
    }

    fn run_to_its_end(&self) -> Result<Exit> {
        let mut host = Host::start(self.path(), &[])?;
        let exit = host.ended_by(Instant::now() + LIMIT)?;
        exit.with_context(|| format!("the host does not end: {:?}", self.log()))
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.path().join("run.log"))?)
    }

    /// The open session of the partition that was prepared first ends its life, as it does by itself
    /// after a day. Returns its name and its partition, as `part=N`.
    fn expire_a_session(mut self) -> Result<(Self, String, String)> {
        self.server.kill()?;
        let catalog = self.path().join("data/.longshore/catalog.sqlite");
        let catalog = rusqlite::Connection::open(catalog)?;
        let (session, document): (String, String) = catalog.query_row(
            "select id, document from sessions where status = 'normal' order by created_ms limit 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        catalog.execute(
            "update sessions set expires_ms = 1 where id = ?1",
            [&session],
        )?;
        let document: serde_json::Value = serde_json::from_str(&document)?;
        let partition = document["partition"].to_string();
        let digit = partition.chars().find(char::is_ascii_digit);
        let partition = format!("part={}", digit.with_context(|| partition.clone())?);
        drop(catalog);
        self.server = start_server(self.path(), &self.address)?;
        Ok((self, session, partition))
    }
}

fn commit_answer_lost(table: TableKind) -> Result<()> {
    let mut scene = Scene::new(table, Held::Answer)?;
    scene.kill_at_the_gate()?;
    let exit = scene.run_to_its_end()?;
    assert_eq!(exit, Exit::Done, "{}", scene.log()?);
    scene.server.kill()?;
    let rows = rows_at_rest(&scene.path().join("data"))?;
    let compared = rows.compare(&scene.input.rows);
    assert!(compared.is_equal(), "{compared}");
    Ok(())
}

#[test]
fn an_append_table_has_no_duplicate_after_a_commit_whose_answer_was_lost_with_the_process()
-> Result<()> {
    commit_answer_lost(TableKind::Append)
}

#[test]
fn a_delta_table_equals_its_source_after_a_commit_whose_answer_was_lost_with_the_process()
-> Result<()> {
    commit_answer_lost(TableKind::DeltaPartitioned)
}

fn session_expired(table: TableKind) -> Result<()> {
    let scene = Scene::new(table, Held::Request)?;
    scene.kill_at_the_gate()?;
    let (mut scene, session, partition) = scene.expire_a_session()?;
    let exit = scene.run_to_its_end()?;
    let log = scene.log()?;
    assert!(
        matches!(exit, Exit::Other(status) if status.code() == Some(9)),
        "{exit:?}: {log}"
    );
    for named in ["cannot commit t ", &session, &partition, "up to "] {
        assert!(log.contains(named), "no {named} in: {log}");
    }
    // Again: it stays an error, and nothing is written twice.
    let again = scene.run_to_its_end()?;
    assert!(matches!(again, Exit::Other(status) if status.code() == Some(9)));

    scene.server.kill()?;
    let rows = rows_at_rest(&scene.path().join("data"))?;
    assert!(rows.count() > 0, "the other partitions hold their rows");
    if table == TableKind::AppendPartitioned {
        let compared = rows.compare(&scene.input.rows);
        assert_eq!((compared.twice, compared.foreign), (0, 0), "{compared}");
    }
    Ok(())
}

#[test]
fn an_append_session_that_expired_is_an_error_that_names_its_rows_and_harms_nothing_else()
-> Result<()> {
    session_expired(TableKind::AppendPartitioned)
}

#[test]
fn an_upsert_session_that_expired_is_an_error_that_names_its_rows_and_harms_nothing_else()
-> Result<()> {
    session_expired(TableKind::DeltaPartitioned)
}

#[test]
fn an_outage_stops_the_source_fills_no_memory_and_loses_no_row() -> Result<()> {
    /// More than a writer may buffer.
    const GROWTH_KIB: u64 = 32 * 1024;
    let directory = tempfile::tempdir()?;
    let outage = Outage {
        away: Duration::from_secs(3),
        window: Duration::from_secs(1),
        options: "  total.buffer-size: 16mb\n  retry.max-delay: 500ms\n".to_owned(),
        directory: directory.path().to_owned(),
    };
    // Fails when rows are lost or doubled.
    let measured = outage.measure()?;
    let otherwise = measured.rate_before * outage.away.as_secs_f64();
    assert!(
        (measured.rows_during as f64) < otherwise / 2.0,
        "the source went on: {measured:?}"
    );
    let peak = measured.peak_during_kib.max(measured.peak_after_kib);
    assert!(
        peak < measured.peak_before_kib + GROWTH_KIB,
        "memory grew: {measured:?}"
    );
    Ok(())
}
