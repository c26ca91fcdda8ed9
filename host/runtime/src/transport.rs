//! Sends the HTTP requests of one instance: checks the policy, keeps connections alive, honours
//! timeouts, counts.

use crate::connector::{ConnectError, Connector, Tls};
use crate::egress::EgressPolicy;
use bytes::Bytes;
use futures::task::AtomicWaker;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;
use tracing::Instrument as _;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Idle connections are closed after this long; servers commonly wait a minute.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// `tracing` target of the spans around requests.
const SPANS: &str = "longshore::span";

/// Refused requests written to the log, per instance; all are counted.
const LOGGED_REFUSALS: u64 = 20;

/// What one instance has sent and received so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests handed to the network.
    pub requests: u64,
    /// Requests refused by the egress policy.
    pub refused: u64,
    /// Bytes of request bodies handed to the network.
    pub bytes_sent: u64,
    /// Bytes of response bodies received.
    pub bytes_received: u64,
    /// When the first byte of a request body was handed to the network.
    pub first_body_byte: Option<Instant>,
}

#[derive(Default)]
struct Counters {
    requests: AtomicU64,
    refused: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    first_body_byte: OnceLock<Instant>,
    /// A request was answered with 401 since somebody looked.
    unauthorized: AtomicBool,
}

/// The client of one instance, plugged in behind `wasi:http/outgoing-handler`.
pub(crate) struct Transport {
    client: Client<HttpsConnector<Connector>, RequestBody>,
    policy: Arc<EgressPolicy>,
    counters: Arc<Counters>,
}

impl Transport {
    pub(crate) fn new(policy: EgressPolicy, tls: &Tls) -> Result<Self, rustls::Error> {
        let policy = Arc::new(policy);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(tls.connector(&policy)?);
        Ok(Self {
            client,
            policy,
            counters: Arc::default(),
        })
    }

    /// Whether a request was answered with 401 since the last call.
    pub(crate) fn take_refusal(&self) -> bool {
        self.counters.unauthorized.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let counters = &self.counters;
        Traffic {
            requests: counters.requests.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            bytes_sent: counters.bytes_sent.load(Ordering::Relaxed),
            bytes_received: counters.bytes_received.load(Ordering::Relaxed),
            first_body_byte: counters.first_body_byte.get().copied(),
        }
    }
}

type Sent = Result<
    (
        Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

impl WasiHttpHooks for Transport {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        // Tells a WASI 0.3 guest's verdict on the response body; 0.2 has none.
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if let Err(denied) = self.policy.permits(request.uri()) {
            if self.counters.refused.fetch_add(1, Ordering::Relaxed) < LOGGED_REFUSALS {
                tracing::warn!("refused a request of the component: {denied}");
            }
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        }
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let options = options.unwrap_or_default();
        let timeouts = Timeouts {
            connect: options
                .connect_timeout
                .unwrap_or(self.policy.connect_timeout),
            first_byte: options
                .first_byte_timeout
                .unwrap_or(self.policy.first_byte_timeout),
            between_bytes: options
                .between_bytes_timeout
                .unwrap_or(self.policy.between_bytes_timeout),
        };
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let sending = send(
            self.client.clone(),
            request,
            timeouts,
            Arc::clone(&self.counters),
        );
        let span = request_span(&method, &uri);
        let sending = async move {
            let sent = sending.await;
            note_outcome(&sent);
            sent
        };
        let sending = sending.instrument(span);
        Box::new(async move {
            let response = sending.await?;
            let done: Box<dyn Future<Output = Result<(), Error>> + Send> =
                Box::new(std::future::ready(Ok(())));
            Ok((response.map(BodyExt::boxed_unsync), done))
        })
    }
}

