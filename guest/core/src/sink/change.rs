//! Schema changes: the DDL that is left to do at the service, and doing it.

use std::rc::Rc;

use super::client::Client;
use super::declare::{self, Tables};
use super::part::Target;
use super::table::Layout;
use super::{ipc, prepare, retype, sql};
use crate::contract::{ColumnAdd, ColumnPosition, ColumnType, LogLevel, SchemaChange, TableDecl};
use crate::ddl::{self, TableName};
use crate::error::SinkError;
use crate::schema::{Column, same_name};
use crate::types::TypeMapping;

/// Start of the names that columns of a swap have for a moment.
const TEMPORARY_NAME: &str = "longshore_renamed_";

/// Apply `change` to the table that `next` names.
///
/// What is there decides what is left to do: a repeated change must not fail, one that can not be
/// done must not be begun.
pub(super) async fn change(
    client: Rc<Client>,
    tables: Tables,
    change: SchemaChange,
    next: TableDecl,
) -> Result<(), SinkError> {
    prepare::confirmed(&client, &tables).await?;
    let target = declare::resolve(&client, &next).await?;
    let place = target.place("");
    let is_declared = {
        let mut tables = tables.borrow_mut();
        let table = tables.iter_mut().find(|t| t.target.path == next.path);
        if let Some(table) = &table
            && !(table.parts.is_empty() && table.retired.is_empty() && table.kept.is_empty())
        {
            return Err(SinkError::permanent(
                "contract.unprepared",
                format!("{place}: its schema changes while rows of it are not prepared"),
            ));
        }
        table.is_some_and(|table| {
            // A repeat of this very change: the answer to the first attempt was lost.
            let repeated = table.changing.replace(change.clone()) == Some(change.clone());
            table.versions.clear();
            !repeated
        })
    };
    let layout = declare::look_up(&client, &target, &place)
        .await?
        .map(|(layout, _)| layout);
    let Some(layout) = layout else {
        return match change {
            SchemaChange::Drop | SchemaChange::Truncate => Ok(()),
            _ => Err(SinkError::schema(
                "table.missing",
                format!("{place}: it does not exist, so its schema can not be changed"),
            )),
        };
    };
    let plan = Plan {
        types: client.options.type_mapping,
        name: sql::table_name(&target),
        place: &place,
        layout: &layout,
    };
    let statements = match &change {
        SchemaChange::AddColumns(adds) => plan.add_columns(&client, adds)?,
        SchemaChange::DropColumns(names) => plan.drop_columns(names)?,
        SchemaChange::RenameColumns(pairs) => {
            let order = if is_declared { None } else { Some(&next) };
            plan.rename_columns(pairs, order)?
        }
        SchemaChange::AlterType(columns) => plan.alter_type(columns)?,
        SchemaChange::SetComment(comment) => vec![ddl::table_comment(
            &plan.name,
            comment.as_deref().unwrap_or_default(),
        )],
        SchemaChange::Truncate => vec![ddl::truncate_table(&plan.name)],
        SchemaChange::Drop => vec![ddl::drop_table(&plan.name, true)],
    };
    for query in &statements {
        run(&client, &target, &place, &change, query).await?;
        client.log(LogLevel::Info, format!("{place}: {query}"), &[]);
    }
    if let Some(table) = tables
        .borrow_mut()
        .iter_mut()
        .find(|t| t.target.path == next.path)
    {
        table.changing = None;
    }
    Ok(())
}

async fn run(
    client: &Client,
    target: &Target,
    place: &str,
    change: &SchemaChange,
    query: &str,
) -> Result<(), SinkError> {
    let (task, what) = match change {
        SchemaChange::Truncate => ("SQLTruncateTask", "truncating the table"),
        SchemaChange::Drop => ("SQLDropTableTask", "dropping the table"),
        _ => ("SQLAlterTableTask", "changing the table"),
    };
    let statement = sql::Statement {
        target,
        task,
        query,
        what,
        place,
    };
    sql::run(client, &statement).await
}

/// What is left to do to a table.
struct Plan<'a> {
    types: TypeMapping,
    name: TableName,
    place: &'a str,
    layout: &'a Layout,
}

