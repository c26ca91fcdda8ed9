//! Upsert sessions of Delta tables: packs per bucket, invisible until the commit merges them.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{body::Body, response::Response};
use futures::{FutureExt as _, future::BoxFuture, future::Shared};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Tunnel, blocking,
    body::{Costs, IncomingBody, with_body},
    describe,
    request::TunnelRequest,
    session::{self, Kind, Open, RequestedSession},
    stream::check_record_count,
    upload,
};
use crate::{
    catalog::{PartitionSpec, StoreError, TableMeta, now_ms},
    server::{ApiError, AppState},
    storage::{StageKind, StagedFile, Store},
    wire::{
        BucketHasher, Compression, HasherKind, RecordStreamReader, WireColumn, hidden_columns,
        split_upsert,
    },
};

const NORMAL: &str = "normal";
const COMMITTING: &str = "committing";
const COMMITTED: &str = "committed";
const ABORTED: &str = "aborted";

/// How long a commit is waited for before the client is told to ask again.
const COMMIT_WAIT: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize, Deserialize)]
struct Upsert {
    table: TableMeta,
    partition: Option<PartitionSpec>,
    slots: u32,
    quota: String,
    packs: Vec<Pack>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pack {
    /// When its PUT began: later packs of a bucket win.
    arrival: i64,
    file: StagedFile,
}

impl Kind for Upsert {
    const NAME: &'static str = "upsert";
    const MISSING: &'static str = "UpsertSessionNotFound";

    fn table(&self) -> &TableMeta {
        &self.table
    }

    fn partition(&self) -> Option<&PartitionSpec> {
        self.partition.as_ref()
    }
}

type Commit = Shared<BoxFuture<'static, Result<(), ApiError>>>;

/// Commits that are being done now, by session.
#[derive(Default)]
pub(super) struct Commits(Mutex<HashMap<String, Commit>>);

impl Commits {
    fn running(&self, id: &str) -> Option<Commit> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    /// The commit of this session: the one that runs, or a new one.
    fn join_or_start(&self, id: &str, start: impl FnOnce() -> Commit) -> Commit {
        let mut commits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        commits.entry(id.to_owned()).or_insert_with(start).clone()
    }

