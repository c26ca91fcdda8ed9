//! Record streams the official clients wrote.

use longshore_core::types::OdpsType;
use serde_json::Value as Json;

use crate::support::{Value, batch, build, decode, encode, json, record_file, vector_json};

/// pyodps writes it; the service's BIGINT does not have it, and the Java client refuses it.
const UNWRITABLE: &str = "r15_bigint_min.bin";
/// Written by the service, not by a sink.
const DOWNLOAD: &str = "d01_download_metrics.bin";

fn types(vector: &Json) -> Vec<OdpsType> {
    let columns = vector["columns"].as_array().unwrap();
    columns
        .iter()
        .map(|column| column["type"].as_str().unwrap().parse().unwrap())
        .collect()
}

fn rows(vector: &Json, types: &[OdpsType]) -> Vec<Vec<Value>> {
    let row = |row: &Json| {
        types
            .iter()
            .zip(row.as_array().unwrap())
            .map(|(t, v)| json::value(t, v))
            .collect()
    };
    vector["rows"].as_array().unwrap().iter().map(row).collect()
}

fn uncompressed() -> Vec<Json> {
    let index = vector_json("records/index.json");
    let vectors = index["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|vector| {
            vector["encoding"] == "protobuf-record-stream" && vector["content_encoding"].is_null()
        });
    vectors.cloned().collect()
}

#[test]
fn the_decoder_reads_what_the_index_says() {
    let mut read = 0;
    for vector in uncompressed() {
        let name = vector["file"].as_str().unwrap();
        let types = types(&vector);
        let decoded =
            decode::decode(&record_file(name), &types).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(decoded.rows, rows(&vector, &types), "{name}");
        assert_eq!(decoded.metrics.is_some(), name == DOWNLOAD, "{name}");
        read += 1;
    }
    assert!(read >= 28, "{read}");
}

#[test]
fn the_encoder_writes_the_same_bytes() {
    let mut written = 0;
    for vector in uncompressed() {
        let name = vector["file"].as_str().unwrap();
        // The C extension's checksums have another spelling; its data are those of the original.
        if !vector["variant_of"].is_null() || [UNWRITABLE, DOWNLOAD].contains(&name) {
            continue;
        }
        // Upsert packs have hidden columns: as plain columns they are the same bytes.
        let types = types(&vector);
        let rows = rows(&vector, &types);
        let arrays = types.iter().enumerate().map(|(i, ty)| {
            build::array(ty, &rows.iter().map(|r| r[i].clone()).collect::<Vec<_>>())
        });
        let stream = encode(&batch(rows.len(), arrays.collect()), &types).unwrap();
        assert_eq!(stream, record_file(name), "{name}");
        written += 1;
    }
    assert!(written >= 16, "{written}");
}

#[test]
fn the_smallest_64_bit_integer_is_refused() {
    let error = encode(
        &batch(
            1,
            vec![build::array(&OdpsType::BigInt, &[Value::Integer(i64::MIN)])],
        ),
        &[OdpsType::BigInt],
    )
    .unwrap_err();
    assert_eq!(error.column, "c0");
    assert!(error.reason.contains("-9223372036854775808"), "{error}");
}

#[test]
fn the_decoder_notices_every_flipped_bit() {
    let types = ["bigint", "string"].map(|text| text.parse().unwrap());
    let bytes = record_file("r01_int_string.bin");
    let original = decode::decode(&bytes, &types).unwrap();
    for at in 0..bytes.len() * 8 {
        let mut broken = bytes.clone();
        broken[at / 8] ^= 1 << (at % 8);
        // A longer varint of the same number is the only other spelling.
        if let Ok(decoded) = decode::decode(&broken, &types) {
            assert_eq!(decoded, original, "bit {at}");
        }
    }
}
