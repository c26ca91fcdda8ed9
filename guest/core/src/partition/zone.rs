//! Time zones, from data that the sink carries with it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// A time zone: a name of the IANA data base such as `Asia/Shanghai`, `UTC`, or an offset such as
/// `+08:00` or `GMT+8`.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

/// A zone's offset from UTC in seconds, and the instants `from..until` for which it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OffsetSpan {
    from: i64,
    until: i64,
    pub(crate) offset: i64,
}

impl OffsetSpan {
    /// A span that holds for no instant.
    pub(crate) const NONE: Self = Self {
        from: 0,
        until: 0,
        offset: 0,
    };

    pub(crate) fn holds(&self, instant: i64) -> bool {
        (self.from..self.until).contains(&instant)
    }
}

impl Zone {
    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            zone: TimeZone::UTC,
        }
    }

    /// The offset at an instant, in seconds since 1970.
    pub(crate) fn offset(&self, instant: i64) -> OffsetSpan {
        let clamped = instant.clamp(
            Timestamp::MIN.as_second() + 1,
            Timestamp::MAX.as_second() - 1,
        );
        let at = Timestamp::from_second(clamped).unwrap_or(Timestamp::UNIX_EPOCH);
        let second_after = Timestamp::from_second(clamped + 1).unwrap_or(Timestamp::MAX);
        let before = self.zone.preceding(second_after).next();
        let after = self.zone.following(at).next();
        OffsetSpan {
            from: before.map_or(i64::MIN, |change| change.timestamp().as_second()),
            until: after.map_or(i64::MAX, |change| change.timestamp().as_second()),
            offset: i64::from(self.zone.to_offset(at).seconds()),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let zone = match fixed_offset(name) {
            Some(zone) => zone,
            None => TimeZone::get(name).map_err(|_| {
                format!(
                    "`{name}` is no time zone; there are names like Asia/Shanghai, UTC, and offsets like +08:00"
                )
            })?,
        };
        Ok(Self {
            name: name.to_owned(),
            zone,
        })
    }
}

/// `Z`, `+08:00`, `-5`, `GMT+8`, `UTC+05:30`; None where the text is of no such form.
fn fixed_offset(text: &str) -> Option<TimeZone> {
    let prefixed = ["UTC", "GMT"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix));
    let rest = prefixed.unwrap_or(text);
    if text == "Z" || (prefixed.is_some() && rest.is_empty()) {
        return Some(TimeZone::UTC);
    }
    let (sign, digits) = match (rest.strip_prefix('+'), rest.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let number = |text: &str| -> Option<i32> {
        let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 18 || minutes > 59 {
        return None;
    }
    let offset = Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()?;
    Some(TimeZone::fixed(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(zone: &str, instant: i64) -> i64 {
        let zone: Zone = zone.parse().unwrap();
        let span = zone.offset(instant);
        assert!(span.holds(instant), "{zone} {instant} {span:?}");
        span.offset
    }

    #[test]
    fn offsets_follow_the_rules_of_the_zone() {
        // 2018-09-05T07:08:09Z
        assert_eq!(offset("Asia/Shanghai", 1_536_131_289), 8 * 3_600);
        assert_eq!(offset("UTC", 1_536_131_289), 0);
        assert_eq!(offset("+05:30", 0), 19_800);
        assert_eq!(offset("GMT-3", 0), -10_800);
        // The night of 2024-03-31 in Berlin: the hour from 2 to 3 does not exist.
        assert_eq!(offset("Europe/Berlin", 1_711_846_799), 3_600);
        assert_eq!(offset("Europe/Berlin", 1_711_846_800), 7_200);
        // Back again on 2024-10-27.
        assert_eq!(offset("Europe/Berlin", 1_729_990_799), 7_200);
        assert_eq!(offset("Europe/Berlin", 1_729_990_800), 3_600);
        // Before there were zones, and long after the last rule was written down: July 2500.
        assert_eq!(offset("Europe/Berlin", -62_135_596_800), 3_208);
        assert_eq!(offset("Europe/Berlin", 16_740_000_000), 7_200);
        assert_eq!(offset("Europe/Berlin", 253_402_300_799), 3_600);
    }

    #[test]
    fn what_is_no_zone_is_told() {
        for name in ["Asia/Shangai", "", "+8:", "+99", "8", "GMT8"] {
            assert!(name.parse::<Zone>().is_err(), "{name}");
        }
    }
}
