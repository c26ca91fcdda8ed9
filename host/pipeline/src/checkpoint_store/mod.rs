//! Where a pipeline's progress survives the process: one SQLite file per pipeline.
//!
//! A checkpoint is written in one transaction (source position, committables, sink state, dead
//! letters) before anything is committed at the service. What is not marked committed when the file is opened again
//! is committed first; only then does the source resume.
//!
//! The journal is WAL with `synchronous = FULL`: a checkpoint that [`CheckpointStore::store`]
//! returned from survives a power cut. Calls block for the few milliseconds an fsync takes.

mod dead_letters;
mod error;
mod fence;
mod format;
mod identity;
mod integrity;
mod lock;
mod reader;
mod repair;
mod rows;
mod writer_notes;

pub use dead_letters::{
    DeadLetterCount, DeadLetterId, DeadLetterReader, StoredDeadLetter, StoredDeadLetters,
};
pub use error::StoreError;
pub use format::FORMAT;
pub use identity::Identity;
pub use reader::{CheckpointReader, Overview, StoredCheckpoint, StoredCommittable, StoredState};
pub use repair::{Rebuilt, Repair, Reset, repair, reset};

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use longshore_runtime::contract::{Committable, State};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::dead_letters::DeadLetterBatch;
use crate::source::Position;
use fence::Fence;
use format::Kind;
use lock::StoreLock;

/// How many past checkpoints the history keeps.
const HISTORY: u64 = 200;

/// One pipeline's checkpoints. Holds an operating system lock on the file while it lives.
#[derive(Debug)]
pub struct CheckpointStore {
    connection: Connection,
    path: PathBuf,
    lock: StoreLock,
    /// None = open to look, not to run.
    fence: Option<Fence>,
}

/// What one checkpoint holds, on its way into the store.
#[derive(Debug)]
pub struct NewCheckpoint<'a> {
    /// Its number, from [`CheckpointStore::next_id`].
    pub id: u64,
    /// Where the source goes on.
    pub position: &'a Position,
    /// The source had nothing more to give at `position`.
    pub finished: bool,
    /// What the sinks prepared, in commit order.
    pub committables: &'a [Committable],
    /// State of each writer, by subtask.
    pub states: &'a [State],
    /// Rows of each target table since the checkpoint before.
    pub tables: &'a [TableRows],
    /// Rows kept aside since the checkpoint before.
    pub dead_letters: &'a [DeadLetterBatch],
    /// What the target tables look like, for [`CheckpointStore::targets`].
    pub targets: &'a str,
}

/// A checkpoint as it is read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Its number.
    pub id: u64,
    /// Where the source goes on.
    pub position: Position,
    /// The source had nothing more to give at `position`.
    pub finished: bool,
    /// State of each writer, by subtask.
    pub states: Vec<State>,
}

/// A committable that is stored and not yet known to be committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// The checkpoint it belongs to.
    pub checkpoint: u64,
    /// Its place in that checkpoint.
    pub sequence: u32,
    /// What to hand to the committer.
    pub committable: Committable,
}

/// Rows of one target table between two checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableRows {
    /// The target table, dotted.
    pub table: String,
    /// Rows the source delivered.
    pub read: u64,
    /// Rows the sink took.
    pub written: u64,
    /// Rows passed over on purpose (deletes on an append table).
    pub skipped: u64,
    /// Rows kept aside as dead letters. Not in the history: the letters themselves are stored.
    pub dead_letters: u64,
    /// Values written as NULL because they did not fit. Not in the history.
    pub nulled: u64,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The checkpoint.
    pub id: u64,
    /// When it was stored, milliseconds since 1970-01-01 UTC.
    pub stored_ms: i64,
    /// When everything in it was visible; none = not yet.
    pub committed_ms: Option<i64>,
    /// The source had ended.
    pub finished: bool,
    /// Rows per table since the checkpoint before.
    pub tables: Vec<TableRows>,
}

