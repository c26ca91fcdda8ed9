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

#[test]
fn reset_asks_first() {
    let place = Place::with(
        "source:\n  type: file\n  path: t.json\n  table: t\nsink:\n  type: maxcompute\n  endpoint: local\n",
        ("t.json", "{\"id\": 1}\n"),
    );
    place.run().expect(0);
    place.longshore(&["local", "schema", "t"]).expect(0);
    place
        .longshore(&["local", "reset"])
        .expect(2)
        .says(&["--yes"]);
    assert_eq!(place.tables().len(), 1);
    place.longshore(&["local", "reset", "--yes"]).expect(0);
    place.longshore(&["local", "tables"]).expect(3);
}
