//! The layers of a message: key and value, schema and payload, event.

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{
    super::{error::SourceError, table::TableId},
    json::member_names,
    lines::Record,
    row::json_error,
};
use super::ddl::{TableChange, read_changes};

/// A change event and what came with it.
pub(super) struct Message<'a> {
    key: Option<&'a str>,
    /// Text of the event's schema, in an envelope.
    pub(super) schema: Option<&'a str>,
    pub(super) event: Event<'a>,
}

/// Every member a line can have at its top, whatever its layers.
#[derive(Deserialize)]
struct Layer<'a> {
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    op: Option<serde::de::IgnoredAny>,
}

/// The event itself.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    source: Option<Origin<'a>>,
    #[serde(borrow)]
    pub(super) op: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ddl: Option<&'a RawValue>,
    #[serde(borrow, rename = "tableChanges")]
    table_changes: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    ts_ms: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Origin<'a> {
    #[serde(borrow)]
    db: Option<Cow<'a, str>>,
    #[serde(borrow)]
    schema: Option<Cow<'a, str>>,
    #[serde(borrow)]
    table: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ts_ms: Option<&'a RawValue>,
}

/// Reads a line; `None` is a tombstone.
pub(super) fn parse<'a>(
    record: &'a Record,
    file: &Arc<str>,
) -> Result<Option<Message<'a>>, SourceError> {
    let broken = |error: &serde_json::Error, part: &str| json_error(error, part, record, file);
    let mut text = record.text.trim();
    let mut key = None;
    let mut schema = None;
    // Key and value, then schema and payload: no more than two layers around the event.
    for _ in 0..2 {
        if text == "null" {
            return Ok(None);
        }
        let layer: Layer<'a> = serde_json::from_str(text).map_err(|error| broken(&error, text))?;
        match layer {
            Layer {
                value: Some(value), ..
            } => {
                key = layer.key.map(RawValue::get);
                text = value.get();
            }
            Layer {
                payload: Some(payload),
                ..
            } => {
                schema = layer.schema.map(RawValue::get);
                text = payload.get();
            }
            // Layers around nothing.
            Layer { op: None, .. } if is_empty_layer(text) => return Ok(None),
            _ => break,
        }
        if schema.is_some() {
            break;
        }
    }
    if text == "null" {
        return Ok(None);
    }
    let event = serde_json::from_str(text).map_err(|error| broken(&error, text))?;
    Ok(Some(Message { key, schema, event }))
}

/// Whether a line is `{"schema": …, "payload": null}` or `{"key": …, "value": null}`.
fn is_empty_layer(text: &str) -> bool {
    member_names(text).is_some_and(|names| {
        names
            .iter()
            .any(|name| name == "payload" || name == "value")
            && names
                .iter()
                .all(|name| ["schema", "payload", "key", "value"].contains(&name.as_str()))
    })
}

impl Message<'_> {
    /// The columns of the key that came with the event.
    pub(super) fn key_columns(&self) -> Vec<String> {
        #[derive(Deserialize)]
        struct KeyLayer<'a> {
            #[serde(borrow)]
            payload: Option<&'a RawValue>,
        }
        let Some(key) = self.key else {
            return Vec::new();
        };
        let payload = serde_json::from_str::<KeyLayer<'_>>(key)
            .ok()
            .and_then(|layer| layer.payload)
            .map_or(key, RawValue::get);
        member_names(payload).unwrap_or_default()
    }
}

impl<'a> Message<'a> {
    /// Text of the key's schema, in an envelope.
    pub(super) fn key_schema(&self) -> Option<&'a str> {
        #[derive(Deserialize)]
        struct KeyLayer<'a> {
            #[serde(borrow)]
            schema: Option<&'a RawValue>,
        }
        let layer: KeyLayer<'a> = serde_json::from_str(self.key?).ok()?;
        layer.schema.map(RawValue::get)
    }
}

impl Event<'_> {
    pub(super) fn before(&self) -> Option<&str> {
        self.before.map(RawValue::get)
    }

    pub(super) fn after(&self) -> Option<&str> {
        self.after.map(RawValue::get)
    }

    /// When the change happened at the database, in milliseconds since 1970.
    pub(super) fn time_ms(&self) -> Option<i64> {
        let time = self.source.as_ref()?.ts_ms?.get().parse::<i64>();
        time.ok().filter(|time| *time > 0)
    }

    /// The table, as the event's source names it. With two levels the database is the schema.
    pub(super) fn table(&self) -> Option<TableId> {
        let origin = self.source.as_ref()?;
        let level = |level: &Option<Cow<'_, str>>| {
            level
                .as_deref()
                .filter(|level| !level.is_empty())
                .map(str::to_owned)
        };
        let table = level(&origin.table)?;
        Some(match (level(&origin.db), level(&origin.schema)) {
            (database, Some(schema)) => TableId {
                namespace: database,
                schema: Some(schema),
                table,
            },
            (database, None) => TableId {
                namespace: None,
                schema: database,
                table,
            },
        })
    }

    /// What a record of the schema-change topic says of tables.
    pub(super) fn table_changes(&self) -> Option<Vec<TableChange>> {
        let ddl = self.ddl.map_or("", RawValue::get);
        read_changes(self.table_changes?.get(), ddl)
    }

    /// Whether it is a DDL record, a transaction marker or a heartbeat.
    pub(super) fn is_marker(&self) -> bool {
        let no_rows = self.before.is_none() && self.after.is_none();
        no_rows
            && (self.ddl.is_some()
                || self.table_changes.is_some()
                || self.status.is_some()
                || (self.ts_ms.is_some() && self.source.is_none()))
    }
}
