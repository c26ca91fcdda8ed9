//! One rule of the `transform` block, read and checked without any table.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Expr;

use super::bind::{Binder, METADATA, Scope};
use super::error::TransformError;
use super::sql::{self, Item};
use super::{Context, types};
use crate::definition::{Location, Spanned};
use crate::route::{Selector, selectors};
use crate::source::{OP_COLUMN, TableId};
use arrow_schema::DataType;

/// A rule as the definition writes it.
#[derive(Debug, Clone, Default)]
pub struct RuleText {
    /// `source-table`.
    pub source_table: Spanned<String>,
    /// `projection`.
    pub projection: Option<Spanned<String>>,
    /// `filter`.
    pub filter: Option<Spanned<String>>,
    /// `primary-keys`.
    pub primary_keys: Option<Spanned<Vec<String>>>,
    /// `partition-keys`.
    pub partition_keys: Option<Spanned<Vec<String>>>,
    /// `table-options`, for a table that is created: its comment as `comment`, properties.
    pub table_options: Vec<(String, String)>,
    /// `converter-after-transform: SOFT_DELETE`.
    pub soft_delete: bool,
}

/// A rule of the `transform` block.
#[derive(Debug, Clone)]
pub struct TransformRule {
    /// As written.
    pub text: RuleText,
    /// Number in the block, from 1.
    pub(super) number: usize,
    selectors: Vec<Selector>,
    /// Shared, since a long expression is a deep tree, which is not cloned in passing.
    pub(super) items: Option<Arc<[Item]>>,
    pub(super) filter: Option<Arc<Expr>>,
}

impl TransformRule {
    /// Reads a rule and checks what can be checked without a table: its syntax, its functions and
    /// their arguments. With it come things worth telling.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn new(
        number: usize,
        text: RuleText,
        context: &Context,
    ) -> Result<(Self, Vec<TransformError>), Vec<TransformError>> {
        let mut problems = Vec::new();
        let selectors = selectors(&text.source_table.value).unwrap_or_else(|reason| {
            let message = format!("source-table `{}`: {reason}", text.source_table.value);
            problems.push(TransformError::new(text.source_table.at, message));
            Vec::new()
        });
        let mut rule = Self {
            text,
            number,
            selectors,
            items: None,
            filter: None,
        };
        if let Some(projection) = &rule.text.projection {
            match sql::projection(&projection.value) {
                Ok(items) => rule.items = Some(items.into()),
                Err(reason) => problems.push(rule.error(projection.at, "projection", &reason)),
            }
        }
        if let Some(filter) = &rule.text.filter {
            match sql::expression(&filter.value) {
                Ok(filter) => rule.filter = Some(Arc::new(filter)),
                Err(reason) => problems.push(rule.error(filter.at, "filter", &reason)),
            }
        }
        let mut warnings = Vec::new();
        rule.check(context, &mut problems, &mut warnings);
        if problems.is_empty() {
            Ok((rule, warnings))
        } else {
            Err(problems)
        }
    }

    /// Whether the rule is about a table.
    pub fn matches(&self, table: &TableId) -> bool {
        self.selectors
            .iter()
            .any(|selector| selector.matches(table))
    }

    /// Where the projection is given.
    pub(super) fn projection_at(&self) -> Location {
        self.text
            .projection
            .as_ref()
            .map_or(self.text.source_table.at, |p| p.at)
    }

    /// Where the filter is given.
    pub(super) fn filter_at(&self) -> Location {
        self.text
            .filter
            .as_ref()
            .map_or(self.text.source_table.at, |f| f.at)
    }

    /// A problem with a part of the rule.
    pub(super) fn error(&self, at: Location, part: &str, reason: &str) -> TransformError {
        TransformError::new(
            at,
            format!("transform rule {}, {part}: {reason}", self.number),
        )
    }

    /// The columns that the projection computes, by name.
    pub(super) fn computed(&self) -> HashMap<&str, &Expr> {
        let mut computed = HashMap::new();
        for item in self.items.iter().flat_map(|items| items.iter()) {
            if let Item::Column { name, expr } = item {
                computed.insert(name.as_str(), expr.as_ref());
            }
        }
        computed
    }

    fn check(
        &self,
        context: &Context,
        problems: &mut Vec<TransformError>,
        warnings: &mut Vec<TransformError>,
    ) {
        let scope = |computed| Scope {
            columns: None,
            table: None,
            computed,
        };
        let binder = Binder::new(context, scope(HashMap::new()));
        for item in self.items.iter().flat_map(|items| items.iter()) {
            let Item::Column { name, expr } = item else {
                continue;
            };
            let part = format!("column `{name}`");
            if let Err(error) = binder.bind_whole(expr) {
                problems.push(self.error(self.projection_at(), &part, &error));
            }
            let own = matches!(expr.as_ref(), Expr::Identifier(column) if column.value == *name);
            if METADATA.contains(&name.as_str()) && !own {
                let reason = "the name is that of a metadata column; take another one";
                problems.push(self.error(self.projection_at(), &part, reason));
            }
            if name == OP_COLUMN {
                let reason = "the pipeline uses this name itself; take another one";
                problems.push(self.error(self.projection_at(), &part, reason));
            }
        }
        for warning in binder.warnings.take() {
            warnings.push(self.error(self.projection_at(), "projection", &warning));
        }
        if let Some(filter) = &self.filter {
            let binder = Binder::new(context, scope(self.computed()));
            match binder.bind_whole(filter) {
                Ok(bound) if bound.ty != DataType::Boolean && !bound.is_untyped() => {
                    let reason = format!("it is no condition but {}", types::name(&bound.ty));
                    problems.push(self.error(self.filter_at(), "filter", &reason));
                }
                Ok(_) => {}
                Err(error) => problems.push(self.error(self.filter_at(), "filter", &error)),
            }
            for warning in binder.warnings.take() {
                warnings.push(self.error(self.filter_at(), "filter", &warning));
            }
        }
        let keys = [
            ("primary-keys", &self.text.primary_keys),
            ("partition-keys", &self.text.partition_keys),
        ];
        let everything = match &self.items {
            None => true,
            Some(items) => items.iter().any(|item| matches!(item, Item::All)),
        };
        for (option, columns) in keys {
            let Some(columns) = columns else {
                continue;
            };
            for (index, column) in columns.value.iter().enumerate() {
                if columns
                    .value
                    .iter()
                    .take(index)
                    .any(|before| before == column)
                {
                    let reason = format!("column `{column}` is given twice");
                    problems.push(self.error(columns.at, option, &reason));
                }
                if !everything && !self.computed().contains_key(column.as_str()) {
                    let reason = format!("column `{column}` is not in the projection");
                    problems.push(
                        self.error(columns.at, option, &reason)
                            .help("add it to `projection`"),
                    );
                }
            }
        }
    }
}
