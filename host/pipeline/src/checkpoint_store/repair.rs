//! Ways out of a store that can not be used: rebuilding it, and starting anew.
//!
//! A position is never made up. When the tables that a run goes on from are whole, a damaged store
//! is rebuilt from them and from what can be read of the rest; otherwise nothing is changed.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, Result, params_from_iter};

use super::format::{self, Kind};
use super::lock::StoreLock;
use super::{CheckpointStore, StoreError, dead_letters, integrity, now_ms, rows, writer_notes};

/// The tables beside those that a run goes on from, and their keys.
const BESIDE: [(&str, &str); 4] = [
    ("writer_note", "subtask"),
    ("table_rows", "checkpoint, \"table\""),
    ("dead_letter_rows", "id"),
    ("dead_letter", "batch, row"),
];

/// What [`repair`] found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// There is no store.
    Missing,
    /// Nothing is wrong; nothing was changed.
    Sound,
    /// The store was rebuilt.
    Rebuilt(Rebuilt),
    /// The store is an older copy, and may be used as it is from now on.
    OlderAccepted {
        /// Its newest checkpoint, from which the next run goes on.
        checkpoint: u64,
        /// The newest there was.
        stored: u64,
    },
}

/// How a store was rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// What was wrong, in SQLite's words.
    pub faults: Vec<String>,
    /// The damaged file, set aside.
    pub damaged: PathBuf,
    /// Tables beside the progress, and how many of their rows could be read.
    pub saved: Vec<(String, u64)>,
    /// Those of them that had rows which could not be read.
    pub incomplete: Vec<String>,
}

/// What [`reset`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reset {
    /// There was no store.
    Missing,
    /// The store holds nothing any more.
    Emptied,
    /// The store could not be used and was set aside.
    SetAside(PathBuf),
}

/// Makes the store at `path` usable again, if that loses no progress. `accept_older` = go on from
/// an older copy.
///
/// # Errors
/// [`StoreError::Locked`] while a run uses the store; [`StoreError::Corrupt`] when what a run would
/// go on from is damaged, [`StoreError::Older`] when the store is an older copy and `accept_older`
/// is false: nothing is changed then. [`StoreError::Foreign`] and [`StoreError::Format`] for a file
/// that is no store of this version.
pub fn repair(path: &Path, accept_older: bool) -> Result<Repair, StoreError> {
    if !format::is_there(path)? {
        return Ok(Repair::Missing);
    }
    let mut lock = StoreLock::take(path)?;
    let error = |e| StoreError::sqlite(path, "examine the checkpoint store", e);
    let connection = open_existing(path).map_err(error)?;
    let kind = format::kind(&connection, path)?;
    let Kind::Store(_) = kind else {
        return Ok(Repair::Missing);
    };
    super::check(&connection, kind, path)?;
    let found = rows::last_id(&connection).map_err(error)?;
    let stored = lock.newest();
    if found < stored && !accept_older {
        return Err(StoreError::Older {
            path: path.to_owned(),
            found,
            stored,
        });
    }
    let faults = faults(&connection).map_err(error)?;
    if !faults.is_empty() {
        let rebuilt = rebuild(path, connection, kind, faults)?;
        return Ok(Repair::Rebuilt(rebuilt));
    }
    if found < stored {
        // The numbers after it were used.
        drop(connection);
        lock.note_newest(found);
        drop(lock);
        let store = CheckpointStore::open_existing(path)?;
        rows::set_meta(&store.connection, rows::LAST_ID, &stored.to_string()).map_err(error)?;
        return Ok(Repair::OlderAccepted {
            checkpoint: found,
            stored,
        });
    }
    Ok(Repair::Sound)
}

/// Forgets all progress and all dead letters: the next run reads the source from its start. A store
/// that can not be used is set aside.
///
/// # Errors
/// [`StoreError::Locked`] while a run uses the store; [`StoreError::Foreign`] and
/// [`StoreError::Format`] for a file that is no store of this version, which is left alone.
pub fn reset(path: &Path) -> Result<Reset, StoreError> {
    if !format::is_there(path)? {
        return Ok(Reset::Missing);
    }
    match CheckpointStore::open_existing(path) {
        Ok(mut store) => {
            store.take_over()?;
            let transaction = store.transaction("forget the checkpoints")?;
            rows::clear(&transaction)
                .and_then(|()| dead_letters::discard(&transaction).map(drop))
                .and_then(|()| writer_notes::clear(&transaction))
                .and_then(|()| rows::forget_owner(&transaction))
                .and_then(|()| transaction.commit())
                .map_err(|e| StoreError::sqlite(path, "forget the checkpoints", e))?;
            Ok(Reset::Emptied)
        }
        Err(StoreError::Corrupt { .. } | StoreError::Older { .. }) => {
            let _lock = StoreLock::take(path)?;
            let aside = name_aside(path);
            // The file first: a journal without its file is nothing, a file without its journal is older.
            for suffix in ["", "-wal", "-shm"] {
                match std::fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(io(&with_suffix(path, suffix), error));
                    }
                    _ => {}
                }
            }
            Ok(Reset::SetAside(aside))
        }
        Err(error) => Err(error),
    }
}

