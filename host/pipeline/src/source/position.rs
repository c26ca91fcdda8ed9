//! Resume positions.

use serde::{Deserialize, Serialize};

/// Where to resume: right after the batch that carried it. Opaque outside the source that made
/// it; JSON, so that a checkpoint can store it as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub(crate) serde_json::Value);

impl Position {
    /// Text for a checkpoint.
    pub fn to_json(&self) -> String {
        self.0.to_string()
    }

    /// Reads what [`Position::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// The text is not JSON.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }
}
