use std::{
    collections::HashMap,
    io::{self, Read, Write},
    sync::Arc,
};

use arrow_array::{Array as _, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;
use arrow_ipc::{
    MessageHeader, MetadataVersion, root_as_message,
    writer::{
        DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
    },
};
use arrow_schema::SchemaRef;

use super::{
    WireColumn, WireError, WireErrorKind,
    arrow_values::{DecimalForm, TimestampForm, check_values, from_wire},
    column::MAX_FIELD_BYTES,
};

/// Data bytes between two checksums, as all writers choose it.
const CHUNK_BYTES: usize = 65_536;
const MAX_CHUNK_BYTES: u32 = 64 * 1024 * 1024;
const MAX_METADATA_BYTES: usize = 64 * 1024 * 1024;

/// Reads an Arrow upload: chunks with checksums around record batch messages without a schema.
pub struct ArrowStreamReader<R> {
    chunks: ChunkReader<R>,
    columns: Vec<WireColumn>,
    wire_schema: SchemaRef,
    schema: SchemaRef,
    decimals: DecimalForm,
    rows: u64,
    field_limit: usize,
}

impl<R: Read> ArrowStreamReader<R> {
    /// A reader of batches with these columns.
    pub fn new(source: R, columns: Vec<WireColumn>) -> Self {
        let wire_schema = TimestampForm::Nanoseconds.schema(&columns);
        let schema = WireColumn::schema(&columns);
        Self {
            chunks: ChunkReader::new(source),
            columns,
            wire_schema,
            schema,
            decimals: DecimalForm::Narrow,
            rows: 0,
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

    /// Sets the form of DECIMAL without precision (narrow unless set).
    #[must_use]
    pub fn decimals(self, decimals: DecimalForm) -> Self {
        Self {
            wire_schema: TimestampForm::Nanoseconds.schema_with(&self.columns, decimals),
            decimals,
            ..self
        }
    }

    /// Rows read so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The next batch in the store's types; `None` once the last checksum was right.
    ///
    /// # Errors
    /// [`WireError`] for wrong checksums, messages that are no record batches of the session's columns, and
    /// values that do not fit their column.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, WireError> {
        let mut word = [0u8; 4];
        if !self.read_word(&mut word)? {
            return Ok(None);
        }
        if word == [0xff; 4] && !self.read_word(&mut word)? {
            return Err(WireError::malformed(
                "an Arrow message ends before its length",
            ));
        }
        let length = usize::try_from(i32::from_le_bytes(word)).unwrap_or(usize::MAX);
        if length == 0 {
            return Err(WireError::malformed(
                "an end-of-stream marker where a record batch should be",
            ));
        }
        if length > MAX_METADATA_BYTES {
            return Err(WireError::malformed(format!(
                "Arrow metadata of {length} bytes"
            )));
        }
        let metadata = self.read_bytes(length)?;
        let message = root_as_message(&metadata)
            .map_err(|error| WireError::malformed(format!("Arrow metadata: {error}")))?;
        if message.header_type() != MessageHeader::RecordBatch {
            let message = format!(
                "an Arrow message is {:?}, not a record batch",
                message.header_type()
            );
            return Err(WireError::malformed(message));
        }
        let body_length = usize::try_from(message.bodyLength()).unwrap_or(usize::MAX);
        if body_length > i32::MAX as usize {
            return Err(WireError::new(
                WireErrorKind::TooLarge,
                "a record batch is larger than 2 GiB",
            ));
        }
        let body = Buffer::from_vec(self.read_bytes(body_length)?);
        let header = message
            .header_as_record_batch()
            .ok_or_else(|| WireError::malformed("an Arrow message without its record batch"))?;
        let batch = arrow_ipc::reader::read_record_batch(
            &body,
            header,
            Arc::clone(&self.wire_schema),
            &HashMap::new(),
            None,
            &message.version(),
        )?;
        let mut arrays = Vec::with_capacity(batch.num_columns());
        for (column, array) in self.columns.iter().zip(batch.columns()) {
            let place = || format!("column {} after row {}", column.name, self.rows);
            if !column.nullable && array.null_count() > 0 {
                return Err(WireError::malformed("it is NOT NULL but has NULLs").at(place()));
            }
            check_values(&column.ty, array, self.field_limit).map_err(|error| error.at(place()))?;
            arrays.push(
                from_wire(&column.ty, array, self.decimals).map_err(|error| error.at(place()))?,
            );
        }
        self.rows += batch.num_rows() as u64;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(Some(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            arrays,
            &options,
        )?))
    }

    /// False at the clean end of the data.
    fn read_word(&mut self, word: &mut [u8; 4]) -> Result<bool, WireError> {
        let mut bytes = Vec::with_capacity(4);
        (&mut self.chunks).take(4).read_to_end(&mut bytes)?;
        match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(read) => *word = read,
            Err(_) if bytes.is_empty() => return Ok(false),
            Err(_) => {
                return Err(WireError::new(
                    WireErrorKind::Incomplete,
                    "an Arrow message ends in its first bytes",
                ));
            }
        }
        Ok(true)
    }

    fn read_bytes(&mut self, length: usize) -> Result<Vec<u8>, WireError> {
        // The buffer grows with what arrives: a length alone never allocates.
        let mut bytes = Vec::with_capacity(length.min(1 << 20));
        (&mut self.chunks)
            .take(length as u64)
            .read_to_end(&mut bytes)?;
        if bytes.len() < length {
            let message = format!("an Arrow message has {} of its {length} bytes", bytes.len());
            return Err(WireError::new(WireErrorKind::Incomplete, message));
        }
        Ok(bytes)
    }
}

