//! Parquet files, row group by row group, page by page.

use std::{fs::File, io::Read as _, sync::Arc};

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type;
use parquet::file::metadata::ColumnChunkMetaData;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        Source, SourceEvent, SourceStats,
        error::{SourceError, SourceErrorKind},
        position::Position,
        table::TableId,
    },
    columnar::{ColumnarTables, rows_per_batch, sliced_size},
    identity::{Fingerprint, hash_of_paths, unreadable},
    lines::Compression,
    text::foreign_position,
};
use crate::definition::FileOptions;

/// A position in Parquet files.
#[derive(Debug, Serialize, Deserialize)]
struct ParquetPosition {
    parquet_file: usize,
    before: String,
    path: String,
    fingerprint: Fingerprint,
    row_group: usize,
    /// Rows of the row group that were read.
    row: usize,
}

/// Reads Parquet files.
pub(crate) struct ParquetSource {
    options: FileOptions,
    files: Vec<String>,
    table: ColumnarTables,
    current: usize,
    open: Option<OpenFile>,
    stats: SourceStats,
}

struct OpenFile {
    file: File,
    name: Arc<str>,
    metadata: ArrowReaderMetadata,
    fingerprint: Fingerprint,
    projection: Vec<usize>,
    row_group: usize,
    /// Rows read of the row group, and of the file.
    row: usize,
    row_in_file: u64,
    reader: Option<ParquetRecordBatchReader>,
    /// A batch that came out larger than wanted, and what is left of it.
    rest: Option<RecordBatch>,
}

impl ParquetSource {
    pub(crate) fn open(
        table: Option<TableId>,
        options: FileOptions,
        files: Vec<String>,
        restore: Option<&Position>,
    ) -> Result<Self, SourceError> {
        let path = table.ok_or_else(super::no_table_name)?;
        let first = files.first().cloned().unwrap_or_default();
        let (_, metadata) = open_file(&first)?;
        let mut columnar = ColumnarTables::new(path, metadata.schema(), &options)?;
        // Files that do not fit should be found now rather than hours from now.
        for file in files.iter().skip(1) {
            let (_, metadata) = open_file(file)?;
            columnar.add(metadata.schema(), file, &first, &options)?;
        }
        let mut source = Self {
            options,
            files,
            table: columnar,
            current: 0,
            open: None,
            stats: SourceStats::default(),
        };
        match restore {
            None => source.open_current()?,
            Some(position) => source.resume(position)?,
        }
        Ok(source)
    }

    fn resume(&mut self, position: &Position) -> Result<(), SourceError> {
        let position: ParquetPosition =
            serde_json::from_value(position.0.clone()).map_err(|_| foreign_position())?;
        let before = self.files.get(..position.parquet_file).unwrap_or_default();
        if self.files.get(position.parquet_file) != Some(&position.path)
            || hash_of_paths(before) != position.before
        {
            return Err(super::other_files(position.parquet_file, &position.path));
        }
        position.fingerprint.check(&position.path, false)?;
        self.current = position.parquet_file;
        self.open_current()?;
        if let Some(open) = &mut self.open {
            let groups = open.metadata.metadata().row_groups();
            let rows: i64 = groups
                .iter()
                .take(position.row_group)
                .map(|group| group.num_rows())
                .sum();
            open.row_group = position.row_group;
            open.row = position.row;
            open.row_in_file = u64::try_from(rows).unwrap_or(0) + position.row as u64;
        }
        Ok(())
    }

    fn open_current(&mut self) -> Result<(), SourceError> {
        self.open = None;
        let Some(path) = self.files.get(self.current) else {
            return Ok(());
        };
        let fingerprint = Fingerprint::of(path).map_err(|error| unreadable(path, &error))?;
        let (file, metadata) = open_file(path)?;
        let table = self.table.of_file(self.current);
        let projection = table.map_or_else(Vec::new, |table| table.projection(metadata.schema()));
        if metadata.metadata().file_metadata().num_rows() == 0 {
            let warning = format!("{path} holds no rows");
            tracing::warn!("{warning}");
            self.stats.warnings.push(warning);
        }
        self.stats.bytes_read += file.metadata().map_or(0, |metadata| metadata.len());
        self.open = Some(OpenFile {
            file,
            name: Arc::from(path.as_str()),
            metadata,
            fingerprint,
            projection,
            row_group: 0,
            row: 0,
            row_in_file: 0,
            reader: None,
            rest: None,
        });
        Ok(())
    }

    fn position(&self) -> Result<Position, SourceError> {
        let open = self.open.as_ref().ok_or_else(foreign_position)?;
        let position = ParquetPosition {
            parquet_file: self.current,
            before: hash_of_paths(self.files.get(..self.current).unwrap_or_default()),
            path: open.name.to_string(),
            fingerprint: open.fingerprint.clone(),
            row_group: open.row_group,
            row: open.row,
        };
        serde_json::to_value(position)
            .map(Position)
            .map_err(|_| foreign_position())
    }
}

