//! A fast deflate encoder (RFC 1951): one look for a match at each place, and codes made for each
//! block.
//!
//! It takes the place of a library's level 1. Measured in WebAssembly on the rows of the benchmark:
//! zlib-rs at level 1 has fixed codes, takes half again as long and makes 18 % more bytes; its level
//! 2 has the size and takes three times as long, miniz_oxide's level 1 twice.

mod bits;
mod huffman;
mod matches;

use std::cell::RefCell;
use std::rc::Rc;

use super::Blocks;
use bits::{BitWriter, Bits, room_for};
use huffman::{Code, CodeLengths};
use matches::{Matches, Sequence};

/// Input of one block; no match reaches beyond it. What one stored block can hold.
pub(super) const BLOCK: usize = 65_535;

/// Symbols of literals, the end of a block, and lengths.
const LITERALS: usize = 286;
const END_OF_BLOCK: usize = 256;
const DISTANCES: usize = 30;

/// Four literals fit in the writer's word between two flushes.
const LONGEST_LITERAL_CODE: usize = 14;
const LONGEST_DISTANCE_CODE: usize = 15;

/// Kinds of block, as they stand on the wire.
const STORED: u64 = 0;
const FIXED_CODES: u64 = 1;
const DYNAMIC_CODES: u64 = 2;

/// Encodes one stream after the other.
#[derive(Debug, Default)]
pub(super) struct Deflate {
    blocks: Blocks,
    /// Bits of the last byte begun.
    bits: Bits,
    tables: Rc<RefCell<Tables>>,
}

#[derive(Debug, Default)]
struct Tables {
    matches: Matches,
    literals: Code<LITERALS>,
    distances: Code<DISTANCES>,
}

impl Deflate {
    pub(super) fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Self {
            blocks,
            bits,
            tables,
        } = self;
        let mut tables = tables.borrow_mut();
        let encoded: Result<(), std::convert::Infallible> = blocks.write(bytes, BLOCK, |block| {
            tables.encode(block, false, bits, out);
            Ok(())
        });
        let Ok(()) = encoded;
    }

    /// Ends the stream. The next `write` starts another one.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let mut tables = self.tables.borrow_mut();
        tables.encode(&self.blocks.pending, true, &mut self.bits, out);
        drop(tables);
        self.reset();
    }

    pub(super) fn reset(&mut self) {
        self.blocks.pending.clear();
        self.bits = Bits::default();
    }

    pub(super) fn sharing_tables(&self) -> Self {
        Self {
            tables: Rc::clone(&self.tables),
            ..Self::default()
        }
    }
}

impl Tables {
    /// Appends a block behind the `bits` begun.
    fn encode(&mut self, block: &[u8], last: bool, bits: &mut Bits, out: &mut Vec<u8>) {
        if block.is_empty() {
            empty(last, bits, out);
            return;
        }
        let sequences = self.matches.find(block);
        self.literals.clear();
        self.distances.clear();
        count(block, sequences, &mut self.literals, &mut self.distances);
        self.literals.build(LONGEST_LITERAL_CODE);
        self.distances.build(LONGEST_DISTANCE_CODE);
        let lengths = CodeLengths::of(&self.literals, &self.distances);
        let size = lengths.bits()
            + self.literals.bits(matches::extra_length_bits)
            + self.distances.bits(matches::extra_distance_bits);
        if size >= 8 * block.len() {
            stored(block, last, bits, out);
            return;
        }
        append(bits, out, size, |mut writer| {
            writer.push(u64::from(last) | DYNAMIC_CODES << 1, 3);
            lengths.write(&mut writer);
            let mut writer = symbols(block, sequences, &self.literals, &self.distances, writer);
            if last {
                writer.whole_byte();
            }
            writer
        });
    }
}

fn empty(last: bool, bits: &mut Bits, out: &mut Vec<u8>) {
    append(bits, out, 10, |mut writer| {
        writer.push(u64::from(last) | FIXED_CODES << 1, 3);
        // The fixed code of the end of a block.
        writer.push(0, 7);
        if last {
            writer.whole_byte();
        }
        writer
    });
}

fn stored(block: &[u8], last: bool, bits: &mut Bits, out: &mut Vec<u8>) {
    append(bits, out, 3, |mut writer| {
        writer.push(u64::from(last) | STORED << 1, 3);
        writer.whole_byte();
        writer
    });
    // A block is never longer than this number can tell.
    let length = block.len() as u16;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(block);
}

/// Appends what `write` writes, so many bits, to `out` behind the bits begun.
fn append(
    begun: &mut Bits,
    out: &mut Vec<u8>,
    bits: usize,
    write: impl for<'a> FnOnce(BitWriter<'a>) -> BitWriter<'a>,
) {
    let from = out.len();
    out.resize(from + room_for(bits), 0);
    let room = out.get_mut(from..).unwrap_or_default();
    let (written, rest) = write(BitWriter::new(*begun, room)).end();
    *begun = rest;
    out.truncate(from + written);
}

