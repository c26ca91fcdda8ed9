//! A listener in front of a server that holds the first commit, so that a kill can hit exactly there.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result};

/// How long to wait for a commit.
const LIMIT: Duration = Duration::from_secs(60);

/// What of a commit is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The request: the server learns nothing of it.
    Request,
    /// The answer: the server has committed, the client does not know.
    Answer,
}

/// Hands bytes on in both directions, except commits.
#[derive(Debug)]
pub struct Gate {
    authority: String,
    closed: Arc<AtomicBool>,
    caught: Receiver<()>,
}

/// What the threads of a gate share.
#[derive(Clone)]
struct Guard {
    held: Held,
    closed: Arc<AtomicBool>,
    caught: Sender<()>,
}

impl Gate {
    /// Listens on a free port in front of `server` (`HOST:PORT`), for as long as the process lives.
    ///
    /// # Errors
    /// When no port is free.
    pub fn before(server: &str, held: Held) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let authority = listener.local_addr()?.to_string();
        let closed = Arc::new(AtomicBool::new(true));
        let (sender, caught) = channel();
        let guard = Guard {
            held,
            closed: Arc::clone(&closed),
            caught: sender,
        };
        let server = server.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (guard, server) = (guard.clone(), server.clone());
                std::thread::spawn(move || {
                    // What breaks here, the client sees and the test asserts on.
                    let _ = guard.connect(client, &server);
                });
            }
        });
        Ok(Self {
            authority,
            closed,
            caught,
        })
    }

    /// `HOST:PORT` it listens on.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Waits until something is held.
    ///
    /// # Errors
    /// When nothing comes.
    pub fn wait(&self) -> Result<()> {
        let caught = self.caught.recv_timeout(LIMIT);
        caught.context("no commit came through the gate")
    }

    /// Holds nothing from now on.
    pub fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }
}

impl Guard {
    fn connect(&self, mut client: TcpStream, server: &str) -> std::io::Result<()> {
        let mut server = TcpStream::connect(server)?;
        let answer_held = Arc::new(AtomicBool::new(false));
        let answers = {
            let (guard, held) = (self.clone(), Arc::clone(&answer_held));
            let (from, to) = (server.try_clone()?, client.try_clone()?);
            std::thread::spawn(move || guard.answers(from, to, &held))
        };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = client.read(&mut buffer)?;
            let bytes = &buffer[..length];
            if bytes.is_empty() {
                break;
            }
            // A request without a body begins where what was read begins.
            if self.closed.load(Ordering::SeqCst) && is_commit(bytes) {
                match self.held {
                    Held::Answer => answer_held.store(true, Ordering::SeqCst),
                    Held::Request => {
                        let _ = self.caught.send(());
                        continue;
                    }
                }
            }
            server.write_all(bytes)?;
        }
        server.shutdown(Shutdown::Write)?;
        let _ = answers.join();
        Ok(())
    }

    fn answers(
        &self,
        mut from: TcpStream,
        mut to: TcpStream,
        held: &AtomicBool,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = from.read(&mut buffer)?;
            if length == 0 {
                return to.shutdown(Shutdown::Write);
            }
            if held.load(Ordering::SeqCst) {
                let _ = self.caught.send(());
                continue;
            }
            to.write_all(&buffer[..length])?;
        }
    }
}

/// `POST …?uploadid=…` or `POST …/upserts?upsertid=…`.
fn is_commit(request: &[u8]) -> bool {
    let line = request.split(|byte| *byte == b'\r').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    line.starts_with("POST ") && (line.contains("uploadid=") || line.contains("upsertid="))
}

#[cfg(test)]
mod tests {
    use super::is_commit;

    #[test]
    fn commits_are_told_from_what_comes_before_them() {
        assert!(is_commit(
            b"POST /api/projects/p/tables/t?uploadid=1 HTTP/1.1\r\nHost: h\r\n\r\n"
        ));
        assert!(is_commit(
            b"POST /api/projects/p/tables/t/upserts?upsertid=1 HTTP/1.1\r\n\r\n"
        ));
        for other in [
            "POST /api/projects/p/tables/t?uploads HTTP/1.1\r\n\r\n",
            "PUT /api/projects/p/tables/t?uploadid=1&blockid=0 HTTP/1.1\r\n\r\n",
            "GET /api/projects/p/tables/t?uploadid=1 HTTP/1.1\r\n\r\n",
        ] {
            assert!(!is_commit(other.as_bytes()), "{other}");
        }
    }
}