impl OpenFile {
    /// The next rows, at most about `batch_bytes` of them; `None` at the end of the file.
    fn next(&mut self, options: &FileOptions) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            if let Some(batch) = self.rest.take() {
                return Ok(Some(self.cut_to_size(batch, options)));
            }
            if self.reader.is_none() {
                let Some(group) = self.metadata.metadata().row_groups().get(self.row_group) else {
                    return Ok(None);
                };
                let rows = u64::try_from(group.num_rows()).unwrap_or(0);
                let bytes = group.columns().iter().map(decoded_size).sum();
                let file = self
                    .file
                    .try_clone()
                    .map_err(|error| unreadable(&self.name, &error))?;
                let reader =
                    ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                        .with_row_groups(vec![self.row_group])
                        .with_offset(self.row)
                        .with_batch_size(rows_per_batch(rows, bytes, options))
                        .build()
                        .map_err(|error| damaged(&self.name, &error.to_string()))?;
                self.reader = Some(reader);
            }
            match self.reader.as_mut().and_then(Iterator::next) {
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => self.rest = Some(batch),
                Some(Err(error)) => return Err(damaged(&self.name, &error.to_string())),
                None => {
                    self.reader = None;
                    self.row_group += 1;
                    self.row = 0;
                }
            }
        }
    }

    /// Dictionaries and compression hide how large rows are, so a batch can come out too large.
    fn cut_to_size(&mut self, batch: RecordBatch, options: &FileOptions) -> RecordBatch {
        let size = sliced_size(&batch);
        let limit = (options.batch_bytes as u64) * 2;
        if size <= limit {
            return batch;
        }
        let rows = rows_per_batch(batch.num_rows() as u64, size, options).min(batch.num_rows());
        if rows < batch.num_rows() {
            self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        batch.slice(0, rows)
    }
}

/// About so many bytes are the values of a column in memory; a dictionary makes them few in the file.
fn decoded_size(column: &ColumnChunkMetaData) -> u64 {
    let values = u64::try_from(column.num_values()).unwrap_or(0);
    let of_all = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    let decoded = match column.column_type() {
        Type::BOOLEAN => values / 8,
        Type::INT32 | Type::FLOAT => values.saturating_mul(4),
        Type::INT64 | Type::DOUBLE | Type::INT96 => values.saturating_mul(8),
        // Not every writer notes the length of its texts.
        Type::BYTE_ARRAY => column
            .unencoded_byte_array_data_bytes()
            .map_or(0, of_all)
            .saturating_add(values.saturating_mul(4)),
        Type::FIXED_LEN_BYTE_ARRAY => {
            let length = u64::try_from(column.column_descr().type_length()).unwrap_or(0);
            values.saturating_mul(length)
        }
    };
    decoded.max(of_all(column.uncompressed_size()))
}

impl Source for ParquetSource {
    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        loop {
            let Some(open) = self.open.as_mut() else {
                return Ok(None);
            };
            if let Some(table) = self.table.announce(self.current) {
                return Ok(Some(SourceEvent::Table(table)));
            }
            let Some(batch) = open.next(&self.options)? else {
                self.current += 1;
                self.open_current()?;
                continue;
            };
            let first_row = open.row_in_file;
            let rows = batch.num_rows();
            let Some(table) = self.table.of_file(self.current) else {
                return Ok(None);
            };
            let batch = table.adopt(&batch, &open.projection, &open.name, first_row)?;
            open.row += rows;
            open.row_in_file += rows as u64;
            let name = Arc::clone(&open.name);
            self.stats.rows += rows as u64;
            let position = self.position()?;
            let Some(table) = self.table.of_file(self.current) else {
                return Ok(None);
            };
            let batch = table.source_batch(batch, &name, first_row, position);
            return Ok(Some(SourceEvent::Batch(batch)));
        }
    }

    fn stats(&self) -> SourceStats {
        self.stats.clone()
    }
}

fn open_file(path: &str) -> Result<(File, ArrowReaderMetadata), SourceError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let length = file
        .metadata()
        .map_err(|error| unreadable(path, &error))?
        .len();
    if length == 0 {
        return Err(SourceError::new(
            SourceErrorKind::Data,
            format!("`{path}` is empty, which no Parquet file is"),
        )
        .help("write the file again; a Parquet file without rows still has a footer"));
    }
    let mut start = Vec::new();
    (&file)
        .take(4)
        .read_to_end(&mut start)
        .map_err(|error| unreadable(path, &error))?;
    if let Some(compression) = Compression::of(&start) {
        let (name, unpack) = compression.names();
        return Err(SourceError::new(
            SourceErrorKind::Data,
            format!(
                "`{path}` is compressed as a whole ({name}), and Parquet can only be read from a \
                 plain file: its table of contents is at its end"
            ),
        )
        .help(format!(
            "unpack it first: {unpack} {path}\nParquet compresses its columns itself, so that saves little"
        )));
    }
    // The logical types say what a column is; the Arrow schema that some writers add would bring
    // their in-memory encodings back.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(&file, options)
        .map_err(|error| damaged(path, &error.to_string()))?;
    Ok((file, metadata))
}

fn damaged(path: &str, reason: &str) -> SourceError {
    SourceError::new(
        SourceErrorKind::Data,
        format!("`{path}` can not be read as Parquet: {reason}"),
    )
    .help("check that the file is whole and really Parquet")
}
