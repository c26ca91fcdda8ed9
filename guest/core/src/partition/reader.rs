//! The partition of a row.

use std::cell::Cell;
use std::fmt::Write;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;

use super::zone::OffsetSpan;
use super::{DatePattern, PartitionSpec, Zone, check_value, push_pair};
use crate::record::batch_column;
use crate::record::cell::{Limits, Refused, ShortText, Slot, ValueSink};
use crate::schema::{Column, SchemaMismatch, ValueError};
use crate::types::OdpsType;

/// 0001-01-01T00:00:00 and the last second of 9999, since 1970.
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;

/// Where the values of a partition column come from.
#[derive(Clone, Debug)]
pub enum PartitionSource {
    /// The Arrow column of that index.
    Column(usize),
    /// The same for all rows.
    Fixed(String),
    /// The time in the Arrow column of that index, as text. Instants are shown in the zone, wall
    /// clocks and dates as they are.
    Time {
        /// Index of the Arrow column.
        column: usize,
        /// Form of the text.
        pattern: DatePattern,
        /// Zone that instants are shown in.
        zone: Zone,
    },
}

/// Reads partition values from Arrow rows: integers in decimal, dates as `yyyy-MM-dd`, text as it
/// is.
#[derive(Clone, Debug)]
pub struct PartitionReader {
    columns: Vec<(Column, PartitionSource)>,
    default: Option<String>,
}

/// Whether a partition column can be of that type.
///
/// # Errors
///
/// Where it can not.
pub fn check_type(column: &Column) -> Result<(), SchemaMismatch> {
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
    if legal {
        return Ok(());
    }
    Err(SchemaMismatch::of(
        &column.name,
        format!(
            "a partition column can not be {}; it can be text, an integer or a date",
            column.ty
        ),
    ))
}

impl PartitionReader {
    /// A reader of these partition columns, outermost first, each with where its values come from.
    ///
    /// # Errors
    ///
    /// For types no partition column can have, and fixed values that are not of the column's type.
    pub fn new(mut columns: Vec<(Column, PartitionSource)>) -> Result<Self, SchemaMismatch> {
        for (column, source) in &mut columns {
            check_type(column)?;
            if let PartitionSource::Fixed(value) = source {
                *value = canonical(&column.ty, value)
                    .map_err(|reason| SchemaMismatch::of(&column.name, reason))?;
            }
        }
        Ok(Self {
            columns,
            default: None,
        })
    }

    /// Sets the value that stands for NULL and for empty text; without one, such rows are refused.
    #[must_use]
    pub fn default_value(mut self, value: Option<String>) -> Self {
        self.default = value;
        self
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
        let columns = self
            .columns
            .iter()
            .map(|(column, source)| {
                let value = bind(column, source, batch)?;
                Ok(BoundColumn { column, value })
            })
            .collect::<Result<_, SchemaMismatch>>()?;
        Ok(BoundPartitions {
            rows: batch.num_rows(),
            columns,
            default: self.default.as_deref(),
        })
    }
}

fn bind<'a>(
    column: &Column,
    source: &'a PartitionSource,
    batch: &'a RecordBatch,
) -> Result<Value<'a>, SchemaMismatch> {
    let limits = Limits {
        max_field_size: usize::MAX,
    };
    let mismatch = |reason: String| SchemaMismatch::of(&column.name, reason);
    Ok(match source {
        PartitionSource::Fixed(value) => Value::Fixed(value),
        PartitionSource::Column(index) => {
            let array = batch_column(batch, &column.name, *index)?;
            let slot = Slot::bind(&column.ty, array.as_ref(), limits).map_err(mismatch)?;
            Value::Column { slot, array }
        }
        PartitionSource::Time {
            column: index,
            pattern,
            zone,
        } => {
            let array = batch_column(batch, &column.name, *index)?;
            let is_instant = match time_type(array.data_type()) {
                Some(DataType::Timestamp(_, zone)) => zone.is_some(),
                Some(_) => false,
                None => {
                    return Err(mismatch(format!(
                        "date_format reads a timestamp or a date, not Arrow type {}",
                        array.data_type()
                    )));
                }
            };
            let slot =
                Slot::bind(&OdpsType::Timestamp, array.as_ref(), limits).map_err(mismatch)?;
            Value::Time {
                slot,
                pattern,
                zone: is_instant.then_some(zone),
                span: Cell::new(OffsetSpan::NONE),
            }
        }
    })
}

