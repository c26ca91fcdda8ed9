//! A MaxCompute in memory: projects, tables, upload and upsert sessions, packs, blocks, commits.
//!
//! It does what the protocol says and nothing else; what goes wrong on the way to it and back is
//! decided by the [network](crate::network). It also watches: a row that a commit would make
//! visible a second time, and a block that is written again with other rows, are violations
//! wherever the run would have ended.

mod documents;
mod records;

pub(crate) use documents::tunnel_error;

use std::collections::{BTreeMap, BTreeSet};

use longshore_core::request::{Method, Request, Response};

use documents::{accepted, ok, rest_error};
use records::Row;

/// (partition, id) and the text that the row has.
pub(crate) type Rows = BTreeMap<(String, i64), Option<String>>;

/// Buckets of Delta tables.
const BUCKETS: u32 = 3;
/// Slots of an upsert session.
pub(crate) const SLOTS: u32 = 2;

/// How sessions live and end, beside what clients do to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionRules {
    /// Life of a session that is not committed, from its creation.
    pub(crate) life_ms: u64,
    /// Time between the request to commit and the rows being visible.
    pub(crate) commit_ms: u64,
    /// Committed upsert sessions are forgotten after this time.
    pub(crate) forget_ms: u64,
}

/// One table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) partitioned: bool,
    /// Has a primary key: a Delta table.
    pub(crate) keyed: bool,
    partitions: BTreeSet<String>,
    /// What everybody can see.
    pub(crate) visible: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Normal,
    Committing { until_ms: u64 },
    Committed,
    Expired,
    Aborted,
}

#[derive(Debug)]
struct Session {
    table: String,
    partition: String,
    status: Status,
    created_ms: u64,
    rules: SessionRules,
    blocks: BTreeMap<u32, Vec<Row>>,
    packs: Vec<Row>,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Service {
    pub(crate) tables: BTreeMap<String, Table>,
    sessions: BTreeMap<String, Session>,
    /// Sessions that were committed and are forgotten.
    forgotten: BTreeSet<String>,
    next: u64,
    /// Server of each slot; grows when slots move.
    pub(crate) generation: u64,
    /// What a service must never be asked to do.
    pub(crate) violations: Vec<String>,
}

impl Service {
    pub(crate) fn new(tables: impl IntoIterator<Item = (&'static str, bool, bool)>) -> Self {
        Self {
            tables: tables
                .into_iter()
                .map(|(name, partitioned, keyed)| {
                    let table = Table {
                        partitioned,
                        keyed,
                        ..Table::default()
                    };
                    (name.to_owned(), table)
                })
                .collect(),
            ..Self::default()
        }
    }

    /// Whether a client that names this session in an error has reason to: it ended without being
    /// committed, or was committed and then forgotten.
    pub(crate) fn is_lost(&self, message: &str) -> bool {
        let named = |id: &String| {
            let mut words = message.split(|c: char| !c.is_ascii_alphanumeric());
            words.any(|word| word == id)
        };
        self.forgotten.iter().any(named)
            || self
                .sessions
                .iter()
                .any(|(id, s)| matches!(s.status, Status::Expired) && named(id))
    }

    /// Lets time pass: commits end, sessions expire and are forgotten.
    pub(crate) fn pass(&mut self, now_ms: u64) {
        let mut ended: Vec<(u64, String)> = Vec::new();
        for (id, session) in &mut self.sessions {
            let age = now_ms.saturating_sub(session.created_ms);
            match session.status {
                Status::Committing { until_ms } if until_ms <= now_ms => {
                    ended.push((until_ms, id.clone()));
                }
                Status::Normal if age >= session.rules.life_ms => session.status = Status::Expired,
                _ => {}
            }
        }
        ended.sort();
        for (_, id) in ended {
            self.make_visible(&id);
        }
        let forget = |session: &Session| {
            session.status == Status::Committed
                && now_ms.saturating_sub(session.created_ms) >= session.rules.forget_ms
        };
        let tables = &self.tables;
        let keyed = |session: &Session| tables.get(&session.table).is_some_and(|t| t.keyed);
        let old: Vec<String> = self
            .sessions
            .iter()
            .filter(|(_, session)| keyed(session) && forget(session))
            .map(|(id, _)| id.clone())
            .collect();
        for id in old {
            self.sessions.remove(&id);
            self.forgotten.insert(id);
        }
    }

    fn make_visible(&mut self, id: &str) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        session.status = Status::Committed;
        let Some(table) = self.tables.get_mut(&session.table) else {
            return;
        };
        let partition = &session.partition;
        for row in session.blocks.values().flatten() {
            let key = (partition.clone(), row.id);
            if table.visible.insert(key, row.text.clone()).is_some() {
                self.violations.push(format!(
                    "session {id} makes row {} of {} `{partition}` visible a second time",
                    row.id, session.table
                ));
            }
        }
        for row in &session.packs {
            let key = (partition.clone(), row.id);
            if row.delete {
                table.visible.remove(&key);
            } else {
                table.visible.insert(key, row.text.clone());
            }
        }
    }

