//! What the component sends, taken apart by other implementations: HTTP and compression by Python's,
//! records and their checksums by pyodps.

use std::path::Path;

use anyhow::{Context, Result};
use longshore_tests::{LocalServer, Pyodps, Recorder, Run, longshore};
use serde_json::Value;

/// Rows that make up several blocks before compression.
const ROWS: u64 = 20_000;

fn text(id: u64) -> String {
    format!(
        "行 {id}: {}",
        "abcdefgh".repeat(usize::try_from(id % 50).unwrap_or(0))
    )
}

fn write_rows(path: &Path) -> Result<()> {
    let mut lines = String::new();
    for id in 0..ROWS {
        lines += &format!("{{\"id\":{id},\"text\":\"{}\"}}\n", text(id));
    }
    Ok(std::fs::write(path, lines)?)
}

fn assert_decoded(compression: &str, encoding: Option<&str>) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let server = LocalServer::start(&directory.join("data"))?;
    let recorder = Recorder::before(&server.address()?)?;
    write_rows(&directory.join("rows.json"))?;
    for (table, key) in [("append", ""), ("delta", "\n  primary-key: id")] {
        let pipeline = format!(
            "source:\n  type: file\n  path: rows.json\n  table: {table}{key}\n{}  buckets-num: 2\n  \
             block-size: 300kb\n  compress.algorithm: {compression}\npipeline:\n  name: {table}\n",
            server.sink_behind(&format!("http://{}/api", recorder.authority()))?,
        );
        let file = format!("{table}.yaml");
        std::fs::write(directory.join(&file), pipeline)?;
        Run::of(longshore(&["run", &file])?.current_dir(directory))?.success()?;
    }
    recorder.save(&directory.join("sent"))?;
    let bodies = Pyodps::script("bodies.py", &[&directory.join("sent")], &[])?;

    for table in ["append", "delta"] {
        let mut rows = Vec::new();
        for body in bodies.lines() {
            let body: Value = serde_json::from_str(body)?;
            let path = body["path"].as_str().context("a path")?;
            if !path.split('/').any(|part| part == table) {
                continue;
            }
            assert_eq!(
                body["encoding"].as_str(),
                encoding,
                "{compression}, {table}"
            );
            if encoding.is_some() {
                assert!(
                    body["sent"].as_u64() < body["plain"].as_u64(),
                    "{compression}, {table}"
                );
            }
            for row in body["rows"].as_array().into_iter().flatten() {
                let id = row["id"].as_u64().with_context(|| row.to_string())?;
                assert_eq!(row["text"], text(id), "{compression}, {table}");
                rows.push(id);
            }
        }
        rows.sort_unstable();
        assert!(
            rows.iter().copied().eq(0..ROWS),
            "{compression}, {table}: {} rows were sent",
            rows.len()
        );
    }
    Ok(())
}

#[test]
fn plain_bodies_are_records_to_pyodps() -> Result<()> {
    assert_decoded("raw", None)
}

#[test]
fn zlib_bodies_decode_with_the_zlib_of_python() -> Result<()> {
    assert_decoded("zlib", Some("deflate"))
}

#[test]
fn snappy_bodies_decode_with_python_snappy() -> Result<()> {
    assert_decoded("snappy", Some("x-snappy-framed"))
}

#[test]
fn lz4_bodies_decode_with_python_lz4() -> Result<()> {
    assert_decoded("lz4", Some("x-lz4-frame"))
}
