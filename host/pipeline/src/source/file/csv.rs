//! Comma-separated values, after RFC 4180: quoted fields may hold delimiters, doubled quotes and
//! line ends.

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use super::{
    super::{
        SourceStats,
        batch::Operation,
        error::{SourceError, SourceErrorKind},
        table::TableId,
    },
    infer::Inference,
    json::{known_columns, plain_specs, with_known},
    lines::{LineReader, Record},
    row::{Unknown, located, row_error, unknown_column},
    table_buffer::TableBuffer,
    tables::Tables,
    text::{Decoded, Decoder},
};
use crate::definition::{CsvOptions, FileOptions, UnknownColumns};

/// A quoted field this long is an unclosed quote.
const MAX_RECORD: usize = 16 << 20;

/// Decoder of `format: csv`.
pub(crate) struct CsvDecoder {
    table: TableId,
    options: FileOptions,
    /// Names of the current file's columns.
    header: Vec<String>,
    /// For each field the column of the table; `None` = left out.
    targets: Option<Vec<Option<usize>>>,
}

impl CsvDecoder {
    pub(crate) fn new(table: TableId, options: FileOptions) -> Self {
        Self {
            table,
            options,
            header: Vec::new(),
            targets: None,
        }
    }

    fn find_targets(
        &self,
        table: &TableBuffer,
        record: &Record,
        file: &Arc<str>,
    ) -> Result<Vec<Option<usize>>, SourceError> {
        let mut targets = Vec::new();
        for (place, name) in self.header.iter().enumerate() {
            let target = table.column(name, place);
            if target.is_none() && self.options.unknown_columns == UnknownColumns::Error {
                let fault = unknown_column(name, table);
                let mut error = row_error(fault, None, record, file, table);
                error.place = Some(format!("{file}:1"));
                return Err(error);
            }
            targets.push(target);
        }
        Ok(targets)
    }
}

impl Decoder for CsvDecoder {
    fn begin_file(&mut self, lines: &mut LineReader) -> Result<(), SourceError> {
        self.targets = None;
        if !self.options.csv.header {
            let Some(declared) = self.options.schema.get(&self.table) else {
                return Err(SourceError::new(
                    SourceErrorKind::Definition,
                    "a CSV file without a header does not name its columns",
                )
                .help("declare them, in order, in source.schema"));
            };
            self.header = declared
                .value
                .iter()
                .map(|column| column.name.clone())
                .collect();
            return Ok(());
        }
        let file = Arc::clone(lines.name());
        self.header = match self.next_record(lines)? {
            Some(record) => fields(&record, &file, &self.options.csv)?
                .into_iter()
                .map(|field| field.text.trim().to_owned())
                .collect(),
            None => Vec::new(),
        };
        let mut seen = std::collections::HashSet::new();
        let fault = self.header.iter().find_map(|name| {
            if name.is_empty() {
                Some("the header has a column without a name".to_owned())
            } else if !seen.insert(name) {
                Some(format!("the header names column `{name}` twice"))
            } else {
                None
            }
        });
        match fault {
            Some(message) => Err(SourceError::new(SourceErrorKind::Data, message)
                .at(format!("{file}:1"))
                .help("correct the header, or set `header: false` and declare source.schema")),
            None => Ok(()),
        }
    }

    fn next_record(&mut self, lines: &mut LineReader) -> Result<Option<Record>, SourceError> {
        let quote = self.options.csv.quote;
        let quotes = |text: &str| text.bytes().filter(|byte| *byte == quote).count();
        let Some(mut record) = lines.next()? else {
            return Ok(None);
        };
        let mut open = quotes(&record.text) % 2 == 1;
        while open {
            let unclosed = |record: &Record, file: &Arc<str>| {
                SourceError::new(SourceErrorKind::Data, "a quoted field is not closed")
                    .at(format!("{file}:{}", record.line))
                    .excerpt(super::scalar::shorten(
                        record.text.lines().next().unwrap_or_default(),
                    ))
                    .help("close the quote, double quotes inside the field, or set `quote:`")
            };
            match lines.next()? {
                Some(next) if record.text.len() + next.text.len() < MAX_RECORD => {
                    open ^= quotes(&next.text) % 2 == 1;
                    record.text.push('\n');
                    record.text.push_str(&next.text);
                    record.end = next.end;
                }
                _ => return Err(unclosed(&record, lines.name())),
            }
        }
        Ok(Some(record))
    }

