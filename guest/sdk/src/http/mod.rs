//! A `wasi:http` client that keeps many requests in flight inside one call.
//!
//! [`HttpClient::start`] sends a request off, [`HttpClient::poll`] moves every exchange as far as it
//! goes and hands back the finished ones. There is no runtime beneath: one `wasi:io/poll` call waits
//! for all streams, answers and a timer at once.
//!
//! What a server says comes first. An answer that arrives while the request body is still being sent
//! (a 403, a 429, a 308) is returned as that answer, whatever became of the body.

mod body;
mod client;
mod error;
mod exchange;
mod wire;

pub use body::BodyChunk;
pub use client::{Completion, HttpClient, RequestId};
pub use error::{TimeoutPhase, TransportError};

/// A request to send.
#[derive(Debug)]
pub struct Request {
    /// What to do at the target.
    pub method: Method,
    /// Plain or over TLS.
    pub scheme: Scheme,
    /// `host` or `host:port`. Hosts set the `Host` header from it.
    pub authority: String,
    /// Path and query as they go on the wire, starting with `/`.
    pub path_and_query: String,
    /// Names and values in order. `Host`, `Connection` and `Transfer-Encoding` belong to the host
    /// and are refused by it.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, in chunks that are sent one after the other; empty = no body.
    pub body: Vec<BodyChunk>,
    /// How the body's end is told.
    pub framing: Framing,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Longest answer body to accept, in bytes; a longer one is [`TransportError::ResponseTooLarge`].
    pub response_limit: usize,
}

/// Method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
}

/// Scheme of a request's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// How the server learns where a request body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A `Content-Length` header with the sum of all chunks.
    ContentLength,
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Time limits of one request, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect_ms: u64,
    /// From the last byte of the request that the host took to the first byte of the answer. Time
    /// spent uploading does not count as long as the upload moves.
    pub first_byte_ms: u64,
    /// Between two pieces of the answer.
    pub between_bytes_ms: u64,
}

impl Default for Timeouts {
    /// 10 s to connect, 60 s to the first byte, 30 s between bytes.
    fn default() -> Self {
        Self {
            connect_ms: 10_000,
            first_byte_ms: 60_000,
            between_bytes_ms: 30_000,
        }
    }
}

/// What a server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Names in lower case, values as received.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether `body` is all of it. Only an answer with a status of 300 or above is handed over
    /// incomplete: its status matters even when the connection broke while its text was read.
    pub complete: bool,
}

impl Response {
    /// Value of the first header of that name, which must be given in lower case; none if there is
    /// no such header or its value is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}
