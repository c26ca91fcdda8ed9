//! The coordinator against a sink and a service that live in memory.

mod evolution;
mod fake;
mod replay;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::checkpoint_store::{DeadLetterReader, Identity, StoreError};
use crate::dead_letters::{ExportForm, export};
use crate::definition::RouteMode;
use crate::route::Router;
use fake::{DEATHS, Fault, Moment, Service, Sink, batches, keyed_batches};

/// Everything a run needs, over one directory and one service.
struct Bench {
    directory: tempfile::TempDir,
    service: Arc<Service>,
    batches: fake::Script,
    parallelism: u32,
    interval: Duration,
    retry: RetryPolicy,
    evolution: SchemaEvolution,
    dead_letters: DeadLetterPolicy,
}

impl Bench {
    fn new(batches: fake::Script) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            service: Arc::new(Service::default()),
            batches,
            parallelism: 1,
            interval: Duration::from_secs(3600),
            retry: RetryPolicy::default(),
            evolution: SchemaEvolution::default(),
            dead_letters: DeadLetterPolicy::default(),
        }
    }

    fn store(&self) -> CheckpointStore {
        open_store(&self.directory.path().join("p.db"))
    }

    /// Lets another run take the store over when this one comes to that point, though it is locked.
    fn take_over_at(&self, moment: Moment) {
        let path = self.directory.path().join("p.db");
        self.service.once_at(moment, move || {
            std::fs::remove_file(path.with_extension("db.lock")).unwrap();
            drop(open_store(&path));
        });
    }

    fn coordinator(&self, stop: Stop) -> Coordinator {
        let requests = Arc::new(CheckpointRequests::default());
        Coordinator {
            source: fake::source(&self.batches),
            router: Router::new(Vec::new(), RouteMode::AllMatch),
            sink: Arc::new(Sink {
                service: Arc::clone(&self.service),
                requests: Arc::clone(&requests),
            }),
            settings: Settings {
                parallelism: self.parallelism,
                sink_options: Vec::new(),
                checkpoint_interval: self.interval,
                retry: self.retry,
                evolution: self.evolution.clone(),
                dead_letters: self.dead_letters.clone(),
            },
            store: self.store(),
            requests,
            live: Arc::default(),
            stop,
            platform: Arc::new(Machine),
        }
    }

    async fn run(&self) -> (Report, Result<Outcome, RunError>) {
        let (_handle, stop) = stop_channel();
        self.coordinator(stop).run().await
    }
}

fn open_store(path: &std::path::Path) -> CheckpointStore {
    let identity = Identity {
        pipeline: "p".into(),
        source: "s".into(),
        sink: "k".into(),
    };
    CheckpointStore::open(path, &identity).unwrap()
}

#[tokio::test]
async fn every_row_arrives_once_and_is_counted() {
    let bench = Bench::new(batches(5, 10));
    let (report, result) = bench.run().await;
    assert_eq!(result.unwrap(), Outcome::Finished);
    assert_eq!(bench.service.visible(), (0..50).collect::<Vec<_>>());
    assert_eq!(
        (
            report.rows().read,
            report.rows().written,
            report.checkpoints
        ),
        (50, 50, 1)
    );
    assert_eq!(report.tables[0].table, "orders");
}

#[tokio::test]
async fn a_finished_pipeline_has_nothing_new_and_does_not_touch_the_sink() {
    let bench = Bench::new(batches(2, 10));
    bench.run().await.1.unwrap();
    let declared = bench.service.declared();
    let (report, result) = bench.run().await;
    assert_eq!(result.unwrap(), Outcome::NothingNew);
    assert_eq!(report.resumed_from, Some(1));
    assert_eq!(bench.service.declared(), declared);
}

#[tokio::test]
async fn what_the_source_gained_is_all_that_the_next_run_reads() {
    let mut bench = Bench::new(batches(2, 10));
    bench.run().await.1.unwrap();
    bench.batches = batches(3, 10);
    let (report, result) = bench.run().await;
    assert_eq!(result.unwrap(), Outcome::Finished);
    assert_eq!(report.rows().read, 10);
    assert_eq!(bench.service.visible(), (0..30).collect::<Vec<_>>());
}