    /// Does what `request` asks for and answers it.
    pub(crate) fn handle(
        &mut self,
        request: &Request,
        now_ms: u64,
        rules: SessionRules,
    ) -> Response {
        self.pass(now_ms);
        let call = Call::new(request);
        match call.path.strip_prefix("/api/projects/p") {
            Some(path) => self.rest(&call, path),
            None => self.tunnel(&call, now_ms, rules),
        }
    }

    fn rest(&mut self, call: &Call<'_>, path: &str) -> Response {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (call.request.method, parts.as_slice()) {
            (Method::Get, [""]) => ok(documents::PROJECT.to_owned()),
            (Method::Get, ["tunnel"]) => ok("tunnel:99".to_owned()),
            (Method::Get, ["tables", name]) => match self.tables.get(*name) {
                None => rest_error(404, "NoSuchObject"),
                Some(table) if call.has("extended") => ok(documents::extended(table, BUCKETS)),
                Some(table) => ok(documents::table(table)),
            },
            (Method::Post, ["instances"]) => self.add_partition(call),
            (Method::Get, ["instances", _]) if call.has("taskstatus") => {
                ok(documents::SUCCESS.to_owned())
            }
            (Method::Get, ["instances", _]) => ok(documents::TERMINATED.to_owned()),
            other => self.unexpected(format!("REST {other:?}")),
        }
    }

    /// The only statement that these pipelines need.
    fn add_partition(&mut self, call: &Call<'_>) -> Response {
        let body = String::from_utf8_lossy(&call.request.body.to_vec()).replace("&apos;", "'");
        let table = self
            .tables
            .iter_mut()
            .find(|(name, _)| body.contains(&format!("`{name}`")));
        let partition = body
            .split_once("PARTITION (")
            .and_then(|(_, rest)| rest.split_once(')'))
            .map(|(text, _)| text.replace(['`', '\''], ""));
        match (table, partition) {
            (Some((_, table)), Some(partition)) => {
                table.partitions.insert(partition);
                self.next += 1;
                accepted(&format!("i{}", self.next))
            }
            _ => self.unexpected(format!("statement {body}")),
        }
    }

    fn tunnel(&mut self, call: &Call<'_>, now_ms: u64, rules: SessionRules) -> Response {
        let path = call.path.strip_prefix("/projects/p/tables/");
        let (name, keyed) = match path.map(|p| p.split_once('/').unwrap_or((p, ""))) {
            Some((name, "")) => (name, false),
            Some((name, "upserts")) => (name, true),
            _ => return self.unexpected(format!("tunnel {}", call.path)),
        };
        let partition = call.value("partition");
        let Some(table) = self.tables.get_mut(name).filter(|t| t.keyed == keyed) else {
            return tunnel_error(404, "NoSuchTable");
        };
        if table.partitioned == partition.is_empty() {
            return tunnel_error(400, "InvalidPartitionSpec");
        }
        if call.has("create_partition") {
            table.partitions.insert(partition.to_owned());
        }
        let id = match keyed {
            true => call.value("upsertid"),
            false => call.value("uploadid"),
        };
        if id.is_empty() {
            if table.partitioned && !table.partitions.contains(partition) {
                return tunnel_error(404, "NoSuchPartition");
            }
            self.next += 1;
            let id = format!("s{}", self.next);
            let session = Session {
                table: name.to_owned(),
                partition: partition.to_owned(),
                status: Status::Normal,
                created_ms: now_ms,
                rules,
                blocks: BTreeMap::new(),
                packs: Vec::new(),
            };
            self.sessions.insert(id.clone(), session);
            return self.describe(&id, keyed);
        }
        let Some(session) = self.sessions.get_mut(id) else {
            return tunnel_error(404, missing(keyed));
        };
        if (session.table.as_str(), session.partition.as_str()) != (name, partition) {
            return self.unexpected(format!("session {id} of another table or partition"));
        }
        match call.request.method {
            Method::Get => {}
            Method::Put => {
                if let Some(refusal) = self.put(call, id, keyed) {
                    return refusal;
                }
                return ok(String::new());
            }
            Method::Post => match session.status {
                Status::Normal if session.rules.commit_ms == 0 => self.make_visible(id),
                Status::Normal => {
                    let until_ms = now_ms + session.rules.commit_ms;
                    session.status = Status::Committing { until_ms };
                }
                Status::Committing { .. } | Status::Committed => {}
                Status::Expired | Status::Aborted => {
                    return tunnel_error(400, "InvalidStatusChange");
                }
            },
            Method::Delete => match session.status {
                Status::Normal | Status::Expired | Status::Aborted => {
                    session.status = Status::Aborted;
                    return ok(String::new());
                }
                _ => return tunnel_error(400, "InvalidStatusChange"),
            },
        }
        self.describe(id, keyed)
    }

