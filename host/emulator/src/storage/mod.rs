//! Data files and their commits.
//!
//! Committed rows lie in Parquet below `<data dir>/<project>/<schema>/<table>/[pt=a/...]`; staged
//! ones in `<data dir>/.longshore/staging`. A commit is one SQLite transaction that names the new
//! files, changes the session and journals the renames; the renames follow and are replayed when
//! the data directory is opened after a crash.

mod columns;
mod commit;
mod ddl;
mod layout;
mod lock;
mod merge;
mod retire;
mod scan;
mod staging;
#[cfg(test)]
mod tests;
mod text;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::catalog::{
    DEFAULT_SCHEMA, Database, PartitionInfo, PartitionSpec, Session, SessionUpdate, StoreError,
    TableMeta, now_ms,
};

pub(crate) use columns::{nanoseconds, stored_type, to_memory};
pub use ddl::{ColumnPlace, TableChange, TableSpec};
pub(crate) use layout::database_path;
pub(crate) use lock::DirectoryLock;
pub(crate) use scan::partition_values;
pub use scan::{Scan, Snapshot};
pub use staging::{
    OPERATION_COLUMN, OPERATION_DELETE, OPERATION_UPSERT, StageKind, StagedFile, Stager,
    VALUE_COLUMNS,
};
pub use text::{json_value, preview_text, value_text};

/// What a server does with committed rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Keep them.
    Store,
    /// Count them and drop them; sessions and checks work as usual. For benchmarks.
    Discard,
}

/// Rows and bytes that went through commits since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Rows staged.
    pub staged_rows: u64,
    /// Rows committed.
    pub committed_rows: u64,
    /// Commits.
    pub commits: u64,
}

/// Handle to one data directory; clones share it. All calls block on disk: call them through
/// [`Store::blocking`] from async code.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    data_dir: PathBuf,
    mode: Mode,
    database: Database,
    /// One writer per table at a time: commits and DDL of a table take its lock.
    table_locks: Mutex<HashMap<String, Arc<Mutex<()>>>>,
    /// Replaced files that running downloads may still read, oldest first.
    retired: Mutex<retire::Retired>,
    staged_rows: AtomicU64,
    committed_rows: AtomicU64,
    commits: AtomicU64,
    /// When ended sessions were last looked for.
    cleaned_ms: AtomicI64,
}

impl Store {
    /// Opens a data directory, creates it if missing, finishes what a killed server left half done:
    /// journaled renames are completed, staged files that no session mentions are removed.
    pub fn open(data_dir: &Path, mode: Mode) -> Result<Self, StoreError> {
        layout::create(data_dir)?;
        let durable = mode == Mode::Store;
        let database = Database::open(&layout::database_path(data_dir), durable)?;
        let store = Self {
            inner: Arc::new(Inner {
                data_dir: data_dir.to_owned(),
                mode,
                database,
                table_locks: Mutex::default(),
                retired: Mutex::default(),
                staged_rows: AtomicU64::new(0),
                committed_rows: AtomicU64::new(0),
                commits: AtomicU64::new(0),
                cleaned_ms: AtomicI64::new(0),
            }),
        };
        store.recover()?;
        Ok(store)
    }

