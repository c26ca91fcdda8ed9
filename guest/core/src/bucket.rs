//! The bucket of a Delta table's row: a hash of its primary key, as the official Java client has it.

use std::str::FromStr;

use arrow_array::{RecordBatch, new_empty_array};
use arrow_schema::Schema;

use crate::record::cell::{Limits, Slot, ValueSink, is_nested};
use crate::record::{batch_column, source_type};
use crate::schema::{Column, SchemaMismatch, ValueError};
use crate::types::OdpsType;

/// Which of the service's two hash functions a session uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HasherKind {
    /// `default`.
    Default,
    /// `legacy`.
    Legacy,
}

/// A hasher this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownHasher(pub String);

impl std::fmt::Display for UnknownHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the service asks for the hash `{}`; known are default and legacy",
            self.0
        )
    }
}

impl std::error::Error for UnknownHasher {}

impl FromStr for HasherKind {
    type Err = UnknownHasher;

    fn from_str(text: &str) -> Result<Self, UnknownHasher> {
        if text.eq_ignore_ascii_case("default") {
            Ok(Self::Default)
        } else if text.eq_ignore_ascii_case("legacy") {
            Ok(Self::Legacy)
        } else {
            Err(UnknownHasher(text.to_owned()))
        }
    }
}

impl HasherKind {
    /// Hash of a 64-bit integer.
    #[must_use]
    #[inline]
    pub fn integer(self, value: i64) -> i32 {
        match self {
            Self::Default => {
                let x = (!value).wrapping_add(value << 18);
                let x = (x ^ (x >> 31)).wrapping_mul(21);
                let x = x ^ (x >> 11);
                let x = x.wrapping_add(x << 6);
                (x ^ (x >> 22)) as i32
            }
            Self::Legacy => ((value >> 32) ^ value) as i32,
        }
    }

    /// Hash of a text's UTF-8 bytes.
    #[must_use]
    #[inline]
    pub fn text(self, bytes: &[u8]) -> i32 {
        let signed = bytes.iter().map(|byte| i32::from(*byte as i8));
        match self {
            Self::Default => {
                let h = signed.fold(0_i32, |h, byte| {
                    let h = h.wrapping_add(byte);
                    let h = h.wrapping_add(h << 10);
                    h ^ (h >> 6)
                });
                let h = h.wrapping_add(h << 3);
                let h = h ^ (h >> 11);
                h.wrapping_add(h << 15)
            }
            Self::Legacy => signed.fold(0, |h: i32, byte| h.wrapping_mul(31).wrapping_add(byte)),
        }
    }

    /// Hash of a DECIMAL of this declared precision, given as its unscaled value.
    #[must_use]
    #[inline]
    pub fn decimal(self, unscaled: i128, precision: u8) -> i32 {
        let low = self.integer(unscaled as i64);
        if precision <= 18 {
            low
        } else {
            low.wrapping_add(self.integer((unscaled >> 64) as i64))
        }
    }
}

/// What becomes of the sum of the hashes of the key columns; never negative.
#[must_use]
#[inline]
pub fn combine(sum: i32) -> i32 {
    sum ^ (sum >> 8)
}

/// Hashes the primary key of Arrow rows.
#[derive(Clone, Debug)]
pub struct BucketHasher {
    kind: HasherKind,
    keys: Vec<(Column, usize)>,
}

impl BucketHasher {
    /// A hasher of these key columns, each with the index of its Arrow column.
    ///
    /// # Errors
    ///
    /// For key types without a hash: BINARY (the official clients disagree), JSON, intervals of
    /// months and nested types; and for an empty key.
    pub fn new(kind: HasherKind, keys: &[(Column, usize)]) -> Result<Self, SchemaMismatch> {
        if keys.is_empty() {
            return Err(SchemaMismatch {
                column: None,
                reason: "the table has no primary key to choose a bucket by".to_owned(),
            });
        }
        for (column, _) in keys {
            let no_hash = is_nested(&column.ty)
                || matches!(
                    column.ty,
                    OdpsType::Binary | OdpsType::Json | OdpsType::IntervalYearMonth
                );
            if no_hash {
                return Err(SchemaMismatch::of(
                    &column.name,
                    format!(
                        "a primary key column can not be {}: it has no bucket hash",
                        column.ty
                    ),
                ));
            }
        }
        Ok(Self {
            kind,
            keys: keys.to_vec(),
        })
    }

    /// Checks the Arrow columns before there is a batch.
    ///
    /// # Errors
    ///
    /// Where a key column can not be read from its Arrow column.
    pub fn check(&self, schema: &Schema) -> Result<(), SchemaMismatch> {
        for (column, source) in &self.keys {
            let array = new_empty_array(source_type(schema, column, *source)?);
            Slot::bind(&column.ty, array.as_ref(), LIMITS)
                .map_err(|reason| SchemaMismatch::of(&column.name, reason))?;
        }
        Ok(())
    }

