//! Where things are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The checkout and its build directory.
#[derive(Debug)]
pub(crate) struct Project {
    root: PathBuf,
    target: PathBuf,
}

impl Project {
    /// The checkout this program was built from.
    pub(crate) fn locate() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest
            .ancestors()
            .nth(2)
            .with_context(|| format!("{} is not inside a checkout", manifest.display()))?;
        if !root.join("wit/sink.wit").is_file() {
            bail!(
                "{} is no checkout of Longshore; run `cargo xtask` inside one",
                root.display()
            );
        }
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self {
            root: root.to_owned(),
            target,
        })
    }

    /// The checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the checkout.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A path below the build directory.
    pub(crate) fn target(&self, relative: &str) -> PathBuf {
        self.target.join(relative)
    }

    /// The component that `build` makes and the host embeds.
    pub(crate) fn component(&self) -> PathBuf {
        self.target("component/longshore-maxcompute.wasm")
    }

    /// Whether the host's build finds the component without being told.
    pub(crate) fn target_is_default(&self) -> bool {
        self.target == self.root.join("target")
    }

    /// A path as a person in the checkout would write it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// The host binary.
    pub(crate) fn binary(&self) -> PathBuf {
        self.release_program("longshore")
    }

    /// A program of the release profile.
    pub(crate) fn release_program(&self, name: &str) -> PathBuf {
        self.program("release", name)
    }

    /// A native program built with the component's profile.
    pub(crate) fn component_program(&self, name: &str) -> PathBuf {
        self.program("component", name)
    }

    fn program(&self, directory: &str, name: &str) -> PathBuf {
        self.target(directory)
            .join(name)
            .with_extension(env::consts::EXE_EXTENSION)
    }

    /// The cargo that runs this program.
    pub(crate) fn cargo(&self) -> OsString {
        env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
    }
}
