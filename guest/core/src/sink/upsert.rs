//! The upsert session of a part: create, packs by bucket, slot map, keep-alive.

use std::rc::Rc;

use super::client::{Draft, malformed};
use super::committable::OpenSession;
use super::mode::Mode;
use super::part::{Pack, Part, Routing, Session};
use super::sql;
use crate::contract::LogLevel;
use crate::error::{ErrorClass, SinkError};
use crate::request::{Framing, Method, Response};
use crate::retry::{Backoff, Failure, RetryClass};
use crate::schema::same_name;
use crate::session::tunnel::{UpsertInfo, UpsertStatus};

/// A session nobody asks about is forgotten by its server.
const KEEP_ALIVE_MS: u64 = 30_000;

impl Part {
    fn upserts_path(&self) -> String {
        format!("{}/upserts", self.target.tunnel_path())
    }

    pub(super) async fn open_upsert(self: &Rc<Self>, routing: &Routing) -> Result<(), SinkError> {
        let draft = self
            .draft(
                Method::Post,
                self.upserts_path(),
                "upsert-create",
                "creating the upsert session",
            )
            .query("slotnum", self.client.options.slot_num.to_string())
            .query("lifecycle", self.client.options.session_hours.to_string());
        let response = match self.client.call_raw(&draft).await {
            Err(failure) if failure.code == "NoSuchPartition" && !self.partition.is_empty() => {
                sql::add_partition(&self.client, &self.target, &self.partition, &self.place)
                    .await?;
                self.client.call(&draft).await?
            }
            other => other.map_err(|f| f.error(draft.side.as_str(), draft.what, &draft.place))?,
        };
        let info = self.read(&draft, &response)?;
        let buckets = u32::try_from(info.buckets.len()).unwrap_or(u32::MAX);
        if buckets == 0 {
            return Err(malformed(&draft, "the session has no buckets", &response));
        }
        let same_keys = info.hash_key.len() == routing.keys.len()
            && info
                .hash_key
                .iter()
                .all(|k| routing.keys.iter().any(|r| same_name(k, r)));
        if !info.hash_key.is_empty() && !same_keys {
            return Err(SinkError::schema(
                "session.hash_key",
                format!(
                    "{}: the service hashes by ({}), the rows' primary key is ({})",
                    self.place,
                    info.hash_key.join(", "),
                    routing.keys.join(", ")
                ),
            ));
        }
        if self.client.options.partial_columns {
            self.learn_column_ids(routing, &info)?;
        }
        if routing.confirmed.get() {
            if (info.hasher, buckets) != (routing.hasher.get(), routing.buckets.get()) {
                return Err(self.buckets_changed(routing.buckets.get(), buckets));
            }
        } else if (info.hasher, buckets) == (routing.hasher.get(), routing.buckets.get())
            && !self.client.options.partial_columns
        {
            routing.confirmed.set(true);
            routing.changed.notify();
        } else {
            // Partial updates name columns by numbers that the rows so far were encoded without.
            routing.correction.set(Some((info.hasher, buckets)));
        }
        {
            let mut state = self.state();
            state.slots = info.buckets;
            let created_unix_ms = self.client.now().unix_ms;
            state.session = Session::Open {
                id: info.id,
                created_unix_ms,
            };
        }
        let part = Rc::clone(self);
        self.client.spawn(async move { part.keep_alive().await });
        // Nothing is sent before the spread of rows is known to be right.
        routing
            .changed
            .until(|| routing.confirmed.get().then_some(()))
            .await;
        Ok(())
    }

    /// Take the numbers of the columns from the first session; later ones must agree.
    fn learn_column_ids(&self, routing: &Routing, info: &UpsertInfo) -> Result<(), SinkError> {
        if !info.partial_update {
            return Err(SinkError::schema(
                "table.partial",
                format!(
                    "{}: the table does not take updates of some columns; set its property \
                     acid.partial.fields.update.enable to true, or `upsert.partial-column.enable` to false",
                    self.place
                ),
            ));
        }
        let known = &mut *routing.column_ids.borrow_mut();
        if known.is_empty() {
            known.clone_from(&info.column_ids);
        }
        if *known == info.column_ids && !known.is_empty() {
            return Ok(());
        }
        Err(SinkError::new(
            ErrorClass::Fenced,
            "session.schema",
            format!(
                "{}: the numbers of the table's columns changed while it was written; start again from the last \
                 checkpoint",
                self.place
            ),
        ))
    }

    /// Send the packs of one bucket, one after the other: order matters within a bucket.
    pub(super) async fn drain_bucket(self: Rc<Self>, bucket: usize) {
        if let Mode::Upsert(routing) = &self.mode {
            let wait = || {
                let failed = self.state.borrow().error.is_some();
                (failed || routing.confirmed.get()).then_some(())
            };
            // A failed part notifies its own signal, a confirmed table the routing's.
            if !routing.confirmed.get() && self.session_id().await.is_some() {
                routing.changed.until(wait).await;
            }
        }
        let id = self.session_id().await;
        loop {
            let pack = {
                let mut state = self.state();
                let Some((queue, busy)) = state.queues.get_mut(bucket) else {
                    return;
                };
                match queue.pop_front() {
                    Some(pack) => pack,
                    None => {
                        *busy = false;
                        return;
                    }
                }
            };
            let failed = self.state.borrow().error.is_some();
            let result = match &id {
                Some(id) if !failed => {
                    let _permit = self.permits.acquire().await;
                    self.put_pack(id, bucket, &pack).await
                }
                _ => {
                    self.settle(&pack, false);
                    self.changed.notify();
                    continue;
                }
            };
            self.settle(&pack, result.is_ok());
            if let Err(error) = result {
                self.fail(error);
            }
            self.changed.notify();
        }
    }

