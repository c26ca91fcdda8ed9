//! Signals to processes.

use std::process::Command;

use anyhow::{Result, ensure};

/// Sends the process of this id a signal by its name, like `-STOP`.
///
/// # Errors
/// When there is no such process any more.
pub fn signal(process: u32, name: &str) -> Result<()> {
    let status = Command::new("kill")
        .args([name, &process.to_string()])
        .status()?;
    ensure!(status.success(), "kill {name}: {status}");
    Ok(())
}
