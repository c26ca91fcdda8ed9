//! Whether what a run goes on from is as it was written.
//!
//! SQLite notices a page that makes no sense, but not a changed digit in a position: the rows that
//! matter carry a digest of their content.

use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Result};
use sha2::{Digest, Sha256};

/// The tables that a run goes on from: name, columns that a row's digest covers (what never
/// changes later), and the rows it is checked of (the payload of what is committed is dropped).
pub(super) const PROGRESS: [(&str, &str, &str); 4] = [
    ("meta", "key, value", "true"),
    ("checkpoint", "id, stored_ms, position", "true"),
    (
        "committable",
        "checkpoint, sequence, catalog, schema, \"table\", format, payload",
        "committed_ms is null",
    ),
    ("sink_state", "checkpoint, subtask, format, payload", "true"),
];

/// Teaches a connection `row_digest(…)`, which the statements of this store use.
pub(super) fn teach_digest(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("row_digest", -1, flags, |arguments| {
        let mut hasher = Sha256::new();
        for index in 0..arguments.len() {
            let number;
            let (kind, bytes): (u8, &[u8]) = match arguments.get_raw(index) {
                ValueRef::Null => (0, &[]),
                ValueRef::Integer(value) => {
                    number = value.to_le_bytes();
                    (1, &number)
                }
                ValueRef::Real(value) => {
                    number = value.to_le_bytes();
                    (2, &number)
                }
                ValueRef::Text(bytes) => (3, bytes),
                ValueRef::Blob(bytes) => (4, bytes),
            };
            hasher.update([kind]);
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        Ok(hasher.finalize().to_vec())
    })
}

/// Gives the tables of the first format their digests.
pub(super) fn add_digests(connection: &Connection) -> Result<()> {
    for (table, _, _) in PROGRESS {
        connection.execute_batch(&format!("alter table {table} add column digest blob"))?;
    }
    write_digests(connection)
}

/// Writes the digests of all rows as they are.
pub(super) fn write_digests(connection: &Connection) -> Result<()> {
    for (table, columns, _) in PROGRESS {
        connection.execute_batch(&format!(
            "update {table} set digest = row_digest({columns})"
        ))?;
    }
    Ok(())
}

/// What is wrong with the tables that a run goes on from, in a store of this format; none =
/// nothing. Reads little: dead letters and what was committed stay out.
pub(super) fn fault(connection: &Connection, format: u32) -> Result<Option<String>> {
    for (table, columns, rows) in PROGRESS {
        let found: String =
            connection.query_row(&format!("pragma quick_check({table})"), [], |row| {
                row.get(0)
            })?;
        if found != "ok" {
            return Ok(Some(format!("table `{table}`: {found}")));
        }
        if format < 2 {
            continue;
        }
        let (key, _) = columns.split_once(',').unwrap_or((columns, ""));
        let changed = connection
            .query_row(
                &format!(
                    "select cast({key} as text) from {table} \
                     where digest is not null and digest is not row_digest({columns}) and {rows} limit 1"
                ),
                [],
                |row| row.get::<_, Option<String>>(0),
            )
            .optional()?;
        if let Some(row) = changed {
            return Ok(Some(format!(
                "table `{table}`: the row of {key} {} is not as it was written",
                row.unwrap_or_default()
            )));
        }
    }
    Ok(None)
}
