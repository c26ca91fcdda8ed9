//! The binary under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// The workspace's root directory.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// Path of the `longshore` binary that cargo built beside this test.
///
/// # Errors
/// When it is not there, with the command that builds it.
pub fn binary() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let directory = program.parent().context("a program lies in a directory")?;
    // Tests lie in target/PROFILE/deps, the benchmark beside the binary.
    let profile = match directory.file_name() {
        Some(name) if name == "deps" => directory.parent().unwrap_or(directory),
        _ => directory,
    };
    let path = profile.join("longshore");
    if !path.is_file() {
        bail!(
            "{} does not exist; run `cargo xtask test`, or `cargo xtask build` first",
            path.display()
        );
    }
    Ok(path)
}

/// A command line of the binary, without colours and with a compile cache shared by all tests.
///
/// # Errors
/// When the binary is not built.
pub fn longshore(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command
        .args(arguments)
        .env("NO_COLOR", "1")
        .env("LONGSHORE_CACHE_DIR", workspace().join("target/test-cache"));
    Ok(command)
}

/// A finished run of the binary.
#[derive(Debug)]
pub struct Run {
    /// Exit code; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it can not be started.
    pub fn of(command: &mut Command) -> Result<Self> {
        let Output {
            status,
            stdout,
            stderr,
        } = command
            .output()
            .with_context(|| format!("can not start {command:?}"))?;
        Ok(Self {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }

    /// The run, when it exited with 0.
    ///
    /// # Errors
    /// Otherwise, with what it printed.
    pub fn success(self) -> Result<Self> {
        match self.code {
            0 => Ok(self),
            code => bail!(
                "exit code {code}\nstdout:\n{}\nstderr:\n{}",
                self.stdout,
                self.stderr
            ),
        }
    }
}
