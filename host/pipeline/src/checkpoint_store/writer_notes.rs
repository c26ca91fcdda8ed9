//! States that writers take between two checkpoints: what the next run should know when this one
//! dies, for example which sessions to end. Kept beside the states of the checkpoint itself, and
//! gone with the next checkpoint.

use longshore_runtime::contract::State;
use rusqlite::{Connection, Result, Row, params};

pub(super) const LAYOUT: &str = "
create table if not exists writer_note (
    subtask integer primary key,
    format integer not null,
    payload blob not null
);
";

pub(super) fn put(connection: &Connection, subtask: u32, state: &State) -> Result<()> {
    connection
        .prepare_cached(
            "insert or replace into writer_note (subtask, format, payload) values (?1, ?2, ?3)",
        )?
        .execute(params![subtask, state.format, state.payload])
        .map(drop)
}

/// All of them, by subtask.
pub(super) fn all(connection: &Connection) -> Result<Vec<(u32, State)>> {
    let state = |row: &Row<'_>| -> Result<State> {
        Ok(State {
            format: row.get(1)?,
            payload: row.get(2)?,
        })
    };
    connection
        .prepare_cached("select subtask, format, payload from writer_note order by subtask")?
        .query_map([], |row| Ok((row.get(0)?, state(row)?)))?
        .collect()
}

pub(super) fn clear(connection: &Connection) -> Result<()> {
    connection.execute("delete from writer_note", []).map(drop)
}
