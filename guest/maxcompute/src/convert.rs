//! The contract's types and the core's, field by field.

use longshore_core as core;
use longshore_core::contract as plain;
use longshore_sdk::types as wit;
use longshore_sdk::{checkpoint, logger};

/// What the sink says about itself.
pub fn sink_info(info: plain::SinkInfo) -> wit::SinkInfo {
    wit::SinkInfo {
        name: info.name,
        version: info.version,
        delivery: match info.delivery {
            plain::Delivery::AtLeastOnce => wit::Delivery::AtLeastOnce,
            plain::Delivery::IdempotentUpsert => wit::Delivery::IdempotentUpsert,
            plain::Delivery::ExactlyOnce => wit::Delivery::ExactlyOnce,
        },
        state_formats: info.state_formats,
        options: info.options.into_iter().map(option_spec).collect(),
    }
}

fn option_spec(option: plain::OptionSpec) -> wit::OptionSpec {
    wit::OptionSpec {
        name: option.name,
        kind: match option.kind {
            plain::OptionKind::Text => wit::OptionKind::Text,
            plain::OptionKind::Integer => wit::OptionKind::Integer,
            plain::OptionKind::Boolean => wit::OptionKind::Boolean,
            plain::OptionKind::ByteSize => wit::OptionKind::ByteSize,
            plain::OptionKind::Duration => wit::OptionKind::Duration,
            plain::OptionKind::Choice => wit::OptionKind::Choice,
        },
        required: option.required,
        default_value: option.default_value,
        secret: option.secret,
        doc: option.doc,
        aliases: option.aliases,
        choices: option.choices,
    }
}

/// A failed call.
pub fn sink_error(error: core::error::SinkError) -> wit::SinkError {
    use core::error::ErrorClass;
    wit::SinkError {
        class: match error.class {
            ErrorClass::Transient(after_ms) => wit::ErrorClass::Transient(after_ms),
            ErrorClass::Throttled(after_ms) => wit::ErrorClass::Throttled(after_ms),
            ErrorClass::Unauthenticated => wit::ErrorClass::Unauthenticated,
            ErrorClass::Fenced => wit::ErrorClass::Fenced,
            ErrorClass::Data => wit::ErrorClass::Data,
            ErrorClass::Schema => wit::ErrorClass::Schema,
            ErrorClass::Permanent => wit::ErrorClass::Permanent,
        },
        code: error.code,
        message: error.message,
        request_id: error.request_id,
        bad_rows: error.bad_rows.into_iter().map(bad_row).collect(),
    }
}

fn bad_row(row: core::error::BadRow) -> wit::BadRow {
    wit::BadRow {
        sequence: row.sequence,
        row: row.row,
        column: row.column,
        reason: row.reason,
    }
}

/// Room left and the next timer.
pub fn progress(progress: plain::Progress) -> wit::Progress {
    wit::Progress {
        credit: wit::Credit {
            bytes: progress.credit.bytes,
            rows: progress.credit.rows,
        },
        wake_after_ms: progress.wake_after_ms,
    }
}

/// Something to commit, on its way to the host.
pub fn committable(item: plain::Committable) -> wit::Committable {
    wit::Committable {
        table: table_path(item.table),
        format: item.format,
        payload: item.payload,
    }
}

/// Rows kept aside: table, which and why, the rows.
pub fn dead_letters(letters: plain::DeadLetters) -> (wit::TablePath, Vec<wit::BadRow>, Vec<u8>) {
    (
        table_path(letters.table),
        letters.rows.into_iter().map(bad_row).collect(),
        letters.ipc,
    )
}

fn table_path(path: plain::TablePath) -> wit::TablePath {
    wit::TablePath {
        catalog: path.catalog,
        schema: path.schema,
        table: path.table,
    }
}

/// Something to commit, on its way back.
pub fn core_committable(item: wit::Committable) -> plain::Committable {
    plain::Committable {
        table: core_table_path(item.table),
        format: item.format,
        payload: item.payload,
    }
}

