//! The documentation holds what it says: named tests are there, tables are those of the lists they
//! are made from.
//!
//! `LONGSHORE_BLESS=1 cargo test --release --workspace --test docs` writes what is made from lists.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use longshore_tests::{Run, longshore, workspace};

/// Systems of `tests/options/options.tsv` and the page about each, with its title there.
const PAGES: [(&str, &[(&str, &str)]); 5] = [
    ("from-flink-cdc.md", &[("flink-cdc", "Options of the sink")]),
    (
        "from-realtime-compute.md",
        &[("realtime-compute", "Options of the connector")],
    ),
    (
        "from-maxcompute-flink-connector.md",
        &[
            ("maxcompute-flink", "Options of the connector `maxcompute`"),
            (
                "maxcompute-flink-oss",
                "Options of the older connector `odps`",
            ),
        ],
    ),
    (
        "from-kafka-sink-connector.md",
        &[("kafka-sink", "Options of the connector")],
    ),
    (
        "from-clickzetta.md",
        &[("clickzetta", "Options of the connector")],
    ),
];

/// Where the tables of a page begin; they go on to its end.
const MARK: &str = "<!-- Made from tests/options/options.tsv; change it there. -->\n";

#[test]
fn every_defect_has_tests_that_are_there() -> Result<()> {
    let page = read("tests/DEFECTS.md")?;
    let mut rows = 0;
    for number in 1..=18 {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| D{number} |")))
            .with_context(|| format!("there is no row D{number}"))?;
        let tests = named_tests(row);
        assert!(!tests.is_empty(), "D{number} names no test");
        for (file, function) in tests {
            let source = read(&file).with_context(|| format!("D{number}"))?;
            assert!(
                has_test(&source, &function),
                "D{number}: {file} has no test {function}"
            );
        }
        rows += 1;
    }
    assert_eq!(rows, 18);
    Ok(())
}

/// Whether a source has a test of that name.
fn has_test(source: &str, function: &str) -> bool {
    let name = format!("fn {function}(");
    source.match_indices(&name).any(|(at, _)| {
        let before = source.get(..at).unwrap_or_default().trim_end();
        let attribute = before.strip_suffix("async").unwrap_or(before).trim_end();
        attribute.ends_with("#[test]") || attribute.ends_with("#[tokio::test]")
    })
}

/// `FILE::FUNCTION` in the last cell of a row.
fn named_tests(row: &str) -> Vec<(String, String)> {
    let cell = row.trim_end_matches([' ', '|']);
    let cell = cell.rsplit('|').next().unwrap_or_default();
    cell.split('`')
        .filter_map(|name| name.split_once("::"))
        .map(|(file, function)| (file.to_owned(), function.to_owned()))
        .collect()
}

#[test]
fn the_page_of_options_is_what_the_component_says() -> Result<()> {
    let mut command = longshore(&["options", "--output", "markdown"])?;
    let made = Run::of(&mut command)?.success()?;
    same("guest/maxcompute/OPTIONS.md", &made.stdout)
}

#[test]
fn pages_for_migrating_users_have_every_option() -> Result<()> {
    let list = read("tests/options/options.tsv")?;
    let mut systems = 0;
    for (page, tables) in PAGES {
        let path = format!("examples/migrating/{page}");
        let written = read(&path)?;
        let (text, _) = written
            .split_once(MARK)
            .with_context(|| format!("{path} has no line {MARK}"))?;
        let mut made = format!("{text}{MARK}");
        for (system, title) in tables {
            table(&mut made, &list, system, title)?;
            systems += 1;
        }
        same(&path, &made)?;
    }
    let named: std::collections::BTreeSet<&str> = list
        .lines()
        .skip(1)
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(systems, named.len(), "{named:?}");
    Ok(())
}

fn table(page: &mut String, list: &str, system: &str, title: &str) -> Result<()> {
    write!(
        page,
        "\n## {title}\n\n| Option | For | Here | What differs, or why it is refused |\n| --- | --- | --- | --- |\n"
    )?;
    for line in list.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [of, option, role, here, value, note] = fields.as_slice() else {
            bail!("{line}");
        };
        if of != &system {
            continue;
        }
        let here = match *here {
            "-" if value.is_empty() => "refused".to_owned(),
            "-" => format!("`{value}` is refused"),
            "definition" => format!("`{option}`"),
            name => format!("`{name}`"),
        };
        let note = match here.as_str() {
            "refused" => sentence(note),
            _ => (*note).to_owned(),
        };
        writeln!(page, "| `{option}` | {role} | {here} | {note} |")?;
    }
    Ok(())
}

/// A reason as it stands in an error message, made a sentence.
fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    format!("{first}{}.", letters.as_str())
}

fn read(path: &str) -> Result<String> {
    let path = workspace().join(path);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Compares a file with what it is made from, or writes it where that is asked for.
fn same(path: &str, made: &str) -> Result<()> {
    if std::env::var_os("LONGSHORE_BLESS").is_some() {
        return Ok(std::fs::write(workspace().join(path), made)?);
    }
    let written = if Path::new(&workspace().join(path)).exists() {
        read(path)?
    } else {
        String::new()
    };
    if written != made {
        let differs = written
            .lines()
            .zip(made.lines())
            .find(|(written, made)| written != made);
        bail!(
            "{path} is not what it is made from, first at {differs:?}; LONGSHORE_BLESS=1 writes it"
        );
    }
    Ok(())
}
