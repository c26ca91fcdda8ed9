//! Rows that can not be written as they are: refused, written with NULL, or kept as dead letters.

use std::rc::Rc;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int8Array, RecordBatch, new_null_array};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};

use super::client::Client;
use super::ipc::OPERATION_COLUMN;
use super::part::Target;
use super::rows::{Rows, Upsert};
use super::table::Layout;
use super::write::Origin;
use crate::contract::{DeadLetters, LogLevel};
use crate::error::{BadRow, SinkError};
use crate::options::BadValuePolicy;
use crate::record::RowEncoder;
use crate::schema::ValueError;

/// What one call of `write` did not write.
#[derive(Default)]
pub(super) struct Refusals {
    /// Rows that end the run.
    pub(super) bad: Vec<BadRow>,
    /// Rows kept aside.
    pub(super) letters: Vec<DeadLetters>,
}

/// Why a row was not buffered.
pub(super) enum RowFault {
    /// The row is at fault.
    Row(ValueError),
    /// No row can be written any more.
    Sink(SinkError),
}

impl From<ValueError> for RowFault {
    fn from(error: ValueError) -> Self {
        Self::Row(error)
    }
}

impl From<SinkError> for RowFault {
    fn from(error: SinkError) -> Self {
        Self::Sink(error)
    }
}

/// Refused rows of one record batch.
pub(super) struct RefusedRows<'a> {
    client: &'a Client,
    target: &'a Target,
    origin: &'a Origin,
    bad: Vec<BadRow>,
    dead: Vec<BadRow>,
    /// Indices of the dead rows in the record batch.
    indices: Vec<u32>,
}

impl<'a> RefusedRows<'a> {
    pub(super) fn new(client: &'a Client, target: &'a Target, origin: &'a Origin) -> Self {
        Self {
            client,
            target,
            origin,
            bad: Vec::new(),
            dead: Vec::new(),
            indices: Vec::new(),
        }
    }

    #[cold]
    pub(super) fn add(&mut self, row: usize, fault: RowFault) -> Result<(), SinkError> {
        let error = match fault {
            RowFault::Row(error) => error,
            RowFault::Sink(error) => return Err(error),
        };
        let index = u32::try_from(row).unwrap_or(u32::MAX);
        let rules = &self.client.options.bad_values;
        let policy = rules.of(&self.target.path, &error.column);
        let bad_row = BadRow {
            sequence: self.origin.sequence,
            row: self.origin.first_row.saturating_add(index),
            column: Some(error.column).filter(|c| !c.is_empty()),
            reason: error.reason,
        };
        if policy == BadValuePolicy::DeadLetter {
            self.dead.push(bad_row);
            self.indices.push(index);
        } else {
            self.bad.push(bad_row);
        }
        Ok(())
    }

    /// Hands the rows over. Those that are spread anew were told before.
    pub(super) fn finish(
        self,
        batch: &RecordBatch,
        operations: Option<&Int8Array>,
        refusals: &mut Refusals,
    ) -> Result<(), SinkError> {
        refusals.bad.extend(self.bad);
        if self.dead.is_empty() || !self.origin.count {
            return Ok(());
        }
        let ipc = rows_as_ipc(batch, operations, &self.indices).map_err(|why| {
            SinkError::permanent(
                "dead-letter.encode",
                format!(
                    "{}: rows for the dead letters can not be encoded: {why}",
                    self.target.place("")
                ),
            )
        })?;
        refusals.letters.push(DeadLetters {
            table: self.target.path.clone(),
            rows: self.dead,
            ipc,
        });
        Ok(())
    }
}

/// An Arrow IPC stream of these rows, with their operations.
fn rows_as_ipc(
    batch: &RecordBatch,
    operations: Option<&Int8Array>,
    indices: &[u32],
) -> Result<Vec<u8>, ArrowError> {
    let inserts = Int8Array::from(vec![0; batch.num_rows()]);
    let operations: ArrayRef = Arc::new(operations.cloned().unwrap_or(inserts));
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(
        OPERATION_COLUMN,
        DataType::Int8,
        false,
    )));
    let mut columns = batch.columns().to_vec();
    columns.push(operations);
    let schema = Arc::new(Schema::new(fields));
    let with_operations = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    // Neighbours travel together. A kernel that picks rows would be half a megabyte of code.
    for run in indices.chunk_by(|a, b| a + 1 == *b) {
        if let Some(first) = run.first() {
            writer.write(&with_operations.slice(*first as usize, run.len()))?;
        }
    }
    writer.into_inner()
}

/// Rows written with NULL in place of values that do not fit.
pub(super) struct Nulled<'a> {
    client: &'a Rc<Client>,
    target: &'a Target,
    layout: &'a Layout,
    values: u64,
    first: Option<(usize, ValueError)>,
}

impl<'a> Nulled<'a> {
    pub(super) fn new(client: &'a Rc<Client>, target: &'a Target, layout: &'a Layout) -> Self {
        Self {
            client,
            target,
            layout,
            values: 0,
            first: None,
        }
    }

    /// Appends a row that was refused with `error`, with NULL for each value that may be replaced.
    #[cold]
    pub(super) fn push(
        &mut self,
        encoder: &RowEncoder,
        batch: &RecordBatch,
        row: usize,
        upsert: Option<Upsert<'_>>,
        mut error: ValueError,
        rows: &mut Rows,
    ) -> Result<(), ValueError> {
        let mut values = 0;
        let mut first = None;
        let mut one = batch.slice(row, 1);
        loop {
            let Some(source) = self.replaceable(encoder, &error.column) else {
                return Err(error);
            };
            let mut columns = one.columns().to_vec();
            if let Some(column) = columns.get_mut(source) {
                *column = new_null_array(column.data_type(), 1);
            }
            let Ok(next) = RecordBatch::try_new(nullable(&one.schema()), columns) else {
                return Err(error);
            };
            one = next;
            values += 1;
            let again = match encoder.bind(&one) {
                Ok(bound) => rows.push(&bound, 0, upsert),
                Err(_) => return Err(error),
            };
            first.get_or_insert(error);
            match again {
                Ok(()) => break,
                Err(another) => error = another,
            }
        }
        self.values += values;
        if self.first.is_none() {
            self.first = first.map(|error| (row, error));
        }
        Ok(())
    }

    /// The Arrow column whose value may be replaced.
    fn replaceable(&self, encoder: &RowEncoder, column: &str) -> Option<usize> {
        let policy = self.client.options.bad_values.of(&self.target.path, column);
        if policy == BadValuePolicy::Null && self.layout.can_be_null(column) {
            encoder.source_of(column)
        } else {
            None
        }
    }

    /// The number of values that were replaced; the first is told.
    pub(super) fn finish(self, origin: &Origin) -> u64 {
        if let Some((row, error)) = self.first.filter(|_| origin.count) {
            let values = self.values.to_string();
            let row = u64::from(origin.first_row) + row as u64;
            self.client.log(
                LogLevel::Warn,
                format!(
                    "{}: values that do not fit were written as NULL; the first: row {row} of batch {}, {error}",
                    self.target.place(""),
                    origin.sequence
                ),
                &[("values", &values)],
            );
        }
        self.values
    }
}

/// The schema with every column nullable: a value of any may be replaced.
fn nullable(schema: &Schema) -> Arc<Schema> {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    Arc::new(Schema::new(fields))
}
