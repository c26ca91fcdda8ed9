//! Kills and outages: `longshore run` against `longshore local`, one of them or both killed with
//! SIGKILL at random instants, restarted until the source is done; then the table must equal the source.

#![allow(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value reads as null; a wrong index is a failed test"
)]

mod campaign;
mod gate;
mod host;
mod input;
mod moment;
mod outage;
mod plan;
mod report;
mod run;
mod table;

pub use campaign::{Campaign, Failure, Totals};
pub use gate::{Gate, Held};
pub use host::{Exit, Host};
pub use input::Input;
pub use moment::{MOMENTS, Moment};
pub use outage::{Measured, Outage};
pub use plan::{Kill, Plan, VICTIMS, Victim, fresh_seed};
pub use run::{Ended, definition, loopback, start_server};
pub use table::{Compared, Rows, TABLES, TableKind, rows_at_rest};
