//! A service that keeps rows in memory, a sink for it with faults to order, and a scripted source.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int8Array, Int64Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use async_trait::async_trait;
use longshore_runtime::contract::{
    BadRow, Batch, CheckpointReason, CommitOutcome, Committable, Credit, DeadLetters, ErrorClass,
    Metric, MetricKind, Progress, SchemaChange, SinkError, State, TableDecl, TablePath,
};
use longshore_runtime::{CallError, CheckpointListener, DeadLetterSink, Traffic};

use super::super::{CheckpointRequests, OpenSource, SinkDriver, SinkFactory, StopHandle};
use crate::source::{
    Origin, Position, Source, SourceBatch, SourceError, SourceErrorKind, SourceEvent, SourceStats,
    SourceTable, TableId,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// `prepare` fails for good.
    Prepare,
    /// `prepare` succeeds at the service, and its answer is lost for good.
    AfterPrepare,
    /// `commit` fails for good before it did anything.
    CommitNothing,
    /// `commit` dies after its first item.
    CommitOne,
    /// `commit` does everything and dies before it answers.
    CommitAllUnanswered,
    /// `commit` can not commit its second item.
    RefuseSecondCommit,
    /// `commit` asks to come again.
    CommitLater,
    WriteTransient,
    WriteFenced,
    Unreachable,
    RefuseRow(i64),
    AskForCheckpoints,
    OneBatchOfCredit,
    CreditAfterFlush,
    NeverCredit,
    IgnoreOddRows,
    KeepOddRowsAside,
}

/// Each ends a run, at another point of the two-phase commit.
pub(super) const DEATHS: [Fault; 5] = [
    Fault::Prepare,
    Fault::AfterPrepare,
    Fault::CommitNothing,
    Fault::CommitOne,
    Fault::CommitAllUnanswered,
];

/// A point that a sink comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Prepare,
    OpenCommitter,
}

#[derive(Default)]
pub(super) struct Service {
    state: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    once: Option<Fault>,
    always: Option<Fault>,
    action: Option<(Moment, Box<dyn FnOnce() + Send>)>,
    /// Rows by committable, not visible.
    prepared: HashMap<String, Vec<i64>>,
    visible: Vec<i64>,
    by_writer: BTreeMap<u32, Vec<i64>>,
    restored: Vec<Option<Vec<u8>>>,
    sessions: u64,
    declared: u64,
    drives: u64,
    rows: usize,
    after_rows: Option<(usize, Box<dyn Fn() + Send>)>,
}

impl Service {
    pub(super) fn fail_once(&self, fault: Fault) {
        self.lock().once = Some(fault);
    }

    pub(super) fn always(&self, fault: Fault) {
        self.lock().always = Some(fault);
    }

    /// Does something when a sink comes to this point first.
    pub(super) fn once_at(&self, moment: Moment, action: impl FnOnce() + Send + 'static) {
        self.lock().action = Some((moment, Box::new(action)));
    }

    fn at(&self, moment: Moment) {
        let due = self.lock().action.take_if(|(at, _)| *at == moment);
        if let Some((_, action)) = due {
            action();
        }
    }

    pub(super) fn stop_after_rows(&self, rows: usize, handle: StopHandle) {
        self.after_rows(rows, move || handle.stop());
    }

    /// Called at each message, once this many rows have come.
    pub(super) fn after_rows(&self, rows: usize, call: impl Fn() + Send + 'static) {
        self.lock().after_rows = Some((rows, Box::new(call)));
    }

    pub(super) fn visible(&self) -> Vec<i64> {
        let mut rows = self.lock().visible.clone();
        rows.sort_unstable();
        rows
    }

    pub(super) fn declared(&self) -> u64 {
        self.lock().declared
    }

    pub(super) fn drives(&self) -> u64 {
        self.lock().drives
    }

    pub(super) fn restored(&self) -> Vec<Option<Vec<u8>>> {
        self.lock().restored.clone()
    }

    pub(super) fn rows_by_writer(&self) -> Vec<usize> {
        self.lock().by_writer.values().map(Vec::len).collect()
    }

