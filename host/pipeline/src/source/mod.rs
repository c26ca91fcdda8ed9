//! Where change events come from.
//!
//! A [`Source`] is pulled on its own thread. It answers with a [`SourceTable`] before the first
//! batch of each schema version of a table, and with [`SourceBatch`]es of change events. Sources
//! read several tables at once; every now and then they make a *cut*: all tables' pending rows
//! are emitted, and the last batch of the cut carries the [`Position`] to resume from.

mod batch;
mod error;
pub mod file;
mod position;
mod table;
pub mod types;

pub use batch::{OP_COLUMN, Operation, Origin, OriginUnit, SourceBatch};
pub use error::{SourceError, SourceErrorKind};
pub use position::Position;
pub use table::{SourceTable, TableId};

use crate::definition::{SourceDefinition, SourceKind};

/// Reads change events, blocking.
pub trait Source: Send {
    /// The next event, or `None` once the input has ended.
    ///
    /// # Errors
    ///
    /// Every error is final: the source must not be asked again. Batches handed out before the
    /// error are whole and may be written, but only those up to the last one with a
    /// [`SourceBatch::position`] may be checkpointed.
    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError>;

    /// What has been read and left out so far, for the report at the end of a run.
    fn stats(&self) -> SourceStats;
}

/// What a source hands out.
#[derive(Debug, Clone)]
pub enum SourceEvent {
    /// A table, or a new schema version of one. Precedes the first batch of that version; a new
    /// version comes at a cut, right after a batch with a position.
    Table(SourceTable),
    /// Rows.
    Batch(SourceBatch),
    /// All rows of a table were removed. All rows before it have been handed out.
    Truncate(Removal),
    /// A table was removed. All rows before it have been handed out.
    Drop(Removal),
}

/// A table, or what it held, was removed.
#[derive(Debug, Clone, PartialEq)]
pub struct Removal {
    /// The table; rows of it need not have come before.
    pub table: TableId,
    /// Where to resume right after it, as [`SourceBatch::position`].
    pub position: Position,
}

/// Counters of one source, from its start (not from the start of the pipeline).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStats {
    /// Rows handed out, both rows of an update counted.
    pub rows: u64,
    /// Bytes of input read, before decompression where the input is compressed.
    pub bytes_read: u64,
    /// Debezium tombstones (null values) left out; they repeat a delete that was read before.
    pub tombstones: u64,
    /// Truncate events left out because `on-truncate: skip` says so.
    pub truncates: u64,
    /// Heartbeats, transaction markers and DDL records left out.
    pub other_events: u64,
    /// Changes that the filters of `transform` left out; an update counts once.
    pub filtered: u64,
    /// Things worth telling, for example an empty input file.
    pub warnings: Vec<String>,
}

/// Opens the source of a pipeline, at its beginning or right after `restore`.
///
/// # Errors
///
/// Files that are missing, unreadable or changed since the position was taken, and options that
/// do not go together.
pub fn open(
    definition: &SourceDefinition,
    restore: Option<&Position>,
) -> Result<Box<dyn Source>, SourceError> {
    match &definition.kind {
        SourceKind::File(options) => file::open(options, restore),
    }
}

/// A source that was looked at before a run.
pub enum Peek {
    /// Opened at its beginning.
    Source(Box<dyn Source>),
    /// Standard input, which can be read only once and so was not touched; its options go together.
    /// With it the table that it feeds, where the definition and not the input names that.
    StandardInput(Option<TableId>),
}

/// Opens the source of a pipeline to look at it, where that takes nothing away from a run.
///
/// # Errors
///
/// As [`open`].
pub fn peek(definition: &SourceDefinition) -> Result<Peek, SourceError> {
    match &definition.kind {
        SourceKind::File(options) => file::peek(options),
    }
}
