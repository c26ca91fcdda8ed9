//! A local MaxCompute: the REST and tunnel protocols of the service over Parquet files in one
//! directory, for development and tests. It shares no code with the sink, so that the two check
//! each other.

pub mod auth;
pub mod catalog;
pub mod faults;
pub mod inspect;
pub mod rest;
pub mod server;
pub mod sql;
pub mod storage;
pub mod tunnel;
pub mod wire;

pub use auth::Auth;
pub use faults::{Faults, RuleReport};
pub use inspect::Catalog;
pub use server::{Server, ServerConfig, ServerOptions, StartError};
pub use storage::Mode;
