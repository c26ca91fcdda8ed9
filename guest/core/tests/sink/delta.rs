use longshore_core::contract::CommitOutcome;
use longshore_core::error::ErrorClass;
use longshore_core::request::{Framing, Method};

use crate::driver::{Driver, Row, declaration, rows};
use crate::service::{Fault, Service, error};

fn service() -> Service {
    Service::new()
        .with_table("d", false, Some(4))
        .with_table("dp", true, Some(4))
}

fn many(n: i64) -> Vec<Row> {
    (0..n).map(|i| (0, i, Some("v"), None)).collect()
}

#[test]
fn upserts_and_deletes_go_to_their_bucket() {
    let mut d = Driver::new(
        service(),
        &[
            ("compress.algorithm", "zlib"),
            ("flush.concurrent-num", "2"),
        ],
    );
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, &many(100)).unwrap();
    d.write(
        t,
        false,
        &[
            (1, 1, Some("v"), None),
            (2, 1, Some("w"), None),
            (3, 2, None, None),
            (2, 3, Some("u"), None),
        ],
    )
    .unwrap();
    assert_eq!(d.checkpoint(), 1);
    let keyed = d.keyed("d");
    assert_eq!(keyed.len(), 99);
    assert_eq!(keyed[1].2.as_deref(), Some("w"));
    assert_eq!((keyed[2].1, keyed[2].2.as_deref()), (3, Some("u")));
    assert_eq!(d.service.count(Method::Put, "bucketid"), 4);
    let put = d
        .service
        .seen
        .iter()
        .find(|s| s.method == Method::Put)
        .unwrap();
    assert_eq!(put.framing, Framing::ContentLength);
    assert!(
        put.headers
            .iter()
            .any(|(n, v)| n == "odps-tunnel-routed-server" && v.starts_with('w'))
    );
    assert_eq!(d.metric("rows_written_total", "delete"), 1.0);
    assert_eq!(d.metric("rows_written_total", "update"), 2.0);
}

#[test]
fn a_moved_key_or_partition_deletes_the_old_row() {
    let mut d = Driver::new(service(), &[]);
    let t = d.declare(declaration("dp", true, &["id"])).unwrap();
    d.write(
        t,
        true,
        &[(0, 1, Some("a"), Some("x")), (0, 2, Some("b"), Some("x"))],
    )
    .unwrap();
    d.checkpoint();
    let batch: &[Row] = &[
        (1, 1, Some("a"), Some("x")),
        (2, 7, Some("a"), Some("x")),
        (1, 2, Some("b"), Some("x")),
        (2, 2, Some("b"), Some("y")),
    ];
    d.write(t, true, batch).unwrap();
    assert_eq!(d.checkpoint(), 2);
    assert_eq!(d.keyed("dp"), rows(&[("pt=x", 7, "a"), ("pt=y", 2, "b")]));
    assert_eq!(d.metric("rows_written_total", "key-move"), 2.0);
    // Each partition was added once, by SQL, and only because it did not exist.
    let added: Vec<_> = d
        .service
        .statements
        .iter()
        .filter(|s| s.contains("ADD IF NOT EXISTS PARTITION"))
        .collect();
    assert_eq!(added.len(), 2, "{added:?}");
    assert!(
        added[0].contains("`p`.`dp` ADD IF NOT EXISTS PARTITION (`pt`='x');"),
        "{}",
        added[0]
    );
}

#[test]
fn bad_rows_are_told_and_the_others_kept() {
    let mut d = Driver::new(service(), &[]);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    let error = d
        .write(
            t,
            false,
            &[
                (0, 1, Some("a"), None),
                (1, 1, Some("a"), None),
                (9, 1, None, None),
            ],
        )
        .unwrap_err();
    assert_eq!(error.class, ErrorClass::Data);
    assert_eq!(
        error.bad_rows.iter().map(|r| r.row).collect::<Vec<_>>(),
        [1, 2]
    );
    d.checkpoint();
    assert_eq!(d.keyed("d"), rows(&[("", 1, "a")]));
}

