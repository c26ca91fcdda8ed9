//! JSON lines, and what all text files share.

use std::io::Write as _;

use longshore_pipeline::source::SourceErrorKind;

use super::support::Files;

#[test]
fn a_schema_is_inferred_from_what_is_read_ahead() {
    let files = Files::new();
    files.write(
        "orders.json",
        "{\"id\":1,\"f\":1,\"s\":\"a\",\"b\":true,\"o\":{\"x\":[1]},\"n\":null}\n\n{\"f\":2.5,\"id\":2,\"big\":99999999999999999999}\r\n",
    );
    let outcome = files.read("path: orders.json\nprimary-key: id").ok();
    assert_eq!(
        outcome.columns("orders"),
        [
            "id BIGINT NOT NULL",
            "f DOUBLE",
            "s STRING",
            "b BOOLEAN",
            "o STRING",
            "n STRING",
            "big DECIMAL(38,0)"
        ]
    );
    assert_eq!(
        outcome.rows("orders"),
        [
            "0 1|1.0|a|true|{\"x\":[1]}|NULL|NULL",
            "0 2|2.5|NULL|NULL|NULL|NULL|99999999999999999999"
        ]
    );
    assert!(outcome.batches[0].batch.column_by_name("__op").is_none());
}

#[test]
fn inferred_types_do_not_change_afterwards() {
    let files = Files::new();
    files.write("a.json", "{\"x\":1}\n{\"x\":2}\n{\"x\":2.5}\n");
    let error = files.error("path: a.json\ninfer-rows: 2");
    assert!(
        error
            .message
            .contains("column `x`: expected BIGINT, found the number 2.5"),
        "{error}"
    );
    assert!(
        error.place.as_deref().unwrap().ends_with("a.json:3:6"),
        "{error}"
    );
    assert!(
        error.help.as_deref().unwrap().contains("source.schema.x"),
        "{error}"
    );
    let error = {
        files.write("a.json", "{\"x\":1}\n{\"x\":\"a\"}\n");
        files.error("path: a.json")
    };
    assert!(
        error
            .message
            .contains("column `x` holds a text here and a whole number on line 1"),
        "{error}"
    );
}

#[test]
fn a_declared_schema_is_strict() {
    let files = Files::new();
    files.write("a.json", "{\"id\":1,\"extra\":{\"a\":[1,2]}}\n");
    let schema = "path: a.json\nschema: {id: INT NOT NULL, t: 'TIMESTAMP_NTZ(3)'}";
    let error = files.error(schema);
    assert!(
        error.message.contains("column `extra`: is unknown"),
        "{error}"
    );
    assert!(error.help.unwrap().contains("unknown-columns: ignore"));
    let outcome = files
        .read(&format!("{schema}\nunknown-columns: ignore"))
        .ok();
    assert_eq!(outcome.rows("a"), ["0 1|NULL"]);
    files.write("a.json", "{\"t\":\"2024-01-01 00:00:00\"}\n");
    let error = files.error(schema);
    assert!(
        error.message.contains("column `id`: is NULL or missing"),
        "{error}"
    );
    let error = files.error("path: a.json\nprimary-key: idd\nschema: {id: INT}");
    assert!(error.message.contains("names column `idd`"), "{error}");
    assert!(error.help.unwrap().contains("did you mean `id`?"));
}

#[test]
fn broken_lines_are_shown_with_place_excerpt_and_remedy() {
    let files = Files::new();
    files.write("a.json", "{\"x\":1}\n{\"x\": oops}\n");
    let error = files.error("path: a.json");
    assert_eq!(error.kind, SourceErrorKind::Data);
    assert!(
        error.place.as_deref().unwrap().ends_with("a.json:2:7"),
        "{error}"
    );
    assert!(
        error
            .excerpt
            .as_deref()
            .unwrap()
            .starts_with("{\"x\": oops}\n"),
        "{error}"
    );
    files.write("a.json", "[{\"x\":1},\n{\"x\":2}]\n");
    assert!(
        files
            .error("path: a.json")
            .help
            .unwrap()
            .contains("jq -c '.[]'")
    );
    files.write("a.json", "{\n\"x\":1\n}\n");
    assert!(
        files
            .error("path: a.json")
            .help
            .unwrap()
            .contains("jq -c .")
    );
    files.write("a.json", b"{\"x\":\"caf\xe9\"}\n");
    let error = files.error("path: a.json");
    assert!(error.message.contains("not UTF-8: byte 0xe9"), "{error}");
    assert!(error.place.unwrap().ends_with("a.json:1:10"));
}

