//! Where the sink's key comes from: the definition, a command, a file, a token, or the environment.
//! All of it stays in this process; the component learns that there is a key, and no more.

mod document;
mod source;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_pipeline::definition::{PipelineDefinition, SinkOption};
use longshore_runtime::contract::{OptionKind, OptionSpec, SinkInfo};
use longshore_runtime::{Credential, CredentialSource};

use super::options;
use crate::failure::{Exit, Failure};
use source::{BearerFile, CommandSource, FileSource};

/// Header that carries the token of temporary credentials.
const TOKEN_HEADER: &str = "authorization-sts-token";
/// Header that stands in for a signature.
const BEARER_HEADER: &str = "x-odps-bearer-token";

const COMMAND: &str = "credentials.command";
const FILE: &str = "credentials.file";
const BEARER: &str = "bearer-token";
const BEARER_FILE: &str = "bearer-token.file";

/// The names that the environment gives a key under: access id, access key, token.
const VARIABLES: [(&str, &str, &str); 2] = [
    (
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        "ALIBABA_CLOUD_SECURITY_TOKEN",
    ),
    ("ODPS_ACCESS_ID", "ODPS_ACCESS_KEY", "ODPS_STS_TOKEN"),
];

/// Options of this host that say where the key comes from.
pub(super) fn specs() -> Vec<OptionSpec> {
    let spec = |name: &str, secret, doc: &str| OptionSpec {
        name: name.to_owned(),
        kind: OptionKind::Text,
        required: false,
        default_value: None,
        secret,
        doc: doc.to_owned(),
        aliases: Vec::new(),
        choices: Vec::new(),
    };
    vec![
        spec(
            COMMAND,
            false,
            "Shell command that prints a key as JSON ({AccessKeyId, AccessKeySecret, SecurityToken, Expiration}, or as Alibaba's CLI has it); run again before the key expires and after the service has refused it, each time for at most 30 seconds.",
        ),
        spec(
            FILE,
            false,
            "File with such JSON; read again before the key expires, every minute where no expiration is told, and after the service has refused it. A relative path starts at the definition's directory.",
        ),
        spec(
            BEARER,
            true,
            "Bearer token to send instead of signatures. Stays with the host.",
        ),
        spec(
            BEARER_FILE,
            false,
            "File with a bearer token; read again every minute and after the service has refused it.",
        ),
    ]
}

/// Where a key comes from.
pub(super) enum Keys {
    /// `access-id`, `access-key` and perhaps `sts-token` of the definition; the component checks
    /// that they are there.
    Definition,
    /// A pair of environment variables, with the token that belongs to it.
    Environment {
        id: &'static str,
        key: &'static str,
        credential: Credential,
    },
    /// A command or a file that is asked again.
    Source {
        option: &'static str,
        source: Arc<dyn CredentialSource>,
    },
    /// A token of the definition.
    Bearer(Credential),
}

impl Keys {
    /// Takes the options of this host out of `given` and decides.
    pub(super) fn choose(
        info: &SinkInfo,
        given: &mut Vec<SinkOption>,
        definition: &PipelineDefinition,
        directory: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let of_component = ["access-id", "access-key", "sts-token"]
            .into_iter()
            .find_map(|name| options::find(info, given, name).cloned());
        let mut chosen: Option<(SinkOption, &'static str)> = None;
        for name in [COMMAND, FILE, BEARER, BEARER_FILE] {
            let Some(index) = given.iter().position(|option| option.name == name) else {
                continue;
            };
            let option = given.remove(index);
            let other = chosen
                .as_ref()
                .map(|(other, _)| other)
                .or(of_component.as_ref());
            if let Some(other) = other {
                let later = if other.at.line > option.at.line {
                    other
                } else {
                    &option
                };
                let message = format!(
                    "`{}` and `{}` both say where the key comes from",
                    other.name, option.name
                );
                return Err(definition
                    .problem_at(later.at, message)
                    .with_help("keep one of them")
                    .into());
            }
            if option.value.trim().is_empty() {
                return Err(definition
                    .problem_at(option.value_at, format!("`{name}` is empty"))
                    .with_help("give it a value or remove the line")
                    .into());
            }
            chosen = Some((option, name));
        }
        let Some((option, name)) = chosen else {
            return Ok(if of_component.is_some() {
                Self::Definition
            } else {
                Self::of_environment(variable)
            });
        };
        let value = option.value.trim();
        let path = || -> PathBuf { directory.join(value) };
        let source: Arc<dyn CredentialSource> = match name {
            COMMAND => Arc::new(CommandSource::new(value, directory)),
            FILE => Arc::new(FileSource::new(path())),
            BEARER_FILE => Arc::new(BearerFile::new(path())),
            _ => return Ok(Self::Bearer(bearer(value.to_owned()))),
        };
        Ok(Self::Source {
            option: name,
            source,
        })
    }

    fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        for (id, key, token) in VARIABLES {
            if let (Some(id_value), Some(key_value)) = (set(id), set(key)) {
                return Self::Environment {
                    id,
                    key,
                    credential: signing(id_value, key_value, set(token)),
                };
            }
        }
        Self::Definition
    }

    /// Tells that the embedded server asks for no key of the user's.
    pub(super) fn warn_of_no_effect(&self) {
        let option = match self {
            Self::Definition | Self::Environment { .. } => return,
            Self::Source { option, .. } => option,
            Self::Bearer(_) => BEARER,
        };
        tracing::warn!("`{option}` has no effect with `endpoint: local`");
    }

    /// Where `access-id` and `access-key` come from, if not from the definition.
    pub(super) fn origin(&self, name: &str) -> Option<String> {
        match self {
            Self::Definition => None,
            Self::Environment { id, key, .. } => Some(format!(
                "environment {}",
                if name == "access-id" { id } else { key }
            )),
            Self::Source { option, .. } => Some(format!("`{option}`")),
            Self::Bearer(_) => Some(format!("`{BEARER}`")),
        }
    }

    /// The first credential, and what renews it. `Definition` has it in the options.
    pub(super) async fn fetch(
        self,
        from_options: impl FnOnce() -> Credential,
    ) -> Result<(Credential, Option<Arc<dyn CredentialSource>>), Failure> {
        match self {
            Self::Definition => Ok((from_options(), None)),
            Self::Environment { credential, .. } | Self::Bearer(credential) => {
                Ok((credential, None))
            }
            Self::Source { option, source } => match source.fetch().await {
                Ok(credential) => Ok((credential, Some(source))),
                Err(reason) => Err(Failure::new(
                    Exit::Credentials,
                    format!("`{option}` gives no credentials"),
                )
                .because(reason)
                .help("run or read it by hand; it must give {\"AccessKeyId\": …, \"AccessKeySecret\": …, \"SecurityToken\": …, \"Expiration\": …}, or a token for `bearer-token.file`")),
            },
        }
    }
}

/// A key that signs.
pub(super) fn signing(id: String, key: String, token: Option<String>) -> Credential {
    let credential = Credential::new(id, key);
    match token {
        Some(token) => credential.with_header(TOKEN_HEADER, token),
        None => credential,
    }
}

/// A token that is sent with every request, instead of a signature.
fn bearer(token: String) -> Credential {
    Credential::new("", String::new()).with_header(BEARER_HEADER, token)
}
