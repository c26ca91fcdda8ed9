//! The tunnel: how bulk data get into and out of the server.
//!
//! Sessions are documents of the catalog and staged files of the store, so that everything a client was told
//! survives a kill. Bodies are decoded, checked and written on blocking threads while they arrive.

mod body;
mod describe;
mod download;
mod instance;
mod preview;
mod request;
mod session;
mod stream;
mod upload;
mod upsert;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode};

use crate::{
    catalog::StoreError,
    server::{ApiError, AppState},
    wire::{WireError, WireErrorKind},
};
use request::{Resource, TableVerb, TunnelRequest};

/// What the tunnel's handlers share.
#[derive(Clone)]
struct Tunnel {
    app: AppState,
    commits: Arc<upsert::Commits>,
}

/// The tunnel's routes: every path, since the resource is found by the words in it.
pub fn router(state: AppState) -> Router {
    let tunnel = Tunnel {
        app: state,
        commits: Arc::default(),
    };
    Router::new().fallback(handle).with_state(tunnel)
}

async fn handle(State(tunnel): State<Tunnel>, request: Request) -> Response {
    let answer = match TunnelRequest::parse(request, tunnel.app.addr()) {
        Ok((request, body)) => dispatch(&tunnel, request, body).await,
        Err(error) => Err(error),
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

async fn dispatch(
    tunnel: &Tunnel,
    request: TunnelRequest,
    body: Body,
) -> Result<Response, ApiError> {
    let app = &tunnel.app;
    let has = |name: &str| request.query.has(name);
    let method = request.method.clone();
    match request.resource.clone() {
        Resource::Table(TableVerb::Data) => match method {
            Method::POST if has("uploads") => upload::create(app, request).await,
            Method::PUT if has("uploadid") => upload::write_block(app, request, body).await,
            Method::GET if has("uploadid") => upload::status(app, request).await,
            Method::POST if has("uploadid") => upload::commit(app, request).await,
            Method::POST if has("downloads") => download::create(app, request).await,
            Method::GET if has("downloadid") && has("data") => download::read(app, request).await,
            Method::GET if has("downloadid") => download::status(app, request).await,
            _ => Err(unknown(&request)),
        },
        Resource::Table(TableVerb::Streams) => match method {
            Method::PUT if has("uploadid") => stream::write(app, request, body).await,
            Method::GET if has("uploadid") => stream::reload(app, request).await,
            // Python ends a session with POST and names the slot's server; Go reloads with POST.
            Method::POST
                if has("uploadid") && request.headers.contains_key(stream::ROUTED_SERVER) =>
            {
                stream::abort(app, request).await
            }
            Method::POST if has("uploadid") => stream::reload(app, request).await,
            Method::POST => stream::create(app, request).await,
            _ => Err(unknown(&request)),
        },
        Resource::Table(TableVerb::Upserts) => match method {
            Method::PUT if has("upsertid") => upsert::write(app, request, body).await,
            Method::GET if has("upsertid") => upsert::reload(tunnel, request).await,
            Method::POST if has("upsertid") => upsert::commit(tunnel, request).await,
            Method::DELETE if has("upsertid") => upsert::abort(tunnel, request).await,
            Method::POST => upsert::create(app, request).await,
            _ => Err(unknown(&request)),
        },
        Resource::Table(TableVerb::Preview) if method == Method::GET => {
            preview::read(app, request).await
        }
        Resource::Instance(_) => match method {
            Method::POST if has("downloads") => instance::create(app, request).await,
            Method::GET if has("data") => instance::read(app, request).await,
            Method::GET if has("downloadid") => instance::status(app, request).await,
            _ => Err(unknown(&request)),
        },
        Resource::Table(TableVerb::Preview) => Err(unknown(&request)),
    }
}

fn unknown(request: &TunnelRequest) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        format!(
            "the tunnel has no {} with these parameters on {}",
            request.method, request.path
        ),
    )
}

/// Runs blocking work and turns a panic into an answer.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ApiError::internal(format!(
            "a task of the tunnel died: {error}"
        ))),
    }
}

impl From<WireError> for ApiError {
    fn from(error: WireError) -> Self {
        let message = error.to_string();
        match error.kind() {
            WireErrorKind::Malformed => ApiError::bad_request("MalformedDataStream", message),
            WireErrorKind::Corrupted => ApiError::bad_request("CorruptedDataStream", message),
            WireErrorKind::Incomplete => ApiError::bad_request("IncompleteBody", message),
            WireErrorKind::TooLarge => ApiError::bad_request("MaxMessageLengthExceeded", message),
            WireErrorKind::Idle => {
                ApiError::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeOut", message)
            }
            WireErrorKind::Internal => {
                tracing::error!("{message}");
                ApiError::internal(message)
            }
        }
    }
}

/// The store's error for a session that is not there, under the name this kind of session has.
fn session_error(error: StoreError, code: &str) -> ApiError {
    match error {
        StoreError::NoSuchSession(_) => ApiError::not_found(code, error.to_string()),
        other => other.into(),
    }
}
