//! `cargo xtask simulate`

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use longshore_simulation::{Ending, Scratch, Summary, play, play_all};
use serde_json::json;

/// Plays schedules of the simulation; exit code 1 where something is wrong in one.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
struct Arguments {
    /// Play this one, and print what happens
    #[arg(long)]
    seed: Option<u64>,
    /// How many
    #[arg(long, default_value_t = 5_000, conflicts_with = "seed")]
    schedules: u64,
    /// Seed of the first
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    first: u64,
    /// Schedules at once; as many as there are processors where not given
    #[arg(long, conflicts_with = "seed")]
    threads: Option<usize>,
    /// Form of the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let right = match arguments.seed {
        Some(seed) => one(seed, arguments.output)?,
        None => many(&arguments)?,
    };
    Ok(match right {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn one(seed: u64, output: Output) -> anyhow::Result<bool> {
    let played = play(seed, &Scratch::new()?, true);
    let ending = match &played.ending {
        Ending::Complete => "complete",
        Ending::SessionLost => "session-lost",
        Ending::Violation(_) => "violation",
    };
    let violation = match &played.ending {
        Ending::Violation(what) => Some(what.as_str()),
        _ => None,
    };
    let mut out = std::io::stdout().lock();
    match output {
        Output::Json => {
            let document = json!({
                "seed": seed,
                "ending": ending,
                "violation": violation,
                "rows": played.rows,
                "requests": played.counts.requests,
                "faults": played.counts.faults,
                "kills": played.counts.kills,
                "starts": played.counts.starts,
                "checkpoints": played.counts.checkpoints,
                "recommitted": played.counts.recommitted,
                "simulated_seconds": played.simulated_ms as f64 / 1000.0,
                "history": played.history,
            });
            writeln!(out, "{document:#}")?;
        }
        Output::Text => {
            for line in &played.history {
                writeln!(out, "{line}")?;
            }
            match violation {
                Some(what) => writeln!(out, "\nseed {seed}: {what}")?,
                None => writeln!(out, "\nseed {seed}: {ending}")?,
            }
        }
    }
    Ok(violation.is_none())
}

fn many(arguments: &Arguments) -> anyhow::Result<bool> {
    let end = arguments.first.saturating_add(arguments.schedules);
    let threads = arguments
        .threads
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new(arguments.schedules).with_style(ProgressStyle::with_template(
            "{bar:30} {human_pos} of {human_len} schedules, {per_sec}, {eta} left",
        )?),
        false => ProgressBar::hidden(),
    };
    let summary = play_all(arguments.first..end, threads, |played| {
        bar.inc(1);
        if let Ending::Violation(what) = &played.ending {
            // At once: a long run need not come to its end to be looked at.
            bar.suspend(|| eprintln!("{}", failure(played.seed, what)));
        }
    })?;
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    match arguments.output {
        Output::Json => writeln!(out, "{:#}", document(&summary))?,
        Output::Text => writeln!(out, "{}", text(&summary))?,
    }
    Ok(summary.violations.is_empty())
}

fn failure(seed: u64, what: &str) -> String {
    format!("seed {seed}: {what}\n  to see it: cargo xtask simulate --seed {seed}")
}

fn document(summary: &Summary) -> serde_json::Value {
    let violation = |(seed, what): &(u64, String)| json!({"seed": seed, "violation": what});
    json!({
        "schedules": summary.schedules,
        "complete": summary.complete,
        "sessions_lost": summary.sessions_lost,
        "violations": summary.violations.iter().map(violation).collect::<Vec<_>>(),
        "rows": summary.rows,
        "requests": summary.counts.requests,
        "faults": summary.counts.faults,
        "kills": summary.counts.kills,
        "starts": summary.counts.starts,
        "checkpoints": summary.counts.checkpoints,
        "recommitted": summary.counts.recommitted,
        "simulated_seconds": summary.simulated.as_secs_f64(),
        "seconds": summary.took.as_secs_f64(),
    })
}

fn text(summary: &Summary) -> String {
    let counts = &summary.counts;
    let wrong = match summary.violations.as_slice() {
        [] => "nothing lost, nothing twice, no deadlock".to_owned(),
        violations => {
            let seeds: Vec<String> = violations.iter().map(|(s, _)| s.to_string()).collect();
            format!("{} WRONG: seeds {}", violations.len(), seeds.join(", "))
        }
    };
    format!(
        "{} schedules in {:.1} s ({:.1} h simulated): {wrong}\n  \
         {} complete; {} in which the service ended a session that a checkpoint had prepared, which the run named\n  \
         {} rows, {} requests, {} of them with a fault, {} kills, {} starts, {} checkpoints, {} commits finished by a later process",
        summary.schedules,
        summary.took.as_secs_f64(),
        summary.simulated.as_secs_f64() / 3600.0,
        summary.complete,
        summary.sessions_lost,
        summary.rows,
        counts.requests,
        counts.faults,
        counts.kills,
        counts.starts,
        counts.checkpoints,
        counts.recommitted,
    )
}
