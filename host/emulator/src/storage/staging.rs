//! Staged files: rows on disk that no reader sees yet.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use super::columns::DiskForm;
use super::{Mode, Store, layout};
use crate::catalog::{StoreError, TableMeta};

/// Extra last-but-one column of an upsert pack: int8, [`OPERATION_UPSERT`] or [`OPERATION_DELETE`].
pub const OPERATION_COLUMN: &str = "__operation";
/// Extra last column of an upsert pack: list of int64 column ids to update; null or empty = all.
pub const VALUE_COLUMNS: &str = "__value_cols";
/// `U`: insert or replace the row.
pub const OPERATION_UPSERT: i8 = 85;
/// `D`: remove the row with this key.
pub const OPERATION_DELETE: i8 = 68;

/// What a staged file holds, which decides its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// Rows of a batch or stream upload: the table's [`arrow_schema`](TableMeta::arrow_schema).
    Append,
    /// A pack of one bucket: the same columns, then [`OPERATION_COLUMN`] and [`VALUE_COLUMNS`].
    Upsert {
        /// Bucket of all its rows.
        bucket: u32,
    },
}

impl StageKind {
    /// Columns that batches of this kind must have, by position and type.
    pub fn schema(self, table: &TableMeta) -> SchemaRef {
        let schema = table.arrow_schema();
        match self {
            Self::Append => schema,
            Self::Upsert { .. } => {
                let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
                fields.push(Arc::new(Field::new(
                    OPERATION_COLUMN,
                    DataType::Int8,
                    false,
                )));
                let id = Arc::new(Field::new("element", DataType::Int64, true));
                fields.push(Arc::new(Field::new(
                    VALUE_COLUMNS,
                    DataType::List(id),
                    true,
                )));
                Arc::new(Schema::new(fields))
            }
        }
    }
}

/// Rows that are on disk (synced) but not committed. Keep it in the session's document (it is
/// serializable): names found there survive a restart, others are removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFile {
    /// Files in row order; empty without rows and in discard mode.
    pub parts: Vec<StagedPart>,
    /// Rows in all parts.
    pub rows: u64,
    /// Bucket of an upsert pack.
    pub bucket: Option<u32>,
}

/// One Parquet file of a [`StagedFile`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedPart {
    /// File name in the staging directory.
    pub staged: String,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Writes the rows of one staged file; dropped without [`Stager::finish`] it leaves nothing.
#[derive(Debug)]
pub struct Stager {
    store: Store,
    schema: SchemaRef,
    form: DiskForm,
    bucket: Option<u32>,
    current: Option<Part>,
    parts: Vec<StagedPart>,
    rows: u64,
    finished: bool,
}

#[derive(Debug)]
struct Part {
    name: String,
    path: PathBuf,
    writer: ArrowWriter<File>,
    rows: u64,
    /// Which timestamp columns this part keeps as seconds and nanoseconds.
    wide: Vec<bool>,
}

impl Store {
    /// Starts a staged file for rows of `table`.
    pub fn stager(&self, table: &TableMeta, kind: StageKind) -> Stager {
        Stager {
            store: self.clone(),
            schema: kind.schema(table),
            form: DiskForm::new(table),
            bucket: match kind {
                StageKind::Append => None,
                StageKind::Upsert { bucket } => Some(bucket),
            },
            current: None,
            parts: Vec::new(),
            rows: 0,
            finished: false,
        }
    }

    /// Stages all batches at once.
    pub fn stage(
        &self,
        table: &TableMeta,
        kind: StageKind,
        batches: impl IntoIterator<Item = Result<RecordBatch, StoreError>>,
    ) -> Result<StagedFile, StoreError> {
        let mut stager = self.stager(table, kind);
        for batch in batches {
            stager.write(&batch?)?;
        }
        stager.finish()
    }