/// A span around one request, up to the head of its answer. Queries stay out of it: they name
/// sessions, and nothing says that a component puts no secret there.
fn request_span(method: &http::Method, uri: &http::Uri) -> tracing::Span {
    tracing::info_span!(
        target: SPANS,
        "request",
        otel.name = method.as_str(),
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        http.request.method = method.as_str(),
        url.scheme = uri.scheme_str().unwrap_or_default(),
        server.address = uri.host().unwrap_or_default(),
        server.port = uri.port_u16().map(i64::from),
        url.path = uri.path(),
        http.response.status_code = tracing::field::Empty,
        error.r#type = tracing::field::Empty,
    )
}

/// Notes in the current span how its request ended.
fn note_outcome(sent: &Result<Response<ResponseBody>, Error>) {
    let span = tracing::Span::current();
    match sent {
        Ok(response) => {
            let status = response.status();
            span.record("http.response.status_code", i64::from(status.as_u16()));
            if status.is_client_error() || status.is_server_error() {
                span.record("otel.status_code", "ERROR");
            }
        }
        Err(error) => {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", error.to_string());
        }
    }
}

#[derive(Clone, Copy)]
struct Timeouts {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

async fn send(
    client: Client<HttpsConnector<Connector>, RequestBody>,
    request: Request<WasiBody>,
    timeouts: Timeouts,
    counters: Arc<Counters>,
) -> Result<Response<ResponseBody>, Error> {
    let exchange = Arc::new(Exchange::new(counters));
    let mut request = request.map(|body| RequestBody {
        inner: body,
        held_back: None,
        exchange: Arc::clone(&exchange),
    });
    let mut connection = capture_connection(&mut request);
    let mut response = std::pin::pin!(client.request(request));

    // The client connects first; a connection from the pool counts as one made at once.
    let connected = tokio::select! {
        biased;
        result = &mut response => Some(result),
        outcome = tokio::time::timeout(timeouts.connect, async {
            drop(connection.wait_for_connection_metadata().await);
        }) => {
            outcome.map_err(|_| Error::ConnectionTimeout)?;
            None
        }
    };
    let result = match connected {
        Some(result) => result,
        None => {
            exchange.progressed();
            loop {
                let deadline = exchange.last_progress() + timeouts.first_byte;
                tokio::select! {
                    biased;
                    result = &mut response => break result,
                    () = tokio::time::sleep_until(deadline.into()) => {
                        if Instant::now() >= exchange.last_progress() + timeouts.first_byte {
                            return Err(Error::ConnectionReadTimeout);
                        }
                    }
                }
            }
        }
    };
    let response = result.map_err(|error| classify(&error))?;
    if response.status() == http::StatusCode::UNAUTHORIZED {
        exchange
            .counters
            .unauthorized
            .store(true, Ordering::Relaxed);
    }
    exchange.answered.store(true, Ordering::Release);
    Ok(response.map(|incoming| ResponseBody {
        incoming,
        timeout: timeouts.between_bytes,
        timer: None,
        exchange,
    }))
}

/// What the two directions of one request know of each other.
struct Exchange {
    counters: Arc<Counters>,
    started: Instant,
    /// Milliseconds from `started` to the last progress of the request.
    progress_ms: AtomicU64,
    /// The head of the answer is here.
    answered: AtomicBool,
    /// The body of the answer was read or dropped.
    finished: AtomicBool,
    request_body: AtomicWaker,
}

impl Exchange {
    fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            started: Instant::now(),
            progress_ms: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            request_body: AtomicWaker::new(),
        }
    }

    fn progressed(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.progress_ms.store(elapsed, Ordering::Relaxed);
    }

    fn last_progress(&self) -> Instant {
        self.started + Duration::from_millis(self.progress_ms.load(Ordering::Relaxed))
    }
}

