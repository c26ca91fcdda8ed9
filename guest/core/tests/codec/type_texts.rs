//! SQL texts of types, and the types of new columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use longshore_core::schema::Column;
use longshore_core::types::{OdpsType, TYPE_METADATA_KEY};

#[test]
fn texts_come_back_in_upper_case() {
    for (text, printed) in [
        ("bigint", "BIGINT"),
        (" Decimal ( 10 , 2 ) ", "DECIMAL(10,2)"),
        ("decimal(5)", "DECIMAL(5,0)"),
        ("decimal", "DECIMAL(38,18)"),
        ("varchar(65535)", "VARCHAR(65535)"),
        ("char(255)", "CHAR(255)"),
        ("timestamp_ntz", "TIMESTAMP_NTZ"),
        ("interval_day_time", "INTERVAL_DAY_TIME"),
        ("map<string,array<bigint>>", "MAP<STRING,ARRAY<BIGINT>>"),
        (
            "struct<a:int, `b c`:map<int,struct<`d``e`:json>>>",
            "STRUCT<a:INT,`b c`:MAP<INT,STRUCT<`d``e`:JSON>>>",
        ),
        ("struct<中文:int>", "STRUCT<中文:INT>"),
    ] {
        let ty: OdpsType = text.parse().unwrap();
        assert_eq!(ty.to_string(), printed);
        assert_eq!(printed.parse(), Ok(ty));
    }
}

#[test]
fn texts_that_are_no_type() {
    for text in [
        "",
        "text",
        "varchar",
        "varchar(0)",
        "varchar(65536)",
        "char(256)",
        "decimal(39,0)",
        "decimal(38,19)",
        "decimal(2,3)",
        "decimal(0,0)",
        "array<int",
        "array<>",
        "map<int>",
        "struct<>",
        "struct<a>",
        "struct<a:int,A:int>",
        "int int",
        "bigint)",
        "struct<`a:int>",
        "decimal(99999999999,0)",
    ] {
        let error = text.parse::<OdpsType>().unwrap_err();
        assert_eq!(error.text, text);
    }
    let deep = format!("{}int{}", "array<".repeat(100_000), ">".repeat(100_000));
    assert!(
        deep.parse::<OdpsType>()
            .unwrap_err()
            .reason
            .contains("nested")
    );
}

fn ty(data_type: DataType) -> Result<String, String> {
    OdpsType::from_arrow(&Field::new("c", data_type, true))
        .map(|ty| ty.to_string())
        .map_err(|e| e.to_string())
}

#[test]
fn types_of_new_columns() {
    let utc = Some("UTC".into());
    let item = |data_type| Arc::new(Field::new("item", data_type, true));
    let entries = Field::new(
        "entries",
        DataType::Struct(Fields::from(vec![
            Field::new("k", DataType::Utf8, false),
            Field::new("v", DataType::UInt8, true),
        ])),
        false,
    );
    let cases = [
        (DataType::Int8, "TINYINT"),
        (DataType::Int64, "BIGINT"),
        (DataType::UInt8, "SMALLINT"),
        (DataType::UInt16, "INT"),
        (DataType::UInt32, "BIGINT"),
        (DataType::UInt64, "DECIMAL(20,0)"),
        (DataType::Float32, "FLOAT"),
        (DataType::Utf8View, "STRING"),
        (DataType::LargeBinary, "BINARY"),
        (DataType::FixedSizeBinary(16), "BINARY"),
        (DataType::Decimal128(38, 18), "DECIMAL(38,18)"),
        (DataType::Decimal128(10, -2), "DECIMAL(12,0)"),
        (DataType::Decimal256(20, 4), "DECIMAL(20,4)"),
        (DataType::Date32, "DATE"),
        (DataType::Time64(TimeUnit::Microsecond), "STRING"),
        (
            DataType::Timestamp(TimeUnit::Microsecond, None),
            "TIMESTAMP_NTZ",
        ),
        (DataType::Timestamp(TimeUnit::Second, utc), "TIMESTAMP"),
        (DataType::Duration(TimeUnit::Second), "INTERVAL_DAY_TIME"),
        (
            DataType::Interval(IntervalUnit::YearMonth),
            "INTERVAL_YEAR_MONTH",
        ),
        (DataType::Null, "STRING"),
        (DataType::List(item(DataType::Int32)), "ARRAY<INT>"),
        (
            DataType::FixedSizeList(item(DataType::Utf8), 3),
            "ARRAY<STRING>",
        ),
        (
            DataType::Map(Arc::new(entries), false),
            "MAP<STRING,SMALLINT>",
        ),
        (
            DataType::Struct(Fields::from(vec![Field::new("a", DataType::Boolean, true)])),
            "STRUCT<a:BOOLEAN>",
        ),
        (
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            "STRING",
        ),
    ];
    for (data_type, expected) in cases {
        assert_eq!(
            ty(data_type.clone()),
            Ok(expected.to_owned()),
            "{data_type}"
        );
    }
}

#[test]
fn arrow_types_without_a_column_type_are_named() {
    for data_type in [
        DataType::Decimal128(38, 19),
        DataType::Decimal256(50, 2),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Struct(Fields::empty()),
        DataType::List(Arc::new(Field::new(
            "item",
            DataType::Decimal128(38, 20),
            true,
        ))),
    ] {
        assert!(ty(data_type).unwrap_err().contains("`c"));
    }
}

#[test]
fn metadata_names_the_type_and_the_comment() {
    let metadata = HashMap::from([
        (TYPE_METADATA_KEY.to_owned(), "json".to_owned()),
        ("comment".to_owned(), "as it came".to_owned()),
    ]);
    let field = Field::new("c", DataType::Utf8, false).with_metadata(metadata);
    let column = Column::from_arrow(&field).unwrap();
    assert_eq!(column.ty, OdpsType::Json);
    assert_eq!(column.comment.as_deref(), Some("as it came"));
    assert!(!column.nullable);
    let wrong = HashMap::from([(TYPE_METADATA_KEY.to_owned(), "jason".to_owned())]);
    let error = OdpsType::from_arrow(&field.with_metadata(wrong)).unwrap_err();
    assert!(error.to_string().contains("jason"), "{error}");
}
