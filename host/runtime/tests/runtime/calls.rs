//! The calls of the contract through a well-behaved guest, and what the host does with bad answers.

use crate::support::{batch, options, report, table, trusted, writer};
use async_trait::async_trait;
use longshore_runtime::contract::{
    CheckpointId, CheckpointReason, ColumnAdd, ColumnPosition, CommitOutcome, Committable,
    DeadLetters, ErrorClass, SchemaChange, State,
};
use longshore_runtime::{
    CallError, CheckpointListener, DeadLetterSink, InstanceConfig, Limits, LogLimits,
};
use std::io::Write;
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn a_writer_and_a_committer_go_through_a_checkpoint() {
    // Spawned, because hosts run instances on tasks: the futures must be Send.
    tokio::spawn(async {
        let mut sink = writer(&trusted(), InstanceConfig::default(), []).await;
        assert_eq!(sink.declare_table(&table("t1")).await.unwrap(), 7);
        let progress = sink.write(&batch(1, 100, 1 << 20)).await.unwrap();
        assert_eq!(progress.wake_after_ms, Some(250));
        assert_eq!(progress.credit, Limits::default().max_credit, "claims are bounded");
        sink.drive(1).await.unwrap();
        sink.flush().await.unwrap();
        let committables = sink.prepare(42).await.unwrap();
        let committable = committables.first().unwrap();
        assert_eq!(committable.payload, 42_u64.to_le_bytes());
        assert_eq!(committable.table.to_string(), "s.t1");
        let state = sink.snapshot(42).await.unwrap();
        let metrics = sink.metrics().await.unwrap();
        assert_eq!(metrics.first().unwrap().value, 100.0);
        sink.close().await.unwrap();

        let odd = Committable { format: 9, ..committable.clone() };
        let items = [committable.clone(), odd];
        let mut fresh = trusted().instantiate(InstanceConfig::default()).await.unwrap();
        fresh.open_committer(&[]).await.unwrap();
        let outcomes = fresh.commit(&items).await.unwrap();
        assert_eq!(outcomes.first(), Some(&CommitOutcome::Committed));
        assert!(matches!(outcomes.get(1), Some(CommitOutcome::Failed(error)) if error.code == "committable.format"));
        assert_eq!(fresh.abort(&items).await.unwrap(), vec![CommitOutcome::AlreadyCommitted; 2]);

        fresh.open_writer(&[], 1, 2, Some(&state)).await.unwrap();
        assert_eq!(fresh.snapshot(43).await.unwrap(), state);
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn sink_errors_arrive_whole_and_leave_the_instance_usable() {
    let mut sink = writer(
        &trusted(),
        InstanceConfig::default(),
        [("behaviour", "bad-row"), ("row", "3")],
    )
    .await;
    let error = sink.write(&batch(5, 4, 10)).await.unwrap_err();
    let CallError::Sink(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.class, ErrorClass::Data);
    let row = error.bad_rows.first().unwrap();
    assert_eq!(
        (row.sequence, row.row, row.column.as_deref()),
        (5, 3, Some("c"))
    );

    let change = SchemaChange::AddColumns(vec![ColumnAdd {
        arrow_field: vec![],
        position: ColumnPosition::After("id".into()),
    }]);
    let error = sink.change_schema(&change, &table("t1")).await.unwrap_err();
    let error = error.sink_error().unwrap();
    assert_eq!(error.class, ErrorClass::Throttled(1500));
    assert!(error.message.contains("After(\"id\")"), "{error}");

    let prepared = sink.prepare_table(7, 3).await.unwrap();
    assert_eq!(
        (prepared[0].format, prepared[0].payload.as_slice()),
        (7, 3_u64.to_le_bytes().as_slice())
    );

    let error = sink.declare_table(&table("absent")).await.unwrap_err();
    assert_eq!(error.sink_error().unwrap().class, ErrorClass::Schema);
    assert!(!sink.is_poisoned());
}

#[tokio::test]
async fn calls_in_the_wrong_order_never_reach_the_guest() {
    let mut sink = trusted()
        .instantiate(InstanceConfig::default())
        .await
        .unwrap();
    assert!(matches!(
        sink.flush().await,
        Err(CallError::WrongState { .. })
    ));
    assert!(matches!(
        sink.commit(&[]).await,
        Err(CallError::WrongState { .. })
    ));
    assert!(matches!(
        sink.open_writer(&[], 2, 2, None).await,
        Err(CallError::InvalidInput { .. })
    ));
    sink.open_writer(&[], 0, 1, None).await.unwrap();
    assert!(matches!(
        sink.open_writer(&[], 0, 1, None).await,
        Err(CallError::WrongState { .. })
    ));
    let giant = batch(1, 1, (16 << 20) + 1);
    assert!(matches!(
        sink.write(&giant).await,
        Err(CallError::InvalidInput { .. })
    ));
    sink.write(&batch(1, 1, 16 << 20)).await.unwrap();
    sink.close().await.unwrap();
    sink.open_writer(&[], 0, 1, None).await.unwrap();
}

async fn broken_output<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    call: impl AsyncFnOnce(&mut longshore_runtime::SinkInstance) -> CallError,
) {
    let mut sink = writer(&trusted(), InstanceConfig::default(), pairs).await;
    let error = call(&mut sink).await;
    assert!(
        matches!(error, CallError::InvalidOutput { .. }),
        "{error:?}"
    );
    assert!(error.is_fatal());
    assert!(matches!(
        sink.flush().await,
        Err(CallError::Poisoned { .. })
    ));
}

#[tokio::test]
async fn answers_no_sink_may_give_poison_the_instance() {
    broken_output([("behaviour", "bad-metric")], async |sink| {
        sink.metrics().await.unwrap_err()
    })
    .await;
    broken_output([("behaviour", "bad-row"), ("row", "4")], async |sink| {
        sink.write(&batch(5, 4, 10)).await.unwrap_err()
    })
    .await;
    broken_output(
        [("behaviour", "big-list"), ("bytes", "5000000")],
        async |sink| sink.prepare(1).await.unwrap_err(),
    )
    .await;
    broken_output([], async |sink| {
        sink.open_committer(&options([("behaviour", "short")]))
            .await
            .unwrap();
        let item = sink.prepare(1).await.unwrap();
        sink.commit(&item).await.unwrap_err()
    })
    .await;
}

#[derive(Default)]
struct Recorder {
    reasons: Mutex<Vec<CheckpointReason>>,
    letters: Mutex<Vec<DeadLetters>>,
}

impl CheckpointListener for Recorder {
    fn request(&self, reason: CheckpointReason) {
        self.reasons.lock().unwrap().push(reason);
    }

    fn last_committed(&self) -> Option<CheckpointId> {
        Some(11)
    }
}

#[async_trait]
impl DeadLetterSink for Recorder {
    async fn put(&self, letters: DeadLetters) -> Result<(), String> {
        tokio::task::yield_now().await;
        self.letters.lock().unwrap().push(letters);
        Ok(())
    }
}

#[tokio::test]
async fn checkpoint_requests_and_dead_letters_reach_the_host() {
    let recorder = Arc::new(Recorder::default());
    let config = InstanceConfig {
        checkpoint: recorder.clone(),
        dead_letter: recorder.clone(),
        ..InstanceConfig::default()
    };
    let mut sink = writer(&trusted(), config.clone(), [("behaviour", "checkpoint")]).await;
    assert_eq!(report(&mut sink).await, "Some(11)");
    assert_eq!(
        *recorder.reasons.lock().unwrap(),
        [CheckpointReason::SessionAge]
    );

    let mut sink = writer(&trusted(), config, [("behaviour", "dead-letter")]).await;
    assert_eq!(report(&mut sink).await, "Ok(())");
    let letters = recorder.letters.lock().unwrap().pop().unwrap();
    assert_eq!(
        (letters.ipc, letters.rows.first().unwrap().row),
        (vec![1, 2, 3], 2)
    );

    let mut sink = writer(
        &trusted(),
        InstanceConfig::default(),
        [("behaviour", "dead-letter")],
    )
    .await;
    assert!(
        report(&mut sink)
            .await
            .contains("no place for dead letters")
    );
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn log_events_are_escaped_and_limited() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer({
            let lines = lines.clone();
            move || lines.clone()
        })
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let config = InstanceConfig {
        name: "writer 0".into(),
        limits: Limits {
            log: LogLimits {
                burst: 5,
                per_second: 0,
                ..LogLimits::default()
            },
            ..Limits::default()
        },
        ..InstanceConfig::default()
    };
    let mut sink = writer(&trusted(), config, [("behaviour", "log")]).await;
    sink.flush().await.unwrap();
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let events: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("longshore::component"))
        .collect();
    assert_eq!(events.len(), 5, "{text}");
    let first = events.first().unwrap();
    for part in [
        "WARN",
        "line\\n\\u{1b}[2Jbreak",
        "instance=\"writer 0\"",
        "fields=table=t1",
    ] {
        assert!(first.contains(part), "{part} not in {first}");
    }
}

#[test]
fn committables_and_state_survive_a_checkpoint_file() {
    let state = State {
        format: 2,
        payload: vec![0, 255],
    };
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
}
