//! Which part of the source a checkpoint holds.

use rusqlite::OptionalExtension;

use super::{CheckpointStore, StoreError};
use crate::source::Position;

impl CheckpointStore {
    /// From where to where the rows of a checkpoint came in the source, for people.
    ///
    /// # Errors
    /// When the file can not be read, or [`StoreError::Corrupt`].
    pub fn source_range(&self, checkpoint: u64) -> Result<String, StoreError> {
        let start = match checkpoint.checked_sub(1) {
            Some(before) => self.position_at(before)?,
            None => None,
        };
        let end = self.position_at(checkpoint)?;
        let start = start.map_or_else(|| "the start".to_owned(), |start| start.to_string());
        let end = end.map_or_else(|| "an unknown place".to_owned(), |end| end.to_string());
        Ok(format!("after {start} up to {end}"))
    }

    /// Position of the newest of the checkpoints up to this number.
    fn position_at(&self, checkpoint: u64) -> Result<Option<Position>, StoreError> {
        let found: Option<String> = self
            .connection
            .query_row(
                "select position from checkpoint where id <= ?1 order by id desc limit 1",
                [checkpoint],
                |row| row.get(0),
            )
            .optional()
            .map_err(|e| StoreError::sqlite(&self.path, "read a checkpoint's position", e))?;
        let position = found.as_deref().map(Position::from_json).transpose();
        position.map_err(|e| StoreError::Corrupt {
            path: self.path.clone(),
            reason: format!("a source position up to checkpoint {checkpoint} is no JSON: {e}"),
        })
    }
}
