//! A MaxCompute in memory: answers requests of the sink, keeps rows, and fails on command.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Read as _;

use base64::Engine as _;
use longshore_core::bucket::{self, HasherKind};
use longshore_core::request::{
    Framing, Method, Request, Response, SignScheme, TransportError, TransportErrorKind,
};
use serde_json::{Value, json};

/// What to do to a request instead of answering it as usual.
pub enum Fault {
    /// Answer with this status, these headers and this body; nothing happens.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The connection breaks before anything happens.
    LostBefore,
    /// It happens, but the answer is lost.
    LostAfter,
    /// Nobody listens.
    Refused,
}

/// A tunnel error answer.
pub fn error(status: u16, code: &str) -> Fault {
    Fault::Answer(
        status,
        Vec::new(),
        json!({"Code": code, "Message": format!("{code} happened"), "HoldClientMillis": 5})
            .to_string(),
    )
}

#[derive(Default, Clone, Debug)]
pub struct Table {
    pub columns: Vec<(String, String, bool)>,
    pub partition_columns: Vec<(String, String)>,
    pub primary_key: Vec<String>,
    pub buckets: u32,
    pub partitions: BTreeSet<String>,
    /// Append: (partition, id, name) in order of commit.
    pub appended: Vec<(String, i64, Option<String>)>,
    /// Delta: name by (partition, id).
    pub keyed: BTreeMap<(String, i64), Option<String>>,
}

#[derive(Debug)]
struct Row {
    id: i64,
    name: Option<String>,
    delete: bool,
    /// Numbers of the columns it updates; empty = all.
    updated: Vec<i64>,
}

struct Session {
    table: String,
    partition: String,
    status: String,
    overwrite: bool,
    schema_version: u32,
    blocks: BTreeMap<u32, Vec<Row>>,
    packs: Vec<Row>,
    commit_polls: u32,
}

/// One request as it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: usize,
    pub framing: Framing,
    pub signed: String,
    pub scheme: SignScheme,
}

#[derive(Default)]
pub struct Service {
    pub three_tier: bool,
    pub tables: BTreeMap<String, Table>,
    pub schemas: BTreeSet<String>,
    pub faults: VecDeque<(Method, &'static str, Fault)>,
    pub seen: Vec<Seen>,
    pub statements: Vec<String>,
    /// What sessions say about buckets, where it differs from the table's description.
    pub session_buckets: Option<u32>,
    pub hasher: &'static str,
    /// Commits answer `committing` this many times.
    pub slow_commits: u32,
    /// Upsert sessions take updates of some columns.
    pub partial: bool,
    /// What each upserted row updated, with `partial`.
    pub updated: Vec<Vec<i64>>,
    /// Version of every table's columns, as stream sessions tell it.
    pub schema_version: u32,
    /// Slots of stream sessions.
    pub stream_slots: u32,
    sessions: BTreeMap<String, Session>,
    next: u32,
}

impl Service {
    pub fn new() -> Self {
        Self {
            hasher: "default",
            schema_version: 1,
            stream_slots: 2,
            ..Self::default()
        }
    }

    /// With an append table `t`, a partitioned one `pt`, and a Delta table `d` of four buckets.
    pub fn usual() -> Self {
        Self::new()
            .with_table("t", false, None)
            .with_table("pt", true, None)
            .with_table("d", false, Some(4))
    }

    pub fn with_table(mut self, name: &str, partitioned: bool, delta_buckets: Option<u32>) -> Self {
        let table = Table {
            columns: vec![
                ("ID".into(), "bigint".into(), delta_buckets.is_none()),
                ("name".into(), "string".into(), true),
            ],
            partition_columns: if partitioned {
                vec![("pt".into(), "string".into())]
            } else {
                Vec::new()
            },
            primary_key: delta_buckets
                .map(|_| vec!["ID".to_owned()])
                .unwrap_or_default(),
            buckets: delta_buckets.unwrap_or(0),
            ..Table::default()
        };
        self.tables.insert(name.to_owned(), table);
        self
    }

