//! A pipeline definition with what the command line adds to it.

use std::path::{Path, PathBuf};

use longshore_pipeline::checkpoint_store::Identity;
use longshore_pipeline::definition::{Location, PipelineDefinition, SourceKind, Spanned};
use longshore_pipeline::source::{SourceError, SourceErrorKind};

use crate::args::{PipelineArgs, StoreArgs};
use crate::failure::Failure;

/// A definition and where it lives.
pub(crate) struct Loaded {
    pub(crate) definition: PipelineDefinition,
    /// Directory of the definition; relative paths start here.
    pub(crate) directory: PathBuf,
    /// Name of the pipeline: its own, or that of the file.
    pub(crate) name: String,
    /// The checkpoint store.
    pub(crate) store: PathBuf,
}

/// Reads the definition that the arguments name, and prints its warnings.
pub(crate) fn load(args: &PipelineArgs) -> Result<Loaded, Failure> {
    let definition = PipelineDefinition::load(&args.pipeline)?;
    for warning in &definition.warnings {
        tracing::warn!("{}:{}: {}", warning.file, warning.at.line, warning.message);
    }
    let directory = args.pipeline.parent().unwrap_or(Path::new("")).to_owned();
    let name = definition.pipeline.name.clone().unwrap_or_else(|| {
        args.pipeline.file_stem().map_or_else(
            || "pipeline".to_owned(),
            |stem| stem.to_string_lossy().into_owned(),
        )
    });
    let file = format!("{}.db", file_name(&name));
    let store = match (&args.checkpoint_dir, &definition.pipeline.checkpoint_path) {
        (Some(given), _) => given.join(file),
        (None, Some(path)) => path.clone(),
        (None, None) => directory.join(".longshore").join(file),
    };
    Ok(Loaded {
        definition,
        directory,
        name,
        store,
    })
}

/// The checkpoint store of the pipeline that the arguments name.
pub(crate) fn store_of(args: &StoreArgs) -> Result<PathBuf, Failure> {
    let loaded = load(&PipelineArgs {
        pipeline: args.pipeline.clone(),
        output: args.output,
        checkpoint_dir: args.checkpoint_dir.clone(),
        component: None,
    })?;
    Ok(loaded.store)
}

impl Loaded {
    /// A failure of the input as a whole, at the definition's line that names it.
    pub(crate) fn input_failure(&self, what: &str) -> Failure {
        Failure::input(self.definition.problem_at(self.first_path(), what))
    }

    /// The failure for a source that can not be opened or read, at the definition's line where the
    /// input itself has none.
    pub(crate) fn source_failure(&self, error: SourceError) -> Failure {
        if error.place.is_some() {
            return error.into();
        }
        let at = match (self.path_named(&error.message), error.kind) {
            (Some(at), _) => at,
            // It is about some option of the source, not about its input.
            (None, SourceErrorKind::Definition) => Location::default(),
            (None, _) => self.first_path(),
        };
        let mut problem = self.definition.problem_at(at, error.message);
        problem.help = error.help.or_else(|| {
            (error.kind == SourceErrorKind::NotFound).then(|| {
                "correct `path`; a relative path starts at the definition's directory".into()
            })
        });
        match error.kind {
            SourceErrorKind::Definition => problem.into(),
            _ => Failure::input(problem),
        }
    }

    fn paths(&self) -> &[Spanned<String>] {
        match &self.definition.source.kind {
            SourceKind::File(options) => &options.paths,
            _ => &[],
        }
    }

    /// Where the definition names the first path.
    fn first_path(&self) -> Location {
        let first = self.paths().first();
        first.map_or(self.definition.source.at, |path| path.at)
    }

    /// Where it names the path that a message is about.
    fn path_named(&self, message: &str) -> Option<Location> {
        let named = |path: &&Spanned<String>| message.contains(&format!("`{}`", path.value));
        self.paths().iter().find(named).map(|path| path.at)
    }

    /// What makes this pipeline the same one at its next run. `sink` says where it writes.
    pub(crate) fn identity(&self, sink: String) -> Identity {
        let SourceKind::File(options) = &self.definition.source.kind else {
            return Identity {
                pipeline: self.name.clone(),
                source: String::new(),
                sink,
            };
        };
        let paths: Vec<&str> = options
            .paths
            .iter()
            .map(|path| {
                // The same files, from whichever directory the program is started.
                let path = Path::new(&path.value);
                path.strip_prefix(&self.directory)
                    .unwrap_or(path)
                    .to_str()
                    .unwrap_or_default()
            })
            .collect();
        let source = format!("file {}", paths.join(", "));
        Identity {
            pipeline: self.name.clone(),
            source,
            sink,
        }
    }
}

/// A pipeline's name as the name of a file.
fn file_name(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    if name.trim_matches('.').is_empty() {
        "pipeline".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn names_of_pipelines_stay_inside_their_directory() {
        assert_eq!(file_name("orders to odps"), "orders_to_odps");
        assert_eq!(file_name("../../etc/passwd"), ".._.._etc_passwd");
        assert_eq!(file_name(".."), "pipeline");
    }
}
