//! Faults on demand, as a client meets them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use longshore_emulator::Server;
use serde_json::{Value, json};

use support::{Answer, call, get, sql};

/// A server with a table `t (id BIGINT)` and these rules.
async fn scene(rules: &str) -> (tempfile::TempDir, Server) {
    let data = tempfile::tempdir().unwrap();
    let server = support::start(data.path()).await;
    sql(&server, "CREATE TABLE t (id BIGINT);").await.unwrap();
    let answer = call(&server, Method::POST, "/_longshore/faults", rules).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    (data, server)
}

/// An answer, or that the connection ended without all of it.
async fn attempt(server: &Server, method: Method, path: &str, body: &[u8]) -> Option<Answer> {
    let client = Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .build_http::<Full<Bytes>>();
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", server.addr()))
        .body(Full::new(Bytes::copy_from_slice(body)))
        .unwrap();
    let (parts, body) = client.request(request).await.ok()?.into_parts();
    let bytes = body.collect().await.ok()?.to_bytes();
    Some(Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8_lossy(&bytes).into_owned(),
        bytes,
    })
}

const TABLE: &str = "/projects/p/tables/t";
/// One row, `id` 1, as the record stream has it: see the golden streams.
fn one_row() -> Vec<u8> {
    let crc = crc32c::crc32c(&[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let mut body = vec![0x08, 0x02, 0x80, 0xc0, 0xff, 0x7f];
    varint(&mut body, crc);
    body.extend([0xf0, 0xff, 0xff, 0x7f, 0x02, 0xf8, 0xff, 0xff, 0x7f]);
    varint(&mut body, crc32c::crc32c(&crc.to_le_bytes()));
    body
}

fn varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

async fn create(server: &Server) -> String {
    let made = call(server, Method::POST, &format!("{TABLE}?uploads"), "").await;
    let made: Value = serde_json::from_str(&made.body).unwrap();
    made["UploadID"].as_str().unwrap().to_owned()
}

async fn blocks(server: &Server, session: &str) -> Value {
    let found = get(server, &format!("{TABLE}?uploadid={session}")).await;
    let found: Value = serde_json::from_str(&found.body).unwrap();
    found["UploadedBlockList"].as_array().unwrap().len().into()
}

async fn rows(server: &Server) -> Value {
    let tables = get(server, "/_longshore/tables").await;
    let tables: Value = serde_json::from_str(&tables.body).unwrap();
    tables[0]["rows"].clone()
}

async fn counts(server: &Server) -> Vec<(u64, u64)> {
    let report = get(server, "/_longshore/faults").await;
    let report: Vec<Value> = serde_json::from_str(&report.body).unwrap();
    let count = |rule: &Value, key: &str| rule[key].as_u64().unwrap();
    let both = |rule: &Value| (count(rule, "matched"), count(rule, "fired"));
    report.iter().map(both).collect()
}

#[tokio::test]
async fn rules_are_counted_listed_and_cleared() {
    let rules = "
- route: upload-create
  table: T
  skip: 1
  times: 2
  effect:
    answer: {status: 503, code: ServiceUnavailable, message: later, hold-client: 2s, headers: {X-A: 1}}
- {route: upload-create, effect: {throttle: {hold-client: 70ms, retry-after: 1500ms}}}
- {route: upload-create, table: another, effect: drop}
";
    let (_data, server) = scene(rules).await;
    let create = || call(&server, Method::POST, "/projects/p/tables/t?uploads", "");
    // The first passes the first rule, and meets the second.
    let first = create().await;
    assert_eq!(first.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(first.headers["retry-after"], "2");
    let body: Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!(
        (&body["Code"], &body["HoldClientMillis"]),
        (&json!("FlowExceeded"), &json!(70))
    );
    for _ in 0..2 {
        let refused = create().await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers["x-a"], "1");
        let body: Value = serde_json::from_str(&refused.body).unwrap();
        assert_eq!(
            (&body["Code"], &body["Message"], &body["HoldClientMillis"]),
            (&json!("ServiceUnavailable"), &json!("later"), &json!(2000))
        );
    }
    assert_eq!(create().await.status, StatusCode::OK);
    assert_eq!(counts(&server).await, [(4, 2), (4, 1), (0, 0)]);
    let cleared = call(&server, Method::DELETE, "/_longshore/faults", "").await;
    assert_eq!(cleared.body, "[]");
    assert_eq!(counts(&server).await, []);
}

#[tokio::test]
async fn wrong_rules_are_refused_and_change_nothing() {
    let (_data, server) = scene("- {route: sql, effect: drop, times: always, skip: 100}").await;
    let wrong = "- {route: sql, effect: drop}\n- {route: sqll, effect: drop}";
    let refused = call(&server, Method::POST, "/_longshore/faults", wrong).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.contains("line 2: route `sqll` is not known"));
    assert_eq!(counts(&server).await.len(), 1);
}

#[tokio::test]
async fn a_connection_is_dropped_before_or_after_the_effect() {
    let rules = "
- {route: upload-block, effect: drop}
- {route: upload-commit, when: after, effect: drop}
- {route: upload-commit, when: after, effect: {answer: {status: 504}}}
";
    let (_data, server) = scene(rules).await;
    let session = create(&server).await;
    let block = format!("{TABLE}?uploadid={session}&blockid=0");
    assert!(
        attempt(&server, Method::PUT, &block, &one_row())
            .await
            .is_none()
    );
    assert_eq!(blocks(&server, &session).await, 0);
    let written = attempt(&server, Method::PUT, &block, &one_row())
        .await
        .unwrap();
    assert_eq!(written.status, StatusCode::OK, "{}", written.body);
    let commit = format!("{TABLE}?uploadid={session}");
    assert!(attempt(&server, Method::POST, &commit, b"").await.is_none());
    assert_eq!(rows(&server).await, 1);
    let late = attempt(&server, Method::POST, &commit, b"").await.unwrap();
    assert_eq!(
        (late.status, late.body.as_str()),
        (StatusCode::GATEWAY_TIMEOUT, "")
    );
    assert_eq!(rows(&server).await, 1);
}

#[tokio::test]
async fn bodies_are_torn_corrupted_and_without_space() {
    let rules = "
- {route: upload-block, effect: {torn-request: {after-bytes: 3}}}
- {route: upload-block, effect: corrupt-request}
- {route: upload-block, effect: disk-full}
- {route: upload-get, skip: 3, effect: {torn-answer: {after-bytes: 5}}}
- {route: upload-get, skip: 3, effect: corrupt-answer}
";
    let (data, server) = scene(rules).await;
    let session = create(&server).await;
    let block = format!("{TABLE}?uploadid={session}&blockid=0");
    let body = one_row();
    assert!(attempt(&server, Method::PUT, &block, &body).await.is_none());
    assert_eq!(blocks(&server, &session).await, 0);
    let corrupted = attempt(&server, Method::PUT, &block, &body).await.unwrap();
    assert_eq!(corrupted.status, StatusCode::BAD_REQUEST);
    assert!(
        corrupted.body.contains("CorruptedDataStream"),
        "{}",
        corrupted.body
    );
    assert_eq!(blocks(&server, &session).await, 0);
    let full = attempt(&server, Method::PUT, &block, &body).await.unwrap();
    assert_eq!(full.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(
        full.body.to_lowercase().contains("no storage space"),
        "{}",
        full.body
    );
    assert_eq!(blocks(&server, &session).await, 0);
    let staging = data.path().join(".longshore").join("staging");
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0);
    // The fourth look at the session breaks off, the fifth is wrong at its end.
    let status = format!("{TABLE}?uploadid={session}");
    assert!(attempt(&server, Method::GET, &status, b"").await.is_none());
    let wrong = attempt(&server, Method::GET, &status, b"").await.unwrap();
    assert!(
        wrong.body.starts_with('{') && wrong.body.ends_with('|'),
        "{}",
        wrong.body
    );
}

#[tokio::test]
async fn an_unread_body_is_answered_at_once() {
    let rules = "- {route: upload-block, effect: {answer-unread: {status: 403, code: NoPermission, message: no}}}";
    let (_data, server) = scene(rules).await;
    let session = create(&server).await;
    let mut stream = std::net::TcpStream::connect(server.addr()).unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        // The body is announced and never sent.
        write!(
            stream,
            "PUT {TABLE}?uploadid={session}&blockid=0 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("NoPermission"), "{answer}");
}

#[tokio::test]
async fn slow_calls_take_their_time() {
    let rules = "
- {route: upload-create, delay: 60ms}
- {route: upload-get, effect: {slow-answer: {bytes-per-second: 5000}}}
- {route: upload-block, effect: {slow-request: {bytes-per-second: 200}}, delay-answer: 10ms}
";
    let (_data, server) = scene(rules).await;
    let start = Instant::now();
    let session = create(&server).await;
    assert!(start.elapsed() >= Duration::from_millis(60));
    let start = Instant::now();
    let size = get(&server, &format!("{TABLE}?uploadid={session}")).await;
    let expected = Duration::from_micros(size.bytes.len() as u64 * 200);
    assert!(
        start.elapsed() >= expected * 9 / 10,
        "{:?}",
        start.elapsed()
    );
    let start = Instant::now();
    let body = one_row();
    let block = format!("{TABLE}?uploadid={session}&blockid=0");
    let written = attempt(&server, Method::PUT, &block, &body).await.unwrap();
    assert_eq!(written.status, StatusCode::OK);
    assert!(start.elapsed() >= Duration::from_millis(5 * body.len() as u64));
}

#[tokio::test]
async fn sessions_end_and_are_not_committed() {
    for (end, status, code) in [
        ("expired", StatusCode::OK, "expired"),
        ("critical", StatusCode::OK, "critical"),
        ("aborted", StatusCode::OK, "aborted"),
        ("gone", StatusCode::NOT_FOUND, "NoSuchUpload"),
    ] {
        let rules = format!("- {{route: upload-get, effect: {{end-session: {end}}}}}");
        let (_data, server) = scene(&rules).await;
        let session = create(&server).await;
        let commit = format!("{TABLE}?uploadid={session}");
        let found = get(&server, &commit).await;
        assert_eq!(found.status, status, "{}", found.body);
        assert!(found.body.contains(code), "{}", found.body);
        let refused = attempt(&server, Method::POST, &commit, b"").await.unwrap();
        assert!(refused.status.is_client_error(), "{end}: {}", refused.body);
    }
}

#[tokio::test]
async fn slots_move_and_stay_where_they_are() {
    let rules = "
- {route: upsert-pack, effect: {move-slot: {}}}
- {route: upsert-commit, effect: {move-slot: {told: false}}}
";
    let (_data, server) = scene(rules).await;
    let delta = "CREATE TABLE d (id BIGINT NOT NULL, PRIMARY KEY(id)) TBLPROPERTIES('transactional'='true', 'write.bucket.num'='1');";
    sql(&server, delta).await.unwrap();
    let made = call(&server, Method::POST, "/projects/p/tables/d/upserts", "").await;
    let made: Value = serde_json::from_str(&made.body).unwrap();
    let session = format!(
        "/projects/p/tables/d/upserts?upsertid={}",
        made["id"].as_str().unwrap()
    );
    let old = made["slots"][0]["worker_addr"].as_str().unwrap().to_owned();
    let pack = format!("{session}&bucketid=0&slotid=0");
    let put = async |routed: &str| {
        let headers = [("odps-tunnel-routed-server", routed)];
        support::send(&server, Method::PUT, &pack, &headers, Vec::new()).await
    };
    let moved = put(&old).await;
    assert_eq!(moved.status, StatusCode::PERMANENT_REDIRECT);
    let new = moved.headers["odps-tunnel-routed-server"].to_str().unwrap();
    // Whoever still names the old one is sent on again.
    assert_eq!(put(&old).await.headers["odps-tunnel-routed-server"], new);
    assert_ne!(put(new).await.status, StatusCode::PERMANENT_REDIRECT);
    let reloaded = get(&server, &session).await;
    let reloaded: Value = serde_json::from_str(&reloaded.body).unwrap();
    assert_eq!(reloaded["slots"][0]["worker_addr"], new);
    // The next move is not told: only reading the session again helps.
    let headers = [("odps-tunnel-routed-server", new)];
    let untold = support::send(&server, Method::POST, &session, &headers, Vec::new()).await;
    assert_eq!(untold.status, StatusCode::PERMANENT_REDIRECT);
    assert!(!untold.headers.contains_key("odps-tunnel-routed-server"));
    let reloaded: Value = serde_json::from_str(&get(&server, &session).await.body).unwrap();
    let newest = reloaded["slots"][0]["worker_addr"].as_str().unwrap();
    assert_ne!(newest, new);
    let headers = [("odps-tunnel-routed-server", newest)];
    let done = support::send(&server, Method::POST, &session, &headers, Vec::new()).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
}

#[tokio::test]
async fn a_job_fails_before_its_statement_or_after_it() {
    let rules = "
- {route: sql, statement: CREATE TABLE A, effect: {fail-job: {code: ODPS-0110061, message: half way}}}
- {route: sql, table: b, when: after, effect: {fail-job: {}}}
";
    let (_data, server) = scene(rules).await;
    let failed = sql(&server, "CREATE TABLE a (id BIGINT);")
        .await
        .unwrap_err();
    assert_eq!(failed, "ODPS-0110061:half way");
    let failed = sql(&server, "CREATE TABLE b (id BIGINT);")
        .await
        .unwrap_err();
    assert!(failed.starts_with("ODPS-0010000:"), "{failed}");
    for (table, status) in [("a", StatusCode::NOT_FOUND), ("b", StatusCode::OK)] {
        let found = get(&server, &format!("/api/projects/p/tables/{table}")).await;
        assert_eq!(found.status, status, "table {table}");
    }
}

#[tokio::test]
async fn a_restart_loses_connections_and_keeps_what_is_durable() {
    let rules = "- {route: upload-get, when: after, effect: {restart: {down: 100ms}}}";
    let (_data, server) = scene(rules).await;
    let session = create(&server).await;
    let block = format!("{TABLE}?uploadid={session}&blockid=0");
    attempt(&server, Method::PUT, &block, &one_row())
        .await
        .unwrap();
    let status = format!("{TABLE}?uploadid={session}");
    let start = Instant::now();
    assert!(attempt(&server, Method::GET, &status, b"").await.is_none());
    // Nobody listens for a while, then all is there.
    let commit = loop {
        if let Some(answer) = attempt(&server, Method::POST, &status, b"").await {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(commit.status, StatusCode::OK, "{}", commit.body);
    assert_eq!(rows(&server).await, 1);
}

#[tokio::test]
async fn only_calls_above_a_number_in_progress_are_throttled() {
    let rules = "
- {route: upload-create, times: always, above: 1, effect: {throttle: {}}}
- {route: upload-create, skip: 1, delay: 1min}
";
    let (_data, server) = scene(rules).await;
    let path = format!("{TABLE}?uploads");
    let create = || attempt(&server, Method::POST, &path, b"");
    // One after the other is not too many.
    assert_eq!(create().await.unwrap().status, StatusCode::OK);
    let beside = async {
        while counts(&server).await[1].1 == 0 {
            tokio::task::yield_now().await;
        }
        create().await.unwrap().status
    };
    tokio::select! {
        _ = create() => panic!("the delayed call was answered"),
        status = beside => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS),
    }
}
