//! Streams written by the official clients: each is read, compared value by value, and written again byte by
//! byte. The hashes of the official clients are recomputed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails here says where"
)]

use std::{io::Read as _, path::PathBuf, sync::Arc};

use arrow_array::{
    Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StructArray, cast::AsArray,
    types as arrow_types,
};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use longshore_emulator::{
    catalog::{ColumnType, SECONDS_NANOS},
    wire::{
        ArrowStreamReader, ArrowStreamWriter, BucketHasher, Compression, DecimalForm, HasherKind,
        RecordStreamReader, RecordStreamWriter, TimestampForm, WireColumn, WireErrorKind,
    },
};
use serde_json::{Value, json};

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

fn index() -> Vec<Value> {
    let text = std::fs::read_to_string(vectors().join("records/index.json")).unwrap();
    let index: Value = serde_json::from_str(&text).unwrap();
    index["vectors"].as_array().unwrap().clone()
}

fn bytes(file: &str) -> Vec<u8> {
    std::fs::read(vectors().join("records").join(file)).unwrap()
}

/// The stream without its compression.
fn plain(vector: &Value) -> Vec<u8> {
    let method =
        Compression::of_content(vector["content_encoding"].as_str().unwrap_or_default()).unwrap();
    let body = std::io::Cursor::new(bytes(vector["file"].as_str().unwrap()));
    let mut plain = Vec::new();
    Compression::reader(method, body)
        .unwrap()
        .read_to_end(&mut plain)
        .unwrap();
    plain
}

fn columns(vector: &Value) -> Vec<WireColumn> {
    let columns = vector["columns"].as_array().unwrap();
    columns
        .iter()
        .map(|column| {
            // CHAR is padded when it is read; the vectors hold it as clients write it.
            let ty = column["type"]
                .as_str()
                .unwrap()
                .replace("char(", "varchar(")
                .replace("varvar", "var");
            WireColumn::new(column["name"].as_str().unwrap(), ty.parse().unwrap())
        })
        .collect()
}

fn is_arrow(vector: &Value) -> bool {
    vector["encoding"] == "arrow-chunk-stream"
}

fn read_records(stream: &[u8], columns: &[WireColumn]) -> (Vec<RecordBatch>, Option<String>) {
    let mut reader = RecordStreamReader::new(stream, columns.to_vec());
    let mut batches = Vec::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        batches.push(batch);
    }
    (batches, reader.metrics().map(str::to_owned))
}

fn read_arrow(stream: &[u8], columns: &[WireColumn]) -> Vec<RecordBatch> {
    let mut reader = ArrowStreamReader::new(stream, columns.to_vec());
    let mut batches = Vec::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        batches.push(batch);
    }
    batches
}

fn rows(batches: &[RecordBatch], columns: &[WireColumn]) -> Vec<Value> {
    let row = |batch: &RecordBatch, row: usize| -> Value {
        columns
            .iter()
            .zip(batch.columns())
            .map(|(column, array)| cell(&column.ty, array, row))
            .collect()
    };
    batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(|at| row(batch, at)))
        .collect()
}