    pub(super) fn assert_keys_stay_with_their_writer(&self, writers: usize) {
        let inner = self.lock();
        assert_eq!(inner.by_writer.len(), writers, "every writer gets rows");
        let mut owner = HashMap::new();
        for (writer, rows) in &inner.by_writer {
            for row in rows {
                assert_eq!(owner.entry(*row).or_insert(*writer), writer, "key {row}");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap()
    }

    /// Whether `fault` is due now; one that is due once is over then.
    fn due(&self, fault: Fault) -> bool {
        let mut inner = self.lock();
        if inner.once == Some(fault) {
            inner.once = None;
            return true;
        }
        inner.always == Some(fault)
    }
}

pub(super) struct Sink {
    pub(super) service: Arc<Service>,
    pub(super) requests: Arc<CheckpointRequests>,
}

#[async_trait]
impl SinkFactory for Sink {
    async fn instance(
        &self,
        _name: &str,
        dead_letters: Arc<dyn DeadLetterSink>,
    ) -> Result<Box<dyn SinkDriver>, CallError> {
        Ok(Box::new(Driver {
            service: Arc::clone(&self.service),
            requests: Arc::clone(&self.requests),
            subtask: 0,
            schema: Vec::new(),
            table: TablePath::default(),
            buffer: Vec::new(),
            ignored: 0,
            dead_letters,
            kept_aside: 0,
            last: 0,
            flushed: false,
        }))
    }
}

struct Driver {
    service: Arc<Service>,
    requests: Arc<CheckpointRequests>,
    subtask: u32,
    schema: Vec<u8>,
    table: TablePath,
    buffer: Vec<i64>,
    ignored: u64,
    dead_letters: Arc<dyn DeadLetterSink>,
    kept_aside: u64,
    last: u64,
    flushed: bool,
}

fn error(class: ErrorClass, message: &str) -> CallError {
    CallError::Sink(Box::new(SinkError {
        class,
        code: "fake".into(),
        message: message.into(),
        request_id: None,
        bad_rows: Vec::new(),
    }))
}

fn progress(credit: u64) -> Progress {
    Progress {
        credit: Credit {
            bytes: credit,
            rows: credit,
        },
        wake_after_ms: None,
    }
}

#[async_trait]
impl SinkDriver for Driver {
    async fn open_writer(
        &mut self,
        _options: &[(String, String)],
        subtask: u32,
        _parallelism: u32,
        restore: Option<&State>,
    ) -> Result<(), CallError> {
        self.subtask = subtask;
        self.service
            .lock()
            .restored
            .push(restore.map(|state| state.payload.clone()));
        Ok(())
    }

    async fn declare_table(&mut self, table: &TableDecl) -> Result<u32, CallError> {
        if self.service.due(Fault::Unreachable) {
            return Err(error(ErrorClass::Transient(10), "no answer"));
        }
        self.service.lock().declared += 1;
        self.schema.clone_from(&table.arrow_schema);
        self.table = table.path.clone();
        Ok(0)
    }

    async fn change_schema(
        &mut self,
        _change: &SchemaChange,
        _next: &TableDecl,
    ) -> Result<(), CallError> {
        Ok(())
    }

    async fn prepare_table(
        &mut self,
        _table: u32,
        checkpoint: u64,
    ) -> Result<Vec<Committable>, CallError> {
        // There is but one table.
        self.prepare(checkpoint).await
    }

    async fn write(&mut self, batch: &Batch) -> Result<Progress, CallError> {
        assert!(batch.sequence > self.last, "sequences grow");
        if self.service.due(Fault::WriteTransient) {
            return Err(error(ErrorClass::Transient(5), "busy"));
        }
        if self.service.due(Fault::WriteFenced) {
            return Err(error(ErrorClass::Fenced, "session stolen"));
        }
        self.last = batch.sequence;
        self.flushed = false;
        let mut stream = self.schema.clone();
        stream.extend_from_slice(&batch.ipc);
        let decoded: Vec<RecordBatch> = StreamReader::try_new(stream.as_slice(), None)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let ids: Vec<i64> = decoded
            .iter()
            .flat_map(|batch| {
                batch
                    .column(0)
                    .as_primitive::<Int64Type>()
                    .values()
                    .to_vec()
            })
            .collect();
        assert_eq!(ids.len(), batch.rows as usize);
        if let Some(Fault::RefuseRow(id)) = self.service.lock().always
            && let Some(row) = ids.iter().position(|found| *found == id)
        {
            return Err(CallError::Sink(Box::new(SinkError {
                class: ErrorClass::Data,
                code: "fake".into(),
                message: "too long".into(),
                request_id: None,
                bad_rows: vec![BadRow {
                    sequence: batch.sequence,
                    row: row as u32,
                    column: Some("id".into()),
                    reason: "too long".into(),
                }],
            })));
        }
        let ignores = self.service.due(Fault::IgnoreOddRows);
        let keeps_aside = self.service.due(Fault::KeepOddRowsAside);
        if keeps_aside {
            let letters = dead_letters(&self.table, batch.sequence, &decoded);
            self.kept_aside += letters.rows.len() as u64;
            self.dead_letters.put(letters).await.unwrap();
        }
        for id in ids {
            if ignores && id % 2 == 1 {
                self.ignored += 1;
            } else if !keeps_aside || id % 2 == 0 {
                self.buffer.push(id);
            }
        }
        {
            let mut inner = self.service.lock();
            let rows = self.buffer.iter().rev().take(batch.rows as usize);
            inner
                .by_writer
                .entry(self.subtask)
                .or_default()
                .extend(rows);
            inner.rows += batch.rows as usize;
            if let Some((limit, call)) = &inner.after_rows
                && inner.rows >= *limit
            {
                call();
            }
        }
        if self.service.due(Fault::AskForCheckpoints) {
            self.requests.request(CheckpointReason::Memory);
        }
        let full = [
            Fault::OneBatchOfCredit,
            Fault::CreditAfterFlush,
            Fault::NeverCredit,
        ];
        let credit = if full.into_iter().any(|fault| self.service.due(fault)) {
            0
        } else {
            1 << 20
        };
        Ok(progress(credit))
    }

    async fn drive(&mut self, _budget_ms: u32) -> Result<Progress, CallError> {
        self.service.lock().drives += 1;
        let never = self.service.due(Fault::NeverCredit);
        let unflushed = self.service.due(Fault::CreditAfterFlush) && !self.flushed;
        Ok(progress(if never || unflushed { 0 } else { 1 << 20 }))
    }

    async fn flush(&mut self) -> Result<(), CallError> {
        self.flushed = true;
        Ok(())
    }

    async fn prepare(&mut self, checkpoint: u64) -> Result<Vec<Committable>, CallError> {
        self.service.at(Moment::Prepare);
        if self.service.due(Fault::Prepare) {
            return Err(error(ErrorClass::Permanent, "prepare"));
        }
        if self.buffer.is_empty() {
            return Ok(Vec::new());
        }
        let mut inner = self.service.lock();
        inner.sessions += 1;
        let session = format!("{checkpoint}.{}.{}", self.subtask, inner.sessions);
        inner
            .prepared
            .insert(session.clone(), std::mem::take(&mut self.buffer));
        drop(inner);
        if self.service.due(Fault::AfterPrepare) {
            return Err(error(ErrorClass::Permanent, "after prepare"));
        }
        Ok(vec![Committable {
            table: self.table.clone(),
            format: 1,
            payload: session.into_bytes(),
        }])
    }

    async fn snapshot(&mut self, checkpoint: u64) -> Result<State, CallError> {
        let payload = format!("writer {} at {checkpoint}", self.subtask).into_bytes();
        Ok(State { format: 1, payload })
    }

    async fn metrics(&mut self) -> Result<Vec<Metric>, CallError> {
        let metric = |name: &str, value: u64| Metric {
            name: name.into(),
            kind: MetricKind::Counter,
            labels: vec![("table".into(), format!("project.default.{}", self.table))],
            value: value as f64,
        };
        Ok(vec![
            metric("rows_ignored_total", self.ignored),
            metric("dead_letters_total", self.kept_aside),
        ])
    }

    async fn close(&mut self) -> Result<(), CallError> {
        Ok(())
    }

    async fn open_committer(&mut self, _options: &[(String, String)]) -> Result<(), CallError> {
        self.service.at(Moment::OpenCommitter);
        Ok(())
    }

    async fn commit(&mut self, items: &[Committable]) -> Result<Vec<CommitOutcome>, CallError> {
        if self.service.due(Fault::CommitNothing) {
            return Err(error(ErrorClass::Permanent, "commit"));
        }
        if self.service.due(Fault::CommitLater) {
            return Ok(items.iter().map(|_| CommitOutcome::Retry(5)).collect());
        }
        let one = self.service.due(Fault::CommitOne);
        let refuse = self.service.due(Fault::RefuseSecondCommit);
        let mut outcomes = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if one && index == 1 {
                return Err(error(ErrorClass::Permanent, "died between commits"));
            }
            if refuse && index == 1 {
                let CallError::Sink(error) = error(ErrorClass::Permanent, "refused") else {
                    panic!()
                };
                outcomes.push(CommitOutcome::Failed(*error));
                continue;
            }
            let mut inner = self.service.lock();
            let session = String::from_utf8(item.payload.clone()).unwrap();
            outcomes.push(match inner.prepared.remove(&session) {
                Some(rows) => {
                    inner.visible.extend(rows);
                    CommitOutcome::Committed
                }
                None => CommitOutcome::AlreadyCommitted,
            });
        }
        if self.service.due(Fault::CommitAllUnanswered) {
            return Err(error(ErrorClass::Permanent, "died after the commits"));
        }
        Ok(outcomes)
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

/// The rows with odd ids of one message, which has one batch.
fn dead_letters(table: &TablePath, sequence: u64, decoded: &[RecordBatch]) -> DeadLetters {
    let batch = &decoded[0];
    let ids = batch
        .column(0)
        .as_primitive::<Int64Type>()
        .values()
        .to_vec();
    let odd = (0..).zip(&ids).filter(|(_, id)| *id % 2 == 1);
    let (rows, ids): (Vec<u32>, Vec<i64>) = odd.unzip();
    let operations = Int8Array::from(vec![0; ids.len()]);
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("__op", DataType::Int8, false),
    ]));
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids)), Arc::new(operations)];
    let kept = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer.write(&kept).unwrap();
    let bad_row = |row| BadRow {
        sequence,
        row,
        column: Some("id".into()),
        reason: "odd".into(),
    };
    DeadLetters {
        table: table.clone(),
        rows: rows.into_iter().map(bad_row).collect(),
        ipc: writer.into_inner().unwrap(),
    }
}

