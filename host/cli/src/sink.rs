//! The sink of a definition: its options checked by the component, its secrets kept here, and where
//! it may send requests.

mod credentials;
mod egress;
mod memory;
mod options;
mod signing;

pub(crate) use options::{Effective, Origin};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use longshore_emulator::ServerOptions;
use longshore_pipeline::coordinator::{CheckpointRequests, SinkDriver, SinkFactory};
use longshore_pipeline::definition::SinkOption;
use longshore_runtime::contract::{OptionKind, OptionSpec, SinkInfo};
use longshore_runtime::{
    CallError, Component, Credential, Credentials, DeadLetterSink, EgressPolicy, InstanceConfig,
};

use crate::component;
use crate::definition::Loaded;
use crate::failure::{Exit, Failure};
use crate::local::{DEFAULT_PROJECT, Embedded};
use credentials::Keys;

/// Value of `endpoint` that asks for the embedded server.
const LOCAL: &str = "local";
/// Directory of the embedded server; an option of this host, not of the component.
const DATA: &str = "data";
/// What a component sees instead of a secret.
const SECRET: &str = "<secret>";

/// A sink, ready to make instances.
pub(crate) struct Sink {
    component: Component,
    pub(crate) info: SinkInfo,
    /// As the component gets them.
    pub(crate) options: Vec<(String, String)>,
    /// Every option with its value and where that came from.
    pub(crate) effective: Vec<Effective>,
    /// Destinations, as rules.
    pub(crate) egress: Vec<String>,
    /// Told already; what is odd but legal.
    pub(crate) warnings: Vec<String>,
    policy: EgressPolicy,
    credentials: Credentials,
    /// Where the embedded server keeps its data, with `endpoint: local`.
    pub(crate) local: Option<PathBuf>,
    /// The running server.
    server: Option<Embedded>,
}

/// Whether to start the embedded server where one is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Yes: the pipeline is about to run.
    Server,
    /// No: only look at the definition.
    Nothing,
}

impl Sink {
    /// Resolves the sink of a definition.
    pub(crate) async fn resolve(
        loaded: &Loaded,
        file: Option<&std::path::Path>,
        start: Start,
    ) -> Result<Self, Failure> {
        let definition = &loaded.definition;
        let kind = &definition.sink.kind;
        if file.is_none() && kind.value != "maxcompute" && kind.value != "odps" {
            let problem = definition
                .problem_at(kind.at, format!("there is no sink `{}`", kind.value))
                .with_help("the built-in sink is `maxcompute`; load another with --component FILE");
            return Err(problem.into());
        }
        let component = component::load(file).await?;
        let info = component::describe(&component).await?;
        let mut given = definition.sink.options.clone();
        let of_host = options::effective(&host_options(), &given);
        let local = take_local(&info, &mut given, loaded);
        let variable = |name: &str| std::env::var(name).ok();
        let mut keys = Keys::choose(&info, &mut given, definition, &loaded.directory, variable)?;
        if local.is_some() {
            keys.warn_of_no_effect();
            keys = Keys::Definition;
        }
        for name in ["access-id", "access-key"] {
            // The component insists on a key and learns that there is one.
            if keys.origin(name).is_some() {
                given.push(options::added(name, SECRET.to_owned()));
            }
        }
        let server = match &local {
            Some(data) if start == Start::Server => {
                let project = options::find(&info, &given, "project");
                let project = project.map(|option| option.value.trim());
                Some(Embedded::start(data, project).await?)
            }
            _ => None,
        };
        if local.is_some() {
            fill_in_local(&info, &mut given, server.as_ref(), loaded);
        }
        if let Some(buffers) = memory::buffers(&info, &given, definition)? {
            given.push(options::added(memory::BUFFERS, buffers));
        }
        options::check(&component, &info, definition, &given).await?;
        let warnings = options::older_names(&info, definition, &given);
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let mut effective = options::effective(&info.options, &given);
        effective.extend(of_host);
        for option in &mut effective {
            if option.name == memory::BUFFERS && option.origin == Origin::Local {
                option.origin = Origin::MemoryBudget;
            }
            if let Some(origin) = keys.origin(&option.name)
                && matches!(option.name.as_str(), "access-id" | "access-key")
            {
                option.origin = Origin::Keys(origin);
            }
        }
        let value = |name: &str| {
            effective
                .iter()
                .find(|option| option.name == name)
                .and_then(|option| option.value.clone())
        };
        let from_options = || {
            credentials::signing(
                value("access-id").unwrap_or_default(),
                value("access-key").unwrap_or_default(),
                value("sts-token"),
            )
        };
        let (credential, source) = match start {
            // Commands are run and files are read for a run only.
            Start::Nothing => (from_options(), None),
            Start::Server => keys.fetch(from_options).await?,
        };
        let credentials = signing::credentials(
            credential,
            source,
            &value("project").unwrap_or_default(),
            value("region").as_deref(),
            &definition.routes,
        );
        let egress = egress::rules(
            value("endpoint").as_deref(),
            value("tunnel.endpoint").as_deref(),
        );
        let policy = EgressPolicy::allowing(&egress)
            .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        if local.is_some()
            && let Some(option) = effective
                .iter_mut()
                .find(|option| option.name == "endpoint")
        {
            // The real address changes with each run and is nobody's business.
            option.value = Some(LOCAL.to_owned());
        }
        Ok(Self {
            options: options::for_component(&info, &given),
            component,
            info,
            effective,
            egress,
            warnings,
            policy,
            credentials,
            local,
            server,
        })
    }

