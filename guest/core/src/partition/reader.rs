//! The partition of a row.

use std::fmt::Write;

use arrow_array::RecordBatch;

use super::{PartitionSpec, check_value, push_pair};
use crate::record::batch_column;
use crate::record::cell::{Limits, ShortText, Slot, ValueSink};
use crate::schema::{Column, SchemaMismatch, ValueError};
use crate::types::OdpsType;

/// Reads partition values from Arrow rows: integers in decimal, dates as `yyyy-MM-dd`, text as it
/// is.
#[derive(Clone, Debug)]
pub struct PartitionReader {
    columns: Vec<(Column, usize)>,
}

impl PartitionReader {
    /// A reader of these partition columns, outermost first, each with the index of its Arrow
    /// column.
    ///
    /// # Errors
    ///
    /// For types no partition column can have.
    pub fn new(columns: &[(Column, usize)]) -> Result<Self, SchemaMismatch> {
        for (column, _) in columns {
            let legal = matches!(
                column.ty,
                OdpsType::String
                    | OdpsType::Varchar(_)
                    | OdpsType::Char(_)
                    | OdpsType::TinyInt
                    | OdpsType::SmallInt
                    | OdpsType::Int
                    | OdpsType::BigInt
                    | OdpsType::Date
            );
            if !legal {
                return Err(SchemaMismatch::of(
                    &column.name,
                    format!(
                        "a partition column can not be {}; it can be text, an integer or a date",
                        column.ty
                    ),
                ));
            }
        }
        Ok(Self {
            columns: columns.to_vec(),
        })
    }

    /// Binds the rows of one batch.
    ///
    /// # Errors
    ///
    /// Where a partition column can not be read from its Arrow column.
    pub fn bind<'a>(
        &'a self,
        batch: &'a RecordBatch,
    ) -> Result<BoundPartitions<'a>, SchemaMismatch> {
        let limits = Limits {
            max_field_size: usize::MAX,
        };
        let slots = self
            .columns
            .iter()
            .map(|(column, source)| {
                let array = batch_column(batch, &column.name, *source)?;
                Slot::bind(&column.ty, array.as_ref(), limits)
                    .map_err(|reason| SchemaMismatch::of(&column.name, reason))
            })
            .collect::<Result<_, _>>()?;
        Ok(BoundPartitions {
            reader: self,
            rows: batch.num_rows(),
            slots,
        })
    }
}

/// The partitions of one batch's rows.
pub struct BoundPartitions<'a> {
    reader: &'a PartitionReader,
    rows: usize,
    slots: Vec<Slot<'a>>,
}

impl BoundPartitions<'_> {
    /// Replaces `text` by the tunnel's text of row `row`'s partition. Meant to be called for every
    /// row with the same `text`, as the key of a map.
    ///
    /// # Errors
    ///
    /// Where a value is NULL or no partition can have it; `text` is unspecified then.
    pub fn tunnel_text(&self, row: usize, text: &mut String) -> Result<(), ValueError> {
        text.clear();
        for (slot, (column, _)) in self.slots.iter().zip(&self.reader.columns) {
            push_pair(text, &column.name);
            let start = text.len();
            self.push_value(slot, column, row, text)?;
            check_value(&column.name, text.get(start..).unwrap_or_default())
                .map_err(|error| refused(column, error.to_string()))?;
        }
        Ok(())
    }

    /// Row `row`'s partition.
    ///
    /// # Errors
    ///
    /// Where a value is NULL or no partition can have it.
    pub fn spec(&self, row: usize) -> Result<PartitionSpec, ValueError> {
        let pairs = self
            .slots
            .iter()
            .zip(&self.reader.columns)
            .map(|(slot, (column, _))| {
                let mut value = String::new();
                self.push_value(slot, column, row, &mut value)?;
                check_value(&column.name, &value)
                    .map_err(|error| refused(column, error.to_string()))?;
                Ok((column.name.clone(), value))
            })
            .collect::<Result<_, ValueError>>()?;
        Ok(PartitionSpec(pairs))
    }

    fn push_value(
        &self,
        slot: &Slot<'_>,
        column: &Column,
        row: usize,
        text: &mut String,
    ) -> Result<(), ValueError> {
        if row >= self.rows {
            return Err(refused(
                column,
                format!("there is no row {row} in a batch of {}", self.rows),
            ));
        }
        if slot.is_null(row) {
            return Err(refused(column, "NULL in a partition column".to_owned()));
        }
        slot.emit(row, &mut Rendering(text))
            .map_err(|reason| refused(column, reason.0.into_string()))
    }
}

#[cold]
fn refused(column: &Column, reason: String) -> ValueError {
    ValueError {
        column: column.name.clone(),
        reason,
    }
}

/// Appends the value of a partition column.
struct Rendering<'a>(&'a mut String);

impl ValueSink for Rendering<'_> {
    fn integer(&mut self, value: i64) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{value}");
    }

    fn bytes(&mut self, value: &[u8]) {
        // Only text columns come here, whose values are UTF-8.
        self.0
            .push_str(std::str::from_utf8(value).unwrap_or_default());
    }

    fn date(&mut self, days: i64) {
        let mut text = ShortText::default();
        text.date(days);
        self.0.push_str(text.as_str());
    }

    // The rest is refused when the reader is made.
    fn boolean(&mut self, _value: bool) {}

    fn float(&mut self, _value: f32) {}

    fn double(&mut self, _value: f64) {}

    fn decimal(&mut self, _unscaled: i128, _precision: u8, _scale: u8) {}

    fn datetime(&mut self, _milliseconds: i64) {}

    fn timestamp(&mut self, _seconds: i64, _nanoseconds: i32) {}

    fn day_time(&mut self, _seconds: i64, _nanoseconds: i32) {}

    fn months(&mut self, _months: i64) {}

    fn list(&mut self, _length: usize) {}

    fn structure(&mut self) {}

    fn null_flag(&mut self, _is_null: bool) {}
}
