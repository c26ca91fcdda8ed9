//! Faults that the server has on demand, by rules of a file or of the administration: see
//! `FAULTS.md`.

mod body;
mod operation;
mod rule;
mod serve;
mod yaml;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use operation::Call;
pub use operation::Side;
pub use rule::{FaultError, JobFault, Rule};
pub(crate) use serve::{CutOff, serve};

/// The rules of a running server, and what became of them.
#[derive(Debug)]
pub struct Faults {
    /// Whether a call has to be looked at; most servers have no rules.
    armed: AtomicBool,
    rules: Mutex<Vec<Arc<Entry>>>,
    /// Sessions whose slots are at another server than clients were told first.
    moved: Mutex<HashMap<String, String>>,
    moves: AtomicU64,
    restarts: watch::Sender<Duration>,
}

/// A rule and how often it was met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// The rule as it was given.
    pub rule: Value,
    /// Calls it matched.
    pub matched: u64,
    /// Calls it changed.
    pub fired: u64,
}

#[derive(Debug)]
struct Entry {
    rule: Rule,
    matched: AtomicU64,
    fired: AtomicU64,
    in_progress: AtomicU64,
}

impl Default for Faults {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Faults {
    /// With these rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        let faults = Self {
            armed: AtomicBool::new(false),
            rules: Mutex::default(),
            moved: Mutex::default(),
            moves: AtomicU64::new(0),
            restarts: watch::Sender::new(Duration::ZERO),
        };
        faults.add(rules);
        faults
    }

    /// Adds rules behind those there are: of several that match a call the first one acts.
    pub fn add(&self, rules: Vec<Rule>) {
        if rules.is_empty() {
            return;
        }
        self.rules().extend(rules.into_iter().map(|rule| {
            Arc::new(Entry {
                rule,
                matched: AtomicU64::new(0),
                fired: AtomicU64::new(0),
                in_progress: AtomicU64::new(0),
            })
        }));
        self.armed.store(true, Ordering::Relaxed);
    }

    /// Takes all rules away. Slots that moved stay where they are.
    pub fn clear(&self) {
        self.rules().clear();
    }

    /// All rules, in the order given.
    pub fn report(&self) -> Vec<RuleReport> {
        let rules = self.rules();
        let report = |entry: &Arc<Entry>| RuleReport {
            rule: entry.rule.given.clone(),
            matched: entry.matched.load(Ordering::Relaxed),
            fired: entry.fired.load(Ordering::Relaxed),
        };
        rules.iter().map(report).collect()
    }

    /// Tells when the server is to lose its connections, and for how long it is to be away.
    pub(crate) fn restarts(&self) -> watch::Receiver<Duration> {
        self.restarts.subscribe()
    }

    /// The server of a session's slots, as clients are to name it.
    pub(crate) fn server_of(&self, session: &str, usual: &str) -> String {
        self.moved_to(session).unwrap_or_else(|| usual.to_owned())
    }

    fn moved_to(&self, session: &str) -> Option<String> {
        let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        moved.get(session).cloned()
    }

    /// Moves the slots of a session to a server of which nobody has heard.
    fn move_slots(&self, session: &str) -> String {
        let number = self.moves.fetch_add(1, Ordering::Relaxed) + 1;
        let server = format!("slot-server-{number}:80");
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        moved.insert(session.to_owned(), server.clone());
        server
    }

    fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Relaxed)
    }

    /// Counts the call at each rule that matches it, and finds the one that acts.
    fn meet(&self, call: &Call) -> Met {
        let matching: Vec<Arc<Entry>> = {
            let rules = self.rules();
            let matching = rules.iter().filter(|entry| entry.rule.matches(call));
            matching.cloned().collect()
        };
        let mut acting = None;
        for entry in &matching {
            let seen = entry.matched.fetch_add(1, Ordering::Relaxed);
            let others = entry.in_progress.fetch_add(1, Ordering::Relaxed);
            if acting.is_none() && entry.takes(seen, others) {
                acting = Some(Arc::clone(entry));
            }
        }
        Met { matching, acting }
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whether the rule acts on a call before which it matched `seen`, of which `others` are still
    /// being answered.
    fn takes(&self, seen: u64, others: u64) -> bool {
        if seen < self.rule.skip || self.rule.above.is_some_and(|above| others < above) {
            return false;
        }
        let Some(times) = self.rule.times else {
            self.fired.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let once_more = |fired: u64| (fired < times).then_some(fired + 1);
        self.fired
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, once_more)
            .is_ok()
    }
}

/// The rules that a call met; it is in progress until this is dropped.
struct Met {
    matching: Vec<Arc<Entry>>,
    acting: Option<Arc<Entry>>,
}

impl Met {
    fn rule(&self) -> Option<&Rule> {
        self.acting.as_deref().map(|entry| &entry.rule)
    }
}

impl Drop for Met {
    fn drop(&mut self) {
        for entry in &self.matching {
            entry.in_progress.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
