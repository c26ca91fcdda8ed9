//! Looking into a data directory or a running server: tables, rows, schemas, reset.

use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::catalog::{DEFAULT_SCHEMA, Database, StoreError, TableMeta};
use crate::faults::Rule;
use crate::rest::{json_response, query_pairs};
use crate::server::{ApiError, AppState, Caller};
use crate::storage::{DirectoryLock, Mode, Store, database_path, json_value};

/// A table in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSummary {
    /// Project.
    pub project: String,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `delta` or `append`.
    pub kind: String,
    /// Number of partitions; None for an unpartitioned table.
    pub partitions: Option<usize>,
    /// Visible rows.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Data files.
    pub files: usize,
}

/// Rows of a table, for people: numbers and truth values as such, the rest as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// Names of data columns, then of partition columns.
    pub columns: Vec<String>,
    /// Cells by row, NULL as JSON null.
    pub rows: Vec<Vec<Value>>,
    /// Rows in the table, shown or not.
    pub total: u64,
}

/// A data directory seen from outside, while no server uses it.
#[derive(Debug)]
pub struct Catalog {
    store: Store,
    /// Keeps servers away while it is open.
    _lock: DirectoryLock,
}

impl Catalog {
    /// Opens a data directory that no server uses; finishes what a killed server left half done.
    /// One in use is [`StoreError::InUse`]: ask its server (`/_longshore/tables`).
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = database_path(data_dir);
        if !path.exists() {
            return Err(StoreError::Invalid(format!(
                "{} is not a data directory: it has no catalog",
                data_dir.display()
            )));
        }
        let lock = DirectoryLock::take(data_dir)?;
        Ok(Self {
            store: Store::open(data_dir, Mode::Store)?,
            _lock: lock,
        })
    }

    /// All tables.
    pub fn tables(&self) -> Result<Vec<TableSummary>, StoreError> {
        tables(&self.store)
    }

    /// The first `limit` rows. `name` is `table`, `schema.table` or `project.schema.table`.
    pub fn show(&self, name: &str, limit: u64) -> Result<Rows, StoreError> {
        show(&self.store, name, limit)
    }

    /// Definition of a table.
    pub fn schema(&self, name: &str) -> Result<TableMeta, StoreError> {
        find(&self.store, name)
    }
}

/// Names of the projects of a data directory, without changing anything in it.
pub fn projects(data_dir: &Path) -> Result<Vec<String>, StoreError> {
    let database = Database::open_read_only(&database_path(data_dir))?;
    Ok(database
        .projects()?
        .into_iter()
        .map(|(name, _)| name)
        .collect())
}

