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

/// Where that is, for a person: the file, and how far it was read.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const COUNTED: [(&str, &str); 4] = [
            ("lines", "line"),
            ("row_group", "row group"),
            ("batch", "batch"),
            ("row", "row"),
        ];
        let Some(path) = self.0.get("path").and_then(|path| path.as_str()) else {
            return write!(f, "{}", self.0);
        };
        write!(f, "{path}")?;
        for (member, name) in COUNTED {
            if let Some(count) = self.0.get(member).and_then(|count| count.as_u64()) {
                write!(f, ", {name} {count}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn a_position_is_told_as_a_file_and_a_place_in_it() {
        let text = |json| Position::from_json(json).unwrap().to_string();
        let lines = r#"{"file":0,"path":"in/a.json","offset":90,"lines":7}"#;
        assert_eq!(text(lines), "in/a.json, line 7");
        let groups = r#"{"path":"a.parquet","row_group":2,"row":40}"#;
        assert_eq!(text(groups), "a.parquet, row group 2, row 40");
        assert_eq!(text(r#"{"offset":3}"#), r#"{"offset":3}"#);
    }
}
