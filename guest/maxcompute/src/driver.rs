//! Moves the core: sends its requests, brings it the answers, keeps its timers.

use std::collections::HashMap;

use longshore_core::contract::{CallId, Now, Progress, Reply};
use longshore_core::error::SinkError;
use longshore_core::request::{self as core, TransportErrorKind};
use longshore_core::sink::Sink;
use longshore_sdk::http::{self, BodyChunk, HttpClient, TransportError};
use longshore_sdk::signer::{Algorithm, Credential, SignerError};
use longshore_sdk::{checkpoint, clock, dead_letter, logger};

use crate::{LOG_TARGET, convert};

/// Answers of the service are short texts; the longest are session descriptions with all blocks.
const RESPONSE_LIMIT: usize = 64 << 20;

/// The host's name for the credential to sign with.
const CREDENTIAL: &str = "default";

/// With this header among the credential's, a token stands in for the signature.
const BEARER_TOKEN_HEADER: &str = "x-odps-bearer-token";

/// Uploads move only while a call is running, so with requests in flight the host has to come back
/// this soon, in milliseconds.
const IN_FLIGHT_WAKE_MS: u32 = 20;

/// A core and the requests it has in flight.
pub struct Driver {
    sink: Sink,
    client: HttpClient,
    sent: HashMap<http::RequestId, core::RequestId>,
    /// Opened with the first request to sign; describing and validating need no credential.
    credential: Option<Credential>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("in_flight", &self.sent.len())
            .finish_non_exhaustive()
    }
}

impl Driver {
    /// A driver for `sink`.
    pub fn new(sink: Sink) -> Self {
        Self {
            sink,
            client: HttpClient::new(),
            sent: HashMap::new(),
            credential: None,
        }
    }

    /// The core, to start calls on.
    pub fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }

    /// Room left in the core, and when the host has to call again.
    pub fn progress(&self) -> Progress {
        let mut progress = self.sink.progress(now());
        if !self.sent.is_empty() {
            let wake = progress.wake_after_ms.unwrap_or(IN_FLIGHT_WAKE_MS);
            progress.wake_after_ms = Some(wake.min(IN_FLIGHT_WAKE_MS));
        }
        progress
    }

    /// Lets requests and answers move as far as they do without waiting.
    pub fn move_on(&mut self) {
        loop {
            let started = self.send_requests();
            let finished = self.collect_answers(0);
            if !started && !finished {
                break;
            }
        }
        self.report();
    }

    /// Lets requests and answers move for at most `budget_ms`. Returns earlier when nothing is in
    /// flight, or when there is room again where there was none.
    pub fn drive(&mut self, budget_ms: u32) {
        let until_ms = clock::monotonic_ms().saturating_add(u64::from(budget_ms));
        let was_full = self.is_full();
        loop {
            self.send_requests();
            let now_ms = clock::monotonic_ms();
            let has_room_again = was_full && !self.is_full();
            if now_ms >= until_ms || self.sent.is_empty() || has_room_again {
                break;
            }
            self.collect_answers(self.pause(now_ms, until_ms));
        }
        self.move_on();
    }

    /// Works until the call is answered.
    pub fn wait_for(&mut self, call: CallId) -> Result<Reply, SinkError> {
        let reply = loop {
            let started = self.send_requests();
            if let Some(reply) = self.sink.take_reply(call) {
                break reply;
            }
            if !started && self.sent.is_empty() && self.sink.wake_at().is_none() {
                break Err(SinkError::permanent(
                    "component.Stalled",
                    "the sink waits for something but has neither a request in flight nor a timer; \
                     this is a defect of the component, please report it",
                ));
            }
            // While the service is away this loop may go on for minutes: say so at once.
            self.report();
            let now_ms = clock::monotonic_ms();
            self.collect_answers(self.pause(now_ms, u64::MAX));
        };
        // Requests of other tables go on while the host is busy with this reply.
        self.move_on();
        reply
    }

    /// Hands log events and checkpoint requests of the core to the host.
    pub fn report(&mut self) {
        for event in self.sink.take_log() {
            let target = format!("{LOG_TARGET}.{}", event.target);
            logger::emit(
                convert::log_level(event.level),
                &target,
                &event.message,
                &event.fields,
            );
        }
        while let Some(reason) = self.sink.take_checkpoint_request() {
            checkpoint::request(convert::checkpoint_reason(reason));
        }
    }

    /// Gives rows that the core keeps aside to the host.
    pub fn hand_over_dead_letters(&mut self) -> Result<(), SinkError> {
        for letters in self.sink.take_dead_letters() {
            let table = letters.table.to_string();
            let (path, rows, ipc) = convert::dead_letters(letters);
            dead_letter::put(&path, &rows, &ipc).map_err(|why| {
                SinkError::permanent(
                    "dead-letter.refused",
                    format!("table {table}: the host does not take dead letters: {why}"),
                )
            })?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let credit = self.sink.progress(now()).credit;
        credit.bytes == 0 || credit.rows == 0
    }

    /// How long to wait for answers: until `until_ms` or the core's next timer, at least 1 ms.
    fn pause(&self, now_ms: u64, until_ms: u64) -> u64 {
        /// Nothing waits longer than this in one go; timers of the client lie far below.
        const LONGEST_MS: u64 = 60_000;
        let wake_ms = self.sink.wake_at().unwrap_or(u64::MAX).min(until_ms);
        wake_ms.saturating_sub(now_ms).clamp(1, LONGEST_MS)
    }

    fn send_requests(&mut self) -> bool {
        let mut any = false;
        while let Some(request) = self.sink.poll_request(now()) {
            any = true;
            let id = request.id;
            match self.credential_headers(&request) {
                Ok(credential_headers) => {
                    let sent = self.client.start(http_request(request, credential_headers));
                    self.sent.insert(sent, id);
                }
                Err(error) => self.sink.on_response(id, Err(error), now()),
            }
        }
        any
    }

    fn collect_answers(&mut self, timeout_ms: u64) -> bool {
        let completions = self.client.poll(timeout_ms);
        let any = !completions.is_empty();
        for completion in completions {
            if let Some(id) = self.sent.remove(&completion.id) {
                let result = completion.result.map(core_response).map_err(core_error);
                self.sink.on_response(id, result, now());
            }
        }
        any
    }

    /// The credential's own headers, and `Authorization` where the request is to be signed.
    fn credential_headers(
        &mut self,
        request: &core::Request,
    ) -> Result<Vec<(String, String)>, core::TransportError> {
        let Some(sign) = &request.sign else {
            return Ok(Vec::new());
        };
        let credential = match self.credential.take() {
            Some(credential) => credential,
            None => Credential::open(CREDENTIAL).map_err(signer_error)?,
        };
        let credential = self.credential.insert(credential);
        let mut headers = credential.headers();
        let id = credential.id();
        let has_token =
            |(name, _): &(String, String)| name.eq_ignore_ascii_case(BEARER_TOKEN_HEADER);
        // Headers without a key's name stand in for the signature.
        if headers.iter().any(has_token) || (id.is_empty() && !headers.is_empty()) {
            return Ok(headers);
        }
        let algorithm = match sign.scheme {
            core::SignScheme::HmacSha1 => Algorithm::HmacSha1,
            core::SignScheme::AliyunV4 => Algorithm::AliyunV4,
        };
        let mac = credential
            .sign(algorithm, &sign.scope, &sign.payload)
            .map_err(signer_error)?;
        if let Some(authorization) = request.authorize(&id, &mac) {
            headers.push(("Authorization".to_owned(), authorization));
        }
        Ok(headers)
    }
}

