//! What a request's signature covers, and the header that carries it. The MAC itself is computed
//! where the key is, outside of this library.

mod date;

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use date::{http_date, v4_date};

/// How the key that signs is derived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HMAC-SHA1 with the secret itself.
    V2,
    /// HMAC-SHA1 with a key derived for a day and a region.
    V4 {
        /// The UTC day, `yyyyMMdd`; see [`v4_date`].
        date: String,
        /// The region, `cn-hangzhou`.
        region: String,
    },
}

impl Scheme {
    /// What the key is derived for: `<date>/<region>/odps`, empty for V2.
    #[must_use]
    pub fn scope(&self) -> String {
        match self {
            Self::V2 => String::new(),
            Self::V4 { date, region } => format!("{date}/{region}/odps"),
        }
    }
}

/// The value of the `Authorization` header.
#[must_use]
pub fn authorization(scheme: &Scheme, access_id: &str, mac: &[u8]) -> String {
    let signature = STANDARD.encode(mac);
    match scheme {
        Scheme::V2 => format!("ODPS {access_id}:{signature}"),
        Scheme::V4 { .. } => {
            format!(
                "ODPS {access_id}/{}/aliyun_v4_request:{signature}",
                scheme.scope()
            )
        }
    }
}

/// The text that is signed.
///
/// `path` is without the endpoint's own base path and, like `query`, not percent-encoded. Of the
/// headers only the signed ones are used: `Content-MD5`, `Content-Type`, `Date` and `x-odps-*`.
#[must_use]
pub fn string_to_sign(
    method: &str,
    path: &str,
    query: &[(String, String)],
    headers: &[(String, String)],
) -> String {
    let header = |wanted: &str| {
        let found = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map_or("", |(_, value)| value.as_str())
    };
    let mut text = method.to_ascii_uppercase();
    for name in ["content-md5", "content-type", "date"] {
        text.push('\n');
        text.push_str(header(name));
    }
    for (name, value) in odps_headers(query, headers) {
        text.push('\n');
        text.push_str(&name);
        text.push(':');
        text.push_str(value);
    }
    text.push('\n');
    text.push_str(path);
    push_sorted_query(&mut text, query);
    text
}

/// The `x-odps-*` headers, and query parameters of such a name, which count as headers too.
fn odps_headers<'a>(
    query: &'a [(String, String)],
    headers: &'a [(String, String)],
) -> Vec<(String, &'a str)> {
    let mut found: Vec<_> = headers
        .iter()
        .chain(query)
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
        .filter(|(name, _)| name.starts_with("x-odps-"))
        .collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

fn push_sorted_query(text: &mut String, query: &[(String, String)]) {
    let mut sorted: Vec<_> = query.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (i, (name, value)) in sorted.into_iter().enumerate() {
        text.push(if i == 0 { '?' } else { '&' });
        text.push_str(name);
        if !value.is_empty() {
            text.push('=');
            text.push_str(value);
        }
    }
}

/// Percent-encodes a path; slashes stay.
#[must_use]
pub fn encode_path(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    push_encoded(&mut text, path, |byte| byte == b'/');
    text
}

/// Percent-encodes a query, without the question mark; a parameter with an empty value is its bare
/// name. A space is `%20`, as the Java and Go clients have it.
#[must_use]
pub fn encode_query(query: &[(String, String)]) -> String {
    let mut text = String::new();
    for (i, (name, value)) in query.iter().enumerate() {
        if i > 0 {
            text.push('&');
        }
        push_encoded(&mut text, name, |_| false);
        if !value.is_empty() {
            text.push('=');
            push_encoded(&mut text, value, |_| false);
        }
    }
    text
}

fn push_encoded(text: &mut String, plain: &str, keep: impl Fn(u8) -> bool) {
    for byte in plain.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep(byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}