/// A source's batches.
pub(super) type Script = Vec<ScriptBatch>;

#[derive(Clone)]
pub(super) struct ScriptBatch {
    ids: Vec<i64>,
    keyed: bool,
    pub(super) cut: bool,
    broken: bool,
}

impl ScriptBatch {
    pub(super) fn broken() -> Self {
        Self {
            ids: Vec::new(),
            keyed: false,
            cut: true,
            broken: true,
        }
    }
}

/// Rows numbered from 0, no key.
pub(super) fn batches(count: i64, rows: i64) -> Script {
    (0..count)
        .map(|batch| ScriptBatch {
            ids: (batch * rows..(batch + 1) * rows).collect(),
            keyed: false,
            cut: true,
            broken: false,
        })
        .collect()
}

/// The same with primary key `id`.
pub(super) fn keyed_batches(count: i64, rows: i64) -> Script {
    let mut script = batches(count, rows);
    for batch in &mut script {
        batch.keyed = true;
    }
    script
}

/// Opens the script at a position.
pub(super) fn source(script: &Script) -> OpenSource {
    let script = script.clone();
    Arc::new(move |position| {
        let next = position.map_or(0, |position| position.to_json().parse().unwrap());
        Ok(Box::new(Scripted {
            script: script.clone(),
            next,
            announced: false,
        }))
    })
}

