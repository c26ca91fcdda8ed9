//! What the tests of the whole stand on: the `longshore` binary, a local server process, and the
//! official clients, each fetched by its ordinary package manager.

#![allow(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value reads as null; a wrong row index is a failed test"
)]

mod changes;
mod clients;
mod longshore;
mod random;
mod recorder;
mod rows;
mod scene;
mod server;
mod signal;
mod tls;

pub use changes::{Changes, PARTITIONS, row};
pub use clients::{Client, GoSdk, JavaSdk, Pyodps};
pub use longshore::{Run, binary, longshore, workspace};
pub use random::Random;
pub use recorder::Recorder;
pub use rows::{assert_same_rows, dataset, rows_of};
pub use scene::Scene;
pub use server::LocalServer;
pub use signal::signal;
pub use tls::TlsFront;
