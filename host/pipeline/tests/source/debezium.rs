//! Debezium change events.

use longshore_pipeline::source::{Operation, SourceErrorKind};

use super::support::Files;

/// An event in its schema envelope; `columns` and `rows` are JSON.
pub(crate) fn event(table: &str, columns: &str, op: &str, before: &str, after: &str) -> String {
    let row = |image: &str| {
        format!(r#"{{"type":"struct","fields":[{columns}],"optional":true,"field":"{image}"}}"#)
    };
    format!(
        r#"{{"schema":{{"type":"struct","fields":[{},{}],"optional":false}},"payload":{{"before":{before},"after":{after},"source":{{"db":"shop","table":"{table}"}},"op":"{op}","ts_ms":1}}}}"#,
        row("before"),
        row("after")
    )
}

const ID_NAME: &str = r#"{"type":"int32","optional":false,"field":"id"},{"type":"string","optional":true,"field":"name"}"#;

fn plain(table: &str, op: &str, before: &str, after: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"db":"shop","table":"{table}"}},"op":"{op}"}}"#
    )
}

const DEBEZIUM: &str = "path: '*.json'\nformat: debezium-json";

#[test]
fn a_batch_knows_when_its_newest_change_happened() {
    let at = |time: &str, id: u32| {
        format!(
            r#"{{"before":null,"after":{{"id":{id}}},"source":{{"db":"shop","table":"a"{time}}},"op":"c","ts_ms":9}}"#
        )
    };
    for (lines, newest) in [
        (
            [at(r#","ts_ms":1700"#, 1), at(r#","ts_ms":1600"#, 2)],
            Some(1700),
        ),
        ([at(r#","ts_ms":1500"#, 1), at("", 2)], Some(1500)),
        // An instant of 0 stands for none.
        ([at("", 1), at(r#","ts_ms":0"#, 2)], None),
    ] {
        let files = Files::new();
        files.write("x.json", lines.join("\n"));
        let outcome = files.read(DEBEZIUM).ok();
        assert_eq!(outcome.batches.len(), 1);
        assert_eq!(outcome.batches[0].origin.newest_event_ms(), newest);
    }
}

#[test]
fn operations_and_pairs() {
    let files = Files::new();
    let lines = [
        event("a", ID_NAME, "r", "null", r#"{"id":1,"name":"one"}"#),
        event("a", ID_NAME, "c", "null", r#"{"id":2,"name":null}"#),
        event("a", ID_NAME, "u", r#"{"id":1,"name":"one"}"#, r#"{"id":1,"name":"eins"}"#),
        event("b", ID_NAME, "c", "null", r#"{"id":9,"name":"b"}"#),
        "null".to_owned(),
        event("a", ID_NAME, "u", "null", r#"{"id":2,"name":"zwei"}"#),
        event("a", ID_NAME, "d", r#"{"id":2,"name":"zwei"}"#, "null"),
        r#"{"schema":null,"payload":null}"#.to_owned(),
        r#"{"key":{"id":2},"value":null}"#.to_owned(),
        r#"{"schema":{},"payload":{"ts_ms":5}}"#.to_owned(),
        r#"{"status":"BEGIN","id":"7","event_count":null}"#.to_owned(),
        r#"{"source":{"db":"shop"},"databaseName":"shop","ddl":"CREATE TABLE x","tableChanges":[]}"#.to_owned(),
        String::new(),
    ];
    files.write("x.json", lines.join("\n"));
    let outcome = files
        .read(&format!("{DEBEZIUM}\nprimary-key: {{shop.a: id}}"))
        .ok();
    assert_eq!(
        outcome.rows("shop.a"),
        [
            "0 1|one", "0 2|NULL", "1 1|one", "2 1|eins", "2 2|zwei", "3 2|zwei"
        ]
    );
    assert_eq!(outcome.rows("shop.b"), ["0 9|b"]);
    assert_eq!(
        outcome.columns("shop.a"),
        ["id INT NOT NULL", "name STRING"]
    );
    assert_eq!(outcome.tables[0].primary_key, ["id"]);
    assert!(outcome.tables[1].primary_key.is_empty());
    assert_eq!(outcome.stats.tombstones, 3);
    assert_eq!(outcome.stats.other_events, 3);
    assert_eq!(outcome.stats.rows, 7);
    // The last batch of the cut alone has a position.
    let positions: Vec<bool> = outcome
        .batches
        .iter()
        .map(|batch| batch.position.is_some())
        .collect();
    assert_eq!(positions, [false, true]);
    let origin = &outcome.batches[0].origin;
    assert!(
        origin.locate(3).ends_with("x.json:3"),
        "{}",
        origin.locate(3)
    );
    assert!(
        origin.locate(4).ends_with("x.json:6"),
        "{}",
        origin.locate(4)
    );
    assert_eq!(Operation::Delete as i8, 3);
}

#[test]
fn types_of_the_envelope() {
    let columns = [
        r#"{"type":"int32","optional":true,"name":"io.debezium.time.Date","field":"d"}"#,
        r#"{"type":"int64","optional":true,"name":"io.debezium.time.Timestamp","field":"t3"}"#,
        r#"{"type":"int64","optional":true,"name":"io.debezium.time.MicroTimestamp","field":"t6"}"#,
        r#"{"type":"int64","optional":true,"name":"io.debezium.time.NanoTimestamp","field":"t9"}"#,
        r#"{"type":"string","optional":true,"name":"io.debezium.time.ZonedTimestamp","field":"tz"}"#,
        r#"{"type":"int64","optional":true,"name":"io.debezium.time.MicroTime","field":"clock"}"#,
        r#"{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"12"},"field":"m"}"#,
        r#"{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"0","__debezium.source.column.type":"BIGINT UNSIGNED"},"field":"u"}"#,
        r#"{"type":"struct","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}],"optional":true,"name":"io.debezium.data.VariableScaleDecimal","field":"v"}"#,
        r#"{"type":"string","optional":true,"name":"io.debezium.data.Enum","parameters":{"allowed":"a,b"},"field":"e"}"#,
        r#"{"type":"string","optional":true,"name":"io.debezium.data.Json","field":"j"}"#,
        r#"{"type":"bytes","optional":true,"field":"raw"}"#,
        r#"{"type":"boolean","optional":true,"field":"b"}"#,
        r#"{"type":"double","optional":true,"field":"f"}"#,
        r#"{"type":"array","items":{"type":"int32","optional":true,"name":"io.debezium.time.Date"},"optional":true,"field":"l"}"#,
        r#"{"type":"struct","fields":[{"type":"double","optional":false,"field":"x"},{"type":"bytes","optional":true,"field":"wkb"}],"optional":true,"name":"io.debezium.data.geometry.Point","field":"p"}"#,
    ]
    .join(",");
    let row = r#"{"d":-3927,"t3":1700000000123,"t6":-1,"t9":1,"tz":"2025-11-01T02:02:03.456789+02:00","clock":-3020399000000,"m":"/SYJ","u":"AP//////////","v":{"scale":3,"value":"AeJA"},"e":"a","j":"{\"x\": 1}","raw":"AQI=","b":true,"f":1.5,"l":[0,null],"p":{"x":1.0,"wkb":null}}"#;
    let nulls = r#"{"d":null,"t3":null}"#;
    let files = Files::new();
    files.write(
        "x.json",
        [
            event("t", &columns, "c", "null", row),
            event("t", &columns, "c", "null", nulls),
        ]
        .join("\n"),
    );
    let outcome = files.read(DEBEZIUM).ok();
    assert_eq!(
        outcome.columns("shop.t"),
        [
            "d DATE",
            "t3 TIMESTAMP_NTZ(3)",
            "t6 TIMESTAMP_NTZ(6)",
            "t9 TIMESTAMP_NTZ(9)",
            "tz TIMESTAMP_LTZ(6)",
            "clock STRING",
            "m DECIMAL(12,2)",
            "u DECIMAL(20,0)",
            "v STRING",
            "e STRING",
            "j STRING",
            "raw BINARY",
            "b BOOLEAN",
            "f DOUBLE",
            "l ARRAY<DATE>",
            "p STRUCT<`x`: DOUBLE NOT NULL, `wkb`: BINARY>",
        ]
    );
    assert_eq!(
        outcome.rows("shop.t")[0],
        "0 1959-04-02|2023-11-14T22:13:20.123|1969-12-31T23:59:59.999999|1970-01-01T00:00:00.000000001|\
         2025-11-01T00:02:03.456789Z|-838:59:59|-1868.71|18446744073709551615|123.456|a|{\"x\": 1}|0102|true|1.5|\
         [1970-01-01, NULL]|{x: 1.0, wkb: NULL}"
    );
    // Declared types win: a decimal without a fixed scale, an instant with more digits.
    let outcome = files
        .read(&format!(
            "{DEBEZIUM}\nschema: {{v: 'DECIMAL(20,4)', m: STRING, j: JSON}}"
        ))
        .ok();
    let row = &outcome.rows("shop.t")[0];
    assert!(
        row.contains("|123.4560|") && row.contains("|-1868.71|"),
        "{row}"
    );
    let error = files.error(&format!("{DEBEZIUM}\nschema: {{v: 'DECIMAL(20,2)'}}"));
    assert!(error.message.contains("would round it"), "{error}");
    let error = files.error(&format!("{DEBEZIUM}\nschema: {{t3: TIMESTAMP}}"));
    assert!(error.message.contains("can not hold"), "{error}");
    let error = files.error(&format!("{DEBEZIUM}\nschema: {{nope: INT}}"));
    assert!(error.message.contains("declares column `nope`"), "{error}");
}

#[test]
fn without_envelope_the_schema_is_inferred_or_declared() {
    let files = Files::new();
    let lines = [
        plain(
            "a",
            "c",
            "null",
            r#"{"id":1,"price":1,"name":"x","ok":true,"tags":["a", 1]}"#,
        ),
        plain("b", "c", "null", r#"{"k":"a"}"#),
        plain(
            "a",
            "u",
            r#"{"id":1,"price":1,"name":"x","ok":null,"tags":null}"#,
            r#"{"id":1,"price":2.5,"name":"y","ok":false,"tags":{}}"#,
        ),
        plain("a", "d", r#"{"id":1}"#, "null"),
    ];
    files.write("x.json", lines.join("\n"));
    let outcome = files.read(DEBEZIUM).ok();
    assert_eq!(
        outcome.columns("shop.a"),
        [
            "id BIGINT",
            "price DOUBLE",
            "name STRING",
            "ok BOOLEAN",
            "tags STRING"
        ]
    );
    assert_eq!(outcome.columns("shop.b"), ["k STRING"]);
    assert_eq!(
        outcome.rows("shop.a"),
        [
            "0 1|1.0|x|true|[\"a\", 1]",
            "1 1|1.0|x|NULL|NULL",
            "2 1|2.5|y|false|{}",
            "3 1|NULL|NULL|NULL|NULL"
        ]
    );
    let outcome = files
        .read(&format!("{DEBEZIUM}\nprimary-key: {{shop.a: id}}\nschema:\n  shop.a: {{id: INT, price: 'DECIMAL(10,2)', name: STRING, ok: BOOLEAN, tags: JSON}}\n  shop.b: {{k: STRING}}"))
        .ok();
    assert_eq!(outcome.rows("shop.a")[2], "2 1|2.50|y|false|{}");
    assert_eq!(outcome.columns("shop.a")[0], "id INT NOT NULL");
}

#[test]
fn decimals_without_envelope_may_be_base64() {
    let files = Files::new();
    files.write(
        "x.json",
        plain("a", "c", "null", r#"{"m":"/SYJ","j":"{\"a\":1}"}"#),
    );
    let schema = "schema: {m: 'DECIMAL(12,2)', j: JSON}";
    let outcome = files
        .read(&format!("{DEBEZIUM}\n{schema}\ndecimal-strings: base64"))
        .ok();
    assert_eq!(outcome.rows("shop.a"), ["0 -1868.71|{\"a\":1}"]);
    let error = files.error(&format!("{DEBEZIUM}\n{schema}"));
    assert!(
        error
            .message
            .contains("expected DECIMAL(12,2), found the text `/SYJ`"),
        "{error}"
    );
}

#[test]
fn a_changed_schema_is_a_new_version_after_a_cut() {
    let files = Files::new();
    let wider = format!(r#"{ID_NAME},{{"type":"int64","optional":true,"field":"n"}}"#);
    let lines = [
        event("a", ID_NAME, "c", "null", r#"{"id":1,"name":"x"}"#),
        event("b", ID_NAME, "c", "null", r#"{"id":7,"name":"b"}"#),
        event("a", &wider, "c", "null", r#"{"id":2,"name":"y","n":5}"#),
        event("b", ID_NAME, "c", "null", r#"{"id":8,"name":"b"}"#),
    ];
    files.write("x.json", lines.join("\n"));
    let outcome = files.read(DEBEZIUM).ok();
    let versions: Vec<(u32, u32, usize)> = outcome
        .batches
        .iter()
        .map(|batch| (batch.table, batch.schema_version, batch.batch.num_rows()))
        .collect();
    assert_eq!(versions, [(0, 1, 1), (1, 1, 1), (0, 2, 1), (1, 1, 1)]);
    assert_eq!(outcome.columns("shop.a").len(), 3);
    assert!(outcome.batches[1].position.is_some());
}

#[test]
fn keys_in_the_line_are_the_primary_key() {
    let files = Files::new();
    let value = event("a", ID_NAME, "c", "null", r#"{"id":1,"name":"x"}"#);
    files.write(
        "x.json",
        format!(r#"{{"key":{{"schema":{{}},"payload":{{"id":1}}}},"value":{value}}}"#),
    );
    assert_eq!(files.read(DEBEZIUM).ok().tables[0].primary_key, ["id"]);
}

#[test]
fn deletes_need_key_and_partition_only() {
    let files = Files::new();
    let columns = r#"{"type":"int32","optional":false,"field":"id"},{"type":"string","optional":false,"field":"pt"},{"type":"string","optional":false,"field":"x"}"#;
    files.write(
        "x.json",
        event("a", columns, "d", r#"{"id":1,"pt":"p","x":null}"#, "null"),
    );
    let outcome = files
        .read(&format!("{DEBEZIUM}\nprimary-key: id\npartition-by: pt"))
        .ok();
    assert_eq!(outcome.rows("shop.a"), ["3 1|p|"]);
    files.write(
        "x.json",
        event("a", columns, "d", r#"{"id":1,"pt":null,"x":"x"}"#, "null"),
    );
    let error = files.error(&format!("{DEBEZIUM}\nprimary-key: id\npartition-by: pt"));
    assert!(
        error.message.contains("column `pt`") && error.help.unwrap().contains("REPLICA IDENTITY")
    );
    files.write(
        "x.json",
        event("a", columns, "c", "null", r#"{"id":1,"pt":"p","x":null}"#),
    );
    let error = files.error(DEBEZIUM);
    assert!(
        error.message.contains("column `x`: is NULL or missing"),
        "{error}"
    );
}

#[test]
fn truncates_are_handed_on_refused_or_counted() {
    let files = Files::new();
    files.write("x.json", plain("a", "t", "null", "null"));
    let outcome = files.read(DEBEZIUM).ok();
    assert_eq!(outcome.removed, ["rows of shop.a"]);
    let error = files.error(&format!("{DEBEZIUM}\non-truncate: error"));
    assert!(
        error.message.contains("table shop.a was truncated"),
        "{error}"
    );
    let outcome = files.read(&format!("{DEBEZIUM}\non-truncate: skip")).ok();
    assert_eq!(outcome.stats.truncates, 1);
}

#[test]
fn three_levels_and_the_table_option() {
    let files = Files::new();
    let line =
        r#"{"before":null,"after":{"id":1},"source":{"db":"d","schema":"s","table":"t"},"op":"c"}"#;
    files.write("x.json", line);
    assert_eq!(files.read(DEBEZIUM).ok().rows("d.s.t"), ["0 1"]);
    let error = files.error(&format!("{DEBEZIUM}\ntable: other"));
    assert!(
        error
            .message
            .contains("about table d.s.t, but source.table is other"),
        "{error}"
    );
    files.write("x.json", r#"{"before":null,"after":{"id":1},"op":"c"}"#);
    assert!(
        files
            .error(DEBEZIUM)
            .message
            .contains("does not name its table")
    );
    assert_eq!(
        files.read(&format!("{DEBEZIUM}\ntable: t")).ok().rows("t"),
        ["0 1"]
    );
}

#[test]
fn broken_events_are_shown_with_their_place() {
    let files = Files::new();
    let good = event("a", ID_NAME, "c", "null", r#"{"id":1,"name":"x"}"#);
    let check = |line: &str, message: &str| {
        files.write("x.json", format!("{good}\n{line}\n"));
        let error = files.error(DEBEZIUM);
        assert_eq!(error.kind, SourceErrorKind::Data);
        assert!(error.message.contains(message), "{error}");
        assert!(
            error.place.as_deref().unwrap().contains("x.json:2"),
            "{error}"
        );
        assert!(error.help.is_some(), "{error}");
    };
    check(good.get(..good.len() - 3).unwrap(), "broken JSON: EOF");
    check(r#"{"id": 1}"#, "no Debezium change event");
    check(&event("a", ID_NAME, "x", "null", "{}"), "`op` is `x`");
    check(&event("a", ID_NAME, "c", "null", "null"), "no `after`");
    check(&event("a", ID_NAME, "d", "null", "null"), "no `before`");
    check(
        &event("a", ID_NAME, "c", "null", r#"{"id":"1"}"#),
        "expected INT, found the text `1`",
    );
    check(
        &event("a", ID_NAME, "c", "null", r#"{"id":3000000000}"#),
        "out of range for INT",
    );
    check(
        &event("a", ID_NAME, "c", "null", r#"{"id":1,"nam":"x"}"#),
        "column `nam`: is unknown",
    );
    check(
        &event("a", ID_NAME, "c", "null", r#"{"id":1,"id":2}"#),
        "given twice",
    );
    check(
        &event("a", ID_NAME, "c", "null", "[1]"),
        "broken JSON: invalid type: sequence",
    );
    let line = event("a", ID_NAME, "c", "null", r#"{"id":"ééé"}"#);
    files.write("x.json", &line);
    let error = files.error(DEBEZIUM);
    let column = line.find("\"ééé\"").unwrap() + 1;
    assert!(
        error
            .place
            .unwrap()
            .ends_with(&format!("x.json:1:{column}"))
    );
}
