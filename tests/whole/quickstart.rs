//! The quickstart as a new user runs it, held against what the recorded MariaDB answered.

use std::path::Path;

use anyhow::{Context, Result};
use longshore_tests::{Client, JavaSdk, LocalServer, Pyodps, Run, longshore, workspace};
use serde_json::Value;

use crate::unloaded::read_files;

/// Copies the example, so that what a run leaves behind stays out of the checkout.
pub(crate) fn copy_of_example() -> Result<tempfile::TempDir> {
    let copy = tempfile::tempdir()?;
    for entry in std::fs::read_dir(workspace().join("examples/quickstart"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name()))?;
        }
    }
    Ok(copy)
}

pub(crate) fn run(directory: &Path, pipeline: &str) -> Result<Run> {
    Run::of(longshore(&["run", pipeline, "--output", "json"])?.current_dir(directory))
}

/// MariaDB's text for a value -> the clients' canonical text.
fn canonical_of_mariadb(column: &str, value: &Value) -> Value {
    let Value::String(text) = value else {
        return Value::Null;
    };
    let nanos = |text: &str| {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        format!("{}.{fraction:0<9}", seconds.replace(' ', "T"))
    };
    Value::String(match column {
        "created_at" | "placed_at" => nanos(text) + "Z",
        "updated_at" => nanos(text),
        "credit" | "price" | "total" | "unit_price" => decimal(text),
        "weight_kg" => text
            .parse::<f64>()
            .map_or_else(|_| text.clone(), |number| format!("{number:?}")),
        "preferences" => compact_json(text),
        _ => text.clone(),
    })
}

fn canonical_of_client(column: &str, value: &Value) -> Value {
    let Value::String(text) = value else {
        return value.clone();
    };
    Value::String(match column {
        "credit" | "price" | "total" | "unit_price" => decimal(text),
        "weight_kg" => text
            .parse::<f64>()
            .map_or_else(|_| text.clone(), |number| format!("{number:?}")),
        "preferences" => compact_json(text),
        _ => text.clone(),
    })
}

fn decimal(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, fraction)) => match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        },
        None => text.to_owned(),
    }
}

fn compact_json(text: &str) -> String {
    serde_json::from_str::<Value>(text).map_or_else(|_| text.to_owned(), |value| value.to_string())
}

/// Fails unless a client reads from `table` exactly what MariaDB held in the end.
fn assert_equals_mariadb(client: &dyn Client, server: &LocalServer, table: &str) -> Result<()> {
    let rows = client.call(server, &["read", table])?;
    assert_same(table, &rows, canonical_of_client)
}

/// The same of rows that were read, as JSON lines.
fn assert_same(table: &str, read: &str, canonical: fn(&str, &Value) -> Value) -> Result<()> {
    let expected = workspace().join(format!("examples/quickstart/expected/{table}.jsonl"));
    let expected =
        std::fs::read_to_string(&expected).with_context(|| expected.display().to_string())?;
    let rows = |text: &str, canonical: fn(&str, &Value) -> Value| -> Result<Vec<String>> {
        let mut rows = Vec::new();
        for line in text.lines() {
            let row: serde_json::Map<String, Value> =
                serde_json::from_str(line).with_context(|| line.to_owned())?;
            let mut cells: Vec<_> = row
                .iter()
                .map(|(name, value)| format!("{name}={}", canonical(name, value)))
                .collect();
            cells.sort();
            rows.push(cells.join(" "));
        }
        rows.sort();
        Ok(rows)
    };
    let actual = rows(read, canonical)?;
    let expected = rows(&expected, canonical_of_mariadb)?;
    for (actual, expected) in actual.iter().zip(&expected) {
        assert_eq!(actual, expected, "{table}");
    }
    assert_eq!(actual.len(), expected.len(), "{table}: number of rows");
    Ok(())
}

/// The server's files have no zones.
fn canonical_of_file(column: &str, value: &Value) -> Value {
    match (column, value) {
        ("created_at" | "placed_at", Value::String(text)) => Value::String(format!("{text}Z")),
        _ => canonical_of_client(column, value),
    }
}

/// Sum of one count over all tables of a report.
fn rows(report: &Value, count: &str) -> u64 {
    let tables = report["tables"].as_array().into_iter().flatten();
    tables.filter_map(|table| table[count].as_u64()).sum()
}

const SHOP: [&str; 4] = ["customers", "products", "orders", "order_items"];

#[test]
fn the_change_stream_ends_as_the_source_database() -> Result<()> {
    let example = copy_of_example()?;
    let report = run(example.path(), "pipeline.yaml")?.success()?;
    let report: Value = serde_json::from_str(&report.stdout).context("the report is JSON")?;
    assert_eq!(rows(&report, "read"), 1780, "{report}");
    assert_eq!(rows(&report, "written"), 1780, "{report}");

    let server = LocalServer::start(&example.path().join(".longshore/local"))?;
    for table in SHOP {
        assert_equals_mariadb(&Pyodps, &server, table)?;
        assert_equals_mariadb(&JavaSdk, &server, table)?;
    }
    for (reader, table, rows) in read_files(server.data(), &SHOP)? {
        assert_same(&table, &rows, canonical_of_file)
            .with_context(|| format!("read from files by {reader}"))?;
    }
    Ok(())
}

#[test]
fn a_second_run_has_nothing_to_do() -> Result<()> {
    let example = copy_of_example()?;
    run(example.path(), "pipeline.yaml")?.success()?;
    let report = run(example.path(), "pipeline.yaml")?.success()?;
    let report: Value = serde_json::from_str(&report.stdout)?;
    assert_eq!(rows(&report, "read"), 0, "{report}");
    let server = LocalServer::start(&example.path().join(".longshore/local"))?;
    assert_equals_mariadb(&Pyodps, &server, "orders")
}

#[test]
fn flights_land_in_their_partitions() -> Result<()> {
    let example = copy_of_example()?;
    run(example.path(), "flights.yaml")?.success()?;
    let data = example.path().join(".longshore/local");
    let show = longshore(&["local", "tables", "--output", "json", "--data"])?;
    let mut show = show;
    let tables = Run::of(show.arg(&data))?.success()?;
    assert!(tables.stdout.contains("flights"), "{}", tables.stdout);

    // pandas reads the files themselves, the partition from the path.
    let check = "import pyarrow.dataset as d, sys, glob, os\n\
                 root = [os.path.dirname(p) for p in glob.glob(sys.argv[1] + '/**/flights/month=*', recursive=True)][0]\n\
                 t = d.dataset(root, format='parquet', partitioning='hive').to_table()\n\
                 f = t.to_pandas(); assert len(f) == 80789, len(f)\n\
                 print(f.groupby('month').size().to_dict(), int(f.distance.sum()), int(f.dep_delay.isna().sum()))";
    let answer = Run::of(
        std::process::Command::new(Pyodps::python()?)
            .args(["-c", check])
            .arg(&data),
    )?
    .success()?;
    assert_eq!(answer.stdout.trim(), FLIGHTS);
    Ok(())
}

/// What the Parquet file of the example itself answers.
const FLIGHTS: &str = "{1: 27004, 2: 24951, 3: 28834} 81343950 2643";
