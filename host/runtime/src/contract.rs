//! Plain data of the contract `longshore:sink@0.1.0`, as hosts see it.
//!
//! Every type here mirrors one item of the contract's `types` interface, with the same fields under
//! Rust's spelling. They cross into the component without a conversion step, and they implement
//! serde's traits (names in kebab case) so that a host can put committables and state into its
//! checkpoint and print what a component says about itself.

use serde::{Deserialize, Serialize};
use std::fmt;
use wasmtime::component::{ComponentType, Lift, Lower};

/// Name of the batch column that carries the row operation.
pub const OPERATION_COLUMN: &str = "__op";

/// Longest `ipc` of one [`Batch`], in bytes (16 MiB).
pub const MAX_BATCH_BYTES: usize = 16 << 20;

/// Index handed out by [`SinkInstance::declare_table`](crate::SinkInstance::declare_table); valid for the life of one writer.
pub type TableId = u32;

/// Number of a checkpoint; strictly increasing within one pipeline.
pub type CheckpointId = u64;

/// What a row does; the value of the `__op` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(i8)]
pub enum RowOp {
    /// A new row.
    Insert = 0,
    /// The row before an update. The next row of the same batch is its `UpdateAfter`.
    UpdateBefore = 1,
    /// The row after an update; without a preceding `UpdateBefore` the key did not change.
    UpdateAfter = 2,
    /// The row as it was before it was deleted; only the key columns need values.
    Delete = 3,
}

impl RowOp {
    /// The operation with this number, if there is one.
    pub fn from_number(number: i8) -> Option<Self> {
        match number {
            0 => Some(Self::Insert),
            1 => Some(Self::UpdateBefore),
            2 => Some(Self::UpdateAfter),
            3 => Some(Self::Delete),
            _ => None,
        }
    }

    /// Its number in the `__op` column.
    pub fn number(self) -> i8 {
        self as i8
    }
}

/// Name of a table at the service, in up to three tiers.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ComponentType,
    Lift,
    Lower,
)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct TablePath {
    /// First tier. None = the sink's configured default.
    pub catalog: Option<String>,
    /// Second tier. None = the sink's configured default.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

impl fmt::Display for TablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tier in [&self.catalog, &self.schema].into_iter().flatten() {
            write!(f, "{tier}.")?;
        }
        f.write_str(&self.table)
    }
}

/// A table as the rows to come describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct TableDecl {
    /// Where the rows go.
    pub path: TablePath,
    /// One encapsulated Arrow IPC `Schema` message. `__op` is not part of it.
    #[component(name = "arrow-schema")]
    pub arrow_schema: Vec<u8>,
    /// Primary key columns in order; empty = append table.
    #[component(name = "primary-key")]
    pub primary_key: Vec<String>,
    /// Columns of `arrow_schema` whose values choose the partition, outermost first.
    #[component(name = "partition-by")]
    pub partition_by: Vec<String>,
    /// Grows with each change of the table's schema; a batch names the version it was encoded with.
    #[component(name = "schema-version")]
    pub schema_version: u32,
}

/// The next messages (dictionaries and record batches) of the Arrow IPC stream of
/// `(table, schema_version)`. The schema message is never repeated.
#[derive(Clone, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Batch {
    /// The table, as `declare_table` numbered it.
    pub table: TableId,
    /// Version of the schema the messages were encoded with.
    #[component(name = "schema-version")]
    pub schema_version: u32,
    /// Host-assigned, strictly increasing; echoed in errors and dead letters.
    pub sequence: u64,
    /// Number of rows in `ipc`.
    pub rows: u32,
    /// Encapsulated IPC messages, at most [`MAX_BATCH_BYTES`].
    pub ipc: Vec<u8>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("table", &self.table)
            .field("schema_version", &self.schema_version)
            .field("sequence", &self.sequence)
            .field("rows", &self.rows)
            .field("ipc", &Length(self.ipc.len()))
            .finish()
    }
}

/// A change of one table's schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum SchemaChange {
    /// New columns, all nullable.
    #[component(name = "add-columns")]
    AddColumns(Vec<ColumnAdd>),
    /// Columns to remove, by name.
    #[component(name = "drop-columns")]
    DropColumns(Vec<String>),
    /// Pairs of old and new name, all applied at once (a swap is legal).
    #[component(name = "rename-columns")]
    RenameColumns(Vec<(String, String)>),
    /// New types for existing columns.
    #[component(name = "alter-type")]
    AlterType(Vec<ColumnType>),
    /// New table comment; none removes it.
    #[component(name = "set-comment")]
    SetComment(Option<String>),
    /// Remove all rows.
    #[component(name = "truncate")]
    Truncate,
    /// Remove the table.
    #[component(name = "drop")]
    Drop,
}

