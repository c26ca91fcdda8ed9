//! SQL jobs ("instances"): DDL, inserts and queries.

mod csv;
mod describe;
mod error;
mod execute;
mod insert;
mod instances;
mod lexer;
mod names;
mod parser;
mod provider;
mod query;
mod statement;

pub use error::SqlError;
pub use instances::{Instance, InstanceResult, InstanceStatus, Instances, Job};
pub(crate) use parser::trunc_time;
