//! What the sink counts.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::contract::{Metric, MetricKind};

/// Counters of one table.
#[derive(Debug, Default)]
pub(super) struct TableCounters {
    pub(super) inserted: Cell<u64>,
    pub(super) updated: Cell<u64>,
    pub(super) deleted: Cell<u64>,
    pub(super) ignored: Cell<u64>,
    pub(super) rejected: Cell<u64>,
    pub(super) moved: Cell<u64>,
    /// Rows kept aside.
    pub(super) dead: Cell<u64>,
    /// Values written as NULL because they did not fit.
    pub(super) nulled: Cell<u64>,
}

/// Counters of the whole sink.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) bytes_raw: Cell<u64>,
    pub(super) bytes_compressed: Cell<u64>,
    pub(super) bytes_sent: Cell<u64>,
    pub(super) requests: RefCell<BTreeMap<&'static str, u64>>,
    pub(super) retries: RefCell<BTreeMap<&'static str, u64>>,
    /// Requests that did not succeed, repeated or not.
    pub(super) failures: RefCell<BTreeMap<&'static str, u64>>,
    /// Repeats that waited for their turn, because there were too many.
    pub(super) retries_over_budget: Cell<u64>,
    /// Uploads that may be in flight at once.
    pub(super) upload_window: Cell<u64>,
    pub(super) open_sessions: Cell<u64>,
    /// Bytes not yet sealed into a block or pack.
    pub(super) growing: Cell<u64>,
    /// Bytes sealed and not yet durable at the service.
    pub(super) sealed: Cell<u64>,
    /// Bytes of rows kept until it is known how their table spreads them.
    pub(super) kept: Cell<u64>,
    pub(super) committed: Cell<u64>,
    /// Sessions of a dead run that were ended.
    pub(super) orphans_aborted: Cell<u64>,
}

/// Add to a counter.
pub(super) fn add(counter: &Cell<u64>, n: u64) {
    counter.set(counter.get().saturating_add(n));
}

/// Take from a gauge.
pub(super) fn sub(counter: &Cell<u64>, n: u64) {
    counter.set(counter.get().saturating_sub(n));
}

impl Counters {
    pub(super) fn request(&self, kind: &'static str) {
        *self.requests.borrow_mut().entry(kind).or_default() += 1;
    }

    pub(super) fn retry(&self, class: &'static str) {
        *self.retries.borrow_mut().entry(class).or_default() += 1;
    }

    pub(super) fn failure(&self, class: &'static str) {
        *self.failures.borrow_mut().entry(class).or_default() += 1;
    }

    pub(super) fn buffered(&self) -> u64 {
        self.growing.get() + self.sealed.get() + self.kept.get()
    }

    pub(super) fn read(&self, out: &mut Vec<Metric>) {
        use MetricKind::{Counter, Gauge};
        let mut push = |name: &str, kind, labels: &[(&str, &str)], value: u64| {
            out.push(metric(name, kind, labels, value));
        };
        push("bytes_raw_total", Counter, &[], self.bytes_raw.get());
        push(
            "bytes_compressed_total",
            Counter,
            &[],
            self.bytes_compressed.get(),
        );
        push("bytes_sent_total", Counter, &[], self.bytes_sent.get());
        for (kind, n) in self.requests.borrow().iter() {
            push("requests_total", Counter, &[("kind", kind)], *n);
        }
        for (class, n) in self.retries.borrow().iter() {
            push("retries_total", Counter, &[("class", class)], *n);
        }
        for (class, n) in self.failures.borrow().iter() {
            push("failed_requests_total", Counter, &[("class", class)], *n);
        }
        let over_budget = self.retries_over_budget.get();
        push("retries_over_budget_total", Counter, &[], over_budget);
        push("upload_window", Gauge, &[], self.upload_window.get());
        let orphans = self.orphans_aborted.get();
        push("orphaned_sessions_aborted_total", Counter, &[], orphans);
        push("open_sessions", Gauge, &[], self.open_sessions.get());
        push("buffered_bytes", Gauge, &[], self.buffered());
        push("commits_total", Counter, &[], self.committed.get());
    }
}

impl TableCounters {
    pub(super) fn read(&self, table: &str, out: &mut Vec<Metric>) {
        let rows = [
            ("insert", &self.inserted),
            ("update", &self.updated),
            ("delete", &self.deleted),
            ("key-move", &self.moved),
        ];
        for (operation, n) in rows {
            let labels = [("table", table), ("operation", operation)];
            out.push(metric(
                "rows_written_total",
                MetricKind::Counter,
                &labels,
                n.get(),
            ));
        }
        for (name, n) in [
            ("rows_ignored_total", &self.ignored),
            ("rows_rejected_total", &self.rejected),
            ("dead_letters_total", &self.dead),
            ("values_nulled_total", &self.nulled),
        ] {
            out.push(metric(
                name,
                MetricKind::Counter,
                &[("table", table)],
                n.get(),
            ));
        }
    }
}

fn metric(name: &str, kind: MetricKind, labels: &[(&str, &str)], value: u64) -> Metric {
    Metric {
        name: name.to_owned(),
        kind,
        labels: labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        value: value as f64,
    }
}
