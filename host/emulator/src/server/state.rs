//! What every handler of a running server shares.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::{ApiError, Credential, Traffic};
use crate::faults::{Faults, Rule};
use crate::sql::{InstanceResult, Instances};
use crate::storage::Store;

/// Shared state of a server; cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    project: String,
    addr: SocketAddr,
    options: ServerOptions,
    credentials: RwLock<Arc<Vec<Credential>>>,
    instances: Instances,
    traffic: Traffic,
    faults: Faults,
}

/// Settings beyond [`ServerConfig`](super::ServerConfig), all with defaults.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Further credentials, for tests of missing permission.
    pub credentials: Vec<Credential>,
    /// Bearer tokens with every right.
    pub bearer_tokens: Vec<String>,
    /// Value of the project property `odps.schema.model.enabled`.
    pub schema_model: bool,
    /// Lifetime of upload, stream and download sessions.
    pub session_lifetime: Duration,
    /// Lifetime of upsert sessions that ask for none.
    pub upsert_lifetime: Duration,
    /// Largest STRING or BINARY value in bytes (`MaxFieldSize`).
    pub max_field_size: u64,
    /// Largest difference between a request's date and this machine's clock.
    pub clock_skew: Duration,
    /// Faults to have from the start.
    pub faults: Vec<Rule>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            credentials: Vec::new(),
            bearer_tokens: Vec::new(),
            schema_model: false,
            session_lifetime: DAY,
            upsert_lifetime: DAY,
            max_field_size: 8 * 1024 * 1024,
            clock_skew: Duration::from_secs(15 * 60),
            faults: Vec::new(),
        }
    }
}

impl AppState {
    pub(crate) fn new(
        store: Store,
        project: String,
        addr: SocketAddr,
        options: ServerOptions,
    ) -> Self {
        let instances = Instances::new(store.clone(), project.clone());
        Self {
            inner: Arc::new(Inner {
                store,
                project,
                addr,
                credentials: RwLock::new(Arc::new(options.credentials.clone())),
                faults: Faults::new(options.faults.clone()),
                options,
                instances,
                traffic: Traffic::default(),
            }),
        }
    }

    /// Catalog and files.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Name of the default project.
    pub fn project(&self) -> &str {
        &self.inner.project
    }

    /// Address the server listens on.
    pub fn addr(&self) -> SocketAddr {
        self.inner.addr
    }

    /// Settings.
    pub fn options(&self) -> &ServerOptions {
        &self.inner.options
    }

    /// Credentials beside the main one, as they are now.
    pub fn credentials(&self) -> Arc<Vec<Credential>> {
        let credentials = self.inner.credentials.read();
        Arc::clone(&credentials.unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other credentials in place of those beside the main one: keys come, keys end.
    pub fn replace_credentials(&self, credentials: Vec<Credential>) {
        let mut current = self
            .inner
            .credentials
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(credentials);
    }

    /// SQL jobs.
    pub fn instances(&self) -> &Instances {
        &self.inner.instances
    }

    /// What clients sent to the tunnel.
    pub fn traffic(&self) -> &Traffic {
        &self.inner.traffic
    }

    /// Faults on demand.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// Rows of a finished query, for the instance tunnel. Errors: 404 `NoSuchInstance`,
    /// 400 `InstanceNotTerminate`, 400 `TaskFailed`.
    pub fn instance_result(
        &self,
        project: &str,
        instance: &str,
    ) -> Result<Arc<InstanceResult>, ApiError> {
        self.inner.instances.result(project, instance)
    }
}
