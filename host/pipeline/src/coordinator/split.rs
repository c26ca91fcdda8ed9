//! Which instance a row goes to.
//!
//! Rows of a keyed table go where the hash of their key says, so that the changes of one key stay
//! in order; batches of an append table go to the instances in turn.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Int8Array, RecordBatch, UInt32Array};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType};
use arrow_select::take::take_record_batch;
use longshore_runtime::contract::{OPERATION_COLUMN, RowOp};

const INSERT: i8 = RowOp::Insert as i8;
const UPDATE_BEFORE: i8 = RowOp::UpdateBefore as i8;
const DELETE: i8 = RowOp::Delete as i8;

/// Rows of one batch for one instance.
#[derive(Debug)]
pub(super) struct Share {
    /// Index of the instance.
    pub(super) instance: usize,
    /// Its rows.
    pub(super) batch: RecordBatch,
    /// Index in the original batch of each row; none = all rows, in place.
    pub(super) rows: Option<UInt32Array>,
}

/// Deals the rows of keyed tables to instances.
#[derive(Debug)]
pub(super) struct KeySplitter {
    key: Vec<usize>,
    instances: usize,
}

impl KeySplitter {
    /// `key` are the indices of the key columns.
    pub(super) fn new(key: Vec<usize>, instances: usize) -> Self {
        Self { key, instances }
    }

    /// Cuts `batch` into at most one share per instance, keeping the order of rows.
    ///
    /// An update whose key moves to another instance becomes a delete there and an insert here.
    pub(super) fn split(&self, batch: &RecordBatch) -> Result<Vec<Share>, ArrowError> {
        if self.instances == 1 {
            return Ok(vec![Share {
                instance: 0,
                batch: batch.clone(),
                rows: None,
            }]);
        }
        let owners = self.owners(batch)?;
        let batch = &with_moves_split(batch, &owners)?;
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); self.instances];
        for (row, owner) in (0..).zip(&owners) {
            if let Some(rows) = rows.get_mut(*owner) {
                rows.push(row);
            }
        }
        let mut shares = Vec::with_capacity(self.instances);
        for (instance, rows) in rows.into_iter().enumerate() {
            if rows.len() == batch.num_rows() {
                shares.push(Share {
                    instance,
                    batch: batch.clone(),
                    rows: None,
                });
            } else if !rows.is_empty() {
                let rows = UInt32Array::from(rows);
                let batch = take_record_batch(batch, &rows)?;
                shares.push(Share {
                    instance,
                    batch,
                    rows: Some(rows),
                });
            }
        }
        Ok(shares)
    }

    fn owners(&self, batch: &RecordBatch) -> Result<Vec<usize>, ArrowError> {
        let mut hashes = vec![OFFSET_BASIS; batch.num_rows()];
        for column in &self.key {
            let column = batch.columns().get(*column).ok_or_else(|| {
                ArrowError::SchemaError(format!("the batch has no key column {column}"))
            })?;
            hash_column(column, &mut hashes)?;
        }
        Ok(hashes
            .into_iter()
            .map(|hash| bucket(hash, self.instances))
            .collect())
    }
}

