//! The tunnel against pyodps itself, with its pure Python and its compiled writers.
//!
//! Runs when `LONGSHORE_PYTHON` names a Python with pyodps 0.13.2, pandas, pyarrow, lz4, zstandard and
//! python-snappy; the whole conformance suite lives in `tests/conformance` of the repository.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

use longshore_emulator::{Auth, Mode, Server, ServerConfig};

async fn run(environment: &[(&str, &str)]) {
    let Ok(python) = std::env::var("LONGSHORE_PYTHON") else {
        eprintln!("skipped: LONGSHORE_PYTHON is not set");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: dir.path().to_owned(),
        project: "p".to_owned(),
        credentials: Auth::Required {
            access_id: "id".to_owned(),
            access_key: "key".to_owned(),
        },
        mode: Mode::Store,
    })
    .await
    .unwrap();
    let output = tokio::process::Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/pyodps_tunnel.py"
        ))
        .envs(server.environment())
        .envs(environment.iter().copied())
        .output()
        .await
        .unwrap();
    eprintln!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success());
    server.shutdown().await;
}

#[tokio::test]
async fn pure_python() {
    run(&[("LONGSHORE_PYODPS", "pure")]).await;
}

#[tokio::test]
async fn compiled() {
    run(&[("LONGSHORE_PYODPS", "compiled")]).await;
}
