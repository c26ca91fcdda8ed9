//! Bodies that break, drag or lie.

use std::num::NonZeroU64;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream::unfold;
use http_body_util::BodyExt as _;

/// The first `bytes` of a body, then an error: also where the body is no longer than that.
pub(super) fn torn(body: Body, bytes: u64) -> Body {
    Body::from_stream(unfold(Some((body, bytes)), |state| async move {
        let (mut body, left) = state?;
        let frame = if left == 0 {
            None
        } else {
            next(&mut body).await
        };
        let Some(frame) = frame else {
            return Some((Err(broken()), None));
        };
        Some(match frame {
            Ok(mut data) => {
                data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left.saturating_sub(data.len() as u64);
                (Ok(data), Some((body, left)))
            }
            Err(error) => (Err(error), None),
        })
    }))
}

/// A body that comes at most that fast.
pub(super) fn slow(body: Body, bytes_per_second: NonZeroU64) -> Body {
    /// Pieces in a second.
    const PIECES: u64 = 20;
    let piece = usize::try_from(bytes_per_second.get() / PIECES).unwrap_or(usize::MAX);
    let piece = piece.max(1);
    Body::from_stream(unfold((body, Bytes::new()), move |state| async move {
        let (mut body, mut rest) = state;
        while rest.is_empty() {
            match next(&mut body).await? {
                Ok(data) => rest = data,
                Err(error) => return Some((Err(error), (body, rest))),
            }
        }
        let now = rest.split_to(piece.min(rest.len()));
        let micros = (now.len() as u64).saturating_mul(1_000_000) / bytes_per_second;
        tokio::time::sleep(Duration::from_micros(micros)).await;
        Some((Ok(now), (body, rest)))
    }))
}

/// A body whose last byte is another one.
pub(super) fn corrupt(body: Body) -> Body {
    Body::from_stream(unfold((body, None::<Bytes>), |state| async move {
        let (mut body, mut held) = state;
        loop {
            match next(&mut body).await {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    if let Some(before) = held.replace(data) {
                        return Some((Ok(before), (body, held)));
                    }
                }
                Some(Err(error)) => return Some((Err(error), (body, None))),
                None => {
                    let last = held.take()?;
                    return Some((Ok(changed(&last)), (body, None)));
                }
            }
        }
    }))
}

/// The same bytes with one bit of the last one changed.
pub(super) fn changed(bytes: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(bytes);
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    bytes.freeze()
}

async fn next(body: &mut Body) -> Option<Result<Bytes, std::io::Error>> {
    loop {
        match body.frame().await? {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(error) => return Some(Err(std::io::Error::other(error))),
        }
    }
}

fn broken() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "torn on purpose")
}
