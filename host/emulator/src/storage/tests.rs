//! Commits, merges and recovery, seen through scans and through the files on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    ArrayRef, Int8Array, Int64Array, ListArray, RecordBatch, StringArray, new_null_array,
};
use serde_json::json;

use super::*;
use crate::catalog::{Column, ColumnType, FileMove, steps};

fn open(dir: &Path) -> Store {
    let store = Store::open(dir, Mode::Store).unwrap();
    store.database().ensure_project("p").unwrap();
    store
}

fn columns() -> Vec<Column> {
    let mut id = Column::new("id", ColumnType::BigInt);
    id.nullable = false;
    vec![id, Column::new("name", ColumnType::String)]
}

fn append_table(store: &Store) -> TableMeta {
    let spec = TableSpec {
        columns: columns(),
        ..TableSpec::default()
    };
    store.create_table("p", "default", "t", "me", spec).unwrap()
}

fn delta_table(store: &Store) -> TableMeta {
    let spec = TableSpec {
        columns: columns(),
        primary_key: vec!["ID".into()],
        ..TableSpec::default()
    };
    store.create_table("p", "default", "d", "me", spec).unwrap()
}

fn rows(table: &TableMeta, rows: &[(i64, &str)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>());
    let names: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.1)).collect::<StringArray>());
    RecordBatch::try_new(table.arrow_schema(), vec![ids, names]).unwrap()
}

fn pack(table: &TableMeta, changes: &[(i8, i64, &str)], updated: Option<&[i64]>) -> RecordBatch {
    let schema = StageKind::Upsert { bucket: 0 }.schema(table);
    let plain: Vec<(i64, &str)> = changes.iter().map(|c| (c.1, c.2)).collect();
    let mut arrays = rows(table, &plain).columns().to_vec();
    arrays.push(Arc::new(changes.iter().map(|c| c.0).collect::<Int8Array>()));
    arrays.push(match updated {
        None => new_null_array(schema.field(3).data_type(), changes.len()),
        Some(ids) => {
            let lists = changes
                .iter()
                .map(|_| Some(ids.iter().map(|id| Some(*id)).collect::<Vec<_>>()));
            let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
            arrow_cast::cast(&lists, schema.field(3).data_type()).unwrap()
        }
    });
    RecordBatch::try_new(schema, arrays).unwrap()
}

fn read(store: &Store, table: &TableMeta) -> Vec<(i64, String)> {
    let snapshot = store.snapshot(table, None).unwrap();
    let mut out = Vec::new();
    for batch in store.scan_all(&snapshot).unwrap() {
        let batch = batch.unwrap();
        let names = batch.column(1).as_string::<i32>();
        for (row, id) in batch
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .enumerate()
        {
            out.push((*id, names.value(row).to_owned()));
        }
    }
    out
}

fn parquet_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(parquet_files(&path));
        } else if path.extension().is_some_and(|e| e == "parquet") {
            found.push(path);
        }
    }
    found
}

fn owned(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
    rows.iter()
        .map(|(id, name)| (*id, (*name).to_owned()))
        .collect()
}

#[test]
fn staged_rows_are_invisible_until_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = append_table(&store);
    let staged = store
        .stage(
            &table,
            StageKind::Append,
            [Ok(rows(&table, &[(1, "a"), (2, "b")]))],
        )
        .unwrap();
    assert!(read(&store, &table).is_empty());
    assert!(parquet_files(&dir.path().join("p")).is_empty());
    store
        .commit_append(&table, None, &[staged], false, None)
        .unwrap();
    assert_eq!(read(&store, &table), owned(&[(1, "a"), (2, "b")]));
    let over = store
        .stage(&table, StageKind::Append, [Ok(rows(&table, &[(3, "c")]))])
        .unwrap();
    let before = store.snapshot(&table, None).unwrap();
    store
        .commit_append(&table, None, &[over], true, None)
        .unwrap();
    assert_eq!(read(&store, &table), owned(&[(3, "c")]));
    assert_eq!(parquet_files(&dir.path().join("p")).len(), 1);
    // A snapshot taken before the overwrite reads on.
    let old: usize = store
        .scan_all(&before)
        .unwrap()
        .map(|b| b.unwrap().num_rows())
        .sum();
    assert_eq!(old, 2);
}

