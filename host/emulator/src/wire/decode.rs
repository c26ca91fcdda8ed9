use std::io::Read;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;

use super::{
    WireColumn, WireError, WireErrorKind,
    column::{ColumnBuilder, MAX_FIELD_BYTES, Slot, scan},
    cursor::{ChecksumInput as _, Cursor, RecordChecksum, Stop},
    field::wire_type_of,
    marker, wire_type,
};

/// Rows of a full batch.
pub const STREAM_BATCH_ROWS: usize = 8192;

/// Variable-length bytes after which a batch is cut although it has few rows.
const BATCH_BYTES: usize = 16 * 1024 * 1024;
const READ_BYTES: usize = 128 * 1024;
const MAX_RECORD_BYTES: usize = 200 * 1024 * 1024;

/// Reads a record stream into Arrow batches while its bytes arrive.
///
/// Each record's checksum, the count and the checksum of checksums are verified, each value is checked
/// against its column. Memory is one batch plus the largest record.
#[derive(Debug)]
pub struct RecordStreamReader<R> {
    source: R,
    columns: Vec<WireColumn>,
    schema: SchemaRef,
    builders: Vec<ColumnBuilder>,
    slots: Vec<Slot>,
    checksum: RecordChecksum,
    /// The little-endian record checksums that are not yet part of `stream_checksum`.
    pending: Vec<u8>,
    stream_checksum: u32,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    rows: u64,
    finished: bool,
    metrics: Option<String>,
    field_limit: usize,
}

enum Item {
    Record,
    Footer,
}

impl<R: Read> RecordStreamReader<R> {
    /// A reader of records with these columns, in field order.
    pub fn new(source: R, columns: Vec<WireColumn>) -> Self {
        let schema = WireColumn::schema(&columns);
        let builders = columns
            .iter()
            .map(|column| ColumnBuilder::new(&column.ty, 0))
            .collect();
        let slots = vec![Slot::default(); columns.len()];
        Self {
            source,
            columns,
            schema,
            builders,
            slots,
            checksum: RecordChecksum::default(),
            pending: Vec::new(),
            stream_checksum: 0,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            rows: 0,
            finished: false,
            metrics: None,
            field_limit: MAX_FIELD_BYTES,
        }
    }

    /// Sets the largest text or binary value, in bytes (8 MiB unless set).
    #[must_use]
    pub fn field_limit(self, bytes: usize) -> Self {
        Self {
            field_limit: bytes,
            ..self
        }
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Records read so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The metrics text of a download's footer, once the stream has ended.
    pub fn metrics(&self) -> Option<&str> {
        self.metrics.as_deref()
    }

    /// The next batch; `None` once the footer was read and everything in it was right.
    ///
    /// # Errors
    /// [`WireError`] naming the record and the column. Batches given out before are then worthless too.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, WireError> {
        let first_row = self.rows;
        while !self.finished {
            let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
            let mut cursor = Cursor::limited(bytes, self.field_limit);
            self.checksum.reset();
            let item = scan_record(
                &mut cursor,
                &self.columns,
                &mut self.slots,
                &mut self.checksum,
            );
            match item {
                Ok(Item::Record) => {
                    let length = cursor.position();
                    store_record(&self.columns, &mut self.builders, &self.slots, bytes)
                        .map_err(|error| error.at(format_args!("record {}", self.rows + 1)))?;
                    self.pending
                        .extend_from_slice(&self.checksum.last().to_le_bytes());
                    if self.pending.len() >= 4096 {
                        self.fold_checksums();
                    }
                    self.start += length;
                    self.rows += 1;
                    if self.batch_is_full(first_row) {
                        break;
                    }
                }
                Ok(Item::Footer) => self.read_footer()?,
                Err(Stop::Need(needed)) => self.fill(needed)?,
                Err(Stop::Error(error)) => {
                    return Err(error.at(format_args!("record {}", self.rows + 1)));
                }
            }
        }
        if self.rows == first_row {
            Ok(None)
        } else {
            self.take_batch((self.rows - first_row) as usize).map(Some)
        }
    }

    fn batch_is_full(&self, first_row: u64) -> bool {
        let rows = self.rows - first_row;
        rows >= STREAM_BATCH_ROWS as u64
            || (rows.is_multiple_of(64) || self.end - self.start > BATCH_BYTES / 4)
                && self
                    .builders
                    .iter()
                    .map(ColumnBuilder::data_bytes)
                    .sum::<usize>()
                    >= BATCH_BYTES
    }

