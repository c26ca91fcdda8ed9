//! `longshore local` as a process of its own, so that it can be killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{Run, longshore, signal};

/// A running local server; killed when dropped.
#[derive(Debug)]
pub struct LocalServer {
    child: Child,
    data: PathBuf,
    environment: Vec<(String, String)>,
}

impl LocalServer {
    /// Starts a server over a data directory on a free port.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(data: &Path) -> Result<Self> {
        Self::listen(data, "127.0.0.1:0", &[])
    }

    /// Starts a server at a given address, with further arguments.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn listen(data: &Path, address: &str, arguments: &[&str]) -> Result<Self> {
        Self::spawn(data, address, arguments, Stdio::inherit())
    }

    /// The same; what it says to people goes to the end of a file.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn listen_logged(
        data: &Path,
        address: &str,
        arguments: &[&str],
        log: &Path,
    ) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        Self::spawn(data, address, arguments, log.into())
    }

    fn spawn(data: &Path, address: &str, arguments: &[&str], stderr: Stdio) -> Result<Self> {
        let data_text = data.to_str().context("the data directory is UTF-8")?;
        let mut child = longshore(&["local", "--listen", address, "--data", data_text])?
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .context("can not start `longshore local`")?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut environment = Vec::new();
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            let assignment = line.strip_prefix("export ").unwrap_or(&line);
            if let Some((name, value)) = assignment.split_once('=') {
                environment.push((name.to_owned(), value.trim_matches(['\'', '"']).to_owned()));
            }
            if environment.len() == 4 {
                return Ok(Self {
                    child,
                    data: data.to_path_buf(),
                    environment,
                });
            }
        }
        let status = child.wait()?;
        bail!("`longshore local` ended with {status} before it was ready")
    }

    /// `ODPS_ENDPOINT`, `ODPS_PROJECT`, `ODPS_ACCESS_ID` and `ODPS_ACCESS_KEY` with their values.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// One of the four values.
    ///
    /// # Errors
    /// When the server did not print it.
    pub fn value(&self, name: &str) -> Result<&str> {
        self.environment()
            .find_map(|(key, value)| (key == name).then_some(value))
            .with_context(|| format!("the server printed no {name}"))
    }

    /// The start of a definition's `sink` block that leads to this server; options may follow.
    ///
    /// # Errors
    /// When the server did not print where it is.
    pub fn sink(&self) -> Result<String> {
        self.sink_behind(self.value("ODPS_ENDPOINT")?)
    }

    /// The same for something that stands before the server, at another endpoint.
    ///
    /// # Errors
    /// When the server did not print its key.
    pub fn sink_behind(&self, endpoint: &str) -> Result<String> {
        Ok(format!(
            "sink:\n  type: maxcompute\n  endpoint: {endpoint}\n  project: {}\n  access-id: {}\n  access-key: {}\n",
            self.value("ODPS_PROJECT")?,
            self.value("ODPS_ACCESS_ID")?,
            self.value("ODPS_ACCESS_KEY")?,
        ))
    }

    /// What `longshore local` with these arguments tells of the running server.
    ///
    /// # Errors
    /// When the command fails.
    pub fn inspect(&self, arguments: &[&str]) -> Result<Value> {
        let endpoint = self.value("ODPS_ENDPOINT")?;
        let mut command = longshore(&["local"])?;
        command
            .args(arguments)
            .args(["--output", "json", "--endpoint", endpoint]);
        Ok(serde_json::from_str(
            &Run::of(&mut command)?.success()?.stdout,
        )?)
    }

    /// A call of the running server's administration, which the service has not: `GET status`,
    /// `POST traffic`.
    ///
    /// # Errors
    /// When it does not answer with JSON.
    pub fn administer(&self, method: &str, what: &str) -> Result<Value> {
        self.administer_with(method, what, "")
    }

    /// Adds faults to those the server has: rules as its `FAULTS.md` tells them.
    ///
    /// # Errors
    /// When the server does not understand them.
    pub fn add_faults(&self, rules: &str) -> Result<()> {
        let report = self.administer_with("POST", "faults", rules)?;
        anyhow::ensure!(report.is_array(), "the server refused the faults: {report}");
        Ok(())
    }

    /// Calls that each rule for faults has matched and changed, in the order of the rules.
    ///
    /// # Errors
    /// When the server does not tell.
    pub fn fault_counts(&self) -> Result<Vec<(u64, u64)>> {
        let report = self.administer("GET", "faults")?;
        let rules = report.as_array().context("the rules are a list")?;
        let count = |rule: &Value, key: &str| rule[key].as_u64().context("a rule has counts");
        let both = |rule| Ok((count(rule, "matched")?, count(rule, "fired")?));
        rules.iter().map(both).collect()
    }

    fn administer_with(&self, method: &str, what: &str, body: &str) -> Result<Value> {
        let address = self.address()?;
        let mut connection = TcpStream::connect(&address)?;
        write!(
            connection,
            "{method} /_longshore/{what} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let (_, body) = answer
            .split_once("\r\n\r\n")
            .with_context(|| format!("the server answered {answer:?}"))?;
        serde_json::from_str(body).with_context(|| format!("the server answered {answer:?}"))
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// `HOST:PORT` it listens on.
    ///
    /// # Errors
    /// When it printed no endpoint.
    pub fn address(&self) -> Result<String> {
        let endpoint = self.value("ODPS_ENDPOINT")?;
        let rest = endpoint
            .strip_prefix("http://")
            .context("the endpoint is plain http")?;
        Ok(rest.split('/').next().unwrap_or(rest).to_owned())
    }

    /// Ends the process as a power cut would, and starts it again on the same port and data.
    ///
    /// # Errors
    /// When it does not come up again.
    pub fn kill_and_restart(mut self) -> Result<Self> {
        let address = self.address()?;
        let id = self.value("ODPS_ACCESS_ID")?.to_owned();
        let key = self.value("ODPS_ACCESS_KEY")?.to_owned();
        self.kill()?;
        Self::listen(
            &self.data,
            &address,
            &["--access-id", &id, "--access-key", &key],
        )
    }

    /// Sends the process a signal by its name, like `-STOP`.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn signal(&self, name: &str) -> Result<()> {
        signal(self.child.id(), name)
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        // An error means it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
