//! The same encoder and compressors as native code and as a WebAssembly module, both built with
//! the component's profile.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_bench_guest::COMPRESSIONS;
use wasmtime::{Engine, Linker, Module, Store};

const ROUNDS: usize = 25;

/// Prints nanoseconds a row, native and in the module, best of interleaved rounds.
pub(crate) fn compare(module: &Path, native: &Path) -> Result<()> {
    // The settings with which the host runs its own component.
    let engine = Engine::default();
    let module = Module::from_file(&engine, module)
        .map_err(anyhow::Error::from)
        .with_context(|| {
            format!(
                "can not load {}; `cargo xtask bench` builds it",
                module.display()
            )
        })?;
    println!("encode + compress, one core, best of {ROUNDS} interleaved rounds");
    println!(
        "{:<8} {:<8} {:>13} {:>12} {:>7} {:>12}",
        "rows", "codec", "native ns/row", "wasm ns/row", "ratio", "size ratio"
    );
    for (shape, wide, rows) in [("narrow", false, 32_768_u32), ("wide", true, 8_192)] {
        for (number, (name, _)) in COMPRESSIONS.iter().enumerate() {
            let number = u32::try_from(number)?;
            let mut native = Native::start(native, wide, number)?;
            let mut store = Store::new(&engine, ());
            // What the standard library wants of WASI (a seed, a place for panics) can be nothing here.
            let mut linker = Linker::new(&engine);
            linker.define_unknown_imports_as_default_values(&mut store, &module)?;
            let instance = linker.instantiate(&mut store, &module)?;
            let prepare = instance.get_typed_func::<(u32, u32), u32>(&mut store, "prepare")?;
            let block = instance.get_typed_func::<(), u32>(&mut store, "block")?;
            ensure!(
                prepare.call(&mut store, (u32::from(wide), number))? == 1,
                "the module can make the rows"
            );
            let (mut native_best, mut wasm_best) = (Duration::MAX, Duration::MAX);
            let mut size_ratio = 1.0;
            for _ in 0..ROUNDS {
                let (native_size, time) = native.block()?;
                native_best = native_best.min(time);
                let start = Instant::now();
                let wasm_size = block.call(&mut store, ())?;
                wasm_best = wasm_best.min(start.elapsed());
                // A compressor may look for matches differently where pointers are smaller.
                ensure!(
                    native_size == wasm_size || *name == "lz4",
                    "{name}: {native_size} bytes natively, {wasm_size} from the module"
                );
                size_ratio = f64::from(wasm_size) / f64::from(native_size);
            }
            let per_row = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(rows);
            println!(
                "{shape:<8} {name:<8} {:>13.0} {:>12.0} {:>7.2} {size_ratio:>12.3}",
                per_row(native_best),
                per_row(wasm_best),
                wasm_best.as_secs_f64() / native_best.as_secs_f64()
            );
        }
    }
    Ok(())
}

/// The process with the native code.
struct Native {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Native {
    fn start(program: &Path, wide: bool, compression: u32) -> Result<Self> {
        let mut child = Command::new(program)
            .args([u32::from(wide).to_string(), compression.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!(
                    "can not start {}; `cargo xtask bench` builds it",
                    program.display()
                )
            })?;
        Ok(Self {
            ask: child.stdin.take().context("standard input is a pipe")?,
            answers: BufReader::new(child.stdout.take().context("standard output is a pipe")?),
            child,
        })
    }

    /// Makes one block; its size and how long it took.
    fn block(&mut self) -> Result<(u32, Duration)> {
        self.ask.write_all(b"\n")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let (size, nanoseconds) = answer
            .trim_end()
            .split_once(' ')
            .context("the native program ended")?;
        Ok((size.parse()?, Duration::from_nanos(nanoseconds.parse()?)))
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // An error means it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
