//! What `longshore run` wrote, read by the official clients, and from the server's files by nobody's
//! client.

use std::path::Path;

use anyhow::{Context, Result};
use longshore_tests::{
    Changes, Client, JavaSdk, LocalServer, PARTITIONS, Pyodps, Run, assert_same_rows, dataset,
    longshore, row, rows_of, workspace,
};
use serde_json::{Value, json};

use crate::quickstart::{copy_of_example, run};

/// Runs a pipeline with this source into a server.
fn unload(directory: &Path, server: &LocalServer, name: &str, source: &str) -> Result<()> {
    let pipeline = format!(
        "source:\n  type: file\n{source}\n{}  buckets-num: 4\npipeline:\n  name: {name}\n",
        server.sink()?,
    );
    let file = format!("{name}.yaml");
    std::fs::write(directory.join(&file), pipeline)?;
    Run::of(longshore(&["run", &file])?.current_dir(directory))?
        .success()
        .with_context(|| name.to_owned())?;
    Ok(())
}

/// Fails unless both clients read exactly these rows, as records and as Arrow.
pub(crate) fn assert_both_read(
    server: &LocalServer,
    table: &str,
    partition: Option<&str>,
    expected: &Value,
) -> Result<()> {
    for (name, client) in [("pyodps", &Pyodps as &dyn Client), ("Java", &JavaSdk)] {
        for mode in ["batch", "arrow"] {
            let mut call = vec!["read", table, "--mode", mode];
            call.extend(partition.into_iter().flat_map(|pt| ["--partition", pt]));
            let rows = client.call(server, &call)?;
            assert_same_rows(&format!("{table} read by {name}, {mode}"), &rows, expected)?;
        }
    }
    Ok(())
}

#[test]
fn append_tables() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::start(&directory.join("data"))?;
    let ids = 0..500;
    let lines: String = ids.clone().map(|id| row(id, id * 10) + "\n").collect();
    std::fs::write(directory.join("rows.json"), lines)?;
    let source = "  path: rows.json\n  schema: {id: bigint, version: bigint, part: int, text: string}\n  table: ";
    unload(directory, &server, "whole", &format!("{source}whole"))?;
    let partitioned = format!("{source}parted\n  partition-by: part");
    unload(directory, &server, "parted", &partitioned)?;

    let columns = json!([
        ["id", "bigint"],
        ["version", "bigint"],
        ["text", "string"],
        ["part", "int"]
    ]);
    let cells = |id: u64| {
        let version = id * 10;
        let text = |number: u64| number.to_string();
        json!([
            text(id),
            text(version),
            format!("第{id}行 at {version}"),
            text(version % PARTITIONS)
        ])
    };
    let rows: Vec<Value> = ids.clone().map(cells).collect();
    let expected = json!({ "columns": columns, "rows": rows });
    assert_both_read(&server, "whole", None, &expected)?;
    for part in 0..PARTITIONS {
        let of_part = ids.clone().filter(|id| id * 10 % PARTITIONS == part);
        let rows: Vec<Value> = of_part.map(cells).collect();
        // The partition is no column of what clients read from it.
        let expected =
            json!({ "columns": &columns.as_array().context("a list")?[..3], "rows": rows });
        assert_both_read(&server, "parted", Some(&format!("part={part}")), &expected)?;
    }
    assert_files_hold(&server, &["whole", "parted"], &expected)
}

#[test]
fn a_partitioned_delta_table_after_updates_and_deletes() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::start(&directory.join("data"))?;
    let changes = Changes::write(&directory.join("changes.json"), "keyed", 6_000, 700)?;
    let source = "  path: changes.json\n  format: debezium-json\n  primary-key: id\n  partition-by: part\n  \
                  schema: {id: bigint, version: bigint, part: int, text: string}";
    unload(directory, &server, "keyed", source)?;
    changes.assert_equals(&Pyodps, &server, "keyed", true)?;
    changes.assert_equals(&JavaSdk, &server, "keyed", true)?;

    let rows = changes.left(None).into_iter().map(|(id, version)| {
        let row: Value = serde_json::from_str(&row(id, version))?;
        let text = |name: &str| row[name].to_string();
        Ok(json!([
            text("id"),
            text("version"),
            row["text"],
            text("part")
        ]))
    });
    let rows = rows.collect::<Result<Vec<Value>>>()?;
    let columns = json!([
        ["id", "bigint"],
        ["version", "bigint"],
        ["text", "string"],
        ["part", "int"]
    ]);
    assert_files_hold(
        &server,
        &["keyed"],
        &json!({ "columns": columns, "rows": rows }),
    )
}

