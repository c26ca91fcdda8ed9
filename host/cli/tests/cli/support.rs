//! Runs the program in a directory of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// Reads `orders.json` into a table at the embedded server.
pub(crate) const ORDERS: &str = "\
source:
  type: file
  path: orders.json
  table: orders
sink:
  type: maxcompute
  endpoint: local
pipeline:
  name: orders
";

/// The program; its compiled component is cached for all tests.
pub(crate) fn longshore() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command
        .env(
            "LONGSHORE_CACHE_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("longshore-cache"),
        )
        .env_remove("LONGSHORE_LOG")
        .stdin(Stdio::null());
    for (variable, _) in std::env::vars() {
        // Keys and collectors of whoever runs the tests are none of theirs.
        if ["ALIBABA_CLOUD_", "ODPS_", "OTEL_"]
            .iter()
            .any(|prefix| variable.starts_with(prefix))
        {
            command.env_remove(variable);
        }
    }
    command
}

/// A directory with a pipeline.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A place with a pipeline definition and an input file.
    pub(crate) fn with(pipeline: &str, input: (&str, &str)) -> Self {
        let place = Self::new();
        place.write("pipeline.yaml", pipeline);
        place.write(input.0, input.1);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = longshore();
        command.args(args).current_dir(self.path());
        command
    }

    /// Runs `longshore` with these arguments.
    pub(crate) fn longshore(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// Runs the pipeline.
    pub(crate) fn run(&self) -> Ended {
        self.longshore(&["run", "pipeline.yaml"])
    }

    /// Rows of a table of the embedded server, as JSON.
    pub(crate) fn rows(&self, table: &str) -> serde_json::Value {
        let shown = self
            .longshore(&["local", "show", table, "--output", "json"])
            .expect(0);
        serde_json::from_str::<serde_json::Value>(&shown.stdout).unwrap()["rows"].clone()
    }

    /// Names and row counts of the embedded server's tables.
    pub(crate) fn tables(&self) -> Vec<(String, u64)> {
        tables_in(&self.data())
    }

    /// Asserts that the embedded server has no row.
    pub(crate) fn shows_nothing(&self) {
        let tables = self.tables();
        assert!(tables.iter().all(|(_, rows)| *rows == 0), "{tables:?}");
    }

    /// Files of the embedded server with rows that are uploaded but not visible.
    pub(crate) fn uploaded_files(&self) -> usize {
        let staging = self.data().join(".longshore").join("staging");
        std::fs::read_dir(staging).unwrap().count()
    }

    fn data(&self) -> PathBuf {
        self.path().join(".longshore").join("local")
    }
}

/// Names and row counts of the tables in a data directory that no server uses.
pub(crate) fn tables_in(data: &Path) -> Vec<(String, u64)> {
    let output = longshore()
        .args(["local", "tables", "--output", "json", "--data"])
        .arg(data)
        .output()
        .unwrap();
    let listed = Ended::of(output).expect(0);
    let tables: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let tables = tables.as_array().unwrap().iter();
    tables
        .map(|table| {
            (
                table["name"].as_str().unwrap().to_owned(),
                table["rows"].as_u64().unwrap(),
            )
        })
        .collect()
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts the exit code.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Asserts an error on one screen: the exit code, these texts, a place and what to do.
    pub(crate) fn fails(self, code: i32, texts: &[&str]) -> Self {
        self.expect(code)
            .says(texts)
            .says(&["\n   at: ", "\n help: "])
    }

    /// Asserts that stderr has all of these texts and fits one screen.
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.stderr.contains(text),
                "{text:?} is missing in {self:#?}"
            );
        }
        assert!(
            self.stderr.lines().count() <= 24,
            "more than a screen: {self:#?}"
        );
        self
    }
}

