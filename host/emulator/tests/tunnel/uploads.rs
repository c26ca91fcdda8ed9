//! Batch and stream uploads: visibility, errors, partitions, durability.

use std::time::Duration;

use http::Method;
use longshore_emulator::{
    Mode, ServerOptions,
    catalog::{Column, ColumnType},
    storage::TableChange,
    wire::Compression,
};
use serde_json::Value;

use crate::peer::{Peer, arrow, bucket_of, compress, pack, records, spec};

#[tokio::test]
async fn blocks_are_visible_after_the_commit_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::start(dir.path()).await;
    peer.create_table("t", spec(false, false));
    let created = peer.post("/projects/p/tables/t?uploads=1").await.json();
    assert_eq!(
        (created["Status"].as_str(), created["MaxFieldSize"].as_u64()),
        (Some("normal"), Some(8_388_608))
    );
    assert_eq!(created["Schema"]["columns"][0]["name"], "id");
    let id = created["UploadID"].as_str().unwrap();
    let base = format!("/projects/p/tables/t?uploadid={id}");

    let put = peer
        .put(&format!("{base}&blockid=1"), records(&[(3, None)]))
        .await
        .ok();
    let costs: Value =
        serde_json::from_str(put.headers["odps-tunnel-metrics"].to_str().unwrap()).unwrap();
    let cost = |name: &str| costs[name].as_u64().unwrap();
    assert!(
        cost("ServerTotalCost")
            > cost("ServerIOCost") + cost("PanguIOCost") + cost("RateLimitCost")
    );
    peer.put(
        &format!("{base}&blockid=0"),
        records(&[(9, Some("replaced"))]),
    )
    .await
    .ok();
    peer.put(
        &format!("{base}&blockid=0"),
        records(&[(1, Some("a")), (2, Some("b"))]),
    )
    .await
    .ok();
    peer.put(&format!("{base}&blockid=7&arrow"), arrow(&[(4, Some("d"))]))
        .await
        .ok();
    for (block, method) in (10..).zip([
        "deflate",
        "zstd",
        "x-snappy-framed",
        "x-lz4-frame",
        "x-odps-lz4-frame",
    ]) {
        let body = compress(
            Compression::of_accept(method).unwrap(),
            &records(&[(block, Some(method))]),
        );
        let path = format!("{base}&blockid={block}");
        peer.send(Method::PUT, &path, &[("content-encoding", method)], body)
            .await
            .ok();
    }
    let status = peer.get(&format!("{base}&getblockid=true")).await.json();
    let listed: Vec<_> = status["UploadedBlockList"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["BlockID"].as_u64().unwrap())
        .collect();
    assert_eq!(listed, [0, 1, 7, 10, 11, 12, 13, 14]);
    assert!(peer.rows("t", "").await.is_empty());

    assert_eq!(peer.post(&base).await.json()["Status"], "closed");
    assert_eq!(peer.post(&base).await.json()["Status"], "closed");
    let rows = peer.rows("t", "").await;
    assert_eq!(rows[..4], ["1:a", "2:b", "3:-", "4:d"]);
    assert_eq!(rows.len(), 9);
    let late = peer
        .put(&format!("{base}&blockid=1"), records(&[(5, None)]))
        .await;
    assert_eq!(late.error(), (409, "StatusConflict".to_owned()));
    peer.server.shutdown().await;
}

