//! Compressed bodies.

use std::io::Read;

use longshore_core::compress::{Compression, Compressor};

use crate::support::{record_file, vector_json};

const ALL: [Compression; 5] = [
    Compression::Raw,
    Compression::Zlib { level: 1 },
    Compression::Zlib { level: 6 },
    Compression::Snappy,
    Compression::Lz4,
];

fn decompress(encoding: Option<&str>, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match encoding {
        None => return bytes.to_vec(),
        Some("deflate") => flate2::read::ZlibDecoder::new(bytes)
            .read_to_end(&mut plain)
            .unwrap(),
        Some("x-snappy-framed") => snap::read::FrameDecoder::new(bytes)
            .read_to_end(&mut plain)
            .unwrap(),
        Some("x-lz4-frame" | "x-odps-lz4-frame") => lz4_flex::frame::FrameDecoder::new(bytes)
            .read_to_end(&mut plain)
            .unwrap(),
        Some("zstd") => return zstd::stream::decode_all(bytes).unwrap(),
        Some(other) => panic!("{other}"),
    };
    plain
}

#[test]
fn compressed_vectors_hold_the_plain_ones() {
    let index = vector_json("records/index.json");
    let mut read = 0;
    for vector in index["vectors"].as_array().unwrap() {
        let Some(encoding) = vector["content_encoding"].as_str() else {
            continue;
        };
        let name = vector["file"].as_str().unwrap();
        let plain = decompress(Some(encoding), &record_file(name));
        assert_eq!(
            plain,
            record_file(vector["decompresses_to"].as_str().unwrap()),
            "{name}"
        );
        read += 1;
    }
    assert_eq!(read, 14);
}

/// Text that compresses, then noise that does not.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    (0..len)
        .map(|i| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if i % 100_000 < 70_000 {
                b"status-00042,"[i % 13]
            } else {
                (state >> 56) as u8
            }
        })
        .collect()
}

#[test]
fn bodies_of_any_size_come_back_from_a_reused_compressor() {
    for compression in ALL {
        let mut compressor = Compressor::new(compression);
        for len in [0, 1, 13, 65_535, 65_536, 65_537, 262_144, 600_000] {
            let plain = sample(len);
            for piece in [1_000, 70_000, 1_000_000] {
                let mut body = Vec::new();
                for part in plain.chunks(piece) {
                    compressor.write(part, &mut body).unwrap();
                }
                compressor.finish(&mut body).unwrap();
                let back = decompress(compression.content_encoding(), &body);
                assert!(back == plain, "{compression:?} {len} {piece}");
            }
        }
    }
}

#[test]
fn an_abandoned_body_leaves_no_trace() {
    for compression in ALL {
        let mut fresh = Vec::new();
        let mut compressor = Compressor::new(compression);
        compressor.write(b"second", &mut fresh).unwrap();
        compressor.finish(&mut fresh).unwrap();
        let (mut lost, mut after) = (Vec::new(), Vec::new());
        compressor.write(&sample(100_000), &mut lost).unwrap();
        compressor.reset();
        compressor.write(b"second", &mut after).unwrap();
        compressor.finish(&mut after).unwrap();
        assert_eq!(after, fresh, "{compression:?}");
    }
}

#[test]
fn lz4_blocks_are_independent() {
    let mut body = Vec::new();
    let mut compressor = Compressor::new(Compression::Lz4);
    compressor.write(b"x", &mut body).unwrap();
    compressor.finish(&mut body).unwrap();
    assert_eq!(body[4] & 0b0010_0000, 0b0010_0000);
}

#[test]
fn names() {
    assert_eq!("ZLIB".parse(), Ok(Compression::Zlib { level: 1 }));
    assert_eq!(
        "Lz4"
            .parse::<Compression>()
            .unwrap()
            .arrow_content_encoding(),
        Some("x-odps-lz4-frame")
    );
    assert!(
        "gzip"
            .parse::<Compression>()
            .unwrap_err()
            .to_string()
            .contains("snappy")
    );
}

/// Pieces of two bodies in turn, each as if it were alone.
#[test]
fn compressors_that_share_tables_do_not_mix_their_bodies() {
    for compression in ALL {
        let bodies = [sample(700_000), sample(300_001).into_iter().rev().collect()];
        let first = Compressor::new(compression);
        let mut shared = [first.sharing_tables(), first];
        let mut together = [Vec::new(), Vec::new()];
        for at in (0..700_000).step_by(40_000) {
            for (n, body) in bodies.iter().enumerate() {
                let piece = body.get(at..body.len().min(at + 40_000));
                let piece = piece.unwrap_or_default();
                shared[n].write(piece, &mut together[n]).unwrap();
            }
        }
        for (n, body) in bodies.iter().enumerate() {
            shared[n].finish(&mut together[n]).unwrap();
            let plain = decompress(compression.content_encoding(), &together[n]);
            assert!(plain == *body, "{compression}: body {n} is another one");
        }
    }
}
