//! A server on a free port and a plain HTTP client.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test program uses a part"
)]

use std::path::Path;

use base64::Engine;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use longshore_emulator::{Auth, Mode, Server, ServerConfig};

pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    /// The body as text; other bytes are replaced.
    pub body: String,
    /// The body as it came.
    pub bytes: Bytes,
}

pub async fn start(data_dir: &Path) -> Server {
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: data_dir.to_owned(),
        project: "P".to_owned(),
        credentials: Auth::Disabled,
        mode: Mode::Store,
    };
    Server::start(config).await.unwrap()
}

pub async fn call(server: &Server, method: Method, path: &str, body: &str) -> Answer {
    send(server, method, path, &[], body.as_bytes().to_vec()).await
}

/// A request with these headers besides those of the connection.
pub async fn send(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answer {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", server.addr()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8_lossy(&bytes).into_owned(),
        bytes,
    }
}

/// How a request is signed.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    pub id: &'a str,
    pub key: &'a str,
    /// Sent along when it is there.
    pub token: Option<&'a str>,
    /// Signs with the newer scheme, whose key holds date and region.
    pub region: Option<&'a str>,
    pub date: chrono::DateTime<chrono::Utc>,
}

impl<'a> Signer<'a> {
    /// The older scheme, now, without a token.
    pub fn new(id: &'a str, key: &'a str) -> Self {
        Self {
            id,
            key,
            token: None,
            region: None,
            date: chrono::Utc::now(),
        }
    }
}

/// A signed request.
pub async fn signed(server: &Server, method: &str, path: &str, signer: Signer<'_>) -> Answer {
    let date = signer.date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let resource = path.strip_prefix("/api").unwrap_or(path);
    let text = format!("{method}\n\n\n{date}\n{resource}");
    let (who, key) = match signer.region {
        None => (signer.id.to_owned(), signer.key.as_bytes().to_vec()),
        Some(region) => {
            let day = signer.date.format("%Y%m%d").to_string();
            let parts = [day.as_str(), region, "odps", "aliyun_v4_request"];
            let first = format!("aliyun_v4{}", signer.key).into_bytes();
            let key = parts.iter().fold(first, |key, part| sha256(&key, part));
            (format!("{}/{}", signer.id, parts.join("/")), key)
        }
    };
    let mac = base64::engine::general_purpose::STANDARD.encode(sha1(&key, &text));
    let authorization = format!("ODPS {who}:{mac}");
    let mut headers = vec![("date", date.as_str()), ("authorization", &authorization)];
    if let Some(token) = signer.token {
        headers.push(("authorization-sts-token", token));
    }
    send(server, method.parse().unwrap(), path, &headers, Vec::new()).await
}

fn sha1(key: &[u8], text: &str) -> Vec<u8> {
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn sha256(key: &[u8], text: &str) -> Vec<u8> {
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub async fn get(server: &Server, path: &str) -> Answer {
    call(server, Method::GET, path, "").await
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&apos;")
}

/// Runs a job to its end; the result text, as Err when the task failed.
pub async fn sql(server: &Server, query: &str) -> Result<String, String> {
    let document = format!(
        "<?xml version=\"1.0\"?>\n<Instance>\n <Job>\n  <Priority>9</Priority>\n  <Tasks>\n   <SQL>\n    <Name>AnonymousSQLTask</Name>\n    <Config><Property><Name>settings</Name><Value>{{\"odps.sql.submit.mode\":\"script\"}}</Value></Property></Config>\n    <Query>{}</Query>\n   </SQL>\n  </Tasks>\n </Job>\n</Instance>",
        escape(query)
    );
    let answer = call(
        server,
        Method::POST,
        "/api/projects/p/instances?curr_project=p",
        &document,
    )
    .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let location = answer.headers["location"].to_str().unwrap();
    let path = location.split_once("/api/").unwrap().1;
    loop {
        let status = get(server, &format!("/api/{path}")).await;
        assert_eq!(status.status, StatusCode::OK);
        if status.body.contains("<Status>Terminated</Status>") {
            break;
        }
        tokio::task::yield_now().await;
    }
    let task = get(server, &format!("/api/{path}?taskstatus")).await.body;
    let result = get(server, &format!("/api/{path}?result")).await.body;
    let encoded = between(&result, "\">", "</Result>");
    let text = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .unwrap();
    let text = String::from_utf8(text).unwrap();
    if task.contains("<Status>Success</Status>") {
        Ok(text)
    } else {
        Err(text)
    }
}

/// The text between the last `from` before the last `to`.
pub fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.rsplit_once(to).unwrap().0;
    rest.rsplit_once(from).unwrap().1
}