    /// Where the sink writes, in one line, without secrets: the same at each run.
    pub(crate) fn identity(&self, loaded: &Loaded) -> String {
        let value = |name: &str| self.value(name).unwrap_or_default().to_owned();
        let place = match &self.local {
            Some(data) => {
                format!(
                    "local {}",
                    data.strip_prefix(&loaded.directory)
                        .unwrap_or(data)
                        .display()
                )
            }
            None => value("endpoint"),
        };
        format!(
            "{} {place} project={} schema={}",
            self.info.name,
            value("project"),
            value("schema")
        )
    }

    /// How a table with or without a key at the source is written, and what a failure can do to its
    /// rows.
    pub(crate) fn delivery(&self, keyed: bool) -> (&'static str, &'static str) {
        let is = |name: &str, wanted: &str| {
            let option = self.effective.iter().find(|option| option.name == name);
            let value = option.and_then(|option| option.value.as_deref());
            value.is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted))
        };
        let every_change = is("operation", "append-only");
        if keyed && !every_change && (is("enable-upsert", "true") || !is("operation", "insert")) {
            return (
                "upsert by key",
                "exactly once in effect: what is repeated after a failure replaces itself by key",
            );
        }
        let kind = match (every_change, is("overwrite", "true")) {
            (true, _) => "append every change",
            (false, true) => "overwrite, then append",
            (false, false) => "append",
        };
        let delivery = if is("tunnel", "stream") || is("use-stream-tunnel", "true") {
            "at least once: rows are visible as they are sent, and twice after some failures"
        } else {
            "exactly once: what was not committed is never visible"
        };
        (kind, delivery)
    }

    /// The service's address, as the definition gives it.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.value("endpoint")
    }

    /// The maker of instances for a run.
    pub(crate) fn factory(&self, requests: Arc<CheckpointRequests>) -> Instances {
        Instances {
            component: self.component.clone(),
            config: InstanceConfig {
                egress: self.policy.clone(),
                signer: Arc::new(self.credentials.clone()),
                checkpoint: requests,
                ..InstanceConfig::default()
            },
        }
    }

    /// Whether tables that do not exist are made.
    pub(crate) fn creates_tables(&self) -> bool {
        self.value("create-table")
            .is_none_or(|value| !value.trim().eq_ignore_ascii_case("false"))
    }

    /// A server to rehearse against: empty, gone afterwards.
    pub(crate) async fn rehearsal_server(&self, data: &Path) -> Result<Embedded, Failure> {
        let options = ServerOptions {
            schema_model: self.value("schema").is_some(),
            ..ServerOptions::default()
        };
        Embedded::start_with(data, self.value("project"), options).await
    }

    /// A maker of instances that know no other service than `server`, and their options.
    pub(crate) fn rehearsing(
        &self,
        loaded: &Loaded,
        server: &Embedded,
        requests: Arc<CheckpointRequests>,
    ) -> Result<(Instances, Vec<(String, String)>), Failure> {
        let environment = server.environment();
        let of_server = |name: &str| {
            let found = environment.iter().find(|(variable, _)| variable == name);
            found.map_or_else(String::new, |(_, value)| value.clone())
        };
        let elsewhere = ["endpoint", "access-id", "tunnel.endpoint", "quota.name"];
        let mut sink_options: Vec<(String, String)> = self
            .options
            .iter()
            .filter(|(given, _)| {
                !elsewhere
                    .iter()
                    .any(|name| options::is_spelling(&self.info, name, given))
            })
            .cloned()
            .collect();
        let endpoint = of_server("ODPS_ENDPOINT");
        sink_options.push(("endpoint".to_owned(), endpoint.clone()));
        sink_options.push(("access-id".to_owned(), of_server("ODPS_ACCESS_ID")));
        let key = Credential::new(of_server("ODPS_ACCESS_ID"), of_server("ODPS_ACCESS_KEY"));
        let credentials = signing::credentials(
            key,
            None,
            self.value("project").unwrap_or_default(),
            self.value("region"),
            &loaded.definition.routes,
        );
        let policy = EgressPolicy::allowing(egress::rules(Some(&endpoint), None))
            .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
        let config = InstanceConfig {
            egress: policy,
            signer: Arc::new(credentials),
            checkpoint: requests,
            ..InstanceConfig::default()
        };
        let instances = Instances {
            component: self.component.clone(),
            config,
        };
        Ok((instances, sink_options))
    }

    /// The value of an option, if there is one.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let option = self.effective.iter().find(|option| option.name == name);
        option.and_then(|option| option.value.as_deref())
    }

    /// Stops the embedded server, if there is one.
    pub(crate) async fn shutdown(self) {
        if let Some(server) = self.server {
            server.shutdown().await;
        }
    }
}

