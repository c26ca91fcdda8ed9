//! What rows do: operations, partial columns, and combinations that have no meaning.

use longshore_core::error::ErrorClass;
use longshore_core::sink::validate;

use crate::driver::{Driver, Row, declaration, options, rows};
use crate::service::Service;

const CHANGES: &[Row] = &[
    (0, 1, Some("a"), None),
    (1, 1, Some("a"), None),
    (2, 1, Some("b"), None),
    (3, 1, Some("b"), None),
];

#[test]
fn insert_appends_rows_that_have_a_key() {
    let mut d = Driver::new(Service::usual(), &[("sink.operation", "insert")]);
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
        let mut d = Driver::new(Service::usual(), &[("operation", operation)]);
        let error = d.declare(declaration(table, false, key)).unwrap_err();
        assert_eq!(error.class, ErrorClass::Schema, "{error}");
        assert!(error.message.contains(reason), "{error}");
        assert!(error.message.contains("operation"), "{error}");
    }
    let mut d = Driver::new(Service::usual(), &[("overwrite", "true")]);
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
    let mut d = Driver::new(Service::usual(), &more);
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
fn partial_upserts_name_the_columns_they_have() {
    let mut s = Service::usual();
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

    let mut d = Driver::new(
        Service::usual(),
        &[("upsert.partial-column.enable", "true")],
    );
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
