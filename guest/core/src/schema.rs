//! Columns of a table at the service, and how Arrow columns meet them.

use std::fmt;

use arrow_schema::{Field, Schema};

use crate::types::{OdpsType, TypeMapping, UnsupportedType};

/// Key of Arrow field metadata that carries a column comment, and of schema metadata that carries
/// the comment of a table to be created.
pub const COMMENT_METADATA_KEY: &str = "comment";

/// Start of keys of Arrow schema metadata that carry properties (TBLPROPERTIES) of a table to be
/// created.
pub const TABLE_PROPERTY_PREFIX: &str = "longshore.table-property.";

/// A data or partition column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name, in the spelling of the table.
    pub name: String,
    /// Type.
    pub ty: OdpsType,
    /// Whether NULL is a legal value.
    pub nullable: bool,
    /// Comment.
    pub comment: Option<String>,
    /// The service's own number of the column, which partial updates name it by.
    pub column_id: Option<i64>,
}

impl Column {
    /// A nullable column without a comment.
    pub fn new(name: impl Into<String>, ty: OdpsType) -> Self {
        Self {
            name: name.into(),
            ty,
            nullable: true,
            comment: None,
            column_id: None,
        }
    }

    /// The same column, refusing NULL.
    #[must_use]
    pub fn not_null(self) -> Self {
        Self {
            nullable: false,
            ..self
        }
    }

    /// The same column with a comment.
    #[must_use]
    pub fn with_comment(self, comment: impl Into<String>) -> Self {
        Self {
            comment: Some(comment.into()),
            ..self
        }
    }

    /// The column that is created for an Arrow field: its type by [`OdpsType::from_arrow`], its
    /// nullability, and the comment in field metadata [`COMMENT_METADATA_KEY`].
    ///
    /// # Errors
    ///
    /// Where MaxCompute has no such type.
    pub fn from_arrow(field: &Field) -> Result<Self, UnsupportedType> {
        Self::from_arrow_as(field, TypeMapping::default())
    }

    /// The same, with a choice of types where there is one.
    ///
    /// # Errors
    ///
    /// As for [`from_arrow`](Self::from_arrow).
    pub fn from_arrow_as(field: &Field, mapping: TypeMapping) -> Result<Self, UnsupportedType> {
        Ok(Self {
            name: field.name().clone(),
            ty: OdpsType::from_arrow_as(field, mapping)?,
            nullable: field.is_nullable(),
            comment: field.metadata().get(COMMENT_METADATA_KEY).cloned(),
            column_id: None,
        })
    }
}

/// For every target column the index of the Arrow column of the same name (any letter case: the
/// service ignores it), `None` where the rows do not have it.
///
/// An exact spelling wins over another letter case.
#[must_use]
pub fn source_columns(target: &[Column], schema: &Schema) -> Vec<Option<usize>> {
    let find = |column: &Column| {
        let names = || schema.fields().iter().map(|field| field.name());
        names()
            .position(|name| *name == column.name)
            .or_else(|| names().position(|name| same_name(name, &column.name)))
    };
    target.iter().map(find).collect()
}

/// Whether two column names are one to the service.
#[must_use]
pub fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}

/// Rows of this schema can not be written to these columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaMismatch {
    /// The target column, where one is at fault.
    pub column: Option<String>,
    /// What does not fit, and what would.
    pub reason: String,
}

impl SchemaMismatch {
    pub(crate) fn of(column: &str, reason: impl Into<String>) -> Self {
        Self {
            column: Some(column.to_owned()),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for SchemaMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "column `{column}`: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for SchemaMismatch {}

/// One value that can not be written as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// The target column.
    pub column: String,
    /// Why, with the value where it is short.
    pub reason: String,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column `{}`: {}", self.column, self.reason)
    }
}

impl std::error::Error for ValueError {}
