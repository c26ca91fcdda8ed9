//! Arrow columns into columns of another type: exact, or refused.

use std::sync::Arc;

use arrow_array::*;
use longshore_core::record::{RecordStream, RowEncoder};
use longshore_core::schema::{Column, source_columns};
use longshore_core::types::OdpsType;

use crate::support::{Value, batch, columns, decode, encode, encoder};

/// The only value of a one-row batch, as the service reads it.
fn convert(array: impl Array + 'static, target: &str) -> Result<Value, String> {
    let target: OdpsType = target.parse().unwrap();
    let batch = batch(1, vec![Arc::new(array)]);
    RowEncoder::new(
        &batch.schema(),
        &columns(std::slice::from_ref(&target)),
        &[Some(0)],
    )
    .map_err(|mismatch| format!("schema: {mismatch}"))?;
    let types = [target];
    let stream = encode(&batch, &types).map_err(|error| error.to_string())?;
    Ok(decode::decode(&stream, &types)
        .unwrap()
        .rows
        .remove(0)
        .remove(0))
}

fn decimal(unscaled: i128, precision: u8, scale: i8) -> Decimal128Array {
    Decimal128Array::from(vec![unscaled])
        .with_precision_and_scale(precision, scale)
        .unwrap()
}

fn refused(result: Result<Value, String>, part: &str) {
    let error = result.unwrap_err();
    assert!(error.contains(part), "{error}");
}

#[test]
fn integers() {
    assert_eq!(
        convert(Int16Array::from(vec![-7]), "bigint"),
        Ok(Value::Integer(-7))
    );
    assert_eq!(
        convert(Int64Array::from(vec![127]), "tinyint"),
        Ok(Value::Integer(127))
    );
    refused(
        convert(Int64Array::from(vec![128]), "tinyint"),
        "128 is outside of -128 to 127",
    );
    refused(
        convert(UInt64Array::from(vec![u64::MAX]), "bigint"),
        "18446744073709551615",
    );
    assert_eq!(
        convert(UInt64Array::from(vec![u64::MAX]), "decimal(20,0)"),
        Ok(Value::text("18446744073709551615"))
    );
    assert_eq!(
        convert(Int32Array::from(vec![-5]), "decimal(10,2)"),
        Ok(Value::text("-5"))
    );
    refused(
        convert(Int32Array::from(vec![100]), "decimal(4,2)"),
        "100 does not fit DECIMAL(4,2)",
    );
    assert_eq!(convert(decimal(500, 10, 2), "int"), Ok(Value::Integer(5)));
    refused(convert(decimal(501, 10, 2), "int"), "5.01");
    assert_eq!(
        convert(Int64Array::from(vec![1 << 53]), "double"),
        Ok(Value::Double(9_007_199_254_740_992_f64.to_bits()))
    );
    refused(
        convert(Int64Array::from(vec![(1 << 53) + 1]), "double"),
        "no exact DOUBLE",
    );
    refused(convert(Float64Array::from(vec![1.0]), "bigint"), "schema:");
}

#[test]
fn decimals() {
    assert_eq!(
        convert(decimal(1_250, 10, 3), "decimal(10,2)"),
        Ok(Value::text("1.25"))
    );
    refused(
        convert(decimal(1_255, 10, 3), "decimal(10,2)"),
        "1.255 does not fit DECIMAL(10,2) exactly",
    );
    assert_eq!(
        convert(decimal(3, 10, -2), "decimal(10,2)"),
        Ok(Value::text("300"))
    );
    assert_eq!(
        convert(decimal(10_i128.pow(37), 38, 0), "decimal(38,0)"),
        Ok(Value::text(&format!("1{}", "0".repeat(37))))
    );
    refused(
        convert(decimal(10_i128.pow(37), 38, 0), "decimal(38,2)"),
        "does not fit",
    );
    refused(convert(decimal(99_999, 5, 0), "decimal(4,0)"), "99999");
    let wide = Decimal256Array::from(vec![arrow_buffer::i256::from_i128(-125)])
        .with_precision_and_scale(70, 2)
        .unwrap();
    assert_eq!(convert(wide, "decimal(10,2)"), Ok(Value::text("-1.25")));
}

#[test]
fn floats() {
    for value in [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        f64::MIN_POSITIVE / 2.0,
    ] {
        assert_eq!(
            convert(Float64Array::from(vec![value]), "double"),
            Ok(Value::Double(value.to_bits()))
        );
    }
    assert_eq!(
        convert(Float32Array::from(vec![0.1]), "double"),
        Ok(Value::Double(f64::from(0.1_f32).to_bits()))
    );
    refused(convert(Float64Array::from(vec![0.5]), "float"), "schema:");
}

