//! Schema changes: the statements they come to, what is refused before any is sent, repeats.

use std::collections::HashMap;

use arrow_schema::{DataType, Field, Schema};
use longshore_core::contract::{ColumnAdd, ColumnPosition, ColumnType, SchemaChange, TableDecl};
use longshore_core::error::{ErrorClass, SinkError};

use crate::driver::{Driver, declaration, rows, schema_message};
use crate::service::Service;

fn driver(table: &str, partitioned: bool, buckets: Option<u32>) -> Driver {
    Driver::new(Service::new().with_table(table, partitioned, buckets), &[])
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn message(field: Field) -> Vec<u8> {
    schema_message(&Schema::new(vec![field]))
}

fn add(field: Field, position: ColumnPosition) -> ColumnAdd {
    ColumnAdd {
        arrow_field: message(field),
        position,
    }
}

fn retype(field: Field) -> ColumnType {
    ColumnType {
        name: field.name().clone(),
        arrow_field: message(field),
    }
}

fn next(table: &str, fields: Vec<Field>) -> TableDecl {
    TableDecl {
        arrow_schema: schema_message(&Schema::new(fields)),
        schema_version: 2,
        ..declaration(table, false, &[])
    }
}

fn change(d: &mut Driver, change: SchemaChange, next: TableDecl) -> Result<(), SinkError> {
    let call = d.sink.change_schema(change, next);
    d.settle(call).map(drop)
}

fn columns(d: &Driver, table: &str) -> Vec<(String, String)> {
    let columns = d.service.tables[table].columns.iter();
    columns.map(|(n, ty, _)| (n.clone(), ty.clone())).collect()
}

#[test]
fn rows_before_and_after_a_change_land_under_their_schema_while_another_table_goes_on() {
    let mut d = Driver::new(
        Service::new()
            .with_table("t", false, None)
            .with_table("other", false, None),
        &[],
    );
    let t = d.declare(declaration("t", false, &[])).unwrap();
    let other = d.declare(declaration("other", false, &[])).unwrap();
    d.write(other, false, &[(0, 7, Some("o"), None)]).unwrap();
    d.write(t, false, &[(0, 1, Some("a"), None)]).unwrap();

    let adds = SchemaChange::AddColumns(vec![add(text("order"), ColumnPosition::Last)]);
    let decl = declaration("t", false, &[]);
    let error = change(&mut d, adds.clone(), decl.clone()).unwrap_err();
    assert_eq!(error.code, "contract.unprepared");

    let call = d.sink.prepare_table(t, 1);
    let longshore_core::contract::Reply::Prepared(items) = d.settle(call).unwrap() else {
        panic!("prepare-table answers with committables")
    };
    assert_eq!(items.len(), 1, "only the rows of `t`");
    d.commit(items);
    assert_eq!(d.appended("t"), rows(&[("", 1, "a")]));
    assert!(d.appended("other").is_empty());

    change(&mut d, adds.clone(), decl.clone()).unwrap();
    assert_eq!(
        d.service.statements,
        ["ALTER TABLE `p`.`t` ADD COLUMNS (`order` STRING);"]
    );
    // A repeat finds nothing left to do.
    change(&mut d, adds, decl.clone()).unwrap();
    assert_eq!(d.service.statements.len(), 1);

    assert_eq!(d.declare(decl).unwrap(), t);
    d.write(t, false, &[(0, 2, Some("b"), None)]).unwrap();
    assert_eq!(
        d.checkpoint(),
        2,
        "the other table's session was left alone"
    );
    assert_eq!(d.appended("t"), rows(&[("", 1, "a"), ("", 2, "b")]));
    assert_eq!(d.appended("other"), rows(&[("", 7, "o")]));
}

#[test]
fn columns_go_last_and_the_log_says_so() {
    let mut d = driver("t", false, None);
    let adds = SchemaChange::AddColumns(vec![
        add(
            text("it's").with_metadata(HashMap::from([(
                "comment".to_owned(),
                r"a\b 'c'".to_owned(),
            )])),
            ColumnPosition::First,
        ),
        add(
            Field::new("n", DataType::Int32, false),
            ColumnPosition::After("ID".to_owned()),
        ),
    ]);
    change(&mut d, adds, declaration("t", false, &[])).unwrap();
    assert_eq!(
        d.service.statements,
        [r"ALTER TABLE `p`.`t` ADD COLUMNS (`it's` STRING COMMENT 'a\\b \'c\'', `n` INT);"]
    );
    let log: Vec<String> = d.sink.take_log().into_iter().map(|e| e.message).collect();
    let told = |part: &str| log.iter().any(|line| line.contains(part));
    assert!(
        told("can not put it first") && told("can not put it after `ID`"),
        "{log:?}"
    );
}

#[test]
fn columns_are_dropped_but_no_key() {
    let mut d = driver("t", false, Some(4));
    let drop =
        |names: &[&str]| SchemaChange::DropColumns(names.iter().map(|&n| n.to_owned()).collect());
    let error = change(
        &mut d,
        drop(&["id", "name"]),
        declaration("t", false, &["id"]),
    )
    .unwrap_err();
    assert_eq!(
        (error.class, error.code.as_str()),
        (ErrorClass::Schema, "table.change")
    );
    assert!(
        error.message.contains("`id` is part of the primary key"),
        "{error}"
    );
    assert!(
        d.service.statements.is_empty(),
        "refused before anything was sent"
    );
    for _ in 0..2 {
        change(&mut d, drop(&["name"]), declaration("t", false, &["id"])).unwrap();
    }
    assert_eq!(
        d.service.statements,
        ["ALTER TABLE `p`.`t` DROP COLUMNS `name`;"]
    );
}

#[test]
fn the_only_column_and_partition_columns_stay() {
    let mut d = driver("t", true, None);
    let drop =
        |names: &[&str]| SchemaChange::DropColumns(names.iter().map(|&n| n.to_owned()).collect());
    let error = change(&mut d, drop(&["ID", "name"]), declaration("t", true, &[])).unwrap_err();
    assert!(error.message.contains("must keep one column"), "{error}");
    let error = change(&mut d, drop(&["pt"]), declaration("t", true, &[])).unwrap_err();
    assert!(
        error.message.contains("`pt` is a partition column"),
        "{error}"
    );
    assert!(d.service.statements.is_empty());
}

fn renames(pairs: &[(&str, &str)]) -> SchemaChange {
    let pairs = pairs.iter();
    SchemaChange::RenameColumns(pairs.map(|&(a, b)| (a.to_owned(), b.to_owned())).collect())
}

fn int(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

#[test]
fn names_are_swapped_over_temporary_ones_and_once_only() {
    let swap = renames(&[("ID", "name"), ("name", "ID")]);
    let after = || next("t", vec![int("name"), text("ID")]);
    let swapped = [("name", "bigint"), ("ID", "string")].map(|(n, t)| (n.to_owned(), t.to_owned()));

    let mut d = driver("t", false, None);
    change(&mut d, swap.clone(), after()).unwrap();
    assert_eq!(columns(&d, "t"), swapped);
    assert_eq!(d.service.statements.len(), 4);

    // The same again by a writer that does not know whether it was done.
    let mut again = Driver::new(std::mem::take(&mut d.service), &[]);
    change(&mut again, swap.clone(), after()).unwrap();
    assert_eq!(columns(&again, "t"), swapped);
    assert_eq!(again.service.statements.len(), 4);

    // Half done: the first of the two columns has its temporary name.
    let mut service = Service::new().with_table("t", false, None);
    service.tables.get_mut("t").unwrap().columns[0].0 = "longshore_renamed_0".to_owned();
    let mut d = Driver::new(service, &[]);
    change(&mut d, swap, after()).unwrap();
    assert_eq!(columns(&d, "t"), swapped);
}

#[test]
fn a_rename_is_done_once_and_never_over_another_column() {
    let mut d = driver("t", false, None);
    let rename = renames(&[("name", "title")]);
    for _ in 0..2 {
        change(
            &mut d,
            rename.clone(),
            next("t", vec![int("id"), text("title")]),
        )
        .unwrap();
    }
    assert_eq!(
        d.service.statements,
        ["ALTER TABLE `p`.`t` CHANGE COLUMN `name` RENAME TO `title`;"]
    );
    for (pairs, why) in [
        ([("title", "id")], "there is a column `id`"),
        ([("gone", "new")], "there is no column `gone`"),
    ] {
        let error = change(&mut d, renames(&pairs), declaration("t", false, &[])).unwrap_err();
        assert!(error.message.contains(why), "{error}");
    }
    // Another letter case is the same name.
    change(
        &mut d,
        renames(&[("title", "TITLE")]),
        declaration("t", false, &[]),
    )
    .unwrap();
    assert_eq!(d.service.statements.len(), 1);
}

#[test]
fn types_widen_and_refusals_come_before_any_statement() {
    let mut service = Service::new().with_table("t", false, None);
    let table = service.tables.get_mut("t").unwrap();
    table.columns.push(("n".into(), "int".into(), false));
    table
        .columns
        .push(("d".into(), "decimal(10,2)".into(), true));
    let mut d = Driver::new(service, &[]);
    let wide = || {
        SchemaChange::AlterType(vec![
            retype(int("n")),
            retype(Field::new("d", DataType::Decimal128(12, 2), true)),
        ])
    };
    let narrow = SchemaChange::AlterType(vec![
        retype(int("n")),
        retype(Field::new("d", DataType::Decimal128(10, 4), true)),
        retype(Field::new("name", DataType::Int32, true)),
    ]);
    let error = change(&mut d, narrow, declaration("t", false, &[])).unwrap_err();
    for part in [
        "`d` can not become DECIMAL(10,4)",
        "`name` can not become INT from STRING",
    ] {
        assert!(error.message.contains(part), "{part} not in {error}");
    }
    assert!(d.service.statements.is_empty());
    for _ in 0..2 {
        change(&mut d, wide(), declaration("t", false, &[])).unwrap();
    }
    assert_eq!(
        d.service.statements,
        [
            "ALTER TABLE `p`.`t` CHANGE COLUMN `n` `n` BIGINT;",
            "ALTER TABLE `p`.`t` CHANGE COLUMN `n` NULL;",
            "ALTER TABLE `p`.`t` CHANGE COLUMN `d` `d` DECIMAL(12,2);",
        ]
    );
}

#[test]
fn a_keys_type_is_fixed_but_a_narrower_one_fits_it() {
    let mut d = driver("t", false, Some(4));
    let key = |ty| SchemaChange::AlterType(vec![retype(Field::new("id", ty, false))]);
    let error = change(
        &mut d,
        key(DataType::Utf8),
        declaration("t", false, &["id"]),
    )
    .unwrap_err();
    assert!(error.message.contains("part of the primary key"), "{error}");
    change(
        &mut d,
        key(DataType::Int32),
        declaration("t", false, &["id"]),
    )
    .unwrap();
    assert!(d.service.statements.is_empty());
}

#[test]
fn tables_are_truncated_dropped_and_made_again() {
    let mut d = driver("t", false, None);
    let t = d.declare(declaration("t", false, &[])).unwrap();
    d.write(t, false, &[(0, 1, Some("a"), None)]).unwrap();
    d.checkpoint();
    change(&mut d, SchemaChange::Truncate, declaration("t", false, &[])).unwrap();
    assert!(d.appended("t").is_empty());
    for _ in 0..2 {
        change(&mut d, SchemaChange::Drop, declaration("t", false, &[])).unwrap();
    }
    assert!(d.service.tables.is_empty());
    assert_eq!(
        d.service.statements,
        ["TRUNCATE TABLE `p`.`t`;", "DROP TABLE IF EXISTS `p`.`t`;"]
    );
    let error = change(&mut d, renames(&[("a", "b")]), declaration("t", false, &[])).unwrap_err();
    assert_eq!(error.code, "table.missing");
    assert_eq!(d.declare(declaration("t", false, &[])).unwrap(), t);
    d.write(t, false, &[(0, 2, Some("b"), None)]).unwrap();
    d.checkpoint();
    assert_eq!(d.appended("t"), rows(&[("", 2, "b")]));
}

#[test]
fn comments_and_properties_come_with_the_declaration() {
    let mut d = Driver::new(Service::new(), &[]);
    let comment = r"a 'quoted' text ending in \";
    let schema = Schema::new(vec![int("id"), text("name")]).with_metadata(HashMap::from([
        ("comment".to_owned(), comment.to_owned()),
        (
            "longshore.table-property.columnar.nested.type".to_owned(),
            "true".to_owned(),
        ),
    ]));
    let decl = TableDecl {
        arrow_schema: schema_message(&schema),
        ..declaration("t", false, &[])
    };
    d.declare(decl.clone()).unwrap();
    assert!(
        d.service.statements[0].ends_with(
            r"COMMENT 'a \'quoted\' text ending in \\' TBLPROPERTIES('columnar.nested.type'='true');"
        ),
        "{}",
        d.service.statements[0]
    );
    let set = SchemaChange::SetComment(Some(comment.to_owned()));
    change(&mut d, set, decl).unwrap();
    assert_eq!(
        d.service.statements[1],
        r"ALTER TABLE `p`.`t` SET COMMENT 'a \'quoted\' text ending in \\';"
    );
}

#[test]
fn a_wider_table_takes_rows_and_refuses_null_where_it_has_none() {
    let mut service = Service::new().with_table("t", false, None);
    let table = service.tables.get_mut("t").unwrap();
    table.columns.push(("extra".into(), "double".into(), true));
    table.columns[1].2 = false;
    let mut d = Driver::new(service, &[]);
    let t = d.declare(declaration("t", false, &[])).unwrap();
    let error = d
        .write(t, false, &[(0, 1, Some("a"), None), (0, 2, None, None)])
        .unwrap_err();
    assert_eq!(error.class, ErrorClass::Data);
    assert_eq!(error.bad_rows.len(), 1, "{error}");
    assert_eq!(error.bad_rows[0].column.as_deref(), Some("name"));
    d.checkpoint();
    assert_eq!(d.appended("t"), rows(&[("", 1, "a")]));
}