    fn decode(
        &mut self,
        record: &Record,
        file: &Arc<str>,
        tables: &mut Tables,
        _stats: &mut SourceStats,
    ) -> Result<Decoded, SourceError> {
        // An empty line is no row, except in a table of one column, where it is an empty field.
        if record.text.is_empty() && self.header.len() != 1 {
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
        let targets = match self.targets.take() {
            Some(targets) => targets,
            None => {
                let is_new = |name: &String| table.column(name, 0).is_none();
                if Unknown::of(&self.table, &self.options) == Unknown::Infer
                    && self.header.iter().any(is_new)
                {
                    return Ok(Decoded::NeedsColumns(self.table.clone()));
                }
                self.find_targets(table, record, file)?
            }
        };
        let fields = fields(record, file, &self.options.csv)?;
        if fields.len() != targets.len() {
            return Err(SourceError::new(
                SourceErrorKind::Data,
                format!(
                    "the row has {} field(s), the {} has {}",
                    fields.len(),
                    if self.options.csv.header {
                        "header"
                    } else {
                        "schema"
                    },
                    targets.len()
                ),
            )
            .at(format!("{file}:{}", record.line))
            .excerpt(super::scalar::shorten(&record.text))
            .help("a field that holds the delimiter must be quoted; see also `delimiter:`"));
        }
        table.begin_row();
        for (field, target) in fields.iter().zip(&targets) {
            let (Some(target), Some(text)) = (target, field.value(&self.options.csv)) else {
                continue;
            };
            table
                .set_field(*target, text)
                .map_err(|fault| row_error(fault, Some(field.offset), record, file, table))?;
        }
        table
            .end_row(Operation::Insert, file, record.line)
            .map_err(|fault| row_error(fault, None, record, file, table))?;
        self.targets = Some(targets);
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
        for name in &self.header {
            inference.see_field(name, None, 1);
        }
        for record in records {
            for (name, field) in self
                .header
                .iter()
                .zip(fields(record, file, &self.options.csv)?)
            {
                inference.see_field(name, field.value(&self.options.csv), record.line);
            }
        }
        let specs = plain_specs(inference.columns(), &self.options, false);
        let specs = with_known(table, specs, tables);
        tables.define(table, specs, &[], &self.options)?;
        Ok(())
    }
}

struct Field<'a> {
    text: Cow<'a, str>,
    quoted: bool,
    offset: usize,
}

impl Field<'_> {
    /// The value; `None` = NULL. Quotes tell an empty text from none.
    fn value(&self, options: &CsvOptions) -> Option<&str> {
        (self.quoted || self.text != options.null_text.as_str()).then_some(self.text.as_ref())
    }
}

/// Splits a record.
fn fields<'a>(
    record: &'a Record,
    file: &Arc<str>,
    options: &CsvOptions,
) -> Result<Vec<Field<'a>>, SourceError> {
    let fault = |message: &str, offset: usize| {
        located(
            SourceError::new(SourceErrorKind::Data, message),
            record,
            offset,
            file,
        )
        .help("a field with quotes must be quoted as a whole, and its quotes doubled")
    };
    let (quote, delimiter) = (char::from(options.quote), char::from(options.delimiter));
    let text = record.text.as_str();
    let mut fields = Vec::new();
    let mut start = 0;
    loop {
        let rest = text.get(start..).unwrap_or_default();
        let (field, length) = match rest.strip_prefix(quote) {
            None => {
                let length = rest.find(delimiter).unwrap_or(rest.len());
                let (field, _) = rest.split_at(length);
                if let Some(stray) = field.find(quote) {
                    return Err(fault("a quote inside an unquoted field", start + stray));
                }
                (Cow::Borrowed(field), length)
            }
            Some(inner) => {
                let (field, length) = quoted(inner, quote)
                    .ok_or_else(|| fault("a quoted field is not closed", start))?;
                (field, length + quote.len_utf8())
            }
        };
        fields.push(Field {
            text: field,
            quoted: rest.starts_with(quote),
            offset: start,
        });
        match rest
            .get(length..)
            .unwrap_or_default()
            .strip_prefix(delimiter)
        {
            Some(_) => start += length + delimiter.len_utf8(),
            None if length == rest.len() => return Ok(fields),
            None => {
                return Err(fault(
                    "text behind the closing quote of a field",
                    start + length,
                ));
            }
        }
    }
}

/// A field up to its closing quote, and the length with it.
fn quoted(text: &str, quote: char) -> Option<(Cow<'_, str>, usize)> {
    let first = text.find(quote)?;
    let (plain, rest) = text.split_at(first);
    if !rest.starts_with(&[quote, quote].iter().collect::<String>()) {
        return Some((Cow::Borrowed(plain), first + quote.len_utf8()));
    }
    let mut field = String::new();
    let mut place = 0;
    loop {
        let rest = text.get(place..)?;
        let end = rest.find(quote)?;
        field.push_str(rest.get(..end)?);
        place += end + quote.len_utf8();
        if !text.get(place..)?.starts_with(quote) {
            return Some((Cow::Owned(field), place));
        }
        field.push(quote);
        place += quote.len_utf8();
    }
}
