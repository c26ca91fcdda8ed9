//! Asking a run to stop.

use tokio::sync::watch;

/// Asks a run to stop at the next cut.
#[derive(Debug, Clone)]
pub struct StopHandle(watch::Sender<bool>);

/// Hears that the run is to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// A handle and the signal it gives.
pub fn stop_channel() -> (StopHandle, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopHandle(sender), Stop(receiver))
}

impl StopHandle {
    /// Asks to stop. Asking twice changes nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether the run was asked to stop.
    pub fn requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when the run is asked to stop; never, when nobody can ask any more.
    pub async fn wait(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
