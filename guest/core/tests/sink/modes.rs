//! Ways to write: operations, tunnels, overwriting, partial columns, and how commits run.

use longshore_core::contract::{CommitOutcome, State};
use longshore_core::error::ErrorClass;
use longshore_core::request::{Method, SignScheme};
use longshore_core::sink::{Sink, validate};

use crate::driver::{Driver, Row, declaration, options, rows};
use crate::service::{Fault, Service, error};

fn service() -> Service {
    Service::new()
        .with_table("t", false, None)
        .with_table("pt", true, None)
        .with_table("d", false, Some(4))
}

const CHANGES: &[Row] = &[
    (0, 1, Some("a"), None),
    (1, 1, Some("a"), None),
    (2, 1, Some("b"), None),
    (3, 1, Some("b"), None),
];

#[test]
fn insert_appends_rows_that_have_a_key() {
    let mut d = Driver::new(service(), &[("sink.operation", "insert")]);
    let t = d.declare(declaration("t", false, &["id"])).unwrap();
    d.write(t, false, CHANGES).unwrap();
    d.checkpoint();
    assert_eq!(d.appended("t"), rows(&[("", 1, "a"), ("", 1, "b")]));
    assert_eq!(d.metric("rows_ignored_total", ""), 1.0);

    let t = d.declare(declaration("new", false, &["id"])).unwrap();
    d.write(t, false, CHANGES).unwrap();
    d.checkpoint();
    assert_eq!(d.appended("new").len(), 2);
    assert!(!d.service.statements[0].contains("PRIMARY KEY"));
}

#[test]
fn an_operation_the_table_can_not_do_is_refused() {
    for (operation, table, key, reason) in [
        (
            "insert",
            "d",
            &["id"][..],
            "the table has the primary key (ID)",
        ),
        ("insert", "d", &[], "the table has the primary key (ID)"),
        ("upsert", "t", &["id"], "the table has no primary key"),
        ("upsert", "d", &[], "its rows have no primary key"),
    ] {
        let mut d = Driver::new(service(), &[("operation", operation)]);
        let error = d.declare(declaration(table, false, key)).unwrap_err();
        assert_eq!(error.class, ErrorClass::Schema, "{error}");
        assert!(error.message.contains(reason), "{error}");
        assert!(error.message.contains("operation"), "{error}");
    }
    let mut d = Driver::new(service(), &[("overwrite", "true")]);
    let error = d.declare(declaration("d", false, &["id"])).unwrap_err();
    assert!(error.message.contains("can be overwritten"), "{error}");
}

#[test]
fn append_only_says_what_happened_to_each_row() {
    for (tunnel, compress) in [("batch", "zlib"), ("arrow", "zlib"), ("arrow", "raw")] {
        let mut d = Driver::new(
            Service::new(),
            &[
                ("operation", "append-only"),
                ("mapping.operation.type.to", "NAME"),
                ("tunnel", tunnel),
                ("compress.algorithm", compress),
            ],
        );
        // The service reads a column `name`: here it is the operation's.
        let mut decl = declaration("log", false, &["id"]);
        let id = arrow_schema::Field::new("id", arrow_schema::DataType::Int64, true);
        let schema = std::sync::Arc::new(arrow_schema::Schema::new(vec![id]));
        decl.arrow_schema = crate::driver::schema_message(&schema);
        let t = d.declare(decl).unwrap();
        assert!(
            d.service.statements[0].contains("`NAME` STRING"),
            "{:?}",
            d.service.statements
        );
        d.write_ids(t, &[(0, 1), (1, 1), (2, 2), (3, 2)]).unwrap();
        d.write_ids(t, &[(0, 3)]).unwrap();
        d.checkpoint();
        let expected = [
            ("", 1, "INSERT"),
            ("", 1, "UPDATE_BEFORE"),
            ("", 2, "DELETE"),
            ("", 2, "UPDATE_AFTER"),
            ("", 3, "INSERT"),
        ];
        assert_eq!(d.appended("log"), rows(&expected), "{tunnel}");
    }
}

#[test]
fn a_column_for_the_operation_must_be_free() {
    let more = [
        ("operation", "append-only"),
        ("mapping.operation.type.to", "Name"),
    ];
    let mut d = Driver::new(service(), &more);
    let error = d.declare(declaration("t", false, &[])).unwrap_err();
    assert!(
        error.message.contains("have a column `Name` already"),
        "{error}"
    );
}

