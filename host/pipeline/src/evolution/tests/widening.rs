use super::{columns, shape};
use crate::evolution::common_shape;

/// The type of a column that is `a` in one table and `b` in another.
fn common(a: &str, b: &str) -> String {
    let one = shape(&[&format!("c {a}")]);
    let other = shape(&[&format!("c {b}")]);
    let there = columns(&common_shape(&one, [&other]).unwrap()).remove(0);
    let back = columns(&common_shape(&other, [&one]).unwrap()).remove(0);
    assert_eq!(there, back, "{a} and {b}, in either order");
    there.trim_start_matches("c ").to_owned()
}

#[test]
fn the_narrowest_type_that_holds_both() {
    for (a, b, expected) in [
        ("INT", "BIGINT", "BIGINT"),
        ("TINYINT", "SMALLINT", "SMALLINT"),
        ("FLOAT", "DOUBLE", "DOUBLE"),
        ("SMALLINT", "FLOAT", "FLOAT"),
        ("INT", "FLOAT", "DOUBLE"),
        ("BIGINT", "DOUBLE", "STRING"),
        // Integer digits and fraction digits of both are kept.
        ("DECIMAL(10,2)", "DECIMAL(8,4)", "DECIMAL(12,4)"),
        ("DECIMAL(10,2)", "BIGINT", "DECIMAL(21,2)"),
        ("DECIMAL(38,0)", "DECIMAL(10,2)", "STRING"),
        ("DECIMAL(10,2)", "DOUBLE", "STRING"),
        ("TIMESTAMP_NTZ(3)", "TIMESTAMP_NTZ(6)", "TIMESTAMP_NTZ(6)"),
        ("TIMESTAMP_LTZ(9)", "TIMESTAMP_LTZ(6)", "TIMESTAMP_LTZ(9)"),
        ("TIMESTAMP_NTZ(6)", "TIMESTAMP_LTZ(3)", "TIMESTAMP_LTZ(6)"),
        ("DATE", "TIMESTAMP_NTZ(3)", "TIMESTAMP_NTZ(3)"),
        ("VARCHAR(10)", "VARCHAR(20)", "VARCHAR(20)"),
        ("CHAR(4)", "VARCHAR(3)", "VARCHAR(4)"),
        ("VARCHAR(10)", "STRING", "STRING"),
        ("JSON", "STRING", "STRING"),
        ("DATETIME", "TIMESTAMP_LTZ(6)", "TIMESTAMP_LTZ(6)"),
        ("BOOLEAN", "INT", "STRING"),
        ("DATE", "BIGINT", "STRING"),
        ("BINARY", "STRING", "STRING"),
        ("ARRAY<INT>", "ARRAY<BIGINT>", "ARRAY<BIGINT>"),
        ("INT NOT NULL", "INT", "INT"),
        ("INT NOT NULL", "BIGINT NOT NULL", "BIGINT NOT NULL"),
    ] {
        assert_eq!(common(a, b), expected, "{a} and {b}");
    }
}

#[test]
fn columns_of_all_tables_are_there_and_may_be_null_where_one_lacks_them() {
    let all = [
        shape(&["id INT NOT NULL", "a STRING NOT NULL"]),
        shape(&["id BIGINT NOT NULL", "b DATE NOT NULL"]),
        shape(&["c INT", "id SMALLINT NOT NULL", "a VARCHAR(5) NOT NULL"]),
    ];
    let common = common_shape(&all[0], &all[1..]).unwrap();
    assert_eq!(
        columns(&common),
        ["id BIGINT NOT NULL", "a STRING", "b DATE", "c INT"]
    );
}

#[test]
fn keys_and_nested_types_must_agree() {
    let one = shape(&["id INT NOT NULL", "s STRUCT<x: INT>"]);
    let mut keyed = one.clone();
    keyed.primary_key = vec!["id".to_owned()];
    let error = common_shape(&one, [&keyed]).unwrap_err().to_string();
    assert!(
        error.contains("primary keys differ: () and (id)"),
        "{error}"
    );
    let other = shape(&["id INT NOT NULL", "s STRING"]);
    let error = common_shape(&one, [&other]).unwrap_err().to_string();
    assert!(error.contains("column `s`"), "{error}");
}
