use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use longshore_core::contract::{OptionKind, TablePath};
use longshore_core::error::ErrorClass;
use longshore_core::request::SignScheme;
use longshore_core::sink::{Sink, info, validate};

use crate::driver::{Driver, declaration, options, rows, schema_message};
use crate::service::Service;

#[test]
fn missing_tables_are_created_and_two_are_written_at_once() {
    let mut d = Driver::new(Service::new(), &[("buckets-num", "5"), ("lifecycle", "30")]);
    let append = d.declare(declaration("a", true, &[])).unwrap();
    let delta = d.declare(declaration("b", false, &["id"])).unwrap();
    assert_eq!((append, delta), (0, 1));
    assert_eq!(d.declare(declaration("a", true, &[])).unwrap(), append);
    assert_eq!(d.service.statements.len(), 2);
    assert!(
        d.service.statements[0].contains("PARTITIONED BY (`pt` STRING)"),
        "{}",
        d.service.statements[0]
    );
    assert!(
        d.service.statements[1].contains("LIFECYCLE 30"),
        "{}",
        d.service.statements[1]
    );
    assert_eq!(d.service.tables["b"].buckets, 5);
    for i in 0..3 {
        d.write(append, true, &[(0, i, Some("a"), Some("x"))])
            .unwrap();
        d.write(delta, false, &[(0, i, Some("b"), None)]).unwrap();
    }
    assert_eq!(d.checkpoint(), 2);
    assert_eq!(
        d.appended("a"),
        rows(&[("pt=x", 0, "a"), ("pt=x", 1, "a"), ("pt=x", 2, "a")])
    );
    assert_eq!(
        d.keyed("b"),
        rows(&[("", 0, "b"), ("", 1, "b"), ("", 2, "b")])
    );
}

#[test]
fn creation_can_be_forbidden_and_can_fail() {
    let mut d = Driver::new(Service::new(), &[("create-table", "false")]);
    let error = d.declare(declaration("a", false, &[])).unwrap_err();
    assert_eq!(
        (error.class, error.code.as_str()),
        (ErrorClass::Schema, "table.missing")
    );
    let mut d = Driver::new(Service::new(), &[]);
    let error = d.declare(declaration("forbidden", false, &[])).unwrap_err();
    assert_eq!(error.code, "sql.ODPS-0130013");
    assert!(
        error.message.contains("no right to create") && error.message.contains("CREATE TABLE"),
        "{error}"
    );
}

#[test]
fn all_differences_are_told_at_once() {
    let mut service = Service::new().with_table("d", true, Some(4));
    service
        .tables
        .get_mut("d")
        .unwrap()
        .columns
        .push(("must".into(), "bigint".into(), false));
    service.tables.get_mut("d").unwrap().columns[1].1 = "boolean".into();
    let mut d = Driver::new(service, &[]);
    let mut decl = declaration("d", false, &[]);
    let fields = vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("new", DataType::Utf8, true),
    ];
    decl.arrow_schema = schema_message(&Schema::new(fields));
    let error = d.declare(decl).unwrap_err();
    assert_eq!(
        (error.class, error.code.as_str()),
        (ErrorClass::Schema, "table.mismatch")
    );
    for part in [
        "column `new` does not exist",
        "partitioned by `pt`",
        "primary key is (ID), the rows' is none",
        "`must`",
        "`name`",
    ] {
        assert!(error.message.contains(part), "{part} not in: {error}");
    }
}

#[test]
fn columns_are_mapped_by_name() {
    let mut d = Driver::new(Service::new().with_table("t", false, None), &[]);
    d.service
        .tables
        .get_mut("t")
        .unwrap()
        .columns
        .push(("extra".into(), "double".into(), true));
    let mut decl = declaration("t", false, &[]);
    let fields = vec![
        Field::new("NAME", DataType::Utf8, true),
        Field::new("Id", DataType::Int64, false),
    ];
    let schema = Arc::new(Schema::new(fields));
    decl.arrow_schema = schema_message(&schema);
    let t = d.declare(decl).unwrap();
    let batch = arrow_array::RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(arrow_array::StringArray::from(vec!["n"])),
            Arc::new(arrow_array::Int64Array::from(vec![5])),
        ],
    )
    .unwrap();
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer.write(&batch).unwrap();
    let ipc = writer.into_inner().unwrap();
    let ipc = ipc[schema_message(&schema).len()..].to_vec();
    let now = d.clock();
    let batch = longshore_core::contract::Batch {
        table: t,
        schema_version: 1,
        sequence: 1,
        rows: 1,
        ipc,
    };
    d.sink.write(batch, now).unwrap();
    d.checkpoint();
    assert_eq!(d.appended("t"), rows(&[("", 5, "n")]));
}

#[test]
fn schemas_are_used_where_the_project_has_them() {
    let mut service = Service::new();
    service.three_tier = true;
    let mut d = Driver::new(service, &[("schemaName", "s1")]);
    let t = d.declare(declaration("t", false, &[])).unwrap();
    assert!(d.service.schemas.contains("s1"));
    assert!(
        d.service.statements[0].starts_with("CREATE TABLE IF NOT EXISTS `p`.`s1`.`t`"),
        "{}",
        d.service.statements[0]
    );
    d.write(t, false, &[(0, 1, Some("a"), None)]).unwrap();
    d.checkpoint();
    assert_eq!(d.appended("t").len(), 1);
}

#[test]
fn two_sources_never_share_a_table_by_accident() {
    let mut d = Driver::new(Service::new().with_table("t", false, None), &[]);
    let mut decl = declaration("t", false, &[]);
    decl.path = TablePath {
        schema: Some("db1".into()),
        table: "t".into(),
        ..TablePath::default()
    };
    d.declare(decl.clone()).unwrap();
    decl.path.schema = Some("db2".into());
    let error = d.declare(decl).unwrap_err();
    assert_eq!(error.code, "table.collision");
    assert!(
        error.message.contains("db1.t") && error.message.contains("db2.t"),
        "{error}"
    );
}

#[test]
fn version_4_signatures_name_day_and_region() {
    let now = Driver::new(Service::new(), &[]).clock();
    let mut sink = Sink::open(&options(&[("region", "cn-x")]), 0, 1, None, now).unwrap();
    sink.declare_table(declaration("t", false, &[]));
    let request = sink.poll_request(now).unwrap();
    let sign = request.sign.as_ref().unwrap();
    assert_eq!(
        (sign.scheme, sign.scope.as_str()),
        (SignScheme::AliyunV4, "20261121/cn-x/odps")
    );
    assert_eq!(
        request.authorize("id", b"mac").unwrap(),
        "ODPS id/20261121/cn-x/odps/aliyun_v4_request:bWFj"
    );
}

#[test]
fn info_and_validate_tell_all_there_is_to_know() {
    let info = info();
    assert_eq!(info.name, "maxcompute");
    let find = |name: &str| info.options.iter().find(|o| o.name == name).unwrap();
    assert!(find("access-key").secret && find("sts-token").secret);
    assert_eq!(
        find("compress.algorithm").choices,
        ["raw", "zlib", "lz4", "snappy"]
    );
    assert_eq!(
        (
            find("total.buffer-size").kind,
            find("total.buffer-size").default_value.as_deref()
        ),
        (OptionKind::ByteSize, Some("64mb"))
    );
    validate(&options(&[])).unwrap();
    let errors = validate(&options(&[
        ("compres.algorithm", "zlib"),
        ("buckets-num", "many"),
    ]))
    .unwrap_err();
    assert_eq!(errors.len(), 2);
    assert!(errors.iter().all(|e| e.class == ErrorClass::Permanent));
}
