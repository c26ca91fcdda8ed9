//! What a committable carries: enough to commit it from anywhere.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::part::Target;
use crate::contract::{Committable, State, TablePath};
use crate::error::SinkError;

/// Format of committables and states written by this version.
pub(super) const FORMAT: u32 = 2;
/// Formats it reads. The first knew no overwriting.
pub(super) const READ: [u32; 2] = [1, FORMAT];

/// What a writer knows at a checkpoint beyond its committables.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) checkpoint: u64,
    /// Table and partition that the run has replaced.
    #[serde(default)]
    pub(super) overwritten: BTreeSet<(String, String)>,
    /// Upsert sessions that hold rows read after the checkpoint: whoever goes on from it reads those
    /// rows again, and nobody needs the sessions any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) open: Vec<OpenSession>,
}

/// An upsert session that was neither prepared nor given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenSession {
    pub(super) project: String,
    pub(super) schema: Option<String>,
    pub(super) table: String,
    /// As the tunnel spells it; empty = none.
    pub(super) partition: String,
    pub(super) session: String,
    /// Server of the slot that holds bucket 0.
    pub(super) server: String,
}

impl Snapshot {
    pub(super) fn encode(&self) -> State {
        // Texts and numbers have a JSON form.
        let payload = serde_json::to_vec(self).unwrap_or_default();
        State {
            format: FORMAT,
            payload,
        }
    }

    pub(super) fn decode(state: &State) -> Result<Self, SinkError> {
        if !READ.contains(&state.format) {
            return Err(SinkError::permanent(
                "state.format",
                format!(
                    "the checkpoint's sink state has format {}, this version reads formats up to {FORMAT}",
                    state.format
                ),
            ));
        }
        serde_json::from_slice(&state.payload).map_err(|e| {
            SinkError::permanent(
                "state.damaged",
                format!(
                    "the checkpoint's sink state is damaged: {e}; start from an older checkpoint"
                ),
            )
        })
    }
}

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
        /// The commit replaces what the partition holds.
        #[serde(default)]
        overwrite: bool,
    },
    Upsert {
        /// Server of the slot that holds bucket 0.
        server: String,
    },
}

impl Prepared {
    /// Whether both are about the same rows of the same table.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        self.project == other.project
            && self.schema == other.schema
            && self.table == other.table
            && self.partition == other.partition
    }

    pub(super) fn overwrites(&self) -> bool {
        matches!(
            self.kind,
            Kind::Upload {
                overwrite: true,
                ..
            }
        )
    }

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
        if !READ.contains(&item.format) {
            return Err(SinkError::permanent(
                "committable.format",
                format!(
                    "table {}: a committable of format {} was written by a newer version of the sink; this one reads formats up to {FORMAT}",
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
