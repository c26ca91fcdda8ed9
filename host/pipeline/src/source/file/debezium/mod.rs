//! Debezium change events in JSON, one a line, with or without the schema envelope.
//!
//! `c` and `r` are inserts, `u` an update (with the row before, if the event has one), `d` a
//! delete. Lines may also be `{"key": …, "value": …}`; the key's fields then are the primary key
//! of tables that `primary-key` does not name. Tombstones, heartbeats and transaction markers are
//! left out and counted.
//!
//! Schemas change with the envelope's schema, with fields of plain objects that have not been seen,
//! and with records of the schema-change topic (`ddl` and `tableChanges`), of which renames, drops
//! and comments are taken; what else they tell comes with the next row. `t` is a truncate.

mod ddl;
mod message;
mod schema;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use ddl::{ChangeKind, TableChange};
use message::{Event, Message, parse};
use schema::row_columns;

use super::{
    super::{
        SourceStats,
        batch::Operation,
        error::{SourceError, SourceErrorKind},
        table::TableId,
    },
    infer::Inference,
    json::{known_columns, plain_specs, see_object, with_known},
    lines::{LineReader, Record},
    row::{Row, Unknown, located, offset_in, row_error, set_from_object},
    table_buffer::ColumnSpec,
    tables::Tables,
    text::{Decoded, Decoder, Removed},
};
use crate::definition::{FileOptions, OnTruncate, UnknownColumns};

/// Schemas of a stream are few, but repeated on every line: they are parsed once.
const MAX_CACHED_SCHEMAS: usize = 4096;

/// Decoder of `format: debezium-json`.
pub(crate) struct DebeziumDecoder {
    options: FileOptions,
    /// Columns by the text of the schema.
    schemas: HashMap<Box<str>, Arc<Vec<ColumnSpec>>>,
    /// The columns each table was last defined by.
    defined_by: HashMap<TableId, Arc<Vec<ColumnSpec>>>,
    /// Texts of the schemas of each table's key.
    key_schemas: HashMap<TableId, Box<str>>,
}

impl DebeziumDecoder {
    pub(crate) fn new(options: FileOptions) -> Self {
        Self {
            options,
            schemas: HashMap::new(),
            defined_by: HashMap::new(),
            key_schemas: HashMap::new(),
        }
    }

    /// The table an event is about.
    fn table_of(
        &self,
        event: &Event<'_>,
        record: &Record,
        file: &Arc<str>,
    ) -> Result<TableId, SourceError> {
        let fault = |message: String, help: &str| {
            SourceError::new(SourceErrorKind::Data, message)
                .at(format!("{file}:{}", record.line))
                .help(help)
        };
        match (event.table(), &self.options.table) {
            (Some(table), Some(chosen)) if !chosen.agrees_with(&table) => Err(fault(
                format!("the event is about table {table}, but source.table is {chosen}"),
                "remove source.table: every event names its table",
            )),
            (Some(table), _) => Ok(table),
            (None, Some(chosen)) => Ok(chosen.clone()),
            (None, None) => Err(fault(
                "the event does not name its table: it has no source.table".to_owned(),
                "add `table:` to `source`",
            )),
        }
    }

    fn columns_by_schema(
        &mut self,
        schema: &str,
        record: &Record,
        file: &Arc<str>,
    ) -> Result<Arc<Vec<ColumnSpec>>, SourceError> {
        if let Some(columns) = self.schemas.get(schema) {
            return Ok(Arc::clone(columns));
        }
        let columns = row_columns(schema).map_err(|reason| {
            SourceError::new(
                SourceErrorKind::Data,
                format!("the event's schema can not be used: {reason}"),
            )
            .at(format!("{file}:{}", record.line))
        })?;
        if self.schemas.len() >= MAX_CACHED_SCHEMAS {
            self.schemas.clear();
        }
        let columns = Arc::new(columns);
        self.schemas.insert(schema.into(), Arc::clone(&columns));
        Ok(columns)
    }

    /// Columns with the types the definition declares for them.
    fn with_declared_types(
        &self,
        table: &TableId,
        columns: &[ColumnSpec],
    ) -> Result<Vec<ColumnSpec>, SourceError> {
        let mut columns = columns.to_vec();
        let Some(declared) = self.options.schema.get(table) else {
            return Ok(columns);
        };
        for declaration in &declared.value {
            match columns
                .iter_mut()
                .find(|column| column.name == declaration.name)
            {
                Some(column) => {
                    column.ty = declaration.ty.clone();
                }
                None => {
                    let names: Vec<&str> =
                        columns.iter().map(|column| column.name.as_str()).collect();
                    return Err(SourceError::new(
                        SourceErrorKind::Definition,
                        format!(
                            "source.schema declares column `{}`, which the events of table {table} do not have",
                            declaration.name
                        ),
                    )
                    .help(format!("their columns: {}", names.join(", "))));
                }
            }
        }
        Ok(columns)
    }

