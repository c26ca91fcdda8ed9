//! Looking at a store, also while a run uses it. Nothing is changed, not even the format.

use std::path::{Path, PathBuf};

use longshore_runtime::contract::TablePath;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Result};

use super::format::{self, Kind};
use super::{HistoryEntry, Identity, StoreError, dead_letters, integrity, rows};

/// Reads a checkpoint store.
#[derive(Debug)]
pub struct CheckpointReader {
    connection: Connection,
    path: PathBuf,
    format: u32,
}

/// A store as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Version of its layout.
    pub format: u32,
    /// Whose it is; none = no run has claimed it yet.
    pub owner: Option<Identity>,
    /// Checkpoints in its history.
    pub checkpoints: u64,
    /// Number of the newest there ever was; 0 = there was none.
    pub last: u64,
    /// Committables that are not known to be committed.
    pub pending: u64,
    /// Rows kept aside.
    pub dead_letters: u64,
    /// What is wrong with what a run would go on from.
    pub fault: Option<String>,
}

/// One checkpoint with all that is stored of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Its line of the history.
    pub entry: HistoryEntry,
    /// Where the source goes on, JSON.
    pub position: String,
    /// What the sinks prepared, in commit order.
    pub committables: Vec<StoredCommittable>,
    /// State of each writer; only the newest checkpoint has it.
    pub states: Vec<StoredState>,
}

/// A committable, without its content, which only the sink understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCommittable {
    /// The table at the sink, dotted.
    pub table: String,
    /// Format of its payload, numbered by the component.
    pub format: u32,
    /// Bytes of its payload; none = it is committed and was dropped.
    pub bytes: Option<u64>,
    /// When it was known to be committed, milliseconds since 1970-01-01 UTC.
    pub committed_ms: Option<i64>,
}

/// A writer's state, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    /// Format of its payload, numbered by the component.
    pub format: u32,
    /// Bytes of its payload.
    pub bytes: u64,
}

impl CheckpointReader {
    /// Opens the store at `path`; `None` where there is none yet.
    ///
    /// # Errors
    /// As [`super::CheckpointStore::open`], without lock and identity.
    pub fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        let opened = open_read_only(path)?;
        Ok(opened.map(|(connection, format)| Self {
            connection,
            path: path.to_owned(),
            format,
        }))
    }

    /// The store as a whole.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn overview(&self) -> Result<Overview, StoreError> {
        self.read("read the checkpoint store", |connection| {
            let count = |query: &str| connection.query_row(query, [], |row| row.get::<_, u64>(0));
            let meta = |key: &str| rows::meta(connection, key);
            let owner = match meta("identity")? {
                None => None,
                Some(_) => Some(Identity {
                    pipeline: meta("pipeline")?.unwrap_or_default(),
                    source: meta("source")?.unwrap_or_default(),
                    sink: meta("sink")?.unwrap_or_default(),
                }),
            };
            Ok(Overview {
                format: self.format,
                owner,
                checkpoints: count("select count(*) from checkpoint")?,
                last: rows::last_id(connection)?,
                pending: count("select count(*) from committable where committed_ms is null")?,
                dead_letters: match dead_letters::are_kept(connection)? {
                    true => count("select count(*) from dead_letter")?,
                    false => 0,
                },
                fault: integrity::fault(connection, self.format)?,
            })
        })
    }

    /// The last checkpoints, newest first.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn history(&self, limit: u32) -> Result<Vec<HistoryEntry>, StoreError> {
        self.read("read the history", |connection| {
            rows::history(connection, limit)
        })
    }

    /// One checkpoint, or the newest; `None` when the store does not have it.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn checkpoint(&self, id: Option<u64>) -> Result<Option<StoredCheckpoint>, StoreError> {
        self.read("read a checkpoint", |connection| {
            let found: Option<(u64, String)> = connection
                .query_row(
                    "select id, position from checkpoint where ?1 is null or id = ?1 order by id desc limit 1",
                    [id],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let Some((id, position)) = found else {
                return Ok(None);
            };
            let entry = rows::history(connection, u32::MAX)?
                .into_iter()
                .find(|entry| entry.id == id);
            let committables = connection
                .prepare(
                    "select catalog, schema, \"table\", format, length(payload), committed_ms \
                     from committable where checkpoint = ?1 order by sequence",
                )?
                .query_map([id], |row| {
                    let path = TablePath {
                        catalog: row.get(0)?,
                        schema: row.get(1)?,
                        table: row.get(2)?,
                    };
                    Ok(StoredCommittable {
                        table: path.to_string(),
                        format: row.get(3)?,
                        bytes: row.get(4)?,
                        committed_ms: row.get(5)?,
                    })
                })?
                .collect::<Result<_>>()?;
            let states = connection
                .prepare(
                    "select format, length(payload) from sink_state where checkpoint = ?1 order by subtask",
                )?
                .query_map([id], |row| {
                    Ok(StoredState {
                        format: row.get(0)?,
                        bytes: row.get(1)?,
                    })
                })?
                .collect::<Result<_>>()?;
            Ok(entry.map(|entry| StoredCheckpoint {
                entry,
                position,
                committables,
                states,
            }))
        })
    }

    fn read<T>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T, StoreError> {
        read(&self.connection).map_err(|e| StoreError::sqlite(&self.path, action, e))
    }
}

/// Opens a store for reading, and its format; `None` where there is none yet.
pub(super) fn open_read_only(path: &Path) -> Result<Option<(Connection, u32)>, StoreError> {
    if !format::is_there(path)? {
        return Ok(None);
    }
    let error = |e| StoreError::sqlite(path, "open the checkpoint store", e);
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(error)?;
    integrity::teach_digest(&connection).map_err(error)?;
    Ok(match format::kind(&connection, path)? {
        Kind::New => None,
        Kind::Store(format) => Some((connection, format)),
    })
}
