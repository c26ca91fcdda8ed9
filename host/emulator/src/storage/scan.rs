//! Reading committed rows.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use serde::{Deserialize, Serialize};

use super::columns::{nulls, to_memory};
use super::{Store, layout};
use crate::catalog::{
    Column, ColumnType, CommittedFile, FIELD_ID, PartitionSpec, StoreError, TableMeta, same_name,
};

/// Rows of a batch of a scan, at most.
const BATCH_ROWS: usize = 8192;

/// The files that make up a table (or some partitions) at one moment, in row order. Serializable:
/// a download session keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The table as it was then: scans give these columns.
    pub table: Arc<TableMeta>,
    /// Its files.
    pub files: Vec<CommittedFile>,
}

impl Snapshot {
    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Keeps only files of partitions that `keep` wants; unpartitioned files stay.
    pub fn retain(&mut self, keep: impl Fn(&PartitionSpec) -> bool) {
        self.files
            .retain(|file| file.partition.as_ref().is_none_or(&keep));
    }
}

impl Store {
    /// What is visible now: of one partition, or of the whole table.
    pub fn snapshot(
        &self,
        table: &TableMeta,
        partition: Option<&PartitionSpec>,
    ) -> Result<Snapshot, StoreError> {
        let current = self.table_by_id(&table.id)?;
        let files = self.database().files(&table.id, partition)?;
        Ok(Snapshot {
            table: current,
            files,
        })
    }

    /// Reads rows `range` of a snapshot (cut at its end), the named columns in that order, data or
    /// partition columns, letter case ignored. Batches have at most 8192 rows and in-memory types.
    ///
    /// Fails with [`StoreError::Modified`] when a file of the snapshot is gone, which can happen
    /// minutes after overwrites and merges, after drops, and after a restart.
    pub fn scan(
        &self,
        snapshot: &Snapshot,
        columns: &[&str],
        range: Range<u64>,
    ) -> Result<Scan, StoreError> {
        let mut wanted = Vec::with_capacity(columns.len());
        for name in columns {
            let column = snapshot.table.any_column(name).cloned().ok_or_else(|| {
                StoreError::Invalid(format!(
                    "table {} has no column `{name}`",
                    snapshot.table.full_name()
                ))
            })?;
            wanted.push(column);
        }
        let schema = Arc::new(Schema::new(
            wanted.iter().map(Column::field).collect::<Vec<_>>(),
        ));
        Ok(Scan {
            store: self.clone(),
            table: snapshot.table.clone(),
            columns: wanted,
            schema,
            files: snapshot.files.clone().into_iter(),
            skip: range.start,
            left: range.end.saturating_sub(range.start),
            current: None,
        })
    }

    /// Reads all data columns and all rows.
    pub fn scan_all(&self, snapshot: &Snapshot) -> Result<Scan, StoreError> {
        let columns: Vec<&str> = snapshot
            .table
            .columns
            .iter()
            .map(|c| c.name.as_str())
            .collect();
        self.scan(snapshot, &columns, 0..u64::MAX)
    }

    /// Opens a committed file wherever it is: in place, not yet renamed, or retired.
    fn open_file(&self, table: &TableMeta, file: &CommittedFile) -> Result<File, StoreError> {
        // The table may have been renamed since the snapshot was taken.
        let table = self
            .database()
            .table_by_id(&table.id)?
            .unwrap_or_else(|| table.clone());
        let place = format!(
            "{}/{}",
            layout::partition_dir(&table, file.partition.as_ref()),
            file.name
        );
        let open = |place: &str| {
            let path = self.data_dir().join(place);
            match File::open(&path) {
                Ok(file) => Ok(Some(file)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(StoreError::io(format!("opening {}", path.display()), error)),
            }
        };
        if let Some(file) = open(&place)? {
            return Ok(file);
        }
        // Its commit is in the catalog before it is renamed, and the name it has until then is not
        // the one it gets.
        let moves = self.database().moves()?;
        if let Some(step) = moves.iter().find(|step| step.to == place)
            && let Some(file) = open(&step.from)?
        {
            return Ok(file);
        }
        for place in [place, layout::retired_path(&file.name)] {
            if let Some(file) = open(&place)? {
                return Ok(file);
            }
        }
        Err(StoreError::Modified {
            table: table.full_name(),
            reason: format!("data file {} is gone", file.name),
        })
    }
}

/// Iterator over the rows of a snapshot.
#[derive(Debug)]
pub struct Scan {
    store: Store,
    table: Arc<TableMeta>,
    columns: Vec<Column>,
    schema: SchemaRef,
    files: std::vec::IntoIter<CommittedFile>,
    skip: u64,
    left: u64,
    current: Option<OpenFile>,
}

struct OpenFile {
    reader: ParquetRecordBatchReader,
    partition: Option<PartitionSpec>,
    /// For each wanted column the position in the file's batches, None when the file lacks it.
    positions: Vec<Option<usize>>,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFile")
            .field("positions", &self.positions)
            .finish_non_exhaustive()
    }
}

