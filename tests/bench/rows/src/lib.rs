//! The rows every writer is compared on: the same for every language, made from a hash of row and
//! column, so that any client can make them without reading a file.
//!
//! Row `i` is row `i % pool` of a pool, with its column `id` replaced by `i`. The pool is larger
//! than the window of every compressor, so repeating it helps none of them.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int16Builder,
    Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

/// One of the two kinds of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 7 columns, no nulls, about 82 bytes a row as a record stream.
    Narrow,
    /// 30 columns, one value in sixteen is null in most of them.
    Wide,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text {
        prefix: &'static str,
        length: usize,
    },
    LowCardinality,
    BigInt,
    Int,
    SmallInt,
    Double,
    Float,
    Decimal {
        precision: u8,
        scale: i8,
        modulus: u64,
    },
    Boolean,
    Date,
    Timestamp,
}

const fn text(length: usize) -> Kind {
    Kind::Text { prefix: "", length }
}

const DEC2: Kind = Kind::Decimal {
    precision: 18,
    scale: 2,
    modulus: 10_000_000_000,
};
const DEC10: Kind = Kind::Decimal {
    precision: 38,
    scale: 10,
    modulus: 1_000_000_000_000_000,
};

const NARROW: &[(&str, Kind)] = &[
    (
        "s1",
        Kind::Text {
            prefix: "ord-",
            length: 16,
        },
    ),
    ("s2", Kind::LowCardinality),
    ("d", Kind::Double),
    ("m", DEC2),
    ("ts", Kind::Timestamp),
    ("n", Kind::Int),
];

const WIDE: &[(&str, Kind)] = &[
    ("c1", text(8)),
    ("c2", text(12)),
    ("c3", text(16)),
    ("c4", text(20)),
    ("c5", text(24)),
    ("c6", text(32)),
    ("c7", text(40)),
    ("c8", Kind::LowCardinality),
    ("c9", Kind::BigInt),
    ("c10", Kind::BigInt),
    ("c11", Kind::BigInt),
    ("c12", Kind::BigInt),
    ("c13", Kind::Int),
    ("c14", Kind::Int),
    ("c15", Kind::Int),
    ("c16", Kind::SmallInt),
    ("c17", Kind::Double),
    ("c18", Kind::Double),
    ("c19", Kind::Double),
    ("c20", Kind::Double),
    ("c21", Kind::Float),
    ("c22", DEC2),
    ("c23", DEC2),
    ("c24", DEC10),
    ("c25", Kind::Boolean),
    ("c26", Kind::Date),
    ("c27", Kind::Timestamp),
    ("c28", Kind::Timestamp),
    ("c29", text(10)),
];

/// First column of the wide shape whose values can be null.
const FIRST_NULLABLE: u64 = 8;

impl Shape {
    fn columns(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::Narrow => NARROW,
            Self::Wide => WIDE,
        }
    }

    /// Rows in the pool.
    #[must_use]
    pub fn pool_rows(self) -> u64 {
        match self {
            Self::Narrow => 32_768,
            Self::Wide => 8_192,
        }
    }

    /// Its columns; `id`, the first, is the key.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        let nullable = self == Self::Wide;
        let mut fields = vec![Field::new("id", DataType::Int64, false)];
        for (index, (name, kind)) in (1_u64..).zip(self.columns()) {
            fields.push(Field::new(
                *name,
                kind.data_type(),
                nullable && index >= FIRST_NULLABLE,
            ));
        }
        Arc::new(Schema::new(fields))
    }

    /// Rows `0..rows`, `batch_rows` a batch.
    ///
    /// # Errors
    /// Never in practice: the columns are made for the schema.
    pub fn batches(self, rows: u64, batch_rows: u64) -> Result<Batches, ArrowError> {
        let pool = self.pool_rows();
        let nullable = self == Self::Wide;
        let columns = (1_u64..)
            .zip(self.columns())
            .map(|(index, (_, kind))| kind.column(index, pool, nullable && index >= FIRST_NULLABLE))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Batches {
            schema: self.schema(),
            columns,
            pool,
            batch_rows,
            next: 0,
            rows,
        })
    }
}