/// A value in the spelling of the vectors' index.
fn cell(ty: &ColumnType, array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    let list = |ty: &ColumnType, values: ArrayRef| -> Vec<Value> {
        (0..values.len()).map(|at| cell(ty, &values, at)).collect()
    };
    match ty {
        ColumnType::TinyInt => json!(array.as_primitive::<arrow_types::Int8Type>().value(row)),
        ColumnType::SmallInt => json!(array.as_primitive::<arrow_types::Int16Type>().value(row)),
        ColumnType::Int => json!(array.as_primitive::<arrow_types::Int32Type>().value(row)),
        ColumnType::BigInt => json!(array.as_primitive::<arrow_types::Int64Type>().value(row)),
        ColumnType::IntervalYearMonth => {
            json!({"months": array.as_primitive::<arrow_types::Int32Type>().value(row)})
        }
        ColumnType::Float => float(
            array
                .as_primitive::<arrow_types::Float32Type>()
                .value(row)
                .into(),
        ),
        ColumnType::Double => float(array.as_primitive::<arrow_types::Float64Type>().value(row)),
        ColumnType::Boolean => json!(array.as_boolean().value(row)),
        ColumnType::String | ColumnType::Varchar(_) | ColumnType::Char(_) => {
            json!(array.as_string::<i32>().value(row))
        }
        ColumnType::Json => {
            json_value(&serde_json::from_str(array.as_string::<i32>().value(row)).unwrap())
        }
        ColumnType::Binary => json!({"hex": hex::encode(array.as_binary::<i32>().value(row))}),
        ColumnType::Decimal { .. } | ColumnType::LegacyDecimal => {
            let text = array
                .as_primitive::<arrow_types::Decimal128Type>()
                .value_as_string(row);
            json!(if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            })
        }
        ColumnType::Date => {
            let days = array.as_primitive::<arrow_types::Date32Type>().value(row);
            json!(
                (NaiveDate::from_ymd_opt(1970, 1, 1).unwrap()
                    + chrono::Duration::days(days.into()))
                .to_string()
            )
        }
        ColumnType::Datetime => {
            let millis = array
                .as_primitive::<arrow_types::TimestampMillisecondType>()
                .value(row);
            moment(
                millis.div_euclid(1000),
                (millis.rem_euclid(1000) * 1_000_000) as u32,
            )
        }
        ColumnType::Timestamp | ColumnType::TimestampNtz => {
            let (seconds, nanos) = seconds_nanos(array, row);
            moment(seconds, nanos)
        }
        ColumnType::IntervalDayTime => {
            let (seconds, nanos) = seconds_nanos(array, row);
            let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
            let mut text = format!(
                "{days} days {:02}:{:02}:{:02}",
                rest / 3600,
                rest / 60 % 60,
                rest % 60
            );
            if nanos != 0 {
                text += &format!(".{nanos:09}");
            }
            json!(text)
        }
        ColumnType::Array(element) => json!(list(element, array.as_list::<i32>().value(row))),
        ColumnType::Map(key, value) => {
            let entries = array.as_map().value(row);
            let pairs = list(key, Arc::clone(entries.column(0))).into_iter();
            let pairs: Vec<Value> = pairs
                .zip(list(value, Arc::clone(entries.column(1))))
                .map(|(key, value)| json!([key, value]))
                .collect();
            json!({ "map": pairs })
        }
        ColumnType::Struct(fields) => {
            let all = array.as_struct();
            fields
                .iter()
                .zip(all.columns())
                .map(|((_, ty), child)| cell(ty, child, row))
                .collect()
        }
    }
}

/// The JSON parser may be off by the last bit; the bytes are compared exactly elsewhere.
fn float(value: f64) -> Value {
    if value.is_nan() {
        json!("nan")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "inf" } else { "-inf" })
    } else {
        json!(format!("{value:.12e}"))
    }
}

fn json_value(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            json!({"map": fields.iter().map(|(key, value)| json!([key, json_value(value)])).collect::<Vec<_>>()})
        }
        Value::Array(items) => items.iter().map(json_value).collect(),
        other => other.clone(),
    }
}

fn moment(seconds: i64, nanos: u32) -> Value {
    json!(
        DateTime::from_timestamp(seconds, nanos)
            .unwrap()
            .naive_utc()
            .to_string()
    )
}

fn seconds_nanos(array: &ArrayRef, row: usize) -> (i64, u32) {
    let both = array.as_struct();
    let nanos = both
        .column(1)
        .as_primitive::<arrow_types::Int32Type>()
        .value(row);
    (
        both.column(0)
            .as_primitive::<arrow_types::Int64Type>()
            .value(row),
        nanos.try_into().unwrap(),
    )
}

