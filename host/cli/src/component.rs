//! The sink component: the built-in one or a file, loaded; and `longshore component`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use longshore_runtime::contract::{OptionSpec, SinkInfo};
use longshore_runtime::{Component, Engine, EngineConfig};
use serde_json::json;

use crate::args::{ComponentArgs, ComponentCommand, Output};
use crate::display::Table;
use crate::failure::{Exit, Failure, call};

/// The sink for MaxCompute.
static BUILT_IN: &[u8] = include_bytes!(env!("LONGSHORE_COMPONENT_FILE"));

/// Its BLAKE3 digest.
static BUILT_IN_DIGEST: &[u8; 32] = include_bytes!(concat!(env!("OUT_DIR"), "/component-digest"));

/// How long loading may take before a person hears why.
const PATIENCE: Duration = Duration::from_millis(700);

/// Loads the built-in component, or the one in `file`. Compiling takes a second or two once; after
/// that the compiled form comes from the cache.
pub(crate) async fn load(file: Option<&Path>) -> Result<Component, Failure> {
    let file = file.map(Path::to_owned);
    let mut loading = tokio::task::spawn_blocking(move || load_blocking(file.as_deref()));
    let loaded = match tokio::time::timeout(PATIENCE, &mut loading).await {
        Ok(loaded) => loaded,
        Err(_) => {
            eprintln!("compiling the sink component; the result is kept for later runs");
            loading.await
        }
    };
    loaded.unwrap_or_else(|_| Err(Failure::new(Exit::Internal, "loading the component died")))
}

fn load_blocking(file: Option<&Path>) -> Result<Component, Failure> {
    let engine = engine(file.is_some())?;
    let Some(file) = file else {
        return engine
            .load_built_in(BUILT_IN, *BUILT_IN_DIGEST)
            .map_err(|error| {
                Failure::new(Exit::Internal, "the built-in component can not be loaded")
                    .because(error.to_string())
            });
    };
    let failure = |what: &str, why: String| {
        Failure::new(Exit::Usage, what)
            .at(file.display().to_string())
            .because(why)
    };
    let bytes = std::fs::read(file)
        .map_err(|error| failure("the component can not be read", error.to_string()))?;
    engine
        .load(&bytes)
        .map_err(|error| failure("the component can not be loaded", error.to_string()))
}

/// The engine, with the user's cache where that can be used.
fn engine(untrusted: bool) -> Result<Engine, Failure> {
    let config = |cache_dir| EngineConfig {
        cache_dir,
        interruptible: untrusted,
        ..EngineConfig::default()
    };
    let cached = cache_dir().map(|directory| Engine::new(config(Some(directory))));
    match cached {
        Some(Ok(engine)) => return Ok(engine),
        Some(Err(error)) => tracing::warn!("{error}; compiling anew at each start"),
        None => {}
    }
    Engine::new(config(None)).map_err(|error| {
        Failure::new(Exit::Internal, "the WebAssembly engine does not start")
            .because(error.to_string())
    })
}

fn cache_dir() -> Option<PathBuf> {
    match std::env::var_os("LONGSHORE_CACHE_DIR") {
        Some(directory) if !directory.is_empty() => Some(directory.into()),
        _ => directories::ProjectDirs::from("", "", "longshore")
            .map(|dirs| dirs.cache_dir().to_owned()),
    }
}

/// What the component says about itself.
pub(crate) async fn describe(component: &Component) -> Result<SinkInfo, Failure> {
    component
        .describe()
        .await
        .map_err(|error| call("the component does not describe itself", error))
}

/// `longshore component`
pub(crate) async fn command(args: ComponentArgs) -> Result<Exit, Failure> {
    let component = load(args.component.as_deref()).await?;
    match (args.command, args.output) {
        (ComponentCommand::Imports, Output::Human) => {
            for import in component.imports() {
                println!("{import}");
            }
        }
        (ComponentCommand::Imports, Output::Json) => println!("{:#}", json!(component.imports())),
        (ComponentCommand::Describe, Output::Human) => {
            print!("{}", description(&describe(&component).await?));
        }
        (ComponentCommand::Describe, Output::Json) => {
            println!("{:#}", json!(describe(&component).await?));
        }
    }
    Ok(Exit::Ok)
}

/// Every option on a line.
pub(crate) fn option_table(options: &[OptionSpec]) -> String {
    let mut table = Table::new(&["option", "default", "", "what it does"]);
    for option in options {
        let mut doc = option.doc.clone();
        if !option.choices.is_empty() {
            doc.push_str(&format!(" One of {}.", option.choices.join(", ")));
        }
        if !option.aliases.is_empty() {
            doc.push_str(&format!(" Also spelled {}.", option.aliases.join(", ")));
        }
        let mark = match (option.required, option.secret) {
            (true, true) => "required, secret",
            (true, false) => "required",
            (false, true) => "secret",
            (false, false) => "",
        };
        table.row([
            option.name.as_str(),
            option.default_value.as_deref().unwrap_or(""),
            mark,
            &doc,
        ]);
    }
    table.text()
}

fn description(info: &SinkInfo) -> String {
    let delivery = serde_json::to_value(info.delivery).ok();
    let delivery = delivery
        .as_ref()
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    format!(
        "{} {}, delivers {delivery}\n\n{}",
        info.name,
        info.version,
        option_table(&info.options)
    )
}
