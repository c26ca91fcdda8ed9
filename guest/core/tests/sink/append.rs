use longshore_core::contract::{CheckpointReason, CommitOutcome};
use longshore_core::error::ErrorClass;
use longshore_core::request::{Framing, Method};

use crate::driver::{Driver, Row, declaration, rows};
use crate::service::Service;

fn service() -> Service {
    Service::new()
        .with_table("t", false, None)
        .with_table("pt", true, None)
}

#[test]
fn inserts_are_visible_only_after_the_commit() {
    for algorithm in ["raw", "zlib"] {
        let mut d = Driver::new(service(), &[("compress.algorithm", algorithm)]);
        let t = d.declare(declaration("t", false, &[])).unwrap();
        d.write(
            t,
            false,
            &[(0, 1, Some("a"), None), (0, 2, Some("中"), None)],
        )
        .unwrap();
        let items = d.prepare().unwrap();
        assert_eq!(d.appended("t"), []);
        assert_eq!(items.len(), 1);
        assert_eq!(d.commit(items.clone()), [CommitOutcome::Committed]);
        assert_eq!(d.appended("t"), rows(&[("", 1, "a"), ("", 2, "中")]));
        assert_eq!(d.commit(items), [CommitOutcome::AlreadyCommitted]);
        assert_eq!(d.appended("t").len(), 2);
        // A checkpoint without rows has nothing to commit and opens no session.
        assert!(d.prepare().unwrap().is_empty());
        assert_eq!(d.service.count(Method::Post, "uploads"), 1);
    }
}

#[test]
fn updates_are_inserts_and_deletes_follow_the_option() {
    let batch: &[Row] = &[
        (0, 1, Some("a"), None),
        (1, 1, Some("a"), None),
        (2, 1, Some("b"), None),
        (3, 1, Some("b"), None),
    ];
    for policy in ["ignore", "log", "reject"] {
        let mut d = Driver::new(service(), &[("delete-on-append", policy)]);
        let t = d.declare(declaration("t", false, &[])).unwrap();
        let result = d.write(t, false, batch);
        if policy == "reject" {
            let error = result.unwrap_err();
            assert_eq!(error.class, ErrorClass::Data);
            assert_eq!(
                error
                    .bad_rows
                    .iter()
                    .map(|r| (r.sequence, r.row))
                    .collect::<Vec<_>>(),
                [(1, 3)]
            );
        } else {
            result.unwrap();
            assert_eq!(d.metric("rows_ignored_total", ""), 1.0);
            let logged = d
                .sink
                .take_log()
                .iter()
                .any(|e| e.message.contains("deletes ignored"));
            assert_eq!(logged, policy == "log");
        }
        d.checkpoint();
        assert_eq!(d.appended("t"), rows(&[("", 1, "a"), ("", 1, "b")]));
    }
}

#[test]
fn each_partition_has_its_own_session_and_its_column_leaves_the_data() {
    let mut d = Driver::new(service(), &[("partition.default-value", "none")]);
    let t = d.declare(declaration("pt", true, &[])).unwrap();
    let batch: &[Row] = &[
        (0, 1, Some("a"), Some("x y")),
        (0, 2, Some("b"), Some("z")),
        (0, 3, Some("c"), Some("x y")),
        (0, 4, Some("d"), None),
        (0, 5, Some("e"), Some("")),
    ];
    d.write(t, true, batch).unwrap();
    assert_eq!(d.checkpoint(), 3);
    let expected = [
        ("pt=none", 4, "d"),
        ("pt=none", 5, "e"),
        ("pt=x y", 1, "a"),
        ("pt=x y", 3, "c"),
        ("pt=z", 2, "b"),
    ];
    assert_eq!(d.appended("pt"), rows(&expected));
}