/// The index' values in the same spelling: moments are written with or without fraction there, structs of the
/// Arrow streams are objects.
fn wanted(ty: &ColumnType, value: &Value) -> Value {
    match (ty, value) {
        (_, Value::Null) => Value::Null,
        (ColumnType::Float | ColumnType::Double, Value::Number(number)) => {
            float(number.as_f64().unwrap())
        }
        (
            ColumnType::Datetime | ColumnType::Timestamp | ColumnType::TimestampNtz,
            Value::String(text),
        ) => {
            json!(
                NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
                    .unwrap()
                    .to_string()
            )
        }
        (ColumnType::Decimal { .. }, Value::String(text)) if text.contains('.') => {
            json!(text.trim_end_matches('0').trim_end_matches('.'))
        }
        (ColumnType::Array(element), Value::Array(items)) => {
            items.iter().map(|item| wanted(element, item)).collect()
        }
        (ColumnType::Map(key, item), map) => {
            // Arrow streams have the pairs without the word in front.
            let pairs = map.get("map").unwrap_or(map).as_array().unwrap().iter();
            let pairs: Vec<Value> = pairs
                .map(|pair| json!([wanted(key, &pair[0]), wanted(item, &pair[1])]))
                .collect();
            json!({ "map": pairs })
        }
        (ColumnType::Struct(fields), Value::Array(items)) => fields
            .iter()
            .zip(items)
            .map(|((_, ty), item)| wanted(ty, item))
            .collect(),
        (ColumnType::Struct(fields), Value::Object(object)) => fields
            .iter()
            .map(|(name, ty)| wanted(ty, &object[name]))
            .collect(),
        _ => value.clone(),
    }
}

fn check_rows(vector: &Value, batches: &[RecordBatch], columns: &[WireColumn]) {
    let file = &vector["file"];
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if let Some(expected) = vector["record_count"].as_u64() {
        assert_eq!(count as u64, expected, "{file}");
    }
    let Some(expected) = vector["rows"].as_array() else {
        return;
    };
    for (found, row) in rows(batches, columns).iter().zip(expected) {
        let row: Value = columns
            .iter()
            .zip(row.as_array().unwrap())
            .map(|(column, value)| wanted(&column.ty, value))
            .collect();
        assert_eq!(*found, row, "{file}");
    }
    assert_eq!(count, expected.len(), "{file}");
}

