//! Statements, character by character.

use longshore_core::ddl::{
    CreateTable, TableName, add_columns, add_partition, change_type, column_comment, create_schema,
    drop_columns, drop_partition, drop_table, quote_string, rename_column, table_comment,
    truncate_table,
};
use longshore_core::partition::PartitionSpec;
use longshore_core::schema::Column;
use longshore_core::types::OdpsType;

fn table() -> TableName {
    TableName {
        project: "p".to_owned(),
        schema: None,
        table: "t".to_owned(),
    }
}

#[test]
fn create_a_delta_table() {
    let create = CreateTable {
        name: table(),
        columns: vec![
            Column::new("id", OdpsType::BigInt),
            Column::new("c", OdpsType::String).with_comment("it's"),
        ],
        partition_columns: vec![Column::new("pt", OdpsType::String)],
        primary_key: vec!["ID".to_owned()],
        comment: Some("..".to_owned()),
        properties: vec![
            ("transactional".to_owned(), "true".to_owned()),
            ("write.bucket.num".to_owned(), "16".to_owned()),
        ],
        lifecycle_days: Some(7),
        if_not_exists: true,
    };
    assert_eq!(
        create.sql(),
        "CREATE TABLE IF NOT EXISTS `p`.`t` (`id` BIGINT NOT NULL, `c` STRING COMMENT 'it\\'s', \
         PRIMARY KEY(`ID`)) COMMENT '..' PARTITIONED BY (`pt` STRING) \
         TBLPROPERTIES('transactional'='true','write.bucket.num'='16') LIFECYCLE 7;"
    );
}

#[test]
fn create_an_append_table_in_a_schema() {
    let create = CreateTable {
        name: TableName {
            schema: Some("s".to_owned()),
            ..table()
        },
        columns: vec![Column::new("a`b", "array<struct<x:int>>".parse().unwrap()).not_null()],
        partition_columns: vec![],
        primary_key: vec![],
        comment: None,
        properties: vec![],
        lifecycle_days: None,
        if_not_exists: false,
    };
    assert_eq!(
        create.sql(),
        "CREATE TABLE `p`.`s`.`t` (`a``b` ARRAY<STRUCT<x:INT>> NOT NULL);"
    );
}

#[test]
fn text_that_tries_to_leave_its_quotes_stays_inside() {
    assert_eq!(quote_string("\\"), "'\\\\'");
    assert_eq!(
        quote_string("'; DROP TABLE x; --"),
        "'\\'; DROP TABLE x; --'"
    );
}

#[test]
fn changes() {
    let t = table();
    let partition = PartitionSpec::parse("pt=b").unwrap();
    let added = [
        Column::new("c", OdpsType::String).with_comment("x"),
        Column::new("d", OdpsType::Int).not_null(),
    ];
    let cases = [
        (drop_table(&t, true), "DROP TABLE IF EXISTS `p`.`t`;"),
        (drop_table(&t, false), "DROP TABLE `p`.`t`;"),
        (truncate_table(&t), "TRUNCATE TABLE `p`.`t`;"),
        (
            add_columns(&t, &added),
            "ALTER TABLE `p`.`t` ADD COLUMNS (`c` STRING COMMENT 'x', `d` INT);",
        ),
        (
            drop_columns(&t, &["a", "b"]),
            "ALTER TABLE `p`.`t` DROP COLUMNS `a`, `b`;",
        ),
        (
            rename_column(&t, "a", "b"),
            "ALTER TABLE `p`.`t` CHANGE COLUMN `a` RENAME TO `b`;",
        ),
        (
            change_type(
                &t,
                "c",
                &OdpsType::Decimal {
                    precision: 38,
                    scale: 18,
                },
            ),
            "ALTER TABLE `p`.`t` CHANGE COLUMN `c` `c` DECIMAL(38,18);",
        ),
        (
            column_comment(&t, "c", "x"),
            "ALTER TABLE `p`.`t` CHANGE COLUMN `c` COMMENT 'x';",
        ),
        (table_comment(&t, ""), "ALTER TABLE `p`.`t` SET COMMENT '';"),
        (
            add_partition(&t, &partition, true),
            "ALTER TABLE `p`.`t` ADD IF NOT EXISTS PARTITION (`pt`='b');",
        ),
        (
            drop_partition(&t, &partition, true),
            "ALTER TABLE `p`.`t` DROP IF EXISTS PARTITION (`pt`='b');",
        ),
        (
            create_schema("p", "s", Some("c"), true),
            "CREATE SCHEMA IF NOT EXISTS `p`.`s` COMMENT 'c';",
        ),
        (
            create_schema("p", "s", None, false),
            "CREATE SCHEMA `p`.`s`;",
        ),
    ];
    for (statement, expected) in cases {
        assert_eq!(statement, expected);
    }
}