impl CheckpointStore {
    /// Opens the store at `path`, creating the file and its directories where they are missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another run holds it, [`StoreError::OtherPipeline`] when it
    /// belongs to another pipeline, [`StoreError::Format`] when a newer version wrote it,
    /// [`StoreError::Foreign`], [`StoreError::Corrupt`] and [`StoreError::Older`]; nothing is changed then.
    pub fn open(path: &Path, identity: &Identity) -> Result<Self, StoreError> {
        let mut store = Self::connect(path)?;
        store.check_identity(identity)?;
        store.take_over()?;
        Ok(store)
    }

    /// Opens the store at `path` and forgets whatever it held, whoever it belonged to. Checkpoint
    /// numbers go on from where they were: a number is never used twice in one file.
    ///
    /// # Errors
    /// As [`Self::open`], without the identity check.
    pub fn start_anew(path: &Path, identity: &Identity) -> Result<Self, StoreError> {
        let mut store = Self::connect(path)?;
        store.take_over()?;
        let transaction = store.transaction("forget the old checkpoints")?;
        rows::clear(&transaction)
            .and_then(|()| writer_notes::clear(&transaction))
            .and_then(|()| dead_letters::discard(&transaction).map(drop))
            .and_then(|()| rows::set_meta(&transaction, "identity", &identity.digest()))
            .and_then(|()| rows::set_meta(&transaction, "pipeline", &identity.pipeline))
            .and_then(|()| rows::set_meta(&transaction, "source", &identity.source))
            .and_then(|()| rows::set_meta(&transaction, "sink", &identity.sink))
            .and_then(|()| transaction.commit())
            .map_err(|e| StoreError::sqlite(path, "forget the old checkpoints", e))?;
        Ok(store)
    }

    /// Opens the store at `path`, whichever pipeline it belongs to.
    ///
    /// # Errors
    /// As [`Self::open`], without the identity check.
    pub fn open_existing(path: &Path) -> Result<Self, StoreError> {
        Self::connect(path)
    }

    /// Fails when another run has taken the store over: this one may not commit any more.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], or when the file can not be read.
    pub fn check_owner(&self) -> Result<(), StoreError> {
        let fence = self.fence.as_ref();
        fence.map_or(Ok(()), |fence| fence.check(&self.connection, &self.path))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number the next checkpoint gets.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn next_id(&self) -> Result<u64, StoreError> {
        rows::last_id(&self.connection)
            .map(|last| last + 1)
            .map_err(|e| StoreError::sqlite(&self.path, "read the last checkpoint's number", e))
    }

    /// The newest checkpoint, if there is one.
    ///
    /// # Errors
    /// When the file can not be read, or [`StoreError::Corrupt`].
    pub fn latest(&self) -> Result<Option<Checkpoint>, StoreError> {
        let found = self
            .connection
            .query_row(
                "select id, position, finished from checkpoint order by id desc limit 1",
                [],
                |row| {
                    Ok((
                        row.get::<_, u64>(0)?,
                        row.get::<_, String>(1)?,
                        row.get::<_, bool>(2)?,
                    ))
                },
            )
            .optional()
            .map_err(|e| StoreError::sqlite(&self.path, "read the newest checkpoint", e))?;
        let Some((id, text, finished)) = found else {
            return Ok(None);
        };
        let position = Position::from_json(&text).map_err(|e| StoreError::Corrupt {
            path: self.path.clone(),
            reason: format!("the source position of checkpoint {id} is no JSON: {e}"),
        })?;
        let states = rows::states(&self.connection, id)
            .map_err(|e| StoreError::sqlite(&self.path, "read the sink's state", e))?;
        Ok(Some(Checkpoint {
            id,
            position,
            finished,
            states,
        }))
    }

    /// What of the source a checkpoint covers, for a person; none for a checkpoint that is not there.
    /// What [`Self::store_table`] added to it comes after that.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn source_range(&self, checkpoint: u64) -> Result<Option<String>, StoreError> {
        let positions = rows::last_positions(&self.connection, checkpoint)
            .map_err(|e| StoreError::sqlite(&self.path, "read the source positions", e))?;
        let place = |text: &String| {
            let position = Position::from_json(text);
            position.map_or_else(|_| text.clone(), |position| position.to_string())
        };
        Ok(match positions.as_slice() {
            [] => None,
            [upto] => Some(format!("the source from its start up to {}", place(upto))),
            [upto, from, ..] => Some(format!(
                "the source after {}, up to {}",
                place(from),
                place(upto)
            )),
        })
    }

