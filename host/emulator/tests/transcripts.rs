//! Replays what the official clients sent, byte for byte, and compares the answers with those the
//! clients were seen to accept: status, kind, headers, and every XML element and JSON key.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use longshore_emulator::Server;
use longshore_emulator::catalog::ColumnType;
use longshore_emulator::wire::{ArrowStreamReader, RecordStreamReader, WireColumn};
use quick_xml::events::Event;
use serde_json::Value;
use support::{Answer, get, send, sql, start};

/// Keys of ours that a recorded answer lacks, and why that is meant. `*` stands for any text.
const MORE: &[(&str, &str)] = &[
    ("Project/Owner", "scripts ask for it"),
    ("Project/SuperAdministrator", "scripts ask for it"),
    ("Project/CreationTime", "the header says it too"),
    ("Project/LastModifiedTime", "the header says it too"),
    ("Project/ProjectGroupName", "scripts ask for it"),
    ("Project/ExtendedProperties", "scripts ask for it"),
    ("Project/Region", "newer clients read it"),
    ("Project/Allow3Tier", "newer clients read it"),
    ("Table/SchemaName", "clients of three tiers read it"),
    ("Table/Comment", "listings without a schema show it"),
    ("Table/TableLabel", "scripts ask for it"),
    ("Table/CryptoAlgo", "scripts ask for it"),
    ("Table/LastAccessTime", "scripts ask for it"),
    ("Table/Schema:lastAccessTime", "Go reads it"),
    ("Table/Schema:hubLifecycle", "Java and Go read it"),
    ("Table/Schema:isMaterializedView*", "all read them"),
    ("Table/Schema:isObjectTable", "newer clients read it"),
    ("Table/Schema:*[].hasDefaultValue", "Go reads it"),
    (
        "Table/Schema:tableProperties*",
        "Python writes the table's DDL with it",
    ),
    ("Table/Schema:Reserved:HasRowAccessPolicy", "Java reads it"),
    (
        "Table/Schema:Reserved:acid.partial.fields.update.enable",
        "properties of the table are all shown",
    ),
    (
        "Table/Schema:Reserved:transactional",
        "properties of the table are all shown",
    ),
    (
        "Table/Schema:Reserved:write.bucket.num",
        "properties of the table are all shown",
    ),
    (
        "Instance/Tasks/Task/Status",
        "a result says whether it is an error",
    ),
    (
        "*chema.partitionKeys[].*",
        "partition keys have what columns have; the recorder had left out ids, or the keys",
    ),
    (
        "SupportReadByRawSize",
        "Python looks whether it may ask for bytes instead of rows",
    ),
];

/// Keys of a recorded answer that ours lacks, and why that is meant.
const LESS: &[(&str, &str)] = &[];

/// One request with the answer that the client accepted.
#[derive(Debug, Default)]
struct Exchange {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    status: u16,
    kind: String,
    /// Names of headers of the answer that clients look at.
    answer_headers: Vec<String>,
    answer: Vec<u8>,
}

/// Takes a recording apart: `---` begins a request, `BODY[n]` its body, `<-` the answer, `[n]` the
/// answer's body; `hex` stands before bytes that are not text.
fn exchanges(recording: &str) -> Vec<Exchange> {
    let mut found: Vec<Exchange> = Vec::new();
    let mut rest = recording;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        if let Some(request) = line.strip_prefix("--- ") {
            let mut words = request.split(' ');
            found.push(Exchange {
                method: words.next().unwrap().to_owned(),
                target: words.next().unwrap().to_owned(),
                ..Default::default()
            });
            continue;
        }
        let Some(exchange) = found.last_mut() else {
            continue;
        };
        if let Some(body) = line.strip_prefix("    BODY[") {
            (exchange.body, rest) = counted(body, line, rest);
        } else if let Some(body) = line.strip_prefix("     [") {
            // Always one line; some had a line break at their end, which is counted.
            let text = body.split_once("] ").unwrap().1;
            exchange.answer = match text.strip_prefix("hex ") {
                Some(digits) => hex::decode(digits).unwrap(),
                None => text.as_bytes().to_vec(),
            };
        } else if let Some(answer) = line.strip_prefix("  <- ") {
            let (status, answer) = answer.split_once(' ').unwrap();
            let (kind, headers) = answer.split_once(' ').unwrap_or((answer, ""));
            exchange.status = status.parse().unwrap();
            exchange.kind = kind.to_owned();
            let names = headers.split(';').filter_map(|h| h.split_once(": "));
            exchange.answer_headers = names.map(|(name, _)| name.trim().to_lowercase()).collect();
        } else if let Some(header) = line.strip_prefix("    ")
            && let Some((name, value)) = header.split_once(": ")
        {
            exchange
                .headers
                .push((name.to_lowercase(), value.to_owned()));
        }
    }
    found
}

