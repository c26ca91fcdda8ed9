//! SQL jobs: definitions, inserts and queries.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod support;

use support::{get, sql, start};

async fn columns(server: &longshore_emulator::Server, table: &str) -> Vec<(String, String)> {
    let body = get(server, &format!("/api/projects/p/tables/{table}"))
        .await
        .body;
    let json: serde_json::Value =
        serde_json::from_str(support::between(&body, "<![CDATA[", "]]>")).unwrap();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    json["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (text(&c["name"]), text(&c["type"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_change_as_asked_and_old_rows_stay_readable() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let run = async |text: &str| {
        sql(&server, text)
            .await
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    run("create table t (id int, name varchar(10), ts timestamp, d decimal(6,2), x double)").await;
    run("insert into t values (1, 'a', '2024-01-02 03:04:05.123456789', 12.34, 1.5), (2, null, null, null, null)").await;
    run("alter table t add columns (extra string comment 'c')").await;
    run("alter table t add column more array<int>").await;
    run("alter table t change column id id bigint").await;
    run("alter table t change column d d decimal(10,3)").await;
    run("alter table t change column name full_name string").await;
    run("alter table t change column x rename to y").await;
    run("alter table t change column ts ts string").await;
    run("alter table t drop columns more").await;
    run("alter table t change column y y double after id").await;
    assert_eq!(
        columns(&server, "t").await,
        [
            ("id", "bigint"),
            ("y", "double"),
            ("full_name", "string"),
            ("ts", "string"),
            ("d", "decimal(10,3)"),
            ("extra", "string")
        ]
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    assert_eq!(
        run("select * from t order by id").await,
        "\"id\",\"y\",\"full_name\",\"ts\",\"d\",\"extra\"\n1,1.5,\"a\",\"2024-01-02 03:04:05.123456789\",12.340,\\N\n2,\\N,\\N,\\N,\\N,\\N\n"
    );
    run("alter table t change column y why double comment 'w' after extra").await;
    run("alter table t change column why y double first").await;
    assert_eq!(
        columns(&server, "t").await.first(),
        Some(&("y".to_owned(), "double".to_owned()))
    );
    run("alter table t change column y y double after id").await;
    let refused = sql(&server, "alter table t change column id id int")
        .await
        .unwrap_err();
    assert!(refused.starts_with("ODPS-0130071:"), "{refused}");
    run("alter table t rename to u").await;
    assert_eq!(run("select count(*) from u").await, "\"_c0\"\n2\n");
    assert!(dir.path().join("p/default/u").is_dir() && !dir.path().join("p/default/t").exists());
    run("truncate table u").await;
    assert_eq!(run("select count(*) from u").await, "\"_c0\"\n0\n");
    run("drop table u").await;
    let gone = sql(&server, "select * from u").await.unwrap_err();
    assert!(
        gone.starts_with("ODPS-0130131:")
            && gone.contains("Table not found - table p.u cannot be resolved"),
        "{gone}"
    );
    run("drop table if exists u").await;
    let parse = sql(&server, "x y;").await.unwrap_err();
    assert_eq!(
        parse,
        "ODPS-0130161:[1,1] Parse exception - invalid token 'x'"
    );
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_see_partitions_joins_and_groups() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let run = async |text: &str| {
        sql(&server, text)
            .await
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    run("create table Orders (`Id` bigint, Amount double) partitioned by (pt string, n int)").await;
    run("insert into orders partition (pt='a', n=1) values (1, 1.5), (2, 2.5)").await;
    run("insert into orders partition (pt, n) values (3, 4.0, 'b', 2), (4, 5.0, 'c', 3)").await;
    assert_eq!(
        run("show partitions orders").await,
        "pt=a/n=1\npt=b/n=2\npt=c/n=3\n"
    );
    assert_eq!(
        run("select ID, amount, pt, n from ORDERS where pt='b' and `id` > 0").await,
        "\"Id\",\"Amount\",\"pt\",\"n\"\n3,4.0,\"b\",2\n"
    );
    assert_eq!(
        run("select count(*) as c, sum(amount) from p.orders where n >= 2").await,
        "\"c\",\"_c1\"\n2,9.0\n"
    );
    run("alter table orders change column pt PT string comment 'day'").await;
    run("alter table orders change column pt pt string").await;
    assert!(
        run("show create table orders")
            .await
            .contains("`pt` STRING COMMENT 'day'")
    );
    for text in [
        "alter table orders change column pt day string",
        "alter table orders change column pt pt bigint",
    ] {
        let refused = sql(&server, text).await.unwrap_err();
        assert!(refused.contains("partition column"), "{text}: {refused}");
    }
    run("create table names as select id, concat('n', cast(id as string)) as name from orders")
        .await;
    assert_eq!(
        run("select n.name, o.pt from orders o join names n on o.id = n.id order by n.name desc limit 2").await,
        "\"name\",\"pt\"\n\"n4\",\"c\"\n\"n3\",\"b\"\n"
    );
    run("insert overwrite table orders partition (pt='a', n=1) select id, amount from orders where pt='c'").await;
    assert_eq!(
        run("select id from orders where pt='a'").await,
        "\"Id\"\n4\n"
    );
    run("alter table orders partition (pt='c', n=3) rename to partition (pt='d', n=4)").await;
    run("alter table orders drop partition (pt='a')").await;
    assert_eq!(run("show partitions orders").await, "pt=b/n=2\npt=d/n=4\n");
    assert_eq!(
        run("select id from orders where pt='d'").await,
        "\"Id\"\n4\n"
    );
    assert!(run("desc orders").await.contains("Partition Columns:"));
    let create = run("show create table orders").await;
    run("drop table orders").await;
    run(&create).await;
    let error = sql(&server, "select nothing from orders")
        .await
        .unwrap_err();
    assert!(
        error.starts_with("ODPS-0130071:") && error.contains("nothing"),
        "{error}"
    );
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delta_tables_keep_one_row_per_key() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let run = async |text: &str| {
        sql(&server, text)
            .await
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    run("create table d (id bigint not null, v string, primary key(id)) tblproperties('transactional'='true','write.bucket.num'='3')").await;
    run("insert into d values (1, 'a'), (2, 'b'), (3, 'c')").await;
    run("insert into d values (2, 'B'), (4, 'd')").await;
    assert_eq!(
        run("select id, v from d order by id").await,
        "\"id\",\"v\"\n1,\"a\"\n2,\"B\"\n3,\"c\"\n4,\"d\"\n"
    );
    for text in [
        "insert overwrite d values (1, 'x')",
        "alter table d drop columns id",
        "alter table d change column id id string",
        "create table e (id bigint, primary key(id)) tblproperties('transactional'='true')",
        "insert into d values (null, 'x')",
    ] {
        let error = sql(&server, text).await.unwrap_err();
        assert!(error.starts_with("ODPS-0130071:"), "{text}: {error}");
    }
    run("create table f (id bigint, primary key(id))").await;
    // A client's own DDL of such a table says CLUSTERED BY as well.
    run("create table g (id bigint not null, v string, primary key(id)) clustered by (`ID`) into 3 buckets tblproperties ('transactional'='true')").await;
    let shown = run("show create table g").await;
    assert!(
        shown.contains("'write.bucket.num'='3'") && !shown.contains("CLUSTERED"),
        "{shown}"
    );
    for text in [
        "create table h (id bigint, v string, primary key(id)) clustered by (v) into 3 buckets",
        "create table h (id bigint, v string, primary key(id)) range clustered by (id)",
        "create table h (id bigint, primary key(id)) clustered by (id) into 3 buckets tblproperties ('write.bucket.num'='4')",
    ] {
        sql(&server, text).await.unwrap_err();
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_beyond_nanoseconds_stay_exact() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let run = async |text: &str| {
        sql(&server, text)
            .await
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    run("create table t (id bigint, at timestamp_ntz)").await;
    run("insert into t values (1, '2024-01-01 00:00:00')").await;
    let state = server.state().store().clone();
    let table = state.table("p", "default", "t").unwrap();
    let seconds: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::Int64Array::from(vec![
        -62_135_596_800_i64,
        253_402_300_799,
    ]));
    let nanos: arrow_array::ArrayRef =
        std::sync::Arc::new(arrow_array::Int32Array::from(vec![1, 999_999_999]));
    let stamps = arrow_array::StructArray::new(
        longshore_emulator::catalog::SECONDS_NANOS.clone(),
        vec![seconds, nanos],
        None,
    );
    let ids = arrow_array::Int64Array::from(vec![2, 3]);
    let batch = arrow_array::RecordBatch::try_new(
        table.arrow_schema(),
        vec![std::sync::Arc::new(ids), std::sync::Arc::new(stamps)],
    )
    .unwrap();
    let staged = state
        .stage(
            &table,
            longshore_emulator::storage::StageKind::Append,
            [Ok(batch)],
        )
        .unwrap();
    state
        .commit_append(&table, None, &[staged], false, None)
        .unwrap();
    assert_eq!(
        run("select * from t order by id").await,
        "\"id\",\"at\"\n1,2024-01-01 00:00:00\n2,0001-01-01 00:00:00.000000001\n3,9999-12-31 23:59:59.999999999\n"
    );
    server.shutdown().await;
}
