//! Arrow IPC files and streams.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    sync::Arc,
};

use arrow_array::RecordBatch;
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::SchemaRef;
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
    paths::STDIN,
    text::foreign_position,
};
use crate::definition::FileOptions;

/// A position in Arrow files.
#[derive(Debug, Serialize, Deserialize)]
struct ArrowPosition {
    arrow_file: usize,
    before: String,
    path: String,
    fingerprint: Option<Fingerprint>,
    /// Batches of the file that were read, and rows of the one after them.
    batch: usize,
    row: usize,
}

/// Reads Arrow IPC files and streams.
pub(crate) struct ArrowSource {
    options: FileOptions,
    files: Vec<String>,
    table: ColumnarTables,
    current: usize,
    open: Option<OpenFile>,
    stats: SourceStats,
}

enum Reader {
    File(Box<FileReader<BufReader<File>>>),
    Stream(Box<StreamReader<Box<dyn Read + Send>>>),
}

impl Reader {
    fn schema(&self) -> SchemaRef {
        match self {
            Self::File(reader) => reader.schema(),
            Self::Stream(reader) => reader.schema(),
        }
    }

    fn next(&mut self) -> Option<Result<RecordBatch, arrow_schema::ArrowError>> {
        match self {
            Self::File(reader) => reader.next(),
            Self::Stream(reader) => reader.next(),
        }
    }
}

struct OpenFile {
    reader: Reader,
    name: Arc<str>,
    fingerprint: Option<Fingerprint>,
    projection: Vec<usize>,
    batch: usize,
    row: usize,
    row_in_file: u64,
    rest: Option<RecordBatch>,
}

impl ArrowSource {
    pub(crate) fn open(
        table: Option<TableId>,
        options: FileOptions,
        files: Vec<String>,
        restore: Option<&Position>,
    ) -> Result<Self, SourceError> {
        let path = table.ok_or_else(super::no_table_name)?;
        let first = files.first().cloned().unwrap_or_default();
        if first == STDIN && restore.is_some() {
            return Err(SourceError::new(
                SourceErrorKind::Changed,
                "standard input can not be continued",
            )
            .help("delete the checkpoint and feed everything again, or read from files"));
        }
        let reader = open_reader(&first)?;
        let mut columnar = ColumnarTables::new(path, &reader.schema(), &options)?;
        for file in files.iter().skip(1) {
            columnar.add(&open_reader(file)?.schema(), file, &first, &options)?;
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
            // Standard input has been opened and can not be opened again.
            None => source.adopt_reader(reader)?,
            Some(position) => source.resume(position)?,
        }
        Ok(source)
    }

    fn resume(&mut self, position: &Position) -> Result<(), SourceError> {
        let position: ArrowPosition =
            serde_json::from_value(position.0.clone()).map_err(|_| foreign_position())?;
        let before = self.files.get(..position.arrow_file).unwrap_or_default();
        if self.files.get(position.arrow_file) != Some(&position.path)
            || hash_of_paths(before) != position.before
        {
            return Err(super::other_files(position.arrow_file, &position.path));
        }
        if let Some(fingerprint) = &position.fingerprint {
            fingerprint.check(&position.path, false)?;
        }
        self.current = position.arrow_file;
        self.open_current()?;
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        // Only a read tells how many rows were in the batches skipped, which messages count.
        while open.batch < position.batch {
            let Some(batch) = open.read()? else { break };
            open.row_in_file += batch.num_rows() as u64;
            open.batch += 1;
        }
        if position.row > 0
            && let Some(batch) = open.read()?
        {
            let left = batch.num_rows().saturating_sub(position.row);
            open.row_in_file += position.row as u64;
            open.row = position.row;
            open.rest = (left > 0).then(|| batch.slice(position.row, left));
        }
        Ok(())
    }

    fn open_current(&mut self) -> Result<(), SourceError> {
        self.open = None;
        let Some(path) = self.files.get(self.current) else {
            return Ok(());
        };
        let reader = open_reader(path)?;
        self.adopt_reader(reader)
    }

    fn adopt_reader(&mut self, reader: Reader) -> Result<(), SourceError> {
        let path = self.files.get(self.current).cloned().unwrap_or_default();
        let fingerprint = if path == STDIN {
            None
        } else {
            self.stats.bytes_read += std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            Some(Fingerprint::of(&path).map_err(|error| unreadable(&path, &error))?)
        };
        let table = self.table.of_file(self.current);
        let projection = table.map_or_else(Vec::new, |table| table.projection(&reader.schema()));
        self.open = Some(OpenFile {
            reader,
            name: Arc::from(if path == STDIN {
                "standard input"
            } else {
                path.as_str()
            }),
            fingerprint,
            projection,
            batch: 0,
            row: 0,
            row_in_file: 0,
            rest: None,
        });
        Ok(())
    }

    fn position(&self) -> Result<Position, SourceError> {
        let open = self.open.as_ref().ok_or_else(foreign_position)?;
        let position = ArrowPosition {
            arrow_file: self.current,
            before: hash_of_paths(self.files.get(..self.current).unwrap_or_default()),
            path: self.files.get(self.current).cloned().unwrap_or_default(),
            fingerprint: open.fingerprint.clone(),
            batch: open.batch,
            row: open.row,
        };
        serde_json::to_value(position)
            .map(Position)
            .map_err(|_| foreign_position())
    }
}

