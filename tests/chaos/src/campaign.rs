//! Many runs, several at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::input::Input;
use crate::moment::Moment;
use crate::plan::{Plan, Victim};
use crate::run::{self, Ended};
use crate::table::TableKind;

/// Failures after which no more runs are started: they are most often one defect.
const ENOUGH: usize = 20;

/// Runs to be made.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// How many.
    pub runs: u64,
    /// The seed of the first; each further one has the next.
    pub seed: u64,
    /// How many at once.
    pub jobs: usize,
    /// Kills fall within so long after each start.
    pub within: Duration,
    /// Append tables are written with `tunnel: stream`, which promises less: rows stand in them twice
    /// after some kills. For seeing that the comparison finds them.
    pub stream: bool,
    /// Where runs take place; one that fails stays there.
    pub directory: PathBuf,
}

/// A run whose table differs from its source, or that did not come to its end.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What it wrote to.
    pub table: TableKind,
    /// What is wrong.
    pub reason: String,
    /// What it left.
    pub directory: PathBuf,
}

/// What all runs came to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Runs with the right rows, by table.
    pub equal: BTreeMap<TableKind, u64>,
    /// Rows compared in them.
    pub rows: u64,
    /// Kills by victim and moment.
    pub kills: BTreeMap<(Victim, Moment), u64>,
    /// Kills that came too late.
    pub late: u64,
    /// Runs that ended before their first kill.
    pub unkilled: u64,
    /// Starts of hosts after the first of each run.
    pub host_restarts: u64,
    /// Starts of servers after the first of each run.
    pub server_restarts: u64,
    /// The others.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Totals {
    /// Runs that are over.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.equal.values().sum::<u64>() + self.failures.len() as u64
    }

    fn count(&mut self, table: TableKind, ended: &Ended) {
        *self.equal.entry(table).or_default() += 1;
        for kill in &ended.kills {
            *self.kills.entry(*kill).or_default() += 1;
        }
        self.rows += ended.rows;
        self.late += ended.late as u64;
        self.unkilled += u64::from(ended.kills.is_empty());
        self.host_restarts += ended.host_restarts as u64;
        self.server_restarts += ended.server_restarts as u64;
    }
}

impl Campaign {
    /// Makes the runs; `progress` is called after each.
    ///
    /// # Errors
    /// When the directory can not be written. Runs that fail are counted, not returned.
    pub fn run(&self, mut progress: impl FnMut(&Totals)) -> Result<Totals> {
        let started = Instant::now();
        std::fs::create_dir_all(&self.directory)
            .with_context(|| format!("can not make {}", self.directory.display()))?;
        let directory = std::fs::canonicalize(&self.directory)?;
        let append = Input::append(&directory)?;
        let changes = Input::changes(&directory)?;
        let mut totals = Totals::default();
        let next = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (sender, results) = channel();
            for _ in 0..self.jobs.max(1) {
                let sender = sender.clone();
                let (next, stop, directory) = (&next, &stop, directory.as_path());
                let (append, changes) = (&append, &changes);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.runs {
                            break;
                        }
                        let seed = self.seed.wrapping_add(number);
                        let mut plan = Plan::of(seed, self.within);
                        if self.stream {
                            plan.tunnel = "stream";
                        }
                        let input = match plan.table.is_delta() {
                            true => changes,
                            false => append,
                        };
                        let result = one(&plan, input, directory, seed);
                        if sender.send((plan.table, result)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            for (table, result) in results {
                match result {
                    Ok(ended) => totals.count(table, &ended),
                    Err(failure) => totals.failures.push(failure),
                }
                if totals.failures.len() >= ENOUGH {
                    stop.store(true, Ordering::Relaxed);
                }
                totals.elapsed = started.elapsed();
                progress(&totals);
            }
        });
        if totals.failures.is_empty() {
            for input in ["append", "changes"] {
                std::fs::remove_dir_all(directory.join(input))?;
            }
            // Not empty where something else lies beside the runs.
            let _ = std::fs::remove_dir(&directory);
        }
        Ok(totals)
    }
}

/// Makes one run in a directory of its own, which stays when it fails.
fn one(plan: &Plan, input: &Input, directory: &Path, seed: u64) -> Result<Ended, Failure> {
    let directory = directory.join(format!("seed-{seed}"));
    let made = || -> Result<Ended> {
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir(&directory)?;
        std::fs::write(directory.join("plan.txt"), format!("{plan:#?}\n"))?;
        let ended = run::run(plan, input, &directory)?;
        std::fs::remove_dir_all(&directory)?;
        Ok(ended)
    };
    made().map_err(|error| Failure {
        seed,
        table: plan.table,
        reason: format!("{error:#}"),
        directory: directory.clone(),
    })
}
