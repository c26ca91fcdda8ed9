//! Encoding and compression of the comparison rows, per row.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a measurement, not a library"
)]

use std::hint::black_box;

use arrow_array::RecordBatch;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use longshore_bench_rows::Shape;
use longshore_core::bucket::{BucketHasher, HasherKind};
use longshore_core::compress::{Compression, Compressor};
use longshore_core::record::{Operation, RecordStream, RowEncoder};
use longshore_core::schema::Column;

/// Pending bytes at which a stream is drained, as the sink does.
const DRAIN: usize = 64 * 1024;

fn columns(batch: &RecordBatch) -> Vec<Column> {
    batch
        .schema()
        .fields()
        .iter()
        .map(|field| Column::from_arrow(field).unwrap())
        .collect()
}

fn encoder(batch: &RecordBatch) -> RowEncoder {
    let sources: Vec<Option<usize>> = (0..batch.num_columns()).map(Some).collect();
    RowEncoder::new(&batch.schema(), &columns(batch), &sources)
        .unwrap()
        .keys(&[0])
}

fn shape(c: &mut Criterion, name: &str, batch: &RecordBatch) {
    let mut group = c.benchmark_group(name);
    group
        .throughput(Throughput::Elements(batch.num_rows() as u64))
        .sample_size(20);
    let encoder = encoder(batch);
    let mut stream = RecordStream::new();

    group.bench_function("encode", |b| {
        b.iter(|| {
            stream.clear();
            let bound = encoder.bind(batch).unwrap();
            for row in 0..bound.rows() {
                bound.encode(row, &mut stream).unwrap();
            }
            black_box(stream.bytes().len())
        });
    });

    let key = [(columns(batch).swap_remove(0), 0)];
    let hasher = BucketHasher::new(HasherKind::Default, &key).unwrap();
    group.bench_function("hash and encode upsert", |b| {
        b.iter(|| {
            stream.clear();
            let bound = encoder.bind(batch).unwrap();
            let keys = hasher.bind(batch).unwrap();
            let mut buckets = 0;
            for row in 0..bound.rows() {
                buckets += keys.bucket(row, 16).unwrap();
                bound
                    .encode_upsert(row, Operation::Upsert, &mut stream)
                    .unwrap();
            }
            black_box((stream.bytes().len(), buckets))
        });
    });

    for compression in [
        Compression::Zlib { level: 1 },
        Compression::Snappy,
        Compression::Lz4,
    ] {
        let mut compressor = Compressor::new(compression);
        let mut body = Vec::new();
        group.bench_function(format!("encode and {compression}"), |b| {
            b.iter(|| {
                body.clear();
                stream.clear();
                let bound = encoder.bind(batch).unwrap();
                for row in 0..bound.rows() {
                    bound.encode(row, &mut stream).unwrap();
                    if stream.len() >= DRAIN {
                        stream.drain_into(&mut compressor, &mut body).unwrap();
                    }
                }
                stream.finish();
                compressor.write(stream.bytes(), &mut body).unwrap();
                compressor.finish(&mut body).unwrap();
                black_box(body.len())
            });
        });
    }
    group.finish();
}

fn encode(c: &mut Criterion) {
    for (name, of) in [("narrow", Shape::Narrow), ("wide", Shape::Wide)] {
        let rows = of.pool_rows();
        let batch = of.batches(rows, rows).unwrap().next().unwrap().unwrap();
        shape(c, name, &batch);
    }
}

criterion_group!(benches, encode);
criterion_main!(benches);
