//! Which partitions this run has replaced: their first rows replace, later ones are appended.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::part::Target;

/// Table and partition of every session that replaced, or will once it is committed.
#[derive(Debug, Default)]
pub(super) struct Overwritten(RefCell<BTreeSet<(String, String)>>);

impl Overwritten {
    /// What a run had replaced at the checkpoint that is gone on from.
    pub(super) fn restored(list: BTreeSet<(String, String)>) -> Self {
        Self(RefCell::new(list))
    }

    /// Whether a session of this partition is the run's first, and is to replace.
    pub(super) fn is_first(&self, target: &Target, partition: &str) -> bool {
        let entry = (name(target), partition.to_owned());
        self.0.borrow_mut().insert(entry)
    }

    /// The entries of one table.
    pub(super) fn of_table(&self, target: &Target) -> Vec<(String, String)> {
        let name = name(target);
        let all = self.0.borrow();
        all.iter()
            .filter(|(table, _)| *table == name)
            .cloned()
            .collect()
    }

    pub(super) fn list(&self) -> BTreeSet<(String, String)> {
        self.0.borrow().clone()
    }
}

fn name(target: &Target) -> String {
    let schema = target.schema.as_deref().unwrap_or("default");
    format!("{}.{schema}.{}", target.project, target.name).to_lowercase()
}
