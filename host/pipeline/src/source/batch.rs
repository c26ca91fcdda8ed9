//! Batches of change events.

use std::sync::Arc;

use arrow_array::RecordBatch;

use super::position::Position;

/// Name of the column that carries the row operation.
pub const OP_COLUMN: &str = "__op";

/// What a row does; the numbers are those of the sink contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Operation {
    /// A new row.
    Insert = 0,
    /// The row before an update; the next row is its `UpdateAfter`.
    UpdateBefore = 1,
    /// The row after an update.
    UpdateAfter = 2,
    /// The row before it was deleted.
    Delete = 3,
}

/// Rows of one table.
#[derive(Debug, Clone)]
pub struct SourceBatch {
    /// [`SourceTable::id`](super::SourceTable::id) of the table.
    pub table: u32,
    /// Version of the schema the rows have.
    pub schema_version: u32,
    /// The table's columns; then, unless all rows are inserts, [`OP_COLUMN`] as a non-null
    /// `int8`. An update-before row is directly followed by its update-after row.
    pub batch: RecordBatch,
    /// Present on the last batch of a cut only: resuming after it neither loses nor repeats a
    /// row of any table. A batch without a position is followed, without waiting for input, by
    /// further batches of the same cut. A checkpoint may only be taken right after a batch
    /// that has a position.
    pub position: Option<Position>,
    /// Bytes of Arrow data in the rows.
    pub bytes: u64,
    /// Where the rows were read, for messages about single rows.
    pub origin: Origin,
}

/// Where the rows of a batch were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    file: Arc<str>,
    unit: OriginUnit,
    /// Runs of rows: first row in the batch, and its place in the file; places of the rows that
    /// follow grow by one.
    runs: Vec<(u32, u64)>,
    newest_event_ms: Option<i64>,
    /// The place of each row, where it is known in words only.
    named: Option<Arc<[String]>>,
}

/// What [`Origin`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginUnit {
    /// Lines from 1.
    Line,
    /// Rows from 1.
    Row,
}

impl Origin {
    /// Rows of `file`, none so far.
    pub fn new(file: Arc<str>, unit: OriginUnit) -> Self {
        Self {
            file,
            unit,
            runs: Vec::new(),
            newest_event_ms: None,
            named: None,
        }
    }

    /// Rows that were read before, at these places.
    pub(crate) fn named(places: Vec<String>) -> Self {
        let mut origin = Self::new(Arc::from("dead letters"), OriginUnit::Row);
        origin.named = Some(places.into());
        origin
    }

    /// Notes when a change happened at its origin, in milliseconds since 1970.
    pub(crate) fn note_event(&mut self, time_ms: i64) {
        self.newest_event_ms = self.newest_event_ms.max(Some(time_ms));
    }

    /// When the newest change of the batch happened at its origin, in milliseconds since 1970;
    /// none where the input does not tell.
    pub fn newest_event_ms(&self) -> Option<i64> {
        self.newest_event_ms
    }

    /// Notes that `row` of the batch came from `place`. Rows must be noted in order.
    pub fn push(&mut self, row: u32, place: u64) {
        let continues = self
            .runs
            .last()
            .is_some_and(|&(first, start)| start + u64::from(row - first) == place);
        if !continues {
            self.runs.push((row, place));
        }
    }

    /// The places of these rows of the batch, which are in order.
    pub(crate) fn select(&self, rows: &[u32]) -> Self {
        let mut selected = Self::new(Arc::clone(&self.file), self.unit);
        let mut runs = self.runs.iter().peekable();
        let mut run = None;
        for (new, row) in (0..).zip(rows) {
            while let Some(next) = runs.next_if(|(first, _)| first <= row) {
                run = Some(next);
            }
            if let Some((first, start)) = run {
                selected.push(new, start + u64::from(row - first));
            }
        }
        selected
    }

    /// The file the rows were read from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The place of one row, for a message: `orders.json:17` or `flights.parquet, row 1200`.
    pub fn locate(&self, row: u32) -> String {
        if let Some(place) = self.named.as_ref().and_then(|p| p.get(row as usize)) {
            return place.clone();
        }
        let run = self.runs.iter().rev().find(|(first, _)| *first <= row);
        match run {
            Some((first, start)) => {
                let place = start + u64::from(row - first);
                match self.unit {
                    OriginUnit::Line => format!("{}:{place}", self.file),
                    OriginUnit::Row => format!("{}, row {place}", self.file),
                }
            }
            None => self.file.to_string(),
        }
    }
}
