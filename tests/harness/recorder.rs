//! A listener in front of a server that keeps what clients send through it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// The bytes of each connection, from client to server.
type Sent = Arc<Mutex<Vec<Vec<u8>>>>;

/// Hands bytes on in both directions; ends when dropped.
#[derive(Debug)]
pub struct Recorder {
    _runtime: Runtime,
    authority: String,
    sent: Sent,
}

impl Recorder {
    /// Listens on a free port in front of `server` (`HOST:PORT`).
    ///
    /// # Errors
    /// When no port is free.
    pub fn before(server: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let authority = listener.local_addr()?.to_string();
        let sent = Sent::default();
        runtime.spawn(serve(listener, server.to_owned(), Arc::clone(&sent)));
        Ok(Self {
            _runtime: runtime,
            authority,
            sent,
        })
    }

    /// `HOST:PORT` it listens on.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Writes what was sent so far to a directory, one file a connection.
    ///
    /// # Errors
    /// When a file can not be written.
    pub fn save(&self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory)?;
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, bytes) in sent.iter().enumerate() {
            std::fs::write(directory.join(number.to_string()), bytes)?;
        }
        Ok(())
    }
}

async fn serve(listener: TcpListener, server: String, sent: Sent) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, sent) = (server.clone(), Arc::clone(&sent));
        tokio::spawn(async move {
            // What breaks here, the client sees and the test asserts on.
            let _ = connect(client, &server, &sent).await;
        });
    }
}

async fn connect(client: TcpStream, server: &str, sent: &Sent) -> Result<()> {
    let server = TcpStream::connect(server).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers =
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let number = {
        let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push(Vec::new());
        sent.len() - 1
    };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from_client.read(&mut buffer).await?;
        let bytes = &buffer[..length];
        if bytes.is_empty() {
            break;
        }
        {
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent[number].extend_from_slice(bytes);
        }
        to_server.write_all(bytes).await?;
    }
    to_server.shutdown().await?;
    answers.await??;
    Ok(())
}
