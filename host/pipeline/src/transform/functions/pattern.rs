//! LIKE, SIMILAR TO and the functions on regular expressions.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{BooleanArray, Int32Array};
use arrow_schema::{DataType, Field};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ColumnarValue;
use regex::{NoExpand, Regex};

use super::Definition;
use super::arguments::{Integers, Texts, all_texts, as_integer, as_text};
use super::results::count;
use crate::transform::bind::Binder;
use crate::transform::expression::{Behavior, Bound, Evaluated, failed};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition::new("REGEXP_REPLACE", 3, 3, regexp_replace),
    Definition::new("REGEXP_EXTRACT", 2, 3, regexp_extract),
    Definition::new("REGEXP_EXTRACT_ALL", 2, 3, regexp_extract_all),
    Definition::new("REGEXP_COUNT", 2, 2, regexp_count),
    Definition::new("REGEXP_INSTR", 2, 2, regexp_instr),
    Definition::new("REGEXP_SUBSTR", 2, 2, regexp_substr),
];

/// Turns the text of a pattern into a regular expression.
type Compile = fn(&str, Option<char>) -> Result<Regex, String>;

/// The pattern of a call: compiled once, or as each row has it.
struct Patterns {
    constant: Option<Regex>,
    compile: Compile,
    escape: Option<char>,
}

impl Patterns {
    /// # Errors
    ///
    /// A constant pattern that is none.
    fn new(pattern: &Bound, escape: Option<char>, compile: Compile) -> Result<Self, String> {
        let constant = pattern
            .constant_text()
            .map(|text| compile(text, escape))
            .transpose()?;
        Ok(Self {
            constant,
            compile,
            escape,
        })
    }

    /// Calls `each` with the text of every row and its pattern; NULL where either is.
    fn each<'a, T>(
        &self,
        args: &'a [ColumnarValue],
        rows: usize,
        mut each: impl FnMut(usize, &'a str, &Regex) -> Result<Option<T>, DataFusionError>,
    ) -> Result<Vec<Option<T>>, DataFusionError> {
        let (texts, patterns) = (Texts::of(args, 0)?, Texts::of(args, 1)?);
        let mut compiled: HashMap<&str, Regex> = HashMap::new();
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            let (Some(text), Some(pattern)) = (texts.get(row), patterns.get(row)) else {
                values.push(None);
                continue;
            };
            if let Some(regex) = &self.constant {
                values.push(each(row, text, regex)?);
                continue;
            }
            if !compiled.contains_key(pattern) {
                let regex = (self.compile)(pattern, self.escape).map_err(failed)?;
                compiled.insert(pattern, regex);
            }
            if let Some(regex) = compiled.get(pattern) {
                values.push(each(row, text, regex)?);
            }
        }
        Ok(values)
    }
}

fn regular(pattern: &str, _: Option<char>) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| {
        let text = error.to_string();
        let reason = text
            .lines()
            .last()
            .unwrap_or(&text)
            .trim_start_matches("error: ");
        format!("`{pattern}` is no regular expression here: {reason}")
    })
}

fn booleans(values: Vec<Option<bool>>) -> Evaluated {
    Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(values))))
}

/// What a pattern is escaped by.
pub(super) fn escape_of(text: Option<&str>) -> Result<Option<char>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(escape), None) => Ok(Some(escape)),
        _ => Err(format!("ESCAPE takes one character, not '{text}'")),
    }
}

/// `text LIKE pattern [ESCAPE escape]`: `%` is any text, `_` any character.
pub(in crate::transform) fn like(
    binder: &Binder<'_>,
    text: Bound,
    pattern: Bound,
    escape: Option<&str>,
) -> Result<Bound, String> {
    matched("LIKE", binder, text, pattern, escape, like_regex)
}

/// `text SIMILAR TO pattern [ESCAPE escape]`: SQL's regular expressions.
pub(in crate::transform) fn similar(
    binder: &Binder<'_>,
    text: Bound,
    pattern: Bound,
    escape: Option<&str>,
) -> Result<Bound, String> {
    matched("SIMILAR TO", binder, text, pattern, escape, similar_regex)
}

fn matched(
    name: &'static str,
    binder: &Binder<'_>,
    text: Bound,
    pattern: Bound,
    escape: Option<&str>,
    compile: Compile,
) -> Result<Bound, String> {
    let args = all_texts(binder, name, vec![text, pattern])?;
    let escape = escape_of(escape)?;
    let pattern = args.get(1).ok_or("a pattern is needed")?;
    let behavior = if pattern.constant().is_some() {
        Behavior::PLAIN
    } else {
        Behavior::FALLIBLE
    };
    let patterns = Patterns::new(pattern, escape, compile)?;
    Ok(Bound::call(
        name,
        args,
        DataType::Boolean,
        behavior,
        move |args, rows| {
            booleans(patterns.each(args, rows, |_, text, regex| Ok(Some(regex.is_match(text))))?)
        },
    ))
}

