//! Many exchanges at once, driven by polling.

use wasip2::clocks::monotonic_clock;
use wasip2::io::poll;

use super::exchange::Exchange;
use super::wire::WasiWire;
use super::{Request, Response, TransportError};
use crate::clock;

/// Names a request of one [`HttpClient`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// A finished request.
#[derive(Debug)]
pub struct Completion {
    /// What [`HttpClient::start`] returned.
    pub id: RequestId,
    /// The answer, whatever its status, or why there is none.
    pub result: Result<Response, TransportError>,
}

/// Sends requests and collects answers.
#[derive(Debug, Default)]
pub struct HttpClient {
    last_id: u64,
    in_flight: Vec<(RequestId, Exchange<WasiWire>)>,
    finished: Vec<Completion>,
}

impl HttpClient {
    /// A client with nothing in flight.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a request off. A request that can not even start is reported by the next [`poll`](Self::poll).
    pub fn start(&mut self, mut request: Request) -> RequestId {
        self.last_id = self.last_id.wrapping_add(1);
        let id = RequestId(self.last_id);
        match WasiWire::open(&request) {
            Ok(wire) => {
                let body = std::mem::take(&mut request.body);
                let exchange = Exchange::new(
                    wire,
                    body,
                    request.timeouts,
                    request.response_limit,
                    clock::monotonic_ms(),
                );
                self.in_flight.push((id, exchange));
            }
            Err(error) => self.finished.push(Completion {
                id,
                result: Err(error),
            }),
        }
        id
    }

    /// Number of requests not yet handed back.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len() + self.finished.len()
    }

    /// Moves all exchanges on, until at least one is finished or `timeout_ms` have passed. With 0 it
    /// does what can be done without waiting; with nothing in flight it is a plain timer.
    pub fn poll(&mut self, timeout_ms: u64) -> Vec<Completion> {
        let until_ms = clock::monotonic_ms().saturating_add(timeout_ms);
        // Hosts may note what has arrived only while they are polled, so poll once even at timeout 0.
        let mut polled = false;
        loop {
            let now_ms = clock::monotonic_ms();
            self.advance(now_ms);
            let over = now_ms >= until_ms && (polled || self.in_flight.is_empty());
            if over || !self.finished.is_empty() {
                return std::mem::take(&mut self.finished);
            }
            self.wait(now_ms, until_ms);
            polled = true;
        }
    }

    /// Gives a request up. Nothing more is reported about it.
    pub fn cancel(&mut self, id: RequestId) {
        self.in_flight.retain(|(known, _)| *known != id);
        self.finished.retain(|completion| completion.id != id);
    }

    fn advance(&mut self, now_ms: u64) {
        let finished = &mut self.finished;
        self.in_flight.retain_mut(|(id, exchange)| {
            let outcome = exchange.advance(now_ms);
            let pending = outcome.is_none();
            finished.extend(outcome.map(|result| Completion { id: *id, result }));
            pending
        });
    }

    fn wait(&self, now_ms: u64, until_ms: u64) {
        let mut pollables = Vec::with_capacity(self.in_flight.len() * 2 + 1);
        let mut wake_ms = until_ms;
        for (_, exchange) in &self.in_flight {
            exchange.wire().subscribe(exchange.wants(), &mut pollables);
            wake_ms = wake_ms.min(exchange.deadline_ms());
        }
        let pause = clock::nanos(wake_ms.saturating_sub(now_ms));
        pollables.push(monotonic_clock::subscribe_duration(pause));
        poll::poll(&pollables.iter().collect::<Vec<_>>());
    }
}
