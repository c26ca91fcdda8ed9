//! Batch upload sessions: blocks in any order, one commit.

use std::collections::BTreeMap;
use std::time::Instant;

use arrow_array::{RecordBatch, cast::AsArray as _, types::Int64Type};
use axum::{body::Body, response::Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    blocking,
    body::{Costs, IncomingBody, with_body},
    describe,
    request::TunnelRequest,
    session::{self, Kind, Open, RequestedSession},
};
use crate::{
    catalog::{PartitionSpec, StoreError, TableMeta, now_ms},
    server::{ApiError, AppState},
    storage::{StageKind, StagedFile},
    wire::{ArrowStreamReader, Compression, DecimalForm, RecordStreamReader, WireColumn},
};

/// Blocks of one session.
const MAX_BLOCKS: u32 = 20_000;
const NORMAL: &str = "normal";
const CLOSED: &str = "closed";

#[derive(Debug, Serialize, Deserialize)]
struct Upload {
    table: TableMeta,
    partition: Option<PartitionSpec>,
    overwrite: bool,
    quota: String,
    blocks: BTreeMap<u32, Block>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Block {
    file: StagedFile,
    /// Which write of the block this is.
    version: u64,
    written_ms: i64,
}

impl Kind for Upload {
    const NAME: &'static str = "upload";
    const MISSING: &'static str = "NoSuchUpload";

    fn table(&self) -> &TableMeta {
        &self.table
    }

