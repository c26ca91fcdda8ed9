//! The source of all text formats: files in turn, lines through a decoder into table buffers,
//! cuts.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    super::{
        Removal, Source, SourceEvent, SourceStats,
        error::{SourceError, SourceErrorKind},
        position::Position,
        table::TableId,
    },
    identity::{Fingerprint, hash_of_paths, unreadable},
    lines::{LineReader, Place, Record},
    paths::STDIN,
    tables::{Remembered, Tables},
};
use crate::definition::FileOptions;

/// Rows that are there are handed out when no more come for this long.
const IDLE: Duration = Duration::from_millis(200);
/// Text read ahead to infer a schema.
const MAX_READ_AHEAD: usize = 4 << 20;

/// Turns records into rows.
pub(crate) trait Decoder: Send {
    /// Reads what precedes the first record of a file.
    fn begin_file(&mut self, lines: &mut LineReader) -> Result<(), SourceError>;

    /// The next record; most formats have one a line.
    fn next_record(&mut self, lines: &mut LineReader) -> Result<Option<Record>, SourceError> {
        lines.next()
    }

    /// Decodes a record into the tables' buffers.
    fn decode(
        &mut self,
        record: &Record,
        file: &Arc<str>,
        tables: &mut Tables,
        stats: &mut SourceStats,
    ) -> Result<Decoded, SourceError>;

    /// Infers the schema of a table from records that are yet to be decoded.
    fn infer(
        &mut self,
        table: &TableId,
        records: &VecDeque<Record>,
        file: &Arc<str>,
        tables: &mut Tables,
    ) -> Result<(), SourceError>;
}

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// Its rows are in the buffers.
    Done,
    /// Nothing yet: a schema changes, so pending rows must go first. Decode it again then.
    CutFirst,
    /// Nothing yet: the table has no schema. Infer it, then decode again.
    NeedsSchema(TableId),
    /// Nothing yet: the record has columns that the table's inferred schema does not have. Hand
    /// out pending rows, infer again, then decode again.
    NeedsColumns(TableId),
    /// The table was truncated or dropped; no rows are pending.
    Removed(Removed, TableId),
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removed {
    /// All rows of a table.
    Rows,
    /// A table.
    Table,
}

/// A position in text files.
#[derive(Debug, Serialize, Deserialize)]
struct TextPosition {
    /// Number of the file, and a hash of those before it.
    file: usize,
    before: String,
    path: String,
    fingerprint: Option<Fingerprint>,
    offset: u64,
    lines: u64,
    /// Whether standard input had ended.
    #[serde(default)]
    ended: bool,
    tables: Vec<Remembered>,
}

/// Reads text files.
pub(crate) struct TextSource<D> {
    decoder: D,
    options: FileOptions,
    files: Vec<String>,
    current: usize,
    reader: Option<OpenFile>,
    /// Records read ahead.
    queue: VecDeque<Record>,
    tables: Tables,
    events: VecDeque<SourceEvent>,
    stats: SourceStats,
    bytes_read: Arc<AtomicU64>,
    finished: bool,
}

struct OpenFile {
    lines: LineReader,
    fingerprint: Option<Fingerprint>,
    /// Behind the last record that was decoded.
    decoded: Place,
    records: u64,
    resumed: bool,
    ended: bool,
}

impl<D: Decoder> TextSource<D> {
    pub(crate) fn open(
        decoder: D,
        options: FileOptions,
        files: Vec<String>,
        restore: Option<&Position>,
    ) -> Result<Self, SourceError> {
        let mut source = Self {
            decoder,
            options,
            files,
            current: 0,
            reader: None,
            queue: VecDeque::new(),
            tables: Tables::default(),
            events: VecDeque::new(),
            stats: SourceStats::default(),
            bytes_read: Arc::default(),
            finished: false,
        };
        match restore {
            Some(position) => source.resume(position)?,
            None => source.open_current(None)?,
        }
        Ok(source)
    }

