use longshore_core::contract::{CommitOutcome, Reply};
use longshore_core::error::ErrorClass;
use longshore_core::request::Method;
use longshore_core::sink::Sink;

use crate::driver::{Driver, Row, declaration, options, rows};
use crate::service::{Fault, Service, error};

fn service() -> Service {
    Service::new()
        .with_table("t", false, None)
        .with_table("d", false, Some(4))
}

fn append(more: &[(&str, &str)]) -> (Driver, u32) {
    let mut d = Driver::new(service(), more);
    let t = d.declare(declaration("t", false, &[])).unwrap();
    (d, t)
}

const ROWS: &[Row] = &[(0, 1, Some("a"), None), (0, 2, Some("b"), None)];

#[test]
fn each_kind_of_passing_failure_is_survived() {
    type Make = fn() -> Fault;
    let faults: [(&str, Make); 8] = [
        ("transient", || error(500, "InternalServerError")),
        ("transient", || Fault::Answer(503, vec![], "<html>".into())),
        ("transient", || Fault::LostBefore),
        ("transient", || Fault::LostAfter),
        ("unreachable", || Fault::Refused),
        ("throttled", || error(429, "FlowExceeded")),
        ("damaged", || error(400, "CorruptedDataStream")),
        ("unauthenticated", || error(401, "Unauthorized")),
    ];
    for (class, fault) in faults {
        for (method, part) in [
            (Method::Post, "uploads"),
            (Method::Put, "blockid"),
            (Method::Get, "getblockid"),
        ] {
            let (mut d, t) = append(&[]);
            d.service.fail(method, part, fault());
            d.write(t, false, ROWS).unwrap();
            d.checkpoint();
            assert_eq!(
                d.appended("t"),
                rows(&[("", 1, "a"), ("", 2, "b")]),
                "{class} {part}"
            );
            assert_eq!(d.metric("retries_total", class), 1.0, "{class} {part}");
        }
    }
}

#[test]
fn throttling_waits_as_long_as_the_service_asks_and_does_not_give_up() {
    let (mut d, t) = append(&[("retry.max-retries", "1")]);
    for _ in 0..30 {
        d.service.fail(
            Method::Put,
            "blockid",
            Fault::Answer(429, vec![("Retry-After", "90".into())], String::new()),
        );
    }
    d.write(t, false, ROWS).unwrap();
    let before = d.now;
    d.checkpoint();
    assert!(d.now - before >= 30 * 90_000);
}

#[test]
fn lasting_failures_end_with_a_full_explanation_and_stay() {
    let (mut d, t) = append(&[("retry.max-retries", "2")]);
    for _ in 0..3 {
        d.service.fail(
            Method::Put,
            "blockid",
            Fault::Answer(
                500,
                vec![("x-odps-request-id", "r7".into())],
                r#"{"Code":"DataStoreError","Message":"disk"}"#.into(),
            ),
        );
    }
    d.write(t, false, ROWS).unwrap();
    let error = d.prepare().unwrap_err();
    assert!(matches!(error.class, ErrorClass::Transient(_)), "{error:?}");
    assert_eq!(error.code, "tunnel.DataStoreError");
    assert_eq!(error.request_id.as_deref(), Some("r7"));
    assert!(
        error
            .message
            .starts_with("table p.t: writing a block failed with HTTP 500, DataStoreError: disk; "),
        "{error}"
    );
    // The rows of that block are gone from here: nothing may pretend otherwise, and only a new
    // sink helps.
    for later in [
        d.write(t, false, ROWS).unwrap_err(),
        d.prepare().unwrap_err(),
    ] {
        assert_eq!(later.code, "tunnel.DataStoreError");
        assert_eq!(later.class, ErrorClass::Fenced);
    }
    assert_eq!(d.service.count(Method::Put, "blockid"), 3);
}

#[test]
fn fatal_answers_are_not_repeated() {
    let (mut d, t) = append(&[]);
    d.service
        .fail(Method::Put, "blockid", error(403, "NoPermission"));
    d.write(t, false, ROWS).unwrap();
    let error = d.prepare().unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(
        error
            .message
            .contains("grant this account the missing permission"),
        "{error}"
    );
    assert_eq!(d.service.count(Method::Put, "blockid"), 1);
}

#[test]
fn a_service_that_was_never_there_is_told_soon() {
    let mut d = Driver::new(service(), &[]);
    for _ in 0..100 {
        d.service.fail(Method::Get, "/", Fault::Refused);
    }
    let before = d.now;
    let error = d.declare(declaration("t", false, &[])).unwrap_err();
    assert_eq!(error.code, "rest.Connect");
    assert!(
        error.message.contains("check the endpoint's address"),
        "{error}"
    );
    assert!(d.now - before < 10_000);
}

