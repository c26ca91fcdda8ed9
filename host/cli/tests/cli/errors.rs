//! Everything that goes wrong is told on one screen, with a place, a remedy and an exit code.

use crate::support::{Place, Server, Shared, tables_in};

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
    let place = Place::with(
        "source:\n  type: file\n   path: orders.json\n",
        ("orders.json", TWO_ROWS),
    );
    place
        .run()
        .fails(2, &["not valid YAML", "pipeline.yaml:3:"]);
    let place = Place::with("source: [\n", ("orders.json", TWO_ROWS));
    place
        .run()
        .fails(2, &["not valid YAML", "pipeline.yaml:2:"]);
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
    place.run().fails(3, &["orders.json", "pipeline.yaml:3:9"]);
    place.shows_nothing();
    // Of several files it is the missing one that is pointed at.
    let two = "path:\n    - other.json\n    - ordres.json\n    - orders.json";
    place.write("pipeline.yaml", &PIPELINE.replace("path: orders.json", two));
    place.write("orders.json", TWO_ROWS);
    place.run().fails(
        3,
        &[
            "`ordres.json` does not exist",
            "pipeline.yaml:5:7",
            "did you mean `orders.json`?",
        ],
    );
    place.shows_nothing();
}

#[test]
fn a_pattern_that_matches_nothing() {
    let place = Place::with(
        &PIPELINE.replace("path: orders.json", "path: 'changes/2026-*.json'"),
        ("x", ""),
    );
    place.run().fails(
        3,
        &[
            "no file matches `changes/2026-*.json`",
            "pipeline.yaml:3:9",
            "directory `changes` does not exist",
        ],
    );
    std::fs::create_dir(place.path().join("changes")).unwrap();
    place
        .run()
        .fails(3, &["directory `changes` holds no files"]);
    place.write("changes/2025-12.json", TWO_ROWS);
    place
        .run()
        .fails(3, &["directory `changes` holds 2025-12.json"]);
    place.shows_nothing();
    // The same before a run.
    place
        .longshore(&["validate", "pipeline.yaml"])
        .fails(3, &["no file matches", "pipeline.yaml:3:9"]);
}

#[test]
fn an_empty_file() {
    let place = Place::with(PIPELINE, ("orders.json", ""));
    place.run().fails(
        3,
        &["no rows", "orders.json holds no rows", "pipeline.yaml:3:9"],
    );
    place.shows_nothing();
}

#[test]
fn a_compressed_parquet_file() {
    let pipeline = PIPELINE.replace("orders.json", "orders.parquet.gz");
    let place = Place::with(&pipeline, ("x", ""));
    place.write_bytes("orders.parquet.gz", b"\x1f\x8b\x08\0\0\0\0\0");
    place.run().fails(
        3,
        &[
            "`orders.parquet.gz` is compressed as a whole (gzip)",
            "gunzip orders.parquet.gz",
            "pipeline.yaml:3:9",
        ],
    );
    place.shows_nothing();
}

#[test]
fn a_broken_line_is_named_and_nothing_of_the_file_becomes_visible() {
    let place = Place::with(
        PIPELINE,
        ("orders.json", "{\"id\": 1}\n{\"id\": \n{\"id\": 3}\n"),
    );
    place.run().fails(3, &["orders.json:2"]);
    place.shows_nothing();
}

/// Rows enough for blocks to be sent before the last line, which is broken.
const MANY: usize = 120_000;

