//! Shows what a run measures over HTTP, for Prometheus.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use longshore_pipeline::metrics::CONTENT_TYPE;
use longshore_pipeline::report::LiveCounters;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::progress;
use crate::failure::{Exit, Failure};

/// Path of the values.
const PATH: &str = "/metrics";
/// How long a client may take to send the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// A listener that ends with this value.
pub(super) struct MetricsServer(JoinHandle<()>);

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens at an address and tells it.
pub(super) async fn serve(
    address: SocketAddr,
    live: Arc<LiveCounters>,
) -> Result<MetricsServer, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Exit::Usage,
            format!("metrics can not be shown at {address}"),
        )
        .because(error.to_string())
        .help("choose another address with --metrics; port 0 picks a free one")
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    progress::say(&format!("metrics at http://{address}{PATH}"));
    live.metrics.watch();
    Ok(MetricsServer(tokio::spawn(accept(listener, live))))
}

async fn accept(listener: TcpListener, live: Arc<LiveCounters>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // A client that went away, or no file handles left: neither is for the run to end.
                tracing::debug!("a scrape was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let live = Arc::clone(&live);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let live = Arc::clone(&live);
                async move { Ok::<_, Infallible>(answer(&request, &live)) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!("a scrape ended early: {error}");
            }
        });
    }
}

fn answer(request: &Request<Incoming>, live: &LiveCounters) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, PATH) => (StatusCode::OK, CONTENT_TYPE, live.metrics.text()),
        (_, PATH) => (
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "only GET\n".to_owned(),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            "text/plain",
            format!("the values are at {PATH}\n"),
        ),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