#[test]
fn combinations_without_a_meaning_are_refused_before_anything_is_contacted() {
    for (more, reason) in [
        (
            &[("operation", "upsert"), ("tunnel", "arrow")][..],
            "a tunnel of its own",
        ),
        (
            &[("enableUpsert", "true"), ("useStreamTunnel", "true")],
            "a tunnel of its own",
        ),
        (
            &[("enableUpsert", "true"), ("operation", "insert")],
            "says otherwise",
        ),
        (
            &[("tunnel", "batch"), ("use_streaming", "true")],
            "`use_streaming`",
        ),
        (
            &[
                ("useStreamTunnel", "true"),
                ("insert.arrow-writer.enable", "true"),
            ],
            "says otherwise",
        ),
        (
            &[("overwrite", "true"), ("tunnel", "stream")],
            "can not overwrite",
        ),
        (
            &[("overwrite", "true"), ("operation", "upsert")],
            "can not be overwritten",
        ),
        (&[("operation", "append-only")], "mapping.operation.type.to"),
        (
            &[("mapping.operation.type.to", "op")],
            "needs `operation: append-only`",
        ),
        (
            &[
                ("upsert.partial-column.enable", "true"),
                ("operation", "insert"),
            ],
            "always whole",
        ),
        (
            &[("session.lifecycle", "2h")],
            "`session.max-age` must be shorter",
        ),
        (&[("session.lifecycle", "90min")], "whole hours"),
    ] {
        let errors = validate(&options(more)).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].message.contains(reason), "{}", errors[0]);
    }
    for more in [
        &[("enableUpsert", "false"), ("useStreamTunnel", "false")][..],
        &[("enableUpsert", "true"), ("operation", "upsert")],
        &[
            ("insert.arrow-writer.enable", "true"),
            ("overwrite", "true"),
        ],
        &[("session.lifecycle", "2h"), ("session.max-age", "1h")],
    ] {
        validate(&options(more)).unwrap();
    }
}

