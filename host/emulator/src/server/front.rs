//! The outermost layer: request ids, signatures, and the choice between REST, tunnel and
//! administration.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::body::Draining;
use super::{ApiError, AppState};
use crate::auth::{self, Auth, Permission};
use crate::{faults, inspect, rest};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-odps-request-id");

/// State of the layer.
#[derive(Debug, Clone)]
pub(super) struct Front {
    state: AppState,
    auth: Arc<Auth>,
}

/// Who calls; an extension of each request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Rights of the key that signed the request.
    pub permission: Permission,
    /// Id of the request, also in the answer's `x-odps-request-id`.
    pub request_id: String,
    /// Path without the REST base, starting with `/`.
    pub path: String,
    /// Base path of REST (`/api`), empty at the root.
    pub base: String,
}

impl Front {
    pub(super) fn new(state: AppState, auth: Auth) -> Self {
        Self {
            state,
            auth: Arc::new(auth),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Rest,
    Tunnel,
    Admin,
}

pub(super) async fn handle(State(front): State<Front>, request: Request, next: Next) -> Response {
    let request_id = request_id();
    let (mut parts, body) = request.into_parts();
    let (side, base) = route(&parts);
    let verified = auth::verify(
        &front.auth,
        front.state.options(),
        &front.state.credentials(),
        &parts,
        &base,
    );
    let mut response = match verified {
        // Administration is open on a loopback address only.
        Err(error) if side != Side::Admin || !front.state.addr().ip().is_loopback() => {
            drop(Draining::new(body));
            error.into_response()
        }
        verified => {
            let path = parts
                .uri
                .path()
                .strip_prefix(base.as_str())
                .unwrap_or(parts.uri.path())
                .to_owned();
            let permission = verified.unwrap_or(Permission::Full);
            let caller = Caller {
                permission,
                request_id: request_id.clone(),
                path,
                base,
            };
            if let Err(error) = allowed(&caller, side, &parts) {
                drop(Draining::new(body));
                error.into_response()
            } else {
                parts.extensions.insert(caller);
                let request = Request::from_parts(parts, body);
                let state = &front.state;
                match side {
                    Side::Rest => {
                        let answer = async |request: Request| {
                            let mut response = rest::handle(state, request.map(drained)).await;
                            render(&mut response, side, &request_id, state);
                            response
                        };
                        faults::serve(state, faults::Side::Rest, request, answer).await
                    }
                    Side::Tunnel => {
                        let answer = async |request: Request| {
                            let metered = |body| Body::new(Draining::metered(body, state));
                            let mut response = next.run(request.map(metered)).await;
                            render(&mut response, side, &request_id, state);
                            response
                        };
                        faults::serve(state, faults::Side::Tunnel, request, answer).await
                    }
                    Side::Admin => inspect::handle(state, request.map(drained)).await,
                }
            }
        }
    };
    render(&mut response, side, &request_id, &front.state);
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn drained(body: Body) -> Body {
    Body::new(Draining::new(body))
}

/// Gives an error the body that its side has; what is no error, or has one already, stays.
fn render(response: &mut Response, side: Side, request_id: &str, state: &AppState) {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else {
        return;
    };
    let host = state.addr().ip().to_string();
    let (kind, body) = match side {
        Side::Rest => ("application/xml", error.xml(request_id, &host)),
        Side::Tunnel | Side::Admin => ("application/json", error.json(request_id, &host)),
    };
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    *response.body_mut() = Body::from(body);
}

/// `yyyymmddhhmmss` and a random part, as long as the service's.
fn request_id() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string().to_uppercase();
    let tail: String = random.chars().take(16).collect();
    format!("{}{tail}", chrono::Utc::now().format("%Y%m%d%H%M%S"))
}

/// Which side a request belongs to, and the REST base path.
///
/// Below another path than `/` it is REST. At the root both may live: tunnel clients always send
/// their version, and their queries and sub-resources are their own.
fn route(parts: &http::request::Parts) -> (Side, String) {
    let path = parts.uri.path();
    if path == "/_longshore" || path.starts_with("/_longshore/") {
        return (Side::Admin, String::new());
    }
    if path.starts_with("/api/storage/") {
        return (Side::Tunnel, String::new());
    }
    let start = ["/projects", "/tenants", "/logview"]
        .iter()
        .filter_map(|word| {
            path.match_indices(word).map(|(at, _)| at).find(|at| {
                path.get(at + word.len()..)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        })
        .min();
    let base = path.get(..start.unwrap_or(0)).unwrap_or("").to_owned();
    if !base.is_empty() {
        return (Side::Rest, base);
    }
    let query = parts.uri.query().unwrap_or("");
    let has = |name: &str| {
        query
            .split('&')
            .any(|pair| pair.split('=').next() == Some(name))
    };
    let tunnel = parts.headers.contains_key("x-odps-tunnel-version")
        || ["uploads", "uploadid", "downloads", "downloadid", "upsertid"]
            .iter()
            .any(|name| has(name))
        || ["/upserts", "/streams", "/preview"]
            .iter()
            .any(|end| path.trim_end_matches('/').ends_with(end))
        || start.is_none();
    (if tunnel { Side::Tunnel } else { Side::Rest }, base)
}

/// Refuses what the caller's rights do not cover. SQL statements are judged by the SQL side.
fn allowed(caller: &Caller, side: Side, parts: &http::request::Parts) -> Result<(), ApiError> {
    let reading = match side {
        Side::Admin => parts.method == Method::GET,
        Side::Tunnel => {
            parts.method == Method::GET
                || parts.uri.query().is_some_and(|q| {
                    q.split('&')
                        .any(|pair| pair.split('=').next() == Some("downloads"))
                })
        }
        Side::Rest => {
            parts.method == Method::GET
                || parts.method == Method::HEAD
                || ["/instances", "/logs", "/authorization", "/tables"]
                    .iter()
                    .any(|end| caller.path.ends_with(end))
                || caller.path.contains("/instances/")
        }
    };
    // Administration is for tools on this machine, not for web pages opened on it.
    let page =
        parts.headers.contains_key(header::ORIGIN) || parts.headers.contains_key("sec-fetch-site");
    if side == Side::Admin && page {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "NoPermission",
            "administration requests of web pages are refused",
        ));
    }
    match caller.permission {
        Permission::Full => Ok(()),
        Permission::ReadOnly if reading => Ok(()),
        Permission::ReadOnly | Permission::None => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "NoPermission",
            format!(
                "ODPS-0130013:Authorization exception - no permission for {} {}",
                parts.method, caller.path
            ),
        )),
    }
}
