//! Signature check of requests: V2 and V4, with the access keys of the configuration.

use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::StatusCode;
use percent_encoding::percent_decode_str;
use sha1::Sha1;
use sha2::Sha256;

use crate::server::{ApiError, ServerOptions};

/// Whether and with which main key requests must be signed.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// Every request must carry a valid signature.
    Required {
        /// Access id.
        access_id: String,
        /// Secret key.
        access_key: String,
    },
    /// Signatures are not looked at.
    Disabled,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Required { access_id, .. } => f
                .debug_struct("Required")
                .field("access_id", access_id)
                .field("access_key", &"<secret>")
                .finish(),
            Self::Disabled => f.write_str("Disabled"),
        }
    }
}

/// A further access key with its rights.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Access id.
    pub access_id: String,
    /// Secret key.
    pub access_key: String,
    /// Temporary token that must come along (STS), if any.
    pub security_token: Option<String>,
    /// Rights.
    pub permission: Permission,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("access_id", &self.access_id)
            .field("access_key", &"<secret>")
            .field("permission", &self.permission)
            .finish_non_exhaustive()
    }
}

/// What a credential may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Everything.
    Full,
    /// Look, download and SELECT.
    ReadOnly,
    /// Nothing: valid signature, no rights in the project.
    None,
}

/// Checks the signature of a request; returns the rights of its key, which is the main one or one of
/// `credentials`. A bearer token of the options stands in for a signature.
pub fn verify(
    auth: &Auth,
    options: &ServerOptions,
    credentials: &[Credential],
    parts: &Parts,
    base: &str,
) -> Result<Permission, ApiError> {
    let Auth::Required {
        access_id,
        access_key,
    } = auth
    else {
        return Ok(Permission::Full);
    };
    let header = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(token) = header("x-odps-bearer-token") {
        return if options.bearer_tokens.iter().any(|known| known == token) {
            Ok(Permission::Full)
        } else {
            Err(unauthorized(
                "ODPS-0410041:Invalid bearer token - the token is unknown or has expired"
                    .to_owned(),
            ))
        };
    }
    let Some(authorization) = header("authorization") else {
        return Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "AuthorizationRequired",
            "ODPS-0410031:The request authorization header is invalid or missing.",
        ));
    };
    let given = Authorization::parse(authorization).ok_or_else(|| {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "AuthorizationRequired",
            "ODPS-0410031:The request authorization header is invalid or missing: expected `ODPS <id>:<signature>`.",
        )
    })?;
    let main = Credential {
        access_id: access_id.clone(),
        access_key: access_key.clone(),
        security_token: None,
        permission: Permission::Full,
    };
    let credential = std::iter::once(&main)
        .chain(credentials)
        .find(|credential| credential.access_id == given.access_id)
        .ok_or_else(|| {
            unauthorized(format!(
                "ODPS-0410051:Invalid credentials - accessKeyId not found: {}",
                given.access_id
            ))
        })?;
    check_date(header("date").unwrap_or_default(), options)?;
    if let Some(token) = &credential.security_token
        && header("authorization-sts-token") != Some(token)
    {
        return Err(unauthorized(
            "ODPS-0410041:Invalid sts token - the security token is missing or wrong".to_owned(),
        ));
    }
    let canonical = canonical_strings(parts, base);
    let key = given.signing_key(&credential.access_key)?;
    if canonical
        .iter()
        .any(|text| mac_matches(&key, text, &given.signature))
    {
        return Ok(credential.permission);
    }
    Err(unauthorized(format!(
        "ODPS-0410042:Invalid signature value - User signature does not match, the server signed {:?}",
        canonical.first().map_or("", String::as_str)
    )))
}

fn unauthorized(message: String) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
}

/// The Authorization header.
struct Authorization {
    access_id: String,
    /// Date and region of V4, with the prefix of the key derivation.
    scope: Option<(String, String, String)>,
    signature: Vec<u8>,
}

impl Authorization {
    fn parse(text: &str) -> Option<Self> {
        let (who, signature) = text.strip_prefix("ODPS ")?.trim().rsplit_once(':')?;
        let signature = STANDARD.decode(signature).ok()?;
        let mut fields = who.split('/');
        let access_id = fields.next()?.to_owned();
        let scope = match (
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next(),
        ) {
            (None, ..) => None,
            (Some(date), Some(region), Some("odps"), Some(request), None) => {
                let prefix = request.strip_suffix("_v4_request")?;
                Some((date.to_owned(), region.to_owned(), prefix.to_owned()))
            }
            _ => return None,
        };
        Some(Self {
            access_id,
            scope,
            signature,
        })
    }

