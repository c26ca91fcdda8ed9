//! The demo's last part: Alibaba's own Python client reads what was unloaded.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::project::Project;
use crate::python::Python;
use crate::steps::{Step, heading};

/// Serves a data directory and lets `read.py` of the quickstart print what it finds there.
///
/// A machine without Python leaves this part out, and is told what to install.
pub(crate) fn read_back(project: &Project, demo: &Path, data: &Path) -> Result<()> {
    let python = match Python::with_pyodps(project)? {
        Python::Ready(python) => python,
        Python::Missing { why, remedy } => {
            heading("left out: reading back with pyodps, Alibaba's Python client");
            eprintln!("    {}", why.replace('\n', "\n    "));
            eprintln!("    to see it, {remedy}; then run `cargo xtask demo` again");
            return Ok(());
        }
    };
    let log = demo.join("local.log");
    let server = Server::start(project, data, &log)?;
    let script = project.shown(&demo.join("read.py"));
    Step::program(project, python.as_os_str(), &[&script])
        .connected(&server.environment)
        .run()
        .with_context(|| {
            format!(
                "pyodps could not read from `{}` (its log: {})",
                serve_command(project, data),
                project.shown(&log)
            )
        })
}

/// The command that serves a data directory.
pub(crate) fn serve_command(project: &Project, data: &Path) -> String {
    format!(
        "{} local --data {}",
        project.shown(&project.binary()),
        project.shown(data)
    )
}

/// `longshore local`, for as long as this lives.
#[derive(Debug)]
struct Server {
    child: Child,
    /// `ODPS_*` variables with their values.
    environment: Vec<(String, String)>,
}

impl Server {
    fn start(project: &Project, data: &Path, log: &Path) -> Result<Self> {
        heading(&serve_command(project, data));
        let stderr =
            File::create(log).with_context(|| format!("can not write {}", log.display()))?;
        let mut child = Command::new(project.binary())
            .arg("local")
            .arg("--data")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("can not start {}", project.shown(&project.binary())))?;
        let stdout = child.stdout.take();
        // From here on dropping it ends the process.
        let mut server = Self {
            child,
            environment: Vec::new(),
        };
        let lines = BufReader::new(stdout.context("the server has no standard output")?).lines();
        for line in lines {
            server.environment.extend(assignment(&line?));
            if server.environment.len() == 4 {
                return Ok(server);
            }
        }
        bail!(
            "the local server ended before it was ready:\n{}",
            fs::read_to_string(log).unwrap_or_default()
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What the server has answered is on disk, so it needs no farewell. An error means that it
        // has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `NAME=VALUE` as the server prints it for a shell.
fn assignment(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let value = match value
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
    {
        Some(quoted) => quoted.replace(r"'\''", "'"),
        None => value.to_owned(),
    };
    Some((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_for_a_shell_is_understood() {
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(
            assignment("ODPS_ENDPOINT=http://127.0.0.1:1/api"),
            pair("ODPS_ENDPOINT", "http://127.0.0.1:1/api")
        );
        assert_eq!(assignment(r"K='a b'\''='"), pair("K", "a b'="));
        assert_eq!(assignment(""), None);
    }
}
