//! `cargo xtask chaos`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use longshore_chaos::{Campaign, Outage, Totals, fresh_seed};
use longshore_tests::workspace;

#[derive(Parser)]
#[command(
    about = "Kills longshore and its server at random instants and compares tables with their source"
)]
struct Arguments {
    /// Runs to make.
    #[arg(long, default_value_t = 1000)]
    runs: u64,
    /// Seed of the first run, each further one has the next; default: one that is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs at once; default: twice as many as processors, for most of a run is waiting for the disk.
    #[arg(long)]
    jobs: Option<usize>,
    /// Kills fall within so many milliseconds of each start.
    #[arg(long, value_name = "MS", default_value_t = 400)]
    within: u64,
    /// Write append tables with `tunnel: stream`, which promises less, to see that rows that stand twice are found.
    #[arg(long)]
    stream: bool,
    /// Where runs take place; one that fails stays there. Default: target/chaos.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Instead: take the server away for so many seconds, and measure memory and speed.
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["runs", "seed", "jobs", "within", "stream"])]
    outage: Option<u64>,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Arguments {
    fn directory(&self) -> PathBuf {
        let default = || workspace().join("target/chaos");
        self.directory.clone().unwrap_or_else(default)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON document on standard output.
    Json,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.outage {
        Some(seconds) => outage(arguments, Duration::from_secs(seconds)),
        None => kills(arguments),
    }
}

fn kills(arguments: Arguments) -> Result<ExitCode> {
    let directory = arguments.directory();
    let jobs = || std::thread::available_parallelism().map_or(2, |cores| cores.get() * 2);
    let campaign = Campaign {
        runs: arguments.runs,
        seed: arguments.seed.unwrap_or_else(fresh_seed),
        jobs: arguments.jobs.unwrap_or_else(jobs),
        within: Duration::from_millis(arguments.within),
        stream: arguments.stream,
        directory,
    };
    eprintln!("seed {}", campaign.seed);
    let bar = progress_bar(campaign.runs);
    let mut told = 0;
    let totals = campaign.run(|totals: &Totals| {
        for failure in totals.failures.iter().skip(told) {
            bar.suspend(|| eprint!("FAILED: {}", failure.text(&campaign)));
        }
        told = totals.failures.len();
        let kills: u64 = totals.kills.values().sum();
        bar.set_message(format!("{kills} kills, {told} failed"));
        bar.set_position(totals.runs());
    })?;
    bar.finish_and_clear();
    match arguments.output {
        Output::Text => print!("{}", totals.text(&campaign)),
        Output::Json => println!("{:#}", totals.json(&campaign)),
    }
    Ok(match totals.failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn outage(arguments: Arguments, away: Duration) -> Result<ExitCode> {
    let outage = Outage {
        away,
        window: Duration::from_secs(15),
        options: String::new(),
        directory: arguments.directory(),
    };
    let measured = outage.measure()?;
    match arguments.output {
        Output::Text => print!("{}", measured.text()),
        Output::Json => println!("{:#}", measured.json()),
    }
    Ok(ExitCode::SUCCESS)
}

/// On a terminal; nothing in a pipe.
fn progress_bar(runs: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(runs);
    if let Ok(style) =
        ProgressStyle::with_template("{elapsed} {bar:30} {pos} of {len} runs, {msg}; {eta} left")
    {
        bar.set_style(style);
    }
    bar
}
