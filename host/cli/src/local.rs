//! `longshore local`, and the embedded server of `endpoint: local`.

mod client;
mod faults;
mod inspect;
mod server;

pub(crate) use server::Embedded;

use crate::args::LocalArgs;
use crate::failure::{Exit, Failure};

/// Project of a local server unless another is asked for.
pub(crate) const DEFAULT_PROJECT: &str = "local";

/// `longshore local`
pub(crate) async fn local(args: LocalArgs) -> Result<Exit, Failure> {
    match args.command {
        None => server::serve(args.serve).await,
        Some(command) => inspect::inspect(command).await,
    }
}