/// A body behind `[n] `, which may go on in the next lines; and what follows it.
fn counted<'a>(start: &str, line: &'a str, rest: &'a str) -> (Vec<u8>, &'a str) {
    let (count, first) = start.split_once("] ").unwrap();
    let count: usize = count.parse().unwrap();
    if let Some(digits) = first.strip_prefix("hex ") {
        let bytes = hex::decode(digits).unwrap();
        assert_eq!(bytes.len(), count, "{line}");
        return (bytes, rest);
    }
    let mut text = first.to_owned();
    let mut rest = rest;
    while text.len() < count {
        let (line, after) = rest.split_once('\n').unwrap();
        text.push('\n');
        text.push_str(line);
        rest = after;
    }
    assert_eq!(text.len(), count, "{line}");
    (text.into_bytes(), rest)
}

/// Every key of an answer: `Table/Name`, `Table@format`, `Schema.columns[].name`; documents inside
/// of texts follow behind a colon.
fn keys(kind: &str, body: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let text = std::str::from_utf8(body).unwrap();
    if text.is_empty() {
        return found;
    }
    match kind {
        "application/json" => json_keys("", &serde_json::from_str(text).unwrap(), &mut found),
        "application/xml" => xml_keys(text, &mut found),
        kind => panic!("an answer of kind `{kind}`: {text}"),
    }
    found
}

fn json_keys(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let path = if path.is_empty() || path.ends_with(':') {
                    format!("{path}{name}")
                } else {
                    format!("{path}.{name}")
                };
                json_keys(&path, value, found);
                found.insert(path);
            }
        }
        Value::Array(items) => {
            for item in items {
                json_keys(&format!("{path}[]"), item, found);
            }
        }
        Value::String(text) => embedded_keys(path, text, found),
        _ => {}
    }
}

fn embedded_keys(path: &str, text: &str, found: &mut BTreeSet<String>) {
    if text.starts_with('{')
        && let Ok(value) = serde_json::from_str(text)
    {
        json_keys(&format!("{path}:"), &value, found);
    }
}

fn xml_keys(text: &str, found: &mut BTreeSet<String>) {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    loop {
        let event = reader.read_event().unwrap();
        match &event {
            Event::Start(element) | Event::Empty(element) => {
                let name = element.name();
                path.push(name.as_ref().to_owned());
                let place = path.join("/");
                for attribute in element.attributes() {
                    let attribute = attribute.unwrap();
                    found.insert(format!("{place}@{}", attribute.key.as_ref()));
                }
                found.insert(place);
                if matches!(event, Event::Empty(_)) {
                    path.pop();
                }
            }
            Event::End(_) => {
                path.pop();
            }
            Event::CData(data) => {
                embedded_keys(&path.join("/"), data, found);
            }
            Event::Eof => return,
            _ => {}
        }
    }
}

/// True when the text fits the pattern, in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).any(|at| text.is_char_boundary(at) && fits(rest, &text[at..]))
        }),
    }
}