/// The rows of a shape, batch by batch.
#[derive(Debug)]
pub struct Batches {
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
    pool: u64,
    batch_rows: u64,
    next: u64,
    rows: u64,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.rows {
            return None;
        }
        let offset = self.next % self.pool;
        let length = self
            .batch_rows
            .min(self.rows - self.next)
            .min(self.pool - offset);
        let end = self.next + length;
        let ids = Int64Array::from_iter_values((self.next..end).map(u64::cast_signed));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(ids)];
        // Both are below the pool's size.
        let (offset, length) = (offset as usize, length as usize);
        columns.extend(
            self.columns
                .iter()
                .map(|column| column.slice(offset, length)),
        );
        self.next = end;
        Some(RecordBatch::try_new(Arc::clone(&self.schema), columns))
    }
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Text { .. } | Self::LowCardinality => DataType::Utf8,
            Self::BigInt => DataType::Int64,
            Self::Int => DataType::Int32,
            Self::SmallInt => DataType::Int16,
            Self::Double => DataType::Float64,
            Self::Float => DataType::Float32,
            Self::Decimal {
                precision, scale, ..
            } => DataType::Decimal128(precision, scale),
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    fn column(self, index: u64, pool: u64, nullable: bool) -> Result<ArrayRef, ArrowError> {
        let hashes = (0..pool).map(|row| {
            (!(nullable && hash(row, index + 32).is_multiple_of(16))).then(|| hash(row, index))
        });
        macro_rules! build {
            ($builder:expr, $value:expr) => {{
                let mut builder = $builder;
                for hash in hashes {
                    builder.append_option(hash.map($value));
                }
                Arc::new(builder.finish()) as ArrayRef
            }};
        }
        Ok(match self {
            Self::Text { prefix, length } => build!(StringBuilder::new(), |h: u64| {
                let digits = format!("{h:016x}");
                let repeated: String = digits.chars().cycle().take(length).collect();
                format!("{prefix}{repeated}")
            }),
            Self::LowCardinality => build!(StringBuilder::new(), |h: u64| format!(
                "status-{:05}",
                h % 1000
            )),
            Self::BigInt => build!(Int64Builder::new(), |h: u64| h.cast_signed() >> 24),
            Self::Int => build!(Int32Builder::new(), |h: u64| (h % 100_000) as i32),
            Self::SmallInt => build!(Int16Builder::new(), |h: u64| (h % 30_000) as i16),
            Self::Double => build!(Float64Builder::new(), |h: u64| (h % 1_000_000_007) as f64
                / 1000.0),
            Self::Float => build!(Float32Builder::new(), |h: u64| (h % 65_536) as f32 / 16.0),
            Self::Decimal {
                precision,
                scale,
                modulus,
            } => {
                let builder =
                    Decimal128Builder::new().with_precision_and_scale(precision, scale)?;
                build!(builder, |h: u64| i128::from(h % modulus)
                    - i128::from(modulus / 2))
            }
            Self::Boolean => build!(BooleanBuilder::new(), |h: u64| h % 2 == 1),
            Self::Date => build!(Date32Builder::new(), |h: u64| 19_000 + (h % 1_000) as i32),
            Self::Timestamp => build!(
                TimestampMicrosecondBuilder::new().with_timezone("UTC"),
                |h: u64| {
                    let seconds = 1_704_067_200 + h % 31_536_000;
                    (seconds * 1_000_000 + (h >> 40) % 1_000_000).cast_signed()
                }
            ),
        })
    }
}

/// splitmix64 of row and column.
fn hash(row: u64, column: u64) -> u64 {
    let x = (row * 64 + column).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
