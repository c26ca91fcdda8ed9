//! What clients sent to the tunnel, for measurements.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bodies of tunnel requests since the last [`Traffic::take`].
#[derive(Debug, Default)]
pub struct Traffic {
    bytes: AtomicU64,
    /// Microseconds since 1970; 0 = no byte yet.
    first_byte: AtomicU64,
}

/// What [`Traffic::take`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Received {
    /// Bytes of bodies, as they were on the wire.
    pub body_bytes: u64,
    /// When the first of them came, in microseconds since 1970.
    pub first_byte_unix_us: Option<u64>,
}

impl Traffic {
    pub(super) fn received(&self, bytes: usize) {
        if bytes > 0 && self.bytes.fetch_add(bytes as u64, Ordering::Relaxed) == 0 {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
            let micros = since_1970.map_or(0, |time| time.as_micros());
            self.first_byte
                .store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// What came since the last call.
    pub fn take(&self) -> Received {
        let first = self.first_byte.swap(0, Ordering::Relaxed);
        Received {
            body_bytes: self.bytes.swap(0, Ordering::Relaxed),
            first_byte_unix_us: (first > 0).then_some(first),
        }
    }
}
