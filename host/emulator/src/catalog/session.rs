//! Durable tunnel sessions: a JSON document with a revision, kept until deleted or expired.

use serde_json::Value;

/// A stored session.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Id given to the client.
    pub id: String,
    /// Kind, free text of the owner: `upload`, `upsert`, `stream`, `download`, ...
    pub kind: String,
    /// Id of the table it belongs to.
    pub table_id: String,
    /// Status word, meaning defined by the owner.
    pub status: String,
    /// Everything else the owner keeps.
    pub document: Value,
    /// Grows with each update; pass it in [`SessionUpdate::expected`] to detect races.
    pub revision: u64,
    /// Creation, epoch milliseconds.
    pub created_ms: i64,
    /// Last update, epoch milliseconds.
    pub modified_ms: i64,
    /// End of life, epoch milliseconds.
    pub expires_ms: i64,
}

impl Session {
    /// True when the lifetime is over; the row stays for a day so that the client hears "expired".
    pub fn is_expired(&self) -> bool {
        super::now_ms() >= self.expires_ms
    }
}

/// A change of a session, applied alone or in the transaction of a commit.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionUpdate {
    /// Which session.
    pub id: String,
    /// Refuse with [`SessionConflict`](super::StoreError::SessionConflict) unless the stored
    /// revision is this one; None applies in any case.
    pub expected: Option<u64>,
    /// New status.
    pub status: String,
    /// New document.
    pub document: Value,
}