impl Plan<'_> {
    /// Columns are found by name, so it matters to no row that the service adds them last.
    fn add_columns(&self, client: &Client, adds: &[ColumnAdd]) -> Result<Vec<String>, SinkError> {
        let mut new: Vec<Column> = Vec::new();
        let mut refusals = Vec::new();
        for add in adds {
            let column = self.column(&add.arrow_field)?;
            if let Some(there) = self.find(&column.name) {
                // Rows are checked against what is there when the table is declared.
                if there.ty != column.ty && !retype::takes_rows_of(&there.ty, &column.ty) {
                    refusals.push(format!(
                        "column `{}` is there already, as {} and not {}",
                        column.name, there.ty, column.ty
                    ));
                }
                continue;
            }
            if self.is_partition_column(&column.name) {
                refusals.push(format!("`{}` is a partition column already", column.name));
                continue;
            }
            if add.position != ColumnPosition::Last {
                client.log(
                    LogLevel::Warn,
                    format!(
                        "{}: column `{}` is added behind the others: MaxCompute can not put it {}",
                        self.place,
                        column.name,
                        match &add.position {
                            ColumnPosition::After(other) => format!("after `{other}`"),
                            _ => "first".to_owned(),
                        }
                    ),
                    &[],
                );
            }
            new.push(column);
        }
        self.unless(&refusals)?;
        Ok(if new.is_empty() {
            Vec::new()
        } else {
            vec![ddl::add_columns(&self.name, &new)]
        })
    }

    fn drop_columns(&self, names: &[String]) -> Result<Vec<String>, SinkError> {
        let there: Vec<&str> = names
            .iter()
            .filter_map(|name| self.find(name))
            .map(|column| column.name.as_str())
            .collect();
        let mut refusals = self.fixed(names.iter(), "dropped");
        if !there.is_empty() && there.len() == self.layout.columns.len() {
            refusals.push("a table must keep one column".to_owned());
        }
        self.unless(&refusals)?;
        Ok(if there.is_empty() {
            Vec::new()
        } else {
            vec![ddl::drop_columns(&self.name, &there)]
        })
    }

    /// Names that are both old and new go over temporary ones. `order` is the table to be, where
    /// the change may have been made before.
    fn rename_columns(
        &self,
        pairs: &[(String, String)],
        order: Option<&TableDecl>,
    ) -> Result<Vec<String>, SinkError> {
        // Another letter case is the same name to the service.
        let pairs: Vec<&(String, String)> = pairs
            .iter()
            .filter(|(from, to)| !same_name(from, to))
            .collect();
        self.unless(&self.fixed(pairs.iter().map(|(from, _)| from), "renamed"))?;
        let crossing = |name: &str| pairs.iter().any(|(_, to)| same_name(to, name));
        let mut refusals = Vec::new();
        let (mut out, mut back) = (Vec::new(), Vec::new());
        let swapped = match order {
            Some(next) => self.has_order_of(&pairs, next)?,
            None => false,
        };
        for (index, (from, to)) in pairs.iter().enumerate() {
            let rename = |a: &str, b: &str| ddl::rename_column(&self.name, a, b);
            let temporary = format!("{TEMPORARY_NAME}{index}");
            if self.find(&temporary).is_some() {
                back.push(rename(&temporary, to));
            } else if crossing(from) || pairs.iter().any(|(other, _)| same_name(other, to)) {
                if !swapped && self.find(from).is_some() {
                    out.push(rename(from, &temporary));
                    back.push(rename(&temporary, to));
                }
            } else if self.find(from).is_none() {
                if self.find(to).is_none() {
                    refusals.push(format!("there is no column `{from}` to rename to `{to}`"));
                }
            } else if self.find(to).is_some() {
                refusals.push(format!(
                    "column `{from}` can not be renamed: there is a column `{to}`"
                ));
            } else {
                out.push(rename(from, to));
            }
        }
        self.unless(&refusals)?;
        out.extend(back);
        Ok(out)
    }

    /// Whether the renamed columns stand in the order of the table to be: a rename moves no column.
    fn has_order_of(
        &self,
        pairs: &[&(String, String)],
        next: &TableDecl,
    ) -> Result<bool, SinkError> {
        let schema = ipc::read_schema(&next.arrow_schema).map_err(|why| self.unreadable(&why))?;
        let renamed = |name: &str| pairs.iter().any(|(_, to)| same_name(to, name));
        let order = |names: Vec<&str>| -> Vec<String> {
            let names = names.into_iter().filter(|name| renamed(name));
            names.map(str::to_lowercase).collect()
        };
        let wanted = order(schema.fields().iter().map(|f| f.name().as_str()).collect());
        let found = order(
            self.layout
                .columns
                .iter()
                .map(|c| c.name.as_str())
                .collect(),
        );
        Ok(wanted == found)
    }

    fn alter_type(&self, changes: &[ColumnType]) -> Result<Vec<String>, SinkError> {
        let mut statements = Vec::new();
        let mut refusals = Vec::new();
        for change in changes {
            let Some(there) = self.find(&change.name) else {
                let why = if self.is_partition_column(&change.name) {
                    format!(
                        "column `{}` is a partition column, whose type is fixed",
                        change.name
                    )
                } else {
                    format!("there is no column `{}`", change.name)
                };
                refusals.push(why);
                continue;
            };
            let wanted = self.column(&change.arrow_field)?;
            let is_key = self.is_key(&change.name);
            // A type that holds every value of the wanted one needs no change.
            if wanted.ty != there.ty && !retype::takes_rows_of(&there.ty, &wanted.ty) {
                if is_key {
                    refusals.push(format!(
                        "column `{}` is part of the primary key, whose type is fixed ({}, wanted {})",
                        there.name, there.ty, wanted.ty
                    ));
                } else if retype::is_wider(&there.ty, &wanted.ty) {
                    statements.push(ddl::change_type(&self.name, &there.name, &wanted.ty));
                } else {
                    refusals.push(format!(
                        "column `{}` can not become {} from {}: MaxCompute widens numbers and texts, and turns \
                         values into STRING",
                        there.name, wanted.ty, there.ty
                    ));
                }
            }
            if wanted.nullable && !there.nullable && !is_key {
                statements.push(ddl::drop_not_null(&self.name, &there.name));
            }
        }
        self.unless(&refusals)?;
        Ok(statements)
    }

    fn find(&self, name: &str) -> Option<&Column> {
        self.layout
            .columns
            .iter()
            .find(|column| same_name(&column.name, name))
    }

    fn is_key(&self, name: &str) -> bool {
        self.layout.primary_key.iter().any(|k| same_name(k, name))
    }

    fn is_partition_column(&self, name: &str) -> bool {
        let mut columns = self.layout.partition_columns.iter();
        columns.any(|column| same_name(&column.name, name))
    }

    /// Why some of these columns can not be dropped or renamed.
    fn fixed<'n>(&self, names: impl Iterator<Item = &'n String>, what: &str) -> Vec<String> {
        names
            .filter_map(|name| {
                let part = if self.is_key(name) {
                    "part of the primary key"
                } else if self.is_partition_column(name) {
                    "a partition column"
                } else {
                    return None;
                };
                Some(format!("column `{name}` is {part} and can not be {what}"))
            })
            .collect()
    }

    fn unless(&self, refusals: &[String]) -> Result<(), SinkError> {
        if refusals.is_empty() {
            return Ok(());
        }
        Err(SinkError::schema(
            "table.change",
            format!(
                "{}: the table can not be changed, nothing was done: {}",
                self.place,
                refusals.join("; ")
            ),
        ))
    }

    fn column(&self, message: &[u8]) -> Result<Column, SinkError> {
        let schema = ipc::read_schema(message).map_err(|why| self.unreadable(&why))?;
        let [field] = schema.fields().as_ref() else {
            return Err(self.unreadable("its schema must have exactly one field"));
        };
        Column::from_arrow_as(field, self.types)
            .map_err(|error| SinkError::schema("table.column", format!("{}: {error}", self.place)))
    }

    fn unreadable(&self, why: &str) -> SinkError {
        SinkError::permanent(
            "contract.schema",
            format!("{}: a new column is unreadable: {why}", self.place),
        )
    }
}