#[test]
fn a_killed_server_keeps_staged_files_of_sessions_and_drops_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = append_table(&store);
    let kept = store
        .stage(&table, StageKind::Append, [Ok(rows(&table, &[(1, "a")]))])
        .unwrap();
    let lost = store
        .stage(&table, StageKind::Append, [Ok(rows(&table, &[(2, "b")]))])
        .unwrap();
    let document = json!({"blocks": {"0": kept}});
    let session = store
        .session_create(
            "upload",
            &table,
            "normal",
            document,
            Duration::from_secs(60),
        )
        .unwrap();
    drop(store);
    let store = open(dir.path());
    let staging = dir.path().join(".longshore/staging");
    assert!(staging.join(&kept.parts[0].staged).exists());
    assert!(!staging.join(&lost.parts[0].staged).exists());
    let session = store.session_get(&session.id).unwrap();
    let update = |expected| SessionUpdate {
        id: session.id.clone(),
        expected: Some(expected),
        status: "closed".into(),
        document: json!({}),
    };
    let conflict = store.commit_append(
        &table,
        None,
        std::slice::from_ref(&kept),
        false,
        Some(&update(7)),
    );
    assert!(matches!(conflict, Err(StoreError::SessionConflict(_))));
    assert!(read(&store, &table).is_empty());
    store
        .commit_append(
            &table,
            None,
            &[kept],
            false,
            Some(&update(session.revision)),
        )
        .unwrap();
    assert_eq!(store.session_get(&session.id).unwrap().status, "closed");
    assert_eq!(read(&store, &table), owned(&[(1, "a")]));
}

#[test]
fn a_commit_whose_renames_were_cut_off_is_finished_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = append_table(&store);
    let staged = store
        .stage(&table, StageKind::Append, [Ok(rows(&table, &[(1, "a")]))])
        .unwrap();
    store
        .commit_append(&table, None, std::slice::from_ref(&staged), false, None)
        .unwrap();
    // Put back the state between the transaction and the rename.
    let place = parquet_files(&dir.path().join("p")).remove(0);
    let staged_at = format!(".longshore/staging/{}", staged.parts[0].staged);
    std::fs::rename(&place, dir.path().join(&staged_at)).unwrap();
    let target = place
        .strip_prefix(dir.path())
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    store
        .database()
        .transaction(|t| steps::add_moves(t, &mut [FileMove::new(staged_at, target)]))
        .unwrap();
    // Who reads in that moment sees the rows, as the commit is done.
    assert_eq!(read(&store, &table), owned(&[(1, "a")]));
    drop(store);
    let store = open(dir.path());
    assert!(place.exists());
    assert!(store.database().moves().unwrap().is_empty());
    assert_eq!(read(&store, &table), owned(&[(1, "a")]));
}

