//! Encoding and compression of a pool of rows, compiled once natively and once to WebAssembly, so
//! that the two can be timed side by side. A plain module: no import that does anything, two exports.

use std::cell::RefCell;

use arrow_array::RecordBatch;
use longshore_bench_rows::Shape;
use longshore_core::compress::{Compression, Compressor};
use longshore_core::record::{RecordStream, RowEncoder};
use longshore_core::schema::Column;

/// What is encoded again and again: the batches of one pool, and everything that is kept between
/// blocks.
pub struct Work {
    encoder: RowEncoder,
    batches: Vec<RecordBatch>,
    stream: RecordStream,
    compressor: Compressor,
    out: Vec<u8>,
}

/// Compressions by number, as the module's `prepare` takes them.
pub const COMPRESSIONS: [(&str, Compression); 4] = [
    ("raw", Compression::Raw),
    ("zlib", Compression::Zlib { level: 1 }),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
];

impl Work {
    /// Rows of a shape under a compression of [`COMPRESSIONS`]; none where the numbers are wrong.
    #[must_use]
    pub fn new(wide: bool, compression: usize) -> Option<Self> {
        let shape = if wide { Shape::Wide } else { Shape::Narrow };
        let (_, compression) = COMPRESSIONS.get(compression)?;
        let schema = shape.schema();
        let columns = schema
            .fields()
            .iter()
            .map(|field| Column::from_arrow(field))
            .collect::<Result<Vec<_>, _>>()
            .ok()?;
        let sources: Vec<_> = (0..columns.len()).map(Some).collect();
        Some(Self {
            encoder: RowEncoder::new(&schema, &columns, &sources).ok()?,
            batches: shape
                .batches(shape.pool_rows(), 8_192)
                .ok()?
                .collect::<Result<_, _>>()
                .ok()?,
            stream: RecordStream::new(),
            compressor: Compressor::new(*compression),
            out: Vec::new(),
        })
    }

    /// Encodes and compresses the pool into one block; its size, none where a row can not be encoded.
    pub fn block(&mut self) -> Option<usize> {
        self.stream.clear();
        self.compressor.reset();
        self.out.clear();
        for batch in &self.batches {
            let rows = self.encoder.bind(batch).ok()?;
            for row in 0..batch.num_rows() {
                rows.encode(row, &mut self.stream).ok()?;
            }
            self.stream
                .drain_into(&mut self.compressor, &mut self.out)
                .ok()?;
        }
        self.stream.finish();
        self.compressor
            .write(self.stream.bytes(), &mut self.out)
            .ok()?;
        self.compressor.finish(&mut self.out).ok()?;
        Some(self.out.len())
    }

    /// The last block.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.out
    }
}

thread_local! {
    static WORK: RefCell<Option<Work>> = const { RefCell::new(None) };
}

#[expect(
    unsafe_code,
    reason = "the exported names of a plain module must not be mangled"
)]
mod exports {
    use super::{WORK, Work};

    /// Makes the rows; 1 when it went well.
    #[unsafe(no_mangle)]
    pub(super) extern "C" fn prepare(wide: u32, compression: u32) -> u32 {
        WORK.with_borrow_mut(|work| {
            *work = Work::new(wide != 0, compression as usize);
            u32::from(work.is_some())
        })
    }

    /// Size of one encoded block; 0 when it failed.
    #[unsafe(no_mangle)]
    pub(super) extern "C" fn block() -> u32 {
        let size = WORK.with_borrow_mut(|work| work.as_mut().and_then(Work::block));
        size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0)
    }
}
