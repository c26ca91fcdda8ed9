//! Schemas that change within the input.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use longshore_pipeline::source::Position;

use super::columnar::{write_arrow, write_parquet};
use super::debezium::event;
use super::support::{Files, Outcome, check_resume, read_all, rows};

const ID: &str = r#"{"type":"int32","optional":false,"field":"id"}"#;
const DEBEZIUM: &str = "path: '*.json'\nformat: debezium-json";

/// Rows of each version of the first table.
fn versions(outcome: &Outcome) -> Vec<(u32, Vec<String>)> {
    outcome
        .batches
        .iter()
        .filter(|batch| batch.table == 0)
        .map(|batch| (batch.schema_version, rows(&batch.batch)))
        .collect()
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn new_fields_of_an_inferred_schema_are_new_columns() {
    let files = Files::new();
    files.write(
        "x.json",
        "{\"id\":1}\n{\"id\":2}\n{\"id\":3,\"note\":\"n\",\"ok\":true}\n{\"id\":4}\n",
    );
    let options = "path: x.json\ninfer-rows: 2";
    let outcome = files.read(options).ok();
    assert_eq!(
        versions(&outcome),
        [
            (1, texts(&["0 1", "0 2"])),
            (2, texts(&["0 3|n|true", "0 4|NULL|NULL"])),
        ]
    );
    assert_eq!(
        outcome.columns("x"),
        ["id BIGINT", "note STRING", "ok BOOLEAN"]
    );
    assert!(
        outcome.batches[0].position.is_some(),
        "rows before are a cut of their own"
    );
    check_resume(&files.options(options));
    // A declared schema is what it is.
    let error = files.error("path: x.json\nschema: {id: BIGINT}");
    assert!(error.message.contains("`note`: is unknown"), "{error}");
    let outcome = files
        .read("path: x.json\ninfer-rows: 2\nunknown-columns: ignore")
        .ok();
    assert_eq!(versions(&outcome).len(), 1);
}

#[test]
fn both_images_of_an_update_get_the_new_columns() {
    let files = Files::new();
    let source = r#""source":{"db":"shop","table":"a"}"#;
    files.write(
        "x.json",
        [
            format!(r#"{{"before":null,"after":{{"id":1}},{source},"op":"c"}}"#),
            format!(r#"{{"before":{{"id":1}},"after":{{"id":1,"n":5}},{source},"op":"u"}}"#),
        ]
        .join("\n"),
    );
    let outcome = files
        .read(&format!("{DEBEZIUM}\ninfer-rows: 1\nprimary-key: id"))
        .ok();
    assert_eq!(
        versions(&outcome),
        [(1, texts(&["0 1"])), (2, texts(&["1 1|NULL", "2 1|5"]))]
    );
}

#[test]
fn later_csv_files_may_have_more_columns() {
    let files = Files::new();
    files.write("a.csv", "id,name\n1,one\n");
    files.write("b.csv", "name,id,n\ntwo,2,5\n");
    let outcome = files.read("path: '*.csv'\ntable: t").ok();
    assert_eq!(
        versions(&outcome),
        [(1, texts(&["0 1|one"])), (2, texts(&["0 2|two|5"]))]
    );
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

#[test]
fn later_columnar_files_may_add_columns_and_widen_types() {
    let files = Files::new();
    let ints = |values: &[i32]| Arc::new(Int32Array::from(values.to_vec())) as ArrayRef;
    let longs = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    let words = |values: &[&str]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let all = [
        batch(vec![("id", ints(&[1]))]),
        batch(vec![("word", words(&["w"])), ("id", longs(&[1 << 40]))]),
        batch(vec![("id", ints(&[3])), ("word", words(&["x"]))]),
    ];
    for (name, rows) in ["a", "b", "c"].iter().zip(&all) {
        write_parquet(
            &files,
            &format!("{name}.parquet"),
            std::slice::from_ref(rows),
            10,
        );
        write_arrow(
            &files,
            &format!("{name}.arrow"),
            std::slice::from_ref(rows),
            false,
        );
    }
    for format in ["parquet", "arrow"] {
        let options = format!("path: '*.{format}'\ntable: t");
        let outcome = files.read(&options).ok();
        assert_eq!(
            versions(&outcome),
            [
                (1, texts(&["0 1"])),
                (2, texts(&["0 1099511627776|w"])),
                (2, texts(&["0 3|x"])),
            ],
            "{format}"
        );
        assert_eq!(outcome.columns("t"), ["id BIGINT", "word STRING"]);
        assert_eq!(outcome.tables.len(), 2);
        check_resume(&files.options(&options));
    }
    let float = batch(vec![
        ("id", Arc::new(Float64Array::from(vec![0.5]))),
        ("word", words(&["y"])),
    ]);
    write_parquet(&files, "d.parquet", &[float], 10);
    let error = files.error("path: '*.parquet'\ntable: t");
    assert!(error.message.contains("different columns: `id`"), "{error}");
}

fn ddl(statement: &str, kind: &str, definition: &str) -> String {
    format!(
        r#"{{"source":{{"db":"shop"}},"ddl":"{statement}","tableChanges":[{{"type":"{kind}","id":"\"shop\".\"a\"","table":{definition}}}]}}"#
    )
}

#[test]
fn ddl_records_tell_renames_comments_and_drops() {
    let files = Files::new();
    let name = |name: &str| format!(r#"{ID},{{"type":"string","optional":true,"field":"{name}"}}"#);
    let lines = [
        event("a", &name("old"), "c", "null", r#"{"id":1,"old":"x"}"#),
        ddl(
            "ALTER TABLE a CHANGE `old` `new` VARCHAR(5)",
            "ALTER",
            r#"{"columns":[{"name":"id"},{"name":"new"}],"comment":"it's"}"#,
        ),
        event("b", ID, "c", "null", r#"{"id":9}"#),
        event("a", &name("new"), "c", "null", r#"{"id":2,"new":"y"}"#),
        ddl("DROP TABLE a", "DROP", "null"),
    ];
    files.write("x.json", lines.join("\n"));
    let outcome = files.read(DEBEZIUM).ok();
    assert_eq!(outcome.columns("shop.a"), ["id INT NOT NULL", "new STRING"]);
    let last = outcome
        .tables
        .iter()
        .rfind(|t| t.path.table == "a")
        .unwrap();
    assert_eq!(last.renamed, [("old".to_owned(), "new".to_owned())]);
    assert_eq!(last.schema.metadata().get("comment").unwrap(), "it's");
    assert_eq!(outcome.removed, ["table shop.a"]);

    // A run that goes on right after the rename was read has not forgotten it.
    let head: Vec<&str> = lines[..3].iter().map(String::as_str).collect();
    files.write("x.json", head.join("\n") + "\n");
    let first = files.read(DEBEZIUM).ok();
    let position = first.batches.last().unwrap().position.clone().unwrap();
    let position = Position::from_json(&position.to_json()).unwrap();
    files.write("x.json", lines.join("\n"));
    let rest = read_all(&files.options(DEBEZIUM), Some(&position)).ok();
    assert_eq!(rest.rows("shop.a"), ["0 2|y"]);
    let renamed: Vec<usize> = rest.tables.iter().map(|t| t.renamed.len()).collect();
    assert_eq!(renamed, [1]);
}

#[test]
fn ddl_records_change_plain_objects_too() {
    let files = Files::new();
    let row =
        |row: &str| format!(r#"{{"after":{row},"source":{{"db":"shop","table":"a"}},"op":"c"}}"#);
    let lines = [
        row(r#"{"id":1,"old":"x","gone":1}"#),
        ddl(
            "ALTER TABLE a RENAME COLUMN old TO new, DROP COLUMN gone",
            "ALTER",
            r#"{"columns":[{"name":"id"},{"name":"new"}]}"#,
        ),
        row(r#"{"id":2,"new":"y"}"#),
    ];
    files.write("x.json", lines.join("\n"));
    let outcome = files.read(&format!("{DEBEZIUM}\ninfer-rows: 1")).ok();
    assert_eq!(
        versions(&outcome),
        [(1, texts(&["0 1|x|1"])), (2, texts(&["0 2|y"]))]
    );
    assert_eq!(outcome.columns("shop.a"), ["id BIGINT", "new STRING"]);
}

#[test]
fn a_key_that_changes_is_a_new_version() {
    let files = Files::new();
    let keyed = |fields: &str, key: &str, row: &str| {
        let columns = format!(r#"{ID},{{"type":"int32","optional":false,"field":"n"}}"#);
        let value = event("a", &columns, "c", "null", row);
        format!(
            r#"{{"key":{{"schema":{{"type":"struct","fields":[{fields}]}},"payload":{key}}},"value":{value}}}"#
        )
    };
    let n = r#"{"type":"int32","optional":false,"field":"n"}"#;
    let lines = [
        keyed(ID, r#"{"id":1}"#, r#"{"id":1,"n":1}"#),
        keyed(ID, r#"{"id":2}"#, r#"{"id":2,"n":2}"#),
        keyed(
            &format!("{ID},{n}"),
            r#"{"id":1,"n":2}"#,
            r#"{"id":1,"n":2}"#,
        ),
    ];
    files.write("x.json", lines.join("\n"));
    let outcome = files.read(DEBEZIUM).ok();
    let keys: Vec<Vec<String>> = outcome
        .tables
        .iter()
        .map(|t| t.primary_key.clone())
        .collect();
    assert_eq!(keys, [texts(&["id"]), texts(&["id", "n"])]);
    assert_eq!(outcome.batches.len(), 2);
}
