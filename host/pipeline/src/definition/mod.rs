//! The pipeline definition: YAML as Flink CDC users write it.
//!
//! Four blocks: `source` and `sink` are required, `route` and `pipeline` optional. Every value
//! may hold `${NAME}` or `${NAME:-default}`, replaced from the environment; `$${` stands for a
//! plain `${`. Unknown keys are refused. Every problem is reported with its line and column.

mod block;
mod error;
mod file_source;
mod model;
mod parse;
pub mod units;
mod yaml;

pub(crate) use block::nearest;
pub use error::{DefinitionError, Location, Problem};
pub use model::{
    CsvOptions, DecimalStrings, DeclaredColumn, FileFormat, FileOptions, OnTruncate, PerTable,
    PipelineDefinition, PipelineOptions, RouteMode, SchemaChangeBehavior, SinkDefinition,
    SinkOption, SourceDefinition, SourceKind, Spanned, UnknownColumns,
};
