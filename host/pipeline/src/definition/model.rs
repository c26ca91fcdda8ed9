//! What a pipeline definition says.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use super::error::{Location, Problem, Text};
use crate::{
    dead_letters::DeadLetterPolicy,
    evolution::SchemaEvolution,
    route::RouteRule,
    source::TableId,
    transform::{Context, TransformRule, Transforms, system_time_zone},
};

/// A value and where the definition gives it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub at: Location,
}

/// A whole pipeline.
#[derive(Debug, Clone)]
pub struct PipelineDefinition {
    /// Where change events come from.
    pub source: SourceDefinition,
    /// Where they go.
    pub sink: SinkDefinition,
    /// Which table goes where; empty = every table keeps its name.
    pub routes: Vec<RouteRule>,
    /// What is done to rows on their way; empty = nothing.
    pub transforms: Vec<TransformRule>,
    /// How the pipeline runs.
    pub pipeline: PipelineOptions,
    /// Accepted, but worth telling: keys that mean nothing here.
    pub warnings: Vec<Problem>,
    pub(super) text: Arc<Text>,
}

impl PipelineDefinition {
    /// A problem at a place of this definition, with the lines around it. Lines that hold
    /// secrets are masked.
    pub fn problem_at(&self, at: Location, message: impl Into<String>) -> Problem {
        Problem::at(&self.text, at, message)
    }

    /// The rules of the `transform` block, ready to be put behind a source.
    pub fn transforms(&self) -> Arc<Transforms> {
        Arc::new(Transforms::new(
            self.transforms.clone(),
            self.pipeline.transform_context(),
        ))
    }

    /// The file the definition was read from, as the user named it.
    pub fn file(&self) -> &str {
        self.text.name()
    }

    /// The text of the definition. It may hold secrets.
    pub fn text(&self) -> &str {
        self.text.text()
    }
}

/// The `source` block.
#[derive(Debug, Clone)]
pub struct SourceDefinition {
    /// `name`.
    pub name: Option<String>,
    /// Place of `type`.
    pub at: Location,
    /// What `type` chose, with its options.
    pub kind: SourceKind,
}

/// The types of source.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SourceKind {
    /// `type: file`.
    File(FileOptions),
}

/// Options of `source.type: file`.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// `path`: files and patterns in the order given, relative ones resolved against the
    /// definition's directory; `-` is standard input.
    pub paths: Vec<Spanned<String>>,
    /// `format`; `None` = by the file's extension.
    pub format: Option<FileFormat>,
    /// `table`: name of the table; needed where the input names none.
    pub table: Option<TableId>,
    /// `primary-key`.
    pub primary_key: PerTable<Vec<String>>,
    /// `partition-by`.
    pub partition_by: PerTable<Vec<String>>,
    /// `schema`: columns and their types.
    pub schema: PerTable<Vec<DeclaredColumn>>,
    /// `unknown-columns`: what to do with a column that the declared schema does not have.
    pub unknown_columns: UnknownColumns,
    /// `on-truncate`: what to do with a truncate event.
    pub on_truncate: OnTruncate,
    /// `decimal-strings`: what a text in a DECIMAL column of schemaless Debezium JSON is.
    pub decimal_strings: DecimalStrings,
    /// `pipeline.local-time-zone`: the zone of texts without an offset in instant columns.
    pub time_zone: Option<chrono_tz::Tz>,
    /// CSV dialect.
    pub csv: CsvOptions,
    /// `infer-rows`: rows read ahead to infer a schema.
    pub infer_rows: usize,
    /// `batch-rows`: most rows of a table between two cuts.
    pub batch_rows: usize,
    /// `batch-size`: bytes of pending rows, of all tables, that make a cut.
    pub batch_bytes: usize,
}

impl FileOptions {
    /// Options for files read from `paths`, everything else at its default.
    pub fn new(paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            paths: paths
                .into_iter()
                .map(|path| Spanned {
                    value: path.into(),
                    at: Location::default(),
                })
                .collect(),
            format: None,
            table: None,
            primary_key: PerTable::default(),
            partition_by: PerTable::default(),
            schema: PerTable::default(),
            unknown_columns: UnknownColumns::Error,
            on_truncate: OnTruncate::Apply,
            decimal_strings: DecimalStrings::Number,
            time_zone: None,
            csv: CsvOptions::default(),
            infer_rows: 10_000,
            batch_rows: 8192,
            batch_bytes: 1 << 20,
        }
    }
}

