//! Errors as people and scripts see them: one screen, one exit code.

mod run_error;

pub(crate) use run_error::call;

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::ops::{Deref, DerefMut};
use std::process::ExitCode;

use longshore_pipeline::definition::{DefinitionError, Problem};
use serde_json::json;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Ok = 0,
    Internal = 1,
    Usage = 2,
    Input = 3,
    Connection = 4,
    Credentials = 5,
    TargetSchema = 6,
    Interrupted = 7,
    Store = 8,
    Refused = 9,
    DeadLetters = 10,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// Stable name for machines.
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Input => "input",
            Self::Connection => "connection",
            Self::Credentials => "credentials",
            Self::TargetSchema => "target-schema",
            Self::Interrupted => "interrupted",
            Self::Store => "checkpoint-store",
            Self::Refused => "refused",
            Self::DeadLetters => "dead-letters",
        }
    }
}

/// A failed command: what, where, why, and what to do.
///
/// One pointer wide, so that results stay small where all goes well.
#[derive(Debug)]
pub(crate) struct Failure(Box<Details>);

#[derive(Debug)]
pub(crate) struct Details {
    exit: Exit,
    what: String,
    place: Option<String>,
    /// Lines of the input around the place.
    excerpt: Option<String>,
    why: Option<String>,
    help: Option<String>,
    /// Further failures of the same kind, and how many are not listed.
    more: Vec<Failure>,
    /// A JSON report of what was done before, for machines.
    report: Option<serde_json::Value>,
}

impl Deref for Failure {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}

/// Failures shown at once; the rest are counted.
const SHOWN: usize = 5;

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self(Box::new(Details {
            exit,
            what: what.into(),
            place: None,
            excerpt: None,
            why: None,
            help: None,
            more: Vec::new(),
            report: None,
        }))
    }

    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Names the service, where talking to it is what failed.
    pub(crate) fn about_service(mut self, endpoint: Option<&str>) -> Self {
        if matches!(self.exit, Exit::Connection | Exit::Credentials) && self.place.is_none() {
            self.place = endpoint.map(|endpoint| format!("endpoint {endpoint}"));
        }
        self
    }

    pub(crate) fn excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt = Some(excerpt.into()).filter(|text| !text.is_empty());
        self
    }

    pub(crate) fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn and(mut self, more: impl IntoIterator<Item = Self>) -> Self {
        self.more.extend(more);
        self
    }

    pub(crate) fn with_report(mut self, report: serde_json::Value) -> Self {
        self.report = Some(report);
        self
    }

    /// Prints the failure for people on stderr, and for machines on stdout if asked to.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        eprint!("{}", self.screen(std::io::stderr().is_terminal()));
        if json {
            let mut document = self.report.clone().unwrap_or_else(|| json!({}));
            if let Some(object) = document.as_object_mut() {
                object.insert("outcome".into(), json!("failed"));
                object.insert("error".into(), self.document());
            }
            println!("{document:#}");
        }
        self.exit.into()
    }

    fn document(&self) -> serde_json::Value {
        json!({
            "kind": self.exit.name(),
            "exit-code": self.exit as u8,
            "message": self.what,
            "place": self.place,
            "cause": self.why,
            "help": self.help,
            "more": self.more.iter().map(Self::document).collect::<Vec<_>>(),
        })
    }

    fn screen(&self, colour: bool) -> String {
        let mut screen = String::new();
        for failure in std::iter::once(self).chain(&self.more).take(SHOWN) {
            failure.write(&mut screen, colour);
        }
        let hidden = (1 + self.more.len()).saturating_sub(SHOWN);
        if hidden > 0 {
            // Writing to a String does not fail.
            let _ = writeln!(screen, "…and {hidden} more");
        }
        screen
    }

    fn write(&self, screen: &mut String, colour: bool) {
        let paint = |code: &str, text: &str| {
            if colour {
                format!("\x1b[{code}m{text}\x1b[0m")
            } else {
                text.to_owned()
            }
        };
        let mut line = |label: String, text: &str| {
            let _ = writeln!(screen, "{label} {}", text.replace('\n', "\n         "));
        };
        line(paint("1;31", "error:"), &self.what);
        if let Some(place) = &self.place {
            line(paint("1;34", "   at:"), place);
        }
        if let Some(excerpt) = &self.excerpt {
            for text in excerpt.lines() {
                line("      ".into(), text);
            }
        }
        if let Some(why) = &self.why {
            line(paint("1;34", "  why:"), why);
        }
        if let Some(help) = &self.help {
            line(paint("1;32", " help:"), help);
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let mut place = problem.file;
        if problem.at.line > 0 {
            let _ = write!(place, ":{}:{}", problem.at.line, problem.at.column);
        }
        let failure = Self::new(Exit::Usage, problem.message)
            .at(place)
            .excerpt(problem.excerpt);
        match problem.help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

impl From<DefinitionError> for Failure {
    fn from(error: DefinitionError) -> Self {
        Self::all(error.problems.into_iter().map(Self::from))
    }
}

impl Failure {
    /// A problem with the input at the definition's line that names it.
    pub(crate) fn input(problem: Problem) -> Self {
        let mut failure = Self::from(problem);
        failure.exit = Exit::Input;
        failure
    }

    /// One failure of several.
    pub(crate) fn all(failures: impl IntoIterator<Item = Self>) -> Self {
        let mut failures = failures.into_iter();
        match failures.next() {
            Some(first) => first.and(failures),
            None => Self::new(Exit::Internal, "something failed and left no message"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_has_what_where_why_and_help() {
        let failure = Failure::new(Exit::Input, "a row is broken")
            .at("a.json:3")
            .excerpt("3 | {")
            .because("it ends too early")
            .help("complete it");
        assert_eq!(
            failure.screen(false),
            "error: a row is broken\n   at: a.json:3\n       3 | {\n  why: it ends too early\n help: complete it\n"
        );
    }

    #[test]
    fn many_failures_fit_one_screen() {
        let failure =
            Failure::all((0..20).map(|n| Failure::new(Exit::Usage, format!("fault {n}"))));
        let screen = failure.screen(false);
        assert_eq!(screen.lines().count(), SHOWN + 1);
        assert!(screen.ends_with("…and 15 more\n"));
    }
}
