//! Lines of text files, plain or compressed, with their numbers and offsets.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

use flate2::read::MultiGzDecoder;

use super::super::error::{SourceError, SourceErrorKind};
use super::{identity::unreadable, paths::STDIN, scalar::shorten};

/// A line longer than this is not a row but a file without line ends.
const MAX_LINE: u64 = 64 << 20;
const BUFFER: usize = 128 * 1024;

/// A line, or a record of several.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// Without its line end.
    pub(crate) text: String,
    /// Number of its first line, from 1.
    pub(crate) line: u64,
    /// Offset behind it in the uncompressed file, and number of lines up to there.
    pub(crate) end: Place,
}

/// A place between two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) lines: u64,
}

/// Reads lines.
pub(crate) struct LineReader {
    name: Arc<str>,
    input: Box<dyn LineInput>,
    compressed: bool,
    place: Place,
    buffer: Vec<u8>,
}

trait LineInput: BufRead + Send {
    /// Waits until there is input or the end of it; whether that came within `timeout`.
    fn wait(&mut self, _timeout: Duration) -> bool {
        true
    }
}

impl<R: Read + Send> LineInput for BufReader<R> {}

impl LineReader {
    /// Opens a file at its beginning. `bytes_read` counts what is read from the file.
    pub(crate) fn open(path: &str, bytes_read: &Arc<AtomicU64>) -> Result<Self, SourceError> {
        let failed = |error: io::Error| unreadable(path, &error);
        let (input, compressed): (Box<dyn LineInput>, bool) = if path == STDIN {
            let mut input = Stdin::start(Arc::clone(bytes_read)).map_err(failed)?;
            let magic = input.fill_buf().map_err(failed)?;
            match Compression::of(magic) {
                None => (Box::new(input), false),
                Some(compression) => (compression.decoder(input).map_err(failed)?, true),
            }
        } else {
            let file = Counting {
                inner: File::open(path).map_err(failed)?,
                bytes: Arc::clone(bytes_read),
            };
            let mut input = BufReader::with_capacity(BUFFER, file);
            let magic = input.fill_buf().map_err(failed)?;
            match Compression::of(magic) {
                None => (Box::new(input), false),
                Some(compression) => (compression.decoder(input).map_err(failed)?, true),
            }
        };
        let mut reader = Self {
            name: Arc::from(if path == STDIN {
                "standard input"
            } else {
                path
            }),
            input,
            compressed,
            place: Place::default(),
            buffer: Vec::new(),
        };
        reader.skip_byte_order_mark()?;
        Ok(reader)
    }

    /// The file's name in messages.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether offsets are places in the file itself.
    pub(crate) fn is_compressed(&self) -> bool {
        self.compressed
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Whether the next line, or the end, can be read without a long wait.
    pub(crate) fn wait(&mut self, timeout: Duration) -> bool {
        self.input.wait(timeout)
    }

    /// Whether the input has ended, as far as it shows within `timeout`.
    pub(crate) fn has_ended(&mut self, timeout: Duration) -> Result<bool, SourceError> {
        Ok(self.input.wait(timeout) && self.fill()?.is_empty())
    }

    /// Goes on at a place of `path` that an earlier reader was at.
    pub(crate) fn resume(
        mut self,
        path: &str,
        place: Place,
        bytes_read: &Arc<AtomicU64>,
    ) -> Result<Self, SourceError> {
        if self.compressed {
            let mut left = place.offset.saturating_sub(self.place.offset);
            while left > 0 {
                let available = self.fill()?.len() as u64;
                if available == 0 {
                    return Err(self.ended_early());
                }
                let step = available.min(left);
                self.input
                    .consume(usize::try_from(step).unwrap_or(usize::MAX));
                left -= step;
            }
        } else {
            let failed = |error: io::Error| unreadable(path, &error);
            let mut file = File::open(path).map_err(failed)?;
            let before = place.offset.saturating_sub(1);
            file.seek(SeekFrom::Start(before)).map_err(failed)?;
            let file = Counting {
                inner: file,
                bytes: Arc::clone(bytes_read),
            };
            self.input = Box::new(BufReader::with_capacity(BUFFER, file));
            if place.offset > 0 {
                let mut last = [0];
                self.input.read_exact(&mut last).map_err(failed)?;
                self.check_line_end(last, path)?;
            }
        }
        self.place.lines = place.lines;
        self.place.offset = self.place.offset.max(place.offset);
        Ok(self)
    }

    /// A last line without a line end was taken for whole; if the file grew, the line may have
    /// gone on.
    fn check_line_end(&mut self, last: [u8; 1], path: &str) -> Result<(), SourceError> {
        if last == *b"\n" {
            return Ok(());
        }
        match self.fill()?.first() {
            None => Ok(()),
            Some(b'\n') => {
                self.input.consume(1);
                self.place.offset += 1;
                Ok(())
            }
            Some(_) => Err(SourceError::new(
                SourceErrorKind::Changed,
                format!("the last line of `{path}` was read before it was complete"),
            )
            .help("delete the checkpoint to read everything from the beginning")),
        }
    }

    fn ended_early(&self) -> SourceError {
        SourceError::new(
            SourceErrorKind::Changed,
            format!(
                "`{}` ends before the place this run continues from",
                self.name
            ),
        )
    }

    fn skip_byte_order_mark(&mut self) -> Result<(), SourceError> {
        if self.fill()?.starts_with(b"\xef\xbb\xbf") {
            self.input.consume(3);
            self.place.offset += 3;
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<&[u8], SourceError> {
        let (name, compressed, place) = (Arc::clone(&self.name), self.compressed, self.place);
        self.input
            .fill_buf()
            .map_err(|error| read_failed(&name, compressed, place, &error))
    }

    /// The next line without its line end, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, SourceError> {
        self.buffer.clear();
        let read = (&mut self.input)
            .take(MAX_LINE)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|error| read_failed(&self.name, self.compressed, self.place, &error))?;
        if read == 0 {
            return Ok(None);
        }
        let line = self.place.lines + 1;
        if self.buffer.last() != Some(&b'\n') && read as u64 == MAX_LINE {
            return Err(SourceError::new(
                SourceErrorKind::Data,
                format!("the line is longer than {} MiB", MAX_LINE >> 20),
            )
            .at(format!("{}:{line}", self.name))
            .help("a text format has one row a line; is this the right format?"));
        }
        self.place = Place {
            offset: self.place.offset + read as u64,
            lines: line,
        };
        let mut bytes = self.buffer.as_slice();
        if let Some(rest) = bytes.strip_suffix(b"\n") {
            bytes = rest.strip_suffix(b"\r").unwrap_or(rest);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(Record {
                text: text.to_owned(),
                line,
                end: self.place,
            })),
            Err(error) => {
                let (valid, bad) = bytes.split_at(error.valid_up_to());
                let start = String::from_utf8_lossy(valid);
                let tail: String = start
                    .chars()
                    .rev()
                    .take(40)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .collect();
                let byte = bad.first().copied().unwrap_or_default();
                Err(SourceError::new(
                    SourceErrorKind::Data,
                    format!("the line is not UTF-8: byte 0x{byte:02x}"),
                )
                .at(format!("{}:{line}:{}", self.name, error.valid_up_to() + 1))
                .excerpt(format!("{tail}\u{fffd}"))
                .help("convert the file, for example with `iconv -f latin1 -t utf-8`"))
            }
        }
    }
}