/// The type of a column of times, within a dictionary too.
fn time_type(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::Timestamp(..) | DataType::Date32 => Some(data_type),
        DataType::Dictionary(_, values) => time_type(values),
        _ => None,
    }
}

/// The partitions of one batch's rows.
pub struct BoundPartitions<'a> {
    rows: usize,
    columns: Vec<BoundColumn<'a>>,
    default: Option<&'a str>,
}

struct BoundColumn<'a> {
    column: &'a Column,
    value: Value<'a>,
}

enum Value<'a> {
    Fixed(&'a str),
    Column {
        slot: Slot<'a>,
        array: &'a ArrayRef,
    },
    Time {
        slot: Slot<'a>,
        pattern: &'a DatePattern,
        /// None for wall clocks.
        zone: Option<&'a Zone>,
        /// The offset of the row before; most rows have the same.
        span: Cell<OffsetSpan>,
    },
}

impl BoundPartitions<'_> {
    /// Replaces `text` by the tunnel's text of row `row`'s partition. Meant to be called for every
    /// row with the same `text`, as the key of a map.
    ///
    /// # Errors
    ///
    /// Where a value is NULL or empty and there is no default, or where no partition can have it;
    /// `text` is unspecified then.
    pub fn tunnel_text(&self, row: usize, text: &mut String) -> Result<(), ValueError> {
        text.clear();
        for column in &self.columns {
            push_pair(text, &column.column.name);
            self.push_value(column, row, text)?;
        }
        Ok(())
    }

    /// Row `row`'s partition.
    ///
    /// # Errors
    ///
    /// As for [`tunnel_text`](Self::tunnel_text).
    pub fn spec(&self, row: usize) -> Result<PartitionSpec, ValueError> {
        let pairs = self
            .columns
            .iter()
            .map(|column| {
                let mut value = String::new();
                self.push_value(column, row, &mut value)?;
                Ok((column.column.name.clone(), value))
            })
            .collect::<Result<_, ValueError>>()?;
        Ok(PartitionSpec(pairs))
    }

    /// Whether two rows belong to the same partition. Rows without a partition belong to different
    /// ones.
    #[must_use]
    pub fn same(&self, a: usize, b: usize) -> bool {
        self.columns.iter().all(|column| match &column.value {
            Value::Fixed(_) => true,
            // Equal values are equal partitions; values that differ still can be one: NULL and the
            // empty text, or two times of one day.
            Value::Column { array, .. } if same_value(array, a, b) => true,
            Value::Column { .. } | Value::Time { .. } => {
                let (mut text_a, mut text_b) = (String::new(), String::new());
                self.push_value(column, a, &mut text_a).is_ok()
                    && self.push_value(column, b, &mut text_b).is_ok()
                    && text_a == text_b
            }
        })
    }

    fn push_value(
        &self,
        column: &BoundColumn<'_>,
        row: usize,
        text: &mut String,
    ) -> Result<(), ValueError> {
        let BoundColumn { column, value } = column;
        if row >= self.rows {
            return Err(refused(
                column,
                format!("there is no row {row} in a batch of {}", self.rows),
            ));
        }
        let start = text.len();
        value
            .push(row, &column.ty, text)
            .map_err(|reason| refused(column, reason.0.into_string()))?;
        if text.len() == start {
            return self.push_default(column, text);
        }
        check_value(&column.name, text.get(start..).unwrap_or_default())
            .map_err(|error| refused(column, error.to_string()))
    }

    #[cold]
    fn push_default(&self, column: &Column, text: &mut String) -> Result<(), ValueError> {
        let what = "NULL or an empty text in a partition column";
        let Some(default) = self.default else {
            return Err(refused(
                column,
                format!("{what}, and partition.default-value is empty"),
            ));
        };
        let default = canonical(&column.ty, default).map_err(|reason| {
            refused(
                column,
                format!("{what}; as partition.default-value: {reason}"),
            )
        })?;
        check_value(&column.name, &default).map_err(|error| refused(column, error.to_string()))?;
        text.push_str(&default);
        Ok(())
    }
}