    /// The table's buffer for an event, or what must happen first.
    fn buffer_for(
        &mut self,
        table: &TableId,
        message: &Message<'_>,
        record: &Record,
        file: &Arc<str>,
        tables: &mut Tables,
    ) -> Result<Result<usize, Decoded>, SourceError> {
        let known = tables.find(table);
        let Some(schema) = message.schema else {
            if let Some(index) = known {
                return Ok(Ok(index));
            }
            let Some(columns) = known_columns(table, &self.options, tables) else {
                return Ok(Err(Decoded::NeedsSchema(table.clone())));
            };
            let specs = plain_specs(columns, &self.options, true);
            let key = message.key_columns();
            return tables.define(table, specs, &key, &self.options).map(Ok);
        };
        let key_schema = message.key_schema();
        let key_changed = key_schema.is_some_and(|schema| {
            let known = self.key_schemas.get(table);
            known.is_some_and(|known| **known != *schema)
        });
        let columns = self.columns_by_schema(schema, record, file)?;
        if let (Some(index), Some(before)) = (known, self.defined_by.get(table))
            && !key_changed
            && (Arc::ptr_eq(before, &columns) || **before == *columns)
        {
            return Ok(Ok(index));
        }
        if known.is_some() && tables.buffers.iter().any(|buffer| buffer.rows() > 0) {
            return Ok(Err(Decoded::CutFirst));
        }
        let specs = self.with_declared_types(table, &columns)?;
        self.defined_by.insert(table.clone(), columns);
        if let Some(schema) = key_schema {
            self.key_schemas.insert(table.clone(), schema.into());
        }
        tables
            .define(table, specs, &message.key_columns(), &self.options)
            .map(Ok)
    }
}

impl DebeziumDecoder {
    /// Takes note of a record of the schema-change topic.
    fn table_changed(
        &self,
        changes: &[TableChange],
        record: &Record,
        file: &Arc<str>,
        tables: &mut Tables,
        stats: &mut SourceStats,
    ) -> Result<Decoded, SourceError> {
        let concerns = |change: &&TableChange| {
            let chosen = self.options.table.as_ref();
            chosen.is_none_or(|chosen| chosen.agrees_with(&change.table))
        };
        let changes: Vec<&TableChange> = changes.iter().filter(concerns).collect();
        let change = match changes.as_slice() {
            [] => {
                stats.other_events += 1;
                return Ok(Decoded::Done);
            }
            [change] => change,
            _ => {
                return Err(SourceError::new(
                    SourceErrorKind::Data,
                    "the DDL record changes several tables",
                )
                .at(format!("{file}:{}", record.line))
                .help("write one record for each table"));
            }
        };
        match &change.kind {
            ChangeKind::Drop => Ok(removed(Removed::Table, change.table.clone(), tables)),
            ChangeKind::Alter(alteration) => {
                if tables.buffers.iter().any(|buffer| buffer.rows() > 0) {
                    return Ok(Decoded::CutFirst);
                }
                tables.alter(&change.table, alteration, &self.options)?;
                Ok(Decoded::Done)
            }
            ChangeKind::Create => {
                stats.other_events += 1;
                Ok(Decoded::Done)
            }
        }
    }
}

/// Pending rows first, then the removal.
fn removed(what: Removed, table: TableId, tables: &Tables) -> Decoded {
    if tables.buffers.iter().any(|buffer| buffer.rows() > 0) {
        Decoded::CutFirst
    } else {
        Decoded::Removed(what, table)
    }
}

impl Decoder for DebeziumDecoder {
    fn begin_file(&mut self, _lines: &mut LineReader) -> Result<(), SourceError> {
        Ok(())
    }

