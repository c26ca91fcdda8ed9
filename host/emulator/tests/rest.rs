//! The REST side as clients see it.

mod support;

use http::{Method, StatusCode};
use support::{call, get, sql, start};

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
    let now = chrono::Utc::now();
    let send =
        async |method: &str, path: &str, key: (&str, &str), date: chrono::DateTime<chrono::Utc>| {
            support::signed(&server, method, path, key, date).await
        };
    assert_eq!(
        send("GET", "/api/projects/p", ("ak", "sk"), now)
            .await
            .status,
        StatusCode::OK
    );
    let wrong = send("GET", "/api/projects/p", ("ak", "other"), now).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(
        wrong.body.contains("<Code>Unauthorized</Code>") && !wrong.body.contains("sk<"),
        "{}",
        wrong.body
    );
    let old = send(
        "GET",
        "/api/projects/p",
        ("ak", "sk"),
        now - chrono::TimeDelta::minutes(16),
    )
    .await;
    assert_eq!(old.status, StatusCode::FORBIDDEN);
    assert!(
        old.body.contains("<Code>RequestTimeTooSkewed</Code>"),
        "{}",
        old.body
    );
    assert_eq!(
        send("GET", "/api/projects/p", ("reader", "rk"), now)
            .await
            .status,
        StatusCode::OK
    );
    let refused = send(
        "DELETE",
        "/api/projects/p/schemas/default",
        ("reader", "rk"),
        now,
    )
    .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.body.contains("<Code>NoPermission</Code>"),
        "{}",
        refused.body
    );
    // The tunnel says it in JSON.
    let tunnel = send(
        "POST",
        "/projects/p/tables/t?uploads",
        ("reader", "rk"),
        now,
    )
    .await;
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
