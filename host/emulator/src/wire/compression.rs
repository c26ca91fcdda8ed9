use std::io::{self, BufRead, Read, Write};

use lz4_flex::frame::{BlockMode, FrameInfo};

/// A method of `Content-Encoding` and `Accept-Encoding` on the tunnel, applied to the whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `deflate`: the zlib format.
    Zlib,
    /// `zstd`.
    Zstd,
    /// `x-snappy-framed`.
    Snappy,
    /// `x-lz4-frame`.
    Lz4,
    /// `x-odps-lz4-frame`: the same bytes, the name used by the Arrow tunnel.
    OdpsLz4,
}

impl Compression {
    const ALL: [Compression; 5] = [
        Compression::Zlib,
        Compression::Zstd,
        Compression::Snappy,
        Compression::Lz4,
        Compression::OdpsLz4,
    ];

    /// Its name in the headers.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Zlib => "deflate",
            Compression::Zstd => "zstd",
            Compression::Snappy => "x-snappy-framed",
            Compression::Lz4 => "x-lz4-frame",
            Compression::OdpsLz4 => "x-odps-lz4-frame",
        }
    }

    /// Reads a `Content-Encoding`: `None` inside means plain bytes, no answer means an unknown name.
    pub fn of_content(header: &str) -> Option<Option<Self>> {
        let name = header.trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            return Some(None);
        }
        Self::ALL
            .into_iter()
            .find(|method| name.eq_ignore_ascii_case(method.name()))
            .map(Some)
    }

    /// The first method of an `Accept-Encoding` that is known; plain bytes are always acceptable.
    pub fn of_accept(header: &str) -> Option<Self> {
        header
            .split(',')
            .map(|entry| entry.split(';').next().unwrap_or_default())
            .find_map(|entry| {
                let name = entry.trim();
                Self::ALL
                    .into_iter()
                    .find(|method| name.eq_ignore_ascii_case(method.name()))
            })
    }
}

/// A body with its compression taken off while it is read.
pub type BodyReader = Box<dyn Read>;

impl Compression {
    /// Wraps a compressed body.
    ///
    /// # Errors
    /// When the decoder cannot be made (memory).
    pub fn reader(method: Option<Self>, body: impl BufRead + 'static) -> io::Result<BodyReader> {
        Ok(match method {
            None => Box::new(body),
            Some(Compression::Zlib) => Box::new(flate2::bufread::ZlibDecoder::new(body)),
            Some(Compression::Zstd) => Box::new(zstd::stream::read::Decoder::with_buffer(body)?),
            Some(Compression::Snappy) => Box::new(snap::read::FrameDecoder::new(body)),
            // Linked blocks, as Python writes them, are read as well as independent ones.
            Some(Compression::Lz4 | Compression::OdpsLz4) => {
                Box::new(lz4_flex::frame::FrameDecoder::new(body))
            }
        })
    }
}

/// A sink that compresses what is written to it.
pub enum BodyWriter<W: Write> {
    /// As it comes.
    Plain(W),
    /// zlib.
    Zlib(flate2::write::ZlibEncoder<W>),
    /// zstd.
    Zstd(zstd::stream::write::Encoder<'static, W>),
    /// Snappy frames.
    Snappy(Box<snap::write::FrameEncoder<W>>),
    /// LZ4 frames.
    Lz4(Box<lz4_flex::frame::FrameEncoder<W>>),
}

impl<W: Write> BodyWriter<W> {
    /// A writer for one body. LZ4 blocks are independent: the Java client reads no others.
    ///
    /// # Errors
    /// When the encoder cannot be made (memory).
    pub fn new(method: Option<Compression>, sink: W) -> io::Result<Self> {
        Ok(match method {
            None => BodyWriter::Plain(sink),
            Some(Compression::Zlib) => BodyWriter::Zlib(flate2::write::ZlibEncoder::new(
                sink,
                flate2::Compression::fast(),
            )),
            Some(Compression::Zstd) => {
                BodyWriter::Zstd(zstd::stream::write::Encoder::new(sink, 1)?)
            }
            Some(Compression::Snappy) => {
                BodyWriter::Snappy(Box::new(snap::write::FrameEncoder::new(sink)))
            }
            Some(Compression::Lz4 | Compression::OdpsLz4) => {
                let info = FrameInfo::new().block_mode(BlockMode::Independent);
                BodyWriter::Lz4(Box::new(lz4_flex::frame::FrameEncoder::with_frame_info(
                    info, sink,
                )))
            }
        })
    }

    /// Ends the compressed stream and gives the sink back.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(self) -> io::Result<W> {
        match self {
            BodyWriter::Plain(sink) => Ok(sink),
            BodyWriter::Zlib(encoder) => encoder.finish(),
            BodyWriter::Zstd(encoder) => encoder.finish(),
            BodyWriter::Snappy(encoder) => encoder.into_inner().map_err(|error| error.into_error()),
            BodyWriter::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
        }
    }
}

impl<W: Write> Write for BodyWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            BodyWriter::Plain(sink) => sink.write(bytes),
            BodyWriter::Zlib(encoder) => encoder.write(bytes),
            BodyWriter::Zstd(encoder) => encoder.write(bytes),
            BodyWriter::Snappy(encoder) => encoder.write(bytes),
            BodyWriter::Lz4(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            BodyWriter::Plain(sink) => sink.flush(),
            BodyWriter::Zlib(encoder) => encoder.flush(),
            BodyWriter::Zstd(encoder) => encoder.flush(),
            BodyWriter::Snappy(encoder) => encoder.flush(),
            BodyWriter::Lz4(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bodies_come_back(data in proptest::collection::vec(0u8..4, 0..100_000), which in 0usize..6) {
            let method = if which == 5 { None } else { Some(Compression::ALL[which]) };
            let mut writer = BodyWriter::new(method, Vec::new()).unwrap();
            writer.write_all(&data).unwrap();
            let packed = writer.finish().unwrap();
            let mut back = Vec::new();
            Compression::reader(method, io::Cursor::new(packed)).unwrap().read_to_end(&mut back).unwrap();
            prop_assert_eq!(back, data);
        }
    }

    #[test]
    fn lz4_blocks_are_independent() {
        let mut writer = BodyWriter::new(Some(Compression::Lz4), Vec::new()).unwrap();
        writer.write_all(&[7; 300_000]).unwrap();
        let frame = writer.finish().unwrap();
        assert_eq!(frame[4] & 0x20, 0x20, "BLOCK_INDEPENDENCE is not set");
    }

    #[test]
    fn header_names() {
        assert_eq!(
            Compression::of_content("deflate"),
            Some(Some(Compression::Zlib))
        );
        assert_eq!(Compression::of_content("identity"), Some(None));
        assert_eq!(Compression::of_content("br"), None);
        assert_eq!(
            Compression::of_accept("gzip, x-lz4-frame;q=0.5"),
            Some(Compression::Lz4)
        );
        assert_eq!(Compression::of_accept("identity"), None);
    }
}
