//! The tasks that are made of several steps.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::component::{self, Options};
use crate::project::Project;
use crate::read_back::{read_back, serve_command};
use crate::steps::{Step, heading};
use crate::toolchain::TARGET;

/// Guests of the runtime's tests, a workspace of their own.
const TEST_GUESTS: &str = "host/runtime/tests/guests/Cargo.toml";

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
    let (changes, flights) = (path("pipeline.yaml"), path("flights.yaml"));
    let data_directory = directory.join(".longshore/local");
    let data = project.shown(&data_directory);
    for args in [
        &["run", changes.as_str()][..],
        &["run", flights.as_str()],
        &["local", "tables", "--data", data.as_str()],
    ] {
        Step::program(project, longshore.as_os_str(), args).run()?;
    }
    read_back(project, &directory, &data_directory)?;
    heading(&format!(
        "demo finished in {:.0} s",
        start.elapsed().as_secs_f64()
    ));
    eprintln!(
        "    look closer: {} local show TABLE --data {data}",
        project.shown(&longshore)
    );
    eprintln!(
        "    serve it to your own scripts: {}",
        serve_command(project, &data_directory)
    );
    Ok(())
}

/// Everything that has to hold.
pub(crate) fn test(project: &Project) -> Result<()> {
    let start = Instant::now();
    lint(project)?;
    // One invocation for everything, the binary included: what is built apart gets other features
    // of the shared dependencies, and those would be compiled twice.
    let args = ["test", "--release", "--workspace", "--no-fail-fast"];
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
    Step::cargo(project, &["fmt", "--manifest-path", TEST_GUESTS, "--check"]).run()?;
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
    Step::cargo(project, &[&guest[..], &deny].concat()).run()?;
    // Where and how the tests build them, so that the dependencies compile once.
    let target = project.target("guests");
    let target = project.shown(&target);
    let guests = [
        "clippy",
        "--manifest-path",
        TEST_GUESTS,
        "--locked",
        "--release",
        "--target",
        TARGET,
        "--target-dir",
        &target,
    ];
    Step::cargo(project, &[&guests[..], &deny].concat()).run()
}

/// Schedules of the simulation.
pub(crate) fn simulate(project: &Project, words: &[String]) -> Result<()> {
    // From the whole workspace for its features; the component is not part of it.
    let args = [
        "build",
        "--release",
        "--workspace",
        "--bin",
        "longshore-simulation",
    ];
    Step::cargo(project, &args).run()?;
    let play = project.release_program("longshore-simulation");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Step::program(project, play.as_os_str(), &words).run()
}

/// Measurements: parts of the core, the same code native and as WebAssembly, and whole runs.
pub(crate) fn bench(project: &Project, args: &[String]) -> Result<()> {
    component::build(project, &Options::default())?;
    let module = component::core_module(project, "longshore-bench-guest")?;
    // Compared with WebAssembly is native code of the same profile.
    let native = [
        "build",
        "--package",
        "longshore-bench-guest",
        "--bins",
        "--profile",
        "component",
    ];
    Step::cargo(project, &native).run()?;
    build_bench(project)?;
    let mut core = vec!["bench", "--workspace", "--bench", "encode"];
    if !args.is_empty() {
        core.push("--");
        core.extend(args.iter().map(String::as_str));
    }
    Step::cargo(project, &core).with_component(project).run()?;
    let measure = project.release_program("longshore-bench");
    let module = project.shown(&module);
    let native = project.shown(&project.component_program("longshore-bench-native"));
    let compare = ["module", "--module", &module, "--native", &native];
    Step::program(project, measure.as_os_str(), &compare).run()?;
    Step::program(project, measure.as_os_str(), &["whole"]).run()
}

/// The same rows by Longshore and by the clients it is compared with.
pub(crate) fn bench_peers(project: &Project, args: &[&str]) -> Result<()> {
    component::build(project, &Options::default())?;
    build_bench(project)?;
    let measure = project.release_program("longshore-bench");
    let args = [&["peers"], args].concat();
    Step::program(project, measure.as_os_str(), &args).run()
}

/// Kills and outages, as `arguments` say.
pub(crate) fn chaos(project: &Project, arguments: &[String]) -> Result<()> {
    component::build(project, &Options::default())?;
    build_with(project, "longshore-chaos")?;
    let chaos = project.release_program("longshore-chaos");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Step::program(project, chaos.as_os_str(), &arguments).run()
}

fn build_bench(project: &Project) -> Result<()> {
    build_with(project, "longshore-bench")
}

/// The binary, and a program that runs it.
fn build_with(project: &Project, program: &str) -> Result<()> {
    // The whole workspace resolves the features that the tests have: nothing heavy is built twice.
    let programs = [
        "build",
        "--release",
        "--workspace",
        "--bin",
        "longshore",
        "--bin",
        program,
    ];
    Step::cargo(project, &programs)
        .with_component(project)
        .run()
}

/// From the whole workspace, not as a package by itself: that resolves other features of what it
/// shares with the tests, and DataFusion would be compiled once for the demo and again for the tests.
fn build_host(project: &Project) -> Result<()> {
    let args = ["build", "--release", "--workspace", "--bin", "longshore"];
    Step::cargo(project, &args).with_component(project).run()
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
