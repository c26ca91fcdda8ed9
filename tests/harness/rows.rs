//! Rows as canonical text, and how two sets of them are compared.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::workspace;

/// The rows every official client writes.
pub fn dataset() -> PathBuf {
    workspace().join("tests/conformance/rows.json")
}

/// Columns and rows of a file of that form.
///
/// # Errors
/// When it can not be read.
pub fn rows_of(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

/// Brings the spellings two languages have for one value (`1e+300` and `1.0E300`, `1.50` and
/// `1.5`, padded and unpadded CHAR) to one.
fn canonical(value: &Value, ty: &str) -> Value {
    let Value::String(text) = value else {
        return value.clone();
    };
    let ty = ty.to_ascii_lowercase();
    Value::String(if ty.starts_with("decimal") {
        canonical_decimal(text)
    } else if ty == "float" || ty == "double" {
        text.parse::<f64>()
            .map_or_else(|_| text.clone(), |number| format!("{number:?}"))
    } else if ty.starts_with("char") {
        text.trim_end_matches(' ').to_owned()
    } else {
        text.clone()
    })
}

fn canonical_decimal(text: &str) -> String {
    let trimmed = match text.split_once('.') {
        Some((whole, fraction)) => match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        },
        None => text.to_owned(),
    };
    if trimmed == "-0" {
        "0".to_owned()
    } else {
        trimmed
    }
}

/// Fails with the first difference unless `actual` (JSON lines, one object a row) holds exactly
/// the rows of `expected` (of `rows.json`'s form), in any order.
///
/// # Errors
/// When either is not of its form.
///
/// # Panics
/// When they differ.
#[expect(clippy::panic, reason = "an assertion of tests")]
pub fn assert_same_rows(what: &str, actual: &str, expected: &Value) -> Result<()> {
    let columns: Vec<(&str, &str)> = expected["columns"]
        .as_array()
        .context("`columns` is a list")?
        .iter()
        .map(|column| {
            (
                column[0].as_str().unwrap_or(""),
                column[1].as_str().unwrap_or(""),
            )
        })
        .collect();
    let mut expected: Vec<String> = expected["rows"]
        .as_array()
        .context("`rows` is a list")?
        .iter()
        .map(|row| {
            let cells = columns.iter().enumerate();
            cells
                .map(|(index, (name, ty))| format!("{name}={}", canonical(&row[index], ty)))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let mut actual = actual
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let cells = columns.iter();
            Ok(cells
                .map(|(name, ty)| format!("{name}={}", canonical(&row[*name], ty)))
                .collect::<Vec<_>>()
                .join(" "))
        })
        .collect::<Result<Vec<_>>>()?;
    expected.sort();
    actual.sort();
    for (actual, expected) in actual.iter().zip(&expected) {
        if actual != expected {
            panic!("{what}: rows differ\n  read:     {actual}\n  expected: {expected}");
        }
    }
    assert_eq!(actual.len(), expected.len(), "{what}: number of rows");
    Ok(())
}