#[test]
fn all_types() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::start(&directory.join("data"))?;
    Pyodps::script("sources.py", &[&dataset(), directory], &[])?;
    unload(
        directory,
        &server,
        "carried",
        "  path: types.arrow\n  table: carried",
    )?;
    let mut expected = rows_of(&dataset())?;
    let mut declared =
        "  path: types.json\n  table: declared\n  primary-key: id\n  schema:".to_owned();
    for column in expected["columns"].as_array().into_iter().flatten() {
        let name = column[0].as_str().context("a name")?;
        let ty = match column[1].as_str().context("a type")? {
            "timestamp" => "timestamp_ltz(9)",
            "timestamp_ntz" => "timestamp_ntz(9)",
            other => other,
        };
        declared += &format!("\n    {name}: {ty}");
    }
    unload(directory, &server, "declared", &declared)?;
    for table in ["carried", "declared"] {
        assert_both_read(&server, table, None, &expected)?;
        let schema = server.inspect(&["schema", table])?;
        for (found, column) in schema["columns"]
            .as_array()
            .context("columns")?
            .iter()
            .zip(expected["columns"].as_array().context("columns")?)
        {
            let wanted = column[1].as_str().context("a type")?;
            let found = found["type"].as_str().context("a type")?;
            assert!(
                found.eq_ignore_ascii_case(wanted),
                "{table}: {found} for {column}"
            );
        }
    }

    // The files have no zones, and all moments in nanoseconds.
    let columns = expected["columns"].as_array().context("a list")?.clone();
    for row in expected["rows"].as_array_mut().into_iter().flatten() {
        for (index, column) in columns.iter().enumerate() {
            let moment = row[index].as_str().and_then(|text| text.strip_suffix('Z'));
            row[index] = match (column[1].as_str(), moment) {
                (Some("datetime"), Some(moment)) => format!("{moment}000000").into(),
                (Some("timestamp"), Some(moment)) => moment.into(),
                _ => continue,
            };
        }
    }
    assert_files_hold(&server, &["carried", "declared"], &expected)
}

/// Fails unless pandas and DuckDB find exactly these rows in the files of each table.
fn assert_files_hold(server: &LocalServer, tables: &[&str], expected: &Value) -> Result<()> {
    for (reader, table, rows) in read_files(server.data(), tables)? {
        assert_same_rows(
            &format!("files of {table} read by {reader}"),
            &rows,
            expected,
        )?;
    }
    Ok(())
}

/// Reader, table, and its rows as JSON lines.
pub(crate) fn read_files(data: &Path, tables: &[&str]) -> Result<Vec<(String, String, String)>> {
    let folders: Vec<_> = tables
        .iter()
        .map(|table| data.join("local/default").join(table))
        .collect();
    let arguments: Vec<&Path> = folders.iter().map(std::path::PathBuf::as_path).collect();
    let found: Value = serde_json::from_str(&Pyodps::script("disk.py", &arguments, &[])?)?;
    let mut all = Vec::new();
    for (reader, found) in found.as_object().context("an object")? {
        for (table, folder) in tables.iter().zip(&folders) {
            let rows = found[folder.to_str().context("UTF-8")?].as_array();
            let rows = rows.with_context(|| format!("{reader} read no {table}"))?;
            let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
            all.push((reader.clone(), (*table).to_owned(), lines));
        }
    }
    assert_eq!(all.len(), 2 * tables.len(), "pandas and DuckDB");
    Ok(all)
}

#[test]
fn the_flights() -> Result<()> {
    let example = copy_of_example()?;
    run(example.path(), "flights.yaml")?.success()?;
    let server = LocalServer::start(&example.path().join(".longshore/local"))?;
    for client in [&Pyodps as &dyn Client, &JavaSdk] {
        for (month, flights) in [("1", "27004"), ("2", "24951"), ("3", "28834")] {
            let partition = format!("month={month}");
            let count = client.call(&server, &["count", "flights", "--partition", &partition])?;
            assert_eq!(count, flights, "{partition}");
        }
    }

    // One month row by row, against the file itself.
    let file = workspace().join("examples/quickstart/flights-2013-q1.parquet");
    let expected = Pyodps::script("flights.py", &[&file], &[])?;
    let expected: Value = serde_json::from_str(&expected)?;
    for client in [&Pyodps as &dyn Client, &JavaSdk] {
        let rows = client.call(&server, &["read", "flights", "--partition", "month=2"])?;
        assert_same_rows("flights of February", &rows, &expected)?;
    }
    Ok(())
}