#[tokio::test]
async fn wrong_streams_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::start(dir.path()).await;
    peer.create_table("t", spec(false, false));
    let created = peer.post("/projects/p/tables/t?uploads").await.json();
    let base = format!(
        "/projects/p/tables/t?uploadid={}",
        created["UploadID"].as_str().unwrap()
    );
    let good = records(&[(1, Some("a"))]);
    let mut corrupted = good.clone();
    corrupted[4] ^= 1;
    let cut = good[..good.len() - 2].to_vec();
    let many: Vec<_> = (0..100_000).map(|id| (id, Some("x"))).collect();
    let mut late = records(&many);
    let last = late.len() - 1;
    late[last] ^= 1;
    let cases = [
        ("blockid=0", corrupted, 400, "CorruptedDataStream"),
        ("blockid=0", cut, 400, "IncompleteBody"),
        ("blockid=0", late, 400, "CorruptedDataStream"),
        ("blockid=0", vec![0xff; 64], 400, "MalformedDataStream"),
        ("blockid=0&arrow", good.clone(), 400, "MalformedDataStream"),
        ("blockid=20000", good.clone(), 400, "InvalidBlockID"),
        ("nothing=0", good.clone(), 400, "InvalidArgument"),
    ];
    for (query, body, status, code) in cases {
        let answer = peer.put(&format!("{base}&{query}"), body).await;
        assert_eq!(
            answer.error(),
            (status, code.to_owned()),
            "{query}: {}",
            String::from_utf8_lossy(&answer.body)
        );
    }
    let unknown = peer
        .send(
            Method::PUT,
            &format!("{base}&blockid=0"),
            &[("content-encoding", "br")],
            good.clone(),
        )
        .await;
    assert_eq!(unknown.error().1, "MalformedHeaderValue");
    assert!(
        peer.get(&base).await.json()["UploadedBlockList"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let staged = std::fs::read_dir(dir.path().join(".longshore/staging"))
        .unwrap()
        .count();
    assert_eq!(staged, 0, "a failed block left a file");

    for (path, code) in [
        ("/projects/p/tables/t?uploadid=nothing", "NoSuchUpload"),
        ("/projects/p/tables/t?downloadid=nothing", "NoSuchDownload"),
        (
            "/projects/p/tables/t/upserts?upsertid=nothing",
            "UpsertSessionNotFound",
        ),
        (
            "/projects/p/tables/t/streams?uploadid=nothing",
            "StreamSessionNotFound",
        ),
        ("/projects/p/instances/nothing?downloadid=x", "NoSuchObject"),
    ] {
        assert_eq!(peer.get(path).await.error(), (404, code.to_owned()));
    }
    assert_eq!(
        peer.post("/projects/p/tables/none?uploads").await.error(),
        (404, "NoSuchTable".to_owned())
    );
    assert_eq!(
        peer.post("/projects/q/tables/none?uploads").await.error(),
        (404, "NoSuchProject".to_owned())
    );
    assert_eq!(
        peer.post("/projects/p/tables/t/upserts?slotnum=1")
            .await
            .error()
            .1,
        "InvalidArgument"
    );
    assert_eq!(
        peer.send(Method::DELETE, "/projects/p/tables/t", &[], vec![])
            .await
            .error()
            .1,
        "MethodNotAllowed"
    );
    peer.server.shutdown().await;
}

#[tokio::test]
async fn partitions_overwrite_and_missing_ones() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::start(dir.path()).await;
    peer.create_table("t", spec(true, false));
    let uploads = "/projects/p/tables/t?uploads";
    assert_eq!(
        peer.post(uploads).await.error(),
        (400, "MissingPartitionSpec".to_owned())
    );
    assert_eq!(
        peer.post(&format!("{uploads}&partition=pt%3Da"))
            .await
            .error(),
        (404, "NoSuchPartition".to_owned())
    );
    assert_eq!(
        peer.post(&format!("{uploads}&partition=ds%3Da"))
            .await
            .error(),
        (400, "InvalidPartitionSpec".to_owned())
    );
    for (row, overwrite) in [(1, ""), (2, ""), (3, "&overwrite=true")] {
        let path = format!("{uploads}&partition=pt%3Da&create_partition=true{overwrite}");
        let created = peer.post(&path).await.json();
        assert_eq!(created["IsOverwrite"], !overwrite.is_empty());
        let base = format!(
            "/projects/p/tables/t?uploadid={}&partition=pt%3Da",
            created["UploadID"].as_str().unwrap()
        );
        peer.put(&format!("{base}&blockid=0"), records(&[(row, None)]))
            .await
            .ok();
        peer.post(&base).await.ok();
        let expected = if row == 2 {
            vec!["1:-", "2:-"]
        } else {
            vec![if row == 1 { "1:-" } else { "3:-" }]
        };
        assert_eq!(peer.rows("t", "&partition=pt%3Da").await, expected);
    }
    peer.server.shutdown().await;
}

