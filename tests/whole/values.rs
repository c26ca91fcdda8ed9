//! Values at the edges of their types, in every layout Arrow has for them, read back with pyodps; what
//! Python's types can not hold, with the server's own decoder.

use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, Date32Array, DictionaryArray,
    FixedSizeBinaryArray, FixedSizeListArray, Float32Array, Float64Array, Int32Array, Int64Array,
    LargeBinaryArray, LargeListArray, LargeStringArray, ListArray, RecordBatch, StringArray,
    StringViewArray, StructArray, Time32SecondArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field, Schema};
use longshore_tests::{Run, Scene};
use serde_json::{Value, json};

fn unload(scene: &Scene, table: &str, rows: &RecordBatch, source: &str, sink: &str) -> Result<Run> {
    let file = File::create(scene.path().join(format!("{table}.arrow")))?;
    let mut writer = FileWriter::try_new(file, &rows.schema())?;
    writer.write(rows)?;
    writer.finish()?;
    let definition = format!("{table}.yaml");
    let pipeline = format!(
        "source:\n  type: file\n  path: {table}.arrow\n  table: {table}\n{source}{}  buckets-num: 2\n{sink}",
        scene.server.sink()?,
    );
    scene.write(&definition, &pipeline)?;
    scene.longshore(&["run", &definition])
}

/// A table's columns as name and type.
fn types(scene: &Scene, table: &str) -> Result<Vec<(String, String)>> {
    let schema = scene.server.inspect(&["schema", table])?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let columns = schema["columns"].as_array().context("columns")?;
    Ok(columns
        .iter()
        .map(|column| (text(&column["name"]), text(&column["type"]).to_uppercase()))
        .collect())
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let count = columns.first().map_or(0, |(_, column)| column.len());
    let mut fields = vec![Field::new("id", DataType::Int64, false)];
    let ids = Int64Array::from_iter_values((1..).take(count));
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(ids)];
    for (name, array) in columns {
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

fn column(rows: &[Value], name: &str) -> Vec<Value> {
    rows.iter().map(|row| row[name].clone()).collect()
}

#[test]
fn numbers_at_their_edges() -> Result<()> {
    let scene = Scene::new()?;
    let rows = batch(vec![
        (
            "double",
            Arc::new(Float64Array::from(vec![
                f64::NAN,
                f64::INFINITY,
                -0.0,
                5e-324,
            ])),
        ),
        (
            "float",
            Arc::new(Float32Array::from(vec![
                f32::NEG_INFINITY,
                f32::NAN,
                f32::MAX,
                -0.0,
            ])),
        ),
        ("u8", Arc::new(UInt8Array::from(vec![0, 255, 1, 2]))),
        ("u16", Arc::new(UInt16Array::from(vec![0, 65_535, 1, 2]))),
        ("u32", Arc::new(UInt32Array::from(vec![0, u32::MAX, 1, 2]))),
        ("u64", Arc::new(UInt64Array::from(vec![0, u64::MAX, 1, 2]))),
        (
            "i64",
            Arc::new(Int64Array::from(vec![i64::MAX, -i64::MAX, 0, 1])),
        ),
    ])?;
    unload(&scene, "numbers", &rows, "", "")?.success()?;
    let types: Vec<String> = types(&scene, "numbers")?
        .into_iter()
        .map(|(_, ty)| ty)
        .collect();
    assert_eq!(
        types,
        [
            "BIGINT",
            "DOUBLE",
            "FLOAT",
            "SMALLINT",
            "INT",
            "BIGINT",
            "DECIMAL(20,0)",
            "BIGINT"
        ]
    );
    let found = scene.read("numbers", None)?;
    assert_eq!(column(&found, "double"), ["nan", "inf", "-0.0", "5e-324"]);
    assert_eq!(
        column(&found, "float"),
        ["-inf", "nan", "3.4028234663852886e+38", "-0.0"]
    );
    assert_eq!(column(&found, "u8"), ["0", "255", "1", "2"]);
    assert_eq!(column(&found, "u32"), ["0", "4294967295", "1", "2"]);
    assert_eq!(
        column(&found, "u64"),
        ["0", "18446744073709551615", "1", "2"]
    );
    assert_eq!(
        column(&found, "i64"),
        ["9223372036854775807", "-9223372036854775807", "0", "1"]
    );

    // The one 64-bit number that BIGINT has not.
    let smallest = batch(vec![("i64", Arc::new(Int64Array::from(vec![i64::MIN])))])?;
    let refused = unload(&scene, "smallest", &smallest, "", "")?;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.stderr.contains("-9223372036854775808"),
        "{refused:?}"
    );
    Ok(())
}

/// D3: a key of unsigned 64-bit numbers, which is a DECIMAL key.
#[test]
fn unsigned_numbers_as_primary_key() -> Result<()> {
    let scene = Scene::new()?;
    let keys = UInt64Array::from(vec![0, u64::MAX, 1 << 63, 7]);
    let rows = batch(vec![
        ("k", Arc::new(keys)),
        ("v", Arc::new(StringArray::from(vec!["a", "b", "c", "d"]))),
    ])?;
    unload(&scene, "keyed", &rows, "  primary-key: [k]\n", "")?.success()?;
    assert!(types(&scene, "keyed")?.contains(&("k".to_owned(), "DECIMAL(20,0)".to_owned())));
    let found = scene.read("keyed", None)?;
    assert_eq!(
        column(&found, "k"),
        ["0", "18446744073709551615", "9223372036854775808", "7"]
    );
    Ok(())
}

