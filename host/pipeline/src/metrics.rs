//! What a run measures, in the text format of Prometheus and OpenMetrics.
//!
//! Names begin with `longshore_`. Values of the sink component itself begin with `longshore_sink_`
//! and carry the label `sink_instance`, since each instance counts for itself.

mod sink;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_runtime::Traffic;
use longshore_runtime::contract::{ErrorClass, Metric};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::checkpoint_store::TableRows;
use sink::SinkValues;

/// Media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Values of the label `class`.
const TRANSIENT: &str = "transient";
const THROTTLED: &str = "throttled";

type Label = [(&'static str, String); 1];
type PerLabel = Family<Label, Counter>;
type Seconds = Gauge<f64, AtomicU64>;

/// Counters, gauges and histograms of one run.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    watched: AtomicBool,
    rows_read: PerLabel,
    bytes_read: PerLabel,
    rows_visible: PerLabel,
    rows_skipped: PerLabel,
    dead_letters: PerLabel,
    retries: PerLabel,
    checkpoints: Counter,
    commits: Counter,
    restarts: Counter,
    checkpoint_seconds: Histogram,
    flush_seconds: Histogram,
    commit_seconds: Histogram,
    last_checkpoint: Seconds,
    lag: Family<Label, Seconds>,
    sink: Arc<SinkValues>,
    /// Newest event of each table that is not visible yet, in milliseconds since 1970.
    newest: Mutex<HashMap<String, i64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("longshore");
        let sink: Arc<SinkValues> = Arc::default();
        registry.register_collector(Box::new(Arc::clone(&sink)));
        let metrics = Self {
            watched: AtomicBool::new(false),
            rows_read: per_label(
                &mut registry,
                "rows_read",
                "Changes read from the source, by table at the sink",
            ),
            bytes_read: per_label(
                &mut registry,
                "bytes_read",
                "Bytes of Arrow data read, by table at the sink",
            ),
            rows_visible: per_label(
                &mut registry,
                "rows_visible",
                "Changes written and visible, by table at the sink",
            ),
            rows_skipped: per_label(
                &mut registry,
                "rows_skipped",
                "Changes passed over on purpose, as deletes on an append table, by table at the sink",
            ),
            dead_letters: per_label(
                &mut registry,
                "dead_letters",
                "Rows put aside because they do not fit, by table at the sink",
            ),
            retries: per_label(
                &mut registry,
                "retries",
                "Calls of the sink and commits that were repeated, by class of the error; the sink's own repeats are sink_retries",
            ),
            checkpoints: counter(&mut registry, "checkpoints", "Checkpoints completed"),
            commits: counter(&mut registry, "commits", "Committables made visible"),
            restarts: counter(
                &mut registry,
                "restarts",
                "Times the run started over from its last checkpoint",
            ),
            checkpoint_seconds: seconds(
                &mut registry,
                "checkpoint_seconds",
                "Time from a checkpoint's begin until its rows were visible",
            ),
            flush_seconds: seconds(
                &mut registry,
                "flush_seconds",
                "Time one writer took at a checkpoint until its rows were durable at the service",
            ),
            commit_seconds: seconds(
                &mut registry,
                "commit_seconds",
                "Time the commit of a checkpoint took",
            ),
            last_checkpoint: register(
                &mut registry,
                "last_checkpoint_timestamp_seconds",
                "When the last checkpoint was complete, in seconds since 1970",
                Gauge::default(),
            ),
            lag: register(
                &mut registry,
                "lag_seconds",
                "Age of the newest row of a table when it became visible, where the source tells when its events happened",
                Family::default(),
            ),
            newest: Mutex::default(),
            sink,
            registry,
        };
        for class in [TRANSIENT, THROTTLED] {
            let label = [("class", class.to_owned())];
            drop(metrics.retries.get_or_create(&label));
        }
        metrics
    }
}