    pub fn fail(&mut self, method: Method, part: &'static str, fault: Fault) {
        self.faults.push_back((method, part, fault));
    }

    pub fn count(&self, method: Method, part: &str) -> usize {
        self.seen
            .iter()
            .filter(|s| s.method == method && s.target.contains(part))
            .count()
    }

    pub fn expire_sessions(&mut self) {
        self.sessions
            .values_mut()
            .for_each(|s| s.status = "expired".to_owned());
    }

    pub fn forget_sessions(&mut self) {
        self.sessions.clear();
    }

    pub fn aborted(&self) -> usize {
        self.sessions
            .values()
            .filter(|s| s.status == "aborted")
            .count()
    }

    pub fn handle(&mut self, request: &Request) -> Result<Response, TransportError> {
        let seen = Seen {
            method: request.method,
            target: request.path_and_query.clone(),
            headers: request.headers.clone(),
            body: request.body.len(),
            framing: request.framing,
            signed: String::from_utf8(request.sign.as_ref().unwrap().payload.clone()).unwrap(),
            scheme: request.sign.as_ref().unwrap().scheme,
        };
        self.seen.push(seen);
        let lost = || TransportError {
            kind: TransportErrorKind::Interrupted,
            message: "connection reset".into(),
        };
        let fault = self
            .faults
            .iter()
            .position(|(method, part, _)| {
                *method == request.method && request.path_and_query.contains(part)
            })
            .and_then(|i| self.faults.remove(i));
        match fault {
            None => Ok(self.answer(request)),
            Some((_, _, Fault::Answer(status, headers, body))) => Ok(Response {
                status,
                headers: headers
                    .into_iter()
                    .map(|(n, v)| (n.to_owned(), v))
                    .collect(),
                body: body.into_bytes(),
            }),
            Some((_, _, Fault::LostBefore)) => Err(lost()),
            Some((_, _, Fault::Refused)) => Err(TransportError {
                kind: TransportErrorKind::Connect,
                message: "connection refused".into(),
            }),
            Some((_, _, Fault::LostAfter)) => {
                self.answer(request);
                Err(lost())
            }
        }
    }

