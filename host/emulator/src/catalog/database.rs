//! SQL of the catalog database. Every public call is one transaction, synchronous to disk.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DEFAULT_SCHEMA, PartitionSpec, Session, SessionUpdate, StoreError, TableMeta, now_ms};

/// A partition and when it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Values.
    pub spec: PartitionSpec,
    /// Creation, epoch milliseconds.
    pub created_ms: i64,
    /// Last change of data or definition, epoch milliseconds.
    pub modified_ms: i64,
    /// Rows in committed files.
    pub rows: u64,
    /// Bytes of committed files.
    pub bytes: u64,
    /// Number of committed files.
    pub files: u64,
}

/// A schema of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaInfo {
    /// Name.
    pub name: String,
    /// Comment.
    pub comment: Option<String>,
    /// Creation, epoch milliseconds.
    pub created_ms: i64,
}

/// A data file that belongs to the visible state of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedFile {
    /// File name, unique in the catalog.
    pub name: String,
    /// Partition, none for an unpartitioned table.
    pub partition: Option<PartitionSpec>,
    /// Bucket, for Delta tables.
    pub bucket: Option<u32>,
    /// Rows.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// A rename still to be done on disk after its transaction; replayed after a crash.
/// Paths are relative to the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMove {
    /// Journal row, 0 before it is stored.
    pub id: i64,
    /// Where the file or directory is.
    pub from: String,
    /// Where it goes.
    pub to: String,
}

