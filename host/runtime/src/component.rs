//! A loaded component: describes itself, checks options, makes instances.

use crate::bindings::BlockingSinkComponentPre;
use crate::callbacks::{CheckpointListener, DeadLetterSink, NoCheckpoints, NoDeadLetters};
use crate::contract::{SinkError, SinkInfo};
use crate::egress::EgressPolicy;
use crate::engine::Inner;
use crate::error::{Call, CallError};
use crate::host::State;
use crate::instance::SinkInstance;
use crate::limits::Limits;
use crate::signer::{NoCredentials, Signer};
use std::fmt;
use std::sync::Arc;
use wasmtime::Store;

/// What one instance may use and whom it may call. The default grants nothing beyond memory and
/// time: no destination, no credential, no place for dead letters.
#[derive(Clone)]
pub struct InstanceConfig {
    /// Names the instance in log events, for example `writer 0`.
    pub name: String,
    /// Upper bounds.
    pub limits: Limits,
    /// Where requests may go.
    pub egress: EgressPolicy,
    /// Makes signatures.
    pub signer: Arc<dyn Signer>,
    /// Hears requests for checkpoints.
    pub checkpoint: Arc<dyn CheckpointListener>,
    /// Takes rows the service refused late.
    pub dead_letter: Arc<dyn DeadLetterSink>,
}

impl Default for InstanceConfig {
    fn default() -> Self {
        Self {
            name: "sink".into(),
            limits: Limits::default(),
            egress: EgressPolicy::default(),
            signer: Arc::new(NoCredentials),
            checkpoint: Arc::new(NoCheckpoints),
            dead_letter: Arc::new(NoDeadLetters),
        }
    }
}

impl fmt::Debug for InstanceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceConfig")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .field("egress", &self.egress)
            .finish_non_exhaustive()
    }
}

/// A component that fits the contract, compiled. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    inner: Arc<Loaded>,
}

struct Loaded {
    engine: Arc<Inner>,
    pre: BlockingSinkComponentPre<State>,
    imports: Vec<String>,
}

impl Component {
    pub(crate) fn new(
        engine: Arc<Inner>,
        pre: BlockingSinkComponentPre<State>,
        imports: Vec<String>,
    ) -> Self {
        Self {
            inner: Arc::new(Loaded {
                engine,
                pre,
                imports,
            }),
        }
    }

    /// Interfaces the component imports, with versions, in its own order.
    pub fn imports(&self) -> &[String] {
        &self.inner.imports
    }

    /// What the component says about itself. It runs without network and credentials.
    pub async fn describe(&self) -> Result<SinkInfo, CallError> {
        self.instantiate(InstanceConfig::default())
            .await?
            .info()
            .await
    }

    /// Has the component check options, without contacting anything. The inner error lists every
    /// complaint. Values of secret options must be replaced by the text `<secret>` first.
    pub async fn validate(
        &self,
        options: &[(String, String)],
    ) -> Result<Result<(), Vec<SinkError>>, CallError> {
        self.instantiate(InstanceConfig::default())
            .await?
            .validate(options)
            .await
    }

    /// Makes an instance with its own memory, connections and limits. Must run inside a tokio
    /// runtime with its timers and I/O enabled.
    pub async fn instantiate(&self, config: InstanceConfig) -> Result<SinkInstance, CallError> {
        let trap = |reason: String| CallError::Trap {
            call: Call::Instantiate,
            reason,
        };
        let engine = &self.inner.engine;
        let (state, limits) = State::new(config, &engine.tls)
            .map_err(|error| trap(format!("cannot set up TLS: {error}")))?;
        let mut store = Store::new(&engine.wasmtime, state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(limits.transfer_bytes);
        store.set_max_component_handles(limits.handles);
        if engine.interruptible {
            store.set_epoch_deadline(1);
            store.epoch_deadline_async_yield_and_update(1);
        }
        SinkInstance::start(store, limits, &self.inner.pre).await
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("imports", &self.inner.imports)
            .finish_non_exhaustive()
    }
}
