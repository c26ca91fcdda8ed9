//! Builds the test guest and runs instances of it.

use longshore_runtime::contract::{Batch, TableDecl, TablePath};
use longshore_runtime::{CallError, Component, Engine, EngineConfig, InstanceConfig, SinkInstance};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The test guest as a component. Cargo builds it, into a target directory of its own so that it
/// does not wait for the build that runs the tests.
pub(crate) fn guest() -> &'static [u8] {
    static GUEST: OnceLock<Vec<u8>> = OnceLock::new();
    GUEST.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
        let target = target_directory().join("guests");
        let status = Command::new(env!("CARGO"))
            .current_dir(&source)
            .args([
                "build",
                "--quiet",
                "--locked",
                "--release",
                "--target",
                "wasm32-wasip1",
            ])
            .env("CARGO_TARGET_DIR", &target)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .unwrap();
        assert!(
            status.success(),
            "the test guest did not build; is target wasm32-wasip1 installed?"
        );
        let module = std::fs::read(target.join("wasm32-wasip1/release/test_sink.wasm")).unwrap();
        let stub = preview1_stub(&source.join("../../../../guest/sdk"));
        wit_component::ComponentEncoder::default()
            .module(&module)
            .and_then(|encoder| encoder.adapter("wasi_snapshot_preview1", &stub))
            .and_then(|encoder| encoder.merge_imports_based_on_semver(true).encode())
            .unwrap()
    })
}

/// What stands in for WASI preview 1 in every component made here; `cargo xtask encode` applies it too.
fn preview1_stub(sdk: &Path) -> Vec<u8> {
    let mut module = wat::parse_file(sdk.join("preview1-stub.wat")).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_path(sdk.join("preview1-stub.wit")).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
    module
}

fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        PathBuf::from,
    )
}

/// The test guest on an engine that trusts it.
pub(crate) fn trusted() -> Component {
    static LOADED: OnceLock<Component> = OnceLock::new();
    LOADED.get_or_init(|| load(EngineConfig::default())).clone()
}

/// The test guest on an engine that can stop it.
pub(crate) fn untrusted() -> Component {
    static LOADED: OnceLock<Component> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            load(EngineConfig {
                interruptible: true,
                ..EngineConfig::default()
            })
        })
        .clone()
}

fn load(config: EngineConfig) -> Component {
    Engine::new(config).unwrap().load(guest()).unwrap()
}

pub(crate) fn options<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<(String, String)> {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// An instance with a writer that behaves as these options say.
pub(crate) async fn writer<'a>(
    component: &Component,
    config: InstanceConfig,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> SinkInstance {
    let mut sink = component.instantiate(config).await.unwrap();
    sink.open_writer(&options(pairs), 0, 1, None).await.unwrap();
    sink
}

/// Runs a behaviour that reports something, and returns the report.
pub(crate) async fn report(sink: &mut SinkInstance) -> String {
    match sink.flush().await {
        Err(CallError::Sink(error)) if error.code == "report" => error.message.clone(),
        other => panic!("no report but {other:?}"),
    }
}

pub(crate) fn table(name: &str) -> TableDecl {
    TableDecl {
        path: TablePath {
            catalog: None,
            schema: None,
            table: name.into(),
        },
        arrow_schema: vec![],
        primary_key: vec!["id".into()],
        partition_by: vec![],
        schema_version: 3,
    }
}

pub(crate) fn batch(sequence: u64, rows: u32, bytes: usize) -> Batch {
    Batch {
        table: 7,
        schema_version: 3,
        sequence,
        rows,
        ipc: vec![0; bytes],
    }
}
