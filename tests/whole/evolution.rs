//! Schema changes in the middle of a stream, from the source's events to the tables that pyodps
//! reads.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use longshore_tests::{Client, Pyodps, Run, Scene, longshore};
use serde_json::Value;

const ID: &str = r#"{"type":"int64","optional":false,"field":"id"}"#;
const NAME: &str = r#"{"type":"string","optional":false,"field":"name"}"#;
const TITLE: &str = r#"{"type":"string","optional":false,"field":"title"}"#;
const N: &str = r#"{"type":"int32","optional":true,"field":"n"}"#;
const WIDE_N: &str = r#"{"type":"int64","optional":true,"field":"n"}"#;
const ORDER: &str = r#"{"type":"string","optional":true,"field":"order"}"#;

/// An insert of a row with these columns, as Debezium writes it with its schema.
fn insert(table: &str, columns: &[&str], row: &str) -> String {
    let columns = columns.join(",");
    format!(
        r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","fields":[{columns}],"optional":true,"field":"after"}}]}},"payload":{{"after":{row},"source":{{"db":"shop","table":"{table}"}},"op":"c"}}}}"#
    )
}

/// A record of the schema-change topic.
fn ddl(statement: &str, kind: &str, table: &str) -> String {
    format!(
        r#"{{"source":{{"db":"shop"}},"databaseName":"shop","ddl":"{statement}","tableChanges":[{{"type":"{kind}","id":"\"shop\".\"{table}\"","table":null}}]}}"#
    )
}