#[test]
fn record_streams_come_back_byte_by_byte() {
    let mut seen = 0;
    for vector in index()
        .iter()
        .filter(|vector| !is_arrow(vector) && vector["columns"].is_array())
    {
        let (columns, stream) = (columns(vector), plain(vector));
        let (batches, metrics) = read_records(&stream, &columns);
        check_rows(vector, &batches, &columns);
        let mut writer = RecordStreamWriter::new(columns);
        for batch in &batches {
            writer.write_batch(batch).unwrap();
        }
        let file = vector["file"].as_str().unwrap();
        // The C extension writes large checksums with ten bytes; its twin has them with five.
        let five_bytes = match vector["variant_of"].as_str() {
            Some(twin) if file.contains("cython") => bytes(twin),
            _ => stream,
        };
        assert_eq!(
            hex::encode(writer.finish(metrics.as_deref())),
            hex::encode(five_bytes),
            "{file}"
        );
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn compressed_bodies_hold_what_the_index_says() {
    for vector in index()
        .iter()
        .filter(|vector| vector["decompresses_to"].is_string())
    {
        assert_eq!(
            plain(vector),
            bytes(vector["decompresses_to"].as_str().unwrap()),
            "{}",
            vector["file"]
        );
    }
}

#[test]
fn arrow_streams_are_read_and_written() {
    for vector in index()
        .iter()
        .filter(|vector| is_arrow(vector) && vector["columns"].is_array())
    {
        let (columns, stream) = (columns(vector), plain(vector));
        let batches = read_arrow(&stream, &columns);
        check_rows(vector, &batches, &columns);
        let mut writer =
            ArrowStreamWriter::new(Vec::new(), columns.clone(), TimestampForm::Nanoseconds);
        for batch in &batches {
            writer.write_batch(batch).unwrap();
        }
        let again = read_arrow(&writer.finish().unwrap(), &columns);
        assert_eq!(again, batches, "{}", vector["file"]);
    }
}

#[test]
fn a_changed_byte_is_noticed() {
    for file in [
        "r01_int_string.bin",
        "r08_array.bin",
        "u01_upsert.bin",
        "a03_small_chunks.bin",
    ] {
        let vector = index()
            .into_iter()
            .find(|vector| vector["file"] == file)
            .unwrap();
        let (columns, stream) = (columns(&vector), bytes(file));
        for at in 0..stream.len() {
            let mut changed = stream.clone();
            changed[at] ^= 0x10;
            let error = if is_arrow(&vector) {
                let mut reader = ArrowStreamReader::new(changed.as_slice(), columns.clone());
                std::iter::from_fn(|| reader.next_batch().transpose()).find_map(Result::err)
            } else {
                let mut reader = RecordStreamReader::new(changed.as_slice(), columns.clone());
                std::iter::from_fn(|| reader.next_batch().transpose()).find_map(Result::err)
            };
            assert!(
                error.is_some(),
                "{file}: byte {at} was changed and nothing happened"
            );
        }
        let half = &stream[..stream.len() - 3];
        if !is_arrow(&vector) {
            let mut reader = RecordStreamReader::new(half, columns);
            let error = std::iter::from_fn(|| reader.next_batch().transpose())
                .find_map(Result::err)
                .unwrap();
            assert_eq!(error.kind(), WireErrorKind::Incomplete);
        }
    }
}

#[test]
fn hashes_of_the_official_clients() {
    let text = std::fs::read_to_string(vectors().join("upsert-hash-vectors.json")).unwrap();
    let all: Value = serde_json::from_str(&quote_values(&text)).unwrap();
    let kind = |vector: &Value| match vector["hasher"].as_str().unwrap() {
        "default" => HasherKind::Default,
        _ => HasherKind::Legacy,
    };
    let check = |vector: &Value, keys: &[(ColumnType, ArrayRef)]| {
        let fields = keys
            .iter()
            .enumerate()
            .map(|(at, (_, array))| (format!("k{at}"), Arc::clone(array)));
        let batch = RecordBatch::try_from_iter_with_nullable(
            fields.map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let columns = keys
            .iter()
            .enumerate()
            .map(|(at, (ty, _))| (at, WireColumn::new(format!("k{at}"), ty.clone())))
            .collect();
        let hasher = BucketHasher::new(kind(vector), columns);
        assert_eq!(
            json!(hasher.hashes(&batch).unwrap()[0]),
            vector["combined"],
            "{vector}"
        );
        for (count, bucket) in vector["bucket"].as_object().unwrap() {
            let found = hasher.buckets(&batch, count.parse().unwrap()).unwrap()[0];
            assert_eq!(json!(found), *bucket, "{vector}");
        }
    };
    let singles = all["single"].as_array().unwrap();
    for vector in singles {
        let ty: ColumnType = vector["type"].as_str().unwrap().parse().unwrap();
        check(vector, &[(ty.clone(), key(&ty, &vector["value"]))]);
    }
    let composites = all["composite"].as_array().unwrap();
    for vector in composites {
        let keys: Vec<_> = vector["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| {
                let ty: ColumnType = column["type"].as_str().unwrap().parse().unwrap();
                let array = key(&ty, &column["value"]);
                (ty, array)
            })
            .collect();
        check(vector, &keys);
    }
    assert_eq!((singles.len(), composites.len()), (384, 30));
}

/// Makes texts of the numbers that are key values: the JSON parser may be off by the last bit.
fn quote_values(json: &str) -> String {
    let mut parts = json.split("\"value\": ");
    let mut quoted = parts.next().unwrap().to_owned();
    for part in parts {
        let end = part
            .find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)))
            .unwrap();
        let (value, rest) = part.split_at(end);
        quoted += "\"value\": ";
        quoted += &if value.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            format!("\"{value}\"")
        } else {
            value.to_owned()
        };
        quoted += rest;
    }
    quoted
}

