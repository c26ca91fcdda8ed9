//! Checks what a component imports and exports by name, before any of it is compiled.

use crate::error::LoadError;
use wasmparser::{Encoding, Parser, Payload};

const DESCRIBE: &str = "longshore:sink/describe";
const BLOCKING_SINK: &str = "longshore:sink/blocking-sink";

/// Interfaces a sink component may import, without their version.
const GRANTED: &[(&str, Version)] = &[
    ("longshore:sink/types", Version::Contract),
    ("longshore:sink/signer", Version::Contract),
    ("longshore:sink/checkpoint", Version::Contract),
    ("longshore:sink/log", Version::Contract),
    ("longshore:sink/dead-letter", Version::Contract),
    ("wasi:clocks/monotonic-clock", Version::Wasi),
    ("wasi:clocks/wall-clock", Version::Wasi),
    ("wasi:random/random", Version::Wasi),
    ("wasi:http/types", Version::Wasi),
    ("wasi:http/outgoing-handler", Version::Wasi),
    ("wasi:io/error", Version::Wasi),
    ("wasi:io/poll", Version::Wasi),
    ("wasi:io/streams", Version::Wasi),
];

/// Version track an interface must be of.
#[derive(Clone, Copy)]
enum Version {
    Contract,
    Wasi,
}

impl Version {
    fn admits(self, version: &str) -> bool {
        let track = match self {
            Self::Contract => "0.1.",
            Self::Wasi => "0.2.",
        };
        version
            .strip_prefix(track)
            .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
    }
}

/// Reads the names and refuses the component if one of them is not granted or missing.
pub(crate) fn check(bytes: &[u8]) -> Result<(), LoadError> {
    let mut imports = Vec::new();
    let mut exports = Vec::new();
    // Sections of nested modules and components come between their header and their end.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(not_a_component)? {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => {
                return Err(LoadError::NotAComponent {
                    reason: "it is a core module; encode it as a component first".into(),
                });
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let name = import.map_err(not_a_component)?.name;
                    imports.push((name.name.to_owned(), name.implements.is_some()));
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(not_a_component)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    let names: Vec<String> = imports
        .iter()
        .filter(|(name, renamed)| *renamed || !is_granted(name))
        .map(|(name, _)| name.clone())
        .collect();
    if !names.is_empty() {
        return Err(LoadError::ForbiddenImports { names });
    }
    for (interface, name) in [
        (DESCRIBE, "longshore:sink/describe@0.1.0"),
        (BLOCKING_SINK, "longshore:sink/blocking-sink@0.1.0"),
    ] {
        let found = exports.iter().any(|export| {
            export
                .split_once('@')
                .is_some_and(|(of, version)| of == interface && Version::Contract.admits(version))
        });
        if !found {
            return Err(LoadError::MissingExport { name });
        }
    }
    Ok(())
}

fn is_granted(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else {
        return false;
    };
    GRANTED
        .iter()
        .any(|(name, track)| *name == interface && track.admits(version))
}

fn not_a_component(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::NotAComponent {
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn granted_versions_are_exact_tracks() {
        assert!(is_granted("wasi:http/types@0.2.12"));
        assert!(is_granted("longshore:sink/log@0.1.0"));
        for name in [
            "wasi:http/types",
            "wasi:http/types@0.2",
            "wasi:http/types@0.2.",
            "wasi:http/types@0.3.0",
            "wasi:http/types@0.2.0-rc-2023-11-10",
            "wasi:http/incoming-handler@0.2.0",
            "wasi:random/insecure@0.2.0",
            "wasi:cli/environment@0.2.0",
            "longshore:sink/log@0.2.0",
            "log",
        ] {
            assert!(!is_granted(name), "{name}");
        }
    }

    #[test]
    fn refused_imports_are_named_all_at_once() {
        let bytes = component(
            r#"(component
                (import "wasi:io/poll@0.2.0" (instance))
                (import "wasi:filesystem/types@0.2.6" (instance))
                (import "wasi:sockets/tcp@0.2.0" (instance))
            )"#,
        );
        assert_eq!(
            check(&bytes),
            Err(LoadError::ForbiddenImports {
                names: vec![
                    "wasi:filesystem/types@0.2.6".into(),
                    "wasi:sockets/tcp@0.2.0".into()
                ],
            })
        );
    }

    #[test]
    fn imports_of_nested_components_are_not_the_components_own() {
        let bytes = component(
            r#"(component
                (component (import "wasi:filesystem/types@0.2.6" (instance)))
                (core module (import "wasi_snapshot_preview1" "fd_write" (func)))
            )"#,
        );
        assert_eq!(
            check(&bytes),
            Err(LoadError::MissingExport {
                name: "longshore:sink/describe@0.1.0"
            })
        );
    }

    #[test]
    fn core_modules_and_garbage_are_told_apart() {
        let module = wat::parse_str("(module)").unwrap();
        let Err(LoadError::NotAComponent { reason }) = check(&module) else {
            panic!()
        };
        assert!(reason.contains("core module"), "{reason}");
        assert!(matches!(
            check(b"#!/bin/sh"),
            Err(LoadError::NotAComponent { .. })
        ));
        assert!(matches!(check(b""), Err(LoadError::NotAComponent { .. })));
    }
}