#[test]
fn a_lost_commit_answer_does_not_commit_twice() {
    let (mut d, t) = append(&[]);
    d.write(t, false, ROWS).unwrap();
    let items = d.prepare().unwrap();
    d.service.fail(Method::Post, "uploadid", Fault::LostAfter);
    assert_eq!(d.commit(items), [CommitOutcome::Committed]);
    assert_eq!(d.appended("t").len(), 2);

    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, ROWS).unwrap();
    let items = d.prepare().unwrap();
    d.service.fail(Method::Post, "upsertid", Fault::LostAfter);
    assert_eq!(d.commit(items), [CommitOutcome::Committed]);
    assert_eq!(d.keyed("d").len(), 2);
}

#[test]
fn another_instance_finishes_what_a_dead_one_prepared() {
    let (mut d, t) = append(&[]);
    d.write(t, false, ROWS).unwrap();
    let delta = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(delta, false, ROWS).unwrap();
    let items = d.prepare().unwrap();
    assert_eq!(items.len(), 2);
    d.sink = Sink::committer(&options(&[]), d.clock()).unwrap();
    assert_eq!(
        d.commit(items.clone()),
        [CommitOutcome::Committed, CommitOutcome::Committed]
    );
    assert_eq!(
        d.commit(items),
        [
            CommitOutcome::AlreadyCommitted,
            CommitOutcome::AlreadyCommitted
        ]
    );
    assert_eq!((d.appended("t").len(), d.keyed("d").len()), (2, 2));
}

#[test]
fn dead_sessions_fail_by_name() {
    for forget in [false, true] {
        for (table, key) in [("t", &[][..]), ("d", &["id"][..])] {
            let mut d = Driver::new(service(), &[]);
            let t = d.declare(declaration(table, false, key)).unwrap();
            d.write(t, false, ROWS).unwrap();
            let items = d.prepare().unwrap();
            if forget {
                d.service.forget_sessions();
            } else {
                d.service.expire_sessions();
            }
            let outcomes = d.commit(items);
            let [CommitOutcome::Failed(error)] = outcomes.as_slice() else {
                panic!("{outcomes:?}")
            };
            assert_eq!(error.class, ErrorClass::Permanent);
            assert!(
                error.message.contains(&format!("table p.{table}")),
                "{error}"
            );
            assert!(
                error.message.contains("session s") && error.message.contains("with 2 rows"),
                "{error}"
            );
        }
    }
}

#[test]
fn an_upsert_session_that_vanishes_while_it_is_committed_was_committed() {
    let mut d = Driver::new(service(), &[]);
    d.service.slow_commits = 1;
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, ROWS).unwrap();
    let items = d.prepare().unwrap();
    let call = d.sink.commit(items);
    d.pump();
    assert!(d.sink.take_reply(call).is_none());
    d.service.forget_sessions();
    assert_eq!(
        d.settle(call).unwrap(),
        Reply::Outcomes(vec![CommitOutcome::Committed])
    );
}

#[test]
fn prepared_upserts_can_be_aborted() {
    let mut d = Driver::new(service(), &[]);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, ROWS).unwrap();
    let items = d.prepare().unwrap();
    let call = d.sink.abort(items);
    assert_eq!(
        d.settle(call).unwrap(),
        Reply::Outcomes(vec![CommitOutcome::Committed])
    );
    assert_eq!(d.service.aborted(), 1);
    assert!(d.keyed("d").is_empty());
}

#[test]
fn commits_run_side_by_side_up_to_the_limit() {
    let mut s = Service::new().with_table("pt", true, None);
    s.slow_commits = 0;
    let mut d = Driver::new(s, &[("commit.thread-num", "3")]);
    let t = d.declare(declaration("pt", true, &[])).unwrap();
    let batch: Vec<Row> = [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]
        .map(|(i, p)| (0, i, Some("v"), Some(p)))
        .to_vec();
    d.write(t, true, &batch).unwrap();
    let items = d.prepare().unwrap();
    assert_eq!(items.len(), 5);
    d.most_in_flight = 0;
    assert!(
        d.commit(items)
            .iter()
            .all(|o| *o == CommitOutcome::Committed)
    );
    assert_eq!(d.most_in_flight, 3);
}

#[test]
fn damaged_input_is_refused_without_panic() {
    let (mut d, t) = append(&[]);
    let good = crate::driver::ipc(ROWS, false);
    let now = d.clock();
    for cut in 1..good.len() {
        let batch = longshore_core::contract::Batch {
            table: t,
            schema_version: 1,
            sequence: 1,
            rows: 2,
            ipc: good[..cut].to_vec(),
        };
        assert!(d.sink.write(batch, now).is_err(), "{cut}");
    }
    for (table, version, rows) in [(9, 1, 2), (t, 9, 2), (t, 1, 3)] {
        let batch = longshore_core::contract::Batch {
            table,
            schema_version: version,
            sequence: 1,
            rows,
            ipc: good.clone(),
        };
        assert!(d.sink.write(batch, now).is_err());
    }
    d.write(t, false, ROWS).unwrap();
    d.checkpoint();
    assert_eq!(d.appended("t").len(), 2);
}
