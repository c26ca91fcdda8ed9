//! Each way a call can fail, and what a run makes of it: a local server fails on purpose, and the
//! table must equal the source in the end, or the run must say what is wrong and harm nothing.

use std::fmt::Write as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_tests::{Run, Scene, longshore};
use serde_json::Value;

/// Rows of a source.
const ROWS: i64 = 600;
const PARTS: i64 = 3;

/// How rows get to the table `t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A batch upload session of an append table.
    Append,
    /// An upsert session of a Delta table.
    Delta,
    /// A stream session of an append table.
    Stream,
}

/// A source, a pipeline and a server with faults.
struct Case {
    scene: Scene,
    way: Way,
}

impl Case {
    fn new(way: Way, faults: &str) -> Result<Self> {
        let scene = Scene::new()?;
        let mut rows = String::new();
        for id in 0..ROWS {
            writeln!(rows, r#"{{"id":{id},"part":{}}}"#, id % PARTS)?;
        }
        scene.write("rows.json", &rows)?;
        let case = Self { scene, way };
        case.write_pipeline("", "  buckets-num: 2\n")?;
        case.scene.server.add_faults(faults)?;
        Ok(case)
    }

    /// The pipeline, with further lines in its `source` and `sink`.
    fn write_pipeline(&self, source: &str, sink: &str) -> Result<()> {
        let key = match self.way {
            Way::Delta => "  primary-key: id\n",
            Way::Append | Way::Stream => "",
        };
        let tunnel = match self.way {
            Way::Stream => "  tunnel: stream\n",
            Way::Append | Way::Delta => "",
        };
        let pipeline = format!(
            "source:\n  type: file\n  path: rows.json\n  table: t\n  schema: {{id: bigint, part: int}}\n{key}{source}\
             {}  retry.initial-delay: 10ms\n{tunnel}{sink}\
             pipeline:\n  name: faults\n  checkpoint-interval: 1h\n",
            self.scene.server.sink()?
        );
        self.scene.write("pipeline.yaml", &pipeline)
    }

    fn run(&self) -> Result<Run> {
        self.scene.longshore(&["run", "pipeline.yaml"])
    }

    fn start(&self) -> Result<Child> {
        let mut command = longshore(&["run", "pipeline.yaml"])?;
        let command = command.current_dir(self.scene.path());
        Ok(command
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?)
    }

    /// Calls that the rule of this number changed.
    fn fired(&self, rule: usize) -> Result<u64> {
        let counts = self.scene.server.fault_counts()?;
        Ok(counts.get(rule).context("there is such a rule")?.1)
    }

    /// Waits until the rule of this number has changed a call.
    fn wait_for(&self, rule: usize) -> Result<()> {
        let start = Instant::now();
        while self.fired(rule)? == 0 {
            ensure!(
                start.elapsed() < Duration::from_secs(30),
                "rule {rule} met no call"
            );
            std::thread::yield_now();
        }
        Ok(())
    }

    fn ids(&self, table: &str) -> Result<Vec<i64>> {
        ids(&self.scene, table)
    }

    fn assert_arrived(&self) -> Result<()> {
        assert_eq!(self.ids("t")?, (0..ROWS).collect::<Vec<_>>());
        Ok(())
    }

    /// A run that succeeds although each of the rules came into effect.
    fn assert_survives(&self) -> Result<Run> {
        let run = self.run()?.success()?;
        for (rule, (_, fired)) in self.scene.server.fault_counts()?.into_iter().enumerate() {
            assert!(fired > 0, "rule {rule} met no call; {run:?}");
        }
        self.assert_arrived()?;
        Ok(run)
    }
}

/// The ids in a table, in order; an id that stands twice is there twice.
fn ids(scene: &Scene, table: &str) -> Result<Vec<i64>> {
    let rows = scene.server.inspect(&["show", table, "-n", "1000000"])?;
    let at = rows["columns"].as_array().context("columns")?;
    let at = at.iter().position(|name| name == "id").context("an id")?;
    let rows = rows["rows"].as_array().context("rows")?;
    let mut ids = rows
        .iter()
        .map(|row| row[at].as_i64().context("a number"))
        .collect::<Result<Vec<i64>>>()?;
    ids.sort_unstable();
    Ok(ids)
}

#[test]
fn transient_a_failed_call_is_repeated() -> Result<()> {
    let unavailable = "effect: {answer: {status: 503, code: ServiceUnavailable, message: later}}";
    for (way, routes) in [
        (
            Way::Append,
            &[
                "upload-create",
                "upload-block",
                "upload-get",
                "upload-commit",
            ][..],
        ),
        (
            Way::Delta,
            &[
                "upsert-create",
                "upsert-pack",
                "upsert-get",
                "upsert-commit",
            ],
        ),
        (Way::Stream, &["stream-create", "stream-pack"]),
    ] {
        let mut rules = String::new();
        for route in routes
            .iter()
            .chain(&["sql", "sql-status", "table", "tunnel-address"])
        {
            writeln!(rules, "- {{route: {route}, times: 2, {unavailable}}}")?;
        }
        let run = Case::new(way, &rules)?.assert_survives()?;
        assert!(run.stderr.contains("ServiceUnavailable: later"), "{run:?}");
    }
    Ok(())
}

#[test]
fn transient_a_broken_connection_is_repeated() -> Result<()> {
    for (way, write) in [(Way::Append, "upload-block"), (Way::Delta, "upsert-pack")] {
        let rules = format!(
            "
- {{route: create-session, effect: drop}}
- {{route: {write}, effect: drop}}
- {{route: {write}, effect: {{torn-request: {{after-bytes: 100}}}}}}
- {{route: {write}, when: after, effect: drop}}
- {{route: get-session, effect: {{torn-answer: {{after-bytes: 40}}}}}}
- {{route: commit-session, effect: drop}}
"
        );
        Case::new(way, &rules)?.assert_survives()?;
    }
    Ok(())
}

#[test]
fn transient_a_full_disk_of_the_server_is_waited_out() -> Result<()> {
    for way in [Way::Append, Way::Delta, Way::Stream] {
        let rules = "- {route: write-data, times: 3, effect: disk-full}";
        Case::new(way, rules)?.assert_survives()?;
    }
    Ok(())
}

#[test]
fn transient_a_server_that_starts_anew_is_waited_for() -> Result<()> {
    for way in [Way::Append, Way::Delta] {
        let rules = "
- {route: write-data, effect: {restart: {down: 150ms}}}
- {route: commit-session, when: after, effect: {restart: {down: 150ms}}}
";
        Case::new(way, rules)?.assert_survives()?;
    }
    Ok(())
}

#[test]
fn transient_for_longer_than_repeats_go_on_ends_the_run_and_the_next_one_succeeds() -> Result<()> {
    for way in [Way::Append, Way::Delta] {
        let rules = "- {route: write-data, times: always, effect: {answer: {status: 503, code: ServiceUnavailable, message: later}}}";
        let case = Case::new(way, rules)?;
        case.write_pipeline("", "  buckets-num: 2\n  retry.max-retries: 1\n")?;
        let run = case.run()?;
        // "the service can not be reached or does not answer"
        assert_eq!(run.code, 4, "{run:?}");
        assert!(run.stderr.contains("ServiceUnavailable: later"), "{run:?}");
        assert_eq!(case.ids("t")?, [] as [i64; 0]);
        case.scene.server.administer("DELETE", "faults")?;
        case.run()?.success()?;
        case.assert_arrived()?;
    }
    Ok(())
}

#[test]
fn damaged_a_body_with_a_wrong_checksum_is_sent_again() -> Result<()> {
    for way in [Way::Append, Way::Delta, Way::Stream] {
        let rules = "- {route: write-data, effect: corrupt-request}";
        let case = Case::new(way, rules)?;
        case.write_pipeline("", "  buckets-num: 2\n  compress.algorithm: raw\n")?;
        let run = case.assert_survives()?;
        assert!(run.stderr.contains("CorruptedDataStream"), "{run:?}");
    }
    Ok(())
}

#[test]
fn throttled_the_service_says_how_long_to_wait() -> Result<()> {
    for way in [Way::Append, Way::Delta, Way::Stream] {
        let rules = "
- {route: write-data, effect: {throttle: {hold-client: 400ms}}}
- {route: write-data, effect: {throttle: {code: SlotExceeded, retry-after: 1s}}}
";
        let case = Case::new(way, rules)?;
        // A single pack, so that both come one after the other.
        case.write_pipeline("", "  buckets-num: 1\n")?;
        let start = Instant::now();
        let run = case.assert_survives()?;
        assert!(start.elapsed() >= Duration::from_millis(1400), "{run:?}");
        for code in ["FlowExceeded", "SlotExceeded"] {
            assert!(run.stderr.contains(code), "{run:?}");
        }
    }
    Ok(())
}

#[test]
fn throttled_more_often_than_anything_else_may_fail() -> Result<()> {
    let rules = "- {route: write-data, times: 12, effect: {throttle: {}}}";
    let case = Case::new(Way::Append, rules)?;
    case.write_pipeline(
        "",
        "  buckets-num: 2\n  retry.max-retries: 2\n  retry.max-delay: 20ms\n",
    )?;
    case.assert_survives()?;
    Ok(())
}

#[test]
fn slot_moved_the_new_server_is_named_from_then_on() -> Result<()> {
    let rules = "
- {route: upsert-pack, effect: {move-slot: {told: true}}}
- {route: upsert-commit, effect: {move-slot: {told: true}}}
";
    let case = Case::new(Way::Delta, rules)?;
    case.assert_survives()?;
    Ok(())
}

#[test]
fn slot_moved_without_a_name_the_session_is_read_again() -> Result<()> {
    for (way, write) in [(Way::Delta, "upsert-pack"), (Way::Stream, "stream-pack")] {
        let rules = format!("- {{route: {write}, effect: {{move-slot: {{told: false}}}}}}");
        Case::new(way, &rules)?.assert_survives()?;
    }
    Ok(())
}

#[test]
fn slot_moved_without_a_name_at_the_commit() -> Result<()> {
    let rules = "- {route: upsert-commit, effect: {move-slot: {told: false}}}";
    Case::new(Way::Delta, rules)?.assert_survives()?;
    Ok(())
}

#[test]
fn reload_after_502_and_504_the_session_is_read_again() -> Result<()> {
    for (way, status) in [(Way::Delta, 502), (Way::Delta, 504), (Way::Stream, 502)] {
        let (write, get) = match way {
            Way::Delta => ("upsert-pack", "upsert-get"),
            _ => ("stream-pack", "stream-get"),
        };
        let rules = format!(
            "
- {{route: {get}, times: always, delay: 1ms}}
- {{route: {write}, effect: {{answer: {{status: {status}}}}}}}
"
        );
        let case = Case::new(way, &rules)?;
        case.run()?.success()?;
        case.assert_arrived()?;
        // A commit reads an upsert session once.
        let usual = u64::from(way == Way::Delta);
        assert_eq!(case.fired(0)?, usual + 1, "after {status}");
    }
    Ok(())
}

/// A command that prints the server's key and leaves a line in `asked` each time.
fn key_command(case: &Case) -> Result<String> {
    let server = &case.scene.server;
    let key = format!(
        r#"{{"AccessKeyId": "{}", "AccessKeySecret": "{}"}}"#,
        server.value("ODPS_ACCESS_ID")?,
        server.value("ODPS_ACCESS_KEY")?
    );
    case.scene.write("key.json", &key)?;
    let pipeline = std::fs::read_to_string(case.scene.path().join("pipeline.yaml"))?;
    let without_key: String = pipeline
        .lines()
        .filter(|line| !line.contains("access-id") && !line.contains("access-key"))
        .fold(String::new(), |text, line| text + line + "\n");
    let command = "  credentials.command: echo >> asked; cat key.json\n  endpoint:";
    Ok(without_key.replace("  endpoint:", command))
}

#[test]
fn unauthenticated_the_key_is_renewed_once() -> Result<()> {
    let rules = "- {route: upload-create, effect: {answer: {status: 401, code: Unauthorized, message: who}}}";
    let case = Case::new(Way::Append, rules)?;
    case.scene.write("pipeline.yaml", &key_command(&case)?)?;
    case.assert_survives()?;
    let asked = std::fs::read_to_string(case.scene.path().join("asked"))?;
    assert_eq!(asked.lines().count(), 2);
    Ok(())
}

#[test]
fn unauthenticated_for_good_ends_the_run_with_its_own_exit_code() -> Result<()> {
    let rules = "- {route: upload-create, times: always, effect: {answer: {status: 401, code: Unauthorized, message: who}}}";
    let case = Case::new(Way::Append, rules)?;
    let run = case.run()?;
    assert_eq!(run.code, 5, "{run:?}");
    assert!(run.stderr.contains("Unauthorized: who"), "{run:?}");
    assert!(
        run.stderr.contains("creating the upload session"),
        "{run:?}"
    );
    assert_eq!(case.fired(0)?, 2);
    assert_eq!(case.ids("t")?, [] as [i64; 0]);
    Ok(())
}

#[test]
fn schema_modified_a_stream_goes_on_in_a_new_session() -> Result<()> {
    let rules = "
- {route: stream-pack, effect: {answer: {status: 412, code: SchemaModified, message: newer}}}
- {route: stream-create, times: always, delay: 1ms}
";
    let case = Case::new(Way::Stream, rules)?;
    case.assert_survives()?;
    assert_eq!(case.fired(1)?, 2);
    Ok(())
}

#[test]
fn schema_modified_a_batch_starts_over_from_the_last_checkpoint() -> Result<()> {
    let rules = "- {route: write-data, effect: {answer: {status: 412, code: SchemaModified, message: newer}}}";
    for way in [Way::Append, Way::Delta] {
        let run = Case::new(way, rules)?.assert_survives()?;
        assert!(run.stderr.contains("from the last checkpoint"), "{run:?}");
    }
    Ok(())
}

#[test]
fn session_lost_before_the_checkpoint_its_rows_are_written_again() -> Result<()> {
    for (way, end) in [
        (Way::Append, "gone"),
        (Way::Append, "expired"),
        (Way::Delta, "gone"),
        (Way::Delta, "aborted"),
        (Way::Delta, "critical"),
        (Way::Stream, "gone"),
    ] {
        let rules = format!("- {{route: write-data, effect: {{end-session: {end}}}}}");
        let case = Case::new(way, &rules)?;
        case.assert_survives()
            .with_context(|| format!("{way:?} {end}"))?;
    }
    Ok(())
}

#[test]
fn fatal_a_refusal_ends_the_run_and_nothing_is_visible() -> Result<()> {
    for (way, status, code, exit) in [
        (Way::Append, 403, "NoPermission", 5),
        (Way::Delta, 400, "InvalidArgument", 9),
    ] {
        let rules = format!(
            "- {{route: write-data, effect: {{answer: {{status: {status}, code: {code}, message: never}}}}}}"
        );
        let case = Case::new(way, &rules)?;
        let run = case.run()?;
        assert_eq!(run.code, exit, "{run:?}");
        assert!(run.stderr.contains(&format!("{code}: never")), "{run:?}");
        assert!(run.stderr.contains("table local.t"), "{run:?}");
        assert_eq!(case.fired(0)?, 1, "{way:?}: it was not repeated");
        assert_eq!(case.ids("t")?, [] as [i64; 0]);
        // Once the cause is gone the same command goes on.
        case.run()?.success()?;
        case.assert_arrived()?;
    }
    Ok(())
}

#[test]
fn fatal_an_early_refusal_is_understood_although_the_body_was_not_read() -> Result<()> {
    for way in [Way::Append, Way::Delta] {
        let rules = "- {route: write-data, times: always, effect: {answer-unread: {status: 403, code: NoPermission, message: early}}}";
        let case = Case::new(way, rules)?;
        let run = case.run()?;
        assert_eq!(run.code, 5, "{run:?}");
        assert!(run.stderr.contains("NoPermission: early"), "{run:?}");
        assert_eq!(case.ids("t")?, [] as [i64; 0]);
    }
    Ok(())
}

#[test]
fn slow_bodies_and_late_answers_are_waited_for() -> Result<()> {
    let rules = "
- {route: create-session, delay: 200ms}
- {route: write-data, effect: {slow-request: {bytes-per-second: 20000}}}
- {route: get-session, effect: {slow-answer: {bytes-per-second: 2000}}}
- {route: commit-session, delay-answer: 200ms}
";
    for way in [Way::Append, Way::Delta] {
        Case::new(way, rules)?.assert_survives()?;
    }
    Ok(())
}

#[test]
fn commit_answer_lost_the_session_is_committed_once() -> Result<()> {
    let drop = "effect: drop";
    let late = "effect: {answer: {status: 504}}";
    let failed = "effect: {answer: {status: 500, code: InternalServerError, message: x}}";
    for (way, fault) in [
        (Way::Append, drop),
        (Way::Append, late),
        (Way::Delta, drop),
        (Way::Delta, failed),
    ] {
        let rules = format!("- {{route: commit-session, when: after, {fault}}}");
        Case::new(way, &rules)?.assert_survives()?;
    }
    Ok(())
}

#[test]
fn commit_answer_lost_and_process_killed_the_session_is_not_committed_again() -> Result<()> {
    for way in [Way::Append, Way::Delta] {
        // The commit is done; its answer is held back until the run is dead.
        let rules = "- {route: commit-session, delay-answer: 10min}";
        let case = Case::new(way, rules)?;
        let mut run = case.start()?;
        case.wait_for(0)?;
        while case.ids("t")?.is_empty() {
            assert!(run.try_wait()?.is_none(), "the run ended by itself");
        }
        run.kill()?;
        run.wait()?;
        case.assert_arrived()?;
        let again = case.run()?.success()?;
        assert!(!again.stderr.contains("error"), "{again:?}");
        case.assert_arrived()?;
    }
    Ok(())
}

#[test]
fn process_killed_between_checkpoint_and_commit_the_session_is_committed() -> Result<()> {
    for way in [Way::Append, Way::Delta] {
        // The call never takes place: the run dies while it waits.
        let rules = "- {route: commit-session, delay: 10min}";
        let case = Case::new(way, rules)?;
        let mut run = case.start()?;
        case.wait_for(0)?;
        run.kill()?;
        run.wait()?;
        assert_eq!(case.ids("t")?, [] as [i64; 0]);
        case.run()?.success()?;
        case.assert_arrived()?;
    }
    Ok(())
}

/// Two tables in partitions by `part`; one session of many ends between checkpoint and commit.
#[test]
fn session_expired_after_the_checkpoint_is_told_and_nothing_else_is_harmed() -> Result<()> {
    for (way, route, ends) in [
        (Way::Append, "upload-commit", &["gone", "expired"][..]),
        (Way::Delta, "upsert-commit", &["gone", "expired"]),
    ] {
        for end in ends {
            let rules = format!(
                "- {{route: {route}, table: t, partition: part=1, effect: {{end-session: {end}}}}}"
            );
            let case = Case::new(way, &rules)?;
            case.write_pipeline(
                "  partition-by: part\n",
                "  buckets-num: 2\n  commit.timeout: 3s\n",
            )?;
            let run = case.run()?;
            let context = format!("{way:?} {end}: {run:?}");
            // "the service refused a request for good", as `longshore --help` has it
            assert_eq!(run.code, 9, "{context}");
            for part in [
                "cannot commit t of checkpoint 1",
                "the source from its start up to",
                "rows.json",
                "part=1",
                "session 2",
                "200 rows",
            ] {
                assert!(run.stderr.contains(part), "no `{part}` in {context}");
            }
            // The other partitions of the checkpoint are there.
            let rest: Vec<i64> = (0..ROWS).filter(|id| id % PARTS != 1).collect();
            assert_eq!(case.ids("t")?, rest, "{context}");
            // Another run says the same, and writes nothing twice.
            let again = case.run()?;
            assert_eq!(again.code, 9, "{again:?}");
            assert!(again.stderr.contains("part=1"), "{again:?}");
            assert_eq!(case.ids("t")?, rest);
        }
    }
    Ok(())
}

/// A refusal is no commit: the session that is gone afterwards took its rows along.
#[test]
fn session_lost_after_a_refused_commit_is_told() -> Result<()> {
    let rules = "
- {route: upsert-commit, effect: {answer: {status: 503, code: ServiceUnavailable}}}
- {route: upsert-commit, effect: {end-session: gone}}
";
    let case = Case::new(Way::Delta, rules)?;
    case.write_pipeline("", "  commit.timeout: 3s\n")?;
    let run = case.run()?;
    assert_eq!(run.code, 9, "{run:?}");
    assert!(run.stderr.contains("is lost"), "{run:?}");
    assert_eq!(case.ids("t")?, [] as [i64; 0]);
    Ok(())
}

#[test]
fn a_statement_that_fails_although_it_was_done_is_no_obstacle() -> Result<()> {
    let rules = "
- {route: sql, statement: create table, when: after, effect: {fail-job: {code: ODPS-0010000, message: System internal error}}}
";
    for way in [Way::Append, Way::Delta] {
        let case = Case::new(way, rules)?;
        let run = case.run()?;
        if run.code != 0 {
            // It may end the run; the next one finds the table and goes on.
            assert!(run.stderr.contains("ODPS-0010000"), "{run:?}");
            case.run()?.success()?;
        }
        case.assert_arrived()?;
    }
    Ok(())
}

/// An insert of a row as Debezium writes it with its schema, `id` and these columns of text.
fn insert(id: u32, columns: &[&str]) -> String {
    let mut fields = r#"{"type":"int64","optional":false,"field":"id"}"#.to_owned();
    let mut row = format!(r#""id":{id}"#);
    for name in columns {
        fields += &format!(r#",{{"type":"string","optional":true,"field":"{name}"}}"#);
        row += &format!(r#","{name}":"x""#);
    }
    format!(
        r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","fields":[{fields}],"optional":true,"field":"after"}}]}},"payload":{{"after":{{{row}}},"source":{{"db":"d","table":"t"}},"op":"c"}}}}"#
    )
}

/// The columns are added one after the other; the second time the statement fails, done or not.
#[test]
fn a_schema_change_that_fails_half_way_is_taken_up_again() -> Result<()> {
    for when in ["before", "after"] {
        let scene = Scene::new()?;
        let rows = [insert(0, &[]), insert(1, &["a"]), insert(2, &["a", "b"])];
        scene.write("rows.json", &rows.join("\n"))?;
        scene.server.add_faults(&format!(
            "- {{route: sql, table: t, statement: alter table, skip: 1, when: {when}, effect: {{fail-job: {{}}}}}}"
        ))?;
        scene.write(
            "pipeline.yaml",
            &format!(
                "source:\n  type: file\n  path: rows.json\n  format: debezium-json\n  primary-key: id\n{}  \
                 buckets-num: 1\n  retry.initial-delay: 10ms\npipeline:\n  name: evolving\n",
                scene.server.sink()?
            ),
        )?;
        let run = scene.longshore(&["run", "pipeline.yaml"])?;
        assert_eq!(scene.server.fault_counts()?[0].1, 1, "{run:?}");
        if run.code != 0 {
            assert!(run.stderr.contains("ODPS-0010000"), "{run:?}");
            scene.longshore(&["run", "pipeline.yaml"])?.success()?;
        }
        assert_eq!(ids(&scene, "t")?, [0, 1, 2], "{when}");
        let schema = scene.server.inspect(&["schema", "t"])?;
        let names: Vec<&str> = schema["columns"]
            .as_array()
            .context("columns")?
            .iter()
            .filter_map(|column| column["name"].as_str())
            .collect();
        assert_eq!(names, ["id", "a", "b"], "{when}");
    }
    Ok(())
}

#[test]
fn a_server_started_with_a_file_of_faults_tells_what_came_of_them() -> Result<()> {
    let scene = Scene::new()?;
    scene.write(
        "faults.yaml",
        "faults:\n  - route: tunnel-address\n    effect: {throttle: {hold-client: 5ms}}\n",
    )?;
    let endpoint = scene.server.value("ODPS_ENDPOINT")?.to_owned();
    let faults = |arguments: &[&str]| {
        let all = [&["local", "faults", "--endpoint", &endpoint], arguments].concat();
        scene.longshore(&all)
    };
    faults(&["--add", "faults.yaml"])?.success()?;
    let project = format!("{endpoint}/projects/local/tunnel");
    assert!(project.starts_with("http://"));
    scene.write("rows.json", "{\"id\": 1}\n")?;
    scene.write(
        "pipeline.yaml",
        &format!(
            "source:\n  type: file\n  path: rows.json\n  table: t\n{}  retry.initial-delay: 1ms\n",
            scene.server.sink()?
        ),
    )?;
    scene.longshore(&["run", "pipeline.yaml"])?.success()?;
    let listed = faults(&["--output", "json"])?.success()?;
    let listed: Value = serde_json::from_str(&listed.stdout)?;
    assert_eq!(listed[0]["fired"], 1, "{listed}");
    assert_eq!(listed[0]["rule"]["route"], "tunnel-address");
    let human = faults(&[])?.success()?;
    assert!(human.stdout.contains("tunnel-address"), "{human:?}");
    // A wrong file names its line and changes nothing.
    scene.write("wrong.yaml", "- route: tunnel-address\n  effect: explode\n")?;
    let wrong = faults(&["--clear", "--add", "wrong.yaml"])?;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("line 1"), "{wrong:?}");
    assert!(wrong.stderr.contains("explode"), "{wrong:?}");
    assert_eq!(scene.server.fault_counts()?.len(), 1);
    faults(&["--clear"])?.success()?;
    assert_eq!(scene.server.fault_counts()?, []);
    let data = scene.path().join("other");
    let started = scene.longshore(&[
        "local",
        "--data",
        data.to_str().context("UTF-8")?,
        "--faults",
        "wrong.yaml",
    ])?;
    assert_eq!(started.code, 2, "{started:?}");
    Ok(())
}
