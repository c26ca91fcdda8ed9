//! Tools of these tests. The decoder is written from the format's description and shares no code
//! with the encoder.

pub(crate) mod build;
pub(crate) mod calendar;
pub(crate) mod decode;
pub(crate) mod json;

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema};
use longshore_core::record::{RecordStream, RowEncoder};
use longshore_core::schema::{Column, ValueError};
use longshore_core::types::OdpsType;

/// A value as the wire carries it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Boolean(bool),
    /// Bits, so that NaN equals itself and the zeros differ.
    Float(u32),
    Double(u64),
    Bytes(Vec<u8>),
    Time(i64, i32),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Struct(Vec<Value>),
}

impl Value {
    pub(crate) fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

pub(crate) fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

pub(crate) fn vector_json(name: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(vectors().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn record_file(name: &str) -> Vec<u8> {
    std::fs::read(vectors().join("records").join(name)).unwrap()
}

/// A batch of these columns, named `c0`, `c1`, ...
pub(crate) fn batch(rows: usize, arrays: Vec<ArrayRef>) -> RecordBatch {
    let fields: Vec<Field> = arrays
        .iter()
        .enumerate()
        .map(|(i, array)| Field::new(format!("c{i}"), array.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).unwrap()
}

pub(crate) fn columns(types: &[OdpsType]) -> Vec<Column> {
    types
        .iter()
        .enumerate()
        .map(|(i, ty)| Column::new(format!("c{i}"), ty.clone()))
        .collect()
}

/// An encoder where column `i` reads Arrow column `i`.
pub(crate) fn encoder(batch: &RecordBatch, types: &[OdpsType]) -> RowEncoder {
    let sources: Vec<Option<usize>> = (0..types.len()).map(Some).collect();
    RowEncoder::new(&batch.schema(), &columns(types), &sources).unwrap()
}

/// The finished stream of all rows.
pub(crate) fn encode(batch: &RecordBatch, types: &[OdpsType]) -> Result<Vec<u8>, ValueError> {
    let encoder = encoder(batch, types);
    let rows = encoder.bind(batch).unwrap();
    let mut stream = RecordStream::new();
    for row in 0..rows.rows() {
        rows.encode(row, &mut stream)?;
    }
    stream.finish();
    Ok(stream.take())
}
