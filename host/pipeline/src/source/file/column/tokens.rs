//! JSON tokens and the texts in them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::scalar::shorten;

/// Where a text comes from decides what it may stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Number,
    Text,
    Bool,
    /// A field of a CSV file, which can stand for a value of any type.
    Untyped,
}

/// Entries of a JSON object in order, repeated keys included.
pub(super) struct Entries<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Entries<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> serde::de::Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    entries.push((Cow::Owned(key), value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

/// The text of a JSON string.
pub(super) fn unquote(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// What a JSON value is, for a message.
pub(super) fn describe_json(raw: &str) -> String {
    match raw.as_bytes().first() {
        Some(b'"') => format!("the text {}", shorten(raw)),
        Some(b'{') => format!("the object {}", shorten(raw)),
        Some(b'[') => format!("the list {}", shorten(raw)),
        Some(b't' | b'f' | b'n') => raw.to_owned(),
        _ => format!("the number {}", shorten(raw)),
    }
}

pub(super) fn special_float(token: Token, text: &str) -> Option<f64> {
    if !matches!(token, Token::Text | Token::Untyped) {
        return None;
    }
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// A float's text in digits; names such as `inf`, which Rust reads too, are not numbers here.
pub(super) fn float<T: std::str::FromStr>(text: &str, number: bool) -> Option<T> {
    let numeric = number
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if numeric { text.parse().ok() } else { None }
}

/// Whether a whole number lost digits on its way into a float. Fractions are approximations by
/// nature; whole numbers beyond 2^53 are keys and counters, and would be altered silently.
pub(super) fn loses_integer(text: &str, value: f64) -> bool {
    if text.bytes().any(|byte| b".eE".contains(&byte)) {
        return false;
    }
    match text.parse::<i128>() {
        Ok(whole) => value as i128 != whole,
        Err(_) => true,
    }
}
