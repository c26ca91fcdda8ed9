//! Upload, upsert and stream sessions, as the tunnel describes them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::metadata::{columns, number};
use crate::bucket::HasherKind;
use crate::schema::Column;

/// Status of a batch upload session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadStatus {
    /// Open for blocks.
    Normal,
    /// Being committed.
    Committing,
    /// Committed.
    Closed,
    /// Can not be committed any more.
    Dead,
}

/// A batch upload session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadInfo {
    /// Its id.
    pub id: String,
    /// Its status.
    pub status: UploadStatus,
    /// The status as the service spells it.
    pub status_text: String,
    /// Blocks it has.
    pub blocks: BTreeSet<u32>,
}

impl UploadInfo {
    /// Read the answer to create, status and commit.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let json = object(body)?;
        let status_text = text(&json, "Status").unwrap_or_else(|| "unknown".to_owned());
        let status = match status_text.to_ascii_lowercase().as_str() {
            "normal" | "unknown" => UploadStatus::Normal,
            "closing" | "committing" => UploadStatus::Committing,
            "closed" | "committed" => UploadStatus::Closed,
            _ => UploadStatus::Dead,
        };
        let blocks = match json.get("UploadedBlockList") {
            Some(Value::Array(list)) => list
                .iter()
                .filter_map(|b| b.get("BlockID").and_then(number))
                .filter_map(|n| u32::try_from(n).ok())
                .collect(),
            _ => BTreeSet::new(),
        };
        let id = text(&json, "UploadID").ok_or("it has no `UploadID`")?;
        Ok(Self {
            id,
            status,
            status_text,
            blocks,
        })
    }
}

/// Status of an upsert session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpsertStatus {
    /// Open for packs.
    Normal,
    /// Being committed.
    Committing,
    /// Committed.
    Committed,
    /// Expired, critical or aborted.
    Dead,
}

/// An upsert session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpsertInfo {
    /// Its id.
    pub id: String,
    /// Its status.
    pub status: UpsertStatus,
    /// The status as the service spells it.
    pub status_text: String,
    /// How keys are hashed.
    pub hasher: HasherKind,
    /// Columns that are hashed.
    pub hash_key: Vec<String>,
    /// For each bucket, who holds it.
    pub buckets: Vec<Slot>,
    /// Whether upserts may name the columns they update.
    pub partial_update: bool,
    /// Names of the columns, and the numbers that partial updates name them by.
    pub column_ids: Vec<(String, i64)>,
}

/// Where the rows of one bucket go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slot {
    /// Number of the slot, as text.
    pub slot_id: String,
    /// Server that holds it.
    pub server: String,
}

impl UpsertInfo {
    /// Read the answer to create, reload and commit. The slot map is checked: bucket ids must be
    /// exactly 0 to n-1.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let json = object(body)?;
        let id = text(&json, "id").ok_or("it has no `id`")?;
        let status_text = text(&json, "status").unwrap_or_else(|| "normal".to_owned());
        let status = match status_text.to_ascii_lowercase().as_str() {
            "normal" => UpsertStatus::Normal,
            "committing" => UpsertStatus::Committing,
            "committed" => UpsertStatus::Committed,
            _ => UpsertStatus::Dead,
        };
        let hasher = match text(&json, "hasher")
            .unwrap_or_default()
            .to_ascii_lowercase()
            .as_str()
        {
            "" | "default" => HasherKind::Default,
            "legacy" => HasherKind::Legacy,
            other => return Err(format!("its hasher `{other}` is not known")),
        };
        let hash_key = match json.get("hash_key") {
            Some(Value::Array(names)) => names
                .iter()
                .filter_map(|n| n.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        let buckets = slots(json.get("slots"))?;
        Ok(Self {
            id,
            status,
            status_text,
            hasher,
            hash_key,
            buckets,
            partial_update: json
                .get("enable_partial_update")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            column_ids: column_ids(&json),
        })
    }
}

fn column_ids(session: &Value) -> Vec<(String, i64)> {
    let columns = session.get("schema").and_then(|s| s.get("columns"));
    columns
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|c| Some((text(c, "name")?, c.get("column_id").and_then(number)?)))
        .collect()
}

/// A stream upload session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its id.
    pub id: String,
    /// It can not take packs yet.
    pub initiating: bool,
    /// Version of the table's columns, as packs must name it.
    pub schema_version: String,
    /// The table's data columns.
    pub columns: Vec<Column>,
    /// Where packs go.
    pub slots: Vec<Slot>,
}

impl StreamInfo {
    /// Read the answer to create and reload.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let json = object(body)?;
        let id = text(&json, "session_name").ok_or("it has no `session_name`")?;
        let status = text(&json, "status").unwrap_or_default();
        let initiating = matches!(status.to_ascii_lowercase().as_str(), "init" | "initiating");
        let columns = columns(json.get("schema").and_then(|s| s.get("columns")))?;
        let slots = json
            .get("slots")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|slot| {
                Some(Slot {
                    slot_id: slot.get(0).and_then(number_or_text)?,
                    server: slot.get(1)?.as_str()?.to_owned(),
                })
            })
            .collect::<Option<Vec<_>>>()
            .ok_or("a slot is no pair of a number and a server")?;
        if slots.is_empty() && !initiating {
            return Err("it has no slots".to_owned());
        }
        Ok(Self {
            id,
            initiating,
            schema_version: json
                .get("schema_version")
                .and_then(number_or_text)
                .unwrap_or_default(),
            columns,
            slots,
        })
    }
}

fn number_or_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn slots(value: Option<&Value>) -> Result<Vec<Slot>, String> {
    let mut found: Vec<(usize, Slot)> = Vec::new();
    for slot in value.and_then(Value::as_array).into_iter().flatten() {
        let id = match slot.get("slot_id") {
            Some(Value::String(s)) => s.clone(),
            Some(Value::Number(n)) => n.to_string(),
            _ => return Err("a slot has no `slot_id`".to_owned()),
        };
        let server = text(slot, "worker_addr").unwrap_or_default();
        for bucket in slot
            .get("buckets")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let bucket = number(bucket)
                .and_then(|n| usize::try_from(n).ok())
                .ok_or("a bucket id is not a whole number")?;
            found.push((
                bucket,
                Slot {
                    slot_id: id.clone(),
                    server: server.clone(),
                },
            ));
        }
    }
    found.sort_by_key(|(bucket, _)| *bucket);
    if found
        .iter()
        .enumerate()
        .any(|(i, (bucket, _))| i != *bucket)
    {
        let ids: Vec<_> = found.iter().map(|(b, _)| b.to_string()).collect();
        return Err(format!(
            "its bucket ids are not 0 to n-1 but {}",
            ids.join(", ")
        ));
    }
    Ok(found.into_iter().map(|(_, slot)| slot).collect())
}

fn object(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|e| format!("it is not JSON: {e}"))
}

fn text(json: &Value, key: &str) -> Option<String> {
    json.get(key).and_then(Value::as_str).map(str::to_owned)
}
