//! Java's date patterns, as far as a partition needs them.

use std::fmt::{self, Write};
use std::str::FromStr;

use crate::record::civil_date;

/// A pattern like `yyyy-MM-dd` or `yyyyMMddHH`, with the letters `y M d H m s` of Java's
/// `DateTimeFormatter`: `yyyy` is the year in at least four digits, `yy` its last two, a letter
/// given twice pads to two digits and given once does not pad. Text in single quotes stands for
/// itself, `''` for a quote; so does everything that is neither a letter nor a quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatePattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Field { field: Field, width: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

/// Why a text is no pattern, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError(String);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PatternError {}

impl fmt::Display for DatePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for DatePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let error = |reason: String| PatternError(format!("date pattern `{text}`: {reason}"));
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first == '\'' {
                let (literal, behind) =
                    quoted(rest).ok_or_else(|| error("a quote is not closed".to_owned()))?;
                push_literal(&mut parts, &literal);
                rest = behind;
                continue;
            }
            let end = rest.find(|c| c != first).unwrap_or(rest.len());
            let (run, behind) = rest.split_at(end);
            rest = behind;
            if !first.is_ascii_alphabetic() {
                push_literal(&mut parts, run);
                continue;
            }
            let (field, widest) = match first {
                'y' => (Field::Year, 4),
                'M' => (Field::Month, 2),
                'd' => (Field::Day, 2),
                'H' => (Field::Hour, 2),
                'm' => (Field::Minute, 2),
                's' => (Field::Second, 2),
                other => {
                    return Err(error(format!(
                        "the letter `{other}` is not known; there are y M d H m s, other text goes \
                         between single quotes"
                    )));
                }
            };
            if run.len() > widest {
                return Err(error(format!(
                    "`{run}` is longer than the {widest} letters there are"
                )));
            }
            parts.push(Part::Field {
                field,
                width: run.len(),
            });
        }
        if !parts.iter().any(|part| matches!(part, Part::Field { .. })) {
            return Err(error(
                "it has none of the letters y M d H m s; a fixed value is written name=value"
                    .to_owned(),
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

/// The text of a quoted piece at the start of `text`, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    if let Some(behind) = rest.strip_prefix('\'') {
        return Some(("'".to_owned(), behind));
    }
    let mut literal = String::new();
    loop {
        let (before, behind) = rest.split_once('\'')?;
        literal.push_str(before);
        match behind.strip_prefix('\'') {
            Some(more) => {
                literal.push('\'');
                rest = more;
            }
            None => return Some((literal, behind)),
        }
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if let Some(Part::Literal(literal)) = parts.last_mut() {
        literal.push_str(text);
    } else {
        parts.push(Part::Literal(text.to_owned()));
    }
}

impl DatePattern {
    /// Appends the text of a wall-clock time, in seconds since 1970.
    pub(crate) fn push(&self, wall_clock: i64, text: &mut String) {
        let (days, of_day) = (wall_clock.div_euclid(86_400), wall_clock.rem_euclid(86_400));
        let (year, month, day) = civil_date(days);
        for part in &self.parts {
            let (value, width) = match part {
                Part::Literal(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Part::Field { field, width } => {
                    let value = match field {
                        Field::Year if *width == 2 => year % 100,
                        Field::Year => year,
                        Field::Month => month,
                        Field::Day => day,
                        Field::Hour => of_day / 3_600,
                        Field::Minute => of_day / 60 % 60,
                        Field::Second => of_day % 60,
                    };
                    (value, *width)
                }
            };
            // Writing to a string does not fail.
            let _ = write!(text, "{value:0width$}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(pattern: &str, wall_clock: i64) -> String {
        let mut text = String::new();
        pattern
            .parse::<DatePattern>()
            .unwrap()
            .push(wall_clock, &mut text);
        text
    }

    #[test]
    fn texts_are_those_of_java() {
        // 2018-09-05T07:08:09
        let time = 1_536_131_289;
        for (pattern, text) in [
            ("yyyy-MM-dd", "2018-09-05"),
            ("yyyyMMddHHmmss", "20180905070809"),
            ("yy-M-d H:m:s", "18-9-5 7:8:9"),
            ("y", "2018"),
            ("'week of' yyyy", "week of 2018"),
            ("HH'h'''", "07h'"),
            ("''yyyy''", "'2018'"),
        ] {
            assert_eq!(formatted(pattern, time), text, "{pattern}");
        }
        assert_eq!(formatted("yyyy-MM-dd HH", -1), "1969-12-31 23");
        assert_eq!(formatted("yyyy-MM-dd", -62_135_596_800), "0001-01-01");
        assert_eq!(formatted("yyy", -62_135_596_800), "001");
        assert_eq!(
            formatted("yyyy-MM-dd HH:mm:ss", 253_402_300_799),
            "9999-12-31 23:59:59"
        );
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for (pattern, part) in [
            ("YYYY", "`Y`"),
            ("yyyy-MMM", "`MMM`"),
            ("yyyyy", "`yyyyy`"),
            ("hh", "`h`"),
            ("yyyy'x", "not closed"),
            ("'x'", "none of the letters"),
            ("", "none of the letters"),
        ] {
            let error = pattern.parse::<DatePattern>().unwrap_err().to_string();
            assert!(error.contains(part), "{pattern}: {error}");
        }
    }
}
