//! The whole program: Parquet in, a server that checks and discards out.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use longshore_bench_rows::Shape;
use longshore_tests::{LocalServer, longshore};
use nix::sys::resource::{UsageWho, getrusage};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

struct Line {
    shape: Shape,
    table: &'static str,
    delta: bool,
    compression: &'static str,
}

/// Prints a table of whole runs.
pub(crate) fn measure(rows: u64, runs: usize) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = LocalServer::listen(
        &directory.path().join("data"),
        "127.0.0.1:0",
        &["--discard"],
    )?;
    for (shape, name, rows) in [
        (Shape::Narrow, "narrow", rows),
        (Shape::Wide, "wide", rows / 5),
    ] {
        write_parquet(
            shape,
            rows,
            &directory.path().join(format!("{name}.parquet")),
        )?;
    }
    write_parquet(Shape::Narrow, 1, &directory.path().join("one.parquet"))?;
    let line = |shape, table, delta, compression| Line {
        shape,
        table,
        delta,
        compression,
    };
    let lines = [
        line(Shape::Narrow, "narrow_append", false, "zlib"),
        line(Shape::Narrow, "narrow_append", false, "snappy"),
        line(Shape::Narrow, "narrow_delta", true, "zlib"),
        line(Shape::Narrow, "narrow_delta", true, "snappy"),
        line(Shape::Wide, "wide_append", false, "zlib"),
        line(Shape::Wide, "wide_append", false, "snappy"),
        line(Shape::Wide, "wide_delta", true, "zlib"),
        line(Shape::Wide, "wide_delta", true, "snappy"),
        line(Shape::Narrow, "one_row", false, "zlib"),
    ];
    // The first run compiles the component into the cache and creates its table.
    for line in &lines {
        once(directory.path(), &server, line)?;
    }
    println!("longshore run, Parquet to a local server that checks and discards, median of {runs}");
    println!(
        "{:<14} {:<7} {:>10} {:>14} {:>9} {:>10} {:>13}",
        "table", "codec", "k rows/s", "k rows/CPU-s", "peak MiB", "sent MiB", "first row ms"
    );
    for line in &lines {
        let mut results = (0..runs)
            .map(|_| once(directory.path(), &server, line))
            .collect::<Result<Vec<_>>>()?;
        results.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
        let Some(median) = results.get(results.len() / 2) else {
            continue;
        };
        println!(
            "{:<14} {:<7} {:>10.0} {:>14.0} {:>9.0} {:>10.1} {:>13}",
            line.table,
            line.compression,
            median.rows / median.wall / 1e3,
            median.rows / median.cpu / 1e3,
            median.peak_kib / 1024.0,
            median.bytes_sent / 1_048_576.0,
            median
                .first_row_ms
                .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}")),
        );
    }
    println!(
        "first row: the first body byte, by the process's own clock; starting and ending the program alone takes {:.0} ms",
        start_and_end(runs)? * 1e3
    );
    Ok(())
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

struct Measured {
    rows: f64,
    wall: f64,
    cpu: f64,
    peak_kib: f64,
    bytes_sent: f64,
    first_row_ms: Option<f64>,
}

fn once(directory: &Path, server: &LocalServer, line: &Line) -> Result<Measured> {
    let file = match (line.table, line.shape) {
        ("one_row", _) => "one.parquet",
        (_, Shape::Narrow) => "narrow.parquet",
        (_, Shape::Wide) => "wide.parquet",
    };
    let key = if line.delta {
        "  primary-key: id\n"
    } else {
        ""
    };
    let definition = format!(
        "source:\n  type: file\n  path: {file}\n  table: {}\n{key}sink:\n  type: maxcompute\n  endpoint: {}\n  project: {}\n  \
         access-id: {}\n  access-key: {}\n  compress.algorithm: {}\n  buckets-num: 16\npipeline:\n  name: {}-{}\n",
        line.table,
        server.value("ODPS_ENDPOINT")?,
        server.value("ODPS_PROJECT")?,
        server.value("ODPS_ACCESS_ID")?,
        server.value("ODPS_ACCESS_KEY")?,
        line.compression,
        line.table,
        line.compression,
    );
    let path = directory.join("bench.yaml");
    std::fs::write(&path, definition)?;
    let run = longshore(&["run", "bench.yaml", "--fresh", "--output", "json"])?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["measure", "--"])
        .arg(run.get_program())
        .args(run.get_args())
        .current_dir(directory);
    for (name, value) in run.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the run failed");
    let measured: Value = serde_json::from_slice(&output.stdout)?;
    let report = &measured["report"];
    let number = |value: &Value, name: &str| {
        value[name]
            .as_f64()
            .with_context(|| format!("{name} in {measured}"))
    };
    let written = report["tables"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|table| table["written"].as_f64())
        .sum();
    Ok(Measured {
        rows: written,
        wall: number(&measured, "wall_seconds")?,
        cpu: number(&measured, "cpu_seconds")?,
        peak_kib: number(&measured, "peak_kib")?,
        bytes_sent: number(report, "bytes_sent")?,
        first_row_ms: report["first_byte_seconds"]
            .as_f64()
            .map(|seconds| seconds * 1e3),
    })
}

/// Runs one command and prints what the operating system counted for it.
pub(crate) fn measure_child(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("a command is given")?;
    let start = Instant::now();
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()?;
    let wall = start.elapsed().as_secs_f64();
    ensure!(
        output.status.success(),
        "{program} failed: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let report: Value = serde_json::from_slice(&output.stdout).context("the report is JSON")?;
    println!(
        "{}",
        json!({
            "wall_seconds": wall,
            "cpu_seconds": seconds(usage.user_time()) + seconds(usage.system_time()),
            "peak_kib": usage.max_rss(),
            "report": report,
        })
    );
    Ok(())
}

fn write_parquet(shape: Shape, rows: u64, path: &Path) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let file = File::create(path)?;
    let mut writer = ArrowWriter::try_new(file, shape.schema(), Some(properties))?;
    for batch in shape.batches(rows, 8_192)? {
        writer.write(&batch?)?;
    }
    writer.close()?;
    Ok(())
}
