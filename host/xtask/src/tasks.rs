//! The tasks that are made of several steps.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::component::{self, Options};
use crate::project::Project;
use crate::steps::{Step, heading};
use crate::toolchain::TARGET;

/// Names the component to the host's build.
const COMPONENT_VARIABLE: &str = "LONGSHORE_COMPONENT";

/// Component, then host.
pub(crate) fn build(project: &Project, options: &Options) -> Result<()> {
    let component = component::build(project, options)?;
    build_host(project, &component)?;
    heading(&format!("built {}", project.binary().display()));
    Ok(())
}

/// The change stream of the quickstart, from file to warehouse and back.
pub(crate) fn demo(project: &Project, options: &Options) -> Result<()> {
    const PIPELINE: &str = "examples/quickstart/pipeline.yaml";
    let start = Instant::now();
    build(project, options)?;
    let longshore = project.binary();
    let run = |args: &[&str]| Step::program(project, longshore.as_os_str(), args).run();
    run(&["run", PIPELINE])?;
    run(&["local", "tables"])?;
    heading(&format!(
        "demo finished in {:.0} s",
        start.elapsed().as_secs_f64()
    ));
    eprintln!("    look closer: target/release/longshore local show TABLE");
    Ok(())
}

/// Everything that has to hold.
pub(crate) fn test(project: &Project, conformance: bool) -> Result<()> {
    let start = Instant::now();
    lint(project)?;
    let component = project.component();
    build_host(project, &component)?;
    // One invocation: the crates share features, so what was built for the binary is not built again.
    let mut args = vec!["test", "--release", "--workspace", "--no-fail-fast"];
    if !conformance {
        args.extend(["--", "--skip", CONFORMANCE_MODULE]);
    }
    Step::cargo(project, &args)
        .env(COMPONENT_VARIABLE, &component)
        .run()?;
    heading(&format!(
        "all tests passed in {:.0} s",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// The module of `tests/` that runs the official clients; they need Python and Java.
const CONFORMANCE_MODULE: &str = "conformance::";

/// Formatting and lints.
pub(crate) fn lint(project: &Project) -> Result<()> {
    Step::cargo(project, &["fmt", "--all", "--check"]).run()?;
    // The host does not compile without a component to embed.
    let component = component::build(project, &Options::default())?;
    let deny = ["--", "-D", "warnings"];
    // The release profile shares build scripts and procedural macros with the tests.
    let native = ["clippy", "--release", "--workspace", "--all-targets"];
    Step::cargo(project, &[&native[..], &deny].concat())
        .env(COMPONENT_VARIABLE, &component)
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

/// Measurements.
pub(crate) fn bench(project: &Project, args: &[String]) -> Result<()> {
    let component = component::build(project, &Options::default())?;
    if args.iter().any(|arg| arg == "--help") {
        bail!(
            "arguments after `--` go to every benchmark; a name filters, for example `cargo xtask bench -- zlib`"
        );
    }
    for package in BENCHMARKED_PACKAGES {
        let mut line = vec!["bench", "--package", package];
        if !args.is_empty() {
            line.push("--");
            line.extend(args.iter().map(String::as_str));
        }
        Step::cargo(project, &line)
            .env(COMPONENT_VARIABLE, &component)
            .run()?;
    }
    Ok(())
}

/// Packages with a `benches` directory, in the order they run.
const BENCHMARKED_PACKAGES: [&str; 1] = ["longshore-core"];

fn build_host(project: &Project, component: &Path) -> Result<()> {
    Step::cargo(project, &["build", "--release", "--package", "longshore"])
        .env(COMPONENT_VARIABLE, component)
        .run()
}
