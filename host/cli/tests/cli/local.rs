//! `longshore local`

use crate::support::{Place, Server};

#[test]
fn the_server_prints_four_lines_that_a_shell_can_source() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--project", "shop"]);
    let names: Vec<&str> = server
        .environment
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "ODPS_ENDPOINT",
            "ODPS_PROJECT",
            "ODPS_ACCESS_ID",
            "ODPS_ACCESS_KEY"
        ]
    );
    assert_eq!(server.variable("ODPS_PROJECT"), "shop");
    assert!(
        server
            .variable("ODPS_ENDPOINT")
            .starts_with("http://127.0.0.1:")
    );
}

#[test]
fn a_directory_in_use_is_asked_through_its_server() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--no-auth"]);
    let place = Place::new();
    let directory = data.path().to_str().unwrap();
    place
        .longshore(&["local", "tables", "--data", directory])
        .expect(2)
        .says(&["in use by a server", "--endpoint"]);
    let listed = place
        .longshore(&[
            "local",
            "tables",
            "--endpoint",
            server.variable("ODPS_ENDPOINT"),
        ])
        .expect(0);
    assert!(listed.stdout.starts_with("project"), "{listed:#?}");
}

#[test]
fn a_missing_directory_table_or_server_is_an_error() {
    let place = Place::new();
    place
        .longshore(&["local", "tables", "--data", "nowhere"])
        .expect(3)
        .says(&["nowhere", "--data"]);
    place
        .longshore(&["local", "tables", "--endpoint", "http://127.0.0.1:1/api"])
        .expect(4)
        .says(&["does not answer"]);
}

const PIPELINE: &str = "\
source:
  type: file
  path: t.json
  table: t
  primary-key: id
sink:
  type: maxcompute
  endpoint: local
";

#[test]
fn a_directory_and_a_running_server_show_the_same() {
    let place = Place::with(
        PIPELINE,
        (
            "t.json",
            "{\"id\": 2, \"city\": \"杭州\"}\n{\"id\": 1, \"city\": null}\n",
        ),
    );
    place.run().expect(0);
    let data = place.path().join(".longshore").join("local");
    let commands: [&[&str]; 5] = [
        &["local", "tables"],
        &["local", "show", "t"],
        &["local", "show", "t", "-n", "1", "--output", "json"],
        &["local", "schema", "t"],
        &["local", "schema", "local.default.t", "--output", "json"],
    ];
    let of_directory: Vec<String> = commands
        .iter()
        .map(|command| place.longshore(command).expect(0).stdout)
        .collect();
    let server = Server::start(&data, &[]);
    let endpoint = server.variable("ODPS_ENDPOINT");
    for (command, expected) in commands.iter().zip(&of_directory) {
        let asked = [command, &["--endpoint", endpoint][..]].concat();
        assert_eq!(place.longshore(&asked).expect(0).stdout, *expected);
    }
    let [_, shown, one, schema, _] = of_directory.as_slice() else {
        panic!("{of_directory:?}")
    };
    assert!(shown.contains("(2 of 2 rows)") && shown.contains("杭州") && shown.contains("NULL"));
    let one: serde_json::Value = serde_json::from_str(one).unwrap();
    assert_eq!(one["total"], 2);
    assert_eq!(one["rows"].as_array().unwrap().len(), 1);
    assert_eq!(one["columns"], serde_json::json!(["id", "city"]));
    let id: Vec<&str> = schema
        .lines()
        .find(|line| line.starts_with("id"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        id,
        ["id", "BIGINT", "primary", "key,", "not", "null"],
        "{schema}"
    );
}

#[test]
fn a_running_server_is_reset() {
    let place = Place::with(PIPELINE, ("t.json", "{\"id\": 1}\n"));
    place.run().expect(0);
    let data = place.path().join(".longshore").join("local");
    let server = Server::start(&data, &[]);
    let endpoint = server.variable("ODPS_ENDPOINT");
    let reset = ["local", "reset", "--endpoint", endpoint];
    place.longshore(&reset).expect(2).says(&["--yes", endpoint]);
    let show = ["local", "show", "t", "--endpoint", endpoint];
    place.longshore(&show).expect(0);
    let done = place
        .longshore(&[&reset[..], &["--yes", "--output", "json"]].concat())
        .expect(0);
    assert!(done.stdout.contains("\"outcome\": \"reset\""), "{done:#?}");
    place
        .longshore(&show)
        .expect(3)
        .says(&["table t not found"]);
    drop(server);
    assert_eq!(place.tables(), []);
}

#[test]
fn a_missing_table_is_an_error_that_says_how_to_find_the_others() {
    let place = Place::with(PIPELINE, ("t.json", "{\"id\": 1}\n"));
    place.run().expect(0);
    for command in ["show", "schema"] {
        place
            .longshore(&["local", command, "orders"])
            .expect(3)
            .says(&["orders", "help:", "longshore local tables"]);
        place
            .longshore(&["local", command, "a.b.c.d"])
            .expect(3)
            .says(&["`a.b.c.d` is not a table name"]);
    }
    let data = place.path().join(".longshore").join("local");
    let server = Server::start(&data, &[]);
    let endpoint = server.variable("ODPS_ENDPOINT");
    for command in ["show", "schema"] {
        place
            .longshore(&["local", command, "orders", "--endpoint", endpoint])
            .fails(3, &["orders", endpoint, "longshore local tables"]);
    }
}

#[test]
fn reset_asks_first() {
    let place = Place::with(PIPELINE, ("t.json", "{\"id\": 1}\n"));
    place.run().expect(0);
    place.longshore(&["local", "schema", "t"]).expect(0);
    place
        .longshore(&["local", "reset"])
        .expect(2)
        .says(&["--yes"]);
    assert_eq!(place.tables().len(), 1);
    let done = place.longshore(&["local", "reset", "--yes"]).expect(0);
    assert!(
        done.stdout.starts_with("removed all tables of "),
        "{done:#?}"
    );
    place.longshore(&["local", "tables"]).expect(3);
}
