//! Upsert sessions that a writer left behind when it died: they hold rows that are read again, and
//! would keep slots of the service busy until they expire.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::client::{Client, Draft, Side};
use super::commit::session_cleaned;
use super::committable::OpenSession;
use super::declare::Tables;
use super::metrics::add;
use super::part::Target;
use super::task::Permits;
use crate::contract::{LogLevel, TablePath};
use crate::request::Method;

/// Sessions that a state names at most; what is beyond that is left to expire.
const MOST: usize = 1000;
/// Sessions ended at once: the writer has better to do.
const AT_ONCE: usize = 2;

impl OpenSession {
    fn target(&self) -> Target {
        Target {
            path: TablePath::default(),
            project: self.project.clone(),
            schema: self.schema.clone(),
            name: self.table.clone(),
        }
    }

    /// The request that ends it.
    pub(super) fn abort(&self, client: &Client) -> Draft {
        let target = self.target();
        let partition = Some(self.partition.as_str()).filter(|p| !p.is_empty());
        let path = format!("{}/upserts", target.tunnel_path());
        Draft::new(Side::Tunnel, Method::Delete, &self.project, path)
            .query("upsertid", &self.session)
            .query_some("partition", partition)
            .query_some("quotaName", client.options.quota_name.as_deref())
            .header("odps-tunnel-routed-server", &self.server)
            .kind(
                "upsert-abort",
                "aborting the upsert session",
                &target.place(&self.partition),
            )
    }
}

/// All sessions that would be left behind if this writer died now.
pub(super) fn open_sessions(client: &Client, tables: &Tables) -> Vec<OpenSession> {
    let tables = tables.borrow();
    let parts = tables
        .iter()
        .flat_map(|table| table.parts.values().chain(&table.retired));
    let mut open: Vec<OpenSession> = client.orphans.borrow().values().cloned().collect();
    open.extend(parts.filter_map(|part| part.open_session()));
    open.sort_by(|a, b| a.session.cmp(&b.session));
    open.truncate(MOST);
    open
}

/// Ends the sessions of a dead writer, beside all other work; best effort.
pub(super) fn abort(client: &Rc<Client>, sessions: Vec<OpenSession>) {
    let by_id = |session: OpenSession| (session.session.clone(), session);
    let sessions: BTreeMap<String, OpenSession> = sessions.into_iter().map(by_id).collect();
    client.orphans.replace(sessions.clone());
    let permits = Permits::new(AT_ONCE);
    for (id, session) in sessions {
        let (client, permits) = (Rc::clone(client), Rc::clone(&permits));
        client.clone().spawn(async move {
            let _permit = permits.acquire().await;
            let draft = session.abort(&client);
            let place = &draft.place;
            let message = match client.call_raw(&draft).await {
                Ok(_) => {
                    add(&client.counters.orphans_aborted, 1);
                    format!(
                        "{place}: upsert session {id}, which a run that died left open, is ended"
                    )
                }
                // Gone is what was asked for.
                Err(failure) if session_cleaned(&failure) => {
                    format!("{place}: upsert session {id} of a run that died is gone already")
                }
                Err(failure) => {
                    let error = failure.error("tunnel", draft.what, place);
                    format!("upsert session {id} of a run that died is left to expire: {error}")
                }
            };
            client.orphans.borrow_mut().remove(&id);
            client.log(LogLevel::Info, message, &[]);
        });
    }
}
