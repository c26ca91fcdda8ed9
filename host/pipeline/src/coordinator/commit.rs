//! Making stored committables visible.

use std::time::{Duration, Instant};

use longshore_runtime::contract::{CommitOutcome, Committable, ErrorClass, SinkError};

use super::driver::{CheckpointRequests, SinkDriver};
use super::error::RunError;
use super::patience::Patience;
use crate::checkpoint_store::{CheckpointStore, Pending};

/// Commits everything in `pending`, oldest checkpoint first, each item until it is visible, and
/// marks it in the store. Returns how many items there were.
///
/// # Errors
/// An item that can not be committed; the others of its checkpoint are committed and marked.
pub(super) async fn commit(
    committer: &mut dyn SinkDriver,
    store: &mut CheckpointStore,
    pending: Vec<Pending>,
    patience: &mut Patience,
    requests: &CheckpointRequests,
) -> Result<u64, RunError> {
    let count = pending.len() as u64;
    let started = Instant::now();
    for group in pending.chunk_by(|a, b| a.checkpoint == b.checkpoint) {
        let Some(checkpoint) = group.first().map(|item| item.checkpoint) else {
            continue;
        };
        commit_checkpoint(committer, store, checkpoint, group.to_vec(), patience).await?;
        requests.committed(checkpoint);
    }
    patience.live().metrics.committed(count, started.elapsed());
    Ok(count)
}

async fn commit_checkpoint(
    committer: &mut dyn SinkDriver,
    store: &mut CheckpointStore,
    checkpoint: u64,
    mut open: Vec<Pending>,
    patience: &mut Patience,
) -> Result<(), RunError> {
    while !open.is_empty() {
        let items: Vec<Committable> = open.iter().map(|item| item.committable.clone()).collect();
        let outcomes = loop {
            // A run that slept may find that another went on meanwhile.
            store.check_owner()?;
            match committer.commit(&items).await {
                Ok(outcomes) => break outcomes,
                Err(error) => patience.consider("commit", error).await?,
            }
        };
        let round = Round::sort(open, outcomes);
        store.mark_committed(checkpoint, &round.done)?;
        if let Some((item, error)) = round.failed {
            let rows = store.source_range(item.checkpoint)?;
            return Err(failed(&item, error, rows));
        }
        if !round.done.is_empty() {
            patience.succeeded(true);
        }
        if let Some(item) = round.again.first() {
            patience.live().metrics.retried(&ErrorClass::Transient(0));
            let error = || {
                let message = "the service did not finish the commit; run again to go on with it";
                failed(
                    item,
                    SinkError {
                        class: ErrorClass::Transient(1000),
                        code: "commit.unfinished".into(),
                        message: message.into(),
                        request_id: None,
                        bad_rows: Vec::new(),
                    },
                    None,
                )
            };
            patience.pause(round.wait).await.map_err(|_| error())?;
        }
        open = round.again;
    }
    Ok(())
}

/// What became of one attempt.
#[derive(Default)]
struct Round {
    done: Vec<u32>,
    again: Vec<Pending>,
    wait: Duration,
    failed: Option<(Pending, SinkError)>,
}

impl Round {
    fn sort(items: Vec<Pending>, outcomes: Vec<CommitOutcome>) -> Self {
        let mut round = Self::default();
        for (item, outcome) in items.into_iter().zip(outcomes) {
            match outcome {
                CommitOutcome::Committed | CommitOutcome::AlreadyCommitted => {
                    round.done.push(item.sequence);
                }
                CommitOutcome::Retry(ms) => {
                    round.repeat(item, Duration::from_millis(ms.into()));
                }
                CommitOutcome::Failed(error) => match error.class.retry_after() {
                    Some(wait) => round.repeat(item, wait),
                    None => round.failed = round.failed.or(Some((item, error))),
                },
            }
        }
        round
    }

    fn repeat(&mut self, item: Pending, wait: Duration) {
        self.again.push(item);
        self.wait = self.wait.max(wait);
    }
}

fn failed(item: &Pending, error: SinkError, rows: Option<String>) -> RunError {
    RunError::Commit {
        table: item.committable.table.to_string(),
        checkpoint: item.checkpoint,
        rows,
        error: Box::new(error),
    }
}