    /// Removes staged files that will not be committed.
    pub fn discard(&self, files: &[StagedFile]) -> Result<(), StoreError> {
        for part in files.iter().flat_map(|file| &file.parts) {
            layout::remove_if_present(&layout::staging_dir(self.data_dir()).join(&part.staged))?;
        }
        Ok(())
    }
}

impl Stager {
    /// Adds rows. Column types must be those of [`StageKind::schema`]; names are not compared.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        self.check(batch)?;
        let rows = batch.num_rows() as u64;
        self.rows += rows;
        if rows == 0 || self.store.mode() == Mode::Discard {
            return Ok(());
        }
        let wide = self.form.wide_columns(batch);
        if self.current.as_ref().is_some_and(|part| part.wide != wide) {
            self.close_part()?;
        }
        let disk = self.form.to_disk(&self.schema, batch, &wide)?;
        let part = match &mut self.current {
            Some(part) => part,
            None => {
                let part = self.open_part(disk.schema(), wide)?;
                self.current.insert(part)
            }
        };
        part.writer
            .write(&disk)
            .map_err(|e| StoreError::parquet(format!("writing {}", part.name), e))?;
        part.rows += rows;
        Ok(())
    }

    /// Completes the file and makes it durable.
    pub fn finish(mut self) -> Result<StagedFile, StoreError> {
        self.close_part()?;
        if !self.parts.is_empty() {
            layout::sync_dir(&layout::staging_dir(self.store.data_dir()))?;
        }
        self.finished = true;
        self.store
            .inner
            .staged_rows
            .fetch_add(self.rows, Ordering::Relaxed);
        Ok(StagedFile {
            parts: std::mem::take(&mut self.parts),
            rows: self.rows,
            bucket: self.bucket,
        })
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn check(&self, batch: &RecordBatch) -> Result<(), StoreError> {
        let given = batch.schema();
        if given.fields().len() != self.schema.fields().len() {
            return Err(StoreError::Invalid(format!(
                "a batch has {} columns, the table takes {}",
                given.fields().len(),
                self.schema.fields().len()
            )));
        }
        for (given, wanted) in given.fields().iter().zip(self.schema.fields()) {
            if !given.data_type().equals_datatype(wanted.data_type()) {
                return Err(StoreError::Invalid(format!(
                    "column {} is {}, not {}",
                    wanted.name(),
                    given.data_type(),
                    wanted.data_type()
                )));
            }
        }
        Ok(())
    }

    fn open_part(&self, schema: SchemaRef, wide: Vec<bool>) -> Result<Part, StoreError> {
        let name = layout::staged_name();
        let path = layout::staging_dir(self.store.data_dir()).join(&name);
        let file = File::create_new(&path)
            .map_err(|e| StoreError::io(format!("creating {}", path.display()), e))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(256 * 1024))
            .set_created_by("longshore".to_owned())
            .build();
        let writer = ArrowWriter::try_new(file, schema, Some(properties))
            .map_err(|e| StoreError::parquet(format!("creating {name}"), e))?;
        Ok(Part {
            name,
            path,
            writer,
            rows: 0,
            wide,
        })
    }

    fn close_part(&mut self) -> Result<(), StoreError> {
        let Some(part) = self.current.take() else {
            return Ok(());
        };
        let file = part
            .writer
            .into_inner()
            .map_err(|e| StoreError::parquet(format!("closing {}", part.name), e))?;
        let bytes = file
            .sync_all()
            .and_then(|()| file.metadata())
            .map_err(|e| StoreError::io(format!("syncing {}", part.path.display()), e))?
            .len();
        self.parts.push(StagedPart {
            staged: part.name,
            rows: part.rows,
            bytes,
        });
        Ok(())
    }
}

impl Drop for Stager {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let staging = layout::staging_dir(self.store.data_dir());
        let open = self.current.take().map(|part| part.name);
        for name in self
            .parts
            .iter()
            .map(|part| part.staged.clone())
            .chain(open)
        {
            // Nothing to do about a failure here: the file is dropped as an orphan at the next start.
            let _ = layout::remove_if_present(&staging.join(name));
        }
    }
}
