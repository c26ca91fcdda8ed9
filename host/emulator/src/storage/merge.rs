//! Copy-on-write merge of upsert packs into the buckets of a Delta table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;

use arrow::row::{RowConverter, SortField};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_select::interleave::interleave;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::columns::{nulls, to_memory};
use super::commit::{Change, data_name};
use super::staging::{OPERATION_COLUMN, OPERATION_DELETE, OPERATION_UPSERT, VALUE_COLUMNS};
use super::{Snapshot, StageKind, StagedFile, Store, layout};
use crate::catalog::{CommittedFile, FIELD_ID, PartitionSpec, StoreError, TableMeta};

/// Rows of a written batch, at most.
const OUTPUT_ROWS: usize = 16 * 1024;

/// Where the value of a cell comes from: batch and row.
type Origin = (usize, usize);

/// A row of the merge result.
enum Winner {
    Whole(Origin),
    /// After a partial update: one origin per column.
    Mixed(Box<[Origin]>),
}

impl Store {
    /// Merges packs into the bucket files of one partition; writes the new files to staging.
    pub(super) fn merge(
        &self,
        table: &TableMeta,
        partition: Option<&PartitionSpec>,
        packs: &[StagedFile],
    ) -> Result<Change, StoreError> {
        let mut by_bucket: Vec<(u32, Vec<&StagedFile>)> = Vec::new();
        for pack in packs {
            let bucket = pack.bucket.ok_or_else(|| {
                StoreError::Invalid(format!(
                    "a pack for table {} has no bucket",
                    table.full_name()
                ))
            })?;
            match by_bucket.iter_mut().find(|(b, _)| *b == bucket) {
                Some((_, packs)) => packs.push(pack),
                None => by_bucket.push((bucket, vec![pack])),
            }
        }
        let existing = self.database().files(&table.id, partition)?;
        let mut change = Change::default();
        for (bucket, packs) in by_bucket {
            if packs.iter().all(|pack| pack.rows == 0) {
                continue;
            }
            let old: Vec<CommittedFile> = existing
                .iter()
                .filter(|file| file.bucket == Some(bucket))
                .cloned()
                .collect();
            let mut merge = BucketMerge::new(table)?;
            let snapshot = Snapshot {
                table: std::sync::Arc::new(table.clone()),
                files: old.clone(),
            };
            for batch in self.scan_all(&snapshot)? {
                merge.add_existing(batch?)?;
            }
            for part in packs.iter().flat_map(|pack| &pack.parts) {
                self.add_pack(table, &mut merge, &part.staged)?;
                change.consumed.push(part.staged.clone());
            }
            let staged = self.stage(table, StageKind::Append, merge.finish())?;
            for part in staged.parts {
                change.added.push(CommittedFile {
                    name: data_name(Some(bucket)),
                    partition: partition.cloned(),
                    bucket: Some(bucket),
                    rows: part.rows,
                    bytes: part.bytes,
                });
                change.staged.push(part.staged);
            }
            change.removed.extend(old);
        }
        Ok(change)
    }

    fn add_pack(
        &self,
        table: &TableMeta,
        merge: &mut BucketMerge,
        name: &str,
    ) -> Result<(), StoreError> {
        let path = layout::staging_dir(self.data_dir()).join(name);
        let failed = |e| StoreError::parquet(format!("reading pack {name}"), e);
        let file = File::open(&path)
            .map_err(|e| StoreError::io(format!("opening {}", path.display()), e))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(failed)?
            .build()
            .map_err(failed)?;
        for batch in reader {
            let batch = batch?;
            let schema = batch.schema();
            let by_id = |id: i64| {
                schema.fields().iter().position(|field| {
                    field
                        .metadata()
                        .get(FIELD_ID)
                        .and_then(|v| v.parse::<i64>().ok())
                        == Some(id)
                })
            };
            // The pack may be older than the last change of the columns.
            let columns = table
                .columns
                .iter()
                .map(|column| match by_id(column.column_id) {
                    Some(index) => to_memory(batch.column(index), &column.ty),
                    None => Ok(nulls(&column.ty, batch.num_rows())),
                })
                .collect::<Result<Vec<_>, _>>()?;
            let extra = |name: &str| {
                batch.column_by_name(name).cloned().ok_or_else(|| {
                    StoreError::Invalid(format!(
                        "a pack for table {} lacks {name}",
                        table.full_name()
                    ))
                })
            };
            let operations = extra(OPERATION_COLUMN)?;
            let value_columns = extra(VALUE_COLUMNS)?;
            let rows = RecordBatch::try_new(table.arrow_schema(), columns)?;
            merge.add_pack(rows, &operations, &value_columns)?;
        }
        Ok(())
    }
}

struct BucketMerge {
    converter: RowConverter,
    keys: Vec<usize>,
    column_ids: Vec<i64>,
    batches: Vec<RecordBatch>,
    /// Slot of each live key.
    slots: HashMap<Box<[u8]>, usize>,
    /// Rows in order of first appearance; None after a delete.
    winners: Vec<Option<Winner>>,
}

