//! Parquet and Arrow files.

use std::{fs::File, sync::Arc};

use arrow_array::{
    ArrayRef, Decimal128Array, DictionaryArray, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array, types::Int32Type,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

use super::support::{Files, check_resume};

pub(crate) fn batch(from: i64, rows: i64) -> RecordBatch {
    let ids = from..from + rows;
    let words: DictionaryArray<Int32Type> = ids
        .clone()
        .map(|id| if id % 2 == 0 { Some("even") } else { None })
        .collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        (
            "id",
            Arc::new(Int64Array::from_iter_values(ids.clone())),
            true,
        ),
        ("word", Arc::new(words), true),
        (
            "u",
            Arc::new(UInt32Array::from_iter_values(
                ids.clone().map(|id| id as u32),
            )),
            false,
        ),
        (
            "big",
            Arc::new(UInt64Array::from_iter_values(ids.clone().map(|_| u64::MAX))),
            false,
        ),
        (
            "ts",
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(ids.clone()).with_timezone("+08:00"),
            ),
            false,
        ),
        (
            "m",
            Arc::new(
                Decimal128Array::from_iter_values(ids.clone().map(i128::from))
                    .with_precision_and_scale(18, 2)
                    .unwrap(),
            ),
            false,
        ),
        (
            "s",
            Arc::new(StringArray::from_iter_values(
                ids.map(|id| format!("text {id}")),
            )),
            false,
        ),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column, nullable)| Field::new(*name, column.data_type().clone(), *nullable))
        .collect();
    let arrays = columns.into_iter().map(|(_, column, _)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

pub(crate) fn write_parquet(files: &Files, name: &str, batches: &[RecordBatch], group: usize) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .build();
    let file = File::create(files.path(name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
}

pub(crate) fn write_arrow(files: &Files, name: &str, batches: &[RecordBatch], stream: bool) {
    let file = File::create(files.path(name)).unwrap();
    if stream {
        let mut writer =
            arrow_ipc::writer::StreamWriter::try_new(file, &batches[0].schema()).unwrap();
        batches
            .iter()
            .for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer =
            arrow_ipc::writer::FileWriter::try_new(file, &batches[0].schema()).unwrap();
        batches
            .iter()
            .for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    }
}

const COLUMNS: [&str; 7] = [
    "id BIGINT NOT NULL",
    "word STRING",
    "u BIGINT NOT NULL",
    "big DECIMAL(20,0) NOT NULL",
    "ts TIMESTAMP_LTZ(6) NOT NULL",
    "m DECIMAL(18,2) NOT NULL",
    "s STRING NOT NULL",
];

#[test]
fn parquet_comes_in_batches_and_resumes_at_each() {
    let files = Files::new();
    write_parquet(&files, "a.parquet", &[batch(0, 1000)], 300);
    write_parquet(&files, "b.parquet", &[batch(1000, 10)], 300);
    let lines = "path: '*.parquet'\ntable: t\nprimary-key: id\nbatch-rows: 128";
    let outcome = files.read(lines).ok();
    assert_eq!(outcome.columns("t"), COLUMNS);
    let rows = outcome.rows("t");
    assert_eq!(rows.len(), 1010);
    assert_eq!(
        rows[1],
        "0 1|NULL|1|18446744073709551615|1970-01-01T00:00:00.000001Z|0.01|text 1"
    );
    assert_eq!(rows[1009].split('|').next(), Some("0 1009"));
    assert!(
        outcome
            .batches
            .iter()
            .all(|batch| batch.position.is_some() && batch.batch.num_rows() <= 128)
    );
    assert!(
        outcome.batches[3]
            .origin
            .locate(0)
            .ends_with("a.parquet, row 301")
    );
    assert_eq!(check_resume(&files.options(lines)), 3 * 3 + 1 + 1);
}

#[test]
fn arrow_files_and_streams_resume_too() {
    let files = Files::new();
    write_arrow(&files, "a.arrow", &[batch(0, 100), batch(100, 30)], false);
    write_arrow(&files, "b.arrows", &[batch(130, 20), batch(150, 100)], true);
    let lines = "path: [a.arrow, b.arrows]\ntable: t\nprimary-key: id\nbatch-rows: 40";
    let outcome = files.read(lines).ok();
    assert_eq!(outcome.columns("t"), COLUMNS);
    assert_eq!(outcome.rows("t").len(), 250);
    assert_eq!(check_resume(&files.options(lines)), 8);
}

#[test]
fn wide_rows_make_small_batches() {
    let files = Files::new();
    let text = "x".repeat(10_000);
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..2000).map(|row| format!("{text}{row}")),
    ));
    let schema = Arc::new(Schema::new(vec![Field::new("s", DataType::Utf8, false)]));
    let batch = RecordBatch::try_new(schema, vec![column]).unwrap();
    write_parquet(&files, "t.parquet", std::slice::from_ref(&batch), 100_000);
    write_arrow(&files, "t.arrow", &[batch], false);
    for path in ["t.parquet", "t.arrow"] {
        let outcome = files.read(&format!("path: {path}")).ok();
        assert!(
            outcome.batches.iter().all(|batch| batch.bytes <= 2 << 20),
            "{path}"
        );
        assert_eq!(outcome.stats.rows, 2000);
    }
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let files = Files::new();
    write_parquet(&files, "a.parquet", &[batch(0, 10)], 300);
    let other = batch(0, 10).project(&[0, 1]).unwrap();
    write_parquet(&files, "b.parquet", &[other], 300);
    let error = files.error("path: '*.parquet'\ntable: t");
    assert!(
        error.message.contains("different columns: `u` is missing"),
        "{error}"
    );
    let error = files.error("path: a.parquet\nschema: {id: INT}");
    assert!(error.message.contains("carry their schema"), "{error}");
    let error = files.error("path: a.parquet\nprimary-key: word");
    assert!(error.message.contains("column `word`: is NULL"), "{error}");
    assert!(error.place.unwrap().ends_with("a.parquet, row 2"));
    files.write("a.parquet", "");
    assert!(files.error("path: a.parquet").message.contains("is empty"));
    files.write("a.parquet", "PAR1 nonsense PAR1");
    assert!(
        files
            .error("path: a.parquet")
            .message
            .contains("can not be read as Parquet")
    );
    files.write("a.arrow", "");
    assert!(files.error("path: a.arrow").message.contains("is empty"));
    files.write("a.arrow", "nonsense");
    assert!(files.error("path: a.arrow").message.contains("Arrow IPC"));
}

