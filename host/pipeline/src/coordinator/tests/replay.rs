//! Dead letters: written again, too many of them, and as files.

use super::*;
use crate::definition::{Location, PerTable, Spanned};

/// Thirty rows, of which the odd ones are kept aside.
async fn with_dead_letters() -> Bench {
    let mut bench = Bench::new(batches(3, 10));
    bench.parallelism = 2;
    bench.service.always(Fault::KeepOddRowsAside);
    bench.run().await.1.unwrap();
    assert_eq!(bench.service.visible().len(), 15);
    bench
}

async fn replay(bench: &Bench) -> (Replayed, Result<(), RunError>) {
    let (_handle, stop) = stop_channel();
    bench
        .coordinator(stop)
        .replay(&ReplaySelection::default())
        .await
}

fn dead_letters(bench: &Bench) -> u64 {
    let counts = bench.store().dead_letter_counts().unwrap();
    counts.iter().map(|(_, rows)| rows).sum()
}

#[tokio::test]
async fn dead_letters_are_written_again_once_wherever_a_replay_dies() {
    for fault in DEATHS {
        let bench = with_dead_letters().await;
        bench.service.always(Fault::AskForCheckpoints);
        bench.service.fail_once(fault);
        let (_, result) = replay(&bench).await;
        result.expect_err("the fault ends the replay");
        let stored = !matches!(fault, Fault::Prepare | Fault::AfterPrepare);
        assert_eq!(
            dead_letters(&bench),
            if stored { 0 } else { 15 },
            "{fault:?}"
        );

        // A run finishes what was stored, as the next replay does.
        if fault == Fault::CommitNothing {
            assert_eq!(bench.run().await.1.unwrap(), Outcome::NothingNew);
        }
        let (replayed, result) = replay(&bench).await;
        result.unwrap();
        let written: u64 = replayed.tables.values().map(|rows| rows.written).sum();
        assert_eq!(written, if stored { 0 } else { 15 }, "{fault:?}");
        assert_eq!(
            bench.service.visible(),
            (0..30).collect::<Vec<_>>(),
            "{fault:?}"
        );
        assert_eq!(dead_letters(&bench), 0);
        // The source is where it was.
        assert_eq!(bench.run().await.1.unwrap(), Outcome::NothingNew);
    }
}

#[tokio::test]
async fn rows_that_still_do_not_fit_are_kept_aside_again_with_their_place() {
    let bench = with_dead_letters().await;
    let path = bench.directory.path().join("p.db");
    let places = || -> Vec<String> {
        let reader = DeadLetterReader::open(&path).unwrap();
        let letters = reader.list(100).unwrap().into_iter();
        let mut places: Vec<String> = letters.map(|found| found.letter.place).collect();
        places.sort();
        places
    };
    let before = places();
    let (replayed, result) = replay(&bench).await;
    result.unwrap();
    let rows = replayed.tables["orders"];
    assert_eq!((rows.written, rows.again, rows.left), (0, 15, 0));
    assert_eq!(places(), before);
    assert_eq!(bench.service.visible().len(), 15);
}

#[tokio::test]
async fn keyed_tables_are_left_alone_unless_that_is_asked_for() {
    let bench = Bench::new(keyed_batches(2, 10));
    bench.service.always(Fault::KeepOddRowsAside);
    bench.run().await.1.unwrap();
    let kept = dead_letters(&bench);
    assert!(kept > 0);
    bench.service.always(Fault::AskForCheckpoints);
    let (replayed, result) = replay(&bench).await;
    result.unwrap();
    assert_eq!(replayed.tables["orders"].left, kept);
    assert_eq!(dead_letters(&bench), kept);
    let (_handle, stop) = stop_channel();
    let all = ReplaySelection {
        keyed: true,
        ..ReplaySelection::default()
    };
    let (replayed, result) = bench.coordinator(stop).replay(&all).await;
    result.unwrap();
    assert_eq!(replayed.tables["orders"].written, kept);
    assert_eq!(dead_letters(&bench), 0);
}

fn for_all<T>(value: T) -> PerTable<T> {
    PerTable {
        all: Some(Spanned {
            value,
            at: Location::default(),
        }),
        ..PerTable::default()
    }
}

#[tokio::test]
async fn a_run_stops_when_too_many_rows_are_kept_aside_and_goes_on_when_they_are_gone() {
    let mut bench = Bench::new(batches(30, 10));
    bench.interval = Duration::from_millis(1);
    bench.dead_letters.max_rows = for_all(3);
    bench.service.always(Fault::KeepOddRowsAside);
    let (report, result) = bench.run().await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("`dead-letters.max-rows` is 3"), "{error}");
    // They are stored, and what came with them is visible.
    assert_eq!(dead_letters(&bench), report.rows().dead_letters);
    assert_eq!(report.rows().written, bench.service.visible().len() as u64);

    bench.service.always(Fault::AskForCheckpoints);
    let error = bench.run().await.1.unwrap_err();
    assert!(
        matches!(error, RunError::TooManyDeadLetters { .. }),
        "{error}"
    );
    replay(&bench).await.1.unwrap();
    bench.run().await.1.unwrap();
    assert_eq!(bench.service.visible(), (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_run_stops_when_too_large_a_share_of_the_rows_is_kept_aside() {
    for (limit, stops) in [(0.4, true), (0.5, false)] {
        let mut bench = Bench::new(batches(3, 10));
        bench.dead_letters.max_ratio = for_all(limit);
        bench.service.always(Fault::KeepOddRowsAside);
        let (_, result) = bench.run().await;
        assert_eq!(result.is_err(), stops, "{limit}: {result:?}");
        assert_eq!(dead_letters(&bench), 15);
    }
}

#[tokio::test]
async fn dead_letters_are_written_to_files_once() {
    let mut bench = Bench::new(batches(3, 10));
    let directory = bench.directory.path().join("aside");
    bench.dead_letters.files = Some(directory.clone());
    bench.service.always(Fault::KeepOddRowsAside);
    let rows = || -> usize {
        let files = std::fs::read_dir(&directory).unwrap();
        files
            .map(|file| {
                let file = std::fs::File::open(file.unwrap().path()).unwrap();
                let reader = arrow_ipc::reader::FileReader::try_new(file, None).unwrap();
                reader.map(|rows| rows.unwrap().num_rows()).sum::<usize>()
            })
            .sum()
    };
    bench.run().await.1.unwrap();
    assert_eq!(rows(), 15);
    // One that was lost before it was noted is written again under its name.
    bench.store().note_dead_letters_in_files(0).unwrap();
    bench.run().await.1.unwrap();
    assert_eq!(rows(), 15);
}