    /// Runs blocking work of the store on the blocking thread pool.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .unwrap_or_else(|error| {
                Err(StoreError::Invalid(format!("a storage task died: {error}")))
            })
    }

    /// What happens to committed rows.
    pub fn mode(&self) -> Mode {
        self.inner.mode
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.inner.data_dir
    }

    /// The catalog database.
    pub fn database(&self) -> &Database {
        &self.inner.database
    }

    /// Rows through this store since it was opened.
    pub fn counters(&self) -> Counters {
        Counters {
            staged_rows: self.inner.staged_rows.load(Ordering::Relaxed),
            committed_rows: self.inner.committed_rows.load(Ordering::Relaxed),
            commits: self.inner.commits.load(Ordering::Relaxed),
        }
    }

    // Tables and partitions.

    /// The table of that name; letter case does not matter, an empty schema means `default`.
    /// Errors: [`StoreError::NoSuchProject`], [`StoreError::NoSuchSchema`], [`StoreError::NoSuchTable`].
    pub fn table(
        &self,
        project: &str,
        schema: &str,
        table: &str,
    ) -> Result<Arc<TableMeta>, StoreError> {
        let project = project.to_lowercase();
        let schema = if schema.is_empty() {
            DEFAULT_SCHEMA.to_owned()
        } else {
            schema.to_lowercase()
        };
        let name = table.to_lowercase();
        if let Some(table) = self.inner.database.table(&project, &schema, &name)? {
            return Ok(Arc::new(table));
        }
        self.require_schema(&project, &schema)?;
        Err(StoreError::NoSuchTable(if schema == DEFAULT_SCHEMA {
            format!("{project}.{name}")
        } else {
            format!("{project}.{schema}.{name}")
        }))
    }

    /// The table with that id as it is now; [`StoreError::NoSuchTable`] when it was dropped.
    pub fn table_by_id(&self, id: &str) -> Result<Arc<TableMeta>, StoreError> {
        match self.inner.database.table_by_id(id)? {
            Some(table) => Ok(Arc::new(table)),
            None => Err(StoreError::NoSuchTable(format!("with id {id}"))),
        }
    }

    /// Fails unless project and schema exist.
    pub fn require_schema(&self, project: &str, schema: &str) -> Result<(), StoreError> {
        if self.inner.database.project_created(project)?.is_none() {
            return Err(StoreError::NoSuchProject(project.to_owned()));
        }
        if !self
            .inner
            .database
            .schemas(project)?
            .iter()
            .any(|s| s.name == schema)
        {
            return Err(StoreError::NoSuchSchema(format!("{project}.{schema}")));
        }
        Ok(())
    }

    /// True when the partition exists.
    pub fn partition_exists(
        &self,
        table: &TableMeta,
        partition: &PartitionSpec,
    ) -> Result<bool, StoreError> {
        self.inner.database.partition_exists(&table.id, partition)
    }

    /// Creates the partition unless it exists; true when it is new.
    pub fn create_partition(
        &self,
        table: &TableMeta,
        partition: &PartitionSpec,
    ) -> Result<bool, StoreError> {
        Ok(self
            .inner
            .database
            .add_partitions(&table.id, std::slice::from_ref(partition))?
            > 0)
    }

    /// Partitions ordered by value, with sizes.
    pub fn partitions(&self, table: &TableMeta) -> Result<Vec<PartitionInfo>, StoreError> {
        self.inner.database.partitions(&table.id)
    }

    // Sessions.

    /// Makes a session with a fresh id that lives for `lifetime`.
    pub fn session_create(
        &self,
        kind: &str,
        table: &TableMeta,
        status: &str,
        document: Value,
        lifetime: Duration,
    ) -> Result<Session, StoreError> {
        let now = now_ms();
        let stamp = chrono::DateTime::from_timestamp_millis(now)
            .unwrap_or_default()
            .format("%Y%m%d%H%M%S");
        let session = Session {
            id: format!("{stamp}{}", uuid::Uuid::new_v4().simple()),
            kind: kind.to_owned(),
            table_id: table.id.clone(),
            status: status.to_owned(),
            document,
            revision: 1,
            created_ms: now,
            modified_ms: now,
            expires_ms: now.saturating_add(i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX)),
        };
        self.inner.database.insert_session(&session)?;
        self.clean_sessions()?;
        Ok(session)
    }

    /// The session with that id, expired ones included; [`StoreError::NoSuchSession`] when unknown.
    pub fn session_get(&self, id: &str) -> Result<Session, StoreError> {
        self.inner
            .database
            .session(id)?
            .ok_or_else(|| StoreError::NoSuchSession(id.to_owned()))
    }

    /// Sessions of a kind, oldest first.
    pub fn session_list(&self, kind: &str) -> Result<Vec<Session>, StoreError> {
        self.inner.database.sessions(kind)
    }

    /// Changes a session outside a commit.
    pub fn session_update(&self, update: &SessionUpdate) -> Result<(), StoreError> {
        self.inner.database.update_session(update)
    }

    /// Sets the end of life to `lifetime` from now.
    pub fn session_extend(&self, id: &str, lifetime: Duration) -> Result<(), StoreError> {
        let lifetime = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        self.inner
            .database
            .extend_session(id, now_ms().saturating_add(lifetime))
    }

    /// Forgets a session. Its staged files are the caller's to [`Store::discard`].
    pub fn session_delete(&self, id: &str) -> Result<(), StoreError> {
        self.inner.database.delete_session(id)
    }

    /// Forgets sessions that ended more than a day ago, with their staged files.
    fn clean_sessions(&self) -> Result<(), StoreError> {
        const KEPT_AFTER_END_MS: i64 = 24 * 3600 * 1000;
        const INTERVAL_MS: i64 = 60_000;
        let now = now_ms();
        let last = self.inner.cleaned_ms.load(Ordering::Relaxed);
        // Looking through all sessions with each new one would make many sessions slow.
        if now < last + INTERVAL_MS {
            return Ok(());
        }
        self.inner.cleaned_ms.store(now, Ordering::Relaxed);
        let old: Vec<String> = self.inner.database.transaction(|t| {
            let mut statement =
                t.prepare_cached("SELECT id FROM sessions WHERE expires_ms < ?1")?;
            let rows = statement.query_map([now - KEPT_AFTER_END_MS], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        for id in old {
            if let Some(session) = self.inner.database.session(&id)? {
                for name in layout::staged_names(&session.document) {
                    layout::remove_if_present(
                        &layout::staging_dir(&self.inner.data_dir).join(name),
                    )?;
                }
            }
            self.inner.database.delete_session(&id)?;
        }
        Ok(())
    }

    fn table_lock(&self, table_id: &str) -> Arc<Mutex<()>> {
        let mut locks = self
            .inner
            .table_locks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        locks.entry(table_id.to_owned()).or_default().clone()
    }

    /// Runs `work` while no other commit or DDL changes the table.
    fn with_table_lock<T>(
        &self,
        table_id: &str,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let lock = self.table_lock(table_id);
        let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    fn recover(&self) -> Result<(), StoreError> {
        let moves = self.inner.database.moves()?;
        layout::apply_moves(&self.inner.data_dir, &moves)?;
        self.inner
            .database
            .forget_moves(&moves.iter().map(|m| m.id).collect::<Vec<_>>())?;
        self.clean_sessions()?;
        let mut wanted = std::collections::HashSet::new();
        for session in self.inner.database.all_sessions()? {
            wanted.extend(layout::staged_names(&session.document));
        }
        layout::remove_others(&layout::staging_dir(&self.inner.data_dir), &wanted)?;
        layout::remove_others(
            &layout::retired_dir(&self.inner.data_dir),
            &Default::default(),
        )
    }
}
