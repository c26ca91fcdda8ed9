//! Commits: staged files become visible, together with the change of their session.

use std::sync::atomic::Ordering;

use super::{Mode, StagedFile, Store, layout};
use crate::catalog::{
    CommittedFile, FileMove, PartitionSpec, SessionUpdate, StoreError, TableMeta, now_ms, steps,
};

/// New and removed files of one commit.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) added: Vec<CommittedFile>,
    /// Staged name of each added file.
    pub(super) staged: Vec<String>,
    pub(super) removed: Vec<CommittedFile>,
    /// Staged files that were only input (upsert packs), to be removed afterwards.
    pub(super) consumed: Vec<String>,
}

impl Store {
    /// Makes staged append files visible in this order, after the rows that are there (or instead
    /// of them with `overwrite`), and applies the session update in the same transaction.
    ///
    /// `partition` must be given exactly for partitioned tables; it must exist
    /// ([`StoreError::NoSuchPartition`]).
    pub fn commit_append(
        &self,
        table: &TableMeta,
        partition: Option<&PartitionSpec>,
        files: &[StagedFile],
        overwrite: bool,
        session: Option<&SessionUpdate>,
    ) -> Result<(), StoreError> {
        self.with_table_lock(&table.id, || {
            let table = self.target(table, partition)?;
            let mut change = Change::default();
            if self.mode() == Mode::Store {
                if overwrite {
                    change.removed = self.database().files(&table.id, partition)?;
                }
                for part in files.iter().flat_map(|file| &file.parts) {
                    change.added.push(CommittedFile {
                        name: data_name(None),
                        partition: partition.cloned(),
                        bucket: None,
                        rows: part.rows,
                        bytes: part.bytes,
                    });
                    change.staged.push(part.staged.clone());
                }
            }
            self.apply(table, partition, &change, session)?;
            self.count(files);
            Ok(())
        })
    }

    /// Merges upsert packs, oldest first, into the partition (or the unpartitioned table): per key
    /// the last upsert wins, deletes remove the row. The session update is part of it.
    pub fn commit_upsert(
        &self,
        table: &TableMeta,
        partition: Option<&PartitionSpec>,
        packs: &[StagedFile],
        session: Option<&SessionUpdate>,
    ) -> Result<(), StoreError> {
        self.with_table_lock(&table.id, || {
            let table = self.target(table, partition)?;
            if !table.is_delta() {
                return Err(StoreError::Invalid(format!(
                    "table {} has no primary key",
                    table.full_name()
                )));
            }
            let change = match self.mode() {
                Mode::Store => self.merge(&table, partition, packs)?,
                Mode::Discard => Change::default(),
            };
            if let Err(error) = self.apply(table, partition, &change, session) {
                for name in &change.staged {
                    layout::remove_if_present(&layout::staging_dir(self.data_dir()).join(name))?;
                }
                return Err(error);
            }
            self.count(packs);
            Ok(())
        })
    }

    /// The table as it is now, when the partition fits it and exists.
    fn target(
        &self,
        table: &TableMeta,
        partition: Option<&PartitionSpec>,
    ) -> Result<TableMeta, StoreError> {
        let Some(current) = self.database().table_by_id(&table.id)? else {
            return Err(StoreError::NoSuchTable(table.full_name()));
        };
        match partition {
            None if current.is_partitioned() => Err(StoreError::InvalidPartition {
                table: current.full_name(),
                text: String::new(),
                reason: "the table is partitioned: name a partition".to_owned(),
            }),
            None => Ok(current),
            Some(spec) if self.partition_exists(&current, spec)? => Ok(current),
            Some(spec) => Err(StoreError::NoSuchPartition {
                table: current.full_name(),
                partition: spec.to_string(),
            }),
        }
    }

    fn apply(
        &self,
        mut table: TableMeta,
        partition: Option<&PartitionSpec>,
        change: &Change,
        session: Option<&SessionUpdate>,
    ) -> Result<(), StoreError> {
        let dir = layout::partition_dir(&table, partition);
        let mut moves: Vec<FileMove> = change
            .added
            .iter()
            .zip(&change.staged)
            .map(|(file, staged)| {
                FileMove::new(layout::staged_path(staged), format!("{dir}/{}", file.name))
            })
            .chain(change.removed.iter().map(|file| {
                FileMove::new(
                    format!(
                        "{}/{}",
                        layout::partition_dir(&table, file.partition.as_ref()),
                        file.name
                    ),
                    layout::retired_path(&file.name),
                )
            }))
            .collect();
        table.modified_ms = now_ms();
        self.database().transaction(|t| {
            for file in &change.removed {
                steps::remove_file(t, &file.name)?;
            }
            for file in &change.added {
                steps::add_file(t, &table.id, file)?;
            }
            if let Some(partition) = partition {
                steps::touch_partition(t, &table.id, partition)?;
            }
            steps::put_table(t, &table)?;
            steps::add_moves(t, &mut moves)?;
            if let Some(session) = session {
                steps::update_session(t, session)?;
            }
            Ok(())
        })?;
        // From here the commit is durable; the journal finishes it after a crash.
        self.finish_moves(&moves)?;
        for name in &change.consumed {
            layout::remove_if_present(&layout::staging_dir(self.data_dir()).join(name))?;
        }
        Ok(())
    }

    /// Does journaled renames and forgets them.
    pub(super) fn finish_moves(&self, moves: &[FileMove]) -> Result<(), StoreError> {
        layout::apply_moves(self.data_dir(), moves)?;
        self.database()
            .forget_moves(&moves.iter().map(|m| m.id).collect::<Vec<_>>())?;
        self.retire(moves)
    }

    fn count(&self, files: &[StagedFile]) {
        let rows = files.iter().map(|file| file.rows).sum();
        self.inner.committed_rows.fetch_add(rows, Ordering::Relaxed);
        self.inner.commits.fetch_add(1, Ordering::Relaxed);
    }
}

/// Name of a committed file; a Delta file shows its bucket.
pub(super) fn data_name(bucket: Option<u32>) -> String {
    let id = uuid::Uuid::new_v4().simple();
    match bucket {
        Some(bucket) => format!("bucket-{bucket:05}-{id}.parquet"),
        None => format!("part-{:013}-{id}.parquet", now_ms()),
    }
}
