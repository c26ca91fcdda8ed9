//! A request body on its way out.

use std::collections::VecDeque;
use std::fmt;

/// Most a single `output-stream.write` carries; larger writes make the host copy in chunks.
const WRITE_LIMIT: usize = 1 << 20;

/// Bytes of a request body, whoever holds them: a vector, or a buffer shared with a later repeat.
pub struct BodyChunk(Box<dyn AsRef<[u8]>>);

impl BodyChunk {
    /// A chunk that keeps `bytes` until they are sent.
    pub fn new(bytes: impl AsRef<[u8]> + 'static) -> Self {
        Self(Box::new(bytes))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }
}

impl From<Vec<u8>> for BodyChunk {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl fmt::Debug for BodyChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyChunk({} bytes)", self.bytes().len())
    }
}

/// Chunks of a request body and how far they have been sent. Sent chunks are freed at once.
#[derive(Debug)]
pub(super) struct OutgoingChunks {
    chunks: VecDeque<BodyChunk>,
    /// Bytes of the first chunk that are already sent.
    sent_of_first: usize,
}

impl OutgoingChunks {
    pub(super) fn new(chunks: Vec<BodyChunk>) -> Self {
        let chunks = chunks
            .into_iter()
            .filter(|chunk| !chunk.bytes().is_empty())
            .collect();
        Self {
            chunks,
            sent_of_first: 0,
        }
    }

    /// Bytes still to send.
    pub(super) fn remaining(&self) -> u64 {
        let total: u64 = self
            .chunks
            .iter()
            .map(|chunk| chunk.bytes().len() as u64)
            .sum();
        total.saturating_sub(self.sent_of_first as u64)
    }

    /// The next bytes to send, at most `permit` of them; empty when all are sent.
    pub(super) fn next(&self, permit: u64) -> &[u8] {
        let limit = usize::try_from(permit)
            .unwrap_or(usize::MAX)
            .min(WRITE_LIMIT);
        let rest = self
            .chunks
            .front()
            .and_then(|chunk| chunk.bytes().get(self.sent_of_first..))
            .unwrap_or_default();
        rest.get(..limit).unwrap_or(rest)
    }

    /// Notes that `count` bytes of what [`next`](Self::next) gave are sent.
    pub(super) fn advance(&mut self, count: usize) {
        self.sent_of_first = self.sent_of_first.saturating_add(count);
        let first = self.chunks.front().map_or(0, |chunk| chunk.bytes().len());
        if self.sent_of_first >= first {
            self.chunks.pop_front();
            self.sent_of_first = 0;
        }
    }

    pub(super) fn is_sent(&self) -> bool {
        self.chunks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_cut_at_the_permit_and_never_joined() {
        let mut body = OutgoingChunks::new(vec![
            vec![1, 2, 3].into(),
            Vec::new().into(),
            vec![4].into(),
        ]);
        assert_eq!(body.remaining(), 4);
        assert_eq!(body.next(2), [1, 2]);
        body.advance(2);
        assert_eq!(body.next(100), [3]);
        body.advance(1);
        assert_eq!(body.next(100), [4]);
        body.advance(1);
        assert!(body.is_sent());
        assert_eq!(body.next(100), [0u8; 0]);
    }

    #[test]
    fn one_write_carries_at_most_a_mebibyte() {
        let body = OutgoingChunks::new(vec![vec![0; WRITE_LIMIT + 1].into()]);
        assert_eq!(body.next(u64::MAX).len(), WRITE_LIMIT);
    }
}
