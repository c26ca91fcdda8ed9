//! The runtime seen from outside: real components, real sockets on loopback.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking; .clippy.toml covers test functions but not their helpers"
)]

mod cache;
mod calls;
mod egress;
mod limits;
mod loading;
mod server;
mod signing;
mod support;
