//! The rows every writer of the comparison wrote: a pool of pseudo-random rows, repeated with a
//! fresh `id`. Start-up cost only.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array,
    Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{Field, Schema};

/// Rows in the narrow pool.
pub(crate) const NARROW_POOL: usize = 32_768;
/// Rows in the wide pool.
pub(crate) const WIDE_POOL: usize = 8_192;

/// Rows `first..first + rows` of the narrow shape: seven columns, no NULL.
#[must_use]
pub(crate) fn narrow(first: u64, rows: usize) -> RecordBatch {
    let c = Cells {
        first,
        rows,
        pool: NARROW_POOL as u64,
        nulls_from: u64::MAX,
    };
    batch(vec![
        ("id", c.id()),
        (
            "s1",
            c.strings(1, |h| format!("ord-{}", repeated_hex(h, 16))),
        ),
        ("s2", c.strings(2, status)),
        ("d", c.doubles(3)),
        ("m", c.decimals(4, 10_i64.pow(10), 18, 2)),
        ("ts", c.timestamps(5)),
        ("n", c.ints(6)),
    ])
}

/// Rows `first..first + rows` of the wide shape: thirty columns, every sixteenth value of most of
/// them NULL.
#[must_use]
pub(crate) fn wide(first: u64, rows: usize) -> RecordBatch {
    let c = Cells {
        first,
        rows,
        pool: WIDE_POOL as u64,
        nulls_from: 8,
    };
    let text = |column, length| c.strings(column, move |h| repeated_hex(h, length));
    batch(vec![
        ("id", c.id()),
        ("c1", text(1, 8)),
        ("c2", text(2, 12)),
        ("c3", text(3, 16)),
        ("c4", text(4, 20)),
        ("c5", text(5, 24)),
        ("c6", text(6, 32)),
        ("c7", text(7, 40)),
        ("c8", c.strings(8, status)),
        ("c9", c.bigints(9)),
        ("c10", c.bigints(10)),
        ("c11", c.bigints(11)),
        ("c12", c.bigints(12)),
        ("c13", c.ints(13)),
        ("c14", c.ints(14)),
        ("c15", c.ints(15)),
        (
            "c16",
            Arc::new(
                c.values(16, |h| (h % 30_000) as i16)
                    .collect::<Int16Array>(),
            ),
        ),
        ("c17", c.doubles(17)),
        ("c18", c.doubles(18)),
        ("c19", c.doubles(19)),
        ("c20", c.doubles(20)),
        (
            "c21",
            Arc::new(
                c.values(21, |h| (h % 65_536) as f32 / 16.0)
                    .collect::<Float32Array>(),
            ),
        ),
        ("c22", c.decimals(22, 10_i64.pow(10), 18, 2)),
        ("c23", c.decimals(23, 10_i64.pow(10), 18, 2)),
        ("c24", c.decimals(24, 10_i64.pow(15), 38, 10)),
        (
            "c25",
            Arc::new(c.values(25, |h| h % 2 == 1).collect::<BooleanArray>()),
        ),
        (
            "c26",
            Arc::new(
                c.values(26, |h| 19_000 + (h % 1_000) as i32)
                    .collect::<Date32Array>(),
            ),
        ),
        ("c27", c.timestamps(27)),
        ("c28", c.timestamps(28)),
        ("c29", text(29, 10)),
    ])
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), *name != "id"))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

struct Cells {
    first: u64,
    rows: usize,
    pool: u64,
    nulls_from: u64,
}

impl Cells {
    fn values<T>(&self, column: u64, of: impl Fn(u64) -> T) -> impl Iterator<Item = Option<T>> {
        let rows = self.first..self.first + self.rows as u64;
        rows.map(move |row| {
            let row = row % self.pool;
            let null = column >= self.nulls_from && hash(row, column + 32).is_multiple_of(16);
            (!null).then(|| of(hash(row, column)))
        })
    }

    fn id(&self) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            (self.first..self.first + self.rows as u64).map(|row| row as i64),
        ))
    }

    fn strings(&self, column: u64, of: impl Fn(u64) -> String) -> ArrayRef {
        Arc::new(self.values(column, of).collect::<StringArray>())
    }

    fn bigints(&self, column: u64) -> ArrayRef {
        Arc::new(
            self.values(column, |h| h as i64 >> 24)
                .collect::<Int64Array>(),
        )
    }

    fn ints(&self, column: u64) -> ArrayRef {
        Arc::new(
            self.values(column, |h| (h % 100_000) as i32)
                .collect::<Int32Array>(),
        )
    }

    fn doubles(&self, column: u64) -> ArrayRef {
        let of = |h: u64| (h % 1_000_000_007) as f64 / 1_000.0;
        Arc::new(self.values(column, of).collect::<Float64Array>())
    }

    fn decimals(&self, column: u64, range: i64, precision: u8, scale: i8) -> ArrayRef {
        let of = |h: u64| i128::from((h % range as u64) as i64 - range / 2);
        let array = self.values(column, of).collect::<Decimal128Array>();
        Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
    }

    fn timestamps(&self, column: u64) -> ArrayRef {
        let of = |h: u64| {
            let seconds = 1_704_067_200 + (h % 31_536_000) as i64;
            seconds * 1_000_000 + ((h >> 40) % 1_000_000) as i64
        };
        Arc::new(
            self.values(column, of)
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        )
    }
}

/// splitmix64 of the place.
fn hash(row: u64, column: u64) -> u64 {
    let x = (row * 64 + column).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

fn repeated_hex(h: u64, length: usize) -> String {
    format!("{h:016x}")
        .repeat(length.div_ceil(16))
        .chars()
        .take(length)
        .collect()
}

fn status(h: u64) -> String {
    format!("status-{:05}", h % 1_000)
}
