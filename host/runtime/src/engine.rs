//! The WebAssembly engine: configured once, shared by all components and instances.

use crate::cache::Cache;
use crate::component::Component;
use crate::connector::Tls;
use crate::error::{EngineError, LoadError};
use crate::host::{self, State};
use crate::imports;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::Linker;

/// How often a computing guest of an interruptible engine looks whether it should stop.
const EPOCH: Duration = Duration::from_millis(10);

/// How an [`Engine`] works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Where compiled components are kept; `None` compiles at every start. The directory is created
    /// with access for this user alone, and refused if others can write it.
    pub cache_dir: Option<PathBuf>,
    /// Lets [`Limits::call_timeout`](crate::Limits::call_timeout) stop a component that computes
    /// without ever waiting, and lets other tasks run meanwhile. Costs about 9 % of a component's
    /// speed; turn it on for components you do not trust. Default off.
    pub interruptible: bool,
    /// Reserves address space for this many instances beforehand, which makes instantiation about
    /// twice as fast and is a hard bound on instances alive at once. Default `None`: instances are
    /// created as they come.
    pub pooled_instances: Option<u32>,
    /// Longest component that is loaded, in bytes. Default 64 MiB.
    pub max_component_bytes: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            interruptible: false,
            pooled_instances: None,
            max_component_bytes: 64 << 20,
        }
    }
}

/// Compiles components and runs their instances. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) tls: Tls,
    pub(crate) interruptible: bool,
    linker: Linker<State>,
    cache: Option<Cache>,
    max_component_bytes: usize,
}

impl Engine {
    /// Sets an engine up. Each linear memory reserves 4 GiB of address space (not of memory), which
    /// makes bounds checks free; under a limit on address space creating instances fails.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let wasmtime = wasmtime::Engine::new(&wasmtime_config(&config)).map_err(wasmtime_error)?;
        let mut linker = Linker::new(&wasmtime);
        host::add_to_linker(&mut linker).map_err(wasmtime_error)?;
        let cache = config
            .cache_dir
            .map(|directory| Cache::open(directory, &wasmtime))
            .transpose()?;
        if config.interruptible {
            start_ticker(&wasmtime)?;
        }
        Ok(Self {
            inner: Arc::new(Inner {
                wasmtime,
                tls: Tls::default(),
                interruptible: config.interruptible,
                linker,
                cache,
                max_component_bytes: config.max_component_bytes,
            }),
        })
    }

    /// Checks a component's imports and exports and compiles it, or takes it from the cache.
    ///
    /// Compiling keeps all processors busy for about a second per 2 MiB; in an async program call
    /// this through `spawn_blocking`. From a warm cache it takes milliseconds.
    pub fn load(&self, bytes: &[u8]) -> Result<Component, LoadError> {
        self.check_size(bytes)?;
        imports::check(bytes)?;
        self.cached_or_compiled(blake3::hash(bytes), bytes)
    }

    /// Loads a component that the program itself carries, whose BLAKE3 digest was computed when the
    /// program was built. From a warm cache none of its bytes is read.
    ///
    /// The digest is believed: with another component's digest that component runs in its place.
    pub fn load_built_in(
        &self,
        bytes: &'static [u8],
        digest: [u8; 32],
    ) -> Result<Component, LoadError> {
        self.check_size(bytes)?;
        self.cached_or_compiled(digest.into(), bytes)
    }

    fn check_size(&self, bytes: &[u8]) -> Result<(), LoadError> {
        let limit = self.inner.max_component_bytes;
        if bytes.len() > limit {
            return Err(LoadError::TooLarge {
                bytes: bytes.len(),
                limit,
            });
        }
        Ok(())
    }

    fn cached_or_compiled(
        &self,
        digest: blake3::Hash,
        bytes: &[u8],
    ) -> Result<Component, LoadError> {
        let inner = &self.inner;
        let compile = || {
            wasmtime::component::Component::from_binary(&inner.wasmtime, bytes).map_err(|error| {
                LoadError::Compile {
                    reason: format!("{error:#}"),
                }
            })
        };
        let compiled = match &inner.cache {
            Some(cache) => cache.load(&inner.wasmtime, digest, compile)?,
            None => compile()?,
        };
        let imports = compiled
            .component_type()
            .imports(&inner.wasmtime)
            .map(|(name, _)| name.to_owned())
            .collect();
        let pre = inner
            .linker
            .instantiate_pre(&compiled)
            .and_then(crate::bindings::BlockingSinkComponentPre::new)
            .map_err(|error| LoadError::Contract {
                reason: format!("{error:#}"),
            })?;
        Ok(Component::new(Arc::clone(inner), pre, imports))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("interruptible", &self.inner.interruptible)
            .field("cached", &self.inner.cache.is_some())
            .finish_non_exhaustive()
    }
}

fn wasmtime_config(config: &EngineConfig) -> wasmtime::Config {
    let mut wasmtime = wasmtime::Config::new();
    wasmtime
        .wasm_component_model(true)
        // The contract is WASI 0.2: without the bookkeeping of 0.3 an empty call is four times faster.
        .concurrency_support(false)
        .epoch_interruption(config.interruptible)
        // Nothing of the contract needs these, and fewer features mean fewer surprises.
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .memory_reservation(4 << 30);
    if let Some(instances) = config.pooled_instances {
        let mut pool = wasmtime::PoolingAllocationConfig::new();
        pool.total_component_instances(instances)
            // A component brings its main module and the encoder's shim modules.
            .total_core_instances(instances.saturating_mul(8))
            .total_memories(instances)
            .total_tables(instances.saturating_mul(4))
            .total_stacks(instances)
            .table_elements(100_000)
            .max_unused_warm_slots(0);
        wasmtime.allocation_strategy(pool);
    }
    wasmtime
}

/// Advances the epoch until the engine is gone.
fn start_ticker(engine: &wasmtime::Engine) -> Result<(), EngineError> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("longshore-epoch".into())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(EPOCH);
            }
        })
        .map(drop)
        .map_err(|error| EngineError::Wasmtime(format!("cannot start the epoch thread: {error}")))
}

fn wasmtime_error(error: wasmtime::Error) -> EngineError {
    EngineError::Wasmtime(format!("{error:#}"))
}