#[tokio::test]
async fn stream_packs_are_visible_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::start(dir.path()).await;
    let table = peer.create_table("t", spec(true, false));
    let streams = "/projects/p/tables/t/streams";
    let path = format!("{streams}?partition=pt%3Da&create_partition");
    let created = peer
        .send(Method::POST, &path, &[("odps-slot-num", "2")], vec![])
        .await
        .json();
    let slots = created["slots"].as_array().unwrap();
    assert_eq!(
        (
            slots.len(),
            slots[1][0].as_u64(),
            created["schema_version"].as_u64()
        ),
        (2, Some(1), Some(1))
    );
    assert_eq!(slots[0][1], peer.server.addr().to_string());
    let id = created["session_name"].as_str().unwrap().to_owned();
    let base = format!("{streams}?uploadid={id}&partition=pt%3Da&schema_version=1");
    let put = peer
        .put(
            &format!("{base}&slotid=1&record_count=1"),
            records(&[(1, Some("a"))]),
        )
        .await
        .ok();
    assert_eq!(put.headers["odps-tunnel-slot-num"], "2");
    assert_eq!(
        put.headers["odps-tunnel-routed-server"],
        peer.server.addr().to_string()
    );
    assert_eq!(peer.rows("t", "&partition=pt%3Da").await, ["1:a"]);
    let wrong = peer
        .put(
            &format!("{base}&slotid=0&record_count=5"),
            records(&[(2, None)]),
        )
        .await;
    assert_eq!(wrong.error(), (400, "MalformedDataStream".to_owned()));

    let store = peer.server.state().store();
    let added = TableChange::AddColumns {
        columns: vec![Column::new("more", ColumnType::String)],
        if_not_exists: false,
    };
    store.alter_table(&table, added).unwrap();
    let stale = peer
        .put(&format!("{base}&slotid=0"), records(&[(2, None)]))
        .await;
    assert_eq!(stale.headers["odps-tunnel-latest-schema-version"], "2");
    assert_eq!(stale.error(), (412, "SchemaModified".to_owned()));
    peer.put(
        &format!("{base}&slotid=0&check_latest_schema=false"),
        records(&[(2, Some("b"))]),
    )
    .await
    .ok();
    let early = peer
        .post(&format!("{streams}?partition=pt%3Da&schema_version=9"))
        .await;
    assert_eq!(early.error(), (404, "NoSuchSchema".to_owned()));

    let server = peer.server.addr().to_string();
    peer.get(&format!("{streams}?uploadid={id}")).await.ok();
    let abort = [("odps-tunnel-routed-server", server.as_str())];
    peer.send(
        Method::POST,
        &format!("{streams}?uploadid={id}"),
        &abort,
        vec![],
    )
    .await
    .ok();
    assert_eq!(
        peer.get(&format!("{streams}?uploadid={id}"))
            .await
            .error()
            .1,
        "StreamSessionNotFound"
    );
    peer.server.shutdown().await;
}

#[tokio::test]
async fn dynamic_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::start(dir.path()).await;
    peer.create_table("t", spec(true, false));
    let streams = "/projects/p/tables/t/streams";
    let created = peer
        .post(&format!(
            "{streams}?dynamic_partition=true&create_partition="
        ))
        .await
        .json();
    let base = format!(
        "{streams}?uploadid={}&slotid=0",
        created["session_name"].as_str().unwrap()
    );
    peer.put(&format!("{base}&partition=pt%3Da"), records(&[(1, None)]))
        .await
        .ok();
    peer.put(&format!("{base}&partition=pt%3Db"), records(&[(2, None)]))
        .await
        .ok();
    assert_eq!(peer.rows("t", "&partition=pt%3Db").await, ["2:-"]);
    assert_eq!(
        peer.put(&base, records(&[(2, None)])).await.error().1,
        "MissingPartitionSpec"
    );
    peer.server.shutdown().await;
}

#[tokio::test]
async fn sessions_and_blocks_survive_a_restart_and_then_expire() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::start(dir.path()).await;
    peer.create_table("t", spec(false, false));
    peer.create_table("d", spec(false, true));
    let upload = peer.post("/projects/p/tables/t?uploads").await.json()["UploadID"]
        .as_str()
        .unwrap()
        .to_owned();
    let upsert = peer.post("/projects/p/tables/d/upserts").await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    peer.put(
        &format!("/projects/p/tables/t?uploadid={upload}&blockid=0"),
        records(&[(1, None)]),
    )
    .await
    .ok();
    let put = format!(
        "/projects/p/tables/d/upserts?upsertid={upsert}&bucketid={}&slotid=0",
        bucket_of(1)
    );
    peer.put(&put, pack(&[(1, Some("a"), 85, &[])])).await.ok();
    peer.server.shutdown().await;

    let short = ServerOptions {
        session_lifetime: Duration::ZERO,
        upsert_lifetime: Duration::ZERO,
        ..Default::default()
    };
    let peer = Peer::start_with(dir.path(), Mode::Store, short).await;
    peer.post(&format!("/projects/p/tables/t?uploadid={upload}"))
        .await
        .ok();
    peer.post(&format!("/projects/p/tables/d/upserts?upsertid={upsert}"))
        .await
        .ok();
    assert_eq!(
        peer.rows_of_new_session_expired("t").await,
        (404, "NoSuchDownload".to_owned())
    );
    let expired = peer.post("/projects/p/tables/t?uploads").await.json()["UploadID"]
        .as_str()
        .unwrap()
        .to_owned();
    let late = peer
        .put(
            &format!("/projects/p/tables/t?uploadid={expired}&blockid=0"),
            records(&[(1, None)]),
        )
        .await;
    assert_eq!(late.error(), (404, "NoSuchUpload".to_owned()));
    peer.server.shutdown().await;

    let peer = Peer::start(dir.path()).await;
    assert_eq!(peer.rows("t", "").await, ["1:-"]);
    assert_eq!(peer.rows("d", "").await, ["1:a"]);
    peer.server.shutdown().await;
}
