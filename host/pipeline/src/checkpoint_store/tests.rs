use longshore_runtime::contract::TablePath;

use super::*;
use crate::dead_letters::DeadLetter;

mod formats;

fn identity(pipeline: &str) -> Identity {
    Identity {
        pipeline: pipeline.into(),
        source: "file a".into(),
        sink: "k".into(),
    }
}

fn position(text: &str) -> Position {
    Position::from_json(text).unwrap()
}

fn committable(payload: u8) -> Committable {
    Committable {
        table: TablePath {
            catalog: None,
            schema: Some("s".into()),
            table: "t".into(),
        },
        format: 3,
        payload: vec![payload; 4],
    }
}

fn put(store: &mut CheckpointStore, committables: &[Committable]) -> u64 {
    let id = store.next_id().unwrap();
    store.store(&checkpoint(id, committables)).unwrap();
    id
}

fn checkpoint(id: u64, committables: &[Committable]) -> NewCheckpoint<'_> {
    let position = Box::new(position(&format!("{{\"at\":{id}}}")));
    let state = State {
        format: 1,
        payload: vec![7, id as u8],
    };
    let rows = TableRows {
        table: "s.t".into(),
        read: 5,
        written: 4,
        skipped: 1,
        ..TableRows::default()
    };
    NewCheckpoint {
        id,
        position: Box::leak(position),
        finished: false,
        committables,
        states: Vec::leak(vec![state]),
        targets: "{}",
        tables: Vec::leak(vec![rows]),
        dead_letters: &[],
    }
}

#[test]
fn what_one_table_prepares_is_added_to_the_newest_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    assert_eq!(store.targets().unwrap(), None);
    assert_eq!(
        store
            .store_table(vec![committable(1)], "early", &[])
            .unwrap(),
        None
    );
    assert_eq!(store.targets().unwrap(), None, "nothing of it is stored");
    assert_eq!(
        store.store_table(Vec::new(), "empty", &[]).unwrap(),
        Some(Vec::new())
    );
    assert_eq!(store.targets().unwrap().as_deref(), Some("empty"));

    let id = put(&mut store, &[committable(1)]);
    store.mark_committed(id, &[0]).unwrap();
    let items = vec![committable(2), committable(3)];
    let pending = store.store_table(items, "ahead", &[]).unwrap().unwrap();
    let places: Vec<(u64, u32)> = pending.iter().map(|p| (p.checkpoint, p.sequence)).collect();
    assert_eq!(places, [(id, 1), (id, 2)]);
    drop(store);
    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    assert_eq!(store.pending().unwrap(), pending);
    assert_eq!(store.targets().unwrap().as_deref(), Some("ahead"));
    store.mark_committed(id, &[1, 2]).unwrap();
    assert!(store.pending().unwrap().is_empty());
    assert_eq!(store.next_id().unwrap(), id + 1);
}

#[test]
fn a_checkpoint_tells_what_of_the_source_it_covers() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = CheckpointStore::open(&directory.path().join("p.db"), &identity("p")).unwrap();
    assert_eq!(store.source_range(1).unwrap(), None);
    put(&mut store, &[committable(1)]);
    put(&mut store, &[committable(2)]);
    assert_eq!(
        store.source_range(1).unwrap().as_deref(),
        Some(r#"the source from its start up to {"at":1}"#)
    );
    assert_eq!(
        store.source_range(2).unwrap().as_deref(),
        Some(r#"the source after {"at":1}, up to {"at":2}"#)
    );
}

#[test]
fn a_checkpoint_is_read_back_as_it_was_stored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/p.db");
    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    assert_eq!(store.latest().unwrap(), None);
    put(&mut store, &[committable(1)]);
    let id = put(&mut store, &[committable(2), committable(3)]);
    drop(store);

    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    let latest = store.latest().unwrap().unwrap();
    assert_eq!((latest.id, latest.finished), (2, false));
    store.mark_finished().unwrap();
    let finished: Vec<bool> = store
        .history(9)
        .unwrap()
        .iter()
        .map(|e| e.finished)
        .collect();
    assert_eq!(finished, [true, false]);
    assert_eq!(latest.position, position("{\"at\":2}"));
    assert_eq!(
        latest.states,
        [State {
            format: 1,
            payload: vec![7, 2]
        }]
    );
    let pending: Vec<_> = store
        .pending()
        .unwrap()
        .into_iter()
        .map(|item| (item.checkpoint, item.sequence, item.committable))
        .collect();
    assert_eq!(
        pending,
        [
            (1, 0, committable(1)),
            (id, 0, committable(2)),
            (id, 1, committable(3))
        ]
    );
}

#[test]
fn what_is_committed_is_pending_no_longer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    let id = put(&mut store, &[committable(1), committable(2)]);
    store.mark_committed(id, &[1]).unwrap();
    assert_eq!(store.pending().unwrap().len(), 1);
    assert_eq!(store.history(9).unwrap()[0].committed_ms, None);
    store.mark_committed(id, &[0]).unwrap();
    assert_eq!(store.pending().unwrap(), []);
    let history = store.history(9).unwrap();
    assert!(history[0].committed_ms.is_some());
    assert_eq!(history[0].tables[0].written, 4);
}

