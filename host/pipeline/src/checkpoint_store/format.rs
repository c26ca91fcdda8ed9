//! What kind of file a store is, and how older ones become new ones.

use std::io::Read;
use std::path::Path;

use rusqlite::Connection;

use super::{StoreError, dead_letters, integrity, rows, writer_notes};

/// Version of the file's layout. Older files are converted when a run opens them, newer ones are
/// refused.
///
/// 1. Up to 0.1.0: in the first of them there are no tables for dead letters.
/// 2. A digest in each row that a run goes on from, the application id, the tables for dead letters.
pub const FORMAT: u32 = 2;

/// `Lngs`: tells the file from databases of other programs.
const APPLICATION_ID: i32 = 0x4c6e_6773;

/// What the first format consists of; also present in all later ones.
const TABLES: [&str; 5] = [
    "meta",
    "checkpoint",
    "committable",
    "sink_state",
    "table_rows",
];

/// The first bytes of every SQLite database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No file, or one with nothing in it.
    New,
    /// A checkpoint store of this format.
    Store(u32),
}

/// Whether the file at `path` can be a checkpoint store at all. Looks at its first bytes only.
pub(super) fn is_there(path: &Path) -> Result<bool, StoreError> {
    let unreadable = |source| StoreError::Io {
        path: path.to_owned(),
        source,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unreadable(error)),
    };
    let mut start = Vec::with_capacity(MAGIC.len());
    file.take(MAGIC.len() as u64)
        .read_to_end(&mut start)
        .map_err(unreadable)?;
    match start.as_slice() {
        [] => Ok(false),
        start if start == MAGIC => Ok(true),
        _ => Err(foreign(path, "it is no SQLite database")),
    }
}

/// What an open file is; changes nothing in it.
pub(super) fn kind(connection: &Connection, path: &Path) -> Result<Kind, StoreError> {
    let error = |e| StoreError::sqlite(path, "read the kind of file", e);
    let pragma = |name: &str| -> rusqlite::Result<i32> {
        connection.query_row(&format!("pragma {name}"), [], |row| row.get(0))
    };
    let application = pragma("application_id").map_err(error)?;
    let version = u32::try_from(pragma("user_version").map_err(error)?).unwrap_or(0);
    let tables: Vec<String> = connection
        .prepare("select name from sqlite_master where type = 'table'")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .map_err(error)?;
    let ours = TABLES.iter().all(|table| tables.iter().any(|t| t == table));
    match (application, version) {
        (0, 0) if tables.is_empty() => Ok(Kind::New),
        (0, 1) if ours => Ok(Kind::Store(1)),
        (APPLICATION_ID, version) if version > FORMAT => Err(StoreError::Format {
            path: path.to_owned(),
            found: version,
            supported: FORMAT,
        }),
        (APPLICATION_ID, version) if ours => Ok(Kind::Store(version)),
        (APPLICATION_ID, _) => Err(StoreError::Corrupt {
            path: path.to_owned(),
            reason: "tables are missing in it".into(),
        }),
        _ => Err(foreign(
            path,
            "it is the SQLite database of another program",
        )),
    }
}

fn foreign(path: &Path, reason: &str) -> StoreError {
    StoreError::Foreign {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Makes an open file a store of the newest format, in one transaction.
pub(super) fn bring_up_to_date(connection: &mut Connection, kind: Kind) -> rusqlite::Result<()> {
    let from = match kind {
        Kind::Store(FORMAT) => return Ok(()),
        Kind::Store(version) => version,
        Kind::New => 0,
    };
    let transaction = connection.transaction()?;
    if from == 0 {
        transaction.execute_batch(rows::FIRST_LAYOUT)?;
    }
    if from < 2 {
        transaction.execute_batch(dead_letters::LAYOUT)?;
        transaction.execute_batch(writer_notes::LAYOUT)?;
        integrity::add_digests(&transaction)?;
    }
    transaction.execute_batch(&format!(
        "pragma application_id = {APPLICATION_ID}; pragma user_version = {FORMAT};"
    ))?;
    transaction.commit()
}