/// A local server, stopped when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) environment: Vec<(String, String)>,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(data: &Path, args: &[&str]) -> Self {
        let mut child = longshore()
            .args(["local", "--data", data.to_str().unwrap()])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let environment = (0..4)
            .map(|_| {
                let mut line = String::new();
                stdout.read_line(&mut line).unwrap();
                let (name, value) = line
                    .trim_end()
                    .split_once('=')
                    .unwrap_or_else(|| panic!("{line:?}"));
                (name.to_owned(), value.to_owned())
            })
            .collect();
        Self {
            child,
            environment,
            _stdout: stdout,
        }
    }

    pub(crate) fn variable(&self, name: &str) -> &str {
        let found = self
            .environment
            .iter()
            .find(|(variable, _)| variable == name);
        found.map(|(_, value)| value.as_str()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server in this process, whose project belongs to `owner` and may be read by `reader`.
pub(crate) struct Shared {
    runtime: tokio::runtime::Runtime,
    server: longshore_emulator::Server,
    data: tempfile::TempDir,
}

impl Shared {
    pub(crate) const OWNER: (&str, &str) = ("owner", "owners-secret");
    pub(crate) const READER: (&str, &str) = ("reader", "readers-secret");

    pub(crate) fn start() -> Self {
        Self::start_with(Vec::new())
    }

    /// As [`Shared::start`]; these bearer tokens may do everything.
    pub(crate) fn start_with(bearer_tokens: Vec<String>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let config = longshore_emulator::ServerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: data.path().to_owned(),
            project: "shop".into(),
            credentials: longshore_emulator::Auth::Required {
                access_id: Self::OWNER.0.into(),
                access_key: Self::OWNER.1.into(),
            },
            mode: longshore_emulator::Mode::Store,
        };
        let reader = longshore_emulator::server::Credential {
            access_id: Self::READER.0.into(),
            access_key: Self::READER.1.into(),
            security_token: None,
            permission: longshore_emulator::server::Permission::ReadOnly,
        };
        let options = longshore_emulator::ServerOptions {
            credentials: vec![reader],
            bearer_tokens,
            ..Default::default()
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime
            .block_on(longshore_emulator::Server::start_with(config, options))
            .unwrap();
        Self {
            runtime,
            server,
            data,
        }
    }

    /// Options of a sink that writes here with this key.
    pub(crate) fn options(&self, (id, key): (&str, &str)) -> String {
        let endpoint = self.endpoint();
        format!("endpoint: {endpoint}\n  project: shop\n  access-id: {id}\n  access-key: {key}")
    }

    pub(crate) fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// From now on this temporary key with this token may do everything, and no other may.
    pub(crate) fn accept_token(&self, (id, key): (&str, &str), token: &str) {
        let temporary = longshore_emulator::server::Credential {
            access_id: id.into(),
            access_key: key.into(),
            security_token: Some(token.into()),
            permission: longshore_emulator::server::Permission::Full,
        };
        self.server.state().replace_credentials(vec![temporary]);
    }

    /// Returns once a table is there.
    pub(crate) fn wait_for_table(&self, name: &str) {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(50);
        let database = self.server.state().store().database();
        while database.table("shop", "default", name).unwrap().is_none() {
            assert!(std::time::Instant::now() < until, "{name} was not made");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Stops the server: names and row counts of its tables.
    pub(crate) fn tables(self) -> Vec<(String, u64)> {
        self.runtime.block_on(self.server.shutdown());
        tables_in(self.data.path())
    }
}

/// A run that reads standard input, which the test holds open.
pub(crate) struct Feeding {
    pub(crate) child: Child,
}

impl Feeding {
    pub(crate) fn start(place: &Place, args: &[&str]) -> Self {
        let child = place
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child }
    }

    pub(crate) fn feed(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Reads stderr up to a line with this text, which is the answer.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        // Byte by byte, so that nothing after the line is taken.
        let stderr = self.child.stderr.as_mut().unwrap();
        let mut line = Vec::new();
        let mut byte = [0];
        while std::io::Read::read(stderr, &mut byte).unwrap() == 1 {
            line.push(byte[0]);
            if byte[0] == b'\n' {
                let found = String::from_utf8_lossy(&line);
                if found.contains(text) {
                    return found.into_owned();
                }
                line.clear();
            }
        }
        panic!("the program ended without saying {text:?}");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits, standard input left open.
    pub(crate) fn end_by_itself(mut self) -> Ended {
        let stdin = self.child.stdin.take();
        let ended = Ended::of(self.child.wait_with_output().unwrap());
        drop(stdin);
        ended
    }

    /// Closes standard input and waits.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        Ended::of(self.child.wait_with_output().unwrap())
    }
}