/// A setting given once for all tables or by table.
#[derive(Debug, Clone)]
pub struct PerTable<T> {
    /// For tables not named in `tables`.
    pub all: Option<Spanned<T>>,
    /// By the table's name, as written: one to three levels, compared on the levels given.
    pub tables: BTreeMap<String, Spanned<T>>,
}

impl<T> Default for PerTable<T> {
    fn default() -> Self {
        Self {
            all: None,
            tables: BTreeMap::new(),
        }
    }
}

impl<T> PerTable<T> {
    /// The setting for one table.
    pub fn get(&self, table: &TableId) -> Option<&Spanned<T>> {
        self.tables
            .iter()
            .find(|(name, _)| TableId::parse(name).is_some_and(|id| id.agrees_with(table)))
            .map(|(_, value)| value)
            .or(self.all.as_ref())
    }
}

/// One column of a declared schema.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredColumn {
    /// Name of the column.
    pub name: String,
    /// Its type, for example `DECIMAL(18,2) NOT NULL`.
    pub ty: crate::source::types::ColumnType,
    /// Where the definition declares it.
    pub at: Location,
}

/// Formats of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Debezium change events in JSON, one a line.
    DebeziumJson,
    /// One JSON object a line, each an insert.
    Json,
    /// Comma-separated values.
    Csv,
    /// Parquet.
    Parquet,
    /// Arrow IPC, file or stream.
    Arrow,
}

impl FileFormat {
    /// Every format, as `source.format` spells it.
    pub const ALL: [(&'static str, Self); 5] = [
        ("debezium-json", Self::DebeziumJson),
        ("json", Self::Json),
        ("csv", Self::Csv),
        ("parquet", Self::Parquet),
        ("arrow", Self::Arrow),
    ];

    /// The spelling of `source.format`.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, format)| *format == self)
            .map_or("", |(name, _)| name)
    }
}

/// What to do with columns that a declared schema does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownColumns {
    /// Fail (default).
    Error,
    /// Leave them out.
    Ignore,
}

/// What to do with truncate events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTruncate {
    /// Hand it on (default): `schema.change.behavior` says what becomes of the sink's table.
    Apply,
    /// Fail: the sink's table would keep rows that the source no longer has.
    Error,
    /// Leave the event out and count it.
    Skip,
}

/// What a text in a DECIMAL column is, where no schema tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalStrings {
    /// A decimal number (default).
    Number,
    /// The unscaled number as big-endian bytes in base64, as Debezium's
    /// `decimal.handling.mode=precise` writes it.
    Base64,
}

/// CSV dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// `delimiter` between fields.
    pub delimiter: u8,
    /// `quote` around fields.
    pub quote: u8,
    /// `header`: whether the first record names the columns.
    pub header: bool,
    /// `null-text`: an unquoted field with this text is NULL. Default: the empty field.
    pub null_text: String,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: b'"',
            header: true,
            null_text: String::new(),
        }
    }
}

/// The `sink` block. The component knows what its options mean.
#[derive(Debug, Clone)]
pub struct SinkDefinition {
    /// `type`: which component.
    pub kind: Spanned<String>,
    /// `name`.
    pub name: Option<String>,
    /// Every other key, in order, placeholders resolved; a list is joined by commas.
    pub options: Vec<SinkOption>,
    /// `include.schema.changes`: the schema changes to apply.
    pub include_schema_changes: Option<Vec<String>>,
    /// `exclude.schema.changes`: those not to apply, though they are included.
    pub exclude_schema_changes: Option<Vec<String>>,
}

impl PipelineDefinition {
    /// What is done about schema changes.
    pub fn evolution(&self) -> SchemaEvolution {
        SchemaEvolution::new(
            self.pipeline.schema_change_behavior,
            self.sink.include_schema_changes.as_deref(),
            self.sink.exclude_schema_changes.as_deref(),
            self.pipeline.local_time_zone,
        )
    }
}

