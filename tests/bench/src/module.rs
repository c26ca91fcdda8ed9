//! The same encoder and compressors as native code and as a WebAssembly module.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_bench_guest::{COMPRESSIONS, Work};
use wasmtime::{Engine, Instance, Module, Store};

const ROUNDS: usize = 9;

/// Prints milliseconds per pool of rows, native and in the module, best of interleaved rounds.
pub(crate) fn compare(path: &Path) -> Result<()> {
    let engine = Engine::default();
    let module = Module::from_file(&engine, path)
        .map_err(anyhow::Error::from)
        .with_context(|| {
            format!(
                "can not load {}; `cargo xtask bench` builds it",
                path.display()
            )
        })?;
    println!("encode + compress, one core, best of {ROUNDS} interleaved rounds");
    println!(
        "{:<8} {:<8} {:>12} {:>12} {:>7}",
        "rows", "codec", "native ns/row", "wasm ns/row", "ratio"
    );
    for (shape, wide, rows) in [("narrow", false, 32_768_u32), ("wide", true, 8_192)] {
        for (number, (name, _)) in COMPRESSIONS.iter().enumerate() {
            let mut native = Work::new(wide, number).context("the rows can be made")?;
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[])?;
            let prepare = instance.get_typed_func::<(u32, u32), u32>(&mut store, "prepare")?;
            let block = instance.get_typed_func::<(), u32>(&mut store, "block")?;
            let number = u32::try_from(number)?;
            ensure!(
                prepare.call(&mut store, (u32::from(wide), number))? == 1,
                "the module can make the rows"
            );
            let (mut native_best, mut wasm_best) = (Duration::MAX, Duration::MAX);
            for _ in 0..ROUNDS {
                let start = Instant::now();
                let native_size = native.block().context("native code encodes the rows")?;
                native_best = native_best.min(start.elapsed());
                let start = Instant::now();
                let wasm_size = block.call(&mut store, ())?;
                wasm_best = wasm_best.min(start.elapsed());
                ensure!(
                    native_size == wasm_size as usize,
                    "both make the same bytes"
                );
            }
            let per_row = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(rows);
            println!(
                "{shape:<8} {name:<8} {:>12.0} {:>12.0} {:>7.2}",
                per_row(native_best),
                per_row(wasm_best),
                wasm_best.as_secs_f64() / native_best.as_secs_f64()
            );
        }
    }
    Ok(())
}
