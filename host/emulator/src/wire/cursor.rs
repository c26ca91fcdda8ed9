use super::error::WireError;

/// Why a scan stopped before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The bytes so far are a prefix; try again with at least this many, counted from the start.
    Need(usize),
    /// The bytes are wrong.
    Error(WireError),
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Self {
        Stop::Error(error)
    }
}

/// A position in a byte slice that may end in the middle of a value.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    all: &'a [u8],
    rest: &'a [u8],
    field_limit: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self::limited(bytes, usize::MAX)
    }

    /// With the largest length that a text or binary value may have.
    pub(super) fn limited(bytes: &'a [u8], field_limit: usize) -> Self {
        Self {
            all: bytes,
            rest: bytes,
            field_limit,
        }
    }

    pub(super) fn field_limit(&self) -> usize {
        self.field_limit
    }

    pub(super) fn position(&self) -> usize {
        self.all.len() - self.rest.len()
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(Stop::Need(self.position().saturating_add(count))),
        }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(Stop::Need(self.position() + N)),
        }
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Stop> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Stop> {
        let mut value = 0u64;
        let mut rest = self.rest;
        for shift in (0..70).step_by(7) {
            let Some((&byte, after)) = rest.split_first() else {
                return Err(Stop::Need(self.all.len() + 1));
            };
            rest = after;
            // The tenth byte has room for one bit only.
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(WireError::malformed(format!(
            "byte {}: a varint does not fit 64 bits",
            self.position()
        ))
        .into())
    }

    #[inline]
    pub(super) fn zigzag(&mut self) -> Result<i64, Stop> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A checksum of 32 bits, which some writers sign-extend to ten bytes.
    pub(super) fn checksum(&mut self) -> Result<u32, Stop> {
        let value = self.varint()?;
        match value >> 31 {
            0 | 1 | 0x1_ffff_ffff => Ok(value as u32),
            _ => {
                let message = format!("byte {}: a checksum has more than 32 bits", self.position());
                Err(WireError::malformed(message).into())
            }
        }
    }

    pub(super) fn flag(&mut self) -> Result<bool, Stop> {
        match self.varint()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(WireError::malformed(format!(
                "byte {}: {other} is not a flag",
                self.position()
            ))
            .into()),
        }
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Where the bytes that a record's checksum covers go.
pub(super) trait ChecksumInput {
    fn put(&mut self, bytes: &[u8]);
}

/// For second passes over bytes that were checked already.
pub(super) struct Unchecked;

impl ChecksumInput for Unchecked {
    #[inline]
    fn put(&mut self, _: &[u8]) {}
}

/// CRC32C over many small pieces: they are gathered first, since the hardware likes long runs.
#[derive(Debug, Default)]
pub(super) struct RecordChecksum {
    state: u32,
    last: u32,
    pieces: Vec<u8>,
}

const LONG_PIECE: usize = 512;

impl RecordChecksum {
    pub(super) fn finish(&mut self) -> u32 {
        let value = crc32c::crc32c_append(self.state, &self.pieces);
        self.reset();
        self.last = value;
        value
    }

    /// What the last [`finish`](Self::finish) gave.
    pub(super) fn last(&self) -> u32 {
        self.last
    }

    pub(super) fn reset(&mut self) {
        self.state = 0;
        self.pieces.clear();
    }
}

impl ChecksumInput for RecordChecksum {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if bytes.len() < LONG_PIECE {
            self.pieces.extend_from_slice(bytes);
        } else {
            self.state = crc32c::crc32c_append(self.state, &self.pieces);
            self.pieces.clear();
            self.state = crc32c::crc32c_append(self.state, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_zigzag(&mut out, signed);
            let mut cursor = Cursor::new(&out);
            prop_assert_eq!(cursor.varint().unwrap(), value);
            prop_assert_eq!(cursor.zigzag().unwrap(), signed);
            prop_assert_eq!(cursor.position(), out.len());
        }
    }

    #[test]
    fn a_sign_extended_checksum_keeps_its_low_bits() {
        let bytes = [0xa0, 0xea, 0xf5, 0x91, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Cursor::new(&bytes).checksum().unwrap(), 0xc23d_7520);
    }

    #[test]
    fn eleven_byte_varints_are_refused() {
        let bytes = [0xff; 11];
        assert!(matches!(Cursor::new(&bytes).varint(), Err(Stop::Error(_))));
    }
}
