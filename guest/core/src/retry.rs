//! What an answer means for the request: done, wait and repeat, or give up.

mod budget;
mod upload_window;

pub use budget::RetryBudget;
pub use upload_window::{Upload, UploadResult, UploadWindow};

use jiff::fmt::rfc2822;

use crate::error::{ErrorClass, SinkError};
use crate::options::RetryOptions;
use crate::request::{Response, TransportError, TransportErrorKind};

/// Why a request did not succeed, as far as it changes what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetryClass {
    /// Server or connection error: repeat, a limited number of times.
    Transient,
    /// Damaged on the way: repeat once or twice.
    Damaged,
    /// Nobody listens: repeat; seldom when this address has never answered.
    Unreachable,
    /// Throttled: repeat, slower.
    Throttled,
    /// 308: another server has the slot now.
    Moved,
    /// Credentials refused: repeat once, they may just have been refreshed.
    Unauthenticated,
    /// The session is no longer there or no longer usable.
    SessionGone,
    /// Repeating changes nothing.
    Fatal,
}

impl RetryClass {
    /// Name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Damaged => "damaged",
            Self::Unreachable => "unreachable",
            Self::Throttled => "throttled",
            Self::Moved => "moved",
            Self::Unauthenticated => "unauthenticated",
            Self::SessionGone => "session-gone",
            Self::Fatal => "fatal",
        }
    }
}

/// A failed attempt.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What to do.
    pub class: RetryClass,
    /// HTTP status; 0 = no answer.
    pub status: u16,
    /// The service's code, or the transport's kind.
    pub code: String,
    /// The service's or the transport's text.
    pub message: String,
    /// The service's request id.
    pub request_id: Option<String>,
    /// The service asked to wait at least this long.
    pub hold_ms: Option<u64>,
    /// Server that has the slot now, with `Moved`.
    pub routed_server: Option<String>,
}

impl Failure {
    /// Judge an answer; `Ok` for 2xx.
    pub fn judge(result: Result<Response, TransportError>) -> Result<Response, Self> {
        match result {
            Ok(response) if (200..300).contains(&response.status) => Ok(response),
            Ok(response) => Err(Self::of_response(&response)),
            Err(error) => Err(Self::of_transport(error)),
        }
    }

    /// An answer of 2xx whose content is not what it must be.
    pub fn malformed(what: &str, response: &Response) -> Self {
        Self {
            class: RetryClass::Fatal,
            status: response.status,
            code: "MalformedAnswer".to_owned(),
            message: what.to_owned(),
            request_id: response.header("x-odps-request-id").map(str::to_owned),
            hold_ms: None,
            routed_server: None,
        }
    }

    /// An answer other than 2xx.
    pub fn of_response(response: &Response) -> Self {
        let body = ServiceError::read(&response.body);
        let retry_after = retry_after_seconds(response).map(|s| s.min(180) * 1000);
        let code = body
            .code
            .unwrap_or_else(|| format!("HTTP{}", response.status));
        Self {
            class: classify(response.status, &code, retry_after.is_some()),
            status: response.status,
            message: body.message.unwrap_or_else(|| {
                format!(
                    "the service answered with HTTP status {} and no text",
                    response.status
                )
            }),
            code,
            request_id: response
                .header("x-odps-request-id")
                .map(str::to_owned)
                .or(body.request_id),
            hold_ms: body
                .hold_ms
                .map(|ms| ms.min(60_000))
                .into_iter()
                .chain(retry_after)
                .max(),
            routed_server: response
                .header("odps-tunnel-routed-server")
                .map(str::to_owned),
        }
    }

    fn of_transport(error: TransportError) -> Self {
        use TransportErrorKind as Kind;
        let (class, code) = match error.kind {
            Kind::Dns => (RetryClass::Unreachable, "Dns"),
            Kind::Connect => (RetryClass::Unreachable, "Connect"),
            Kind::Tls => (RetryClass::Fatal, "Tls"),
            Kind::Timeout => (RetryClass::Transient, "Timeout"),
            Kind::Interrupted => (RetryClass::Transient, "Interrupted"),
            Kind::Denied => (RetryClass::Fatal, "Denied"),
            Kind::Credential => (RetryClass::Fatal, "Credential"),
            Kind::CredentialExpired => (RetryClass::Unauthenticated, "CredentialExpired"),
            Kind::SignerUnavailable => (RetryClass::Transient, "SignerUnavailable"),
            Kind::Invalid => (RetryClass::Fatal, "Invalid"),
        };
        Self {
            class,
            status: 0,
            code: code.to_owned(),
            message: error.message,
            request_id: None,
            hold_ms: None,
            routed_server: None,
        }
    }

