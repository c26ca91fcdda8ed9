//! Java's patterns for dates and times, such as `yyyy-MM-dd HH:mm:ss.SSS`.

use std::fmt::Write as _;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};

/// A moment as a clock on a wall shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WallClock {
    pub(super) at: NaiveDateTime,
    /// Seconds east of UTC.
    pub(super) offset: i32,
}

/// What a text said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) at: NaiveDateTime,
    /// Seconds east of UTC, where the text had them.
    pub(super) offset: Option<i32>,
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JavaPattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    Quarter,
    Month,
    Day,
    DayOfYear,
    DayName,
    DayNumber,
    AmPm,
    Hour24,
    Hour1To24,
    Hour12,
    Hour0To11,
    Minute,
    Second,
    Fraction,
    /// `+08`, `+0800`, `+08:00`, and `Z` for none.
    OffsetOrZ,
    /// The same, never `Z`.
    Offset,
    /// `+0800`.
    OffsetBasic,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

impl JavaPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// Letters that stand for nothing known here.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut text = String::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '\'' {
                if chars.next_if_eq(&'\'').is_some() {
                    text.push('\'');
                    continue;
                }
                loop {
                    match chars.next() {
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => text.push('\''),
                        Some('\'') => break,
                        Some(c) => text.push(c),
                        None => {
                            return Err(format!("pattern `{pattern}`: a quote is not closed"));
                        }
                    }
                }
                continue;
            }
            if !c.is_ascii_alphabetic() {
                text.push(c);
                continue;
            }
            let mut width = 1;
            while chars.next_if_eq(&c).is_some() {
                width += 1;
            }
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Field(field(c, pattern)?, width));
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { parts })
    }

    /// Whether formatting needs to know the offset from UTC.
    pub(super) fn shows_offset(&self) -> bool {
        self.parts.iter().any(|part| {
            matches!(
                part,
                Part::Field(Field::Offset | Field::OffsetOrZ | Field::OffsetBasic, _)
            )
        })
    }

    /// Writes a moment.
    pub(super) fn format(&self, moment: WallClock, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(field, width) => write_field(*field, *width, moment, out),
            }
        }
    }

    /// Reads a text that is as the pattern says, from its first to its last character.
    pub(super) fn parse(&self, text: &str) -> Option<Read> {
        let mut values = Values::default();
        let mut rest = text;
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text(wanted) => rest = rest.strip_prefix(wanted.as_str())?,
                Part::Field(field, width) => {
                    let fixed = matches!(self.parts.get(index + 1), Some(Part::Field(next, width))
                        if is_number(*next, *width));
                    rest = values.read(*field, *width, fixed, rest)?;
                }
            }
        }
        if rest.is_empty() {
            values.moment()
        } else {
            None
        }
    }
}

fn field(letter: char, pattern: &str) -> Result<Field, String> {
    Ok(match letter {
        'y' | 'u' => Field::Year,
        'Q' | 'q' => Field::Quarter,
        'M' | 'L' => Field::Month,
        'd' => Field::Day,
        'D' => Field::DayOfYear,
        'E' => Field::DayName,
        'e' => Field::DayNumber,
        'a' => Field::AmPm,
        'H' => Field::Hour24,
        'k' => Field::Hour1To24,
        'h' => Field::Hour12,
        'K' => Field::Hour0To11,
        'm' => Field::Minute,
        's' => Field::Second,
        'S' => Field::Fraction,
        'X' => Field::OffsetOrZ,
        'x' => Field::Offset,
        'Z' => Field::OffsetBasic,
        'Y' => {
            return Err(format!(
                "pattern `{pattern}`: `Y` is the year that a week belongs to, which differs from \
                 the date's year around New Year and is not available; write `y` for the year"
            ));
        }
        other => {
            return Err(format!(
                "pattern `{pattern}`: letter `{other}` is not available; put text between quotes: \
                 '{other}'"
            ));
        }
    })
}

fn is_number(field: Field, width: usize) -> bool {
    match field {
        Field::Month | Field::Quarter => width <= 2,
        Field::DayName | Field::AmPm | Field::OffsetOrZ | Field::Offset | Field::OffsetBasic => {
            false
        }
        _ => true,
    }
}

