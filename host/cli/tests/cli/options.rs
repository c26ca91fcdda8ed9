//! Every option of the connectors that users come from is understood as documented, or refused with
//! the documented reason.

use std::path::Path;

use crate::support::{Ended, Place};

/// A line of `tests/options/options.tsv`.
struct Row {
    system: String,
    option: String,
    /// The option's name here, `definition` where the definition itself takes it, `-` = refused.
    here: String,
    /// A value that is understood, or where `here` is `-` one that is not.
    value: String,
    note: String,
}

fn rows() -> Vec<Row> {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/options/options.tsv");
    let list = std::fs::read_to_string(list).unwrap();
    let rows = list.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [system, option, _role, here, value, note] = fields[..] else {
            panic!("{line}");
        };
        Row {
            system: system.into(),
            option: option.into(),
            here: here.into(),
            value: value.into(),
            note: note.into(),
        }
    });
    rows.collect()
}

/// What every pipeline needs, under the names of today.
const BASE: [(&str, &str); 4] = [
    ("endpoint", "http://127.0.0.1:1/api"),
    ("project", "p"),
    ("access-id", "i"),
    ("access-key", "k"),
];

/// Explains a pipeline whose sink has the option of that row.
fn explain(place: &Place, row: &Row) -> (Ended, serde_json::Value) {
    let mut sink = String::new();
    if row.option != "type" {
        sink.push_str("  type: maxcompute\n");
    }
    for (name, value) in BASE {
        if row.here != name {
            sink.push_str(&format!("  {name}: {value}\n"));
        }
    }
    if row.here == "mapping.operation.type.to" {
        sink.push_str("  operation: append-only\n");
    }
    place.write(
        "pipeline.yaml",
        &format!(
            "source:\n  type: file\n  path: '-'\n  format: json\n  table: t\nsink:\n{sink}  {}: {}\n",
            row.option,
            if row.value.is_empty() { "1" } else { &row.value }
        ),
    );
    let ended = place.longshore(&["explain", "pipeline.yaml", "--output", "json"]);
    let document = serde_json::from_str(&ended.stdout).unwrap();
    (ended, document)
}

/// What is wrong with a row that should be understood.
fn misunderstood(place: &Place, row: &Row) -> Option<String> {
    let (ended, document) = explain(place, row);
    if ended.code != Some(0) {
        return Some(ended.stderr);
    }
    if row.here == "definition" || row.option == "type" {
        return None;
    }
    let options = document["sink"]["options"].as_array().unwrap();
    let is_named =
        |option: &&serde_json::Value| option["origin"]["definition"]["name"] == row.option.as_str();
    let Some(named) = options.iter().find(is_named) else {
        return Some("it has no effect".into());
    };
    let as_documented = named["name"] == row.here.as_str()
        && (named["value"] == row.value.as_str() || named["value"] == "<secret>");
    (!as_documented).then(|| named.to_string())
}

/// What is wrong with a row that should be refused.
fn not_refused(place: &Place, row: &Row) -> Option<String> {
    let (ended, document) = explain(place, row);
    if ended.code != Some(2) {
        return Some(format!("exit code {:?}", ended.code));
    }
    let error = &document["error"];
    let text = format!(
        "{}; {}",
        error["message"].as_str().unwrap(),
        error["help"].as_str().unwrap_or_default()
    );
    // Of an option whose value alone is another connector's, the page says more.
    let reason = if row.value.is_empty() {
        row.note.as_str()
    } else {
        ""
    };
    let as_documented = text.contains(&format!("`{}`", row.option)) && text.contains(reason);
    (!as_documented).then_some(text)
}

#[test]
fn every_option_that_is_understood_means_what_is_documented() {
    holds_for(|row| row.here != "-", misunderstood);
}

#[test]
fn every_option_that_is_refused_is_refused_with_the_documented_reason() {
    holds_for(|row| row.here == "-", not_refused);
}

fn holds_for(chosen: fn(&&Row) -> bool, fault: fn(&Place, &Row) -> Option<String>) {
    let place = Place::new();
    let rows = rows();
    let chosen: Vec<&Row> = rows.iter().filter(chosen).collect();
    assert!(chosen.len() > 80, "the list is not complete");
    let faults: Vec<String> = chosen
        .into_iter()
        .filter_map(|row| {
            let fault = fault(&place, row)?;
            Some(format!("{} of {}: {fault}", row.option, row.system))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