    async fn put_pack(&self, id: &str, bucket: usize, pack: &Pack) -> Result<(), SinkError> {
        let mut backoff = Backoff::new(self.client.options.retry);
        loop {
            let slot = self
                .state
                .borrow()
                .slots
                .get(bucket)
                .cloned()
                .unwrap_or_default();
            let draft = self
                .draft(Method::Put, self.upserts_path(), "pack", "writing a bucket")
                .query("upsertid", id)
                .query("bucketid", bucket.to_string())
                .query("slotid", slot.slot_id.clone())
                .query("record_count", pack.rows.to_string())
                .header("odps-tunnel-routed-server", slot.server)
                .header("Content-Type", "application/octet-stream")
                .body(Framing::ContentLength, pack.body.clone());
            let draft = self.with_encoding(draft);
            let give_up = |f: Failure| f.error(draft.side.as_str(), draft.what, &draft.place);
            let failure = match self.client.send(&draft).await.map_err(give_up)? {
                Ok(_) => return Ok(()),
                Err(failure) => failure,
            };
            let reload = failure.wants_reload();
            let moved = failure.class == RetryClass::Moved;
            let server = failure.routed_server.clone();
            self.client
                .pause(&mut backoff, failure, &draft)
                .await
                .map_err(give_up)?;
            match server {
                Some(server) if moved => {
                    for other in self
                        .state()
                        .slots
                        .iter_mut()
                        .filter(|s| s.slot_id == slot.slot_id)
                    {
                        other.server.clone_from(&server);
                    }
                }
                _ if moved || reload => self.reload(id).await?,
                _ => {}
            }
        }
    }

    /// Read the slot map again.
    async fn reload(&self, id: &str) -> Result<(), SinkError> {
        let draft = self
            .draft(
                Method::Get,
                self.upserts_path(),
                "upsert-reload",
                "reading the upsert session",
            )
            .query("upsertid", id);
        let response = self.client.call(&draft).await?;
        let info = self.read(&draft, &response)?;
        if !matches!(info.status, UpsertStatus::Normal | UpsertStatus::Committing) {
            return Err(SinkError::new(
                ErrorClass::Fenced,
                "session.status",
                format!(
                    "{}: upsert session {id} is {}; start again from the last checkpoint",
                    self.place, info.status_text
                ),
            ));
        }
        let had = self.state.borrow().slots.len();
        if had != info.buckets.len() {
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            return Err(self.buckets_changed(count(had), count(info.buckets.len())));
        }
        self.state().slots = info.buckets;
        Ok(())
    }

    async fn keep_alive(self: Rc<Self>) {
        let Session::Open { id, .. } = self.state.borrow().session.clone() else {
            return;
        };
        loop {
            let beat = self.client.sleep(KEEP_ALIVE_MS);
            if !beat.unless(&self.changed, || self.closed.get()).await {
                return;
            }
            if let Err(error) = self.reload(&id).await {
                if self.closed.get() {
                    return;
                }
                if matches!(error.class, ErrorClass::Fenced | ErrorClass::Permanent) {
                    self.fail(error);
                    return;
                }
                self.client
                    .log(LogLevel::Warn, format!("keep-alive failed: {error}"), &[]);
            }
        }
    }

    /// The session, while it takes rows.
    pub(super) fn open_session(&self) -> Option<OpenSession> {
        let state = self.state.borrow();
        match (&self.mode, &state.session) {
            (Mode::Upsert(_), Session::Open { id, .. }) => Some(OpenSession {
                project: self.target.project.clone(),
                schema: self.target.schema.clone(),
                table: self.target.name.clone(),
                partition: self.partition_text.clone(),
                session: id.clone(),
                server: state
                    .slots
                    .first()
                    .map(|s| s.server.clone())
                    .unwrap_or_default(),
            }),
            _ => None,
        }
    }

    /// Give the session up; best effort.
    pub(super) async fn abort_upsert(&self) {
        let Some(session) = self.open_session() else {
            return;
        };
        if let Ok(Err(failure)) = self.client.send(&session.abort(&self.client)).await {
            let error = failure.error("tunnel", "aborting the upsert session", &self.place);
            self.client.log(
                LogLevel::Info,
                format!("the session is left to expire: {error}"),
                &[],
            );
        }
    }

    fn read(&self, draft: &Draft, response: &Response) -> Result<UpsertInfo, SinkError> {
        UpsertInfo::read(&response.body).map_err(|why| {
            malformed(
                draft,
                &format!("the session is unreadable: {why}"),
                response,
            )
        })
    }

    fn buckets_changed(&self, had: u32, has: u32) -> SinkError {
        SinkError::new(
            ErrorClass::Fenced,
            "session.buckets",
            format!(
                "{}: the table's buckets changed from {had} to {has} while it was written; start again \
                 from the last checkpoint",
                self.place
            ),
        )
    }
}