/// One column to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct ColumnAdd {
    /// One encapsulated Arrow IPC `Schema` message with exactly this field.
    #[component(name = "arrow-field")]
    pub arrow_field: Vec<u8>,
    /// Where the column goes.
    pub position: ColumnPosition,
}

/// Position of a new column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnPosition {
    /// Before all others.
    #[component(name = "first")]
    First,
    /// After all others.
    #[component(name = "last")]
    Last,
    /// Right after the named column.
    #[component(name = "after")]
    After(String),
}

/// A column and its new type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct ColumnType {
    /// The column.
    pub name: String,
    /// One encapsulated Arrow IPC `Schema` message with exactly this field.
    #[component(name = "arrow-field")]
    pub arrow_field: Vec<u8>,
}

/// What the host should do next, not what went wrong inside.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorClass {
    /// Retry the same call after at least this many milliseconds.
    #[component(name = "transient")]
    Transient(u32),
    /// The service throttled us; slow this writer down by this many milliseconds.
    #[component(name = "throttled")]
    Throttled(u32),
    /// Credentials refused or expired; refresh, then retry.
    #[component(name = "unauthenticated")]
    Unauthenticated,
    /// Committed by someone else, session stolen or fenced; this writer is dead.
    #[component(name = "fenced")]
    Fenced,
    /// Some rows are unacceptable; the others were buffered. See [`SinkError::bad_rows`].
    #[component(name = "data")]
    Data,
    /// Table and batch disagree.
    #[component(name = "schema")]
    Schema,
    /// Misconfiguration or refused capability. Never retry.
    #[component(name = "permanent")]
    Permanent,
}

impl ErrorClass {
    /// Name of the class in the contract, without its delay.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transient(_) => "transient",
            Self::Throttled(_) => "throttled",
            Self::Unauthenticated => "unauthenticated",
            Self::Fenced => "fenced",
            Self::Data => "data",
            Self::Schema => "schema",
            Self::Permanent => "permanent",
        }
    }

    /// How long to wait before the same call may be tried again, if it may.
    pub fn retry_after(self) -> Option<std::time::Duration> {
        match self {
            Self::Transient(ms) | Self::Throttled(ms) => {
                Some(std::time::Duration::from_millis(ms.into()))
            }
            Self::Unauthenticated | Self::Fenced | Self::Data | Self::Schema | Self::Permanent => {
                None
            }
        }
    }
}

/// A row the sink refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct BadRow {
    /// [`Batch::sequence`] of the batch it came in.
    pub sequence: u64,
    /// Index of the row in that batch, from 0.
    pub row: u32,
    /// The column at fault, where one is.
    pub column: Option<String>,
    /// Why, for a person.
    pub reason: String,
}

/// A failed call, as the component reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct SinkError {
    /// What to do next.
    pub class: ErrorClass,
    /// Stable machine code, for example `tunnel.NoSuchPartition`.
    pub code: String,
    /// What failed, where and why, for a person.
    pub message: String,
    /// The service's request id, where one answered.
    #[component(name = "request-id")]
    pub request_id: Option<String>,
    /// Refused rows, with class [`ErrorClass::Data`].
    #[component(name = "bad-rows")]
    pub bad_rows: Vec<BadRow>,
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)?;
        if let Some(request_id) = &self.request_id {
            write!(f, " (request id {request_id})")?;
        }
        if let Some(first) = self.bad_rows.first() {
            write!(f, "; {} refused row", self.bad_rows.len())?;
            if self.bad_rows.len() > 1 {
                f.write_str("s")?;
            }
            write!(
                f,
                ", the first is row {} of batch {}",
                first.row, first.sequence
            )?;
            if let Some(column) = &first.column {
                write!(f, ", column {column}")?;
            }
            write!(f, ": {}", first.reason)?;
        }
        Ok(())
    }
}

impl std::error::Error for SinkError {}

/// Room left in the sink's buffers. The host stops calling `write` when either is zero and calls
/// `drive` instead.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct Credit {
    /// Bytes of Arrow data.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
}

/// What the host should know after a call that moves data.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// Room left, never above [`Limits::max_credit`](crate::Limits::max_credit).
    pub credit: Credit,
    /// Call `drive` (or any other function) no later than this many milliseconds from now: a flush
    /// interval ends, a retry is due, a session must be kept alive. None = no timer needed.
    #[component(name = "wake-after-ms")]
    pub wake_after_ms: Option<u32>,
}

