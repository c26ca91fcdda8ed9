//! Where in the two-phase commit a kill hit, read from the stores of host and server.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// How far the checkpoint of the moment had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// No checkpoint was stored.
    BeforeFirst,
    /// All stored checkpoints were committed and noted; rows of the next may have been on their way.
    Between,
    /// A checkpoint was stored, nothing of it committed at the server.
    Stored,
    /// The server had committed some or all of a checkpoint, and the host had not noted it.
    CommittedNotNoted,
    /// The source was done and everything noted.
    AfterLast,
    /// The stores could not be read at that moment.
    Unknown,
}

/// All moments, in order of time.
pub const MOMENTS: [Moment; 6] = [
    Moment::BeforeFirst,
    Moment::Between,
    Moment::Stored,
    Moment::CommittedNotNoted,
    Moment::AfterLast,
    Moment::Unknown,
];

impl Moment {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeFirst => "before the first checkpoint",
            Self::Between => "between two checkpoints",
            Self::Stored => "stored, not committed",
            Self::CommittedNotNoted => "committed, not noted",
            Self::AfterLast => "after the last",
            Self::Unknown => "unknown",
        }
    }

    /// The moment that the two files tell: the host's checkpoint store and the server's catalog.
    pub(crate) fn of(checkpoints: &Path, catalog: &Path) -> Self {
        if !checkpoints.exists() {
            return Self::BeforeFirst;
        }
        Self::read(checkpoints, catalog).unwrap_or(Self::Unknown)
    }

    fn read(checkpoints: &Path, catalog: &Path) -> rusqlite::Result<Self> {
        let store = open(checkpoints)?;
        let layout: u32 = store.query_row("pragma user_version", [], |row| row.get(0))?;
        if layout == 0 {
            return Ok(Self::BeforeFirst);
        }
        let newest =
            store.query_row("select max(id), max(finished) from checkpoint", [], |row| {
                Ok((
                    row.get::<_, Option<u64>>(0)?,
                    row.get::<_, Option<bool>>(1)?,
                ))
            })?;
        let (Some(_), Some(finished)) = newest else {
            return Ok(Self::BeforeFirst);
        };
        let pending: Vec<Vec<u8>> = store
            .prepare("select payload from committable where committed_ms is null")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if pending.is_empty() {
            return Ok(match finished {
                true => Self::AfterLast,
                false => Self::Between,
            });
        }
        let committed: Vec<String> = open(catalog)?
            .prepare("select id from sessions where status in ('closed', 'committed')")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let is_committed = |payload: &Vec<u8>| {
            let payload = String::from_utf8_lossy(payload);
            committed.iter().any(|session| payload.contains(session))
        };
        Ok(match pending.iter().any(is_committed) {
            true => Self::CommittedNotNoted,
            false => Self::Stored,
        })
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(1))?;
    Ok(connection)
}
