use arrow_array::{ArrayRef, RecordBatch, StructArray, cast::AsArray as _, types};

use super::{WireColumn, WireError, WireErrorKind};
use crate::catalog::ColumnType;

/// Which hash a Delta table's sessions announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HasherKind {
    /// The hash that the service itself computes.
    Default,
    /// The older one.
    Legacy,
}

/// Computes the bucket of each row from its key columns.
#[derive(Debug, Clone)]
pub struct BucketHasher {
    kind: HasherKind,
    keys: Vec<(usize, WireColumn)>,
}

impl BucketHasher {
    /// A hasher over these columns, given with their position in the batches.
    pub fn new(kind: HasherKind, keys: Vec<(usize, WireColumn)>) -> Self {
        Self { kind, keys }
    }

    /// The hash of each row, never negative.
    ///
    /// # Errors
    /// When a key column is missing or has a type without a hash.
    pub fn hashes(&self, batch: &RecordBatch) -> Result<Vec<i32>, WireError> {
        let mut sums = vec![0i32; batch.num_rows()];
        for (index, column) in &self.keys {
            let array = batch.columns().get(*index).ok_or_else(|| {
                WireError::new(
                    WireErrorKind::Internal,
                    format!("key column {} is not in the batch", column.name),
                )
            })?;
            self.add(&column.ty, array, &mut sums).ok_or_else(|| {
                let message = format!(
                    "key column {} of type {} has no bucket hash",
                    column.name, column.ty
                );
                WireError::new(WireErrorKind::Internal, message)
            })?;
        }
        for sum in &mut sums {
            *sum ^= *sum >> 8;
        }
        Ok(sums)
    }

    /// The bucket of each row among `count` buckets.
    ///
    /// # Errors
    /// As [`hashes`](Self::hashes).
    pub fn buckets(&self, batch: &RecordBatch, count: u32) -> Result<Vec<u32>, WireError> {
        let hashes = self.hashes(batch)?;
        Ok(hashes
            .into_iter()
            .map(|hash| hash.unsigned_abs() % count.max(1))
            .collect())
    }

