//! The tunnel as a client sees it: sessions, errors, visibility, durability.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails here says where"
)]

mod downloads;
mod peer;
mod uploads;
mod upserts;
