//! Values that do not fit their column: the run ends, NULL takes their place, or their row is kept
//! aside.

use std::io::Cursor;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int64Type};
use arrow_ipc::reader::StreamReader;
use longshore_core::contract::DeadLetters;
use longshore_core::error::ErrorClass;

use crate::driver::{Driver, Row, declaration, rows};
use crate::service::Service;

/// An append table `t` and a Delta table `d` whose names have at most three characters.
fn driver(more: &[(&str, &str)]) -> Driver {
    let mut service = Service::new()
        .with_table("t", false, None)
        .with_table("d", false, Some(2))
        .with_table("pt", true, None);
    for table in service.tables.values_mut() {
        table.columns[1].1 = "varchar(3)".into();
    }
    Driver::new(service, more)
}

const ROWS: &[Row] = &[
    (0, 1, Some("abc"), None),
    (0, 2, Some("abcd"), None),
    (0, i64::MIN, Some("x"), None),
    (0, 4, None, None),
];

/// Ids, names and operations of the rows of one letter.
fn rows_of(letters: &DeadLetters) -> Vec<(i64, Option<String>, i8)> {
    let mut found = Vec::new();
    for batch in StreamReader::try_new(Cursor::new(&letters.ipc), None).unwrap() {
        let batch = batch.unwrap();
        let ids = batch["id"].as_primitive::<Int64Type>();
        let names = batch["name"].as_string::<i32>();
        let operations = batch["__op"].as_primitive::<Int8Type>();
        for row in 0..batch.num_rows() {
            let name = names.iter().nth(row).unwrap().map(str::to_owned);
            found.push((ids.value(row), name, operations.value(row)));
        }
    }
    found
}

#[test]
fn a_bad_value_ends_the_run_where_nothing_else_is_said() {
    let mut d = driver(&[]);
    let t = d.declare(declaration("t", false, &[])).unwrap();
    let error = d.write(t, false, ROWS).unwrap_err();
    assert_eq!(error.class, ErrorClass::Data);
    let told: Vec<_> = error
        .bad_rows
        .iter()
        .map(|bad| (bad.row, bad.column.as_deref().unwrap()))
        .collect();
    assert_eq!(told, [(1, "name"), (2, "ID")]);
    assert!(d.sink.take_dead_letters().is_empty());
}

#[test]
fn null_takes_the_place_of_a_bad_value_and_is_counted() {
    let mut d = driver(&[("on-bad-value", "null")]);
    let t = d.declare(declaration("t", false, &[])).unwrap();
    d.write(t, false, ROWS).unwrap();
    d.checkpoint();
    let mut expected = rows(&[("", 1, "abc")]);
    // The service's decoder reads a missing id as the smallest number.
    expected.push((String::new(), i64::MIN, Some("x".into())));
    expected.push((String::new(), 2, None));
    expected.push((String::new(), 4, None));
    expected.sort();
    assert_eq!(d.appended("t"), expected);
    assert_eq!(d.metric("values_nulled_total", ""), 2.0);
    assert_eq!(d.metric("rows_written_total", "insert"), 4.0);
    let told = d.sink.take_log();
    assert!(
        told.iter()
            .any(|event| event.message.contains("`name`") && event.message.contains("row 1")),
        "{told:?}"
    );
}

#[test]
fn null_never_takes_the_place_of_a_key() {
    let mut d = driver(&[("on-bad-value", "null")]);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    let error = d.write(t, false, ROWS).unwrap_err();
    let told: Vec<u32> = error.bad_rows.iter().map(|bad| bad.row).collect();
    assert_eq!(told, [2]);

    for column in ["id", "d.ID"] {
        let rule = format!("{column}=null");
        let mut d = driver(&[("on-bad-value.columns", &rule)]);
        let error = d.declare(declaration("d", false, &["id"])).unwrap_err();
        assert_eq!(error.class, ErrorClass::Schema);
        assert!(error.message.contains("on-bad-value.columns"), "{error}");
    }
    let mut d = driver(&[("on-bad-value.columns", "pt=null")]);
    let error = d.declare(declaration("pt", true, &[])).unwrap_err();
    assert!(error.message.contains("`pt`"), "{error}");
    // A rule for another table is none of this one's business.
    let mut d = driver(&[("on-bad-value.columns", "other.id=null")]);
    d.declare(declaration("d", false, &["id"])).unwrap();
}

