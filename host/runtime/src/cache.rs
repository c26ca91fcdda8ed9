//! Compiled components on disk, so that a component is compiled once per machine.
//!
//! An entry is two files: `<component digest>-<settings digest>.cwasm` and beside it the digest of
//! that file in hexadecimal. Digests are BLAKE3, which costs a program with a warm cache a fifth of
//! the time that SHA-256 takes. The settings digest covers wasmtime's version, the compiler's settings
//! and the processor's features, so an entry is found only by an engine that can run it.

use crate::error::EngineError;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::component::Component;

/// A directory of compiled components that only this user can write.
pub(crate) struct Cache {
    directory: PathBuf,
    settings: String,
}

impl Cache {
    /// Opens the directory, creating it for this user alone if it does not exist.
    pub(crate) fn open(directory: PathBuf, engine: &wasmtime::Engine) -> Result<Self, EngineError> {
        let unusable = |reason: String| EngineError::CacheDirectory {
            path: directory.clone(),
            reason,
        };
        create_private(&directory).map_err(|error| unusable(error.to_string()))?;
        check_private(&directory).map_err(unusable)?;
        let settings = settings_digest(engine);
        Ok(Self {
            directory,
            settings,
        })
    }

    /// The compiled form of a component, from the directory or from `compile`.
    ///
    /// A missing, damaged or outdated entry is compiled anew; a directory that can not be written
    /// costs a warning, not the component.
    pub(crate) fn load<E>(
        &self,
        engine: &wasmtime::Engine,
        digest: blake3::Hash,
        compile: impl FnOnce() -> Result<Component, E>,
    ) -> Result<Component, E> {
        let entry = Entry::new(&self.directory, digest, &self.settings);
        match entry.read(engine) {
            Ok(Some(component)) => return Ok(component),
            Ok(None) => {}
            Err(reason) => tracing::warn!(
                entry = %entry.code.display(),
                reason,
                "a cached component is unusable and will be compiled again"
            ),
        }
        let component = compile()?;
        let written = component
            .serialize()
            .map_err(io::Error::other)
            .and_then(|code| entry.write(&code));
        if let Err(error) = written {
            tracing::warn!(
                directory = %self.directory.display(),
                %error,
                "cannot store the compiled component; it will be compiled again next time"
            );
        }
        Ok(component)
    }
}

/// The files of one compiled component.
struct Entry {
    code: PathBuf,
    digest: PathBuf,
}

impl Entry {
    fn new(directory: &Path, component: blake3::Hash, settings: &str) -> Self {
        let stem = format!("{component}-{settings}");
        Self {
            code: directory.join(format!("{stem}.cwasm")),
            digest: directory.join(format!("{stem}.cwasm.blake3")),
        }
    }

    /// The component, if the entry exists and is whole.
    fn read(&self, engine: &wasmtime::Engine) -> Result<Option<Component>, String> {
        let (expected, found) = match (fs::read_to_string(&self.digest), digest_of(&self.code)) {
            (Ok(expected), Ok(found)) => (expected, found),
            (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            (Err(error), _) | (_, Err(error)) => return Err(error.to_string()),
        };
        if found.to_hex().as_str() != expected.trim_end() {
            return Err("its digest does not match its content".into());
        }
        deserialize(engine, &self.code)
            .map(Some)
            .map_err(|error| format!("{error:#}"))
    }

    /// Writes the code, then its digest; each appears whole or not at all.
    fn write(&self, code: &[u8]) -> io::Result<()> {
        // Without the old digest no reader takes the new code for the old one's.
        match fs::remove_file(&self.digest) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        replace_file(&self.code, code)?;
        replace_file(&self.digest, blake3::hash(code).to_hex().as_bytes())
    }
}

#[expect(
    unsafe_code,
    reason = "wasmtime trusts compiled code blindly. This file was written by this module into a directory that \
              belongs to the user and that no one else can write (checked when the cache was opened), under a name \
              that fixes component, wasmtime version and settings, and its digest was verified just now. Whoever \
              could still put a file there could as well replace the program itself."
)]
fn deserialize(engine: &wasmtime::Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: see the reason above.
    unsafe { Component::deserialize_file(engine, path) }
}

/// In pieces: a whole file in memory costs more time than its digest.
fn digest_of(path: &Path) -> io::Result<blake3::Hash> {
    let mut file = fs::File::open(path)?;
    let mut digest = blake3::Hasher::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(digest.finalize());
        }
        digest.update(piece.get(..length).unwrap_or_default());
    }
}

fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    static UNIQUE: AtomicU64 = AtomicU64::new(0);
    let number = UNIQUE.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_added_extension(format!("{}-{number}.tmp", std::process::id()));
    let result = fs::File::create_new(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // The error that counts is the first one.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn settings_digest(engine: &wasmtime::Engine) -> String {
    struct SettingsHasher(blake3::Hasher);
    impl Hasher for SettingsHasher {
        fn finish(&self) -> u64 {
            // Not used: the digest is taken whole.
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut hasher = SettingsHasher(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let mut text = hasher.0.finalize().to_hex().to_string();
    text.truncate(16);
    text
}

#[cfg(unix)]
fn create_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

#[cfg(not(unix))]
fn create_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// Makes sure that no other user can put code into the directory.
#[cfg(unix)]
fn check_private(directory: &Path) -> Result<(), String> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let metadata = fs::metadata(directory).map_err(|error| error.to_string())?;
    let mode = metadata.permissions().mode();
    if mode & 0o022 != 0 {
        return Err(format!(
            "other users can write it (mode {:03o}); run chmod 700 on it or name another directory",
            mode & 0o777
        ));
    }
    // A file made here belongs to us; the directory must have the same owner.
    let probe = directory.join(format!("owner-{}.tmp", std::process::id()));
    let ours = fs::File::create(&probe)
        .and_then(|file| file.metadata())
        .map(|file| file.uid())
        .map_err(|error| format!("cannot write to it: {error}"));
    // Left behind it would only be an empty file.
    let _ = fs::remove_file(&probe);
    if ours? != metadata.uid() {
        return Err("it belongs to another user; name a directory of your own".into());
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_private(_directory: &Path) -> Result<(), String> {
    // Directories of a user's profile are private to that user.
    Ok(())
}
