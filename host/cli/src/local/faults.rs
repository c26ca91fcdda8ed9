//! Files with rules for faults.

use std::path::Path;

use longshore_emulator::faults::Rule;

use crate::failure::{Exit, Failure};

/// A file of rules that is right.
pub(super) struct FaultFile {
    /// As it was read.
    pub(super) text: String,
    /// The rules in it.
    pub(super) rules: Vec<Rule>,
}

impl FaultFile {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let failure = |why: String| {
            Failure::new(Exit::Usage, "the file of faults can not be used")
                .at(path.display().to_string())
                .because(why)
        };
        let text = std::fs::read_to_string(path).map_err(|error| failure(error.to_string()))?;
        let rules = Rule::parse(&text).map_err(|error| failure(error.to_string()))?;
        Ok(Self { text, rules })
    }
}
