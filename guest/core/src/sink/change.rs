//! Schema changes: DDL at the service, then the table is declared again.

use std::rc::Rc;

use super::client::Client;
use super::declare::{self, Tables};
use super::part::Target;
use super::table::Layout;
use super::{ipc, prepare, sql};
use crate::contract::{SchemaChange, TableDecl};
use crate::ddl;
use crate::error::SinkError;
use crate::schema::{Column, same_name};

/// Apply `change`, then accept rows of `next`.
///
/// Rows written before stay in their sessions and are prepared with the next checkpoint.
pub(super) async fn change(
    client: Rc<Client>,
    tables: Tables,
    table: u32,
    change: SchemaChange,
    next: TableDecl,
) -> Result<(), SinkError> {
    prepare::confirmed(&client, &tables).await?;
    let parts = {
        let mut tables = tables.borrow_mut();
        let Some(table) = tables.get_mut(table as usize) else {
            return Err(SinkError::permanent(
                "table.unknown",
                format!("table number {table} was not declared"),
            ));
        };
        table.retire();
        (Rc::clone(&table.target), table.retired.clone())
    };
    let (target, retired) = parts;
    for part in &retired {
        part.durable().await?;
    }
    let place = target.place("");
    // What is there decides what is left to do: a repeated change must not fail.
    let layout = declare::look_up(&client, &target, &place)
        .await?
        .map(|(layout, _)| layout);
    let statements = match (&change, &layout) {
        (SchemaChange::Drop, None) => Vec::new(),
        (_, None) => {
            return Err(SinkError::schema(
                "table.missing",
                format!("{place}: it does not exist, so its schema can not be changed"),
            ));
        }
        (change, Some(layout)) => statements(&client, &target, &place, change, layout)?,
    };
    for query in &statements {
        let statement = sql::Statement {
            target: &target,
            task: "SQLAlterTableTask",
            query,
            what: "changing the table",
            place: &place,
        };
        sql::run(&client, &statement).await?;
    }
    if change == SchemaChange::Drop {
        if let Some(table) = tables.borrow_mut().get_mut(table as usize) {
            table.versions.clear();
        }
        return Ok(());
    }
    declare::declare(client, tables, next).await.map(|_| ())
}

fn statements(
    client: &Client,
    target: &Target,
    place: &str,
    change: &SchemaChange,
    layout: &Layout,
) -> Result<Vec<String>, SinkError> {
    let name = sql::table_name(target);
    let has = |column: &str| layout.columns.iter().find(|c| same_name(&c.name, column));
    let field = |bytes: &[u8]| -> Result<Column, SinkError> {
        let bad = |why: String| {
            SinkError::permanent(
                "contract.schema",
                format!("{place}: a new column is unreadable: {why}"),
            )
        };
        let schema = ipc::read_schema(bytes).map_err(bad)?;
        let [field] = schema.fields().as_ref() else {
            return Err(bad("its schema must have exactly one field".to_owned()));
        };
        Column::from_arrow_as(field, client.options.type_mapping).map_err(|e| {
            SinkError::schema(
                "table.column",
                format!("{place}: column `{}`: {e}", field.name()),
            )
        })
    };
    Ok(match change {
        SchemaChange::AddColumns(adds) => {
            // Columns are found by name, so that the service adds them last changes nothing for rows.
            let mut new = Vec::new();
            for add in adds {
                let column = field(&add.arrow_field)?;
                if has(&column.name).is_none() {
                    new.push(column);
                }
            }
            if new.is_empty() {
                Vec::new()
            } else {
                vec![ddl::add_columns(&name, &new)]
            }
        }
        SchemaChange::DropColumns(names) => {
            let there: Vec<&String> = names.iter().filter(|n| has(n).is_some()).collect();
            if there.is_empty() {
                Vec::new()
            } else {
                vec![ddl::drop_columns(&name, &there)]
            }
        }
        SchemaChange::RenameColumns(pairs) => {
            let swaps = pairs
                .iter()
                .any(|(_, to)| pairs.iter().any(|(from, _)| same_name(from, to)));
            let there = |from: &str| swaps || has(from).is_some();
            let pairs: Vec<_> = pairs
                .iter()
                .filter(|(from, to)| from != to && there(from))
                .collect();
            if swaps {
                let temporary = |i: usize| format!("longshore_renamed_{i}");
                let out = pairs
                    .iter()
                    .enumerate()
                    .map(|(i, (from, _))| ddl::rename_column(&name, from, &temporary(i)));
                let back = pairs
                    .iter()
                    .enumerate()
                    .map(|(i, (_, to))| ddl::rename_column(&name, &temporary(i), to));
                out.chain(back).collect()
            } else {
                pairs
                    .iter()
                    .map(|(from, to)| ddl::rename_column(&name, from, to))
                    .collect()
            }
        }
        SchemaChange::AlterType(changes) => {
            let mut out = Vec::new();
            for change in changes {
                let column = field(&change.arrow_field)?;
                if has(&change.name).is_none_or(|c| c.ty != column.ty) {
                    out.push(ddl::change_type(&name, &change.name, &column.ty));
                }
            }
            out
        }
        SchemaChange::SetComment(comment) => {
            vec![ddl::table_comment(
                &name,
                comment.as_deref().unwrap_or_default(),
            )]
        }
        SchemaChange::Truncate => vec![ddl::truncate_table(&name)],
        SchemaChange::Drop => vec![ddl::drop_table(&name, true)],
    })
}