fn many_rows(last: &str) -> String {
    let mut text = String::new();
    for id in 0..MANY {
        // Letters that do not repeat, so that compression leaves something to send.
        let noise = (id as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        text.push_str(&format!("{{\"id\": {id}, \"note\": \"{noise:032x}\"}}\n"));
    }
    text + last
}

/// Runs into a broken line after blocks were sent; then with the line corrected.
fn breaks_late(pipeline: &str) {
    let place = Place::with(pipeline, ("orders.json", &many_rows("{\"id\": ")));
    let line = format!("orders.json:{}", MANY + 1);
    place.run().fails(3, &["broken JSON", &line]);
    assert!(place.uploaded_files() > 0, "nothing was sent before");
    place.shows_nothing();
    place.write("orders.json", &many_rows("{\"id\": -1, \"note\": \"\"}\n"));
    place.run().expect(0);
    assert_eq!(place.tables(), [("orders".to_owned(), MANY as u64 + 1)]);
}

#[test]
fn a_break_after_blocks_were_sent_leaves_nothing_visible_on_append() {
    breaks_late(&(PIPELINE.to_owned() + "  block-size: 256kb\n"));
}

#[test]
fn a_break_after_blocks_were_sent_leaves_nothing_visible_on_delta() {
    let keyed = PIPELINE.replace("  table: orders\n", "  table: orders\n  primary-key: id\n");
    breaks_late(&(keyed + "  buckets-num: 2\n  bucket.buffer-size: 256kb\n"));
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
    place.run().fails(3, &["orders.json:2", "column `id`"]);
    place.shows_nothing();
}

#[test]
fn an_unknown_column_is_named() {
    let pipeline = PIPELINE.replace(
        "  table: orders\n",
        "  table: orders\n  schema:\n    id: BIGINT\n    amount: DOUBLE\n",
    );
    let place = Place::with(
        &pipeline,
        (
            "orders.json",
            "{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3, \"amuont\": 1.5}\n",
        ),
    );
    place.run().fails(
        3,
        &[
            "orders.json:3",
            "amuont",
            "did you mean `amount`?",
            "unknown-columns: ignore",
        ],
    );
    place.shows_nothing();
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
    let ended = place
        .run()
        .fails(4, &[&format!("endpoint http://127.0.0.1:{port}/api")]);
    assert!(!ended.stderr.contains("very-secret"), "{ended:#?}");
}

#[test]
fn a_wrong_key() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let endpoint = server.variable("ODPS_ENDPOINT").to_owned();
    let options = format!(
        "endpoint: {endpoint}\n  project: {}\n  access-id: {}\n  access-key: wrong-key",
        server.variable("ODPS_PROJECT"),
        server.variable("ODPS_ACCESS_ID")
    );
    let place = Place::with(
        &PIPELINE.replace("endpoint: local", &options),
        ("orders.json", TWO_ROWS),
    );
    let ended = place.run().fails(5, &["`access-key`", &endpoint]);
    assert!(!ended.stderr.contains("wrong-key"), "{ended:#?}");
    drop(server);
    assert_eq!(tables_in(data.path()), []);
}

#[test]
fn a_key_without_permission() {
    let server = Shared::start();
    let pipeline = |key| PIPELINE.replace("endpoint: local", &server.options(key));
    let place = Place::with(&pipeline(Shared::READER), ("orders.json", TWO_ROWS));
    let endpoint = server.endpoint();
    let refused = |what: &str| {
        let ended = place.run().fails(5, &[what, "permission", &endpoint]);
        assert!(!ended.stderr.contains(Shared::READER.1), "{ended:#?}");
    };
    refused("creating the table");
    // With the table there, it is the upload that is refused.
    let owner = Place::with(&pipeline(Shared::OWNER), ("orders.json", TWO_ROWS));
    owner.run().expect(0);
    refused("creating the upload session");
    let keyed =
        |key| pipeline(key).replace("  table: orders\n", "  table: keyed\n  primary-key: id\n");
    owner.write("pipeline.yaml", &keyed(Shared::OWNER));
    owner
        .longshore(&["run", "pipeline.yaml", "--fresh"])
        .expect(0);
    place.write("pipeline.yaml", &keyed(Shared::READER));
    refused("upsert session");
    assert_eq!(
        server.tables(),
        [("keyed".to_owned(), 2), ("orders".to_owned(), 2)]
    );
}

#[test]
fn a_delete_is_refused_on_an_append_table_where_that_is_asked_for() {
    let pipeline = PIPELINE.replace("  table: orders\n", "  format: debezium-json\n")
        + "  delete-on-append: reject\n";
    let events = "\
{\"op\":\"c\",\"before\":null,\"after\":{\"id\":1},\"source\":{\"db\":\"shop\",\"table\":\"orders\"}}
{\"op\":\"d\",\"before\":{\"id\":1},\"after\":null,\"source\":{\"db\":\"shop\",\"table\":\"orders\"}}
";
    let place = Place::with(&pipeline, ("orders.json", events));
    place.run().fails(
        3,
        &[
            "orders.json:2",
            "a delete for a table without a primary key",
            "delete-on-append is reject",
        ],
    );
    place.shows_nothing();
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