#[test]
fn columns_may_come_in_another_order() {
    let files = Files::new();
    write_parquet(&files, "a.parquet", &[batch(0, 3)], 300);
    write_parquet(
        &files,
        "b.parquet",
        &[batch(3, 3).project(&[6, 5, 4, 3, 2, 1, 0]).unwrap()],
        300,
    );
    let rows = files.read("path: '*.parquet'\ntable: t").ok().rows("t");
    assert_eq!(
        rows[3],
        "0 3|NULL|3|18446744073709551615|1970-01-01T00:00:00.000003Z|0.03|text 3"
    );
}

#[test]
fn files_that_are_read_from_their_end_must_not_be_compressed() {
    let files = Files::new();
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, bytes).unwrap();
        gzip.finish().unwrap()
    };
    let batch = batch(0, 2);
    let mut parquet = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut parquet, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    files.write("a.parquet.gz", gzip(&parquet));
    files.write("b.parquet.zst", zstd::encode_all(&parquet[..], 1).unwrap());
    for (name, compression, help) in [
        ("a.parquet.gz", "gzip", "gunzip"),
        ("b.parquet.zst", "zstd", "unzstd"),
    ] {
        let error = files.error(&format!("path: {name}\ntable: t"));
        assert!(
            error
                .message
                .contains(&format!("compressed as a whole ({compression})")),
            "{error}"
        );
        assert!(error.help.unwrap().contains(&format!("{help} ")));
    }
    let mut arrow = Vec::new();
    let mut writer = arrow_ipc::writer::FileWriter::try_new(&mut arrow, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    files.write("c.arrow.gz", gzip(&arrow));
    let error = files.error("path: c.arrow.gz\ntable: t");
    assert!(error.message.contains("holds an Arrow file"), "{error}");
    // A stream is read as it comes.
    let mut arrow = Vec::new();
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(&mut arrow, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    files.write("d.arrows.gz", gzip(&arrow));
    files.write("e.arrows.zst", zstd::encode_all(&arrow[..], 1).unwrap());
    let outcome = files
        .read("path: [d.arrows.gz, e.arrows.zst]\ntable: t")
        .ok();
    assert_eq!(outcome.rows("t").len(), 4);
}
