//! When a credential's source is asked again.

use super::Credential;
use async_trait::async_trait;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// A credential is renewed this long before it expires, or after four fifths of its life where that
/// is later.
const LEAD: Duration = Duration::from_secs(300);
/// Share of its life, counted from the end, in which a short-lived credential is renewed.
const LAST_PART: u32 = 5;
/// A source that failed is asked again after this long at the earliest.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Refusals this soon after a renewal are of requests that were sent before it.
const SETTLING: Duration = Duration::from_secs(2);

/// Hands out the credential that is to be used now: runs a command, reads a file, asks a service.
#[async_trait]
pub trait CredentialSource: Send + Sync + 'static {
    /// The credential. Must give up by itself after a reasonable time. The text of an error is for
    /// a person and holds no secret.
    async fn fetch(&self) -> Result<Credential, String>;
}

/// A source and when it was asked.
pub(super) struct Renewal {
    source: Arc<dyn CredentialSource>,
    /// Held while the source is asked, so that it is asked once for all instances.
    turn: tokio::sync::Mutex<()>,
    history: Mutex<History>,
}

struct History {
    renew_at: Option<SystemTime>,
    renewed: Option<Instant>,
    failed: Option<(Instant, String)>,
}

impl Renewal {
    pub(super) fn new(source: Arc<dyn CredentialSource>, first: &Credential) -> Self {
        Self {
            source,
            turn: tokio::sync::Mutex::default(),
            history: Mutex::new(History {
                renew_at: renew_at(first),
                renewed: None,
                failed: None,
            }),
        }
    }

    /// The next credential, where it is time for one and its source has one.
    pub(super) async fn due(&self, refused: bool) -> Option<Credential> {
        if !self.is_due(refused) {
            return None;
        }
        let _turn = self.turn.lock().await;
        // Another instance may have had the turn before.
        if !self.is_due(refused) {
            return None;
        }
        match self.source.fetch().await {
            Ok(credential) => {
                tracing::info!("the credential was renewed");
                let mut history = self.history();
                history.renew_at = renew_at(&credential);
                history.renewed = Some(Instant::now());
                history.failed = None;
                Some(credential)
            }
            Err(reason) => {
                tracing::warn!("the credential could not be renewed: {reason}");
                self.history().failed = Some((Instant::now(), reason));
                None
            }
        }
    }

    /// Why the source was of no use when it was asked last.
    pub(super) fn failure(&self) -> Option<String> {
        self.history()
            .failed
            .as_ref()
            .map(|(_, reason)| reason.clone())
    }

    fn is_due(&self, refused: bool) -> bool {
        let history = self.history();
        let paused = history
            .failed
            .as_ref()
            .is_some_and(|(at, _)| at.elapsed() < PAUSE_AFTER_FAILURE);
        let settling = history.renewed.is_some_and(|at| at.elapsed() < SETTLING);
        let wanted =
            (refused && !settling) || history.renew_at.is_some_and(|at| at <= SystemTime::now());
        wanted && !paused
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The earlier of the time it asks for and a while before it expires.
fn renew_at(credential: &Credential) -> Option<SystemTime> {
    let before_expiry = credential.expires_at.map(|end| {
        let life = end.duration_since(SystemTime::now()).unwrap_or_default();
        end - LEAD.min(life / LAST_PART)
    });
    before_expiry.into_iter().chain(credential.renew_at).min()
}
