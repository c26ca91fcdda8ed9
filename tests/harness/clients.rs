//! The official clients, unmodified, each installed once into the target directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::{LocalServer, Run, workspace};

/// A client that writes and reads tables from the command line.
pub trait Client {
    /// The command with everything but its arguments.
    ///
    /// # Errors
    /// When the client can not be installed.
    fn command(&self) -> Result<Command>;

    /// Runs the client against a server and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with its output.
    fn call(&self, server: &LocalServer, arguments: &[&str]) -> Result<String> {
        let mut command = self.command()?;
        command.args(arguments).envs(server.environment());
        let run = Run::of(&mut command)?;
        let shown = arguments.join(" ");
        Ok(run
            .success()
            .with_context(|| format!("client call `{shown}`"))?
            .stdout)
    }
}

/// pyodps from PyPI.
#[derive(Debug, Clone, Copy)]
pub struct Pyodps;

/// The Java SDK from Maven Central.
#[derive(Debug, Clone, Copy)]
pub struct JavaSdk;

static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
static CLASS_PATH: OnceLock<Result<String, String>> = OnceLock::new();

impl Pyodps {
    /// A Python interpreter with pyodps, pyarrow and pandas.
    ///
    /// # Errors
    /// When they can not be installed, with what to install by hand.
    pub fn python() -> Result<PathBuf> {
        cached(&PYTHON, || {
            let source = workspace().join("tests/conformance/python/requirements.txt");
            let home = workspace().join("target/conformance/python");
            let python = home.join("bin/python");
            if !up_to_date(&home, &source)? {
                tool(
                    "python3",
                    &["-m", "venv", "--clear", path(&home)?],
                    "install python3 and python3-venv",
                )?;
                let install = [
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "-r",
                    path(&source)?,
                ];
                tool(
                    path(&python)?,
                    &install,
                    "check that pip reaches a package index",
                )?;
                stamp(&home, &source)?;
            }
            Ok(python)
        })
    }
}

impl Client for Pyodps {
    fn command(&self) -> Result<Command> {
        let mut command = Command::new(Self::python()?);
        command.arg(workspace().join("tests/conformance/python/client.py"));
        Ok(command)
    }
}

impl JavaSdk {
    fn class_path() -> Result<String> {
        cached(&CLASS_PATH, || {
            let source = workspace().join("tests/conformance/java");
            let home = workspace().join("target/conformance/java");
            let jars = home.join("jars");
            let classes = home.join("classes");
            let pom = source.join("pom.xml");
            if !up_to_date(&home, &pom)? {
                let output = format!("-DoutputDirectory={}", path(&jars)?);
                let install = [
                    "-q",
                    "-B",
                    "-f",
                    path(&pom)?,
                    "dependency:copy-dependencies",
                    &output,
                ];
                tool(
                    "mvn",
                    &install,
                    "install Maven (Debian: maven) and a JDK 17 (openjdk-17-jdk-headless)",
                )?;
                stamp(&home, &pom)?;
            }
            let class_path = format!("{}/*:{}", path(&jars)?, path(&classes)?);
            let client = source.join("src/main/java/Client.java");
            std::fs::create_dir_all(&classes)?;
            let compile = [
                "-nowarn",
                "-d",
                path(&classes)?,
                "-cp",
                &class_path,
                path(&client)?,
            ];
            tool(
                "javac",
                &compile,
                "install a JDK 17 (Debian: openjdk-17-jdk-headless)",
            )?;
            Ok(class_path)
        })
    }
}

impl Client for JavaSdk {
    fn command(&self) -> Result<Command> {
        let mut command = Command::new("java");
        command.args([
            "-Xmx512m",
            "--add-opens=java.base/java.nio=ALL-UNNAMED",
            "-cp",
            &Self::class_path()?,
            "Client",
        ]);
        Ok(command)
    }
}

fn cached<T: Clone>(
    cell: &OnceLock<Result<T, String>>,
    make: impl FnOnce() -> Result<T>,
) -> Result<T> {
    match cell.get_or_init(|| make().map_err(|error| format!("{error:#}"))) {
        Ok(value) => Ok(value.clone()),
        Err(error) => bail!("{error}"),
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}

/// An installation is kept as long as the file that lists its packages stays as it was.
fn up_to_date(home: &Path, source: &Path) -> Result<bool> {
    let installed = std::fs::read(home.join("installed")).ok();
    Ok(installed == Some(std::fs::read(source)?))
}

fn stamp(home: &Path, source: &Path) -> Result<()> {
    std::fs::copy(source, home.join("installed"))?;
    Ok(())
}

fn tool(program: &str, arguments: &[&str], remedy: &str) -> Result<()> {
    let run = Run::of(Command::new(program).args(arguments))
        .with_context(|| format!("needs `{program}`: {remedy}"))?;
    run.success()
        .with_context(|| format!("`{program} {}` failed: {remedy}", arguments.join(" ")))?;
    Ok(())
}
