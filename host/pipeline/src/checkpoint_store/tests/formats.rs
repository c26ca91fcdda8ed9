//! Stores of earlier versions, files that are none, and damage.

use std::os::unix::fs::FileExt;

use super::*;

/// What each earlier version left, in the order of the versions.
const VERSIONS: [&[&str]; 3] = [
    &[include_str!("format-1.sql")],
    &[
        include_str!("format-1.sql"),
        include_str!("format-1-dead-letters.sql"),
    ],
    &[
        include_str!("format-1.sql"),
        include_str!("format-1-dead-letters.sql"),
        include_str!("format-1-targets.sql"),
    ],
];

fn write_version(path: &Path, parts: &[&str]) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("pragma journal_mode = wal; pragma synchronous = full;")
        .unwrap();
    for part in parts {
        let sql = part.replace("@identity@", &identity("p").digest());
        connection.execute_batch(&sql).unwrap();
    }
}

#[test]
fn stores_of_every_earlier_version_are_converted_and_go_on() {
    for (version, parts) in VERSIONS.into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.db");
        write_version(&path, parts);
        let letters = u64::from(version >= 1);

        // Looking changes nothing.
        let reader = CheckpointReader::open(&path).unwrap().unwrap();
        let overview = reader.overview().unwrap();
        assert_eq!((overview.format, overview.last), (1, 2));
        assert_eq!((overview.pending, overview.dead_letters), (2, letters));
        assert_eq!(overview.fault, None);
        drop(reader);

        let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
        let latest = store.latest().unwrap().unwrap();
        assert_eq!(latest.position, position("{\"at\":2}"));
        assert_eq!(latest.states[0].payload, [7, 2]);
        let pending = store.pending().unwrap();
        assert_eq!(pending[1].committable, committable(6));
        assert_eq!(store.targets().unwrap().is_some(), version == 2);
        assert_eq!(put(&mut store, &[committable(9)]), 3);
        drop(store);

        let reader = CheckpointReader::open(&path).unwrap().unwrap();
        let overview = reader.overview().unwrap();
        assert_eq!((overview.format, overview.last), (FORMAT, 3));
        assert_eq!((overview.fault, overview.dead_letters), (None, letters));
        drop(CheckpointStore::open(&path, &identity("p")).unwrap());
    }
}

#[test]
fn a_file_that_is_no_store_is_told_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "to do").unwrap();
    let other = directory.path().join("other.db");
    Connection::open(&other)
        .unwrap()
        .execute_batch("create table meta (a); create table customers (b)")
        .unwrap();
    for path in [text, other] {
        let before = std::fs::read(&path).unwrap();
        for result in [
            CheckpointStore::open(&path, &identity("p")).map(drop),
            CheckpointStore::start_anew(&path, &identity("p")).map(drop),
            CheckpointReader::open(&path).map(drop),
            DeadLetterReader::open(&path).map(drop),
            repair(&path, true).map(drop),
            reset(&path).map(drop),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_changed_digit_is_noticed() {
    for change in [
        "update checkpoint set position = '{\"at\":3}' where id = 2",
        "update committable set payload = x'05050504' where checkpoint = 2",
        "update sink_state set payload = x'0703'",
        "update meta set value = '7' where key = 'last-checkpoint'",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.db");
        let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
        put(&mut store, &[committable(4)]);
        put(&mut store, &[committable(5)]);
        drop(store);
        Connection::open(&path)
            .unwrap()
            .execute_batch(change)
            .unwrap();
        let error = CheckpointStore::open(&path, &identity("p")).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("not as it was written"));
        // A position is never made up.
        let error = repair(&path, true).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        let Reset::SetAside(aside) = reset(&path).unwrap() else {
            panic!("the store was not set aside");
        };
        assert!(aside.exists() && !path.exists());
        let store = CheckpointStore::open(&path, &identity("p")).unwrap();
        assert_eq!(store.latest().unwrap(), None);
    }
}

fn letters(checkpoint: u64) -> Vec<DeadLetterBatch> {
    use arrow_array::{Int64Array, RecordBatch};
    use arrow_schema::{DataType, Field, Schema};

    let schema = std::sync::Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
    let ids = Int64Array::from_iter_values(0..500);
    let rows = RecordBatch::try_new(
        std::sync::Arc::clone(&schema),
        vec![std::sync::Arc::new(ids)],
    );
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer.write(&rows.unwrap()).unwrap();
    let letter = |row| DeadLetter {
        place: format!("a.json:{checkpoint}{row}"),
        column: None,
        reason: "odd".into(),
    };
    vec![DeadLetterBatch {
        table: "t".into(),
        letters: (0..500).map(letter).collect(),
        ipc: writer.into_inner().unwrap(),
    }]
}

/// The root page of a table, and the size of a page.
fn page_of(path: &Path, table: &str) -> (u64, u64) {
    let connection = Connection::open(path).unwrap();
    let root: u64 = connection
        .query_row(
            "select rootpage from sqlite_master where name = ?1",
            [table],
            |row| row.get(0),
        )
        .unwrap();
    let size = connection
        .query_row("pragma page_size", [], |row| row.get(0))
        .unwrap();
    (root, size)
}

fn destroy(path: &Path, page: u64, size: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let garbage = vec![0xa5; usize::try_from(size).unwrap()];
    file.write_all_at(&garbage, (page - 1) * size).unwrap();
}

fn store_with_letters(path: &Path) {
    let mut store = CheckpointStore::open(path, &identity("p")).unwrap();
    for _ in 0..5 {
        let id = store.next_id().unwrap();
        let mut new = checkpoint(id, &[]);
        let letters = letters(id);
        new.dead_letters = &letters;
        store.store(&new).unwrap();
    }
    put(&mut store, &[committable(1)]);
}

#[test]
fn damage_beside_the_progress_is_repaired_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    store_with_letters(&path);
    let (page, size) = page_of(&path, "table_rows");
    destroy(&path, page, size);
    let before = std::fs::read(&path).unwrap();

    let Repair::Rebuilt(rebuilt) = repair(&path, false).unwrap() else {
        panic!("the store was not rebuilt");
    };
    assert!(!rebuilt.faults.is_empty());
    assert_eq!(rebuilt.incomplete, ["table_rows"]);
    assert_eq!(std::fs::read(&rebuilt.damaged).unwrap(), before);
    assert!(rebuilt.saved.contains(&("dead_letter".to_owned(), 2500)));
    assert_eq!(repair(&path, false).unwrap(), Repair::Sound);
    let store = CheckpointStore::open(&path, &identity("p")).unwrap();
    assert_eq!(store.latest().unwrap().unwrap().id, 6);
    assert_eq!(store.pending().unwrap().len(), 1);
    assert_eq!(store.next_id().unwrap(), 7);
}

