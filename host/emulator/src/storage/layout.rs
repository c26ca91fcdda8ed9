//! Where files lie, and the renames that bring committed ones to their place.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::catalog::{FileMove, PartitionSpec, StoreError, TableMeta};

const PRIVATE: &str = ".longshore";
const STAGED_PREFIX: &str = "staged-";

pub(super) fn create(data_dir: &Path) -> Result<(), StoreError> {
    let is_new = !data_dir.exists();
    for dir in [staging_dir(data_dir), retired_dir(data_dir)] {
        fs::create_dir_all(&dir)
            .map_err(|e| StoreError::io(format!("creating {}", dir.display()), e))?;
    }
    let (staging, retired) = (staging_dir(data_dir), retired_dir(data_dir));
    sync_above(data_dir, [staging.as_path(), retired.as_path()])?;
    let above = data_dir.parent().filter(|dir| !dir.as_os_str().is_empty());
    match above.filter(|_| is_new) {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// The catalog database of a data directory.
pub(crate) fn database_path(data_dir: &Path) -> PathBuf {
    data_dir.join(PRIVATE).join("catalog.sqlite")
}

pub(super) fn staging_dir(data_dir: &Path) -> PathBuf {
    data_dir.join(PRIVATE).join("staging")
}

pub(super) fn retired_dir(data_dir: &Path) -> PathBuf {
    data_dir.join(PRIVATE).join("retired")
}

pub(super) fn staged_name() -> String {
    format!("{STAGED_PREFIX}{}.parquet", uuid::Uuid::new_v4().simple())
}

/// Directory of a table, relative to the data directory.
pub(super) fn table_dir(table: &TableMeta) -> String {
    format!(
        "{}/{}/{}",
        safe(&table.project),
        safe(&table.schema),
        safe(&table.name)
    )
}

fn safe(name: &str) -> String {
    PartitionSpec(vec![(name.to_owned(), String::new())])
        .directory()
        .trim_end_matches('=')
        .to_owned()
}

/// Directory of a partition (or of an unpartitioned table), relative to the data directory.
pub(super) fn partition_dir(table: &TableMeta, partition: Option<&PartitionSpec>) -> String {
    match partition {
        Some(partition) => format!("{}/{}", table_dir(table), partition.directory()),
        None => table_dir(table),
    }
}

pub(super) fn staged_path(name: &str) -> String {
    format!("{PRIVATE}/staging/{name}")
}

pub(super) fn retired_path(name: &str) -> String {
    format!("{PRIVATE}/retired/{name}")
}

/// True for a path made by [`retired_path`].
pub(super) fn is_retired(path: &str) -> bool {
    path.starts_with(&retired_path(""))
}

/// Does journaled renames, in order. When this returns they are durable, and so are the
/// directories made for them.
pub(super) fn apply_moves(data_dir: &Path, steps: &[FileMove]) -> Result<(), StoreError> {
    for step in steps {
        apply_move(data_dir, step)?;
    }
    // Also above renames done before: the server may have been killed between rename and sync.
    let targets: Vec<PathBuf> = steps.iter().map(|step| data_dir.join(&step.to)).collect();
    sync_above(data_dir, targets.iter().map(PathBuf::as_path))
}

/// Does one rename. Done before (or superseded by a later one): nothing to do.
fn apply_move(data_dir: &Path, step: &FileMove) -> Result<(), StoreError> {
    let from = data_dir.join(&step.from);
    let to = data_dir.join(&step.to);
    if !from.exists() {
        return Ok(());
    }
    let failed = |e| StoreError::io(format!("moving {} to {}", from.display(), to.display()), e);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::rename(&from, &to).map_err(failed)
}

/// Syncs every directory on the way from the data directory to these paths, so that the entries of
/// all of them are durable. One that another rename took away is left out.
pub(super) fn sync_above<'a>(
    data_dir: &Path,
    paths: impl IntoIterator<Item = &'a Path>,
) -> Result<(), StoreError> {
    for dir in dirs_above(data_dir, paths) {
        if dir.exists() {
            sync_dir(dir)?;
        }
    }
    Ok(())
}

/// The directories that hold these paths, each once, the data directory first.
fn dirs_above<'a>(
    data_dir: &Path,
    paths: impl IntoIterator<Item = &'a Path>,
) -> BTreeSet<&'a Path> {
    paths
        .into_iter()
        .flat_map(|path| path.ancestors().skip(1))
        .filter(|dir| dir.starts_with(data_dir))
        .collect()
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| StoreError::io(format!("syncing {}", dir.display()), e))
}

pub(super) fn remove_if_present(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(
            format!("removing {}", path.display()),
            error,
        )),
    }
}

/// Removes everything in `dir` whose name is not wanted.
pub(super) fn remove_others(dir: &Path, wanted: &HashSet<String>) -> Result<(), StoreError> {
    let failed = |e| StoreError::io(format!("cleaning {}", dir.display()), e);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry
            .file_name()
            .to_str()
            .is_some_and(|name| wanted.contains(name))
        {
            continue;
        }
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            fs::remove_dir_all(&path).map_err(failed)?;
        } else {
            remove_if_present(&path)?;
        }
    }
    Ok(())
}

/// Names of staged files anywhere in a session document.
pub(super) fn staged_names(document: &Value) -> Vec<String> {
    match document {
        Value::String(text) if text.starts_with(STAGED_PREFIX) && !text.contains('/') => {
            vec![text.clone()]
        }
        Value::Array(items) => items.iter().flat_map(staged_names).collect(),
        Value::Object(entries) => entries.values().flat_map(staged_names).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_partition_is_made_durable_in_every_directory_above_it() {
        let paths = [
            Path::new("/data/p/default/t/pt=a/h=1/x.parquet"),
            Path::new("/data/p/default/t/pt=a/h=2/y.parquet"),
            Path::new("/data/.longshore/retired/z.parquet"),
        ];
        let dirs: Vec<&str> = dirs_above(Path::new("/data"), paths)
            .into_iter()
            .filter_map(Path::to_str)
            .collect();
        assert_eq!(
            dirs,
            [
                "/data",
                "/data/.longshore",
                "/data/.longshore/retired",
                "/data/p",
                "/data/p/default",
                "/data/p/default/t",
                "/data/p/default/t/pt=a",
                "/data/p/default/t/pt=a/h=1",
                "/data/p/default/t/pt=a/h=2",
            ]
        );
    }

    #[test]
    fn renames_bring_their_directories_along() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path()).unwrap();
        fs::write(dir.path().join(staged_path("a")), "rows").unwrap();
        let steps = [
            FileMove::new(staged_path("a"), "p/default/t/pt=a/a".to_owned()),
            FileMove::new("p/default/t".to_owned(), "p/default/u".to_owned()),
        ];
        apply_moves(dir.path(), &steps).unwrap();
        // As after a crash before the journal was emptied.
        apply_moves(dir.path(), &steps).unwrap();
        let moved = dir.path().join("p/default/u/pt=a/a");
        assert_eq!(fs::read_to_string(moved).unwrap(), "rows");
    }
}