#[test]
fn upserts_merge_by_key_and_deletes_remove() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = delta_table(&store);
    let upsert = |changes: &[(i8, i64, &str)], updated: Option<&[i64]>| {
        let kind = StageKind::Upsert { bucket: 0 };
        store
            .stage(&table, kind, [Ok(pack(&table, changes, updated))])
            .unwrap()
    };
    const U: i8 = OPERATION_UPSERT;
    const D: i8 = OPERATION_DELETE;
    let first = upsert(&[(U, 1, "a"), (U, 2, "b"), (U, 1, "A"), (U, 3, "c")], None);
    let second = upsert(&[(D, 2, ""), (U, 4, "d"), (D, 9, "")], None);
    store
        .commit_upsert(&table, None, &[first, second], None)
        .unwrap();
    assert_eq!(read(&store, &table), owned(&[(1, "A"), (3, "c"), (4, "d")]));
    // Only the column `id` is listed: the name stays.
    let partial = upsert(&[(U, 3, "ignored")], Some(&[1]));
    store.commit_upsert(&table, None, &[partial], None).unwrap();
    assert_eq!(read(&store, &table), owned(&[(1, "A"), (3, "c"), (4, "d")]));
    let named = upsert(&[(U, 3, "C"), (U, 5, "e")], Some(&[1, 2]));
    store.commit_upsert(&table, None, &[named], None).unwrap();
    assert_eq!(
        read(&store, &table),
        owned(&[(1, "A"), (3, "C"), (4, "d"), (5, "e")])
    );
    let files = parquet_files(&dir.path().join("p"));
    assert_eq!(files.len(), 1);
    assert!(
        files[0]
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("bucket-00000-")
    );
    let everything = upsert(&[(D, 1, ""), (D, 3, ""), (D, 4, ""), (D, 5, "")], None);
    store
        .commit_upsert(&table, None, &[everything], None)
        .unwrap();
    assert!(read(&store, &table).is_empty());
    assert!(parquet_files(&dir.path().join("p")).is_empty());
}

#[test]
fn row_ranges_cross_files_and_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let spec = TableSpec {
        columns: columns(),
        partition_columns: vec![
            Column::new("pt", ColumnType::String),
            Column::new("n", ColumnType::Int),
        ],
        ..TableSpec::default()
    };
    let table = store.create_table("p", "default", "t", "me", spec).unwrap();
    for (pt, first) in [("a", 0), ("b", 100)] {
        let partition = PartitionSpec::resolve(&table, &format!("n=7,pt='{pt}'")).unwrap();
        let none = store.commit_append(&table, Some(&partition), &[], false, None);
        assert!(matches!(none, Err(StoreError::NoSuchPartition { .. })));
        store.create_partition(&table, &partition).unwrap();
        for part in 0..2 {
            let batch: Vec<(i64, &str)> = (0..10).map(|i| (first + part * 10 + i, "x")).collect();
            let staged = store
                .stage(&table, StageKind::Append, [Ok(rows(&table, &batch))])
                .unwrap();
            store
                .commit_append(&table, Some(&partition), &[staged], false, None)
                .unwrap();
        }
    }
    let snapshot = store.snapshot(&table, None).unwrap();
    assert_eq!(snapshot.rows(), 40);
    let scan = store.scan(&snapshot, &["N", "id", "pt"], 18..22).unwrap();
    let mut seen = Vec::new();
    for batch in scan {
        let batch = batch.unwrap();
        for row in 0..batch.num_rows() {
            let text =
                |i: usize, ty: &ColumnType| value_text(batch.column(i).as_ref(), ty, row).unwrap();
            seen.push((
                text(0, &ColumnType::Int),
                text(1, &ColumnType::BigInt),
                text(2, &ColumnType::String),
            ));
        }
    }
    let ids: Vec<&str> = seen.iter().map(|(_, id, _)| id.as_str()).collect();
    assert_eq!(ids, ["18", "19", "100", "101"]);
    assert_eq!(seen[3], ("7".to_owned(), "101".to_owned(), "b".to_owned()));
    let whole = PartitionSpec::resolve(&table, "pt=a,n=7").unwrap();
    assert_eq!(store.snapshot(&table, Some(&whole)).unwrap().rows(), 20);
    assert!(dir.path().join("p/default/t/pt=a/n=7").is_dir());
}

#[test]
fn discard_mode_counts_and_keeps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Mode::Discard).unwrap();
    store.database().ensure_project("p").unwrap();
    let table = append_table(&store);
    let staged = store
        .stage(&table, StageKind::Append, [Ok(rows(&table, &[(1, "a")]))])
        .unwrap();
    store
        .commit_append(&table, None, &[staged], false, None)
        .unwrap();
    assert_eq!(store.counters().committed_rows, 1);
    assert!(parquet_files(dir.path()).is_empty());
}
