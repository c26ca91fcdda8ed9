//! Drives a sink against the service in memory, on a clock that only this test turns.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int8Array, Int64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use longshore_core::contract::{
    Batch, CallId, CommitOutcome, Committable, Now, Reply, State, TableDecl, TablePath,
};
use longshore_core::error::SinkError;
use longshore_core::sink::Sink;

use crate::service::Service;

pub struct Driver {
    pub sink: Sink,
    pub service: Service,
    pub now: u64,
    sequence: u64,
    /// Requests answered so far that were in flight with others.
    pub most_in_flight: usize,
    /// How often requests were sent and answered together: round trips.
    pub rounds: usize,
}

/// (op, id, name, partition)
pub type Row = (i8, i64, Option<&'static str>, Option<&'static str>);

pub fn options(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all = vec![
        ("endpoint", "http://rest/api"),
        ("project", "p"),
        ("access-id", "i"),
        ("access-key", "<secret>"),
    ];
    if !more.iter().any(|(k, _)| *k == "compress.algorithm") {
        all.push(("compress.algorithm", "raw"));
    }
    all.extend(more);
    all.into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

pub fn schema(partitioned: bool) -> Arc<Schema> {
    let mut fields = vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ];
    if partitioned {
        // In the middle, so that nothing depends on it being last.
        fields.insert(1, Field::new("pt", DataType::Utf8, true));
    }
    Arc::new(Schema::new(fields))
}

pub fn schema_message(schema: &Schema) -> Vec<u8> {
    let writer = StreamWriter::try_new(Vec::new(), schema).unwrap();
    writer
        .into_inner()
        .map(|bytes| bytes[..bytes.len() - 8].to_vec())
        .unwrap()
}

pub fn declaration(table: &str, partitioned: bool, key: &[&str]) -> TableDecl {
    TableDecl {
        path: TablePath {
            table: table.to_owned(),
            ..TablePath::default()
        },
        arrow_schema: schema_message(&schema(partitioned)),
        primary_key: key.iter().map(|&k| k.to_owned()).collect(),
        partition_by: if partitioned {
            vec!["pt".to_owned()]
        } else {
            Vec::new()
        },
        schema_version: 1,
    }
}

/// The messages after the schema.
pub fn ipc(rows: &[Row], partitioned: bool) -> Vec<u8> {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1)));
    let names: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|r| r.2)));
    let parts: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|r| r.3)));
    let operations: ArrayRef = Arc::new(Int8Array::from_iter_values(rows.iter().map(|r| r.0)));
    let mut fields: Vec<Field> = schema(partitioned)
        .fields()
        .iter()
        .map(|f| f.as_ref().clone())
        .collect();
    let mut columns = if partitioned {
        vec![ids, parts, names]
    } else {
        vec![ids, names]
    };
    if rows.iter().any(|r| r.0 != 0) {
        fields.push(Field::new("__op", DataType::Int8, false));
        columns.push(operations);
    }
    messages(fields, columns)
}

fn messages(fields: Vec<Field>, columns: Vec<ArrayRef>) -> Vec<u8> {
    let schema = Arc::new(Schema::new(fields));
    let head = schema_message(&schema).len();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer
        .write(&RecordBatch::try_new(schema, columns).unwrap())
        .unwrap();
    let bytes = writer.into_inner().unwrap();
    // Neither the schema nor the end-of-stream mark is part of a batch.
    bytes[head..bytes.len() - 8].to_vec()
}

impl Driver {
    pub fn new(service: Service, more: &[(&str, &str)]) -> Self {
        let now = Now {
            monotonic_ms: 1000,
            unix_ms: 1_795_255_200_000,
        };
        let sink = Sink::open(&options(more), 0, 1, None, now).unwrap();
        Self {
            sink,
            service,
            now: 1000,
            sequence: 0,
            most_in_flight: 0,
            rounds: 0,
        }
    }

    /// A writer that goes on from `state`, at the same service.
    pub fn restart(&mut self, more: &[(&str, &str)], state: Option<State>) {
        self.sink = Sink::open(&options(more), 0, 1, state, self.clock()).unwrap();
    }

    pub fn clock(&self) -> Now {
        Now {
            monotonic_ms: self.now,
            unix_ms: 1_795_255_200_000 + self.now as i64,
        }
    }

    /// Send everything there is to send now, answering each round together.
    pub fn pump(&mut self) -> bool {
        let mut any = false;
        loop {
            let mut round = Vec::new();
            while let Some(request) = self.sink.poll_request(self.clock()) {
                round.push(request);
            }
            if round.is_empty() {
                return any;
            }
            any = true;
            self.rounds += 1;
            self.most_in_flight = self.most_in_flight.max(round.len());
            for request in round {
                let answer = self.service.handle(&request);
                self.sink.on_response(request.id, answer, self.clock());
            }
        }
    }

