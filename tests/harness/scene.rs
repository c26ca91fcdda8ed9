//! Where most tests of the whole take place.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{Client, LocalServer, Pyodps, Run, longshore};

/// A directory for definitions and their input, and a server whose data lies in it.
#[derive(Debug)]
pub struct Scene {
    directory: tempfile::TempDir,
    /// The server.
    pub server: LocalServer,
}

impl Scene {
    /// An empty one.
    ///
    /// # Errors
    /// When the server does not come up.
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let server = LocalServer::start(&directory.path().join("data"))?;
        Ok(Self { directory, server })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file into the directory.
    ///
    /// # Errors
    /// When that is impossible.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().context("a file has a directory")?)?;
        Ok(std::fs::write(path, text)?)
    }

    /// Runs the binary in the directory, to its end.
    ///
    /// # Errors
    /// When it can not be started.
    pub fn longshore(&self, arguments: &[&str]) -> Result<Run> {
        Run::of(longshore(arguments)?.current_dir(self.path()))
    }

    /// The rows of a table or of one of its partitions as pyodps reads them, in the order of `id`.
    ///
    /// # Errors
    /// When pyodps fails.
    pub fn read(&self, table: &str, partition: Option<&str>) -> Result<Vec<Value>> {
        let mut call = vec!["read", table];
        call.extend(partition.into_iter().flat_map(|pt| ["--partition", pt]));
        let lines = Pyodps.call(&self.server, &call)?;
        let mut rows = lines
            .lines()
            .map(|line| Ok(serde_json::from_str(line)?))
            .collect::<Result<Vec<Value>>>()?;
        rows.sort_by_key(|row| row["id"].as_str().and_then(|id| id.parse::<i64>().ok()));
        Ok(rows)
    }
}
