//! The tables that are written, and how what they hold compares with their source.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use longshore_tests::{Run, longshore};
use serde_json::Value;

/// A table of the kinds that Longshore promises exactly once for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableKind {
    /// Each row once.
    Append,
    /// Each row once, in its partition.
    AppendPartitioned,
    /// The last version of each key.
    Delta,
    /// The last version of each key, in its partition; updates move rows between them.
    DeltaPartitioned,
}

/// All of them.
pub const TABLES: [TableKind; 4] = [
    TableKind::Append,
    TableKind::AppendPartitioned,
    TableKind::Delta,
    TableKind::DeltaPartitioned,
];

impl TableKind {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::AppendPartitioned => "append, partitioned",
            Self::Delta => "delta",
            Self::DeltaPartitioned => "delta, partitioned",
        }
    }

    pub(crate) fn is_delta(self) -> bool {
        matches!(self, Self::Delta | Self::DeltaPartitioned)
    }

    pub(crate) fn is_partitioned(self) -> bool {
        matches!(self, Self::AppendPartitioned | Self::DeltaPartitioned)
    }
}

/// Rows and how often each is there. A row is its values as text, in order of column name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(HashMap<Vec<String>, u64>);

impl Rows {
    /// Adds a row: an object of JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn add(&mut self, row: &Value) -> Result<()> {
        let row = row.as_object().context("a row is an object")?;
        let mut cells: Vec<_> = row.iter().collect();
        cells.sort_by_key(|(name, _)| name.as_str());
        self.insert(cells.into_iter().map(|(_, value)| text(value)).collect());
        Ok(())
    }

    fn insert(&mut self, row: Vec<String>) {
        *self.0.entry(row).or_default() += 1;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// What has to change in `self` to be `source`.
    #[must_use]
    pub fn compare(&self, source: &Self) -> Compared {
        let mut compared = Compared::default();
        for (row, wanted) in &source.0 {
            let there = self.0.get(row).copied().unwrap_or(0);
            compared.missing += wanted.saturating_sub(there);
            compared.twice += there.saturating_sub(*wanted);
            if there != *wanted {
                compared.note(there, *wanted, row);
            }
        }
        for (row, there) in &self.0 {
            if !source.0.contains_key(row) {
                compared.foreign += there;
                compared.note(*there, 0, row);
            }
        }
        compared
    }
}

/// How a table differs from its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Rows of the source that are not there.
    pub missing: u64,
    /// Rows that are there once more than they should.
    pub twice: u64,
    /// Rows that the source does not end with.
    pub foreign: u64,
    examples: Vec<String>,
}

impl Compared {
    /// Whether there is no difference.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        (self.missing, self.twice, self.foreign) == (0, 0, 0)
    }

    fn note(&mut self, there: u64, wanted: u64, row: &[String]) {
        if self.examples.len() < 5 {
            let row = row.join(", ");
            self.examples
                .push(format!("[{row}] {there} times instead of {wanted}"));
        }
    }
}

impl std::fmt::Display for Compared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} rows missing, {} there again, {} that should not be there; for example {}",
            self.missing,
            self.twice,
            self.foreign,
            self.examples.join("; ")
        )
    }
}

/// What the table `t` of a data directory holds whose server is gone.
///
/// # Errors
/// When it can not be read.
pub fn rows_at_rest(data: &Path) -> Result<Rows> {
    let data = data.to_str().context("the data directory is UTF-8")?;
    let limit = u64::MAX.to_string();
    let show = [
        "local", "show", "t", "--data", data, "--limit", &limit, "--output", "json",
    ];
    let shown = Run::of(&mut longshore(&show)?)?.success()?;
    let shown: Value = serde_json::from_str(&shown.stdout)?;
    let names = shown["columns"].as_array().context("columns are listed")?;
    let mut order: Vec<(&str, usize)> = names.iter().filter_map(Value::as_str).zip(0..).collect();
    order.sort_unstable();
    let mut rows = Rows::default();
    for row in shown["rows"].as_array().context("rows are listed")? {
        rows.insert(order.iter().map(|(_, index)| text(&row[*index])).collect());
    }
    Ok(rows)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(ids: &[u64]) -> Rows {
        let mut rows = Rows::default();
        for id in ids {
            rows.add(&json!({ "id": id })).unwrap();
        }
        rows
    }

    #[test]
    fn a_duplicate_a_gap_and_a_stranger_are_told_apart() {
        let compared = rows(&[1, 2, 2, 9]).compare(&rows(&[1, 2, 3]));
        assert_eq!(
            (compared.missing, compared.twice, compared.foreign),
            (1, 1, 1)
        );
        assert!(!compared.is_equal());
        assert!(rows(&[2, 1]).compare(&rows(&[1, 2])).is_equal());
    }
}
