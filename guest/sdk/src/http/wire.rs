//! One exchange as the host sees it: streams, a future answer, a body.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, Method as WasiMethod, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme as WasiScheme, http_error_code,
};
use wasip2::io::poll::Pollable;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use super::{Framing, Method, Request, Scheme, TimeoutPhase, Timeouts, TransportError};
use crate::clock;

/// Most bytes asked of the host in one read.
const READ_LIMIT: u64 = 256 * 1024;

/// The host's side of one exchange. A trait, so that the state machine above it is tested without
/// a host.
pub(super) trait Wire {
    /// How many body bytes the host takes now; 0 = none until it says so.
    fn permit(&mut self) -> Result<u64, BodyRefused>;
    /// Sends body bytes, at most as many as the last permit.
    fn write(&mut self, bytes: &[u8]) -> Result<(), BodyRefused>;
    /// Ends the body.
    fn finish_body(&mut self) -> Result<(), BodyRefused>;
    /// Status and headers of the answer, once they are there.
    fn head(&mut self) -> Option<Result<Head, TransportError>>;
    /// More of the answer's body.
    fn read(&mut self) -> Read;
}

/// The host takes no more of the request body. Why is for the answer to say.
#[derive(Debug)]
pub(super) struct BodyRefused;

/// Status and headers of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// What reading an answer's body brought.
#[derive(Debug)]
pub(super) enum Read {
    Pending,
    Data(Vec<u8>),
    End,
    Failed(TransportError),
}

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    pub(super) write: bool,
    pub(super) head: bool,
    pub(super) read: bool,
}

/// An exchange over `wasi:http` 0.2.
///
/// Fields are dropped in this order, and the order matters: a stream is a child of its body, and an
/// unfinished outgoing body aborts the connection when dropped, which must not happen before the
/// answer is read.
#[derive(Debug)]
pub(super) struct WasiWire {
    answer_stream: Option<InputStream>,
    answer_body: Option<IncomingBody>,
    answer: Option<FutureIncomingResponse>,
    upload_stream: Option<OutputStream>,
    upload_body: Option<OutgoingBody>,
}

impl WasiWire {
    /// Hands the request's head to the host.
    pub(super) fn open(request: &Request) -> Result<Self, TransportError> {
        let outgoing = OutgoingRequest::new(fields_of(request)?);
        let refused =
            |what: &str| TransportError::InvalidRequest(format!("the host refused the {what}"));
        outgoing
            .set_method(&wasi_method(request.method))
            .map_err(|()| refused("method"))?;
        let scheme = match request.scheme {
            Scheme::Http => WasiScheme::Http,
            Scheme::Https => WasiScheme::Https,
        };
        outgoing
            .set_scheme(Some(&scheme))
            .map_err(|()| refused("scheme"))?;
        outgoing
            .set_authority(Some(&request.authority))
            .map_err(|()| refused(&format!("authority `{}`", request.authority)))?;
        outgoing
            .set_path_with_query(Some(&request.path_and_query))
            .map_err(|()| refused(&format!("path `{}`", request.path_and_query)))?;

        let mut upload_body = None;
        let mut upload_stream = None;
        if has_body(request) {
            let body = outgoing.body().map_err(|()| refused("body"))?;
            upload_stream = Some(body.write().map_err(|()| refused("body stream"))?);
            upload_body = Some(body);
        }
        let answer = outgoing_handler::handle(outgoing, Some(options_of(request)))?;
        Ok(Self {
            answer_stream: None,
            answer_body: None,
            answer: Some(answer),
            upload_stream,
            upload_body,
        })
    }

    /// Adds a pollable for each thing waited for.
    pub(super) fn subscribe(&self, wants: Wants, pollables: &mut Vec<Pollable>) {
        if let (true, Some(stream)) = (wants.write, &self.upload_stream) {
            pollables.push(stream.subscribe());
        }
        if let (true, Some(answer)) = (wants.head, &self.answer) {
            pollables.push(answer.subscribe());
        }
        if let (true, Some(stream)) = (wants.read, &self.answer_stream) {
            pollables.push(stream.subscribe());
        }
    }
}

