//! The store's tables, and the statements on them.

use std::collections::BTreeMap;

use longshore_runtime::contract::{Committable, State, TablePath};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::{HistoryEntry, NewCheckpoint, Pending, TableRows};

/// Format 1, which the later ones start from.
pub(super) const FIRST_LAYOUT: &str = "
create table meta (
    key text primary key,
    value text not null
) without rowid;
create table checkpoint (
    id integer primary key,
    stored_ms integer not null,
    committed_ms integer,
    position text not null,
    finished integer not null
);
create table committable (
    checkpoint integer not null references checkpoint (id),
    sequence integer not null,
    catalog text,
    schema text,
    \"table\" text not null,
    format integer not null,
    payload blob,
    committed_ms integer,
    primary key (checkpoint, sequence)
) without rowid;
create index pending on committable (checkpoint, sequence) where committed_ms is null;
create table sink_state (
    checkpoint integer not null references checkpoint (id),
    subtask integer not null,
    format integer not null,
    payload blob not null,
    primary key (checkpoint, subtask)
) without rowid;
create table table_rows (
    checkpoint integer not null references checkpoint (id),
    \"table\" text not null,
    read integer not null,
    written integer not null,
    skipped integer not null,
    primary key (checkpoint, \"table\")
) without rowid;
";

pub(super) const LAST_ID: &str = "last-checkpoint";

/// Key of the target tables' state in `meta`.
pub(super) const TARGETS: &str = "targets";

/// Key in `meta` of the last group of dead letters that is in a file.
pub(super) const DEAD_LETTER_FILES: &str = "dead-letter-files";

pub(super) fn meta(connection: &Connection, key: &str) -> Result<Option<String>> {
    connection
        .query_row("select value from meta where key = ?1", [key], |row| {
            row.get(0)
        })
        .optional()
}

pub(super) fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<()> {
    connection
        .execute(
            "insert or replace into meta (key, value, digest) values (?1, ?2, row_digest(?1, ?2))",
            [key, value],
        )
        .map(drop)
}

/// Number of the newest checkpoint there ever was, 0 when there was none.
pub(super) fn last_id(connection: &Connection) -> Result<u64> {
    Ok(meta(connection, LAST_ID)?
        .and_then(|text| text.parse().ok())
        .unwrap_or(0))
}

pub(super) fn clear(connection: &Connection) -> Result<()> {
    connection.execute_batch(
        "delete from committable; delete from sink_state; delete from table_rows; delete from checkpoint;
         delete from meta where key = 'targets';",
    )
}

/// Lets the store belong to nobody.
pub(super) fn forget_owner(connection: &Connection) -> Result<()> {
    connection
        .execute(
            "delete from meta where key in ('identity', 'pipeline', 'source', 'sink')",
            [],
        )
        .map(drop)
}

/// Adds committables to the newest checkpoint; `None` when there is none to add them to.
pub(super) fn append(
    connection: &Connection,
    committables: Vec<Committable>,
) -> Result<Option<Vec<Pending>>> {
    if committables.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let newest: Option<u64> =
        connection.query_row("select max(id) from checkpoint", [], |row| row.get(0))?;
    let Some(checkpoint) = newest else {
        return Ok(None);
    };
    let first: u32 = connection.query_row(
        "select coalesce(max(sequence) + 1, 0) from committable where checkpoint = ?1",
        [checkpoint],
        |row| row.get(0),
    )?;
    insert_committables(connection, checkpoint, first, &committables)?;
    connection.execute(
        "update checkpoint set committed_ms = null where id = ?1",
        [checkpoint],
    )?;
    let pending = (first..).zip(committables);
    let pending = pending.map(|(sequence, committable)| Pending {
        checkpoint,
        sequence,
        committable,
    });
    Ok(Some(pending.collect()))
}

fn insert_committables(
    connection: &Connection,
    checkpoint: u64,
    first: u32,
    committables: &[Committable],
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "insert into committable (checkpoint, sequence, catalog, schema, \"table\", format, payload, digest) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, row_digest(?1, ?2, ?3, ?4, ?5, ?6, ?7))",
    )?;
    for (sequence, item) in (first..).zip(committables) {
        let path = &item.table;
        statement.execute(params![
            checkpoint,
            sequence,
            path.catalog,
            path.schema,
            path.table,
            item.format,
            item.payload
        ])?;
    }
    Ok(())
}

/// Replaces the states of the newest checkpoint.
pub(super) fn replace_states(connection: &Connection, states: &[State]) -> Result<()> {
    let newest: Option<u64> =
        connection.query_row("select max(id) from checkpoint", [], |row| row.get(0))?;
    let Some(newest) = newest else {
        return Ok(());
    };
    connection.execute("delete from sink_state where checkpoint = ?1", [newest])?;
    insert_states(connection, newest, states)
}

fn insert_states(connection: &Connection, checkpoint: u64, states: &[State]) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "insert into sink_state (checkpoint, subtask, format, payload, digest) \
         values (?1, ?2, ?3, ?4, row_digest(?1, ?2, ?3, ?4))",
    )?;
    for (subtask, state) in states.iter().enumerate() {
        statement.execute(params![checkpoint, subtask, state.format, state.payload])?;
    }
    Ok(())
}

