//! `longshore`: runs change-data pipelines into sinks that are WebAssembly components.

mod args;
mod component;
mod dead_letters;
mod definition;
mod display;
mod explain;
mod failure;
mod local;
mod logging;
mod run;
mod sink;
mod validate;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use args::{Args, Command};
use failure::{Exit, Failure};

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
    logging::start(args.verbose);
    let json = args.command.wants_json();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot start: {error}")))
        .and_then(|runtime| {
            let result = runtime.block_on(execute(args.command, started));
            // A source that waits for standard input must not keep the process.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(json),
    }
}

async fn execute(command: Command, started: Instant) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => run::run(args, started).await,
        Command::Validate(args) => validate::validate(args).await,
        Command::Explain(args) => explain::explain(args).await,
        Command::DeadLetters(args) => dead_letters::dead_letters(&args.command),
        Command::Local(args) => local::local(args).await,
        Command::Component(args) => component::command(args).await,
    }
}
