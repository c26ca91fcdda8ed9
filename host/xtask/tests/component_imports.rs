//! The built component asks its host for what the contract's world allows, and for nothing else.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test"
)]

use std::fs;
use std::path::PathBuf;

use wit_component::DecodedWasm;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn component_imports() -> Vec<String> {
    let path = std::env::var_os("LONGSHORE_COMPONENT").map_or_else(
        || root().join("target/component/longshore-maxcompute.wasm"),
        PathBuf::from,
    );
    let bytes = fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "there is no component at {} ({error}); build it with `cargo xtask component`",
            path.display()
        )
    });
    match wit_component::decode(&bytes).unwrap() {
        DecodedWasm::Component(resolve, world) => {
            let imports = resolve.worlds[world].imports.keys();
            let mut names: Vec<String> = imports.map(|key| resolve.name_world_key(key)).collect();
            names.sort();
            names
        }
        DecodedWasm::WitPackage(..) => {
            panic!("{} is a WIT package, not a component", path.display())
        }
    }
}

#[test]
fn imports_are_the_agreed_ones() {
    let golden = fs::read_to_string(root().join("guest/maxcompute/imports.golden")).unwrap();
    let golden: Vec<&str> = golden.lines().collect();
    assert_eq!(
        component_imports(),
        golden,
        "if the change is meant, accept it with `cargo xtask component --bless`"
    );
}

#[test]
fn imports_give_no_ambient_authority() {
    const ALLOWED: [&str; 9] = [
        "longshore:sink/",
        "wasi:clocks/monotonic-clock@",
        "wasi:clocks/wall-clock@",
        "wasi:http/outgoing-handler@",
        "wasi:http/types@",
        "wasi:io/error@",
        "wasi:io/poll@",
        "wasi:io/streams@",
        "wasi:random/random@",
    ];
    for import in component_imports() {
        assert!(
            ALLOWED.iter().any(|allowed| import.starts_with(allowed)),
            "the component must not import {import}"
        );
    }
}
