//! A server with a plain HTTP client, and the bodies that clients send.

use std::{collections::BTreeMap, io::Write as _, path::Path, sync::Arc};

use arrow_array::{
    ArrayRef, Int8Array, Int64Array, ListArray, RecordBatch, StringArray, cast::AsArray as _,
    types::Int64Type,
};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header::HeaderMap};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use longshore_emulator::{
    Auth, Mode, Server, ServerConfig, ServerOptions,
    catalog::{Column, ColumnType, TableMeta},
    storage::TableSpec,
    wire::{
        ArrowStreamWriter, BodyWriter, BucketHasher, Compression, HasherKind, RecordStreamReader,
        RecordStreamWriter, TimestampForm, WireColumn, hidden_columns,
    },
};
use serde_json::Value;

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert!(
            self.status.is_success(),
            "{}: {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn error(&self) -> (u16, String) {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        assert!(self.headers.contains_key("x-odps-request-id"));
        assert_eq!(
            body["RequestId"],
            self.headers["x-odps-request-id"].to_str().unwrap()
        );
        (
            self.status.as_u16(),
            body["Code"].as_str().unwrap_or_default().to_owned(),
        )
    }

    pub(crate) fn ok(self) -> Self {
        assert_eq!(
            self.status,
            StatusCode::OK,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self
    }
}

pub(crate) struct Peer {
    pub(crate) server: Server,
}

impl Peer {
    pub(crate) async fn start(dir: &Path) -> Self {
        Self::start_with(dir, Mode::Store, ServerOptions::default()).await
    }

    pub(crate) async fn start_with(dir: &Path, mode: Mode, options: ServerOptions) -> Self {
        let config = ServerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: dir.to_owned(),
            project: "p".to_owned(),
            credentials: Auth::Disabled,
            mode,
        };
        Self {
            server: Server::start_with(config, options).await.unwrap(),
        }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.server.addr()))
            .header("x-odps-tunnel-version", "6");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = client
            .request(request.body(Full::new(body.into())).unwrap())
            .await
            .unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.send(Method::POST, path, &[], Vec::new()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Vec::new()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Vec<u8>) -> Answer {
        self.send(Method::PUT, path, &[], body).await
    }

    pub(crate) fn create_table(&self, name: &str, spec: TableSpec) -> Arc<TableMeta> {
        let store = self.server.state().store();
        store
            .create_table("p", "default", name, "me", spec)
            .unwrap();
        store.table("p", "default", name).unwrap()
    }

    /// All rows of the table, as `id:name`, in the order of a download.
    pub(crate) async fn rows(&self, table: &str, partition: &str) -> Vec<String> {
        let created = self
            .post(&format!("/projects/p/tables/{table}?downloads{partition}"))
            .await
            .json();
        let (id, count) = (
            created["DownloadID"].as_str().unwrap(),
            created["RecordCount"].as_u64().unwrap(),
        );
        let path = format!(
            "/projects/p/tables/{table}?data&downloadid={id}&rowrange=%280%2C{count}%29{partition}"
        );
        read_rows(&self.get(&path).await.ok().body)
    }
}

pub(crate) fn spec(partitioned: bool, delta: bool) -> TableSpec {
    let mut id = Column::new("id", ColumnType::BigInt);
    id.nullable = !delta;
    let transactional = [
        ("transactional".to_owned(), "true".to_owned()),
        ("write.bucket.num".to_owned(), "4".to_owned()),
    ];
    TableSpec {
        columns: vec![id, Column::new("name", ColumnType::String)],
        partition_columns: if partitioned {
            vec![Column::new("pt", ColumnType::String)]
        } else {
            vec![]
        },
        primary_key: if delta { vec!["id".to_owned()] } else { vec![] },
        properties: if delta {
            transactional.into_iter().collect()
        } else {
            BTreeMap::new()
        },
        comment: None,
        lifecycle: None,
        clustering: None,
    }
}

pub(crate) fn columns() -> Vec<WireColumn> {
    vec![
        WireColumn::new("id", ColumnType::BigInt),
        WireColumn::new("name", ColumnType::String),
    ]
}

