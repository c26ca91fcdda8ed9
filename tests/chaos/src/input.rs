//! What runs read, and what their tables must hold in the end.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use longshore_tests::{Changes, PARTITIONS, row};
use serde_json::json;

use crate::table::Rows;

/// Files, each the end of a possible checkpoint: many of them make many checkpoints of few rows.
const FILES: u64 = 30;
/// Rows in each.
const FILE_ROWS: u64 = 100;
/// Keys that the changes of a Delta table are about.
const KEYS: u64 = 400;

/// A directory of files, and the rows they come to.
#[derive(Debug)]
pub struct Input {
    directory: PathBuf,
    /// What a table that holds all of it holds.
    pub rows: Rows,
}

impl Input {
    /// Rows that are only added, in files below a directory.
    ///
    /// # Errors
    /// When they can not be written.
    pub fn append(directory: &Path) -> Result<Self> {
        let mut rows = Rows::default();
        let mut lines = String::new();
        for id in 0..FILES * FILE_ROWS {
            let row = json!({ "id": id, "part": id % PARTITIONS, "text": format!("第{id}行") });
            rows.add(&row)?;
            writeln!(lines, "{row}")?;
        }
        Self::write(directory.join("append"), &lines, rows)
    }

    /// Inserts, updates and deletes, in files below a directory.
    ///
    /// # Errors
    /// When they can not be written.
    pub fn changes(directory: &Path) -> Result<Self> {
        let whole = directory.join("changes.json");
        let changes = Changes::write(&whole, "t", FILES * FILE_ROWS, KEYS)?;
        let mut rows = Rows::default();
        for (id, version) in changes.left(None) {
            rows.add(&serde_json::from_str(&row(id, version))?)?;
        }
        let lines = std::fs::read_to_string(&whole)?;
        std::fs::remove_file(&whole)?;
        Self::write(directory.join("changes"), &lines, rows)
    }

    fn write(directory: PathBuf, lines: &str, rows: Rows) -> Result<Self> {
        std::fs::create_dir_all(&directory)?;
        let lines: Vec<&str> = lines.lines().collect();
        let size = usize::try_from(FILE_ROWS)?;
        for (number, lines) in lines.chunks(size).enumerate() {
            let file = directory.join(format!("{number:03}.json"));
            std::fs::write(file, lines.join("\n") + "\n")?;
        }
        Ok(Self { directory, rows })
    }

    /// A pattern that matches all files.
    pub(crate) fn pattern(&self) -> String {
        self.directory.join("*.json").display().to_string()
    }
}
