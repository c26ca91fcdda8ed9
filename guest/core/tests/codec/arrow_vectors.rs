//! Arrow streams the official clients wrote.

use std::io::Cursor;
use std::sync::Arc;

use arrow_array::{RecordBatch, cast::AsArray, types::Int64Type};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{Field, Schema, SchemaRef};
use longshore_core::arrow_tunnel::{ArrowTunnelWriter, ChunkFrame, ColumnRows};
use longshore_core::record::RowEncoder;
use longshore_core::schema::Column;
use longshore_core::types::OdpsType;
use serde_json::Value as Json;

use crate::support::{batch, build, decode, encode, json, record_file, vector_json};

/// The data of a chunked body; every checksum is checked.
fn unframe(body: &[u8]) -> Vec<u8> {
    let (rest, total) = body.split_at(body.len() - 4);
    let mut data = Vec::new();
    if let Some((size, mut rest)) = rest.split_first_chunk::<4>() {
        let size = u32::from_be_bytes(*size) as usize;
        while rest.len() >= size + 4 {
            let (chunk, after) = rest.split_at(size);
            let (checksum, after) = after.split_at(4);
            assert_eq!(decode::crc32c(chunk).to_be_bytes(), checksum);
            data.extend_from_slice(chunk);
            rest = after;
        }
        data.extend_from_slice(rest);
    }
    assert_eq!(decode::crc32c(&data).to_be_bytes(), total);
    data
}

/// The batches of a body without a schema: the schema comes from the columns.
fn read(data: &[u8], schema: &SchemaRef) -> Vec<RecordBatch> {
    let mut stream = Vec::new();
    drop(StreamWriter::try_new(&mut stream, schema).unwrap());
    stream.extend_from_slice(data);
    stream.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    StreamReader::try_new(Cursor::new(stream), None)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn types(vector: &Json) -> Vec<OdpsType> {
    let columns = vector["columns"].as_array().unwrap();
    columns
        .iter()
        .map(|column| column["type"].as_str().unwrap().parse().unwrap())
        .collect()
}

/// The tunnel's Arrow types are the natural ones, timestamps without a zone.
fn schema(types: &[OdpsType]) -> SchemaRef {
    let field = |(i, ty): (usize, &OdpsType)| {
        let ty = if *ty == OdpsType::Timestamp {
            &OdpsType::TimestampNtz
        } else {
            ty
        };
        Field::new(
            format!("c{i}"),
            build::array(ty, &[]).data_type().clone(),
            true,
        )
    };
    Arc::new(Schema::new(
        types.iter().enumerate().map(field).collect::<Vec<_>>(),
    ))
}

fn vectors() -> Vec<Json> {
    let index = vector_json("records/index.json");
    let all = index["vectors"].as_array().unwrap().iter();
    all.filter(|v| v["encoding"] == "arrow-chunk-stream" && v["content_encoding"].is_null())
        .cloned()
        .collect()
}

#[test]
fn values_and_bytes_of_every_vector() {
    let mut read_vectors = 0;
    for vector in vectors() {
        let name = vector["file"].as_str().unwrap();
        let types = types(&vector);
        let body = record_file(name);
        let data = unframe(&body);
        let batches = read(&data, &schema(&types));
        assert_eq!(
            batches.len() as u64,
            vector["batches"].as_u64().unwrap(),
            "{name}"
        );

        // The values, read through the row encoder and the independent decoder.
        let mut rows = Vec::new();
        for batch in &batches {
            rows.extend(
                decode::decode(&encode(batch, &types).unwrap(), &types)
                    .unwrap()
                    .rows,
            );
        }
        let expected: Vec<Vec<_>> = vector["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                types
                    .iter()
                    .zip(row.as_array().unwrap())
                    .map(|(t, v)| json::value(t, v))
                    .collect()
            })
            .collect();
        assert_eq!(rows, expected, "{name}");

        // The same data framed again, in pieces that fall across chunks.
        let mut frame = ChunkFrame::new(vector["chunk_size"].as_u64().unwrap() as u32);
        let mut framed = Vec::new();
        for piece in data.chunks(37) {
            frame.write(piece, &mut framed);
        }
        frame.finish(&mut framed);
        assert_eq!(framed, body, "{name}");

        // Our own messages of the same batches hold the same rows.
        let mut writer = ArrowTunnelWriter::new(64).unwrap();
        let mut written = Vec::new();
        for batch in &batches {
            writer.write(batch, &mut written).unwrap();
        }
        writer.finish(&mut written);
        assert_eq!(read(&unframe(&written), &schema(&types)), batches, "{name}");

        // Row by row through the encoder, in record batches of two rows.
        for batch in &batches {
            let again = read(&unframe(&by_rows(batch, &types)), &schema(&types));
            let pairs = (0..batch.num_rows()).step_by(2);
            let expected = pairs.map(|row| batch.slice(row, 2.min(batch.num_rows() - row)));
            assert_eq!(again, expected.collect::<Vec<_>>(), "{name}");
        }
        read_vectors += 1;
    }
    assert_eq!(read_vectors, 9);
}

