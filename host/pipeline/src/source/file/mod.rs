//! `source.type: file`.
//!
//! Files are read one after another: `path` is a file, a pattern, a list of both, or `-` for
//! standard input. Text formats may be compressed with gzip or zstd, told by their content.
//!
//! A position names the file by content, not by date: its size and the first and last 64 KiB. A
//! file that changed is an error; an uncompressed text file may have grown. Standard input can not
//! be continued.

mod arrow;
mod column;
mod columnar;
mod csv;
mod debezium;
mod identity;
mod infer;
mod json;
mod lines;
mod parquet;
mod paths;
mod row;
pub(crate) mod scalar;
mod table_buffer;
mod tables;
mod text;

use super::{
    Peek, Source, TableId,
    error::{SourceError, SourceErrorKind},
    position::Position,
};
use crate::definition::{FileFormat, FileOptions};

/// Opens files, at their beginning or right after `restore`.
///
/// # Errors
///
/// Files that are missing, unreadable, in the wrong format or changed since the position was
/// taken, and options that do not go together.
pub fn open(
    options: &FileOptions,
    restore: Option<&Position>,
) -> Result<Box<dyn Source>, SourceError> {
    Plan::of(options)?.open(options, restore)
}

/// Opens files at their beginning, to look at them before a run; leaves standard input alone.
///
/// # Errors
///
/// As [`open`].
pub fn peek(options: &FileOptions) -> Result<Peek, SourceError> {
    let plan = Plan::of(options)?;
    if plan.reads_stdin() {
        return Ok(Peek::StandardInput(plan.table));
    }
    plan.open(options, None).map(Peek::Source)
}

/// What the options ask for, before any file is opened.
struct Plan {
    files: Vec<String>,
    format: FileFormat,
    /// Debezium events name their tables themselves.
    table: Option<TableId>,
}

impl Plan {
    fn of(options: &FileOptions) -> Result<Self, SourceError> {
        let files = paths::expand(options)?;
        let format = paths::format_of(options, &files)?;
        let table = match format {
            FileFormat::DebeziumJson => None,
            _ => Some(table_of(options, &files).ok_or_else(no_table_name)?),
        };
        let plan = Self {
            files,
            format,
            table,
        };
        if format == FileFormat::Parquet && plan.reads_stdin() {
            return Err(SourceError::new(
                SourceErrorKind::Definition,
                "Parquet can not be read from standard input: its table of contents is at its end",
            )
            .help("write it to a file first"));
        }
        Ok(plan)
    }

    fn reads_stdin(&self) -> bool {
        self.files.iter().any(|file| file == paths::STDIN)
    }

    fn open(
        self,
        options: &FileOptions,
        restore: Option<&Position>,
    ) -> Result<Box<dyn Source>, SourceError> {
        let Self {
            files,
            format,
            table,
        } = self;
        let owned = options.clone();
        Ok(match format {
            FileFormat::DebeziumJson => {
                let decoder = debezium::DebeziumDecoder::new(owned.clone());
                Box::new(text::TextSource::open(decoder, owned, files, restore)?)
            }
            FileFormat::Json => {
                let decoder = json::JsonDecoder {
                    table: table.ok_or_else(no_table_name)?,
                    options: owned.clone(),
                };
                Box::new(text::TextSource::open(decoder, owned, files, restore)?)
            }
            FileFormat::Csv => {
                let table = table.ok_or_else(no_table_name)?;
                let decoder = csv::CsvDecoder::new(table, owned.clone());
                Box::new(text::TextSource::open(decoder, owned, files, restore)?)
            }
            FileFormat::Parquet => {
                Box::new(parquet::ParquetSource::open(table, owned, files, restore)?)
            }
            FileFormat::Arrow => Box::new(arrow::ArrowSource::open(table, owned, files, restore)?),
        })
    }
}

fn table_of(options: &FileOptions, files: &[String]) -> Option<TableId> {
    options.table.clone().or_else(|| {
        paths::table_of(files).map(|table| TableId {
            namespace: None,
            schema: None,
            table,
        })
    })
}

fn no_table_name() -> SourceError {
    SourceError::new(
        SourceErrorKind::Definition,
        "the table has no name: only a single file lends the table its own",
    )
    .help("add `table:` to `source`")
}

fn other_files(number: usize, path: &str) -> SourceError {
    SourceError::new(
        SourceErrorKind::Changed,
        format!(
            "source.path names other files than when the checkpoint was taken: file number {} was `{path}`",
            number + 1
        ),
    )
    .help(
        "files may be added behind the others, in order of name; bring back those that were there \
         or delete the checkpoint to read everything from the beginning",
    )
}