/// Both clocks.
pub fn now() -> Now {
    Now {
        monotonic_ms: clock::monotonic_ms(),
        unix_ms: clock::unix_ms(),
    }
}

/// A piece of a core's body as a chunk; the core keeps the same bytes for a repeat.
struct SharedPiece {
    body: core::Body,
    piece: usize,
}

impl AsRef<[u8]> for SharedPiece {
    fn as_ref(&self) -> &[u8] {
        self.body
            .pieces()
            .get(self.piece)
            .map_or(&[], Vec::as_slice)
    }
}

fn chunks(body: &core::Body) -> Vec<BodyChunk> {
    let shared = |piece| SharedPiece {
        body: body.clone(),
        piece,
    };
    (0..body.pieces().len())
        .map(|piece| BodyChunk::new(shared(piece)))
        .collect()
}

fn http_request(
    request: core::Request,
    credential_headers: Vec<(String, String)>,
) -> http::Request {
    let headers = request.headers.into_iter().chain(credential_headers);
    http::Request {
        method: match request.method {
            core::Method::Get => http::Method::Get,
            core::Method::Post => http::Method::Post,
            core::Method::Put => http::Method::Put,
            core::Method::Delete => http::Method::Delete,
        },
        scheme: match request.scheme {
            core::Scheme::Http => http::Scheme::Http,
            core::Scheme::Https => http::Scheme::Https,
        },
        authority: request.authority,
        path_and_query: request.path_and_query,
        headers: headers
            .map(|(name, value)| (name, value.into_bytes()))
            .collect(),
        body: chunks(&request.body),
        framing: match request.framing {
            core::Framing::Empty | core::Framing::ContentLength => http::Framing::ContentLength,
            core::Framing::Chunked => http::Framing::Chunked,
        },
        timeouts: http::Timeouts {
            connect_ms: request.connect_timeout_ms,
            first_byte_ms: request.response_timeout_ms,
            between_bytes_ms: request.response_timeout_ms,
        },
        response_limit: RESPONSE_LIMIT,
    }
}

fn core_response(response: http::Response) -> core::Response {
    let text = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) => text,
        // Header values are Latin-1 where they are not UTF-8; no byte is lost this way.
        Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
    };
    core::Response {
        status: response.status,
        headers: response
            .headers
            .into_iter()
            .map(|(name, value)| (name, text(value)))
            .collect(),
        body: response.body,
    }
}

fn core_error(error: TransportError) -> core::TransportError {
    let kind = match &error {
        TransportError::Denied => TransportErrorKind::Denied,
        TransportError::InvalidRequest(_) | TransportError::ResponseTooLarge { .. } => {
            TransportErrorKind::Invalid
        }
        TransportError::Dns(_) => TransportErrorKind::Dns,
        TransportError::ConnectionRefused => TransportErrorKind::Connect,
        TransportError::ConnectionReset
        | TransportError::Protocol(_)
        | TransportError::Other(_) => TransportErrorKind::Interrupted,
        TransportError::Timeout(_) => TransportErrorKind::Timeout,
        TransportError::Tls(_) => TransportErrorKind::Tls,
    };
    core::TransportError {
        kind,
        message: error.to_string(),
    }
}

fn signer_error(error: SignerError) -> core::TransportError {
    let (kind, message) = match error {
        SignerError::UnknownCredential => (
            TransportErrorKind::Credential,
            "the host has no credentials for this sink".to_owned(),
        ),
        SignerError::Denied(why) => (
            TransportErrorKind::Credential,
            format!("the host refused to sign: {why}"),
        ),
        SignerError::Expired => (
            TransportErrorKind::CredentialExpired,
            "the credentials have expired and could not be refreshed".to_owned(),
        ),
        SignerError::Unavailable(why) => (
            TransportErrorKind::SignerUnavailable,
            format!("the host's credential source does not answer: {why}"),
        ),
    };
    core::TransportError { kind, message }
}
