//! The `transform` block: projections, filters and keys, in Flink CDC's syntax.
//!
//! Rules are read and checked with the definition ([`TransformRule`]) and bound to the columns of
//! each table when the source announces it: to DataFusion's physical expressions, with constants
//! folded and patterns compiled. [`Transforms::wrap`] puts them between a source and whoever reads
//! it, so that everything after it sees tables and rows as the rules leave them.
//! Tables without a rule are handed through as they are.
//!
//! What each function does, and where it differs from Flink CDC, is in `TRANSFORM.md`.

mod arithmetic;
mod bind;
mod cast;
mod conditions;
mod error;
mod expression;
mod functions;
mod java_pattern;
mod moments;
mod rule;
mod source;
mod sql;
mod table;
mod types;
mod zone;

use std::sync::Arc;

use chrono_tz::Tz;

pub use error::TransformError;
pub use rule::{RuleText, TransformRule};
pub use zone::system_time_zone;

use crate::source::{Source, SourceTable, TableId};
use table::TableTransform;

/// What expressions depend on besides the rows.
#[derive(Debug, Clone)]
pub struct Context {
    /// `pipeline.local-time-zone`.
    pub zone: Tz,
    /// Most digits of a DECIMAL that arithmetic makes:
    /// `pipeline.transform.decimal.precision.mode`.
    pub decimal_digits: u8,
}

/// The rules of a pipeline.
#[derive(Debug, Clone)]
pub struct Transforms {
    rules: Vec<TransformRule>,
    context: Context,
}

impl Transforms {
    /// Rules in the order of the definition.
    pub fn new(rules: Vec<TransformRule>, context: Context) -> Self {
        Self { rules, context }
    }

    /// A source as the rules leave it; `source` itself where there are none.
    pub fn wrap(self: &Arc<Self>, source: Box<dyn Source>) -> Box<dyn Source> {
        if self.rules.is_empty() {
            return source;
        }
        Box::new(source::TransformedSource::new(source, Arc::clone(self)))
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The zone of dates and times in expressions.
    pub fn zone(&self) -> Tz {
        self.context.zone
    }

    /// The first rule about a table.
    pub fn rule_of(&self, table: &TableId) -> Option<&TransformRule> {
        self.rules.iter().find(|rule| rule.matches(table))
    }

    /// What the rules make of a table; none when no rule is about it.
    fn table(&self, table: &SourceTable) -> Result<Option<TableTransform>, TransformError> {
        TableTransform::new(&self.rules, &self.context, table)
    }
}

/// Every function that expressions can call, by the name Flink CDC has for it.
pub fn function_names() -> Vec<&'static str> {
    functions::names()
}
