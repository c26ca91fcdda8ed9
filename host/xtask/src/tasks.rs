//! The tasks that are made of several steps.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::component::{self, Options};
use crate::project::Project;
use crate::steps::{Step, heading};
use crate::toolchain::TARGET;

/// Component, then host.
pub(crate) fn build(project: &Project, options: &Options) -> Result<()> {
    component::build(project, options)?;
    build_host(project)?;
    heading(&format!("built {}", project.shown(&project.binary())));
    Ok(())
}

/// The data sets of the quickstart, from file to warehouse and back.
pub(crate) fn demo(project: &Project, options: &Options) -> Result<()> {
    let start = Instant::now();
    build(project, options)?;
    let directory = project.target("demo");
    copy_quickstart(project, &directory)?;
    let longshore = project.binary();
    let path = |name: &str| project.shown(&directory.join(name));
    let (changes, flights, data) = (
        path("pipeline.yaml"),
        path("flights.yaml"),
        path(".longshore/local"),
    );
    for args in [
        &["run", changes.as_str()][..],
        &["run", flights.as_str()],
        &["local", "tables", "--data", data.as_str()],
    ] {
        Step::program(project, longshore.as_os_str(), args).run()?;
    }
    heading(&format!(
        "demo finished in {:.0} s",
        start.elapsed().as_secs_f64()
    ));
    eprintln!(
        "    look closer: {} local show TABLE --data {data}",
        project.shown(&longshore)
    );
    Ok(())
}

/// Everything that has to hold. Without `conformance` the official clients are left out.
pub(crate) fn test(project: &Project, conformance: bool) -> Result<()> {
    /// The module of `tests/` that runs the official clients; they need Python and Java.
    const CONFORMANCE: &str = "conformance::";
    let start = Instant::now();
    lint(project)?;
    // One invocation for everything, the binary included: what is built apart gets other features
    // of the shared dependencies, and those would be compiled twice.
    let mut args = vec!["test", "--release", "--workspace", "--no-fail-fast"];
    if !conformance {
        args.extend(["--", "--skip", CONFORMANCE]);
    }
    Step::cargo(project, &args).with_component(project).run()?;
    heading(&format!(
        "all tests passed in {:.0} s",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Formatting and lints.
pub(crate) fn lint(project: &Project) -> Result<()> {
    Step::cargo(project, &["fmt", "--all", "--check"]).run()?;
    // The host does not compile without a component to embed.
    component::build(project, &Options::default())?;
    let deny = ["--", "-D", "warnings"];
    // The release profile shares build scripts and procedural macros with the tests.
    let native = ["clippy", "--release", "--workspace", "--all-targets"];
    Step::cargo(project, &[&native[..], &deny].concat())
        .with_component(project)
        .run()?;
    let guest = [
        "clippy",
        "--profile",
        "component",
        "--package",
        "longshore-maxcompute",
        "--target",
        TARGET,
    ];
    Step::cargo(project, &[&guest[..], &deny].concat()).run()
}

/// Measurements: parts of the core, the same code native and as WebAssembly, and whole runs.
pub(crate) fn bench(project: &Project, args: &[String]) -> Result<()> {
    component::build(project, &Options::default())?;
    let module = component::core_module(project, "longshore-bench-guest")?;
    // Selected together, the packages resolve the features that the tests have: nothing heavy is built twice.
    let programs = [
        "build",
        "--release",
        "--package",
        "longshore",
        "--package",
        "longshore-bench",
    ];
    Step::cargo(project, &programs)
        .with_component(project)
        .run()?;
    let mut core = vec!["bench", "--workspace", "--bench", "encode"];
    if !args.is_empty() {
        core.push("--");
        core.extend(args.iter().map(String::as_str));
    }
    Step::cargo(project, &core).with_component(project).run()?;
    let module = project.shown(&module);
    let measure = project.release_program("longshore-bench");
    Step::program(
        project,
        measure.as_os_str(),
        &["module", "--module", &module],
    )
    .run()?;
    Step::program(project, measure.as_os_str(), &["whole"]).run()
}

fn build_host(project: &Project) -> Result<()> {
    Step::cargo(project, &["build", "--release", "--package", "longshore"])
        .with_component(project)
        .run()
}

/// A fresh copy, so that every demo starts at the beginning and the checkout stays clean.
fn copy_quickstart(project: &Project, directory: &Path) -> Result<()> {
    let copy = || -> std::io::Result<()> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(directory)?,
        }
        for entry in fs::read_dir(project.path("examples/quickstart"))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), directory.join(entry.file_name()))?;
            }
        }
        Ok(())
    };
    copy().with_context(|| {
        format!(
            "can not copy examples/quickstart to {}",
            directory.display()
        )
    })
}
