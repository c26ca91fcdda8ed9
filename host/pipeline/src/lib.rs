//! Pipelines: the definition users write, the sources that read change events, the routes from
//! source tables to sink tables, and the coordinator that drives a sink component through
//! checkpoints.

pub mod checkpoint_store;
pub mod coordinator;
pub mod dead_letters;
pub mod definition;
pub mod evolution;
pub mod metrics;
pub mod report;
pub mod route;
pub mod source;
