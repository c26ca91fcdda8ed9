use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};

use super::wire_type;
use crate::catalog::{Column, ColumnType};

/// One column of a stream: its place in the list is its field number minus one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireColumn {
    /// Name, for messages and for the Arrow schema.
    pub name: String,
    /// Type, which decides how values are written.
    pub ty: ColumnType,
    /// Whether a record may leave it out.
    pub nullable: bool,
}

impl WireColumn {
    /// A nullable column.
    pub fn new(name: impl Into<String>, ty: ColumnType) -> Self {
        Self {
            name: name.into(),
            ty,
            nullable: true,
        }
    }

    /// The Arrow schema of batches with these columns, in the in-memory types of the store. Every field is
    /// nullable: NOT NULL is checked while reading, and a partial update leaves columns out.
    pub fn schema(columns: &[WireColumn]) -> SchemaRef {
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| Field::new(column.name.as_str(), column.ty.arrow_type(), true))
            .collect();
        Arc::new(Schema::new(fields))
    }
}

impl From<&Column> for WireColumn {
    fn from(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            ty: column.ty.clone(),
            nullable: column.nullable,
        }
    }
}

/// The wire type that a tag in front of such a value carries.
pub(super) fn wire_type_of(ty: &ColumnType) -> u64 {
    match ty {
        ColumnType::TinyInt
        | ColumnType::SmallInt
        | ColumnType::Int
        | ColumnType::BigInt
        | ColumnType::Boolean
        | ColumnType::Date
        | ColumnType::Datetime
        | ColumnType::IntervalYearMonth => wire_type::VARINT,
        ColumnType::Float => wire_type::FIXED32,
        ColumnType::Double => wire_type::FIXED64,
        _ => wire_type::LENGTH,
    }
}

/// Precision and scale of a decimal type.
pub(super) fn decimal_digits(ty: &ColumnType) -> Option<(u8, i8)> {
    match ty {
        ColumnType::Decimal { precision, scale } => {
            Some((*precision, i8::try_from(*scale).unwrap_or(i8::MAX)))
        }
        ColumnType::LegacyDecimal => Some((38, 18)),
        _ => None,
    }
}
