//! How a table is written: what options `operation`, `tunnel` and `overwrite` make of it.

use std::rc::Rc;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};

use super::client::Client;
use super::part::{Routing, Target};
use super::table::Layout;
use crate::arrow_tunnel::ColumnRows;
use crate::contract::{LogLevel, TableDecl};
use crate::error::SinkError;
use crate::options::{AppendTunnel, Options, WriteOperation};
use crate::schema::{Column, same_name};

/// Where the rows of a table go.
#[derive(Clone)]
pub(super) enum Mode {
    /// Blocks of records in batch upload sessions.
    Records,
    /// Blocks of Arrow record batches in batch upload sessions; new buffers are copies of this one.
    Arrow(Rc<ColumnRows>),
    /// Packs in stream sessions, of these columns.
    Stream(Rc<[Column]>),
    /// Packs by bucket in upsert sessions.
    Upsert(Rc<Routing>),
}

impl Mode {
    /// The mode of a table of this layout; `routing` is there for tables with a primary key.
    pub(super) fn new(
        client: &Client,
        target: &Target,
        layout: &Layout,
        routing: Option<&Rc<Routing>>,
    ) -> Result<Self, SinkError> {
        if let Some(routing) = routing {
            return Ok(Self::Upsert(Rc::clone(routing)));
        }
        Ok(match client.options.append_tunnel {
            AppendTunnel::Batch => Self::Records,
            AppendTunnel::Arrow => {
                let rows = ColumnRows::new(&layout.columns).map_err(|e| {
                    SinkError::schema("table.tunnel", format!("{}: {e}", target.place("")))
                })?;
                Self::Arrow(Rc::new(rows))
            }
            AppendTunnel::Stream => {
                client.log(
                    LogLevel::Warn,
                    format!(
                        "{}: rows are visible as soon as they are sent, and can stand there twice after a failure \
                         (`tunnel` is stream)",
                        target.place("")
                    ),
                    &[],
                );
                Self::Stream(layout.columns.as_slice().into())
            }
        })
    }
}

/// The declaration and the rows' schema as the table sees them: without the key where rows are only
/// appended, with the column for the operation where there is one.
pub(super) fn adapt(
    options: &Options,
    mut decl: TableDecl,
    mut schema: Schema,
) -> Result<(TableDecl, Schema), SinkError> {
    match options.operation {
        WriteOperation::Auto => {}
        WriteOperation::Insert | WriteOperation::AppendOnly => decl.primary_key.clear(),
        WriteOperation::Upsert if decl.primary_key.is_empty() => {
            return Err(SinkError::schema(
                "table.key",
                format!(
                    "table {}: `operation` is upsert, and its rows have no primary key; name one at the source or \
                     in `transform`, or set `operation` to auto",
                    decl.path
                ),
            ));
        }
        WriteOperation::Upsert => {}
    }
    if let Some(name) = &options.operation_column {
        if schema.fields().iter().any(|f| same_name(f.name(), name)) {
            return Err(SinkError::schema(
                "table.column",
                format!(
                    "table {}: the rows have a column `{name}` already, which `mapping.operation.type.to` names; \
                     choose another name",
                    decl.path
                ),
            ));
        }
        let operation = Arc::new(Field::new(name.clone(), DataType::Utf8, true));
        let fields: Vec<_> = schema.fields().iter().cloned().chain([operation]).collect();
        schema = Schema::new_with_metadata(fields, schema.metadata);
    }
    Ok((decl, schema))
}

/// Refuses tables that can not do what the options ask for.
pub(super) fn check(options: &Options, target: &Target, layout: &Layout) -> Result<(), SinkError> {
    let refuse = |why: String| {
        Err(SinkError::schema(
            "table.kind",
            format!("{}: {why}", target.place("")),
        ))
    };
    let key = layout.primary_key.join(", ");
    let name = match options.operation {
        WriteOperation::Insert => "insert",
        WriteOperation::AppendOnly => "append-only",
        WriteOperation::Upsert if key.is_empty() => {
            return refuse(
                "`operation` is upsert, and the table has no primary key; set `operation` to auto or insert, or \
                 name a table with a primary key"
                    .to_owned(),
            );
        }
        WriteOperation::Auto | WriteOperation::Upsert => "",
    };
    if !name.is_empty() && !key.is_empty() {
        return refuse(format!(
            "`operation` is {name}, and the table has the primary key ({key}), so that it only takes upserts; set \
             `operation` to auto or upsert, or name a table without a primary key"
        ));
    }
    if options.overwrite && !key.is_empty() {
        return refuse(format!(
            "`overwrite` is true, and the table has the primary key ({key}); only tables without one can be \
             overwritten: truncate this one before the run and set `overwrite` to false"
        ));
    }
    Ok(())
}
