//! Rows as the tunnel's record stream: Arrow columns in, protobuf-like bytes with checksums out.
//!
//! A [`RowEncoder`] knows how the Arrow columns of a schema become the columns of a table. Bound to
//! a batch it appends rows to a [`RecordStream`] without allocating per row.

pub(crate) mod cell;
mod decimal_text;
mod encoder;
mod sources;
mod stream;
mod wire;

pub(crate) use cell::civil_date;
pub use encoder::{BoundRows, Operation, RowEncoder};
pub(crate) use encoder::{batch_column, source_type};
pub use stream::RecordStream;

/// Largest STRING, BINARY or JSON value, in bytes, where the service names no other limit.
pub const DEFAULT_MAX_FIELD_SIZE: usize = 8 * 1024 * 1024;