fn like_regex(pattern: &str, escape: Option<char>) -> Result<Regex, String> {
    let mut out = String::from("(?s)^");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            _ if Some(c) == escape => match chars.next() {
                Some(next) if next == '%' || next == '_' || Some(next) == escape => {
                    out.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
                }
                _ => {
                    return Err(format!(
                        "LIKE pattern '{pattern}': after the escape character {c} comes %, _ or \
                         {c} itself"
                    ));
                }
            },
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push('$');
    regular(&out, None)
}

fn similar_regex(pattern: &str, escape: Option<char>) -> Result<Regex, String> {
    let broken = || format!("'{pattern}' is no pattern of SIMILAR TO: check its brackets");
    let mut out = String::from("(?s)^(?:");
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            _ if Some(c) == escape => {
                let next = chars.next().ok_or_else(|| {
                    format!("SIMILAR TO pattern '{pattern}' ends with its escape character")
                })?;
                out.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
            }
            '[' if !in_class => {
                in_class = true;
                out.push('[');
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '[' if in_class && chars.as_str().starts_with(':') => {
                // A class that SQL names, [:DIGIT:] for example, has its name in lower case here.
                let (name, rest) = chars.as_str().split_once(":]").ok_or_else(broken)?;
                let name = name.to_lowercase().replace("whitespace", "space");
                out.push_str(&format!("[{name}:]"));
                chars = rest.chars();
            }
            '[' | ']' | '\\' | '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            _ if in_class => out.push(c),
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '|' | '*' | '+' | '?' | '(' | ')' | '{' | '}' => out.push(c),
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push_str(")$");
    Regex::new(&out).map_err(|_| broken())
}

/// What to tell of a LIKE without ESCAPE: Flink CDC takes its pattern for a regular expression of
/// Java's and looks for it anywhere in the text.
pub(in crate::transform) fn warning_of_like(pattern: &str) -> String {
    let wild = pattern.contains(['%', '_']);
    let special = pattern.contains(['.', '*', '+', '?', '^', '$', '[', '(', '|', '\\']);
    if special && !wild {
        format!(
            "LIKE '{pattern}' compares with these very characters here; Flink CDC takes them for a \
             regular expression: for that write REGEXP_COUNT(text, '{pattern}') > 0"
        )
    } else if wild {
        format!(
            "in LIKE '{pattern}' % and _ are SQL's wildcards here; Flink CDC takes the pattern for \
             a regular expression unless an ESCAPE is given, with which both agree: \
             LIKE '{pattern}' ESCAPE '\\'"
        )
    } else {
        format!(
            "LIKE '{pattern}' compares with the whole text here; Flink CDC looks for it anywhere: \
             for that write LIKE '%{pattern}%' ESCAPE '\\'"
        )
    }
}

fn regexp_replace(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let args = all_texts(binder, "REGEXP_REPLACE", args)?;
    let patterns = Patterns::new(args.get(1).ok_or("a pattern is needed")?, None, regular)?;
    Ok(Bound::call(
        "REGEXP_REPLACE",
        args,
        DataType::Utf8,
        Behavior::FALLIBLE,
        move |args, rows| {
            let with = Texts::of(args, 2)?;
            let values = patterns.each(args, rows, |row, text, regex| {
                Ok(with
                    .get(row)
                    .map(|with| regex.replace_all(text, NoExpand(with))))
            })?;
            let mut out = StringBuilder::with_capacity(rows, rows * 16);
            out.extend(values);
            Ok(ColumnarValue::Array(Arc::new(out.finish())))
        },
    ))
}

/// The three arguments of `REGEXP_EXTRACT` and `REGEXP_EXTRACT_ALL`, the group as given or implied.
fn with_group(
    binder: &Binder<'_>,
    name: &str,
    mut args: Vec<Bound>,
    group: i64,
) -> Result<Vec<Bound>, String> {
    if args.len() == 2 {
        args.push(Bound::literal(group.into()));
    }
    let group = args.pop().ok_or("a group is needed")?;
    let mut args = args
        .into_iter()
        .map(|arg| as_text(binder, name, arg))
        .collect::<Result<Vec<_>, _>>()?;
    args.push(as_integer(binder, name, group)?);
    Ok(args)
}

/// The number of a group that the expression has.
fn group_of(regex: &Regex, group: Option<i64>) -> Option<usize> {
    let group = usize::try_from(group?).ok()?;
    (group < regex.captures_len()).then_some(group)
}

fn regexp_extract(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let args = with_group(binder, "REGEXP_EXTRACT", args, 0)?;
    let patterns = Patterns::new(args.get(1).ok_or("a pattern is needed")?, None, regular)?;
    let behavior = Behavior::NULLABLE_FALLIBLE;
    Ok(Bound::call(
        "REGEXP_EXTRACT",
        args,
        DataType::Utf8,
        behavior,
        move |args, rows| {
            let groups = Integers::of(args, 2)?;
            let values = patterns.each(args, rows, |row, text, regex| {
                let found = group_of(regex, groups.get(row)).and_then(|group| {
                    let found = regex.captures(text)?.get(group)?;
                    text.get(found.range())
                });
                Ok(found)
            })?;
            let mut out = StringBuilder::with_capacity(rows, rows * 16);
            out.extend(values);
            Ok(ColumnarValue::Array(Arc::new(out.finish())))
        },
    ))
}

fn regexp_extract_all(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let args = with_group(binder, "REGEXP_EXTRACT_ALL", args, 1)?;
    let patterns = Patterns::new(args.get(1).ok_or("a pattern is needed")?, None, regular)?;
    let element = Field::new("item", DataType::Utf8, true);
    let ty = DataType::List(Arc::new(element));
    let behavior = Behavior::NULLABLE_FALLIBLE;
    Ok(Bound::call(
        "REGEXP_EXTRACT_ALL",
        args,
        ty,
        behavior,
        move |args, rows| {
            let groups = Integers::of(args, 2)?;
            let values = patterns.each(args, rows, |row, text, regex| {
                Ok(group_of(regex, groups.get(row)).map(|group| {
                    let all = regex.captures_iter(text);
                    let texts =
                        all.map(|found| found.get(group).and_then(|found| text.get(found.range())));
                    texts.collect::<Vec<_>>()
                }))
            })?;
            let mut out = ListBuilder::new(StringBuilder::new());
            for value in values {
                out.append_option(value);
            }
            Ok(ColumnarValue::Array(Arc::new(out.finish())))
        },
    ))
}

fn regexp_integer(
    name: &'static str,
    binder: &Binder<'_>,
    args: Vec<Bound>,
    each: fn(&str, &Regex) -> usize,
) -> Result<Bound, String> {
    let args = all_texts(binder, name, args)?;
    let patterns = Patterns::new(args.get(1).ok_or("a pattern is needed")?, None, regular)?;
    Ok(Bound::call(
        name,
        args,
        DataType::Int32,
        Behavior::FALLIBLE,
        move |args, rows| {
            let values = patterns.each(args, rows, |_, text, regex| count(each(text, regex)))?;
            Ok(ColumnarValue::Array(Arc::new(Int32Array::from(values))))
        },
    ))
}

fn regexp_count(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    regexp_integer("REGEXP_COUNT", binder, args, |text, regex| {
        regex.find_iter(text).count()
    })
}

fn regexp_instr(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    regexp_integer("REGEXP_INSTR", binder, args, |text, regex| {
        regex.find(text).map_or(0, |found| {
            let before = text.get(..found.start()).unwrap_or_default();
            before.chars().count() + 1
        })
    })
}

fn regexp_substr(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    regexp_extract(binder, args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likes(pattern: &str, escape: Option<char>, text: &str) -> bool {
        like_regex(pattern, escape).unwrap().is_match(text)
    }

    #[test]
    fn like_is_standard_sql() {
        assert!(likes("a%c_", None, "a\nbbcd"));
        assert!(!likes("bc", None, "abcd"));
        assert!(likes("50\\%%", Some('\\'), "50% of"));
        assert!(!likes("50\\%%", Some('\\'), "500 of"));
        assert!(likes("a.c", None, "a.c") && !likes("a.c", None, "abc"));
        assert!(like_regex("a\\b", Some('\\')).is_err());
    }

    #[test]
    fn similar_to_is_sqls() {
        for (pattern, text, expected) in [
            ("(ab|cd)+%", "abcdxyz", true),
            ("[0-9]{3}-_", "123-x", true),
            ("a.c", "abc", false),
            ("[^a]b", "cb", true),
            ("b", "abc", false),
            ("[[:DIGIT:]]+", "42", true),
        ] {
            let regex = similar_regex(pattern, None).unwrap();
            assert_eq!(
                regex.is_match(text),
                expected,
                "{pattern} of {text}: {regex}"
            );
        }
        assert!(similar_regex("100#%", Some('#')).unwrap().is_match("100%"));
        assert!(similar_regex("(a", None).is_err());
    }

    #[test]
    fn every_like_without_escape_is_told_of() {
        assert!(warning_of_like("abc").contains("'%abc%'"));
        assert!(warning_of_like("^abc").contains("REGEXP_COUNT"));
        assert!(warning_of_like("%abc").contains("ESCAPE"));
    }
}
