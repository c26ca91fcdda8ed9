//! Everything that goes wrong is told on one screen, with a place, a remedy and an exit code.

use crate::support::{Place, Server};

const PIPELINE: &str = "\
source:
  type: file
  path: orders.json
  table: orders
sink:
  type: maxcompute
  endpoint: local
";

const TWO_ROWS: &str = "{\"id\": 1}\n{\"id\": 2}\n";

#[test]
fn wrong_usage() {
    let place = Place::new();
    place.longshore(&["rnu"]).expect(2).says(&["rnu"]);
    place
        .longshore(&["run", "nowhere.yaml"])
        .expect(2)
        .says(&["nowhere.yaml", "help:"]);
    let help = place.longshore(&["run", "--help"]).expect(0);
    assert!(help.stdout.contains("Exit codes:"), "{help:#?}");
}

#[test]
fn bad_yaml() {
    let place = Place::with("source: [\n", ("orders.json", TWO_ROWS));
    place.run().expect(2).says(&["pipeline.yaml:"]);
}

#[test]
fn an_unknown_option_is_refused_with_the_nearest_name_and_its_line() {
    let pipeline = PIPELINE.to_owned() + "  buckets-nmu: 8\n";
    let place = Place::with(&pipeline, ("orders.json", TWO_ROWS));
    place.run().expect(2).says(&[
        "`buckets-nmu`",
        "did you mean `buckets-num`?",
        "pipeline.yaml:8:3",
        "help:",
    ]);
}

#[test]
fn a_bad_value_is_refused_at_its_place() {
    let pipeline = PIPELINE.to_owned() + "  compress.algorithm: gzip\n";
    let place = Place::with(&pipeline, ("orders.json", TWO_ROWS));
    place
        .run()
        .expect(2)
        .says(&["gzip", "zlib", "pipeline.yaml:8:23"]);
}

#[test]
fn missing_credentials_are_named() {
    let pipeline = PIPELINE.replace(
        "endpoint: local",
        "endpoint: http://127.0.0.1:9/api\n  project: p",
    );
    let place = Place::with(&pipeline, ("orders.json", TWO_ROWS));
    place.run().expect(2).says(&["`access-id`", "`access-key`"]);
}

#[test]
fn an_unknown_sink() {
    let place = Place::with(
        &PIPELINE.replace("type: maxcompute", "type: oracle"),
        ("orders.json", TWO_ROWS),
    );
    place
        .run()
        .expect(2)
        .says(&["oracle", "pipeline.yaml:6:9", "maxcompute"]);
}

#[test]
fn a_missing_file() {
    let place = Place::with(PIPELINE, ("other.json", TWO_ROWS));
    place
        .run()
        .expect(3)
        .says(&["orders.json", "pipeline.yaml:3:9", "help:"]);
}

#[test]
fn an_empty_file() {
    let place = Place::with(PIPELINE, ("orders.json", ""));
    place
        .run()
        .expect(3)
        .says(&["no rows", "orders.json", "help:"]);
}

#[test]
fn a_broken_line_is_named_and_nothing_of_the_file_becomes_visible() {
    let place = Place::with(
        PIPELINE,
        ("orders.json", "{\"id\": 1}\n{\"id\": \n{\"id\": 3}\n"),
    );
    place.run().expect(3).says(&["orders.json:2"]);
    assert!(place.tables().iter().all(|(_, rows)| *rows == 0));
}

#[test]
fn a_value_of_the_wrong_type_is_named() {
    let pipeline = PIPELINE.replace(
        "  table: orders\n",
        "  table: orders\n  schema:\n    id: BIGINT\n",
    );
    let place = Place::with(
        &pipeline,
        ("orders.json", "{\"id\": 1}\n{\"id\": \"two\"}\n"),
    );
    place.run().expect(3).says(&["orders.json:2", "id"]);
}

#[test]
fn an_unreachable_endpoint() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let endpoint = format!(
        "endpoint: http://127.0.0.1:{port}/api\n  project: p\n  access-id: a\n  access-key: very-secret\n  retry.max-retries: 0"
    );
    let place = Place::with(
        &PIPELINE.replace("endpoint: local", &endpoint),
        ("orders.json", TWO_ROWS),
    );
    let ended = place.run().expect(4);
    assert!(ended.stderr.contains(&port.to_string()), "{ended:#?}");
    assert!(ended.stderr.contains("help:"), "{ended:#?}");
    assert!(!ended.stderr.contains("very-secret"), "{ended:#?}");
}

#[test]
fn a_wrong_key() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let endpoint = format!(
        "endpoint: {}\n  project: {}\n  access-id: {}\n  access-key: wrong-key",
        server.variable("ODPS_ENDPOINT"),
        server.variable("ODPS_PROJECT"),
        server.variable("ODPS_ACCESS_ID")
    );
    let place = Place::with(
        &PIPELINE.replace("endpoint: local", &endpoint),
        ("orders.json", TWO_ROWS),
    );
    let ended = place.run().expect(5).says(&["access-key"]);
    assert!(!ended.stderr.contains("wrong-key"), "{ended:#?}");
}

#[test]
fn a_table_that_does_not_fit() {
    let place = Place::with(PIPELINE, ("orders.json", TWO_ROWS));
    place.run().expect(0);
    place.write("orders.json", "{\"id\": 1, \"note\": \"new\"}\n");
    place
        .longshore(&["run", "pipeline.yaml", "--fresh"])
        .expect(6)
        .says(&["note", "orders", "help:"]);
    assert_eq!(place.tables(), [("orders".to_owned(), 2)]);
}

#[test]
fn another_pipelines_checkpoints_are_refused() {
    let pipeline = PIPELINE.to_owned() + "pipeline:\n  checkpoint-path: shared.db\n  name: ";
    let place = Place::with(&(pipeline.clone() + "one\n"), ("orders.json", TWO_ROWS));
    place.run().expect(0);
    place.write("pipeline.yaml", &(pipeline + "two\n"));
    place
        .run()
        .expect(8)
        .says(&["its pipeline is `one`, here it is `two`", "--fresh"]);
}

#[test]
fn machines_get_the_error_as_json() {
    let place = Place::with(PIPELINE, ("other.json", TWO_ROWS));
    let ended = place
        .longshore(&["run", "pipeline.yaml", "--output", "json"])
        .expect(3);
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["outcome"], "failed");
    assert_eq!(document["error"]["kind"], "input");
}