pub(super) fn insert(connection: &Connection, new: &NewCheckpoint<'_>, now: i64) -> Result<()> {
    let committed = new.committables.is_empty().then_some(now);
    connection.execute(
        "insert into checkpoint (id, stored_ms, committed_ms, position, finished, digest) \
         values (?1, ?2, ?3, ?4, ?5, row_digest(?1, ?2, ?4))",
        params![new.id, now, committed, new.position.to_json(), new.finished],
    )?;
    set_meta(connection, LAST_ID, &new.id.to_string())?;
    set_meta(connection, TARGETS, new.targets)?;
    insert_committables(connection, new.id, 0, new.committables)?;
    insert_states(connection, new.id, new.states)?;
    let mut statement = connection.prepare_cached(
        "insert into table_rows (checkpoint, \"table\", read, written, skipped) values (?1, ?2, ?3, ?4, ?5)",
    )?;
    for rows in new.tables {
        statement.execute(params![
            new.id,
            rows.table,
            rows.read,
            rows.written,
            rows.skipped
        ])?;
    }
    // Only the newest state can ever be restored.
    connection
        .execute("delete from sink_state where checkpoint < ?1", [new.id])
        .map(drop)
}

/// Forgets checkpoints up to `upto` that have nothing left to commit.
pub(super) fn prune(connection: &Connection, upto: u64) -> Result<()> {
    for table in ["committable", "table_rows"] {
        connection.execute(
            &format!(
                "delete from {table} where checkpoint in \
                 (select id from checkpoint where id <= ?1 and committed_ms is not null)"
            ),
            [upto],
        )?;
    }
    connection
        .execute(
            "delete from checkpoint where id <= ?1 and committed_ms is not null",
            [upto],
        )
        .map(drop)
}

/// Positions of a checkpoint and of the one before it, in this order.
pub(super) fn last_positions(connection: &Connection, checkpoint: u64) -> Result<Vec<String>> {
    connection
        .prepare_cached("select position from checkpoint where id <= ?1 order by id desc limit 2")?
        .query_map([checkpoint], |row| row.get(0))?
        .collect()
}

pub(super) fn states(connection: &Connection, checkpoint: u64) -> Result<Vec<State>> {
    connection
        .prepare_cached(
            "select format, payload from sink_state where checkpoint = ?1 order by subtask",
        )?
        .query_map([checkpoint], |row| {
            Ok(State {
                format: row.get(0)?,
                payload: row.get(1)?,
            })
        })?
        .collect()
}

pub(super) fn pending(connection: &Connection) -> Result<Vec<Pending>> {
    connection
        .prepare_cached(
            "select checkpoint, sequence, catalog, schema, \"table\", format, payload \
             from committable where committed_ms is null order by checkpoint, sequence",
        )?
        .query_map([], |row| {
            Ok(Pending {
                checkpoint: row.get(0)?,
                sequence: row.get(1)?,
                committable: Committable {
                    table: TablePath {
                        catalog: row.get(2)?,
                        schema: row.get(3)?,
                        table: row.get(4)?,
                    },
                    format: row.get(5)?,
                    payload: row.get(6)?,
                },
            })
        })?
        .collect()
}

pub(super) fn mark_committed(
    connection: &Connection,
    checkpoint: u64,
    sequences: &[u32],
    now: i64,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "update committable set committed_ms = ?3, payload = null where checkpoint = ?1 and sequence = ?2",
    )?;
    for sequence in sequences {
        statement.execute(params![checkpoint, sequence, now])?;
    }
    connection
        .execute(
            "update checkpoint set committed_ms = ?2 where id = ?1 and committed_ms is null and not exists \
             (select 1 from committable where checkpoint = ?1 and committed_ms is null)",
            params![checkpoint, now],
        )
        .map(drop)
}

pub(super) fn mark_finished(connection: &Connection) -> Result<()> {
    connection
        .execute(
            "update checkpoint set finished = 1 where id = (select max(id) from checkpoint)",
            [],
        )
        .map(drop)
}

pub(super) fn history(connection: &Connection, limit: u32) -> Result<Vec<HistoryEntry>> {
    let mut entries: Vec<HistoryEntry> = connection
        .prepare_cached(
            "select id, stored_ms, committed_ms, finished from checkpoint order by id desc limit ?1",
        )?
        .query_map([limit], |row| {
            Ok(HistoryEntry {
                id: row.get(0)?,
                stored_ms: row.get(1)?,
                committed_ms: row.get(2)?,
                finished: row.get(3)?,
                tables: Vec::new(),
            })
        })?
        .collect::<Result<_>>()?;
    let oldest = entries.last().map_or(u64::MAX, |entry| entry.id);
    let mut tables: BTreeMap<u64, Vec<TableRows>> = BTreeMap::new();
    let mut statement = connection.prepare_cached(
        "select checkpoint, \"table\", read, written, skipped from table_rows where checkpoint >= ?1",
    )?;
    let mut found = statement.query([oldest.min(i64::MAX.unsigned_abs())])?;
    while let Some(row) = found.next()? {
        tables.entry(row.get(0)?).or_default().push(TableRows {
            table: row.get(1)?,
            read: row.get(2)?,
            written: row.get(3)?,
            skipped: row.get(4)?,
            ..TableRows::default()
        });
    }
    for entry in &mut entries {
        entry.tables = tables.remove(&entry.id).unwrap_or_default();
    }
    Ok(entries)
}