/// Something `prepare` made durable and `commit` will make visible. Opaque to the host, safe to
/// store and to hand to another instance, another process or a newer component version.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct Committable {
    /// The table it belongs to.
    pub table: TablePath,
    /// Format of `payload`, numbered by the component.
    pub format: u32,
    /// The component's own bytes.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Committable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committable")
            .field("table", &self.table)
            .field("format", &self.format)
            .field("payload", &Length(self.payload.len()))
            .finish()
    }
}

/// State of a writer at a checkpoint, opaque to the host.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// Format of `payload`, numbered by the component.
    pub format: u32,
    /// The component's own bytes.
    pub payload: Vec<u8>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("format", &self.format)
            .field("payload", &Length(self.payload.len()))
            .finish()
    }
}

/// What became of one committable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum CommitOutcome {
    /// It is visible now.
    #[component(name = "committed")]
    Committed,
    /// It had been committed before; nothing was done.
    #[component(name = "already-committed")]
    AlreadyCommitted,
    /// Unknown or busy; commit it again after this many milliseconds.
    #[component(name = "retry")]
    Retry(u32),
    /// It can not be committed.
    #[component(name = "failed")]
    Failed(SinkError),
}

/// One measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct Metric {
    /// Name in Prometheus' form, without a prefix, for example `rows_encoded_total`.
    pub name: String,
    /// How it develops.
    pub kind: MetricKind,
    /// Label names and values.
    pub labels: Vec<(String, String)>,
    /// Its value now.
    pub value: f64,
}

/// How a metric develops.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[component(enum)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum MetricKind {
    /// Only grows.
    #[component(name = "counter")]
    Counter,
    /// Goes up and down.
    #[component(name = "gauge")]
    Gauge,
}

/// What a component says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct SinkInfo {
    /// Name of the sink, as `sink.type` of a pipeline spells it.
    pub name: String,
    /// Version of the component.
    pub version: String,
    /// Highest guarantee this component can give.
    pub delivery: Delivery,
    /// Formats accepted by `open_writer(restore)` and by `commit`.
    #[component(name = "state-formats")]
    pub state_formats: Vec<u32>,
    /// Every option there is.
    pub options: Vec<OptionSpec>,
}

/// Delivery guarantees, weakest first.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ComponentType,
    Lift,
    Lower,
)]
#[component(enum)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Delivery {
    /// Rows can appear twice after a failure.
    #[component(name = "at-least-once")]
    AtLeastOnce,
    /// Replayed rows replace themselves by key.
    #[component(name = "idempotent-upsert")]
    IdempotentUpsert,
    /// Every row appears once.
    #[component(name = "exactly-once")]
    ExactlyOnce,
}

/// One option of the sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "kebab-case")]
pub struct OptionSpec {
    /// Canonical name in kebab case.
    pub name: String,
    /// Form of its value.
    pub kind: OptionKind,
    /// Whether a value must be given.
    pub required: bool,
    /// Value used when none is given.
    #[component(name = "default-value")]
    pub default_value: Option<String>,
    /// The value is a secret. The host keeps it for the signer; the component only ever sees the
    /// text `<secret>` in its place.
    pub secret: bool,
    /// What it does.
    pub doc: String,
    /// Other spellings that mean the same, newest first.
    pub aliases: Vec<String>,
    /// The legal values, with [`OptionKind::Choice`].
    pub choices: Vec<String>,
}

/// Form of an option's value.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[component(enum)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum OptionKind {
    /// Any text.
    #[component(name = "text")]
    Text,
    /// A whole number.
    #[component(name = "integer")]
    Integer,
    /// `true` or `false`.
    #[component(name = "boolean")]
    Boolean,
    /// A number with a unit: `64mb`, `512 KiB`, `1048576`.
    #[component(name = "byte-size")]
    ByteSize,
    /// A number with a unit: `30s`, `500 ms`, `2min`; a bare number is milliseconds.
    #[component(name = "duration")]
    Duration,
    /// One of a list.
    #[component(name = "choice")]
    Choice,
}

/// Why a sink asks for an early checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

/// Rows that the service refused after the sink had accepted them.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetters {
    /// The table they were meant for.
    pub table: TablePath,
    /// One entry for each row of `ipc`, in the same order.
    pub rows: Vec<BadRow>,
    /// An Arrow IPC stream, with schema, of the refused rows.
    pub ipc: Vec<u8>,
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters")
            .field("table", &self.table)
            .field("rows", &self.rows)
            .field("ipc", &Length(self.ipc.len()))
            .finish()
    }
}

/// Prints how long a payload is instead of the payload.
struct Length(usize);

impl fmt::Debug for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0)
    }
}