impl FileMove {
    /// A move not yet in the journal.
    pub fn new(from: String, to: String) -> Self {
        Self { id: 0, from, to }
    }
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS projects(name TEXT PRIMARY KEY, properties TEXT NOT NULL, created_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS schemas(project TEXT NOT NULL, name TEXT NOT NULL, comment TEXT, created_ms INTEGER NOT NULL,
  PRIMARY KEY(project, name));
CREATE TABLE IF NOT EXISTS tables(id TEXT PRIMARY KEY, project TEXT NOT NULL, schema TEXT NOT NULL, name TEXT NOT NULL,
  document TEXT NOT NULL, UNIQUE(project, schema, name));
CREATE TABLE IF NOT EXISTS partitions(table_id TEXT NOT NULL, directory TEXT NOT NULL, spec TEXT NOT NULL,
  created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL, PRIMARY KEY(table_id, directory));
CREATE TABLE IF NOT EXISTS files(id INTEGER PRIMARY KEY AUTOINCREMENT, table_id TEXT NOT NULL, directory TEXT NOT NULL,
  bucket INTEGER, name TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS files_of_table ON files(table_id, directory, bucket);
CREATE TABLE IF NOT EXISTS moves(id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, target TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions(id TEXT PRIMARY KEY, kind TEXT NOT NULL, table_id TEXT NOT NULL, status TEXT NOT NULL,
  document TEXT NOT NULL, revision INTEGER NOT NULL, created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS instances(id TEXT PRIMARY KEY, project TEXT NOT NULL, created_ms INTEGER NOT NULL,
  document TEXT NOT NULL);
PRAGMA user_version = 1;
";

/// The catalog database; clones share one connection.
#[derive(Debug, Clone)]
pub struct Database {
    connection: Arc<Mutex<Connection>>,
}

impl Database {
    /// Opens or creates the database file. Only a `durable` one survives a power cut, at the price
    /// of a wait for the disk with each change.
    pub fn open(path: &Path, durable: bool) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = if durable { "FULL" } else { "OFF" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version > 1 {
            return Err(StoreError::Invalid(format!(
                "{} was written by a newer version (layout {version})",
                path.display()
            )));
        }
        connection.execute_batch(SCHEMA)?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// Opens an existing database for reading beside a server that may be running.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let flags =
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic inside a transaction rolls it back, so the connection stays usable.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in one transaction: committed when it returns Ok, rolled back otherwise.
    pub fn transaction<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.lock();
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    // Projects and schemas.

    /// Makes a project with its default schema unless it exists.
    pub fn ensure_project(&self, name: &str) -> Result<(), StoreError> {
        self.transaction(|t| {
            t.execute(
                "INSERT OR IGNORE INTO projects VALUES(?1, '{}', ?2)",
                params![name, now_ms()],
            )?;
            t.execute(
                "INSERT OR IGNORE INTO schemas VALUES(?1, ?2, NULL, ?3)",
                params![name, DEFAULT_SCHEMA, now_ms()],
            )?;
            Ok(())
        })
    }

    /// Names and creation times of all projects.
    pub fn projects(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT name, created_ms FROM projects ORDER BY name")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Creation time of a project.
    pub fn project_created(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT created_ms FROM projects WHERE name = ?1")?;
        Ok(statement.query_row([name], |row| row.get(0)).optional()?)
    }

    /// Schemas of a project.
    pub fn schemas(&self, project: &str) -> Result<Vec<SchemaInfo>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT name, comment, created_ms FROM schemas WHERE project = ?1 ORDER BY name",
        )?;
        let rows = statement.query_map([project], |row| {
            Ok(SchemaInfo {
                name: row.get(0)?,
                comment: row.get(1)?,
                created_ms: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds a schema.
    pub fn create_schema(
        &self,
        project: &str,
        name: &str,
        comment: Option<&str>,
    ) -> Result<(), StoreError> {
        let added = self.transaction(|t| {
            Ok(t.execute(
                "INSERT OR IGNORE INTO schemas VALUES(?1, ?2, ?3, ?4)",
                params![project, name, comment, now_ms()],
            )?)
        })?;
        if added == 0 {
            return Err(StoreError::AlreadyExists(format!(
                "schema {project}.{name}"
            )));
        }
        Ok(())
    }

    /// Removes an empty schema.
    pub fn drop_schema(&self, project: &str, name: &str) -> Result<(), StoreError> {
        self.transaction(|t| {
            let tables: i64 = t.query_row(
                "SELECT count(*) FROM tables WHERE project = ?1 AND schema = ?2",
                [project, name],
                |row| row.get(0),
            )?;
            if tables > 0 {
                return Err(StoreError::Invalid(format!(
                    "schema {project}.{name} is not empty: it has {tables} tables"
                )));
            }
            if t.execute(
                "DELETE FROM schemas WHERE project = ?1 AND name = ?2",
                [project, name],
            )? == 0
            {
                return Err(StoreError::NoSuchSchema(format!("{project}.{name}")));
            }
            Ok(())
        })
    }

    // Tables.

    /// The table of that name, names lower case.
    pub fn table(
        &self,
        project: &str,
        schema: &str,
        name: &str,
    ) -> Result<Option<TableMeta>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT document FROM tables WHERE project = ?1 AND schema = ?2 AND name = ?3",
        )?;
        let text: Option<String> = statement
            .query_row([project, schema, name], |row| row.get(0))
            .optional()?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// The table with that id.
    pub fn table_by_id(&self, id: &str) -> Result<Option<TableMeta>, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT document FROM tables WHERE id = ?1")?;
        let text: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// Tables of a schema (or of all schemas), by name.
    pub fn tables(
        &self,
        project: &str,
        schema: Option<&str>,
    ) -> Result<Vec<TableMeta>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT document FROM tables WHERE project = ?1 AND (?2 IS NULL OR schema = ?2) ORDER BY schema, name",
        )?;
        let rows = statement.query_map(params![project, schema], |row| row.get::<_, String>(0))?;
        rows.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
    }

    /// Stores a new table.
    pub fn insert_table(&self, table: &TableMeta) -> Result<(), StoreError> {
        let document = serde_json::to_string(table)?;
        let added = self.transaction(|t| {
            Ok(t.execute(
                "INSERT OR IGNORE INTO tables VALUES(?1, ?2, ?3, ?4, ?5)",
                params![table.id, table.project, table.schema, table.name, document],
            )?)
        })?;
        if added == 0 {
            return Err(StoreError::AlreadyExists(format!(
                "table {}",
                table.full_name()
            )));
        }
        Ok(())
    }

    // Partitions.

    /// Partitions of a table ordered by their values.
    pub fn partitions(&self, table_id: &str) -> Result<Vec<PartitionInfo>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT p.spec, p.created_ms, p.modified_ms, coalesce(sum(f.rows), 0), coalesce(sum(f.bytes), 0), count(f.id)
             FROM partitions p LEFT JOIN files f ON f.table_id = p.table_id AND f.directory = p.directory
             WHERE p.table_id = ?1 GROUP BY p.directory",
        )?;
        let rows = statement.query_map([table_id], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, u64>(3)?,
                row.get::<_, u64>(4)?,
                row.get::<_, u64>(5)?,
            ))
        })?;
        let mut partitions = rows
            .map(|row| {
                let (spec, created_ms, modified_ms, rows, bytes, files) = row?;
                let spec = serde_json::from_str(&spec)?;
                Ok(PartitionInfo {
                    spec,
                    created_ms,
                    modified_ms,
                    rows,
                    bytes,
                    files,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        partitions.sort_by(|a, b| a.spec.cmp(&b.spec));
        Ok(partitions)
    }

    /// True when the partition exists.
    pub fn partition_exists(
        &self,
        table_id: &str,
        spec: &PartitionSpec,
    ) -> Result<bool, StoreError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT 1 FROM partitions WHERE table_id = ?1 AND directory = ?2")?;
        Ok(statement.exists([table_id, &spec.directory()])?)
    }

    /// Adds partitions that are missing; returns how many were added.
    pub fn add_partitions(
        &self,
        table_id: &str,
        specs: &[PartitionSpec],
    ) -> Result<usize, StoreError> {
        self.transaction(|t| {
            let mut added = 0;
            for spec in specs {
                added += t.execute(
                    "INSERT OR IGNORE INTO partitions VALUES(?1, ?2, ?3, ?4, ?4)",
                    params![
                        table_id,
                        spec.directory(),
                        serde_json::to_string(spec)?,
                        now_ms()
                    ],
                )?;
            }
            Ok(added)
        })
    }

    // Files.

    /// Committed files of a table (or of one partition) in row order: partition, bucket, age.
    pub fn files(
        &self,
        table_id: &str,
        partition: Option<&PartitionSpec>,
    ) -> Result<Vec<CommittedFile>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT f.name, p.spec, f.bucket, f.rows, f.bytes FROM files f
             LEFT JOIN partitions p ON p.table_id = f.table_id AND p.directory = f.directory
             WHERE f.table_id = ?1 AND (?2 IS NULL OR f.directory = ?2) ORDER BY f.directory, f.bucket, f.id",
        )?;
        let rows = statement.query_map(
            params![table_id, partition.map(PartitionSpec::directory)],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, Option<String>>(1)?,
                    row.get::<_, Option<u32>>(2)?,
                    row.get::<_, u64>(3)?,
                    row.get::<_, u64>(4)?,
                ))
            },
        )?;
        rows.map(|row| {
            let (name, spec, bucket, rows, bytes) = row?;
            let partition = spec.map(|spec| serde_json::from_str(&spec)).transpose()?;
            Ok(CommittedFile {
                name,
                partition,
                bucket,
                rows,
                bytes,
            })
        })
        .collect()
    }

