//! The tunnel's Arrow streams: record batch messages of Arrow IPC, cut into chunks with checksums.
//!
//! There is no schema message, no dictionary and no end marker: the service knows the columns, and
//! the layout of the buffers is all that matters.

mod columns;

use std::fmt;

use arrow_array::RecordBatch;
use arrow_ipc::MetadataVersion;
use arrow_ipc::writer::{
    DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use arrow_schema::{ArrowError, DataType};

use crate::checksum;

pub use columns::ColumnRows;

/// The chunk size the official clients use, in bytes.
pub const CHUNK_SIZE: u32 = 65_536;

/// A batch that can not be written.
#[derive(Debug)]
pub enum ArrowTunnelError {
    /// A column has a type that needs more than record batch messages.
    Dictionary {
        /// The column.
        column: String,
    },
    /// The IPC encoder failed.
    Ipc(ArrowError),
}

impl fmt::Display for ArrowTunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dictionary { column } => write!(
                f,
                "column `{column}` is dictionary-encoded, which the tunnel's Arrow streams can not \
                 carry; cast it to its value type"
            ),
            Self::Ipc(error) => write!(f, "the batch has no Arrow IPC form: {error}"),
        }
    }
}

impl std::error::Error for ArrowTunnelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dictionary { .. } => None,
            Self::Ipc(error) => Some(error),
        }
    }
}

/// Writes one body of an Arrow upload.
///
/// Batches must have the table's columns, in order, in the types the tunnel uses for them.
pub struct ArrowTunnelWriter {
    frame: ChunkFrame,
    options: IpcWriteOptions,
    message: Vec<u8>,
}

impl ArrowTunnelWriter {
    /// A writer at the start of a body of chunks of `chunk_size` bytes (normally [`CHUNK_SIZE`]).
    ///
    /// # Errors
    ///
    /// None in practice; see [`ArrowTunnelError::Ipc`].
    pub fn new(chunk_size: u32) -> Result<Self, ArrowTunnelError> {
        // The official clients align to eight bytes; more would only be padding.
        let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)
            .map_err(ArrowTunnelError::Ipc)?;
        Ok(Self {
            frame: ChunkFrame::new(chunk_size),
            options,
            message: Vec::new(),
        })
    }

    /// Appends a batch to `out`.
    ///
    /// # Errors
    ///
    /// For dictionary columns, and where the IPC encoder fails. `out` is as it was.
    pub fn write(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
    ) -> Result<(), ArrowTunnelError> {
        for field in batch.schema_ref().fields() {
            if has_dictionary(field.data_type()) {
                return Err(ArrowTunnelError::Dictionary {
                    column: field.name().clone(),
                });
            }
        }
        let mut tracker = DictionaryTracker::new(false);
        let mut context = IpcWriteContext::default();
        let (_, encoded) = IpcDataGenerator::default()
            .encode(batch, &mut tracker, &self.options, &mut context)
            .map_err(ArrowTunnelError::Ipc)?;
        self.message.clear();
        write_message(&mut self.message, encoded, &self.options).map_err(ArrowTunnelError::Ipc)?;
        self.frame.write(&self.message, out);
        Ok(())
    }

    /// Appends the end of the body; the next [`write`](Self::write) starts another one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.frame.finish(out);
    }
}

fn has_dictionary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(..) => true,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => has_dictionary(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_dictionary(field.data_type())),
        _ => false,
    }
}

/// The chunk framing alone: the chunk size, data with a checksum after each full chunk, and the
/// checksum of everything.
#[derive(Clone, Debug)]
pub struct ChunkFrame {
    chunk_size: u32,
    started: bool,
    in_chunk: u32,
    chunk_checksum: u32,
    total_checksum: u32,
}

impl ChunkFrame {
    /// A frame of chunks of `chunk_size` bytes, at least one.
    #[must_use]
    pub fn new(chunk_size: u32) -> Self {
        Self {
            chunk_size: chunk_size.max(1),
            started: false,
            in_chunk: 0,
            chunk_checksum: 0,
            total_checksum: 0,
        }
    }

    /// Appends data to `out`.
    pub fn write(&mut self, mut data: &[u8], out: &mut Vec<u8>) {
        if !self.started && !data.is_empty() {
            out.extend_from_slice(&self.chunk_size.to_be_bytes());
            self.started = true;
        }
        while !data.is_empty() {
            let room = (self.chunk_size - self.in_chunk) as usize;
            let (part, rest) = data.split_at(room.min(data.len()));
            out.extend_from_slice(part);
            self.chunk_checksum = checksum::extend(self.chunk_checksum, part);
            self.total_checksum = checksum::extend(self.total_checksum, part);
            self.in_chunk += part.len() as u32;
            if self.in_chunk == self.chunk_size {
                out.extend_from_slice(&self.chunk_checksum.to_be_bytes());
                self.in_chunk = 0;
                self.chunk_checksum = 0;
            }
            data = rest;
        }
    }

    /// Appends the checksum of all data; a body without data is only that. The frame is at its start
    /// again.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.total_checksum.to_be_bytes());
        *self = Self::new(self.chunk_size);
    }
}
