//! Table preview: the first rows as a standard Arrow stream.

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use axum::response::Response;

use super::{
    body::answer_with_body,
    download::{no_such_column, wanted_columns},
    request::TunnelRequest,
};
use crate::{
    catalog::{Column, PartitionSpec},
    server::{ApiError, AppState},
    wire::{Compression, TimestampForm, WireColumn},
};

/// Most rows of a preview.
const MAX_ROWS: u64 = 10_000;

/// `GET /preview?limit[&partition][&columns]`: data columns, then partition columns.
pub(super) async fn read(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let app = app.clone();
    let limit = match request.query.number::<i64>("limit")? {
        None | Some(-1) => MAX_ROWS,
        Some(limit) => match u64::try_from(limit) {
            Ok(limit) => limit.min(MAX_ROWS),
            Err(_) => {
                return Err(ApiError::bad_request(
                    "InvalidArgument",
                    format!("limit={limit} is below -1"),
                ));
            }
        },
    };
    answer_with_body(body_compression(&request), move |sink| {
        let store = app.store();
        let table = store.table(&request.project, &request.schema, &request.table)?;
        let partition = match request
            .query
            .get("partition")
            .filter(|text| !text.is_empty())
        {
            Some(text) => Some(PartitionSpec::resolve(&table, text)?),
            None => None,
        };
        if let Some(partition) = &partition {
            super::session::ensure_partition(store, &table, partition, false)?;
        }
        let snapshot = store.snapshot(&table, partition.as_ref())?;
        let all: Vec<Column> = table
            .columns
            .iter()
            .chain(&table.partition_columns)
            .cloned()
            .collect();
        let names = wanted_columns(&request, &all);
        if let Some(name) = names.iter().find(|name| table.any_column(name).is_none()) {
            return Err(no_such_column(name, &table.full_name()));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let scan = store.scan(&snapshot, &names, 0..limit)?;
        let columns: Vec<WireColumn> = scan.columns().iter().map(WireColumn::from).collect();
        let form = TimestampForm::SecondsNanos;
        let schema = form.schema(&columns);
        let failed =
            |error: arrow_schema::ArrowError| ApiError::internal(format!("preview: {error}"));
        let mut writer = StreamWriter::try_new(sink, &schema).map_err(failed)?;
        for batch in scan {
            let batch = batch?;
            let arrays = columns
                .iter()
                .zip(batch.columns())
                .map(|(column, array)| form.array(&column.ty, array));
            let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
            writer
                .write(&RecordBatch::try_new(schema.clone(), arrays).map_err(failed)?)
                .map_err(failed)?;
        }
        writer.finish().map_err(failed)
    })
    .await
}

/// `ZSTD` and `LZ4_FRAME`, as Python writes them here, ask for compressed buffers inside the Arrow stream, which is
/// optional: that client takes nothing off the body as a whole, so it gets the stream as it is.
fn body_compression(request: &TunnelRequest) -> Option<Compression> {
    match request.header("accept-encoding").map(str::trim) {
        Some("ZSTD" | "LZ4_FRAME") => None,
        _ => request.accept_encoding(),
    }
}
