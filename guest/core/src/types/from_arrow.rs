//! The type a new column gets from an Arrow field.

use std::fmt;

use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};

use super::{MAX_DECIMAL_PRECISION, MAX_DECIMAL_SCALE, OdpsType};

/// Key of Arrow field metadata that names the MaxCompute type itself, as SQL text.
pub const TYPE_METADATA_KEY: &str = "longshore.type";

/// An Arrow field no MaxCompute column can be made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedType {
    /// The field, with the path inside nested types: `order.items.element`.
    pub field: String,
    /// Why, and what would do.
    pub reason: String,
}

impl fmt::Display for UnsupportedType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "column `{}` has no MaxCompute type: {}",
            self.field, self.reason
        )
    }
}

impl std::error::Error for UnsupportedType {}

/// Types of created columns, where more than one would do. The default keeps most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeMapping {
    /// CHAR(n) and VARCHAR(n) become STRING.
    pub char_as_string: bool,
    /// Instants of millisecond precision or less become DATETIME.
    pub instant_as_datetime: bool,
}

impl OdpsType {
    /// The type of a column created for `field`.
    ///
    /// Unsigned integers take the next wider signed type, 64-bit ones DECIMAL(20,0); times of day
    /// become STRING; timestamps with a zone TIMESTAMP, without one TIMESTAMP_NTZ; dictionaries
    /// their value type. Field metadata [`TYPE_METADATA_KEY`] overrides all of this, on every level
    /// of a nested type.
    ///
    /// # Errors
    ///
    /// Where MaxCompute has no such type or its limits are too narrow.
    pub fn from_arrow(field: &Field) -> Result<Self, UnsupportedType> {
        Self::from_arrow_as(field, TypeMapping::default())
    }

    /// The same, with a choice where there is one.
    ///
    /// # Errors
    ///
    /// As for [`from_arrow`](Self::from_arrow).
    pub fn from_arrow_as(field: &Field, mapping: TypeMapping) -> Result<Self, UnsupportedType> {
        let ty = of_field(field, field.name(), mapping)?;
        Ok(if mapping.char_as_string {
            without_lengths(ty)
        } else {
            ty
        })
    }
}

/// The same type with STRING for every CHAR and VARCHAR in it.
fn without_lengths(ty: OdpsType) -> OdpsType {
    let boxed = |ty: OdpsType| Box::new(without_lengths(ty));
    match ty {
        OdpsType::Char(_) | OdpsType::Varchar(_) => OdpsType::String,
        OdpsType::Array(element) => OdpsType::Array(boxed(*element)),
        OdpsType::Map(key, value) => OdpsType::Map(boxed(*key), boxed(*value)),
        OdpsType::Struct(fields) => OdpsType::Struct(
            fields
                .into_iter()
                .map(|(name, ty)| (name, without_lengths(ty)))
                .collect(),
        ),
        other => other,
    }
}

fn of_field(field: &Field, path: &str, mapping: TypeMapping) -> Result<OdpsType, UnsupportedType> {
    match field.metadata().get(TYPE_METADATA_KEY) {
        Some(text) => text.parse().map_err(|error| UnsupportedType {
            field: path.to_owned(),
            reason: format!("field metadata {TYPE_METADATA_KEY}: {error}"),
        }),
        None => of_data_type(field.data_type(), path, mapping),
    }
}

fn of_data_type(
    data_type: &DataType,
    path: &str,
    mapping: TypeMapping,
) -> Result<OdpsType, UnsupportedType> {
    let refuse = |reason: &str| UnsupportedType {
        field: path.to_owned(),
        reason: reason.to_owned(),
    };
    Ok(match data_type {
        DataType::Int8 => OdpsType::TinyInt,
        DataType::Int16 | DataType::UInt8 => OdpsType::SmallInt,
        DataType::Int32 | DataType::UInt16 => OdpsType::Int,
        DataType::Int64 | DataType::UInt32 => OdpsType::BigInt,
        DataType::UInt64 => OdpsType::Decimal {
            precision: 20,
            scale: 0,
        },
        DataType::Float16 | DataType::Float32 => OdpsType::Float,
        DataType::Float64 => OdpsType::Double,
        DataType::Boolean => OdpsType::Boolean,
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            OdpsType::String
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => OdpsType::Binary,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => decimal(*precision, *scale, path)?,
        DataType::Date32 | DataType::Date64 => OdpsType::Date,
        DataType::Time32(_) | DataType::Time64(_) => OdpsType::String,
        DataType::Timestamp(_, None) => OdpsType::TimestampNtz,
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, Some(_))
            if mapping.instant_as_datetime =>
        {
            OdpsType::Datetime
        }
        DataType::Timestamp(_, Some(_)) => OdpsType::Timestamp,
        DataType::Duration(_) | DataType::Interval(IntervalUnit::DayTime) => {
            OdpsType::IntervalDayTime
        }
        DataType::Interval(IntervalUnit::YearMonth) => OdpsType::IntervalYearMonth,
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _) => OdpsType::Array(Box::new(of_field(
            element,
            &format!("{path}.element"),
            mapping,
        )?)),
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(refuse("the entries of the Arrow map are not a struct"));
            };
            let [key, value] = fields.as_ref() else {
                return Err(refuse("the entries of the Arrow map are not pairs"));
            };
            OdpsType::Map(
                Box::new(of_field(key, &format!("{path}.key"), mapping)?),
                Box::new(of_field(value, &format!("{path}.value"), mapping)?),
            )
        }
        DataType::Struct(fields) if fields.is_empty() => {
            return Err(refuse("MaxCompute has no STRUCT without fields"));
        }
        DataType::Struct(fields) => OdpsType::Struct(
            fields
                .iter()
                .map(|field| {
                    let ty = of_field(field, &format!("{path}.{}", field.name()), mapping)?;
                    Ok((field.name().clone(), ty))
                })
                .collect::<Result<_, UnsupportedType>>()?,
        ),
        DataType::Dictionary(_, value) => of_data_type(value, path, mapping)?,
        other => {
            return Err(refuse(&format!(
                "Arrow type {other} is not supported; cast it first"
            )));
        }
    })
}

fn decimal(precision: u8, scale: i8, path: &str) -> Result<OdpsType, UnsupportedType> {
    // A negative scale stands for zeros before the point: they need digits of their own.
    let (needed, scale) = match u8::try_from(scale) {
        Ok(scale) => (precision, scale),
        Err(_) => (precision.saturating_add(scale.unsigned_abs()), 0),
    };
    if needed <= MAX_DECIMAL_PRECISION && scale <= MAX_DECIMAL_SCALE {
        Ok(OdpsType::Decimal {
            precision: needed,
            scale,
        })
    } else {
        Err(UnsupportedType {
            field: path.to_owned(),
            reason: format!(
                "decimal({precision},{scale}) is wider than DECIMAL({MAX_DECIMAL_PRECISION},\
                 {MAX_DECIMAL_SCALE}); map it to string or reduce it first"
            ),
        })
    }
}
