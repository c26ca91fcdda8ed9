//! The REST side: projects, schemas, tables, partitions and instances as XML.

mod instance;
mod partition;
mod project;
mod table;
pub mod xml;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use percent_encoding::percent_decode_str;

use crate::catalog::{DEFAULT_SCHEMA, StoreError};
use crate::faults::JobFault;
use crate::server::{ApiError, AppState, Caller};

/// Owner of everything, as shown to clients.
pub const OWNER: &str = "ALIYUN$longshore@local";

/// The property of a table or partition that clients also look for as `StorageTier`.
const STORAGE_TIER: &str = "storagetier";

/// Largest body of a REST request.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Entries of a list page unless the client says otherwise, and at most.
const PAGE: usize = 1000;

/// A request with its query taken apart.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a AppState,
    pub(crate) caller: Caller,
    pub(crate) method: Method,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
    /// How the SQL job in the body is to fail.
    pub(crate) job_fault: Option<JobFault>,
}

impl Call<'_> {
    /// Value of a query parameter, empty when it has none.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.param(name).is_some()
    }

    /// Value that is neither missing nor empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        self.param(name).filter(|value| !value.is_empty())
    }

    /// The schema of table calls. The old preview names it by a parameter of its own.
    pub(crate) fn schema(&self) -> String {
        let of_preview = self
            .has("data")
            .then(|| self.filled("schema_name"))
            .flatten();
        of_preview
            .or_else(|| self.filled("curr_schema"))
            .unwrap_or(DEFAULT_SCHEMA)
            .to_lowercase()
    }

    /// Text of the request's body.
    pub(crate) fn text(&self) -> Result<&str, ApiError> {
        std::str::from_utf8(&self.body)
            .map_err(|_| ApiError::bad_request("MalformedXML", "the body is not UTF-8"))
    }

    /// The page of `items` that `marker` and `maxitems` ask for, and the next marker.
    pub(crate) fn page<T>(&self, items: Vec<T>) -> Result<(Vec<T>, String, usize), ApiError> {
        let number = |name: &str, default: usize| match self.filled(name) {
            None => Ok(default),
            Some(text) => text.parse::<usize>().map_err(|_| {
                ApiError::bad_request(
                    "InvalidParameter",
                    format!("{name} `{text}` is not a number"),
                )
            }),
        };
        let start = number("marker", 0)?;
        let size = match number("maxitems", PAGE)? {
            0 => PAGE,
            size => size.min(PAGE),
        };
        let total = items.len();
        let page: Vec<T> = items.into_iter().skip(start).take(size).collect();
        let next = start + page.len();
        let marker = if next < total {
            next.to_string()
        } else {
            String::new()
        };
        Ok((page, marker, size))
    }
}

/// Answers a REST request.
pub(crate) async fn handle(state: &AppState, request: Request) -> Response {
    answer(state, request)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn answer(state: &AppState, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let Some(caller) = parts.extensions.get::<Caller>().cloned() else {
        return Err(ApiError::internal("the request was not routed"));
    };
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "MaxMessageLengthExceeded",
                format!("reading the body: {error}"),
            ));
        }
    };
    check_md5(&parts.headers, &body)?;
    let path = caller.path.trim_end_matches('/').to_owned();
    let segments: Vec<String> = path.split('/').skip(1).map(decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let call = Call {
        state,
        caller,
        method: parts.method,
        query: query_pairs(parts.uri.query().unwrap_or("")),
        headers: parts.headers,
        body,
        job_fault: parts.extensions.get::<JobFault>().cloned(),
    };
    let get = call.method == Method::GET || call.method == Method::HEAD;
    match segments.as_slice() {
        ["projects"] if get => project::list(&call).await,
        ["tenants", ..] => Err(ApiError::not_found("NoSuchObject", "tenant not found")),
        ["logview", "host"] if get => Ok(plain(format!("http://{}", state.addr()))),
        ["projects", project, rest @ ..] => {
            let project = require_project(state, project).await?;
            match rest {
                [] if get && call.has("policy") => Ok(project::policy()),
                [] if get => project::show(&call, &project).await,
                ["tunnel"] if get => Ok(plain(tunnel_address(&call))),
                ["logs"] => Ok(StatusCode::OK.into_response()),
                ["authorization"] => project::authorization(&call),
                // Python writes the slash as %2F.
                ["registration", "functions"] | ["registration/functions"] if get => {
                    Ok(project::none_of("Functions"))
                }
                ["resources"] if get => Ok(project::none_of("Resources")),
                ["users"] if get => Ok(project::none_of("Users")),
                ["roles"] if get => Ok(project::none_of("Roles")),
                ["schemas"] if get => project::list_schemas(&call, &project).await,
                ["schemas"] if call.method == Method::POST => {
                    project::create_schema(&call, &project).await
                }
                ["schemas", schema] if get => project::show_schema(&call, &project, schema).await,
                ["schemas", schema] if call.method == Method::DELETE => {
                    project::drop_schema(&call, &project, schema).await
                }
                ["tables"] if get => table::list(&call, &project).await,
                ["tables"] if call.method == Method::POST && call.has("query") => {
                    table::load(&call, &project).await
                }
                ["tables", name] if get => table::get(&call, &project, &call.schema(), name).await,
                ["schemas", schema, "tables", name] if get => {
                    table::get(&call, &project, &schema.to_lowercase(), name).await
                }
                ["instances"] if get => instance::list(&call, &project).await,
                ["instances"] if call.method == Method::POST => {
                    instance::submit(&call, &project).await
                }
                ["instances", id] if get => instance::get(&call, &project, id).await,
                ["instances", id] if call.method == Method::PUT && call.has("info") => {
                    instance::put_info(&call, &project, id).await
                }
                ["instances", id] if call.method == Method::PUT => {
                    instance::stop(&call, &project, id).await
                }
                _ => Err(unknown(&call)),
            }
        }
        _ => Err(unknown(&call)),
    }
}

