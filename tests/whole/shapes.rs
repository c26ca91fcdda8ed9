//! Tables of unusual shape, unloaded and read back with pyodps: very many columns, deep types.

use anyhow::Result;
use longshore_tests::Scene;
use serde_json::{Map, Value, json};

fn unload(scene: &Scene, table: &str, key: &str, schema: &str) -> Result<()> {
    let pipeline = format!(
        "source:\n  type: file\n  path: rows.json\n  table: {table}{key}\n  schema:\n{schema}{}  buckets-num: 3\n",
        scene.server.sink()?,
    );
    let file = format!("{table}.yaml");
    scene.write(&file, &pipeline)?;
    scene.longshore(&["run", &file])?.success()?;
    Ok(())
}

const COLUMNS: u64 = 1_000;
const ROWS: u64 = 60;

/// Type of a column, and its value in a row: as JSON in the source, and as pyodps' canonical text.
fn cell(column: u64, row: u64) -> (&'static str, Value, Value) {
    let n = row * COLUMNS + column;
    let same = |ty, text: String| (ty, json!(text), json!(text));
    match column % 7 {
        0 => ("bigint", json!(n), json!(n.to_string())),
        1 => same("string", format!("第{n}值")),
        2 => (
            "double",
            json!(n as f64 / 8.0),
            json!(format!("{:?}", n as f64 / 8.0)),
        ),
        3 => same("decimal(38,18)", format!("-{n}.000000000000000001")),
        4 => (
            "boolean",
            json!(n.is_multiple_of(2)),
            json!(n.is_multiple_of(2).to_string()),
        ),
        5 => same("date", format!("{:04}-02-28", 1 + n % 9_999)),
        _ => {
            let text = format!("{:04}-12-31T23:59:59.{:09}", 1970 + n % 200, n);
            ("timestamp_ntz(9)", json!(text), json!(text))
        }
    }
}

#[test]
fn a_thousand_columns() -> Result<()> {
    let scene = Scene::new()?;
    let mut lines = String::new();
    let mut expected = Vec::new();
    for row in 0..ROWS {
        let mut source = Map::from_iter([("id".to_owned(), json!(row))]);
        let mut canonical = Map::from_iter([("id".to_owned(), json!(row.to_string()))]);
        for column in 0..COLUMNS {
            let name = format!("c{column}");
            let (_, json, text) = cell(column, row);
            let is_null = (row + column).is_multiple_of(11);
            canonical.insert(name.clone(), if is_null { Value::Null } else { text });
            if !is_null {
                source.insert(name, json);
            }
        }
        lines += &format!("{}\n", Value::Object(source));
        expected.push(canonical);
    }
    scene.write("rows.json", &lines)?;
    let mut schema = "    id: bigint\n".to_owned();
    for column in 0..COLUMNS {
        schema += &format!("    c{column}: {}\n", cell(column, 0).0);
    }
    for (table, key) in [("wide_append", ""), ("wide_delta", "\n  primary-key: id")] {
        unload(&scene, table, key, &schema)?;
        let rows = scene.read(table, None)?;
        assert_eq!(rows.len(), expected.len(), "{table}");
        for (found, expected) in rows.iter().zip(&expected) {
            for (name, value) in expected {
                assert_eq!(&found[name], value, "{table} {name}");
            }
        }
    }
    Ok(())
}

#[test]
fn decimals_within_arrays_within_maps_within_structs_within_arrays() -> Result<()> {
    let scene = Scene::new()?;
    let largest = "99999999999999999999.999999999999999999";
    // In the order of ids: JSON as the source has it, and as pyodps' canonical form (maps as pairs).
    let values = [
        (Value::Null, Value::Null),
        (json!([]), json!([])),
        (json!([null]), json!([null])),
        (json!([{ "m": null }]), json!([{ "m": null }])),
        (json!([{ "m": {} }]), json!([{ "m": [] }])),
        (
            json!([{ "m": { "一": [largest, null, "-0.000000000000000001"], "": [] } }, { "m": { "b": null } }]),
            json!([
                { "m": [["一", [largest, null, "-0.000000000000000001"]], ["", []]] },
                { "m": [["b", null]] },
            ]),
        ),
    ];
    let lines: String = (0..)
        .zip(&values)
        .map(|(id, (source, _))| format!("{}\n", json!({ "id": id, "deep": source })))
        .collect();
    scene.write("rows.json", &lines)?;
    let schema = "    id: bigint\n    deep: array<struct<m:map<string,array<decimal(38,18)>>>>\n";
    for (table, key) in [("deep_append", ""), ("deep_delta", "\n  primary-key: id")] {
        unload(&scene, table, key, schema)?;
        let rows = scene.read(table, None)?;
        let found: Vec<Value> = rows.iter().map(|row| normal(&row["deep"])).collect();
        let expected: Vec<Value> = values.iter().map(|(_, value)| normal(value)).collect();
        assert_eq!(found, expected, "{table}");
    }
    Ok(())
}

/// Decimals without the zeros at their end.
fn normal(value: &Value) -> Value {
    match value {
        Value::String(text) if text.contains('.') => {
            json!(text.trim_end_matches('0').trim_end_matches('.'))
        }
        Value::Array(list) => list.iter().map(normal).collect(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), normal(value)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}
