//! Dead letters as files.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use serde::Serialize;

use super::DeadLetter;
use crate::checkpoint_store::{DeadLetterReader, StoreError, StoredDeadLetters};
use crate::source::OP_COLUMN;

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportedFile {
    /// The target table, dotted.
    pub table: String,
    /// The file.
    pub file: PathBuf,
    /// Rows in it.
    pub rows: u64,
}

/// What an exported file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportForm {
    /// The columns of the table, then `__op` (`insert`, `update-before`, `update-after` or
    /// `delete`), `__checkpoint`, `__place`, `__column` and `__reason`.
    WithReasons,
    /// The columns of the table only, as a pipeline reads them again. Deletes are left out.
    RowsOnly,
}

/// Why rows could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store can not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file can not be written.
    #[error("cannot write {}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Rows can not be decoded or encoded.
    #[error("the dead letters of {table} are unreadable: {source}")]
    Arrow {
        /// The target table.
        table: String,
        /// Why.
        source: ArrowError,
    },
}

/// Writes all dead letters to Arrow IPC files in `directory`, one for each table; rows of a table
/// whose columns changed in between go to a further file.
///
/// # Errors
///
/// [`ExportError`]. Files that exist are never overwritten.
pub fn export(
    letters: &DeadLetterReader,
    directory: &Path,
    form: ExportForm,
) -> Result<Vec<ExportedFile>, ExportError> {
    std::fs::create_dir_all(directory).map_err(|source| ExportError::Io {
        path: directory.to_owned(),
        source,
    })?;
    let mut files: Vec<OpenFile> = Vec::new();
    let mut of_table: HashMap<String, usize> = HashMap::new();
    letters.each_batch(|stored| {
        let broken = |source| ExportError::Arrow {
            table: stored.table.clone(),
            source,
        };
        for rows in exported_rows(&stored, form).map_err(broken)? {
            let schema = rows.schema();
            let open = files
                .iter()
                .position(|file| file.exported.table == stored.table && file.schema == schema);
            let index = match open {
                Some(index) => index,
                None => {
                    let number = of_table.entry(stored.table.clone()).or_default();
                    *number += 1;
                    files.push(OpenFile::create(directory, &stored.table, *number, schema)?);
                    files.len() - 1
                }
            };
            if let Some(file) = files.get_mut(index) {
                file.writer.write(&rows).map_err(broken)?;
                file.exported.rows += rows.num_rows() as u64;
            }
        }
        Ok::<(), ExportError>(())
    })?;
    files.into_iter().map(OpenFile::close).collect()
}

struct OpenFile {
    exported: ExportedFile,
    schema: SchemaRef,
    writer: FileWriter<BufWriter<File>>,
}

impl OpenFile {
    fn create(
        directory: &Path,
        table: &str,
        number: usize,
        schema: SchemaRef,
    ) -> Result<Self, ExportError> {
        let name = file_name(table);
        let path = directory.join(match number {
            1 => format!("{name}.arrow"),
            number => format!("{name}-{number}.arrow"),
        });
        let file = File::create_new(&path).map_err(|source| ExportError::Io {
            path: path.clone(),
            source,
        })?;
        let writer = FileWriter::try_new(BufWriter::new(file), &schema).map_err(|source| {
            ExportError::Arrow {
                table: table.to_owned(),
                source,
            }
        })?;
        Ok(Self {
            exported: ExportedFile {
                table: table.to_owned(),
                file: path,
                rows: 0,
            },
            schema,
            writer,
        })
    }

    fn close(mut self) -> Result<ExportedFile, ExportError> {
        self.writer.finish().map_err(|source| ExportError::Arrow {
            table: self.exported.table.clone(),
            source,
        })?;
        Ok(self.exported)
    }
}

pub(super) fn exported_rows(
    stored: &StoredDeadLetters,
    form: ExportForm,
) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut from = 0;
    StreamReader::try_new(stored.ipc.as_slice(), None)?
        .map(|rows| {
            let rows = rows?;
            let letters = stored
                .letters
                .get(from..from + rows.num_rows())
                .ok_or_else(|| ArrowError::ParseError("there are more rows than reasons".into()))?;
            from += rows.num_rows();
            match form {
                ExportForm::WithReasons => with_reasons(&rows, stored.checkpoint, letters),
                ExportForm::RowsOnly => without_deletes(&rows),
            }
        })
        .collect()
}

fn with_reasons(
    rows: &RecordBatch,
    checkpoint: u64,
    letters: &[DeadLetter],
) -> Result<RecordBatch, ArrowError> {
    let (operations, plain) = split_operations(rows)?;
    let names = operations
        .iter()
        .map(|operation| operation_name(*operation));
    let texts = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
    let added: [(&str, ArrayRef); 5] = [
        (OP_COLUMN, texts(names.map(Some).collect())),
        (
            "__checkpoint",
            Arc::new(UInt64Array::from(vec![checkpoint; letters.len()])),
        ),
        (
            "__place",
            texts(
                letters
                    .iter()
                    .map(|letter| Some(letter.place.as_str()))
                    .collect(),
            ),
        ),
        (
            "__column",
            texts(
                letters
                    .iter()
                    .map(|letter| letter.column.as_deref())
                    .collect(),
            ),
        ),
        (
            "__reason",
            texts(
                letters
                    .iter()
                    .map(|letter| Some(letter.reason.as_str()))
                    .collect(),
            ),
        ),
    ];
    let mut fields: Vec<Arc<Field>> = plain.schema().fields().iter().cloned().collect();
    let mut columns = plain.columns().to_vec();
    for (name, column) in added {
        fields.push(Arc::new(Field::new(name, column.data_type().clone(), true)));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn without_deletes(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let (operations, plain) = split_operations(rows)?;
    let keep = operations
        .iter()
        .map(|operation| Some(matches!(operation, 0 | 2)));
    arrow_select::filter::filter_record_batch(&plain, &keep.collect())
}

/// A table's name as a part of the name of a file.
pub(super) fn file_name(table: &str) -> String {
    let legal = |c: char| {
        if c.is_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '_'
        }
    };
    table.chars().map(legal).collect()
}

/// The operations of rows, and the rows without them.
pub(super) fn split_operations(rows: &RecordBatch) -> Result<(Vec<i8>, RecordBatch), ArrowError> {
    let index = rows.schema().index_of(OP_COLUMN)?;
    let operations = rows
        .column(index)
        .as_primitive_opt::<Int8Type>()
        .ok_or_else(|| ArrowError::SchemaError(format!("`{OP_COLUMN}` is not {}", DataType::Int8)))?
        .values()
        .to_vec();
    let others: Vec<usize> = (0..rows.num_columns()).filter(|at| *at != index).collect();
    Ok((operations, rows.project(&others)?))
}

pub(super) fn operation_name(operation: i8) -> &'static str {
    match operation {
        0 => "insert",
        1 => "update-before",
        2 => "update-after",
        3 => "delete",
        _ => "unknown",
    }
}
