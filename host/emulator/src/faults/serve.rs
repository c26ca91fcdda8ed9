//! Answers requests as the rules want it.

use std::future::Future;
use std::io;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};

use super::operation::{Call, Operation};
use super::rule::{Answer, Effect, JobError, Rule, SessionEnd, Throttle, When};
use super::{JobFault, Side, body};
use crate::catalog::{SessionUpdate, StoreError};
use crate::server::{ApiError, AppState};

const ROUTED_SERVER: HeaderName = HeaderName::from_static("odps-tunnel-routed-server");
/// Largest SQL job that is read to see whether a rule matches it.
const MAX_JOB: usize = 16 * 1024 * 1024;

/// Marks an answer that must not be sent: the connection is to be closed instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CutOff;

/// Answers a request by `answer`, unless a rule has something else in mind.
pub(crate) async fn serve<F>(
    state: &AppState,
    side: Side,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let faults = state.faults();
    if !faults.is_armed() {
        return answer(request).await;
    }
    let (parts, mut body) = request.into_parts();
    let mut call = Call::read(side, &parts);
    if call.operation == Operation::Sql {
        let Ok(job) = Limited::new(body, MAX_JOB).collect().await else {
            return ApiError::bad_request("IncompleteBody", "the job cannot be read")
                .into_response();
        };
        let job = job.to_bytes();
        call.statement = String::from_utf8_lossy(&job).to_lowercase();
        body = Body::from(job);
    }
    let met = faults.meet(&call);
    let Some(rule) = met.rule() else {
        if let Some(server) = elsewhere(state, &call, &parts) {
            return moved(body, Some(&server)).await;
        }
        return answer(Request::from_parts(parts, body)).await;
    };
    tracing::info!(call = ?call.operation, table = call.table, "fault: {}", rule.given);
    tokio::time::sleep(rule.delay).await;
    let response = act(state, rule, &call, parts, body, answer).await;
    tokio::time::sleep(rule.delay_answer).await;
    response
}

async fn act<F>(
    state: &AppState,
    rule: &Rule,
    call: &Call,
    mut parts: Parts,
    body: Body,
    answer: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let request = |parts, body| Request::from_parts(parts, body);
    let Some(effect) = &rule.effect else {
        return answer(request(parts, body)).await;
    };
    let done_first = rule.when == When::After;
    match effect {
        Effect::Answer(given) => {
            if done_first {
                answer(request(parts, body)).await;
            } else {
                read_to_end(body).await;
            }
            given.response()
        }
        Effect::AnswerUnread(given) => {
            drop(body);
            let mut response = given.response();
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            response
        }
        Effect::Throttle(given) => {
            read_to_end(body).await;
            given.response()
        }
        Effect::Drop => {
            if done_first {
                answer(request(parts, body)).await;
            }
            cut_off()
        }
        Effect::TornRequest(torn) => {
            answer(request(parts, body::torn(body, torn.after_bytes))).await;
            cut_off()
        }
        Effect::TornAnswer(torn) => {
            let (head, whole) = whole(answer(request(parts, body)).await).await;
            let length = HeaderValue::from(whole.len());
            let mut response =
                Response::from_parts(head, body::torn(Body::from(whole), torn.after_bytes));
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, length);
            response
        }
        Effect::SlowRequest(slow) => {
            answer(request(parts, body::slow(body, slow.bytes_per_second))).await
        }
        Effect::SlowAnswer(slow) => {
            let response = answer(request(parts, body)).await;
            response.map(|body| body::slow(body, slow.bytes_per_second))
        }
        Effect::CorruptRequest => answer(request(parts, body::corrupt(body))).await,
        Effect::CorruptAnswer => {
            let (head, whole) = whole(answer(request(parts, body)).await).await;
            Response::from_parts(head, Body::from(body::changed(&whole)))
        }
        Effect::EndSession(end) => {
            end_session(state, call, *end).await;
            answer(request(parts, body)).await
        }
        Effect::MoveSlot(slot) => {
            let session = call.session.as_deref().unwrap_or_default();
            let server = state.faults().move_slots(session);
            moved(body, slot.told.then_some(server.as_str())).await
        }
        Effect::FailJob(error) => {
            parts.extensions.insert(error.fault(done_first));
            answer(request(parts, body)).await
        }
        Effect::DiskFull => {
            if parts.method == Method::PUT {
                // All of it was written but the last bytes.
                answer(request(parts, body::torn(body, u64::MAX))).await;
            } else {
                read_to_end(body).await;
            }
            let full = io::Error::from(io::ErrorKind::StorageFull);
            ApiError::from(StoreError::io("writing a file", full)).into_response()
        }
        Effect::Restart(restart) => {
            if done_first {
                answer(request(parts, body)).await;
            }
            state.faults().restarts.send_replace(restart.down);
            // The connection is closed by the server, and this with it.
            std::future::pending().await
        }
    }
}

