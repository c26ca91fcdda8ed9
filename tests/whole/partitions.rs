//! Partitions end to end: by time in a zone, moves between them, and very many of them.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use longshore_tests::{Client, LocalServer, Pyodps, Run, longshore};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

fn pipeline(server: &LocalServer, source: &str, sink: &str) -> Result<String> {
    Ok(format!(
        "source:\n  type: file\n{source}\n{}  buckets-num: 2\n{sink}\n",
        server.sink()?,
    ))
}

fn unload(directory: &Path, server: &LocalServer, source: &str, sink: &str) -> Result<Run> {
    std::fs::write(directory.join("p.yaml"), pipeline(server, source, sink)?)?;
    Run::of(longshore(&["run", "p.yaml", "--fresh"])?.current_dir(directory))
}

/// Ids of the rows that pyodps reads from a partition.
fn ids(server: &LocalServer, table: &str, partition: &str) -> Result<Vec<u64>> {
    let rows = Pyodps.call(server, &["read", table, "--partition", partition])?;
    let mut ids = rows
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line)?;
            let id = row["id"].as_str().context("an id")?;
            Ok(id.parse()?)
        })
        .collect::<Result<Vec<u64>>>()?;
    ids.sort_unstable();
    Ok(ids)
}

#[test]
fn event_times_choose_the_day_of_a_zone_and_updates_move_between_days() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::start(&directory.join("data"))?;
    let change = |op: &str, before: Value, after: Value| {
        json!({ "before": before, "after": after, "op": op, "ts_ms": 1,
                "source": { "db": "db", "table": "events" } })
        .to_string()
    };
    let event = |id: u64, ts: &str| json!({ "id": id, "ts": ts });
    let changes = [
        // 20:00 in London is the next day in Shanghai; 15:59:59.999 still is not.
        change("c", Value::Null, event(1, "2018-09-05T20:00:00Z")),
        change("c", Value::Null, event(2, "2018-09-05T15:59:59.999Z")),
        change("c", Value::Null, event(3, "2018-09-05T01:00:00Z")),
        change("c", Value::Null, event(4, "2018-09-05T02:00:00Z")),
        change("c", Value::Null, json!({ "id": 5, "ts": null })),
        // One update stays in its day, one moves, one row is deleted.
        change(
            "u",
            event(2, "2018-09-05T15:59:59.999Z"),
            event(2, "2018-09-05T03:00:00Z"),
        ),
        change(
            "u",
            event(3, "2018-09-05T01:00:00Z"),
            event(3, "2018-09-05T16:00:00Z"),
        ),
        change("d", event(4, "2018-09-05T02:00:00Z"), Value::Null),
    ];
    std::fs::write(directory.join("events.json"), changes.join("\n"))?;
    let source = "  path: events.json\n  format: debezium-json\n  primary-key: id\n  \
                  schema: {id: bigint, ts: timestamp_ltz(3)}";
    let sink =
        "  partition: \"dt=date_format(ts,'yyyyMMdd')\"\n  partition.time-zone: Asia/Shanghai";
    unload(directory, &server, source, sink)?.success()?;
    assert_eq!(ids(&server, "events", "dt=20180905")?, [2]);
    assert_eq!(ids(&server, "events", "dt=20180906")?, [1, 3]);
    assert_eq!(ids(&server, "events", "dt=__DEFAULT_PARTITION__")?, [5]);
    Ok(())
}

#[test]
fn rows_go_to_a_fixed_partition() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::start(&directory.join("data"))?;
    std::fs::write(directory.join("rows.csv"), "id,text\n1,a\n2,b\n")?;
    let source = "  path: rows.csv\n  table: fixed";
    unload(directory, &server, source, "  partition: ds=20180905")?.success()?;
    assert_eq!(ids(&server, "fixed", "ds=20180905")?, [1, 2]);
    let run = unload(directory, &server, source, "  partition: ds=2018/09")?;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("must not contain '/'"), "{run:?}");
    Ok(())
}

#[test]
fn too_many_partitions_are_refused_by_name_where_a_limit_is_set() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::start(&directory.join("data"))?;
    let rows: String = (0..20).map(|id| format!("{id},p{id}\n")).collect();
    std::fs::write(directory.join("rows.csv"), format!("id,pt\n{rows}"))?;
    let source = "  path: rows.csv\n  table: many\n  partition-by: pt";
    let run = unload(directory, &server, source, "  dynamicPartitionLimit: 10")?;
    assert_eq!(run.code, 9, "{run:?}");
    for part in [
        "too many dynamic partitions: 10",
        "pt=p0",
        "pt=p10",
        "dynamic-partition.limit",
    ] {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
    Ok(())
}

const PARTITIONS: i32 = 10_000;
const ROWS_OF_EACH: i32 = 1_000;

/// Rows in turn for every partition, which is the worst order there is.
fn write_interleaved(path: &Path) -> Result<()> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("part", DataType::Int32, false),
    ]));
    let mut writer = ArrowWriter::try_new(File::create(path)?, Arc::clone(&schema), None)?;
    for round in 0..ROWS_OF_EACH {
        let ids =
            (0..PARTITIONS).map(|part| i64::from(round) * i64::from(PARTITIONS) + i64::from(part));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(ids)),
            Arc::new(Int32Array::from_iter_values(0..PARTITIONS)),
        ];
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
    }
    writer.close()?;
    Ok(())
}

/// The most memory that the process ever had, in KiB, and what it printed.
fn peak_of(mut child: Child) -> Result<(u64, std::process::Output)> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    // The kernel keeps the high-water mark; it is gone with the process, so look now and then.
    while child.try_wait()?.is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(kib) = mark.and_then(|mark| mark.trim().strip_suffix(" kB")) {
            peak = kib.trim().parse()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((peak, child.wait_with_output()?))
}

/// All partitions are open at once, in one checkpoint.
#[test]
fn ten_thousand_partitions_fit_half_a_gibibyte() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::listen(&directory.join("data"), "127.0.0.1:0", &["--discard"])?;
    write_interleaved(&directory.join("rows.parquet"))?;
    let source = "  path: rows.parquet\n  table: many\n  partition-by: part";
    let sink = "  total.buffer-size: 256mb\n  compress.algorithm: snappy\npipeline:\n  checkpoint-interval: 1h";
    std::fs::write(directory.join("p.yaml"), pipeline(&server, source, sink)?)?;
    let child = longshore(&["run", "p.yaml", "--output", "json"])?
        .current_dir(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (peak_kib, output) = peak_of(child)?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout)?;
    println!(
        "{PARTITIONS} partitions: {:.0} MiB at most, {} s",
        peak_kib as f64 / 1024.0,
        report["seconds"]
    );
    assert_eq!(report["checkpoints"], 1, "{report}");
    assert_eq!(
        report["tables"][0]["written"],
        PARTITIONS * ROWS_OF_EACH,
        "{report}"
    );
    assert!(peak_kib > 0 && peak_kib < 512 * 1024, "{peak_kib} KiB");
    // The server checked each row and each commit before it dropped them.
    let committed = server.administer("GET", "status")?;
    assert_eq!(committed["committed_rows"], PARTITIONS * ROWS_OF_EACH);
    assert_eq!(committed["commits"], PARTITIONS);
    Ok(())
}
