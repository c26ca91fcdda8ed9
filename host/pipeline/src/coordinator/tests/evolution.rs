//! Schema changes, with deaths at every step: rows end under their schema, once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use longshore_runtime::contract::{
    Batch, CommitOutcome, Committable, Credit, ErrorClass, Metric, Progress, SchemaChange,
    SinkError, State, TableDecl,
};
use longshore_runtime::{CallError, Traffic};

use super::super::*;
use crate::checkpoint_store::Identity;
use crate::definition::{RouteMode, SchemaChangeBehavior};
use crate::source::{
    Origin, OriginUnit, Removal, SourceBatch, SourceEvent, SourceStats, SourceTable, TableId,
};

/// What the source tells.
#[derive(Clone)]
enum Step {
    /// Rows of a table that has these columns, `id` first.
    Rows(&'static str, &'static [&'static str], std::ops::Range<u32>),
    /// The same, after columns got other names.
    Renamed(
        &'static str,
        &'static [&'static str],
        &'static [(&'static str, &'static str)],
        std::ops::Range<u32>,
    ),
    Truncate(&'static str),
}

/// Each step is a cut.
struct Script {
    steps: Vec<Step>,
    next: usize,
    announced: HashMap<&'static str, (&'static [&'static str], u32)>,
    waiting: Option<SourceEvent>,
}

impl Script {
    fn open(steps: &[Step]) -> OpenSource {
        let steps = steps.to_vec();
        Arc::new(move |position| {
            Ok(Box::new(Script {
                steps: steps.clone(),
                next: position.map_or(0, |position| position.to_json().parse().unwrap()),
                announced: HashMap::new(),
                waiting: None,
            }))
        })
    }

    fn rows(
        &mut self,
        table: &'static str,
        columns: &'static [&'static str],
        renamed: &[(&str, &str)],
        ids: std::ops::Range<u32>,
    ) -> SourceEvent {
        let known = self.announced.get(table);
        let version = known.map_or(1, |(_, version)| *version);
        let id = u32::from(table != "a");
        let fields = columns
            .iter()
            .map(|name| Field::new(*name, DataType::Utf8, true));
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let is_new = known.is_none_or(|(before, _)| *before != columns);
        let version = version + u32::from(is_new);
        self.announced.insert(table, (columns, version));
        let arrays = columns.iter().map(|name| -> ArrayRef {
            let value = |id: u32| match *name {
                "id" => id.to_string(),
                name => format!("{name}{id}"),
            };
            Arc::new(StringArray::from_iter_values(ids.clone().map(value)))
        });
        let mut origin = Origin::new(Arc::from("script"), OriginUnit::Row);
        origin.push(0, 1);
        let batch = SourceEvent::Batch(SourceBatch {
            table: id,
            schema_version: version,
            bytes: 1,
            batch: RecordBatch::try_new(Arc::clone(&schema), arrays.collect()).unwrap(),
            position: Some(Position::from_json(&self.next.to_string()).unwrap()),
            origin,
        });
        if !is_new {
            return batch;
        }
        self.waiting = Some(batch);
        let renamed = renamed.iter();
        SourceEvent::Table(SourceTable {
            id,
            path: TableId::parse(table).unwrap(),
            schema,
            primary_key: Vec::new(),
            partition_by: Vec::new(),
            schema_version: version,
            renamed: renamed
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect(),
        })
    }
}

impl Source for Script {
    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        if let Some(event) = self.waiting.take() {
            return Ok(Some(event));
        }
        let Some(step) = self.steps.get(self.next).cloned() else {
            return Ok(None);
        };
        self.next += 1;
        Ok(Some(match step {
            Step::Rows(table, columns, ids) => self.rows(table, columns, &[], ids),
            Step::Renamed(table, columns, renamed, ids) => self.rows(table, columns, renamed, ids),
            Step::Truncate(table) => SourceEvent::Truncate(Removal {
                table: TableId::parse(table).unwrap(),
                position: Position::from_json(&self.next.to_string()).unwrap(),
            }),
        }))
    }

    fn stats(&self) -> SourceStats {
        SourceStats::default()
    }
}

/// When a sink instance dies. The run starts over from what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    BeforeChange,
    AfterChange,
    AfterPrepare,
    BeforeCommit,
    AfterCommit,
}

type Row = BTreeMap<String, String>;

