//! Upsert sessions: buckets, merges, aborts, partial updates.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int8Array, Int64Array, ListArray, RecordBatch, StringArray, cast::AsArray as _,
};
use http::{Method, StatusCode};
use longshore_emulator::{
    Mode, ServerOptions,
    catalog::{Column, ColumnType, PartitionSpec},
    wire::{RecordStreamReader, RecordStreamWriter, WireColumn, hidden_columns},
};

use crate::peer::{Peer, bucket_of, columns, pack, spec};

#[tokio::test]
async fn upserts_merge_at_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::start(dir.path()).await;
    peer.create_table("t", spec(false, true));
    let upserts = "/projects/p/tables/t/upserts";
    let created = peer
        .post(&format!("{upserts}?slotnum=3&lifecycle=2"))
        .await
        .json();
    assert_eq!(
        (created["status"].as_str(), created["hasher"].as_str()),
        (Some("normal"), Some("default"))
    );
    assert_eq!(created["hash_key"], serde_json::json!(["id"]));
    let mut buckets: Vec<u64> = created["slots"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|slot| slot["buckets"].as_array().unwrap())
        .map(|bucket| bucket.as_u64().unwrap())
        .collect();
    buckets.sort_unstable();
    assert_eq!(buckets, [0, 1, 2, 3]);
    let id = created["id"].as_str().unwrap().to_owned();
    let base = format!("{upserts}?upsertid={id}");
    for key in 1..=8 {
        let path = format!("{base}&bucketid={}&slotid=0&record_count=1", bucket_of(key));
        peer.put(&path, pack(&[(key, Some("old"), 85, &[])]))
            .await
            .ok();
    }
    let path = format!("{base}&bucketid={}&slotid=0&record_count=2", bucket_of(1));
    peer.put(
        &path,
        pack(&[(1, Some("x"), 85, &[]), (1, Some("new"), 85, &[])]),
    )
    .await
    .ok();
    let path = format!("{base}&bucketid={}&slotid=0&record_count=1", bucket_of(2));
    peer.put(&path, pack(&[(2, None, 68, &[])])).await.ok();
    assert_eq!(peer.get(&base).await.json()["status"], "normal");

    let other = (bucket_of(1) + 1) % 4;
    let cases = [
        (
            other,
            "record_count=1",
            pack(&[(1, Some("x"), 85, &[])]),
            "InvalidArgument",
        ),
        (
            4,
            "record_count=1",
            pack(&[(1, Some("x"), 85, &[])]),
            "InvalidArgument",
        ),
        (
            bucket_of(1),
            "record_count=2",
            pack(&[(1, Some("x"), 85, &[])]),
            "MalformedDataStream",
        ),
        (
            bucket_of(1),
            "record_count=1",
            pack(&[(1, Some("x"), 7, &[])]),
            "MalformedDataStream",
        ),
        (
            bucket_of(1),
            "record_count=1",
            pack(&[(1, Some("x"), 85, &[2])]),
            "InvalidArgument",
        ),
        (
            bucket_of(1),
            "record_count=1",
            pack(&[(1, Some("x"), 85, &[99])]),
            "MalformedDataStream",
        ),
    ];
    for (bucket, query, body, code) in cases {
        let answer = peer
            .put(&format!("{base}&bucketid={bucket}&slotid=0&{query}"), body)
            .await;
        assert_eq!(
            answer.error(),
            (400, code.to_owned()),
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
    }
    assert!(peer.rows("t", "").await.is_empty());
    assert_eq!(peer.post(&base).await.json()["status"], "committed");
    assert_eq!(peer.post(&base).await.json()["status"], "committed");
    let mut rows = peer.rows("t", "").await;
    rows.sort();
    assert_eq!(
        rows,
        [
            "1:new", "3:old", "4:old", "5:old", "6:old", "7:old", "8:old"
        ]
    );

    let created = peer.post(upserts).await.json();
    let base = format!("{upserts}?upsertid={}", created["id"].as_str().unwrap());
    let path = format!("{base}&bucketid={}&slotid=0&record_count=1", bucket_of(3));
    peer.put(&path, pack(&[(3, None, 68, &[])])).await.ok();
    let aborted = peer.send(Method::DELETE, &base, &[], vec![]).await.json();
    assert_eq!(aborted["status"], "aborted");
    assert_eq!(peer.get(&base).await.json()["status"], "aborted");
    assert_eq!(
        peer.post(&base).await.error(),
        (409, "StatusConflict".to_owned())
    );
    assert_eq!(peer.rows("t", "").await.len(), 7);
    peer.server.shutdown().await;
}