impl SinkDefinition {
    /// The options as a component takes them.
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.options
            .iter()
            .map(|option| (option.name.clone(), option.value.clone()))
            .collect()
    }

    /// Where the definition gives an option.
    pub fn option(&self, name: &str) -> Option<&SinkOption> {
        self.options.iter().find(|option| option.name == name)
    }
}

/// One option of the sink.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkOption {
    /// Name as written.
    pub name: String,
    /// Value, placeholders resolved. May be a secret.
    pub value: String,
    /// Environment variables that its placeholders name.
    pub environment: Vec<String>,
    /// Place of the name.
    pub at: Location,
    /// Place of the value.
    pub value_at: Location,
}

impl std::fmt::Debug for SinkOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The value may be a secret; which ones are, only the component knows.
        f.debug_struct("SinkOption")
            .field("name", &self.name)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// The `pipeline` block.
#[derive(Debug, Clone)]
pub struct PipelineOptions {
    /// `name`.
    pub name: Option<String>,
    /// `parallelism`: number of writers. Default 1.
    pub parallelism: u32,
    /// `local-time-zone`; `None` = the system's, UTC where that is not known.
    pub local_time_zone: Option<chrono_tz::Tz>,
    /// `schema.change.behavior`. Default lenient.
    pub schema_change_behavior: SchemaChangeBehavior,
    /// `checkpoint-interval` or `execution.checkpointing.interval`.
    pub checkpoint_interval: Option<Duration>,
    /// `checkpoint-path`: where checkpoints are kept; relative to the definition's directory.
    pub checkpoint_path: Option<PathBuf>,
    /// `stop-timeout`: how long a run that a signal stops may take to complete its checkpoint.
    /// Default 25 s: less than the 30 s after which Kubernetes kills.
    pub stop_timeout: Duration,
    /// `dead-letters.max-rows`, `dead-letters.max-ratio` and `dead-letters.path`.
    pub dead_letters: DeadLetterPolicy,
    /// `memory-budget`: memory that a run takes at most, in bytes. Default 512 MiB, or what buffers
    /// that the definition gives need.
    pub memory_budget: Option<Spanned<u64>>,
    /// `give-up-after`: how long to try to reach a service that has answered before. Default 10
    /// minutes.
    pub give_up_after: Option<Duration>,
    /// `restarts`: how often to start over from the last checkpoint without getting to the next.
    /// Default 3.
    pub restarts: Option<u32>,
    /// `metrics`: address at which a run shows what it measures. Default nowhere.
    pub metrics: Option<std::net::SocketAddr>,
    /// `route-mode`. Default all-match.
    pub route_mode: RouteMode,
    /// `transform.decimal.precision.mode`. Default up to 19 digits.
    pub decimal_precision: DecimalPrecision,
}

impl PipelineOptions {
    /// What the expressions of `transform` depend on.
    pub fn transform_context(&self) -> Context {
        Context {
            zone: self.local_time_zone.unwrap_or_else(system_time_zone),
            decimal_digits: match self.decimal_precision {
                DecimalPrecision::UpTo19 => 19,
                DecimalPrecision::UpTo38 => 38,
            },
        }
    }
}

/// Most digits of a DECIMAL that arithmetic in `transform` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalPrecision {
    /// 19.
    UpTo19,
    /// 38.
    UpTo38,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        Self {
            name: None,
            parallelism: 1,
            local_time_zone: None,
            schema_change_behavior: SchemaChangeBehavior::Lenient,
            checkpoint_interval: None,
            checkpoint_path: None,
            stop_timeout: Duration::from_secs(25),
            dead_letters: DeadLetterPolicy::default(),
            memory_budget: None,
            give_up_after: None,
            restarts: None,
            metrics: None,
            route_mode: RouteMode::AllMatch,
            decimal_precision: DecimalPrecision::UpTo19,
        }
    }
}

/// What to do when a source table's schema changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaChangeBehavior {
    /// Apply every change as it is.
    Evolve,
    /// Apply it where the sink can, else go on with the old schema.
    TryEvolve,
    /// Apply what loses nothing.
    Lenient,
    /// Keep the schema.
    Ignore,
    /// Fail.
    Exception,
}

/// Which of several matching routes a table takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteMode {
    /// All of them.
    AllMatch,
    /// The first.
    FirstMatch,
}
