//! The MaxCompute sink as a sans-I/O library: no socket, no clock, no thread, no `unsafe`.
//!
//! One half is the codec: the type system ([`types`], [`schema`]), rows as the tunnel wants them
//! ([`record`], [`arrow_tunnel`], [`checksum`], [`compress`]), where they go ([`bucket`],
//! [`partition`]) and the text of requests ([`signing`], [`ddl`]). The other half drives the
//! service with it.

pub mod arrow_tunnel;
pub mod bucket;
pub mod checksum;
pub mod compress;
pub mod contract;
pub mod ddl;
pub mod error;
pub mod options;
pub mod partition;
pub mod record;
pub mod request;
pub mod retry;
pub mod schema;
pub mod session;
pub mod signing;
pub mod sink;
pub mod types;