/// The Arrow body of all rows, one after the other.
fn by_rows(batch: &RecordBatch, types: &[OdpsType]) -> Vec<u8> {
    let columns: Vec<Column> = (0..)
        .zip(types)
        .map(|(i, ty)| Column::new(format!("c{i}"), ty.clone()))
        .collect();
    let sources: Vec<_> = (0..types.len()).map(Some).collect();
    let encoder = RowEncoder::new(&batch.schema(), &columns, &sources).unwrap();
    let bound = encoder.bind(batch).unwrap();
    let mut rows = ColumnRows::new(&columns).unwrap();
    for row in 0..batch.num_rows() {
        bound.encode_columns(row, &mut rows).unwrap();
    }
    let body = rows.take_body(2).unwrap();
    assert_eq!((rows.rows(), rows.len()), (0, 0));
    body
}

#[test]
fn a_refused_row_leaves_nothing_behind() {
    use arrow_array::Array as _;

    use crate::support::Value;
    let array = OdpsType::Array(Box::new(OdpsType::String));
    let types = [array.clone(), OdpsType::Timestamp];
    let columns = [
        Column::new("list", array.clone()),
        Column::new("at", OdpsType::Timestamp),
    ];
    let lists = [
        Value::List(vec![Value::text("a"), Value::Null]),
        Value::List(vec![Value::text("lost"), Value::text("too")]),
        Value::Null,
    ];
    // Seconds of 1970, 3000 and 2200.
    let moments = [0, 32_503_680_000, 7_258_118_400_i64];
    let seconds: arrow_array::ArrayRef =
        Arc::new(arrow_array::TimestampSecondArray::from(moments.to_vec()));
    let rows = batch(3, vec![build::array(&array, &lists), seconds]);
    let encoder = RowEncoder::new(&rows.schema(), &columns, &[Some(0), Some(1)]).unwrap();
    let bound = encoder.bind(&rows).unwrap();
    let mut body = ColumnRows::new(&columns).unwrap();
    bound.encode_columns(0, &mut body).unwrap();
    let length = body.len();
    let refused = bound.encode_columns(1, &mut body).unwrap_err();
    assert_eq!(refused.column, "at");
    assert!(refused.reason.contains("1677 to 2262"), "{refused}");
    assert_eq!((body.rows(), body.len()), (1, length));
    bound.encode_columns(2, &mut body).unwrap();

    let read = read(&unframe(&body.take_body(100).unwrap()), &schema(&types));
    let lists = read[0].column(0).as_list::<i32>();
    assert_eq!(
        lists.values().as_string::<i32>(),
        &arrow_array::StringArray::from(vec![Some("a"), None])
    );
    assert_eq!((lists.is_null(0), lists.is_null(1)), (false, true));
    let moments = read[0]
        .column(1)
        .as_primitive::<arrow_array::types::TimestampNanosecondType>();
    assert_eq!(moments.values().as_ref(), [0, 7_258_118_400_000_000_000]);
}

#[test]
fn intervals_have_no_columns() {
    let error = ColumnRows::new(&[Column::new(
        "span",
        OdpsType::Array(Box::new(OdpsType::IntervalDayTime)),
    )])
    .unwrap_err();
    assert!(error.to_string().contains("`span`") && error.reason.contains("`tunnel`"));
}

#[test]
fn a_slice_is_written_without_the_rows_around_it() {
    let values: Vec<_> = (0..100).map(crate::support::Value::Integer).collect();
    let whole = batch(100, vec![build::array(&OdpsType::BigInt, &values)]);
    let mut writer = ArrowTunnelWriter::new(65_536).unwrap();
    let mut body = Vec::new();
    writer.write(&whole.slice(40, 2), &mut body).unwrap();
    writer.finish(&mut body);
    let batches = read(&unframe(&body), &schema(&[OdpsType::BigInt]));
    assert_eq!(
        batches[0]
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .as_ref(),
        [40, 41]
    );
    assert!(body.len() < 400);
}

#[test]
fn dictionaries_are_refused() {
    let array: arrow_array::DictionaryArray<arrow_array::types::Int32Type> =
        ["a", "b"].into_iter().collect();
    let batch = batch(2, vec![Arc::new(array)]);
    let mut out = Vec::new();
    let error = ArrowTunnelWriter::new(64)
        .unwrap()
        .write(&batch, &mut out)
        .unwrap_err();
    assert!(error.to_string().contains("c0") && out.is_empty());
}