/// A server with the table and the rows that the recorded requests expect.
async fn prepared(recording: &str, dir: &std::path::Path) -> Server {
    let server = start(dir).await;
    let columns = "id bigint not null, name string, amt decimal(10,2)";
    let delta = "tblproperties('transactional'='true', 'write.bucket.num'='4', 'acid.data.retain.hours'='24', 'acid.partial.fields.update.enable'='true')";
    let create = match recording.split_once('-').unwrap().1 {
        "meta" => format!(
            "set odps.namespace.schema=true; create schema s1; \
             create table t ({columns}, primary key(id)) comment 'cmt' partitioned by (pt string) {delta}; \
             create table s1.t ({columns}, primary key(id)) comment 'cmt' partitioned by (pt string) {delta}"
        ),
        "upsert" => format!(
            "create table t ({columns}, primary key(id)) partitioned by (pt string) {delta}"
        ),
        "download" => {
            "create table t (id bigint not null, name string) partitioned by (pt string); \
             insert into t partition (pt='a') values (1, 'a'), (2, 'bc'), (3, null)"
                .to_owned()
        }
        _ => format!("create table t ({columns}) partitioned by (pt string)"),
    };
    sql(&server, &create).await.unwrap();
    let partitions =
        "alter table t add if not exists partition (pt='a') partition (pt='2024-06-15')";
    sql(&server, partitions).await.unwrap();
    server
}

/// One recording under replay.
struct Replay<'a> {
    server: &'a Server,
    /// Ids of the recording and those that this server gave instead.
    ids: BTreeMap<String, String>,
    /// Slots that this server gave the buckets: the recorder had made up two for one.
    slots: BTreeMap<u64, String>,
}

impl Replay<'_> {
    async fn request(&self, exchange: &Exchange) -> Answer {
        let mut target = exchange.target.clone();
        for (recorded, ours) in &self.ids {
            target = target.replace(recorded, ours);
        }
        if let Some(bucket) = parameter(&target, "bucketid") {
            let recorded = parameter(&target, "slotid").unwrap();
            let ours = &self.slots[&bucket.parse().unwrap()];
            let (recorded, ours) = (format!("slotid={recorded}&"), format!("slotid={ours}&"));
            target = target.replace(&recorded, &ours);
        }
        let address = self.server.addr().to_string();
        // Signature and date are of then; the connection is the client's below.
        let dropped = ["authorization", "connection"];
        let headers: Vec<(&str, &str)> = exchange
            .headers
            .iter()
            .filter(|(name, _)| !dropped.contains(&name.as_str()))
            .map(|(name, value)| {
                let is_address = value.starts_with("127.0.0.1:");
                (
                    name.as_str(),
                    if is_address { &address } else { value.as_str() },
                )
            })
            .collect();
        send(
            self.server,
            exchange.method.parse().unwrap(),
            &target,
            &headers,
            exchange.body.clone(),
        )
        .await
    }

    /// Takes note of the ids in an answer.
    fn learn(&mut self, exchange: &Exchange, answer: &Answer) {
        if exchange
            .answer_headers
            .iter()
            .any(|name| name == "location")
        {
            let location = answer.headers["location"].to_str().unwrap();
            let id = location.rsplit('/').next().unwrap();
            self.ids.insert("inst1".to_owned(), id.to_owned());
        }
        if exchange.kind != "application/json" || exchange.answer.is_empty() {
            return;
        }
        let recorded: Value = serde_json::from_slice(&exchange.answer).unwrap();
        let ours: Value = serde_json::from_str(&answer.body).unwrap();
        for slot in ours["slots"].as_array().into_iter().flatten() {
            for bucket in slot["buckets"].as_array().into_iter().flatten() {
                let id = slot["slot_id"].as_str().unwrap().to_owned();
                self.slots.insert(bucket.as_u64().unwrap(), id);
            }
        }
        for name in ["UploadID", "DownloadID", "session_name", "id"] {
            if let (Some(recorded), Some(ours)) = (recorded[name].as_str(), ours[name].as_str()) {
                self.ids.insert(recorded.to_owned(), ours.to_owned());
            }
        }
    }

    /// Waits for the end of the job: a recording looks at it twice and expects no more.
    async fn ended(&self) {
        let path = format!("/api/projects/p/instances/{}", self.ids["inst1"]);
        while !get(self.server, &path).await.body.contains("Terminated") {
            tokio::task::yield_now().await;
        }
    }
}

/// A parameter of a request's query.
fn parameter<'a>(target: &'a str, name: &str) -> Option<&'a str> {
    let query = target.split_once('?')?.1;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(given, _)| *given == name)
        .map(|(_, value)| value)
}