#[test]
fn two_runs_do_not_share_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let store = CheckpointStore::open(&path, &identity("p")).unwrap();
    let error = CheckpointStore::open(&path, &identity("p")).unwrap_err();
    assert!(
        matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id())
    );
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id()))
    );
    drop(store);
    CheckpointStore::open(&path, &identity("p")).unwrap();
}

#[test]
fn another_pipelines_store_is_refused_and_can_be_started_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    put(
        &mut CheckpointStore::open(&path, &identity("p")).unwrap(),
        &[committable(1)],
    );
    let error = CheckpointStore::open(&path, &identity("q")).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("its pipeline is `p`, here it is `q`"),
        "{error}"
    );

    let mut store = CheckpointStore::start_anew(&path, &identity("q")).unwrap();
    assert_eq!(store.latest().unwrap(), None);
    assert_eq!(store.pending().unwrap(), []);
    assert_eq!(put(&mut store, &[]), 2, "a number is never used twice");
    drop(store);
    CheckpointStore::open(&path, &identity("q")).unwrap();
}

#[test]
fn a_store_of_another_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    drop(CheckpointStore::open(&path, &identity("p")).unwrap());
    Connection::open(&path)
        .unwrap()
        .execute_batch("pragma user_version = 99")
        .unwrap();
    let error = CheckpointStore::open(&path, &identity("p")).unwrap_err();
    assert!(matches!(
        error,
        StoreError::Format {
            found: 99,
            supported: FORMAT,
            ..
        }
    ));
}

#[test]
fn the_history_is_bounded_and_pending_items_never_leave_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = CheckpointStore::open(&directory.path().join("p.db"), &identity("p")).unwrap();
    put(&mut store, &[committable(1)]);
    for _ in 0..HISTORY + 50 {
        put(&mut store, &[]);
    }
    assert_eq!(store.history(10_000).unwrap().len() as u64, HISTORY + 1);
    assert_eq!(store.pending().unwrap().len(), 1);
}

#[test]
fn a_store_is_anyones_until_its_first_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    drop(CheckpointStore::open(&path, &identity("misspelt")).unwrap());
    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    put(&mut store, &[committable(1)]);
    drop(store);
    let error = CheckpointStore::open(&path, &identity("misspelt")).unwrap_err();
    assert!(matches!(error, StoreError::OtherPipeline { .. }), "{error}");
    assert!(CheckpointStore::open(&path, &identity("p")).is_ok());
}

/// Another run on the same file, which no lock kept away.
fn take_over(path: &Path) -> CheckpointStore {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    std::fs::remove_file(&lock).unwrap();
    CheckpointStore::open(path, &identity("p")).unwrap()
}

#[test]
fn a_run_whose_store_was_taken_over_writes_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let mut asleep = CheckpointStore::open(&path, &identity("p")).unwrap();
    let id = put(&mut asleep, &[committable(1)]);
    asleep.check_owner().unwrap();

    let mut owner = take_over(&path);
    let pending = owner.pending().unwrap();
    owner.mark_committed(id, &[0]).unwrap();
    let next = put(&mut owner, &[committable(2)]);
    let before = owner.history(9).unwrap();

    let fenced = |result: Result<(), StoreError>| {
        let error = result.unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Fenced {
                    epoch: 1,
                    newest: 2,
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(error.to_string().contains("another run has taken over"));
    };
    fenced(asleep.check_owner());
    fenced(asleep.mark_committed(id, &[0]));
    fenced(asleep.mark_finished());
    fenced(asleep.note_state(
        0,
        &State {
            format: 1,
            payload: vec![1],
        },
    ));
    fenced(
        asleep
            .store_table(vec![committable(3)], "{}", &[])
            .map(drop),
    );
    fenced(asleep.store(&NewCheckpoint {
        id: next + 1,
        position: &position("9"),
        finished: false,
        committables: &[],
        states: &[],
        targets: "{}",
        tables: &[],
        dead_letters: &[],
    }));
    assert_eq!(owner.history(9).unwrap(), before);
    assert_eq!(pending.len(), 1);
    owner.check_owner().unwrap();
}

#[cfg(unix)]
#[test]
fn a_store_that_was_replaced_by_another_file_is_not_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let mut asleep = CheckpointStore::open(&path, &identity("p")).unwrap();
    put(&mut asleep, &[]);
    std::fs::rename(&path, directory.path().join("moved.db")).unwrap();
    let error = asleep.check_owner().unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error:?}");
}

#[test]
fn what_writers_note_is_newer_than_the_checkpoint_and_gone_with_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let state = |payload: u8| State {
        format: 1,
        payload: vec![payload],
    };
    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    // Also before the first checkpoint.
    store.note_state(0, &state(1)).unwrap();
    store.note_state(0, &state(2)).unwrap();
    store.note_state(1, &state(3)).unwrap();
    drop(store);
    let mut store = CheckpointStore::open(&path, &identity("p")).unwrap();
    let noted = store.noted_states().unwrap();
    assert_eq!(noted, [(0, state(2)), (1, state(3))]);
    put(&mut store, &[]);
    assert_eq!(store.noted_states().unwrap(), []);
    // What one table prepares changes what is left behind.
    store.note_state(0, &state(4)).unwrap();
    store
        .store_table(vec![committable(1)], "{}", &[state(5)])
        .unwrap();
    assert_eq!(store.noted_states().unwrap(), [(0, state(5))]);
    store.mark_finished().unwrap();
    assert_eq!(store.noted_states().unwrap(), []);
}
