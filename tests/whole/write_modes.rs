//! Ways to write: operations, tunnels, overwriting, partial columns; read back by the official
//! clients.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use longshore_tests::{Client, JavaSdk, Pyodps, Run, Scene, assert_same_rows, dataset, rows_of};
use serde_json::json;

use crate::unloaded::assert_both_read;

/// What the parts of a definition have beyond the usual.
#[derive(Default)]
struct Pipeline<'a> {
    name: &'a str,
    source: &'a str,
    sink: &'a str,
    pipeline: &'a str,
}

/// Runs `longshore COMMAND` on a pipeline; each option stands on a line of its own.
fn command(scene: &Scene, command: &str, pipeline: &Pipeline<'_>) -> Result<Run> {
    let lines = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.fold(String::new(), |mut all, line| {
            let _ = writeln!(all, "  {line}");
            all
        })
    };
    let definition = format!(
        "source:\n  type: file\n{}{}  buckets-num: 4\n{}pipeline:\n  name: {}\n{}",
        lines(pipeline.source),
        scene.server.sink()?,
        lines(pipeline.sink),
        pipeline.name,
        lines(pipeline.pipeline),
    );
    let file = format!("{}.yaml", pipeline.name);
    scene.write(&file, &definition)?;
    scene.longshore(&[command, &file])
}

fn run(scene: &Scene, pipeline: &Pipeline<'_>) -> Result<Run> {
    command(scene, "run", pipeline)?
        .success()
        .with_context(|| pipeline.name.to_owned())
}

#[test]
fn each_tunnel_carries_all_types() -> Result<()> {
    let scene = Scene::new()?;
    Pyodps::script("sources.py", &[&dataset(), scene.path()], &[])?;
    let expected = rows_of(&dataset())?;
    for (tunnel, compress) in [
        ("tunnel: arrow", "raw"),
        ("insert.arrow-writer.enable: true", "zlib"),
        ("tunnel: arrow", "snappy"),
        ("tunnel: arrow", "lz4"),
        ("useStreamTunnel: true", "zlib"),
    ] {
        let kind = if tunnel.contains("arrow") {
            "arrow"
        } else {
            "stream"
        };
        let name = format!("{kind}_{compress}");
        run(
            &scene,
            &Pipeline {
                name: &name,
                source: &format!("path: types.arrow\ntable: {name}"),
                sink: &format!("{tunnel}\ncompress.algorithm: {compress}"),
                ..Pipeline::default()
            },
        )?;
        if compress == "zlib" {
            assert_both_read(&scene.server, &name, None, &expected)?;
        } else {
            let rows = Pyodps.call(&scene.server, &["read", &name])?;
            assert_same_rows(&name, &rows, &expected)?;
        }
    }
    Ok(())
}

#[test]
fn arrow_blocks_of_several_writers_hold_each_row_once() -> Result<()> {
    const ROWS: i64 = 30_000;
    let scene = Scene::new()?;
    let lines: String = (0..ROWS)
        .map(|id| format!("{{\"id\":{id},\"part\":{}}}\n", id % 3))
        .collect();
    scene.write("rows.json", &lines)?;
    run(
        &scene,
        &Pipeline {
            name: "writers",
            source: "path: rows.json\nschema: {id: bigint, part: int}\ntable: t\npartition-by: part",
            sink: "tunnel: arrow\nblock-size: 64kb\narrow.batch-rows: 1000\nslot-num: 2",
            pipeline: "parallelism: 3\ncheckpoint-interval: 50ms",
        },
    )?;
    let mut ids = Vec::new();
    for part in 0..3 {
        for row in scene.read("t", Some(&format!("part={part}")))? {
            ids.push(row["id"].as_str().context("an id")?.parse::<i64>()?);
        }
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..ROWS).collect::<Vec<_>>());
    Ok(())
}

const CHANGES: &str = r#"{"before":null,"after":{"id":1,"text":"a"},"source":{"db":"d","table":"t"},"op":"c","ts_ms":1}
{"before":null,"after":{"id":2,"text":"b"},"source":{"db":"d","table":"t"},"op":"c","ts_ms":2}
{"before":{"id":1,"text":"a"},"after":{"id":1,"text":"c"},"source":{"db":"d","table":"t"},"op":"u","ts_ms":3}
{"before":{"id":2,"text":"b"},"after":null,"source":{"db":"d","table":"t"},"op":"d","ts_ms":4}
"#;

const CHANGE_SOURCE: &str = "path: changes.json\nformat: debezium-json\nprimary-key: id\nschema: {id: bigint, text: string}";

