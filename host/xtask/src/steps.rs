//! Running programs so that a person sees what runs, how long it takes and how to repeat it.

use std::env;
use std::ffi::OsStr;
use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::project::Project;

/// How the variables begin that cargo sets for the package it runs.
const OF_A_PACKAGE: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// A program to run in the checkout.
#[derive(Debug)]
pub(crate) struct Step {
    command: Command,
    /// The command line for a person: only what they would type.
    shown: String,
}

impl Step {
    /// `cargo ARGS`.
    pub(crate) fn cargo(project: &Project, args: &[&str]) -> Self {
        let mut step = Self::program(project, &project.cargo(), args);
        step.shown = format!("cargo {}", shell_words(args));
        step
    }

    /// Any other program.
    pub(crate) fn program(project: &Project, program: &OsStr, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).current_dir(project.root());
        // Set by the cargo that runs this program; the packages built below are others. What is left
        // over would make cargo build them again for those who call it by hand.
        for (name, _) in env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| OF_A_PACKAGE.iter().any(|start| name.starts_with(start)))
            {
                command.env_remove(&name);
            }
        }
        let shown = format!(
            "{} {}",
            project.shown(Path::new(program)),
            shell_words(args)
        );
        Self {
            command,
            shown: shown.trim_end().to_owned(),
        }
    }

    /// Sets an environment variable that a person repeating the step has to set as well.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let value = value.as_ref();
        self.shown = format!(
            "{name}={} {}",
            shell_word(&value.to_string_lossy()),
            self.shown
        );
        self.command.env(name, value);
        self
    }

    /// Sets the variables a client connects with. They are not shown: a key is among them.
    pub(crate) fn connected(mut self, environment: &[(String, String)]) -> Self {
        self.command
            .envs(environment.iter().map(|(name, value)| (name, value)));
        self
    }

    /// Tells the build of the host where the component is. In the default build directory the build
    /// finds it itself, and a variable more would make cargo build the host again for those who call
    /// it by hand.
    pub(crate) fn with_component(self, project: &Project) -> Self {
        if project.target_is_default() {
            self
        } else {
            self.env("LONGSHORE_COMPONENT", project.component())
        }
    }

    /// Runs it; an exit code other than 0 is an error that names the command.
    pub(crate) fn run(mut self) -> Result<()> {
        heading(&self.shown);
        let start = Instant::now();
        let status = self
            .command
            .status()
            .with_context(|| format!("can not start `{}`", self.shown))?;
        if !status.success() {
            bail!(
                "this step failed ({status}); to repeat it alone:\n  {}",
                self.shown
            );
        }
        done(start);
        Ok(())
    }
}

/// Says what runs now.
pub(crate) fn heading(what: &str) {
    if stderr().is_terminal() {
        eprintln!("\x1b[1;36m==>\x1b[0m \x1b[1m{what}\x1b[0m");
    } else {
        eprintln!("==> {what}");
    }
}

/// Says how long it took.
pub(crate) fn done(start: Instant) {
    eprintln!("    done in {:.1} s", start.elapsed().as_secs_f64());
}

fn shell_words(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| shell_word(word))
        .collect::<Vec<_>>()
        .join(" ")
}

fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted_into_a_shell() {
        assert_eq!(
            shell_words(&["test", "-D", "it's", ""]),
            r"test -D 'it'\''s' ''"
        );
    }
}
