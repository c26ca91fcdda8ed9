//! What a run did.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::checkpoint_store::TableRows;
use crate::metrics::Metrics;
use crate::source::SourceStats;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The source has ended and everything is visible.
    Finished,
    /// The source had nothing after the last checkpoint.
    NothingNew,
    /// The run was asked to stop; everything up to its last cut is visible.
    Interrupted,
}

/// What a run did. Rows are changes: an update counts once. Only what became visible is counted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// How the run ended; none = it failed.
    pub outcome: Option<Outcome>,
    /// By table at the sink, in the order of appearance.
    pub tables: Vec<TableReport>,
    /// Wall-clock time of the run.
    pub seconds: f64,
    /// Time from the program's start to the first byte of rows on the wire.
    pub first_byte_seconds: Option<f64>,
    /// Bytes of request bodies sent by the writers.
    pub bytes_sent: u64,
    /// Checkpoints completed.
    pub checkpoints: u64,
    /// The checkpoint the run went on from.
    pub resumed_from: Option<u64>,
    /// Committables of an earlier run that this one committed.
    pub recommitted: u64,
    /// How often the run started over from its last checkpoint.
    pub restarts: u64,
    /// Events the source left out.
    pub left_out: LeftOut,
    /// Things worth telling.
    pub warnings: Vec<String>,
    #[serde(skip)]
    pub(crate) first_byte: Option<Instant>,
    /// When the first rows of each table came.
    #[serde(skip)]
    began: HashMap<String, Instant>,
}

/// Rows of one table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TableReport {
    /// The table at the sink, dotted.
    pub table: String,
    /// Changes read.
    pub read: u64,
    /// Changes written.
    pub written: u64,
    /// Changes passed over on purpose: deletes on an append table.
    pub skipped: u64,
    /// Changes kept aside as dead letters.
    pub dead_letters: u64,
    /// Values written as NULL because they did not fit their column.
    pub nulled: u64,
    /// Bytes of Arrow data read.
    pub bytes: u64,
    /// Wall-clock time from when the source handed out the table's first rows in this run, before
    /// the table was looked up or created, until its last ones were visible. Tables whose rows come
    /// in turn take this time side by side, so that it does not add up to the time of the run.
    pub seconds: f64,
    /// The two ends of that time.
    #[serde(skip)]
    span: Option<(Instant, Instant)>,
}

impl TableReport {
    fn extend(&mut self, span: (Instant, Instant)) {
        let (from, to) = match self.span {
            Some((from, to)) => (from.min(span.0), to.max(span.1)),
            None => span,
        };
        self.span = Some((from, to));
        self.seconds = to.saturating_duration_since(from).as_secs_f64();
    }
}

/// Events that are no rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Debezium tombstones.
    pub tombstones: u64,
    /// Truncate events.
    pub truncates: u64,
    /// Heartbeats, transaction markers and DDL records.
    pub other: u64,
}

/// Counted while a run goes on, for a progress display and for Prometheus.
#[derive(Debug, Default)]
pub struct LiveCounters {
    /// Changes read.
    pub rows: AtomicU64,
    /// Bytes of Arrow data read.
    pub bytes: AtomicU64,
    /// Changes visible at the sink.
    pub visible: AtomicU64,
    /// By table, class and instance.
    pub metrics: Metrics,
}

impl Report {
    /// All tables together, its seconds from the first rows of any to the last of any; its name is
    /// empty.
    pub fn rows(&self) -> TableReport {
        let mut sum = TableReport::default();
        for table in &self.tables {
            sum.read += table.read;
            sum.written += table.written;
            sum.skipped += table.skipped;
            sum.dead_letters += table.dead_letters;
            sum.nulled += table.nulled;
            sum.bytes += table.bytes;
            if let Some(span) = table.span {
                sum.extend(span);
            }
        }
        sum
    }

    /// Adds what it took to set the run up to its times.
    pub fn started_after(&mut self, setup: Duration) {
        self.seconds += setup.as_secs_f64();
        if let Some(seconds) = &mut self.first_byte_seconds {
            *seconds += setup.as_secs_f64();
        }
    }

    /// Takes note that rows of a table came.
    pub(crate) fn rows_came(&mut self, table: &str) {
        if !self.began.contains_key(table) {
            self.began.insert(table.to_owned(), Instant::now());
        }
    }

    /// Counts rows that have become visible.
    pub(crate) fn count(&mut self, rows: &TableRows, bytes: u64) {
        let index = self
            .tables
            .iter()
            .position(|table| table.table == rows.table);
        let index = index.unwrap_or_else(|| {
            self.tables.push(TableReport {
                table: rows.table.clone(),
                ..TableReport::default()
            });
            self.tables.len() - 1
        });
        if let Some(table) = self.tables.get_mut(index) {
            table.read += rows.read;
            table.written += rows.written;
            table.skipped += rows.skipped;
            table.dead_letters += rows.dead_letters;
            table.nulled += rows.nulled;
            table.bytes += bytes;
            if let Some(began) = self.began.get(&rows.table).filter(|_| rows.read > 0) {
                table.extend((*began, Instant::now()));
            }
        }
    }

    pub(crate) fn note_source(&mut self, stats: SourceStats) {
        self.left_out.tombstones += stats.tombstones;
        self.left_out.truncates += stats.truncates;
        self.left_out.other += stats.other_events;
        self.warnings.extend(stats.warnings);
    }
}