impl Wire for WasiWire {
    fn permit(&mut self) -> Result<u64, BodyRefused> {
        let stream = self.upload_stream.as_ref().ok_or(BodyRefused)?;
        stream.check_write().map_err(|_| BodyRefused)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BodyRefused> {
        let stream = self.upload_stream.as_ref().ok_or(BodyRefused)?;
        stream.write(bytes).map_err(|_| BodyRefused)
    }

    fn finish_body(&mut self) -> Result<(), BodyRefused> {
        drop(self.upload_stream.take());
        match self.upload_body.take() {
            Some(body) => OutgoingBody::finish(body, None).map_err(|_| BodyRefused),
            None => Ok(()),
        }
    }

    fn head(&mut self) -> Option<Result<Head, TransportError>> {
        let outcome = self.answer.as_ref()?.get()?;
        self.answer = None;
        let response = match outcome {
            Ok(Ok(response)) => response,
            // Nothing was read yet, so what timed out is the wait for the first byte.
            Ok(Err(ErrorCode::ConnectionReadTimeout)) => {
                return Some(Err(TransportError::Timeout(TimeoutPhase::FirstByte)));
            }
            Ok(Err(code)) => return Some(Err(code.into())),
            Err(()) => {
                return Some(Err(TransportError::Other(
                    "the answer was already taken".to_owned(),
                )));
            }
        };
        let head = Head {
            status: response.status(),
            headers: lower_case_names(response.headers().entries()),
        };
        let opened = response.consume().and_then(|body| {
            self.answer_stream = Some(body.stream()?);
            self.answer_body = Some(body);
            Ok(())
        });
        Some(match opened {
            Ok(()) => Ok(head),
            Err(()) => Err(TransportError::Other(
                "the host gave no body stream".to_owned(),
            )),
        })
    }

    fn read(&mut self) -> Read {
        let Some(stream) = &self.answer_stream else {
            return Read::End;
        };
        match stream.read(READ_LIMIT) {
            Ok(data) if data.is_empty() => Read::Pending,
            Ok(data) => Read::Data(data),
            Err(StreamError::Closed) => {
                self.answer_stream = None;
                self.answer_body = None;
                Read::End
            }
            Err(StreamError::LastOperationFailed(error)) => {
                Read::Failed(match http_error_code(&error) {
                    Some(code) => code.into(),
                    // Wasmtime 48 has only a text for what breaks an answer's body, never a code.
                    None => TransportError::Other(format!(
                        "the answer broke off: {}",
                        error.to_debug_string()
                    )),
                })
            }
        }
    }
}

fn has_body(request: &Request) -> bool {
    body_length(request) > 0
}

fn body_length(request: &Request) -> u64 {
    request
        .body
        .iter()
        .map(|chunk| chunk.bytes().len() as u64)
        .sum()
}

fn fields_of(request: &Request) -> Result<Fields, TransportError> {
    let mut headers = request.headers.clone();
    let may_have_body = matches!(request.method, Method::Post | Method::Put);
    if request.framing == Framing::ContentLength && (may_have_body || has_body(request)) {
        let length: u64 = request
            .body
            .iter()
            .map(|chunk| chunk.bytes().len() as u64)
            .sum();
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
        headers.push(("Content-Length".to_owned(), length.to_string().into_bytes()));
    }
    Fields::from_list(&headers).map_err(|error| {
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        TransportError::InvalidRequest(format!("{error} among the headers {}", names.join(", ")))
    })
}

fn options_of(request: &Request) -> RequestOptions {
    let Timeouts {
        connect_ms,
        first_byte_ms,
        between_bytes_ms,
    } = request.timeouts;
    let options = RequestOptions::new();
    // A host that can not set a limit refuses it; the exchange keeps the same limits itself.
    let _ = options.set_connect_timeout(Some(clock::nanos(connect_ms)));
    let _ = options.set_between_bytes_timeout(Some(clock::nanos(between_bytes_ms)));
    // Some hosts start this clock with the request: leave time for the upload, at least 64 kB/s. The
    // exchange itself counts from the last byte that moved.
    let upload_ms = body_length(request) / 64;
    let first_byte_ms = first_byte_ms.saturating_add(upload_ms);
    let _ = options.set_first_byte_timeout(Some(clock::nanos(first_byte_ms)));
    options
}

fn wasi_method(method: Method) -> WasiMethod {
    match method {
        Method::Get => WasiMethod::Get,
        Method::Head => WasiMethod::Head,
        Method::Post => WasiMethod::Post,
        Method::Put => WasiMethod::Put,
        Method::Delete => WasiMethod::Delete,
    }
}

fn lower_case_names(mut headers: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    for (name, _) in &mut headers {
        name.make_ascii_lowercase();
    }
    headers
}