impl Value<'_> {
    /// Appends row `row`'s value; nothing for NULL.
    fn push(&self, row: usize, ty: &OdpsType, text: &mut String) -> Result<(), Refused> {
        match self {
            Self::Fixed(value) => {
                text.push_str(value);
                Ok(())
            }
            Self::Column { slot, .. } if slot.is_null(row) => Ok(()),
            Self::Column { slot, .. } => slot.emit(row, &mut Rendering(text)),
            Self::Time { slot, .. } if slot.is_null(row) => Ok(()),
            Self::Time {
                slot,
                pattern,
                zone,
                span,
            } => {
                let mut time = Seconds(0);
                slot.emit(row, &mut time)?;
                let wall_clock = match zone {
                    None => time.0,
                    Some(zone) => {
                        if !span.get().holds(time.0) {
                            span.set(zone.offset(time.0));
                        }
                        time.0 + span.get().offset
                    }
                };
                if !(FIRST_SECOND..=LAST_SECOND).contains(&wall_clock) {
                    return Err(Refused::new(
                        "the time is outside of the years 0001 to 9999 in the partition's time zone",
                    ));
                }
                let start = text.len();
                pattern.push(wall_clock, text);
                if !matches!(ty, OdpsType::String) {
                    let value = text.split_off(start);
                    text.push_str(&canonical(ty, &value).map_err(Refused::new)?);
                }
                Ok(())
            }
        }
    }
}

/// The one spelling that a value of this type has in a partition.
fn canonical(ty: &OdpsType, value: &str) -> Result<String, String> {
    let integer = |low: i64, high: i64| match value.parse::<i64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number.to_string()),
        _ => Err(format!("`{value}` is not a value of type {ty}")),
    };
    match ty {
        OdpsType::TinyInt => integer(i8::MIN.into(), i8::MAX.into()),
        OdpsType::SmallInt => integer(i16::MIN.into(), i16::MAX.into()),
        OdpsType::Int => integer(i32::MIN.into(), i32::MAX.into()),
        OdpsType::BigInt => integer(-i64::MAX, i64::MAX),
        OdpsType::Date => {
            let form = value.char_indices().all(|(at, c)| match at {
                4 | 7 => c == '-',
                _ => c.is_ascii_digit(),
            });
            if form && value.len() == 10 {
                Ok(value.to_owned())
            } else {
                Err(format!("`{value}` is not a date of the form yyyy-MM-dd"))
            }
        }
        OdpsType::Varchar(length) | OdpsType::Char(length)
            if value.chars().count() > *length as usize =>
        {
            Err(format!("`{value}` is longer than {ty}"))
        }
        _ => Ok(value.to_owned()),
    }
}

fn same_value(array: &ArrayRef, a: usize, b: usize) -> bool {
    array.slice(a, 1).to_data() == array.slice(b, 1).to_data()
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

/// Keeps the seconds of a time.
struct Seconds(i64);

/// Implements the values that a sink never gets, for its columns have no such type.
macro_rules! no_values_of_other_types {
    () => {
        fn boolean(&mut self, _value: bool) {}

        fn float(&mut self, _value: f32) {}

        fn double(&mut self, _value: f64) {}

        fn decimal(&mut self, _unscaled: i128, _precision: u8, _scale: u8) {}

        fn datetime(&mut self, _milliseconds: i64) {}

        fn day_time(&mut self, _seconds: i64, _nanoseconds: i32) {}

        fn months(&mut self, _months: i64) {}

        fn list(&mut self, _length: usize) {}

        fn structure(&mut self) {}

        fn null_flag(&mut self, _is_null: bool) {}
    };
}

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

    fn timestamp(&mut self, _seconds: i64, _nanoseconds: i32) {}

    no_values_of_other_types!();
}

impl ValueSink for Seconds {
    fn timestamp(&mut self, seconds: i64, _nanoseconds: i32) {
        self.0 = seconds;
    }

    fn integer(&mut self, _value: i64) {}

    fn bytes(&mut self, _value: &[u8]) {}

    fn date(&mut self, _days: i64) {}

    no_values_of_other_types!();
}
