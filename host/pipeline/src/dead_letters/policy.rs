//! How many dead letters are too many.

use std::path::PathBuf;

use crate::definition::PerTable;
use crate::report::TableReport;
use crate::source::TableId;

/// Rows of a table that must have been read before their ratio counts: one bad row among the first
/// two says nothing.
const MEANINGFUL_ROWS: u64 = 100;

/// What a run does about dead letters beside keeping them. Table names are those at the sink.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterPolicy {
    /// Dead letters of a table that the store may hold.
    pub max_rows: PerTable<u64>,
    /// Dead letters of a run for each row of a table that it read, 0 to 1.
    pub max_ratio: PerTable<f64>,
    /// Where they are written as files too.
    pub files: Option<PathBuf>,
}

impl DeadLetterPolicy {
    /// Whether there is a limit of rows.
    pub(crate) fn limits_rows(&self) -> bool {
        self.max_rows.all.is_some() || !self.max_rows.tables.is_empty()
    }

    /// Why `rows` dead letters of a table are too many, if they are.
    pub(crate) fn too_many(&self, table: &str, rows: u64) -> Option<String> {
        let limit = self.max_rows.get(&TableId::parse(table)?)?.value;
        (rows > limit)
            .then(|| format!("{rows} rows are kept aside, and `dead-letters.max-rows` is {limit}"))
    }

    /// Why the dead letters of a table are too many for the rows that a run read, if they are.
    pub(crate) fn too_large_a_share(&self, rows: &TableReport, finished: bool) -> Option<String> {
        let limit = self.max_ratio.get(&TableId::parse(&rows.table)?)?.value;
        let share = rows.dead_letters as f64 / rows.read.max(1) as f64;
        let meaningful = finished || rows.read >= MEANINGFUL_ROWS;
        (meaningful && share > limit).then(|| {
            format!(
                "{} of {} rows are kept aside, and `dead-letters.max-ratio` is {limit}",
                rows.dead_letters, rows.read
            )
        })
    }
}