#[test]
fn operations_on_one_change_stream() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("changes.json", CHANGES)?;
    let row = |id: &str, text: &str| json!({"id": id, "text": text});
    let logged = |id: &str, text: &str, what: &str| json!({"id": id, "text": text, "op": what});
    for (operation, tunnel, expected) in [
        ("auto", "batch", vec![row("1", "c")]),
        ("upsert", "batch", vec![row("1", "c")]),
        (
            "insert",
            "batch",
            vec![row("1", "a"), row("1", "c"), row("2", "b")],
        ),
        (
            "insert",
            "stream",
            vec![row("1", "a"), row("1", "c"), row("2", "b")],
        ),
        (
            "append-only",
            "arrow",
            vec![
                logged("1", "a", "INSERT"),
                logged("1", "a", "UPDATE_BEFORE"),
                logged("1", "c", "UPDATE_AFTER"),
                logged("2", "b", "DELETE"),
                logged("2", "b", "INSERT"),
            ],
        ),
    ] {
        let name = format!("{}_{tunnel}", operation.replace('-', "_"));
        let column = match operation {
            "append-only" => "mapping.operation.type.to: op",
            _ => "",
        };
        let source = CHANGE_SOURCE;
        let definition = Pipeline {
            name: &name,
            source,
            sink: &format!("operation: {operation}\ntunnel: {tunnel}\n{column}"),
            ..Pipeline::default()
        };
        // Each has a table of its own.
        let changes = CHANGES.replace(r#""table":"t""#, &format!(r#""table":"{name}""#));
        scene.write("changes.json", &changes)?;
        run(&scene, &definition)?;
        let mut rows = scene.read(&name, None)?;
        rows.sort_by_key(ToString::to_string);
        let mut expected = expected;
        expected.sort_by_key(ToString::to_string);
        assert_eq!(rows, expected, "{name}");
    }
    let java = JavaSdk.call(&scene.server, &["count", "append_only_arrow"])?;
    assert_eq!(java, "5");

    // Inserts into the table with a primary key that a run above made are refused with the reason.
    let changes = CHANGES.replace(r#""table":"t""#, r#""table":"auto_batch""#);
    scene.write("changes.json", &changes)?;
    let refused = command(
        &scene,
        "run",
        &Pipeline {
            name: "refused",
            source: CHANGE_SOURCE,
            sink: "operation: insert",
            ..Pipeline::default()
        },
    )?;
    assert_ne!(refused.code, 0);
    assert!(
        refused.stderr.contains("primary key (id)"),
        "{}",
        refused.stderr
    );
    Ok(())
}

#[test]
fn streams_say_what_they_do_not_promise() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("rows.json", "{\"id\":1}\n")?;
    let definition = Pipeline {
        name: "streamed",
        source: "path: rows.json\nschema: {id: bigint}\ntable: t",
        sink: "tunnel: stream",
        ..Pipeline::default()
    };
    let explained = command(&scene, "explain", &definition)?.success()?;
    assert!(
        explained.stdout.contains("at least once"),
        "{}",
        explained.stdout
    );
    let run = run(&scene, &definition)?;
    assert!(
        run.stderr.contains("twice after a failure"),
        "{}",
        run.stderr
    );
    let refused = command(
        &scene,
        "validate",
        &Pipeline {
            sink: "tunnel: stream\noverwrite: true",
            ..definition
        },
    )?;
    assert_ne!(refused.code, 0);
    assert!(
        refused.stderr.contains("can not overwrite"),
        "{}",
        refused.stderr
    );
    Ok(())
}

#[test]
fn each_run_overwrites_the_partitions_it_has_rows_for() -> Result<()> {
    let scene = Scene::new()?;
    let lines = |ids: std::ops::Range<i64>, parts: i64| -> String {
        ids.map(|id| format!("{{\"id\":{id},\"part\":{}}}\n", id % parts))
            .collect()
    };
    scene.write("rows/1.json", &lines(0..9_000, 3))?;
    let definition = Pipeline {
        name: "daily",
        source: "path: rows/*.json\nformat: json\nschema: {id: bigint, part: int}\ntable: t\npartition-by: part",
        sink: "overwrite: true",
        pipeline: "checkpoint-interval: 10ms",
    };
    run(&scene, &definition)?;
    let counts = || -> Result<Vec<usize>> {
        let count = |part| Ok(scene.read("t", Some(&format!("part={part}")))?.len());
        (0..3).map(count).collect()
    };
    assert_eq!(counts()?, [3_000, 3_000, 3_000]);
    // The next day has rows of two partitions.
    scene.write("rows/2.json", &lines(20_000..20_010, 2))?;
    run(&scene, &definition)?;
    assert_eq!(counts()?, [5, 5, 3_000]);
    // Nothing new: nothing is replaced.
    run(&scene, &definition)?;
    assert_eq!(counts()?, [5, 5, 3_000]);

    let several = command(
        &scene,
        "run",
        &Pipeline {
            name: "several",
            pipeline: "parallelism: 2",
            ..definition
        },
    )?;
    assert_ne!(several.code, 0);
    assert!(several.stderr.contains("parallelism"), "{}", several.stderr);
    Ok(())
}

#[test]
fn partial_upserts_leave_other_columns_alone() -> Result<()> {
    let scene = Scene::new()?;
    let option = "upsert.partial-column.enable: true";
    scene.write(
        "whole.json",
        "{\"id\":1,\"a\":\"a1\",\"b\":\"b1\"}\n{\"id\":2,\"a\":\"a2\",\"b\":\"b2\"}\n",
    )?;
    run(
        &scene,
        &Pipeline {
            name: "whole",
            source: "path: whole.json\nprimary-key: id\nschema: {id: bigint, a: string, b: string}\ntable: t",
            sink: option,
            ..Pipeline::default()
        },
    )?;
    scene.write(
        "part.json",
        "{\"id\":2,\"a\":\"new\"}\n{\"id\":3,\"a\":\"a3\"}\n",
    )?;
    run(
        &scene,
        &Pipeline {
            name: "part",
            source: "path: part.json\nprimary-key: id\nschema: {id: bigint, a: string}\ntable: t",
            sink: option,
            ..Pipeline::default()
        },
    )?;
    let expected = json!({
        "columns": [["id", "bigint"], ["a", "string"], ["b", "string"]],
        "rows": [["1", "a1", "b1"], ["2", "new", "b2"], ["3", "a3", null]],
    });
    assert_both_read(&scene.server, "t", None, &expected)
}
