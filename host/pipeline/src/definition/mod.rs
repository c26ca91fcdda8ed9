//! The pipeline definition: YAML as Flink CDC users write it.
//!
//! Five blocks: `source` and `sink` are required, `route`, `transform` and `pipeline` optional. Every value
//! may hold `${NAME}` or `${NAME:-default}`, replaced from the environment; `$${` stands for a
//! plain `${`. Unknown keys are refused. Every problem is reported with its line and column.

mod block;
mod error;
mod file_source;
mod model;
mod parse;
mod transform_block;
pub mod units;
mod yaml;

pub(crate) use block::nearest;
pub use error::{DefinitionError, Location, Problem};
pub use model::{
    CsvOptions, DecimalPrecision, DecimalStrings, DeclaredColumn, FileFormat, FileOptions,
    OnTruncate, PerTable, PipelineDefinition, PipelineOptions, RouteMode, SchemaChangeBehavior,
    SinkDefinition, SinkOption, SourceDefinition, SourceKind, Spanned, UnknownColumns,
};
