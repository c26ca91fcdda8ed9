//! What a Longshore sink component is made of.
//!
//! * [`export_sink!`] and [`bindings`]: the contract of `wit/sink.wit`, world `blocking-sink-component`.
//! * [`http`]: a `wasi:http` client that keeps many requests in flight inside one call.
//! * [`clock`]: monotonic and wall-clock time.
//! * [`logger`]: events for the host's log, and a panic hook that writes there.
//!
//! A component is a `cdylib` built for `wasm32-wasip1` and encoded with `preview1-stub.wat` of this
//! crate in place of WASI's usual adapter, so that it imports what its world lists and nothing else:
//!
//! ```text
//! cargo build --target wasm32-wasip1 --profile component -p my-sink
//! cargo xtask encode target/wasm32-wasip1/component/my_sink.wasm --output my-sink.wasm
//! ```
//!
//! The smallest sink implements two traits and names its type:
//!
//! ```ignore
//! use longshore_sdk::describe::Guest as Describe;
//! use longshore_sdk::blocking_sink::Guest as BlockingSink;
//!
//! struct MySink;
//! impl Describe for MySink { /* info, validate */ }
//! impl BlockingSink for MySink { type Writer = MyWriter; type Committer = MyCommitter; }
//!
//! #[cfg(target_arch = "wasm32")]
//! longshore_sdk::export_sink!(MySink);
//! ```

pub mod bindings;
pub mod clock;
pub mod http;
pub mod logger;

/// Exports a type that implements [`describe::Guest`] and [`blocking_sink::Guest`] as the component.
///
/// Native linkers do not take the exported names, so guard it with `#[cfg(target_arch = "wasm32")]`.
#[doc(inline)]
pub use bindings::export_sink;

/// The exported interface `describe`: implement its `Guest`.
pub use bindings::exports::longshore::sink::describe;

/// The exported interface `blocking-sink`: implement its `Guest`, `GuestWriter` and `GuestCommitter`.
pub use bindings::exports::longshore::sink::blocking_sink;

/// Imported from the host: plain data, the signer, checkpoint requests and a home for refused rows.
pub use bindings::longshore::sink::{checkpoint, dead_letter, signer, types};
