//! What is repeated, how often and when: by the meaning of the failure, never in a storm.

use longshore_core::contract::CommitOutcome;
use longshore_core::error::ErrorClass;
use longshore_core::request::Method;

use crate::driver::{Driver, Row, declaration};
use crate::service::{Fault, Service, error};

const ROWS: &[Row] = &[(0, 1, Some("a"), None), (0, 2, Some("b"), None)];
/// Goes to one bucket.
const ROW: &[Row] = &[(0, 1, Some("a"), None)];

fn answer(status: u16) -> Fault {
    Fault::Answer(status, Vec::new(), String::new())
}

fn driver(table: &str, more: &[(&str, &str)]) -> (Driver, u32) {
    let mut d = Driver::new(Service::usual(), more);
    let key: &[&str] = if table == "d" { &["id"] } else { &[] };
    let t = d.declare(declaration(table, table == "pt", key)).unwrap();
    (d, t)
}

/// Many rows that fill blocks of 1 KiB, one by one.
fn blocks(count: i64) -> Vec<Row> {
    let text: &'static str = Box::leak("x".repeat(1100).into_boxed_str());
    (0..count).map(|id| (0, id, Some(text), None)).collect()
}

#[test]
fn the_slot_map_is_read_again_before_a_repeat_that_needs_it() {
    type Make = fn() -> Fault;
    let faults: [(Make, usize); 5] = [
        (|| answer(502), 1),
        (|| answer(504), 1),
        (|| answer(308), 1),
        (|| error(409, "StatusConflict"), 1),
        (|| answer(503), 0),
    ];
    for (fault, reloads) in faults {
        let (mut d, t) = driver("d", &[]);
        d.service.fail(Method::Put, "bucketid", fault());
        d.write(t, false, ROWS).unwrap();
        let items = d.prepare().unwrap();
        assert_eq!(d.service.count(Method::Get, "upsertid"), reloads);
        d.commit(items);
        assert_eq!(d.keyed("d").len(), 2);
    }
}

#[test]
fn a_session_that_is_gone_counts_as_committed_only_if_the_commit_can_have_happened() {
    let gone = || error(404, "UpsertSessionNotFound");
    for (first, committed) in [
        (Fault::LostAfter, true),
        (answer(500), true),
        (answer(503), false),
    ] {
        let (mut d, t) = driver("d", &[]);
        d.write(t, false, ROWS).unwrap();
        let items = d.prepare().unwrap();
        d.service.fail(Method::Post, "upsertid", first);
        d.service.fail(Method::Post, "upsertid", gone());
        let outcomes = d.commit(items);
        assert_eq!(
            outcomes == [CommitOutcome::Committed],
            committed,
            "{outcomes:?}"
        );
    }
}

#[test]
fn a_commit_follows_its_session_to_another_server() {
    for fault in [answer(308), answer(502)] {
        let (mut d, t) = driver("d", &[]);
        d.write(t, false, ROWS).unwrap();
        let items = d.prepare().unwrap();
        let before = d.service.count(Method::Get, "upsertid");
        d.service.fail(Method::Post, "upsertid", fault);
        assert_eq!(d.commit(items), [CommitOutcome::Committed]);
        // Once before the first attempt, once before the repeat.
        assert_eq!(d.service.count(Method::Get, "upsertid") - before, 2);
    }
}

#[test]
fn refused_credentials_are_tried_once_more_and_no_oftener() {
    for (table, method, part) in [
        ("t", Method::Put, "blockid"),
        ("t", Method::Post, "uploadid"),
        ("d", Method::Put, "bucketid"),
        ("d", Method::Post, "upsertid"),
    ] {
        for refusals in [1, 2] {
            let (mut d, t) = driver(table, &[]);
            for _ in 0..refusals {
                d.service.fail(method, part, error(401, "Unauthorized"));
            }
            d.write(t, false, ROW).unwrap();
            let error = match d.prepare() {
                Err(error) => Some(error),
                Ok(items) => match d.commit(items).remove(0) {
                    CommitOutcome::Committed => None,
                    CommitOutcome::Failed(error) => Some(error),
                    other => panic!("{other:?}"),
                },
            };
            let class = error.map(|error| error.class);
            let expected = (refusals == 2).then_some(ErrorClass::Unauthenticated);
            assert_eq!(class, expected, "{table} {part}");
            assert_eq!(d.service.count(method, part), 2, "{table} {part}");
            assert_eq!(d.metric("retries_total", "unauthenticated"), 1.0);
            assert_eq!(
                d.metric("failed_requests_total", "unauthenticated"),
                f64::from(refusals)
            );
        }
    }
}

#[test]
fn a_lost_session_ends_the_writer_so_that_it_starts_over() {
    for (table, part, code, status) in [
        ("t", "blockid", "NoSuchUpload", 404),
        ("t", "blockid", "SchemaModified", 412),
        ("t", "blockid", "TableModified", 400),
        ("d", "bucketid", "UpsertSessionNotFound", 404),
        ("d", "bucketid", "DataVersionConflict", 400),
    ] {
        let (mut d, t) = driver(table, &[]);
        d.service.fail(Method::Put, part, error(status, code));
        d.write(t, false, ROW).unwrap();
        let error = d.prepare().unwrap_err();
        assert_eq!(error.class, ErrorClass::Fenced, "{code}");
        assert_eq!(d.service.count(Method::Put, part), 1, "{code}");
        assert_eq!(d.metric("failed_requests_total", "session-gone"), 1.0);
    }
}

