//! The contract's types as hosts see them and as the core does, field by field.

use longshore_core as core;
use longshore_core::contract as plain;
use longshore_runtime::CallError;
use longshore_runtime::contract as host;

/// A failed call.
pub(crate) fn call_error(error: core::error::SinkError) -> CallError {
    CallError::Sink(Box::new(sink_error(error)))
}

fn sink_error(error: core::error::SinkError) -> host::SinkError {
    use core::error::ErrorClass;
    host::SinkError {
        class: match error.class {
            ErrorClass::Transient(after_ms) => host::ErrorClass::Transient(after_ms),
            ErrorClass::Throttled(after_ms) => host::ErrorClass::Throttled(after_ms),
            ErrorClass::Unauthenticated => host::ErrorClass::Unauthenticated,
            ErrorClass::Fenced => host::ErrorClass::Fenced,
            ErrorClass::Data => host::ErrorClass::Data,
            ErrorClass::Schema => host::ErrorClass::Schema,
            ErrorClass::Permanent => host::ErrorClass::Permanent,
        },
        code: error.code,
        message: error.message,
        request_id: error.request_id,
        bad_rows: error
            .bad_rows
            .into_iter()
            .map(|row| host::BadRow {
                sequence: row.sequence,
                row: row.row,
                column: row.column,
                reason: row.reason,
            })
            .collect(),
    }
}

/// Room left and the next timer.
pub(crate) fn progress(progress: plain::Progress) -> host::Progress {
    host::Progress {
        credit: host::Credit {
            bytes: progress.credit.bytes,
            rows: progress.credit.rows,
        },
        wake_after_ms: progress.wake_after_ms,
    }
}

/// Something to commit, on its way to the host.
pub(crate) fn committable(item: plain::Committable) -> host::Committable {
    host::Committable {
        table: host::TablePath {
            catalog: item.table.catalog,
            schema: item.table.schema,
            table: item.table.table,
        },
        format: item.format,
        payload: item.payload,
    }
}

/// Something to commit, on its way back.
pub(crate) fn core_committable(item: &host::Committable) -> plain::Committable {
    plain::Committable {
        table: core_path(&item.table),
        format: item.format,
        payload: item.payload.clone(),
    }
}

/// What became of a committable.
pub(crate) fn commit_outcome(outcome: plain::CommitOutcome) -> host::CommitOutcome {
    match outcome {
        plain::CommitOutcome::Committed => host::CommitOutcome::Committed,
        plain::CommitOutcome::AlreadyCommitted => host::CommitOutcome::AlreadyCommitted,
        plain::CommitOutcome::Retry(after_ms) => host::CommitOutcome::Retry(after_ms),
        plain::CommitOutcome::Failed(error) => host::CommitOutcome::Failed(sink_error(error)),
    }
}

/// State of a writer, on its way to the host.
pub(crate) fn state(state: plain::State) -> host::State {
    host::State {
        format: state.format,
        payload: state.payload,
    }
}

/// State of a writer, on its way back.
pub(crate) fn core_state(state: &host::State) -> plain::State {
    plain::State {
        format: state.format,
        payload: state.payload.clone(),
    }
}

/// One measured value.
pub(crate) fn metric(metric: plain::Metric) -> host::Metric {
    host::Metric {
        name: metric.name,
        kind: match metric.kind {
            plain::MetricKind::Counter => host::MetricKind::Counter,
            plain::MetricKind::Gauge => host::MetricKind::Gauge,
        },
        labels: metric.labels,
        value: metric.value,
    }
}

/// A table's declaration.
pub(crate) fn core_table(table: &host::TableDecl) -> plain::TableDecl {
    plain::TableDecl {
        path: core_path(&table.path),
        arrow_schema: table.arrow_schema.clone(),
        primary_key: table.primary_key.clone(),
        partition_by: table.partition_by.clone(),
        schema_version: table.schema_version,
    }
}

/// Rows, on their way to the core, which takes them over.
pub(crate) fn core_batch(batch: &host::Batch) -> plain::Batch {
    plain::Batch {
        table: batch.table,
        schema_version: batch.schema_version,
        sequence: batch.sequence,
        rows: batch.rows,
        ipc: batch.ipc.clone(),
    }
}

/// Why a checkpoint is wanted.
pub(crate) fn checkpoint_reason(reason: plain::CheckpointReason) -> host::CheckpointReason {
    match reason {
        plain::CheckpointReason::SessionAge => host::CheckpointReason::SessionAge,
        plain::CheckpointReason::SessionBlocks => host::CheckpointReason::SessionBlocks,
        plain::CheckpointReason::Memory => host::CheckpointReason::Memory,
        plain::CheckpointReason::OpenPartitions => host::CheckpointReason::OpenPartitions,
    }
}

fn core_path(path: &host::TablePath) -> plain::TablePath {
    plain::TablePath {
        catalog: path.catalog.clone(),
        schema: path.schema.clone(),
        table: path.table.clone(),
    }
}
