//! The stream session of a part: packs that are durable and visible once they are answered.

use std::rc::Rc;

use super::client::{Draft, malformed};
use super::part::{Pack, Part, Session};
use crate::contract::LogLevel;
use crate::error::{ErrorClass, SinkError};
use crate::request::{Framing, Method, Response};
use crate::retry::{Backoff, Failure, RetryClass};
use crate::schema::{Column, same_name};
use crate::session::tunnel::{Slot, StreamInfo};

const ROUTED_SERVER: &str = "odps-tunnel-routed-server";
const SLOT_NUM: &str = "odps-tunnel-slot-num";
/// Sessions in a row that one pack is tried in.
const MAX_SESSIONS: u32 = 5;
/// Delay between two looks at a session that is being made.
const INITIATING_MS: u64 = 1000;

impl Part {
    fn streams_path(&self) -> String {
        format!("{}/streams", self.target.tunnel_path())
    }

    /// Make a session; the rows must fit the columns it has.
    pub(super) async fn open_stream(&self, columns: &[Column]) -> Result<(), SinkError> {
        let create_partition = (!self.partition.is_empty()).then_some("");
        let draft = self
            .draft(
                Method::Post,
                self.streams_path(),
                "stream-create",
                "creating the stream session",
            )
            .query_some("create_partition", create_partition)
            .header(SLOT_NUM, self.client.options.slot_num.to_string());
        let response = self.client.call(&draft).await?;
        let mut info = read(&draft, &response)?;
        while info.initiating {
            self.client.sleep(INITIATING_MS).await;
            info = self.reload_stream(&info.id).await?;
        }
        if let Some(difference) = difference(columns, &info) {
            return Err(SinkError::new(
                ErrorClass::Fenced,
                "session.schema",
                format!(
                    "{}: the table's columns changed while it was written: {difference}; start again from the last \
                     checkpoint",
                    self.place
                ),
            ));
        }
        let mut state = self.state();
        state.slots = info.slots;
        state.schema_version = info.schema_version;
        state.session = Session::Open {
            id: info.id,
            created_unix_ms: self.client.now().unix_ms,
        };
        Ok(())
    }

    /// Send one pack. A repeat after a lost answer can write its rows twice.
    pub(super) async fn put_stream(self: Rc<Self>, number: u32, pack: Pack) {
        let permit = self.permits.acquire().await;
        let result = self.try_sessions(number, &pack).await;
        drop(permit);
        self.settle(&pack, result.is_ok());
        if let Err(error) = result {
            self.fail(error);
        }
        self.changed.notify();
    }

    async fn try_sessions(self: &Rc<Self>, number: u32, pack: &Pack) -> Result<(), SinkError> {
        let mut backoff = Backoff::new(self.client.options.retry);
        let mut renewed = 0;
        loop {
            let Some(id) = self.session_id().await else {
                let error = self.state().error.clone();
                return Err(error.unwrap_or_else(|| {
                    SinkError::permanent("session.lost", format!("{}: no session", self.place))
                }));
            };
            let (at, slot, version) = {
                let state = self.state();
                let at = number as usize % state.slots.len().max(1);
                let slot = state.slots.get(at).cloned().unwrap_or_default();
                (at, slot, state.schema_version.clone())
            };
            let slots = self.state().slots.len();
            let draft = self
                .draft(Method::Put, self.streams_path(), "stream", "writing a pack")
                .query("uploadid", id.clone())
                .query("slotid", slot.slot_id.clone())
                .query_some(
                    "schema_version",
                    Some(version.as_str()).filter(|v| !v.is_empty()),
                )
                .query("record_count", pack.rows.to_string())
                .header(SLOT_NUM, slots.to_string())
                .header(ROUTED_SERVER, slot.server.clone())
                .header("Content-Type", "application/octet-stream")
                .body(Framing::ContentLength, pack.body.clone());
            let draft = self.with_encoding(draft);
            let give_up = |f: Failure| f.error(draft.side.as_str(), draft.what, &draft.place);
            let failure = match self.client.send(&draft).await.map_err(give_up)? {
                Ok(response) => {
                    self.note_route(&id, at, &response).await?;
                    return Ok(());
                }
                Err(failure) => failure,
            };
            if failure.class == RetryClass::SessionGone && renewed < MAX_SESSIONS {
                renewed += 1;
                self.renew(&id, &failure).await?;
                continue;
            }
            let (reload, server) = (failure.wants_reload(), failure.routed_server.clone());
            let moved = failure.class == RetryClass::Moved;
            self.client
                .pause(&mut backoff, failure, &draft)
                .await
                .map_err(give_up)?;
            match server {
                Some(server) if moved => self.route(at, &slot, &server),
                _ if moved || reload => self.reload_slots(&id).await?,
                _ => {}
            }
        }
    }