    fn take_batch(&mut self, rows: usize) -> Result<RecordBatch, WireError> {
        let arrays = self
            .builders
            .iter_mut()
            .map(ColumnBuilder::finish)
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            self.schema.clone(),
            arrays,
            &options,
        )?)
    }

    fn fold_checksums(&mut self) {
        self.stream_checksum = crc32c::crc32c_append(self.stream_checksum, &self.pending);
        self.pending.clear();
    }

    /// Reads on until at least `needed` bytes from `start` are there, with some growth so that a record of
    /// many small reads is not scanned again for each of them.
    fn fill(&mut self, needed: usize) -> Result<(), WireError> {
        if needed > MAX_RECORD_BYTES {
            let message = format!(
                "record {}: more than {MAX_RECORD_BYTES} bytes",
                self.rows + 1
            );
            return Err(WireError::new(WireErrorKind::TooLarge, message));
        }
        let held = self.end - self.start;
        let target = needed.max(held + held / 4);
        self.buffer.copy_within(self.start..self.end, 0);
        self.start = 0;
        self.end = held;
        if self.buffer.len() < target + READ_BYTES {
            self.buffer.resize(target + READ_BYTES, 0);
        }
        while self.end < target {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.source.read(room) {
                Ok(0) if self.end >= needed => break,
                Ok(0) => {
                    let message = format!(
                        "record {}: the stream ends before its footer",
                        self.rows + 1
                    );
                    return Err(WireError::new(WireErrorKind::Incomplete, message));
                }
                Ok(read) => self.end += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read_footer(&mut self) -> Result<(), WireError> {
        self.fold_checksums();
        loop {
            let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
            let mut cursor = Cursor::new(bytes);
            match scan_footer(&mut cursor, self.rows, self.stream_checksum) {
                Ok(metrics) => {
                    let surplus = self.end - self.start - cursor.position();
                    if surplus > 0 || self.source_has_more()? {
                        return Err(WireError::malformed(
                            "there are bytes after the stream's footer",
                        ));
                    }
                    self.metrics = metrics;
                    self.finished = true;
                    return Ok(());
                }
                Err(Stop::Need(needed)) => self.fill(needed)?,
                Err(Stop::Error(error)) => return Err(error.at("footer")),
            }
        }
    }

    fn source_has_more(&mut self) -> Result<bool, WireError> {
        let mut byte = [0u8; 1];
        Ok(self.source.read(&mut byte)? > 0)
    }
}

fn scan_record(
    cursor: &mut Cursor<'_>,
    columns: &[WireColumn],
    slots: &mut [Slot],
    checksum: &mut RecordChecksum,
) -> Result<Item, Stop> {
    slots.iter_mut().for_each(|slot| slot.present = false);
    loop {
        let at = cursor.position();
        let tag = cursor.varint()?;
        let (field, found) = (tag >> 3, tag & 7);
        let index = field.wrapping_sub(1) as usize;
        if let (Some(column), Some(slot)) = (columns.get(index), slots.get_mut(index)) {
            if found != wire_type_of(&column.ty) || slot.present {
                let message = if slot.present {
                    format!("column {} appears twice", column.name)
                } else {
                    format!(
                        "column {} has wire type {found} instead of {}",
                        column.name,
                        wire_type_of(&column.ty)
                    )
                };
                return Err(WireError::malformed(message).into());
            }
            checksum.put(&(field as u32).to_le_bytes());
            *slot = scan(&column.ty, cursor, checksum).map_err(|stop| match stop {
                Stop::Error(error) => Stop::Error(error.at(format_args!("column {}", column.name))),
                need @ Stop::Need(_) => need,
            })?;
            continue;
        }
        return match (field, found) {
            (marker::END_RECORD, wire_type::VARINT) => {
                let written = cursor.checksum()?;
                let computed = checksum.finish();
                if written == computed {
                    Ok(Item::Record)
                } else {
                    let message = format!(
                        "the checksum is {written:#010x} but the values give {computed:#010x}"
                    );
                    Err(WireError::corrupted(message).into())
                }
            }
            (marker::META_COUNT, wire_type::VARINT) if at == 0 => Ok(Item::Footer),
            _ => {
                let message = format!(
                    "field {field} (wire type {found}) is none of the {} columns",
                    columns.len()
                );
                Err(WireError::malformed(message).into())
            }
        };
    }
}

fn store_record(
    columns: &[WireColumn],
    builders: &mut [ColumnBuilder],
    slots: &[Slot],
    record: &[u8],
) -> Result<(), WireError> {
    for ((column, builder), slot) in columns.iter().zip(builders).zip(slots) {
        if !slot.present && !column.nullable {
            return Err(WireError::malformed(format!(
                "column {} is NOT NULL but has no value",
                column.name
            )));
        }
        builder
            .append(slot, record)
            .map_err(|error| error.at(format_args!("column {}", column.name)))?;
    }
    Ok(())
}

fn scan_footer(cursor: &mut Cursor<'_>, rows: u64, checksum: u32) -> Result<Option<String>, Stop> {
    // The tag of the count brought us here.
    cursor.varint()?;
    let count = cursor.zigzag()?;
    let mut metrics = None;
    loop {
        let tag = cursor.varint()?;
        match (tag >> 3, tag & 7) {
            (1, wire_type::LENGTH) if metrics.is_none() => {
                let length = cursor.varint()?;
                let text = cursor.take(usize::try_from(length).unwrap_or(usize::MAX))?;
                let mut check = RecordChecksum::default();
                check.put(&1i32.to_le_bytes());
                check.put(text);
                let end = cursor.varint()?;
                if (end >> 3, end & 7) != (marker::METRICS_END, wire_type::VARINT) {
                    return Err(WireError::malformed("the metrics have no end").into());
                }
                if cursor.checksum()? != check.finish() {
                    return Err(WireError::corrupted("the checksum of the metrics is wrong").into());
                }
                metrics = Some(String::from_utf8_lossy(text).into_owned());
            }
            (marker::META_CHECKSUM, wire_type::VARINT) => break,
            (field, _) => {
                let message =
                    format!("field {field} stands where the checksum of the stream should be");
                return Err(WireError::malformed(message).into());
            }
        }
    }
    let written = cursor.checksum()?;
    if i64::try_from(rows) != Ok(count) {
        return Err(WireError::corrupted(format!(
            "{rows} records arrived but the footer counts {count}"
        ))
        .into());
    }
    if written != checksum {
        let message = format!(
            "the stream's checksum is {written:#010x} but the records give {checksum:#010x}"
        );
        return Err(WireError::corrupted(message).into());
    }
    Ok(metrics)
}
