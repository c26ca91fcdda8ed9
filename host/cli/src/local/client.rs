//! Asks a running local server.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::failure::{Exit, Failure};

/// Asks `endpoint` for an administration resource, given in pieces.
pub(super) async fn ask(
    endpoint: &str,
    method: Method,
    path: &[&str],
    query: &str,
    body: impl Into<Bytes>,
) -> Result<Value, Failure> {
    let base = endpoint.trim_end_matches('/').trim_end_matches("/api");
    let path: Vec<String> = path
        .iter()
        .map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string())
        .collect();
    let url = format!("{base}/_longshore/{}{query}", path.join("/"));
    let failure = |why: String| {
        Failure::new(Exit::Connection, "the local server does not answer")
            .at(endpoint)
            .because(why)
            .help("give the address that `longshore local` printed as ODPS_ENDPOINT")
    };
    let request = Request::builder()
        .method(method)
        .uri(&url)
        .body(Full::new(body.into()))
        .map_err(|error| failure(error.to_string()))?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let answer = client.request(request).await.map_err(|error| {
        let cause = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string);
        failure(cause)
    })?;
    let status = answer.status();
    let body = answer
        .into_body()
        .collect()
        .await
        .map_err(|error| failure(error.to_string()))?
        .to_bytes();
    if !status.is_success() {
        let text = String::from_utf8_lossy(&body);
        let message = serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|value| Some(value.get("Message")?.as_str()?.to_owned()));
        let message = message.unwrap_or_else(|| text.trim().to_owned());
        return Err(match status {
            StatusCode::NOT_FOUND => {
                Failure::new(Exit::Input, message).help(super::inspect::HOW_TO_LIST)
            }
            StatusCode::BAD_REQUEST => Failure::new(Exit::Usage, message),
            _ => Failure::new(Exit::Refused, message),
        }
        .at(endpoint));
    }
    serde_json::from_slice(&body)
        .map_err(|error| failure(format!("its answer is no JSON: {error}")))
}
