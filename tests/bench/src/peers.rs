//! The same rows, by Longshore and by Alibaba's own clients, into the same server in one run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;
use longshore_bench_rows::Shape;
use longshore_tests::{GoSdk, JavaSdk, LocalServer, Pyodps, workspace};
use serde_json::json;

use crate::ceiling;
use crate::longshore::{Target, command, write_files};
use crate::measure::{self, Measured};
use crate::whole::columns;

/// Form of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A table.
    Text,
    /// One JSON object.
    Json,
}

#[derive(Clone, Copy)]
enum Writer {
    Longshore,
    Java(&'static str),
    Pyodps(&'static str),
    Go(&'static str),
}

/// What was compiled for the comparison.
struct Programs {
    /// The class path of the Java writer.
    java: String,
    go: PathBuf,
}

impl Writer {
    fn name(self) -> String {
        match self {
            Self::Longshore => "longshore".to_owned(),
            Self::Java(way) => format!("Java SDK {way}"),
            Self::Pyodps(way) => format!("pyodps {way}"),
            Self::Go(way) => format!("Go SDK {way}"),
        }
    }
}

/// Who writes to a table of this kind.
fn writers(delta: bool) -> &'static [Writer] {
    if delta {
        &[
            Writer::Longshore,
            Writer::Java("upsert"),
            Writer::Pyodps("upsert"),
        ]
    } else {
        &[
            Writer::Longshore,
            Writer::Java("record"),
            Writer::Pyodps("record"),
            Writer::Pyodps("arrow"),
            Writer::Go("record"),
        ]
    }
}

struct Line {
    writer: Writer,
    target: Target,
    runs: Vec<Measured>,
}

/// Measures and prints.
pub(crate) fn compare(rows: u64, runs: usize, output: Output) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::listen(&directory.join("data"), "127.0.0.1:0", &["--discard"])?;
    write_files(directory, rows)?;
    let programs = Programs {
        java: JavaSdk::compile(&peer("JavaWriter.java"))?,
        go: GoSdk::build(&peer("go-writer"))?,
    };
    let mut lines = lines();
    // Longshore creates the tables, and compiles the component into its cache.
    for line in &lines {
        if matches!(line.writer, Writer::Longshore) {
            once(directory, &server, &programs, line, rows)?;
        }
    }
    // Round by round, so that no writer has the machine in another state than the others.
    for round in 1..=runs {
        for line in &mut lines {
            eprintln!(
                "round {round} of {runs}: {} into {}, {}",
                line.writer.name(),
                line.target.table(),
                line.target.compression
            );
            line.runs
                .push(once(directory, &server, &programs, line, rows)?);
        }
    }
    let ceiling = ceiling::measure(directory, rows)?;
    match output {
        Output::Text => print_text(lines, runs, &ceiling),
        Output::Json => {
            let lines: Vec<_> = lines
                .into_iter()
                .filter_map(|line| {
                    let mut value = Measured::median(line.runs)?.json();
                    value["writer"] = line.writer.name().into();
                    value["table"] = line.target.table().into();
                    value["compression"] = line.target.compression.into();
                    Some(value)
                })
                .collect();
            println!(
                "{}",
                json!({ "runs": runs, "lines": lines, "server_ceiling": ceiling })
            );
        }
    }
    Ok(())
}

fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    for (shape, compressions) in [
        (Shape::Narrow, &["zlib", "snappy"][..]),
        (Shape::Wide, &["zlib"]),
    ] {
        for delta in [false, true] {
            for compression in compressions {
                let target = Target {
                    shape,
                    delta,
                    compression,
                    one_row: false,
                };
                lines.extend(writers(delta).iter().map(|writer| Line {
                    writer: *writer,
                    target,
                    runs: Vec::new(),
                }));
            }
        }
    }
    lines
}

fn print_text(lines: Vec<Line>, runs: usize, ceiling: &[ceiling::Ceiling]) {
    println!("the same rows into one local server that checks and discards, median of {runs}");
    println!(
        "{:<14} {:<7} {:<16} {:>10} {:>14} {:>9} {:>10} {:>13} {:>7}",
        "table",
        "codec",
        "writer",
        "k rows/s",
        "k rows/CPU-s",
        "peak MiB",
        "sent MiB",
        "first row ms",
        "CPU ×"
    );
    let mut ours = f64::NAN;
    for line in lines {
        if let Some(median) = Measured::median(line.runs) {
            if matches!(line.writer, Writer::Longshore) {
                ours = median.rows_per_cpu_second();
            }
            println!(
                "{:<14} {:<7} {:<16} {} {:>7.1}",
                line.target.table(),
                line.target.compression,
                line.writer.name(),
                columns(&median),
                ours / median.rows_per_cpu_second()
            );
        }
    }
    for ceiling in ceiling {
        println!(
            "server's own ceiling: {:.0} k narrow rows/s, {} (bodies encoded beforehand, sent by a native \
             client over {} connections)",
            ceiling.rows_per_second / 1e3,
            ceiling.compression,
            ceiling.connections
        );
    }
    println!(
        "CPU, memory and time are those of the writing process, from its start to its end; Longshore reads its rows \
         from Parquet, the others make theirs in memory; first row: until the first body byte is at the server; CPU ×: how \
         many times as many rows Longshore writes in a second of CPU; the Go SDK deflates at level 6, it has no other"
    );
}

fn once(
    directory: &Path,
    server: &LocalServer,
    programs: &Programs,
    line: &Line,
    narrow: u64,
) -> Result<Measured> {
    let target = line.target;
    let rows = target.rows(narrow);
    let (mut command, way) = match line.writer {
        Writer::Longshore => {
            return measure::run(&command(directory, server, target)?, rows, server);
        }
        Writer::Java(way) => (JavaSdk::java(&programs.java, "JavaWriter"), way),
        Writer::Pyodps(way) => {
            let mut command = Command::new(Pyodps::python()?);
            command.arg(peer("pyodps_writer.py"));
            (command, way)
        }
        Writer::Go(way) => (Command::new(&programs.go), way),
    };
    command
        .arg(way)
        .arg(match target.shape {
            Shape::Narrow => "narrow",
            Shape::Wide => "wide",
        })
        .arg(rows.to_string())
        .args([target.table(), target.compression])
        .envs(server.environment())
        .current_dir(directory);
    measure::run(&command, rows, server)
}

fn peer(name: &str) -> PathBuf {
    workspace().join("tests/bench/peers").join(name)
}