impl OpenFile {
    fn read(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        self.reader
            .next()
            .transpose()
            .map_err(|error| damaged(&self.name, &error.to_string()))
    }

    fn next(&mut self, options: &FileOptions) -> Result<Option<RecordBatch>, SourceError> {
        let batch = loop {
            if let Some(batch) = self.rest.take() {
                break batch;
            }
            match self.read()? {
                None => return Ok(None),
                Some(batch) if batch.num_rows() == 0 => self.batch += 1,
                Some(batch) => break batch,
            }
        };
        let rows = rows_per_batch(batch.num_rows() as u64, sliced_size(&batch), options);
        if rows >= batch.num_rows() {
            self.batch += 1;
            self.row = 0;
            return Ok(Some(batch));
        }
        self.row += rows;
        self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        Ok(Some(batch.slice(0, rows)))
    }
}

impl Source for ArrowSource {
    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        loop {
            let Some(open) = self.open.as_mut() else {
                return Ok(None);
            };
            if let Some(table) = self.table.announce(self.current) {
                return Ok(Some(SourceEvent::Table(table)));
            }
            let Some(batch) = open.next(&self.options)? else {
                if open.row_in_file == 0 {
                    let warning = format!("{} holds no rows", open.name);
                    tracing::warn!("{warning}");
                    self.stats.warnings.push(warning);
                }
                self.current += 1;
                self.open_current()?;
                continue;
            };
            let first_row = open.row_in_file;
            let rows = batch.num_rows() as u64;
            let Some(table) = self.table.of_file(self.current) else {
                return Ok(None);
            };
            let batch = table.adopt(&batch, &open.projection, &open.name, first_row)?;
            open.row_in_file += rows;
            let name = Arc::clone(&open.name);
            self.stats.rows += rows;
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

fn open_reader(path: &str) -> Result<Reader, SourceError> {
    if path == STDIN {
        let input: Box<dyn Read + Send> = Box::new(BufReader::new(io::stdin()));
        return stream_reader("standard input", input);
    }
    let open = || File::open(path).map_err(|error| unreadable(path, &error));
    let mut start = Vec::new();
    open()?
        .take(6)
        .read_to_end(&mut start)
        .map_err(|error| unreadable(path, &error))?;
    let failed = |error: arrow_schema::ArrowError| damaged(path, &error.to_string());
    if start == b"ARROW1" {
        let reader = FileReader::try_new(BufReader::new(open()?), None).map_err(failed)?;
        return Ok(Reader::File(Box::new(reader)));
    }
    if start.is_empty() {
        return Err(SourceError::new(
            SourceErrorKind::Data,
            format!("`{path}` is empty, which no Arrow file is"),
        )
        .help("write the file again; an Arrow file without rows still has a schema"));
    }
    let input: Box<dyn Read + Send> = match Compression::of(&start) {
        Some(Compression::Gzip) => {
            Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(open()?)))
        }
        Some(Compression::Zstd) => {
            let decoder = zstd::stream::read::Decoder::new(open()?)
                .map_err(|error| unreadable(path, &error))?;
            Box::new(BufReader::new(decoder))
        }
        None => Box::new(BufReader::new(open()?)),
    };
    stream_reader(path, input)
}

/// A stream starts with the length of its schema message. The reader would believe any number, and
/// ask for that much memory, so a file that is something else is told apart here.
fn stream_reader(name: &str, mut input: Box<dyn Read + Send>) -> Result<Reader, SourceError> {
    const LONGEST_SCHEMA: u32 = 16 << 20;
    let mut start = [0; 8];
    input
        .read_exact(&mut start)
        .map_err(|_| damaged(name, "it ends before its schema"))?;
    if start.starts_with(b"ARROW1") {
        return Err(SourceError::new(
            SourceErrorKind::Data,
            format!(
                "`{name}` holds an Arrow file, which can only be read plain and from a file: its \
                 table of contents is at its end"
            ),
        )
        .help("unpack it into a file first, or write the stream format of Arrow IPC"));
    }
    let [a, b, c, d, e, f, g, h] = start;
    // Writers of old leave the marker out.
    let length = match u32::from_le_bytes([a, b, c, d]) {
        u32::MAX => u32::from_le_bytes([e, f, g, h]),
        length => length,
    };
    if length == 0 || length > LONGEST_SCHEMA {
        return Err(damaged(name, "it does not start with a schema"));
    }
    let input: Box<dyn Read + Send> = Box::new(io::Cursor::new(start).chain(input));
    StreamReader::try_new(input, None)
        .map(|reader| Reader::Stream(Box::new(reader)))
        .map_err(|error| damaged(name, &error.to_string()))
}

fn damaged(path: &str, reason: &str) -> SourceError {
    SourceError::new(
        SourceErrorKind::Data,
        format!("`{path}` can not be read as Arrow IPC: {reason}"),
    )
    .help("check that the file is whole and really Arrow IPC, file or stream")
}