    fn signing_key(&self, secret: &str) -> Result<Vec<u8>, ApiError> {
        let Some((date, region, prefix)) = &self.scope else {
            return Ok(secret.as_bytes().to_vec());
        };
        let today = chrono::Utc::now().date_naive();
        let given = chrono::NaiveDate::parse_from_str(date, "%Y%m%d").map_err(|_| {
            unauthorized(format!(
                "the date `{date}` of the signature scope is not yyyymmdd"
            ))
        })?;
        // The clocks of both sides may lie on two sides of midnight.
        if (today - given).num_days().abs() > 1 {
            return Err(unauthorized(format!(
                "the signature scope is of {date}, today is {today}"
            )));
        }
        v4_key(secret, date, region, prefix)
    }
}

/// Key of V4: a chain of MACs over date, region, service and the word for the request.
fn v4_key(secret: &str, date: &str, region: &str, prefix: &str) -> Result<Vec<u8>, ApiError> {
    let mut key = format!("{prefix}_v4{secret}").into_bytes();
    for part in [date, region, "odps", &format!("{prefix}_v4_request")] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&key).map_err(|e| ApiError::internal(e.to_string()))?;
        mac.update(part.as_bytes());
        key = mac.finalize().into_bytes().to_vec();
    }
    Ok(key)
}

fn mac_matches(key: &[u8], text: &str, signature: &[u8]) -> bool {
    Hmac::<Sha1>::new_from_slice(key).is_ok_and(|mut mac| {
        mac.update(text.as_bytes());
        mac.verify_slice(signature).is_ok()
    })
}

fn check_date(date: &str, options: &ServerOptions) -> Result<(), ApiError> {
    let now = chrono::Utc::now();
    let sent = chrono::DateTime::parse_from_rfc2822(date).map_err(|_| {
        unauthorized(format!(
            "the Date header `{date}` is missing or not an RFC 1123 date"
        ))
    })?;
    let skew = (now - sent.to_utc()).num_milliseconds().unsigned_abs();
    if u128::from(skew) <= options.clock_skew.as_millis() {
        return Ok(());
    }
    let limit = options.clock_skew.as_millis();
    let expire = sent.to_utc() + options.clock_skew;
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "RequestTimeTooSkewed",
        format!(
            "The difference between the request time and the server's time is too large. max_interval_date:{limit},expire_date:{}Z,now_date:{}Z",
            expire.format("%Y-%m-%dT%H:%M:%S%.3f"),
            now.format("%Y-%m-%dT%H:%M:%S%.3f")
        ),
    ))
}

/// The strings a client may have signed: values of the query decoded once, or twice as pyodps does.
fn canonical_strings(parts: &Parts, base: &str) -> Vec<String> {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or("");
    let mut texts = Vec::new();
    for stripped in [path.strip_prefix(base).unwrap_or(path), path] {
        let path = decode(stripped, false);
        let once: Vec<(String, String)> = split_query(query)
            .map(|(name, value)| (decode(name, false), decode(value, false)))
            .collect();
        let plus: Vec<(String, String)> = split_query(query)
            .map(|(name, value)| (decode(name, true), decode(value, true)))
            .collect();
        // pyodps decodes the whole URL, then parses the query of the result again.
        let whole = decode(query, false);
        let twice: Vec<(String, String)> = split_query(&whole)
            .map(|(name, value)| (decode(name, true), decode(value, true)))
            .collect();
        for pairs in [once, plus, twice] {
            let text = canonical_string(parts, &path, pairs);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    texts
}

fn canonical_string(parts: &Parts, path: &str, mut pairs: Vec<(String, String)>) -> String {
    // The three standard headers come first whether or not they are there.
    let mut headers: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |name: String, value: String| match headers.iter_mut().find(|(n, _)| *n == name) {
        Some((_, values)) => values.push(value),
        None => headers.push((name, vec![value])),
    };
    for name in ["content-md5", "content-type", "date"] {
        let value = parts
            .headers
            .get(name)
            .map(|v| String::from_utf8_lossy(v.as_bytes()).trim().to_owned());
        add(name.to_owned(), value.unwrap_or_default());
    }
    for (name, value) in &parts.headers {
        if name.as_str().starts_with("x-odps-") {
            add(
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).trim().to_owned(),
            );
        }
    }
    for (name, value) in &pairs {
        if name.to_lowercase().starts_with("x-odps-") {
            add(name.to_lowercase(), value.clone());
        }
    }
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    let mut lines = vec![parts.method.as_str().to_owned()];
    for (name, values) in headers {
        let value = values.join(",");
        lines.push(if name.starts_with("x-odps-") {
            format!("{name}:{value}")
        } else {
            value
        });
    }
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let query: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| {
            if value.is_empty() {
                name
            } else {
                format!("{name}={value}")
            }
        })
        .collect();
    lines.push(if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", query.join("&"))
    });
    lines.join("\n")
}

