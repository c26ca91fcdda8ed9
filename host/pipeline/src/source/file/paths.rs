//! From `path` to files.

use std::path::Path;

use super::super::error::{SourceError, SourceErrorKind};
use crate::definition::{FileFormat, FileOptions};

/// Standard input, as `path` spells it.
pub(crate) const STDIN: &str = "-";

/// The files of a source, in order: those of a pattern sorted by name, the items of a list in
/// the order given.
pub(crate) fn expand(options: &FileOptions) -> Result<Vec<String>, SourceError> {
    let mut files = Vec::new();
    for path in &options.paths {
        let text = path.value.as_str();
        if text == STDIN {
            files.push(text.to_owned());
            continue;
        }
        if Path::new(text).exists() {
            if Path::new(text).is_dir() {
                return Err(not_found(format!("`{text}` is a directory")).help(format!(
                    "name its files with a pattern, for example {text}/*.json"
                )));
            }
            files.push(text.to_owned());
            continue;
        }
        if !text.contains(['*', '?', '[']) {
            let mut error = not_found(format!("file `{text}` does not exist"));
            if let Some(near) = nearest_file(Path::new(text)) {
                error = error.help(format!("did you mean `{near}`?"));
            } else if let Some(parent) = Path::new(text)
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty() && !parent.exists())
            {
                error = error.help(format!("directory `{}` does not exist", parent.display()));
            }
            return Err(error);
        }
        let matches = glob::glob(text).map_err(|error| {
            SourceError::new(
                SourceErrorKind::Definition,
                format!("`{text}` is no file pattern: {error}"),
            )
        })?;
        let mut matched = Vec::new();
        for entry in matches {
            let entry = entry.map_err(|error| {
                SourceError::new(
                    SourceErrorKind::Io,
                    format!(
                        "`{}` can not be read: {}",
                        error.path().display(),
                        error.error()
                    ),
                )
            })?;
            if entry.is_file() {
                matched.push(entry.to_string_lossy().into_owned());
            }
        }
        if matched.is_empty() {
            return Err(not_found(format!("no file matches `{text}`")).help(listing(text)));
        }
        matched.sort();
        files.extend(matched);
    }
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = files.iter().find(|file| !seen.insert(file.as_str())) {
        return Err(SourceError::new(
            SourceErrorKind::Definition,
            format!("file `{twice}` is named twice by source.path; its rows would be read twice"),
        ));
    }
    if files.is_empty() {
        return Err(SourceError::new(
            SourceErrorKind::Definition,
            "source.path names no file",
        ));
    }
    Ok(files)
}

fn not_found(message: String) -> SourceError {
    SourceError::new(SourceErrorKind::NotFound, message)
}

fn names_in(directory: &Path) -> Vec<String> {
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .map(|entries| {
            entries
                .flatten()
                .filter(|entry| entry.path().is_file())
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

fn nearest_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let parent = path.parent()?;
    let names = names_in(parent);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    crate::definition::nearest(&name, &names)
        .map(|near| parent.join(near).to_string_lossy().into_owned())
}

/// What the pattern's directory holds, so that the mistake can be seen.
fn listing(pattern: &str) -> String {
    let wild = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    let fixed = pattern.get(..wild).unwrap_or_default();
    let directory = match fixed.rfind('/') {
        Some(slash) => Path::new(fixed.get(..slash).unwrap_or_default()),
        None => Path::new(""),
    };
    let shown = if directory.as_os_str().is_empty() {
        ".".to_owned()
    } else {
        directory.display().to_string()
    };
    if !Path::new(&shown).exists() {
        return format!("directory `{shown}` does not exist");
    }
    let names = names_in(directory);
    if names.is_empty() {
        return format!("directory `{shown}` holds no files");
    }
    let more = names.len().saturating_sub(5);
    let mut text = format!(
        "directory `{shown}` holds {}",
        names.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
    );
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// The format of a file by `format`, or else its extension.
pub(crate) fn format_of(
    options: &FileOptions,
    files: &[String],
) -> Result<FileFormat, SourceError> {
    if let Some(format) = options.format {
        return Ok(format);
    }
    let mut found: Option<(FileFormat, &str)> = None;
    for file in files {
        let format = by_extension(file).ok_or_else(|| {
            let shown = if file == STDIN {
                "standard input"
            } else {
                file
            };
            SourceError::new(
                SourceErrorKind::Definition,
                format!("the format of {shown} can not be told from its name"),
            )
            .help(format!("add `format:` to `source`, one of {}", names()))
        })?;
        match found {
            Some((first, name)) if first != format => {
                return Err(SourceError::new(
                    SourceErrorKind::Definition,
                    format!(
                        "source.path names files of different formats: {name} is {}, {file} is {}",
                        first.name(),
                        format.name()
                    ),
                )
                .help("read them by separate pipelines"));
            }
            _ => found = Some((format, file)),
        }
    }
    found
        .map(|(format, _)| format)
        .ok_or_else(|| SourceError::new(SourceErrorKind::Definition, "source.path names no file"))
}

fn names() -> String {
    FileFormat::ALL.map(|(name, _)| name).join(", ")
}

fn by_extension(file: &str) -> Option<FileFormat> {
    let name = without_compression(file);
    if name.ends_with(".debezium.json") || name.ends_with(".debezium.jsonl") {
        return Some(FileFormat::DebeziumJson);
    }
    match Path::new(name)
        .extension()?
        .to_str()?
        .to_ascii_lowercase()
        .as_str()
    {
        "json" | "jsonl" | "ndjson" => Some(FileFormat::Json),
        "csv" => Some(FileFormat::Csv),
        "parquet" | "parq" => Some(FileFormat::Parquet),
        "arrow" | "arrows" | "feather" | "ipc" => Some(FileFormat::Arrow),
        _ => None,
    }
}

fn without_compression(file: &str) -> &str {
    [".gz", ".zst"]
        .iter()
        .find_map(|suffix| file.strip_suffix(suffix))
        .unwrap_or(file)
}

/// A table's name from its only file: the name up to the first dot.
pub(crate) fn table_of(files: &[String]) -> Option<String> {
    let [file] = files else { return None };
    if file == STDIN {
        return None;
    }
    let name = Path::new(file).file_name()?.to_str()?;
    let stem = name.split('.').next()?;
    (!stem.is_empty()).then(|| stem.to_owned())
}
