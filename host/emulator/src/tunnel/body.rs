//! Bodies between the async connection and the blocking threads that decode, encode and write.

use std::{
    io::{self, BufRead, Read, Write},
    time::{Duration, Instant},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::blocking;
use crate::{
    server::ApiError,
    wire::{BodyWriter, Compression, WireError, WireErrorKind},
};

/// Frames on their way between connection and thread.
const FRAMES: usize = 16;
/// Bytes of an answer that are gathered before they are sent.
const ANSWER_BYTES: usize = 64 * 1024;
/// A connection that sends nothing for this long is given up, as the service does.
const IDLE: Duration = Duration::from_secs(120);

/// A request body on a blocking thread.
pub(super) struct IncomingBody {
    frames: Receiver<Result<Bytes, WireError>>,
    current: Bytes,
    ended: bool,
    /// Time spent waiting for the client.
    pub(super) waited: Duration,
}

/// Runs `work` on a blocking thread and feeds it the body meanwhile.
///
/// When `work` ends early the rest of the body is left to the server, which reads it to its end.
pub(super) async fn with_body<T: Send + 'static>(
    mut body: Body,
    work: impl FnOnce(IncomingBody) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let (sender, frames) = channel(FRAMES);
    let incoming = IncomingBody {
        frames,
        current: Bytes::new(),
        ended: false,
        waited: Duration::ZERO,
    };
    let worker = tokio::spawn(blocking(move || work(incoming)));
    loop {
        let item = match tokio::time::timeout(IDLE, body.frame()).await {
            Err(_) => {
                let message = format!("no data for {} seconds", IDLE.as_secs());
                Err(WireError::new(WireErrorKind::Idle, message))
            }
            Ok(None) => break,
            Ok(Some(Err(error))) => Err(WireError::new(
                WireErrorKind::Incomplete,
                format!("the connection broke: {error}"),
            )),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Ok(data),
                Err(_trailers) => continue,
            },
        };
        let last = item.is_err();
        if sender.send(item).await.is_err() || last {
            break;
        }
    }
    // An empty frame tells a complete body from one whose connection was dropped.
    let _ = sender.send(Ok(Bytes::new())).await;
    drop(sender);
    match worker.await {
        Ok(result) => result,
        Err(error) => Err(ApiError::internal(format!(
            "a task of the tunnel died: {error}"
        ))),
    }
}

impl IncomingBody {
    fn next_frame(&mut self) -> io::Result<()> {
        let start = Instant::now();
        let frame = self.frames.blocking_recv();
        self.waited += start.elapsed();
        match frame {
            Some(Ok(data)) if data.is_empty() => self.ended = true,
            Some(Ok(data)) => self.current = data,
            Some(Err(error)) => return Err(error.into()),
            None => {
                return Err(
                    WireError::new(WireErrorKind::Incomplete, "the connection was closed").into(),
                );
            }
        }
        Ok(())
    }
}

impl BufRead for IncomingBody {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() && !self.ended {
            self.next_frame()?;
        }
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current = self.current.split_off(count.min(self.current.len()));
    }
}

impl Read for IncomingBody {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

/// The end of an answer's body that a blocking thread writes to.
pub(super) struct OutgoingBody {
    frames: Sender<Result<Bytes, ApiError>>,
    buffer: Vec<u8>,
}

impl OutgoingBody {
    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(ANSWER_BYTES));
        self.frames
            .blocking_send(Ok(full.into()))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone"))
    }
}

impl Write for OutgoingBody {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= ANSWER_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

/// Answers with a body that `work` writes on a blocking thread.
///
/// A failure before the first bytes becomes an error answer; a later one breaks the connection, so that the
/// client sees a body without its end.
pub(super) async fn answer_with_body(
    compression: Option<Compression>,
    work: impl FnOnce(&mut BodyWriter<OutgoingBody>) -> Result<(), ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let (sender, mut frames) = channel::<Result<Bytes, ApiError>>(FRAMES);
    let failures = sender.clone();
    tokio::task::spawn_blocking(move || {
        let sink = OutgoingBody {
            frames: sender,
            buffer: Vec::with_capacity(ANSWER_BYTES),
        };
        let written = BodyWriter::new(compression, sink)
            .map_err(write_failed)
            .and_then(|mut writer| {
                work(&mut writer)?;
                writer
                    .finish()
                    .and_then(|mut sink| sink.flush())
                    .map_err(write_failed)
            });
        if let Err(error) = written {
            // The client may be gone, then nobody wants to know.
            let _ = failures.blocking_send(Err(error));
        }
    });
    let first = match frames.recv().await {
        Some(Ok(first)) => first,
        Some(Err(error)) => return Err(error),
        None => Bytes::new(),
    };
    let rest = futures::stream::unfold(frames, |mut frames| async move {
        let item = frames.recv().await?;
        Some((
            item.map_err(|error| io::Error::other(error.message)),
            frames,
        ))
    });
    let all = futures::StreamExt::chain(futures::stream::iter([Ok(first)]), rest);
    let mut response = Response::new(Body::from_stream(all));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    if let Some(method) = compression {
        response.headers_mut().insert(
            header::CONTENT_ENCODING,
            HeaderValue::from_static(method.name()),
        );
    }
    Ok(response)
}

/// A failed write of an answer: the client is gone, or the disk behind it failed.
pub(super) fn write_failed(error: io::Error) -> ApiError {
    ApiError::internal(format!("the answer cannot be written: {error}"))
}

/// What a request cost, as the service tells clients of tunnel version 6.
pub(super) struct Costs {
    started: Instant,
    pub(super) client: Duration,
    pub(super) disk: Duration,
}

impl Costs {
    pub(super) fn start() -> Self {
        Self {
            started: Instant::now(),
            client: Duration::ZERO,
            disk: Duration::ZERO,
        }
    }

    /// JSON text in microseconds; the total is above the sum of its parts.
    pub(super) fn json(&self) -> String {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let (client, disk) = (micros(self.client), micros(self.disk));
        let total =
            micros(self.started.elapsed()).max(client.saturating_add(disk).saturating_add(1));
        serde_json::json!({
            "PanguIOCost": disk, "ServerIOCost": client, "ServerTotalCost": total, "RateLimitCost": 0
        })
        .to_string()
    }
}