    /// The error to give to the host: `what` failed, at `place`; with a sentence on what to do.
    pub fn error(&self, side: &str, what: &str, place: &str) -> SinkError {
        let class = match self.class {
            RetryClass::Transient
            | RetryClass::Damaged
            | RetryClass::Unreachable
            | RetryClass::Moved => ErrorClass::Transient(clamp(self.hold_ms.unwrap_or(1000))),
            RetryClass::Throttled => ErrorClass::Throttled(clamp(self.hold_ms.unwrap_or(1000))),
            RetryClass::Unauthenticated => ErrorClass::Unauthenticated,
            RetryClass::SessionGone => ErrorClass::Fenced,
            RetryClass::Fatal => ErrorClass::Permanent,
        };
        let mut message = format!("{place}: {what} failed");
        if self.status != 0 {
            message.push_str(&format!(" with HTTP {}", self.status));
        }
        message.push_str(&format!(", {}: {}", self.code, self.message.trim()));
        if let Some(remedy) = self.remedy() {
            message.push_str("; ");
            message.push_str(remedy);
        }
        SinkError {
            class,
            code: format!("{side}.{}", self.code),
            message,
            request_id: self.request_id.clone(),
            bad_rows: Vec::new(),
        }
    }

    /// Whether the service says that the named thing does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status == 404
    }

    /// Whether the session must be read again before a repeat: its server or its state changed.
    pub fn wants_reload(&self) -> bool {
        matches!(self.status, 502 | 504) || self.code == "StatusConflict"
    }

    /// Whether the service may have done what was asked although it did not say so. A 503 refuses
    /// before anything is done, and without a signature nothing was asked.
    pub fn may_have_been_done(&self) -> bool {
        matches!(self.class, RetryClass::Transient | RetryClass::Damaged)
            && self.status != 503
            && self.code != "SignerUnavailable"
    }

    /// Where no slot is routed a move has no meaning: it may pass, and is not waited out for ever.
    pub fn without_route(mut self) -> Self {
        if self.class == RetryClass::Moved {
            self.class = RetryClass::Transient;
        }
        self
    }

    /// Whether the service says that it knows no signatures of version 4, or not this account's.
    pub fn refuses_version_4(&self) -> bool {
        let text = self.message.to_ascii_lowercase();
        match self.code.as_str() {
            "InternalServerError" => {
                text.contains("need ak v3 support") || text.contains("accesskey acl denied")
            }
            "InvalidParameter" => text.contains("odps-0410051"),
            "AuthorizationRequired" => text.contains("invalid or missing"),
            _ => false,
        }
    }

    fn remedy(&self) -> Option<&'static str> {
        let text = match self.code.as_str() {
            "Dns" | "Connect" => {
                "check the endpoint's address and that it can be reached from here"
            }
            "Tls" => "check that the endpoint speaks TLS and that its certificate is trusted here",
            "Denied" => "allow this destination in the host's egress policy",
            "Credential" => "check options access-id and access-key",
            "NoPermission" | "AccessDenied" | "ODPS-0130013" | "ODPS-0420095" => {
                "grant this account the missing permission on the project or table"
            }
            "NoSuchProject" => "check option project",
            "NoSuchTable" | "ODPS-0130131" => "check the table's name, or set create-table to true",
            "AuthenticationRequestExpired" | "RequestTimeTooSkewed" | "RequestTimeTooSkewd" => {
                "set this machine's clock: the service refuses requests more than 15 minutes off"
            }
            "SlotExceeded" | "QPSExceeded" | "FlowExceeded" | "RequestQuotaExceeded" => {
                "lower flush.concurrent-num or ask for more tunnel quota (option quota.name)"
            }
            _ => match self.class {
                RetryClass::Unauthenticated => {
                    "check access-id and access-key, a possibly expired sts-token, and this machine's clock"
                }
                RetryClass::SessionGone => "start again from the last checkpoint",
                RetryClass::Transient | RetryClass::Unreachable => {
                    "the service may recover; raise retry.max-retries to wait longer"
                }
                _ => return None,
            },
        };
        Some(text)
    }
}

