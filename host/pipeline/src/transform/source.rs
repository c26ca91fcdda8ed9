//! A source whose tables and rows have gone through the rules.

use std::collections::HashMap;
use std::sync::Arc;

use super::Transforms;
use super::error::TransformError;
use super::table::TableTransform;
use crate::source::{Source, SourceError, SourceErrorKind, SourceEvent, SourceStats};

/// Hands out what another source reads, transformed. Positions stay those of that source, also on
/// batches of which no row is left.
pub(super) struct TransformedSource {
    inner: Box<dyn Source>,
    transforms: Arc<Transforms>,
    /// By the table's number; `None` = no rule is about it.
    tables: HashMap<u32, Option<TableTransform>>,
    filtered: u64,
    warnings: Vec<String>,
}

impl TransformedSource {
    pub(super) fn new(inner: Box<dyn Source>, transforms: Arc<Transforms>) -> Self {
        Self {
            inner,
            transforms,
            tables: HashMap::new(),
            filtered: 0,
            warnings: Vec::new(),
        }
    }

    fn warn(&mut self, warning: &TransformError) {
        let text = warning.to_string();
        if !self.warnings.contains(&text) {
            tracing::warn!("{text}");
            self.warnings.push(text);
        }
    }
}

impl Source for TransformedSource {
    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        Ok(match self.inner.next()? {
            None => None,
            Some(SourceEvent::Table(table)) => {
                let id = table.id;
                let transform = self.transforms.table(&table)?;
                let declared = match &transform {
                    Some(transform) => transform.declared.clone(),
                    None => table,
                };
                for warning in transform.iter().flat_map(|transform| &transform.warnings) {
                    self.warn(warning);
                }
                self.tables.insert(id, transform);
                Some(SourceEvent::Table(declared))
            }
            Some(SourceEvent::Batch(batch)) => {
                let transform = self.tables.get(&batch.table).and_then(Option::as_ref);
                Some(SourceEvent::Batch(match transform {
                    None => batch,
                    Some(transform) => {
                        let transformed = transform.apply(batch)?;
                        self.filtered += transformed.filtered;
                        transformed.batch
                    }
                }))
            }
            // Truncated and dropped tables keep their names here.
            other => other,
        })
    }

    fn stats(&self) -> SourceStats {
        let mut stats = self.inner.stats();
        stats.filtered += self.filtered;
        stats.warnings.extend(self.warnings.iter().cloned());
        stats
    }
}

impl From<TransformError> for SourceError {
    fn from(error: TransformError) -> Self {
        let text = error.to_string();
        let source = Self::new(SourceErrorKind::Definition, text);
        match error.help {
            Some(help) => source.help(help),
            None => source,
        }
    }
}