impl Metrics {
    /// Everything measured so far, as [`CONTENT_TYPE`].
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail, and every collector here writes legal names.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// From now on the sinks' own values are read once a second, not at checkpoints only.
    pub fn watch(&self) {
        self.watched.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    pub(crate) fn read(&self, table: &str, rows: u64, bytes: u64, newest_ms: Option<i64>) {
        let label = [("table", table.to_owned())];
        self.rows_read.get_or_create(&label).inc_by(rows);
        self.bytes_read.get_or_create(&label).inc_by(bytes);
        // What has not happened yet is 0, and not absent.
        for family in [&self.rows_visible, &self.rows_skipped, &self.dead_letters] {
            drop(family.get_or_create(&label));
        }
        if let Some(time) = newest_ms {
            self.newest()
                .entry(table.to_owned())
                .and_modify(|newest| *newest = time.max(*newest))
                .or_insert(time);
        }
    }

    pub(crate) fn visible(&self, rows: &TableRows) {
        let label = [("table", rows.table.clone())];
        self.rows_visible.get_or_create(&label).inc_by(rows.written);
        self.rows_skipped.get_or_create(&label).inc_by(rows.skipped);
        self.dead_letters
            .get_or_create(&label)
            .inc_by(rows.dead_letters);
        if let Some(newest) = self.newest().remove(&rows.table) {
            let lag = now() - newest as f64 / 1000.0;
            self.lag.get_or_create(&label).set(lag.max(0.0));
        }
    }

    pub(crate) fn flushed(&self, took: Duration) {
        self.flush_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn committed(&self, items: u64, took: Duration) {
        self.commits.inc_by(items);
        self.commit_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn checkpoint(&self, took: Duration) {
        self.checkpoints.inc();
        self.checkpoint_seconds.observe(took.as_secs_f64());
        self.last_checkpoint.set(now());
    }

    pub(crate) fn retried(&self, class: &ErrorClass) {
        // Errors of other classes are not repeated.
        let class = match class {
            ErrorClass::Throttled(_) => THROTTLED,
            _ => TRANSIENT,
        };
        self.retries
            .get_or_create(&[("class", class.to_owned())])
            .inc();
    }

    pub(crate) fn restarted(&self) {
        self.restarts.inc();
    }

    /// What one instance of the sink has measured, and what it sent.
    pub(crate) fn sink(&self, instance: &str, values: Vec<Metric>, traffic: Traffic) {
        self.sink.replace(instance, values, traffic);
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, HashMap<String, i64>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn register<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register(name, help, metric.clone());
    metric
}

fn per_label(registry: &mut Registry, name: &str, help: &str) -> PerLabel {
    register(registry, name, help, PerLabel::default())
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    register(registry, name, help, Counter::default())
}

/// From 5 ms to about 10 minutes.
fn seconds(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let buckets = exponential_buckets(0.005, 2.0, 18);
    register(registry, name, help, Histogram::new(buckets))
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

#[cfg(test)]
mod tests {
    use longshore_runtime::contract::MetricKind;

    use super::*;

    fn value(name: &str, kind: MetricKind, labels: &[(&str, &str)], value: f64) -> Metric {
        Metric {
            name: name.into(),
            kind,
            labels: labels
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            value,
        }
    }

    #[test]
    fn values_of_the_run_and_of_its_sinks_are_one_text() {
        let metrics = Metrics::default();
        metrics.read("ods.a", 3, 100, Some(0));
        metrics.visible(&TableRows {
            table: "ods.a".into(),
            read: 3,
            written: 2,
            skipped: 1,
            ..TableRows::default()
        });
        metrics.retried(&ErrorClass::Throttled(5));
        metrics.checkpoint(Duration::from_millis(20));
        for instance in ["writer 0", "writer 1"] {
            let values = vec![
                value(
                    "retries_total",
                    MetricKind::Counter,
                    &[("class", "transient")],
                    2.0,
                ),
                value("buffered_bytes", MetricKind::Gauge, &[], 1.5),
            ];
            metrics.sink(instance, values, Traffic::default());
        }
        let text = metrics.text();
        for line in [
            "# HELP longshore_rows_read Changes read from the source, by table at the sink.",
            "longshore_rows_read_total{table=\"ods.a\"} 3",
            "longshore_rows_visible_total{table=\"ods.a\"} 2",
            "longshore_rows_skipped_total{table=\"ods.a\"} 1",
            "longshore_retries_total{class=\"throttled\"} 1",
            "longshore_checkpoints_total 1",
            "longshore_checkpoint_seconds_count 1",
            "# TYPE longshore_sink_retries counter",
            "longshore_sink_retries_total{class=\"transient\",sink_instance=\"writer 1\"} 2.0",
            "longshore_sink_buffered_bytes{sink_instance=\"writer 0\"} 1.5",
            "longshore_http_requests_total{sink_instance=\"writer 0\"} 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(
            text.contains("longshore_lag_seconds{table=\"ods.a\"} "),
            "{text}"
        );
        let types = text.lines().filter(|line| line.starts_with("# TYPE"));
        let names: Vec<&str> = types.collect();
        let distinct: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), distinct.len(), "{text}");
    }
}