/// A run that dies at each of these points, and the run after it, together write every row once.
#[tokio::test]
async fn a_run_goes_on_where_the_last_one_died() {
    for fault in DEATHS {
        let mut bench = Bench::new(batches(6, 10));
        bench.parallelism = 3;
        bench.service.fail_once(fault);
        let (report, result) = bench.run().await;
        result.expect_err("the fault ends the run");
        assert_eq!(report.rows().written, 0, "{fault:?}");

        let (report, result) = bench.run().await;
        let visible = bench.service.visible();
        assert_eq!(visible, (0..60).collect::<Vec<_>>(), "{fault:?}");
        let expected = match fault {
            Fault::Prepare | Fault::AfterPrepare => (Outcome::Finished, 0),
            Fault::CommitOne => (Outcome::NothingNew, 3),
            _ => (Outcome::NothingNew, 3),
        };
        assert_eq!((result.unwrap(), report.recommitted), expected, "{fault:?}");
    }
}

#[tokio::test]
async fn items_that_were_committed_before_a_failure_are_marked() {
    let mut bench = Bench::new(batches(2, 10));
    bench.parallelism = 2;
    bench.service.fail_once(Fault::RefuseSecondCommit);
    let (_, result) = bench.run().await;
    assert!(matches!(
        result,
        Err(RunError::Commit { checkpoint: 1, .. })
    ));
    assert_eq!(bench.store().pending().unwrap().len(), 1);
    let (report, result) = bench.run().await;
    assert_eq!(result.unwrap(), Outcome::NothingNew);
    assert_eq!(report.recommitted, 1);
    assert_eq!(bench.service.visible(), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn commits_are_repeated_until_they_are_done() {
    let bench = Bench::new(batches(1, 10));
    bench.service.fail_once(Fault::CommitLater);
    bench.run().await.1.unwrap();
    assert_eq!(bench.service.visible(), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_commit_of_the_last_run_that_takes_long_is_waited_for() {
    let bench = Bench::new(batches(1, 10));
    bench.service.fail_once(Fault::CommitNothing);
    bench.run().await.1.expect_err("the fault ends the run");
    bench.service.fail_once(Fault::CommitLater);
    bench.run().await.1.unwrap();
    assert_eq!(bench.service.visible(), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn transient_errors_are_waited_out() {
    let bench = Bench::new(batches(3, 10));
    bench.service.fail_once(Fault::WriteTransient);
    bench.run().await.1.unwrap();
    assert_eq!(bench.service.visible(), (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_unreachable_service_ends_the_run_soon() {
    let mut bench = Bench::new(batches(1, 10));
    bench.retry.first_contact = Duration::from_millis(50);
    bench.service.always(Fault::Unreachable);
    let (_, result) = bench.run().await;
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("cannot declare table orders"), "{error}");
}

#[tokio::test]
async fn a_fenced_writer_starts_over_from_the_last_checkpoint() {
    let bench = Bench::new(batches(4, 10));
    bench.service.fail_once(Fault::WriteFenced);
    let (report, result) = bench.run().await;
    assert_eq!(result.unwrap(), Outcome::Finished);
    assert_eq!(report.restarts, 1);
    assert_eq!((report.rows().read, report.rows().written), (40, 40));
    assert_eq!(bench.service.visible(), (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_writer_that_is_always_fenced_ends_the_run() {
    let bench = Bench::new(batches(4, 10));
    bench.service.always(Fault::WriteFenced);
    let (report, result) = bench.run().await;
    assert!(result.unwrap_err().to_string().contains("stolen"));
    assert_eq!(report.restarts, 3);
}

/// A run that slept while another took its store over commits nothing when it wakes up: neither what
/// it had not stored yet, nor what it had.
#[tokio::test]
async fn a_run_that_was_taken_over_commits_nothing() {
    for (moment, stored) in [(Moment::Prepare, 0), (Moment::OpenCommitter, 1)] {
        let bench = Bench::new(batches(3, 10));
        bench.take_over_at(moment);
        let (report, result) = bench.run().await;
        assert!(
            matches!(result, Err(RunError::Store(StoreError::Fenced { .. }))),
            "{moment:?}: {result:?}"
        );
        assert_eq!((report.checkpoints, report.restarts), (0, 0));
        assert_eq!(bench.service.visible(), Vec::<i64>::new(), "{moment:?}");

        let (report, result) = bench.run().await;
        result.unwrap();
        assert_eq!(report.recommitted, stored, "{moment:?}");
        assert_eq!(bench.service.visible(), (0..30).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn refused_rows_are_named_by_their_place_and_nothing_becomes_visible() {
    let bench = Bench::new(batches(4, 10));
    bench.service.always(Fault::RefuseRow(23));
    let (report, result) = bench.run().await;
    let Err(RunError::BadRows {
        table, rows, total, ..
    }) = result
    else {
        panic!()
    };
    assert_eq!((table.as_str(), total), ("orders", 1));
    assert_eq!(rows[0].place, "orders.json:24");
    assert_eq!(rows[0].column.as_deref(), Some("id"));
    assert_eq!(report.rows().written, 0);
    assert_eq!(bench.service.visible(), Vec::<i64>::new());
}

#[tokio::test]
async fn refused_rows_are_named_by_their_place_with_several_writers() {
    let mut bench = Bench::new(keyed_batches(4, 10));
    bench.parallelism = 3;
    bench.service.always(Fault::RefuseRow(23));
    let (_, result) = bench.run().await;
    let Err(RunError::BadRows { rows, .. }) = result else {
        panic!()
    };
    assert_eq!(rows[0].place, "orders.json:24");
}

#[tokio::test]
async fn the_sink_can_ask_for_checkpoints() {
    let bench = Bench::new(batches(20, 10));
    bench.service.always(Fault::AskForCheckpoints);
    let (report, result) = bench.run().await;
    result.unwrap();
    assert!(report.checkpoints > 1, "{}", report.checkpoints);
    assert_eq!(bench.service.visible(), (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn checkpoints_come_by_interval_and_only_at_cuts() {
    let mut bench = Bench::new(batches(40, 10));
    for (index, batch) in bench.batches.iter_mut().enumerate() {
        batch.cut = index % 4 == 3;
    }
    bench.interval = Duration::from_millis(1);
    let (report, result) = bench.run().await;
    result.unwrap();
    assert!(report.checkpoints >= 1);
    assert_eq!(bench.service.visible(), (0..400).collect::<Vec<_>>());
    for entry in bench.store().history(100).unwrap() {
        let rows: u64 = entry.tables.iter().map(|table| table.read).sum();
        assert_eq!(rows % 40, 0, "checkpoint {} is not at a cut", entry.id);
        assert!(entry.committed_ms.is_some());
    }
}

#[tokio::test]
async fn a_sink_without_credit_is_driven_and_not_written_to() {
    let bench = Bench::new(batches(10, 10));
    bench.service.always(Fault::OneBatchOfCredit);
    bench.run().await.1.unwrap();
    assert_eq!(bench.service.visible(), (0..100).collect::<Vec<_>>());
    assert!(bench.service.drives() >= 9);
}

#[tokio::test]
async fn a_sink_that_needs_a_flush_to_have_room_gets_one() {
    let bench = Bench::new(batches(3, 10));
    bench.service.always(Fault::CreditAfterFlush);
    bench.run().await.1.unwrap();
    assert_eq!(bench.service.visible(), (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_sink_that_never_has_room_is_an_error() {
    let bench = Bench::new(batches(3, 10));
    bench.service.always(Fault::NeverCredit);
    assert!(matches!(bench.run().await.1, Err(RunError::NoCredit)));
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_checkpoints_and_can_be_continued() {
    let bench = Bench::new(batches(30, 10));
    let (handle, stop) = stop_channel();
    bench.service.stop_after_rows(100, handle);
    let (report, result) = bench.coordinator(stop).run().await;
    assert_eq!(result.unwrap(), Outcome::Interrupted);
    let visible = bench.service.visible();
    assert_eq!(report.rows().written, visible.len() as u64);
    assert!(
        visible.len() >= 100 && visible.len() < 300,
        "{}",
        visible.len()
    );

    let (_, result) = bench.run().await;
    assert_eq!(result.unwrap(), Outcome::Finished);
    assert_eq!(bench.service.visible(), (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_service_that_is_late_has_until_the_limit_when_a_run_is_to_stop() {
    let bench = Bench::new(batches(30, 10));
    bench.service.fail_once(Fault::CommitLater);
    let (handle, stop) = stop_channel();
    let limit = Duration::from_secs(20);
    bench
        .service
        .after_rows(100, move || handle.stop_within(limit));
    let (_, result) = bench.coordinator(stop).run().await;
    assert_eq!(result.unwrap(), Outcome::Interrupted);

    // What the limit cuts off is completed by the next run, and nothing is written twice.
    bench.service.always(Fault::CommitLater);
    let (handle, stop) = stop_channel();
    let limit = Duration::from_millis(20);
    bench
        .service
        .after_rows(150, move || handle.stop_within(limit));
    let (_, result) = bench.coordinator(stop).run().await;
    assert!(matches!(result, Err(RunError::StopLimit)), "{result:?}");
    bench.service.always(Fault::AskForCheckpoints);
    assert_eq!(bench.run().await.1.unwrap(), Outcome::Finished);
    assert_eq!(bench.service.visible(), (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_key_is_written_by_one_writer_and_in_order() {
    let mut bench = Bench::new(keyed_batches(20, 50));
    bench.parallelism = 4;
    bench.run().await.1.unwrap();
    bench.service.assert_keys_stay_with_their_writer(4);
}

#[tokio::test]
async fn batches_without_a_key_go_round() {
    let mut bench = Bench::new(batches(8, 10));
    bench.parallelism = 4;
    bench.run().await.1.unwrap();
    assert_eq!(bench.service.rows_by_writer(), vec![20, 20, 20, 20]);
}

#[tokio::test]
async fn writers_get_back_the_state_they_gave() {
    let mut bench = Bench::new(batches(30, 10));
    bench.parallelism = 2;
    let (handle, stop) = stop_channel();
    bench.service.stop_after_rows(100, handle);
    let (_, result) = bench.coordinator(stop).run().await;
    assert_eq!(result.unwrap(), Outcome::Interrupted);
    let restart = vec![
        None,
        None,
        Some(b"writer 0 at 1".to_vec()),
        Some(b"writer 1 at 1".to_vec()),
    ];
    bench.run().await.1.unwrap();
    assert_eq!(bench.service.restored(), restart);

    // That one came to its end: a new run has no state yet.
    bench.batches = batches(40, 10);
    bench.run().await.1.unwrap();
    assert_eq!(
        bench.service.restored(),
        [restart, vec![None, None]].concat()
    );
}

#[tokio::test]
async fn a_broken_source_leaves_nothing_of_its_last_rows_visible() {
    let mut bench = Bench::new(batches(3, 10));
    bench.batches.push(fake::ScriptBatch::broken());
    let (_, result) = bench.run().await;
    assert!(matches!(result, Err(RunError::Source(_))));
    assert_eq!(bench.service.visible(), Vec::<i64>::new());
}

#[tokio::test]
async fn ignored_rows_are_counted_as_skipped() {
    let bench = Bench::new(batches(2, 10));
    bench.service.always(Fault::IgnoreOddRows);
    let (report, result) = bench.run().await;
    result.unwrap();
    let table = &report.tables[0];
    assert_eq!((table.read, table.written, table.skipped), (20, 10, 10));
}

fn kept_aside(bench: &Bench) -> Vec<(u64, String)> {
    let letters = DeadLetterReader::open(&bench.directory.path().join("p.db")).unwrap();
    let found = letters.list(1_000).unwrap();
    found
        .into_iter()
        .map(|found| (found.checkpoint, found.letter.place))
        .collect()
}

/// Rows kept aside are stored with the checkpoint of their neighbours: once, however often the
/// rows are replayed.
#[tokio::test]
async fn dead_letters_become_durable_once_with_their_checkpoint() {
    for fault in [
        Fault::Prepare,
        Fault::AfterPrepare,
        Fault::CommitNothing,
        Fault::CommitAllUnanswered,
    ] {
        let bench = Bench::new(batches(2, 10));
        bench.service.always(Fault::KeepOddRowsAside);
        bench.service.fail_once(fault);
        bench.run().await.1.unwrap_err();
        let stored = matches!(fault, Fault::CommitNothing | Fault::CommitAllUnanswered);
        assert_eq!(
            kept_aside(&bench).len(),
            if stored { 10 } else { 0 },
            "{fault:?}"
        );
        let (report, result) = bench.run().await;
        result.unwrap();
        let places: Vec<String> = kept_aside(&bench)
            .into_iter()
            .map(|(_, place)| place)
            .collect();
        assert_eq!(places.len(), 10, "{fault:?}: {places:?}");
        let mut different = places.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), 10, "{fault:?}: {places:?}");
        assert_eq!(
            bench.service.visible(),
            (0..20).filter(|id| id % 2 == 0).collect::<Vec<_>>(),
            "{fault:?}"
        );
        if !stored {
            let rows = report.rows();
            assert_eq!((rows.read, rows.written, rows.dead_letters), (20, 10, 10));
        }
    }
}

#[tokio::test]
async fn dead_letters_are_exported_with_their_reasons_or_as_plain_rows() {
    let bench = Bench::new(batches(2, 10));
    bench.service.always(Fault::KeepOddRowsAside);
    bench.run().await.1.unwrap();
    let letters = DeadLetterReader::open(&bench.directory.path().join("p.db")).unwrap();
    assert_eq!(letters.counts().unwrap()[0].letters, 10);
    for (form, columns) in [(ExportForm::WithReasons, 6), (ExportForm::RowsOnly, 1)] {
        let directory = bench.directory.path().join(format!("out {columns}"));
        let files = export(&letters, &directory, form).unwrap();
        let [file] = files.as_slice() else {
            panic!("{files:?}");
        };
        assert_eq!((file.table.as_str(), file.rows), ("orders", 10));
        let file = std::fs::File::open(&file.file).unwrap();
        let rows: Vec<_> = arrow_ipc::reader::FileReader::try_new(file, None)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(rows[0].num_columns(), columns);
        // A file that is there is never overwritten.
        assert!(export(&letters, &directory, form).is_err());
    }
    let mut store = bench.store();
    assert_eq!(store.discard_dead_letters().unwrap(), 10);
    assert_eq!(letters.list(10).unwrap(), []);
}

#[tokio::test]
async fn what_a_run_does_is_measured() {
    let bench = Bench::new(batches(5, 10));
    let (_handle, stop) = stop_channel();
    let coordinator = bench.coordinator(stop);
    let live = Arc::clone(&coordinator.live);
    coordinator.run().await.1.unwrap();
    let text = live.metrics.text();
    for line in [
        "longshore_rows_read_total{table=\"orders\"} 50",
        "longshore_rows_visible_total{table=\"orders\"} 50",
        "longshore_checkpoints_total 1",
        "longshore_checkpoint_seconds_count 1",
        "longshore_flush_seconds_count 1",
        "longshore_commit_seconds_count 1",
        "longshore_restarts_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn pipelines_run_side_by_side_in_one_process() {
    let (one, other) = (Bench::new(batches(5, 10)), Bench::new(keyed_batches(7, 10)));
    let ((_, first), (_, second)) = tokio::join!(one.run(), other.run());
    assert_eq!(
        (first.unwrap(), second.unwrap()),
        (Outcome::Finished, Outcome::Finished)
    );
    assert_eq!(one.service.visible(), (0..50).collect::<Vec<_>>());
    assert_eq!(other.service.visible(), (0..70).collect::<Vec<_>>());
}