fn split_query(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn decode(text: &str, plus: bool) -> String {
    let text = if plus {
        text.replace('+', " ")
    } else {
        text.to_owned()
    };
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// Signatures made by the official clients.
    #[test]
    fn signatures_of_official_clients_verify() {
        type Case = (
            &'static str,
            &'static str,
            &'static str,
            &'static [(&'static str, &'static str)],
            &'static str,
        );
        let cases: [Case; 4] = [
            (
                "GET",
                "/api/projects/p1?curr_project=p1",
                "/api",
                &[
                    ("date", "Sat, 15 Jun 2024 04:34:56 GMT"),
                    ("x-odps-user-agent", "test/1"),
                ],
                "/cbNfVI08/w4A8hobCaB7xXxVUM=",
            ),
            (
                "POST",
                "/projects/p1/tables/t1?uploads&partition=pt%3D20240615%2Chh%3D01&curr_project=p1",
                "",
                &[
                    ("date", "Sat, 15 Jun 2024 04:34:56 GMT"),
                    ("x-odps-tunnel-version", "6"),
                    ("odps-tunnel-date-transform", "v1"),
                ],
                "mcwk68OiJ1gFwPvT3zLD6IrX9+I=",
            ),
            (
                "PUT",
                "/projects/p1/tables/t1?uploadid=u1&blockid=0&partition=pt%3D%E6%9D%AD%E5%B7%9E&curr_project=p1",
                "",
                &[
                    ("date", "Sat, 15 Jun 2024 04:34:56 GMT"),
                    ("x-odps-tunnel-version", "6"),
                    ("content-type", "application/octet-stream"),
                ],
                "NArTG+pui07pGxlpOYCkKNHosCA=",
            ),
            (
                "GET",
                "/api/projects/p1/x?x-odps-foo=bar&b=2&a=1",
                "/api",
                &[
                    ("date", "Sat, 15 Jun 2024 04:34:56 GMT"),
                    ("x-odps-user-agent", "ua"),
                ],
                "0fXU9lrj586yOVYMDtW25vsRQ4M=",
            ),
        ];
        for (method, target, base, headers, signature) in cases {
            let parts = parts(method, target, headers);
            let signature = STANDARD.decode(signature).unwrap();
            assert!(
                canonical_strings(&parts, base)
                    .iter()
                    .any(|text| mac_matches(b"my-secret-key", text, &signature)),
                "{target}"
            );
        }
    }

    #[test]
    fn the_key_of_v4_is_that_of_the_official_clients() {
        let key = v4_key("my-secret-key", "20240615", "cn-hangzhou", "aliyun").unwrap();
        assert_eq!(
            hex::encode(&key),
            "52ffa1d6e6b0f564c01949ee7fc7f522a79bad51057355a3e79e89bf8aeefb73"
        );
        let parts = parts(
            "GET",
            "/api/projects/p1?curr_project=p1",
            &[("date", "Sat, 15 Jun 2024 04:34:56 GMT")],
        );
        let signature = STANDARD.decode("6+MGGMVY44y+JEqSDhENrHe0Z3Y=").unwrap();
        assert!(
            canonical_strings(&parts, "/api")
                .iter()
                .any(|text| mac_matches(&key, text, &signature))
        );
    }

    #[test]
    fn values_decoded_once_or_twice_are_both_tried() {
        for (target, once, twice) in [
            (
                "pt%3Da%2Bb",
                "?curr_project=p1&partition=pt=a+b",
                "?curr_project=p1&partition=pt=a b",
            ),
            (
                "pt%3Da%2541",
                "?curr_project=p1&partition=pt=a%41",
                "?curr_project=p1&partition=pt=aA",
            ),
            (
                "pt%3Da%26b",
                "?curr_project=p1&partition=pt=a&b",
                "?b&curr_project=p1&partition=pt=a",
            ),
        ] {
            let target = format!("/projects/p1/tables/t1?curr_project=p1&partition={target}");
            let texts = canonical_strings(&parts("GET", &target, &[]), "");
            for query in [once, twice] {
                let resource = format!("/projects/p1/tables/t1{query}");
                assert!(
                    texts
                        .iter()
                        .any(|text| text.ends_with(&format!("\n{resource}"))),
                    "{resource}: {texts:?}"
                );
            }
        }
    }

    #[test]
    fn date_and_key_are_checked() {
        let auth = Auth::Required {
            access_id: "id".into(),
            access_key: "key".into(),
        };
        let options = ServerOptions::default();
        let code = |headers: &[(&str, &str)]| {
            verify(
                &auth,
                &options,
                &[],
                &parts("GET", "/api/tenants", headers),
                "/api",
            )
            .unwrap_err()
            .code
        };
        assert_eq!(code(&[]), "AuthorizationRequired");
        let now = chrono::Utc::now().to_rfc2822();
        assert_eq!(
            code(&[("authorization", "ODPS other:AAAA"), ("date", &now)]),
            "Unauthorized"
        );
        assert_eq!(
            code(&[("authorization", "ODPS id:AAAA"), ("date", &now)]),
            "Unauthorized"
        );
        assert_eq!(
            code(&[
                ("authorization", "ODPS id:AAAA"),
                ("date", "Sat, 15 Jun 2024 04:34:56 GMT")
            ]),
            "RequestTimeTooSkewed"
        );
    }
}
