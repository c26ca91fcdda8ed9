//! CSV files.

use super::support::Files;

#[test]
fn fields_after_rfc_4180() {
    let files = Files::new();
    files.write(
        "t.csv",
        "id,name,note,code,ok,f\n1,\"a, b\",\"say \"\"hi\"\"\nthere\",007,true,1.5\r\n2,,\"\",+49,FALSE,2\n",
    );
    let outcome = files.read("path: t.csv").ok();
    assert_eq!(
        outcome.columns("t"),
        [
            "id BIGINT",
            "name STRING",
            "note STRING",
            "code STRING",
            "ok BOOLEAN",
            "f DOUBLE"
        ]
    );
    assert_eq!(
        outcome.rows("t"),
        [
            "0 1|a, b|say \"hi\"\nthere|007|true|1.5",
            "0 2|NULL||+49|false|2.0"
        ]
    );
    assert!(outcome.batches[0].origin.locate(1).ends_with("t.csv:4"));
}

#[test]
fn dialects() {
    let files = Files::new();
    files.write("t.csv", "1\t'x\ty'\t\\N\n2\t''\t5\n");
    let outcome = files
        .read("path: t.csv\nheader: false\ndelimiter: \"\\t\"\nquote: \"'\"\nnull-text: '\\N'\nschema: {id: INT, s: STRING, n: SMALLINT}")
        .ok();
    assert_eq!(outcome.rows("t"), ["0 1|x\ty|NULL", "0 2||5"]);
    let error = files.error("path: t.csv\nheader: false");
    assert!(error.message.contains("without a header"), "{error}");
}

#[test]
fn faults_have_a_place() {
    let files = Files::new();
    let check = |content: &str, lines: &str, place: &str, message: &str| {
        files.write("t.csv", content);
        let error = files.error(&format!("path: t.csv\n{lines}"));
        assert!(error.message.contains(message), "{error}");
        assert!(error.place.as_deref().unwrap().ends_with(place), "{error}");
        assert!(error.help.is_some(), "{error}");
    };
    let schema = "schema: {a: INT, b: DATE}";
    check(
        "a,b\n1,2024-02-30\n",
        schema,
        "t.csv:2:3",
        "`2024-02-30` is not a date",
    );
    check(
        "a,b\n1,2024-01-01\nx,2024-01-01\n",
        schema,
        "t.csv:3:1",
        "expected INT, found `x`",
    );
    check(
        "a,b\n1\n",
        schema,
        "t.csv:2",
        "the row has 1 field(s), the header has 2",
    );
    check("a,b\n1,\"x\n", schema, "t.csv:2", "not closed");
    check(
        "a,b\n1,x\"y\"\n",
        schema,
        "t.csv:2:4",
        "quote inside an unquoted field",
    );
    check(
        "a,b\n\"1\"2,x\n",
        schema,
        "t.csv:2:4",
        "behind the closing quote",
    );
    check("a,a\n1,2\n", "", "t.csv:1", "names column `a` twice");
    check("a,\n1,2\n", "", "t.csv:1", "without a name");
    check("a,bb\n1,2\n", schema, "t.csv:1", "column `bb`: is unknown");
    check(
        "a\n1\n2\nx\n",
        "infer-rows: 2",
        "t.csv:4:1",
        "expected BIGINT, found `x`",
    );
}

#[test]
fn a_header_alone_is_no_row() {
    let files = Files::new();
    files.write("t.csv", "a,b\n");
    let outcome = files.read("path: t.csv").ok();
    assert!(outcome.batches.is_empty() && outcome.stats.warnings.len() == 1);
}