fn open_existing(path: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    integrity::teach_digest(&connection)?;
    Ok(connection)
}

/// What SQLite finds wrong with the whole file.
fn faults(connection: &Connection) -> Result<Vec<String>> {
    let mut statement = connection.prepare("pragma integrity_check(20)")?;
    let mut found = statement.query([])?;
    let mut faults = Vec::new();
    loop {
        match found.next() {
            Ok(Some(row)) => faults.push(row.get::<_, String>(0)?),
            Ok(None) => break,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                faults.push(error.to_string());
                break;
            }
            Err(error) => return Err(error),
        }
    }
    faults.retain(|fault| fault != "ok");
    Ok(faults)
}

/// Replaces a damaged store by a new one with all progress and what can be read of the rest.
fn rebuild(
    path: &Path,
    damaged: Connection,
    kind: Kind,
    faults: Vec<String>,
) -> Result<Rebuilt, StoreError> {
    let error = |e| StoreError::sqlite(path, "rebuild the checkpoint store", e);
    // All of it into the one file: the new one must not meet a journal that is not its own.
    damaged
        .query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
        .map_err(error)?;
    let aside = name_aside(path);
    copy(path, &aside)?;
    let new = with_suffix(path, ".rebuilt");
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(&new, e)),
        _ => {}
    }
    let (saved, incomplete) = copy_tables(&damaged, &new, kind).map_err(error)?;
    drop(damaged);
    let renamed = File::open(&new)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(&new, path));
    renamed.map_err(|e| io(&new, e))?;
    Ok(Rebuilt {
        faults,
        damaged: aside,
        saved,
        incomplete,
    })
}

type Copied = (Vec<(String, u64)>, Vec<String>);

fn copy_tables(damaged: &Connection, new: &Path, kind: Kind) -> Result<Copied> {
    let mut target = Connection::open(new)?;
    integrity::teach_digest(&target)?;
    format::bring_up_to_date(&mut target, Kind::New)?;
    let transaction = target.transaction()?;
    for (table, columns, _) in integrity::PROGRESS {
        let key = columns.split(", ").next().unwrap_or(columns);
        if let Some(fault) = copy_rows(damaged, &transaction, table, key)?.1 {
            return Err(fault);
        }
    }
    if kind == Kind::Store(1) {
        integrity::write_digests(&transaction)?;
    }
    let mut saved = Vec::new();
    let mut incomplete = Vec::new();
    for (table, key) in BESIDE {
        if !exists(damaged, table)? {
            continue;
        }
        let (rows, fault) = copy_rows(damaged, &transaction, table, key)?;
        saved.push((table.to_owned(), rows));
        if fault.is_some() {
            incomplete.push(table.to_owned());
        }
    }
    if !incomplete.is_empty() {
        dead_letters::complete(&transaction)?;
    }
    transaction.commit()?;
    Ok((saved, incomplete))
}

/// Whether a store has a table: earlier versions have fewer.
fn exists(connection: &Connection, table: &str) -> Result<bool> {
    let query = "select count(*) > 0 from sqlite_master where type = 'table' and name = ?1";
    connection.query_row(query, [table], |row| row.get(0))
}

/// Copies what can be read of a table, from both ends; how many rows, and what stopped it.
fn copy_rows(
    from: &Connection,
    to: &Connection,
    table: &str,
    key: &str,
) -> Result<(u64, Option<rusqlite::Error>)> {
    let mut copied = 0;
    let mut fault = None;
    let descending: Vec<String> = key.split(", ").map(|key| format!("{key} desc")).collect();
    for order in [key.to_owned(), descending.join(", ")] {
        let mut select = from.prepare(&format!("select * from {table} order by {order}"))?;
        let columns: Vec<String> = select
            .column_names()
            .map(|name| format!("\"{name}\""))
            .collect();
        let places = vec!["?"; columns.len()].join(", ");
        let mut insert = to.prepare(&format!(
            "insert or ignore into {table} ({}) values ({places})",
            columns.join(", ")
        ))?;
        let mut rows = select.query([])?;
        let stopped = loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => break None,
                Err(error) => break Some(error),
            };
            let values: Result<Vec<Value>> =
                (0..columns.len()).map(|column| row.get(column)).collect();
            match values {
                Ok(values) => copied += insert.execute(params_from_iter(values))? as u64,
                Err(error) => break Some(error),
            }
        };
        match stopped {
            None => break,
            Some(error) => fault = fault.or(Some(error)),
        }
    }
    Ok((copied, fault))
}

fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    std::fs::copy(from, to)
        .and_then(|_| File::open(to))
        .and_then(|file| file.sync_all())
        .map_err(|e| io(to, e))
}

fn name_aside(path: &Path) -> PathBuf {
    with_suffix(path, &format!(".damaged-{}", now_ms()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn io(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io {
        path: path.to_owned(),
        source,
    }
}
