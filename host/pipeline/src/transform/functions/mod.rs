//! The functions, by the names Flink CDC has for them.

mod arguments;
mod encoding;
mod nested;
mod number;
mod pattern;
mod results;
mod temporal;
mod text;

use datafusion::sql::sqlparser::ast::Expr;

use super::bind::Binder;
use super::expression::Bound;
pub(super) use nested::{array, item, map};
pub(super) use number::{ceil, floor};
pub(super) use pattern::{like, similar, warning_of_like};
pub(super) use temporal::{Interval, extract, plus_interval};
pub(super) use text::{concat, overlay, position, substring, trim};

/// How a function is bound.
#[derive(Clone, Copy)]
pub(super) enum Build {
    /// From its bound arguments.
    Values(fn(&Binder<'_>, Vec<Bound>) -> Result<Bound, String>),
    /// From its arguments as written: some are no expressions.
    Written(fn(&Binder<'_>, &[&Expr]) -> Result<Bound, String>),
}

/// One function.
#[derive(Clone, Copy)]
pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) least: usize,
    /// `None` = as many as you like.
    pub(super) most: Option<usize>,
    pub(super) build: Build,
}

impl Definition {
    const fn new(
        name: &'static str,
        least: usize,
        most: usize,
        build: fn(&Binder<'_>, Vec<Bound>) -> Result<Bound, String>,
    ) -> Self {
        Self {
            name,
            least,
            most: Some(most),
            build: Build::Values(build),
        }
    }

    const fn variadic(
        name: &'static str,
        least: usize,
        build: fn(&Binder<'_>, Vec<Bound>) -> Result<Bound, String>,
    ) -> Self {
        Self {
            name,
            least,
            most: None,
            build: Build::Values(build),
        }
    }

    const fn written(
        name: &'static str,
        least: usize,
        most: usize,
        build: fn(&Binder<'_>, &[&Expr]) -> Result<Bound, String>,
    ) -> Self {
        Self {
            name,
            least,
            most: Some(most),
            build: Build::Written(build),
        }
    }
}

/// The function of a name, in any letter case.
pub(super) fn find(name: &str) -> Option<&'static Definition> {
    all().find(|function| function.name.eq_ignore_ascii_case(name))
}

/// Every name, those with a syntax of their own included.
pub(super) fn names() -> Vec<&'static str> {
    const WITH_SYNTAX: [&str; 13] = [
        "CAST",
        "TRY_CAST",
        "EXTRACT",
        "POSITION",
        "OVERLAY",
        "TRIM",
        "SUBSTR",
        "SUBSTRING",
        "CEIL",
        "FLOOR",
        "ARRAY",
        "MAP",
        "CASE",
    ];
    all()
        .map(|function| function.name)
        .chain(WITH_SYNTAX)
        .collect()
}

fn all() -> impl Iterator<Item = &'static Definition> {
    [
        text::FUNCTIONS,
        encoding::FUNCTIONS,
        pattern::FUNCTIONS,
        number::FUNCTIONS,
        temporal::FUNCTIONS,
        nested::FUNCTIONS,
        super::conditions::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}
