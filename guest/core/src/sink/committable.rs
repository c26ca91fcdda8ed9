//! What a committable carries: enough to commit it from anywhere.

use serde::{Deserialize, Serialize};

use super::part::Target;
use crate::contract::{Committable, TablePath};
use crate::error::SinkError;

/// Format of committables and states written by this version.
pub(super) const FORMAT: u32 = 1;

/// A session whose rows are durable and not yet visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Prepared {
    pub(super) project: String,
    pub(super) schema: Option<String>,
    pub(super) table: String,
    /// As the tunnel spells it; empty = none.
    pub(super) partition: String,
    pub(super) session: String,
    pub(super) rows: u64,
    pub(super) created_unix_ms: i64,
    #[serde(flatten)]
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Kind {
    Upload {
        blocks: Vec<u32>,
    },
    Upsert {
        /// Server of the slot that holds bucket 0.
        server: String,
    },
}

impl Prepared {
    pub(super) fn encode(&self, path: &TablePath) -> Result<Committable, SinkError> {
        let payload = serde_json::to_vec(self).map_err(|e| {
            SinkError::permanent(
                "committable",
                format!("a committable can not be written: {e}"),
            )
        })?;
        Ok(Committable {
            table: path.clone(),
            format: FORMAT,
            payload,
        })
    }

    pub(super) fn decode(item: &Committable) -> Result<Self, SinkError> {
        if item.format != FORMAT {
            return Err(SinkError::permanent(
                "committable.format",
                format!(
                    "table {}: a committable of format {} was written by another version of the sink; this one reads format {FORMAT}",
                    item.table, item.format
                ),
            ));
        }
        serde_json::from_slice(&item.payload).map_err(|e| {
            SinkError::permanent(
                "committable.damaged",
                format!("table {}: a committable is damaged: {e}; restore it or start from an older checkpoint", item.table),
            )
        })
    }

    pub(super) fn target(&self, path: &TablePath) -> Target {
        Target {
            path: path.clone(),
            project: self.project.clone(),
            schema: self.schema.clone(),
            name: self.table.clone(),
        }
    }
}
