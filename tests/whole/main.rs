//! Longshore as a whole, seen from outside: the binary, a local server in a process of its own,
//! and Alibaba's own clients.

#![allow(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value reads as null; a wrong row index is a failed test"
)]

mod compression;
mod conformance;
mod dead_letters;
mod evolution;
mod faults;
mod https;
mod memory;
mod partitions;
mod quickstart;
mod read_back;
mod recovery;
mod shapes;
mod takeover;
mod transform;
mod unloaded;
mod values;
mod write_modes;
