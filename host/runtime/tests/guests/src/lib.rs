//! A sink whose writer does what its option `behaviour` says when it is flushed.
//!
//! What a behaviour finds out is reported as a sink error with code `report`, whose message the test
//! reads.

mod http;

wit_bindgen::generate!({ path: "../../../../wit", world: "blocking-sink-component" });

use exports::longshore::sink::blocking_sink::{
    Batch, CheckpointId, CommitOutcome, Committable, Committer, Guest as BlockingSink,
    GuestCommitter, GuestWriter, Metric, Progress, SchemaChange, SinkError, State, TableDecl,
    TableId, Writer,
};
use exports::longshore::sink::describe::{Guest as Describe, SinkInfo};
use longshore::sink::signer::{Algorithm, Credential};
use longshore::sink::types::{
    BadRow, Credit, Delivery, ErrorClass, MetricKind, OptionKind, OptionSpec, TablePath,
};
use longshore::sink::{checkpoint, dead_letter, log};
use std::cell::Cell;

struct Component;
export!(Component);

impl Describe for Component {
    fn info() -> SinkInfo {
        SinkInfo {
            name: "test-sink".into(),
            version: "1.2.3".into(),
            delivery: Delivery::IdempotentUpsert,
            state_formats: vec![1],
            options: vec![OptionSpec {
                name: "behaviour".into(),
                kind: OptionKind::Text,
                required: true,
                default_value: None,
                secret: false,
                doc: "What to do on flush".into(),
                aliases: vec!["behavior".into()],
                choices: vec![],
            }],
        }
    }

    fn validate(options: Vec<(String, String)>) -> Result<(), Vec<SinkError>> {
        let errors: Vec<_> = options
            .iter()
            .filter(|(name, _)| name == "wrong")
            .map(|(_, value)| error(ErrorClass::Permanent, "options.unknown", value.clone()))
            .collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }
}

struct TestWriter {
    options: Vec<(String, String)>,
    rows: Cell<u64>,
    restored: u64,
}

impl TestWriter {
    fn option(&self, name: &str) -> &str {
        self.options
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, v)| v.as_str())
    }

    fn number(&self, name: &str) -> u64 {
        self.option(name).parse().unwrap()
    }

    fn progress(&self) -> Progress {
        Progress {
            credit: Credit {
                bytes: u64::MAX,
                rows: u64::MAX,
            },
            wake_after_ms: Some(250),
        }
    }
}

impl BlockingSink for Component {
    type Writer = TestWriter;
    type Committer = TestCommitter;
}

impl GuestWriter for TestWriter {
    fn open(
        options: Vec<(String, String)>,
        _subtask: u32,
        _parallelism: u32,
        restore: Option<State>,
    ) -> Result<Writer, SinkError> {
        let restored = match restore {
            Some(state) => u64::from_le_bytes(state.payload.try_into().unwrap()),
            None => 0,
        };
        Ok(Writer::new(TestWriter {
            options,
            rows: Cell::new(0),
            restored,
        }))
    }

    fn declare_table(&self, table: TableDecl) -> Result<TableId, SinkError> {
        if table.path.table == "absent" {
            return Err(error(
                ErrorClass::Schema,
                "table.absent",
                "no such table".into(),
            ));
        }
        Ok(7)
    }

    fn change_schema(&self, change: SchemaChange, next: TableDecl) -> Result<(), SinkError> {
        Err(error(
            ErrorClass::Throttled(1500),
            "report",
            format!("{change:?} {}", next.schema_version),
        ))
    }

    fn write(&self, data: Batch) -> Result<Progress, SinkError> {
        if self.option("behaviour") == "bad-row" {
            let mut error = error(ErrorClass::Data, "row.bad", "one bad row".into());
            error.bad_rows = vec![BadRow {
                sequence: data.sequence,
                row: self.number("row") as u32,
                column: Some("c".into()),
                reason: "too long".into(),
            }];
            return Err(error);
        }
        self.rows.set(self.rows.get() + u64::from(data.rows));
        Ok(self.progress())
    }

    fn drive(&self, budget_ms: u32) -> Result<Progress, SinkError> {
        sleep(u64::from(budget_ms));
        Ok(self.progress())
    }