#[derive(Default)]
struct Service {
    state: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Columns and rows.
    tables: BTreeMap<String, (Vec<String>, Vec<Row>)>,
    prepared: HashMap<String, (String, Vec<Row>)>,
    sessions: u64,
    /// Commits by table.
    commits: BTreeMap<String, u64>,
    changes: Vec<String>,
    /// Rows that came, by table; those of a writer that died among them.
    written: BTreeMap<String, usize>,
    /// Changes take until so many rows have come for a table.
    slow_until: Option<(&'static str, usize)>,
    refused: Option<&'static str>,
    /// The death and how many times it passes by before.
    death: Option<(Death, u64)>,
}

impl Service {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap()
    }

    fn pass(&self, death: Death) -> Result<(), CallError> {
        let mut inner = self.lock();
        match &mut inner.death {
            Some((due, 0)) if *due == death => {
                inner.death = None;
                Err(error(ErrorClass::Fenced, "died"))
            }
            Some((due, left)) if *due == death => {
                *left -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn is_slow(&self) -> bool {
        let inner = self.lock();
        inner.slow_until.is_some_and(|(table, rows)| {
            inner
                .written
                .get(table)
                .is_none_or(|written| *written < rows)
        })
    }

    /// Rows as texts, in order: `id=1 x=x1`.
    fn rows(&self, table: &str) -> Vec<String> {
        let inner = self.lock();
        let (columns, rows) = &inner.tables[table];
        let text = |row: &Row| {
            let value = |name: &String| row.get(name).cloned().unwrap_or("-".to_owned());
            let pairs = columns.iter().map(|name| format!("{name}={}", value(name)));
            pairs.collect::<Vec<_>>().join(" ")
        };
        let mut rows: Vec<&Row> = rows.iter().collect();
        rows.sort_by_key(|row| row["id"].parse::<u32>().unwrap());
        rows.into_iter().map(text).collect()
    }
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

struct Sink(Arc<Service>);

#[async_trait]
impl SinkFactory for Sink {
    async fn instance(
        &self,
        _name: &str,
        _dead_letters: Arc<dyn longshore_runtime::DeadLetterSink>,
    ) -> Result<Box<dyn SinkDriver>, CallError> {
        Ok(Box::new(Driver {
            service: Arc::clone(&self.0),
            tables: Vec::new(),
        }))
    }
}

struct Driver {
    service: Arc<Service>,
    /// Declaration and rows that are not prepared.
    tables: Vec<(TableDecl, Vec<Row>)>,
}

fn names(message: &[u8]) -> Vec<String> {
    let schema = StreamReader::try_new(message, None).unwrap().schema();
    schema.fields().iter().map(|f| f.name().clone()).collect()
}

#[async_trait]
impl SinkDriver for Driver {
    async fn open_writer(
        &mut self,
        _options: &[(String, String)],
        _subtask: u32,
        _parallelism: u32,
        _restore: Option<&State>,
    ) -> Result<(), CallError> {
        // What was stored has been committed by now; the rest is nobody's.
        self.service.lock().prepared.clear();
        Ok(())
    }

    async fn declare_table(&mut self, table: &TableDecl) -> Result<u32, CallError> {
        let columns = names(&table.arrow_schema);
        let mut inner = self.service.lock();
        let there = inner.tables.entry(table.path.to_string());
        let there = &there.or_insert_with(|| (columns.clone(), Vec::new())).0;
        if let Some(missing) = columns.iter().find(|name| !there.contains(name)) {
            let message = format!("column {missing} is not there");
            return Err(error(ErrorClass::Schema, &message));
        }
        let known = self.tables.iter().position(|(t, _)| t.path == table.path);
        let index = known.unwrap_or(self.tables.len());
        match self.tables.get_mut(index) {
            Some((declared, rows)) => {
                assert!(rows.is_empty(), "rows of another schema are not prepared");
                *declared = table.clone();
            }
            None => self.tables.push((table.clone(), Vec::new())),
        }
        Ok(index as u32)
    }

    async fn change_schema(
        &mut self,
        change: &SchemaChange,
        next: &TableDecl,
    ) -> Result<(), CallError> {
        while self.service.is_slow() {
            tokio::task::yield_now().await;
        }
        self.service.pass(Death::BeforeChange)?;
        let name = next.path.to_string();
        for (table, rows) in &self.tables {
            assert!(
                table.path != next.path || rows.is_empty(),
                "rows are not prepared"
            );
        }
        {
            let mut inner = self.service.lock();
            let pending = inner.prepared.values().any(|(table, _)| *table == name);
            assert!(!pending, "rows are not committed");
            if let Some(refused) = inner.refused
                && format!("{change:?}").starts_with(refused)
            {
                return Err(error(ErrorClass::Schema, "refused"));
            }
            inner
                .changes
                .push(format!("{name}: {}", next.schema_version));
            let (columns, rows) = inner.tables.entry(name).or_default();
            match change {
                SchemaChange::AddColumns(adds) => {
                    let mut added: Vec<String> = adds
                        .iter()
                        .flat_map(|add| names(&add.arrow_field))
                        .collect();
                    added.retain(|name| !columns.contains(name));
                    columns.extend(added);
                }
                SchemaChange::DropColumns(gone) => {
                    columns.retain(|name| !gone.contains(name));
                    rows.iter_mut()
                        .for_each(|row| row.retain(|n, _| !gone.contains(n)));
                }
                SchemaChange::RenameColumns(pairs) => {
                    for (from, to) in pairs {
                        for name in columns.iter_mut().filter(|name| *name == from) {
                            name.clone_from(to);
                        }
                        for row in rows.iter_mut() {
                            let value = row.remove(from);
                            row.extend(value.map(|value| (to.clone(), value)));
                        }
                    }
                }
                SchemaChange::Truncate => rows.clear(),
                _ => {}
            }
        }
        self.service.pass(Death::AfterChange)
    }

    async fn prepare_table(&mut self, table: u32, _: u64) -> Result<Vec<Committable>, CallError> {
        let Some((table, rows)) = self.tables.get_mut(table as usize) else {
            return Ok(Vec::new());
        };
        let (path, rows) = (table.path.clone(), std::mem::take(rows));
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let session = {
            let mut inner = self.service.lock();
            inner.sessions += 1;
            let session = inner.sessions.to_string();
            inner
                .prepared
                .insert(session.clone(), (path.to_string(), rows));
            session
        };
        self.service.pass(Death::AfterPrepare).inspect_err(|_| {
            self.service.lock().prepared.remove(&session);
        })?;
        Ok(vec![Committable {
            table: path,
            format: 1,
            payload: session.into_bytes(),
        }])
    }

    async fn write(&mut self, batch: &Batch) -> Result<Progress, CallError> {
        let (table, rows) = &mut self.tables[batch.table as usize];
        assert_eq!(table.schema_version, batch.schema_version);
        let name = table.path.to_string();
        *self.service.lock().written.entry(name).or_default() += batch.rows as usize;
        let mut stream = table.arrow_schema.clone();
        stream.extend_from_slice(&batch.ipc);
        for batch in StreamReader::try_new(stream.as_slice(), None).unwrap() {
            let batch = batch.unwrap();
            let schema = batch.schema();
            for row in 0..batch.num_rows() {
                let columns = schema.fields().iter().zip(batch.columns());
                let values = columns.filter(|(_, column)| column.is_valid(row));
                let text = |column: &ArrayRef| column.as_string::<i32>().value(row).to_owned();
                rows.push(values.map(|(f, c)| (f.name().clone(), text(c))).collect());
            }
        }
        self.drive(0).await
    }

    async fn drive(&mut self, _budget_ms: u32) -> Result<Progress, CallError> {
        Ok(Progress {
            credit: Credit {
                bytes: 1 << 20,
                rows: 1 << 20,
            },
            wake_after_ms: None,
        })
    }

    async fn flush(&mut self) -> Result<(), CallError> {
        Ok(())
    }

    async fn prepare(&mut self, checkpoint: u64) -> Result<Vec<Committable>, CallError> {
        let mut all = Vec::new();
        for table in 0..self.tables.len() {
            all.extend(self.prepare_table(table as u32, checkpoint).await?);
        }
        Ok(all)
    }

    async fn snapshot(&mut self, _checkpoint: u64) -> Result<State, CallError> {
        Ok(State {
            format: 1,
            payload: Vec::new(),
        })
    }

    async fn metrics(&mut self) -> Result<Vec<Metric>, CallError> {
        Ok(Vec::new())
    }

    async fn close(&mut self) -> Result<(), CallError> {
        Ok(())
    }

    async fn open_committer(&mut self, _options: &[(String, String)]) -> Result<(), CallError> {
        Ok(())
    }

    async fn commit(&mut self, items: &[Committable]) -> Result<Vec<CommitOutcome>, CallError> {
        self.service.pass(Death::BeforeCommit)?;
        let outcomes = items.iter().map(|item| {
            let mut inner = self.service.lock();
            let session = String::from_utf8(item.payload.clone()).unwrap();
            let Some((table, rows)) = inner.prepared.remove(&session) else {
                return CommitOutcome::AlreadyCommitted;
            };
            *inner.commits.entry(table.clone()).or_default() += 1;
            let (columns, there) = inner.tables.get_mut(&table).unwrap();
            for row in &rows {
                assert!(
                    row.keys().all(|name| columns.contains(name)),
                    "{row:?}, {columns:?}"
                );
            }
            there.extend(rows);
            CommitOutcome::Committed
        });
        let outcomes = outcomes.collect();
        self.service.pass(Death::AfterCommit)?;
        Ok(outcomes)
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

/// Every kind of change of table `a`, and a table `other` that goes on all the time.
fn steps() -> Vec<Step> {
    const OTHER: &[&str] = &["id"];
    vec![
        Step::Rows("a", &["id", "x"], 0..3),
        Step::Rows("other", OTHER, 0..2),
        Step::Rows("a", &["id", "x", "y"], 3..5),
        Step::Rows("a", &["id", "x", "y"], 5..6),
        Step::Rows("other", OTHER, 2..4),
        Step::Renamed("a", &["id", "z", "y"], &[("x", "z")], 6..8),
        Step::Rows("a", &["id", "y"], 8..9),
        Step::Rows("a", &["id", "y", "x"], 9..12),
        Step::Rows("other", OTHER, 4..6),
    ]
}

async fn run(
    steps: &[Step],
    service: &Arc<Service>,
    evolution: SchemaEvolution,
    parallelism: u32,
    interval: Duration,
) -> (Report, Result<Outcome, RunError>) {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity {
        pipeline: "p".into(),
        source: "s".into(),
        sink: "k".into(),
    };
    let store = CheckpointStore::open(&directory.path().join("p.db"), &identity).unwrap();
    let (_handle, stop) = stop_channel();
    let coordinator = Coordinator {
        source: Script::open(steps),
        router: Router::new(Vec::new(), RouteMode::AllMatch),
        sink: Arc::new(Sink(Arc::clone(service))),
        settings: Settings {
            parallelism,
            sink_options: Vec::new(),
            checkpoint_interval: interval,
            retry: RetryPolicy::default(),
            evolution,
            dead_letters: DeadLetterPolicy::default(),
        },
        store,
        requests: Arc::default(),
        live: Arc::default(),
        stop,
        platform: Arc::new(Machine),
    };
    coordinator.run().await
}

fn evolve() -> SchemaEvolution {
    SchemaEvolution::new(SchemaChangeBehavior::Evolve, None, None, None)
}

const NEVER: Duration = Duration::from_secs(3600);

/// The change of `a` ends when rows that come after it have been written to `other`, which is changed
/// itself then.
#[tokio::test]
async fn rows_of_other_tables_go_on_while_a_table_is_changed() {
    let steps = [
        Step::Rows("a", &["id", "x"], 0..3),
        Step::Rows("other", &["id"], 0..2),
        Step::Rows("a", &["id", "x", "y"], 3..5),
        Step::Rows("other", &["id"], 2..4),
        Step::Rows("a", &["id", "x", "y"], 5..6),
        Step::Rows("other", &["id"], 4..6),
        Step::Renamed("a", &["id", "z", "y"], &[("x", "z")], 6..8),
        Step::Rows("other", &["id", "w"], 6..8),
        Step::Truncate("other"),
        Step::Rows("other", &["id", "w"], 8..9),
    ];
    let deaths = [
        None,
        Some(Death::BeforeChange),
        Some(Death::AfterChange),
        Some(Death::AfterPrepare),
        Some(Death::BeforeCommit),
        Some(Death::AfterCommit),
    ];
    for parallelism in [1, 3] {
        for interval in [Duration::from_millis(1), NEVER] {
            for (death, passes) in deaths.into_iter().flat_map(|d| [(d, 0), (d, 1), (d, 2)]) {
                let service = Arc::new(Service::default());
                service.lock().slow_until = Some(("other", 6));
                service.lock().death = death.map(|death| (death, passes));
                let run = run(&steps, &service, evolve(), parallelism, interval);
                let ended = tokio::time::timeout(Duration::from_secs(30), run).await;
                let (_, result) = ended.expect("rows of `other` do not wait for the change of `a`");
                assert_eq!(result.unwrap(), Outcome::Finished, "{death:?} {passes}");
                let rows = service.rows("a");
                assert_eq!(rows.len(), 8, "{death:?} {passes}: {rows:?}");
                assert_eq!(rows[5], "id=5 z=x5 y=y5");
                assert_eq!(rows[7], "id=7 z=z7 y=y7");
                assert_eq!(service.rows("other"), ["id=8 w=w8"], "{death:?} {passes}");
            }
        }
    }
}

#[tokio::test]
async fn a_change_commits_its_own_table_only() {
    for parallelism in [1, 3] {
        let service = Arc::new(Service::default());
        let (_, result) = run(&steps(), &service, evolve(), parallelism, NEVER).await;
        assert_eq!(result.unwrap(), Outcome::Finished);
        let rows = service.rows("a");
        assert_eq!(rows[0], "id=0 y=- x=-");
        assert_eq!(rows[4], "id=4 y=y4 x=-");
        assert_eq!(rows[11], "id=11 y=y11 x=x11");
        assert_eq!((rows.len(), service.rows("other").len()), (12, 6));
        let inner = service.lock();
        // Each change once, whatever the number of writers.
        assert_eq!(inner.changes.len(), 4, "{:?}", inner.changes);
        // Its rows before the first change are in the pipeline's first checkpoint, all others in
        // the one at the end, by writer.
        let expected = if parallelism == 1 { 2 } else { 3 };
        assert_eq!(inner.commits["other"], expected);
    }
}

#[tokio::test]
async fn rows_stand_once_under_their_schema_wherever_a_run_dies() {
    let calm = Arc::new(Service::default());
    run(&steps(), &calm, evolve(), 1, NEVER).await.1.unwrap();
    for interval in [NEVER, Duration::from_millis(1)] {
        for death in [
            Death::BeforeChange,
            Death::AfterChange,
            Death::AfterPrepare,
            Death::BeforeCommit,
            Death::AfterCommit,
        ] {
            for nth in 0..5 {
                let service = Arc::new(Service::default());
                service.lock().death = Some((death, nth));
                let (report, result) = run(&steps(), &service, evolve(), 2, interval).await;
                result.unwrap_or_else(|error| panic!("{death:?} {nth}: {error}"));
                let died = service.lock().death.is_none();
                assert_eq!(report.restarts, u64::from(died), "{death:?} {nth}");
                for table in ["a", "other"] {
                    assert_eq!(service.rows(table), calm.rows(table), "{death:?} {nth}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_truncate_takes_the_rows_before_it_and_no_others() {
    const COLUMNS: &[&str] = &["id"];
    let steps = [
        Step::Rows("a", COLUMNS, 0..3),
        Step::Rows("other", COLUMNS, 0..2),
        Step::Truncate("a"),
        Step::Rows("a", COLUMNS, 3..5),
        Step::Truncate("never-seen"),
    ];
    for death in [Death::BeforeChange, Death::AfterChange, Death::AfterCommit] {
        let service = Arc::new(Service::default());
        service.lock().death = Some((death, 0));
        run(&steps, &service, evolve(), 1, NEVER).await.1.unwrap();
        assert_eq!(service.rows("a"), ["id=3", "id=4"], "{death:?}");
        assert_eq!(service.rows("other").len(), 2);
    }
    let service = Arc::new(Service::default());
    let (report, result) = run(&steps, &service, SchemaEvolution::default(), 1, NEVER).await;
    result.unwrap();
    assert_eq!(service.rows("a").len(), 5);
    assert_eq!(
        report.warnings.len(),
        2,
        "what is left out is told: {:?}",
        report.warnings
    );
}

#[tokio::test]
async fn try_evolve_goes_on_with_the_old_schema() {
    let steps = [
        Step::Rows("a", &["id", "x"], 0..2),
        Step::Renamed("a", &["id", "z"], &[("x", "z")], 2..3),
        Step::Rows("a", &["id", "z", "w"], 3..4),
    ];
    let refusing = || {
        let service = Arc::new(Service::default());
        service.lock().refused = Some("RenameColumns");
        service
    };
    let service = refusing();
    let evolution = SchemaEvolution::new(SchemaChangeBehavior::TryEvolve, None, None, None);
    let (report, result) = run(&steps, &service, evolution, 1, NEVER).await;
    result.unwrap();
    assert_eq!(
        service.rows("a"),
        [
            "id=0 x=x0 w=-",
            "id=1 x=x1 w=-",
            "id=2 x=- w=-",
            "id=3 x=- w=w3"
        ]
    );
    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
    let (_, result) = run(&steps, &refusing(), evolve(), 1, NEVER).await;
    assert!(result.unwrap_err().to_string().contains("refused"));
}
