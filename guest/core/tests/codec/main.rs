//! The codec seen from outside: golden bytes of the official clients, conversions, round trips.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers fail the test that calls them"
)]

mod support;

mod arrow_vectors;
mod compression;
mod conversions;
mod ddl;
mod hash_vectors;
mod partitions;
mod properties;
mod record_vectors;
mod signing_vectors;
mod type_tables;
mod type_texts;
mod upsert;
