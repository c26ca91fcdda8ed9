//! Bindings of the contract, generated from `wit/sink.wit`.
#![allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unimplemented,
    clippy::todo,
    clippy::allow_attributes_without_reason,
    reason = "generated code lowers and lifts values over raw memory"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "blocking-sink-component",
    pub_export_macro: true,
    export_macro_name: "export_sink",
    default_bindings_module: "longshore_sdk::bindings",
});