    fn resume(&mut self, position: &Position) -> Result<(), SourceError> {
        let position: TextPosition =
            serde_json::from_value(position.0.clone()).map_err(|_| foreign_position())?;
        self.tables = Tables::restore(position.tables);
        if position.path == STDIN {
            if position.ended && self.files.first().is_some_and(|file| file == STDIN) {
                // What came then was written to the end; what comes now is new.
                return self.open_current(None);
            }
            return Err(SourceError::new(
                SourceErrorKind::Changed,
                "standard input can not be continued: what had been read before the stop can not \
                 be skipped or read again",
            )
            .help("delete the checkpoint and feed everything again, or read from files"));
        }
        let before = self.files.get(..position.file).unwrap_or_default();
        if self.files.get(position.file) != Some(&position.path)
            || hash_of_paths(before) != position.before
        {
            return Err(super::other_files(position.file, &position.path));
        }
        self.current = position.file;
        let place = Place {
            offset: position.offset,
            lines: position.lines,
        };
        self.open_current(Some((place, position.fingerprint)))
    }

    fn open_current(
        &mut self,
        resume: Option<(Place, Option<Fingerprint>)>,
    ) -> Result<(), SourceError> {
        let Some(path) = self.files.get(self.current).cloned() else {
            self.finished = true;
            return Ok(());
        };
        let fingerprint = if path == STDIN {
            None
        } else {
            Some(Fingerprint::of(&path).map_err(|error| unreadable(&path, &error))?)
        };
        let mut lines = LineReader::open(&path, &self.bytes_read)?;
        let resumed = resume.is_some();
        if let Some((place, before)) = resume {
            if let Some(before) = before {
                before.check(&path, !lines.is_compressed())?;
            }
            if lines.place().offset < place.offset {
                self.decoder.begin_file(&mut lines)?;
                lines = lines.resume(&path, place, &self.bytes_read)?;
            }
        } else {
            self.decoder.begin_file(&mut lines)?;
        }
        self.reader = Some(OpenFile {
            decoded: lines.place(),
            lines,
            fingerprint,
            records: 0,
            resumed,
            ended: false,
        });
        Ok(())
    }

    /// Decodes records until there is a cut to hand out, or everything has ended.
    fn advance(&mut self) -> Result<(), SourceError> {
        loop {
            let Some(open) = self.reader.as_mut() else {
                self.finished = true;
                return Ok(());
            };
            if self.queue.is_empty() {
                let pending = self.tables.buffers.iter().any(|buffer| buffer.rows() > 0);
                if pending && !open.lines.wait(IDLE) {
                    return self.cut();
                }
            }
            let record = match self.queue.pop_front() {
                Some(record) => Some(record),
                None => self.decoder.next_record(&mut open.lines)?,
            };
            let Some(record) = record else {
                return self.end_file();
            };
            let file = Arc::clone(open.lines.name());
            match self
                .decoder
                .decode(&record, &file, &mut self.tables, &mut self.stats)?
            {
                Decoded::Done => {
                    if let Some(open) = self.reader.as_mut() {
                        open.decoded = record.end;
                        open.records += 1;
                    }
                    if self.is_full() {
                        return if self.stdin_has_ended()? {
                            self.end_file()
                        } else {
                            self.cut()
                        };
                    }
                }
                Decoded::CutFirst => {
                    self.queue.push_front(record);
                    return self.cut();
                }
                Decoded::NeedsSchema(table) => {
                    self.queue.push_front(record);
                    self.read_ahead()?;
                    self.decoder
                        .infer(&table, &self.queue, &file, &mut self.tables)?;
                }
                Decoded::NeedsColumns(table) => {
                    self.queue.push_front(record);
                    self.cut()?;
                    self.read_ahead()?;
                    self.decoder
                        .infer(&table, &self.queue, &file, &mut self.tables)?;
                }
                Decoded::Removed(what, table) => {
                    if let Some(open) = self.reader.as_mut() {
                        open.decoded = record.end;
                        open.records += 1;
                    }
                    let position = self.position()?;
                    let removal = Removal { table, position };
                    self.events.push_back(match what {
                        Removed::Rows => SourceEvent::Truncate(removal),
                        Removed::Table => SourceEvent::Drop(removal),
                    });
                    return Ok(());
                }
            }
        }
    }

