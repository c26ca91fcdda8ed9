//! The server: one port for REST, tunnel and administration.

mod body;
mod error;
mod front;
mod state;
mod traffic;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::middleware;
use hyper::service::{Service as _, service_fn};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::auth::Auth;
use crate::catalog::StoreError;
use crate::faults::CutOff;
use crate::storage::{DirectoryLock, Mode, Store};
use crate::tunnel;

pub use crate::auth::{Credential, Permission};
pub use error::ApiError;
pub use front::Caller;
pub use state::{AppState, ServerOptions};
pub use traffic::{Received, Traffic};

/// What a server needs to know.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Directory of catalog and data, created if missing.
    pub data_dir: PathBuf,
    /// Default project, created if missing.
    pub project: String,
    /// Signature check.
    pub credentials: Auth,
    /// Keep rows or only check them.
    pub mode: Mode,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be used.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Another server has the data directory open.
    #[error("data directory {path} is in use by another server (process {holder})")]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Process id written by the holder.
        holder: String,
    },
    /// The data directory cannot be opened.
    #[error("cannot open data directory {path}: {source}")]
    Data {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

/// Longest wait for requests that are being answered when the server stops.
const SHUTDOWN_TIME: Duration = Duration::from_secs(10);

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    state: AppState,
    credentials: Auth,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    /// Keeps the lock on the data directory.
    _lock: DirectoryLock,
}

impl Server {
    /// Starts a server with default options.
    pub async fn start(config: ServerConfig) -> Result<Self, StartError> {
        Self::start_with(config, ServerOptions::default()).await
    }

    /// Starts a server.
    pub async fn start_with(
        config: ServerConfig,
        options: ServerOptions,
    ) -> Result<Self, StartError> {
        let data = |source| match source {
            StoreError::InUse { path, holder } => StartError::InUse { path, holder },
            source => StartError::Data {
                path: config.data_dir.clone(),
                source,
            },
        };
        let lock = DirectoryLock::take(&config.data_dir).map_err(data)?;
        let project = config.project.to_lowercase();
        let (dir, mode, name) = (config.data_dir.clone(), config.mode, project.clone());
        let store = tokio::task::spawn_blocking(move || {
            let store = Store::open(&dir, mode)?;
            store.database().ensure_project(&name)?;
            Ok(store)
        })
        .await
        .unwrap_or_else(|e| Err(StoreError::Invalid(format!("opening died: {e}"))))
        .map_err(data)?;
        let failed = |source| StartError::Listen {
            addr: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let state = AppState::new(store, project, addr, options);
        let front = front::Front::new(state.clone(), config.credentials.clone());
        let app = tunnel::router(state.clone())
            .layer(middleware::from_fn_with_state(front, front::handle));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(state.clone(), listener, app, stopped));
        Ok(Self {
            state,
            credentials: config.credentials,
            stop: Some(stop),
            task,
            _lock: lock,
        })
    }

    /// Address the server listens on.
    pub fn addr(&self) -> SocketAddr {
        self.state.addr()
    }

    /// REST endpoint for clients.
    pub fn endpoint(&self) -> String {
        format!("http://{}/api", self.addr())
    }

    /// Catalog, files and options of the running server.
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// `ODPS_*` variables for clients. Without signature check the keys are placeholders that
    /// clients need to be non-empty.
    pub fn environment(&self) -> Vec<(String, String)> {
        let (id, key) = match &self.credentials {
            Auth::Required {
                access_id,
                access_key,
            } => (access_id.as_str(), access_key.as_str()),
            Auth::Disabled => ("local", "local"),
        };
        [
            ("ODPS_ENDPOINT", self.endpoint().as_str()),
            ("ODPS_PROJECT", self.state.project()),
            ("ODPS_ACCESS_ID", id),
            ("ODPS_ACCESS_KEY", key),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Stops accepting, ends open connections and waits until all is closed.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            // The task may be over already.
            let _ = stop.send(());
        }
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

async fn serve(
    state: AppState,
    mut listener: TcpListener,
    app: axum::Router,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut restarts = state.faults().restarts();
    let mut connections = tokio::task::JoinSet::new();
    let (closing, close) = watch::channel(false);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors: let some connections end first.
                    tracing::warn!("accepting a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = &mut stopped => break,
            Ok(()) = restarts.changed() => {
                let down = *restarts.borrow_and_update();
                drop(listener);
                connections.shutdown().await;
                state.instances().forget_running(state.project()).await;
                tokio::select! {
                    again = listen_again(state.addr(), down) => listener = again,
                    _ = &mut stopped => return,
                }
                continue;
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("TCP_NODELAY: {error}");
        }
        let service = TowerToHyperService::new(app.clone());
        connections.spawn(connection(stream, service, close.clone()));
    }
    drop(listener);
    // Requests that are being answered end first, within reason.
    closing.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_TIME, all).await.is_err() {
        tracing::warn!("open requests are cut off");
        connections.shutdown().await;
    }
}

/// Listens at an address that this server had before, once it has been away for a while.
async fn listen_again(addr: SocketAddr, away: Duration) -> TcpListener {
    tokio::time::sleep(away).await;
    loop {
        match TcpListener::bind(addr).await {
            Ok(listener) => return listener,
            Err(error) => {
                tracing::warn!("listening on {addr} again: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    stream: tokio::net::TcpStream,
    service: TowerToHyperService<axum::Router>,
    mut close: watch::Receiver<bool>,
) {
    let service = service_fn(move |request| {
        let answer = service.call(request);
        async move {
            let Ok(response) = answer.await;
            if response.extensions().get::<CutOff>().is_some() {
                // An error instead of an answer closes the connection.
                return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
            }
            Ok(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(hyper_util::rt::TokioTimer::new())
        .max_headers(200)
        .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = close.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("connection ended: {error}");
    }
}
