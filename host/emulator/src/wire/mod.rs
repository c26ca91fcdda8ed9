//! The tunnel's wire formats: record streams, Arrow chunk streams, body compression and the bucket hash.
//!
//! This is the server's own implementation. It shares no code with the sink, so that the two check each
//! other. Everything here is synchronous and works on [`std::io::Read`] and [`std::io::Write`]: the tunnel
//! runs it on blocking threads, next to the disk writes.

mod arrow_stream;
mod arrow_values;
mod bucket;
mod column;
mod compression;
mod cursor;
mod decimal;
mod decode;
mod encode;
mod error;
mod field;
mod upsert;

pub use arrow_stream::{ArrowStreamReader, ArrowStreamWriter};
pub use arrow_values::{DecimalForm, TimestampForm};
pub use bucket::{BucketHasher, HasherKind};
pub use compression::{BodyReader, BodyWriter, Compression};
pub use decode::{RecordStreamReader, STREAM_BATCH_ROWS};
pub use encode::RecordStreamWriter;
pub use error::{WireError, WireErrorKind};
pub use field::WireColumn;
pub use upsert::{Operation, UpsertBatch, hidden_columns, split_upsert};

/// Field numbers above every column, which end records and streams.
mod marker {
    pub(super) const END_RECORD: u64 = 33_553_408;
    pub(super) const METRICS_END: u64 = 33_554_176;
    pub(super) const META_COUNT: u64 = 33_554_430;
    pub(super) const META_CHECKSUM: u64 = 33_554_431;
}

/// Protobuf's wire types, as far as the format uses them.
mod wire_type {
    pub(super) const VARINT: u64 = 0;
    pub(super) const FIXED64: u64 = 1;
    pub(super) const LENGTH: u64 = 2;
    pub(super) const FIXED32: u64 = 5;
}