/// Counts the symbols of a block.
#[inline(never)]
fn count(
    block: &[u8],
    sequences: &[Sequence],
    literals: &mut Code<LITERALS>,
    distances: &mut Code<DISTANCES>,
) {
    let mut rest = block;
    for sequence in sequences {
        let (run, behind) = sequence.split(rest);
        rest = behind;
        for byte in run {
            literals.count(usize::from(*byte));
        }
        if let Some((length, distance)) = sequence.symbols() {
            literals.count(length.symbol);
            distances.count(distance.symbol);
        }
    }
    literals.count(END_OF_BLOCK);
}

// The three loops stay functions of their own: together they need more registers than there are.

/// Writes the symbols of a block.
#[inline(never)]
fn symbols<'a>(
    block: &[u8],
    sequences: &[Sequence],
    literals: &Code<LITERALS>,
    distances: &Code<DISTANCES>,
    mut writer: BitWriter<'a>,
) -> BitWriter<'a> {
    let mut rest = block;
    for sequence in sequences {
        let (run, behind) = sequence.split(rest);
        rest = behind;
        let (fours, last) = run.as_chunks::<4>();
        for four in fours {
            for byte in four {
                writer.add(literals.word(usize::from(*byte)));
            }
            writer.flush();
        }
        for byte in last {
            writer.add(literals.word(usize::from(*byte)));
        }
        writer.flush();
        if let Some((length, distance)) = sequence.symbols() {
            writer.add(literals.word(length.symbol));
            writer.add(length.extra);
            writer.add(distances.word(distance.symbol));
            writer.add(distance.extra);
            writer.flush();
        }
    }
    writer.add(literals.word(END_OF_BLOCK));
    writer.flush();
    writer
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn encode(bytes: &[u8]) -> Vec<u8> {
        let mut deflate = Deflate::default();
        let mut out = Vec::new();
        deflate.write(bytes, &mut out);
        deflate.finish(&mut out);
        out
    }

    fn decode(bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        flate2::read::DeflateDecoder::new(bytes)
            .read_to_end(&mut plain)
            .unwrap();
        plain
    }

    fn noise(len: usize, values: u64) -> Vec<u8> {
        let mut state = 7_u64;
        (0..len)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                ((state >> 33) % values) as u8
            })
            .collect()
    }

    #[test]
    fn every_size_around_a_block_comes_back() {
        for values in [1, 2, 16, 256] {
            for len in (0..40).chain(BLOCK - 9..BLOCK + 9).chain([3 * BLOCK + 1]) {
                let plain = noise(len, values);
                assert_eq!(decode(&encode(&plain)), plain, "{len} of {values}");
            }
        }
    }

    #[test]
    fn noise_is_stored() {
        let plain = noise(1_000_000, 256);
        assert!(encode(&plain).len() < plain.len() + 200);
    }

    #[test]
    fn matches_of_every_length_and_distance_come_back() {
        let mut plain = noise(300, 256);
        let mut distance = 1;
        for length in 3..=300 {
            let from = plain.len() - distance.min(plain.len());
            for at in from..from + length {
                plain.push(plain[at]);
            }
            plain.extend(noise(distance % 19, 256));
            distance = (distance * 5 / 4 + 1) % 33_000;
        }
        let small = encode(&plain);
        assert!(small.len() < plain.len());
        assert_eq!(decode(&small), plain);
    }

    #[test]
    fn skewed_counts_keep_to_the_longest_code() {
        // Fibonacci numbers make the deepest tree.
        let (mut a, mut b) = (1_usize, 1_usize);
        let mut plain = Vec::new();
        for byte in 0..22_u8 {
            plain.extend(std::iter::repeat_n(byte, a));
            (a, b) = (b, a + b);
        }
        // In an order in which nothing repeats for long.
        let order = noise(plain.len(), 251);
        let mut pairs: Vec<(u8, u8)> = order.into_iter().zip(plain).collect();
        pairs.sort_unstable();
        let plain: Vec<u8> = pairs.into_iter().map(|(_, byte)| byte).collect();
        assert_eq!(decode(&encode(&plain)), plain);
    }

    #[test]
    fn a_stream_given_up_leaves_nothing_behind() {
        let mut deflate = Deflate::default();
        let plain = noise(100_000, 16);
        let mut out = Vec::new();
        deflate.write(&plain, &mut out);
        deflate.reset();
        out.clear();
        deflate.write(&plain, &mut out);
        deflate.finish(&mut out);
        assert_eq!(out, encode(&plain));
    }
}
