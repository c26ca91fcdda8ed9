//! A service behind TLS.

use std::path::Path;

use anyhow::Result;
use longshore_tests::{Client, LocalServer, Pyodps, Run, TlsFront, longshore};

fn run(directory: &Path, front: &TlsFront, server: &LocalServer, trusted: bool) -> Result<Run> {
    std::fs::write(directory.join("rows.csv"), "id,text\n1,one\n2,two\n")?;
    std::fs::write(
        directory.join("pipeline.yaml"),
        format!(
            "source:\n  type: file\n  path: rows.csv\n  table: over_tls\n  primary-key: id\n{}  buckets-num: 1\n",
            server.sink_behind(&format!("https://{}/api", front.authority()))?,
        ),
    )?;
    let mut command = longshore(&["run", "pipeline.yaml"])?;
    command.current_dir(directory).env_remove("SSL_CERT_DIR");
    if trusted {
        command.env("SSL_CERT_FILE", front.certificate_authority());
    }
    Run::of(&mut command)
}

#[test]
fn rows_arrive_over_https() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = LocalServer::start(&directory.path().join("data"))?;
    let front = TlsFront::before(&server.address()?, directory.path())?;
    run(directory.path(), &front, &server, true)?.success()?;
    let rows = Pyodps.call(&server, &["read", "over_tls"])?;
    assert_eq!(rows.lines().count(), 2, "{rows}");
    Ok(())
}

#[test]
fn a_certificate_nobody_trusts_is_told() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = LocalServer::start(&directory.path().join("data"))?;
    let front = TlsFront::before(&server.address()?, directory.path())?;
    let run = run(directory.path(), &front, &server, false)?;
    assert_eq!(run.code, 4, "{run:?}");
    assert!(run.stderr.contains("certificate"), "{run:?}");
    assert!(run.stderr.contains(front.authority()), "{run:?}");
    Ok(())
}
