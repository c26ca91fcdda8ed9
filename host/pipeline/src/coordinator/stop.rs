//! Asking a run to stop.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Asks a run to stop at the next cut.
#[derive(Debug, Clone)]
pub struct StopHandle(watch::Sender<Request>);

/// Hears that the run is to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<Request>);

#[derive(Debug, Clone, Copy)]
enum Request {
    /// Nobody asked.
    None,
    /// Stop as soon as a checkpoint is complete; do not wait for a service that does not answer.
    Stop,
    /// Stop as soon as a checkpoint is complete, and at this time in any case.
    StopBy(Instant),
}

/// A handle and the signal it gives.
pub fn stop_channel() -> (StopHandle, Stop) {
    let (sender, receiver) = watch::channel(Request::None);
    (StopHandle(sender), Stop(receiver))
}

impl StopHandle {
    /// Asks to stop. A service that does not answer is not waited for. Asking twice changes nothing.
    pub fn stop(&self) {
        self.ask(Request::Stop);
    }

    /// Asks to stop, and to go on trying to complete the checkpoint for at most `limit`. Asking
    /// twice changes nothing.
    pub fn stop_within(&self, limit: Duration) {
        let now = Instant::now();
        // A limit beyond what a clock can tell is none.
        let far = Duration::from_secs(60 * 60 * 24 * 365);
        self.ask(Request::StopBy(now + limit.min(far)));
    }

    fn ask(&self, request: Request) {
        self.0.send_if_modified(|now| {
            let first = matches!(now, Request::None);
            if first {
                *now = request;
            }
            first
        });
    }
}

impl Stop {
    /// Whether the run was asked to stop.
    pub fn requested(&self) -> bool {
        !matches!(*self.0.borrow(), Request::None)
    }

    /// Returns when the run is asked to stop; never, when nobody can ask any more.
    pub async fn wait(&mut self) {
        self.asked(|request| !matches!(request, Request::None))
            .await;
    }

    /// Returns when a service that does not answer is to be waited for no longer.
    pub(super) async fn wait_impatient(&mut self) {
        self.asked(|request| matches!(request, Request::Stop)).await;
    }

    /// Returns when the time for stopping is over.
    pub(super) async fn wait_for_limit(&mut self) {
        if let Request::StopBy(end) = self
            .asked(|request| matches!(request, Request::StopBy(_)))
            .await
        {
            tokio::time::sleep_until(end).await;
        }
    }

    async fn asked(&mut self, what: impl FnMut(&Request) -> bool) -> Request {
        let asked = self.0.wait_for(what).await.map(|request| *request);
        match asked {
            Ok(request) => request,
            Err(_) => std::future::pending().await,
        }
    }
}
