//! Dead letters in the store: written with their checkpoint, read without disturbing a run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use arrow_ipc::reader::StreamReader;
use arrow_schema::ArrowError;
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::StoreError;
use super::reader::open_read_only;
use crate::dead_letters::{DeadLetter, DeadLetterBatch};

pub(super) const LAYOUT: &str = "
create table if not exists dead_letter_rows (
    id integer primary key autoincrement,
    checkpoint integer not null,
    \"table\" text not null,
    ipc blob not null
);
create table if not exists dead_letter (
    batch integer not null references dead_letter_rows (id),
    row integer not null,
    place text not null,
    \"column\" text,
    reason text not null,
    primary key (batch, row)
) without rowid;
";

pub(super) fn insert(
    connection: &Connection,
    checkpoint: u64,
    batches: &[DeadLetterBatch],
) -> Result<()> {
    let mut rows = connection.prepare_cached(
        "insert into dead_letter_rows (checkpoint, \"table\", ipc) values (?1, ?2, ?3)",
    )?;
    let mut letters = connection.prepare_cached(
        "insert into dead_letter (batch, row, place, \"column\", reason) values (?1, ?2, ?3, ?4, ?5)",
    )?;
    for batch in batches {
        let id = rows.insert(params![checkpoint, batch.table, batch.ipc])?;
        for (row, letter) in batch.letters.iter().enumerate() {
            letters.execute(params![id, row, letter.place, letter.column, letter.reason])?;
        }
    }
    Ok(())
}

/// Lets rows and reasons go together again where one of a pair was lost: reasons without a row go,
/// rows without a reason get one that says so.
pub(super) fn complete(connection: &Connection) -> Result<()> {
    connection.execute(
        "delete from dead_letter where batch not in (select id from dead_letter_rows)",
        [],
    )?;
    let batches: Vec<(i64, Vec<u8>)> = connection
        .prepare("select id, ipc from dead_letter_rows")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_>>()?;
    for (id, ipc) in batches {
        match row_count(&ipc) {
            Ok(count) => {
                for row in 0..count {
                    connection.execute(
                        "insert or ignore into dead_letter (batch, row, place, reason) values (?1, ?2, ?3, ?4)",
                        params![
                            id,
                            row,
                            "unknown",
                            "its place and reason were lost when the checkpoint store was damaged"
                        ],
                    )?;
                }
            }
            // The bytes themselves are damaged, in a way that SQLite could not notice.
            Err(_) => {
                connection.execute("delete from dead_letter where batch = ?1", [id])?;
                connection.execute("delete from dead_letter_rows where id = ?1", [id])?;
            }
        }
    }
    Ok(())
}

fn row_count(ipc: &[u8]) -> std::result::Result<usize, ArrowError> {
    StreamReader::try_new(ipc, None)?.try_fold(0, |rows, batch| Ok(rows + batch?.num_rows()))
}

/// Whether the store has the tables: the first ones had not.
pub(super) fn are_kept(connection: &Connection) -> Result<bool> {
    connection.query_row(
        "select count(*) = 2 from sqlite_master where name in ('dead_letter', 'dead_letter_rows')",
        [],
        |row| row.get(0),
    )
}

/// Numbers and tables of the groups, oldest first.
pub(super) fn groups(connection: &Connection) -> Result<Vec<(i64, String)>> {
    connection
        .prepare("select id, \"table\" from dead_letter_rows order by id")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// How many there are, by table.
pub(super) fn counts_by_table(connection: &Connection) -> Result<Vec<(String, u64)>> {
    connection
        .prepare(
            "select r.\"table\", count(*) from dead_letter l \
             join dead_letter_rows r on r.id = l.batch group by 1 order by 1",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

pub(super) fn remove(connection: &Connection, groups: &[i64]) -> Result<()> {
    for group in groups {
        connection.execute("delete from dead_letter where batch = ?1", [group])?;
        connection.execute("delete from dead_letter_rows where id = ?1", [group])?;
    }
    Ok(())
}

/// Forgets all of them; how many there were.
pub(super) fn discard(connection: &Connection) -> Result<u64> {
    let letters = connection.execute("delete from dead_letter", [])?;
    connection.execute("delete from dead_letter_rows", [])?;
    Ok(letters as u64)
}

/// Reads the dead letters of a store, also while a run uses it.
#[derive(Debug)]
pub struct DeadLetterReader {
    connection: Option<Connection>,
    path: PathBuf,
}

/// Rows that were kept aside together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeadLetters {
    /// The checkpoint they became durable with.
    pub checkpoint: u64,
    /// The target table, dotted.
    pub table: String,
    /// One for each row of `ipc`, in the same order.
    pub letters: Vec<DeadLetter>,
    /// An Arrow IPC stream of the rows.
    pub ipc: Vec<u8>,
}

/// Number of a dead letter: of its group, and of its row there. Written `12.3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetterId {
    /// Number of the rows that were kept aside together.
    pub group: i64,
    /// Its row there, from 0.
    pub row: u32,
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.group, self.row)
    }
}

