//! Keys as JSON, in the forms Alibaba's tools print them.

use std::time::SystemTime;

use longshore_runtime::Credential;
use serde::Deserialize;

/// A key as the metadata service of ECS, `sts AssumeRole` or the external mode of Alibaba's CLI
/// print it. Other members are passed over.
#[derive(Deserialize)]
struct Document {
    /// `sts AssumeRole` wraps the key.
    #[serde(rename = "Credentials")]
    wrapped: Option<Box<Self>>,
    #[serde(rename = "AccessKeyId", alias = "access_key_id")]
    id: Option<String>,
    #[serde(rename = "AccessKeySecret", alias = "access_key_secret")]
    key: Option<String>,
    #[serde(rename = "SecurityToken", alias = "sts_token")]
    token: Option<String>,
    #[serde(rename = "Expiration", alias = "expiration")]
    expiration: Option<String>,
}

/// A key and its end.
pub(super) struct Key {
    pub(super) credential: Credential,
    pub(super) expires_at: Option<SystemTime>,
}

/// Reads a key. Errors never show what was read.
pub(super) fn parse(bytes: &[u8]) -> Result<Key, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| {
        format!(
            "it is not the JSON of a key (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    let document = match document.wrapped {
        Some(wrapped) => *wrapped,
        None => document,
    };
    let missing = |name: &str| format!("its JSON has no `{name}`");
    let present = |text: Option<String>| text.filter(|text| !text.is_empty());
    let id = present(document.id).ok_or_else(|| missing("AccessKeyId"))?;
    let key = present(document.key).ok_or_else(|| missing("AccessKeySecret"))?;
    let expires_at = present(document.expiration)
        .map(|text| {
            chrono::DateTime::parse_from_rfc3339(&text)
                .map(SystemTime::from)
                .map_err(|_| format!("its `Expiration` {text:?} is not like 2026-11-21T18:00:00Z"))
        })
        .transpose()?;
    if expires_at.is_some_and(|end| end <= SystemTime::now()) {
        return Err("the key it gives has expired already".into());
    }
    let mut credential = super::signing(id, key, present(document.token));
    if let Some(end) = expires_at {
        credential = credential.expiring_at(end);
    }
    Ok(Key {
        credential,
        expires_at,
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_forms_of_alibabas_tools_are_read() {
        for (text, expires) in [
            (r#"{"AccessKeyId":"i","AccessKeySecret":"k"}"#, false),
            (
                r#"{"Code":"Success","AccessKeyId":"i","AccessKeySecret":"k","SecurityToken":"t","Expiration":"2999-01-01T00:00:00Z"}"#,
                true,
            ),
            (
                r#"{"RequestId":"r","Credentials":{"AccessKeyId":"i","AccessKeySecret":"k","SecurityToken":"t","Expiration":"2999-01-01T00:00:00+08:00"}}"#,
                true,
            ),
            (
                r#"{"mode":"StsToken","access_key_id":"i","access_key_secret":"k","sts_token":"t"}"#,
                false,
            ),
        ] {
            let key = parse(text.as_bytes()).map(|key| key.expires_at.is_some());
            assert_eq!(key, Ok(expires), "{text}");
        }
    }

    #[test]
    fn faults_are_told_without_what_was_read() {
        for (text, why) in [
            ("hush", "not the JSON"),
            (r#"{"AccessKeyId":"hush"}"#, "`AccessKeySecret`"),
            (r#"{"AccessKeySecret":"hush"}"#, "`AccessKeyId`"),
            (
                r#"{"AccessKeyId":"hush","AccessKeySecret":"hush","Expiration":"2001-01-01T00:00:00Z"}"#,
                "expired already",
            ),
            (
                r#"{"AccessKeyId":"hush","AccessKeySecret":"hush","Expiration":"tomorrow"}"#,
                "`Expiration`",
            ),
            (r#"{"AccessKeyId":{"hush":1}}"#, "not the JSON"),
        ] {
            let error = parse(text.as_bytes()).err().unwrap();
            assert!(error.contains(why) && !error.contains("hush"), "{error}");
        }
    }
}