struct Scripted {
    script: Script,
    next: usize,
    announced: bool,
}

impl Source for Scripted {
    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
        let Some(batch) = self.script.get(self.next).cloned() else {
            return Ok(None);
        };
        if !self.announced {
            self.announced = true;
            return Ok(Some(SourceEvent::Table(SourceTable {
                id: 0,
                path: TableId::parse("orders").unwrap(),
                schema,
                primary_key: if batch.keyed {
                    vec!["id".into()]
                } else {
                    Vec::new()
                },
                partition_by: Vec::new(),
                schema_version: 1,
                renamed: Vec::new(),
            })));
        }
        self.next += 1;
        if batch.broken {
            return Err(SourceError::new(SourceErrorKind::Data, "broken"));
        }
        let mut origin = Origin::new(Arc::from("orders.json"), crate::source::OriginUnit::Line);
        for (row, id) in batch.ids.iter().enumerate() {
            origin.push(row as u32, *id as u64 + 1);
        }
        let rows = Arc::new(Int64Array::from(batch.ids));
        Ok(Some(SourceEvent::Batch(SourceBatch {
            table: 0,
            schema_version: 1,
            bytes: rows.len() as u64 * 8,
            batch: RecordBatch::try_new(schema, vec![rows]).unwrap(),
            position: batch
                .cut
                .then(|| Position::from_json(&self.next.to_string()).unwrap()),
            origin,
        })))
    }

    fn stats(&self) -> SourceStats {
        SourceStats::default()
    }
}
