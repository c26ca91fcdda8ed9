//! `cargo xtask bench`: prints ratios and rates of one run on this machine; asserts nothing.

#![allow(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value reads as null; a wrong row index is a failed test"
)]

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod ceiling;
mod longshore;
mod measure;
mod module;
mod peers;
mod whole;

#[derive(Parser)]
#[command(about = "Measures Longshore on this machine")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Encode and compress natively and in WebAssembly, side by side.
    Module {
        /// The bench module, as `cargo xtask bench` builds it.
        #[arg(long)]
        module: PathBuf,
        /// The same code as a native program.
        #[arg(long)]
        native: PathBuf,
    },
    /// `longshore run` from Parquet into a local server that checks and discards.
    Whole {
        /// Rows of the narrow shape; a fifth as many of the wide one.
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
        /// Runs of each line; the median is printed.
        #[arg(long, default_value_t = 3)]
        runs: usize,
    },
    /// The same rows by Longshore, the Java SDK and pyodps into one local server.
    Peers {
        /// Rows of the narrow shape; a fifth as many of the wide one.
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
        /// Runs of each line; the median is printed.
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// Form of the result.
        #[arg(long, value_enum, default_value = "text")]
        output: peers::Output,
    },
    /// Run a command and print its resources as JSON (used by the others).
    #[command(hide = true)]
    Measure {
        /// The command.
        #[arg(trailing_var_arg = true)]
        command: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().what {
        What::Module { module, native } => module::compare(&module, &native),
        What::Whole { rows, runs } => whole::measure(rows, runs),
        What::Peers { rows, runs, output } => peers::compare(rows, runs, output),
        What::Measure { command } => measure::child(&command),
    }
}