#[test]
fn arrow_blocks_are_committed_once_like_others() {
    for compress in ["raw", "zlib"] {
        let mut d = Driver::new(
            service(),
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
        assert_eq!(d.commit(items), [const { CommitOutcome::AlreadyCommitted }; 2]);
        assert_eq!(d.appended("pt").len(), 9);
        assert_eq!(d.service.count(Method::Put, "arrow"), 3);
    }
}

#[test]
fn a_value_the_arrow_tunnel_can_not_carry_refuses_only_its_row() {
    let mut d = Driver::new(service(), &[("tunnel", "arrow")]);
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
    let mut d = Driver::new(service(), &all);
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
fn the_first_commit_of_a_run_replaces_and_the_next_ones_append() {
    for tunnel in ["batch", "arrow"] {
        let more = [("overwrite", "true"), ("tunnel", tunnel)];
        let mut d = Driver::new(service(), &more);
        let old = |p: &str, id| (p.to_owned(), id, Some("old".to_owned()));
        d.service.tables.get_mut("pt").unwrap().appended =
            vec![old("pt=x", 90), old("pt=y", 91), old("pt=z", 92)];
        let t = d.declare(declaration("pt", true, &[])).unwrap();
        d.write(t, true, &[(0, 1, Some("a"), Some("x"))]).unwrap();
        let items = d.prepare().unwrap();
        let first: State = d.sink.snapshot(1);
        assert_eq!(d.appended("pt").len(), 3);
        d.commit(items);
        d.write(
            t,
            true,
            &[(0, 2, Some("b"), Some("x")), (0, 3, Some("c"), Some("y"))],
        )
        .unwrap();
        d.prepare().unwrap();

        // Killed: what was prepared after the first checkpoint is gone, and comes again.
        d.restart(&more, Some(first));
        let t = d.declare(declaration("pt", true, &[])).unwrap();
        d.write(
            t,
            true,
            &[(0, 2, Some("b"), Some("x")), (0, 3, Some("c"), Some("y"))],
        )
        .unwrap();
        d.checkpoint();
        let mut expected = rows(&[("pt=x", 1, "a"), ("pt=x", 2, "b"), ("pt=y", 3, "c")]);
        expected.push(old("pt=z", 92));
        assert_eq!(d.appended("pt"), expected, "{tunnel}");
    }
}

#[test]
fn what_replaces_is_committed_before_what_was_written_after_it() {
    let more = [("overwrite", "true")];
    let mut d = Driver::new(service(), &more);
    let t = d.declare(declaration("t", false, &[])).unwrap();
    d.write(t, false, &[(0, 1, Some("a"), None)]).unwrap();
    // A column more parts the rows of one checkpoint into two sessions.
    d.service
        .tables
        .get_mut("t")
        .unwrap()
        .columns
        .push(("more".into(), "string".into(), true));
    let mut next = declaration("t", false, &[]);
    next.schema_version = 2;
    d.declare(next).unwrap();
    d.write_version(t, 2, &[(0, 2, Some("b"), None)]).unwrap();
    let mut items = d.prepare().unwrap();
    assert_eq!(items.len(), 2);
    items.reverse();
    // While the first is not committed the other must wait.
    d.service
        .fail(Method::Post, "uploadid", error(403, "NoPermission"));
    let outcomes = d.commit(items.clone());
    assert!(
        matches!(outcomes[0], CommitOutcome::Retry(_)),
        "{outcomes:?}"
    );
    assert!(
        matches!(outcomes[1], CommitOutcome::Failed(_)),
        "{outcomes:?}"
    );
    assert!(d.appended("t").is_empty());
    assert_eq!(
        d.commit(items),
        [CommitOutcome::Committed, CommitOutcome::Committed]
    );
    assert_eq!(d.appended("t"), rows(&[("", 1, "a"), ("", 2, "b")]));
}

#[test]
fn writers_do_not_overwrite_each_other() {
    let d = Driver::new(service(), &[]);
    let error = Sink::open(&options(&[("overwrite", "true")]), 0, 2, None, d.clock()).err();
    let error = error.unwrap();
    assert!(error.message.contains("`parallelism`"), "{error}");
}

#[test]
fn partial_upserts_name_the_columns_they_have() {
    let mut s = service();
    s.partial = true;
    s.tables
        .get_mut("d")
        .unwrap()
        .columns
        .push(("note".into(), "string".into(), true));
    let mut d = Driver::new(s, &[("upsert.partial-column.enable", "true")]);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    let batch: Vec<Row> = (0..50).map(|i| (0, i, Some("v"), None)).collect();
    d.write(t, false, &batch).unwrap();
    d.checkpoint();
    d.write(t, false, &[(0, 50, Some("v"), None), (3, 1, None, None)])
        .unwrap();
    d.checkpoint();
    assert_eq!(d.keyed("d").len(), 50);
    // Column `name` alone, and nothing for the delete.
    assert_eq!(d.service.updated.len(), 52);
    let (deleted, updated): (Vec<_>, Vec<_>) =
        d.service.updated.iter().partition(|ids| ids.is_empty());
    assert_eq!(deleted.len(), 1);
    assert!(updated.iter().all(|ids| **ids == [20]), "{updated:?}");

    let mut d = Driver::new(service(), &[("upsert.partial-column.enable", "true")]);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, &[(0, 1, Some("v"), None)]).unwrap();
    let error = d.prepare().unwrap_err();
    assert!(
        error.message.contains("acid.partial.fields.update.enable"),
        "{error}"
    );
    let t = d.restart_and_declare_new(&[("upsert.partial-column.enable", "true")]);
    assert!(
        t.contains("'acid.partial.fields.update.enable'='true'"),
        "{t}"
    );
}

#[test]
fn sixteen_sessions_are_committed_in_the_time_of_one() {
    let mut rounds = Vec::new();
    for sessions in [1, 16] {
        let mut d = Driver::new(service(), &[]);
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
fn flushes_of_one_session_run_side_by_side_up_to_the_limit() {
    for (limit, table, key) in [("3", "t", &[][..]), ("2", "d", &["id"])] {
        let more = [("flush.concurrent-num", limit), ("flush.rows", "4")];
        let mut d = Driver::new(service(), &more);
        let t = d.declare(declaration(table, false, key)).unwrap();
        let batch: Vec<Row> = (0..64).map(|i| (0, i, Some("v"), None)).collect();
        d.write(t, false, &batch).unwrap();
        d.pump();
        assert_eq!(d.most_in_flight.to_string(), limit, "{table}");
        d.checkpoint();
    }
}

#[test]
fn full_buffers_make_one_block_for_each_partition_and_checkpoint() {
    let text: &'static str = "x".repeat(1000).leak();
    let mut blocks = Vec::new();
    for enabled in ["false", "true"] {
        let mut d = Driver::new(service(), &[("sink.file-cached.enable", enabled)]);
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
fn the_retries_and_the_acceptance_of_commits_follow_the_options() {
    let delta = |more: &[(&str, &str)]| {
        let mut d = Driver::new(service(), more);
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
    let mut d = Driver::new(service(), &[]);
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
    let mut d = Driver::new(service(), &more);
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
    let mut d = Driver::new(service(), &more);
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
    let mut d = Driver::new(service(), &[]);
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