#[test]
fn dead_letters_whose_reasons_are_lost_keep_their_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    store_with_letters(&path);
    let (page, size) = page_of(&path, "dead_letter");
    destroy(&path, page, size);

    let Repair::Rebuilt(rebuilt) = repair(&path, false).unwrap() else {
        panic!("the store was not rebuilt");
    };
    assert_eq!(rebuilt.incomplete, ["dead_letter"]);
    let reader = DeadLetterReader::open(&path).unwrap();
    assert_eq!(reader.counts().unwrap()[0].letters, 2500);
    assert!(reader.list(1).unwrap()[0].letter.reason.contains("lost"));
}

#[test]
fn damaged_progress_is_told_and_nothing_is_changed() {
    for table in ["checkpoint", "committable", "meta", "sink_state"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.db");
        store_with_letters(&path);
        let (page, size) = page_of(&path, table);
        destroy(&path, page, size);
        let before = std::fs::read(&path).unwrap();
        for error in [
            CheckpointStore::open(&path, &identity("p")).unwrap_err(),
            repair(&path, true).unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_torn_journal_loses_no_more_than_what_was_not_yet_stored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let wal = directory.path().join("p.db-wal");
    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    put(&mut store, &[committable(1)]);
    let durable = (std::fs::read(&path).unwrap(), std::fs::read(&wal).unwrap());
    put(&mut store, &[committable(2)]);
    let grown = std::fs::read(&wal).unwrap();
    drop(store);
    // As after a power cut while checkpoint 2 was written: half of its pages, and a lock file that
    // was written before.
    let half = durable.1.len() + (grown.len() - durable.1.len()) / 2;
    std::fs::write(&path, &durable.0).unwrap();
    std::fs::write(&wal, &grown[..half]).unwrap();
    std::fs::write(directory.path().join("p.db.lock"), "1\n1\n").unwrap();
    let store = CheckpointStore::open(&path, &identity("p")).unwrap();
    assert_eq!(store.latest().unwrap().unwrap().id, 1);
    assert_eq!(store.pending().unwrap().len(), 1);
}

#[test]
fn a_store_that_went_back_in_time_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    put(&mut store, &[]);
    drop(store);
    let copy = std::fs::read(&path).unwrap();
    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    put(&mut store, &[]);
    put(&mut store, &[]);
    drop(store);
    std::fs::write(&path, copy).unwrap();

    for _ in 0..2 {
        let error = CheckpointStore::open(&path, &identity("p")).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Older {
                    found: 1,
                    stored: 3,
                    ..
                }
            ),
            "{error}"
        );
    }
    assert!(repair(&path, false).is_err());
    let accepted = Repair::OlderAccepted {
        checkpoint: 1,
        stored: 3,
    };
    assert_eq!(repair(&path, true).unwrap(), accepted);
    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    assert_eq!(store.latest().unwrap().unwrap().id, 1);
    assert_eq!(put(&mut store, &[]), 4, "a number is never used twice");
    drop(store);

    // A store that somebody removed is a new one.
    std::fs::remove_file(&path).unwrap();
    CheckpointStore::open(&path, &identity("p")).unwrap();
}

#[test]
fn repair_and_reset_keep_away_from_a_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    put(&mut store, &[committable(1)]);
    assert!(matches!(
        repair(&path, true),
        Err(StoreError::Locked { .. })
    ));
    assert!(matches!(reset(&path), Err(StoreError::Locked { .. })));
    let reader = CheckpointReader::open(&path).unwrap().unwrap();
    let shown = reader.checkpoint(None).unwrap().unwrap();
    assert_eq!((shown.entry.id, shown.position.as_str()), (1, "{\"at\":1}"));
    assert_eq!(shown.committables[0].bytes, Some(4));
    drop(store);
    assert_eq!(repair(&path, false).unwrap(), Repair::Sound);
    assert_eq!(reset(&path).unwrap(), Reset::Emptied);
    // It is anyone's.
    let store = CheckpointStore::open(&path, &identity("q")).unwrap();
    assert_eq!(
        (store.latest().unwrap(), store.next_id().unwrap()),
        (None, 2)
    );
    let nowhere = directory.path().join("none.db");
    assert_eq!(repair(&nowhere, false).unwrap(), Repair::Missing);
    assert_eq!(reset(&nowhere).unwrap(), Reset::Missing);
    assert!(!nowhere.exists());
}
