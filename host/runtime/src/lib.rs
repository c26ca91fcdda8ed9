//! Loads sink components and runs them: an embeddable host for the contract `longshore:sink@0.1.0`.
//!
//! A *sink component* is a WebAssembly component that takes batches of changes and makes them durable
//! at some service. This crate gives it what the contract promises — HTTP to allowed destinations,
//! clocks, randomness, signatures, logging, checkpoint and dead-letter callbacks — and nothing else,
//! and bounds what it uses. It knows nothing of any particular service.
//!
//! ```no_run
//! use longshore_runtime::contract::Batch;
//! use longshore_runtime::{
//!     Credential, Credentials, EgressPolicy, Engine, EngineConfig, InstanceConfig,
//! };
//! use std::sync::Arc;
//!
//! # async fn example(schema: longshore_runtime::contract::TableDecl, ipc: Vec<u8>)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(EngineConfig {
//!     cache_dir: Some("/var/cache/longshore".into()),
//!     ..EngineConfig::default()
//! })?;
//! let bytes = std::fs::read("sink.wasm")?;
//! let component = engine.load(&bytes)?;
//! println!("{} {}", component.describe().await?.name, component.imports().join(" "));
//!
//! let mut sink = component
//!     .instantiate(InstanceConfig {
//!         egress: EgressPolicy::allowing(["https://*.service.example.com"])?,
//!         signer: Arc::new(Credentials::new().with(
//!             "default",
//!             Credential::new("my-access-id", std::env::var("ACCESS_KEY")?),
//!         )),
//!         ..InstanceConfig::default()
//!     })
//!     .await?;
//! let options = [("project".to_owned(), "p1".to_owned())];
//! sink.open_writer(&options, 0, 1, None).await?;
//! let table = sink.declare_table(&schema).await?;
//! sink.write(&Batch { table, schema_version: 0, sequence: 1, rows: 100, ipc }).await?;
//! let committables = sink.prepare(1).await?;
//! // Store the committables with the source's position here, then make the rows visible:
//! sink.open_committer(&options).await?;
//! let outcomes = sink.commit(&committables).await?;
//! # drop(outcomes);
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! - **Imports.** [`Engine::load`] compares the names of a component's imports with the contract before
//!   it compiles anything, and names every import that is not granted.
//! - **Network.** Requests go only where the instance's [`EgressPolicy`] allows, resolved addresses are
//!   checked again, redirects are not followed. A refused request is the error `HTTP-request-denied`
//!   for the component. An error answer that arrives while the body is still being sent reaches it as
//!   that answer.
//! - **Keys** stay in the host: a component gets signatures from a [`Signer`], and a [`SigningPolicy`]
//!   sees what is signed.
//! - **Limits.** [`Limits`] bound memory, transferred data, handles, log events and the time of each
//!   call. Time spent computing without a pause is bounded only by an engine that is
//!   [`interruptible`](EngineConfig::interruptible).
//! - **Failures.** A trap, a timeout or a broken rule poisons the one instance it happened in: see
//!   [`CallError`] and [`SinkInstance`]. Other instances do not notice.
//! - **Output** of components is checked before it is returned: sizes, names, row numbers, and control
//!   characters in texts.
//!
//! Compiled components are cached by digest, wasmtime version and settings, see [`EngineConfig::cache_dir`].

mod bindings;
mod cache;
mod callbacks;
mod component;
mod connector;
pub mod contract;
mod egress;
mod engine;
mod error;
mod host;
mod imports;
mod instance;
mod limits;
mod log;
mod output;
mod sensitive;
mod signer;
mod text;
mod transport;

pub use callbacks::{CheckpointListener, DeadLetterSink, NoCheckpoints, NoDeadLetters};
pub use component::{Component, InstanceConfig};
pub use egress::{AddressRule, EgressDenied, EgressPolicy, EgressRule, EgressRuleError};
pub use engine::{Engine, EngineConfig};
pub use error::{Call, CallError, EngineError, LoadError};
pub use instance::SinkInstance;
pub use limits::{Limits, LogLimits};
pub use sensitive::Sensitive;
pub use signer::{
    Algorithm, Credential, CredentialSource, Credentials, NoCredentials, Signer, SignerError,
    SigningCredential, SigningPolicy, SigningRequest,
};
pub use transport::Traffic;