    /// An answer says who has the slot now, and how many slots there are.
    async fn note_route(&self, id: &str, at: usize, response: &Response) -> Result<(), SinkError> {
        let slot = self.state().slots.get(at).cloned().unwrap_or_default();
        if let Some(server) = response.header(ROUTED_SERVER).filter(|s| *s != slot.server) {
            self.route(at, &slot, server);
        }
        let slots = response
            .header(SLOT_NUM)
            .and_then(|n| n.trim().parse().ok());
        if slots.is_some_and(|slots: usize| slots != self.state().slots.len()) {
            // The rows are written: trouble here is trouble of the next pack.
            if let Err(error) = self.reload_slots(id).await {
                self.client.log(
                    LogLevel::Warn,
                    format!("reading the slots again: {error}"),
                    &[],
                );
            }
        }
        Ok(())
    }

    fn route(&self, at: usize, slot: &Slot, server: &str) {
        let mut state = self.state();
        if let Some(known) = state
            .slots
            .get_mut(at)
            .filter(|s| s.slot_id == slot.slot_id)
        {
            server.clone_into(&mut known.server);
        }
    }

    async fn reload_slots(&self, id: &str) -> Result<(), SinkError> {
        let info = self.reload_stream(id).await?;
        let mut state = self.state();
        // Another pack may have made a new session meanwhile, which has slots of its own.
        if matches!(&state.session, Session::Open { id: now, .. } if now == id) {
            state.slots = info.slots;
        }
        Ok(())
    }

    async fn reload_stream(&self, id: &str) -> Result<StreamInfo, SinkError> {
        let draft = self
            .draft(
                Method::Get,
                self.streams_path(),
                "stream-reload",
                "reading the stream session",
            )
            .query("uploadid", id);
        let response = self.client.call(&draft).await?;
        read(&draft, &response)
    }

    /// Make a new session instead of `used`, unless another pack has done so already.
    async fn renew(&self, used: &str, why: &Failure) -> Result<(), SinkError> {
        let super::mode::Mode::Stream(columns) = &self.mode else {
            return Ok(());
        };
        {
            let mut state = self.state();
            match &state.session {
                Session::Open { id, .. } if id == used => state.session = Session::Opening,
                _ => return Ok(()),
            }
        }
        self.client.counters.retry(why.class.as_str());
        self.client.log(
            LogLevel::Info,
            format!(
                "{}: the stream session ended, {}: {}; going on in a new one",
                self.place, why.code, why.message
            ),
            &[],
        );
        let columns = Rc::clone(columns);
        let opened = self.open_stream(&columns).await;
        self.changed.notify();
        opened
    }
}

fn read(draft: &Draft, response: &Response) -> Result<StreamInfo, SinkError> {
    StreamInfo::read(&response.body).map_err(|why| {
        malformed(
            draft,
            &format!("the session is unreadable: {why}"),
            response,
        )
    })
}

/// Records name columns by position: the session must begin with the columns that rows are encoded
/// for. New ones behind them stay NULL.
fn difference(columns: &[Column], info: &StreamInfo) -> Option<String> {
    for (i, column) in columns.iter().enumerate() {
        match info.columns.get(i) {
            Some(now) if same_name(&now.name, &column.name) && now.ty == column.ty => {}
            Some(now) => {
                return Some(format!(
                    "column {} is `{}` {} instead of `{}` {}",
                    i + 1,
                    now.name,
                    now.ty,
                    column.name,
                    column.ty
                ));
            }
            None => return Some(format!("column `{}` {} is gone", column.name, column.ty)),
        }
    }
    info.columns
        .iter()
        .skip(columns.len())
        .find(|column| !column.nullable)
        .map(|column| format!("the new column `{}` is NOT NULL", column.name))
}