#[test]
fn text() {
    assert_eq!(
        convert(LargeStringArray::from(vec!["中文"]), "char(2)"),
        Ok(Value::text("中文"))
    );
    refused(
        convert(StringViewArray::from(vec!["中文字"]), "varchar(2)"),
        "3 characters, the column takes 2",
    );
    assert_eq!(
        convert(StringArray::from(vec![r#"{"a": [1, null]}"#]), "json"),
        Ok(Value::text(r#"{"a": [1, null]}"#))
    );
    refused(
        convert(StringArray::from(vec!["{a: 1}"]), "json"),
        "not valid JSON",
    );
    refused(
        convert(StringArray::from(vec![""]), "json"),
        "not valid JSON",
    );
    assert_eq!(
        convert(Int64Array::from(vec![-42]), "string"),
        Ok(Value::text("-42"))
    );
    assert_eq!(
        convert(decimal(120, 10, 2), "string"),
        Ok(Value::text("1.2"))
    );
    assert_eq!(
        convert(BooleanArray::from(vec![true]), "string"),
        Ok(Value::text("true"))
    );
    assert_eq!(
        convert(Date32Array::from(vec![19_889]), "string"),
        Ok(Value::text("2024-06-15"))
    );
    assert_eq!(
        convert(StringArray::from(vec!["ab"]), "binary"),
        Ok(Value::text("ab"))
    );
    refused(
        convert(BinaryArray::from(vec![&b"ab"[..]]), "string"),
        "schema:",
    );
    refused(convert(StringArray::from(vec!["1"]), "bigint"), "schema:");
}

#[test]
fn times_of_day_always_have_seconds() {
    assert_eq!(
        convert(Time32SecondArray::from(vec![1_200]), "string"),
        Ok(Value::text("00:20:00"))
    );
    assert_eq!(
        convert(Time32MillisecondArray::from(vec![86_399_999]), "string"),
        Ok(Value::text("23:59:59.999"))
    );
    assert_eq!(
        convert(Time64MicrosecondArray::from(vec![34_567]), "string"),
        Ok(Value::text("00:00:00.034567"))
    );
    assert_eq!(
        convert(Time64NanosecondArray::from(vec![1]), "string"),
        Ok(Value::text("00:00:00.000000001"))
    );
    refused(
        convert(Time32SecondArray::from(vec![86_400]), "string"),
        "not a time of day",
    );
    refused(
        convert(Time32SecondArray::from(vec![-1]), "string"),
        "not a time of day",
    );
}

#[test]
fn times_of_day_are_the_same_inside_containers() {
    // 00:20:34.567, as a scalar and as the element of a list.
    let time = || Time32MillisecondArray::from(vec![1_234_567]);
    let text = Value::text("00:20:34.567");
    assert_eq!(convert(time(), "string"), Ok(text.clone()));
    let field = Arc::new(arrow_schema::Field::new(
        "item",
        time().data_type().clone(),
        true,
    ));
    let offsets = arrow_buffer::OffsetBuffer::from_lengths([1]);
    let list = ListArray::new(field, offsets, Arc::new(time()), None);
    assert_eq!(
        convert(list, "array<string>"),
        Ok(Value::List(vec![text.clone()]))
    );
    let entries = StructArray::from(vec![
        (
            Arc::new(arrow_schema::Field::new(
                "key",
                arrow_schema::DataType::Utf8,
                false,
            )),
            Arc::new(StringArray::from(vec!["k"])) as ArrayRef,
        ),
        (
            Arc::new(arrow_schema::Field::new(
                "value",
                time().data_type().clone(),
                true,
            )),
            Arc::new(time()) as ArrayRef,
        ),
    ]);
    let field = Arc::new(arrow_schema::Field::new(
        "entries",
        entries.data_type().clone(),
        false,
    ));
    let offsets = arrow_buffer::OffsetBuffer::from_lengths([1]);
    let map = MapArray::new(field, offsets, entries, None, false);
    assert_eq!(
        convert(map, "map<string,string>"),
        Ok(Value::Map(vec![(Value::text("k"), text)]))
    );
}

#[test]
fn points_in_time() {
    assert_eq!(
        convert(TimestampMicrosecondArray::from(vec![-1]), "timestamp_ntz"),
        Ok(Value::Time(-1, 999_999_000))
    );
    assert_eq!(
        convert(TimestampMicrosecondArray::from(vec![-1_000]), "datetime"),
        Ok(Value::Integer(-1))
    );
    refused(
        convert(TimestampMicrosecondArray::from(vec![1]), "datetime"),
        "1000 nanoseconds",
    );
    assert_eq!(
        convert(TimestampSecondArray::from(vec![86_400]), "date"),
        Ok(Value::Integer(1))
    );
    refused(
        convert(TimestampSecondArray::from(vec![86_401]), "date"),
        "time of day",
    );
    assert_eq!(
        convert(Date32Array::from(vec![-1]), "timestamp"),
        Ok(Value::Time(-86_400, 0))
    );
    assert_eq!(
        convert(Date64Array::from(vec![-86_400_000]), "date"),
        Ok(Value::Integer(-1))
    );
    refused(convert(Date64Array::from(vec![1]), "date"), "time of day");
}

#[test]
fn years_outside_of_1_to_9999() {
    let (first, last) = (-62_135_596_800, 253_402_300_799);
    for target in ["timestamp", "timestamp_ntz"] {
        assert_eq!(
            convert(TimestampSecondArray::from(vec![first]), target),
            Ok(Value::Time(first, 0))
        );
        assert_eq!(
            convert(TimestampSecondArray::from(vec![last]), target),
            Ok(Value::Time(last, 0))
        );
    }
    for target in ["timestamp", "timestamp_ntz", "datetime"] {
        for wrong in [first - 1, last + 1, i64::MIN, i64::MAX] {
            refused(
                convert(TimestampSecondArray::from(vec![wrong]), target),
                "years 0001 to 9999",
            );
        }
    }
    assert_eq!(
        convert(Date32Array::from(vec![2_932_896]), "date"),
        Ok(Value::Integer(2_932_896))
    );
    for wrong in [-719_163, 2_932_897, i32::MIN, i32::MAX] {
        refused(
            convert(Date32Array::from(vec![wrong]), "date"),
            "years 0001 to 9999",
        );
        refused(
            convert(Date32Array::from(vec![wrong]), "datetime"),
            "years 0001 to 9999",
        );
    }
}

#[test]
fn dictionaries_read_as_their_values() {
    let array: DictionaryArray<types::UInt8Type> = [Some("b"), None, Some("a"), Some("b")]
        .into_iter()
        .collect();
    let batch = batch(4, vec![Arc::new(array)]);
    let rows = decode::decode(
        &encode(&batch, &[OdpsType::String]).unwrap(),
        &[OdpsType::String],
    )
    .unwrap()
    .rows;
    let expected = [
        Value::text("b"),
        Value::Null,
        Value::text("a"),
        Value::text("b"),
    ];
    assert_eq!(rows.concat(), expected);
    let empty: DictionaryArray<types::Int32Type> = [None::<&str>, None].into_iter().collect();
    let batch = crate::support::batch(2, vec![Arc::new(empty)]);
    assert!(encode(&batch, &[OdpsType::String]).is_ok());
    refused(
        convert(
            [Some("1")]
                .into_iter()
                .collect::<DictionaryArray<types::Int32Type>>(),
            "bigint",
        ),
        "schema:",
    );
}

#[test]
fn the_field_size_limit_is_in_bytes() {
    let batch = batch(
        1,
        vec![Arc::new(StringArray::from(vec!["中中中"])) as ArrayRef],
    );
    let fits = encoder(&batch, &[OdpsType::String]).max_field_size(9);
    assert!(
        fits.bind(&batch)
            .unwrap()
            .encode(0, &mut RecordStream::new())
            .is_ok()
    );
    let small = encoder(&batch, &[OdpsType::String]).max_field_size(8);
    let error = small
        .bind(&batch)
        .unwrap()
        .encode(0, &mut RecordStream::new())
        .unwrap_err();
    assert!(error.reason.contains("9 bytes"), "{error}");
    let long = StringArray::from(vec!["x".repeat(8 * 1024 * 1024 + 1)]);
    refused(convert(long, "string"), "8388609 bytes");
}

#[test]
fn a_refused_row_leaves_the_stream_as_it_was() {
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(StringArray::from(vec!["a", "too long", "c"])),
    ];
    let types = [OdpsType::BigInt, OdpsType::Varchar(3)];
    let all = batch(3, arrays);
    let encoder = encoder(&all, &types);
    let rows = encoder.bind(&all).unwrap();
    let mut stream = RecordStream::new();
    rows.encode(0, &mut stream).unwrap();
    let before = stream.bytes().to_vec();
    assert_eq!(rows.encode(1, &mut stream).unwrap_err().column, "c1");
    assert_eq!(stream.bytes(), before);
    rows.encode(2, &mut stream).unwrap();
    assert_eq!(
        rows.encode(3, &mut stream).unwrap_err().reason,
        "there is no row 3 in a batch of 3"
    );
    stream.finish();
    assert_eq!(
        decode::decode(stream.bytes(), &types).unwrap().rows.len(),
        2
    );
    // The same memory carries the next stream.
    stream.clear();
    rows.encode(0, &mut stream).unwrap();
    assert_eq!(stream.bytes(), before);
}

#[test]
fn columns_meet_by_name_and_missing_ones_are_null() {
    let batch = batch(1, vec![Arc::new(Int64Array::from(vec![5])) as ArrayRef]);
    let target = [
        Column::new("extra", OdpsType::String),
        Column::new("C0", OdpsType::BigInt),
    ];
    let sources = source_columns(&target, &batch.schema());
    assert_eq!(sources, [None, Some(0)]);
    let encoder = RowEncoder::new(&batch.schema(), &target, &sources).unwrap();
    let mut stream = RecordStream::new();
    encoder
        .bind(&batch)
        .unwrap()
        .encode(0, &mut stream)
        .unwrap();
    stream.finish();
    let rows = decode::decode(stream.bytes(), &[OdpsType::String, OdpsType::BigInt])
        .unwrap()
        .rows;
    assert_eq!(rows, [[Value::Null, Value::Integer(5)]]);

    let strict = [target[0].clone().not_null(), target[1].clone()];
    let mismatch = RowEncoder::new(&batch.schema(), &strict, &sources).unwrap_err();
    assert_eq!(mismatch.column.as_deref(), Some("extra"));
}

#[test]
fn null_in_a_not_null_column() {
    let batch = batch(1, vec![Arc::new(Int64Array::from(vec![None])) as ArrayRef]);
    let target = [Column::new("c0", OdpsType::BigInt).not_null()];
    let encoder = RowEncoder::new(&batch.schema(), &target, &[Some(0)]).unwrap();
    let error = encoder
        .bind(&batch)
        .unwrap()
        .encode(0, &mut RecordStream::new())
        .unwrap_err();
    assert!(error.to_string().contains("NOT NULL"), "{error}");
}

#[test]
fn struct_fields_meet_by_name() {
    let structs = StructArray::from(vec![(
        Arc::new(arrow_schema::Field::new(
            "B",
            arrow_schema::DataType::Int32,
            true,
        )),
        Arc::new(Int32Array::from(vec![7])) as ArrayRef,
    )]);
    assert_eq!(
        convert(structs.clone(), "struct<a:string,b:bigint>"),
        Ok(Value::Struct(vec![Value::Null, Value::Integer(7)]))
    );
    refused(convert(structs.clone(), "struct<a:string>"), "no field `B`");
    refused(
        convert(structs, "struct<b:tinyint,c:int>")
            .map(|_| Value::Null)
            .and(Err("nothing".into())),
        "nothing",
    );
}

#[test]
fn a_value_inside_a_container_is_named_by_its_place() {
    let list =
        ListArray::from_iter_primitive::<types::Int64Type, _, _>([Some([Some(1), Some(300)])]);
    refused(convert(list, "array<tinyint>"), "element 1: 300");
}

#[test]
fn sliced_arrays_keep_their_offsets() {
    let list = ListArray::from_iter_primitive::<types::Int64Type, _, _>([
        Some(vec![Some(1)]),
        None,
        Some(vec![Some(2), None]),
        Some(vec![]),
    ]);
    let fixed = FixedSizeListArray::from_iter_primitive::<types::Int32Type, _, _>(
        [
            Some([Some(1), Some(2)]),
            Some([Some(3), Some(4)]),
            None,
            Some([Some(5), None]),
        ],
        2,
    );
    let whole = batch(4, vec![Arc::new(list), Arc::new(fixed)]);
    let types = ["array<bigint>", "array<bigint>"].map(|text| text.parse().unwrap());
    let rows = |batch: &RecordBatch| {
        decode::decode(&encode(batch, &types).unwrap(), &types)
            .unwrap()
            .rows
    };
    let all = rows(&whole);
    assert_eq!(all[3][1], Value::List(vec![Value::Integer(5), Value::Null]));
    for start in 0..4 {
        assert_eq!(rows(&whole.slice(start, 4 - start)), all[start..]);
    }
}