    /// Everything stored and not marked committed, oldest checkpoint first, in commit order.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn pending(&self) -> Result<Vec<Pending>, StoreError> {
        rows::pending(&self.connection)
            .map_err(|e| StoreError::sqlite(&self.path, "read the pending committables", e))
    }

    /// Writes a checkpoint, in one transaction. It is durable when this returns.
    ///
    /// # Errors
    /// When the file can not be written; then nothing of the checkpoint is stored.
    pub fn store(&mut self, checkpoint: &NewCheckpoint<'_>) -> Result<(), StoreError> {
        let path = self.path.clone();
        let transaction = self.transaction("store a checkpoint")?;
        rows::insert(&transaction, checkpoint, now_ms())
            .and_then(|()| {
                writer_notes::clear(&transaction)?;
                dead_letters::insert(&transaction, checkpoint.id, checkpoint.dead_letters)?;
                rows::prune(&transaction, checkpoint.id.saturating_sub(HISTORY))?;
                transaction.commit()
            })
            .map_err(|e| StoreError::sqlite(&path, "store a checkpoint", e))?;
        self.lock.note_newest(checkpoint.id);
        Ok(())
    }

    /// What the target tables looked like at the newest checkpoint, or when the rows of one of them
    /// were stored after it.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn targets(&self) -> Result<Option<String>, StoreError> {
        rows::meta(&self.connection, rows::TARGETS)
            .map_err(|e| StoreError::sqlite(&self.path, "read the tables' schemas", e))
    }

    /// Notes what a writer wants the next run to know if this one dies before its next checkpoint.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn note_state(&mut self, subtask: u32, state: &State) -> Result<(), StoreError> {
        let path = self.path.clone();
        let transaction = self.transaction("note a writer's state")?;
        writer_notes::put(&transaction, subtask, state)
            .and_then(|()| transaction.commit())
            .map_err(|e| StoreError::sqlite(&path, "note a writer's state", e))
    }

    /// What writers have noted since the newest checkpoint, by subtask; newer than the states in it.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn noted_states(&self) -> Result<Vec<(u32, State)>, StoreError> {
        writer_notes::all(&self.connection)
            .map_err(|e| StoreError::sqlite(&self.path, "read the writers' states", e))
    }

    /// Adds what one table has prepared since the newest checkpoint to it, with the state of all
    /// `targets` and, where it changed, of the writers; in one transaction. Returns what is to be committed; `None`, and nothing is
    /// stored, when there are committables and no checkpoint.
    ///
    /// The source goes on from that checkpoint, so the state must tell what rows not to write again.
    ///
    /// # Errors
    /// When the file can not be written; then nothing is stored.
    pub fn store_table(
        &mut self,
        committables: Vec<Committable>,
        targets: &str,
        states: &[State],
    ) -> Result<Option<Vec<Pending>>, StoreError> {
        let path = self.path.clone();
        let transaction = self.transaction("store a table's rows")?;
        rows::append(&transaction, committables)
            .and_then(|pending| {
                rows::set_meta(&transaction, rows::TARGETS, targets)?;
                for (subtask, state) in (0..).zip(states) {
                    writer_notes::put(&transaction, subtask, state)?;
                }
                if pending.is_some() {
                    transaction.commit()?;
                }
                Ok(pending)
            })
            .map_err(|e| StoreError::sqlite(&path, "store a table's rows", e))
    }

    /// Marks committables of `checkpoint` as visible at the service, and drops their payload.
    ///
    /// # Errors
    /// When the file can not be written. The committables stay pending; committing them again is
    /// harmless.
    pub fn mark_committed(&mut self, checkpoint: u64, sequences: &[u32]) -> Result<(), StoreError> {
        let path = self.path.clone();
        let transaction = self.transaction("mark committables as committed")?;
        rows::mark_committed(&transaction, checkpoint, sequences, now_ms())
            .and_then(|()| transaction.commit())
            .map_err(|e| StoreError::sqlite(&path, "mark committables as committed", e))
    }

    /// Notes that the source had nothing more to give at the latest checkpoint.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn mark_finished(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let transaction = self.transaction("mark the run as finished")?;
        rows::mark_finished(&transaction)
            .and_then(|()| writer_notes::clear(&transaction))
            .and_then(|()| transaction.commit())
            .map_err(|e| StoreError::sqlite(&path, "mark the run as finished", e))
    }

    /// The last checkpoints, newest first.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn history(&self, limit: u32) -> Result<Vec<HistoryEntry>, StoreError> {
        rows::history(&self.connection, limit)
            .map_err(|e| StoreError::sqlite(&self.path, "read the history", e))
    }

    fn connect(path: &Path) -> Result<Self, StoreError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|source| StoreError::Io {
                path: directory.to_owned(),
                source,
            })?;
        }
        // Nothing is put beside a file of another kind: no lock, and no journal by SQLite.
        format::is_there(path)?;
        let mut lock = StoreLock::take(path)?;
        let error = |e| StoreError::sqlite(path, "open the checkpoint store", e);
        let mut connection = Connection::open(path).map_err(error)?;
        integrity::teach_digest(&connection).map_err(error)?;
        let kind = format::kind(&connection, path)?;
        check(&connection, kind, path)?;
        connection
            .execute_batch("pragma journal_mode = wal; pragma synchronous = full;")
            .map_err(error)?;
        format::bring_up_to_date(&mut connection, kind).map_err(error)?;
        let found = rows::last_id(&connection).map_err(error)?;
        if kind == Kind::New {
            lock.note_newest(found);
        } else if found < lock.newest() {
            return Err(StoreError::Older {
                path: path.to_owned(),
                found,
                stored: lock.newest(),
            });
        }
        Ok(Self {
            connection,
            path: path.to_owned(),
            lock,
            fence: None,
        })
    }

    /// Numbers and tables of the groups of dead letters, oldest first.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn dead_letter_groups(&self) -> Result<Vec<(i64, String)>, StoreError> {
        dead_letters::groups(&self.connection)
            .map_err(|e| StoreError::sqlite(&self.path, "read the dead letters", e))
    }

    /// Dead letters by table.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        dead_letters::counts_by_table(&self.connection)
            .map_err(|e| StoreError::sqlite(&self.path, "count the dead letters", e))
    }

    /// The last group of dead letters that was written to a file; 0 = none.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn dead_letters_in_files(&self) -> Result<i64, StoreError> {
        rows::meta(&self.connection, rows::DEAD_LETTER_FILES)
            .map(|text| text.and_then(|text| text.parse().ok()).unwrap_or(0))
            .map_err(|e| StoreError::sqlite(&self.path, "read the dead letters", e))
    }

    /// Notes that the groups up to this one are in files.
    ///
    /// # Errors
    /// When the file can not be written; then the files are written again.
    pub fn note_dead_letters_in_files(&mut self, group: i64) -> Result<(), StoreError> {
        rows::set_meta(
            &self.connection,
            rows::DEAD_LETTER_FILES,
            &group.to_string(),
        )
        .map_err(|e| StoreError::sqlite(&self.path, "note the files of dead letters", e))
    }

    /// One group of dead letters.
    ///
    /// # Errors
    /// When the file can not be read, or has no such group.
    pub fn dead_letter_group(&self, group: i64) -> Result<StoredDeadLetters, StoreError> {
        dead_letters::batch(&self.connection, group)
            .map_err(|e| StoreError::sqlite(&self.path, "read the dead letters", e))
    }

    /// Stores that groups of dead letters were written again, in one transaction: they are removed,
    /// what the sink prepared is added to the newest checkpoint, with its states, and rows that it
    /// kept aside once more become new dead letters. Returns what is to be committed; `None`, and
    /// nothing is stored, when there are committables and no checkpoint.
    ///
    /// # Errors
    /// When the file can not be written; then nothing is stored.
    pub fn store_replayed(
        &mut self,
        groups: &[i64],
        checkpoint: u64,
        committables: Vec<Committable>,
        states: &[State],
        again: &[DeadLetterBatch],
    ) -> Result<Option<Vec<Pending>>, StoreError> {
        let path = self.path.clone();
        let transaction = self.transaction("store a replay")?;
        rows::append(&transaction, committables)
            .and_then(|pending| {
                rows::replace_states(&transaction, states)?;
                writer_notes::clear(&transaction)?;
                dead_letters::remove(&transaction, groups)?;
                dead_letters::insert(&transaction, checkpoint, again)?;
                if pending.is_some() {
                    transaction.commit()?;
                }
                Ok(pending)
            })
            .map_err(|e| StoreError::sqlite(&path, "store a replay", e))
    }

    fn take_over(&mut self) -> Result<(), StoreError> {
        self.fence = Some(Fence::raise(&mut self.connection, &self.path)?);
        Ok(())
    }

    /// Forgets all dead letters; returns how many there were.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn discard_dead_letters(&mut self) -> Result<u64, StoreError> {
        let path = self.path.clone();
        let transaction = self.transaction("discard the dead letters")?;
        dead_letters::discard(&transaction)
            .and_then(|letters| transaction.commit().map(|()| letters))
            .map_err(|e| StoreError::sqlite(&path, "discard the dead letters", e))
    }

    fn check_identity(&self, identity: &Identity) -> Result<(), StoreError> {
        let error = |e| StoreError::sqlite(&self.path, "read the store's owner", e);
        let meta = |key: &str| rows::meta(&self.connection, key).map_err(error);
        match meta("identity")? {
            Some(found) if found == identity.digest() => Ok(()),
            // Without a checkpoint there is nothing to mistake for another's: a run that failed
            // before its first one must not stand in the way of the corrected definition.
            found if found.is_none() || self.latest()?.is_none() => {
                for (key, value) in [
                    ("pipeline", identity.pipeline.as_str()),
                    ("source", &identity.source),
                    ("sink", &identity.sink),
                    // Last, so that a crash in between leaves a file without an owner.
                    ("identity", &identity.digest()),
                ] {
                    rows::set_meta(&self.connection, key, value).map_err(error)?;
                }
                Ok(())
            }
            _ => {
                let owner = Identity {
                    pipeline: meta("pipeline")?.unwrap_or_default(),
                    source: meta("source")?.unwrap_or_default(),
                    sink: meta("sink")?.unwrap_or_default(),
                };
                Err(StoreError::OtherPipeline {
                    path: self.path.clone(),
                    difference: owner.difference(identity),
                })
            }
        }
    }

    /// A transaction of the store's owner.
    fn transaction(&mut self, action: &'static str) -> Result<Transaction<'_>, StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| StoreError::sqlite(&self.path, action, e))?;
        if let Some(fence) = &self.fence {
            fence.check(&transaction, &self.path)?;
        }
        Ok(transaction)
    }
}

/// Whether a run can go on from an open store.
fn check(connection: &Connection, kind: Kind, path: &Path) -> Result<(), StoreError> {
    let fault = match kind {
        Kind::New => None,
        Kind::Store(format) => integrity::fault(connection, format)
            .map_err(|e| StoreError::sqlite(path, "check the checkpoint store", e))?,
    };
    match fault {
        None => Ok(()),
        Some(reason) => Err(StoreError::Corrupt {
            path: path.to_owned(),
            reason,
        }),
    }
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| i64::try_from(d.as_millis()).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