    /// Drive until the call has a result; the clock jumps to the next moment when nothing else is
    /// to be done.
    pub fn settle(&mut self, call: CallId) -> Result<Reply, SinkError> {
        for _ in 0..10_000 {
            self.pump();
            if let Some(reply) = self.sink.take_reply(call) {
                return reply;
            }
            let wake = self
                .sink
                .wake_at()
                .expect("an unfinished call waits for something");
            self.now = self.now.max(wake);
        }
        panic!("no end");
    }

    pub fn declare(&mut self, decl: TableDecl) -> Result<u32, SinkError> {
        let call = self.sink.declare_table(decl);
        match self.settle(call)? {
            Reply::Table(number) => Ok(number),
            other => panic!("{other:?}"),
        }
    }

    pub fn write(&mut self, table: u32, partitioned: bool, rows: &[Row]) -> Result<(), SinkError> {
        self.write_ipc(table, 1, rows.len(), &ipc(rows, partitioned))
    }

    /// Rows of a later schema version, which has the same columns.
    pub fn write_version(
        &mut self,
        table: u32,
        version: u32,
        rows: &[Row],
    ) -> Result<(), SinkError> {
        self.write_ipc(table, version, rows.len(), &ipc(rows, false))
    }

    /// Rows of a table that has nothing but `id`.
    pub fn write_ids(&mut self, table: u32, rows: &[(i8, i64)]) -> Result<(), SinkError> {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1)));
        let operations: ArrayRef = Arc::new(Int8Array::from_iter_values(rows.iter().map(|r| r.0)));
        let mut fields = vec![Field::new("id", DataType::Int64, true)];
        let mut columns = vec![ids];
        if rows.iter().any(|r| r.0 != 0) {
            fields.push(Field::new("__op", DataType::Int8, false));
            columns.push(operations);
        }
        self.write_ipc(table, 1, rows.len(), &messages(fields, columns))
    }

    fn write_ipc(
        &mut self,
        table: u32,
        version: u32,
        rows: usize,
        ipc: &[u8],
    ) -> Result<(), SinkError> {
        self.sequence += 1;
        let batch = Batch {
            table,
            schema_version: version,
            sequence: self.sequence,
            rows: rows as u32,
            ipc: ipc.to_vec(),
        };
        let now = self.clock();
        self.sink.write(batch, now)
    }

    /// The statement by which a new writer makes a table with a key that is not there.
    pub fn restart_and_declare_new(&mut self, more: &[(&str, &str)]) -> String {
        self.restart(more, None);
        self.declare(declaration("created", false, &["id"]))
            .unwrap();
        self.service.statements.last().unwrap().clone()
    }

    /// Write a batch of any columns, `__op` among them or not.
    pub fn write_batch(&mut self, table: u32, batch: &RecordBatch) -> Result<(), SinkError> {
        self.sequence += 1;
        let head = schema_message(&batch.schema()).len();
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        let bytes = writer.into_inner().unwrap();
        let batch = Batch {
            table,
            schema_version: 1,
            sequence: self.sequence,
            rows: batch.num_rows() as u32,
            ipc: bytes[head..bytes.len() - 8].to_vec(),
        };
        let now = self.clock();
        self.sink.write(batch, now)
    }

    pub fn prepare(&mut self) -> Result<Vec<Committable>, SinkError> {
        let call = self.sink.prepare(1);
        match self.settle(call)? {
            Reply::Prepared(items) => Ok(items),
            other => panic!("{other:?}"),
        }
    }

    pub fn commit(&mut self, items: Vec<Committable>) -> Vec<CommitOutcome> {
        let call = self.sink.commit(items);
        match self.settle(call).unwrap() {
            Reply::Outcomes(outcomes) => outcomes,
            other => panic!("{other:?}"),
        }
    }

    /// Prepare and commit; everything must become visible.
    pub fn checkpoint(&mut self) -> usize {
        let items = self.prepare().unwrap();
        let count = items.len();
        for outcome in self.commit(items) {
            assert_eq!(outcome, CommitOutcome::Committed);
        }
        count
    }

    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let found = self.sink.metrics().into_iter().filter(|m| {
            m.name == name && (label.is_empty() || m.labels.iter().any(|(_, v)| v == label))
        });
        found.map(|m| m.value).sum()
    }

    pub fn appended(&self, table: &str) -> Vec<(String, i64, Option<String>)> {
        let mut rows = self.service.tables[table].appended.clone();
        rows.sort();
        rows
    }

    pub fn keyed(&self, table: &str) -> Vec<(String, i64, Option<String>)> {
        self.service.tables[table]
            .keyed
            .iter()
            .map(|((p, id), n)| (p.clone(), *id, n.clone()))
            .collect()
    }
}

pub fn rows(list: &[(&str, i64, &str)]) -> Vec<(String, i64, Option<String>)> {
    list.iter()
        .map(|(p, id, n)| ((*p).to_owned(), *id, Some((*n).to_owned())))
        .collect()
}
