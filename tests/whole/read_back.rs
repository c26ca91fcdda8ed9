//! The quickstart's own reader, as the demo runs it.

use std::process::Command;

use anyhow::Result;
use longshore_tests::{LocalServer, Pyodps, Run};

use crate::quickstart::{copy_of_example, run};

#[test]
fn the_quickstarts_script_shows_what_was_unloaded() -> Result<()> {
    let example = copy_of_example()?;
    run(example.path(), "pipeline.yaml")?.success()?;
    run(example.path(), "flights.yaml")?.success()?;
    let server = LocalServer::start(&example.path().join(".longshore/local"))?;
    let shown = Run::of(
        Command::new(Pyodps::python()?)
            .arg(example.path().join("read.py"))
            .envs(server.environment()),
    )?
    .success()?
    .stdout;

    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let lines: Vec<Vec<String>> = shown.lines().map(words).collect();
    for expected in [
        "customers id 49",
        "flights - 80789",
        "order_items order_id, line_no 480",
        "orders id 192",
        "products sku 40",
        // Customer 1 was deleted, customer 7 updated.
        "2 Ольга 2 Казань 1960-05-03 -737.43 2025-11-01 00:04:06.913578",
        "7 अनिता 🌊 7 Αλεξάνδρεια NULL 4918.99 2025-11-01 00:14:24.197523",
        // As pandas counts in the example's Parquet file.
        "EWR 29420 82 15.5 4963",
        "JFK 27279 62 10.3 4983",
        "LGA 24090 56 7.7 1620",
    ] {
        assert!(lines.contains(&words(expected)), "{expected}\n{shown}");
    }
    Ok(())
}
