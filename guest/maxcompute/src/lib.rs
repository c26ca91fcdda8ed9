//! The MaxCompute sink as a WASI component: `longshore_core` behind the contract of `wit/sink.wit`.
//!
//! The core is a state machine without I/O. This crate moves it: [`driver`] sends what the core wants
//! sent and brings back the answers, [`writer`] and [`committer`] are the resources of the
//! `blocking-sink` interface, [`convert`] maps the contract's types to the core's and back.

pub mod committer;
pub mod convert;
pub mod driver;
pub mod writer;

use longshore_sdk::blocking_sink;
use longshore_sdk::describe;
use longshore_sdk::types::{SinkError, SinkInfo};

/// Where log events of this component come from.
pub(crate) const LOG_TARGET: &str = "maxcompute";

/// The component.
#[derive(Debug)]
pub struct MaxCompute;

impl describe::Guest for MaxCompute {
    fn info() -> SinkInfo {
        convert::sink_info(longshore_core::sink::info())
    }

    fn validate(options: Vec<(String, String)>) -> Result<(), Vec<SinkError>> {
        longshore_core::sink::validate(&options)
            .map_err(|errors| errors.into_iter().map(convert::sink_error).collect())
    }
}

impl blocking_sink::Guest for MaxCompute {
    type Writer = writer::Writer;
    type Committer = committer::Committer;
}

// The exported names are not legal symbols for a native linker.
#[cfg(target_arch = "wasm32")]
longshore_sdk::export_sink!(MaxCompute);
