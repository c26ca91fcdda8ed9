//! The tables of `guest/maxcompute/TYPES.md` say what the code does.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit};
use longshore_core::record::RowEncoder;
use longshore_core::schema::Column;
use longshore_core::types::{OdpsType, TYPE_METADATA_KEY, TypeMapping};

fn document() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../maxcompute/TYPES.md");
    std::fs::read_to_string(path).unwrap()
}

/// Cells of the table below a heading, without its own heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let document = document();
    let (_, section) = document.split_once(&format!("\n## {heading}\n")).unwrap();
    section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

fn plain(cell: &str) -> &str {
    cell.trim_matches('`')
}

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// Arrow types by the names the document gives them.
fn arrow_types() -> Vec<(&'static str, DataType)> {
    use DataType as T;
    let item = |ty| Arc::new(field("item", ty));
    let entries = T::Struct(Fields::from(vec![
        Field::new("key", T::Utf8, false),
        field("value", T::Int64),
    ]));
    vec![
        ("Boolean", T::Boolean),
        ("Int8", T::Int8),
        ("Int16", T::Int16),
        ("Int32", T::Int32),
        ("Int64", T::Int64),
        ("UInt8", T::UInt8),
        ("UInt16", T::UInt16),
        ("UInt32", T::UInt32),
        ("UInt64", T::UInt64),
        ("Float16", T::Float16),
        ("Float32", T::Float32),
        ("Float64", T::Float64),
        ("Decimal32(5, 2)", T::Decimal32(5, 2)),
        ("Decimal64(18, 2)", T::Decimal64(18, 2)),
        ("Decimal128(38, 18)", T::Decimal128(38, 18)),
        ("Decimal256(38, 0)", T::Decimal256(38, 0)),
        ("Decimal128(10, -2)", T::Decimal128(10, -2)),
        ("Utf8", T::Utf8),
        ("LargeUtf8", T::LargeUtf8),
        ("Utf8View", T::Utf8View),
        ("Binary", T::Binary),
        ("LargeBinary", T::LargeBinary),
        ("BinaryView", T::BinaryView),
        ("FixedSizeBinary(16)", T::FixedSizeBinary(16)),
        ("Date32", T::Date32),
        ("Date64", T::Date64),
        ("Time32(s)", T::Time32(TimeUnit::Second)),
        ("Time32(ms)", T::Time32(TimeUnit::Millisecond)),
        ("Time64(us)", T::Time64(TimeUnit::Microsecond)),
        ("Time64(ns)", T::Time64(TimeUnit::Nanosecond)),
        ("Timestamp(us)", T::Timestamp(TimeUnit::Microsecond, None)),
        (
            "Timestamp(us, UTC)",
            T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ),
        ("Duration(ms)", T::Duration(TimeUnit::Millisecond)),
        ("Interval(DayTime)", T::Interval(IntervalUnit::DayTime)),
        ("Interval(YearMonth)", T::Interval(IntervalUnit::YearMonth)),
        ("List(Int32)", T::List(item(T::Int32))),
        (
            "Map(Utf8, Int64)",
            T::Map(Arc::new(Field::new("entries", entries, false)), false),
        ),
        (
            "Struct(a: Int32, b: Utf8)",
            T::Struct(Fields::from(vec![
                field("a", T::Int32),
                field("b", T::Utf8),
            ])),
        ),
        (
            "Dictionary(Int8, Utf8)",
            T::Dictionary(Box::new(T::Int8), Box::new(T::Utf8)),
        ),
        ("Null", T::Null),
    ]
}

#[test]
fn created_columns_have_the_documented_types() {
    let rows = table("Columns that are created");
    let documented: Vec<&str> = rows.iter().map(|row| plain(&row[0])).collect();
    let known: Vec<&str> = arrow_types().iter().map(|(name, _)| *name).collect();
    assert_eq!(documented, known);
    for (row, (name, data_type)) in rows.iter().zip(arrow_types()) {
        let created = OdpsType::from_arrow(&field("c", data_type)).unwrap();
        assert_eq!(created, plain(&row[1]).parse().unwrap(), "{name}");
    }
}

/// Names of the Arrow types behind one of the document's words.
fn family(word: &str) -> Vec<&'static str> {
    let starting = |prefixes: &[&str]| -> Vec<&'static str> {
        let types = arrow_types();
        let of = types.iter().map(|(name, _)| *name);
        of.filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .collect()
    };
    match word {
        "integers" => starting(&["Int8", "Int16", "Int32", "Int64", "UInt"]),
        "decimals" => starting(&["Decimal"]),
        "texts" => vec!["Utf8", "LargeUtf8", "Utf8View"],
        "binaries" => starting(&["Binary", "LargeBinary", "FixedSizeBinary"]),
        "times" => starting(&["Time32", "Time64"]),
        "timestamps" => starting(&["Timestamp"]),
        _ => Vec::new(),
    }
}

#[test]
fn existing_columns_take_what_is_documented_and_nothing_else() {
    let mut columns = 0;
    for row in table("Columns that exist") {
        let mut taken = BTreeSet::from(["Null"]);
        for word in row[1].split([' ', ';', ',']) {
            taken.extend(family(word));
        }
        for (name, _) in arrow_types() {
            if row[1].contains(&format!("`{name}`")) {
                taken.insert(name);
            }
        }
        if taken.contains("Utf8") {
            taken.insert("Dictionary(Int8, Utf8)");
        }
        for ty in row[0].split("`, `").map(plain) {
            let ty = ty.replace("(p,s)", "(38,18)").replace("(n)", "(20)");
            let column = Column::new("c", ty.parse().unwrap());
            columns += 1;
            for (name, data_type) in arrow_types() {
                // No text has a negative number of digits behind its point.
                if name == "Decimal128(10, -2)" {
                    continue;
                }
                let schema = Schema::new(vec![field("c", data_type)]);
                let fits = RowEncoder::new(&schema, std::slice::from_ref(&column), &[Some(0)]);
                assert_eq!(fits.is_ok(), taken.contains(name), "{name} into {ty}");
            }
        }
    }
    assert_eq!(columns, 19);
}

#[test]
fn lengths_and_instants_follow_the_options() {
    let text = field("c", DataType::Utf8)
        .with_metadata([(TYPE_METADATA_KEY.to_owned(), "VARCHAR(20)".to_owned())].into());
    let list = field("c", DataType::List(Arc::new(text.clone())));
    let instant = |unit| field("c", DataType::Timestamp(unit, Some("UTC".into())));
    let wall_clock = field("c", DataType::Timestamp(TimeUnit::Second, None));
    let other = TypeMapping {
        char_as_string: true,
        instant_as_datetime: true,
    };
    for (field, kept, otherwise) in [
        (&text, "VARCHAR(20)", "STRING"),
        (&list, "ARRAY<VARCHAR(20)>", "ARRAY<STRING>"),
        (&instant(TimeUnit::Second), "TIMESTAMP", "DATETIME"),
        (&instant(TimeUnit::Millisecond), "TIMESTAMP", "DATETIME"),
        (&instant(TimeUnit::Microsecond), "TIMESTAMP", "TIMESTAMP"),
        (&wall_clock, "TIMESTAMP_NTZ", "TIMESTAMP_NTZ"),
    ] {
        let of = |mapping| OdpsType::from_arrow_as(field, mapping).unwrap().to_string();
        assert_eq!(of(TypeMapping::default()), kept);
        assert_eq!(of(other), otherwise);
    }
}
