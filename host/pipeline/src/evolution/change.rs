//! Changes of a table, and telling them from what it was and what it is.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{Field, FieldRef};

use super::policy::ChangeTag;
use super::shape::TableShape;
use crate::source::types::ColumnType;

/// One change of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum TableChange {
    /// New columns.
    AddColumns(Vec<AddedColumn>),
    /// Columns with their new types; also a column that may be NULL from now on.
    AlterTypes(Vec<FieldRef>),
    /// Pairs of old and new name, all at once.
    RenameColumns(Vec<(String, String)>),
    /// Columns that are gone.
    DropColumns(Vec<String>),
    /// The table's comment; `None` = it has none any more.
    SetComment(Option<String>),
    /// All rows were removed.
    Truncate,
    /// The table was removed.
    Drop,
}

/// A new column.
#[derive(Debug, Clone, PartialEq)]
pub struct AddedColumn {
    /// The column.
    pub field: FieldRef,
    /// Where it is.
    pub place: ColumnPlace,
}

/// Place of a new column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnPlace {
    /// Before all others.
    First,
    /// Behind all others.
    Last,
    /// Right behind the named one.
    After(String),
}

impl TableChange {
    /// The tag that `include.schema.changes` and `exclude.schema.changes` name it by.
    pub fn tag(&self) -> ChangeTag {
        match self {
            Self::AddColumns(_) => ChangeTag::AddColumn,
            Self::AlterTypes(_) => ChangeTag::AlterColumnType,
            Self::RenameColumns(_) => ChangeTag::RenameColumn,
            Self::DropColumns(_) => ChangeTag::DropColumn,
            Self::SetComment(_) => ChangeTag::AlterTableComment,
            Self::Truncate => ChangeTag::TruncateTable,
            Self::Drop => ChangeTag::DropTable,
        }
    }
}

/// For messages: `add column note STRING`, `rename column a to b`.
impl fmt::Display for TableChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |texts: Vec<String>| texts.join(", ");
        let typed = |field: &FieldRef| format!("{} {}", field.name(), ColumnType::of_field(field));
        match self {
            Self::AddColumns(columns) => {
                let texts = columns.iter().map(|column| typed(&column.field)).collect();
                write!(f, "add column {}", list(texts))
            }
            Self::AlterTypes(fields) => {
                write!(
                    f,
                    "change column {}",
                    list(fields.iter().map(typed).collect())
                )
            }
            Self::RenameColumns(pairs) => {
                let texts = pairs.iter().map(|(a, b)| format!("{a} to {b}")).collect();
                write!(f, "rename column {}", list(texts))
            }
            Self::DropColumns(names) => write!(f, "drop column {}", names.join(", ")),
            Self::SetComment(_) => f.write_str("change the table's comment"),
            Self::Truncate => f.write_str("truncate the table"),
            Self::Drop => f.write_str("drop the table"),
        }
    }
}

/// What happened to a table that was `before` and is `after`, in an order in which it can be done.
///
/// `renamed` are the renames that are known; without them a renamed column is one dropped and one
/// added. A column that must not be NULL any more is no change: older rows may hold NULL.
pub fn difference(
    before: &TableShape,
    after: &TableShape,
    renamed: &[(String, String)],
) -> Vec<TableChange> {
    let mut changes = Vec::new();
    let renames: Vec<(String, String)> = renamed
        .iter()
        .filter(|(from, to)| {
            from != to && before.column(from).is_some() && after.column(to).is_some()
        })
        .cloned()
        .collect();
    let mut now = before.clone();
    if !renames.is_empty() {
        let rename = TableChange::RenameColumns(renames);
        now = now.after(&rename);
        changes.push(rename);
    }
    let dropped: Vec<String> = now
        .schema
        .fields()
        .iter()
        .filter(|field| after.column(field.name()).is_none())
        .map(|field| field.name().clone())
        .collect();
    if !dropped.is_empty() {
        changes.push(TableChange::DropColumns(dropped));
    }
    let fields = after.schema.fields();
    let is_new = |field: &FieldRef| now.column(field.name()).is_none();
    let added: Vec<AddedColumn> = fields
        .iter()
        .enumerate()
        .filter(|(_, field)| is_new(field))
        .map(|(index, field)| {
            let place = if fields.iter().skip(index).all(is_new) {
                ColumnPlace::Last
            } else {
                match index.checked_sub(1).and_then(|before| fields.get(before)) {
                    Some(other) => ColumnPlace::After(other.name().clone()),
                    None => ColumnPlace::First,
                }
            };
            // Rows that are there have no value for it.
            let field = Arc::new(field.as_ref().clone().with_nullable(true));
            AddedColumn { field, place }
        })
        .collect();
    if !added.is_empty() {
        changes.push(TableChange::AddColumns(added));
    }
    let altered: Vec<FieldRef> = fields
        .iter()
        .filter_map(|field| {
            let old = now.column(field.name())?;
            retyped(old, field)
        })
        .collect();
    if !altered.is_empty() {
        changes.push(TableChange::AlterTypes(altered));
    }
    if before.comment() != after.comment() {
        let comment = after.comment().map(str::to_owned);
        changes.push(TableChange::SetComment(comment));
    }
    changes
}

/// The column as it must become, where its type or its NULLs differ.
fn retyped(old: &Field, new: &FieldRef) -> Option<FieldRef> {
    let nullable = |field: &Field| ColumnType {
        nullable: true,
        ..ColumnType::of_field(field)
    };
    let same_type = nullable(old) == nullable(new);
    let loosened = new.is_nullable() && !old.is_nullable();
    (!same_type || loosened).then(|| {
        let nullable = new.is_nullable() || old.is_nullable();
        Arc::new(new.as_ref().clone().with_nullable(nullable))
    })
}
