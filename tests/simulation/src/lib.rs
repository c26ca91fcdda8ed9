//! The sink's core and the coordinator, with a real checkpoint store, under a simulated clock,
//! scheduler, network and service. A seed decides everything that is left to chance, so that a
//! schedule that goes wrong goes wrong again.
//!
//! A schedule is one pipeline from its first row to its last: append and Delta tables, partitioned
//! or not, several writers, a process that is killed at any moment and started again, a network
//! that loses, repeats, delays and reorders, a service that throttles, moves slots, commits slowly
//! and ends sessions. After a while nothing goes wrong any more, and then the run has to come to
//! its end with every row in its table once.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a model that is wrong must stop the schedule that shows it"
)]

mod campaign;
mod convert;
mod driver;
mod network;
mod schedule;
mod service;
mod source;
mod weather;
mod world;

pub use campaign::{Summary, play_all};
pub use schedule::{Ending, Played, Scratch, play, play_outage};
pub use world::Counts;
