//! Types as text, and values of each type from JSON and CSV.

use longshore_pipeline::source::types::ColumnType;
use proptest::prelude::*;

use super::support::Files;

#[test]
fn names_of_both_worlds() {
    let reads_as = |text: &str, shown: &str| {
        let ty: ColumnType = text.parse().unwrap();
        assert_eq!(ty.to_string(), shown);
        assert_eq!(shown.parse::<ColumnType>().unwrap(), ty);
    };
    reads_as("bigint not null", "BIGINT NOT NULL");
    reads_as("Double Precision", "DOUBLE");
    reads_as("varchar(2147483647)", "STRING");
    reads_as("varchar(10)", "VARCHAR(10)");
    reads_as("decimal(10)", "DECIMAL(10,0)");
    reads_as("numeric( 38 , 18 )", "DECIMAL(38,18)");
    reads_as("timestamp", "TIMESTAMP_LTZ(6)");
    reads_as("timestamp_ntz(2)", "TIMESTAMP_NTZ(3)");
    reads_as("datetime", "DATETIME");
    reads_as("array<array<int>>", "ARRAY<ARRAY<INT>>");
    reads_as("map<string,bigint>", "MAP<STRING, BIGINT>");
    reads_as(
        "row<a int, `b``c` date not null>",
        "STRUCT<`a`: INT, `b``c`: DATE NOT NULL>",
    );
    reads_as("struct<a:json>", "STRUCT<`a`: JSON>");
    for wrong in [
        "",
        "blob",
        "decimal",
        "decimal(39,2)",
        "decimal(5,6)",
        "varchar",
        "char(256)",
        "timestamp(3)",
        "array<int",
        "map<int>",
        "struct<>",
        "int int",
        "int not",
        "timestamp_ltz(10)",
    ] {
        assert!(wrong.parse::<ColumnType>().is_err(), "{wrong}");
    }
    let deep = "array<".repeat(10_000);
    assert!(deep.parse::<ColumnType>().is_err());
}

