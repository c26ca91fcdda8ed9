use std::io::Write as _;

/// Reads decimal text into the unscaled value of `DECIMAL(precision, scale)`.
///
/// Exponents are accepted, since clients print large values with them. Digits beyond the scale must be
/// zeros: this server never rounds what a client wrote.
pub(super) fn parse(text: &[u8], precision: u8, scale: i8) -> Result<i128, String> {
    let refuse = |why: &str| {
        let text = String::from_utf8_lossy(text.get(..64).unwrap_or(text)).into_owned();
        Err(format!("`{text}` {why} DECIMAL({precision},{scale})"))
    };
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if let Some(value) = parse_short(digits, precision, scale) {
        let value = i128::from(value);
        return Ok(if negative { -value } else { value });
    }
    let (mantissa, exponent) = match digits.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => {
            let (mantissa, exponent) = digits.split_at(at);
            let parsed = exponent
                .get(1..)
                .and_then(|text| std::str::from_utf8(text).ok()?.parse::<i32>().ok());
            match parsed {
                Some(exponent) if exponent.abs() < 100_000 => (mantissa, exponent),
                _ => return refuse("is not a number for"),
            }
        }
        None => (digits, 0),
    };
    // Zeros are held back until a further digit needs them, so that trailing ones never overflow.
    let (mut value, mut zeros, mut after_point) = (0i128, 0i32, 0i32);
    let (mut seen_digit, mut seen_point) = (false, false);
    for &byte in mantissa {
        match byte {
            b'0'..=b'9' => {
                seen_digit = true;
                after_point += i32::from(seen_point);
                if byte == b'0' {
                    zeros += 1;
                    continue;
                }
                let digit = i128::from(byte - b'0');
                match times_ten(value, zeros + 1).and_then(|value| value.checked_add(digit)) {
                    Some(next) => value = next,
                    None => return refuse("has more digits than"),
                }
                zeros = 0;
            }
            b'.' if !seen_point => seen_point = true,
            _ => return refuse("is not a number for"),
        }
    }
    if !seen_digit {
        return refuse("is not a number for");
    }
    let shift = i32::from(scale) + exponent - after_point + zeros;
    if value != 0 && shift < 0 {
        return refuse("has more digits after the point than");
    }
    let Some(value) = times_ten(value, shift) else {
        return refuse("has more digits than");
    };
    if value >= 10i128.pow(u32::from(precision.min(38))) {
        return refuse("has more digits than");
    }
    Ok(if negative { -value } else { value })
}

/// The common case in 64-bit arithmetic: at most 18 digits, no exponent, no more digits after the point than
/// the scale. Everything else, errors included, is for the general way.
fn parse_short(digits: &[u8], precision: u8, scale: i8) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let (mut value, mut after_point, mut seen_point) = (0u64, 0u32, false);
    for &byte in digits {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + u64::from(byte - b'0');
                after_point += u32::from(seen_point);
            }
            b'.' if !seen_point && digits.len() > 1 => seen_point = true,
            _ => return None,
        }
    }
    let shift = u32::try_from(scale).ok()?.checked_sub(after_point)?;
    let value = value.checked_mul(10u64.checked_pow(shift)?)?;
    match 10u64.checked_pow(precision.into()) {
        Some(limit) if value >= limit => None,
        _ => Some(value),
    }
}

fn times_ten(value: i128, times: i32) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    10i128
        .checked_pow(u32::try_from(times).ok()?)
        .and_then(|factor| value.checked_mul(factor))
}

/// Appends plain text without trailing zeros after the point, as the official writers do.
pub(super) fn put_text(out: &mut Vec<u8>, value: i128, scale: i8) {
    let mut unscaled = value.unsigned_abs();
    let mut scale = u32::from(scale.max(0).unsigned_abs());
    while scale > 0 && unscaled.is_multiple_of(10) {
        unscaled /= 10;
        scale -= 1;
    }
    if value < 0 {
        out.push(b'-');
    }
    // Writing to a vector cannot fail.
    let _ = match 10u128.checked_pow(scale) {
        Some(unit) if scale > 0 => {
            write!(
                out,
                "{}.{:0width$}",
                unscaled / unit,
                unscaled % unit,
                width = scale as usize
            )
        }
        _ => write!(out, "{unscaled}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: i128, scale: i8) -> String {
        let mut out = Vec::new();
        put_text(&mut out, value, scale);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_and_exponent_forms() {
        assert_eq!(parse(b"1.25", 10, 2), Ok(125));
        assert_eq!(parse(b"-12.3", 10, 2), Ok(-1230));
        assert_eq!(parse(b"1E+3", 10, 2), Ok(100_000));
        assert_eq!(parse(b"1.5e-1", 10, 2), Ok(15));
        assert_eq!(parse(b"150E-2", 10, 1), Ok(15));
        assert_eq!(parse(b".5", 10, 2), Ok(50));
        assert_eq!(parse(b"0E-18", 10, 2), Ok(0));
        assert_eq!(parse(b"1.2500000", 10, 2), Ok(125));
        assert_eq!(
            parse(b"12345678901234567890.123456789012345678", 38, 18),
            Ok(12_345_678_901_234_567_890_123_456_789_012_345_678)
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (bad, precision, scale) in [
            ("1.255", 10, 2),
            ("", 10, 2),
            ("-", 10, 2),
            ("1.2.3", 10, 2),
            ("abc", 10, 2),
            ("123456789", 10, 2),
            ("155E-2", 10, 1),
            ("1e", 5, 1),
            ("1e99999999999", 5, 1),
        ] {
            assert!(parse(bad.as_bytes(), precision, scale).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_comes_back(value in -99_999_999_999_999_999_999_999_999_999_999_999_999i128..=99_999_999_999_999_999_999_999_999_999_999_999_999, scale in 0i8..=18) {
            prop_assert_eq!(parse(text(value, scale).as_bytes(), 38, scale), Ok(value));
        }
    }
}
