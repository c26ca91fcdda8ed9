//! The instance tunnel: rows of finished queries.

use std::sync::Arc;

use arrow_array::RecordBatch;
use axum::response::Response;
use http::HeaderValue;
use serde_json::{Value, json};

use super::{
    blocking,
    body::answer_with_body,
    describe,
    download::{AnswerForm, no_such_column, row_range, wanted_columns, write_rows},
    request::{Resource, TunnelRequest},
};
use crate::{
    catalog::{Column, now_ms, same_name},
    server::{ApiError, AppState},
    sql::InstanceResult,
    wire::TimestampForm,
};

/// Rows that a client gets which asks for the limit.
const LIMITED_ROWS: u64 = 10_000;
/// Ends the id of a download with the limit.
const LIMITED: &str = "-limited";

/// `POST ?downloads[&instance_tunnel_limit_enabled]`
pub(super) async fn create(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let limit = if request.query.has("instance_tunnel_limit_enabled") {
        LIMITED
    } else {
        ""
    };
    let id = format!("{}{limit}", uuid::Uuid::new_v4().simple());
    let result = find(app, &request).await?;
    Ok(describe::json_answer(&session_json(
        &id,
        &result,
        &describe::quota(&request),
    )))
}

/// `GET ?downloadid`
pub(super) async fn status(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let result = find(app, &request).await?;
    let id = request.query.get("downloadid").unwrap_or_default();
    Ok(describe::json_answer(&session_json(
        id,
        &result,
        &describe::quota(&request),
    )))
}

/// `GET ?data&downloadid&rowrange[&columns][&arrow]`
pub(super) async fn read(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let result = find(app, &request).await?;
    let form = AnswerForm::of(&request, TimestampForm::SecondsNanos);
    let mut range = row_range(&request)?;
    let limited = request
        .query
        .get("downloadid")
        .is_some_and(|id| id.ends_with(LIMITED));
    range.end = range.end.min(if limited { LIMITED_ROWS } else { u64::MAX });
    let mut indices = Vec::new();
    for name in wanted_columns(&request, &result.columns) {
        let index = result
            .columns
            .iter()
            .position(|column| same_name(&column.name, &name));
        indices.push(index.ok_or_else(|| no_such_column(&name, "the result"))?);
    }
    let columns: Vec<Column> = indices
        .iter()
        .filter_map(|index| result.columns.get(*index).cloned())
        .collect();
    let header = schema(&columns).to_string();
    let mut answer = answer_with_body(form.compression, move |sink| {
        let rows = slices(&result, &indices, range);
        write_rows(sink, &form, &columns, rows)
    })
    .await?;
    // Readers without a session take the schema from here.
    if let Ok(value) = HeaderValue::from_str(&header) {
        answer.headers_mut().insert("odps-tunnel-schema", value);
    }
    Ok(answer)
}

async fn find(app: &AppState, request: &TunnelRequest) -> Result<Arc<InstanceResult>, ApiError> {
    let Resource::Instance(instance) = &request.resource else {
        return Err(ApiError::bad_request("InvalidURI", "not an instance"));
    };
    let (app, project, instance) = (app.clone(), request.project.clone(), instance.clone());
    blocking(move || app.instance_result(&project, &instance)).await
}

fn slices(
    result: &InstanceResult,
    indices: &[usize],
    range: std::ops::Range<u64>,
) -> impl Iterator<Item = Result<RecordBatch, ApiError>> {
    let mut start = 0u64;
    result.batches.iter().filter_map(move |batch| {
        let rows = batch.num_rows() as u64;
        let (from, to) = (range.start.max(start), range.end.min(start + rows));
        let offset = from.saturating_sub(start);
        start += rows;
        if from >= to {
            return None;
        }
        let projected = batch
            .project(indices)
            .map_err(|error| ApiError::internal(error.to_string()));
        Some(projected.map(|batch| batch.slice(offset as usize, (to - from) as usize)))
    })
}

fn schema(columns: &[Column]) -> Value {
    json!({
        "IsVirtualView": false,
        "columns": columns.iter().map(describe::column).collect::<Vec<_>>(),
        "partitionKeys": [],
    })
}

fn session_json(id: &str, result: &InstanceResult, quota: &str) -> Value {
    let all = result.rows();
    json!({
        "DownloadID": id,
        "Status": "normal",
        "RecordCount": if id.ends_with(LIMITED) { all.min(LIMITED_ROWS) } else { all },
        "Schema": schema(&result.columns),
        "QuotaName": quota,
        "Initiated": describe::date(now_ms()),
    })
}