    fn answer(&mut self, request: &Request) -> Response {
        let (path, query) = request.path_and_query.split_once('?').unwrap();
        let query: BTreeMap<String, String> = query
            .split('&')
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            })
            .collect();
        assert_eq!(
            query.get("curr_project").map(String::as_str),
            Some("p"),
            "{path}"
        );
        match path.strip_prefix("/api") {
            Some(path) => self.rest(request, path, &query),
            None => self.tunnel(request, path, &query),
        }
    }

    fn rest(
        &mut self,
        request: &Request,
        path: &str,
        query: &BTreeMap<String, String>,
    ) -> Response {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (request.method, parts.as_slice()) {
            (Method::Get, ["projects", "p"]) => ok(format!(
                "<Project><Name>p</Name><Properties><Property><Name>odps.schema.model.enabled</Name><Value>{}</Value></Property></Properties></Project>",
                self.three_tier
            )),
            (Method::Get, ["projects", "p", "tunnel"]) => ok("tunnel:99".to_owned()),
            (Method::Get, ["projects", "p", "schemas", schema]) => {
                if self.schemas.contains(*schema) {
                    ok("<Schema/>".to_owned())
                } else {
                    rest_error(404, "NoSuchObject")
                }
            }
            (Method::Post, ["projects", "p", "schemas"]) => {
                let body = String::from_utf8(request.body.to_vec()).unwrap();
                let name = between(&body, "<Name>", "</Name>");
                self.schemas.insert(name);
                ok(String::new())
            }
            (Method::Get, ["projects", "p", "tables", name]) => {
                assert_eq!(query.contains_key("curr_schema"), self.three_tier);
                match self.tables.get(*name) {
                    None => rest_error(404, "NoSuchObject"),
                    Some(table) => ok(table_document(table, query.contains_key("extended"))),
                }
            }
            (Method::Post, ["projects", "p", "instances"]) => {
                let body = String::from_utf8(request.body.to_vec()).unwrap();
                let query = unescape(&between(&body, "<Query>", "</Query>"));
                self.statement(&query);
                self.statements.push(query);
                let mut response = ok(String::new());
                response.status = 201;
                response.headers.push((
                    "location".into(),
                    "http://h/api/projects/p/instances/i1".into(),
                ));
                response
            }
            (Method::Get, ["projects", "p", "instances", "i1"]) => {
                if query.contains_key("taskstatus") || query.contains_key("result") {
                    let failed = self
                        .statements
                        .last()
                        .is_some_and(|s| s.contains("forbidden"));
                    let status = if failed { "Failed" } else { "Success" };
                    let text = base64::engine::general_purpose::STANDARD
                        .encode("ODPS-0130013:[1,1] no right to create");
                    ok(format!(
                        "<Instance><Status>Terminated</Status><Tasks><Task Type=\"SQL\"><Name>x</Name><Status>{status}</Status><Result Transform=\"Base64\" Format=\"text\"><![CDATA[{text}]]></Result></Task></Tasks></Instance>"
                    ))
                } else {
                    self.next += 1;
                    let status = if self.next.is_multiple_of(2) {
                        "Terminated"
                    } else {
                        "Running"
                    };
                    ok(format!("<Instance><Status>{status}</Status></Instance>"))
                }
            }
            other => panic!("REST: {other:?}"),
        }
    }

    fn statement(&mut self, sql: &str) {
        if sql.contains("forbidden") {
            return;
        }
        let table = sql
            .split('`')
            .filter(|s| !s.is_empty() && !s.contains(['.', ' ', '(']))
            .nth(if self.three_tier { 2 } else { 1 })
            .unwrap()
            .to_owned();
        if sql.starts_with("CREATE TABLE") {
            let body = sql.split_once(" (").unwrap().1;
            let column = |text: &str| {
                let mut words = text.trim().splitn(2, ' ');
                let name = words.next().unwrap().trim_matches('`').to_owned();
                let rest = words.next().unwrap_or_default().to_owned();
                let ty = rest
                    .split_once(' ')
                    .map_or(rest.as_str(), |(t, _)| t)
                    .trim_end_matches(')')
                    .to_lowercase();
                (name, ty, !rest.contains("NOT NULL"))
            };
            let (columns, rest) = body.split_once(')').map(|(c, _)| (c, body)).unwrap();
            let columns = columns
                .split(',')
                .filter(|c| !c.contains("PRIMARY KEY"))
                .map(column)
                .collect();
            let partition_columns = rest
                .split_once("PARTITIONED BY (")
                .map(|(_, p)| {
                    p.split_once(')')
                        .unwrap()
                        .0
                        .split(',')
                        .map(column)
                        .map(|(n, t, _)| (n, t))
                        .collect()
                })
                .unwrap_or_default();
            let primary_key = rest
                .split_once("PRIMARY KEY")
                .map(|(_, p)| {
                    between(p, "(", ")")
                        .split(',')
                        .map(|k| k.trim().trim_matches('`').to_owned())
                        .collect()
                })
                .unwrap_or_default();
            let buckets = rest
                .split_once("write.bucket.num")
                .map_or(0, |(_, b)| between(b, "='", "'").parse().unwrap());
            self.tables.insert(
                table,
                Table {
                    columns,
                    partition_columns,
                    primary_key,
                    buckets,
                    ..Table::default()
                },
            );
        } else if let Some((_, partition)) = sql.split_once("PARTITION (") {
            let text = between(&format!("({partition}"), "(", ")").replace(['`', '\''], "");
            self.tables.get_mut(&table).unwrap().partitions.insert(text);
        } else {
            self.alter(&table, sql);
        }
    }

    fn alter(&mut self, name: &str, sql: &str) {
        let names = |text: &str| -> Vec<String> {
            text.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect()
        };
        if sql.starts_with("DROP TABLE") {
            self.tables.remove(name);
            return;
        }
        let table = self.tables.get_mut(name).unwrap();
        if sql.starts_with("TRUNCATE") {
            table.appended.clear();
            table.keyed.clear();
        } else if let Some((_, columns)) = sql.split_once("ADD COLUMNS (") {
            for column in columns.trim_end_matches(");").split(", `") {
                let (name, rest) = column.trim_start_matches('`').split_once("` ").unwrap();
                let ty = rest.split_once(" COMMENT").map_or(rest, |(ty, _)| ty);
                let column = (name.to_owned(), ty.to_lowercase(), true);
                table.columns.push(column);
            }
        } else if let Some((_, columns)) = sql.split_once("DROP COLUMNS ") {
            let gone = names(columns);
            table.columns.retain(|(name, ..)| !gone.contains(name));
        } else if let Some((_, change)) = sql.split_once("CHANGE COLUMN ") {
            let words = names(change);
            let column = table.columns.iter_mut().find(|c| c.0 == words[0]);
            let column = column.unwrap_or_else(|| panic!("no such column: {sql}"));
            if change.contains(" RENAME TO ") {
                column.0.clone_from(&words[1]);
            } else if change.ends_with("` NULL;") {
                column.2 = true;
            } else {
                let ty = change.rsplit_once("` ").unwrap().1;
                column.1 = ty.trim_end_matches(';').to_lowercase();
            }
        }
    }

    fn tunnel(
        &mut self,
        request: &Request,
        path: &str,
        query: &BTreeMap<String, String>,
    ) -> Response {
        assert_eq!(request.authority, "tunnel:99");
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (name, upserts) = match parts.as_slice() {
            ["projects", "p", "tables", name, "streams"] => {
                let partition = query.get("partition").cloned().unwrap_or_default();
                return self.stream(request, name, &partition, query);
            }
            ["projects", "p", "tables", name] => (*name, false),
            ["projects", "p", "tables", name, "upserts"] => (*name, true),
            ["projects", "p", "schemas", "s1", "tables", name] => (*name, false),
            other => panic!("tunnel: {other:?}"),
        };
        let partition = query.get("partition").cloned().unwrap_or_default();
        if upserts {
            self.upsert(request, name, &partition, query)
        } else {
            self.upload(request, name, &partition, query)
        }
    }

    fn upload(
        &mut self,
        request: &Request,
        name: &str,
        partition: &str,
        query: &BTreeMap<String, String>,
    ) -> Response {
        if query.contains_key("uploads") {
            let id = self.open(name, partition);
            let session = self.sessions.get_mut(&id).unwrap();
            session.overwrite = query.get("overwrite").is_some_and(|o| o == "true");
            if !partition.is_empty() {
                assert_eq!(query["create_partition"], "true");
                self.tables
                    .get_mut(name)
                    .unwrap()
                    .partitions
                    .insert(partition.to_owned());
            }
            return self.upload_document(&id);
        }
        let id = query["uploadid"].clone();
        let Some(session) = self.sessions.get_mut(&id) else {
            return tunnel_error(404, "NoSuchUpload");
        };
        assert_eq!(session.partition, partition);
        match request.method {
            Method::Put => {
                assert_eq!(request.framing, Framing::Chunked);
                let rows = match query.contains_key("arrow") {
                    true => arrow_rows(&body(request)),
                    false => records(&body(request), self.tables[name].columns.len()),
                };
                session
                    .blocks
                    .insert(query["blockid"].parse().unwrap(), rows);
                ok(String::new())
            }
            Method::Post => {
                if session.status == "normal" {
                    session.status = "closed".into();
                    let table = self.tables.get_mut(name).unwrap();
                    if session.overwrite {
                        table.appended.retain(|(p, ..)| p != partition);
                    }
                    for row in session.blocks.values().flatten() {
                        table
                            .appended
                            .push((partition.to_owned(), row.id, row.name.clone()));
                    }
                }
                self.upload_document(&id)
            }
            _ => self.upload_document(&id),
        }
    }

    fn upload_document(&self, id: &str) -> Response {
        let session = &self.sessions[id];
        let blocks: Vec<Value> = session
            .blocks
            .keys()
            .map(|b| json!({"BlockID": b}))
            .collect();
        ok(
            json!({"UploadID": id, "Status": session.status, "UploadedBlockList": blocks})
                .to_string(),
        )
    }

    fn upsert(
        &mut self,
        request: &Request,
        name: &str,
        partition: &str,
        query: &BTreeMap<String, String>,
    ) -> Response {
        if query.contains_key("slotnum") {
            let table = &self.tables[name];
            if !partition.is_empty() && !table.partitions.contains(partition) {
                return tunnel_error(404, "NoSuchPartition");
            }
            let id = self.open(name, partition);
            return self.upsert_document(&id);
        }
        let id = query["upsertid"].clone();
        let buckets = self.session_buckets.unwrap_or(self.tables[name].buckets);
        let kind: HasherKind = self.hasher.parse().unwrap();
        let slow = self.slow_commits;
        let Some(session) = self.sessions.get_mut(&id) else {
            return tunnel_error(404, "UpsertSessionNotFound");
        };
        assert_eq!(session.partition, partition);
        match request.method {
            Method::Put => {
                assert_eq!(request.framing, Framing::ContentLength);
                let bucket: u32 = query["bucketid"].parse().unwrap();
                assert_eq!(query["slotid"], (bucket % 2).to_string());
                let rows = records(&body(request), self.tables[name].columns.len());
                assert_eq!(query["record_count"], rows.len().to_string());
                for row in &rows {
                    assert_eq!(
                        bucket::combine(kind.integer(row.id)) as u32 % buckets,
                        bucket
                    );
                }
                self.updated
                    .extend(rows.iter().map(|row| row.updated.clone()));
                session.packs.extend(rows);
                ok(String::new())
            }
            Method::Post => {
                if session.status == "normal" {
                    session.status = "committing".into();
                }
                session.commit_polls += 1;
                if session.status == "committing" && session.commit_polls > slow {
                    session.status = "committed".into();
                    let table = self.tables.get_mut(name).unwrap();
                    for row in &session.packs {
                        let key = (partition.to_owned(), row.id);
                        if row.delete {
                            table.keyed.remove(&key);
                        } else {
                            table.keyed.insert(key, row.name.clone());
                        }
                    }
                }
                self.upsert_document(&id)
            }
            Method::Delete => {
                session.status = "aborted".into();
                ok(String::new())
            }
            Method::Get => self.upsert_document(&id),
        }
    }

    fn upsert_document(&self, id: &str) -> Response {
        let session = &self.sessions[id];
        let table = &self.tables[&session.table];
        let buckets = self.session_buckets.unwrap_or(table.buckets);
        let slot = |s: u32| json!({"slot_id": s.to_string(), "worker_addr": format!("w{s}:1"), "buckets": (0..buckets).filter(|b| b % 2 == s).collect::<Vec<_>>()});
        let columns: Vec<Value> = (1..)
            .zip(&table.columns)
            .map(|(id, (name, ..))| json!({"name": name, "column_id": format!("{id}0")}))
            .collect();
        ok(json!({"enable_partial_update": self.partial, "schema": {"columns": columns}, "id": id, "status": session.status, "hasher": self.hasher, "hash_key": table.primary_key, "slots": [slot(0), slot(1)]}).to_string())
    }

    fn stream(
        &mut self,
        request: &Request,
        name: &str,
        partition: &str,
        query: &BTreeMap<String, String>,
    ) -> Response {
        let server = |slot: u32| format!("w{slot}:1");
        let Some(id) = query.get("uploadid").cloned() else {
            assert_eq!(request.method, Method::Post);
            assert_eq!(
                query.contains_key("create_partition"),
                !partition.is_empty()
            );
            let id = self.open(name, partition);
            return self.stream_document(&id);
        };
        if !self.sessions.contains_key(&id) {
            return tunnel_error(404, "StreamSessionNotFound");
        }
        if request.method == Method::Get {
            return self.stream_document(&id);
        }
        let session = &self.sessions[&id];
        assert_eq!(
            (request.method, session.partition.as_str()),
            (Method::Put, partition)
        );
        assert_eq!(request.framing, Framing::ContentLength);
        assert_eq!(query["schema_version"], session.schema_version.to_string());
        if session.schema_version != self.schema_version {
            return tunnel_error(412, "SchemaModified");
        }
        let slot: u32 = query["slotid"].parse().unwrap();
        assert!(slot < self.stream_slots);
        let header = |wanted: &str| {
            let found = request.headers.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone()).unwrap()
        };
        let routed = header("odps-tunnel-routed-server");
        let rows = records(&body(request), self.tables[name].columns.len());
        assert_eq!(query["record_count"], rows.len().to_string());
        let appended = &mut self.tables.get_mut(name).unwrap().appended;
        appended.extend(
            rows.into_iter()
                .map(|r| (partition.to_owned(), r.id, r.name)),
        );
        let mut response = ok(String::new());
        let now = if routed.starts_with('w') {
            server(slot)
        } else {
            routed
        };
        let headers = [
            ("odps-tunnel-routed-server", now),
            ("odps-tunnel-slot-num", self.stream_slots.to_string()),
        ];
        response
            .headers
            .extend(headers.map(|(name, value)| (name.to_owned(), value)));
        response
    }

    fn stream_document(&self, id: &str) -> Response {
        let session = &self.sessions[id];
        let columns: Vec<Value> = self.tables[&session.table]
            .columns
            .iter()
            .map(|(name, ty, nullable)| json!({"name": name, "type": ty, "nullable": nullable}))
            .collect();
        let slots: Vec<Value> = (0..self.stream_slots)
            .map(|slot| json!([slot, format!("w{slot}:1")]))
            .collect();
        ok(json!({
            "session_name": id, "status": "normal", "schema_version": session.schema_version,
            "schema": {"columns": columns}, "slots": slots,
        })
        .to_string())
    }

    fn open(&mut self, table: &str, partition: &str) -> String {
        self.next += 1;
        let id = format!("s{}", self.next);
        let session = Session {
            table: table.to_owned(),
            partition: partition.to_owned(),
            status: "normal".into(),
            overwrite: false,
            schema_version: self.schema_version,
            blocks: BTreeMap::new(),
            packs: Vec::new(),
            commit_polls: 0,
        };
        self.sessions.insert(id.clone(), session);
        id
    }
}

