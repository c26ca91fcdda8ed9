//! The whole program: Parquet in, a server that checks and discards out.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Result, ensure};
use longshore_bench_rows::Shape;
use longshore_tests::{LocalServer, longshore};

use crate::longshore::{Target, command, write_files};
use crate::measure::{self, Measured};

/// Prints a table of whole runs.
pub(crate) fn measure(rows: u64, runs: usize) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::listen(&directory.join("data"), "127.0.0.1:0", &["--discard"])?;
    write_files(directory, rows)?;
    let mut targets = Vec::new();
    for shape in [Shape::Narrow, Shape::Wide] {
        for delta in [false, true] {
            for compression in ["zlib", "snappy"] {
                targets.push(Target {
                    shape,
                    delta,
                    compression,
                    one_row: false,
                });
            }
        }
    }
    targets.push(Target {
        shape: Shape::Narrow,
        delta: false,
        compression: "zlib",
        one_row: true,
    });
    let once = |target: Target| {
        let command = command(directory, &server, target)?;
        measure::run(&command, target.rows(rows), &server)
    };
    // The first run compiles the component into the cache and creates its table.
    for target in &targets {
        once(*target)?;
    }
    println!("longshore run, Parquet to a local server that checks and discards, median of {runs}");
    println!(
        "{:<14} {:<7} {:>10} {:>14} {:>9} {:>10} {:>13}",
        "table", "codec", "k rows/s", "k rows/CPU-s", "peak MiB", "sent MiB", "first row ms"
    );
    for target in &targets {
        let results = (0..runs).map(|_| once(*target)).collect::<Result<_>>()?;
        let Some(median) = Measured::median(results) else {
            continue;
        };
        println!(
            "{:<14} {:<7} {}",
            target.table(),
            target.compression,
            columns(&median)
        );
    }
    println!(
        "first row: from the start of the process to the first body byte at the server; starting and \
         ending the program alone takes {:.0} ms",
        start_and_end(runs)? * 1e3
    );
    Ok(())
}

/// The columns of a table for one run.
pub(crate) fn columns(run: &Measured) -> String {
    format!(
        "{:>10.0} {:>14.0} {:>9.0} {:>10.1} {:>13}",
        run.rows_per_second() / 1e3,
        run.rows_per_cpu_second() / 1e3,
        run.peak_kib / 1024.0,
        run.bytes_sent / 1_048_576.0,
        run.first_row_ms
            .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}")),
    )
}

/// Seconds for a run of the program that does nothing, best of some.
fn start_and_end(runs: usize) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..runs.max(3) {
        let start = Instant::now();
        let status = longshore(&["--version"])?.stdout(Stdio::null()).status()?;
        ensure!(status.success(), "`longshore --version` failed");
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}