    fn flush(&self) -> Result<(), SinkError> {
        match self.option("behaviour") {
            "loop" => {
                let mut value = self.rows.get();
                while std::hint::black_box(value) != 1 {
                    value = value.wrapping_mul(6364136223846793005);
                }
            }
            "alloc" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
                }
            }
            "sleep" => sleep(self.number("milliseconds")),
            "trap" => panic!("trapped on purpose"),
            "exit" => std::process::exit(3),
            "overflow" => {
                std::hint::black_box(recurse(self.rows.get()));
            }
            "handles" => {
                let mut handles = Vec::new();
                loop {
                    handles.push(wasip2::http::types::Fields::new());
                }
            }
            "post" => {
                let answer = http::post(
                    self.option("url"),
                    self.number("bytes"),
                    self.option("read") == "body-first",
                );
                return report(match answer {
                    Ok(answer) => format!("{} {}", answer.status, answer.body),
                    Err(error) => error,
                });
            }
            "sign" => return report(self.sign()),
            "scan" => return report(scan(self.option("pattern"))),
            "log" => {
                log::emit(
                    log::Level::Warn,
                    "test",
                    "line\n\u{1b}[2Jbreak",
                    &[("table".into(), "t1".into())],
                );
                for _ in 0..1000 {
                    log::emit(log::Level::Info, "test", "flood", &[]);
                }
            }
            "checkpoint" => {
                checkpoint::request(checkpoint::Reason::SessionAge);
                return report(format!("{:?}", checkpoint::last_committed()));
            }
            "dead-letter" => {
                let row = BadRow {
                    sequence: 1,
                    row: 2,
                    column: None,
                    reason: "late".into(),
                };
                return report(format!(
                    "{:?}",
                    dead_letter::put(&path(), &[row], &[1, 2, 3])
                ));
            }
            _ => {}
        }
        Ok(())
    }

    fn prepare(&self, checkpoint: CheckpointId) -> Result<Vec<Committable>, SinkError> {
        let payload = match self.option("behaviour") {
            "big-list" => vec![0; self.number("bytes") as usize],
            _ => checkpoint.to_le_bytes().to_vec(),
        };
        Ok(vec![Committable {
            table: path(),
            format: 1,
            payload,
        }])
    }

    fn prepare_table(
        &self,
        table: TableId,
        checkpoint: CheckpointId,
    ) -> Result<Vec<Committable>, SinkError> {
        Ok(vec![Committable {
            table: path(),
            format: table,
            payload: checkpoint.to_le_bytes().to_vec(),
        }])
    }

    fn snapshot(&self, _checkpoint: CheckpointId) -> Result<State, SinkError> {
        let rows = self.restored + self.rows.get();
        Ok(State {
            format: 1,
            payload: rows.to_le_bytes().to_vec(),
        })
    }

    fn metrics(&self) -> Vec<Metric> {
        let name = match self.option("behaviour") {
            "bad-metric" => "rows total",
            _ => "rows_total",
        };
        vec![Metric {
            name: name.into(),
            kind: MetricKind::Counter,
            labels: vec![("table".into(), "t1".into())],
            value: (self.restored + self.rows.get()) as f64,
        }]
    }

    fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

impl TestWriter {
    /// Opens the credential and signs; the text says what came of it.
    fn sign(&self) -> String {
        let credential = match Credential::open(self.option("credential")) {
            Ok(credential) => credential,
            Err(error) => return format!("{error:?}"),
        };
        let algorithm = match self.option("algorithm") {
            "aliyun-v4" => Algorithm::AliyunV4,
            "hmac-sha256" => Algorithm::HmacSha256,
            _ => Algorithm::HmacSha1,
        };
        let payload = self.option("payload").as_bytes();
        match credential.sign(algorithm, self.option("scope"), payload) {
            Ok(mac) => {
                let mac: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{} {mac} {:?}", credential.id(), credential.headers())
            }
            Err(error) => format!("{error:?}"),
        }
    }
}

struct TestCommitter {
    short: bool,
}

impl GuestCommitter for TestCommitter {
    fn open(options: Vec<(String, String)>) -> Result<Committer, SinkError> {
        let short = options.iter().any(|(_, value)| value == "short");
        Ok(Committer::new(TestCommitter { short }))
    }

    fn commit(&self, items: Vec<Committable>) -> Vec<CommitOutcome> {
        let mut outcomes: Vec<_> = items
            .iter()
            .map(|item| match item.format {
                1 => CommitOutcome::Committed,
                _ => CommitOutcome::Failed(error(
                    ErrorClass::Permanent,
                    "committable.format",
                    "unknown format".into(),
                )),
            })
            .collect();
        if self.short {
            outcomes.pop();
        }
        outcomes
    }

    fn abort(&self, items: Vec<Committable>) -> Vec<CommitOutcome> {
        items
            .iter()
            .map(|_| CommitOutcome::AlreadyCommitted)
            .collect()
    }
}

fn path() -> TablePath {
    TablePath {
        catalog: None,
        schema: Some("s".into()),
        table: "t1".into(),
    }
}

fn error(class: ErrorClass, code: &str, message: String) -> SinkError {
    SinkError {
        class,
        code: code.into(),
        message,
        request_id: None,
        bad_rows: vec![],
    }
}

fn report(message: String) -> Result<(), SinkError> {
    Err(error(ErrorClass::Permanent, "report", message))
}

fn sleep(milliseconds: u64) {
    wasip2::clocks::monotonic_clock::subscribe_duration(milliseconds * 1_000_000).block();
}

fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 0;
    }
    let frame = std::hint::black_box([depth; 64]);
    recurse(depth + 1) + frame[(depth % 64) as usize]
}

/// How often a pattern, given in hexadecimal with every bit flipped, is in this program's memory.
/// Flipped, so that the search itself does not put it there.
fn scan(flipped: &str) -> String {
    let flipped: Vec<u8> = (0..flipped.len() / 2)
        .map(|at| u8::from_str_radix(&flipped[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let bytes = core::arch::wasm32::memory_size(0) << 16;
    // SAFETY: address 0 is never read, and the memory is `bytes` long and not changed meanwhile.
    let memory: &[u8] =
        unsafe { core::slice::from_raw_parts(std::ptr::with_exposed_provenance(1), bytes - 1) };
    let found = memory
        .windows(flipped.len())
        .filter(|window| {
            window
                .iter()
                .zip(&flipped)
                .all(|(byte, flipped)| *byte == !*flipped)
        })
        .count();
    format!("{found} in {bytes}")
}
