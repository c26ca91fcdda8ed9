//! Durations and sizes as Flink writes them.

use std::time::Duration;

/// Reads a duration: `30s`, `3 min`, `500 ms`, `1 h`; a bare number is milliseconds.
///
/// # Errors
///
/// A text saying what is wrong and which units there are.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let nanos_per_unit: u128 = match unit.as_str() {
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => {
            return Err(format!(
                "`{text}` has no unit of time; write for example 500 ms, 30 s, 3 min, 1 h"
            ));
        }
    };
    let nanos = u128::from(number).checked_mul(nanos_per_unit);
    nanos
        .and_then(|nanos| {
            let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
            let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
            Some(Duration::new(seconds, rest))
        })
        .ok_or_else(|| format!("`{text}` is too long"))
}

/// Reads a size in bytes: `64mb`, `512 KiB`, `1048576`. Units are powers of 1024.
///
/// # Errors
///
/// A text saying what is wrong and which units there are.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let shift = match unit.as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kib" | "kibibytes" => 10,
        "m" | "mb" | "mib" | "mebibytes" => 20,
        "g" | "gb" | "gib" | "gibibytes" => 30,
        "t" | "tb" | "tib" | "tebibytes" => 40,
        _ => {
            return Err(format!(
                "`{text}` has no unit of size; write for example 4mb, 512 kb, 1048576"
            ));
        }
    };
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("`{text}` is too large"))
}

fn split(text: &str) -> Result<(u64, String), String> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = number
        .parse()
        .map_err(|_| format!("`{text}` does not start with a whole number"))?;
    Ok((number, unit.trim().to_lowercase()))
}