    fn partition(&self) -> Option<&PartitionSpec> {
        self.partition.as_ref()
    }
}

/// `POST ?uploads`
pub(super) async fn create(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let app = app.clone();
    blocking(move || {
        let (table, partition) = session::target(&app, &request)?;
        if table.is_delta() {
            return Err(ApiError::bad_request(
                "InvalidArgument",
                format!(
                    "table {} has a primary key: write it with an upsert session",
                    table.full_name()
                ),
            ));
        }
        let document = Upload {
            table: (*table).clone(),
            partition,
            overwrite: request.query.flag("overwrite"),
            quota: describe::quota(&request),
            blocks: BTreeMap::new(),
        };
        let stored = serde_json::to_value(&document).map_err(StoreError::from)?;
        let session = app.store().session_create(
            Upload::NAME,
            &table,
            NORMAL,
            stored,
            app.options().session_lifetime,
        )?;
        Ok(describe::json_answer(&session_json(
            &app,
            &Open { session, document },
        )))
    })
    .await
}

/// `GET ?uploadid`
pub(super) async fn status(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let (app, wanted) = (app.clone(), RequestedSession::new(&request, "uploadid"));
    blocking(move || {
        Ok(describe::json_answer(&session_json(
            &app,
            &session::open::<Upload>(&app, &wanted)?,
        )))
    })
    .await
}

/// `PUT ?uploadid&blockid[&arrow]`: the block is listed once everything in it was right and is on disk.
pub(super) async fn write_block(
    app: &AppState,
    request: TunnelRequest,
    body: Body,
) -> Result<Response, ApiError> {
    let wanted = RequestedSession::new(&request, "uploadid");
    let block: u32 = request.query.required("blockid")?;
    if block >= MAX_BLOCKS {
        let message = format!("block id {block} is not in 0..{}", MAX_BLOCKS - 1);
        return Err(ApiError::bad_request("InvalidBlockID", message));
    }
    let (encoding, arrow, version) = (
        request.content_encoding()?,
        request.arrow(),
        request.version(),
    );
    let app = app.clone();
    with_body(body, move |body| {
        let mut costs = Costs::start();
        let open = session::open::<Upload>(&app, &wanted)?;
        require_normal(&open)?;
        let file = stage_append(
            &app,
            &open.document.table,
            body,
            encoding,
            arrow,
            &mut costs,
        )?;
        let start = Instant::now();
        let stored = session::change::<Upload, _>(app.store(), &wanted.id, |open| {
            require_normal(open)?;
            let version = open
                .document
                .blocks
                .get(&block)
                .map_or(0, |old| old.version + 1);
            let fresh = Block {
                file: file.clone(),
                version,
                written_ms: now_ms(),
            };
            Ok(open.document.blocks.insert(block, fresh))
        });
        match stored {
            Ok(None) => {}
            Ok(Some(replaced)) => app.store().discard(&[replaced.file])?,
            Err(error) => {
                app.store().discard(&[file])?;
                return Err(error);
            }
        }
        costs.disk += start.elapsed();
        Ok(describe::written(version, &costs))
    })
    .await
}

/// `POST ?uploadid`: all blocks become visible at once. Repeating it changes nothing.
pub(super) async fn commit(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let (app, wanted) = (app.clone(), RequestedSession::new(&request, "uploadid"));
    blocking(move || {
        loop {
            let mut open = session::open::<Upload>(&app, &wanted)?;
            if open.session.status == CLOSED {
                return Ok(describe::json_answer(&session_json(&app, &open)));
            }
            require_normal(&open)?;
            let files: Vec<StagedFile> = open
                .document
                .blocks
                .values()
                .map(|block| block.file.clone())
                .collect();
            let Upload {
                table,
                partition,
                overwrite,
                ..
            } = &open.document;
            let done = app.store().commit_append(
                table,
                partition.as_ref(),
                &files,
                *overwrite,
                Some(&open.update(CLOSED)?),
            );
            match done {
                Ok(()) => {
                    CLOSED.clone_into(&mut open.session.status);
                    return Ok(describe::json_answer(&session_json(&app, &open)));
                }
                // A block or another commit came in between: look again.
                Err(StoreError::SessionConflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    })
    .await
}

/// Decodes a body of append rows, records or Arrow, into a staged file.
pub(super) fn stage_append(
    app: &AppState,
    table: &TableMeta,
    body: IncomingBody,
    encoding: Option<Compression>,
    arrow: Option<DecimalForm>,
    costs: &mut Costs,
) -> Result<StagedFile, ApiError> {
    let columns: Vec<WireColumn> = table.columns.iter().map(WireColumn::from).collect();
    let reader = Compression::reader(encoding, body)
        .map_err(|error| ApiError::internal(error.to_string()))?;
    let field_limit = field_limit(app);
    let mut stager = app.store().stager(table, StageKind::Append);
    let mut write = |batch: &RecordBatch| -> Result<(), ApiError> {
        check_ranges(table, batch)?;
        let start = Instant::now();
        stager.write(batch)?;
        costs.disk += start.elapsed();
        Ok(())
    };
    if let Some(decimals) = arrow {
        let stream = ArrowStreamReader::new(reader, columns).field_limit(field_limit);
        let mut stream = stream.decimals(decimals);
        while let Some(batch) = stream.next_batch()? {
            write(&batch)?;
        }
    } else {
        let mut stream = RecordStreamReader::new(reader, columns).field_limit(field_limit);
        while let Some(batch) = stream.next_batch()? {
            write(&batch)?;
        }
    }
    let start = Instant::now();
    let file = stager.finish()?;
    costs.disk += start.elapsed();
    Ok(file)
}

/// The largest text or binary value that this server takes.
pub(super) fn field_limit(app: &AppState) -> usize {
    usize::try_from(app.options().max_field_size).unwrap_or(usize::MAX)
}

/// The service has no BIGINT -2^63, although the wire could carry it.
pub(super) fn check_ranges(table: &TableMeta, batch: &RecordBatch) -> Result<(), ApiError> {
    for (column, array) in table.columns.iter().zip(batch.columns()) {
        if let Some(numbers) = array.as_primitive_opt::<Int64Type>()
            && numbers.values().contains(&i64::MIN)
            && numbers.iter().any(|value| value == Some(i64::MIN))
        {
            let message = format!(
                "column {}: -9223372036854775808 is outside the range of BIGINT",
                column.name
            );
            return Err(ApiError::bad_request("MalformedDataStream", message));
        }
    }
    Ok(())
}

fn require_normal(open: &Open<Upload>) -> Result<(), ApiError> {
    if open.session.status == NORMAL {
        return Ok(());
    }
    let message = format!(
        "upload session {} is {}, so nothing can be written to it",
        open.session.id, open.session.status
    );
    Err(ApiError::new(
        StatusCode::CONFLICT,
        "StatusConflict",
        message,
    ))
}

fn session_json(app: &AppState, open: &Open<Upload>) -> Value {
    let Open { session, document } = open;
    let blocks: Vec<Value> = document
        .blocks
        .iter()
        .map(|(id, block)| {
            json!({
                "BlockID": id,
                "CreateTime": block.written_ms / 1000,
                "Date": describe::date(block.written_ms),
                "FileName": format!("block-{id}"),
                "RecordCount": block.file.rows,
                "Version": block.version,
            })
        })
        .collect();
    json!({
        "UploadID": session.id,
        "Status": session.status,
        "Schema": describe::schema(&document.table),
        "MaxFieldSize": app.options().max_field_size,
        "QuotaName": document.quota,
        "Owner": document.table.owner,
        "Initiated": describe::date(session.created_ms),
        "IsOverwrite": document.overwrite,
        "UploadedBlockList": blocks,
    })
}
