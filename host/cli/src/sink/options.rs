//! Options of the sink, as the component describes them and the definition gives them.

use longshore_pipeline::definition::{Location, PipelineDefinition, Problem, SinkOption};
use longshore_runtime::Component;
use longshore_runtime::contract::{OptionSpec, SinkError, SinkInfo};
use serde::Serialize;

use super::SECRET;
use crate::failure::{Failure, call};

/// One option with its value.
#[derive(Debug, Clone)]
pub(crate) struct Effective {
    /// Canonical name.
    pub(crate) name: String,
    /// Its value; never to be shown where `secret`.
    pub(crate) value: Option<String>,
    pub(crate) origin: Origin,
    pub(crate) secret: bool,
    pub(crate) doc: String,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// The definition, at this line, under this name, with the values of these environment
    /// variables.
    Definition {
        line: u32,
        name: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        environment: Vec<String>,
    },
    /// Where the key comes from that the component only learns of.
    Keys(String),
    /// The embedded server.
    Local,
    /// A share of `memory-budget` of the pipeline.
    MemoryBudget,
    /// The component's default.
    Default,
    /// There is none.
    Unset,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Definition {
                line, environment, ..
            } => {
                write!(f, "line {line}")?;
                for variable in environment {
                    write!(f, ", ${variable}")?;
                }
                Ok(())
            }
            Self::Keys(origin) => f.write_str(origin),
            Self::Local => f.write_str("embedded server"),
            Self::MemoryBudget => f.write_str("memory-budget"),
            Self::Default => f.write_str("default"),
            Self::Unset => f.write_str("not set"),
        }
    }
}

impl Effective {
    /// The value as it may be shown.
    pub(crate) fn shown(&self) -> Option<String> {
        self.value.as_ref().map(|value| {
            if self.secret {
                SECRET.to_owned()
            } else {
                value.clone()
            }
        })
    }
}

/// An option that the host adds.
pub(crate) fn added(name: &str, value: String) -> SinkOption {
    SinkOption {
        name: name.to_owned(),
        value,
        environment: Vec::new(),
        at: Location::default(),
        value_at: Location::default(),
    }
}

/// The option of that canonical name, under whichever of its spellings the definition gives it.
pub(crate) fn find<'a>(
    info: &SinkInfo,
    given: &'a [SinkOption],
    name: &str,
) -> Option<&'a SinkOption> {
    given.iter().find(|option| is_meant(info, name, option))
}

/// As [`find`], to change it.
pub(crate) fn find_mut<'a>(
    info: &SinkInfo,
    given: &'a mut [SinkOption],
    name: &str,
) -> Option<&'a mut SinkOption> {
    given.iter_mut().find(|option| is_meant(info, name, option))
}

/// Whether `given` is a spelling of the option of that canonical name.
pub(crate) fn is_spelling(info: &SinkInfo, name: &str, given: &str) -> bool {
    match spec(info, name) {
        Some(spec) => is_named(spec, given),
        None => given == name,
    }
}

fn is_meant(info: &SinkInfo, name: &str, option: &SinkOption) -> bool {
    is_spelling(info, name, &option.name)
}

/// Has the component check the options; every complaint becomes a problem at its line.
pub(crate) async fn check(
    component: &Component,
    info: &SinkInfo,
    definition: &PipelineDefinition,
    given: &[SinkOption],
) -> Result<(), Failure> {
    let verdict = component
        .validate(&for_component(info, given))
        .await
        .map_err(|error| call("the component does not check its options", error))?;
    let Err(errors) = verdict else {
        return Ok(());
    };
    let problems = errors.iter().map(|error| problem(definition, given, error));
    Err(Failure::all(problems.map(Failure::from)))
}

/// The options as the component gets them: secrets replaced.
pub(crate) fn for_component(info: &SinkInfo, given: &[SinkOption]) -> Vec<(String, String)> {
    given
        .iter()
        .map(|option| {
            let secret = spec(info, &option.name).is_some_and(|spec| spec.secret);
            let value = if secret && !option.value.is_empty() {
                SECRET.into()
            } else {
                option.value.clone()
            };
            (option.name.clone(), value)
        })
        .collect()
}

/// Every option of a list, with its value.
pub(crate) fn effective(specs: &[OptionSpec], given: &[SinkOption]) -> Vec<Effective> {
    specs
        .iter()
        .map(|spec| {
            let found = given.iter().find(|option| is_named(spec, &option.name));
            let (value, origin) = match found {
                Some(option) if option.at.line > 0 => (
                    Some(option.value.clone()),
                    Origin::Definition {
                        line: option.at.line,
                        name: option.name.clone(),
                        environment: option.environment.clone(),
                    },
                ),
                Some(option) => (Some(option.value.clone()), Origin::Local),
                None if spec.default_value.is_some() => {
                    (spec.default_value.clone(), Origin::Default)
                }
                None => (None, Origin::Unset),
            };
            Effective {
                name: spec.name.clone(),
                value: value.filter(|value| !value.is_empty()),
                origin,
                secret: spec.secret,
                doc: spec.doc.clone(),
            }
        })
        .collect()
}

/// The default of the option of that canonical name, where there is such an option.
pub(super) fn default_of<'a>(info: &'a SinkInfo, name: &str) -> Option<&'a str> {
    spec(info, name)?.default_value.as_deref()
}

fn spec<'a>(info: &'a SinkInfo, name: &str) -> Option<&'a OptionSpec> {
    info.options.iter().find(|spec| is_named(spec, name))
}

fn is_named(spec: &OptionSpec, name: &str) -> bool {
    spec.name == name || spec.aliases.iter().any(|alias| alias == name)
}

/// A warning for each option that is given under another name than its own.
pub(crate) fn older_names(
    info: &SinkInfo,
    definition: &PipelineDefinition,
    given: &[SinkOption],
) -> Vec<String> {
    let older = given
        .iter()
        .filter(|option| option.at.line > 0)
        .filter_map(|option| {
            let spec = spec(info, &option.name).filter(|spec| spec.name != option.name)?;
            Some(format!(
                "{}:{}: `{}` is another name of `{}`",
                definition.file(),
                option.at.line,
                option.name,
                spec.name
            ))
        });
    older.collect()
}

/// A complaint of the component at the option it names.
fn problem(definition: &PipelineDefinition, given: &[SinkOption], error: &SinkError) -> Problem {
    // Of two options that exclude each other the later one is at fault.
    let option = error
        .message
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|name| given.iter().find(|option| option.name == name))
        .max_by_key(|option| (option.at.line, option.at.column));
    let at = match option {
        Some(option) if error.code.ends_with("value") => option.value_at,
        Some(option) => option.at,
        None => definition.sink.kind.at,
    };
    // The component puts its advice behind the first semicolon.
    match error.message.split_once("; ") {
        Some((message, help)) => definition.problem_at(at, message).with_help(help),
        None => definition.problem_at(at, error.message.clone()),
    }
}
