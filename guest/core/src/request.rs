//! Requests the driver is asked to send, and the answers it brings back.

use std::sync::Arc;

/// Names one request; a repeat of a request gets a new id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Create, commit.
    Post,
    /// Data.
    Put,
    /// Abort.
    Delete,
}

impl Method {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Whether the connection uses TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The name in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// How the length of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body; send `Content-Length: 0` where the method usually has one.
    Empty,
    /// `Content-Length`; never chunked (upsert packs).
    ContentLength,
    /// `Transfer-Encoding: chunked` (batch blocks).
    Chunked,
}

/// The bytes of a request body, in pieces: a large body is never moved to make room. Cheap to clone,
/// so that a repeat sends the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body(Arc<Vec<Vec<u8>>>);

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// All bytes, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(vec![bytes]))
    }
}

impl From<Vec<Vec<u8>>> for Body {
    fn from(pieces: Vec<Vec<u8>>) -> Self {
        Self(Arc::new(pieces))
    }
}

/// How to sign a request: the driver hands `payload` to its signer and puts what
/// [`Request::authorize`] makes of the MAC into the `Authorization` header.
///
/// With a bearer token (credential header `x-odps-bearer-token`) no `Authorization` is sent at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignSpec {
    /// Key derivation.
    pub scheme: SignScheme,
    /// `<yyyyMMdd>/<region>/odps` with `AliyunV4`, else empty.
    pub scope: String,
    /// The bytes to sign.
    pub payload: Vec<u8>,
}

/// Signature version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignScheme {
    /// HMAC-SHA1 with the key itself (V2).
    HmacSha1,
    /// HMAC-SHA1 with a key derived from date and region (V4).
    AliyunV4,
}

/// One HTTP request, complete but for credential headers and `Authorization`.
#[derive(Debug, Clone)]
pub struct Request {
    /// Give it back with the answer.
    pub id: RequestId,
    /// Method.
    pub method: Method,
    /// TLS or not.
    pub scheme: Scheme,
    /// `host` or `host:port`.
    pub authority: String,
    /// Target, percent-encoded.
    pub path_and_query: String,
    /// Headers, all but `Host`, `Authorization`, `Content-Length` and `Transfer-Encoding`.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Body,
    /// How to tell the body's length.
    pub framing: Framing,
    /// What to sign; None = send without `Authorization`.
    pub sign: Option<SignSpec>,
    /// Give up connecting after this many milliseconds.
    pub connect_timeout_ms: u64,
    /// Give up when no answer came this many milliseconds after the body was sent.
    pub response_timeout_ms: u64,
}

impl Request {
    /// The `Authorization` header value for the public key part and the MAC of `sign.payload`.
    /// None when the request is not to be signed.
    pub fn authorize(&self, access_id: &str, mac: &[u8]) -> Option<String> {
        use base64::Engine as _;
        let sign = self.sign.as_ref()?;
        let mac = base64::engine::general_purpose::STANDARD.encode(mac);
        Some(match sign.scheme {
            SignScheme::HmacSha1 => format!("ODPS {access_id}:{mac}"),
            SignScheme::AliyunV4 => {
                format!("ODPS {access_id}/{}/aliyun_v4_request:{mac}", sign.scope)
            }
        })
    }
}

/// The service's answer, body read to its end.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers in any letter case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, ignoring letter case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    /// What kind.
    pub kind: TransportErrorKind,
    /// For a person.
    pub message: String,
}

/// Kinds of transport failure, as far as they change what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportErrorKind {
    /// The name has no address.
    Dns,
    /// Nobody accepted the connection.
    Connect,
    /// TLS failed.
    Tls,
    /// Time ran out.
    Timeout,
    /// The connection ended before the answer did, or the answer was not HTTP.
    Interrupted,
    /// The host's policy forbids this destination.
    Denied,
    /// The host has no such credential, or will not sign with it.
    Credential,
    /// The credential expired and could not be refreshed.
    CredentialExpired,
    /// The host's credential source does not answer at the moment.
    SignerUnavailable,
    /// The request could not be built or sent for a reason that stays.
    Invalid,
}