/// Removes everything the emulator made in a data directory: its catalog and the directories of
/// its projects. Refuses a directory without a catalog. The server must be stopped.
pub fn reset(data_dir: &Path) -> Result<(), StoreError> {
    let catalog = database_path(data_dir);
    if !catalog.exists() {
        return Err(StoreError::Invalid(format!(
            "{} has no catalog of this program: nothing was removed",
            data_dir.display()
        )));
    }
    let _lock = DirectoryLock::take(data_dir)?;
    let mut targets: Vec<PathBuf> = projects(data_dir)?
        .into_iter()
        .map(|name| data_dir.join(name))
        .collect();
    targets.extend(catalog.parent().map(Path::to_path_buf));
    for target in targets {
        match std::fs::remove_dir_all(&target) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io(
                    format!("removing {}", target.display()),
                    error,
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The rules for faults in the body of a request.
async fn read_rules(body: Body) -> Result<Vec<Rule>, ApiError> {
    const MAX_BYTES: usize = 1 << 20;
    let invalid = |why: String| ApiError::bad_request("InvalidArgument", why);
    let body = Limited::new(body, MAX_BYTES).collect().await;
    let body = body.map_err(|error| invalid(format!("the faults cannot be read: {error}")))?;
    let text = String::from_utf8(body.to_bytes().into());
    let text = text.map_err(|_| invalid("the faults are not UTF-8".to_owned()))?;
    Rule::parse(&text).map_err(|error| invalid(error.to_string()))
}

fn tables(store: &Store) -> Result<Vec<TableSummary>, StoreError> {
    let mut summaries = Vec::new();
    for (project, _) in store.database().projects()? {
        for table in store.database().tables(&project, None)? {
            let snapshot = store.snapshot(&table, None)?;
            let partitions = match table.is_partitioned() {
                true => Some(store.partitions(&table)?.len()),
                false => None,
            };
            summaries.push(TableSummary {
                project: table.project.clone(),
                schema: table.schema.clone(),
                name: table.name.clone(),
                kind: if table.is_delta() { "delta" } else { "append" }.to_owned(),
                partitions,
                rows: snapshot.rows(),
                bytes: snapshot.bytes(),
                files: snapshot.files.len(),
            });
        }
    }
    Ok(summaries)
}

fn find(store: &Store, name: &str) -> Result<TableMeta, StoreError> {
    let parts: Vec<&str> = name.split('.').collect();
    let (project, schema, table) = match parts.as_slice() {
        [table] => (None, None, *table),
        [scope, table] => (None, Some(*scope), *table),
        [project, schema, table] => (Some(*project), Some(*schema), *table),
        _ => return Err(StoreError::Invalid(format!("`{name}` is not a table name"))),
    };
    for (owner, _) in store.database().projects()? {
        if project.is_some_and(|p| !p.eq_ignore_ascii_case(&owner)) {
            continue;
        }
        // Two parts are schema and table, or project and table.
        let schemas: Vec<&str> = match schema {
            None => vec![DEFAULT_SCHEMA],
            Some(scope) if project.is_none() && scope.eq_ignore_ascii_case(&owner) => {
                vec![scope, DEFAULT_SCHEMA]
            }
            Some(scope) => vec![scope],
        };
        for schema in schemas {
            let found =
                store
                    .database()
                    .table(&owner, &schema.to_lowercase(), &table.to_lowercase())?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }
    Err(StoreError::NoSuchTable(name.to_owned()))
}

fn show(store: &Store, name: &str, limit: u64) -> Result<Rows, StoreError> {
    let table = find(store, name)?;
    let snapshot = store.snapshot(&table, None)?;
    let names: Vec<&str> = table
        .columns
        .iter()
        .chain(&table.partition_columns)
        .map(|c| c.name.as_str())
        .collect();
    let scan = store.scan(&snapshot, &names, 0..limit)?;
    let columns = scan.columns().to_vec();
    let mut rows = Vec::new();
    for batch in scan {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            let cell = |(column, array): (&crate::catalog::Column, &arrow_array::ArrayRef)| {
                json_value(array.as_ref(), &column.ty, row).unwrap_or(Value::Null)
            };
            rows.push(columns.iter().zip(batch.columns()).map(cell).collect());
        }
    }
    Ok(Rows {
        columns: columns.into_iter().map(|c| c.name).collect(),
        rows,
        total: snapshot.rows(),
    })
}

/// The administration of a running server, JSON:
/// `GET /_longshore/status`, `GET /_longshore/tables`, `GET /_longshore/tables/{name}` (definition),
/// `GET /_longshore/tables/{name}/rows?limit=n`, `POST /_longshore/reset` (drops all tables),
/// `POST /_longshore/traffic` (what came since the last such call), `GET /_longshore/faults` (rules and
/// how often they acted), `POST /_longshore/faults` (adds the rules in the body),
/// `DELETE /_longshore/faults` (takes all rules away).
pub(crate) async fn handle(state: &AppState, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    answer(state, &parts, body)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn answer(state: &AppState, request: &Parts, body: Body) -> Result<Response, ApiError> {
    let Some(caller) = request.extensions.get::<Caller>() else {
        return Err(ApiError::internal("the request was not routed"));
    };
    let decoded = percent_encoding::percent_decode_str(&caller.path)
        .decode_utf8_lossy()
        .into_owned();
    let segments: Vec<&str> = decoded.trim_end_matches('/').split('/').skip(2).collect();
    let query = query_pairs(request.uri.query().unwrap_or(""));
    let get = request.method == Method::GET;
    let store = state.store();
    let value = match segments.as_slice() {
        ["status"] if get => {
            let counters = store.counters();
            json!({
                "project": state.project(),
                "data_dir": store.data_dir().display().to_string(),
                "mode": match store.mode() { Mode::Store => "store", Mode::Discard => "discard" },
                "process": std::process::id(),
                "staged_rows": counters.staged_rows,
                "committed_rows": counters.committed_rows,
                "commits": counters.commits,
            })
        }
        ["tables"] if get => json!(store.blocking(tables).await?),
        ["tables", name] if get => {
            let name = (*name).to_owned();
            json!(store.blocking(move |store| find(store, &name)).await?)
        }
        ["tables", name, "rows"] if get => {
            let limit = match query.iter().find(|(name, _)| name == "limit") {
                None => 20,
                Some((_, text)) => text.parse().map_err(|_| {
                    ApiError::bad_request(
                        "InvalidArgument",
                        format!("limit `{text}` is not a number"),
                    )
                })?,
            };
            let name = (*name).to_owned();
            json!(
                store
                    .blocking(move |store| show(store, &name, limit))
                    .await?
            )
        }
        ["traffic"] if request.method == Method::POST => json!(state.traffic().take()),
        ["faults"] if get => json!(state.faults().report()),
        ["faults"] if request.method == Method::POST => {
            let rules = read_rules(body).await?;
            state.faults().add(rules);
            json!(state.faults().report())
        }
        ["faults"] if request.method == Method::DELETE => {
            state.faults().clear();
            json!(state.faults().report())
        }
        ["reset"] if request.method == Method::POST => {
            store
                .blocking(|store| {
                    for (project, _) in store.database().projects()? {
                        for table in store.database().tables(&project, None)? {
                            store.drop_table(&table)?;
                        }
                    }
                    Ok(())
                })
                .await?;
            Value::Object(Map::new())
        }
        _ => {
            return Err(ApiError::new(
                StatusCode::NOT_FOUND,
                "NoSuchObject",
                format!("{} {} is not offered", request.method, caller.path),
            ));
        }
    };
    Ok(json_response(value.to_string()))
}
