//! A Python with Alibaba's client, for the demo.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::project::Project;
use crate::steps::{done, heading};

/// The versions of the tests' packages, of which the demo needs only some.
const VERSIONS: &str = "tests/conformance/python/requirements.txt";

/// The client, and what it needs for columns of type TIMESTAMP.
const PACKAGES: [&str; 2] = ["pyodps", "pandas"];

const HOME: &str = "demo-python";

const INSTALL_PYTHON: &str = "\
install Python 3.9 to 3.13 with its venv and pip (Debian, Ubuntu: apt-get install python3 python3-venv; \
Fedora: dnf install python3)";

const LET_PIP_INSTALL: &str = "\
let pip reach a package index, with a Python that its packages are built for (3.9 to 3.13)";

/// Either an interpreter that can import pyodps, or why there is none.
#[derive(Debug)]
pub(crate) enum Python {
    /// The interpreter.
    Ready(PathBuf),
    /// It can not be had on this machine as it is.
    Missing {
        /// What failed, with the output of what failed.
        why: String,
        /// What a person can do about it.
        remedy: &'static str,
    },
}

impl Python {
    /// Installs pyodps below the build directory unless it is there already.
    pub(crate) fn with_pyodps(project: &Project) -> Result<Self> {
        let versions = project.path(VERSIONS);
        let wanted =
            fs::read(&versions).with_context(|| format!("can not read {}", versions.display()))?;
        let home = project.target(HOME);
        let stamp = home.join("installed");
        let python = home.join("bin/python");
        if fs::read(&stamp).is_ok_and(|installed| installed == wanted) && finds_pyodps(&python) {
            return Ok(Self::Ready(python));
        }
        heading(&format!(
            "install {} into {} (once)",
            PACKAGES.join(" and "),
            project.shown(&home)
        ));
        let start = Instant::now();
        let made = create("python3", &home).and_then(|()| install(&python, &versions));
        if let Err(missing) = made {
            return Ok(missing);
        }
        fs::write(&stamp, wanted).with_context(|| format!("can not write {}", stamp.display()))?;
        done(start);
        Ok(Self::Ready(python))
    }
}

/// An environment does not survive that the Python it was made from is replaced by another version.
fn finds_pyodps(python: &Path) -> bool {
    let code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('odps') is None)";
    Command::new(python)
        .args(["-c", code])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn create(python: &str, home: &Path) -> Result<(), Python> {
    let mut command = Command::new(python);
    command.args(["-m", "venv", "--clear"]).arg(home);
    quietly(
        &mut command,
        &format!("{python} -m venv --clear {}", home.display()),
        INSTALL_PYTHON,
    )
}

fn install(python: &Path, versions: &Path) -> Result<(), Python> {
    let mut command = Command::new(python);
    command
        .args(["-m", "pip", "install", "--quiet"])
        .args(["--disable-pip-version-check", "--constraint"])
        .arg(versions)
        .args(PACKAGES);
    quietly(
        &mut command,
        &format!(
            "{} -m pip install --constraint {} {}",
            python.display(),
            versions.display(),
            PACKAGES.join(" ")
        ),
        LET_PIP_INSTALL,
    )
}

/// Shows what a program printed only if it fails.
fn quietly(command: &mut Command, shown: &str, remedy: &'static str) -> Result<(), Python> {
    let why = match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => {
            let printed = [output.stdout, output.stderr].concat();
            let printed = String::from_utf8_lossy(&printed);
            format!("`{shown}` failed:\n{}", printed.trim())
        }
        Err(error) => format!("`{shown}` can not be started: {error}"),
    };
    Err(Python::Missing { why, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(outcome: Result<(), Python>) -> (String, &'static str) {
        match outcome {
            Err(Python::Missing { why, remedy }) => (why, remedy),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_python_it_says_what_to_install() {
        let home = Path::new("/nowhere");
        let (why, remedy) = missing(create("/nowhere/python3", home));
        assert!(why.contains("/nowhere/python3 -m venv"), "{why}");
        assert!(remedy.contains("python3-venv"), "{remedy}");
    }

    #[test]
    fn what_a_failing_program_printed_is_shown() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo ensurepip is not available; exit 1"]);
        let (why, _) = missing(quietly(&mut command, "python3 -m venv", INSTALL_PYTHON));
        assert_eq!(why, "`python3 -m venv` failed:\nensurepip is not available");
    }
}