pub(crate) fn batch(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let ids: Int64Array = rows.iter().map(|row| Some(row.0)).collect();
    let names: StringArray = rows.iter().map(|row| row.1).collect();
    RecordBatch::try_new(
        WireColumn::schema(&columns()),
        vec![Arc::new(ids), Arc::new(names)],
    )
    .unwrap()
}

pub(crate) fn records(rows: &[(i64, Option<&str>)]) -> Vec<u8> {
    let mut writer = RecordStreamWriter::new(columns());
    writer.write_batch(&batch(rows)).unwrap();
    writer.finish(None)
}

pub(crate) fn arrow(rows: &[(i64, Option<&str>)]) -> Vec<u8> {
    let mut writer = ArrowStreamWriter::new(Vec::new(), columns(), TimestampForm::Nanoseconds);
    writer.write_batch(&batch(rows)).unwrap();
    writer.finish().unwrap()
}

pub(crate) fn compress(method: Compression, body: &[u8]) -> Vec<u8> {
    let mut writer = BodyWriter::new(Some(method), Vec::new()).unwrap();
    writer.write_all(body).unwrap();
    writer.finish().unwrap()
}

/// A pack as clients send it; `updated` are the column ids of a partial update.
pub(crate) fn pack(rows: &[(i64, Option<&str>, i8, &[i64])]) -> Vec<u8> {
    let mut columns = columns();
    columns.extend(hidden_columns());
    let plain: Vec<_> = rows.iter().map(|row| (row.0, row.1)).collect();
    let mut arrays: Vec<ArrayRef> = batch(&plain).columns().to_vec();
    let lists = |values: Vec<Option<Vec<Option<i64>>>>| -> ArrayRef {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>(values);
        let (_, offsets, values, nulls) = list.into_parts();
        let field = Arc::new(arrow_schema::Field::new(
            "element",
            arrow_schema::DataType::Int64,
            true,
        ));
        Arc::new(ListArray::new(field, offsets, values, nulls))
    };
    arrays.push(Arc::new(Int64Array::new_null(rows.len())));
    arrays.push(Arc::new(Int64Array::new_null(rows.len())));
    arrays.push(Arc::new(
        rows.iter().map(|row| Some(row.2)).collect::<Int8Array>(),
    ));
    arrays.push(lists(vec![None; rows.len()]));
    arrays.push(lists(
        rows.iter()
            .map(|row| Some(row.3.iter().map(|id| Some(*id)).collect()))
            .collect(),
    ));
    let mut writer = RecordStreamWriter::new(columns.clone());
    writer
        .write_batch(&RecordBatch::try_new(WireColumn::schema(&columns), arrays).unwrap())
        .unwrap();
    writer.finish(None)
}

pub(crate) fn bucket_of(id: i64) -> u32 {
    let hasher = BucketHasher::new(HasherKind::Default, vec![(0, columns().remove(0))]);
    hasher.buckets(&batch(&[(id, None)]), 4).unwrap()[0]
}

pub(crate) fn read_rows(body: &[u8]) -> Vec<String> {
    let mut reader = RecordStreamReader::new(body, columns());
    let mut rows = Vec::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        rows.extend(texts(&batch));
    }
    rows
}

pub(crate) fn texts(batch: &RecordBatch) -> Vec<String> {
    let (ids, names) = (
        batch.column(0).as_primitive::<Int64Type>(),
        batch.column(1).as_string::<i32>(),
    );
    ids.iter()
        .zip(names)
        .map(|(id, name)| format!("{}:{}", id.unwrap(), name.unwrap_or("-")))
        .collect()
}

impl Peer {
    pub(crate) async fn rows_of_new_session_expired(&self, table: &str) -> (u16, String) {
        let created = self
            .post(&format!("/projects/p/tables/{table}?downloads"))
            .await
            .json();
        let id = created["DownloadID"].as_str().unwrap();
        self.get(&format!(
            "/projects/p/tables/{table}?data&downloadid={id}&rowrange=(0,1)"
        ))
        .await
        .error()
    }
}
