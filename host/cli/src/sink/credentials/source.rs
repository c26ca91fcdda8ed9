//! Sources of keys that change: commands and files.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use longshore_runtime::{Credential, CredentialSource};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::document;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest text of a command or file, in bytes.
const MAX_BYTES: u64 = 64 << 10;
/// Characters of a failed command's standard error that are shown.
const SHOWN: usize = 300;
/// How often a file that tells no expiration is read.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// A shell command that prints a key.
pub(super) struct CommandSource {
    command: String,
    directory: PathBuf,
}

impl CommandSource {
    pub(super) fn new(command: &str, directory: &Path) -> Self {
        let here = Path::new(".");
        Self {
            command: command.to_owned(),
            directory: if directory.as_os_str().is_empty() {
                here
            } else {
                directory
            }
            .to_owned(),
        }
    }

    async fn output(&self) -> Result<Vec<u8>, String> {
        let mut child = Command::new("sh")
            .args(["-c", &self.command])
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("the command does not start: {error}"))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err("the command has no output".into());
        };
        let (mut output, mut complaint) = (Vec::new(), Vec::new());
        let (mut stdout, mut stderr) = (stdout.take(MAX_BYTES + 1), stderr.take(MAX_BYTES));
        let (read, _, ended) = tokio::join!(
            stdout.read_to_end(&mut output),
            stderr.read_to_end(&mut complaint),
            child.wait()
        );
        read.map_err(|error| format!("its output can not be read: {error}"))?;
        let status = ended.map_err(|error| format!("the command was lost: {error}"))?;
        if !status.success() {
            let complaint: String = String::from_utf8_lossy(&complaint)
                .trim()
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(SHOWN)
                .collect();
            return Err(format!("the command ended with {status}: {complaint}"));
        }
        Ok(output)
    }
}

#[async_trait]
impl CredentialSource for CommandSource {
    async fn fetch(&self) -> Result<Credential, String> {
        let output = tokio::time::timeout(PATIENCE, self.output())
            .await
            .map_err(|_| {
                format!(
                    "the command did not end within {} seconds",
                    PATIENCE.as_secs()
                )
            })??;
        document::parse(&bounded(output)?).map(|key| key.credential)
    }
}

/// A file with a key.
pub(super) struct FileSource {
    path: PathBuf,
}

impl FileSource {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

#[async_trait]
impl CredentialSource for FileSource {
    async fn fetch(&self) -> Result<Credential, String> {
        let key = document::parse(&read(&self.path).await?)
            .map_err(|reason| format!("{}: {reason}", self.path.display()))?;
        Ok(match key.expires_at {
            Some(_) => key.credential,
            None => key.credential.renewed_at(SystemTime::now() + READ_AGAIN),
        })
    }
}

/// A file with a bearer token.
pub(super) struct BearerFile {
    path: PathBuf,
}

impl BearerFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

#[async_trait]
impl CredentialSource for BearerFile {
    async fn fetch(&self) -> Result<Credential, String> {
        let bytes = read(&self.path).await?;
        let token = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        if token.is_empty() || token.chars().any(|c| !c.is_ascii_graphic()) {
            return Err(format!("{} holds no token", self.path.display()));
        }
        Ok(super::bearer(token.to_owned()).renewed_at(SystemTime::now() + READ_AGAIN))
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{} can not be read: {error}", path.display());
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(failed)?;
    bounded(bytes)
}

fn bounded(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("there is more of it than {} KiB", MAX_BYTES >> 10));
    }
    Ok(bytes)
}