    fn add(&self, ty: &ColumnType, array: &ArrayRef, sums: &mut [i32]) -> Option<()> {
        match ty {
            ColumnType::TinyInt => {
                let array = array.as_primitive_opt::<types::Int8Type>()?;
                add_each(
                    sums,
                    array,
                    array
                        .iter()
                        .map(|value| value.map(|value| self.integer(value.into()))),
                );
            }
            ColumnType::SmallInt => {
                let array = array.as_primitive_opt::<types::Int16Type>()?;
                add_each(
                    sums,
                    array,
                    array
                        .iter()
                        .map(|value| value.map(|value| self.integer(value.into()))),
                );
            }
            ColumnType::Int => {
                let array = array.as_primitive_opt::<types::Int32Type>()?;
                add_each(
                    sums,
                    array,
                    array
                        .iter()
                        .map(|value| value.map(|value| self.integer(value.into()))),
                );
            }
            ColumnType::BigInt => {
                let array = array.as_primitive_opt::<types::Int64Type>()?;
                add_each(
                    sums,
                    array,
                    array
                        .iter()
                        .map(|value| value.map(|value| self.integer(value))),
                );
            }
            ColumnType::Float => {
                let array = array.as_primitive_opt::<types::Float32Type>()?;
                let bits = |value: f32| {
                    if value.is_nan() {
                        0x7fc0_0000
                    } else {
                        value.to_bits()
                    }
                };
                let hash = |value| self.integer(i64::from(bits(value).cast_signed()));
                add_each(sums, array, array.iter().map(|value| value.map(hash)));
            }
            ColumnType::Double => {
                let array = array.as_primitive_opt::<types::Float64Type>()?;
                let bits = |value: f64| {
                    if value.is_nan() {
                        0x7ff8_0000_0000_0000
                    } else {
                        value.to_bits()
                    }
                };
                let hash = |value| self.integer(bits(value).cast_signed());
                add_each(sums, array, array.iter().map(|value| value.map(hash)));
            }
            ColumnType::Boolean => {
                let array = array.as_boolean_opt()?;
                let hash = |value| if value { 0x172b_a9c7 } else { -0x3a59_cb12 };
                add_each(sums, array, array.iter().map(|value| value.map(hash)));
            }
            ColumnType::String | ColumnType::Varchar(_) | ColumnType::Char(_) => {
                let array = array.as_string_opt::<i32>()?;
                add_each(
                    sums,
                    array,
                    array
                        .iter()
                        .map(|value| value.map(|value| self.text(value.as_bytes()))),
                );
            }
            ColumnType::Binary => {
                let array = array.as_binary_opt::<i32>()?;
                add_each(
                    sums,
                    array,
                    array
                        .iter()
                        .map(|value| value.map(|value| self.text(value))),
                );
            }
            ColumnType::Date => {
                let array = array.as_primitive_opt::<types::Date32Type>()?;
                let hash = |days: i32| self.integer(i64::from(days) * 86_400);
                add_each(sums, array, array.iter().map(|value| value.map(hash)));
            }
            ColumnType::Datetime => {
                let array = array.as_primitive_opt::<types::TimestampMillisecondType>()?;
                add_each(
                    sums,
                    array,
                    array
                        .iter()
                        .map(|value| value.map(|value| self.integer(value))),
                );
            }
            ColumnType::Timestamp | ColumnType::TimestampNtz | ColumnType::IntervalDayTime => {
                let both: &StructArray = array.as_struct_opt()?;
                let [seconds, nanos] = both.columns() else {
                    return None;
                };
                let seconds = seconds.as_primitive_opt::<types::Int64Type>()?;
                let nanos = nanos.as_primitive_opt::<types::Int32Type>()?;
                let pairs = seconds.values().iter().zip(nanos.values());
                let hash = |(second, nano): (&i64, &i32)| {
                    Some(self.integer(second << 30 | i64::from(*nano)))
                };
                add_each(sums, both, pairs.map(hash));
            }
            ColumnType::Decimal { .. } | ColumnType::LegacyDecimal => {
                let wide = !matches!(ty, ColumnType::Decimal { precision, .. } if *precision <= 18);
                let array = array.as_primitive_opt::<types::Decimal128Type>()?;
                let hash = |value: i128| {
                    let low = self.integer(value as i64);
                    if wide {
                        low.wrapping_add(self.integer((value >> 64) as i64))
                    } else {
                        low
                    }
                };
                add_each(sums, array, array.iter().map(|value| value.map(hash)));
            }
            ColumnType::Json
            | ColumnType::IntervalYearMonth
            | ColumnType::Array(_)
            | ColumnType::Map(..)
            | ColumnType::Struct(_) => return None,
        }
        Some(())
    }

    fn integer(&self, value: i64) -> i32 {
        match self.kind {
            HasherKind::Legacy => ((value >> 32) ^ value) as i32,
            HasherKind::Default => {
                let mut x = (!value).wrapping_add(value << 18);
                x ^= x >> 31;
                x = x.wrapping_mul(21);
                x ^= x >> 11;
                x = x.wrapping_add(x << 6);
                x ^= x >> 22;
                x as i32
            }
        }
    }

    fn text(&self, bytes: &[u8]) -> i32 {
        let signed = bytes.iter().map(|byte| i32::from(byte.cast_signed()));
        match self.kind {
            HasherKind::Legacy => {
                signed.fold(0i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte))
            }
            HasherKind::Default => {
                let mut hash = signed.fold(0i32, |hash, byte| {
                    let mut hash = hash.wrapping_add(byte);
                    hash = hash.wrapping_add(hash << 10);
                    hash ^ (hash >> 6)
                });
                hash = hash.wrapping_add(hash << 3);
                hash ^= hash >> 11;
                hash.wrapping_add(hash << 15)
            }
        }
    }
}

/// Adds a hash to each row's sum; NULL adds nothing.
fn add_each(
    sums: &mut [i32],
    array: &impl arrow_array::Array,
    hashes: impl Iterator<Item = Option<i32>>,
) {
    for (row, (sum, hash)) in sums.iter_mut().zip(hashes).enumerate() {
        if let Some(hash) = hash
            && array.is_valid(row)
        {
            *sum = sum.wrapping_add(hash);
        }
    }
}
