//! How rows reach append tables: Arrow blocks, streams, full buffers.

use longshore_core::contract::CommitOutcome;
use longshore_core::error::ErrorClass;
use longshore_core::request::Method;

use crate::driver::{Driver, Row, declaration, rows};
use crate::service::{Fault, Service, error};

#[test]
fn arrow_blocks_are_committed_once_like_others() {
    for compress in ["raw", "zlib"] {
        let mut d = Driver::new(
            Service::usual(),
            &[
                ("tunnel", "arrow"),
                ("compress.algorithm", compress),
                ("arrow.batch-rows", "2"),
            ],
        );
        let t = d.declare(declaration("pt", true, &[])).unwrap();
        let batch: Vec<Row> = (0..9)
            .map(|i| (0, i, Some("中"), Some(if i < 4 { "x" } else { "y" })))
            .collect();
        d.service.fail(Method::Put, "arrow", Fault::LostAfter);
        d.write(t, true, &batch).unwrap();
        let items = d.prepare().unwrap();
        assert_eq!((items.len(), d.appended("pt").len()), (2, 0));
        d.commit(items.clone());
        assert_eq!(
            d.commit(items),
            [const { CommitOutcome::AlreadyCommitted }; 2]
        );
        assert_eq!(d.appended("pt").len(), 9);
        assert_eq!(d.service.count(Method::Put, "arrow"), 3);
    }
}

#[test]
fn a_value_the_arrow_tunnel_can_not_carry_refuses_only_its_row() {
    let mut d = Driver::new(Service::usual(), &[("tunnel", "arrow")]);
    let t = d.declare(declaration("t", false, &[])).unwrap();
    let error = d
        .write(
            t,
            false,
            &[(0, 1, Some("a"), None), (0, i64::MIN, Some("b"), None)],
        )
        .unwrap_err();
    assert_eq!(error.bad_rows.len(), 1, "{error}");
    d.checkpoint();
    assert_eq!(d.appended("t"), rows(&[("", 1, "a")]));
}

fn stream(more: &[(&str, &str)]) -> (Driver, u32) {
    let mut all = vec![("tunnel", "stream"), ("slot-num", "2")];
    all.extend(more);
    let mut d = Driver::new(Service::usual(), &all);
    let t = d.declare(declaration("pt", true, &[])).unwrap();
    (d, t)
}

#[test]
fn streamed_rows_are_visible_by_age_before_any_checkpoint() {
    let (mut d, t) = stream(&[]);
    let said = d.sink.take_log();
    assert!(
        said.iter()
            .any(|e| e.message.contains("can stand there twice")),
        "{said:?}"
    );
    d.write(t, true, &[(0, 1, Some("a"), Some("x"))]).unwrap();
    d.pump();
    assert!(d.appended("pt").is_empty());
    // Nothing more comes: the sink asks to be called.
    let wake = d.sink.progress(d.clock()).wake_after_ms.unwrap();
    assert_eq!(wake, 3000);
    d.now += u64::from(wake);
    d.pump();
    assert_eq!(d.appended("pt"), rows(&[("pt=x", 1, "a")]));
    // A checkpoint sends the rest and has nothing to commit; the session goes on.
    d.write(t, true, &[(0, 2, Some("b"), Some("x"))]).unwrap();
    assert!(d.prepare().unwrap().is_empty());
    d.write(t, true, &[(0, 3, Some("c"), Some("x"))]).unwrap();
    assert!(d.prepare().unwrap().is_empty());
    assert_eq!(d.appended("pt").len(), 3);
    assert_eq!(d.service.count(Method::Post, "streams"), 1);
    // Without rows between two checkpoints a partition's session is given up.
    assert!(d.prepare().unwrap().is_empty());
    d.pump();
    assert_eq!(d.metric("open_sessions", ""), 0.0);
    d.write(t, true, &[(0, 4, Some("d"), Some("x"))]).unwrap();
    d.prepare().unwrap();
    assert_eq!(d.appended("pt").len(), 4);
    assert_eq!(d.service.count(Method::Post, "streams"), 2);
}