    // Journal of renames.

    /// Renames not yet known to be done, oldest first.
    pub fn moves(&self) -> Result<Vec<FileMove>, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT id, source, target FROM moves ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            Ok(FileMove {
                id: row.get(0)?,
                from: row.get(1)?,
                to: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets renames that are done.
    pub fn forget_moves(&self, ids: &[i64]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.transaction(|t| forget_moves(t, ids))
    }

    // Sessions.

    /// Stores a new session.
    pub fn insert_session(&self, session: &Session) -> Result<(), StoreError> {
        let document = serde_json::to_string(&session.document)?;
        self.transaction(|t| {
            t.execute(
                "INSERT INTO sessions VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    session.id,
                    session.kind,
                    session.table_id,
                    session.status,
                    document,
                    session.revision,
                    session.created_ms,
                    session.modified_ms,
                    session.expires_ms
                ],
            )?;
            Ok(())
        })
    }

    /// The session with that id.
    pub fn session(&self, id: &str) -> Result<Option<Session>, StoreError> {
        Ok(self.query_sessions("WHERE id = ?1", id)?.pop())
    }

    /// Sessions of one kind, oldest first.
    pub fn sessions(&self, kind: &str) -> Result<Vec<Session>, StoreError> {
        self.query_sessions("WHERE kind = ?1 ORDER BY created_ms, id", kind)
    }

    /// All sessions.
    pub fn all_sessions(&self) -> Result<Vec<Session>, StoreError> {
        self.query_sessions("WHERE ?1 = '' ORDER BY created_ms, id", "")
    }

    fn query_sessions(&self, clause: &str, value: &str) -> Result<Vec<Session>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT id, kind, table_id, status, document, revision, created_ms, modified_ms, expires_ms FROM sessions {clause}"
        ))?;
        let rows = statement.query_map([value], |row| {
            Ok((
                Session {
                    id: row.get(0)?,
                    kind: row.get(1)?,
                    table_id: row.get(2)?,
                    status: row.get(3)?,
                    document: Value::Null,
                    revision: row.get(5)?,
                    created_ms: row.get(6)?,
                    modified_ms: row.get(7)?,
                    expires_ms: row.get(8)?,
                },
                row.get::<_, String>(4)?,
            ))
        })?;
        rows.map(|row| {
            let (session, document) = row?;
            Ok(Session {
                document: serde_json::from_str(&document)?,
                ..session
            })
        })
        .collect()
    }

    /// Applies an update alone.
    pub fn update_session(&self, update: &SessionUpdate) -> Result<(), StoreError> {
        self.transaction(|t| update_session(t, update))
    }

    /// Moves the end of life of a session.
    pub fn extend_session(&self, id: &str, expires_ms: i64) -> Result<(), StoreError> {
        self.transaction(|t| {
            t.execute(
                "UPDATE sessions SET expires_ms = ?2 WHERE id = ?1",
                params![id, expires_ms],
            )?;
            Ok(())
        })
    }

    /// Removes a session; unknown ids are fine.
    pub fn delete_session(&self, id: &str) -> Result<(), StoreError> {
        self.transaction(|t| {
            t.execute("DELETE FROM sessions WHERE id = ?1", [id])?;
            Ok(())
        })
    }

    // Instances.

    /// Stores or replaces the document of an instance.
    pub fn put_instance(
        &self,
        id: &str,
        project: &str,
        created_ms: i64,
        document: &Value,
    ) -> Result<(), StoreError> {
        let document = serde_json::to_string(document)?;
        self.transaction(|t| {
            t.execute(
                "INSERT INTO instances VALUES(?1, ?2, ?3, ?4) ON CONFLICT(id) DO UPDATE SET document = excluded.document",
                params![id, project, created_ms, document],
            )?;
            Ok(())
        })
    }

    /// Documents of the instances of a project, newest first.
    pub fn instances(&self, project: &str) -> Result<Vec<Value>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT document FROM instances WHERE project = ?1 ORDER BY created_ms DESC, id DESC LIMIT 10000",
        )?;
        let rows = statement.query_map([project], |row| row.get::<_, String>(0))?;
        rows.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
    }

    /// Document of one instance.
    pub fn instance(&self, project: &str, id: &str) -> Result<Option<Value>, StoreError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT document FROM instances WHERE project = ?1 AND id = ?2")?;
        let text: Option<String> = statement
            .query_row([project, id], |row| row.get(0))
            .optional()?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }
}