fn ok(body: String) -> Response {
    Response {
        status: 200,
        headers: vec![("X-Odps-Request-Id".into(), "req-1".into())],
        body: body.into_bytes(),
    }
}

fn rest_error(status: u16, code: &str) -> Response {
    Response {
        status,
        ..ok(format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
        ))
    }
}

fn tunnel_error(status: u16, code: &str) -> Response {
    Response {
        status,
        ..ok(json!({"Code": code, "Message": code}).to_string())
    }
}

fn table_document(table: &Table, extended: bool) -> String {
    let json = if extended {
        let mut reserved = json!({});
        if !table.primary_key.is_empty() {
            reserved = json!({"Transactional": "true", "PrimaryKey": table.primary_key, "BucketNum": table.buckets});
        }
        json!({"Reserved": reserved.to_string()})
    } else {
        let columns: Vec<Value> = table.columns.iter().map(|(n, t, nullable)| json!({"name": n, "type": t, "isNullable": nullable, "comment": ""})).collect();
        let keys: Vec<Value> = table
            .partition_columns
            .iter()
            .map(|(n, t)| json!({"name": n, "type": t}))
            .collect();
        json!({"columns": columns, "partitionKeys": keys})
    };
    format!(
        "<Table format=\"Json\"><Type>MANAGED_TABLE</Type><Schema format=\"Json\"><![CDATA[{json}]]></Schema></Table>"
    )
}