fn clamp(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}

/// The wait of a `Retry-After` header (RFC 9110, 10.2.3): seconds, or a date, which is one of the
/// service's clock and therefore counts from the answer's own `Date`.
fn retry_after_seconds(response: &Response) -> Option<u64> {
    let value = response.header("Retry-After")?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(seconds);
    }
    let date = |text: &str| rfc2822::parse(text.trim()).ok();
    let wait = date(value)?.duration_since(&date(response.header("Date")?)?);
    Some(u64::try_from(wait.as_secs()).unwrap_or(0))
}

fn classify(status: u16, code: &str, retry_after: bool) -> RetryClass {
    match code {
        "FlowExceeded" | "QPSExceeded" | "RequestQuotaExceeded" => return RetryClass::Throttled,
        "SlotExceeded" if status == 429 => return RetryClass::Throttled,
        "CorruptedDataStream" | "IncompleteBody" => return RetryClass::Damaged,
        "InternalServerError"
        | "ServiceUnavailable"
        | "RequestTimeOut"
        | "DataUnderReplication"
        | "DataStoreError"
        | "MetaTransactionFailed"
        | "StatusConflict" => {
            return RetryClass::Transient;
        }
        "NoSuchUpload"
        | "UpsertSessionNotFound"
        | "StreamSessionNotFound"
        | "TableModified"
        | "ObjectModified"
        | "SchemaModified"
        | "DataVersionConflict" => {
            return RetryClass::SessionGone;
        }
        "Unauthorized"
        | "AuthorizationRequired"
        | "AuthenticationRequestExpired"
        | "RequestTimeTooSkewed"
        | "RequestTimeTooSkewd"
        | "InvalidSecurityToken"
        | "ExpiredToken"
        | "SignatureNotMatch" => return RetryClass::Unauthenticated,
        _ => {}
    }
    match status {
        308 => RetryClass::Moved,
        401 => RetryClass::Unauthenticated,
        408 => RetryClass::Transient,
        409 if retry_after => RetryClass::Transient,
        429 => RetryClass::Throttled,
        501 => RetryClass::Fatal,
        500..=599 => RetryClass::Transient,
        _ => RetryClass::Fatal,
    }
}

/// The error body of either side: JSON on the tunnel, XML on REST.
#[derive(Debug, Default)]
struct ServiceError {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    hold_ms: Option<u64>,
}

impl ServiceError {
    fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        if text.starts_with('{') {
            let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else {
                return Self::plain(text);
            };
            let get = |key: &str| json.get(key).and_then(|v| v.as_str()).map(str::to_owned);
            let number = |key: &str| json.get(key).and_then(serde_json::Value::as_u64);
            return Self {
                code: get("Code"),
                message: get("Message"),
                request_id: get("RequestId"),
                hold_ms: number("HoldClientMillis"),
            };
        }
        match crate::session::xml::parse(text) {
            Some(error) if error.name == "Error" => Self {
                code: error.text_of("Code"),
                message: error.text_of("Message"),
                request_id: error.text_of("RequestId"),
                hold_ms: None,
            },
            _ => Self::plain(text),
        }
    }

    fn plain(text: &str) -> Self {
        let short: String = text.chars().take(300).collect();
        Self {
            message: Some(short).filter(|s| !s.is_empty()),
            ..Self::default()
        }
    }
}

/// Counts the repeats of one request and says how long to wait before the next.
#[derive(Debug, Clone)]
pub struct Backoff {
    options: RetryOptions,
    failures: u32,
    throttled: u32,
    damaged: u32,
    refused: u32,
    moved: u32,
}

impl Backoff {
    /// For one request.
    pub fn new(options: RetryOptions) -> Self {
        Self {
            options,
            failures: 0,
            throttled: 0,
            damaged: 0,
            refused: 0,
            moved: 0,
        }
    }

