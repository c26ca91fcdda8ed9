//! The smallest complete component: a sink that takes no rows and probes an HTTP server instead.
//!
//! `flush` sends `requests` POSTs of `bytes` bytes at once to `authority` and counts the outcomes;
//! `metrics` tells them as `answers_total{status="…"}` and `failures_total{error="…"}`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use longshore_sdk::blocking_sink::{self, GuestCommitter, GuestWriter};
use longshore_sdk::http::{Framing, HttpClient, Method, Request, Scheme, Timeouts};
use longshore_sdk::types::{
    Batch, CheckpointId, CommitOutcome, Committable, Credit, Delivery, ErrorClass, Metric,
    MetricKind, OptionKind, OptionSpec, Progress, SchemaChange, SinkError, SinkInfo, State,
    TableDecl, TableId,
};
use longshore_sdk::{describe, logger};

/// The component.
pub struct Probe;

impl describe::Guest for Probe {
    fn info() -> SinkInfo {
        let option = |name: &str, kind, doc: &str| OptionSpec {
            name: name.to_owned(),
            kind,
            required: true,
            default_value: None,
            secret: false,
            doc: doc.to_owned(),
            aliases: Vec::new(),
            choices: Vec::new(),
        };
        SinkInfo {
            name: "http-probe".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            delivery: Delivery::AtLeastOnce,
            state_formats: Vec::new(),
            options: vec![
                option("authority", OptionKind::Text, "The server, `host:port`."),
                option(
                    "requests",
                    OptionKind::Integer,
                    "Requests to keep in flight at once.",
                ),
                option("bytes", OptionKind::Integer, "Size of each request's body."),
                option(
                    "timeout",
                    OptionKind::Integer,
                    "Milliseconds to wait for an answer.",
                ),
            ],
        }
    }

    fn validate(options: Vec<(String, String)>) -> Result<(), Vec<SinkError>> {
        Plan::parse(&options).map(drop).map_err(|error| vec![error])
    }
}

impl blocking_sink::Guest for Probe {
    type Writer = Writer;
    type Committer = Committer;
}

#[cfg(target_arch = "wasm32")]
longshore_sdk::export_sink!(Probe);

/// What to send.
struct Plan {
    authority: String,
    requests: u32,
    bytes: usize,
    timeout_ms: u64,
}

impl Plan {
    fn parse(options: &[(String, String)]) -> Result<Self, SinkError> {
        fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, SinkError> {
            text.parse().map_err(|_| {
                failure(
                    "option.value",
                    format!("option `{name}`: `{text}` is not a number in range"),
                )
            })
        }
        let value = |wanted: &str| {
            let found = options.iter().find(|(name, _)| name == wanted);
            found
                .map(|(_, value)| value.as_str())
                .ok_or_else(|| failure("option.missing", format!("option `{wanted}` is missing")))
        };
        Ok(Self {
            authority: value("authority")?.to_owned(),
            requests: number("requests", value("requests")?)?,
            bytes: number("bytes", value("bytes")?)?,
            timeout_ms: number("timeout", value("timeout")?)?,
        })
    }

    fn request(&self) -> Request {
        Request {
            method: Method::Post,
            scheme: Scheme::Http,
            authority: self.authority.clone(),
            path_and_query: "/".to_owned(),
            headers: Vec::new(),
            body: vec![vec![0x55; self.bytes].into()],
            framing: Framing::ContentLength,
            timeouts: Timeouts {
                connect_ms: self.timeout_ms,
                first_byte_ms: self.timeout_ms,
                between_bytes_ms: self.timeout_ms,
            },
            response_limit: 1 << 20,
        }
    }
}

/// Counts what the server answers.
pub struct Writer {
    plan: Plan,
    counts: RefCell<BTreeMap<(&'static str, &'static str, String), f64>>,
}

impl GuestWriter for Writer {
    fn open(
        options: Vec<(String, String)>,
        _subtask: u32,
        _parallelism: u32,
        _restore: Option<State>,
    ) -> Result<blocking_sink::Writer, SinkError> {
        logger::install_panic_hook("probe");
        Ok(blocking_sink::Writer::new(Self {
            plan: Plan::parse(&options)?,
            counts: RefCell::default(),
        }))
    }

    fn flush(&self) -> Result<(), SinkError> {
        let mut client = HttpClient::new();
        for _ in 0..self.plan.requests {
            client.start(self.plan.request());
        }
        while client.in_flight() > 0 {
            for completion in client.poll(60_000) {
                let outcome = match completion.result {
                    Ok(answer) => ("answers_total", "status", answer.status.to_string()),
                    Err(error) => ("failures_total", "error", error.to_string()),
                };
                *self.counts.borrow_mut().entry(outcome).or_default() += 1.0;
            }
        }
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let counts = self.counts.borrow();
        counts
            .iter()
            .map(|((name, label, value), count)| Metric {
                name: (*name).to_owned(),
                kind: MetricKind::Counter,
                labels: vec![((*label).to_owned(), value.clone())],
                value: *count,
            })
            .collect()
    }

    fn declare_table(&self, _table: TableDecl) -> Result<TableId, SinkError> {
        Err(takes_no_rows())
    }

    fn change_schema(&self, _change: SchemaChange, _next: TableDecl) -> Result<(), SinkError> {
        Err(takes_no_rows())
    }

    fn write(&self, _data: Batch) -> Result<Progress, SinkError> {
        Err(takes_no_rows())
    }

    fn drive(&self, _budget_ms: u32) -> Result<Progress, SinkError> {
        Ok(Progress {
            credit: Credit { bytes: 0, rows: 0 },
            wake_after_ms: None,
        })
    }

    fn prepare(&self, _checkpoint: CheckpointId) -> Result<Vec<Committable>, SinkError> {
        Ok(Vec::new())
    }

    fn prepare_table(
        &self,
        _table: TableId,
        _checkpoint: CheckpointId,
    ) -> Result<Vec<Committable>, SinkError> {
        Ok(Vec::new())
    }

    fn snapshot(&self, _checkpoint: CheckpointId) -> Result<State, SinkError> {
        Ok(State {
            format: 0,
            payload: Vec::new(),
        })
    }

    fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// There is never anything to commit.
pub struct Committer;

impl GuestCommitter for Committer {
    fn open(_options: Vec<(String, String)>) -> Result<blocking_sink::Committer, SinkError> {
        Ok(blocking_sink::Committer::new(Self))
    }

    fn commit(&self, items: Vec<Committable>) -> Vec<CommitOutcome> {
        items
            .iter()
            .map(|_| CommitOutcome::Failed(takes_no_rows()))
            .collect()
    }

    fn abort(&self, items: Vec<Committable>) -> Vec<CommitOutcome> {
        self.commit(items)
    }
}

fn takes_no_rows() -> SinkError {
    failure("probe.rows", "this sink takes no rows".to_owned())
}

fn failure(code: &str, message: String) -> SinkError {
    SinkError {
        class: ErrorClass::Permanent,
        code: code.to_owned(),
        message,
        request_id: None,
        bad_rows: Vec::new(),
    }
}