#[tokio::test]
async fn partial_updates_where_the_table_allows_them() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::start(dir.path()).await;
    let mut spec = spec(false, true);
    spec.columns.push(Column::new("note", ColumnType::String));
    spec.properties.insert(
        "acid.partial.fields.update.enable".to_owned(),
        "true".to_owned(),
    );
    let table = peer.create_table("t", spec);
    let mut columns = columns();
    columns.push(WireColumn::new("note", ColumnType::String));
    let user = columns.clone();
    columns.extend(hidden_columns());
    let body = |name: Option<&str>, note: Option<&str>, updated: &[i64]| {
        let ids = |values: &[i64]| -> ArrayRef {
            let field = Arc::new(arrow_schema::Field::new(
                "element",
                arrow_schema::DataType::Int64,
                true,
            ));
            let offsets = arrow_buffer::OffsetBuffer::from_lengths([values.len()]);
            Arc::new(ListArray::new(
                field,
                offsets,
                Arc::new(Int64Array::from(values.to_vec())),
                None,
            ))
        };
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![1])),
            Arc::new(StringArray::from(vec![name])),
            Arc::new(StringArray::from(vec![note])),
            Arc::new(Int64Array::new_null(1)),
            Arc::new(Int64Array::new_null(1)),
            Arc::new(Int8Array::from(vec![85])),
            ids(&[]),
            ids(updated),
        ];
        let mut writer = RecordStreamWriter::new(columns.clone());
        writer
            .write_batch(&RecordBatch::try_new(WireColumn::schema(&columns), arrays).unwrap())
            .unwrap();
        writer.finish(None)
    };
    let created = peer.post("/projects/p/tables/t/upserts").await.json();
    assert_eq!(created["enable_partial_update"], true);
    let base = format!(
        "/projects/p/tables/t/upserts?upsertid={}",
        created["id"].as_str().unwrap()
    );
    let put = format!("{base}&bucketid={}&slotid=0&record_count=1", bucket_of(1));
    peer.put(&put, body(Some("name"), Some("old"), &[]))
        .await
        .ok();
    peer.put(&put, body(None, Some("new"), &[table.columns[2].column_id]))
        .await
        .ok();
    peer.post(&base).await.ok();
    let download = peer.post("/projects/p/tables/t?downloads").await.json();
    let path = format!(
        "/projects/p/tables/t?data&downloadid={}&rowrange=(0,1)",
        download["DownloadID"].as_str().unwrap()
    );
    let answer = peer.get(&path).await.ok();
    let batch = RecordStreamReader::new(&answer.body[..], user)
        .next_batch()
        .unwrap()
        .unwrap();
    assert_eq!(
        (
            batch.column(1).as_string::<i32>().value(0),
            batch.column(2).as_string::<i32>().value(0)
        ),
        ("name", "new")
    );
    peer.server.shutdown().await;
}

#[tokio::test]
async fn discard_mode_checks_everything_and_keeps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::start_with(dir.path(), Mode::Discard, ServerOptions::default()).await;
    peer.create_table("d", spec(false, true));
    let created = peer.post("/projects/p/tables/d/upserts").await.json();
    let base = format!(
        "/projects/p/tables/d/upserts?upsertid={}",
        created["id"].as_str().unwrap()
    );
    let good = format!("{base}&bucketid={}&slotid=0&record_count=1", bucket_of(1));
    peer.put(&good, pack(&[(1, Some("a"), 85, &[])])).await.ok();
    let wrong = format!(
        "{base}&bucketid={}&slotid=0&record_count=1",
        (bucket_of(1) + 1) % 4
    );
    assert_eq!(
        peer.put(&wrong, pack(&[(1, Some("a"), 85, &[])]))
            .await
            .status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(peer.post(&base).await.json()["status"], "committed");
    assert!(peer.rows("d", "").await.is_empty());
    assert_eq!(peer.server.state().store().counters().committed_rows, 1);
    peer.server.shutdown().await;
}

#[tokio::test]
async fn two_commits_and_late_packs_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::start(dir.path()).await;
    peer.create_table("d", spec(false, true));
    let created = peer.post("/projects/p/tables/d/upserts").await.json();
    let base = format!(
        "/projects/p/tables/d/upserts?upsertid={}",
        created["id"].as_str().unwrap()
    );
    let puts = (1..=20).map(|key| {
        let path = format!("{base}&bucketid={}&slotid=0", bucket_of(key));
        let peer = &peer;
        async move {
            peer.put(&path, pack(&[(key, Some("a"), 85, &[])]))
                .await
                .ok()
        }
    });
    futures::future::join_all(puts).await;
    let (first, second) = futures::future::join(peer.post(&base), peer.post(&base)).await;
    assert_eq!(
        (
            first.json()["status"].as_str(),
            second.json()["status"].as_str()
        ),
        (Some("committed"), Some("committed"))
    );
    assert_eq!(peer.rows("d", "").await.len(), 20);
    // The partition of an unpartitioned table is an error, not ignored.
    let spec = PartitionSpec(vec![("pt".to_owned(), "a".to_owned())]);
    assert_eq!(
        peer.post(&format!("/projects/p/tables/d?downloads&partition={spec}"))
            .await
            .error()
            .1,
        "InvalidPartitionSpec"
    );
    peer.server.shutdown().await;
}