    /// Takes a block or a pack; or the answer to one that is refused.
    fn put(&mut self, call: &Call<'_>, id: &str, keyed: bool) -> Option<Response> {
        let rows = match records::read(&call.request.body.to_vec()) {
            Ok(rows) => rows,
            Err(why) => return Some(self.unexpected(format!("damaged rows: {why}"))),
        };
        let session = self.sessions.get_mut(id)?;
        if session.status != Status::Normal {
            let code = match session.status {
                Status::Expired | Status::Aborted => missing(keyed),
                _ => "InvalidStatusChange",
            };
            return Some(tunnel_error(400, code));
        }
        if keyed {
            let slot = call.value("slotid").parse().unwrap_or(u32::MAX);
            let server = documents::server(self.generation, slot);
            let routed = call.header("odps-tunnel-routed-server");
            if routed != server {
                let mut moved = tunnel_error(308, "SlotMoved");
                let header = ("odps-tunnel-routed-server".to_owned(), server);
                moved.headers.push(header);
                return Some(moved);
            }
            session.packs.extend(rows);
            return None;
        }
        let Ok(block) = call.value("blockid").parse() else {
            return Some(tunnel_error(400, "InvalidBlockID"));
        };
        let other = session.blocks.get(&block).is_some_and(|had| *had != rows);
        session.blocks.insert(block, rows);
        if other {
            self.violations.push(format!(
                "block {block} of session {id} is written again with other rows"
            ));
        }
        None
    }

    fn describe(&self, id: &str, keyed: bool) -> Response {
        let Some(session) = self.sessions.get(id) else {
            return tunnel_error(404, missing(keyed));
        };
        let status = match session.status {
            Status::Normal => "normal",
            Status::Committing { .. } => "committing",
            Status::Committed if keyed => "committed",
            Status::Committed => "closed",
            Status::Expired => "expired",
            Status::Aborted => "aborted",
        };
        match keyed {
            true => ok(documents::upsert(id, status, BUCKETS, self.generation)),
            false => ok(documents::upload(id, status, session.blocks.keys())),
        }
    }

    fn unexpected(&mut self, what: String) -> Response {
        self.violations.push(format!(
            "the service is asked for what it can not do: {what}"
        ));
        tunnel_error(400, "InvalidArgument")
    }
}

fn missing(keyed: bool) -> &'static str {
    match keyed {
        true => "UpsertSessionNotFound",
        false => "NoSuchUpload",
    }
}

/// A request, taken apart.
struct Call<'a> {
    request: &'a Request,
    path: &'a str,
    query: Vec<(&'a str, String)>,
}

impl<'a> Call<'a> {
    fn new(request: &'a Request) -> Self {
        let target = request.path_and_query.as_str();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name, value.replace("%3D", "=").replace("%2C", ",")))
            .collect();
        Self {
            request,
            path,
            query,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.query.iter().any(|(n, _)| *n == name)
    }

    fn value(&self, name: &str) -> &str {
        let found = self.query.iter().find(|(n, _)| *n == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    fn header(&self, name: &str) -> &str {
        let found = self.request.headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value.as_str())
    }
}
