//! CRC32C (Castagnoli), the checksum of every tunnel stream.

/// Continues a CRC32C: `extend(extend(0, a), b)` is the checksum of `a` followed by `b`.
#[must_use]
#[inline]
pub fn extend(crc: u32, bytes: &[u8]) -> u32 {
    // Where the processor has the instruction the crate uses it; WebAssembly has none, and there
    // the larger tables are faster than what the crate falls back to.
    #[cfg(not(target_arch = "wasm32"))]
    {
        crc32c::crc32c_append(crc, bytes)
    }
    #[cfg(target_arch = "wasm32")]
    {
        table::extend(crc, bytes)
    }
}

/// Zeros before the bytes that [`of_padded`] takes.
pub(crate) const PADDING: usize = 16;

/// The checksum of what stands behind [`PADDING`] zeros.
///
/// The tables are fastest on whole blocks of sixteen bytes: short input is completed to such by
/// some of the zeros, which the start value takes back.
#[inline]
pub(crate) fn of_padded(padded: &[u8]) -> u32 {
    #[cfg(not(target_arch = "wasm32"))]
    {
        extend(0, padded.get(PADDING..).unwrap_or_default())
    }
    #[cfg(target_arch = "wasm32")]
    {
        table::of_padded(padded)
    }
}

#[cfg(any(target_arch = "wasm32", test))]
mod table {
    use super::PADDING;

    /// `TABLES[n][b]` is the CRC of byte `b` followed by `n` zero bytes.
    static TABLES: [[u32; 256]; 16] = tables();

    const POLYNOMIAL: u32 = 0x82f6_3b78;

    #[expect(
        clippy::indexing_slicing,
        reason = "computed by the compiler, which checks it"
    )]
    const fn tables() -> [[u32; 256]; 16] {
        let mut tables = [[0; 256]; 16];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 {
                    (crc >> 1) ^ POLYNOMIAL
                } else {
                    crc >> 1
                };
                bit += 1;
            }
            tables[0][byte] = crc;
            byte += 1;
        }
        let mut zeros = 1;
        while zeros < 16 {
            let mut byte = 0;
            while byte < 256 {
                let before = tables[zeros - 1][byte];
                tables[zeros][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
                byte += 1;
            }
            zeros += 1;
        }
        tables
    }

    /// `BEFORE_ZEROS[n]` is the state that `n` zero bytes turn into the state before the first byte.
    static BEFORE_ZEROS: [u32; PADDING + 1] = before_zeros();

    #[expect(
        clippy::indexing_slicing,
        reason = "computed by the compiler, which checks it"
    )]
    const fn before_zeros() -> [u32; PADDING + 1] {
        let tables = tables();
        let mut states = [u32::MAX; PADDING + 1];
        let mut zeros = 1;
        while zeros <= PADDING {
            let after = states[zeros - 1];
            // The highest byte comes from the table alone, and tells which entry it was.
            let mut entry = 0;
            while tables[0][entry] >> 24 != after >> 24 {
                entry += 1;
            }
            states[zeros] = (after ^ tables[0][entry]) << 8 | entry as u32;
            zeros += 1;
        }
        states
    }

    /// See [`super::of_padded`].
    pub(super) fn of_padded(padded: &[u8]) -> u32 {
        let excess = padded.len() % 16;
        let zeros = PADDING - excess;
        let state = BEFORE_ZEROS.get(zeros).copied().unwrap_or_default();
        let (blocks, _) = padded.get(excess..).unwrap_or_default().as_chunks();
        !blocks.iter().fold(state, step)
    }

    /// Sixteen bytes, each through its own table.
    #[expect(
        clippy::indexing_slicing,
        reason = "a byte is always within a table of 256"
    )]
    #[inline(always)]
    fn step(crc: u32, block: &[u8; 16]) -> u32 {
        let [
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            t6,
            t7,
            t8,
            t9,
            ta,
            tb,
            tc,
            td,
            te,
            tf,
        ] = &TABLES;
        // One load for eight bytes: loads are what limits this.
        let block = u128::from_le_bytes(*block);
        let (x, y) = (block as u64 ^ u64::from(crc), (block >> 64) as u64);
        tf[byte(x, 0)]
            ^ te[byte(x, 1)]
            ^ td[byte(x, 2)]
            ^ tc[byte(x, 3)]
            ^ tb[byte(x, 4)]
            ^ ta[byte(x, 5)]
            ^ t9[byte(x, 6)]
            ^ t8[byte(x, 7)]
            ^ t7[byte(y, 0)]
            ^ t6[byte(y, 1)]
            ^ t5[byte(y, 2)]
            ^ t4[byte(y, 3)]
            ^ t3[byte(y, 4)]
            ^ t2[byte(y, 5)]
            ^ t1[byte(y, 6)]
            ^ t0[byte(y, 7)]
    }

    #[inline(always)]
    fn byte(word: u64, n: u32) -> usize {
        (word >> (8 * n) & 0xff) as usize
    }

    /// Sixteen bytes a step; what is left in steps of eight, four and one.
    #[expect(
        clippy::indexing_slicing,
        reason = "a byte is always within a table of 256"
    )]
    pub(super) fn extend(crc: u32, bytes: &[u8]) -> u32 {
        let [t0, t1, t2, t3, t4, t5, t6, t7, ..] = &TABLES;
        let mut crc = !crc;
        let (blocks, rest) = bytes.as_chunks::<16>();
        for block in blocks {
            crc = step(crc, block);
        }
        let (blocks, rest) = rest.as_chunks::<8>();
        for block in blocks {
            let x = u64::from_le_bytes(*block) ^ u64::from(crc);
            crc = t7[byte(x, 0)]
                ^ t6[byte(x, 1)]
                ^ t5[byte(x, 2)]
                ^ t4[byte(x, 3)]
                ^ t3[byte(x, 4)]
                ^ t2[byte(x, 5)]
                ^ t1[byte(x, 6)]
                ^ t0[byte(x, 7)];
        }
        let (blocks, rest) = rest.as_chunks::<4>();
        for block in blocks {
            let x = u64::from(u32::from_le_bytes(*block) ^ crc);
            crc = t3[byte(x, 0)] ^ t2[byte(x, 1)] ^ t1[byte(x, 2)] ^ t0[byte(x, 3)];
        }
        for byte in rest {
            crc = (crc >> 8) ^ t0[(crc as u8 ^ byte) as usize];
        }
        !crc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_value_of_the_polynomial() {
        assert_eq!(extend(0, b"123456789"), 0xe306_9283);
        assert_eq!(table::extend(0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn both_forms_agree_at_every_length_and_split() {
        let bytes: Vec<u8> = (0..200u32).map(|i| (i * 37 + 11) as u8).collect();
        for end in 0..bytes.len() {
            let whole = extend(0, &bytes[..end]);
            assert_eq!(table::extend(0, &bytes[..end]), whole);
            let (head, tail) = bytes[..end].split_at(end / 3);
            assert_eq!(table::extend(table::extend(0, head), tail), whole);
            let mut padded = vec![0; PADDING];
            padded.extend_from_slice(&bytes[..end]);
            assert_eq!(table::of_padded(&padded), whole, "{end}");
            assert_eq!(of_padded(&padded), whole, "{end}");
        }
    }
}