/// The data inside the chunk frames, verified before they are given out.
struct ChunkReader<R> {
    source: R,
    size: Option<usize>,
    chunk: Vec<u8>,
    at: usize,
    total: u32,
    ended: bool,
}

impl<R: Read> ChunkReader<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            size: None,
            chunk: Vec::new(),
            at: 0,
            total: 0,
            ended: false,
        }
    }

    fn next_chunk(&mut self) -> Result<(), WireError> {
        self.at = 0;
        let size = match self.size {
            Some(size) => size,
            None => {
                let first = self.read_up_to(4)?;
                let Ok(word) = <[u8; 4]>::try_from(first.as_slice()) else {
                    return Err(WireError::new(
                        WireErrorKind::Incomplete,
                        "the stream has no first checksum",
                    ));
                };
                let size = u32::from_be_bytes(word);
                // Without any batch the stream is only its total checksum, which is then zero.
                if size == 0 {
                    if !self.read_up_to(1)?.is_empty() {
                        return Err(WireError::malformed("the chunk size is 0"));
                    }
                    self.ended = true;
                    return Ok(());
                }
                if size > MAX_CHUNK_BYTES {
                    return Err(WireError::malformed(format!(
                        "a chunk size of {size} bytes"
                    )));
                }
                *self.size.insert(size as usize)
            }
        };
        let mut chunk = self.read_up_to(size + 4)?;
        let full = chunk.len() == size + 4;
        let Some(data) = chunk.len().checked_sub(4) else {
            return Err(WireError::new(
                WireErrorKind::Incomplete,
                "the stream ends before its total checksum",
            ));
        };
        let written = chunk
            .get(data..)
            .and_then(|tail| <[u8; 4]>::try_from(tail).ok())
            .map_or(0, u32::from_be_bytes);
        chunk.truncate(data);
        self.total = crc32c::crc32c_append(self.total, &chunk);
        let (computed, what) = if full {
            (crc32c::crc32c(&chunk), "a chunk")
        } else {
            (self.total, "the whole stream")
        };
        if written != computed {
            let message = format!(
                "the checksum of {what} is {written:#010x} but the data give {computed:#010x}"
            );
            return Err(WireError::corrupted(message));
        }
        self.ended = !full;
        self.chunk = chunk;
        Ok(())
    }

    fn read_up_to(&mut self, count: usize) -> Result<Vec<u8>, WireError> {
        let mut bytes = Vec::with_capacity(count.min(1 << 20));
        (&mut self.source)
            .take(count as u64)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl<R: Read> Read for ChunkReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            if self.ended {
                return Ok(0);
            }
            self.next_chunk()?;
        }
        let read = self.chunk.get(self.at..).unwrap_or_default().read(out)?;
        self.at += read;
        Ok(read)
    }
}

