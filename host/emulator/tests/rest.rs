//! The REST side as clients see it.

mod support;

use http::{Method, StatusCode};
use support::{Signer, call, get, sql, start};

#[tokio::test(flavor = "multi_thread")]
async fn projects_tables_and_partitions_have_the_shapes_clients_read() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;

    let project = get(&server, "/api/projects/p?curr_project=p").await;
    assert_eq!(project.status, StatusCode::OK);
    assert!(project.body.contains("<Name>p</Name><Type>managed</Type>"));
    assert!(
        project
            .body
            .contains("<Name>odps.schema.model.enabled</Name><Value>false</Value>")
    );
    for header in [
        "x-odps-owner",
        "x-odps-creation-time",
        "last-modified",
        "x-odps-request-id",
    ] {
        assert!(project.headers.contains_key(header), "{header}");
    }
    let tunnel = get(&server, "/api/projects/p/tunnel?service&curr_project=p").await;
    assert_eq!(tunnel.body, server.addr().to_string());
    assert_eq!(
        get(&server, "/api/tenants").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        call(&server, Method::PUT, "/api/projects/p/logs", "x")
            .await
            .status,
        StatusCode::OK
    );
    let unknown = get(&server, "/api/projects/other").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(unknown.body.contains("not found"));

    let missing = get(&server, "/api/projects/p/tables/missing?curr_project=p").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(
        missing.headers["content-type"]
            .to_str()
            .unwrap()
            .contains("xml")
    );
    assert!(missing.body.contains("<Code>NoSuchObject</Code><Message><![CDATA[ODPS-0130131:Table not found - table p.missing cannot be resolved]]></Message>"), "{}", missing.body);

    sql(&server, "CREATE TABLE IF NOT EXISTS `p`.`T` (`id` BIGINT NOT NULL, Name STRING COMMENT 'it\\'s', amt DECIMAL(10,2), PRIMARY KEY(`id`)) COMMENT 'cmt' PARTITIONED BY (`pt` STRING) TBLPROPERTIES('transactional'='true','write.bucket.num'='4') LIFECYCLE 7;").await.unwrap();
    let table = get(&server, "/api/projects/p/tables/T?curr_project=p").await;
    assert!(table.body.contains("<Name>t</Name>"));
    let json = support::between(&table.body, "<![CDATA[", "]]>");
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(json["columns"][0]["name"], "id");
    assert_eq!(json["columns"][0]["isNullable"], false);
    assert_eq!(json["columns"][1]["name"], "Name");
    assert_eq!(json["columns"][1]["comment"], "it's");
    assert_eq!(json["columns"][2]["type"], "decimal(10,2)");
    assert_eq!(json["partitionKeys"][0]["name"], "pt");
    assert_eq!(json["lifecycle"], 7);
    assert_eq!(json["recordNum"], 0);
    assert_eq!(json["columns"][0]["hasDefaultValue"], false);
    // Go reads these as text, and cannot load the table otherwise.
    assert_eq!(json["isMaterializedViewRewriteEnabled"], "false");
    assert_eq!(json["isMaterializedViewOutdated"], "false");
    let properties: serde_json::Value =
        serde_json::from_str(json["tableProperties"].as_str().unwrap()).unwrap();
    assert_eq!(
        properties,
        serde_json::json!({"transactional": "true", "write.bucket.num": "4"})
    );

    let extended = get(&server, "/api/projects/p/tables/t?curr_project=p&extended").await;
    let json: serde_json::Value =
        serde_json::from_str(support::between(&extended.body, "<![CDATA[", "]]>")).unwrap();
    let reserved: serde_json::Value =
        serde_json::from_str(json["Reserved"].as_str().unwrap()).unwrap();
    assert_eq!(reserved["Transactional"], "true");
    assert_eq!(reserved["PrimaryKey"][0], "id");
    assert_eq!(reserved["BucketNum"], 4);
    assert_eq!(reserved["schema_version"], "1");

    sql(
        &server,
        "ALTER TABLE t ADD IF NOT EXISTS PARTITION (pt='b');",
    )
    .await
    .unwrap();
    sql(&server, "ALTER TABLE t ADD PARTITION (pt='a');")
        .await
        .unwrap();
    let twice = sql(&server, "ALTER TABLE t ADD PARTITION (pt='a');")
        .await
        .unwrap_err();
    assert!(twice.contains("AlreadyExists"), "{twice}");
    let list = get(
        &server,
        "/api/projects/p/tables/t?partitions&expectmarker=true&maxitems=1",
    )
    .await;
    assert!(
        list.body.contains("<Column Name=\"pt\" Value=\"a\"/>"),
        "{}",
        list.body
    );
    assert!(list.body.contains("<Marker>1</Marker>"));
    let rest = get(
        &server,
        "/api/projects/p/tables/t?partitions&expectmarker=true&maxitems=1&marker=1",
    )
    .await;
    assert!(rest.body.contains("Value=\"b\"") && rest.body.contains("<Marker></Marker>"));
    assert_eq!(
        get(&server, "/api/projects/p/tables/t?partition=pt%3D%27a%27")
            .await
            .status,
        StatusCode::OK
    );
    sql(&server, "ALTER TABLE t PARTITION (pt='a') SET PARTITIONPROPERTIES('storagetier'='longterm'); ALTER TABLE t PARTITION (pt='a') RENAME TO PARTITION (pt='c');").await.unwrap();
    let of = async |value: &str| {
        let path = format!("/api/projects/p/tables/t?partition=pt%3D%27{value}%27&extended");
        let body = get(&server, &path).await.body;
        let json: serde_json::Value =
            serde_json::from_str(support::between(&body, "<![CDATA[", "]]>")).unwrap();
        serde_json::from_str::<serde_json::Value>(json["Reserved"].as_str().unwrap()).unwrap()
    };
    assert_eq!(of("c").await["StorageTier"], "longterm");
    assert_eq!(of("b").await, serde_json::json!({}));
    sql(
        &server,
        "ALTER TABLE t DROP PARTITION (pt='c'); ALTER TABLE t ADD PARTITION (pt='c');",
    )
    .await
    .unwrap();
    assert_eq!(of("c").await, serde_json::json!({}));
    let gone = get(&server, "/api/projects/p/tables/t?partition=pt%3D%27z%27").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert!(gone.body.contains("<Code>NoSuchPartition</Code>"));

    let load = call(
        &server,
        Method::POST,
        "/api/projects/p/tables?query",
        "<Tables><Table><Project>p</Project><Name>t</Name></Table></Tables>",
    )
    .await;
    assert!(
        load.body.contains("<Schema format=\"Json\">"),
        "{}",
        load.body
    );
    let listing = get(&server, "/api/projects/p/tables?expectmarker=true&name=T").await;
    assert!(listing.body.contains("<Name>t</Name>"));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_listed_by_name_and_whole_when_no_page_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    sql(
        &server,
        "CREATE TABLE t (id BIGINT) PARTITIONED BY (pt STRING, n INT);",
    )
    .await
    .unwrap();
    let store = server.state().store();
    let table = store.table("p", "default", "t").unwrap();
    for n in 0..1001 {
        let pairs = [("pt", "a&b".to_owned()), ("n", n.to_string())];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
        let spec = longshore_emulator::catalog::PartitionSpec::from_pairs(&table, &pairs).unwrap();
        store.create_partition(&table, &spec).unwrap();
    }
    let names = get(&server, "/api/projects/p/tables/t?partitions&name").await;
    assert!(
        names
            .body
            .contains("<Partition><Name>pt=a&amp;b/n=7</Name></Partition>"),
        "{}",
        names.body
    );
    assert_eq!(names.body.matches("<Name>").count(), 1001);
    assert!(names.body.contains("<Marker></Marker>"));
    let page = get(
        &server,
        "/api/projects/p/tables/t?partitions&expectmarker=true",
    )
    .await;
    assert_eq!(page.body.matches("<Partition>").count(), 1000);
    assert!(page.body.contains("<Marker>1000</Marker>"));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_preview_is_csv_that_clients_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    sql(&server, "create schema s").await.unwrap();
    sql(
        &server,
        "set odps.namespace.schema=true; create table s.t (id bigint, name string, at datetime, ts timestamp, many array<datetime>);",
    )
    .await
    .unwrap();
    sql(
        &server,
        "set odps.namespace.schema=true; insert into s.t (id, name, at, ts) values (1, '杭州', '2024-01-02 03:04:05.678', '2024-01-02 03:04:05.678');",
    )
    .await
    .unwrap();
    let path = "/api/projects/p/tables/t?data&linenum=5&schema_name=s&cols=id,name,at,ts";
    let preview = get(&server, path).await;
    assert_eq!(
        preview.headers["content-type"], "text/plain; charset=utf-8",
        "{}",
        preview.body
    );
    assert_eq!(
        preview.body,
        "\"id\",\"name\",\"at\",\"ts\"\n\"1\",\"杭州\",\"2024-01-02 03:04:05\",\"2024-01-02 03:04:05.678\"\n"
    );
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn automatic_partitions_carry_their_expression_as_clients_parse_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    sql(
        &server,
        "CREATE TABLE t (id BIGINT, `At` TIMESTAMP) AUTO PARTITIONED BY (trunc_time(`at`, 'DAY') AS pt);",
    )
    .await
    .unwrap();
    let table = get(&server, "/api/projects/p/tables/t").await;
    let json: serde_json::Value =
        serde_json::from_str(support::between(&table.body, "<![CDATA[", "]]>")).unwrap();
    let key = &json["partitionKeys"][0];
    assert_eq!(key["hasGenerateExpression"], true);
    let list: serde_json::Value =
        serde_json::from_str(key["generateExpression"].as_str().unwrap()).unwrap();
    assert_eq!(
        list,
        serde_json::json!([
            {"leafExprDesc": {"reference": {"name": "At"}, "type": "timestamp"}},
            {"leafExprDesc": {"constant": "day", "type": "string"}},
            {"functionCall": {"name": "trunc_time", "type": "string"}},
        ])
    );
    let ddl = sql(&server, "SHOW CREATE TABLE t").await.unwrap();
    assert!(
        ddl.contains("AUTO PARTITIONED BY (trunc_time(`at`, 'DAY') AS `pt`)"),
        "{ddl}"
    );
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn side_calls_about_instances_and_projects_answer_what_clients_parse() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    sql(&server, "create table t (id bigint)").await.unwrap();
    let list = get(&server, "/api/projects/p/instances").await.body;
    let id = support::between(&list, "<Name>", "</Name>");
    let instance = format!("/api/projects/p/instances/{id}");
    let json = async |path: String| -> serde_json::Value {
        let answer = get(&server, &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{path}: {}", answer.body))
    };
    let queued = json(format!("{instance}?cached")).await;
    assert_eq!(queued["instanceId"], id);
    assert_eq!(queued["projectName"], "p");
    assert_eq!(queued["status"], "Terminated");
    assert_eq!(queued["taskType"], "SQL");
    assert_eq!(queued["instancePriority"], 9);
    let start = queued["startTime"].as_str().unwrap();
    chrono::DateTime::parse_from_str(start, "%Y-%m-%d %H:%M:%S %z").unwrap();
    let detail = json(format!("{instance}?detail&taskname=AnonymousSQLTask")).await;
    assert_eq!(detail["Instance"]["Name"], id);
    assert!(detail["Stages"].is_array());
    assert_eq!(
        json(format!("{instance}?instancequota&taskname=x")).await,
        serde_json::json!({})
    );

    let put = call(
        &server,
        Method::PUT,
        &format!("{instance}?info&taskname=AnonymousSQLTask"),
        "<Instance><Key>k</Key><Value>a &amp; b</Value></Instance>",
    )
    .await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.body);
    assert!(
        put.headers["location"]
            .to_str()
            .unwrap()
            .ends_with(&instance)
    );
    let info = get(
        &server,
        &format!("{instance}?info&taskname=AnonymousSQLTask&key=k"),
    )
    .await;
    assert_eq!(info.body, "a & b");

    let policy = json("/api/projects/p?policy".to_owned()).await;
    assert_eq!(policy["Statement"], serde_json::json!([]));
    for (path, root) in [
        ("registration/functions", "Functions"),
        ("registration%2Ffunctions", "Functions"),
        ("resources", "Resources"),
        ("users", "Users"),
        ("roles", "Roles"),
    ] {
        let answer = get(&server, &format!("/api/projects/p/{path}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(
            answer.body.contains(&format!("<{root}><Marker></Marker>")),
            "{}",
            answer.body
        );
    }

    let security = async |query: &str, json: &str| {
        let body = format!(
            "<Authorization><Query>{query}</Query><ResponseInJsonFormat>{json}</ResponseInJsonFormat></Authorization>"
        );
        let answer = call(
            &server,
            Method::POST,
            "/api/projects/p/authorization",
            &body,
        )
        .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        support::between(&answer.body, "<Result>", "</Result>").to_owned()
    };
    assert_eq!(
        security("SET LABEL 2 TO TABLE t", "true").await,
        "&quot;OK&quot;"
    );
    assert_eq!(security("SET LABEL 2 TO TABLE t", "false").await, "OK");
    assert!(security("whoami", "true").await.starts_with('{'));
    assert!(
        security("whoami", "false")
            .await
            .starts_with("DisplayName: ALIYUN$")
    );
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_hold_tables_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let made = call(
        &server,
        Method::POST,
        "/api/projects/p/schemas",
        "<Schema><Project>p</Project><Name>S1</Name></Schema>",
    )
    .await;
    assert_eq!(made.status, StatusCode::CREATED);
    sql(&server, "SET odps.namespace.schema=true; CREATE TABLE s1.t (a bigint); CREATE TABLE p.s1.u LIKE s1.t;").await.unwrap();
    assert_eq!(
        get(&server, "/api/projects/p/tables/t").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        get(&server, "/api/projects/p/tables/t?curr_schema=s1")
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        get(&server, "/api/projects/p/tables/u?curr_schema=s1")
            .await
            .status,
        StatusCode::OK
    );
    let full = call(&server, Method::DELETE, "/api/projects/p/schemas/s1", "").await;
    assert_eq!(full.status, StatusCode::BAD_REQUEST);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_their_rights_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let config = longshore_emulator::ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: dir.path().to_owned(),
        project: "p".into(),
        credentials: longshore_emulator::Auth::Required {
            access_id: "ak".into(),
            access_key: "sk".into(),
        },
        mode: longshore_emulator::Mode::Store,
    };
    let reader = longshore_emulator::server::Credential {
        access_id: "reader".into(),
        access_key: "rk".into(),
        security_token: Some("token".into()),
        permission: longshore_emulator::server::Permission::ReadOnly,
    };
    let options = longshore_emulator::ServerOptions {
        credentials: vec![reader],
        ..Default::default()
    };
    let server = longshore_emulator::Server::start_with(config, options)
        .await
        .unwrap();
    let main = Signer::new("ak", "sk");
    let other = Signer {
        token: Some("token"),
        ..Signer::new("reader", "rk")
    };
    let project = async |signer: Signer<'static>| {
        support::signed(&server, "GET", "/api/projects/p", signer).await
    };
    assert_eq!(project(main).await.status, StatusCode::OK);
    let wrong = project(Signer {
        key: "other",
        ..main
    })
    .await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(
        wrong.body.contains("<Code>Unauthorized</Code>") && !wrong.body.contains("sk<"),
        "{}",
        wrong.body
    );
    let date = chrono::Utc::now() - chrono::TimeDelta::minutes(16);
    let old = project(Signer { date, ..main }).await;
    assert_eq!(old.status, StatusCode::FORBIDDEN);
    assert!(
        old.body.contains("<Code>RequestTimeTooSkewed</Code>"),
        "{}",
        old.body
    );
    assert_eq!(project(other).await.status, StatusCode::OK);
    // The newer scheme; its key holds the region.
    let region = Some("cn-hangzhou");
    assert_eq!(
        project(Signer { region, ..main }).await.status,
        StatusCode::OK
    );
    assert_eq!(
        project(Signer { region, ..other }).await.status,
        StatusCode::OK
    );
    let wrong = project(Signer {
        key: "other",
        region,
        ..main
    })
    .await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    // A temporary key is worth nothing without its token, however it is signed.
    for region in [None, region] {
        for token in [None, Some("stale"), Some("")] {
            let refused = project(Signer {
                token,
                region,
                ..other
            })
            .await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
            assert!(
                refused.body.contains("ODPS-0410041:Invalid sts token")
                    && !refused.body.contains("stale"),
                "{}",
                refused.body
            );
        }
    }
    // A token that a lasting key needs not is left alone.
    assert_eq!(
        project(Signer {
            token: Some("any"),
            ..main
        })
        .await
        .status,
        StatusCode::OK
    );
    let refused =
        support::signed(&server, "DELETE", "/api/projects/p/schemas/default", other).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.body.contains("<Code>NoPermission</Code>"),
        "{}",
        refused.body
    );
    // The tunnel says it in JSON.
    let tunnel = support::signed(&server, "POST", "/projects/p/tables/t?uploads", other).await;
    assert_eq!(tunnel.status, StatusCode::FORBIDDEN);
    let error: serde_json::Value = serde_json::from_str(&tunnel.body).unwrap();
    assert_eq!(error["Code"], "NoPermission");
    assert_eq!(
        error["RequestId"],
        tunnel.headers["x-odps-request-id"].to_str().unwrap()
    );
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let config = longshore_emulator::ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: dir.path().to_owned(),
        project: "p".into(),
        credentials: longshore_emulator::Auth::Disabled,
        mode: longshore_emulator::Mode::Store,
    };
    let error = longshore_emulator::Server::start(config).await.unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    server.shutdown().await;
}
