//! Pipelines that work.

use serde_json::json;

use crate::support::{Feeding, ORDERS, Place, Server, Shared};

const ROWS: &str = "\
{\"id\": 1, \"city\": \"杭州\", \"amount\": 1.5}
{\"id\": 2, \"city\": \"Köln\", \"amount\": null}
{\"id\": 3, \"city\": \"São Paulo\", \"amount\": -3.25}
";

#[test]
fn a_json_file_goes_into_the_embedded_server_once() {
    let place = Place::with(ORDERS, ("orders.json", ROWS));
    let first = place.run().expect(0);
    assert!(first.stdout.contains("orders"), "{first:#?}");
    assert!(first.stdout.contains("finished in"), "{first:#?}");
    assert!(
        first.stderr.contains("longshore local tables --data"),
        "{first:#?}"
    );
    assert_eq!(
        place.rows("orders"),
        json!([[1, "杭州", 1.5], [2, "Köln", null], [3, "São Paulo", -3.25]])
    );

    let second = place.run().expect(0);
    assert!(
        second.stdout.contains("nothing new since checkpoint 1"),
        "{second:#?}"
    );
    assert_eq!(place.tables(), [("orders".to_owned(), 3)]);
}

#[test]
fn fresh_reads_the_source_again() {
    let place = Place::with(ORDERS, ("orders.json", ROWS));
    place.run().expect(0);
    place
        .longshore(&["run", "pipeline.yaml", "--fresh"])
        .expect(0);
    assert_eq!(place.tables(), [("orders".to_owned(), 6)]);
}

#[test]
fn several_writers_write_every_row_once() {
    let keyed = ORDERS
        .replace("  table: orders\n", "  table: orders\n  primary-key: id\n")
        .replace("  name: orders\n", "  name: orders\n  parallelism: 3\n");
    let rows: String = (0..500)
        .map(|id| format!("{{\"id\": {id}, \"v\": \"v{id}\"}}\n"))
        .collect();
    let place = Place::with(&keyed, ("orders.json", &rows));
    place.run().expect(0);
    assert_eq!(place.tables(), [("orders".to_owned(), 500)]);
}

#[test]
fn changes_are_applied_by_key() {
    let pipeline = ORDERS.replace(
        "  table: orders\n",
        "  format: debezium-json\n  primary-key: id\n",
    );
    let event = |op: &str, before: &str, after: &str| {
        format!(
            "{{\"op\":\"{op}\",\"before\":{before},\"after\":{after},\"source\":{{\"db\":\"shop\",\"table\":\"orders\"}}}}\n"
        )
    };
    let events = [
        event("c", "null", "{\"id\":1,\"city\":\"a\"}"),
        event("c", "null", "{\"id\":2,\"city\":\"b\"}"),
        event(
            "u",
            "{\"id\":1,\"city\":\"a\"}",
            "{\"id\":1,\"city\":\"c\"}",
        ),
        event("d", "{\"id\":2,\"city\":\"b\"}", "null"),
        event(
            "u",
            "{\"id\":1,\"city\":\"c\"}",
            "{\"id\":7,\"city\":\"c\"}",
        ),
    ]
    .concat();
    let place = Place::with(&pipeline, ("orders.json", &events));
    let run = place
        .longshore(&["run", "pipeline.yaml", "--output", "json"])
        .expect(0);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["outcome"], "finished");
    assert_eq!(report["tables"][0]["read"], 5);
    assert_eq!(report["tables"][0]["written"], 5);
    assert_eq!(place.rows("orders"), json!([[7, "c"]]));
}

#[test]
fn deletes_on_an_append_table_are_counted_as_skipped() {
    let pipeline = ORDERS.replace("  table: orders\n", "  format: debezium-json\n");
    let events = "\
{\"op\":\"c\",\"before\":null,\"after\":{\"id\":1},\"source\":{\"db\":\"shop\",\"table\":\"orders\"}}
{\"op\":\"d\",\"before\":{\"id\":1},\"after\":null,\"source\":{\"db\":\"shop\",\"table\":\"orders\"}}
";
    let place = Place::with(&pipeline, ("orders.json", events));
    let run = place
        .longshore(&["run", "pipeline.yaml", "--output", "json"])
        .expect(0);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["tables"][0]["written"], 1);
    assert_eq!(report["tables"][0]["skipped"], 1);
}

#[test]
fn deletes_on_an_append_table_are_logged_where_that_is_asked_for() {
    let pipeline = ORDERS
        .replace("  table: orders\n", "  format: debezium-json\n")
        .replace(
            "  endpoint: local\n",
            "  endpoint: local\n  delete-on-append: log\n",
        );
    let delete = "{\"op\":\"d\",\"before\":{\"id\":1},\"after\":null,\"source\":{\"db\":\"shop\",\"table\":\"orders\"}}\n";
    let events = "{\"op\":\"c\",\"before\":null,\"after\":{\"id\":1},\"source\":{\"db\":\"shop\",\"table\":\"orders\"}}\n".to_owned() + delete + delete;
    let place = Place::with(&pipeline, ("orders.json", &events));
    place.run().expect(0).says(&[
        "warning: table local.orders: deletes ignored, because the table has no primary key",
    ]);
    assert_eq!(place.rows("orders"), json!([[1]]));
}

#[test]
fn files_of_a_pattern_are_read_in_order_and_unpacked() {
    let pipeline = ORDERS.replace("path: orders.json", "path: 'in/*.json*'");
    let place = Place::with(&pipeline, ("x", ""));
    std::fs::create_dir(place.path().join("in")).unwrap();
    let row = |id: u32| format!("{{\"id\": {id}, \"city\": \"杭州\"}}\n");
    place.write("in/1.json", &row(1));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, row(2).as_bytes()).unwrap();
    place.write_bytes("in/2.json.gz", &gzip.finish().unwrap());
    let zstd = zstd::encode_all(row(3).as_bytes(), 1).unwrap();
    place.write_bytes("in/3.json.zst", &zstd);
    place.run().expect(0);
    let expected = json!([[1, "杭州"], [2, "杭州"], [3, "杭州"]]);
    assert_eq!(place.rows("orders"), expected);
    // What comes behind is read by the next run, and nothing else.
    place.write_bytes("in/4.json.zst", &zstd);
    place.run().expect(0);
    assert_eq!(place.tables(), [("orders".to_owned(), 4)]);
}

