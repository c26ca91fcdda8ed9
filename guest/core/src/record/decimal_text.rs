//! Plain decimal text: no exponent, no zeros at the end of the fraction.

/// Room for a sign, 39 digits and a point.
const CAPACITY: usize = 48;

/// A short text on the stack.
pub(crate) struct Text {
    bytes: [u8; CAPACITY],
    start: usize,
    end: usize,
}

impl Text {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// The number `unscaled` / 10^`scale`; `scale` is at most 38.
///
/// Zeros at the end of the fraction are left out (`6.40` is `6.4`, `0.00` is `0`): the number is
/// the same, it is what the official clients write for it, and it is shorter.
#[expect(
    clippy::indexing_slicing,
    reason = "39 digits, a point and a sign fit the buffer; scale is bounded"
)]
#[inline]
pub(crate) fn decimal(unscaled: i128, scale: u8) -> Text {
    let mut bytes = [b'0'; CAPACITY];
    let start = digits(unscaled.unsigned_abs(), &mut bytes);
    let scale = usize::from(scale.min(38));
    // At least one digit stands before the point; the buffer is filled with zeros already.
    let mut start = start.min(CAPACITY - scale - 1);
    let point = CAPACITY - scale;
    let mut end = CAPACITY;
    while end > point && bytes[end - 1] == b'0' {
        end -= 1;
    }
    if end > point {
        bytes.copy_within(start..point, start - 1);
        start -= 1;
        bytes[point - 1] = b'.';
    }
    if unscaled < 0 {
        start -= 1;
        bytes[start] = b'-';
    }
    Text { bytes, start, end }
}

/// Writes the digits of `value` to the end of `bytes`; the index of the first one.
#[expect(
    clippy::indexing_slicing,
    reason = "39 digits fit the buffer and a pair is below 100"
)]
#[inline]
fn digits(value: u128, bytes: &mut [u8; CAPACITY]) -> usize {
    const CHUNK: u128 = 10_000_000_000_000_000_000;
    let mut at = CAPACITY;
    let mut small = match u64::try_from(value) {
        Ok(small) => small,
        Err(_) => {
            // Nineteen digits fit 64 bits; what is above them is at most twenty.
            let mut low = (value % CHUNK) as u64;
            for _ in 0..19 {
                at -= 1;
                bytes[at] = b'0' + (low % 10) as u8;
                low /= 10;
            }
            let high = value / CHUNK;
            match u64::try_from(high) {
                Ok(high) => high,
                Err(_) => {
                    at -= 1;
                    bytes[at] = b'0' + (high % 10) as u8;
                    (high / 10) as u64
                }
            }
        }
    };
    while small >= 100 {
        let pair = (small % 100) as usize * 2;
        small /= 100;
        at -= 2;
        bytes[at] = PAIRS[pair];
        bytes[at + 1] = PAIRS[pair + 1];
    }
    if small >= 10 {
        let pair = small as usize * 2;
        at -= 2;
        bytes[at] = PAIRS[pair];
        bytes[at + 1] = PAIRS[pair + 1];
    } else {
        at -= 1;
        bytes[at] = b'0' + small as u8;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_without_trailing_zeros() {
        let cases: [(i128, u8, &str); 12] = [
            (0, 0, "0"),
            (0, 2, "0"),
            (5, 2, "0.05"),
            (-5, 18, "-0.000000000000000005"),
            (125, 2, "1.25"),
            (120, 2, "1.2"),
            (100, 2, "1"),
            (100, 0, "100"),
            (-1_234_567_899, 2, "-12345678.99"),
            (i128::from(u64::MAX) + 1, 0, "18446744073709551616"),
            (i128::MAX, 0, "170141183460469231731687303715884105727"),
            (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
        ];
        for (unscaled, scale, text) in cases {
            assert_eq!(decimal(unscaled, scale).as_str(), text);
        }
    }

    #[test]
    fn agrees_with_the_standard_library_on_integers() {
        let mut value: i128 = 1;
        for step in 1..126 {
            value = value.wrapping_mul(2).wrapping_add(step % 3);
            assert_eq!(decimal(value, 0).as_str(), value.to_string());
            assert_eq!(decimal(-value, 0).as_str(), (-value).to_string());
        }
    }
}
