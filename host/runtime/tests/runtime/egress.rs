//! Requests of guests: allowed, refused, answered early, too slow.

use crate::server::{Manner, Server};
use crate::support::{report, trusted, writer};
use longshore_runtime::{AddressRule, EgressPolicy, InstanceConfig, Limits, SinkInstance, Traffic};
use std::time::Duration;

const BODY: &str = "4194304";

/// More than the buffers of a connection hold (32 MiB to receive are common): one that took the
/// whole body would rightly be used again, and these servers answer once.
const ENDLESS_BODY: &str = "268435456";

async fn poster(policy: EgressPolicy, url: &str, read: &str) -> SinkInstance {
    poster_of(BODY, policy, url, read).await
}

async fn poster_of(body: &str, policy: EgressPolicy, url: &str, read: &str) -> SinkInstance {
    let config = InstanceConfig {
        egress: policy,
        ..InstanceConfig::default()
    };
    let options = [
        ("behaviour", "post"),
        ("url", url),
        ("bytes", body),
        ("read", read),
    ];
    writer(&trusted(), config, options).await
}

fn allowing(server: &Server) -> EgressPolicy {
    EgressPolicy::allowing([server.origin()]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_requests_share_a_connection_and_are_counted() {
    let server = Server::start(Manner::Count).await;
    let mut sink = poster(allowing(&server), &server.origin(), "").await;
    for _ in 0..3 {
        assert_eq!(report(&mut sink).await, "200 4194304");
    }
    assert_eq!((server.connections(), server.requests()), (1, 3));
    let traffic = sink.traffic();
    assert!(traffic.first_body_byte.is_some());
    assert_eq!(
        traffic,
        Traffic {
            requests: 3,
            refused: 0,
            bytes_sent: 3 * 4_194_304,
            bytes_received: 21,
            first_body_byte: traffic.first_body_byte,
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_not_allowed_are_denied_without_a_connection() {
    let server = Server::start(Manner::Count).await;
    let elsewhere =
        EgressPolicy::allowing(["http://127.0.0.1:9", "https://*.example.com"]).unwrap();
    for url in [
        server.origin(),
        format!("http://localhost:{}", server.port()),
    ] {
        let mut sink = poster(elsewhere.clone(), &url, "").await;
        assert_eq!(report(&mut sink).await, "ErrorCode::HttpRequestDenied");
        assert_eq!((sink.traffic().requests, sink.traffic().refused), (0, 1));
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_lead_to_forbidden_addresses_are_refused() {
    let server = Server::start(Manner::Count).await;
    let url = format!("http://localhost:{}", server.port());
    let policy = EgressPolicy {
        addresses: AddressRule::PublicOnly,
        ..EgressPolicy::allowing([&url]).unwrap()
    };
    let mut sink = poster(policy, &url, "").await;
    assert_eq!(
        report(&mut sink).await,
        "ErrorCode::DestinationIpProhibited"
    );
    assert_eq!(server.connections(), 0);

    let mut sink = poster(EgressPolicy::allowing([&url]).unwrap(), &url, "").await;
    assert_eq!(report(&mut sink).await, "200 4194304");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_refusal_reaches_the_guest_as_that_answer() {
    for manner in [Manner::Refuse, Manner::RefuseAndLinger] {
        let server = Server::start(manner).await;
        for read in ["body-first", "give-up-first"] {
            let mut sink = poster_of(ENDLESS_BODY, allowing(&server), &server.origin(), read).await;
            for round in 0..40 {
                assert_eq!(
                    report(&mut sink).await,
                    "403 no way",
                    "{manner:?} {read} {round}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_answers_like_any_other() {
    let server = Server::start(Manner::Redirect).await;
    let mut sink = poster(allowing(&server), &server.origin(), "").await;
    assert_eq!(report(&mut sink).await, "302 ");
    assert_eq!((sink.traffic().requests, server.requests()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_servers_run_into_timeouts() {
    let ignoring = Server::start(Manner::Ignore).await;
    let policy = EgressPolicy {
        first_byte_timeout: Duration::from_millis(200),
        ..allowing(&ignoring)
    };
    let mut sink = poster(policy, &ignoring.origin(), "").await;
    assert_eq!(report(&mut sink).await, "ErrorCode::ConnectionReadTimeout");

    let stalling = Server::start(Manner::Stall).await;
    let policy = EgressPolicy {
        between_bytes_timeout: Duration::from_millis(200),
        ..allowing(&stalling)
    };
    let mut sink = poster(policy, &stalling.origin(), "").await;
    let answer = report(&mut sink).await;
    assert!(
        answer.starts_with("200 then") && answer.contains("timeout"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_ports_and_unknown_names_are_told_apart() {
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut sink = poster(EgressPolicy::allowing([&closed]).unwrap(), &closed, "").await;
    assert_eq!(report(&mut sink).await, "ErrorCode::ConnectionRefused");

    let unknown = "http://no-such-host.invalid";
    let mut sink = poster(EgressPolicy::allowing([unknown]).unwrap(), unknown, "").await;
    let answer = report(&mut sink).await;
    assert!(answer.starts_with("ErrorCode::DnsError"), "{answer}");
}

/// Nothing of a finished request is left behind in the host.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_sends_more_requests_than_it_may_hold_handles() {
    let server = Server::start(Manner::Count).await;
    let config = InstanceConfig {
        egress: allowing(&server),
        limits: Limits {
            handles: 50,
            ..Limits::default()
        },
        ..InstanceConfig::default()
    };
    let url = server.origin();
    let options = [
        ("behaviour", "post"),
        ("url", url.as_str()),
        ("bytes", "16"),
        ("read", ""),
    ];
    let mut sink = writer(&trusted(), config, options).await;
    for _ in 0..200 {
        assert_eq!(report(&mut sink).await, "200 16");
    }
    assert_eq!(server.requests(), 200);
}