    /// The last batch of standard input must say that it is the last: a position that does not
    /// could never be continued from.
    fn stdin_has_ended(&mut self) -> Result<bool, SourceError> {
        match self.reader.as_mut() {
            Some(open) if open.fingerprint.is_none() && self.queue.is_empty() => {
                open.lines.has_ended(IDLE)
            }
            _ => Ok(false),
        }
    }

    fn is_full(&self) -> bool {
        let mut bytes = 0;
        for buffer in &self.tables.buffers {
            bytes += buffer.bytes;
            if buffer.rows() >= self.options.batch_rows {
                return true;
            }
        }
        bytes >= self.options.batch_bytes
    }

    fn read_ahead(&mut self) -> Result<(), SourceError> {
        let Some(open) = self.reader.as_mut() else {
            return Ok(());
        };
        let mut bytes: usize = self.queue.iter().map(|record| record.text.len()).sum();
        while self.queue.len() < self.options.infer_rows && bytes < MAX_READ_AHEAD {
            // A person typing rows should not have to type ten thousand before seeing one.
            if !open.lines.wait(IDLE) {
                break;
            }
            match self.decoder.next_record(&mut open.lines)? {
                Some(record) => {
                    bytes += record.text.len();
                    self.queue.push_back(record);
                }
                None => break,
            }
        }
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), SourceError> {
        if let Some(open) = self.reader.as_mut() {
            open.ended = true;
            open.decoded = open.lines.place();
            if open.records == 0 && !open.resumed {
                let warning = format!("{} holds no rows", open.lines.name());
                tracing::warn!("{warning}");
                self.stats.warnings.push(warning);
            }
        }
        self.cut()?;
        self.current += 1;
        self.reader = None;
        self.open_current(None)
    }

    /// Hands out all pending rows; the last batch carries the position behind them.
    fn cut(&mut self) -> Result<(), SourceError> {
        let position = self.position()?;
        let last = self
            .tables
            .buffers
            .iter()
            .rposition(|buffer| buffer.rows() > 0);
        // Tables come before all rows: a table that changed changes at a cut.
        for buffer in &mut self.tables.buffers {
            if buffer.rows() > 0
                && let Some(table) = buffer.announce()
            {
                self.events.push_back(SourceEvent::Table(table));
            }
        }
        for (index, buffer) in self.tables.buffers.iter_mut().enumerate() {
            if buffer.rows() == 0 {
                continue;
            }
            let position = (Some(index) == last).then(|| position.clone());
            if let Some(batch) = buffer.take_batch(position)? {
                self.stats.rows += batch.batch.num_rows() as u64;
                self.events.push_back(SourceEvent::Batch(batch));
            }
        }
        Ok(())
    }

    fn position(&self) -> Result<Position, SourceError> {
        let open = self.reader.as_ref();
        let position = TextPosition {
            file: self.current,
            before: hash_of_paths(self.files.get(..self.current).unwrap_or_default()),
            path: self.files.get(self.current).cloned().unwrap_or_default(),
            fingerprint: open.and_then(|open| open.fingerprint.clone()),
            offset: open.map_or(0, |open| open.decoded.offset),
            lines: open.map_or(0, |open| open.decoded.lines),
            ended: open.is_some_and(|open| open.ended),
            tables: self.tables.remember(),
        };
        serde_json::to_value(position)
            .map(Position)
            .map_err(|error| {
                SourceError::new(
                    SourceErrorKind::Io,
                    format!("the position can not be written: {error}"),
                )
            })
    }
}

impl<D: Decoder> Source for TextSource<D> {
    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.finished {
                return Ok(None);
            }
            self.advance()?;
        }
    }

    fn stats(&self) -> SourceStats {
        SourceStats {
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            ..self.stats.clone()
        }
    }
}

/// A position that another kind of source wrote.
pub(crate) fn foreign_position() -> SourceError {
    SourceError::new(
        SourceErrorKind::Changed,
        "the checkpoint was taken with another source type or format, or by another version",
    )
    .help("delete the checkpoint to read everything from the beginning")
}