fn body(request: &Request) -> Vec<u8> {
    let encoding = request
        .headers
        .iter()
        .find(|(n, _)| n == "Content-Encoding")
        .map(|(_, v)| v.as_str());
    match encoding {
        None => request.body.to_vec(),
        Some("deflate") => {
            let mut out = Vec::new();
            flate2::read::ZlibDecoder::new(request.body.to_vec().as_slice())
                .read_to_end(&mut out)
                .unwrap();
            out
        }
        Some(other) => panic!("encoding {other}"),
    }
}

/// Decode an Arrow body of (id BIGINT, name STRING).
fn arrow_rows(body: &[u8]) -> Vec<Row> {
    use arrow_array::cast::AsArray as _;
    use arrow_schema::{DataType, Field, Schema};
    let chunk = u32::from_be_bytes(body[..4].try_into().unwrap()) as usize;
    let data = &body[4..body.len() - 4];
    assert!(data.len() < chunk, "longer bodies are read elsewhere");
    assert_eq!(body[body.len() - 4..], crc32c::crc32c(data).to_be_bytes());
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ]);
    let mut stream = crate::driver::schema_message(&schema);
    stream.extend_from_slice(data);
    stream.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let batches = arrow_ipc::reader::StreamReader::try_new(stream.as_slice(), None).unwrap();
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.unwrap();
        let ids = batch
            .column(0)
            .as_primitive::<arrow_array::types::Int64Type>();
        let names = batch.column(1).as_string::<i32>();
        rows.extend(ids.iter().zip(names).map(|(id, name)| Row {
            id: id.unwrap(),
            name: name.map(str::to_owned),
            delete: false,
            updated: Vec::new(),
        }));
    }
    rows
}

