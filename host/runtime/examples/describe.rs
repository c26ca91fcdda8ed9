//! Loads a sink component and prints what it says about itself:
//! `cargo run --release -p longshore-runtime --example describe -- sink.wasm [CACHE_DIR]`.

use longshore_runtime::{Engine, EngineConfig};
use std::error::Error;
use std::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let path = arguments.next().ok_or("which component? give its path")?;
    let cache_dir = arguments.next().map(Into::into);
    let engine = Engine::new(EngineConfig {
        cache_dir,
        ..EngineConfig::default()
    })?;
    let bytes = std::fs::read(path)?;
    let start = Instant::now();
    let component = engine.load(&bytes)?;
    eprintln!("loaded in {:?}", start.elapsed());
    for import in component.imports() {
        eprintln!("imports {import}");
    }
    let start = Instant::now();
    let info = component.describe().await?;
    eprintln!("described in {:?}", start.elapsed());
    println!("{}", serde_json::to_string_pretty(&info)?);
    Ok(())
}
