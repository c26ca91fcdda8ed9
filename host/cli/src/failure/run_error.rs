//! Exit codes and remedies of failed runs.

use longshore_pipeline::checkpoint_store::StoreError;
use longshore_pipeline::coordinator::{RefusedRow, RunError};
use longshore_pipeline::source::{SourceError, SourceErrorKind};
use longshore_runtime::CallError;
use longshore_runtime::contract::{ErrorClass, SinkError};

use super::{Exit, Failure};

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let exit = match error.kind {
            SourceErrorKind::Definition => Exit::Usage,
            SourceErrorKind::NotFound
            | SourceErrorKind::Io
            | SourceErrorKind::Data
            | SourceErrorKind::Changed => Exit::Input,
        };
        let mut failure = Self::new(exit, error.message);
        failure.place = error.place;
        failure.excerpt = error.excerpt;
        failure.help = error.help;
        failure
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let help = error.help();
        Self::new(Exit::Store, error.to_string()).help(help)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Source(error) => error.into(),
            RunError::Store(error) => error.into(),
            RunError::Route(error) => Self::new(Exit::Usage, error.to_string()),
            RunError::Merge { .. } => Self::new(Exit::Usage, error.to_string())
                .help("give the second table a sink-table of its own in `route`"),
            RunError::SchemaChange { .. } => Self::new(Exit::TargetSchema, error.to_string()),
            RunError::TooManyDeadLetters { .. } => Self::new(Exit::Input, error.to_string()).help(
                "look at them with `longshore dead-letters list`; correct the cause, `replay`, `export` or `discard` them, \
                 and run again: the run goes on from its last checkpoint",
            ),
            RunError::DeadLetterFiles(_) => Self::new(Exit::Usage, error.to_string())
                .help("check `pipeline.dead-letters.path`; the dead letters are in the checkpoint store, nothing is lost"),
            RunError::Encode { .. } => Self::new(Exit::Input, error.to_string()),
            RunError::BadRows {
                table,
                message,
                rows,
                total,
            } => refused_rows(&table, message, &rows, total),
            RunError::Call { action, error } => call(&format!("cannot {action}"), *error),
            RunError::Commit {
                table,
                checkpoint,
                rows,
                error,
            } => {
                let what = format!("cannot commit {table} of checkpoint {checkpoint}");
                let failure = sink(&what, &error, Exit::Refused);
                match rows {
                    Some(rows) => failure.at(&rows),
                    None => failure,
                }
            }
            error => Self::new(Exit::Internal, error.to_string())
                .help("run again with -vv, and report what it says"),
        }
    }
}

/// The failure for a call of the component.
pub(crate) fn call(what: &str, error: CallError) -> Failure {
    match error {
        CallError::Sink(error) => sink(what, &error, Exit::Refused),
        CallError::MemoryLimit { .. } => Failure::new(Exit::Usage, what).because(error.to_string()),
        CallError::Timeout { .. } => Failure::new(Exit::Connection, what)
            .because(error.to_string())
            .help("run again: the run goes on from its last checkpoint"),
        error => Failure::new(Exit::Internal, what).because(error.to_string()),
    }
}

/// The failure for an answer of the sink. Its message says why and what to do.
pub(crate) fn sink(what: &str, error: &SinkError, permanent: Exit) -> Failure {
    let code = error.code.rsplit('.').next().unwrap_or_default();
    let exit = match error.class {
        ErrorClass::Transient(_) | ErrorClass::Throttled(_) => Exit::Connection,
        ErrorClass::Unauthenticated => Exit::Credentials,
        ErrorClass::Data => Exit::Input,
        ErrorClass::Schema => Exit::TargetSchema,
        ErrorClass::Permanent | ErrorClass::Fenced => permanent_exit(code, permanent),
    };
    let failure = Failure::new(exit, what).because(error.to_string());
    match exit {
        Exit::Connection => failure.help(
            "check `endpoint` and the network; nothing is lost: run again to go on from the last checkpoint",
        ),
        Exit::Credentials => failure.help(
            "check `access-id`, `access-key` and `sts-token`, and what the account may do in the project",
        ),
        Exit::TargetSchema => failure
            .help("change the table at the service, or send its rows to another one with `route`"),
        _ => failure,
    }
}

fn permanent_exit(code: &str, otherwise: Exit) -> Exit {
    match code {
        "NoPermission" | "AccessDenied" | "Unauthorized" | "Credential" | "SignatureNotMatch"
        | "InvalidAccessKeyId" | "ODPS-0130013" | "ODPS-0420095" | "ODPS-0410051" => {
            Exit::Credentials
        }
        "Dns" | "Connect" | "Tls" | "Timeout" | "Denied" | "Interrupted" => Exit::Connection,
        // What may pass and did not, for longer than rows could be held for it.
        "ServiceUnavailable"
        | "InternalServerError"
        | "RequestTimeOut"
        | "FlowExceeded"
        | "SlotExceeded"
        | "QPSExceeded"
        | "RequestQuotaExceeded" => Exit::Connection,
        code if code.starts_with("HTTP5") || code == "HTTP429" => Exit::Connection,
        "NoSuchTable" | "NoSuchProject" | "NoSuchSchema" | "ODPS-0130131" => Exit::TargetSchema,
        _ => otherwise,
    }
}

fn refused_rows(table: &str, message: String, rows: &[RefusedRow], total: usize) -> Failure {
    let what = match total {
        1 => format!("table {table} can not take a row"),
        _ => format!("table {table} can not take {total} rows"),
    };
    let Some(first) = rows.first() else {
        return Failure::new(Exit::Input, what).because(message);
    };
    let describe = |row: &RefusedRow| match &row.column {
        Some(column) => format!("column {column}: {}", row.reason),
        None => row.reason.clone(),
    };
    let mut why = describe(first);
    for row in rows.iter().skip(1) {
        why.push_str(&format!("\nalso at {}: {}", row.place, describe(row)));
    }
    if total > rows.len() {
        why.push_str(&format!("\nand {} more", total - rows.len()));
    }
    Failure::new(Exit::Input, what)
        .at(&first.place)
        .because(why)
        .help("correct the row at its source or widen the column; nothing since the last checkpoint is visible")
}
