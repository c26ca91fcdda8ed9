//! The catalog: projects, schemas, tables, partitions, committed files, sessions and instances in
//! one SQLite database below `<data dir>/.longshore`.

mod database;
mod error;
mod partition;
mod session;
mod table;
mod types;

pub(crate) use database::steps;
pub use database::{CommittedFile, Database, FileMove, PartitionInfo, SchemaInfo};
pub use error::StoreError;
pub use partition::PartitionSpec;
pub use session::{Session, SessionUpdate};
pub use table::{Clustering, Column, FIELD_ID, TableMeta, same_name};
pub use types::{ColumnType, SECONDS_NANOS, TypeError, is_plain_identifier};

/// Name of the schema that two-tier names mean.
pub const DEFAULT_SCHEMA: &str = "default";

/// Now, in epoch milliseconds.
pub fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
