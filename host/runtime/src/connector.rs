//! Makes the connections of one instance, to permitted addresses only.

use crate::egress::EgressPolicy;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tower_service::Service;

/// TLS settings, read from the system once per engine.
#[derive(Default)]
pub(crate) struct Tls {
    native: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    /// A connector for one instance's policy.
    pub(crate) fn connector(
        &self,
        policy: &Arc<EgressPolicy>,
    ) -> Result<HttpsConnector<Connector>, rustls::Error> {
        let connector = Connector {
            policy: Arc::clone(policy),
        };
        let config = if policy.reaches_https() {
            match self.native.get() {
                Some(config) => Arc::clone(config),
                None => {
                    let config = client_config(true)?;
                    Arc::clone(self.native.get_or_init(|| config))
                }
            }
        } else {
            // Reading the system's certificates takes milliseconds, for nothing here.
            client_config(false)?
        };
        // Its own resumption store: sessions of one instance are of no use to another.
        let mut config = ClientConfig::clone(&config);
        config.resumption = rustls::client::Resumption::in_memory_sessions(32);
        Ok(HttpsConnector::from((connector, config)))
    }
}

fn client_config(with_roots: bool) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
    };
    if with_roots {
        match builder()?.with_native_roots() {
            Ok(builder) => return Ok(Arc::new(builder.with_no_client_auth())),
            Err(error) => tracing::warn!(
                %error,
                "no trusted certificates on this machine: https requests of components will fail; install the system's CA certificates"
            ),
        }
    }
    Ok(Arc::new(
        builder()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth(),
    ))
}

/// Resolves a name, drops the addresses the policy forbids and connects to one of the others.
#[derive(Clone)]
pub(crate) struct Connector {
    policy: Arc<EgressPolicy>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the name {host} can not be resolved: {source}")]
    Dns { host: String, source: io::Error },
    #[error("the name {host} has no address")]
    NoAddress { host: String },
    #[error("{host} leads to {address}, which the egress policy forbids")]
    Prohibited { host: String, address: IpAddr },
    #[error("cannot connect to {host}: {source}")]
    Refused { host: String, source: io::Error },
}

impl Service<Uri> for Connector {
    type Response = Tcp;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Tcp, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let policy = Arc::clone(&self.policy);
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let host = host
                .strip_prefix('[')
                .and_then(|h| h.strip_suffix(']'))
                .unwrap_or(host);
            let default_port = if uri.scheme_str() == Some("https") {
                443
            } else {
                80
            };
            connect(&policy, host, uri.port_u16().unwrap_or(default_port)).await
        })
    }
}

async fn connect(policy: &EgressPolicy, host: &str, port: u16) -> Result<Tcp, ConnectError> {
    let addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|source| ConnectError::Dns {
            host: host.into(),
            source,
        })?;
    let mut last = ConnectError::NoAddress { host: host.into() };
    for address in addresses {
        if !policy.permits_address(address.ip()) {
            last = ConnectError::Prohibited {
                host: host.into(),
                address: address.ip(),
            };
            continue;
        }
        let attempt = tokio::time::timeout(policy.connect_timeout, TcpStream::connect(address));
        let source = match attempt.await {
            Ok(Ok(stream)) => match stream.set_nodelay(true) {
                // Head and body leave in separate writes; with Nagle's algorithm a small request
                // would wait for the peer's delayed acknowledgement.
                Ok(()) => return Ok(Tcp::new(stream)),
                Err(source) => source,
            },
            Ok(Err(source)) => source,
            Err(_) => io::Error::from(io::ErrorKind::TimedOut),
        };
        last = ConnectError::Refused {
            host: host.into(),
            source,
        };
    }
    Err(last)
}

/// A TCP connection on which a failed write does not hide an answer that has already arrived.
///
/// A server that refuses an upload answers early and closes; what we send after that is reset. The
/// HTTP client would report the reset and throw the connection away together with the answer in its
/// receive buffer. So a write that fails because the peer is gone never completes here: the client
/// goes on reading, finds the answer or the end of the connection, and reports that.
pub(crate) struct Tcp {
    inner: TokioIo<TcpStream>,
    peer_is_gone: bool,
}

impl Tcp {
    fn new(stream: TcpStream) -> Self {
        Self {
            inner: TokioIo::new(stream),
            peer_is_gone: false,
        }
    }

    fn defer<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Err(error)) if is_peer_gone(&error) => {
                self.peer_is_gone = true;
                Poll::Pending
            }
            other => other,
        }
    }
}

fn is_peer_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
    )
}

impl Connection for Tcp {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl Write for Tcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.peer_is_gone {
            return Poll::Pending;
        }
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.defer(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.peer_is_gone {
            return Poll::Pending;
        }
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.defer(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.peer_is_gone {
            return Poll::Pending;
        }
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.defer(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.peer_is_gone {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