#[test]
fn times_of_day_are_text_on_every_level() -> Result<()> {
    let scene = Scene::new()?;
    let time =
        |values: Vec<Option<i64>>| Arc::new(Time64MicrosecondArray::from(values)) as ArrayRef;
    let noon = 12 * 3_600_000_000_i64;
    let list_field = Arc::new(Field::new(
        "item",
        DataType::Time64(arrow_schema::TimeUnit::Microsecond),
        true,
    ));
    let list = ListArray::new(
        list_field,
        arrow_array_offsets(&[0, 2, 2]),
        time(vec![Some(12_345), None]),
        None,
    );
    let structure = StructArray::from(vec![(
        Arc::new(Field::new(
            "at",
            DataType::Time32(arrow_schema::TimeUnit::Second),
            true,
        )),
        Arc::new(Time32SecondArray::from(vec![86_399, 0])) as ArrayRef,
    )]);
    let rows = batch(vec![
        ("t", time(vec![Some(noon + 1), Some(0)])),
        ("list", Arc::new(list)),
        ("structure", Arc::new(structure)),
    ])?;
    unload(&scene, "times", &rows, "", "")?.success()?;
    assert_eq!(
        types(&scene, "times")?
            .into_iter()
            .map(|(_, ty)| ty)
            .collect::<Vec<_>>(),
        ["BIGINT", "STRING", "ARRAY<STRING>", "STRUCT<AT:STRING>"]
    );
    let found = scene.read("times", None)?;
    assert_eq!(column(&found, "t"), ["12:00:00.000001", "00:00:00.000000"]);
    assert_eq!(
        column(&found, "list"),
        [json!(["00:00:00.012345", null]), json!([])]
    );
    assert_eq!(
        column(&found, "structure"),
        [json!({"at": "23:59:59"}), json!({"at": "00:00:00"})]
    );
    Ok(())
}

fn arrow_array_offsets(offsets: &[i32]) -> arrow_buffer::OffsetBuffer<i32> {
    arrow_buffer::OffsetBuffer::new(offsets.to_vec().into())
}

#[test]
fn every_layout_of_texts_bytes_and_lists() -> Result<()> {
    let scene = Scene::new()?;
    let texts = [Some("杭州"), Some(""), None];
    let bytes = [Some(&b"\x00\xff"[..]), Some(&b""[..]), None];
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("");
    map.values().append_null();
    map.append(true)?;
    map.append(true)?;
    map.append(false)?;
    let lists = [Some(vec![Some(1), None]), Some(vec![]), None];
    let pairs = [Some(vec![Some(1), None]), Some(vec![None, Some(2)]), None];
    let dictionary: DictionaryArray<Int8Type> = texts.into_iter().collect();
    let mut list_of_texts = ListBuilder::new(StringBuilder::new());
    list_of_texts.append_value([Some(""), None]);
    list_of_texts.append_value(Vec::<Option<&str>>::new());
    list_of_texts.append_null();
    let rows = batch(vec![
        ("utf8", Arc::new(StringArray::from_iter(texts))),
        ("large_utf8", Arc::new(LargeStringArray::from_iter(texts))),
        ("utf8_view", Arc::new(StringViewArray::from_iter(texts))),
        ("dictionary", Arc::new(dictionary)),
        ("binary", Arc::new(BinaryArray::from_iter(bytes))),
        ("large_binary", Arc::new(LargeBinaryArray::from_iter(bytes))),
        ("binary_view", Arc::new(BinaryViewArray::from_iter(bytes))),
        (
            "fixed_binary",
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                [Some([1_u8, 2]), Some([0, 0]), None].into_iter(),
                2,
            )?),
        ),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
                lists.clone(),
            )),
        ),
        (
            "large_list",
            Arc::new(LargeListArray::from_iter_primitive::<Int32Type, _, _>(
                lists,
            )),
        ),
        (
            "fixed_list",
            Arc::new(FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
                pairs, 2,
            )),
        ),
        ("list_of_texts", Arc::new(list_of_texts.finish())),
        ("map", Arc::new(map.finish())),
        (
            "int",
            Arc::new(Int32Array::from(vec![Some(0), None, Some(1)])),
        ),
    ])?;
    unload(&scene, "layouts", &rows, "", "")?.success()?;
    let found = scene.read("layouts", None)?;
    for name in ["utf8", "large_utf8", "utf8_view", "dictionary"] {
        assert_eq!(
            column(&found, name),
            [json!("杭州"), json!(""), json!(null)],
            "{name}"
        );
    }
    for name in ["binary", "large_binary", "binary_view"] {
        assert_eq!(
            column(&found, name),
            [json!("00ff"), json!(""), json!(null)],
            "{name}"
        );
    }
    assert_eq!(
        column(&found, "fixed_binary"),
        [json!("0102"), json!("0000"), json!(null)]
    );
    for name in ["list", "large_list"] {
        assert_eq!(
            column(&found, name),
            [json!(["1", null]), json!([]), json!(null)],
            "{name}"
        );
    }
    assert_eq!(
        column(&found, "fixed_list"),
        [json!(["1", null]), json!([null, "2"]), json!(null)]
    );
    assert_eq!(
        column(&found, "list_of_texts"),
        [json!(["", null]), json!([]), json!(null)]
    );
    assert_eq!(
        column(&found, "map"),
        [json!([["", null]]), json!([]), json!(null)]
    );
    assert_eq!(column(&found, "int"), [json!("0"), json!(null), json!("1")]);
    Ok(())
}

