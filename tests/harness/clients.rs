//! The official clients, unmodified, each installed once into the target directory.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::{LocalServer, Run, workspace};

/// A client that writes and reads tables on request.
pub trait Client {
    /// The command that starts a process which serves requests.
    ///
    /// # Errors
    /// When the client can not be installed.
    fn command(&self) -> Result<Command>;

    /// Processes that wait for a request: starting one takes longer than most requests.
    fn idle(&self) -> &'static Mutex<Vec<Process>>;

    /// Has the client do something at a server and returns what it answers.
    ///
    /// # Errors
    /// When it fails, with its own words.
    fn call(&self, server: &LocalServer, arguments: &[&str]) -> Result<String> {
        self.call_with_key(server, server.value("ODPS_ACCESS_KEY")?, arguments)
    }

    /// The same with another access key.
    ///
    /// # Errors
    /// When it fails, with its own words.
    fn call_with_key(
        &self,
        server: &LocalServer,
        access_key: &str,
        arguments: &[&str],
    ) -> Result<String> {
        let mut environment: Map<String, Value> = server
            .environment()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        environment.insert("ODPS_ACCESS_KEY".to_owned(), access_key.into());
        let request = json!({ "environment": environment, "arguments": arguments });

        let waiting = lock(self.idle()).pop();
        let mut process = match waiting {
            Some(process) => process,
            None => Process::start(self.command()?)?,
        };
        let answer = process.ask(&request)?;
        lock(self.idle()).push(process);
        match (answer["output"].as_str(), answer["error"].as_str()) {
            (Some(output), _) => Ok(output.to_owned()),
            (None, Some(error)) => bail!("client call `{}`: {error}", arguments.join(" ")),
            (None, None) => bail!("the client answered {answer}"),
        }
    }
}

