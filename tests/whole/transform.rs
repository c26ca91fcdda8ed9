//! A pipeline with a `transform` block, and what pyodps reads of it.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use longshore_tests::{Client, LocalServer, Pyodps, Run, longshore, workspace};
use serde_json::Value;

/// A change of `shop.orders` as Debezium writes it.
fn change(op: &str, before: Option<(u32, &str, u32)>, after: Option<(u32, &str, u32)>) -> String {
    let image = |image: Option<(u32, &str, u32)>| match image {
        None => "null".to_owned(),
        Some((id, product, amount)) => format!(
            r#"{{"id":{id},"product":"{product}","amount":{amount},"at":"2024-02-{:02}T20:00:00Z"}}"#,
            27 + id % 2
        ),
    };
    format!(
        "{{\"before\":{},\"after\":{},\"source\":{{\"db\":\"shop\",\"table\":\"orders\"}},\"op\":\"{op}\"}}\n",
        image(before),
        image(after)
    )
}

#[test]
fn rows_go_through_projection_filter_and_soft_delete_into_partitions() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::start(&directory.join("data"))?;
    let mut lines = String::new();
    for id in 1..=400 {
        write!(lines, "{}", change("c", None, Some((id, "tea", id % 10))))?;
    }
    // Order 5 leaves the filter, order 10 enters it, orders 6 and 7 change and go.
    lines += &change("u", Some((5, "tea", 5)), Some((5, "tea", 1)));
    lines += &change("u", Some((10, "tea", 0)), Some((10, "cup", 50)));
    lines += &change("u", Some((6, "tea", 6)), Some((6, "pot", 60)));
    lines += &change("d", Some((6, "pot", 60)), None);
    lines += &change("d", Some((7, "tea", 7)), None);
    lines += &change("d", Some((1, "tea", 1)), None);
    std::fs::write(directory.join("orders.json"), lines)?;
    let pipeline = format!(
        "source:
  type: file
  path: orders.json
  format: debezium-json
  primary-key: id
  schema: {{id: int not null, product: string, amount: int, at: timestamp_ltz(3)}}
transform:
  - source-table: shop.orders
    projection: id, UPPER(product) AS product, amount * 2 AS twice, __data_event_type__ AS event, DATE_FORMAT(at, 'yyyyMMdd') AS dt
    filter: amount >= 3
    partition-keys: dt
    converter-after-transform: SOFT_DELETE
{}pipeline:
  name: transformed
  local-time-zone: Asia/Shanghai
",
        server.sink()?,
    );
    std::fs::write(directory.join("pipeline.yaml"), pipeline)?;
    Run::of(longshore(&["validate", "pipeline.yaml"])?.current_dir(directory))?.success()?;
    let report = longshore(&["run", "pipeline.yaml", "--output", "json"])?
        .current_dir(directory)
        .output()?;
    let report: Value = serde_json::from_slice(&report.stdout)?;
    // 40 each with the amounts 0, 1 and 2, and the delete of order 1.
    assert_eq!(report["left_out"]["filtered"], 121, "{report}");

    let mut expected: Vec<(u32, String, u32, String)> = (1..=400)
        .filter(|id| id % 10 >= 3)
        .map(|id| (id, "TEA".to_owned(), id % 10 * 2, "+I".to_owned()))
        .collect();
    for row in &mut expected {
        let (product, twice, event) = match row.0 {
            5 => ("TEA", 10, "-U"),
            6 => ("POT", 120, "-D"),
            7 => ("TEA", 14, "-D"),
            _ => continue,
        };
        *row = (row.0, product.to_owned(), twice, event.to_owned());
    }
    expected.push((10, "CUP".to_owned(), 100, "+U".to_owned()));
    expected.sort();
    let mut found = Vec::new();
    for (day, odd) in [("20240228", 0), ("20240229", 1)] {
        let partition = format!("dt={day}");
        let rows = Pyodps.call(&server, &["read", "orders", "--partition", &partition])?;
        for line in rows.lines() {
            let row: Value = serde_json::from_str(line)?;
            let text = |name: &str| row[name].as_str().with_context(|| line.to_owned());
            let id: u32 = text("id")?.parse()?;
            assert_eq!(id % 2, odd, "{partition} holds {line}");
            let event = text("event")?.to_owned();
            found.push((
                id,
                text("product")?.to_owned(),
                text("twice")?.parse()?,
                event,
            ));
        }
    }
    found.sort();
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn the_example_runs() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for (example, file) in [
        ("transform", "pipeline.yaml"),
        ("quickstart", "shop.debezium.json.gz"),
    ] {
        let copy = directory.path().join(example);
        std::fs::create_dir_all(&copy)?;
        std::fs::copy(
            workspace().join("examples").join(example).join(file),
            copy.join(file),
        )?;
    }
    let run = longshore(&["run", "pipeline.yaml", "--output", "json"])?
        .current_dir(directory.path().join("transform"))
        .output()?;
    let report: Value = serde_json::from_slice(&run.stdout)
        .with_context(|| String::from_utf8_lossy(&run.stderr).into_owned())?;
    assert_eq!(report["outcome"], "finished", "{report}");
    assert!(
        report["left_out"]["filtered"].as_u64() > Some(0),
        "{report}"
    );
    assert_eq!(report["warnings"], serde_json::json!([]));
    Ok(())
}
