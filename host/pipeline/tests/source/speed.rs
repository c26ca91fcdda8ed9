//! What reading costs. Measurements, not tests: run with `--ignored --nocapture`.

use std::{fmt::Write as _, fs::File, sync::Arc, time::Instant};

use arrow_array::{
    ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{Field, Schema};
use longshore_pipeline::source::{SourceEvent, file};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};

use super::{debezium::event, support::Files};

fn hash(row: u64, column: u64) -> u64 {
    let x = (row * 64 + column).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The narrow rows that the peers wrote.
fn narrow(from: u64, rows: u64) -> RecordBatch {
    let ids = from..from + rows;
    let pool = |id: u64| id % 32_768;
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "id",
            Arc::new(Int64Array::from_iter_values(
                ids.clone().map(|id| id as i64),
            )),
        ),
        (
            "s1",
            Arc::new(StringArray::from_iter_values(
                ids.clone()
                    .map(|id| format!("ord-{:016x}", hash(pool(id), 1))),
            )),
        ),
        (
            "s2",
            Arc::new(StringArray::from_iter_values(
                ids.clone()
                    .map(|id| format!("status-{:05}", hash(pool(id), 2) % 1000)),
            )),
        ),
        (
            "d",
            Arc::new(Float64Array::from_iter_values(
                ids.clone()
                    .map(|id| (hash(pool(id), 3) % 1_000_000_007) as f64 / 1000.0),
            )),
        ),
        (
            "m",
            Arc::new(
                Decimal128Array::from_iter_values(
                    ids.clone()
                        .map(|id| i128::from(hash(pool(id), 4) % 10_000_000_000) - 5_000_000_000),
                )
                .with_precision_and_scale(18, 2)
                .unwrap(),
            ),
        ),
        (
            "ts",
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(ids.clone().map(|id| {
                    (1_704_067_200 + (hash(pool(id), 5) % 31_536_000) as i64) * 1_000_000
                }))
                .with_timezone("UTC"),
            ),
        ),
        (
            "n",
            Arc::new(Int32Array::from_iter_values(
                ids.map(|id| (hash(pool(id), 6) % 100_000) as i32),
            )),
        ),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn measure(files: &Files, what: &str, lines: &str) {
    let options = files.options(lines);
    let start = Instant::now();
    let mut source = file::open(&options, None).unwrap();
    let opened = start.elapsed();
    let (mut rows, mut batches) = (0, 0);
    while let Some(event) = source.next().unwrap() {
        if let SourceEvent::Batch(batch) = event {
            rows += batch.batch.num_rows();
            batches += 1;
        }
    }
    let total = start.elapsed();
    println!(
        "{what}: {rows} rows in {batches} batches, opened in {opened:?}, {:.3} µs a row",
        total.as_secs_f64() * 1e6 / rows as f64
    );
}

#[test]
#[ignore = "a measurement"]
fn microseconds_a_row() {
    let files = Files::new();
    for (name, compression) in [
        ("plain", Compression::UNCOMPRESSED),
        ("snappy", Compression::SNAPPY),
    ] {
        let file = File::create(files.path(&format!("{name}.parquet"))).unwrap();
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .build();
        let first = narrow(0, 100_000);
        let mut writer = ArrowWriter::try_new(file, first.schema(), Some(properties)).unwrap();
        writer.write(&first).unwrap();
        for part in 1..10 {
            writer.write(&narrow(part * 100_000, 100_000)).unwrap();
        }
        writer.close().unwrap();
    }
    let columns = r#"{"type":"int64","optional":false,"field":"id"},{"type":"string","optional":true,"field":"s"},{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"12"},"field":"m"}"#;
    let (mut json, mut debezium, mut csv) =
        (String::new(), String::new(), String::from("id,s,m\n"));
    for id in 0..100_000 {
        writeln!(
            json,
            "{{\"id\":{id},\"s\":\"ord-{id:016x}\",\"m\":{id}.25}}"
        )
        .unwrap();
        writeln!(csv, "{id},ord-{id:016x},{id}.25").unwrap();
        let row = format!("{{\"id\":{id},\"s\":\"ord-{id:016x}\",\"m\":\"/SYJ\"}}");
        writeln!(debezium, "{}", event("t", columns, "c", "null", &row)).unwrap();
    }
    files.write("a.json", json);
    files.write("a.csv", csv);
    files.write("a.debezium.json", debezium);
    for _ in 0..2 {
        measure(&files, "parquet", "path: plain.parquet");
        measure(&files, "parquet, snappy", "path: snappy.parquet");
        measure(&files, "json", "path: a.json");
        measure(&files, "csv", "path: a.csv");
        measure(&files, "debezium-json", "path: a.debezium.json");
    }
}