#[test]
fn a_move_without_a_slot_to_follow_is_not_waited_out_for_ever() {
    let (mut d, t) = driver("t", &[("retry.max-retries", "3")]);
    for _ in 0..100 {
        d.service.fail(Method::Put, "blockid", answer(308));
    }
    d.write(t, false, ROWS).unwrap();
    let error = d.prepare().unwrap_err();
    assert!(error.message.contains("HTTP 308"), "{error}");
    assert_eq!(d.service.count(Method::Put, "blockid"), 4);
}

#[test]
fn the_service_says_how_long_to_hold() {
    let (mut d, t) = driver("t", &[]);
    let body = r#"{"Code":"QPSExceeded","Message":"m","HoldClientMillis":7000}"#;
    let throttled = Fault::Answer(429, Vec::new(), body.into());
    d.service.fail(Method::Put, "blockid", throttled);
    d.write(t, false, ROWS).unwrap();
    let before = d.now;
    d.checkpoint();
    assert!(d.now - before >= 7000);
    assert_eq!(d.metric("retries_total", "throttled"), 1.0);
}

#[test]
fn throttling_halves_the_uploads_at_once_and_success_brings_them_back() {
    let more = [("block-size", "1kb"), ("flush.concurrent-num", "8")];
    let (mut d, t) = driver("t", &more);
    assert_eq!(d.metric("upload_window", ""), 16.0);
    for _ in 0..8 {
        d.service
            .fail(Method::Put, "blockid", error(429, "FlowExceeded"));
    }
    d.write(t, false, &blocks(12)).unwrap();
    d.pump();
    assert_eq!(d.most_in_flight, 8);
    // Eight were throttled, and halved it once.
    assert_eq!(d.metric("upload_window", ""), 4.0);
    d.most_in_flight = 0;
    d.now += 1000;
    d.pump();
    assert!((4..=6).contains(&d.most_in_flight), "{}", d.most_in_flight);
    d.write(t, false, &blocks(200)).unwrap();
    d.checkpoint();
    assert_eq!(d.metric("upload_window", ""), 16.0);
    assert_eq!(d.most_in_flight, 8);
    assert_eq!(d.appended("t").len(), 212);
}

#[test]
fn throttling_slows_down_all_partitions_together_and_never_stops_them() {
    let (mut d, t) = driver("pt", &[]);
    for _ in 0..200 {
        d.service
            .fail(Method::Put, "blockid", error(429, "SlotExceeded"));
    }
    let partitions: Vec<&'static str> = (0..60)
        .map(|i| &*Box::leak(format!("p{i:03}").into_boxed_str()))
        .collect();
    let batch: Vec<Row> = (0..60)
        .map(|i| (0, i, Some("a"), Some(partitions[i as usize])))
        .collect();
    d.write(t, true, &batch).unwrap();
    let items = d.prepare().unwrap();
    assert_eq!(items.len(), 60);
    // While it throttled the last uploads went one by one.
    let bodies = d.service.count(Method::Put, "blockid");
    assert_eq!(bodies, 260);
    assert_eq!(d.metric("failed_requests_total", "throttled"), 200.0);
    d.commit(items);
    assert_eq!(d.appended("pt").len(), 60);
}

#[test]
fn an_outage_that_hits_many_sessions_does_not_end_in_a_storm() {
    let more = [
        ("retry.max-per-minute", "20"),
        ("retry.initial-delay", "1ms"),
        ("retry.max-delay", "1ms"),
        ("retry.max-retries", "1000"),
    ];
    let (mut d, t) = driver("pt", &more);
    for _ in 0..150 {
        d.service
            .fail(Method::Post, "uploads", error(503, "ServiceUnavailable"));
    }
    let partitions: Vec<&'static str> = (0..30)
        .map(|i| &*Box::leak(format!("p{i:03}").into_boxed_str()))
        .collect();
    let batch: Vec<Row> = (0..30)
        .map(|i| (0, i, Some("a"), Some(partitions[i as usize])))
        .collect();
    d.write(t, true, &batch).unwrap();
    let started = d.now;
    for minute in 1..=4 {
        let end = started + minute * 60_000;
        while d.now < end {
            d.pump();
            d.now = d.sink.wake_at().map_or(end, |wake| wake.clamp(d.now, end));
        }
        // One attempt each, a budget at once, and a budget each minute.
        let sent = d.service.count(Method::Post, "uploads") as u64;
        assert!(sent <= 30 + 20 + 20 * minute, "minute {minute}: {sent}");
        assert!(sent >= 20 * minute, "minute {minute}: {sent}");
    }
    assert!(d.metric("retries_over_budget_total", "") > 50.0);
    assert_eq!(d.checkpoint(), 30);
    assert_eq!(d.appended("pt").len(), 30);
}
