//! What one instance may use at most.

use crate::contract::Credit;
use crate::error::MemoryLimitExceeded;
use std::time::Duration;
use wasmtime::ResourceLimiter;

/// Upper bounds for one instance. [`Limits::default`] suits a trusted sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of the instance, in bytes. Default 1 GiB.
    pub memory_bytes: u64,
    /// Data the component may hand to the host in one call, in bytes; longer values trap.
    /// Default 20 MiB, above the 16 MiB of one batch.
    pub transfer_bytes: usize,
    /// Host objects (requests, streams, timers, credentials) alive at once. Default 10 000.
    pub handles: usize,
    /// Elements of all tables of function references. Default 100 000.
    pub table_elements: usize,
    /// Size of the fields of one HTTP header block, in bytes. Default 128 KiB.
    pub http_field_bytes: usize,
    /// Wall-clock time of one call. The call is stopped and the instance is poisoned.
    /// Default 10 minutes.
    ///
    /// A component that computes without ever waiting can only be stopped by an engine with
    /// [`EngineConfig::interruptible`](crate::EngineConfig::interruptible).
    pub call_timeout: Duration,
    /// Payload of one committable, in bytes. Default 4 MiB.
    pub committable_bytes: usize,
    /// Payload of a writer's state, in bytes. Default 16 MiB.
    pub state_bytes: usize,
    /// Credit passed on to the caller at most; a component that claims more room is taken at this.
    /// Default 1 GiB and 100 million rows.
    pub max_credit: Credit,
    /// Metrics in one answer. Default 2 000.
    pub metrics: usize,
    /// Log events.
    pub log: LogLimits,
}

/// Upper bounds for what a component logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Events that may come at once. Default 200.
    pub burst: u32,
    /// Events per second in the long run; more are counted and dropped. Default 100.
    pub per_second: u32,
    /// Length of a message or of a field's value, in bytes; the rest is cut off, visibly. Default 4 KiB.
    pub text_bytes: usize,
    /// Fields of one event. Default 32.
    pub fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            transfer_bytes: 20 << 20,
            handles: 10_000,
            table_elements: 100_000,
            http_field_bytes: 128 << 10,
            call_timeout: Duration::from_secs(600),
            committable_bytes: 4 << 20,
            state_bytes: 16 << 20,
            max_credit: Credit {
                bytes: 1 << 30,
                rows: 100_000_000,
            },
            metrics: 2_000,
            log: LogLimits::default(),
        }
    }
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            burst: 200,
            per_second: 100,
            text_bytes: 4 << 10,
            fields: 32,
        }
    }
}

/// Enforces the memory and table bounds inside one store.
pub(crate) struct StoreLimiter {
    memory_limit: u64,
    memory_used: u64,
    last_growth: u64,
    memory_peak: u64,
    table_limit: usize,
}

impl StoreLimiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: limits.memory_bytes,
            memory_used: 0,
            last_growth: 0,
            memory_peak: 0,
            table_limit: limits.table_elements,
        }
    }

    /// Most linear memory the store had, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.memory_peak
    }
}

impl ResourceLimiter for StoreLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // A component can hold several memories; the limit is for their sum.
        let growth = desired.saturating_sub(current) as u64;
        let requested = self.memory_used.saturating_add(growth);
        if requested > self.memory_limit {
            return Err(MemoryLimitExceeded {
                requested,
                limit: self.memory_limit,
            }
            .into());
        }
        self.memory_used = requested;
        self.last_growth = growth;
        self.memory_peak = self.memory_peak.max(requested);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_used = self.memory_used.saturating_sub(self.last_growth);
        self.last_growth = 0;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= self.table_limit)
    }

    fn instances(&self) -> usize {
        100
    }

    fn tables(&self) -> usize {
        100
    }

    fn memories(&self) -> usize {
        16
    }
}