/// An array with one key value of the hash vectors.
fn key(ty: &ColumnType, value: &Value) -> ArrayRef {
    if value.is_null() {
        return arrow_array::new_null_array(&ty.arrow_type(), 1);
    }
    let text = || value.as_str().unwrap();
    let integer = || text().parse::<i64>().unwrap();
    let real = || text().parse::<f64>().unwrap();
    let time = || {
        let naive =
            NaiveDateTime::parse_from_str(text().trim_end_matches('Z'), "%Y-%m-%dT%H:%M:%S%.f")
                .unwrap();
        naive.and_utc()
    };
    let pair = |seconds: i64, nanos: i32| -> ArrayRef {
        let children: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![seconds])),
            Arc::new(Int32Array::from(vec![nanos])),
        ];
        Arc::new(StructArray::new(SECONDS_NANOS.clone(), children, None))
    };
    match ty {
        ColumnType::TinyInt => Arc::new(arrow_array::Int8Array::from(vec![integer() as i8])),
        ColumnType::SmallInt => Arc::new(arrow_array::Int16Array::from(vec![integer() as i16])),
        ColumnType::Int => Arc::new(Int32Array::from(vec![integer() as i32])),
        ColumnType::BigInt => Arc::new(Int64Array::from(vec![integer()])),
        ColumnType::Float => Arc::new(arrow_array::Float32Array::from(vec![real() as f32])),
        ColumnType::Double => Arc::new(arrow_array::Float64Array::from(vec![real()])),
        ColumnType::Boolean => Arc::new(arrow_array::BooleanArray::from(vec![
            value.as_bool().unwrap(),
        ])),
        ColumnType::Binary => {
            let bytes = hex::decode(text()).unwrap();
            Arc::new(arrow_array::BinaryArray::from(vec![bytes.as_slice()]))
        }
        ColumnType::Date => {
            let day: NaiveDate = text().parse().unwrap();
            let days = (day - NaiveDate::from_ymd_opt(1970, 1, 1).unwrap()).num_days();
            Arc::new(arrow_array::Date32Array::from(vec![days as i32]))
        }
        ColumnType::Datetime => Arc::new(arrow_array::TimestampMillisecondArray::from(vec![
            time().timestamp_millis(),
        ])),
        ColumnType::Timestamp | ColumnType::TimestampNtz => {
            pair(time().timestamp(), time().timestamp_subsec_nanos() as i32)
        }
        ColumnType::IntervalDayTime => {
            let (seconds, nanos) = text().split_once(',').unwrap();
            pair(seconds.parse().unwrap(), nanos.parse().unwrap())
        }
        ColumnType::Decimal { precision, scale } => {
            let array = arrow_array::Decimal128Array::from(vec![rounded(text(), *scale)]);
            Arc::new(
                array
                    .with_precision_and_scale(*precision, *scale as i8)
                    .unwrap(),
            )
        }
        _ => Arc::new(arrow_array::StringArray::from(vec![text()])),
    }
}

/// Decimal text as the clients' hashers see it: rounded half away from zero at the column's scale.
fn rounded(text: &str, scale: u8) -> i128 {
    let (negative, digits) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = digits.split_once('E').unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap();
    // The point moves into zeros on either side.
    let padding = "0".repeat(40);
    let all = format!("{padding}{whole}{fraction}{padding}");
    let point = (40 + whole.len() as i32 + exponent) as usize;
    let (whole, fraction) = all.split_at(point);
    let kept: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(scale.into())
        .collect();
    let mut value: i128 = format!("{whole}{kept}").parse().unwrap();
    if fraction
        .as_bytes()
        .get(usize::from(scale))
        .is_some_and(|digit| *digit >= b'5')
    {
        value += 1;
    }
    if negative { -value } else { value }
}