#[test]
fn the_session_has_the_last_word_on_buckets_and_hash() {
    let mut service = service();
    service.session_buckets = Some(6);
    service.hasher = "legacy";
    let mut d = Driver::new(service, &[]);
    let t = d.declare(declaration("dp", true, &["id"])).unwrap();
    let batch: Vec<Row> = (0..200)
        .map(|i| (0, i, Some("v"), Some(if i % 2 == 0 { "x" } else { "y" })))
        .collect();
    d.write(t, true, &batch).unwrap();
    d.write(t, true, &[(3, 4, None, Some("x"))]).unwrap();
    assert_eq!(d.checkpoint(), 2);
    assert_eq!(d.keyed("dp").len(), 199);
    assert_eq!(d.metric("rows_written_total", "insert"), 200.0);
    d.write(t, true, &batch).unwrap();
    d.checkpoint();
    assert_eq!(d.keyed("dp").len(), 200);
}

#[test]
fn moved_slots_are_followed() {
    let mut d = Driver::new(service(), &[("flush.concurrent-num", "1")]);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.service.fail(
        Method::Put,
        "bucketid=0",
        Fault::Answer(
            308,
            vec![("ODPS-Tunnel-Routed-Server", "new:9".into())],
            String::new(),
        ),
    );
    d.service.fail(
        Method::Put,
        "bucketid=1",
        Fault::Answer(308, vec![], String::new()),
    );
    d.service.fail(
        Method::Put,
        "bucketid=2",
        Fault::Answer(502, vec![], String::new()),
    );
    d.write(t, false, &many(50)).unwrap();
    d.checkpoint();
    assert_eq!(d.keyed("d").len(), 50);
    let servers: Vec<&str> = d
        .service
        .seen
        .iter()
        .filter(|s| s.target.contains("bucketid=0"))
        .flat_map(|s| {
            s.headers
                .iter()
                .filter(|(n, _)| n == "odps-tunnel-routed-server")
                .map(|(_, v)| v.as_str())
        })
        .collect();
    assert_eq!(servers, ["w0:1", "new:9"]);
    // One reload for the bare 308, one for the 502, one before the commit.
    assert_eq!(d.service.count(Method::Get, "upsertid"), 3);
}

#[test]
fn packs_of_one_bucket_keep_their_order() {
    let mut d = Driver::new(service(), &[("bucket.buffer-size", "1kb")]);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.service
        .fail(Method::Put, "bucketid", error(500, "InternalServerError"));
    d.service.fail(Method::Put, "bucketid", Fault::LostAfter);
    for round in 0..20 {
        let name: &'static str = Box::leak(format!("round {round}").into_boxed_str());
        let batch: Vec<Row> = (0..100).map(|i| (0, i, Some(name), None)).collect();
        d.write(t, false, &batch).unwrap();
    }
    d.checkpoint();
    assert!(
        d.keyed("d")
            .iter()
            .all(|r| r.2.as_deref() == Some("round 19"))
    );
    assert!(
        d.most_in_flight > 1 && d.most_in_flight <= 4,
        "{}",
        d.most_in_flight
    );
    assert_eq!(d.metric("retries_total", "transient"), 2.0);
}

#[test]
fn sessions_are_kept_alive_and_aborted_at_close() {
    let mut d = Driver::new(service(), &[("flush.interval", "0")]);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, &many(3)).unwrap();
    d.pump();
    for _ in 0..3 {
        d.now += 30_000;
        d.pump();
    }
    assert_eq!(d.service.count(Method::Get, "upsertid"), 3);
    assert_eq!(d.metric("open_sessions", ""), 1.0);
    let call = d.sink.close();
    d.settle(call).unwrap();
    assert_eq!(d.service.aborted(), 1);
    assert_eq!(d.metric("buffered_bytes", ""), 0.0);
    d.pump();
    assert_eq!(d.metric("open_sessions", ""), 0.0);
    assert_eq!(d.sink.wake_at(), None);
}

#[test]
fn commits_are_polled_until_they_are_done() {
    let mut s = service();
    s.slow_commits = 3;
    let mut d = Driver::new(s, &[]);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, &many(10)).unwrap();
    let items = d.prepare().unwrap();
    let before = d.now;
    assert_eq!(d.commit(items.clone()), [CommitOutcome::Committed]);
    assert_eq!(d.now - before, 250 + 500 + 1000);
    assert_eq!(d.commit(items), [CommitOutcome::AlreadyCommitted]);
}
