//! Table downloads: a snapshot per session, any rows and columns of it.

use std::ops::Range;

use arrow_array::RecordBatch;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    blocking,
    body::{Costs, answer_with_body, write_failed},
    describe,
    request::TunnelRequest,
    session::{self, Kind, Open, RequestedSession},
};
use crate::{
    catalog::{Column, PartitionSpec, StoreError, TableMeta},
    server::{ApiError, AppState},
    storage::{Snapshot, Store},
    wire::{
        ArrowStreamWriter, Compression, DecimalForm, RecordStreamWriter, TimestampForm, WireColumn,
    },
};

#[derive(Debug, Serialize, Deserialize)]
struct Download {
    snapshot: Snapshot,
    partition: Option<PartitionSpec>,
    quota: String,
}

impl Kind for Download {
    const NAME: &'static str = "download";
    const MISSING: &'static str = "NoSuchDownload";

    fn table(&self) -> &TableMeta {
        &self.snapshot.table
    }

    fn partition(&self) -> Option<&PartitionSpec> {
        self.partition.as_ref()
    }
}

/// `POST ?downloads`
pub(super) async fn create(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let app = app.clone();
    blocking(move || {
        let table = app
            .store()
            .table(&request.project, &request.schema, &request.table)?;
        let partition = request.partition(&table)?;
        if let Some(partition) = &partition {
            session::ensure_partition(app.store(), &table, partition, false)?;
        }
        let snapshot = app.store().snapshot(&table, partition.as_ref())?;
        let document = Download {
            snapshot,
            partition,
            quota: describe::quota(&request),
        };
        let stored = serde_json::to_value(&document).map_err(StoreError::from)?;
        let session = app.store().session_create(
            Download::NAME,
            &table,
            "normal",
            stored,
            app.options().session_lifetime,
        )?;
        let status = session.status.clone();
        let open = Open { session, document };
        Ok(describe::json_answer(&session_json(&open, &status)))
    })
    .await
}

/// `GET ?downloadid`
///
/// Python takes up the session of an earlier reader as long as its status is normal, and would read
/// the rows of then: once the table has changed the session counts as expired, upon which it makes
/// a new one. Whoever is in the middle of reading goes on with the rows of the session.
pub(super) async fn status(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let (app, wanted) = (app.clone(), RequestedSession::new(&request, "downloadid"));
    let unchecked = request.query.flag("disable_modified_check");
    blocking(move || {
        let open = session::open::<Download>(&app, &wanted)?;
        let Download {
            snapshot,
            partition,
            ..
        } = &open.document;
        let status = if unchecked || is_current(app.store(), snapshot, partition.as_ref())? {
            open.session.status.clone()
        } else {
            "expired".to_owned()
        };
        Ok(describe::json_answer(&session_json(&open, &status)))
    })
    .await
}

/// True when a new session would read the same rows in the same columns.
fn is_current(
    store: &Store,
    snapshot: &Snapshot,
    partition: Option<&PartitionSpec>,
) -> Result<bool, StoreError> {
    let now = store.snapshot(&snapshot.table, partition)?;
    Ok(now.files == snapshot.files
        && now.table.columns == snapshot.table.columns
        && now.table.partition_columns == snapshot.table.partition_columns)
}

/// `GET ?data&downloadid&rowrange[&columns][&arrow]`
pub(super) async fn read(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let (app, wanted) = (app.clone(), RequestedSession::new(&request, "downloadid"));
    let form = AnswerForm::of(&request, TimestampForm::Nanoseconds);
    let range = row_range(&request)?;
    answer_with_body(form.compression, move |sink| {
        let open = session::open::<Download>(&app, &wanted)?;
        let snapshot = &open.document.snapshot;
        let names = wanted_columns(&request, &snapshot.table.columns);
        for name in &names {
            if snapshot.table.any_column(name).is_none() {
                return Err(no_such_column(name, &snapshot.table.full_name()));
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let scan = app.store().scan(snapshot, &names, range)?;
        let columns = scan.columns().to_vec();
        write_rows(
            sink,
            &form,
            &columns,
            scan.map(|batch| batch.map_err(ApiError::from)),
        )
    })
    .await
}

/// How rows are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerForm {
    pub(super) compression: Option<Compression>,
    arrow: bool,
    metrics: bool,
    timestamps: TimestampForm,
    decimals: DecimalForm,
}

impl AnswerForm {
    /// What the request asks for.
    pub(super) fn of(request: &TunnelRequest, timestamps: TimestampForm) -> Self {
        Self {
            compression: request.accept_encoding(),
            arrow: request.query.has("arrow"),
            metrics: request.version() >= 6,
            timestamps,
            decimals: request.decimals(),
        }
    }
}

/// Sends rows as records or as an Arrow stream.
pub(super) fn write_rows(
    sink: &mut impl std::io::Write,
    form: &AnswerForm,
    columns: &[Column],
    rows: impl Iterator<Item = Result<RecordBatch, ApiError>>,
) -> Result<(), ApiError> {
    let costs = Costs::start();
    let columns: Vec<WireColumn> = columns.iter().map(WireColumn::from).collect();
    if form.arrow {
        let mut writer =
            ArrowStreamWriter::new(sink, columns, form.timestamps).decimals(form.decimals);
        for batch in rows {
            writer.write_batch(&batch?)?;
        }
        writer.finish().map_err(write_failed)?;
        return Ok(());
    }
    let mut writer = RecordStreamWriter::new(columns);
    for batch in rows {
        writer.write_batch(&batch?)?;
        sink.write_all(&writer.take()).map_err(write_failed)?;
    }
    let metrics = form.metrics.then(|| costs.json());
    sink.write_all(&writer.finish(metrics.as_deref()))
        .map_err(write_failed)
}

/// The columns of `columns=a,b`, or all of the list.
pub(super) fn wanted_columns(request: &TunnelRequest, all: &[Column]) -> Vec<String> {
    match request
        .query
        .get("columns")
        .filter(|text| !text.trim().is_empty())
    {
        Some(text) => text
            .split(',')
            .map(|name| name.trim().trim_matches('`').to_owned())
            .collect(),
        None => all.iter().map(|column| column.name.clone()).collect(),
    }
}

pub(super) fn no_such_column(name: &str, table: &str) -> ApiError {
    ApiError::bad_request(
        "InvalidColumnSpec",
        format!("{table} has no column `{name}`"),
    )
}

/// `rowrange=(start,count)`; without it, all rows.
pub(super) fn row_range(request: &TunnelRequest) -> Result<Range<u64>, ApiError> {
    let Some(text) = request.query.get("rowrange") else {
        return Ok(0..u64::MAX);
    };
    let numbers = text
        .trim()
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
        .and_then(|text| {
            let (start, count) = text.split_once(',')?;
            Some((
                start.trim().parse::<u64>().ok()?,
                count.trim().parse::<u64>().ok()?,
            ))
        });
    match numbers {
        Some((start, count)) => Ok(start..start.saturating_add(count)),
        None => {
            let message = format!("rowrange `{text}` is not (start,count)");
            Err(ApiError::bad_request("InvalidRowRange", message))
        }
    }
}

fn session_json(open: &Open<Download>, status: &str) -> Value {
    let Open { session, document } = open;
    json!({
        "DownloadID": session.id,
        "Status": status,
        "RecordCount": document.snapshot.rows(),
        "Schema": describe::schema(&document.snapshot.table),
        "QuotaName": document.quota,
        "Owner": document.snapshot.table.owner,
        "Initiated": describe::date(session.created_ms),
        "SupportReadByRawSize": false,
    })
}