/// The request's body on its way out.
struct RequestBody {
    inner: WasiBody,
    /// The guest gave the body up, but the answer to it is still being read.
    held_back: Option<Error>,
    exchange: Arc<Exchange>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.held_back.is_none() {
            match std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        let counters = &self.exchange.counters;
                        counters
                            .bytes_sent
                            .fetch_add(data.len() as u64, Ordering::Relaxed);
                        counters.first_body_byte.get_or_init(Instant::now);
                        self.exchange.progressed();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                None => return Poll::Ready(None),
                Some(Err(error)) => self.held_back = Some(error),
            }
        }
        // An error ends the connection. Once the answer's head is here the guest rightly stops
        // sending, and must still be able to read the answer's body.
        self.exchange.request_body.register(cx.waker());
        let reading = self.exchange.answered.load(Ordering::Acquire)
            && !self.exchange.finished.load(Ordering::Acquire);
        if reading {
            return Poll::Pending;
        }
        Poll::Ready(self.held_back.take().map(Err))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The answer's body on its way in.
struct ResponseBody {
    incoming: Incoming,
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    exchange: Arc<Exchange>,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.timer = None;
                Poll::Ready(frame.map(|result| match result {
                    Ok(frame) => {
                        if let Some(data) = frame.data_ref() {
                            let counters = &self.exchange.counters;
                            counters
                                .bytes_received
                                .fetch_add(data.len() as u64, Ordering::Relaxed);
                        }
                        Ok(frame)
                    }
                    Err(error) => Err(classify(&error)),
                }))
            }
            Poll::Pending => {
                let timeout = self.timeout;
                let timer = self
                    .timer
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
                std::task::ready!(timer.as_mut().poll(cx));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.exchange.finished.store(true, Ordering::Release);
        self.exchange.request_body.wake();
    }
}

/// The most telling error in a chain, as the error code the guest will see.
fn classify(error: &(dyn StdError + 'static)) -> Error {
    tracing::debug!(error = %Chain(error), "a request of the component failed");
    let mut cause = Some(error);
    let mut verdict = Error::HttpProtocolError;
    while let Some(error) = cause {
        if let Some(connect) = error.downcast_ref::<ConnectError>() {
            return classify_connect(connect);
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return classify_tls(tls);
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            verdict = classify_io(io.kind()).unwrap_or(verdict);
            if let Some(inner) = io.get_ref() {
                // Its `source` would be the inner error's source, and skip the inner error.
                cause = Some(inner);
                continue;
            }
        }
        if let Some(own) = error.downcast_ref::<Error>() {
            return match own {
                Error::HttpRequestBodySize(size) => Error::HttpRequestBodySize(*size),
                other => Error::InternalError(Some(format!("the request body failed: {other}"))),
            };
        }
        if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
            if hyper.is_timeout() {
                verdict = Error::HttpResponseTimeout;
            } else if hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled() {
                verdict = Error::ConnectionTerminated;
            }
        }
        cause = error.source();
    }
    verdict
}

fn classify_connect(error: &ConnectError) -> Error {
    match error {
        ConnectError::Prohibited { .. } => {
            tracing::warn!("refused a connection of the component: {error}");
            Error::DestinationIpProhibited
        }
        ConnectError::NoAddress { .. } => Error::DestinationNotFound,
        ConnectError::Dns { source, .. } => Error::DnsError {
            rcode: Some(source.to_string()),
            info_code: None,
        },
        ConnectError::Refused { source, .. } => match source.kind() {
            io::ErrorKind::TimedOut => Error::ConnectionTimeout,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Error::DestinationIpUnroutable
            }
            io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
            _ => Error::DestinationUnavailable,
        },
    }
}

fn classify_tls(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            tracing::warn!("the server's certificate is not trusted: {error}");
            Error::TlsCertificateError
        }
        rustls::Error::AlertReceived(alert) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        _ => Error::TlsProtocolError,
    }
}

fn classify_io(kind: io::ErrorKind) -> Option<Error> {
    match kind {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::NotConnected => Some(Error::ConnectionTerminated),
        io::ErrorKind::TimedOut => Some(Error::ConnectionReadTimeout),
        _ => None,
    }
}

/// Prints an error with everything that caused it.
struct Chain<'a>(&'a (dyn StdError + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
