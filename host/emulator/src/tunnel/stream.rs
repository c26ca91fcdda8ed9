//! Stream uploads: each pack is durable and visible when its PUT is answered.

use std::time::Instant;

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    blocking,
    body::{Costs, with_body},
    describe,
    request::TunnelRequest,
    session::{self, Kind, Open, RequestedSession},
    upload,
};
use crate::{
    catalog::{PartitionSpec, StoreError, TableMeta},
    server::{ApiError, AppState},
};

/// Names the server of a slot; Python sends it with an abort, too.
pub(super) const ROUTED_SERVER: &str = "odps-tunnel-routed-server";
const SLOT_NUM: &str = "odps-tunnel-slot-num";
const LATEST_SCHEMA_VERSION: &str = "odps-tunnel-latest-schema-version";
const MAX_SLOTS: u32 = 1000;

#[derive(Debug, Serialize, Deserialize)]
struct Stream {
    table: TableMeta,
    partition: Option<PartitionSpec>,
    dynamic_partition: bool,
    create_partition: bool,
    /// Whether packs are refused as soon as the table has other columns.
    check_latest_schema: bool,
    slots: u32,
    quota: String,
}

impl Kind for Stream {
    const NAME: &'static str = "stream";
    const MISSING: &'static str = "StreamSessionNotFound";

    fn table(&self) -> &TableMeta {
        &self.table
    }

    fn partition(&self) -> Option<&PartitionSpec> {
        self.partition.as_ref()
    }
}

/// `POST /streams`
pub(super) async fn create(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let app = app.clone();
    blocking(move || {
        let dynamic_partition = request.query.flag("dynamic_partition");
        let (table, partition) = if dynamic_partition {
            (
                app.store()
                    .table(&request.project, &request.schema, &request.table)?,
                None,
            )
        } else {
            session::target(&app, &request)?
        };
        if table.is_delta() {
            let message = format!(
                "table {} has a primary key: write it with an upsert session",
                table.full_name()
            );
            return Err(ApiError::bad_request("InvalidArgument", message));
        }
        if dynamic_partition && !table.is_partitioned() {
            let message = format!(
                "table {} has no partitions, so they cannot be dynamic",
                table.full_name()
            );
            return Err(ApiError::bad_request("InvalidArgument", message));
        }
        match request.query.number::<u64>("schema_version")? {
            Some(version) if version > table.schema_version => {
                let message = format!(
                    "table {} has no schema version {version} yet",
                    table.full_name()
                );
                return Err(ApiError::not_found("NoSuchSchema", message));
            }
            Some(version) if version < table.schema_version => {
                return Ok(schema_modified(&table, version));
            }
            _ => {}
        }
        let slots = slot_count(&request)?;
        let document = Stream {
            table: (*table).clone(),
            partition,
            dynamic_partition,
            create_partition: request.query.flag("create_partition"),
            check_latest_schema: checks_schema(&request),
            slots,
            quota: describe::quota(&request),
        };
        let stored = serde_json::to_value(&document).map_err(StoreError::from)?;
        let session = app.store().session_create(
            Stream::NAME,
            &table,
            "normal",
            stored,
            app.options().session_lifetime,
        )?;
        Ok(describe::json_answer(&session_json(
            &app,
            &Open { session, document },
            &request.server,
        )))
    })
    .await
}

/// `GET /streams?uploadid`
pub(super) async fn reload(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let (app, wanted) = (app.clone(), RequestedSession::new(&request, "uploadid"));
    blocking(move || {
        let open = session::open::<Stream>(&app, &wanted)?;
        Ok(describe::json_answer(&session_json(
            &app,
            &open,
            &request.server,
        )))
    })
    .await
}

/// `POST /streams?uploadid` with the server of a slot: the session is forgotten. What was written stays.
pub(super) async fn abort(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let (app, wanted) = (app.clone(), RequestedSession::new(&request, "uploadid"));
    blocking(move || {
        let open = session::open::<Stream>(&app, &wanted)?;
        app.store().session_delete(&wanted.id)?;
        Ok(describe::json_answer(&session_json(
            &app,
            &open,
            &request.server,
        )))
    })
    .await
}

