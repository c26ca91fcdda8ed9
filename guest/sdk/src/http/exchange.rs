//! One request and its answer, as a state machine over a [`Wire`].

use super::body::{BodyChunk, OutgoingChunks};
use super::wire::{Head, Read, Wants, Wire};
use super::{Response, TimeoutPhase, Timeouts, TransportError};

/// The host has the same limits; it gets this much longer so that its more exact error comes first.
const GRACE_MS: u64 = 1000;

/// First status that is not a success: the rest of the request body is of no use then.
const FIRST_REFUSAL: u16 = 300;

/// A request in flight.
#[derive(Debug)]
pub(super) struct Exchange<W> {
    wire: W,
    upload: Upload,
    answer: Answer,
    timeouts: Timeouts,
    response_limit: usize,
    last_progress_ms: u64,
}

#[derive(Debug)]
enum Upload {
    Sending(OutgoingChunks),
    Finished,
    /// Bytes remain that the host or the server did not want.
    Stopped {
        unsent: u64,
    },
}

#[derive(Debug)]
enum Answer {
    Awaited,
    Reading(Response),
    Complete(Response),
}

impl<W: Wire> Exchange<W> {
    pub(super) fn new(
        wire: W,
        body: Vec<BodyChunk>,
        timeouts: Timeouts,
        response_limit: usize,
        now_ms: u64,
    ) -> Self {
        Self {
            wire,
            upload: Upload::Sending(OutgoingChunks::new(body)),
            answer: Answer::Awaited,
            timeouts,
            response_limit,
            last_progress_ms: now_ms,
        }
    }

    /// Moves on as far as it goes without waiting; the result when the exchange is over.
    pub(super) fn advance(&mut self, now_ms: u64) -> Option<Result<Response, TransportError>> {
        self.send(now_ms);
        if let Err(error) = self.receive(now_ms) {
            return Some(Err(error));
        }
        if let Some(outcome) = self.outcome() {
            return Some(outcome);
        }
        (now_ms >= self.deadline_ms()).then(|| self.give_up(TransportError::Timeout(self.phase())))
    }

    /// What has to happen before `advance` gets any further.
    pub(super) fn wants(&self) -> Wants {
        Wants {
            write: matches!(self.upload, Upload::Sending(_)),
            head: matches!(self.answer, Answer::Awaited),
            read: matches!(self.answer, Answer::Reading(_)),
        }
    }

    /// When, in monotonic milliseconds, the exchange is given up unless it moves before.
    pub(super) fn deadline_ms(&self) -> u64 {
        let limit = match self.phase() {
            TimeoutPhase::Connect | TimeoutPhase::Upload | TimeoutPhase::FirstByte => self
                .timeouts
                .connect_ms
                .saturating_add(self.timeouts.first_byte_ms),
            TimeoutPhase::BetweenBytes => self.timeouts.between_bytes_ms,
        };
        self.last_progress_ms
            .saturating_add(limit)
            .saturating_add(GRACE_MS)
    }

    pub(super) fn wire(&self) -> &W {
        &self.wire
    }

    fn send(&mut self, now_ms: u64) {
        let Upload::Sending(chunks) = &mut self.upload else {
            return;
        };
        while !chunks.is_sent() {
            let permit = match self.wire.permit() {
                Ok(0) => return,
                Ok(permit) => permit,
                Err(_) => break,
            };
            let bytes = chunks.next(permit);
            let count = bytes.len();
            if self.wire.write(bytes).is_err() {
                break;
            }
            chunks.advance(count);
            self.last_progress_ms = now_ms;
        }
        let unsent = chunks.remaining();
        self.upload = if unsent == 0 && self.wire.finish_body().is_ok() {
            Upload::Finished
        } else {
            Upload::Stopped { unsent }
        };
    }

    fn receive(&mut self, now_ms: u64) -> Result<(), TransportError> {
        if matches!(self.answer, Answer::Awaited) {
            let Some(head) = self.wire.head() else {
                return Ok(());
            };
            let Head { status, headers } = head?;
            self.last_progress_ms = now_ms;
            if let (FIRST_REFUSAL.., Upload::Sending(chunks)) = (status, &self.upload) {
                self.upload = Upload::Stopped {
                    unsent: chunks.remaining(),
                };
            }
            self.answer = Answer::Reading(Response {
                status,
                headers,
                body: Vec::new(),
                complete: false,
            });
        }
        self.read_body(now_ms)
    }