impl Answer {
    fn response(&self) -> Response {
        let message = self.message.clone().unwrap_or_default();
        let mut response = match &self.code {
            Some(code) => {
                let mut error = ApiError::new(self.status, code, message);
                error.hold_client = self.hold_client;
                error.into_response()
            }
            // As a proxy in front of the service answers, which knows no codes.
            None => (self.status, message).into_response(),
        };
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }
}

impl Throttle {
    fn response(&self) -> Response {
        let code = self.code.as_deref().unwrap_or("FlowExceeded");
        let message = "the flow is over its quota";
        let mut error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, code, message);
        error.hold_client = self.hold_client;
        let mut response = error.into_response();
        if let Some(wait) = self.retry_after {
            let seconds = HeaderValue::from(wait.as_millis().div_ceil(1000) as u64);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl JobError {
    fn fault(&self, run: bool) -> JobFault {
        let code = self.code.as_deref().unwrap_or("ODPS-0010000");
        let message = self.message.as_deref();
        let message = message.unwrap_or("System internal error - failed on purpose");
        JobFault {
            run,
            text: format!("{code}:{message}"),
        }
    }
}

/// The server to which a request should have been sent, if it names another one.
fn elsewhere(state: &AppState, call: &Call, parts: &Parts) -> Option<String> {
    if !call.operation.is_routed() {
        return None;
    }
    let now = state.faults().moved_to(call.session.as_deref()?)?;
    let named = parts.headers.get(ROUTED_SERVER)?;
    (named.as_bytes() != now.as_bytes()).then_some(now)
}

async fn moved(body: Body, server: Option<&str>) -> Response {
    read_to_end(body).await;
    let mut response = StatusCode::PERMANENT_REDIRECT.into_response();
    if let Some(server) = server.and_then(|server| HeaderValue::from_str(server).ok()) {
        response.headers_mut().insert(ROUTED_SERVER, server);
    }
    response
}

/// Ends a session; one that is not there is left to the answer.
async fn end_session(state: &AppState, call: &Call, end: SessionEnd) {
    let Some(id) = call.session.clone() else {
        return;
    };
    let ended = state.store().blocking(move |store| {
        let status = match end {
            SessionEnd::Gone => return store.session_delete(&id),
            SessionEnd::Expired => "expired",
            SessionEnd::Critical => "critical",
            SessionEnd::Aborted => "aborted",
        };
        let session = store.session_get(&id)?;
        store.session_update(&SessionUpdate {
            id,
            expected: None,
            status: status.to_owned(),
            document: session.document,
        })
    });
    if let Err(error) = ended.await {
        tracing::warn!("ending a session on purpose: {error}");
    }
}

fn cut_off() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(CutOff);
    response
}

async fn read_to_end(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// An answer with its body in one piece; empty when it breaks off.
async fn whole(response: Response) -> (http::response::Parts, bytes::Bytes) {
    let (head, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    (head, body.unwrap_or_default())
}