fn write_field(field: Field, width: usize, moment: WallClock, out: &mut String) {
    let at = moment.at;
    let mut number = |value: i64| {
        // Writing to a String does not fail.
        let _ = write!(out, "{value:0width$}");
    };
    match field {
        Field::Year if width == 2 => number(i64::from(at.year().rem_euclid(100))),
        Field::Year => number(i64::from(at.year())),
        Field::Quarter if width <= 2 => number(i64::from(at.month0() / 3 + 1)),
        Field::Quarter => {
            let _ = write!(out, "Q{}", at.month0() / 3 + 1);
        }
        Field::Month if width <= 2 => number(i64::from(at.month())),
        Field::Month => name(&MONTHS, at.month0() as usize, width, out),
        Field::Day => number(i64::from(at.day())),
        Field::DayOfYear => number(i64::from(at.ordinal())),
        Field::DayName => name(
            &DAYS,
            at.weekday().num_days_from_monday() as usize,
            width,
            out,
        ),
        Field::DayNumber => number(i64::from(at.weekday().number_from_sunday())),
        Field::AmPm => out.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
        Field::Hour24 => number(i64::from(at.hour())),
        Field::Hour1To24 => number(i64::from((at.hour() + 23) % 24 + 1)),
        Field::Hour12 => number(i64::from((at.hour() + 11) % 12 + 1)),
        Field::Hour0To11 => number(i64::from(at.hour() % 12)),
        Field::Minute => number(i64::from(at.minute())),
        Field::Second => number(i64::from(at.second())),
        Field::Fraction => {
            let digits = format!("{:09}", at.nanosecond() % 1_000_000_000);
            out.extend(digits.chars().chain(std::iter::repeat('0')).take(width));
        }
        Field::OffsetOrZ if moment.offset == 0 => out.push('Z'),
        Field::OffsetOrZ | Field::Offset => write_offset(moment.offset, width, out),
        Field::OffsetBasic => write_offset(moment.offset, 2, out),
    }
}

fn name(names: &[&str], index: usize, width: usize, out: &mut String) {
    let name = names.get(index).copied().unwrap_or_default();
    let short = name.get(..3).unwrap_or(name);
    out.push_str(if width >= 4 { name } else { short });
}

fn write_offset(seconds: i32, width: usize, out: &mut String) {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let _ = match width {
        1 if minutes == 0 => write!(out, "{sign}{hours:02}"),
        1 | 2 => write!(out, "{sign}{hours:02}{minutes:02}"),
        _ => write!(out, "{sign}{hours:02}:{minutes:02}"),
    };
}

/// Fields read so far.
#[derive(Default)]
struct Values {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    ordinal: Option<u32>,
    hour: Option<u32>,
    hour12: Option<u32>,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    nanos: u32,
    offset: Option<i32>,
}

impl Values {
    /// Takes a field from the start of `text` and returns what follows it. `fixed`: a number
    /// follows directly, so that only the width says where this one ends.
    fn read<'a>(
        &mut self,
        field: Field,
        width: usize,
        fixed: bool,
        text: &'a str,
    ) -> Option<&'a str> {
        match field {
            Field::Month | Field::Quarter if !is_number(field, width) => {
                if field == Field::Quarter {
                    return None;
                }
                let (index, rest) = read_name(&MONTHS, width, text)?;
                self.month = Some(index + 1);
                return Some(rest);
            }
            Field::DayName => return read_name(&DAYS, width, text).map(|(_, rest)| rest),
            Field::AmPm => {
                let (half, rest) = text.split_at_checked(2)?;
                self.afternoon = Some(match half.to_ascii_uppercase().as_str() {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                });
                return Some(rest);
            }
            Field::OffsetOrZ | Field::Offset | Field::OffsetBasic => {
                let (offset, rest) = read_offset(text)?;
                self.offset = Some(offset);
                return Some(rest);
            }
            _ => {}
        }
        let most = match field {
            _ if fixed => width,
            Field::Year if width == 2 => 2,
            Field::Year => width.max(4),
            Field::Fraction => width.max(9),
            Field::DayOfYear => width.max(3),
            _ => width.max(2),
        };
        let digits = text
            .bytes()
            .take(most)
            .take_while(u8::is_ascii_digit)
            .count();
        if digits == 0 || (fixed && digits < width) {
            return None;
        }
        let (number, rest) = text.split_at_checked(digits)?;
        let value: u32 = if field == Field::Fraction {
            let nine: String = number
                .chars()
                .chain(std::iter::repeat('0'))
                .take(9)
                .collect();
            nine.parse().ok()?
        } else {
            number.parse().ok()?
        };
        match field {
            Field::Year if width == 2 => self.year = Some(2000 + i32::try_from(value).ok()?),
            Field::Year => self.year = Some(i32::try_from(value).ok()?),
            Field::Month => self.month = Some(value),
            Field::Day => self.day = Some(value),
            Field::DayOfYear => self.ordinal = Some(value),
            Field::Hour24 => self.hour = Some(value),
            Field::Hour1To24 => self.hour = Some(value % 24),
            Field::Hour12 => self.hour12 = Some(value % 12),
            Field::Hour0To11 => self.hour12 = Some(value),
            Field::Minute => self.minute = value,
            Field::Second => self.second = value,
            Field::Fraction => self.nanos = value,
            _ => {}
        }
        Some(rest)
    }

    /// Missing parts are those of 1970-01-01 00:00, as Java has it.
    fn moment(&self) -> Option<Read> {
        let year = self.year.unwrap_or(1970);
        let date = match self.ordinal {
            Some(ordinal) => NaiveDate::from_yo_opt(year, ordinal)?,
            None => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let half = if self.afternoon == Some(true) { 12 } else { 0 };
        let hour = match (self.hour, self.hour12) {
            (Some(hour), _) => hour,
            (None, Some(hour)) if hour < 12 => hour + half,
            (None, None) => 0,
            _ => return None,
        };
        let time = NaiveTime::from_hms_nano_opt(hour, self.minute, self.second, self.nanos)?;
        Some(Read {
            at: date.and_time(time),
            offset: self.offset,
        })
    }
}

