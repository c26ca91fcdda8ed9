//! How fast the server takes rows that cost nothing to make: bodies encoded beforehand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use longshore_bench_guest::{COMPRESSIONS, Work};
use longshore_bench_rows::Shape;
use longshore_tests::LocalServer;
use serde_json::Value;

use crate::longshore::{Target, command};
use crate::measure;

/// Connections at once: as many as the sink's own uploads.
const CONNECTIONS: u64 = 4;

/// A rate of the server.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Ceiling {
    pub(crate) compression: &'static str,
    pub(crate) rows_per_second: f64,
    pub(crate) connections: u64,
}

/// Replays one encoded block of narrow rows until about `rows` are sent.
pub(crate) fn measure(directory: &Path, rows: u64) -> Result<Vec<Ceiling>> {
    // The same server, but for signatures: they are not made beforehand.
    let server = LocalServer::listen(
        &directory.join("ceiling"),
        "127.0.0.1:0",
        &["--discard", "--no-auth"],
    )?;
    let target = Target {
        shape: Shape::Narrow,
        delta: false,
        compression: "zlib",
        one_row: false,
    };
    // Creates the table.
    measure::run(&command(directory, &server, target)?, rows, &server)?;
    ["zlib", "snappy"]
        .into_iter()
        .map(|compression| replay(&server, target.table(), compression, rows))
        .collect()
}

fn replay(
    server: &LocalServer,
    table: &str,
    compression: &'static str,
    rows: u64,
) -> Result<Ceiling> {
    let number = COMPRESSIONS
        .iter()
        .position(|(name, _)| *name == compression)
        .context("the compression has a number")?;
    let (_, codec) = COMPRESSIONS.get(number).context("just found")?;
    let mut work = Work::new(false, number).context("the rows can be made")?;
    work.block().context("the rows can be encoded")?;
    let body = work.body();
    let encoding = codec.content_encoding().context("bodies are compressed")?;

    let address = server.address()?;
    let path = format!("/projects/{}/tables/{table}", server.value("ODPS_PROJECT")?);
    let mut control = Connection::open(&address)?;
    let session = control.call("POST", &format!("{path}?uploads"), "", &[])?;
    let session: Value = serde_json::from_slice(&session)?;
    let id = session["UploadID"]
        .as_str()
        .with_context(|| format!("an upload id in {session}"))?;
    let pool = Shape::Narrow.pool_rows();
    let blocks = rows.div_ceil(pool).max(CONNECTIONS);
    let header = format!("Content-Encoding: {encoding}\r\n");
    let start = Instant::now();
    thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|first| {
                let (address, path, header) = (&address, &path, &header);
                scope.spawn(move || -> Result<()> {
                    let mut connection = Connection::open(address)?;
                    for block in (first..blocks).step_by(CONNECTIONS as usize) {
                        let path = format!("{path}?uploadid={id}&blockid={block}");
                        connection.call("PUT", &path, header, body)?;
                    }
                    Ok(())
                })
            })
            .collect();
        senders.into_iter().try_for_each(|sender| {
            sender
                .join()
                .map_err(|_| anyhow::anyhow!("a sender panicked"))?
        })
    })?;
    Ok(Ceiling {
        compression,
        rows_per_second: (blocks * pool) as f64 / start.elapsed().as_secs_f64(),
        connections: CONNECTIONS,
    })
}

/// As little of HTTP as the replay needs.
struct Connection {
    stream: BufReader<TcpStream>,
    address: String,
}

impl Connection {
    fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            address: address.to_owned(),
        })
    }

    /// The body of the answer, which must be a success.
    fn call(&mut self, method: &str, path: &str, header: &str, body: &[u8]) -> Result<Vec<u8>> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nx-odps-tunnel-version: 5\r\n{header}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut status = String::new();
        self.stream.read_line(&mut status)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            if line.trim_end().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        ensure!(
            status.contains(" 200 ") || status.contains(" 201 "),
            "{method} {path}: {}{}",
            status.trim_end(),
            String::from_utf8_lossy(&answer)
        );
        Ok(answer)
    }
}
