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
    pub body: String,
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
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", server.addr()))
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// A request signed with the older scheme and a security token.
pub async fn signed(
    server: &Server,
    method: &str,
    path: &str,
    (id, key): (&str, &str),
    date: chrono::DateTime<chrono::Utc>,
) -> Answer {
    use hmac::{KeyInit, Mac};
    let date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let resource = path.strip_prefix("/api").unwrap_or(path);
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{method}\n\n\n{date}\n{resource}").as_bytes());
    let mac = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", server.addr()))
        .header("date", date)
        .header("authorization", format!("ODPS {id}:{mac}"))
        .header("authorization-sts-token", "token")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
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