impl FromStr for DeadLetterId {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts = text.split_once('.');
        parts
            .and_then(|(group, row)| {
                let group = group.parse().ok()?;
                let row = row.parse().ok()?;
                Some(Self { group, row })
            })
            .ok_or_else(|| format!("`{text}` is no number of a dead letter, like 12.3"))
    }
}

/// One dead letter, without its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeadLetter {
    /// Its number.
    pub id: DeadLetterId,
    /// The checkpoint it became durable with.
    pub checkpoint: u64,
    /// The target table, dotted.
    pub table: String,
    /// Where the row came from, and why it was kept aside.
    pub letter: DeadLetter,
}

/// Dead letters of one column of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterCount {
    /// The target table, dotted.
    pub table: String,
    /// The column at fault; none = the row as a whole.
    pub column: Option<String>,
    /// How many.
    pub letters: u64,
}

impl DeadLetterReader {
    /// Opens the store at `path`. Where there is none, there are no dead letters.
    ///
    /// # Errors
    ///
    /// When the file can not be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let error = |e| StoreError::sqlite(path, "read the dead letters", e);
        let mut connection = None;
        if let Some((opened, _)) = open_read_only(path)? {
            connection = are_kept(&opened).map_err(error)?.then_some(opened);
        }
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    /// How many there are, by table and column.
    ///
    /// # Errors
    ///
    /// When the file can not be read.
    pub fn counts(&self) -> Result<Vec<DeadLetterCount>, StoreError> {
        self.read(|connection| {
            connection
                .prepare(
                    "select r.\"table\", l.\"column\", count(*) from dead_letter l \
                     join dead_letter_rows r on r.id = l.batch group by 1, 2 order by 1, 2",
                )?
                .query_map([], |row| {
                    Ok(DeadLetterCount {
                        table: row.get(0)?,
                        column: row.get(1)?,
                        letters: row.get(2)?,
                    })
                })?
                .collect()
        })
    }

    /// The first `limit` of them, oldest first.
    ///
    /// # Errors
    ///
    /// When the file can not be read.
    pub fn list(&self, limit: u32) -> Result<Vec<StoredDeadLetter>, StoreError> {
        self.read(|connection| {
            connection
                .prepare(
                    "select r.checkpoint, r.\"table\", l.place, l.\"column\", l.reason, l.batch, l.row from dead_letter l \
                     join dead_letter_rows r on r.id = l.batch order by l.batch, l.row limit ?1",
                )?
                .query_map([limit], |row| {
                    Ok(StoredDeadLetter {
                        checkpoint: row.get(0)?,
                        table: row.get(1)?,
                        letter: DeadLetter {
                            place: row.get(2)?,
                            column: row.get(3)?,
                            reason: row.get(4)?,
                        },
                        id: DeadLetterId {
                            group: row.get(5)?,
                            row: row.get(6)?,
                        },
                    })
                })?
                .collect()
        })
    }

    /// The rows that were kept aside together under this number, if there are any.
    ///
    /// # Errors
    ///
    /// When the file can not be read.
    pub fn group(&self, group: i64) -> Result<Option<StoredDeadLetters>, StoreError> {
        let found = self.read(|connection| {
            batch(connection, group)
                .optional()
                .map(|found| found.into_iter().collect())
        })?;
        Ok(found.into_iter().next())
    }

    /// Hands all rows to `take`, oldest first.
    ///
    /// # Errors
    ///
    /// When the file can not be read, and what `take` fails with.
    pub fn each_batch<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(StoredDeadLetters) -> Result<(), E>,
    ) -> Result<(), E> {
        let ids: Vec<i64> = self.read(|connection| {
            connection
                .prepare("select id from dead_letter_rows order by id")?
                .query_map([], |row| row.get(0))?
                .collect()
        })?;
        for id in ids {
            let found = self.read(|connection| batch(connection, id).map(|batch| vec![batch]))?;
            for batch in found {
                take(batch)?;
            }
        }
        Ok(())
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<Vec<T>>,
    ) -> Result<Vec<T>, StoreError> {
        match &self.connection {
            None => Ok(Vec::new()),
            Some(connection) => read(connection)
                .map_err(|e| StoreError::sqlite(&self.path, "read the dead letters", e)),
        }
    }
}

pub(super) fn batch(connection: &Connection, id: i64) -> Result<StoredDeadLetters> {
    let letters = connection
        .prepare_cached(
            "select place, \"column\", reason from dead_letter where batch = ?1 order by row",
        )?
        .query_map([id], |row| {
            Ok(DeadLetter {
                place: row.get(0)?,
                column: row.get(1)?,
                reason: row.get(2)?,
            })
        })?
        .collect::<Result<_>>()?;
    connection
        .prepare_cached("select checkpoint, \"table\", ipc from dead_letter_rows where id = ?1")?
        .query_row([id], |row| {
            Ok(StoredDeadLetters {
                checkpoint: row.get(0)?,
                table: row.get(1)?,
                letters,
                ipc: row.get(2)?,
            })
        })
}
