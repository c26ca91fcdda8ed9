//! Request bodies that are read to the end although the answer was given early.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

use super::AppState;

/// Most bytes that are read and thrown away after an early answer.
const DRAIN_BYTES: usize = 64 * 1024 * 1024;
/// Longest time for it.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// A body that keeps being read in the background when its handler drops it unfinished. Closing
/// the socket with unread data would reset the connection, and the client, still sending, would
/// lose the answer that is on its way.
pub(super) struct Draining {
    body: Option<Body>,
    ended: bool,
    /// Where its bytes are counted.
    meter: Option<AppState>,
}

impl Draining {
    pub(super) fn new(body: Body) -> Self {
        let ended = body.is_end_stream();
        Self {
            body: Some(body),
            ended,
            meter: None,
        }
    }

    /// The same, its bytes counted as [`AppState::traffic`].
    pub(super) fn metered(body: Body, state: &AppState) -> Self {
        let mut draining = Self::new(body);
        draining.meter = Some(state.clone());
        draining
    }
}

impl http_body::Body for Draining {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = self.body.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.ended = true;
        }
        if let (Poll::Ready(Some(Ok(frame))), Some(state)) = (&polled, &self.meter) {
            state
                .traffic()
                .received(frame.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map(http_body::Body::size_hint)
            .unwrap_or_default()
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take() else {
            return;
        };
        if self.ended || body.is_end_stream() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(tokio::time::timeout(DRAIN_TIME, async move {
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > DRAIN_BYTES {
                    break;
                }
            }
        }));
    }
}
