//! The MaxCompute component.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::encode::{Interface, encode_file, write_if_changed};
use crate::project::Project;
use crate::steps::{Step, done, heading};
use crate::toolchain::{TARGET, ensure_target};

/// The import list that is agreed on.
const GOLDEN: &str = "guest/maxcompute/imports.golden";

/// zlib at level 1 runs at native speed with it and at two thirds without.
const SIMD: &str = "-Ctarget-feature=+simd128";

/// How to build.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Encode this module instead of building one.
    pub(crate) core_module: Option<PathBuf>,
    /// Take the import list as it is.
    pub(crate) bless: bool,
}

/// Builds the component, and holds its imports to the golden list.
pub(crate) fn build(project: &Project, options: &Options) -> Result<()> {
    let module = match &options.core_module {
        Some(module) => module.clone(),
        None => core_module(project, "longshore-maxcompute")?,
    };
    let component = project.component();
    encode_file(project, &module, &component)?;
    check_imports(project, &component, options.bless)
}

/// Builds a package for the component target and returns the module.
pub(crate) fn core_module(project: &Project, package: &str) -> Result<PathBuf> {
    ensure_target(project)?;
    let args = [
        "build",
        "--package",
        package,
        "--lib",
        "--profile",
        "component",
        "--target",
        TARGET,
    ];
    let step = Step::cargo(project, &args);
    // The same flags stand in .cargo/config.toml; flags from the environment would displace them.
    match flags_from_environment() {
        Some(flags) => step.env("CARGO_ENCODED_RUSTFLAGS", flags).run()?,
        None => step.run()?,
    }
    let file = package.replace('-', "_");
    Ok(project.target(&format!("{TARGET}/component/{file}.wasm")))
}

fn flags_from_environment() -> Option<String> {
    const SEPARATOR: &str = "\x1f";
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").ok().or_else(|| {
        let flags = env::var("RUSTFLAGS").ok()?;
        Some(flags.split_whitespace().collect::<Vec<_>>().join(SEPARATOR))
    })?;
    Some(if flags.is_empty() {
        SIMD.to_owned()
    } else {
        [flags.as_str(), SIMD].join(SEPARATOR)
    })
}

fn check_imports(project: &Project, component: &Path, bless: bool) -> Result<()> {
    heading(&format!("compare the component's imports with {GOLDEN}"));
    let start = Instant::now();
    let bytes =
        fs::read(component).with_context(|| format!("can not read {}", component.display()))?;
    let imports = Interface::of(&bytes)?.imports;
    let golden = project.path(GOLDEN);
    if bless {
        write_if_changed(&golden, (imports.join("\n") + "\n").as_bytes())?;
    }
    let text = fs::read_to_string(&golden).with_context(|| {
        format!(
            "can not read {}; `cargo xtask component --bless` writes it",
            golden.display()
        )
    })?;
    let agreed: Vec<&str> = text.lines().collect();
    let unexpected = imports
        .iter()
        .filter(|name| !agreed.contains(&name.as_str()));
    let missing = agreed
        .iter()
        .filter(|name| !imports.iter().any(|import| import == *name));
    let difference: Vec<String> = unexpected
        .map(|name| format!("  + {name}"))
        .chain(missing.map(|name| format!("  - {name}")))
        .collect();
    if !difference.is_empty() {
        bail!(
            "the component's imports are not those of {GOLDEN} (+ new, - gone):\n{}\n\
             Every import is a power the sink asks of its host. If the change is meant, accept it with\n  \
             cargo xtask component --bless",
            difference.join("\n")
        );
    }
    done(start);
    Ok(())
}