    fn read_body(&mut self, now_ms: u64) -> Result<(), TransportError> {
        while let Answer::Reading(response) = &mut self.answer {
            match self.wire.read() {
                Read::Pending => return Ok(()),
                Read::Data(data) => {
                    self.last_progress_ms = now_ms;
                    if response.body.len().saturating_add(data.len()) > self.response_limit {
                        let limit = self.response_limit;
                        return Err(TransportError::ResponseTooLarge { limit });
                    }
                    response.body.extend_from_slice(&data);
                }
                Read::End => {
                    response.complete = true;
                    self.end_answer();
                }
                Read::Failed(_) if response.status >= FIRST_REFUSAL => self.end_answer(),
                Read::Failed(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn end_answer(&mut self) {
        if let Answer::Reading(response) = std::mem::replace(&mut self.answer, Answer::Awaited) {
            self.answer = Answer::Complete(response);
        }
    }

    fn outcome(&mut self) -> Option<Result<Response, TransportError>> {
        let Answer::Complete(response) = &mut self.answer else {
            return None;
        };
        let success = response.status < FIRST_REFUSAL;
        match self.upload {
            // The server agreed before it had everything: let it have the rest.
            Upload::Sending(_) if success => None,
            Upload::Stopped { unsent } if success => Some(Err(TransportError::Protocol(format!(
                "status {} was answered while {unsent} bytes of the request were not taken",
                response.status
            )))),
            _ => Some(Ok(std::mem::take(response))),
        }
    }

    /// The refusal known so far, even if its text is incomplete; else `error`.
    fn give_up(&mut self, error: TransportError) -> Result<Response, TransportError> {
        match &mut self.answer {
            Answer::Reading(response) if response.status >= FIRST_REFUSAL => {
                Ok(std::mem::take(response))
            }
            _ => Err(error),
        }
    }

    fn phase(&self) -> TimeoutPhase {
        match (&self.answer, &self.upload) {
            (Answer::Reading(_), _) => TimeoutPhase::BetweenBytes,
            (_, Upload::Sending(_)) => TimeoutPhase::Upload,
            (_, Upload::Finished | Upload::Stopped { .. }) => TimeoutPhase::FirstByte,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::wire::BodyRefused;
    use super::*;

    /// A host that does what a test tells it.
    #[derive(Default)]
    struct Script {
        permits: VecDeque<Result<u64, BodyRefused>>,
        heads: VecDeque<Option<Result<Head, TransportError>>>,
        reads: VecDeque<Read>,
        received: Vec<u8>,
        finished: bool,
    }

    impl Wire for Script {
        fn permit(&mut self) -> Result<u64, BodyRefused> {
            self.permits.pop_front().unwrap_or(Ok(0))
        }
        fn write(&mut self, bytes: &[u8]) -> Result<(), BodyRefused> {
            self.received.extend_from_slice(bytes);
            Ok(())
        }
        fn finish_body(&mut self) -> Result<(), BodyRefused> {
            self.finished = true;
            Ok(())
        }
        fn head(&mut self) -> Option<Result<Head, TransportError>> {
            self.heads.pop_front().flatten()
        }
        fn read(&mut self) -> Read {
            self.reads.pop_front().unwrap_or(Read::Pending)
        }
    }

    fn head(status: u16) -> Option<Result<Head, TransportError>> {
        let headers = Vec::new();
        Some(Ok(Head { status, headers }))
    }

    fn exchange(script: Script, body: &[u8]) -> Exchange<Script> {
        Exchange::new(
            script,
            vec![body.to_vec().into()],
            Timeouts::default(),
            1024,
            0,
        )
    }

    #[test]
    fn the_body_goes_out_as_fast_as_the_host_takes_it() {
        let mut exchange = exchange(
            Script {
                permits: VecDeque::from([Ok(2), Ok(0), Ok(9)]),
                heads: VecDeque::from([None, head(200)]),
                reads: VecDeque::from([Read::Data(b"ok".to_vec()), Read::End]),
                ..Script::default()
            },
            b"abcd",
        );
        assert_eq!(exchange.advance(1), None);
        assert_eq!(exchange.wire.received, b"ab");
        assert!(exchange.wants().write && !exchange.wire.finished);
        let response = exchange.advance(2).unwrap().unwrap();
        assert_eq!(exchange.wire.received, b"abcd");
        assert!(exchange.wire.finished);
        assert_eq!(
            (response.status, response.body.as_slice(), response.complete),
            (200, &b"ok"[..], true)
        );
    }

    #[test]
    fn an_early_refusal_wins_over_the_refused_body() {
        for status in [308, 403, 429, 503] {
            let mut exchange = exchange(
                Script {
                    permits: VecDeque::from([Ok(1), Err(BodyRefused)]),
                    heads: VecDeque::from([None, head(status)]),
                    reads: VecDeque::from([Read::Data(b"why".to_vec()), Read::End]),
                    ..Script::default()
                },
                b"abcd",
            );
            assert_eq!(exchange.advance(1), None);
            let response = exchange.advance(2).unwrap().unwrap();
            assert_eq!(
                (response.status, response.body.as_slice()),
                (status, &b"why"[..])
            );
        }
    }

    #[test]
    fn a_refusal_ends_the_upload() {
        let mut exchange = exchange(
            Script {
                permits: VecDeque::from([Ok(0), Ok(4)]),
                heads: VecDeque::from([head(403)]),
                reads: VecDeque::from([Read::Pending, Read::End]),
                ..Script::default()
            },
            b"abcd",
        );
        assert_eq!(exchange.advance(1), None);
        assert!(!exchange.wants().write);
        assert_eq!(exchange.advance(2).unwrap().unwrap().status, 403);
        assert_eq!(exchange.wire.received, b"");
    }

    #[test]
    fn a_refusal_counts_even_when_its_text_breaks_off() {
        let mut exchange = exchange(
            Script {
                permits: VecDeque::from([Err(BodyRefused)]),
                heads: VecDeque::from([head(403)]),
                reads: VecDeque::from([
                    Read::Data(b"half".to_vec()),
                    Read::Failed(TransportError::ConnectionReset),
                ]),
                ..Script::default()
            },
            b"abcd",
        );
        let response = exchange.advance(1).unwrap().unwrap();
        assert_eq!((response.status, response.complete), (403, false));
    }

    #[test]
    fn a_success_that_breaks_off_is_an_error() {
        let mut exchange = exchange(
            Script {
                permits: VecDeque::from([Ok(4)]),
                heads: VecDeque::from([head(200)]),
                reads: VecDeque::from([Read::Failed(TransportError::ConnectionReset)]),
                ..Script::default()
            },
            b"abcd",
        );
        assert_eq!(
            exchange.advance(1),
            Some(Err(TransportError::ConnectionReset))
        );
    }

    #[test]
    fn a_success_for_half_a_request_is_not_believed() {
        let mut exchange = exchange(
            Script {
                permits: VecDeque::from([Ok(1), Err(BodyRefused)]),
                heads: VecDeque::from([head(200)]),
                reads: VecDeque::from([Read::End]),
                ..Script::default()
            },
            b"abcd",
        );
        assert!(
            matches!(exchange.advance(1), Some(Err(TransportError::Protocol(why))) if why.contains("3 bytes"))
        );
    }

    #[test]
    fn the_transport_error_is_the_one_of_the_answer() {
        let mut exchange = exchange(
            Script {
                permits: VecDeque::from([Err(BodyRefused)]),
                heads: VecDeque::from([Some(Err(TransportError::Denied))]),
                ..Script::default()
            },
            b"abcd",
        );
        assert_eq!(exchange.advance(1), Some(Err(TransportError::Denied)));
    }

    #[test]
    fn an_answer_over_the_limit_is_refused() {
        let mut exchange = exchange(
            Script {
                permits: VecDeque::from([Ok(4)]),
                heads: VecDeque::from([head(200)]),
                reads: VecDeque::from([Read::Data(vec![0; 1025])]),
                ..Script::default()
            },
            b"abcd",
        );
        assert_eq!(
            exchange.advance(1),
            Some(Err(TransportError::ResponseTooLarge { limit: 1024 }))
        );
    }

    #[test]
    fn silence_ends_in_a_timeout_that_names_its_phase() {
        let limits = Timeouts::default();
        let mut stuck = exchange(Script::default(), b"abcd");
        let deadline = limits.connect_ms + limits.first_byte_ms + GRACE_MS;
        assert_eq!(stuck.advance(deadline - 1), None);
        let upload = TransportError::Timeout(TimeoutPhase::Upload);
        assert_eq!(stuck.advance(deadline), Some(Err(upload)));

        let mut mute = exchange(
            Script {
                permits: VecDeque::from([Ok(4)]),
                ..Script::default()
            },
            b"abcd",
        );
        assert_eq!(mute.advance(500), None);
        assert_eq!(mute.deadline_ms(), 500 + deadline);
        let first_byte = TransportError::Timeout(TimeoutPhase::FirstByte);
        assert_eq!(mute.advance(500 + deadline), Some(Err(first_byte)));
    }
}
