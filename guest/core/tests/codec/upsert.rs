//! Upsert packs: hidden columns, deletes, partial updates.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Decimal128Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use longshore_core::record::{Operation, RecordStream, RowEncoder};
use longshore_core::schema::Column;
use longshore_core::types::OdpsType;

use crate::support::{batch, columns, decode, encoder, record_file};

fn amounts() -> (arrow_array::RecordBatch, Vec<OdpsType>) {
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 1])),
        Arc::new(StringArray::from(vec![Some("n1"), None, Some("n1")])),
        Arc::new(
            Decimal128Array::from(vec![Some(125), None, None])
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
    ];
    (
        batch(3, arrays),
        ["bigint", "string", "decimal(10,2)"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
    )
}

#[test]
fn pack_of_upsert_delete_and_partial_update() {
    let (batch, types) = amounts();
    let encoder = encoder(&batch, &types).keys(&[0]);
    let rows = encoder.bind(&batch).unwrap();
    let mut stream = RecordStream::new();
    rows.encode_upsert(0, Operation::Upsert, &mut stream)
        .unwrap();
    rows.encode_upsert(1, Operation::Delete, &mut stream)
        .unwrap();
    rows.encode_partial(2, &[1], &mut stream).unwrap();
    assert_eq!(stream.rows(), 3);
    stream.finish();
    assert_eq!(stream.bytes(), record_file("u01_upsert.bin"));
}

#[test]
fn pack_with_a_composite_key() {
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["shop-1", "店铺"])),
        Arc::new(Int32Array::from(vec![7, -7])),
        Arc::new(TimestampMicrosecondArray::from(vec![
            Some(1_718_454_896_500_000),
            None,
        ])),
    ];
    let batch = batch(2, arrays);
    let types = ["string", "int", "timestamp"].map(|text| text.parse().unwrap());
    let encoder = encoder(&batch, &types).keys(&[0, 1]);
    let rows = encoder.bind(&batch).unwrap();
    let mut stream = RecordStream::new();
    rows.encode_upsert(0, Operation::Upsert, &mut stream)
        .unwrap();
    rows.encode_upsert(1, Operation::Delete, &mut stream)
        .unwrap();
    stream.finish();
    assert_eq!(stream.take(), record_file("u02_upsert_composite.bin"));
}

#[test]
fn a_delete_carries_its_key_only() {
    let (batch, types) = amounts();
    let mut target = columns(&types);
    target[1] = target[1].clone().not_null();
    let sources = [Some(0), Some(1), Some(2)];
    let encoder = RowEncoder::new(&batch.schema(), &target, &sources)
        .unwrap()
        .keys(&[0]);
    let rows = encoder.bind(&batch).unwrap();
    let mut stream = RecordStream::new();
    rows.encode_upsert(0, Operation::Delete, &mut stream)
        .unwrap();
    rows.encode_upsert(1, Operation::Delete, &mut stream)
        .unwrap();
    // The value column is NOT NULL: an upsert needs it, a delete does not.
    let error = rows
        .encode_upsert(1, Operation::Upsert, &mut stream)
        .unwrap_err();
    assert_eq!(error.column, "c1");
    stream.finish();
    let mut wire_types = types.clone();
    wire_types.extend(
        [
            "bigint",
            "bigint",
            "tinyint",
            "array<bigint>",
            "array<bigint>",
        ]
        .map(|t| t.parse().unwrap()),
    );
    let decoded = decode::decode(stream.bytes(), &wire_types).unwrap();
    assert_eq!(decoded.rows.len(), 2);
    assert!(
        decoded
            .rows
            .iter()
            .all(|row| row[1] == crate::support::Value::Null)
    );
}

#[test]
fn a_null_key_is_refused_in_every_operation() {
    let batch = batch(1, vec![Arc::new(Int64Array::from(vec![None])) as ArrayRef]);
    let target = [Column::new("k", OdpsType::BigInt)];
    let encoder = RowEncoder::new(&batch.schema(), &target, &[Some(0)])
        .unwrap()
        .keys(&[0]);
    let rows = encoder.bind(&batch).unwrap();
    let mut stream = RecordStream::new();
    for operation in [Operation::Upsert, Operation::Delete] {
        assert_eq!(
            rows.encode_upsert(0, operation, &mut stream)
                .unwrap_err()
                .column,
            "k"
        );
    }
    assert!(stream.is_empty() && stream.bytes().is_empty());
}