#[test]
fn streams_follow_their_slots_and_survive_the_end_of_a_session() {
    let (mut d, t) = stream(&[("flush.rows", "1")]);
    let moved = || {
        let header = vec![("odps-tunnel-routed-server", "new:9".to_owned())];
        Fault::Answer(308, header, String::new())
    };
    d.service.fail(Method::Put, "slotid=0", moved());
    d.service
        .fail(Method::Put, "slotid=1", error(502, "BadGateway"));
    let batch: Vec<Row> = (0..4).map(|i| (0, i, Some("v"), Some("x"))).collect();
    d.write(t, true, &batch).unwrap();
    d.prepare().unwrap();
    assert_eq!(d.appended("pt").len(), 4);
    let servers: Vec<_> = d
        .service
        .seen
        .iter()
        .filter(|s| s.target.contains("slotid=0"))
        .flat_map(|s| {
            s.headers
                .iter()
                .filter(|(n, _)| n == "odps-tunnel-routed-server")
        })
        .map(|(_, server)| server.as_str())
        .collect();
    assert_eq!(servers.last(), Some(&"new:9"), "{servers:?}");

    // Another number of slots is told by an answer and learned.
    d.service.stream_slots = 1;
    let batch: Vec<Row> = (4..5).map(|i| (0, i, Some("v"), Some("x"))).collect();
    d.write(t, true, &batch).unwrap();
    d.prepare().unwrap();
    d.write(t, true, &[(0, 5, Some("v"), Some("x"))]).unwrap();
    d.prepare().unwrap();
    assert_eq!(d.appended("pt").len(), 6);

    // Columns behind the old ones: a new session takes the same pack.
    d.service.schema_version = 2;
    d.service
        .tables
        .get_mut("pt")
        .unwrap()
        .columns
        .push(("more".into(), "string".into(), true));
    d.write(t, true, &[(0, 6, Some("v"), Some("x"))]).unwrap();
    d.prepare().unwrap();
    d.service.forget_sessions();
    d.write(t, true, &[(0, 7, Some("v"), Some("x"))]).unwrap();
    d.prepare().unwrap();
    assert_eq!(d.appended("pt").len(), 8);

    // Other columns: the rows here are encoded for those that were.
    d.service.schema_version = 3;
    d.service.tables.get_mut("pt").unwrap().columns.swap(0, 1);
    d.write(t, true, &[(0, 8, Some("v"), Some("x"))]).unwrap();
    let error = d.prepare().unwrap_err();
    assert_eq!(error.class, ErrorClass::Fenced, "{error}");
    assert!(
        error
            .message
            .contains("column 1 is `name` STRING instead of `ID` BIGINT"),
        "{error}"
    );
}

#[test]
fn full_buffers_make_one_block_for_each_partition_and_checkpoint() {
    let text: &'static str = "x".repeat(1000).leak();
    let mut blocks = Vec::new();
    for enabled in ["false", "true"] {
        let mut d = Driver::new(Service::usual(), &[("sink.file-cached.enable", enabled)]);
        let t = d.declare(declaration("pt", true, &[])).unwrap();
        for round in 0..20 {
            let batch: Vec<Row> = (0..100)
                .map(|i| {
                    (
                        0,
                        round * 100 + i,
                        Some(text),
                        Some(["x", "y"][(i % 2) as usize]),
                    )
                })
                .collect();
            d.write(t, true, &batch).unwrap();
            d.pump();
            d.now += 60_000;
        }
        d.checkpoint();
        assert_eq!(d.appended("pt").len(), 2000);
        blocks.push(d.service.count(Method::Put, "blockid"));
    }
    assert!(blocks[0] > 10, "{blocks:?}");
    assert_eq!(blocks[1], 2);
}

#[test]
fn flushes_of_one_session_run_side_by_side_up_to_the_limit() {
    for (limit, table, key) in [("3", "t", &[][..]), ("2", "d", &["id"])] {
        let more = [("flush.concurrent-num", limit), ("flush.rows", "4")];
        let mut d = Driver::new(Service::usual(), &more);
        let t = d.declare(declaration(table, false, key)).unwrap();
        let batch: Vec<Row> = (0..64).map(|i| (0, i, Some("v"), None)).collect();
        d.write(t, false, &batch).unwrap();
        d.pump();
        assert_eq!(d.most_in_flight.to_string(), limit, "{table}");
        d.checkpoint();
    }
}