    /// Milliseconds to wait before repeating, or None to give up. `reached` = this address has
    /// answered before; `random` is any number, for jitter.
    pub fn next(&mut self, failure: &Failure, reached: bool, random: u64) -> Option<u64> {
        let (count, limit) = match failure.class {
            RetryClass::Transient => (&mut self.failures, self.options.max_retries),
            RetryClass::Unreachable if reached => (&mut self.failures, self.options.max_retries),
            RetryClass::Unreachable => (&mut self.failures, self.options.max_retries.min(3)),
            RetryClass::Throttled if self.options.max_throttled == 0 => {
                (&mut self.throttled, u32::MAX)
            }
            RetryClass::Throttled => (&mut self.throttled, self.options.max_throttled),
            RetryClass::Damaged => (&mut self.damaged, 2),
            RetryClass::Unauthenticated => (&mut self.refused, 1),
            // The first moves are followed at once, endless ping-pong is slowed down.
            RetryClass::Moved => (&mut self.moved, u32::MAX),
            RetryClass::SessionGone | RetryClass::Fatal => return None,
        };
        if *count >= limit {
            return None;
        }
        let nth = *count;
        *count = nth.saturating_add(1);
        if failure.class == RetryClass::Moved && nth == 0 {
            return Some(0);
        }
        let base = self
            .options
            .initial_delay_ms
            .saturating_mul(1u64.checked_shl(nth.min(32)).unwrap_or(u64::MAX))
            .min(self.options.max_delay_ms);
        Some(jittered(base, random).max(failure.hold_ms.unwrap_or(0)))
    }
}

/// `delay` up to a quarter shorter or longer, so that many writers do not come back at the same
/// moment; `random` is any number.
pub fn jittered(delay: u64, random: u64) -> u64 {
    delay - delay / 4 + random % (delay / 2 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: RetryOptions = RetryOptions {
        max_retries: 3,
        max_throttled: 0,
        initial_delay_ms: 100,
        max_delay_ms: 1000,
        per_minute: 0,
    };

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
        let headers = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Failure::judge(Ok(Response {
            status,
            headers,
            body: body.into(),
        }))
        .unwrap_err()
    }

    #[test]
    fn classes_follow_status_and_code() {
        assert_eq!(
            answer(308, &[("ODPS-Tunnel-Routed-Server", "h:1")], "").class,
            RetryClass::Moved
        );
        assert_eq!(answer(502, &[], "<html>").class, RetryClass::Transient);
        let throttled = answer(
            429,
            &[],
            r#"{"Code":"FlowExceeded","Message":"m","HoldClientMillis":700}"#,
        );
        assert_eq!(
            (throttled.class, throttled.hold_ms),
            (RetryClass::Throttled, Some(700))
        );
        assert_eq!(
            answer(403, &[], r#"{"Code":"SlotExceeded"}"#).class,
            RetryClass::Fatal
        );
        let gone = answer(
            404,
            &[("x-odps-request-id", "r1")],
            "<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>",
        );
        assert_eq!(
            (gone.class, gone.request_id.as_deref()),
            (RetryClass::SessionGone, Some("r1"))
        );
        assert_eq!(answer(409, &[("Retry-After", "2")], "").hold_ms, Some(2000));
        assert_eq!(answer(401, &[], "").class, RetryClass::Unauthenticated);
    }

    #[test]
    fn a_date_to_retry_after_counts_by_the_clock_of_the_service() {
        let hold = |after: &str, date: &str| {
            answer(429, &[("Retry-After", after), ("Date", date)], "").hold_ms
        };
        let now = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(hold("Sun, 06 Nov 1994 08:49:44 GMT", now), Some(7_000));
        assert_eq!(hold("Sun, 06 Nov 1994 08:49:30 GMT", now), Some(0));
        assert_eq!(hold("Mon, 07 Nov 1994 08:49:37 GMT", now), Some(180_000));
        assert_eq!(hold("soon", now), None);
        assert_eq!(hold("Sun, 06 Nov 1994 08:49:44 GMT", "today"), None);
    }

    #[test]
    fn delays_double_and_end() {
        let mut backoff = Backoff::new(OPTIONS);
        let failure = answer(500, &[], "");
        let delays: Vec<_> = std::iter::from_fn(|| backoff.next(&failure, true, 0)).collect();
        assert_eq!(delays, [75, 150, 300]);
        let throttled = answer(429, &[("Retry-After", "9")], "");
        for _ in 0..100 {
            assert!(backoff.next(&throttled, true, 7).unwrap() >= 9000);
        }
    }
}
