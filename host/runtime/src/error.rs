//! Errors of the runtime: loading a component ([`LoadError`]) and calling it ([`CallError`]).

use crate::contract::SinkError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The engine could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The compile cache directory can not be used.
    #[error("cannot use {} as the cache of compiled components: {reason}", path.display())]
    CacheDirectory {
        /// The directory.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// Wasmtime refused the configuration, for example because address space is limited.
    #[error("cannot set up the WebAssembly engine: {0}")]
    Wasmtime(String),
}

/// A component could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes are not a WebAssembly component.
    #[error("this is not a WebAssembly component: {reason}")]
    NotAComponent {
        /// What it is instead.
        reason: String,
    },
    /// The component is longer than [`EngineConfig::max_component_bytes`](crate::EngineConfig::max_component_bytes).
    #[error("the component has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The component imports something a sink may not have.
    #[error(
        "the component imports {}, which the sink contract does not grant; \
         granted are signer, checkpoint, log and dead-letter of longshore:sink and the clocks, random, http and io of WASI 0.2",
        names.join(", ")
    )]
    ForbiddenImports {
        /// Every import that is not granted, in the component's order.
        names: Vec<String>,
    },
    /// The component lacks an export of the contract.
    #[error(
        "the component does not export {name}; it is no sink component, or was built for another version of the contract"
    )]
    MissingExport {
        /// The interface.
        name: &'static str,
    },
    /// An import or export has the right name but another type than the contract's.
    #[error("the component does not fit the contract longshore:sink@0.1.0: {reason}")]
    Contract {
        /// What differs.
        reason: String,
    },
    /// The component is not valid or could not be compiled.
    #[error("cannot compile the component: {reason}")]
    Compile {
        /// The compiler's message.
        reason: String,
    },
}

/// A function of the contract, for messages and error values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// Creation of the instance.
    Instantiate,
    /// `describe.info`
    Info,
    /// `describe.validate`
    Validate,
    /// `writer.open`
    OpenWriter,
    /// `writer.declare-table`
    DeclareTable,
    /// `writer.change-schema`
    ChangeSchema,
    /// `writer.write`
    Write,
    /// `writer.drive`
    Drive,
    /// `writer.flush`
    Flush,
    /// `writer.prepare`
    Prepare,
    /// `writer.prepare-table`
    PrepareTable,
    /// `writer.snapshot`
    Snapshot,
    /// `writer.metrics`
    Metrics,
    /// `writer.close`
    Close,
    /// `committer.open`
    OpenCommitter,
    /// `committer.commit`
    Commit,
    /// `committer.abort`
    Abort,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instantiate => "instantiate",
            Self::Info => "describe.info",
            Self::Validate => "describe.validate",
            Self::OpenWriter => "writer.open",
            Self::DeclareTable => "writer.declare-table",
            Self::ChangeSchema => "writer.change-schema",
            Self::Write => "writer.write",
            Self::Drive => "writer.drive",
            Self::Flush => "writer.flush",
            Self::Prepare => "writer.prepare",
            Self::PrepareTable => "writer.prepare-table",
            Self::Snapshot => "writer.snapshot",
            Self::Metrics => "writer.metrics",
            Self::Close => "writer.close",
            Self::OpenCommitter => "committer.open",
            Self::Commit => "committer.commit",
            Self::Abort => "committer.abort",
        })
    }
}

/// A call of a component failed.
///
/// After [`CallError::Sink`], [`CallError::InvalidInput`] and [`CallError::WrongState`] the instance
/// is as it was; after every other error it is poisoned and only good for dropping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The component answered with an error of the contract.
    #[error("{0}")]
    Sink(Box<SinkError>),
    /// The component trapped: it panicked, ran out of stack, or broke a rule of the component model.
    #[error("the component trapped in {call}: {reason}")]
    Trap {
        /// The call.
        call: Call,
        /// Wasmtime's message.
        reason: String,
    },
    /// The call took longer than [`Limits::call_timeout`](crate::Limits::call_timeout).
    #[error("{call} did not return within {limit:?} and was stopped")]
    Timeout {
        /// The call.
        call: Call,
        /// The limit.
        limit: Duration,
    },
    /// The component wanted more linear memory than [`Limits::memory_bytes`](crate::Limits::memory_bytes).
    #[error(
        "the component asked for {requested} bytes of memory in {call}, the limit is {limit}; raise the limit or lower the sink's buffer options"
    )]
    MemoryLimit {
        /// The call.
        call: Call,
        /// Bytes of memory the instance would have had.
        requested: u64,
        /// The limit.
        limit: u64,
    },
    /// The component answered with something no sink may answer.
    #[error("the component broke the contract in {call}: {reason}")]
    InvalidOutput {
        /// The call.
        call: Call,
        /// What was wrong.
        reason: String,
    },
    /// The host passed something the contract does not allow; the component was not called.
    #[error("{call} was refused before it reached the component: {reason}")]
    InvalidInput {
        /// The call.
        call: Call,
        /// What is wrong.
        reason: String,
    },
    /// The writer or committer that the call needs is not open, or is open already.
    #[error("{call} is not possible now: {reason}")]
    WrongState {
        /// The call.
        call: Call,
        /// Why.
        reason: &'static str,
    },
    /// An earlier call ended in a way that left the instance in an unknown state.
    #[error(
        "{call} is not possible: the instance failed before ({cause}); restore from the last checkpoint in a fresh instance"
    )]
    Poisoned {
        /// The call.
        call: Call,
        /// The earlier error.
        cause: String,
    },
}

impl CallError {
    /// The component's own error, if the call reached it and it answered with one.
    pub fn sink_error(&self) -> Option<&SinkError> {
        match self {
            Self::Sink(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the instance is unusable after this error.
    pub fn is_fatal(&self) -> bool {
        !matches!(
            self,
            Self::Sink(_) | Self::InvalidInput { .. } | Self::WrongState { .. }
        )
    }
}

/// Raised inside wasmtime when linear memory would outgrow its limit.
#[derive(Debug, thiserror::Error)]
#[error("memory limit of {limit} bytes exceeded by a request for {requested}")]
pub(crate) struct MemoryLimitExceeded {
    pub(crate) requested: u64,
    pub(crate) limit: u64,
}