impl Scan {
    /// Schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The columns, in the order asked for.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        loop {
            if self.left == 0 {
                return Ok(None);
            }
            if let Some(open) = &mut self.current {
                if let Some(batch) = open.reader.next() {
                    let batch = batch?;
                    self.left = self.left.saturating_sub(batch.num_rows() as u64);
                    return convert(&self.columns, &self.table, &self.schema, open, &batch)
                        .map(Some);
                }
                self.current = None;
            }
            let Some(file) = self.files.next() else {
                return Ok(None);
            };
            if self.skip >= file.rows {
                self.skip -= file.rows;
                continue;
            }
            let skip = std::mem::take(&mut self.skip);
            self.current = Some(self.open(&file, skip)?);
        }
    }

    fn open(&self, file: &CommittedFile, skip: u64) -> Result<OpenFile, StoreError> {
        let failed = |e| StoreError::parquet(format!("reading {}", file.name), e);
        let handle = self.store.open_file(&self.table, file)?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(handle).map_err(failed)?;
        let in_file: Vec<Option<i64>> = builder
            .schema()
            .fields()
            .iter()
            .map(|field| {
                field
                    .metadata()
                    .get(FIELD_ID)
                    .and_then(|id| id.parse().ok())
            })
            .collect();
        let root_of = |column: &Column| {
            if self
                .table
                .partition_columns
                .iter()
                .any(|c| same_name(&c.name, &column.name))
            {
                return None;
            }
            in_file.iter().position(|id| *id == Some(column.column_id))
        };
        let roots: Vec<Option<usize>> = self.columns.iter().map(root_of).collect();
        let mut read: Vec<usize> = roots.iter().flatten().copied().collect();
        read.sort_unstable();
        read.dedup();
        let positions = roots
            .iter()
            .map(|root| root.and_then(|root| read.iter().position(|r| *r == root)))
            .collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), read);
        let limit = usize::try_from(self.left).unwrap_or(usize::MAX);
        let reader = builder
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .with_offset(usize::try_from(skip).unwrap_or(usize::MAX))
            .with_limit(limit)
            .build()
            .map_err(failed)?;
        Ok(OpenFile {
            reader,
            partition: file.partition.clone(),
            positions,
        })
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

fn convert(
    columns: &[Column],
    table: &TableMeta,
    schema: &SchemaRef,
    open: &OpenFile,
    batch: &RecordBatch,
) -> Result<RecordBatch, StoreError> {
    let rows = batch.num_rows();
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for (column, position) in columns.iter().zip(&open.positions) {
        let array = match position.and_then(|p| batch.columns().get(p)) {
            Some(array) => to_memory(array, &column.ty)?,
            None if table
                .partition_columns
                .iter()
                .any(|c| same_name(&c.name, &column.name)) =>
            {
                partition_array(column, open.partition.as_ref(), rows)?
            }
            None => nulls(&column.ty, rows),
        };
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        arrays,
        &options,
    )?)
}

/// A partition column: one value for all rows.
fn partition_array(
    column: &Column,
    partition: Option<&PartitionSpec>,
    rows: usize,
) -> Result<ArrayRef, StoreError> {
    let value = partition.and_then(|spec| {
        spec.0
            .iter()
            .find(|(name, _)| same_name(name, &column.name))
    });
    let mut builder = StringBuilder::with_capacity(rows, rows * 8);
    for _ in 0..rows {
        builder.append_option(value.map(|(_, value)| value));
    }
    let text: ArrayRef = Arc::new(builder.finish());
    if column.ty.arrow_type() == *text.data_type() || matches!(column.ty, ColumnType::String) {
        return Ok(text);
    }
    let options = arrow_cast::CastOptions {
        safe: false,
        ..Default::default()
    };
    Ok(arrow_cast::cast_with_options(
        &text,
        &column.ty.arrow_type(),
        &options,
    )?)
}

impl Store {
    /// Ids of TIMESTAMP columns that some file of the snapshot keeps as seconds and nanoseconds,
    /// because values lie outside the years 1678..2261.
    pub(crate) fn wide_timestamps(
        &self,
        snapshot: &Snapshot,
    ) -> Result<std::collections::HashSet<i64>, StoreError> {
        let stamps: Vec<i64> = snapshot
            .table
            .columns
            .iter()
            .filter(|c| matches!(c.ty, ColumnType::Timestamp | ColumnType::TimestampNtz))
            .map(|c| c.column_id)
            .collect();
        let mut wide = std::collections::HashSet::new();
        if stamps.is_empty() {
            return Ok(wide);
        }
        for file in &snapshot.files {
            let handle = self.open_file(&snapshot.table, file)?;
            let builder = ParquetRecordBatchReaderBuilder::try_new(handle)
                .map_err(|e| StoreError::parquet(format!("reading {}", file.name), e))?;
            for field in builder.schema().fields() {
                let id = field
                    .metadata()
                    .get(FIELD_ID)
                    .and_then(|id| id.parse().ok());
                if let Some(id) = id.filter(|id| stamps.contains(id))
                    && matches!(field.data_type(), arrow_schema::DataType::Struct(_))
                {
                    wide.insert(id);
                }
            }
        }
        Ok(wide)
    }
}

/// The values of a partition as one-row columns, in the order of `columns`.
pub(crate) fn partition_values(
    columns: &[Column],
    spec: &PartitionSpec,
) -> Result<Vec<ArrayRef>, StoreError> {
    columns
        .iter()
        .map(|column| partition_array(column, Some(spec), 1))
        .collect()
}