#[test]
fn the_first_and_the_last_day_and_no_day_beyond() -> Result<()> {
    let scene = Scene::new()?;
    const FIRST_US: i64 = -62_135_596_800_000_000;
    const LAST_US: i64 = 253_402_300_799_999_999;
    let moments = |values: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(values));
    let values = vec![FIRST_US, LAST_US, -1];
    let rows = batch(vec![
        ("wall_clock", moments(values.clone())),
        (
            "instant",
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("Asia/Shanghai")),
        ),
        (
            "day",
            Arc::new(Date32Array::from(vec![-719_162, 2_932_896, -1])),
        ),
    ])?;
    unload(&scene, "calendar", &rows, "", "")?.success()?;
    let shown = scene.server.inspect(&["show", "calendar"])?.to_string();
    for text in [
        "0001-01-01 00:00:00",
        "9999-12-31 23:59:59.999999",
        "1969-12-31 23:59:59.999999",
        "0001-01-01",
        "9999-12-31",
        "1969-12-31",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let beyond = batch(vec![
        ("wall_clock", moments(vec![FIRST_US - 1, LAST_US + 1])),
        ("day", Arc::new(Date32Array::from(vec![0, 2_932_897]))),
    ])?;
    let run = unload(
        &scene,
        "beyond",
        &beyond,
        "",
        "  on-bad-value: dead-letter\n",
    )?;
    assert_eq!(run.code, 10, "{run:?}");
    assert!(run.stdout.contains("kept aside: 2 rows"), "{run:?}");
    assert_eq!(scene.read("beyond", None)?.len(), 0);
    Ok(())
}

#[test]
fn a_field_holds_eight_mebibytes_and_not_a_byte_more() -> Result<()> {
    const LIMIT: usize = 8 << 20;
    let scene = Scene::new()?;
    let texts = ["x".repeat(LIMIT), "y".repeat(LIMIT + 1)];
    let rows = batch(vec![(
        "text",
        Arc::new(StringArray::from_iter_values(&texts)),
    )])?;
    let refused = unload(&scene, "strict", &rows, "", "")?;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("8388609 bytes"), "{refused:?}");
    let run = unload(&scene, "lenient", &rows, "", "  on-bad-value: null\n")?.success()?;
    assert!(run.stdout.contains("1 values"), "{run:?}");
    let found = scene.read("lenient", None)?;
    assert_eq!(found[0]["text"].as_str().map(str::len), Some(LIMIT));
    assert_eq!(found[1]["text"], Value::Null);
    Ok(())
}

#[test]
fn lengths_are_kept_or_left_out_and_instants_become_what_is_asked_for() -> Result<()> {
    let scene = Scene::new()?;
    let typed = |name: &str, ty: &str| {
        Field::new(name, DataType::Utf8, true)
            .with_metadata([("longshore.type".to_owned(), ty.to_owned())].into())
    };
    let moment = DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, Some("UTC".into()));
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        typed("c", "CHAR(3)"),
        typed("v", "VARCHAR(5)"),
        Field::new("at", moment, true),
    ]);
    let rows = RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(Int64Array::from(vec![1])),
            Arc::new(StringArray::from(vec!["abc"])),
            Arc::new(StringArray::from(vec!["杭州市"])),
            Arc::new(arrow_array::TimestampMillisecondArray::from(vec![-1]).with_timezone("UTC")),
        ],
    )?;
    for (table, sink, expected) in [
        ("kept", "", ["BIGINT", "CHAR(3)", "VARCHAR(5)", "TIMESTAMP"]),
        (
            "left_out",
            "  char-as: string\n  timestamp-as: datetime\n",
            ["BIGINT", "STRING", "STRING", "DATETIME"],
        ),
    ] {
        unload(&scene, table, &rows, "", sink)?.success()?;
        let found: Vec<String> = types(&scene, table)?
            .into_iter()
            .map(|(_, ty)| ty)
            .collect();
        assert_eq!(found, expected);
        let found = scene.read(table, None)?;
        assert_eq!(column(&found, "c"), ["abc"]);
        assert_eq!(column(&found, "v"), ["杭州市"]);
        let at = found[0]["at"].as_str().context("a moment")?;
        assert!(at.starts_with("1969-12-31T23:59:59.999"), "{at}");
    }
    Ok(())
}
