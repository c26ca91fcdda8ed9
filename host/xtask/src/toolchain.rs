//! What has to be installed to build the component.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::project::Project;
use crate::steps::{Step, heading};

/// The target components are built for. `wasm32-wasip2` would be the obvious one, but its standard
/// library imports ten `wasi:cli` interfaces into every component.
pub(crate) const TARGET: &str = "wasm32-wasip1";

/// For machines whose Rust does not come from rustup. Debian's security archive has a compiler that
/// is new enough, with the library's source in place of a ready-made target.
const WITHOUT_RUSTUP: &str = "\
Either install rustup (your distribution may package it; its site is https://rustup.rs) and run
  rustup target add wasm32-wasip1

or, on Debian 12, build the standard library along with the component:
  apt-get install rustc-web cargo-web rust-web-src rust-web-llvm lld-22 wasi-libc
  RUSTC_BOOTSTRAP=1 PATH=/usr/bin:$PATH \\
  RUSTFLAGS='-L /usr/lib/wasm32-wasi -C link-self-contained=no -C target-feature=+simd128' \\
  cargo build --package longshore-maxcompute --profile component --target wasm32-wasip1 \\
    -Zbuild-std=std,panic_abort
and hand the module to the build:
  cargo xtask build --core-module target/wasm32-wasip1/component/longshore_maxcompute.wasm";

/// Installs what is missing, or says exactly what to install.
pub(crate) fn setup(project: &Project) -> Result<()> {
    ensure_target(project)?;
    heading(&format!("ready: target {TARGET} is installed"));
    eprintln!("    next: `cargo xtask demo` builds everything and shows it at work");
    Ok(())
}

/// Adds the target through rustup unless it is there.
pub(crate) fn ensure_target(project: &Project) -> Result<()> {
    if target_is_installed()? {
        return Ok(());
    }
    if !has_rustup() {
        bail!(
            "the Rust target {TARGET} is not installed, and there is no rustup to add it.\n\n{WITHOUT_RUSTUP}"
        );
    }
    Step::program(project, "rustup".as_ref(), &["target", "add", TARGET])
        .run()
        .with_context(|| format!("rustup could not add the target {TARGET}.\n\n{WITHOUT_RUSTUP}\n"))
}

fn target_is_installed() -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("can not run `{}`; is Rust installed?", rustc.display()))?;
    let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end());
    // The directory may exist without a library when the target was removed.
    let holds_std = directory.read_dir().is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
        })
    });
    Ok(output.status.success() && holds_std)
}

fn has_rustup() -> bool {
    Command::new("rustup")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
