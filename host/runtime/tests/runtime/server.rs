//! HTTP servers with one way of answering each, on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a server treats each request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Reads it, answers 200 with the number of bytes in its body, keeps the connection.
    Count,
    /// Answers 403 after the head without reading the body, and closes at once.
    Refuse,
    /// Answers 403 after the head without reading the body, and leaves the connection open.
    RefuseAndLinger,
    /// Reads it and sends it elsewhere.
    Redirect,
    /// Reads it and never answers.
    Ignore,
    /// Answers with a head and half of the body it promises, then nothing.
    Stall,
}

/// Runs until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn({
            let (connections, requests) = (Arc::clone(&connections), Arc::clone(&requests));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(serve(stream, manner, Arc::clone(&requests)));
                }
            }
        });
        Self {
            address,
            connections,
            requests,
            task,
        }
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, requests: Arc<AtomicUsize>) {
    while let Some(length) = read_head(&mut stream).await {
        requests.fetch_add(1, Ordering::Relaxed);
        let refusal = "HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\nno way";
        match manner {
            Manner::Refuse => {
                let _ = stream.write_all(refusal.as_bytes()).await;
                return;
            }
            Manner::RefuseAndLinger => {
                let _ = stream.write_all(refusal.as_bytes()).await;
                std::future::pending::<()>().await;
            }
            Manner::Count | Manner::Redirect | Manner::Ignore | Manner::Stall => {
                let mut body = (&mut stream).take(length);
                if tokio::io::copy(&mut body, &mut tokio::io::sink())
                    .await
                    .ok()
                    != Some(length)
                {
                    return;
                }
            }
        }
        let answer = match manner {
            Manner::Redirect => {
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"
                    .into()
            }
            Manner::Ignore => std::future::pending().await,
            Manner::Stall => "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhal".into(),
            _ => {
                let body = length.to_string();
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                )
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads up to the empty line; the body's length, or `None` when the peer has gone.
async fn read_head(stream: &mut TcpStream) -> Option<u64> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))?;
    length.trim().parse().ok()
}