/// What became of a committable.
pub fn commit_outcome(outcome: plain::CommitOutcome) -> wit::CommitOutcome {
    match outcome {
        plain::CommitOutcome::Committed => wit::CommitOutcome::Committed,
        plain::CommitOutcome::AlreadyCommitted => wit::CommitOutcome::AlreadyCommitted,
        plain::CommitOutcome::Retry(after_ms) => wit::CommitOutcome::Retry(after_ms),
        plain::CommitOutcome::Failed(error) => wit::CommitOutcome::Failed(sink_error(error)),
    }
}

/// State of a writer, on its way to the host.
pub fn state(state: plain::State) -> wit::State {
    wit::State {
        format: state.format,
        payload: state.payload,
    }
}

/// State of a writer, on its way back.
pub fn core_state(state: wit::State) -> plain::State {
    plain::State {
        format: state.format,
        payload: state.payload,
    }
}

/// One measured value.
pub fn metric(metric: plain::Metric) -> wit::Metric {
    wit::Metric {
        name: metric.name,
        kind: match metric.kind {
            plain::MetricKind::Counter => wit::MetricKind::Counter,
            plain::MetricKind::Gauge => wit::MetricKind::Gauge,
        },
        labels: metric.labels,
        value: metric.value,
    }
}

/// A table's declaration.
pub fn core_table_decl(table: wit::TableDecl) -> plain::TableDecl {
    plain::TableDecl {
        path: core_table_path(table.path),
        arrow_schema: table.arrow_schema,
        primary_key: table.primary_key,
        partition_by: table.partition_by,
        schema_version: table.schema_version,
    }
}

fn core_table_path(path: wit::TablePath) -> plain::TablePath {
    plain::TablePath {
        catalog: path.catalog,
        schema: path.schema,
        table: path.table,
    }
}

/// Rows, left where they are.
pub fn core_batch(batch: wit::Batch) -> plain::Batch {
    plain::Batch {
        table: batch.table,
        schema_version: batch.schema_version,
        sequence: batch.sequence,
        rows: batch.rows,
        ipc: batch.ipc,
    }
}

/// A change of a table's schema.
pub fn core_schema_change(change: wit::SchemaChange) -> plain::SchemaChange {
    match change {
        wit::SchemaChange::AddColumns(columns) => {
            plain::SchemaChange::AddColumns(columns.into_iter().map(core_column_add).collect())
        }
        wit::SchemaChange::DropColumns(names) => plain::SchemaChange::DropColumns(names),
        wit::SchemaChange::RenameColumns(names) => plain::SchemaChange::RenameColumns(names),
        wit::SchemaChange::AlterType(columns) => {
            let retyped = |column: wit::ColumnType| plain::ColumnType {
                name: column.name,
                arrow_field: column.arrow_field,
            };
            plain::SchemaChange::AlterType(columns.into_iter().map(retyped).collect())
        }
        wit::SchemaChange::SetComment(comment) => plain::SchemaChange::SetComment(comment),
        wit::SchemaChange::Truncate => plain::SchemaChange::Truncate,
        wit::SchemaChange::Drop => plain::SchemaChange::Drop,
    }
}

fn core_column_add(column: wit::ColumnAdd) -> plain::ColumnAdd {
    plain::ColumnAdd {
        arrow_field: column.arrow_field,
        position: match column.position {
            wit::ColumnPosition::First => plain::ColumnPosition::First,
            wit::ColumnPosition::Last => plain::ColumnPosition::Last,
            wit::ColumnPosition::After(name) => plain::ColumnPosition::After(name),
        },
    }
}

/// Why a checkpoint is wanted.
pub fn checkpoint_reason(reason: plain::CheckpointReason) -> checkpoint::Reason {
    match reason {
        plain::CheckpointReason::SessionAge => checkpoint::Reason::SessionAge,
        plain::CheckpointReason::SessionBlocks => checkpoint::Reason::SessionBlocks,
        plain::CheckpointReason::Memory => checkpoint::Reason::Memory,
        plain::CheckpointReason::OpenPartitions => checkpoint::Reason::OpenPartitions,
    }
}

/// How important a log event is.
pub fn log_level(level: plain::LogLevel) -> logger::Level {
    match level {
        plain::LogLevel::Trace => logger::Level::Trace,
        plain::LogLevel::Debug => logger::Level::Debug,
        plain::LogLevel::Info => logger::Level::Info,
        plain::LogLevel::Warn => logger::Level::Warn,
        plain::LogLevel::Error => logger::Level::Error,
    }
}