/// Rows of a download, of whichever form.
fn rows(target: &str, body: &[u8]) -> u64 {
    let columns = vec![
        WireColumn::new("id", ColumnType::BigInt),
        WireColumn::new("name", ColumnType::String),
    ];
    if target.contains("&arrow") {
        let mut reader = ArrowStreamReader::new(body, columns);
        while reader.next_batch().unwrap().is_some() {}
        return reader.rows();
    }
    let mut reader = RecordStreamReader::new(body, columns);
    let mut rows = 0;
    while let Some(batch) = reader.next_batch().unwrap() {
        rows += batch.num_rows() as u64;
    }
    rows
}

/// Everything in which our answer differs from the recorded one without a reason on the lists.
fn differences(
    exchange: &Exchange,
    answer: &Answer,
    server: &Server,
    used: &mut BTreeSet<&'static str>,
) -> Vec<String> {
    let mut found = Vec::new();
    if answer.status.as_u16() != exchange.status {
        let body = &answer.body;
        return vec![format!("status {}: {body}", answer.status)];
    }
    for name in &exchange.answer_headers {
        if !answer.headers.contains_key(name) {
            found.push(format!("no header {name}"));
        }
    }
    if exchange.answer.is_empty() {
        // An abort tells what became of the session; the client looks at the status only, and the
        // recorder said nothing.
        if !answer.bytes.is_empty() && exchange.method != "DELETE" {
            found.push(format!("a body: {}", answer.body));
        }
        return found;
    }
    let kind = answer.headers["content-type"].to_str().unwrap();
    let kind = kind.split(';').next().unwrap();
    if kind != exchange.kind {
        found.push(format!("kind {kind}"));
        return found;
    }
    match kind {
        "text/plain" => {
            if answer.body != server.addr().to_string() {
                found.push(format!("text {}", answer.body));
            }
        }
        "application/octet-stream" => {
            let ours = rows(&exchange.target, &answer.bytes);
            let recorded = rows(&exchange.target, &exchange.answer);
            if ours != recorded {
                found.push(format!("{ours} rows"));
            }
        }
        kind => {
            let ours = keys(kind, &answer.bytes);
            let recorded = keys(kind, &exchange.answer);
            let mut compare = |what: &str,
                               one: &BTreeSet<String>,
                               other: &BTreeSet<String>,
                               meant: &[(&'static str, &str)]| {
                for key in one.difference(other) {
                    match meant.iter().find(|(pattern, _)| fits(pattern, key)) {
                        Some((pattern, _)) => {
                            used.insert(*pattern);
                        }
                        None => found.push(format!("{what} {key}")),
                    }
                }
            };
            compare("more:", &ours, &recorded, MORE);
            compare("less:", &recorded, &ours, LESS);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_requests_get_answers_of_the_recorded_shape() {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/http-transcripts");
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    let mut replayed = 0;
    for client in ["java", "pyodps"] {
        for topic in [
            "arrow", "ddl", "download", "meta", "stream", "upload", "upsert",
        ] {
            let recording = format!("{client}-{topic}");
            let text = std::fs::read_to_string(folder.join(format!("{recording}.txt"))).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let server = prepared(&recording, dir.path()).await;
            let mut replay = Replay {
                server: &server,
                ids: BTreeMap::new(),
                slots: BTreeMap::new(),
            };
            for exchange in exchanges(&text) {
                replayed += 1;
                let answer = replay.request(&exchange).await;
                let found = differences(&exchange, &answer, &server, &mut used);
                let place = format!("{recording}: {} {}", exchange.method, exchange.target);
                problems.extend(found.iter().map(|what| format!("{place}: {what}")));
                if answer.status.as_u16() == exchange.status {
                    replay.learn(&exchange, &answer);
                }
                if answer.status == http::StatusCode::CREATED {
                    replay.ended().await;
                }
            }
            server.shutdown().await;
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(replayed > 100, "{replayed}");
    let meant = MORE.iter().chain(LESS);
    let unused: Vec<_> = meant
        .filter(|(pattern, _)| !used.contains(pattern))
        .collect();
    assert!(unused.is_empty(), "no longer needed: {unused:?}");
}
