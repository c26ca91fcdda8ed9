//! How commits run, and what is signed.

use longshore_core::contract::{CommitOutcome, State};
use longshore_core::request::{Method, SignScheme};
use longshore_core::sink::Sink;

use crate::driver::{Driver, Row, declaration, options};
use crate::service::{Fault, Service, error};

#[test]
fn sixteen_sessions_are_committed_in_the_time_of_one() {
    let mut rounds = Vec::new();
    for sessions in [1, 16] {
        let mut d = Driver::new(Service::usual(), &[]);
        let t = d.declare(declaration("pt", true, &[])).unwrap();
        let batch: Vec<Row> = (0..sessions)
            .map(|i| (0, i, Some("v"), Some(&*format!("p{i}").leak())))
            .collect();
        d.write(t, true, &batch).unwrap();
        let items = d.prepare().unwrap();
        // A committer, as hosts use it, even where writers may have few requests in flight.
        d.sink = Sink::committer(&options(&[("max-requests", "2")]), d.clock()).unwrap();
        (d.rounds, d.most_in_flight) = (0, 0);
        let started = d.now;
        let outcomes = d.commit(items);
        assert!(outcomes.iter().all(|o| *o == CommitOutcome::Committed));
        assert_eq!(d.most_in_flight, sessions as usize);
        assert_eq!(d.now, started, "no commit waited for a timer");
        rounds.push(d.rounds);
    }
    assert_eq!(rounds[0], rounds[1]);
}

#[test]
fn the_retries_and_the_acceptance_of_commits_follow_the_options() {
    let delta = |more: &[(&str, &str)]| {
        let mut d = Driver::new(Service::usual(), more);
        let t = d.declare(declaration("d", false, &["id"])).unwrap();
        d.write(t, false, &[(0, 1, Some("a"), None)]).unwrap();
        let items = d.prepare().unwrap();
        (d, items)
    };
    let (mut d, items) = delta(&[("upsert.commit.max-retries", "2")]);
    for _ in 0..9 {
        d.service
            .fail(Method::Post, "upsertid", error(500, "InternalServerError"));
    }
    assert!(matches!(d.commit(items)[0], CommitOutcome::Retry(_)));
    assert_eq!(d.service.count(Method::Post, "upsertid"), 3);

    let (mut d, items) = delta(&[("upsertCommitTimeoutMs", "3000")]);
    d.service.slow_commits = 99;
    let started = d.now;
    assert!(matches!(d.commit(items)[0], CommitOutcome::Retry(_)));
    assert!((3000..10_000).contains(&(d.now - started)));

    let (mut d, items) = delta(&[("upsertAsyncCommit", "true"), ("session.lifecycle", "20h")]);
    d.service.slow_commits = 99;
    assert_eq!(d.commit(items), [CommitOutcome::Committed]);
    assert_eq!(d.service.count(Method::Post, "upsertid"), 1);
    assert_eq!(d.service.count(Method::Post, "lifecycle=20"), 1);
}

#[test]
fn a_prepare_that_fails_aborts_the_sessions_it_had_finished() {
    let mut d = Driver::new(Service::usual(), &[]);
    let delta = d.declare(declaration("d", false, &["id"])).unwrap();
    let t = d.declare(declaration("t", false, &[])).unwrap();
    d.write(delta, false, &[(0, 1, Some("a"), None)]).unwrap();
    d.write(t, false, &[(0, 1, Some("a"), None)]).unwrap();
    d.service
        .fail(Method::Put, "blockid", error(403, "NoPermission"));
    d.prepare().unwrap_err();
    assert_eq!(d.service.aborted(), 1);
}

#[test]
fn where_version_4_is_refused_requests_are_signed_with_version_2() {
    let more = [("region", "cn-hangzhou")];
    let mut d = Driver::new(Service::usual(), &more);
    d.service.fail(
        Method::Get,
        "/projects/p?",
        Fault::Answer(
            500,
            vec![],
            "<Error><Code>InternalServerError</Code><Message>need AK v3 support</Message></Error>"
                .into(),
        ),
    );
    let t = d.declare(declaration("t", false, &[])).unwrap();
    d.write(t, false, &[(0, 1, Some("a"), None)]).unwrap();
    d.checkpoint();
    let schemes: Vec<_> = d.service.seen.iter().map(|s| s.scheme).collect();
    assert_eq!(schemes[0], SignScheme::AliyunV4);
    assert!(
        schemes[1..].iter().all(|s| *s == SignScheme::HmacSha1),
        "{schemes:?}"
    );
    let said = d.sink.take_log();
    assert!(
        said.iter().any(|e| e.message.contains("version 2")),
        "{said:?}"
    );

    // Any other failure changes nothing.
    let mut d = Driver::new(Service::usual(), &more);
    d.service.fail(
        Method::Get,
        "/projects/p?",
        error(500, "InternalServerError"),
    );
    d.declare(declaration("t", false, &[])).unwrap();
    assert!(
        d.service
            .seen
            .iter()
            .all(|s| s.scheme == SignScheme::AliyunV4)
    );
}

#[test]
fn committables_of_the_version_before_are_read() {
    let mut d = Driver::new(Service::usual(), &[]);
    let t = d.declare(declaration("t", false, &[])).unwrap();
    d.write(t, false, &[(0, 1, Some("a"), None)]).unwrap();
    let mut items = d.prepare().unwrap();
    items[0].format = 1;
    let payload = String::from_utf8(items[0].payload.clone()).unwrap();
    let without = payload.replace(r#","overwrite":false"#, "");
    assert_ne!(payload, without);
    items[0].payload = without.into_bytes();
    assert_eq!(d.commit(items.clone()), [CommitOutcome::Committed]);
    items[0].format = 9;
    assert!(matches!(d.commit(items)[0], CommitOutcome::Failed(_)));
    d.restart(
        &[],
        Some(State {
            format: 1,
            payload: br#"{"checkpoint":7}"#.to_vec(),
        }),
    );
}
