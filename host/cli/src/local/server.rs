//! The local server, by itself or inside `longshore run`.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use longshore_emulator::{Auth, Mode, Server, ServerConfig, ServerOptions, StartError};
use tokio::signal::unix::{SignalKind, signal};

use super::DEFAULT_PROJECT;
use super::faults::FaultFile;
use crate::args::ServeArgs;
use crate::failure::{Exit, Failure};

const ACCESS_ID: &str = "local";

/// The server inside `longshore run`, for this run's eyes only.
pub(crate) struct Embedded {
    server: Server,
}

impl Embedded {
    /// Starts a server on a free port of the loopback address, with keys made up for this run.
    pub(crate) async fn start(data: &Path, project: Option<&str>) -> Result<Self, Failure> {
        Self::start_with(data, project, ServerOptions::default()).await
    }

    /// Starts a server whose projects have schemas or not.
    pub(crate) async fn start_with(
        data: &Path,
        project: Option<&str>,
        options: ServerOptions,
    ) -> Result<Self, Failure> {
        let config = ServerConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data_dir: data.to_owned(),
            project: project.unwrap_or(DEFAULT_PROJECT).to_owned(),
            credentials: Auth::Required {
                access_id: ACCESS_ID.into(),
                access_key: new_key(),
            },
            mode: Mode::Store,
        };
        Ok(Self {
            server: Server::start_with(config, options)
                .await
                .map_err(not_started)?,
        })
    }

    /// `ODPS_*` variables.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        self.server.environment()
    }

    /// Every SQL statement that was sent to any of its projects, oldest first.
    pub(crate) async fn statements(&self) -> Vec<String> {
        let state = self.server.state();
        let mut jobs = Vec::new();
        for (project, _) in state.store().database().projects().unwrap_or_default() {
            jobs.extend(state.instances().list(&project).await.unwrap_or_default());
        }
        jobs.sort_by(|a, b| (a.start_ms, &a.id).cmp(&(b.start_ms, &b.id)));
        jobs.into_iter().map(|job| job.job.query).collect()
    }

    pub(crate) async fn shutdown(self) {
        self.server.shutdown().await;
    }
}

/// Serves until a signal. When ready, standard output has exactly the lines a shell can source.
pub(super) async fn serve(args: ServeArgs) -> Result<Exit, Failure> {
    let failure = |error: std::io::Error| Failure::new(Exit::Internal, error.to_string());
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failure)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failure)?;
    let credentials = if args.no_auth {
        Auth::Disabled
    } else {
        Auth::Required {
            access_id: args.access_id.unwrap_or_else(|| ACCESS_ID.into()),
            access_key: args.access_key.unwrap_or_else(new_key),
        }
    };
    let config = ServerConfig {
        listen: args.listen,
        data_dir: args.data.clone(),
        project: args.project,
        credentials,
        mode: if args.discard {
            Mode::Discard
        } else {
            Mode::Store
        },
    };
    let mut options = ServerOptions::default();
    if let Some(file) = &args.faults {
        options.faults = FaultFile::read(file)?.rules;
    }
    let server = Server::start_with(config, options)
        .await
        .map_err(not_started)?;
    let mut lines = String::new();
    for (name, value) in server.environment() {
        lines.push_str(&format!("{name}={}\n", quoted(&value)));
    }
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(lines.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(failure)?;
    drop(stdout);
    eprintln!(
        "local MaxCompute at {}, data in {}; Ctrl-C stops it",
        server.endpoint(),
        args.data.display()
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    server.shutdown().await;
    Ok(Exit::Ok)
}

fn new_key() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A value as a shell reads it.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/@%+=,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', "'\\''"))
    }
}

fn not_started(error: StartError) -> Failure {
    let help = match &error {
        StartError::Listen { .. } => "choose another --listen; port 0 picks a free one",
        StartError::InUse { .. } => {
            "stop that server, choose another data directory, or write to that server: `endpoint: http://…/api`"
        }
        StartError::Data { .. } => "check that the directory is writable, or choose another one",
    };
    Failure::new(Exit::Connection, error.to_string()).help(help)
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn values_survive_a_shell() {
        assert_eq!(quoted("http://127.0.0.1:80/api"), "http://127.0.0.1:80/api");
        assert_eq!(quoted("a b'c"), "'a b'\\''c'");
        assert_eq!(quoted(""), "''");
    }
}