#[test]
fn bad_rows_are_kept_aside_with_their_reasons() {
    let mut d = driver(&[("on-bad-value", "dead-letter")]);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, ROWS).unwrap();
    let batch: &[Row] = &[
        (1, 1, Some("abc"), None),
        (2, 1, Some("abcde"), None),
        (3, i64::MIN, None, None),
        (3, 4, None, None),
    ];
    d.write(t, false, batch).unwrap();
    d.checkpoint();
    // The refused update left the row as it was.
    assert_eq!(d.keyed("d"), rows(&[("", 1, "abc")]));
    let letters = d.sink.take_dead_letters();
    assert_eq!(
        letters.iter().map(rows_of).collect::<Vec<_>>(),
        [
            vec![
                (2, Some("abcd".to_owned()), 0),
                (i64::MIN, Some("x".to_owned()), 0)
            ],
            vec![(1, Some("abcde".to_owned()), 2), (i64::MIN, None, 3)],
        ]
    );
    let first = &letters[0].rows[0];
    assert_eq!((first.sequence, first.row), (1, 1));
    assert_eq!(first.column.as_deref(), Some("name"));
    assert!(first.reason.contains("4 characters"), "{}", first.reason);
    assert_eq!(letters[0].table.table, "d");
    assert_eq!(d.metric("dead_letters_total", ""), 4.0);
    assert!(d.sink.take_dead_letters().is_empty());
}

#[test]
fn columns_and_partitions_have_policies_of_their_own() {
    let mut d = driver(&[
        ("on-bad-value", "dead-letter"),
        ("on-bad-value.columns", "pt.name=null, id=fail"),
    ]);
    let t = d.declare(declaration("pt", true, &[])).unwrap();
    let batch: &[Row] = &[
        (0, 1, Some("long name"), Some("a")),
        (0, 2, Some("ok"), Some("a/b")),
        (0, i64::MIN, Some("ok"), Some("a")),
    ];
    let error = d.write(t, true, batch).unwrap_err();
    assert_eq!(error.bad_rows.len(), 1);
    assert_eq!(error.bad_rows[0].row, 2);
    let letters = d.sink.take_dead_letters();
    assert_eq!(letters[0].rows.len(), 1);
    assert_eq!(letters[0].rows[0].column.as_deref(), Some("pt"));
    d.checkpoint();
    assert_eq!(d.appended("pt"), [("pt=a".to_owned(), 1, None)]);
}

#[test]
fn a_refused_move_leaves_the_old_row() {
    let mut d = driver(&[("on-bad-value", "dead-letter")]);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, &[(0, 1, Some("abc"), None)]).unwrap();
    let batch: &[Row] = &[(1, 1, Some("abc"), None), (2, 2, Some("too long"), None)];
    d.write(t, false, batch).unwrap();
    d.checkpoint();
    assert_eq!(d.keyed("d"), rows(&[("", 1, "abc")]));
    assert_eq!(d.sink.take_dead_letters().len(), 1);
}

#[test]
fn rows_spread_anew_are_told_once() {
    let mut d = driver(&[("on-bad-value", "dead-letter")]);
    d.service.session_buckets = Some(5);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, ROWS).unwrap();
    d.checkpoint();
    assert_eq!(d.keyed("d").len(), 2);
    let letters = d.sink.take_dead_letters();
    assert_eq!(letters.iter().map(|l| l.rows.len()).sum::<usize>(), 2);
}
