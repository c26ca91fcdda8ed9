//! A change stream whose end is known.

use std::io::Write;
use std::path::Path;

use crate::{Client, LocalServer};
use anyhow::{Context, Result};

/// Partitions that rows are spread over, by version: an update moves its row to another one.
pub const PARTITIONS: u64 = 3;

/// Inserts, updates and deletes of a table with the columns `id`, `version`, `part` and `text`.
#[derive(Debug)]
pub struct Changes {
    /// The last version of each key; none = deleted.
    last: Vec<Option<u64>>,
}

/// The row of a key at a version, as JSON.
#[must_use]
pub fn row(id: u64, version: u64) -> String {
    let part = version % PARTITIONS;
    format!(r#"{{"id":{id},"version":{version},"part":{part},"text":"第{id}行 at {version}"}}"#)
}

impl Changes {
    /// Writes `rows` changes of `keys` keys as plain Debezium JSON, in order of version.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn write(path: &Path, table: &str, rows: u64, keys: u64) -> Result<Self> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        let mut last = vec![None; usize::try_from(keys)?];
        for version in 0..rows {
            let id = version.wrapping_mul(2_654_435_761) % keys;
            let slot = &mut last[usize::try_from(id)?];
            let image = |version: Option<u64>| {
                version.map_or("null".to_owned(), |version| row(id, version))
            };
            let (op, after) = match *slot {
                Some(_) if version % 7 == 0 => ("d", None),
                Some(_) => ("u", Some(version)),
                None => ("c", Some(version)),
            };
            writeln!(
                file,
                r#"{{"before":{},"after":{},"source":{{"db":"db","table":"{table}"}},"op":"{op}","ts_ms":{version}}}"#,
                image(*slot),
                image(after)
            )?;
            *slot = after;
        }
        file.flush()?;
        Ok(Self { last })
    }

    /// The rows that are left, as key and version; of one partition, or all.
    #[must_use]
    pub fn left(&self, partition: Option<u64>) -> Vec<(u64, u64)> {
        (0..)
            .zip(&self.last)
            .filter_map(|(id, version)| Some((id, (*version)?)))
            .filter(|(_, version)| partition.is_none_or(|part| version % PARTITIONS == part))
            .collect()
    }

    /// Fails unless a client reads exactly the rows that are left.
    ///
    /// # Errors
    /// When the client can not read.
    pub fn assert_equals(
        &self,
        client: &dyn Client,
        server: &LocalServer,
        table: &str,
        partitioned: bool,
    ) -> Result<()> {
        if !partitioned {
            let rows = client.call(server, &["read", table])?;
            return assert_rows(table, &rows, self.left(None));
        }
        for part in 0..PARTITIONS {
            let partition = format!("part={part}");
            let rows = client.call(server, &["read", table, "--partition", &partition])?;
            assert_rows(
                &format!("{table}, {partition}"),
                &rows,
                self.left(Some(part)),
            )?;
        }
        Ok(())
    }
}

/// `expected` is in order of key.
fn assert_rows(what: &str, actual: &str, expected: Vec<(u64, u64)>) -> Result<()> {
    let mut read = Vec::new();
    for line in actual.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let number = |name: &str| -> Result<u64> {
            let text = row[name].as_str().with_context(|| line.to_owned())?;
            Ok(text.parse()?)
        };
        let (id, version) = (number("id")?, number("version")?);
        assert_eq!(row["text"], format!("第{id}行 at {version}"), "{what}");
        read.push((id, version));
    }
    read.sort_unstable();
    for (read, expected) in read.iter().zip(&expected) {
        assert_eq!(read, expected, "{what}: key and version");
    }
    assert_eq!(read.len(), expected.len(), "{what}: number of rows");
    Ok(())
}
