//! Compiled components on disk: found again, never trusted when damaged.

use crate::support::guest;
use longshore_runtime::{Engine, EngineConfig, EngineError};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

fn engine(directory: &Path, interruptible: bool) -> Result<Engine, EngineError> {
    Engine::new(EngineConfig {
        cache_dir: Some(directory.to_owned()),
        interruptible,
        ..EngineConfig::default()
    })
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

#[test]
fn a_warm_cache_is_used_and_a_damaged_entry_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("deep/cache");
    engine(&directory, false).unwrap().load(guest()).unwrap();
    assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
    let entries = files(&directory, "cwasm");
    let [code] = entries.as_slice() else {
        panic!("{entries:?}")
    };
    assert_eq!(files(&directory, "blake3").len(), 1);
    assert_eq!(files(&directory, "tmp").len(), 0);
    let inode = || fs::metadata(code).unwrap().ino();
    let first = inode();

    let warm = engine(&directory, false).unwrap();
    let start = Instant::now();
    warm.load(guest()).unwrap();
    println!("warm load: {:?}", start.elapsed());
    assert_eq!(inode(), first, "the entry was not written again");

    // Damage in the middle of the machine code.
    let mut bytes = fs::read(code).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(code, &bytes).unwrap();
    engine(&directory, false).unwrap().load(guest()).unwrap();
    assert_ne!(inode(), first, "the damaged entry was replaced");
    let repaired = inode();

    // A foreign file with a fitting digest gets past the digest, not past wasmtime.
    fs::write(code, b"not code at all").unwrap();
    let [digest] = <[PathBuf; 1]>::try_from(files(&directory, "blake3")).unwrap();
    fs::write(digest, blake3::hash(b"not code at all").to_hex().as_str()).unwrap();
    engine(&directory, false).unwrap().load(guest()).unwrap();
    assert_ne!(inode(), repaired);
}

#[test]
fn other_settings_have_entries_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    engine(directory.path(), false)
        .unwrap()
        .load(guest())
        .unwrap();
    engine(directory.path(), true)
        .unwrap()
        .load(guest())
        .unwrap();
    assert_eq!(files(directory.path(), "cwasm").len(), 2);
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = engine(directory.path(), false).unwrap_err();
    assert!(error.to_string().contains("chmod 700"), "{error}");
}