/// A client's process; ends when its standard input is closed, at the latest with the tests.
#[derive(Debug)]
pub struct Process {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("can not start {command:?}"))?;
        let requests = child.stdin.take().context("stdin is piped")?;
        let answers = BufReader::new(child.stdout.take().context("stdout is piped")?);
        Ok(Self {
            child,
            requests,
            answers,
        })
    }

    fn ask(&mut self, request: &Value) -> Result<Value> {
        writeln!(self.requests, "{request}")?;
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            let status = self.child.wait()?;
            bail!("the client ended with {status} at {request}");
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside stays sound: nothing panics while it is changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// pyodps from PyPI.
#[derive(Debug, Clone, Copy)]
pub struct Pyodps;

/// The Java SDK from Maven Central.
#[derive(Debug, Clone, Copy)]
pub struct JavaSdk;

/// The Go SDK from the Go proxy.
#[derive(Debug, Clone, Copy)]
pub struct GoSdk;

static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
static CLASS_PATH: OnceLock<Result<String, String>> = OnceLock::new();

impl Pyodps {
    /// Runs one of the scripts beside the client, in the same Python, and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with its output.
    pub fn script(name: &str, arguments: &[&Path], environment: &[(&str, &str)]) -> Result<String> {
        let script = workspace().join("tests/conformance/python").join(name);
        let mut command = Command::new(Self::python()?);
        command
            .arg(script)
            .args(arguments)
            .envs(environment.iter().copied());
        Ok(Run::of(&mut command)?
            .success()
            .with_context(|| name.to_owned())?
            .stdout)
    }

    /// A Python interpreter with pyodps, pyarrow, pandas and DuckDB.
    ///
    /// # Errors
    /// When they can not be installed, with what to install by hand.
    pub fn python() -> Result<PathBuf> {
        cached(&PYTHON, || {
            let source = workspace().join("tests/conformance/python/requirements.txt");
            let home = workspace().join("target/conformance/python");
            let python = home.join("bin/python");
            if !up_to_date(&home, &[&source])? {
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
                stamp(&home, &[&source])?;
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

    fn idle(&self) -> &'static Mutex<Vec<Process>> {
        static IDLE: Mutex<Vec<Process>> = Mutex::new(Vec::new());
        &IDLE
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
            if !up_to_date(&home, &[&pom])? {
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
                stamp(&home, &[&pom])?;
            }
            let class_path = format!("{}/*:{}", path(&jars)?, path(&classes)?);
            let client = source.join("src/main/java/Client.java");
            let values = source.join("src/main/java/ArrowValues.java");
            let sources = [pom.as_path(), &client, &values];
            if !up_to_date(&classes, &sources)? {
                std::fs::create_dir_all(&classes)?;
                let compile = [
                    "-nowarn",
                    "-d",
                    path(&classes)?,
                    "-cp",
                    &class_path,
                    path(&client)?,
                    path(&values)?,
                ];
                tool(
                    "javac",
                    &compile,
                    "install a JDK 17 (Debian: openjdk-17-jdk-headless)",
                )?;
                stamp(&classes, &sources)?;
            }
            Ok(class_path)
        })
    }
}

impl JavaSdk {
    /// Compiles one more program against the SDK; the class path to run it with.
    ///
    /// # Errors
    /// When the SDK can not be installed, or the program not be compiled.
    pub fn compile(source: &Path) -> Result<String> {
        let sdk = Self::class_path()?;
        let name = source.file_stem().context("the source has a name")?;
        let classes = workspace()
            .join("target/conformance/java-programs")
            .join(name);
        if !up_to_date(&classes, &[source])? {
            std::fs::create_dir_all(&classes)?;
            let compile = ["-nowarn", "-d", path(&classes)?, "-cp", &sdk, path(source)?];
            tool(
                "javac",
                &compile,
                "install a JDK 17 (Debian: openjdk-17-jdk-headless)",
            )?;
            stamp(&classes, &[source])?;
        }
        Ok(format!("{sdk}:{}", path(&classes)?))
    }

    /// The command that runs a class.
    #[must_use]
    pub fn java(class_path: &str, class: &str) -> Command {
        let mut command = Command::new("java");
        command.args([
            "-Xmx512m",
            "--add-opens=java.base/java.nio=ALL-UNNAMED",
            "-cp",
            class_path,
            class,
        ]);
        command
    }
}

impl GoSdk {
    /// Compiles a program against the SDK, of which its `go.mod` says the version.
    ///
    /// # Errors
    /// When it can not be compiled.
    pub fn build(source: &Path) -> Result<PathBuf> {
        let name = source.file_name().context("the source has a name")?;
        let program = workspace().join("target/conformance/go").join(name);
        let build = ["build", "-C", path(source)?, "-o", path(&program)?, "."];
        tool("go", &build, "install Go 1.21 or later")?;
        Ok(program)
    }
}

impl Client for JavaSdk {
    fn command(&self) -> Result<Command> {
        Ok(Self::java(&Self::class_path()?, "Client"))
    }

    fn idle(&self) -> &'static Mutex<Vec<Process>> {
        static IDLE: Mutex<Vec<Process>> = Mutex::new(Vec::new());
        &IDLE
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

/// What is installed in `home` is kept as long as the files that say what stay as they were.
fn up_to_date(home: &Path, sources: &[&Path]) -> Result<bool> {
    let installed = std::fs::read(home.join("installed")).ok();
    Ok(installed == Some(contents(sources)?))
}

fn stamp(home: &Path, sources: &[&Path]) -> Result<()> {
    std::fs::write(home.join("installed"), contents(sources)?)?;
    Ok(())
}

fn contents(sources: &[&Path]) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for source in sources {
        all.extend(std::fs::read(source).with_context(|| source.display().to_string())?);
    }
    Ok(all)
}

fn tool(program: &str, arguments: &[&str], remedy: &str) -> Result<()> {
    let run = Run::of(Command::new(program).args(arguments))
        .with_context(|| format!("needs `{program}`: {remedy}"))?;
    run.success()
        .with_context(|| format!("`{program} {}` failed: {remedy}", arguments.join(" ")))?;
    Ok(())
}
