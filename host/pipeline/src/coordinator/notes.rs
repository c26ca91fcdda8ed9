//! States that writers take between two checkpoints, on their way into the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use longshore_runtime::contract::State;
use tokio::sync::Notify;

/// How often a writer's state is looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// The newest state of each writer that is not stored yet.
#[derive(Debug, Default)]
pub(super) struct Notes {
    newest: Mutex<BTreeMap<u32, State>>,
    changed: Notify,
}

impl Notes {
    /// A writer's newest state.
    pub(super) fn put(&self, subtask: u32, state: State) {
        self.newest().insert(subtask, state);
        self.changed.notify_one();
    }

    /// Returns when there is one to be stored.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Those to be stored.
    pub(super) fn take(&self) -> BTreeMap<u32, State> {
        std::mem::take(&mut self.newest())
    }

    fn newest(&self) -> MutexGuard<'_, BTreeMap<u32, State>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one writer's state was last, so that a change of it is noted.
pub(super) struct WatchedState {
    subtask: u32,
    /// The checkpoint that it belongs to.
    pub(super) checkpoint: u64,
    state: Option<State>,
    due: Option<Instant>,
    notes: Arc<Notes>,
}

impl WatchedState {
    /// `state` is what the writer goes on from.
    pub(super) fn new(
        subtask: u32,
        checkpoint: u64,
        state: Option<State>,
        notes: Arc<Notes>,
    ) -> Self {
        Self {
            subtask,
            checkpoint,
            state,
            due: None,
            notes,
        }
    }

    /// The writer worked: its state may have changed.
    pub(super) fn touched(&mut self, now: Instant) {
        self.due.get_or_insert(now + INTERVAL);
    }

    /// How long until the state is to be looked at; none = nothing happened since.
    pub(super) fn due_in(&self, now: Instant) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(now))
    }

    /// This is the state now.
    pub(super) fn seen(&mut self, state: State) {
        self.due = None;
        if self.state.as_ref() != Some(&state) {
            self.notes.put(self.subtask, state.clone());
            self.state = Some(state);
        }
    }

    /// This is the state now, and it is stored with what was prepared.
    pub(super) fn prepared(&mut self, state: &State) {
        self.due = None;
        self.state = Some(state.clone());
    }
}