/// Prints how fast one core reads and writes narrow rows; run it with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn speed_of_narrow_rows() {
    let columns: Vec<WireColumn> = [
        ("id", "bigint"),
        ("name", "string"),
        ("amount", "decimal(18,2)"),
        ("at", "datetime"),
        ("flag", "boolean"),
        ("ratio", "double"),
    ]
    .into_iter()
    .map(|(name, ty)| WireColumn::new(name, ty.parse().unwrap()))
    .collect();
    let rows = 8192i64;
    let amounts =
        arrow_array::Decimal128Array::from_iter_values((0..rows).map(|row| i128::from(row) * 7919));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(
            (0..rows).map(|row| row * 1_000_003),
        )),
        Arc::new(arrow_array::StringArray::from_iter_values(
            (0..rows).map(|row| format!("customer {row}")),
        )),
        Arc::new(amounts.with_precision_and_scale(18, 2).unwrap()),
        Arc::new(arrow_array::TimestampMillisecondArray::from_iter_values(
            (0..rows).map(|row| 1_700_000_000_000 + row),
        )),
        Arc::new(
            (0..rows)
                .map(|row| Some(row % 2 == 0))
                .collect::<arrow_array::BooleanArray>(),
        ),
        Arc::new(arrow_array::Float64Array::from_iter_values(
            (0..rows).map(|row| row as f64 / 3.0),
        )),
    ];
    let batch = RecordBatch::try_new(WireColumn::schema(&columns), arrays).unwrap();
    let start = std::time::Instant::now();
    let mut writer = RecordStreamWriter::new(columns.clone());
    for _ in 0..122 {
        writer.write_batch(&batch).unwrap();
    }
    let stream = writer.finish(None);
    let written = start.elapsed();
    let start = std::time::Instant::now();
    let mut reader = RecordStreamReader::new(stream.as_slice(), columns);
    while reader.next_batch().unwrap().is_some() {}
    let read = start.elapsed();
    let rate = |elapsed: std::time::Duration| reader.rows() as f64 / elapsed.as_secs_f64();
    println!(
        "{} rows, {} bytes: written {:.0} rows/s, read {:.0} rows/s",
        reader.rows(),
        stream.len(),
        rate(written),
        rate(read)
    );
}

/// Python carries DECIMAL without precision in 256 bits; nothing in the stream says so.
#[test]
fn wide_decimals_are_read_and_written() {
    let ty: ColumnType = "array<decimal>".parse().unwrap();
    let columns = vec![
        WireColumn::new("d", ColumnType::LegacyDecimal),
        WireColumn::new("many", ty),
    ];
    let decimals = |values: &[Option<i128>]| -> arrow_array::Decimal128Array {
        let values: arrow_array::Decimal128Array = values.iter().copied().collect();
        values.with_precision_and_scale(38, 18).unwrap()
    };
    let largest = 10_i128.pow(38) - 1;
    let many = arrow_array::ListArray::new(
        Arc::new(arrow_schema::Field::new(
            "element",
            arrow_schema::DataType::Decimal128(38, 18),
            true,
        )),
        arrow_buffer::OffsetBuffer::from_lengths([2, 0, 1]),
        Arc::new(decimals(&[Some(-1), None, Some(-largest)])),
        None,
    );
    let batch = RecordBatch::try_new(
        WireColumn::schema(&columns),
        vec![
            Arc::new(decimals(&[Some(largest), None, Some(-5)])),
            Arc::new(many),
        ],
    )
    .unwrap();
    let written = |form: DecimalForm| {
        let writer =
            ArrowStreamWriter::new(Vec::new(), columns.clone(), TimestampForm::Nanoseconds);
        let mut writer = writer.decimals(form);
        writer.write_batch(&batch).unwrap();
        writer.finish().unwrap()
    };
    let (narrow, wide) = (written(DecimalForm::Narrow), written(DecimalForm::Wide));
    assert!(wide.len() > narrow.len());
    for (stream, form) in [(narrow, DecimalForm::Narrow), (wide, DecimalForm::Wide)] {
        let reader = ArrowStreamReader::new(stream.as_slice(), columns.clone());
        let mut reader = reader.decimals(form);
        assert_eq!(reader.next_batch().unwrap().unwrap(), batch);
        assert!(reader.next_batch().unwrap().is_none());
    }
}
