//! Downloads and previews.

use arrow_array::{cast::AsArray as _, types::Int64Type};
use http::Method;
use longshore_emulator::{
    catalog::ColumnType,
    wire::{ArrowStreamReader, Compression, RecordStreamReader, WireColumn},
};

use crate::peer::{Peer, columns, read_rows, records, spec};

#[tokio::test]
async fn downloads_give_ranges_columns_and_encodings() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::start(dir.path()).await;
    peer.create_table("t", spec(true, false));
    let created = peer
        .post("/projects/p/tables/t?uploads&partition=pt%3Da&create_partition=true")
        .await
        .json();
    let base = format!(
        "/projects/p/tables/t?uploadid={}",
        created["UploadID"].as_str().unwrap()
    );
    let rows: Vec<_> = (0..20_000).map(|id| (id, Some("x"))).collect();
    peer.put(&format!("{base}&blockid=0"), records(&rows))
        .await
        .ok();
    peer.post(&base).await.ok();
    let created = peer
        .post("/projects/p/tables/t?downloads&partition=pt%3Da&asyncmode=true")
        .await
        .json();
    assert_eq!(
        (created["RecordCount"].as_u64(), created["Status"].as_str()),
        (Some(20_000), Some("normal"))
    );
    let data = format!(
        "/projects/p/tables/t?data&downloadid={}&partition=pt%3Da",
        created["DownloadID"].as_str().unwrap()
    );
    let some = read_rows(
        &peer
            .get(&format!("{data}&rowrange=%289000%2C3%29"))
            .await
            .ok()
            .body,
    );
    assert_eq!(some, ["9000:x", "9001:x", "9002:x"]);
    assert_eq!(
        read_rows(
            &peer
                .get(&format!("{data}&rowrange=(19999,50)"))
                .await
                .ok()
                .body
        ),
        ["19999:x"]
    );
    assert!(
        read_rows(
            &peer
                .get(&format!("{data}&rowrange=(50000,50)"))
                .await
                .ok()
                .body
        )
        .is_empty()
    );
    assert_eq!(
        peer.get(&format!("{data}&rowrange=all")).await.error().1,
        "InvalidRowRange"
    );
    assert_eq!(
        peer.get(&format!("{data}&rowrange=(0,1)&columns=none"))
            .await
            .error()
            .1,
        "InvalidColumnSpec"
    );
    for method in [
        "deflate",
        "zstd",
        "x-snappy-framed",
        "x-lz4-frame",
        "x-odps-lz4-frame",
    ] {
        let path = format!("{data}&rowrange=(0,20000)&arrow");
        let answer = peer
            .send(Method::GET, &path, &[("accept-encoding", method)], vec![])
            .await
            .ok();
        assert_eq!(answer.headers["content-encoding"], method);
        let body = std::io::Cursor::new(answer.body);
        let body = Compression::reader(Compression::of_content(method).unwrap(), body).unwrap();
        let mut reader = ArrowStreamReader::new(body, columns());
        while reader.next_batch().unwrap().is_some() {}
        assert_eq!(reader.rows(), 20_000);
    }
    // The columns are numbered as they were asked for; partition columns may be among them.
    let wanted = vec![
        WireColumn::new("pt", ColumnType::String),
        WireColumn::new("id", ColumnType::BigInt),
    ];
    let answer = peer
        .get(&format!("{data}&rowrange=(5,1)&columns=PT,id"))
        .await
        .ok();
    let mut reader = RecordStreamReader::new(&answer.body[..], wanted);
    let batch = reader.next_batch().unwrap().unwrap();
    assert_eq!(
        (
            batch.column(0).as_string::<i32>().value(0),
            batch.column(1).as_primitive::<Int64Type>().value(0)
        ),
        ("a", 5)
    );
    assert!(reader.next_batch().unwrap().is_none());
    assert!(reader.metrics().unwrap().contains("ServerTotalCost"));

    let preview = peer
        .get("/projects/p/schemas/default/tables/t/preview?limit=3")
        .await
        .ok();
    let mut stream = arrow_ipc::reader::StreamReader::try_new(&preview.body[..], None).unwrap();
    let batch = stream.next().unwrap().unwrap();
    assert_eq!(
        (batch.num_rows(), batch.schema().field(2).name().as_str()),
        (3, "pt")
    );
    peer.server.shutdown().await;
}

#[tokio::test]
async fn a_session_of_before_a_change_counts_as_expired() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::start(dir.path()).await;
    peer.create_table("t", spec(false, false));
    let append = async |id: i64| {
        let created = peer.post("/projects/p/tables/t?uploads").await.json();
        let base = format!(
            "/projects/p/tables/t?uploadid={}",
            created["UploadID"].as_str().unwrap()
        );
        let body = records(&[(id, Some("x"))]);
        peer.put(&format!("{base}&blockid=0"), body).await.ok();
        peer.post(&base).await.ok();
    };
    append(1).await;
    let created = peer.post("/projects/p/tables/t?downloads").await.json();
    let id = created["DownloadID"].as_str().unwrap();
    let session = format!("/projects/p/tables/t?downloadid={id}");
    let status = async |path: &str| peer.get(path).await.json()["Status"].clone();
    assert_eq!(status(&session).await, "normal");
    append(2).await;
    assert_eq!(status(&session).await, "expired");
    let unchecked = format!("{session}&disable_modified_check=true");
    assert_eq!(status(&unchecked).await, "normal");
    // A reader that is under way keeps its rows, a new one sees the new ones.
    let data = format!("/projects/p/tables/t?data&downloadid={id}&rowrange=(0,9)");
    assert_eq!(read_rows(&peer.get(&data).await.ok().body), ["1:x"]);
    assert_eq!(peer.rows("t", "").await, ["1:x", "2:x"]);
    peer.server.shutdown().await;
}
