//! `schema.change.behavior`, and the changes that are included or excluded.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow_schema::FieldRef;

use super::change::{AddedColumn, ColumnPlace, TableChange};
use super::shape::TableShape;
use crate::definition::SchemaChangeBehavior;

/// Kinds of schema changes, as Flink CDC tags them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeTag {
    /// `add.column`
    AddColumn,
    /// `alter.column.type`
    AlterColumnType,
    /// `create.table`
    CreateTable,
    /// `drop.column`
    DropColumn,
    /// `drop.table`
    DropTable,
    /// `rename.column`
    RenameColumn,
    /// `truncate.table`
    TruncateTable,
    /// `alter.table.comment`
    AlterTableComment,
}

use ChangeTag::{
    AddColumn, AlterColumnType, AlterTableComment, CreateTable, DropColumn, DropTable,
    RenameColumn, TruncateTable,
};

/// Every name that a list of schema changes may hold, with what it stands for.
pub const TAGS_AND_FAMILIES: [(&str, &[ChangeTag]); 17] = [
    ("add.column", &[AddColumn]),
    ("alter.column.type", &[AlterColumnType]),
    ("create.table", &[CreateTable]),
    ("drop.column", &[DropColumn]),
    ("drop.table", &[DropTable]),
    ("rename.column", &[RenameColumn]),
    ("truncate.table", &[TruncateTable]),
    ("alter.table.comment", &[AlterTableComment]),
    ("add", &[AddColumn]),
    ("alter", &[AlterColumnType, AlterTableComment]),
    ("create", &[CreateTable]),
    ("drop", &[DropColumn, DropTable]),
    ("rename", &[RenameColumn]),
    (
        "table",
        &[CreateTable, DropTable, TruncateTable, AlterTableComment],
    ),
    (
        "column",
        &[AddColumn, AlterColumnType, DropColumn, RenameColumn],
    ),
    (
        "all",
        &[
            AddColumn,
            AlterColumnType,
            CreateTable,
            DropColumn,
            DropTable,
            RenameColumn,
            TruncateTable,
            AlterTableComment,
        ],
    ),
    ("none", &[]),
];

/// What is done about schema changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaEvolution {
    behavior: SchemaChangeBehavior,
    enabled: BTreeSet<ChangeTag>,
    zone: Option<chrono_tz::Tz>,
}

/// A change that `schema.change.behavior: exception` does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "schema.change.behavior is exception, so no change is applied; choose another one to go on",
        )
    }
}

impl std::error::Error for Refusal {}

impl Default for SchemaEvolution {
    fn default() -> Self {
        Self::new(SchemaChangeBehavior::Lenient, None, None, None)
    }
}

impl SchemaEvolution {
    /// `include` and `exclude` hold names of [`TAGS_AND_FAMILIES`]; exclusion wins, and creating
    /// tables can not be excluded. `zone` is the one of wall clocks in rows that are coerced.
    ///
    /// Lenient excludes `drop.table` and `truncate.table`, unless `include` asks for them or
    /// `exclude` is given.
    pub fn new(
        behavior: SchemaChangeBehavior,
        include: Option<&[String]>,
        exclude: Option<&[String]>,
        zone: Option<chrono_tz::Tz>,
    ) -> Self {
        let tags = |names: &[String]| -> BTreeSet<ChangeTag> {
            let known = TAGS_AND_FAMILIES.iter();
            known
                .filter(|(name, _)| names.iter().any(|given| given == name))
                .flat_map(|(_, tags)| tags.iter().copied())
                .collect()
        };
        let mut enabled = match include {
            Some(names) => tags(names),
            None => tags(&["all".to_owned()]),
        };
        match exclude {
            Some(names) => {
                let excluded = tags(names);
                enabled.retain(|tag| !excluded.contains(tag));
            }
            None if behavior == SchemaChangeBehavior::Lenient && include.is_none() => {
                enabled.remove(&DropTable);
                enabled.remove(&TruncateTable);
            }
            None => {}
        }
        enabled.insert(CreateTable);
        Self {
            behavior,
            enabled,
            zone,
        }
    }

