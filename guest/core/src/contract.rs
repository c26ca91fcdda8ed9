//! The plain data of the sink contract, as the core speaks it.
//!
//! The shapes follow the contract package field by field, so that the component's glue is a
//! mechanical translation and a native host can use the core without WebAssembly.

use crate::error::{BadRow, SinkError};

/// Both clocks, as the driver read them just now. The core has no clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now {
    /// Milliseconds of a clock that never goes back; its zero is arbitrary.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z, for `Date` headers and session ages.
    pub unix_ms: i64,
}

/// Ticket of an operation that needs answers of the service; see `Sink::take_reply`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What an operation ended with.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// `declare_table`: the table's number for `Batch::table`.
    Table(u32),
    /// `change_schema`, `flush`, `close`.
    Done,
    /// `prepare`: what to commit once the checkpoint is stored.
    Prepared(Vec<Committable>),
    /// `commit` and `abort`: one outcome for each committable, in input order.
    Outcomes(Vec<CommitOutcome>),
}

/// Name of a table at the service, in up to three tiers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TablePath {
    /// The project. None = option `project`.
    pub catalog: Option<String>,
    /// The schema. None = option `schema`.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

impl std::fmt::Display for TablePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for tier in [&self.catalog, &self.schema].into_iter().flatten() {
            write!(f, "{tier}.")?;
        }
        f.write_str(&self.table)
    }
}

/// A table as the rows to come describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDecl {
    /// Where the rows go.
    pub path: TablePath,
    /// One encapsulated Arrow IPC `Schema` message, without `__op`.
    pub arrow_schema: Vec<u8>,
    /// Primary key columns in order; empty = append table.
    pub primary_key: Vec<String>,
    /// Columns whose values choose the partition, outermost first.
    pub partition_by: Vec<String>,
    /// Grows with each change of the table's schema.
    pub schema_version: u32,
}

/// The next messages of the Arrow IPC stream of one (table, schema version).
#[derive(Debug, Clone)]
pub struct Batch {
    /// The table's number.
    pub table: u32,
    /// Version of the schema the messages were encoded with.
    pub schema_version: u32,
    /// Host-assigned, strictly increasing.
    pub sequence: u64,
    /// Number of rows in `ipc`.
    pub rows: u32,
    /// Encapsulated dictionary and record batch messages; the schema message is never repeated.
    pub ipc: Vec<u8>,
}

/// A change of one table's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaChange {
    /// New columns, all nullable.
    AddColumns(Vec<ColumnAdd>),
    /// Columns to remove, by name.
    DropColumns(Vec<String>),
    /// Pairs of old and new name, all applied at once.
    RenameColumns(Vec<(String, String)>),
    /// New types for existing columns.
    AlterType(Vec<ColumnType>),
    /// New table comment; None removes it.
    SetComment(Option<String>),
    /// Remove all rows.
    Truncate,
    /// Remove the table.
    Drop,
}

/// One column to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnAdd {
    /// One encapsulated Arrow IPC `Schema` message with exactly this field.
    pub arrow_field: Vec<u8>,
    /// Where the column goes.
    pub position: ColumnPosition,
}

/// Position of a new column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnPosition {
    /// Before all others.
    First,
    /// After all others.
    Last,
    /// Right after the named column.
    After(String),
}

/// A column and its new type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnType {
    /// The column.
    pub name: String,
    /// One encapsulated Arrow IPC `Schema` message with exactly this field.
    pub arrow_field: Vec<u8>,
}

/// Rows the sink kept aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetters {
    /// The table they were meant for, as it was declared.
    pub table: TablePath,
    /// Which rows, and why, in the order of `ipc`.
    pub rows: Vec<BadRow>,
    /// An Arrow IPC stream, with schema, of these rows: the table's columns as they came, then
    /// `__op`.
    pub ipc: Vec<u8>,
}

/// Room left in the sink's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credit {
    /// Bytes of Arrow data.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
}

/// What the host should know after a call that moves data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Room left.
    pub credit: Credit,
    /// Call again no later than this many milliseconds from now. None = no timer needed.
    pub wake_after_ms: Option<u32>,
}

/// Something `prepare` made durable and `commit` will make visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committable {
    /// The table it belongs to.
    pub table: TablePath,
    /// Format of `payload`.
    pub format: u32,
    /// The sink's own bytes.
    pub payload: Vec<u8>,
}

/// State of a writer at a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Format of `payload`.
    pub format: u32,
    /// The sink's own bytes.
    pub payload: Vec<u8>,
}

/// What became of one committable.
#[derive(Debug, Clone, PartialEq)]
pub enum CommitOutcome {
    /// It is visible now.
    Committed,
    /// It had been committed before; nothing was done.
    AlreadyCommitted,
    /// Unknown or busy; commit it again after this many milliseconds.
    Retry(u32),
    /// It can not be committed.
    Failed(SinkError),
}

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Name in Prometheus' form, without a prefix.
    pub name: String,
    /// How it develops.
    pub kind: MetricKind,
    /// Label names and values.
    pub labels: Vec<(String, String)>,
    /// Its value now.
    pub value: f64,
}

/// How a metric develops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// What the sink says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkInfo {
    /// Name of the sink, as `sink.type` of a pipeline spells it.
    pub name: String,
    /// Version of the core.
    pub version: String,
    /// Highest guarantee this sink can give.
    pub delivery: Delivery,
    /// Formats accepted by `Sink::open` (restore) and `commit`.
    pub state_formats: Vec<u32>,
    /// Every option there is.
    pub options: Vec<OptionSpec>,
}

/// Delivery guarantees, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delivery {
    /// Rows can appear twice after a failure.
    AtLeastOnce,
    /// Replayed rows replace themselves by key.
    IdempotentUpsert,
    /// Every row appears once.
    ExactlyOnce,
}

/// One option of the sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSpec {
    /// Canonical name in kebab case.
    pub name: String,
    /// Form of its value.
    pub kind: OptionKind,
    /// Whether a value must be given.
    pub required: bool,
    /// Value used when none is given.
    pub default_value: Option<String>,
    /// The value is a secret: the sink only ever sees the text `<secret>` in its place.
    pub secret: bool,
    /// What it does.
    pub doc: String,
    /// Other spellings that mean the same, newest first.
    pub aliases: Vec<String>,
    /// The legal values, with kind `Choice`.
    pub choices: Vec<String>,
}

/// Form of an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A number with a unit: `64mb`, `512 KiB`, `1048576`.
    ByteSize,
    /// A number with a unit: `30s`, `500 ms`, `2min`; a bare number is milliseconds.
    Duration,
    /// One of a list.
    Choice,
}

/// Why an early checkpoint is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointReason {
    /// A session nears the end of its life.
    SessionAge,
    /// A session nears its block limit.
    SessionBlocks,
    /// Buffers are short of memory.
    Memory,
    /// Too many partitions are open.
    OpenPartitions,
}

/// How important a log event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// Normal events.
    Info,
    /// Unusual, handled.
    Warn,
    /// Failed.
    Error,
}

/// One event for the host's log. Never carries a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// How important.
    pub level: LogLevel,
    /// Part of the sink that speaks, for example `session`.
    pub target: &'static str,
    /// What happened.
    pub message: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}