/// Parts of a transaction used by commits and DDL.
pub(crate) mod steps {
    use super::*;

    pub(crate) use super::update_session;

    pub(crate) fn put_table(t: &Transaction<'_>, table: &TableMeta) -> Result<(), StoreError> {
        t.execute(
            "UPDATE tables SET project = ?2, schema = ?3, name = ?4, document = ?5 WHERE id = ?1",
            params![
                table.id,
                table.project,
                table.schema,
                table.name,
                serde_json::to_string(table)?
            ],
        )?;
        Ok(())
    }

    pub(crate) fn add_moves(t: &Transaction<'_>, moves: &mut [FileMove]) -> Result<(), StoreError> {
        let mut statement = t.prepare_cached("INSERT INTO moves(source, target) VALUES(?1, ?2)")?;
        for step in moves {
            statement.execute([&step.from, &step.to])?;
            step.id = t.last_insert_rowid();
        }
        Ok(())
    }

    pub(crate) fn add_file(
        t: &Transaction<'_>,
        table_id: &str,
        file: &CommittedFile,
    ) -> Result<(), StoreError> {
        let directory = file
            .partition
            .as_ref()
            .map(PartitionSpec::directory)
            .unwrap_or_default();
        t.prepare_cached("INSERT INTO files(table_id, directory, bucket, name, rows, bytes) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![table_id, directory, file.bucket, file.name, file.rows, file.bytes])?;
        Ok(())
    }

    pub(crate) fn remove_file(t: &Transaction<'_>, name: &str) -> Result<(), StoreError> {
        t.prepare_cached("DELETE FROM files WHERE name = ?1")?
            .execute([name])?;
        Ok(())
    }

    pub(crate) fn touch_partition(
        t: &Transaction<'_>,
        table_id: &str,
        spec: &PartitionSpec,
    ) -> Result<(), StoreError> {
        t.execute(
            "UPDATE partitions SET modified_ms = ?3 WHERE table_id = ?1 AND directory = ?2",
            params![table_id, spec.directory(), now_ms()],
        )?;
        Ok(())
    }

    pub(crate) fn remove_partition(
        t: &Transaction<'_>,
        table_id: &str,
        spec: &PartitionSpec,
    ) -> Result<(), StoreError> {
        t.execute(
            "DELETE FROM partitions WHERE table_id = ?1 AND directory = ?2",
            params![table_id, spec.directory()],
        )?;
        t.execute(
            "DELETE FROM files WHERE table_id = ?1 AND directory = ?2",
            params![table_id, spec.directory()],
        )?;
        Ok(())
    }

    pub(crate) fn rename_partition(
        t: &Transaction<'_>,
        table_id: &str,
        from: &PartitionSpec,
        to: &PartitionSpec,
    ) -> Result<(), StoreError> {
        t.execute(
            "UPDATE partitions SET directory = ?3, spec = ?4, modified_ms = ?5 WHERE table_id = ?1 AND directory = ?2",
            params![table_id, from.directory(), to.directory(), serde_json::to_string(to)?, now_ms()],
        )?;
        t.execute(
            "UPDATE files SET directory = ?3 WHERE table_id = ?1 AND directory = ?2",
            params![table_id, from.directory(), to.directory()],
        )?;
        Ok(())
    }

    pub(crate) fn remove_table(t: &Transaction<'_>, table_id: &str) -> Result<(), StoreError> {
        t.execute("DELETE FROM tables WHERE id = ?1", [table_id])?;
        t.execute("DELETE FROM partitions WHERE table_id = ?1", [table_id])?;
        t.execute("DELETE FROM files WHERE table_id = ?1", [table_id])?;
        Ok(())
    }
}

fn forget_moves(t: &Transaction<'_>, ids: &[i64]) -> Result<(), StoreError> {
    let mut statement = t.prepare_cached("DELETE FROM moves WHERE id = ?1")?;
    for id in ids {
        statement.execute([id])?;
    }
    Ok(())
}

pub(crate) fn update_session(
    t: &Transaction<'_>,
    update: &SessionUpdate,
) -> Result<(), StoreError> {
    let revision: Option<u64> = t
        .prepare_cached("SELECT revision FROM sessions WHERE id = ?1")?
        .query_row([&update.id], |row| row.get(0))
        .optional()?;
    let Some(revision) = revision else {
        return Err(StoreError::NoSuchSession(update.id.clone()));
    };
    if update.expected.is_some_and(|expected| expected != revision) {
        return Err(StoreError::SessionConflict(update.id.clone()));
    }
    t.prepare_cached(
        "UPDATE sessions SET status = ?2, document = ?3, revision = revision + 1, modified_ms = ?4 WHERE id = ?1",
    )?
    .execute(params![update.id, update.status, serde_json::to_string(&update.document)?, now_ms()])?;
    Ok(())
}
