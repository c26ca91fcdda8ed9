//! The `longshore` program, seen from outside: what it prints, its exit codes, and what it leaves.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed assumption is a failed test"
)]

mod checkpoints;
mod credentials;
mod errors;
mod local;
mod observe;
mod offline;
mod options;
mod run;
mod support;