fn read_name<'a>(names: &[&str], width: usize, text: &'a str) -> Option<(u32, &'a str)> {
    (0..).zip(names).find_map(|(index, name)| {
        let short = name.get(..3).unwrap_or(name);
        let wanted = if width >= 4 { name } else { short };
        let (head, rest) = text.split_at_checked(wanted.len())?;
        head.eq_ignore_ascii_case(wanted).then_some((index, rest))
    })
}

/// `Z`, `+08`, `+0800` or `+08:00`.
fn read_offset(text: &str) -> Option<(i32, &str)> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some((0, rest));
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let two = |text: &str| {
        let digits = text
            .get(..2)
            .filter(|two| two.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse::<i32>().ok()
    };
    let hours = two(rest)?;
    let after = rest.get(2..)?;
    let (minutes, after) = match after.strip_prefix(':') {
        Some(after) => (two(after)?, after.get(2..)?),
        None => match two(after) {
            Some(minutes) => (minutes, after.get(2..)?),
            None => (0, after),
        },
    };
    if hours > 18 || minutes > 59 {
        return None;
    }
    Some((sign * (hours * 3600 + minutes * 60), after))
}

/// The day of the week as SQL counts it: Sunday is 1.
pub(super) fn day_of_week(day: Weekday) -> i64 {
    i64::from(day.number_from_sunday())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pattern: &str, text: &str, offset: i32) -> String {
        let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").unwrap();
        let mut out = String::new();
        JavaPattern::new(pattern)
            .unwrap()
            .format(WallClock { at, offset }, &mut out);
        out
    }

    fn read(pattern: &str, text: &str) -> Option<String> {
        let read = JavaPattern::new(pattern).unwrap().parse(text)?;
        let offset = read
            .offset
            .map(|offset| format!(" {offset}"))
            .unwrap_or_default();
        Some(format!("{}{offset}", read.at))
    }

    #[test]
    fn writes_what_java_writes() {
        let at = "2024-02-05 17:08:09.0123";
        for (pattern, expected) in [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2024-02-05 17:08:09.012"),
            ("yyyyMMdd", "20240205"),
            ("yy/M/d h:m:s a", "24/2/5 5:8:9 PM"),
            ("EEE, dd MMM yyyy", "Mon, 05 Feb 2024"),
            ("EEEE d MMMM", "Monday 5 February"),
            ("DDD kk KK Q", "036 17 05 1"),
            ("yyyy-MM-dd'T'HH:mm:ssXXX", "2024-02-05T17:08:09+08:00"),
            ("HH 'o''clock' X Z", "17 o'clock +08 +0800"),
            ("SSSSSS", "012300"),
        ] {
            assert_eq!(shown(pattern, at, 28_800), expected, "{pattern}");
        }
        assert_eq!(shown("XXX", at, 0), "Z");
        assert_eq!(shown("yyyy kk h", "0033-01-01 00:00:00", 0), "0033 24 12");
    }

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        for (pattern, text, expected) in [
            (
                "yyyy-MM-dd HH:mm:ss",
                "2024-02-29 23:59:59",
                Some("2024-02-29 23:59:59"),
            ),
            (
                "yyyyMMddHHmmss",
                "20240229235959",
                Some("2024-02-29 23:59:59"),
            ),
            ("yyyy-MM-dd", "2023-02-29", None),
            ("yyyy-MM-dd", "2023-02-28x", None),
            (
                "dd MMM yy h a",
                "28 feb 23 12 AM",
                Some("2023-02-28 00:00:00"),
            ),
            (
                "yyyy-MM-dd HH:mm:ss.SSS X",
                "2015-07-24 10:00:00.5 +01",
                Some("2015-07-24 10:00:00.500 3600"),
            ),
            ("yyyy//MM//dd", "2024 !! 02", None),
        ] {
            assert_eq!(
                read(pattern, text).as_deref(),
                expected,
                "{pattern} of {text}"
            );
        }
    }

    #[test]
    fn the_week_based_year_is_refused() {
        assert!(
            JavaPattern::new("YYYY-MM-dd")
                .unwrap_err()
                .contains("write `y`")
        );
        assert!(
            JavaPattern::new("yyyy'T")
                .unwrap_err()
                .contains("not closed")
        );
        assert!(JavaPattern::new("n").is_err());
    }
}