/// Turns every update whose two rows have different owners into a delete and an insert.
fn with_moves_split(batch: &RecordBatch, owners: &[usize]) -> Result<RecordBatch, ArrowError> {
    let Some((index, _)) = batch.schema().column_with_name(OPERATION_COLUMN) else {
        return Ok(batch.clone());
    };
    let mut operations: Vec<i8> = batch
        .column(index)
        .as_primitive::<Int8Type>()
        .values()
        .to_vec();
    let mut changed = false;
    let pairs: Vec<bool> = owners
        .windows(2)
        .zip(&operations)
        .map(|(pair, operation)| {
            matches!(pair, [before, after] if before != after) && *operation == UPDATE_BEFORE
        })
        .collect();
    for (row, _) in pairs.iter().enumerate().filter(|(_, moved)| **moved) {
        if let Some([before, after]) = operations.get_mut(row..row + 2) {
            (*before, *after) = (DELETE, INSERT);
            changed = true;
        }
    }
    if !changed {
        return Ok(batch.clone());
    }
    let mut columns = batch.columns().to_vec();
    if let Some(column) = columns.get_mut(index) {
        *column = Arc::new(Int8Array::from(operations));
    }
    RecordBatch::try_new(batch.schema(), columns)
}

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a.
fn mix(hash: &mut u64, bytes: &[u8]) {
    for byte in bytes {
        *hash = (*hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    }
}

fn bucket(hash: u64, instances: usize) -> usize {
    // The low bits of FNV are its weakest; multiply-shift takes the high ones.
    let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from((spread * instances as u64) >> 32).unwrap_or(0)
}

/// Adds one key column to the hash of each row. The same value hashes the same in every width of
/// its type, so that a key whose type is widened stays with its instance.
fn hash_column(column: &ArrayRef, hashes: &mut [u64]) -> Result<(), ArrowError> {
    macro_rules! integers {
        ($type:ty) => {
            for (hash, value) in hashes.iter_mut().zip(column.as_primitive::<$type>().iter()) {
                if let Some(value) = value {
                    mix(hash, &i64::from(value).to_le_bytes());
                }
                mix(hash, &[0]);
            }
        };
    }
    macro_rules! texts {
        ($array:expr) => {
            for (hash, value) in hashes.iter_mut().zip($array.iter()) {
                if let Some(value) = value {
                    mix(hash, value.as_ref());
                }
                mix(hash, &[0]);
            }
        };
    }
    match column.data_type() {
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::Utf8 => texts!(column.as_string::<i32>()),
        DataType::LargeUtf8 => texts!(column.as_string::<i64>()),
        DataType::Binary => texts!(column.as_binary::<i32>()),
        _ => {
            let format = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(column, &format)?;
            for (row, hash) in hashes.iter_mut().enumerate() {
                if column.is_valid(row) {
                    mix(hash, formatter.value(row).try_to_string()?.as_bytes());
                }
                mix(hash, &[0]);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow_array::{Int32Array, Int64Array, StringArray};
    use arrow_schema::{Field, Schema};

    use super::*;

    fn changes(ids: &[i64], operations: &[i8]) -> RecordBatch {
        RecordBatch::try_new(
            Arc::new(Schema::new(vec![
                Field::new("id", DataType::Int64, false),
                Field::new(OPERATION_COLUMN, DataType::Int8, false),
            ])),
            vec![
                Arc::new(Int64Array::from(ids.to_vec())),
                Arc::new(Int8Array::from(operations.to_vec())),
            ],
        )
        .unwrap()
    }

    #[test]
    fn one_key_stays_with_one_instance_and_in_order() {
        let ids: Vec<i64> = (0..1000).map(|i| i % 37).collect();
        let shares = KeySplitter::new(vec![0], 3)
            .split(&changes(&ids, &vec![2; 1000]))
            .unwrap();
        assert_eq!(shares.len(), 3);
        let mut owner = HashMap::new();
        let mut rows = 0;
        for share in &shares {
            rows += share.batch.num_rows();
            let origin = share.rows.as_ref().unwrap();
            assert!(origin.values().is_sorted());
            for (id, row) in share
                .batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .iter()
                .zip(origin.values())
            {
                assert_eq!(*id, ids[*row as usize]);
                assert_eq!(*owner.entry(*id).or_insert(share.instance), share.instance);
            }
        }
        assert_eq!(rows, 1000);
    }

    #[test]
    fn an_update_that_moves_between_instances_becomes_a_delete_and_an_insert() {
        let splitter = KeySplitter::new(vec![0], 2);
        let owner = |id| splitter.owners(&changes(&[id], &[0])).unwrap()[0];
        let here = 1;
        let there = (2..).find(|id| owner(*id) != owner(here)).unwrap();
        let same = (2..).find(|id| owner(*id) == owner(here)).unwrap();
        let batch = changes(&[here, there, here, same], &[1, 2, 1, 2]);
        let mut seen = Vec::new();
        for share in splitter.split(&batch).unwrap() {
            let ids = share
                .batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec();
            let operations = share
                .batch
                .column(1)
                .as_primitive::<Int8Type>()
                .values()
                .to_vec();
            seen.push((share.instance, ids, operations));
        }
        seen.sort_by_key(|share| share.0 != owner(here));
        assert_eq!(
            seen,
            vec![
                (
                    owner(here),
                    vec![here, here, same],
                    vec![DELETE, UPDATE_BEFORE, 2]
                ),
                (owner(there), vec![there], vec![INSERT]),
            ]
        );
    }

    #[test]
    fn a_widened_key_stays_with_its_instance() {
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![Some(5), None, Some(-7)]));
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(-7)]));
        let (mut a, mut b) = (vec![OFFSET_BASIS; 3], vec![OFFSET_BASIS; 3]);
        hash_column(&narrow, &mut a).unwrap();
        hash_column(&wide, &mut b).unwrap();
        assert_eq!(a, b);
    }

    #[test]
    fn key_columns_do_not_run_into_each_other() {
        let hash = |left: &str, right: &str| {
            let mut hashes = vec![OFFSET_BASIS];
            for text in [left, right] {
                let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
                hash_column(&column, &mut hashes).unwrap();
            }
            hashes[0]
        };
        assert_ne!(hash("ab", "c"), hash("a", "bc"));
    }
}