/// Makes instances of the component.
pub(crate) struct Instances {
    component: Component,
    config: InstanceConfig,
}

#[async_trait]
impl SinkFactory for Instances {
    async fn instance(
        &self,
        name: &str,
        dead_letters: Arc<dyn DeadLetterSink>,
    ) -> Result<Box<dyn SinkDriver>, CallError> {
        let config = InstanceConfig {
            name: name.to_owned(),
            dead_letter: dead_letters,
            ..self.config.clone()
        };
        Ok(Box::new(self.component.instantiate(config).await?))
    }
}

/// Options of this host, beside those of the component.
pub(crate) fn host_options() -> Vec<OptionSpec> {
    let mut specs = credentials::specs();
    specs.push(OptionSpec {
        name: DATA.to_owned(),
        kind: OptionKind::Text,
        required: false,
        default_value: None,
        secret: false,
        doc: "Directory of the embedded server, with `endpoint: local`; unset = `.longshore/local` beside the definition.".to_owned(),
        aliases: Vec::new(),
        choices: Vec::new(),
    });
    specs
}

/// Takes the options of the embedded server out; the answer is its data directory.
fn take_local(info: &SinkInfo, given: &mut Vec<SinkOption>, loaded: &Loaded) -> Option<PathBuf> {
    options::find(info, given, "endpoint").filter(|option| option.value.trim() == LOCAL)?;
    let data = given
        .iter()
        .position(|option| option.name == DATA)
        .map(|index| given.remove(index));
    Some(match data {
        Some(option) => loaded.directory.join(option.value),
        None => loaded.directory.join(".longshore").join("local"),
    })
}

/// Fills in what the embedded server decides; without a running one, texts of the same form.
fn fill_in_local(
    info: &SinkInfo,
    given: &mut Vec<SinkOption>,
    server: Option<&Embedded>,
    loaded: &Loaded,
) {
    let environment = server.map(Embedded::environment);
    let environment = |name: &str, placeholder: &str| {
        let found = environment
            .iter()
            .flatten()
            .find(|(variable, _)| variable == name);
        found.map_or_else(|| placeholder.to_owned(), |(_, value)| value.clone())
    };
    let project = options::find(info, given, "project")
        .map_or(DEFAULT_PROJECT, |option| option.value.trim())
        .to_owned();
    for (name, value) in [
        (
            "endpoint",
            environment("ODPS_ENDPOINT", "http://127.0.0.1/api"),
        ),
        ("project", environment("ODPS_PROJECT", &project)),
        ("access-id", environment("ODPS_ACCESS_ID", "local")),
        ("access-key", environment("ODPS_ACCESS_KEY", "local")),
    ] {
        let Some(option) = options::find_mut(info, given, name) else {
            given.push(options::added(name, value));
            continue;
        };
        if name.starts_with("access-") {
            tracing::warn!(
                "{}:{}: `{}` has no effect with `endpoint: {LOCAL}`, whose keys are made up for each run",
                loaded.definition.file(),
                option.at.line,
                option.name
            );
        }
        option.value = value;
    }
}