#[test]
fn a_missing_or_illegal_partition_value_refuses_only_its_row() {
    let mut d = Driver::new(service(), &[("partition.default-value", "")]);
    let t = d.declare(declaration("pt", true, &[])).unwrap();
    let batch: &[Row] = &[
        (0, 1, Some("a"), None),
        (0, 2, Some("b"), Some("ok")),
        (0, 3, Some("c"), Some("a/b")),
    ];
    let error = d.write(t, true, batch).unwrap_err();
    assert_eq!(error.class, ErrorClass::Data);
    assert_eq!(
        error.bad_rows.iter().map(|r| r.row).collect::<Vec<_>>(),
        [0, 2]
    );
    assert!(
        error
            .bad_rows
            .iter()
            .all(|r| r.column.as_deref() == Some("pt"))
    );
    assert!(
        error.message.contains("table p.pt: 2 of 3 rows refused"),
        "{}",
        error.message
    );
    assert_eq!(d.metric("rows_rejected_total", ""), 2.0);
    d.checkpoint();
    assert_eq!(d.appended("pt"), rows(&[("pt=ok", 2, "b")]));
}

#[test]
fn blocks_start_small_and_grow() {
    let mut d = Driver::new(service(), &[("block-size", "1mb")]);
    let t = d.declare(declaration("t", false, &[])).unwrap();
    let text: &'static str = Box::leak("x".repeat(1000).into_boxed_str());
    let batch: Vec<Row> = (0..1000).map(|i| (0, i, Some(text), None)).collect();
    for _ in 0..5 {
        d.write(t, false, &batch).unwrap();
        d.pump();
    }
    d.checkpoint();
    let sizes: Vec<usize> = d
        .service
        .seen
        .iter()
        .filter(|s| s.method == Method::Put)
        .map(|s| s.body / 1024)
        .collect();
    assert_eq!(
        sizes[..6],
        [64, 128, 256, 512, 1024, 1024].map(|kb| sizes
            .iter()
            .copied()
            .find(|s| s.abs_diff(kb) <= 2)
            .unwrap())
    );
    assert_eq!(
        d.service
            .seen
            .iter()
            .find(|s| s.method == Method::Put)
            .unwrap()
            .framing,
        Framing::Chunked
    );
    assert_eq!(d.appended("t").len(), 5000);
}

#[test]
fn credit_falls_to_zero_and_comes_back() {
    let mut d = Driver::new(
        service(),
        &[("total.buffer-size", "4mb"), ("block-size", "256kb")],
    );
    let t = d.declare(declaration("t", false, &[])).unwrap();
    let text: &'static str = Box::leak("x".repeat(1000).into_boxed_str());
    let batch: Vec<Row> = (0..100).map(|i| (0, i, Some(text), None)).collect();
    let mut written = 0;
    while d.sink.progress(d.clock()).credit.bytes > 0 {
        d.write(t, false, &batch).unwrap();
        written += 100;
        assert!(written < 10_000, "credit never ends");
    }
    assert_eq!(d.sink.progress(d.clock()).credit.rows, 0);
    assert!(d.metric("buffered_bytes", "") <= 4.0 * 1024.0 * 1024.0);
    d.pump();
    assert!(d.sink.progress(d.clock()).credit.bytes > 0);
    d.checkpoint();
    assert_eq!(d.appended("t").len(), written);
    assert_eq!(d.metric("buffered_bytes", ""), 0.0);
}

#[test]
fn many_partitions_are_flushed_instead_of_kept() {
    let mut d = Driver::new(
        service(),
        &[("total.buffer-size", "1mb"), ("open-partitions", "50")],
    );
    let t = d.declare(declaration("pt", true, &[])).unwrap();
    let text: &'static str = Box::leak("x".repeat(2000).into_boxed_str());
    let partitions: Vec<&'static str> = (0..100)
        .map(|i| &*Box::leak(format!("p{i:03}").into_boxed_str()))
        .collect();
    for round in 0..10 {
        let batch: Vec<Row> = partitions
            .iter()
            .enumerate()
            .map(|(i, p)| (0, round * 100 + i as i64, Some(text), Some(*p)))
            .collect();
        d.write(t, true, &batch).unwrap();
        assert!(d.metric("buffered_bytes", "") < 1024.0 * 1024.0);
        d.pump();
    }
    assert_eq!(
        d.sink.take_checkpoint_request(),
        Some(CheckpointReason::OpenPartitions)
    );
    assert_eq!(d.checkpoint(), 100);
    assert_eq!(d.appended("pt").len(), 1000);
}

