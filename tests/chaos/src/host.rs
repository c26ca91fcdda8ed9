//! `longshore run` as a process that can be killed.

use std::fs::File;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::Result;
use longshore_tests::longshore;

/// How often a process is asked whether it has ended. Kills are as exact as this.
const POLL: Duration = Duration::from_micros(500);

/// The exit code of a run that could not reach the service.
const UNREACHABLE: i32 = 4;

/// How a run ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The source is done and everything is visible.
    Done,
    /// The server was not there.
    Unreachable,
    /// Anything else.
    Other(ExitStatus),
}

/// A run; killed when dropped.
#[derive(Debug)]
pub struct Host {
    process: Child,
}

impl Host {
    /// Runs `pipeline.yaml` of a directory; what it prints goes to the ends of `run.out` and `run.log`.
    ///
    /// # Errors
    /// When it can not be started.
    pub fn start(directory: &Path, arguments: &[&str]) -> Result<Self> {
        let file = |name: &str| {
            let file = directory.join(name);
            File::options().create(true).append(true).open(file)
        };
        let mut command = longshore(&["run", "pipeline.yaml", "--output", "json"])?;
        command
            .args(arguments)
            .current_dir(directory)
            .stdout(file("run.out")?)
            .stderr(file("run.log")?);
        Ok(Self {
            process: command.spawn()?,
        })
    }

    /// Its number at the operating system.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn ended(&mut self) -> Result<Option<Exit>> {
        Ok(self.process.try_wait()?.map(|status| match status.code() {
            Some(0) => Exit::Done,
            Some(UNREACHABLE) => Exit::Unreachable,
            _ => Exit::Other(status),
        }))
    }

    /// Waits for its end until an instant; none = it goes on.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn ended_by(&mut self, until: Instant) -> Result<Option<Exit>> {
        loop {
            if let Some(exit) = self.ended()? {
                return Ok(Some(exit));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(left.min(POLL));
        }
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // An error means it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
