//! Where a block repeats itself.

use std::num::NonZeroU16;

use super::bits::Bits;

/// Shorter matches are seldom smaller than their literals.
const SHORTEST: usize = 4;
const LONGEST: usize = 258;
/// Farthest that a match reaches back.
const WINDOW: usize = 32_768;
const HASH_BITS: u32 = 14;
const SLOTS: usize = 1 << HASH_BITS;

/// Literals, then a match; the last sequence of a block has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    literals: u16,
    length: u16,
    distance: Option<NonZeroU16>,
}

/// A symbol and the bits behind its code.
pub(super) struct Symbol {
    pub(super) symbol: usize,
    pub(super) extra: Bits,
}

impl Sequence {
    /// The literals at the start of `rest`, and what is behind the match.
    #[inline(always)]
    pub(super) fn split<'a>(&self, rest: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let (literals, rest) = rest
            .split_at_checked(usize::from(self.literals))
            .unwrap_or((rest, &[]));
        (
            literals,
            rest.get(usize::from(self.length)..).unwrap_or_default(),
        )
    }

    /// The symbols of length and distance.
    #[inline(always)]
    pub(super) fn symbols(&self) -> Option<(Symbol, Symbol)> {
        let distance = u32::from(self.distance?.get());
        Some((length(u32::from(self.length)), distance_of(distance)))
    }
}

/// Lengths from 3 on: eight symbols of one, then four of each number of extra bits; the longest has
/// a symbol of its own.
#[inline(always)]
fn length(length: u32) -> Symbol {
    if length == LONGEST as u32 {
        return Symbol {
            symbol: 285,
            extra: Bits::default(),
        };
    }
    let value = length.wrapping_sub(3) & 0xff;
    let len = 29 - (value | 4).leading_zeros();
    Symbol {
        symbol: (257 + 4 * len + (value >> len)) as usize,
        extra: low_bits(value, len),
    }
}

/// Distances from 1 on: four symbols of one, then two of each number of extra bits.
#[inline(always)]
fn distance_of(distance: u32) -> Symbol {
    let value = distance.wrapping_sub(1);
    let len = 30 - (value | 2).leading_zeros();
    Symbol {
        symbol: (2 * len + (value >> len)) as usize,
        extra: low_bits(value, len),
    }
}

#[inline(always)]
fn low_bits(value: u32, len: u32) -> Bits {
    Bits {
        bits: u64::from(value & !(u32::MAX << len)),
        len,
    }
}

/// Extra bits of a symbol of the literal code.
pub(super) fn extra_length_bits(symbol: usize) -> usize {
    match symbol {
        265..285 => (symbol - 261) / 4,
        _ => 0,
    }
}

/// Extra bits of a symbol of the distance code.
pub(super) fn extra_distance_bits(symbol: usize) -> usize {
    (symbol / 2).saturating_sub(1)
}

/// Finds matches; keeps its memory from block to block.
#[derive(Debug)]
pub(super) struct Matches {
    /// Last place of each hash. A place of an earlier block, or none, is told by what stands there.
    places: Box<[u16; SLOTS]>,
    sequences: Vec<Sequence>,
}

impl Default for Matches {
    fn default() -> Self {
        Self {
            places: Box::new([0; SLOTS]),
            sequences: Vec::new(),
        }
    }
}

impl Matches {
    /// The block as sequences.
    #[inline(never)]
    #[expect(
        clippy::indexing_slicing,
        reason = "a hash has no more bits than the table has slots"
    )]
    pub(super) fn find(&mut self, block: &[u8]) -> &[Sequence] {
        self.sequences.clear();
        self.places.fill(0);
        let places = &mut *self.places;
        let end = block.len().saturating_sub(7);
        let mut literals_from = 0;
        let mut at = 1;
        'block: loop {
            // Most of the time is spent here: no branch but those that are seldom taken.
            let before = loop {
                if at >= end {
                    break 'block;
                }
                let here = word(block, at);
                let place = &mut places[hash(here)];
                let before = usize::from(*place);
                // A block is never longer than this number can tell.
                *place = at as u16;
                if word(block, before) as u32 == here as u32 && at - before <= WINDOW {
                    break before;
                }
                at += 1;
            };
            let length = common(block, before, at);
            self.sequences.push(Sequence {
                literals: (at - literals_from) as u16,
                length: length as u16,
                distance: NonZeroU16::new((at - before) as u16),
            });
            at += length;
            literals_from = at;
        }
        self.sequences.push(Sequence {
            literals: (block.len() - literals_from) as u16,
            length: 0,
            distance: None,
        });
        &self.sequences
    }
}

/// Eight bytes; zeros where there are not so many.
#[inline(always)]
fn word(block: &[u8], at: usize) -> u64 {
    let bytes = block.get(at..).and_then(|rest| rest.first_chunk::<8>());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Multiplicative hashing of the first [`SHORTEST`] bytes.
#[inline(always)]
fn hash(word: u64) -> usize {
    let first = word << (64 - 8 * SHORTEST);
    (first.wrapping_mul(0x9e37_79b1_85eb_ca87) >> (64 - HASH_BITS)) as usize
}

/// How many bytes from `before` and from `at` on are the same, [`LONGEST`] at most.
#[inline(always)]
fn common(block: &[u8], before: usize, at: usize) -> usize {
    let longest = LONGEST.min(block.len() - at);
    let mut length = SHORTEST;
    while length + 8 <= longest {
        let different = word(block, before + length) ^ word(block, at + length);
        if different != 0 {
            return length + different.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let (there, here) = (block.get(before..), block.get(at..));
    let rest = there.into_iter().flatten().zip(here.into_iter().flatten());
    length
        + rest
            .take(longest)
            .skip(length)
            .take_while(|(there, here)| there == here)
            .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_those_of_the_format() {
        let told = |found: Symbol| (found.symbol, found.extra.len, found.extra.bits);
        // Length, symbol, number of extra bits, their value.
        for (value, symbol, len, extra) in [
            (3, 257, 0, 0),
            (10, 264, 0, 0),
            (11, 265, 1, 0),
            (12, 265, 1, 1),
            (13, 266, 1, 0),
            (18, 268, 1, 1),
            (19, 269, 2, 0),
            (34, 272, 2, 3),
            (35, 273, 3, 0),
            (227, 284, 5, 0),
            (257, 284, 5, 30),
            (258, 285, 0, 0),
        ] {
            assert_eq!(told(length(value)), (symbol, len, extra), "length {value}");
            assert_eq!(extra_length_bits(symbol), len as usize);
        }
        for (value, symbol, len, extra) in [
            (1, 0, 0, 0),
            (4, 3, 0, 0),
            (5, 4, 1, 0),
            (6, 4, 1, 1),
            (7, 5, 1, 0),
            (9, 6, 2, 0),
            (12, 6, 2, 3),
            (13, 7, 2, 0),
            (24_577, 29, 13, 0),
            (32_768, 29, 13, 8_191),
        ] {
            let found = told(distance_of(value));
            assert_eq!(found, (symbol, len, extra), "distance {value}");
            assert_eq!(extra_distance_bits(symbol), len as usize);
        }
    }
}