fn unknown(call: &Call<'_>) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        format!(
            "{} {} is not offered by this server",
            call.method, call.caller.path
        ),
    )
}

/// The service checks `Content-MD5` (lower-case hex) when it comes.
fn check_md5(headers: &http::HeaderMap, body: &Bytes) -> Result<(), ApiError> {
    use md5::Digest;
    let Some(given) = headers
        .get("content-md5")
        .and_then(|v| v.to_str().ok())
        .filter(|v| v.len() == 32)
    else {
        return Ok(());
    };
    let digest = hex::encode(md5::Md5::digest(body));
    if given.eq_ignore_ascii_case(&digest) {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "InvalidDigest",
        format!("the body's MD5 is {digest}, the header says {given}"),
    ))
}

/// Name of a known project in lower case.
async fn require_project(state: &AppState, name: &str) -> Result<String, ApiError> {
    let name = name.to_lowercase();
    let wanted = name.clone();
    let known = state
        .store()
        .blocking(move |store| store.database().project_created(&wanted))
        .await?;
    match known {
        Some(_) => Ok(name),
        None => Err(ApiError::not_found(
            "NoSuchObject",
            format!("ODPS-0420111:Project not found - '{name}' not found"),
        )),
    }
}

/// Where the tunnel is, as the client reached this server.
fn tunnel_address(call: &Call<'_>) -> String {
    let host = call
        .headers
        .get(header::HOST)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    if host.is_empty() {
        call.state.addr().to_string()
    } else {
        host.to_owned()
    }
}

/// Not found on REST is always `NoSuchObject`, except for partitions.
pub(crate) fn rest_error(error: StoreError) -> ApiError {
    match error {
        StoreError::NoSuchTable(name) => ApiError::not_found(
            "NoSuchObject",
            format!("ODPS-0130131:Table not found - table {name} cannot be resolved"),
        ),
        StoreError::NoSuchProject(_) | StoreError::NoSuchSchema(_) => {
            ApiError::not_found("NoSuchObject", error.to_string())
        }
        error => error.into(),
    }
}

pub(crate) fn xml_response(body: String) -> Response {
    with_type("application/xml", body)
}

pub(crate) fn json_response(body: String) -> Response {
    with_type("application/json", body)
}

/// Text; without a charset clients would read it as Latin-1.
pub(crate) fn plain(body: String) -> Response {
    with_type("text/plain; charset=utf-8", body)
}

fn with_type(kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// `Sat, 21 Nov 2026 03:46:59 GMT`.
pub(crate) fn http_date(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms)
        .unwrap_or_default()
        .format("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

pub(crate) fn set_header(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Decoded query parameters; `+` is a space.
pub(crate) fn query_pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                decode(&name.replace('+', " ")),
                decode(&value.replace('+', " ")),
            )
        })
        .collect()
}
