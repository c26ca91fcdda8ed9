//! Sessions as the catalog keeps them, with the typed documents of the tunnel.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use super::{request::TunnelRequest, session_error};
use crate::{
    catalog::{PartitionSpec, Session, SessionUpdate, TableMeta},
    server::{ApiError, AppState},
    storage::Store,
};

/// Attempts to change a session that others change too.
const ATTEMPTS: usize = 1000;

/// What tells one kind of session from the others.
pub(super) trait Kind: Serialize + DeserializeOwned {
    /// Name in the catalog.
    const NAME: &'static str;
    /// Code for a session that is not there.
    const MISSING: &'static str;
    /// The table as it was when the session was made: its columns are those the client writes or reads.
    fn table(&self) -> &TableMeta;
    /// Its partition.
    fn partition(&self) -> Option<&PartitionSpec>;
}

/// A session with its document read.
pub(super) struct Open<D> {
    pub(super) session: Session,
    pub(super) document: D,
}

/// Finds a live session and checks that it belongs to the table and partition of the request.
pub(super) fn open<D: Kind>(
    app: &AppState,
    request: &RequestedSession,
) -> Result<Open<D>, ApiError> {
    let found = find::<D>(app.store(), &request.id)?;
    if found.session.is_expired() {
        let message = format!("session {} has expired: make a new one", request.id);
        return Err(ApiError::not_found(D::MISSING, message));
    }
    let table = app
        .store()
        .table(&request.project, &request.schema, &request.table)?;
    if table.id != found.session.table_id {
        let message = format!(
            "session {} does not belong to table {}",
            request.id,
            table.full_name()
        );
        return Err(ApiError::not_found(D::MISSING, message));
    }
    if let (Some(text), Some(own)) = (&request.partition, found.document.partition())
        && PartitionSpec::resolve(found.document.table(), text)? != *own
    {
        let message = format!("session {} writes partition {own}, not {text}", request.id);
        return Err(ApiError::bad_request("InvalidPartitionSpec", message));
    }
    Ok(found)
}

/// Finds a session whatever its age.
pub(super) fn find<D: Kind>(store: &Store, id: &str) -> Result<Open<D>, ApiError> {
    let session = store
        .session_get(id)
        .map_err(|error| session_error(error, D::MISSING))?;
    if session.kind != D::NAME {
        let message = format!(
            "session {id} is an {} session, not an {} session",
            session.kind,
            D::NAME
        );
        return Err(ApiError::not_found(D::MISSING, message));
    }
    let document = read_document(&session)?;
    Ok(Open { session, document })
}

fn read_document<D: Kind>(session: &Session) -> Result<D, ApiError> {
    serde_json::from_value(session.document.clone()).map_err(|error| {
        ApiError::internal(format!(
            "the document of session {} cannot be read: {error}",
            session.id
        ))
    })
}

impl<D: Kind> Open<D> {
    /// The change that stores the document under a status, unless somebody else was faster.
    pub(super) fn update(&self, status: &str) -> Result<SessionUpdate, ApiError> {
        let document = serde_json::to_value(&self.document).map_err(|error| {
            ApiError::internal(format!(
                "session {} cannot be stored: {error}",
                self.session.id
            ))
        })?;
        Ok(SessionUpdate {
            id: self.session.id.clone(),
            expected: Some(self.session.revision),
            status: status.to_owned(),
            document,
        })
    }
}

/// Applies a change to a session's document; when another request changed it meanwhile, `change` runs again
/// on the new one. The change is on disk when this returns.
pub(super) fn change<D: Kind, T>(
    store: &Store,
    id: &str,
    change: impl Fn(&mut Open<D>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    for _ in 0..ATTEMPTS {
        let mut open = find::<D>(store, id)?;
        let value = change(&mut open)?;
        let status = open.session.status.clone();
        match store.session_update(&open.update(&status)?) {
            Ok(()) => return Ok(value),
            Err(crate::catalog::StoreError::SessionConflict(_)) => {}
            Err(error) => return Err(session_error(error, D::MISSING)),
        }
    }
    Err(ApiError::new(
        http::StatusCode::CONFLICT,
        "StatusConflict",
        format!("session {id} is changed by too many requests at once"),
    ))
}

/// The parts of a request by which a session is found; owned, to go to a blocking thread.
#[derive(Debug, Clone)]
pub(super) struct RequestedSession {
    pub(super) id: String,
    pub(super) project: String,
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) partition: Option<String>,
}

impl RequestedSession {
    /// Takes the session id from this parameter.
    pub(super) fn new(request: &TunnelRequest, parameter: &str) -> Self {
        Self {
            id: request.query.get(parameter).unwrap_or_default().to_owned(),
            project: request.project.clone(),
            schema: request.schema.clone(),
            table: request.table.clone(),
            partition: request
                .query
                .get("partition")
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
        }
    }
}

/// The table of a request, and its partition: created when the client asked for it, else an error.
pub(super) fn target(
    app: &AppState,
    request: &TunnelRequest,
) -> Result<(Arc<TableMeta>, Option<PartitionSpec>), ApiError> {
    let table = app
        .store()
        .table(&request.project, &request.schema, &request.table)?;
    let partition = request.partition(&table)?;
    if let Some(partition) = &partition {
        ensure_partition(
            app.store(),
            &table,
            partition,
            request.query.flag("create_partition"),
        )?;
    }
    Ok((table, partition))
}

/// Fails unless the partition exists or may be created.
pub(super) fn ensure_partition(
    store: &Store,
    table: &TableMeta,
    partition: &PartitionSpec,
    create: bool,
) -> Result<(), ApiError> {
    if create {
        store.create_partition(table, partition)?;
    } else if !store.partition_exists(table, partition)? {
        return Err(crate::catalog::StoreError::NoSuchPartition {
            table: table.full_name(),
            partition: partition.to_string(),
        }
        .into());
    }
    Ok(())
}
