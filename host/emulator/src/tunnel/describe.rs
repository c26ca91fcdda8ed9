//! The JSON shapes that sessions of all kinds share.

use axum::{body::Body, response::Response};
use http::{HeaderValue, header};
use serde_json::{Value, json};

use super::{body::Costs, request::TunnelRequest};
use crate::catalog::{Column, TableMeta};

/// A 200 with a JSON body.
pub(super) fn json_answer(value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// A 200 without a body, for a PUT that is done. Clients of tunnel version 6 learn what it cost.
pub(super) fn written(request_version: u32, costs: &Costs) -> Response {
    let mut response = Response::new(Body::empty());
    if request_version >= 6
        && let Ok(value) = HeaderValue::from_str(&costs.json())
    {
        response.headers_mut().insert("odps-tunnel-metrics", value);
    }
    response
}

/// The schema of a table as sessions carry it.
pub(super) fn schema(table: &TableMeta) -> Value {
    json!({
        "IsVirtualView": false,
        "columns": table.columns.iter().map(column).collect::<Vec<_>>(),
        "partitionKeys": table.partition_columns.iter().map(column).collect::<Vec<_>>(),
    })
}

/// One column of such a schema.
pub(super) fn column(column: &Column) -> Value {
    let mut value = json!({
        "name": column.name,
        "type": column.ty.to_string(),
        "nullable": column.nullable,
        "comment": column.comment.clone().unwrap_or_default(),
        "column_id": column.column_id.to_string(),
    });
    if let (Some(text), Some(object)) = (&column.default_value, value.as_object_mut()) {
        object.insert("default_value".to_owned(), json!(text));
    }
    value
}

/// The quota named by the client; quotas mean nothing here, but clients read theirs back.
pub(super) fn quota(request: &TunnelRequest) -> String {
    request
        .query
        .get("quotaName")
        .unwrap_or_default()
        .to_owned()
}

/// A moment as HTTP dates are written.
pub(super) fn date(epoch_ms: i64) -> String {
    let moment = chrono::DateTime::from_timestamp_millis(epoch_ms).unwrap_or_default();
    moment.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
