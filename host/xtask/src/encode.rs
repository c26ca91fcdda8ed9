//! From a core module for `wasm32-wasip1` to a component that imports its world and nothing else.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, WitPrinter};
use wit_parser::{PackageId, Resolve, WorldId};

use crate::project::Project;
use crate::steps::{done, heading};

/// Encodes `module` into `output` and writes the WIT of the result beside it.
pub(crate) fn encode_file(project: &Project, module: &Path, output: &Path) -> Result<()> {
    heading(&format!("encode {} as a component", project.shown(module)));
    let start = Instant::now();
    let bytes = fs::read(module).with_context(|| format!("can not read {}", module.display()))?;
    let component = encode(&bytes, &stub(project)?)
        .with_context(|| format!("{} can not be made a component", module.display()))?;
    let interface = Interface::of(&component)?;
    write_if_changed(output, &component)?;
    write_if_changed(&output.with_extension("wit"), interface.wit.as_bytes())?;
    eprintln!(
        "    {} ({:.1} MiB), imports:",
        project.shown(output),
        component.len() as f64 / f64::from(1 << 20)
    );
    for import in &interface.imports {
        eprintln!("      {import}");
    }
    done(start);
    Ok(())
}

/// What a component asks for and what it offers.
#[derive(Debug)]
pub(crate) struct Interface {
    /// Names of imports, sorted.
    pub(crate) imports: Vec<String>,
    /// The composed world and every package it refers to, as WIT text.
    pub(crate) wit: String,
}

impl Interface {
    /// Reads the interface of an encoded component.
    pub(crate) fn of(component: &[u8]) -> Result<Self> {
        let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
            bail!("this is a WIT package, not a component");
        };
        Ok(Self {
            imports: import_names(&resolve, world),
            wit: world_text(&resolve, world)?,
        })
    }
}

/// The module that answers WASI preview 1, from `guest/sdk`.
pub(crate) fn stub(project: &Project) -> Result<Vec<u8>> {
    let source = project.path("guest/sdk/preview1-stub.wat");
    let types = project.path("guest/sdk/preview1-stub.wit");
    let mut module =
        wat::parse_file(&source).with_context(|| format!("in {}", source.display()))?;
    let mut resolve = Resolve::default();
    let text =
        fs::read_to_string(&types).with_context(|| format!("can not read {}", types.display()))?;
    let package = resolve.push_str(&types, &text)?;
    let world = resolve.select_world(&[package], None)?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(module)
}

/// Joins a module with the stub. What the module does not reach of the stub is left out, together
/// with the imports that part would need.
pub(crate) fn encode(module: &[u8], stub: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)?
        .adapter("wasi_snapshot_preview1", stub)?
        .merge_imports_based_on_semver(true)
        .encode()
}

/// Replaces a file at once and only when its content differs: an interrupted build leaves the old
/// file, an unchanged one does not make cargo build the host again.
pub(crate) fn write_if_changed(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    let write = || -> Result<()> {
        fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(content)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("can not write {}", path.display()))
}

fn import_names(resolve: &Resolve, world: WorldId) -> Vec<String> {
    let Some(world) = resolve.worlds.get(world) else {
        return Vec::new();
    };
    let mut names: Vec<String> = world
        .imports
        .keys()
        .map(|key| resolve.name_world_key(key))
        .collect();
    names.sort();
    names
}

fn world_text(resolve: &Resolve, world: WorldId) -> Result<String> {
    let main = resolve
        .worlds
        .get(world)
        .and_then(|world| world.package)
        .context("the component's world has no package")?;
    let others: Vec<PackageId> = resolve
        .packages
        .iter()
        .map(|(id, _)| id)
        .filter(|id| *id != main)
        .collect();
    let mut printer = WitPrinter::default();
    printer.print(resolve, main, &others)?;
    Ok(printer.output.to_string())
}

#[cfg(test)]
mod tests;
