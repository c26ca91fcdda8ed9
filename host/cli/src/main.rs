//! `longshore`: runs change-data pipelines into sinks that are WebAssembly components.

mod args;
mod checkpoints;
mod component;
mod dead_letters;
mod definition;
mod display;
mod explain;
mod failure;
mod local;
mod logging;
mod options;
mod run;
mod sink;
mod traces;
mod validate;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use args::{Args, Command};
use failure::{Exit, Failure};
use traces::Traces;

fn main() -> ExitCode {
    let started = Instant::now();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no errors and go to stdout.
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
            // Nothing can be done about a closed terminal.
            let _ = error.print();
            return exit.into();
        }
    };
    let json = args.command.wants_json();
    let result = start(args, started);
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(json),
    }
}

fn start(args: Args, started: Instant) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot start: {error}")))?;
    let traces = match &args.command {
        Command::Run(run) => Traces::start(run.otlp.as_deref(), runtime.handle())?,
        _ => None,
    };
    logging::start(args.verbose, traces.as_ref().map(Traces::tracer));
    let result = runtime.block_on(execute(args.command, started));
    if let Some(traces) = traces {
        traces.finish();
    }
    // A source that waits for standard input must not keep the process.
    runtime.shutdown_background();
    result
}

async fn execute(command: Command, started: Instant) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => run::run(args, started).await,
        Command::Validate(args) => validate::validate(args).await,
        Command::Explain(args) => explain::explain(args).await,
        Command::Checkpoints(args) => checkpoints::checkpoints(&args.command),
        Command::DeadLetters(args) => dead_letters::dead_letters(&args.command).await,
        Command::Local(args) => local::local(args).await,
        Command::Options(args) => options::options(args).await,
        Command::Component(args) => component::command(args).await,
    }
}
