//! `cargo xtask`: everything that is built, shown and checked, in one place.

mod component;
mod encode;
mod project;
mod python;
mod read_back;
mod steps;
mod tasks;
mod toolchain;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use project::Project;

/// Build, show and check Longshore.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "First time here? `cargo xtask demo` builds everything and shows it at work."
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the build needs: the wasm32-wasip1 target
    Setup,
    /// Build the component, then the `longshore` binary with the component inside
    Build(ComponentArgs),
    /// Build only the component: target/component/longshore-maxcompute.wasm and .wit
    Component(ComponentArgs),
    /// Make a sink component out of any module built for wasm32-wasip1 with longshore_sdk
    Encode(EncodeArgs),
    /// Build, unload the two data sets of examples/quickstart into a local MaxCompute and read them back with pyodps
    Demo(ComponentArgs),
    /// Run every check: lints, all tests, Alibaba's Python and Java clients among them
    Test,
    /// Check formatting and lints, natively and for wasm
    Lint,
    /// Play schedules of the simulation: the sink and the coordinator with faults that a seed decides
    Simulate(SimulateArgs),
    /// Measure: encoding natively and in the component, and whole runs; or beside other writers
    Bench(BenchArgs),
    /// Kill longshore and its server at random instants, again and again, and compare the tables with their source
    Chaos(ChaosArgs),
}

#[derive(Debug, Args)]
struct ComponentArgs {
    /// Encode this core module instead of building one (see `cargo xtask setup` on machines without rustup)
    #[arg(long, value_name = "FILE")]
    core_module: Option<PathBuf>,
    /// Accept the component's import list as it is: rewrites guest/maxcompute/imports.golden
    #[arg(long)]
    bless: bool,
}

#[derive(Debug, Args)]
struct EncodeArgs {
    /// The module, as cargo built it for target wasm32-wasip1
    module: PathBuf,
    /// Where the component goes; its WIT goes beside it with the extension `wit`
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
struct SimulateArgs {
    /// Play this one, and print what happens
    #[arg(long, conflicts_with_all = ["schedules", "first", "threads"])]
    seed: Option<u64>,
    /// How many
    #[arg(long, default_value_t = 5_000)]
    schedules: u64,
    /// Seed of the first
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Schedules at once; as many as there are processors where not given
    #[arg(long)]
    threads: Option<u64>,
    /// Form of the result
    #[arg(long, value_name = "FORM", value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

#[derive(Debug, Args)]
struct BenchArgs {
    /// Instead: Alibaba's Python, Java and Go clients and Longshore write the same rows into the same local server
    #[arg(long)]
    peers: bool,
    /// Rows of the narrow shape for --peers; a fifth as many of the wide one
    #[arg(long, requires = "peers", default_value_t = 1_000_000)]
    rows: u64,
    /// Runs of each line for --peers; the median is printed
    #[arg(long, requires = "peers", default_value_t = 3)]
    runs: usize,
    /// Form of the result of --peers
    #[arg(long, requires = "peers", value_name = "FORM", value_parser = ["text", "json"], default_value = "text")]
    output: String,
    /// Passed on to the benchmarks of the core, for example a name to filter by
    #[arg(last = true)]
    args: Vec<String>,
}

#[derive(Debug, Args)]
struct ChaosArgs {
    /// Runs to make [default: 1000]
    #[arg(long)]
    runs: Option<u64>,
    /// Seed of the first run, each further one has the next; default: one that is printed
    #[arg(long)]
    seed: Option<u64>,
    /// Runs at once; default: twice as many as processors, for most of a run is waiting for the disk
    #[arg(long)]
    jobs: Option<u64>,
    /// Kills fall within so many milliseconds of each start [default: 400]
    #[arg(long, value_name = "MS")]
    within: Option<u64>,
    /// Write append tables with `tunnel: stream`, which promises less, to see that rows that stand twice are found
    #[arg(long)]
    stream: bool,
    /// Where runs take place; one that fails stays there. Default: target/chaos
    #[arg(long, value_name = "DIR")]
    directory: Option<String>,
    /// Instead: take the server away for so many seconds at full input rate, and measure memory and speed
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["runs", "seed", "jobs", "within", "stream"])]
    outage: Option<u64>,
    /// Form of the result
    #[arg(long, value_name = "FORM", value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

impl ChaosArgs {
    /// What `longshore-chaos` is to be told.
    fn arguments(self) -> Vec<String> {
        let numbers = [
            ("--runs", self.runs),
            ("--seed", self.seed),
            ("--jobs", self.jobs),
            ("--within", self.within),
            ("--outage", self.outage),
        ];
        let mut arguments = vec!["--output".to_owned(), self.output];
        for (name, number) in numbers {
            arguments.extend(
                number
                    .into_iter()
                    .flat_map(|number| [name.to_owned(), number.to_string()]),
            );
        }
        if self.stream {
            arguments.push("--stream".to_owned());
        }
        if let Some(directory) = self.directory {
            arguments.extend(["--directory".to_owned(), directory]);
        }
        arguments
    }
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    let outcome = Project::locate().and_then(|project| match task {
        Task::Setup => toolchain::setup(&project),
        Task::Build(args) => tasks::build(&project, &args.options()),
        Task::Component(args) => component::build(&project, &args.options()),
        Task::Encode(args) => encode::encode_file(&project, &args.module, &args.output),
        Task::Demo(args) => tasks::demo(&project, &args.options()),
        Task::Test => tasks::test(&project),
        Task::Lint => tasks::lint(&project),
        Task::Simulate(args) => tasks::simulate(&project, &args.words()),
        Task::Bench(args) if args.peers => tasks::bench_peers(
            &project,
            &[
                "--rows",
                &args.rows.to_string(),
                "--runs",
                &args.runs.to_string(),
                "--output",
                &args.output,
            ],
        ),
        Task::Bench(args) => tasks::bench(&project, &args.args),
        Task::Chaos(args) => tasks::chaos(&project, &args.arguments()),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl SimulateArgs {
    /// As the program takes them.
    fn words(self) -> Vec<String> {
        let mut words = vec!["--output".to_owned(), self.output];
        let mut add = |name: &str, value: u64| words.extend([name.to_owned(), value.to_string()]);
        match self.seed {
            Some(seed) => add("--seed", seed),
            None => {
                add("--schedules", self.schedules);
                add("--first", self.first);
                if let Some(threads) = self.threads {
                    add("--threads", threads);
                }
            }
        }
        words
    }
}

impl ComponentArgs {
    fn options(self) -> component::Options {
        component::Options {
            core_module: self.core_module,
            bless: self.bless,
        }
    }
}