fn truncate(table: &str) -> String {
    format!(r#"{{"before":null,"after":null,"source":{{"db":"shop","table":"{table}"}},"op":"t"}}"#)
}

/// Two tables of which one gets, widens, renames and loses columns, and the other is truncated and
/// dropped.
fn stream() -> String {
    [
        insert("a", &[ID, NAME, N], r#"{"id":1,"name":"one","n":1}"#),
        insert("b", &[ID], r#"{"id":1}"#),
        insert(
            "a",
            &[ID, ORDER, NAME, N],
            r#"{"id":2,"order":"it's","name":"two","n":2}"#,
        ),
        insert(
            "a",
            &[ID, ORDER, NAME, WIDE_N],
            r#"{"id":3,"order":"x","name":"three","n":3}"#,
        ),
        ddl("ALTER TABLE a RENAME COLUMN name TO title", "ALTER", "a"),
        insert(
            "a",
            &[ID, ORDER, TITLE, WIDE_N],
            r#"{"id":4,"order":"y","title":"four","n":4}"#,
        ),
        insert(
            "a",
            &[ID, TITLE, WIDE_N],
            r#"{"id":5,"title":"five","n":5}"#,
        ),
        insert("b", &[ID], r#"{"id":2}"#),
        truncate("b"),
        insert("b", &[ID], r#"{"id":3}"#),
        ddl("DROP TABLE b", "DROP", "b"),
        insert("b", &[ID, N], r#"{"id":4,"n":4}"#),
    ]
    .join("\n")
}

/// Writes `pipeline.yaml`, with more lines for the sink, the pipeline, and at the end.
fn pipeline(scene: &Scene, source: &str, sink: &str, pipeline: &str, rest: &str) -> Result<()> {
    let text = format!(
        "source:\n  type: file\n{source}\n{}  buckets-num: 4\n{sink}\npipeline:\n  name: changes\n{pipeline}\n{rest}\n",
        scene.server.sink()?,
    );
    scene.write("pipeline.yaml", &text)
}

fn run(scene: &Scene) -> Result<Run> {
    scene.longshore(&["run", "pipeline.yaml"])
}

/// Columns and rows of a table: `id=1 n=NULL`, in the order of `id`.
fn rows(scene: &Scene, table: &str) -> Result<Vec<String>> {
    let mut rows: Vec<(i64, String)> = Vec::new();
    for line in Pyodps.call(&scene.server, &["read", table])?.lines() {
        let row: Value = serde_json::from_str(line)?;
        let mut text = String::new();
        for (name, value) in row.as_object().context("a row is an object")? {
            let value = value.as_str().unwrap_or("NULL");
            write!(text, " {name}={value}")?;
        }
        let id = row["id"].as_str().context("id is there")?.parse()?;
        rows.push((id, text.trim_start().to_owned()));
    }
    rows.sort();
    Ok(rows.into_iter().map(|(_, text)| text).collect())
}

/// Columns of a table as `id BIGINT`.
fn columns(scene: &Scene, table: &str) -> Result<Vec<String>> {
    let schema = scene.server.inspect(&["schema", table])?;
    let columns = schema["columns"].as_array().context("it has columns")?;
    Ok(columns
        .iter()
        .map(|column| {
            let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("name"), text("type").to_uppercase())
        })
        .collect())
}

const DEBEZIUM: &str = "  path: changes.json\n  format: debezium-json";

/// A run of the stream under a behaviour.
fn behave(behavior: &str, sink: &str, parallelism: u32) -> Result<(Scene, Run)> {
    let scene = Scene::new()?;
    scene.write("changes.json", &stream())?;
    pipeline(
        &scene,
        DEBEZIUM,
        sink,
        &format!("  parallelism: {parallelism}\n  schema.change.behavior: {behavior}"),
        "",
    )?;
    let run = run(&scene)?;
    Ok((scene, run))
}

#[test]
fn evolve_and_try_evolve_follow_every_change() -> Result<()> {
    for (behavior, parallelism) in [("evolve", 1), ("evolve", 3), ("try_evolve", 1)] {
        let (scene, run) = behave(behavior, "", parallelism)?;
        run.success()?;
        assert_eq!(
            rows(&scene, "a")?,
            [
                "id=1 title=one n=1",
                "id=2 title=two n=2",
                "id=3 title=three n=3",
                "id=4 title=four n=4",
                "id=5 title=five n=5",
            ],
            "{behavior}"
        );
        assert_eq!(
            columns(&scene, "a")?,
            ["id BIGINT", "title STRING", "n BIGINT"]
        );
        assert_eq!(rows(&scene, "b")?, ["id=4 n=4"]);
    }
    Ok(())
}

#[test]
fn lenient_loses_nothing() -> Result<()> {
    let (scene, run) = behave("lenient", "", 1)?;
    let run = run.success()?;
    assert_eq!(
        rows(&scene, "a")?,
        [
            "id=1 name=one n=1 order=NULL title=NULL",
            "id=2 name=two n=2 order=it's title=NULL",
            "id=3 name=three n=3 order=x title=NULL",
            "id=4 name=NULL n=4 order=y title=four",
            "id=5 name=NULL n=5 order=NULL title=five",
        ]
    );
    assert_eq!(
        rows(&scene, "b")?,
        ["id=1 n=NULL", "id=2 n=NULL", "id=3 n=NULL", "id=4 n=4"]
    );
    for told in [
        "truncate the table: not applied",
        "drop the table: not applied",
    ] {
        assert!(
            run.stderr.contains(told) || run.stdout.contains(told),
            "{}{}",
            run.stdout,
            run.stderr
        );
    }
    // What is asked for is done.
    let (scene, run) = behave(
        "lenient",
        "  include.schema.changes: [column, truncate.table]",
        1,
    )?;
    run.success()?;
    assert_eq!(rows(&scene, "b")?, ["id=3 n=NULL", "id=4 n=4"]);
    Ok(())
}

#[test]
fn ignore_keeps_the_first_schema() -> Result<()> {
    let scene = Scene::new()?;
    let lines = stream();
    // From the rename on a column that must not be NULL would get nothing.
    let kept: Vec<&str> = lines.lines().take(4).chain(lines.lines().skip(7)).collect();
    scene.write("changes.json", &kept.join("\n"))?;
    pipeline(&scene, DEBEZIUM, "", "  schema.change.behavior: ignore", "")?;
    run(&scene)?.success()?;
    assert_eq!(
        rows(&scene, "a")?,
        [
            "id=1 name=one n=1",
            "id=2 name=two n=2",
            "id=3 name=three n=3"
        ]
    );
    assert_eq!(columns(&scene, "a")?, ["id BIGINT", "name STRING", "n INT"]);
    assert_eq!(rows(&scene, "b")?, ["id=1", "id=2", "id=3", "id=4"]);
    // A value that the kept schema has no equal for ends the run with its place.
    let line = insert(
        "a",
        &[ID, NAME, WIDE_N],
        r#"{"id":9,"name":"nine","n":3000000000}"#,
    );
    scene.write("changes.json", &(kept.join("\n") + "\n" + &line))?;
    let run = run(&scene)?;
    assert_eq!(run.code, 3, "{}", run.stderr);
    for told in ["changes.json:10", "3000000000", "INT"] {
        assert!(run.stderr.contains(told), "{told} not in {}", run.stderr);
    }
    Ok(())
}

#[test]
fn exception_ends_the_run_and_names_the_change() -> Result<()> {
    let (scene, run) = behave("exception", "", 1)?;
    assert_ne!(run.code, 0);
    for told in [
        "shop.a",
        "add column order STRING",
        "schema.change.behavior is exception",
    ] {
        assert!(run.stderr.contains(told), "{told} not in {}", run.stderr);
    }
    assert_eq!(columns(&scene, "a")?, ["id BIGINT", "name STRING", "n INT"]);
    Ok(())
}

#[test]
fn try_evolve_keeps_what_the_sink_can_not_change() -> Result<()> {
    let scene = Scene::new()?;
    let text_n = r#"{"type":"string","optional":true,"field":"n"}"#;
    let lines = [
        insert("a", &[ID, text_n], r#"{"id":1,"n":"one"}"#),
        insert("a", &[ID, N], r#"{"id":2,"n":2}"#),
        insert("a", &[ID, N, ORDER], r#"{"id":3,"n":3,"order":"x"}"#),
    ];
    scene.write("changes.json", &lines.join("\n"))?;
    pipeline(&scene, DEBEZIUM, "", "  schema.change.behavior: evolve", "")?;
    let refused = run(&scene)?;
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("`n` can not become INT from STRING"),
        "{}",
        refused.stderr
    );
    // Rows before the change are there, once, when the definition is corrected.
    pipeline(
        &scene,
        DEBEZIUM,
        "",
        "  schema.change.behavior: try_evolve",
        "",
    )?;
    run(&scene)?.success()?;
    assert_eq!(
        rows(&scene, "a")?,
        [
            "id=1 n=one order=NULL",
            "id=2 n=2 order=NULL",
            "id=3 n=3 order=x"
        ]
    );
    Ok(())
}

#[test]
fn shards_of_different_types_go_to_one_table() -> Result<()> {
    let route = "route:\n  - source-table: shop.orders_\\.*\n    sink-table: orders";
    // Tables that come together make one table before it is created.
    let scene = Scene::new()?;
    scene.write("changes.json", &shards())?;
    pipeline(
        &scene,
        DEBEZIUM,
        "",
        "  schema.change.behavior: exception",
        route,
    )?;
    run(&scene)?.success()?;
    assert_shards(&scene)?;
    // Those that come later change it.
    let scene = Scene::new()?;
    scene.write("changes.json", &shards())?;
    for (behavior, code) in [("exception", 6), ("evolve", 0)] {
        let behavior = format!("  schema.change.behavior: {behavior}");
        pipeline(
            &scene,
            &format!("{DEBEZIUM}\n  batch-rows: 1"),
            "",
            &behavior,
            route,
        )?;
        let run = run(&scene)?;
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    }
    assert_shards(&scene)
}

/// Rows of three tables whose columns of one name have different types.
fn shards() -> String {
    let price = |precision: u8, scale: u8| {
        format!(
            r#"{{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{{"scale":"{scale}","connect.decimal.precision":"{precision}"}},"optional":true,"field":"price"}}"#
        )
    };
    let when = |kind: &str| {
        format!(
            r#"{{"type":"int64","name":"io.debezium.time.{kind}","optional":true,"field":"at"}}"#
        )
    };
    let code = |kind: &str| format!(r#"{{"type":"{kind}","optional":true,"field":"code"}}"#);
    let small_id = ID.replace("int64", "int32");
    let lines = [
        // 1.50 with two digits, a millisecond clock, a number as code.
        insert(
            "orders_1",
            &[&small_id, &price(6, 2), &when("Timestamp"), &code("int32")],
            r#"{"id":1,"price":"AJY=","at":1700000000123,"code":7}"#,
        ),
        // 1.5000 with four digits, a microsecond clock, a text as code, and a column of its own.
        insert(
            "orders_2",
            &[
                ID,
                &price(8, 4),
                &when("MicroTimestamp"),
                &code("string"),
                NAME,
            ],
            r#"{"id":5000000000,"price":"Opg=","at":1700000000123456,"code":"x7","name":"two"}"#,
        ),
        insert(
            "orders_3",
            &[&small_id, &code("boolean")],
            r#"{"id":3,"code":true}"#,
        ),
        insert(
            "orders_1",
            &[&small_id, &price(6, 2), &when("Timestamp"), &code("int32")],
            r#"{"id":4,"price":null,"at":null,"code":8}"#,
        ),
    ];
    lines.join("\n")
}

fn assert_shards(scene: &Scene) -> Result<()> {
    assert_eq!(
        columns(scene, "orders")?,
        [
            "id BIGINT",
            "price DECIMAL(8,4)",
            "at TIMESTAMP_NTZ",
            "code STRING",
            "name STRING"
        ]
    );
    let rows = rows(scene, "orders")?;
    let starts = |row: &str, start: &str| row.starts_with(start);
    assert_eq!(rows.len(), 4, "{rows:?}");
    assert!(starts(&rows[0], "id=1 price=1.5"), "{rows:?}");
    assert!(
        rows[0].contains("123") && rows[0].contains("code=7 name=NULL"),
        "{rows:?}"
    );
    assert_eq!(rows[1], "id=3 price=NULL at=NULL code=true name=NULL");
    assert_eq!(rows[2], "id=4 price=NULL at=NULL code=8 name=NULL");
    assert!(starts(&rows[3], "id=5000000000 price=1.5"), "{rows:?}");
    assert!(
        rows[3].contains("123456") && rows[3].ends_with("code=x7 name=two"),
        "{rows:?}"
    );
    Ok(())
}

/// Rows between two changes, and changes.
const BLOCK: u64 = 700;
const BLOCKS: u64 = 24;

/// Two append tables: one gets a column with each block and loses the one before, with types that
/// widen and names that change; the other has the same columns all the time.
fn long_stream() -> String {
    let mut lines = String::new();
    for block in 0..BLOCKS {
        let extra = format!(r#"{{"type":"int64","optional":true,"field":"c{block}"}}"#);
        if block % 4 == 3 {
            let statement = format!("ALTER TABLE t RENAME COLUMN c{} TO c{block}", block - 1);
            lines += &ddl(&statement, "ALTER", "t");
            lines.push('\n');
        }
        for row in 0..BLOCK {
            let id = block * BLOCK + row;
            let image = format!(r#"{{"id":{id},"c{block}":{id}}}"#);
            lines += &insert("t", &[ID, &extra], &image);
            lines.push('\n');
            lines += &insert("steady", &[ID], &format!(r#"{{"id":{id}}}"#));
            lines.push('\n');
        }
    }
    lines
}

#[test]
fn rows_stand_once_under_their_schema_whenever_a_run_is_killed() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("changes.json", &long_stream())?;
    pipeline(
        &scene,
        &format!("{DEBEZIUM}\n  batch-rows: 100"),
        "",
        "  schema.change.behavior: evolve\n  checkpoint-interval: 40ms",
        "",
    )?;
    // Each run dies a little later after its first change than the one before.
    let mut kills = 0;
    for changes in [1_usize, 2, 3, 5, 4, 1, 2] {
        let mut process = longshore(&["run", "pipeline.yaml", "-v"])?
            .current_dir(scene.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = process.stderr.take().context("stderr is piped")?;
        let mut done = 0;
        for line in BufReader::new(stderr).lines() {
            // Said right before the statement is sent, or right after.
            done += usize::from(line?.contains("at the sink"));
            if done == changes {
                process.kill()?;
                kills += 1;
                break;
            }
        }
        process.wait()?;
    }
    assert!(
        kills >= 3,
        "only {kills} runs lived long enough to be killed"
    );
    run(&scene)?.success()?;
    assert_ids(&scene, "steady", BLOCK * BLOCKS)?;
    assert_ids(&scene, "t", BLOCK * BLOCKS)?;
    // Only the last block's column is left, and it has the values of the rows since it came.
    let last = format!("c{}", BLOCKS - 1);
    assert_eq!(
        columns(&scene, "t")?,
        ["id BIGINT".to_owned(), format!("{last} BIGINT")]
    );
    for line in rows(&scene, "t")? {
        let (id, value) = line.split_once(' ').context(line.clone())?;
        let id: u64 = id.trim_start_matches("id=").parse()?;
        let expected = if id >= BLOCK * (BLOCKS - 2) {
            format!("{last}={id}")
        } else {
            format!("{last}=NULL")
        };
        assert_eq!(value, expected, "row {id}");
    }
    Ok(())
}

/// Fails unless the table holds each of `0..rows` once.
fn assert_ids(scene: &Scene, table: &str, rows: u64) -> Result<()> {
    let mut seen = vec![0_u32; usize::try_from(rows)?];
    for line in Pyodps.call(&scene.server, &["read", table])?.lines() {
        let row: Value = serde_json::from_str(line)?;
        let id: usize = row["id"].as_str().context("id is there")?.parse()?;
        seen[id] += 1;
    }
    if let Some(id) = seen.iter().position(|count| *count != 1) {
        bail!("row {id} of {table} stands {} times", seen[id]);
    }
    Ok(())
}
