//! Sends spans to a collector of OpenTelemetry by OTLP over HTTP.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

use crate::failure::{Exit, Failure};

/// Variables that ask for traces, as OpenTelemetry names them.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
/// How long the last spans may take at the end.
const AT_THE_END: Duration = Duration::from_secs(5);
/// Longest answer of a collector that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Spans on their way to a collector.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts sending to `url`, or to where the environment says; nothing where neither does.
    pub(crate) fn start(url: Option<&str>, handle: &Handle) -> Result<Option<Self>, Failure> {
        let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
        let disabled = std::env::var("OTEL_SDK_DISABLED")
            .is_ok_and(|value| value.trim().eq_ignore_ascii_case("true"));
        if url.is_none() && (disabled || !ENDPOINTS.into_iter().any(set)) {
            return Ok(None);
        }
        let failed = |why: String| {
            Failure::new(Exit::Usage, "traces can not be sent")
                .because(why)
                .help("give a URL like http://127.0.0.1:4318 to --otlp or OTEL_EXPORTER_OTLP_ENDPOINT")
        };
        let client = Collector::new(handle.clone()).map_err(|error| failed(error.to_string()))?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(client);
        if let Some(url) = url {
            if !url.starts_with("http://") && !url.starts_with("https://") {
                return Err(failed(format!("`{url}` is no URL of HTTP")));
            }
            exporter = exporter.with_endpoint(format!("{}/v1/traces", url.trim_end_matches('/')));
        }
        let exporter = exporter
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let mut resource = Resource::builder();
        if !set("OTEL_SERVICE_NAME") && !set("OTEL_RESOURCE_ATTRIBUTES") {
            resource = resource.with_service_name("longshore");
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        Ok(Some(Self { provider }))
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("longshore")
    }

    /// Sends what is left. Must not be called from within the runtime.
    pub(crate) fn finish(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(AT_THE_END) {
            tracing::warn!("not all traces were sent: {error}");
        }
    }
}

/// The way to the collector: requests of the exporter's own thread, sent on the program's runtime.
struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    handle: Handle,
    complained: AtomicBool,
}

impl Collector {
    fn new(handle: Handle) -> std::io::Result<Self> {
        let provider = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            handle,
            complained: AtomicBool::new(false),
        })
    }

    /// Tells the first failure; a collector that is away for long must not fill the screen.
    fn complain(&self, why: &str) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            tracing::warn!("traces do not reach their collector: {why}; the run goes on");
        }
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let exchange = self.handle.spawn(async move {
            let answer = client.request(request.map(Full::new)).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        });
        let answer = match exchange.await {
            Ok(answer) => answer,
            Err(error) => Err(error.into()),
        };
        match &answer {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => self.complain(&format!("it answers with HTTP {}", answer.status())),
            Err(error) => self.complain(&error.to_string()),
        }
        answer
    }
}