fn read_failed(name: &str, compressed: bool, place: Place, error: &io::Error) -> SourceError {
    let place = format!("{name}:{}", place.lines + 1);
    let error = SourceError::new(
        SourceErrorKind::Io,
        format!("reading failed: {}", shorten(&error.to_string())),
    )
    .at(place);
    if compressed {
        error.help("the compressed file is damaged or cut off; compress or copy it again")
    } else {
        error
    }
}

/// How a whole file is compressed.
#[derive(Clone, Copy)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// Told by the first bytes of a file.
    pub(crate) fn of(start: &[u8]) -> Option<Self> {
        if start.starts_with(&[0x1f, 0x8b]) {
            Some(Self::Gzip)
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// The name of the compression, and the command that undoes it.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Gzip => ("gzip", "gunzip"),
            Self::Zstd => ("zstd", "unzstd"),
        }
    }

    fn decoder<R: BufRead + Send + 'static>(self, input: R) -> io::Result<Box<dyn LineInput>> {
        Ok(match self {
            Self::Gzip => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(input))),
            Self::Zstd => Box::new(BufReader::with_capacity(
                BUFFER,
                zstd::stream::read::Decoder::with_buffer(input)?,
            )),
        })
    }
}

struct Counting<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Standard input, read by a thread of its own: rows that are there must not wait for rows that
/// are yet to come.
struct Stdin {
    chunks: Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    used: usize,
    ended: bool,
    failed: Option<io::Error>,
}

impl Stdin {
    fn start(bytes_read: Arc<AtomicU64>) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(4);
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                let mut input = io::stdin().lock();
                loop {
                    let chunk = match input.fill_buf() {
                        Ok([]) => return,
                        Ok(bytes) => Ok(bytes.to_vec()),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        Err(error) => Err(error),
                    };
                    let length = chunk.as_ref().map_or(0, Vec::len);
                    input.consume(length);
                    bytes_read.fetch_add(length as u64, Ordering::Relaxed);
                    let failed = chunk.is_err();
                    if sender.send(chunk).is_err() || failed {
                        return;
                    }
                }
            })?;
        Ok(Self {
            chunks,
            current: Vec::new(),
            used: 0,
            ended: false,
            failed: None,
        })
    }

    fn is_used_up(&self) -> bool {
        self.used >= self.current.len()
    }

    fn take(&mut self, chunk: Result<io::Result<Vec<u8>>, RecvTimeoutError>) -> io::Result<bool> {
        match chunk {
            Ok(Ok(bytes)) => {
                self.current = bytes;
                self.used = 0;
                Ok(true)
            }
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => {
                self.ended = true;
                Ok(true)
            }
        }
    }
}

impl LineInput for Stdin {
    fn wait(&mut self, timeout: Duration) -> bool {
        if !self.is_used_up() || self.ended || self.failed.is_some() {
            return true;
        }
        let chunk = self.chunks.recv_timeout(timeout);
        self.take(chunk).unwrap_or_else(|error| {
            self.failed = Some(error);
            true
        })
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(available) {
            *to = *from;
        }
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Stdin {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.is_used_up() && !self.ended {
            let chunk = self
                .chunks
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected);
            self.take(chunk)?;
        }
        Ok(self.current.get(self.used..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.used = (self.used + amount).min(self.current.len());
    }
}