#[test]
fn many_tables_appear_within_one_checkpoint() {
    let pipeline = ORDERS.replace("  table: orders\n", "  format: debezium-json\n");
    let events: String = (0..12)
        .map(|n| format!("{{\"op\":\"r\",\"after\":{{\"id\":{n}}},\"source\":{{\"db\":\"shop\",\"table\":\"t{n}\"}}}}\n"))
        .collect();
    let place = Place::with(&pipeline, ("orders.json", &events));
    let run = place
        .longshore(&["run", "pipeline.yaml", "--output", "json"])
        .expect(0);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["checkpoints"], 1, "{report:#}");
    assert_eq!(place.tables().len(), 12);
}

#[test]
fn every_table_tells_its_rows_and_seconds() {
    let pipeline = ORDERS.replace("  table: orders\n", "  format: debezium-json\n");
    let event = |table: &str, id: u32| {
        format!(
            "{{\"op\":\"c\",\"before\":null,\"after\":{{\"id\":{id}}},\"source\":{{\"db\":\"shop\",\"table\":\"{table}\"}}}}\n"
        )
    };
    let events = [event("orders", 1), event("items", 2), event("orders", 3)].concat();
    let place = Place::with(&pipeline, ("orders.json", &events));
    let run = place
        .longshore(&["run", "pipeline.yaml", "--output", "json"])
        .expect(0);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let whole = report["seconds"].as_f64().unwrap();
    let tables = report["tables"].as_array().unwrap();
    for table in tables {
        let seconds = table["seconds"].as_f64().unwrap();
        assert!(seconds > 0.0 && seconds < whole, "{report:#}");
    }
    let names: Vec<&str> = tables
        .iter()
        .map(|table| table["table"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["orders", "items"]);
    let run = place
        .longshore(&["run", "pipeline.yaml", "--fresh"])
        .expect(0);
    let rows: Vec<Vec<&str>> = run
        .stdout
        .lines()
        .take(4)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        ["table", "read", "written", "skipped", "bytes", "seconds"]
    );
    let firsts: Vec<[&str; 4]> = rows[1..]
        .iter()
        .map(|row| [row[0], row[1], row[2], row[3]])
        .collect();
    assert_eq!(
        firsts,
        [
            ["orders", "2", "2", "0"],
            ["items", "1", "1", "0"],
            ["total", "3", "3", "0"]
        ]
    );
    for row in &rows[1..] {
        let seconds: f64 = row.last().unwrap().parse().unwrap();
        assert!(seconds >= 0.0, "{run:#?}");
    }
}

