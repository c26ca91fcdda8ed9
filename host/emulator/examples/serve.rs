//! Runs the emulator until standard input closes: `serve LISTEN DATA_DIR [--no-auth]`.

use std::io::Read;
use std::path::PathBuf;

use longshore_emulator::{Auth, Mode, Server, ServerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:0".to_owned())
        .parse()?;
    let data_dir = PathBuf::from(
        arguments
            .next()
            .ok_or("usage: serve LISTEN DATA_DIR [--no-auth]")?,
    );
    let credentials = match arguments.next().as_deref() {
        Some("--no-auth") => Auth::Disabled,
        _ => Auth::Required {
            access_id: "ak".to_owned(),
            access_key: "sk".to_owned(),
        },
    };
    let config = ServerConfig {
        listen,
        data_dir,
        project: "local".to_owned(),
        credentials,
        mode: Mode::Store,
    };
    let server = Server::start(config).await?;
    for (name, value) in server.environment() {
        println!("{name}={value}");
    }
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    server.shutdown().await;
    Ok(())
}
