//! The seam between the coordinator and a sink: what it calls, whoever answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use longshore_runtime::contract::{
    Batch, CheckpointId, CheckpointReason, CommitOutcome, Committable, Metric, Progress,
    SchemaChange, State, TableDecl, TableId,
};
use longshore_runtime::{CallError, CheckpointListener, DeadLetterSink, SinkInstance, Traffic};
use tokio::sync::Notify;

/// One sink instance: a writer or a committer. The calls are those of the sink contract; one runs
/// at a time.
#[async_trait]
pub trait SinkDriver: Send {
    /// `writer.open`
    async fn open_writer(
        &mut self,
        options: &[(String, String)],
        subtask: u32,
        parallelism: u32,
        restore: Option<&State>,
    ) -> Result<(), CallError>;
    /// `writer.declare-table`
    async fn declare_table(&mut self, table: &TableDecl) -> Result<u32, CallError>;
    /// `writer.change-schema`
    async fn change_schema(
        &mut self,
        change: &SchemaChange,
        next: &TableDecl,
    ) -> Result<(), CallError>;
    /// `writer.prepare-table`
    async fn prepare_table(
        &mut self,
        table: TableId,
        checkpoint: CheckpointId,
    ) -> Result<Vec<Committable>, CallError>;
    /// `writer.write`
    async fn write(&mut self, batch: &Batch) -> Result<Progress, CallError>;
    /// `writer.drive`
    async fn drive(&mut self, budget_ms: u32) -> Result<Progress, CallError>;
    /// `writer.flush`
    async fn flush(&mut self) -> Result<(), CallError>;
    /// `writer.prepare`
    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Vec<Committable>, CallError>;
    /// `writer.snapshot`
    async fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<State, CallError>;
    /// `writer.metrics`
    async fn metrics(&mut self) -> Result<Vec<Metric>, CallError>;
    /// `writer.close`
    async fn close(&mut self) -> Result<(), CallError>;
    /// `committer.open`
    async fn open_committer(&mut self, options: &[(String, String)]) -> Result<(), CallError>;
    /// `committer.commit`
    async fn commit(&mut self, items: &[Committable]) -> Result<Vec<CommitOutcome>, CallError>;
    /// What the instance sent so far.
    fn traffic(&self) -> Traffic;
}

/// Makes sink instances.
#[async_trait]
pub trait SinkFactory: Send + Sync {
    /// A fresh instance; `name` is for log events. Rows it keeps aside go to `dead_letters`.
    async fn instance(
        &self,
        name: &str,
        dead_letters: Arc<dyn DeadLetterSink>,
    ) -> Result<Box<dyn SinkDriver>, CallError>;
}

#[async_trait]
impl SinkDriver for SinkInstance {
    async fn open_writer(
        &mut self,
        options: &[(String, String)],
        subtask: u32,
        parallelism: u32,
        restore: Option<&State>,
    ) -> Result<(), CallError> {
        Self::open_writer(self, options, subtask, parallelism, restore).await
    }

    async fn declare_table(&mut self, table: &TableDecl) -> Result<u32, CallError> {
        Self::declare_table(self, table).await
    }

    async fn change_schema(
        &mut self,
        change: &SchemaChange,
        next: &TableDecl,
    ) -> Result<(), CallError> {
        Self::change_schema(self, change, next).await
    }

    async fn prepare_table(
        &mut self,
        table: TableId,
        checkpoint: CheckpointId,
    ) -> Result<Vec<Committable>, CallError> {
        Self::prepare_table(self, table, checkpoint).await
    }

    async fn write(&mut self, batch: &Batch) -> Result<Progress, CallError> {
        Self::write(self, batch).await
    }

    async fn drive(&mut self, budget_ms: u32) -> Result<Progress, CallError> {
        Self::drive(self, budget_ms).await
    }

    async fn flush(&mut self) -> Result<(), CallError> {
        Self::flush(self).await
    }

    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Vec<Committable>, CallError> {
        Self::prepare(self, checkpoint).await
    }

    async fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<State, CallError> {
        Self::snapshot(self, checkpoint).await
    }

    async fn metrics(&mut self) -> Result<Vec<Metric>, CallError> {
        Self::metrics(self).await
    }

    async fn close(&mut self) -> Result<(), CallError> {
        Self::close(self).await
    }

    async fn open_committer(&mut self, options: &[(String, String)]) -> Result<(), CallError> {
        Self::open_committer(self, options).await
    }

    async fn commit(&mut self, items: &[Committable]) -> Result<Vec<CommitOutcome>, CallError> {
        Self::commit(self, items).await
    }

    fn traffic(&self) -> Traffic {
        Self::traffic(self)
    }
}

/// Carries requests for early checkpoints from the sinks to the coordinator, and back what is
/// committed. Requests that come before the next checkpoint are merged.
#[derive(Debug, Default)]
pub struct CheckpointRequests {
    wanted: Notify,
    /// 0 = none; checkpoints count from 1.
    committed: AtomicU64,
}

impl CheckpointRequests {
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    pub(super) fn committed(&self, checkpoint: CheckpointId) {
        self.committed.fetch_max(checkpoint, Ordering::Relaxed);
    }
}

impl CheckpointListener for CheckpointRequests {
    fn request(&self, reason: CheckpointReason) {
        tracing::debug!(?reason, "the sink asks for a checkpoint");
        self.wanted.notify_one();
    }

    fn last_committed(&self) -> Option<CheckpointId> {
        Some(self.committed.load(Ordering::Relaxed)).filter(|id| *id > 0)
    }
}
