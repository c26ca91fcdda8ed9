//! Finds the component that the binary embeds. It is built by `cargo xtask`, never from here.

use std::path::Path;

const VARIABLE: &str = "LONGSHORE_COMPONENT";
const DEFAULT: &str = "target/component/longshore-maxcompute.wasm";

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        Some(path) => workspace.join(path),
        None => workspace.join(DEFAULT),
    };
    pack_relocations();
    // A missing file counts as changed: the next build looks again.
    println!("cargo::rerun-if-changed={}", path.display());
    if let Err(error) = embed(&path) {
        missing(&path, &error);
    }
}

/// The program carries the component and the digest of it.
fn embed(component: &Path) -> std::io::Result<()> {
    let component = component.canonicalize()?;
    let digest = blake3::hash(&std::fs::read(&component)?);
    let out = std::env::var_os("OUT_DIR").ok_or(std::io::ErrorKind::NotFound)?;
    std::fs::write(Path::new(&out).join("component-digest"), digest.as_bytes())?;
    println!(
        "cargo::rustc-env=LONGSHORE_COMPONENT_FILE={}",
        component.display()
    );
    Ok(())
}

fn missing(path: &Path, error: &std::io::Error) {
    println!(
        "cargo::error=the sink component {} can not be read ({error}). \
         Run `cargo xtask build`: it builds the component, then this program with it. \
         To embed another component name its file in {VARIABLE}.",
        path.display()
    );
}

/// The program has half a million relocations. Packed they take kilobytes of memory where they took
/// ten megabytes, and the program starts sooner. Linkers that can not do it ignore the flag.
fn pack_relocations() {
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}"));
    if target("OS").as_deref() == Ok("linux") && target("ENV").as_deref() == Ok("gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
