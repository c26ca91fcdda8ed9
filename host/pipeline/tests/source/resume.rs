//! Going on where a run stopped.

use std::io::Write as _;

use longshore_pipeline::source::{Position, SourceErrorKind};

use super::{
    debezium::event,
    support::{Files, check_resume, read_all},
};

const ID: &str = r#"{"type":"int32","optional":false,"field":"id"}"#;
const ID_N: &str = r#"{"type":"int32","optional":false,"field":"id"},{"type":"int32","optional":true,"field":"n"}"#;

/// Three tables by turns, updates among them, and a schema that changes on the way.
fn stream(lines: u32) -> String {
    (0..lines)
        .map(|line| {
            let table = ["a", "b", "c"][(line % 3) as usize];
            let columns = if line > lines / 2 && table == "b" {
                ID_N
            } else {
                ID
            };
            let row = format!("{{\"id\":{line}}}");
            if line % 5 == 4 {
                event(table, columns, "u", &row, &row) + "\n"
            } else {
                event(table, columns, "c", "null", &row) + "\n"
            }
        })
        .collect()
}

#[test]
fn debezium_resumes_at_every_cut() {
    let files = Files::new();
    files.write("1.json", stream(50));
    files.write("2.json", stream(7));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(stream(40).as_bytes()).unwrap();
    files.write("3.json.gz", gzip.finish().unwrap());
    let lines = "path: '*.json*'\nformat: debezium-json\nbatch-rows: 3";
    assert!(check_resume(&files.options(lines)) > 15);
}

#[test]
fn inferred_schemas_survive_a_resume() {
    let files = Files::new();
    // Read from the middle, `x` would be BIGINT and `s` unknown.
    let mut text = String::from("{\"x\":1.5,\"s\":\"a\"}\n");
    for row in 0..20 {
        text.push_str(&format!("{{\"x\":{row}}}\n"));
    }
    files.write("a.json", &text);
    assert_eq!(
        check_resume(&files.options("path: a.json\nbatch-rows: 4")),
        6
    );
    let plain: String = (0..20)
        .map(|row| format!("{{\"before\":null,\"after\":{{\"x\":{row}}},\"source\":{{\"table\":\"t{}\"}},\"op\":\"c\"}}\n", row % 2))
        .collect();
    files.write("b.json", plain);
    assert!(check_resume(&files.options("path: b.json\nformat: debezium-json\nbatch-rows: 4")) > 2);
}

#[test]
fn csv_resumes_behind_its_header() {
    let files = Files::new();
    let mut text = String::from("\u{feff}id,\"s\"\n");
    for row in 0..20 {
        text.push_str(&format!("{row},\"line\n{row}\"\n"));
    }
    files.write("a.csv", &text);
    files.write("b.csv", "s,id\nlast,99");
    assert_eq!(
        check_resume(&files.options("path: '*.csv'\ntable: t\nbatch-rows: 4")),
        6
    );
    let rows = files.read("path: '*.csv'\ntable: t").ok().rows("t");
    assert_eq!(rows.last().unwrap(), "0 99|last");
}

fn last_position(files: &Files, lines: &str) -> Position {
    let outcome = files.read(lines).ok();
    outcome.batches.last().unwrap().position.clone().unwrap()
}

#[test]
fn a_text_file_may_grow_but_not_change() {
    let files = Files::new();
    let lines = "path: a.json\nschema: {x: INT}";
    files.write("a.json", "{\"x\":1}\n{\"x\":2}\n");
    let position = last_position(&files, lines);
    assert!(
        read_all(&files.options(lines), Some(&position))
            .ok()
            .batches
            .is_empty()
    );
    files.write("a.json", "{\"x\":1}\n{\"x\":2}\n{\"x\":3}\n");
    let outcome = read_all(&files.options(lines), Some(&position)).ok();
    assert_eq!(outcome.rows("a"), ["0 3"]);
    assert!(outcome.batches[0].origin.locate(0).ends_with("a.json:3"));
    let refused = |message: &str| {
        let error = read_all(&files.options(lines), Some(&position))
            .error
            .unwrap();
        assert_eq!(error.kind, SourceErrorKind::Changed);
        assert!(error.message.contains(message), "{error}");
        assert!(error.help.unwrap().contains("checkpoint"));
    };
    files.write("a.json", "{\"x\":1}\n{\"x\":9}\n");
    refused("has changed");
    files.write("a.json", "{\"x\":1}\n");
    refused("shorter");
    std::fs::remove_file(files.path("a.json")).unwrap();
    files.write("b.json", "");
    let error = read_all(&files.options(lines), Some(&position))
        .error
        .unwrap();
    assert_eq!(error.kind, SourceErrorKind::NotFound);
}

#[test]
fn a_line_read_before_it_was_complete_is_noticed() {
    let files = Files::new();
    let lines = "path: a.csv\nheader: false\nschema: {x: STRING}";
    files.write("a.csv", "one\ntw");
    let position = last_position(&files, lines);
    files.write("a.csv", "one\ntwo\n");
    let error = read_all(&files.options(lines), Some(&position))
        .error
        .unwrap();
    assert!(error.message.contains("before it was complete"), "{error}");
    files.write("a.csv", "one\ntw\nthree\n");
    assert_eq!(
        read_all(&files.options(lines), Some(&position))
            .ok()
            .rows("a"),
        ["0 three"]
    );
}

#[test]
fn files_may_be_added_behind_the_others_only() {
    let files = Files::new();
    let lines = "path: '*.json'\ntable: t\nschema: {x: INT}";
    files.write("b.json", "{\"x\":1}\n");
    files.write("c.json", "{\"x\":2}\n");
    let position = last_position(&files, lines);
    files.write("d.json", "{\"x\":3}\n");
    assert_eq!(
        read_all(&files.options(lines), Some(&position))
            .ok()
            .rows("t"),
        ["0 3"]
    );
    files.write("a.json", "{\"x\":0}\n");
    let error = read_all(&files.options(lines), Some(&position))
        .error
        .unwrap();
    assert!(error.message.contains("names other files"), "{error}");
}

#[test]
fn positions_of_other_formats_are_refused() {
    let files = Files::new();
    files.write("a.json", "{\"x\":1}\n");
    let position = Position::from_json("{\"kafka\":1}").unwrap();
    let error = read_all(&files.options("path: a.json"), Some(&position))
        .error
        .unwrap();
    assert!(error.message.contains("another source type"), "{error}");
}