/// Writes batches as an Arrow chunk stream.
pub struct ArrowStreamWriter<W> {
    sink: W,
    columns: Vec<WireColumn>,
    schema: SchemaRef,
    form: TimestampForm,
    decimals: DecimalForm,
    chunk: Vec<u8>,
    total: u32,
    started: bool,
    tracker: DictionaryTracker,
}

impl<W: Write> ArrowStreamWriter<W> {
    /// A writer of batches with these columns.
    pub fn new(sink: W, columns: Vec<WireColumn>, form: TimestampForm) -> Self {
        let schema = form.schema(&columns);
        Self {
            sink,
            columns,
            schema,
            form,
            decimals: DecimalForm::Narrow,
            chunk: Vec::with_capacity(CHUNK_BYTES),
            total: 0,
            started: false,
            tracker: DictionaryTracker::new(false),
        }
    }

    /// Sets the form of DECIMAL without precision (narrow unless set), before the first batch.
    #[must_use]
    pub fn decimals(self, decimals: DecimalForm) -> Self {
        Self {
            schema: self.form.schema_with(&self.columns, decimals),
            decimals,
            ..self
        }
    }

    /// Adds a batch given in the store's types.
    ///
    /// # Errors
    /// Timestamps that do not fit 64-bit nanoseconds, and failures of the sink.
    pub fn write_batch(&mut self, batch: &RecordBatch) -> Result<(), WireError> {
        let mut arrays = Vec::with_capacity(batch.num_columns());
        for (column, array) in self.columns.iter().zip(batch.columns()) {
            let array = self.form.array_with(&column.ty, array, self.decimals);
            arrays.push(array.map_err(|error| error.at(format_args!("column {}", column.name)))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?;
        let mut context = IpcWriteContext::default();
        let (_, encoded) = IpcDataGenerator::default().encode(
            &batch,
            &mut self.tracker,
            &options,
            &mut context,
        )?;
        let mut message = Vec::new();
        write_message(&mut message, encoded, &options)?;
        Ok(self.write_data(&message)?)
    }

    fn write_data(&mut self, mut data: &[u8]) -> io::Result<()> {
        if !self.started {
            self.started = true;
            self.sink.write_all(&(CHUNK_BYTES as u32).to_be_bytes())?;
        }
        while !data.is_empty() {
            let room = CHUNK_BYTES - self.chunk.len();
            let (now, later) = data.split_at(room.min(data.len()));
            self.chunk.extend_from_slice(now);
            data = later;
            if self.chunk.len() == CHUNK_BYTES {
                self.total = crc32c::crc32c_append(self.total, &self.chunk);
                self.sink.write_all(&self.chunk)?;
                self.sink
                    .write_all(&crc32c::crc32c(&self.chunk).to_be_bytes())?;
                self.chunk.clear();
            }
        }
        Ok(())
    }

    /// Ends the stream and gives the sink back.
    ///
    /// # Errors
    /// Failures of the sink.
    pub fn finish(mut self) -> io::Result<W> {
        self.total = crc32c::crc32c_append(self.total, &self.chunk);
        self.sink.write_all(&self.chunk)?;
        self.sink.write_all(&self.total.to_be_bytes())?;
        Ok(self.sink)
    }
}
