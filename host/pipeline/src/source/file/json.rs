//! JSON lines: each an object, each an insert into the one table of the source.

use std::{collections::VecDeque, sync::Arc};

use serde_json::value::RawValue;

use super::{
    super::{
        SourceStats,
        batch::Operation,
        error::{SourceError, SourceErrorKind},
        table::TableId,
        types::ColumnType,
    },
    column::Wire,
    infer::{Conflict, Inference},
    lines::{LineReader, Record},
    row::{Row, Unknown, json_error, located, offset_in, row_error, set_from_object},
    table_buffer::ColumnSpec,
    tables::Tables,
    text::{Decoded, Decoder},
};
use crate::definition::{DecimalStrings, FileOptions};

/// Decoder of `format: json`.
pub(crate) struct JsonDecoder {
    pub(crate) table: TableId,
    pub(crate) options: FileOptions,
}

impl Decoder for JsonDecoder {
    fn begin_file(&mut self, _lines: &mut LineReader) -> Result<(), SourceError> {
        Ok(())
    }

    fn decode(
        &mut self,
        record: &Record,
        file: &Arc<str>,
        tables: &mut Tables,
        _stats: &mut SourceStats,
    ) -> Result<Decoded, SourceError> {
        let text = record.text.trim();
        if text.is_empty() {
            return Ok(Decoded::Done);
        }
        let index = match tables.find(&self.table) {
            Some(index) => index,
            None => match known_columns(&self.table, &self.options, tables) {
                Some(columns) => {
                    let specs = plain_specs(columns, &self.options, false);
                    tables.define(&self.table, specs, &[], &self.options)?
                }
                None => return Ok(Decoded::NeedsSchema(self.table.clone())),
            },
        };
        let Some(table) = tables.buffers.get_mut(index) else {
            return Ok(Decoded::Done);
        };
        table.begin_row();
        let unknown = Unknown::of(&self.table, &self.options);
        if set_from_object(table, text, unknown, record, file)? == Row::HasNewColumns {
            return Ok(Decoded::NeedsColumns(self.table.clone()));
        }
        table
            .end_row(Operation::Insert, file, record.line)
            .map_err(|fault| row_error(fault, None, record, file, table))?;
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
        for record in records {
            let text = record.text.trim();
            if !text.is_empty() {
                see_object(&mut inference, text, record, file)?;
            }
        }
        let specs = plain_specs(inference.columns(), &self.options, false);
        let specs = with_known(table, specs, tables);
        tables.define(table, specs, &[], &self.options)?;
        Ok(())
    }
}

/// The columns a table has, as they are, and behind them those it has not yet.
pub(crate) fn with_known(
    table: &TableId,
    inferred: Vec<ColumnSpec>,
    tables: &Tables,
) -> Vec<ColumnSpec> {
    let buffer = tables
        .find(table)
        .and_then(|index| tables.buffers.get(index));
    let mut specs = buffer.map_or_else(Vec::new, |buffer| buffer.specs().to_vec());
    for spec in inferred {
        if specs.iter().all(|known| known.name != spec.name) {
            specs.push(spec);
        }
    }
    specs
}

/// The columns of a table that need no inference: declared, or found by the run before.
pub(crate) fn known_columns(
    table: &TableId,
    options: &FileOptions,
    tables: &Tables,
) -> Option<Vec<(String, ColumnType)>> {
    match options.schema.get(table) {
        Some(declared) => Some(
            declared
                .value
                .iter()
                .map(|column| (column.name.clone(), column.ty.clone()))
                .collect(),
        ),
        None => tables.remembered_columns(table),
    }
}

/// Columns whose values are written as their types have it. In Debezium's JSON, JSON itself comes
/// as text, and decimals may.
pub(crate) fn plain_specs(
    columns: Vec<(String, ColumnType)>,
    options: &FileOptions,
    debezium: bool,
) -> Vec<ColumnSpec> {
    columns
        .into_iter()
        .map(|(name, ty)| {
            let wire = match &ty.data_type {
                arrow_schema::DataType::Utf8
                    if debezium && ty.sink_type.as_deref() == Some("JSON") =>
                {
                    Wire::JsonText
                }
                arrow_schema::DataType::Decimal128(_, scale)
                    if debezium && options.decimal_strings == DecimalStrings::Base64 =>
                {
                    Wire::DecimalBytes {
                        scale: i32::from(*scale),
                    }
                }
                _ => Wire::Plain,
            };
            ColumnSpec { name, ty, wire }
        })
        .collect()
}

/// Notes the values of an object, a part of `record`'s text.
pub(crate) fn see_object(
    inference: &mut Inference,
    object: &str,
    record: &Record,
    file: &Arc<str>,
) -> Result<(), SourceError> {
    let mut deserializer = serde_json::Deserializer::from_str(object);
    let visitor = SeeObject {
        inference,
        line: record.line,
        conflict: None,
    };
    let result = serde::Deserializer::deserialize_map(&mut deserializer, visitor);
    match result {
        Ok(None) => Ok(()),
        Ok(Some((raw, conflict))) => Err(located(
            SourceError::new(
                SourceErrorKind::Data,
                format!("column `{}` {}", conflict.column, conflict.message),
            ),
            record,
            offset_in(&record.text, raw),
            file,
        )
        .help(format!(
            "declare the column's type: source.schema.{}",
            conflict.column
        ))),
        Err(error) => Err(json_error(&error, object, record, file)),
    }
}

struct SeeObject<'i, 'de> {
    inference: &'i mut Inference,
    line: u64,
    conflict: Option<(&'de str, Conflict)>,
}

impl<'de> serde::de::Visitor<'de> for SeeObject<'_, 'de> {
    type Value = Option<(&'de str, Conflict)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of columns")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(
        mut self,
        mut map: A,
    ) -> Result<Self::Value, A::Error> {
        while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
            if self.conflict.is_some() {
                continue;
            }
            if let Err(conflict) = self.inference.see_json(&name, raw.get(), self.line) {
                self.conflict = Some((raw.get(), conflict));
            }
        }
        Ok(self.conflict)
    }
}

/// Names of an object's members, in order; `None` when the text is no object.
pub(crate) fn member_names(text: &str) -> Option<Vec<String>> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    Some(object.keys().cloned().collect())
}