#[test]
fn rows_move_after_the_flush_interval_and_old_sessions_ask_for_a_checkpoint() {
    let mut d = Driver::new(
        service(),
        &[("flush.interval", "2s"), ("session.max-age", "1h")],
    );
    let t = d.declare(declaration("t", false, &[])).unwrap();
    d.write(t, false, &[(0, 1, Some("a"), None)]).unwrap();
    d.pump();
    assert_eq!(d.service.count(Method::Put, "blockid"), 0);
    assert_eq!(d.sink.progress(d.clock()).wake_after_ms, Some(2000));
    d.now += 2000;
    d.pump();
    assert_eq!(d.service.count(Method::Put, "blockid"), 1);
    assert_eq!(d.sink.take_checkpoint_request(), None);
    d.now += 3_600_000;
    d.pump();
    assert_eq!(
        d.sink.take_checkpoint_request(),
        Some(CheckpointReason::SessionAge)
    );
}

#[test]
fn requests_look_like_those_of_the_official_clients() {
    let mut d = Driver::new(
        service(),
        &[("compress.algorithm", "zlib"), ("quotaName", "q")],
    );
    let t = d.declare(declaration("pt", true, &[])).unwrap();
    d.write(t, true, &[(0, 1, Some("a"), Some("2024-06-15"))])
        .unwrap();
    d.checkpoint();
    let seen: Vec<(&str, &str)> = d
        .service
        .seen
        .iter()
        .map(|s| (s.method.as_str(), s.target.as_str()))
        .collect();
    for expected in [
        ("GET", "/api/projects/p?curr_project=p"),
        ("GET", "/api/projects/p/tables/pt?curr_project=p"),
        ("GET", "/api/projects/p/tables/pt?extended&curr_project=p"),
        (
            "GET",
            "/api/projects/p/tunnel?service&quotaName=q&curr_project=p",
        ),
        (
            "POST",
            "/projects/p/tables/pt?partition=pt%3D2024-06-15&quotaName=q&uploads&create_partition=true&curr_project=p",
        ),
        (
            "PUT",
            "/projects/p/tables/pt?partition=pt%3D2024-06-15&quotaName=q&uploadid=s1&blockid=0&curr_project=p",
        ),
        (
            "GET",
            "/projects/p/tables/pt?partition=pt%3D2024-06-15&quotaName=q&uploadid=s1&getblockid=true&curr_project=p",
        ),
        (
            "POST",
            "/projects/p/tables/pt?uploadid=s1&partition=pt%3D2024-06-15&quotaName=q&curr_project=p",
        ),
    ] {
        assert!(seen.contains(&expected), "{expected:?} not in {seen:#?}");
    }
    let put = d
        .service
        .seen
        .iter()
        .find(|s| s.method == Method::Put)
        .unwrap();
    for (name, value) in [
        ("x-odps-tunnel-version", "6"),
        ("odps-tunnel-date-transform", "v1"),
        ("Content-Type", "application/octet-stream"),
        ("Content-Encoding", "deflate"),
        ("Date", "Sat, 21 Nov 2026 10:00:01 GMT"),
    ] {
        let found = put
            .headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str());
        assert_eq!(found, Some(value), "{name}");
    }
    // The base path is not signed, the parameters are sorted and decoded.
    let table = d
        .service
        .seen
        .iter()
        .find(|s| s.target.contains("extended"))
        .unwrap();
    assert!(
        table
            .signed
            .ends_with("\n/projects/p/tables/pt?curr_project=p&extended"),
        "{}",
        table.signed
    );
    assert!(put.signed.starts_with("PUT\n\napplication/octet-stream\nSat, 21 Nov 2026 10:00:01 GMT\nx-odps-tunnel-version:6\nx-odps-user-agent:longshore/"));
    assert!(
        put.signed
            .ends_with("?blockid=0&curr_project=p&partition=pt=2024-06-15&quotaName=q&uploadid=s1")
    );
}
