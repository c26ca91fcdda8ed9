//! Dates as requests carry them.

use crate::record::civil_date;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The value of a `Date` header (RFC 1123): `Sat, 15 Jun 2024 04:34:56 GMT`.
#[must_use]
pub fn http_date(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_date(days);
    // 1970-01-01 was a Thursday.
    let weekday = WEEKDAYS
        .get(days.rem_euclid(7) as usize)
        .copied()
        .unwrap_or_default();
    let month = MONTHS
        .get((month - 1) as usize)
        .copied()
        .unwrap_or_default();
    format!(
        "{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

/// The UTC day as V4 signatures name it: `20240615`.
#[must_use]
pub fn v4_date(unix_ms: i64) -> String {
    let (year, month, day) = civil_date(unix_ms.div_euclid(86_400_000));
    format!("{year:04}{month:02}{day:02}")
}