fn any_type() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "TINYINT",
            "INT",
            "BIGINT",
            "FLOAT",
            "DOUBLE",
            "BOOLEAN",
            "STRING",
            "BINARY",
            "DATE",
            "DATETIME",
            "JSON",
            "VARCHAR(7)",
            "TIMESTAMP_NTZ(9)",
            "TIMESTAMP_LTZ(3)",
        ])
        .prop_map(str::to_owned),
        (1_u8..=38)
            .prop_flat_map(|p| (Just(p), 0..=p))
            .prop_map(|(p, s)| format!("DECIMAL({p},{s})")),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let nullable = (inner, any::<bool>()).prop_map(|(ty, nullable)| {
            if nullable {
                ty
            } else {
                format!("{ty} NOT NULL")
            }
        });
        prop_oneof![
            nullable.clone().prop_map(|ty| format!("ARRAY<{ty}>")),
            (nullable.clone(), nullable.clone()).prop_map(|(a, b)| format!("MAP<{a},{b}>")),
            prop::collection::vec(nullable, 1..4).prop_map(|types| {
                let fields: Vec<String> = types
                    .iter()
                    .enumerate()
                    .map(|(index, ty)| format!("f{index}:{ty}"))
                    .collect();
                format!("STRUCT<{}>", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn shown_types_read_back(text in any_type()) {
        let ty: ColumnType = text.parse().unwrap();
        prop_assert_eq!(ty.to_string().parse::<ColumnType>().unwrap(), ty);
    }
}

fn one(ty: &str, json: &str) -> Result<String, String> {
    let files = Files::new();
    files.write("t.json", format!("{{\"x\":{json}}}"));
    let outcome = files.read(&format!("path: t.json\nschema: {{x: '{ty}'}}"));
    match outcome.error {
        Some(error) => Err(error
            .message
            .split("column `x`: ")
            .last()
            .unwrap()
            .to_owned()),
        None => Ok(outcome.rows("t")[0][2..].to_owned()),
    }
}

#[test]
fn values_are_exact_or_refused() {
    let ok = |ty: &str, json: &str, shown: &str| {
        assert_eq!(one(ty, json).as_deref(), Ok(shown), "{ty} {json}")
    };
    let refused = |ty: &str, json: &str, part: &str| {
        let message = one(ty, json).unwrap_err();
        assert!(message.contains(part), "{ty} {json}: {message}");
    };
    ok("TINYINT", "-128", "-128");
    refused("TINYINT", "128", "out of range");
    refused("BIGINT", "1.0", "found the number 1.0");
    refused("BIGINT", "true", "found true");
    refused("INT", "{\"a\":1}", "the object");
    ok("DOUBLE", "1e300", "1e300");
    refused("DOUBLE", "1e999", "exactly");
    refused("DOUBLE", "9007199254740993", "exactly");
    ok("DOUBLE", "\"NaN\"", "NaN");
    refused("DOUBLE", "\"nan\"", "found the text");
    refused("FLOAT", "16777217", "exactly");
    ok("DECIMAL(5,2)", "123.4", "123.40");
    ok("DECIMAL(5,2)", "\"-1.500\"", "-1.50");
    ok("DECIMAL(5,2)", "1e2", "100.00");
    refused("DECIMAL(5,2)", "1.005", "would round it");
    refused("DECIMAL(5,2)", "1000", "too large");
    refused("DECIMAL(38,0)", "1e40", "too large");
    ok("BOOLEAN", "false", "false");
    refused("BOOLEAN", "0", "found the number 0");
    ok("STRING", "\"a\\u00e9\\n\"", "a\u{e9}\n");
    refused("STRING", "5", "found the number 5");
    ok("JSON", "5", "5");
    ok("JSON", "\"a\"", "\"a\"");
    ok("BINARY", "\"AQI=\"", "0102");
    refused("BINARY", "\"?\"", "base64");
    ok("DATE", "\"0001-01-01\"", "0001-01-01");
    ok("DATE", "19782", "2024-02-29");
    refused("DATE", "\"2023-02-29\"", "not a date");
    refused("DATE", "\"2023-02-28T00:00\"", "not a date");
    ok(
        "TIMESTAMP_NTZ(3)",
        "\"2024-02-29 12:30:00.5\"",
        "2024-02-29T12:30:00.500",
    );
    ok("TIMESTAMP_NTZ(3)", "\"2024-02-29\"", "2024-02-29T00:00:00");
    refused(
        "TIMESTAMP_NTZ(3)",
        "\"2024-02-29T12:30:00.0005\"",
        "finer fractions",
    );
    refused(
        "TIMESTAMP_NTZ(3)",
        "\"2024-02-29T12:30:00Z\"",
        "can not keep",
    );
    refused(
        "TIMESTAMP_NTZ(3)",
        "\"2024-02-29T25:30:00\"",
        "not a timestamp",
    );
    refused(
        "TIMESTAMP_NTZ(9)",
        "\"9999-12-31T00:00:00\"",
        "out of range",
    );
    ok(
        "TIMESTAMP",
        "\"2024-02-29T12:30:00+08:00\"",
        "2024-02-29T04:30:00Z",
    );
    ok(
        "DATETIME",
        "\"9999-12-31T23:59:59.999Z\"",
        "9999-12-31T23:59:59.999Z",
    );
    refused("TIMESTAMP", "\"2024-02-29T12:30:00\"", "no offset");
    ok("ARRAY<INT>", "[1,null]", "[1, NULL]");
    refused("ARRAY<INT NOT NULL>", "[1,null]", "null");
    ok("MAP<STRING,INT>", "{\"a\":1}", "{a: 1}");
    ok("STRUCT<a:INT,b:STRING>", "{\"b\":\"x\"}", "{a: NULL, b: x}");
    refused("STRUCT<a:INT>", "{\"a\":1,\"c\":2}", "field `c`");
    ok("STRUCT<a:ARRAY<DATE>>", "null", "NULL");
}

#[test]
fn texts_without_an_offset_take_the_pipelines_zone() {
    let files = Files::new();
    files.write("t.csv", "x\n2024-03-31 01:30:00\n2024-03-31 02:30:00\n");
    let mut options = files.options("path: t.csv\nschema: {x: TIMESTAMP}\nbatch-rows: 1");
    options.time_zone = Some(chrono_tz::Europe::Berlin);
    let outcome = super::support::read_all(&options, None);
    assert_eq!(outcome.rows("t"), ["0 2024-03-31T00:30:00Z"]);
    assert!(
        outcome
            .error
            .unwrap()
            .message
            .contains("does not exist or exists twice")
    );
}
