//! Whose progress a store holds.

use sha2::{Digest, Sha256};

/// What makes a pipeline the same pipeline from one run to the next. A position of one source means
/// nothing to another, and committables of one project must never reach another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name of the pipeline.
    pub pipeline: String,
    /// The source in one line, without secrets: its type and what it reads.
    pub source: String,
    /// The sink in one line, without secrets: its type and where it writes.
    pub sink: String,
}

impl Identity {
    /// A digest of the three parts.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for part in [&self.pipeline, &self.source, &self.sink] {
            // The length keeps ("a", "bc") and ("ab", "c") apart.
            hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hex::encode(hasher.finalize())
    }

    /// What differs between the owner of a store (`self`) and the pipeline that wants to use it.
    pub(super) fn difference(&self, wanted: &Self) -> String {
        let mut parts = Vec::new();
        for (what, owner, wanted) in [
            ("pipeline", &self.pipeline, &wanted.pipeline),
            ("source", &self.source, &wanted.source),
            ("sink", &self.sink, &wanted.sink),
        ] {
            if owner != wanted {
                parts.push(format!("its {what} is `{owner}`, here it is `{wanted}`"));
            }
        }
        parts.join("; ")
    }
}