    /// Binds the rows of one batch.
    ///
    /// # Errors
    ///
    /// Where a key column can not be read from its Arrow column.
    pub fn bind<'a>(&'a self, batch: &'a RecordBatch) -> Result<BoundKeys<'a>, SchemaMismatch> {
        let slots = self
            .keys
            .iter()
            .map(|(column, source)| {
                let array = batch_column(batch, &column.name, *source)?;
                Slot::bind(&column.ty, array.as_ref(), LIMITS)
                    .map_err(|reason| SchemaMismatch::of(&column.name, reason))
            })
            .collect::<Result<_, _>>()?;
        Ok(BoundKeys {
            hasher: self,
            rows: batch.num_rows(),
            slots,
        })
    }
}

/// The encoder reports values that are too long with the session's own limit.
const LIMITS: Limits = Limits {
    max_field_size: usize::MAX,
};

/// The keys of one batch.
pub struct BoundKeys<'a> {
    hasher: &'a BucketHasher,
    rows: usize,
    slots: Vec<Slot<'a>>,
}

impl BoundKeys<'_> {
    /// The combined hash of row `row`'s key, never negative.
    ///
    /// # Errors
    ///
    /// Where a key value is NULL or does not fit its column.
    #[inline]
    pub fn hash(&self, row: usize) -> Result<i32, ValueError> {
        let mut sum = Sum {
            kind: self.hasher.kind,
            sum: 0,
        };
        for (i, slot) in self.slots.iter().enumerate() {
            if row >= self.rows {
                return Err(self.error(
                    i,
                    format!("there is no row {row} in a batch of {}", self.rows),
                ));
            }
            if slot.is_null(row) {
                return Err(self.error(i, "NULL in a primary key column".to_owned()));
            }
            slot.emit(row, &mut sum)
                .map_err(|refused| self.error(i, refused.0.into_string()))?;
        }
        Ok(combine(sum.sum))
    }

    /// The bucket of row `row` of `buckets`, which must not be 0.
    ///
    /// # Errors
    ///
    /// As for [`hash`](Self::hash).
    #[inline]
    pub fn bucket(&self, row: usize, buckets: u32) -> Result<u32, ValueError> {
        Ok((self.hash(row)? as u32).checked_rem(buckets).unwrap_or(0))
    }

    #[cold]
    fn error(&self, key: usize, reason: String) -> ValueError {
        let column = self
            .hasher
            .keys
            .get(key)
            .map(|(column, _)| column.name.clone());
        ValueError {
            column: column.unwrap_or_default(),
            reason,
        }
    }
}

/// Sums the hashes of values.
struct Sum {
    kind: HasherKind,
    sum: i32,
}

impl Sum {
    #[inline]
    fn add(&mut self, hash: i32) {
        self.sum = self.sum.wrapping_add(hash);
    }
}

const TRUE: i32 = 0x172b_a9c7;
const FALSE: i32 = -0x3a59_cb12;

impl ValueSink for Sum {
    #[inline]
    fn integer(&mut self, value: i64) {
        self.add(self.kind.integer(value));
    }

    fn boolean(&mut self, value: bool) {
        self.add(if value { TRUE } else { FALSE });
    }

    fn float(&mut self, value: f32) {
        // All NaN are one, as Java's floatToIntBits has it.
        let bits = if value.is_nan() {
            0x7fc0_0000
        } else {
            value.to_bits()
        };
        self.integer(i64::from(bits as i32));
    }

    fn double(&mut self, value: f64) {
        let bits = if value.is_nan() {
            0x7ff8_0000_0000_0000
        } else {
            value.to_bits()
        };
        self.integer(bits as i64);
    }

    #[inline]
    fn bytes(&mut self, value: &[u8]) {
        self.add(self.kind.text(value));
    }

    fn decimal(&mut self, unscaled: i128, precision: u8, _scale: u8) {
        self.add(self.kind.decimal(unscaled, precision));
    }

    fn date(&mut self, days: i64) {
        self.integer(days * 86_400);
    }

    fn datetime(&mut self, milliseconds: i64) {
        self.integer(milliseconds);
    }

    fn timestamp(&mut self, seconds: i64, nanoseconds: i32) {
        self.integer(seconds << 30 | i64::from(nanoseconds));
    }

    fn day_time(&mut self, seconds: i64, nanoseconds: i32) {
        self.timestamp(seconds, nanoseconds);
    }

    // The rest is refused when the hasher is made.
    fn months(&mut self, _months: i64) {}

    fn list(&mut self, _length: usize) {}

    fn structure(&mut self) {}

    fn null_flag(&mut self, _is_null: bool) {}
}