#[test]
fn a_pipeline_writes_into_a_server_it_did_not_start() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let pipeline = ORDERS.replace(
        "  endpoint: local\n",
        "  endpoint: ${ODPS_ENDPOINT}\n  project: ${ODPS_PROJECT}\n  accessId: ${ODPS_ACCESS_ID}\n  access-key: ${ODPS_ACCESS_KEY}\n",
    );
    let place = Place::with(&pipeline, ("orders.json", ROWS));
    let output = place
        .command(&["run", "pipeline.yaml"])
        .envs(server.environment.iter().cloned())
        .output()
        .unwrap();
    let run = crate::support::Ended::of(output).expect(0);
    assert!(
        run.stderr
            .contains("`accessId` is another name of `access-id`"),
        "{run:#?}"
    );
    assert!(
        !run.stderr.contains(server.variable("ODPS_ACCESS_KEY")),
        "{run:#?}"
    );
    let shown = place
        .longshore(&[
            "local",
            "show",
            "orders",
            "--endpoint",
            server.variable("ODPS_ENDPOINT"),
        ])
        .expect(0);
    assert!(shown.stdout.contains("(3 of 3 rows)"), "{shown:#?}");
}

#[test]
fn options_of_the_embedded_server_are_known_by_every_spelling() {
    let pipeline = ORDERS.replace(
        "  endpoint: local\n",
        "  odps.end.point: local\n  odps.project.name: shop\n  accessId: me\n  odps.access.key: hush-hush\n",
    );
    let place = Place::with(&pipeline, ("orders.json", ROWS));
    let explained = place.longshore(&["explain", "pipeline.yaml"]).expect(0);
    assert!(
        explained.stdout.contains("the embedded server"),
        "{explained:#?}"
    );
    let run = place.run().expect(0).says(&[
        "local MaxCompute",
        "pipeline.yaml:9: `accessId` has no effect with `endpoint: local`",
        "pipeline.yaml:10: `odps.access.key` has no effect with `endpoint: local`",
        "`odps.project.name` is another name of `project`",
    ]);
    assert!(!run.stderr.contains("hush-hush"), "{run:#?}");
    let listed = place
        .longshore(&["local", "tables", "--output", "json"])
        .expect(0);
    let tables: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(tables[0]["project"], "shop");
    assert_eq!(tables[0]["rows"], 3);
    // The run goes on from its checkpoint: spellings are no part of what the pipeline is.
    place.write(
        "pipeline.yaml",
        &ORDERS.replace("endpoint: local", "endpoint: local\n  project: shop"),
    );
    let again = place.run().expect(0);
    assert!(again.stdout.contains("nothing new"), "{again:#?}");
}

#[test]
fn an_option_given_twice_under_two_spellings_is_refused() {
    let pipeline = ORDERS.replace(
        "  endpoint: local\n",
        "  endpoint: local\n  project: a\n  odps.project.name: b\n",
    );
    let place = Place::with(&pipeline, ("orders.json", ROWS));
    place
        .run()
        .expect(2)
        .says(&["option `project` is given twice", "pipeline.yaml:9:3"]);
}

#[test]
fn a_signal_stops_a_run_and_a_second_run_can_not_share_its_store() {
    let place = Place::with(
        &ORDERS.replace("path: orders.json", "path: '-'\n  format: json"),
        ("x", ""),
    );
    let mut running = Feeding::start(&place, &["run", "pipeline.yaml"]);
    running.wait_for("local MaxCompute");
    running.feed(ROWS);
    // The store is locked from before the source is read until the end.
    let second = loop {
        let other = place.write(
            "other.yaml",
            &format!(
                "{}  checkpoint-path: .longshore/orders.db\n",
                ORDERS.replace("endpoint: local", "endpoint: local\n  data: other")
            ),
        );
        let ended = place.longshore(&["run", other.file_name().unwrap().to_str().unwrap()]);
        if ended.code == Some(8) {
            break ended;
        }
    };
    assert!(
        second
            .stderr
            .contains(&format!("in use by process {}", running.child.id())),
        "{second:#?}"
    );
    running.signal("-INT");
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

#[test]
fn a_stopped_run_that_can_not_complete_its_checkpoint_ends_at_the_limit() {
    let shared = Shared::start();
    let endpoint = shared.options(Shared::OWNER);
    let place = Place::with(
        &format!(
            "{}  stop-timeout: 300ms\n",
            ORDERS
                .replace("path: orders.json", "path: '-'\n  format: json")
                .replace("endpoint: local", &endpoint)
        ),
        ("x", ""),
    );
    let mut running = Feeding::start(&place, &["run", "pipeline.yaml"]);
    running.feed(ROWS);
    shared.wait_for_table("orders");
    shared.tables();
    running.signal("-TERM");
    running
        .end_by_itself()
        .expect(7)
        .says(&["stopped before the checkpoint was complete", "stop-timeout"]);
}
