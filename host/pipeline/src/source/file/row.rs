//! Rows from JSON objects, and the places of their faults.

use std::{fmt, sync::Arc};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    super::{
        error::{SourceError, SourceErrorKind},
        table::TableId,
    },
    lines::Record,
    scalar::shorten,
    table_buffer::{RowFault, TableBuffer},
};
use crate::definition::{FileOptions, UnknownColumns};

/// Sets the columns of `table`'s current row from a JSON object.
///
/// `object` must be a part of `record`'s text. The fault comes with the offset in that text.
pub(crate) fn set_from_object(
    table: &mut TableBuffer,
    object: &str,
    unknown: Unknown,
    record: &Record,
    file: &Arc<str>,
) -> Result<Row, SourceError> {
    let mut fault = None;
    let mut incomplete = false;
    let seed = RowSeed {
        table: &mut *table,
        unknown,
        fault: &mut fault,
        incomplete: &mut incomplete,
    };
    let mut deserializer = serde_json::Deserializer::from_str(object);
    let result = seed.deserialize(&mut deserializer);
    if incomplete && fault.is_none() && result.is_ok() {
        table.abandon_row();
        return Ok(Row::HasNewColumns);
    }
    match (fault, result) {
        (Some((raw, fault)), _) => {
            let offset = raw.map_or(0, |raw| offset_in(&record.text, raw));
            Err(row_error(fault, Some(offset), record, file, table))
        }
        (None, Err(error)) => Err(json_error(&error, object, record, file)),
        (None, Ok(())) => Ok(Row::Set),
    }
}

/// What to do with members that no column has the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The schema was declared: it is a fault.
    Refuse,
    /// Leave them out.
    Ignore,
    /// The schema was inferred: it must be again.
    Infer,
}

impl Unknown {
    /// What the options have for a table.
    pub(crate) fn of(table: &TableId, options: &FileOptions) -> Self {
        match options.unknown_columns {
            UnknownColumns::Ignore => Self::Ignore,
            UnknownColumns::Error if options.schema.get(table).is_some() => Self::Refuse,
            UnknownColumns::Error => Self::Infer,
        }
    }
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// Its columns are set.
    Set,
    /// It has columns that the table does not have, and was given up.
    HasNewColumns,
}

struct RowSeed<'t, 'f, 'de> {
    table: &'t mut TableBuffer,
    unknown: Unknown,
    incomplete: &'f mut bool,
    fault: &'f mut Option<(Option<&'de str>, RowFault)>,
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        use serde::de::Error as _;
        let mut hint = 0;
        loop {
            let key = KeySeed {
                table: self.table,
                hint,
            };
            let Some(key) = map.next_key_seed(key)? else {
                return Ok(());
            };
            let raw: &'de RawValue = map.next_value()?;
            let result = match key {
                Ok(index) => {
                    hint = index + 1;
                    self.table.set_json(index, raw.get())
                }
                Err(name) => match self.unknown {
                    Unknown::Ignore => Ok(()),
                    Unknown::Infer => {
                        *self.incomplete = true;
                        Ok(())
                    }
                    Unknown::Refuse => Err(unknown_column(&name, self.table)),
                },
            };
            if let Err(fault) = result {
                *self.fault = Some((Some(raw.get()), fault));
                return Err(A::Error::custom("the row has a fault"));
            }
        }
    }
}

struct KeySeed<'t> {
    table: &'t TableBuffer,
    hint: usize,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Result<usize, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a column")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self
            .table
            .column(name, self.hint)
            .ok_or_else(|| name.to_owned()))
    }
}

pub(crate) fn unknown_column(name: &str, table: &TableBuffer) -> RowFault {
    let names: Vec<&str> = table
        .table
        .schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let near = crate::definition::nearest(name, &names)
        .map(|near| format!("did you mean `{near}`? "))
        .unwrap_or_default();
    RowFault {
        column: Some(name.to_owned()),
        fault: format!("is unknown; the columns are {}", names.join(", ")),
        help: Some(format!(
            "{near}declare it in source.schema, or leave such columns out with `unknown-columns: ignore`"
        )),
    }
}

/// The error for a fault of a row.
pub(crate) fn row_error(
    fault: RowFault,
    offset: Option<usize>,
    record: &Record,
    file: &Arc<str>,
    table: &TableBuffer,
) -> SourceError {
    let message = match &fault.column {
        Some(column) => format!(
            "table {}, column `{column}`: {}",
            table.table.path, fault.fault
        ),
        None => format!("table {}: {}", table.table.path, fault.fault),
    };
    let error = SourceError::new(SourceErrorKind::Data, message);
    let error = match offset {
        Some(offset) => located(error, record, offset, file),
        None => error.at(format!("{file}:{}", record.line)),
    };
    error.help(fault.help.unwrap_or_else(|| match &fault.column {
        Some(column) => {
            format!("correct the value, or declare the column's type: source.schema.{column}")
        }
        None => "correct the row".to_owned(),
    }))
}

/// The error for text that is no JSON. `part` is a part of the record's text.
pub(crate) fn json_error(
    error: &serde_json::Error,
    part: &str,
    record: &Record,
    file: &Arc<str>,
) -> SourceError {
    let offset = offset_in(&record.text, part) + error.column().saturating_sub(1);
    let text = error.to_string();
    // The position it speaks of is one within the part.
    let reason = text.split(" at line ").next().unwrap_or(&text);
    let help = if record.text.trim_start().starts_with('[') {
        "this looks like a JSON array; write one object a line, for example with `jq -c '.[]'`"
    } else if error.is_eof() {
        "the object does not end on this line: each line must hold one whole object (`jq -c .`), \
         and the file must not be cut off"
    } else {
        "each line must hold one JSON object; correct or remove the line"
    };
    located(
        SourceError::new(SourceErrorKind::Data, format!("broken JSON: {reason}")),
        record,
        offset,
        file,
    )
    .help(help)
}

/// Adds line, column and the text around an offset.
pub(crate) fn located(
    error: SourceError,
    record: &Record,
    offset: usize,
    file: &Arc<str>,
) -> SourceError {
    const AROUND: usize = 40;
    let mut at = offset.min(record.text.len());
    while !record.text.is_char_boundary(at) {
        at -= 1;
    }
    let (before, after) = record.text.split_at(at);
    let line = record.line + before.matches('\n').count() as u64;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let before = before.get(line_start..).unwrap_or_default();
    let column = before.len() + 1;
    let skipped = before.chars().count().saturating_sub(AROUND);
    let left: String = before.chars().skip(skipped).collect();
    let right = shorten(after.lines().next().unwrap_or_default());
    let dots = if skipped > 0 { "…" } else { "" };
    let mark = dots.chars().count() + left.chars().count();
    error
        .at(format!("{file}:{line}:{column}"))
        .excerpt(format!("{dots}{left}{right}\n{:mark$}^", ""))
}

/// Where `part`, a slice of `whole`, starts in it.
pub(crate) fn offset_in(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize)
        .saturating_sub(whole.as_ptr() as usize)
        .min(whole.len())
}