    fn decode(
        &mut self,
        record: &Record,
        file: &Arc<str>,
        tables: &mut Tables,
        stats: &mut SourceStats,
    ) -> Result<Decoded, SourceError> {
        if record.text.trim().is_empty() {
            return Ok(Decoded::Done);
        }
        let Some(message) = parse(record, file)? else {
            stats.tombstones += 1;
            return Ok(Decoded::Done);
        };
        let event = &message.event;
        let Some(op) = event.op.as_deref() else {
            let changes = event.table_changes();
            if let Some(changes) = changes {
                return self.table_changed(&changes, record, file, tables, stats);
            }
            if event.is_marker() {
                stats.other_events += 1;
                return Ok(Decoded::Done);
            }
            return Err(SourceError::new(
                SourceErrorKind::Data,
                "this is no Debezium change event: it has no `op`",
            )
            .at(format!("{file}:{}", record.line))
            .help("plain objects, one row a line, are `format: json`"));
        };
        let rows: &[(Option<&str>, Operation)] = match op {
            "c" | "r" => &[(event.after(), Operation::Insert)],
            "u" if event.before().is_some() => &[
                (event.before(), Operation::UpdateBefore),
                (event.after(), Operation::UpdateAfter),
            ],
            "u" => &[(event.after(), Operation::UpdateAfter)],
            "d" => &[(event.before(), Operation::Delete)],
            "t" => {
                if self.options.on_truncate == OnTruncate::Skip {
                    stats.truncates += 1;
                    return Ok(Decoded::Done);
                }
                let table = self.table_of(event, record, file)?;
                if self.options.on_truncate == OnTruncate::Apply {
                    return Ok(removed(Removed::Rows, table, tables));
                }
                return Err(SourceError::new(
                    SourceErrorKind::Data,
                    format!("table {table} was truncated, and `on-truncate` is `error`"),
                )
                .at(format!("{file}:{}", record.line))
                .help(
                    "`on-truncate: apply` in `source` lets schema.change.behavior decide, `skip` leaves such \
                     events out and keeps the rows",
                ));
            }
            // Logical decoding messages of Postgres.
            "m" => {
                stats.other_events += 1;
                return Ok(Decoded::Done);
            }
            other => {
                return Err(located(
                    SourceError::new(
                        SourceErrorKind::Data,
                        format!("`op` is `{other}`, none of c, r, u, d and t"),
                    ),
                    record,
                    0,
                    file,
                )
                .help("remove the line, or have the connector leave such events out"));
            }
        };
        let table = self.table_of(event, record, file)?;
        let index = match self.buffer_for(&table, &message, record, file, tables)? {
            Ok(index) => index,
            Err(first) => return Ok(first),
        };
        let Some(buffer) = tables.buffers.get_mut(index) else {
            return Ok(Decoded::Done);
        };
        let unknown = match message.schema {
            Some(_) if self.options.unknown_columns == UnknownColumns::Error => Unknown::Refuse,
            _ => Unknown::of(&table, &self.options),
        };
        for (image, (object, operation)) in rows.iter().enumerate() {
            let Some(object) = object else {
                let (what, help) = if op == "d" {
                    ("before", "let the database log the key of deleted rows")
                } else {
                    ("after", "the event is incomplete")
                };
                return Err(SourceError::new(
                    SourceErrorKind::Data,
                    format!("table {table}: the event has op `{op}` but no `{what}`"),
                )
                .at(format!("{file}:{}", record.line))
                .help(help));
            };
            buffer.begin_row();
            if set_from_object(buffer, object, unknown, record, file)? == Row::HasNewColumns {
                // Both images of an update are taken, or none.
                buffer.abandon_rows(image);
                return Ok(Decoded::NeedsColumns(table));
            }
            buffer
                .end_row(*operation, file, record.line)
                .map_err(|fault| {
                    let offset = offset_in(&record.text, object);
                    row_error(fault, Some(offset), record, file, buffer)
                })?;
        }
        if let Some(time) = event.time_ms() {
            buffer.note_event(time);
        }
        Ok(Decoded::Done)
    }

    fn infer(
        &mut self,
        table: &TableId,
        records: &VecDeque<Record>,
        file: &Arc<str>,
        tables: &mut Tables,
    ) -> Result<(), SourceError> {
        let mut inference = Inference::default();
        let mut key = Vec::new();
        for record in records {
            // A broken line further on is reported when its turn comes.
            let Ok(Some(message)) = parse(record, file) else {
                continue;
            };
            let event = &message.event;
            if event.op.is_none()
                || message.schema.is_some()
                || self.table_of(event, record, file).ok().as_ref() != Some(table)
            {
                continue;
            }
            if key.is_empty() {
                key = message.key_columns();
            }
            for object in [event.after(), event.before()].into_iter().flatten() {
                see_object(&mut inference, object, record, file)?;
            }
        }
        let specs = plain_specs(inference.columns(), &self.options, true);
        let specs = with_known(table, specs, tables);
        if let Some(index) = tables.find(table)
            && let Some(buffer) = tables.buffers.get(index)
            && key.is_empty()
        {
            key.clone_from(&buffer.table.primary_key);
        }
        tables.define(table, specs, &key, &self.options)?;
        Ok(())
    }
}
