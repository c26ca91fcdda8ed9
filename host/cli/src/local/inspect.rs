//! `longshore local tables|show|schema|reset`

use std::path::Path;

use http::Method;
use longshore_emulator::Catalog;
use longshore_emulator::catalog::StoreError;
use longshore_emulator::faults::RuleReport;
use longshore_emulator::inspect::{self, Rows, TableSummary};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::ask;
use super::faults::FaultFile;
use crate::args::{LocalCommand, Output, PlaceArgs};
use crate::display::{Table, bytes, number};
use crate::failure::{Exit, Failure};

/// What to do about a table that is not there.
pub(super) const HOW_TO_LIST: &str = "`longshore local tables` lists what there is; other than the default \
     schema's tables are named schema.table or project.schema.table";

/// Makes text for a person of what was found.
type Printer = fn(Value) -> Result<String, Failure>;

/// Looks into a data directory or a running server.
pub(super) async fn inspect(command: LocalCommand) -> Result<Exit, Failure> {
    let (output, value, print): (Output, Value, Printer) = match command {
        LocalCommand::Tables { place } => {
            let found = match &place.endpoint {
                Some(endpoint) => ask(endpoint, Method::GET, &["tables"], "", "").await?,
                None => json!(catalog(&place.data)?.tables().map_err(failed)?),
            };
            (place.output, found, tables)
        }
        LocalCommand::Show {
            table,
            limit,
            place,
        } => {
            let found = match &place.endpoint {
                Some(endpoint) => {
                    ask(
                        endpoint,
                        Method::GET,
                        &["tables", &table, "rows"],
                        &format!("?limit={limit}"),
                        "",
                    )
                    .await?
                }
                None => json!(catalog(&place.data)?.show(&table, limit).map_err(failed)?),
            };
            (place.output, found, rows)
        }
        LocalCommand::Schema { table, place } => {
            let found = match &place.endpoint {
                Some(endpoint) => ask(endpoint, Method::GET, &["tables", &table], "", "").await?,
                None => json!(catalog(&place.data)?.schema(&table).map_err(failed)?),
            };
            (place.output, found, schema)
        }
        LocalCommand::Faults {
            add,
            clear,
            endpoint,
            output,
        } => {
            // What can not be read must not cost the rules there are.
            let file = add.as_deref().map(FaultFile::read).transpose()?;
            if clear {
                ask(&endpoint, Method::DELETE, &["faults"], "", "").await?;
            }
            let found = match file {
                Some(file) => ask(&endpoint, Method::POST, &["faults"], "", file.text).await?,
                None => ask(&endpoint, Method::GET, &["faults"], "", "").await?,
            };
            (output, found, faults)
        }
        LocalCommand::Reset { place, yes } => return reset(&place, yes).await,
    };
    match output {
        Output::Json => println!("{value:#}"),
        Output::Human => print!("{}", print(value)?),
    }
    Ok(Exit::Ok)
}

async fn reset(place: &PlaceArgs, yes: bool) -> Result<Exit, Failure> {
    let target = place
        .endpoint
        .clone()
        .unwrap_or_else(|| place.data.display().to_string());
    if !yes {
        return Err(Failure::new(
            Exit::Usage,
            format!("this would remove all tables of {target}"),
        )
        .help("add --yes to do it"));
    }
    match &place.endpoint {
        Some(endpoint) => drop(ask(endpoint, Method::POST, &["reset"], "", "").await?),
        None => {
            refuse_if_in_use(&place.data)?;
            inspect::reset(&place.data).map_err(failed)?;
        }
    }
    match place.output {
        Output::Json => println!("{:#}", json!({ "outcome": "reset" })),
        Output::Human => println!("removed all tables of {target}"),
    }
    Ok(Exit::Ok)
}

fn catalog(data: &Path) -> Result<Catalog, Failure> {
    refuse_if_in_use(data)?;
    Catalog::open(data).map_err(|error| {
        Failure::new(Exit::Input, error.to_string())
            .help("name the directory of a local server with --data")
    })
}

/// A server holds a lock on its data directory; beside it nobody may clean up.
fn refuse_if_in_use(data: &Path) -> Result<(), Failure> {
    let path = data.join(".longshore").join("lock");
    let Ok(lock) = std::fs::File::open(&path) else {
        return Ok(());
    };
    match lock.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => {
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            Err(Failure::new(
                Exit::Usage,
                format!(
                    "the data directory {} is in use by a server (process {})",
                    data.display(),
                    holder.trim()
                ),
            )
            .help("ask that server: --endpoint http://HOST:PORT/api"))
        }
        _ => Ok(()),
    }
}

fn failed(error: StoreError) -> Failure {
    let failure = Failure::new(Exit::Input, error.to_string());
    match error {
        StoreError::NoSuchTable(_) => failure.help(HOW_TO_LIST),
        _ => failure,
    }
}

fn parse<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| {
        Failure::new(
            Exit::Internal,
            format!("the server's answer is not understood: {error}"),
        )
    })
}

fn tables(value: Value) -> Result<String, Failure> {
    let found: Vec<TableSummary> = parse(value)?;
    let mut table = Table::new(&[
        "project",
        "schema",
        "table",
        "kind",
        ">partitions",
        ">rows",
        ">bytes",
        ">files",
    ]);
    for summary in found {
        table.row([
            summary.project,
            summary.schema,
            summary.name,
            summary.kind,
            summary
                .partitions
                .map_or_else(|| "-".to_owned(), |count| count.to_string()),
            number(summary.rows),
            bytes(summary.bytes),
            summary.files.to_string(),
        ]);
    }
    Ok(table.text())
}

fn rows(value: Value) -> Result<String, Failure> {
    let found: Rows = parse(value)?;
    let headings: Vec<&str> = found.columns.iter().map(String::as_str).collect();
    let mut table = Table::new(&headings);
    let shown = found.rows.len();
    for row in found.rows {
        table.row(row.into_iter().map(|cell| {
            match cell {
                Value::Null => "NULL".to_owned(),
                // Rows stay on one line each, and nothing controls the terminal.
                Value::String(text) => text
                    .escape_debug()
                    .to_string()
                    .replace("\\'", "'")
                    .replace("\\\"", "\""),
                other => other.to_string(),
            }
        }));
    }
    Ok(format!(
        "{}({shown} of {} rows)\n",
        table.text(),
        number(found.total)
    ))
}

fn faults(value: Value) -> Result<String, Failure> {
    let found: Vec<RuleReport> = parse(value)?;
    let mut table = Table::new(&[">matched", ">acted", "rule"]);
    for RuleReport {
        rule,
        matched,
        fired,
    } in found
    {
        table.row([number(matched), number(fired), rule.to_string()]);
    }
    Ok(table.text())
}

fn schema(value: Value) -> Result<String, Failure> {
    let mut table = Table::new(&["column", "type", "", "comment"]);
    let text = |value: &Value, key: &str| match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let list = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let key = list("primary_key");
    for (columns, partition) in [(list("columns"), false), (list("partition_columns"), true)] {
        for column in columns {
            let name = text(&column, "name");
            let mut marks = Vec::new();
            if key.iter().any(|part| part.as_str() == Some(name.as_str())) {
                marks.push("primary key");
            }
            if partition {
                marks.push("partition");
            }
            if column.get("nullable") == Some(&Value::Bool(false)) {
                marks.push("not null");
            }
            let comment = text(&column, "comment");
            table.row([name, text(&column, "type"), marks.join(", "), comment]);
        }
    }
    Ok(table.text())
}
