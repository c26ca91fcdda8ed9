//! The sink against a MaxCompute in memory that fails on command.
#![allow(missing_docs, reason = "tests")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail where it likes"
)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod append;
mod bad_values;
mod changes;
mod commits;
mod delta;
mod driver;
mod economy;
mod failures;
mod memory;
mod operations;
mod orphans;
mod overwriting;
mod partitions;
mod retries;
mod service;
mod tables;
mod tunnels;
