//! Resume positions.

use std::fmt;

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

/// For people: the file and how far it was read.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.get("path").and_then(serde_json::Value::as_str);
        match path {
            None => return f.write_str(&self.to_json()),
            Some("") => return f.write_str("the end of the last file"),
            Some(path) => f.write_str(path)?,
        }
        let parts = [
            ("lines", "line"),
            ("row_group", "row group"),
            ("batch", "batch"),
            ("row", "row"),
        ];
        for (key, name) in parts {
            if let Some(number) = self.0.get(key).and_then(serde_json::Value::as_u64) {
                write!(f, " {name} {number}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_told_as_file_and_place() {
        for (json, text) in [
            (
                r#"{"file":0,"path":"a.json","lines":7,"offset":90}"#,
                "a.json line 7",
            ),
            (
                r#"{"parquet_file":0,"path":"a.parquet","row_group":2,"row":9}"#,
                "a.parquet row group 2 row 9",
            ),
            (
                r#"{"file":1,"path":"","lines":0}"#,
                "the end of the last file",
            ),
            (r#"{"lsn":4}"#, r#"{"lsn":4}"#),
        ] {
            assert_eq!(Position::from_json(json).unwrap().to_string(), text);
        }
    }
}