/// `PUT /streams?uploadid&slotid`
pub(super) async fn write(
    app: &AppState,
    request: TunnelRequest,
    body: Body,
) -> Result<Response, ApiError> {
    let app = app.clone();
    let wanted = RequestedSession::new(&request, "uploadid");
    with_body(body, move |body| {
        let mut costs = Costs::start();
        let open = session::open::<Stream>(&app, &wanted)?;
        let store = app.store();
        let stream = &open.document;
        let slot: u32 = request.query.number("slotid")?.unwrap_or(0);
        if slot >= stream.slots {
            let message = format!(
                "slot {slot} is not in 0..{}: reload the session",
                stream.slots
            );
            return Err(ApiError::bad_request("InvalidArgument", message));
        }
        let current = store.table_by_id(&stream.table.id)?;
        let own = stream.table.schema_version;
        let claimed = request
            .query
            .number::<u64>("schema_version")?
            .unwrap_or(own);
        let check = stream.check_latest_schema && checks_schema(&request);
        if claimed != own
            || (own != current.schema_version && (check || !still_fits(&stream.table, &current)))
        {
            return Ok(schema_modified(&current, claimed));
        }
        let partition = match &stream.partition {
            Some(partition) => Some(partition.clone()),
            None => request.partition(&stream.table)?,
        };
        if let Some(partition) = &partition {
            let create = stream.create_partition || request.query.flag("create_partition");
            session::ensure_partition(
                store,
                &stream.table,
                partition,
                stream.dynamic_partition && create,
            )?;
        }
        let encoding = request.content_encoding()?;
        let file = upload::stage_append(
            &app,
            &stream.table,
            body,
            encoding,
            request.arrow(),
            &mut costs,
        )?;
        let start = Instant::now();
        let written = check_record_count(&request, file.rows).and_then(|()| {
            Ok(store.commit_append(
                &stream.table,
                partition.as_ref(),
                std::slice::from_ref(&file),
                false,
                None,
            )?)
        });
        if let Err(error) = written {
            store.discard(&[file])?;
            return Err(error);
        }
        costs.disk += start.elapsed();
        let mut answer = describe::written(request.version(), &costs);
        let headers = answer.headers_mut();
        let server = app.faults().server_of(&wanted.id, &request.server);
        if let Ok(server) = HeaderValue::from_str(&server) {
            headers.insert(ROUTED_SERVER, server);
        }
        headers.insert(SLOT_NUM, HeaderValue::from(stream.slots));
        Ok(answer)
    })
    .await
}

/// Compares the count in the query, if there is one, with what arrived.
pub(super) fn check_record_count(request: &TunnelRequest, rows: u64) -> Result<(), ApiError> {
    match request.query.number::<u64>("record_count")? {
        Some(count) if count != rows => {
            let message = format!("record_count says {count} records but the body has {rows}");
            Err(ApiError::bad_request("MalformedDataStream", message))
        }
        _ => Ok(()),
    }
}

fn checks_schema(request: &TunnelRequest) -> bool {
    !request
        .query
        .get("check_latest_schema")
        .is_some_and(|value| value.eq_ignore_ascii_case("false"))
}

/// Whether rows with the old columns can still be stored: columns may be added, but neither lost nor retyped.
fn still_fits(old: &TableMeta, current: &TableMeta) -> bool {
    old.columns.iter().all(|column| {
        current
            .columns
            .iter()
            .any(|now| now.column_id == column.column_id && now.ty == column.ty)
    })
}

fn schema_modified(table: &TableMeta, version: u64) -> Response {
    let message = format!(
        "table {} has schema version {}, not {version}: make a new session",
        table.full_name(),
        table.schema_version
    );
    let error = ApiError::new(StatusCode::PRECONDITION_FAILED, "SchemaModified", message);
    let mut answer = axum::response::IntoResponse::into_response(error);
    answer.headers_mut().insert(
        LATEST_SCHEMA_VERSION,
        HeaderValue::from(table.schema_version),
    );
    answer
}

fn slot_count(request: &TunnelRequest) -> Result<u32, ApiError> {
    let Some(text) = request
        .header(SLOT_NUM)
        .or_else(|| request.header("odps-slot-num"))
    else {
        return Ok(1);
    };
    match text.parse() {
        Ok(count) if (1..=MAX_SLOTS).contains(&count) => Ok(count),
        _ => {
            let message = format!("slot count `{text}` is not in 1..{MAX_SLOTS}");
            Err(ApiError::bad_request("MalformedHeaderValue", message))
        }
    }
}

fn session_json(app: &AppState, open: &Open<Stream>, server: &str) -> Value {
    let Open { session, document } = open;
    let server = app.faults().server_of(&session.id, server);
    json!({
        "session_name": session.id,
        "status": session.status,
        "schema": describe::schema(&document.table),
        // Numbers: the Go client reads no text here.
        "schema_version": document.table.schema_version,
        "slots": (0..document.slots).map(|slot| json!([slot, server])).collect::<Vec<_>>(),
        "quota_name": document.quota,
        "file_format": "parquet",
        "compress_mode": "",
    })
}