    /// The zone of wall clocks.
    pub fn zone(&self) -> Option<chrono_tz::Tz> {
        self.zone
    }

    /// Whether the run goes on with the old schema when the sink can not apply a change.
    pub fn tolerates_failures(&self) -> bool {
        self.behavior == SchemaChangeBehavior::TryEvolve
    }

    /// What of a source's `change` the sink's table gets, which is `sink` now.
    ///
    /// # Errors
    ///
    /// The behaviour is to fail.
    pub fn derive(
        &self,
        change: &TableChange,
        sink: &TableShape,
    ) -> Result<Vec<TableChange>, Refusal> {
        let wanted = match self.behavior {
            SchemaChangeBehavior::Exception => return Err(Refusal),
            SchemaChangeBehavior::Ignore => Vec::new(),
            SchemaChangeBehavior::Evolve | SchemaChangeBehavior::TryEvolve => vec![change.clone()],
            SchemaChangeBehavior::Lenient => lenient(change, sink),
        };
        Ok(wanted
            .into_iter()
            .filter(|change| self.enabled.contains(&change.tag()))
            .filter_map(|change| still_to_do(change, sink))
            .collect())
    }
}

/// The change in a form that loses nothing.
fn lenient(change: &TableChange, sink: &TableShape) -> Vec<TableChange> {
    let last = |field: &FieldRef| AddedColumn {
        field: Arc::new(field.as_ref().clone().with_nullable(true)),
        place: ColumnPlace::Last,
    };
    match change {
        TableChange::AddColumns(columns) => {
            let columns = columns.iter().map(|column| last(&column.field)).collect();
            vec![TableChange::AddColumns(columns)]
        }
        TableChange::RenameColumns(pairs) => {
            let added = pairs
                .iter()
                .filter_map(|(from, to)| {
                    let field = sink.column(from)?.as_ref().clone();
                    Some(last(&Arc::new(field.with_name(to))))
                })
                .collect();
            let old: Vec<String> = pairs
                .iter()
                .filter(|(from, _)| pairs.iter().all(|(_, to)| to != from))
                .map(|(from, _)| from.clone())
                .collect();
            let mut changes = vec![TableChange::AddColumns(added)];
            changes.extend(made_nullable(&old, sink));
            changes
        }
        TableChange::DropColumns(names) => made_nullable(names, sink).into_iter().collect(),
        TableChange::AlterTypes(_)
        | TableChange::SetComment(_)
        | TableChange::Truncate
        | TableChange::Drop => vec![change.clone()],
    }
}

fn made_nullable(names: &[String], sink: &TableShape) -> Option<TableChange> {
    let columns: Vec<FieldRef> = names
        .iter()
        .filter_map(|name| sink.column(name))
        .filter(|field| !field.is_nullable())
        .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
        .collect();
    (!columns.is_empty()).then_some(TableChange::AlterTypes(columns))
}

/// The change without what the sink's table has already, or never had.
fn still_to_do(change: TableChange, sink: &TableShape) -> Option<TableChange> {
    fn some<T>(list: Vec<T>, change: fn(Vec<T>) -> TableChange) -> Option<TableChange> {
        (!list.is_empty()).then(|| change(list))
    }
    let has = |name: &str| sink.column(name).is_some();
    match change {
        TableChange::AddColumns(mut columns) => {
            columns.retain(|column| !has(column.field.name()));
            some(columns, TableChange::AddColumns)
        }
        TableChange::AlterTypes(mut columns) => {
            columns.retain(|column| sink.column(column.name()).is_some_and(|old| old != column));
            some(columns, TableChange::AlterTypes)
        }
        TableChange::RenameColumns(mut pairs) => {
            pairs.retain(|(from, _)| has(from));
            some(pairs, TableChange::RenameColumns)
        }
        TableChange::DropColumns(mut names) => {
            names.retain(|name| has(name));
            some(names, TableChange::DropColumns)
        }
        other => Some(other),
    }
}