impl BucketMerge {
    fn new(table: &TableMeta) -> Result<Self, StoreError> {
        let keys = table.key_indices();
        let fields = keys
            .iter()
            .filter_map(|i| table.columns.get(*i))
            .map(|column| SortField::new(column.ty.arrow_type()))
            .collect();
        Ok(Self {
            converter: RowConverter::new(fields)?,
            keys,
            column_ids: table.columns.iter().map(|c| c.column_id).collect(),
            batches: Vec::new(),
            slots: HashMap::new(),
            winners: Vec::new(),
        })
    }

    fn key_rows(&self, batch: &RecordBatch) -> Result<arrow::row::Rows, StoreError> {
        let columns: Vec<ArrayRef> = self.keys.iter().map(|i| batch.column(*i).clone()).collect();
        Ok(self.converter.convert_columns(&columns)?)
    }

    fn add_existing(&mut self, batch: RecordBatch) -> Result<(), StoreError> {
        let keys = self.key_rows(&batch)?;
        let number = self.batches.len();
        for (row, key) in keys.iter().enumerate() {
            self.upsert(key.as_ref(), (number, row), None);
        }
        self.batches.push(batch);
        Ok(())
    }

    fn add_pack(
        &mut self,
        batch: RecordBatch,
        operations: &ArrayRef,
        value_columns: &ArrayRef,
    ) -> Result<(), StoreError> {
        let keys = self.key_rows(&batch)?;
        let number = self.batches.len();
        let operations = operations.as_primitive::<Int8Type>();
        let value_columns = value_columns.as_list::<i32>();
        for (row, key) in keys.iter().enumerate() {
            match operations.value(row) {
                OPERATION_DELETE => {
                    if let Some(slot) = self.slots.remove(key.as_ref())
                        && let Some(winner) = self.winners.get_mut(slot)
                    {
                        *winner = None;
                    }
                }
                OPERATION_UPSERT => {
                    let ids = if value_columns.is_null(row) {
                        Vec::new()
                    } else {
                        value_columns
                            .value(row)
                            .as_primitive::<Int64Type>()
                            .values()
                            .to_vec()
                    };
                    self.upsert(
                        key.as_ref(),
                        (number, row),
                        (!ids.is_empty()).then_some(ids.as_slice()),
                    );
                }
                other => return Err(StoreError::Invalid(format!("operation {other} is unknown"))),
            }
        }
        self.batches.push(batch);
        Ok(())
    }

    fn upsert(&mut self, key: &[u8], origin: Origin, updated: Option<&[i64]>) {
        match self.slots.entry(key.into()) {
            Entry::Vacant(entry) => {
                entry.insert(self.winners.len());
                // A partial update of a missing row inserts it; unlisted columns came as NULL.
                self.winners.push(Some(Winner::Whole(origin)));
            }
            Entry::Occupied(entry) => {
                let Some(slot) = self.winners.get_mut(*entry.get()) else {
                    return;
                };
                *slot = Some(match (updated, slot.take()) {
                    (Some(updated), Some(before)) => {
                        let cells = self.column_ids.iter().enumerate().map(|(column, id)| {
                            if updated.contains(id) {
                                return origin;
                            }
                            match &before {
                                Winner::Whole(origin) => *origin,
                                Winner::Mixed(cells) => {
                                    cells.get(column).copied().unwrap_or(origin)
                                }
                            }
                        });
                        Winner::Mixed(cells.collect())
                    }
                    _ => Winner::Whole(origin),
                });
            }
        }
    }

    /// The merged rows.
    fn finish(self) -> impl Iterator<Item = Result<RecordBatch, StoreError>> {
        let live: Vec<Winner> = self.winners.into_iter().flatten().collect();
        let batches = self.batches;
        let columns = self.column_ids.len();
        let chunks = live.len().div_ceil(OUTPUT_ROWS);
        (0..chunks).map(move |chunk| {
            let rows: Vec<&Winner> = live
                .iter()
                .skip(chunk * OUTPUT_ROWS)
                .take(OUTPUT_ROWS)
                .collect();
            let mut arrays = Vec::with_capacity(columns);
            for column in 0..columns {
                let sources: Vec<&dyn Array> =
                    batches.iter().map(|b| b.column(column).as_ref()).collect();
                let indices: Vec<Origin> = rows
                    .iter()
                    .map(|winner| match winner {
                        Winner::Whole(origin) => *origin,
                        Winner::Mixed(cells) => cells.get(column).copied().unwrap_or_default(),
                    })
                    .collect();
                arrays.push(interleave(&sources, &indices)?);
            }
            let schema = batches.first().map(RecordBatch::schema);
            let schema =
                schema.ok_or_else(|| StoreError::Invalid("a merge without input".to_owned()))?;
            Ok(RecordBatch::try_new(schema, arrays)?)
        })
    }
}