#[test]
fn rows_before_a_broken_line_are_whole_and_positions_are_safe() {
    let files = Files::new();
    files.write("a.json", "{\"x\":1}\n{\"x\":2}\n{\"x\":3}\nbroken\n");
    let outcome = files.read("path: a.json\nschema: {x: INT}\nbatch-rows: 2");
    assert!(outcome.error.is_some());
    assert_eq!(outcome.rows("a"), ["0 1", "0 2"]);
}

#[test]
fn compressed_files_are_read_as_they_are() {
    let files = Files::new();
    let text = "\u{feff}{\"x\":1}\n{\"x\":2}\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    files.write("a.json.gz", &gzip);
    files.write("b.json.zst", zstd::encode_all(text.as_bytes(), 1).unwrap());
    let outcome = files.read("path: ['*.gz', b.json.zst]\ntable: t").ok();
    assert_eq!(outcome.rows("t"), ["0 1", "0 2", "0 1", "0 2"]);
    assert!(outcome.stats.bytes_read > 0);
    files.write("a.json.gz", gzip.get(..gzip.len() - 6).unwrap());
    let error = files.error("path: a.json.gz");
    assert_eq!(error.kind, SourceErrorKind::Io);
    assert!(error.help.unwrap().contains("damaged or cut off"));
}

#[test]
fn files_are_found_or_what_is_there_is_told() {
    let files = Files::new();
    files.write("orders.json", "{\"x\":1}\n");
    files.write("empty.json", "");
    let error = files.error("path: order.json");
    assert_eq!(error.kind, SourceErrorKind::NotFound);
    assert!(error.help.unwrap().ends_with("orders.json`?"));
    let error = files.error("path: '*.csv'");
    assert!(error.message.contains("no file matches"), "{error}");
    assert!(
        error
            .help
            .unwrap()
            .contains("holds empty.json, orders.json")
    );
    assert!(
        files
            .error("path: nowhere/x.json")
            .help
            .unwrap()
            .contains("does not exist")
    );
    assert!(files.error("path: .").message.contains("is a directory"));
    assert!(
        files
            .error("path: [orders.json, '*.json']\ntable: t")
            .message
            .contains("named twice")
    );
    let error = files.error("path: '*.json'");
    assert!(error.message.contains("the table has no name"), "{error}");
    files.write("data.txt", "");
    assert!(
        files
            .error("path: data.txt")
            .message
            .contains("can not be told")
    );
    files.write("b.csv", "x\n1\n");
    assert!(
        files
            .error("path: [orders.json, b.csv]")
            .message
            .contains("different formats")
    );
    // An empty file has no rows, and that is worth telling.
    let outcome = files.read("path: empty.json").ok();
    assert!(outcome.batches.is_empty());
    assert!(outcome.stats.warnings[0].ends_with("empty.json holds no rows"));
}

#[test]
fn batches_are_cut_by_rows_and_by_bytes() {
    let files = Files::new();
    let lines: String = (0..1000)
        .map(|x| format!("{{\"x\":{x},\"s\":\"{}\"}}\n", "y".repeat(100)))
        .collect();
    files.write("a.json", &lines);
    let outcome = files.read("path: a.json\nbatch-rows: 300").ok();
    let sizes: Vec<usize> = outcome
        .batches
        .iter()
        .map(|batch| batch.batch.num_rows())
        .collect();
    assert_eq!(sizes, [300, 300, 300, 100]);
    let outcome = files.read("path: a.json\nbatch-size: 10kb").ok();
    assert!(outcome.batches.len() > 8);
    assert!(outcome.batches.iter().all(|batch| batch.bytes < 64 * 1024));
    assert!(outcome.batches.iter().all(|batch| batch.position.is_some()));
}