    fn forget(&self, id: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }
}

/// `POST /upserts`
pub(super) async fn create(app: &AppState, request: TunnelRequest) -> Result<Response, ApiError> {
    let app = app.clone();
    blocking(move || {
        let (table, partition) = session::target(&app, &request)?;
        if !table.is_delta() {
            let message = format!(
                "table {} has no primary key: write it with an upload session",
                table.full_name()
            );
            return Err(ApiError::bad_request("InvalidArgument", message));
        }
        let slots = request.query.number::<u32>("slotnum")?.unwrap_or(1);
        let lifetime = match request.query.number::<u64>("lifecycle")? {
            None => app.options().upsert_lifetime,
            Some(hours) if (1..=24).contains(&hours) => Duration::from_secs(hours * 3600),
            Some(hours) => {
                let message = format!("lifecycle={hours} is not in 1..24 hours");
                return Err(ApiError::bad_request("InvalidArgument", message));
            }
        };
        let document = Upsert {
            // A slot without a bucket would be of no use.
            slots: slots.clamp(1, table.buckets.max(1)),
            table: (*table).clone(),
            partition,
            quota: describe::quota(&request),
            packs: Vec::new(),
        };
        let stored = serde_json::to_value(&document).map_err(StoreError::from)?;
        let session = app
            .store()
            .session_create(Upsert::NAME, &table, NORMAL, stored, lifetime)?;
        Ok(describe::json_answer(&session_json(
            &app,
            &Open { session, document },
            &request.server,
            None,
        )))
    })
    .await
}

/// `GET /upserts?upsertid`, which is the heartbeat, too.
pub(super) async fn reload(tunnel: &Tunnel, request: TunnelRequest) -> Result<Response, ApiError> {
    let (app, wanted) = (
        tunnel.app.clone(),
        RequestedSession::new(&request, "upsertid"),
    );
    let running = tunnel.commits.running(&wanted.id).is_some();
    blocking(move || {
        let open = session::open::<Upsert>(&app, &wanted)?;
        let status = (running && open.session.status == NORMAL).then_some(COMMITTING);
        Ok(describe::json_answer(&session_json(
            &app,
            &open,
            &request.server,
            status,
        )))
    })
    .await
}

/// `PUT /upserts?upsertid&bucketid&slotid&record_count`
pub(super) async fn write(
    app: &AppState,
    request: TunnelRequest,
    body: Body,
) -> Result<Response, ApiError> {
    let app = app.clone();
    let wanted = RequestedSession::new(&request, "upsertid");
    let arrival = next_arrival();
    with_body(body, move |body| {
        let mut costs = Costs::start();
        let open = session::open::<Upsert>(&app, &wanted)?;
        require_normal(&open)?;
        let table = &open.document.table;
        let bucket: u32 = request.query.required("bucketid")?;
        if bucket >= table.buckets {
            let message = format!("bucket {bucket} is not in 0..{}", table.buckets);
            return Err(ApiError::bad_request("InvalidArgument", message));
        }
        let slot: u32 = request.query.number("slotid")?.unwrap_or(0);
        if slot >= open.document.slots {
            let message = format!(
                "slot {slot} is not in 0..{}: reload the session",
                open.document.slots
            );
            return Err(ApiError::bad_request("InvalidArgument", message));
        }
        let encoding = request.content_encoding()?;
        let file = stage_pack(&app, table, bucket, body, encoding, &mut costs)?;
        let start = Instant::now();
        let stored = check_record_count(&request, file.rows).and_then(|()| {
            session::change::<Upsert, _>(app.store(), &wanted.id, |open| {
                require_normal(open)?;
                open.document.packs.push(Pack {
                    arrival,
                    file: file.clone(),
                });
                Ok(())
            })
        });
        if let Err(error) = stored {
            app.store().discard(&[file])?;
            return Err(error);
        }
        costs.disk += start.elapsed();
        Ok(describe::written(request.version(), &costs))
    })
    .await
}

/// `POST /upserts?upsertid`: all packs become visible at once. Repeating it changes nothing.
pub(super) async fn commit(tunnel: &Tunnel, request: TunnelRequest) -> Result<Response, ApiError> {
    let wanted = RequestedSession::new(&request, "upsertid");
    let look = {
        let (app, wanted) = (tunnel.app.clone(), wanted.clone());
        move || session::open::<Upsert>(&app, &wanted)
    };
    let open = blocking(look.clone()).await?;
    if open.session.status == COMMITTED {
        return Ok(describe::json_answer(&session_json(
            &tunnel.app,
            &open,
            &request.server,
            None,
        )));
    }
    require_normal(&open)?;
    let running = tunnel
        .commits
        .join_or_start(&wanted.id, || start_commit(tunnel, wanted.id.clone()));
    let status = match tokio::time::timeout(COMMIT_WAIT, running).await {
        Ok(result) => {
            result?;
            None
        }
        Err(_) => Some(COMMITTING),
    };
    let open = blocking(look).await?;
    Ok(describe::json_answer(&session_json(
        &tunnel.app,
        &open,
        &request.server,
        status,
    )))
}

/// Runs a commit on its own, so that a client that hangs up does not stop it half way.
fn start_commit(tunnel: &Tunnel, id: String) -> Commit {
    let (store, commits) = (
        tunnel.app.store().clone(),
        std::sync::Arc::clone(&tunnel.commits),
    );
    let task = tokio::spawn(async move {
        let session = id.clone();
        let result = blocking(move || merge(&store, &session)).await;
        commits.forget(&id);
        result
    });
    task.map(|joined| {
        joined.unwrap_or_else(|error| Err(ApiError::internal(format!("a commit died: {error}"))))
    })
    .boxed()
    .shared()
}

fn merge(store: &Store, id: &str) -> Result<(), ApiError> {
    loop {
        let open = session::find::<Upsert>(store, id)?;
        if open.session.status == COMMITTED {
            return Ok(());
        }
        require_normal(&open)?;
        let mut packs = open.document.packs.clone();
        packs.sort_by_key(|pack| pack.arrival);
        let files: Vec<StagedFile> = packs.into_iter().map(|pack| pack.file).collect();
        let Upsert {
            table, partition, ..
        } = &open.document;
        match store.commit_upsert(
            table,
            partition.as_ref(),
            &files,
            Some(&open.update(COMMITTED)?),
        ) {
            Ok(()) => return Ok(()),
            // A pack came in between: take it along.
            Err(StoreError::SessionConflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// `DELETE /upserts?upsertid`: the packs are thrown away.
pub(super) async fn abort(tunnel: &Tunnel, request: TunnelRequest) -> Result<Response, ApiError> {
    let (app, wanted) = (
        tunnel.app.clone(),
        RequestedSession::new(&request, "upsertid"),
    );
    if tunnel.commits.running(&wanted.id).is_some() {
        let message = format!("upsert session {} is being committed", wanted.id);
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "StatusConflict",
            message,
        ));
    }
    blocking(move || {
        let store = app.store();
        loop {
            let mut open = session::open::<Upsert>(&app, &wanted)?;
            if open.session.status == ABORTED {
                return Ok(describe::json_answer(&session_json(
                    &app,
                    &open,
                    &request.server,
                    None,
                )));
            }
            require_normal(&open)?;
            let packs: Vec<StagedFile> = std::mem::take(&mut open.document.packs)
                .into_iter()
                .map(|pack| pack.file)
                .collect();
            match store.session_update(&open.update(ABORTED)?) {
                Ok(()) => {
                    store.discard(&packs)?;
                    return Ok(describe::json_answer(&session_json(
                        &app,
                        &open,
                        &request.server,
                        Some(ABORTED),
                    )));
                }
                Err(StoreError::SessionConflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    })
    .await
}

fn stage_pack(
    app: &AppState,
    table: &TableMeta,
    bucket: u32,
    body: IncomingBody,
    encoding: Option<Compression>,
    costs: &mut Costs,
) -> Result<StagedFile, ApiError> {
    let user: Vec<WireColumn> = table.columns.iter().map(WireColumn::from).collect();
    let keys = table.key_indices();
    let key_columns = keys
        .iter()
        .filter_map(|index| Some((*index, user.get(*index)?.clone())))
        .collect();
    let hasher = BucketHasher::new(HasherKind::Default, key_columns);
    let column_ids: Vec<i64> = table
        .columns
        .iter()
        .map(|column| column.column_id)
        .collect();
    // NOT NULL is judged per operation: a delete names only the key.
    let mut columns: Vec<WireColumn> = user
        .iter()
        .map(|column| WireColumn {
            nullable: true,
            ..column.clone()
        })
        .collect();
    columns.extend(hidden_columns());
    let reader = Compression::reader(encoding, body)
        .map_err(|error| ApiError::internal(error.to_string()))?;
    let mut stream = RecordStreamReader::new(reader, columns).field_limit(upload::field_limit(app));
    let mut stager = app.store().stager(table, StageKind::Upsert { bucket });
    loop {
        let first_row = stream.rows();
        let Some(batch) = stream.next_batch()? else {
            break;
        };
        let split = split_upsert(&batch, &user, &keys, &column_ids, first_row)?;
        if split.partial && !table.partial_update() {
            let message = format!(
                "table {} takes whole rows only: set its property acid.partial.fields.update.enable to true",
                table.full_name()
            );
            return Err(ApiError::bad_request("InvalidArgument", message));
        }
        upload::check_ranges(table, &split.batch)?;
        let buckets = hasher.buckets(&split.batch, table.buckets)?;
        if let Some((row, found)) = buckets
            .iter()
            .enumerate()
            .find(|(_, found)| **found != bucket)
        {
            let message = format!(
                "record {} belongs to bucket {found} of {}, not to {bucket}",
                first_row + row as u64 + 1,
                table.buckets
            );
            return Err(ApiError::bad_request("InvalidArgument", message));
        }
        let start = Instant::now();
        stager.write(&split.batch)?;
        costs.disk += start.elapsed();
    }
    let start = Instant::now();
    let file = stager.finish()?;
    costs.disk += start.elapsed();
    Ok(file)
}

/// A number for each PUT in the order they begin, growing across restarts of the server.
fn next_arrival() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = now_ms().saturating_mul(1000);
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
        Some(now.max(last + 1))
    });
    now.max(last.unwrap_or_default() + 1)
}

fn require_normal(open: &Open<Upsert>) -> Result<(), ApiError> {
    if open.session.status == NORMAL {
        return Ok(());
    }
    let message = format!(
        "upsert session {} is {}: make a new one",
        open.session.id, open.session.status
    );
    Err(ApiError::new(
        StatusCode::CONFLICT,
        "StatusConflict",
        message,
    ))
}

fn session_json(app: &AppState, open: &Open<Upsert>, server: &str, status: Option<&str>) -> Value {
    let Open { session, document } = open;
    let server = app.faults().server_of(&session.id, server);
    let (buckets, slots) = (document.table.buckets, document.slots.max(1));
    let slot = |slot: u32| {
        let of_slot = (0..buckets).filter(|bucket| bucket * slots / buckets == slot);
        json!({"slot_id": slot.to_string(), "buckets": of_slot.collect::<Vec<_>>(), "worker_addr": server})
    };
    json!({
        "id": session.id,
        "status": status.unwrap_or(&session.status),
        "schema": describe::schema(&document.table),
        "hash_key": document.table.primary_key,
        "hasher": "default",
        "slots": (0..slots).map(slot).collect::<Vec<_>>(),
        "quota_name": document.quota,
        "enable_partial_update": document.table.partial_update(),
    })
}