/// Decode a record stream of (id BIGINT, name STRING), columns without values, and hidden fields; a
/// decoder of its own.
fn records(bytes: &[u8], columns: usize) -> Vec<Row> {
    let (operation, value_columns) = (columns as u64 + 3, columns as u64 + 5);
    let mut at = 0;
    let varint = |at: &mut usize| {
        let mut value = 0u64;
        let mut shift = 0;
        loop {
            let byte = bytes[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    };
    let zigzag = |v: u64| (v >> 1) as i64 ^ -((v & 1) as i64);
    let mut rows = Vec::new();
    let mut row = Row {
        id: i64::MIN,
        name: None,
        delete: false,
        updated: Vec::new(),
    };
    while at < bytes.len() {
        let tag = varint(&mut at);
        match tag >> 3 {
            1 => row.id = zigzag(varint(&mut at)),
            2 => {
                let len = varint(&mut at) as usize;
                row.name = Some(String::from_utf8(bytes[at..at + len].to_vec()).unwrap());
                at += len;
            }
            3 if columns == 3 => {
                varint(&mut at);
                varint(&mut at);
            }
            // Hidden columns: version, application version, operation, key and value columns.
            field if field == operation => row.delete = zigzag(varint(&mut at)) == 68,
            field if field == value_columns => {
                for _ in 0..varint(&mut at) {
                    assert_eq!(varint(&mut at), 0, "no NULL");
                    row.updated.push(zigzag(varint(&mut at)));
                }
            }
            33_553_408 => {
                varint(&mut at);
                rows.push(std::mem::replace(
                    &mut row,
                    Row {
                        id: i64::MIN,
                        name: None,
                        delete: false,
                        updated: Vec::new(),
                    },
                ));
            }
            33_554_430 => assert_eq!(zigzag(varint(&mut at)) as usize, rows.len()),
            33_554_431 => {
                varint(&mut at);
            }
            other => panic!("field {other}"),
        }
    }
    rows
}

fn between(text: &str, from: &str, to: &str) -> String {
    text.split_once(from)
        .unwrap()
        .1
        .split_once(to)
        .unwrap()
        .0
        .to_owned()
}

fn unescape(text: &str) -> String {
    text.replace("&apos;", "'")
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
            out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).unwrap()
}
