//! Rows with values that do not fit: kept aside with their reasons, found again, repaired, written.

use std::fs::File;

use anyhow::{Context, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_ipc::reader::{FileReader, StreamReader};
use longshore_tests::{Client, Pyodps, Scene};
use serde_json::Value;

fn write_pipeline(scene: &Scene, file: &str, source: &str, sink: &str) -> Result<()> {
    let pipeline = format!(
        "source:\n  type: file\n{source}\n{}  buckets-num: 2\n{sink}\n",
        scene.server.sink()?,
    );
    scene.write(file, &pipeline)
}

fn json(scene: &Scene, arguments: &[&str]) -> Result<Value> {
    let run = scene.longshore(arguments)?;
    serde_json::from_str(&run.stdout).with_context(|| format!("{run:?}"))
}

/// Names of the rows, by id.
fn names(scene: &Scene, table: &str) -> Result<Vec<(String, Value)>> {
    let rows = scene.read(table, None)?.into_iter();
    rows.map(|row| {
        let id = row["id"].as_str().context("an id")?.to_owned();
        Ok((id, row["name"].clone()))
    })
    .collect()
}

const SOURCE: &str = "  path: rows.json\n  table: people\n  primary-key: id\n  \
                      schema: {id: bigint, name: varchar(5), note: varchar(5)}";

const ROWS: &str = r#"{"id":1,"name":"Ann","note":"short"}
{"id":2,"name":"Bartholomew","note":"ok"}
{"id":3,"name":"Cleo","note":"much too long"}
{"id":4,"name":"Dagobert","note":"much too long"}
"#;

#[test]
fn bad_rows_are_kept_aside_repaired_and_written() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("rows.json", ROWS)?;

    // Without a policy the run ends at the first of them.
    write_pipeline(&scene, "strict.yaml", SOURCE, "pipeline:\n  name: strict")?;
    let strict = scene.longshore(&["run", "strict.yaml"])?;
    assert_eq!(strict.code, 3, "{strict:?}");
    assert!(strict.stderr.contains("rows.json:2"), "{strict:?}");

    let sink = "  on-bad-value: dead-letter\n  on-bad-value.columns: people.note=null\npipeline:\n  name: p";
    write_pipeline(&scene, "p.yaml", SOURCE, sink)?;
    let human = scene.longshore(&["run", "p.yaml"])?;
    assert_eq!(human.code, 10, "{human:?}");
    assert!(human.stdout.contains("kept aside: 2 rows"), "{human:?}");
    assert!(
        human
            .stdout
            .contains("written as NULL because they did not fit: 1 values"),
        "{human:?}"
    );
    let text = |text: &str| Value::from(text);
    assert_eq!(
        names(&scene, "people")?,
        [
            ("1".to_owned(), text("Ann")),
            ("3".to_owned(), text("Cleo"))
        ]
    );
    // A second run has nothing to add to either.
    assert_eq!(scene.longshore(&["run", "p.yaml"])?.code, 0);

    let list = json(
        &scene,
        &["dead-letters", "list", "p.yaml", "--output", "json"],
    )?;
    assert_eq!(list["counts"][0]["rows"], 2, "{list}");
    let letters = list["dead-letters"].as_array().context("a list")?;
    let places: Vec<&Value> = letters.iter().map(|letter| &letter["place"]).collect();
    assert!(
        places.len() == 2
            && places[0]
                .as_str()
                .is_some_and(|place| place.ends_with("rows.json:2"))
            && places[1]
                .as_str()
                .is_some_and(|place| place.ends_with("rows.json:4")),
        "{list}"
    );
    assert_eq!(letters[0]["column"], "name");
    assert!(
        letters[0]["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("11 characters")),
        "{list}"
    );

    let exported = json(
        &scene,
        &[
            "dead-letters",
            "export",
            "p.yaml",
            "--to",
            "out",
            "--output",
            "json",
        ],
    )?;
    let file = exported["files"][0]["file"].as_str().context("a file")?;
    let rows = FileReader::try_new(File::open(scene.path().join(file))?, None)?
        .collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::new();
    for batch in &rows {
        let text = |name: &str| batch[name].as_string::<i32>().clone();
        for (row, id) in batch["id"]
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .enumerate()
        {
            assert!(text("__reason").value(row).contains("characters"));
            found.push((
                *id,
                text("name").value(row).to_owned(),
                text("__op").value(row).to_owned(),
            ));
        }
    }
    assert_eq!(
        found,
        [
            (2, "Bartholomew".to_owned(), "insert".to_owned()),
            (4, "Dagobert".to_owned(), "insert".to_owned())
        ]
    );

    // The rows alone go through a pipeline again, into a table that has room for them.
    json(
        &scene,
        &[
            "dead-letters",
            "export",
            "p.yaml",
            "--to",
            "again",
            "--rows-only",
            "--output",
            "json",
        ],
    )?;
    let again = "  path: again/people.arrow\n  table: people\n  primary-key: id";
    let sink = "  on-bad-value: null\npipeline:\n  name: again";
    write_pipeline(&scene, "again.yaml", again, sink)?;
    scene.longshore(&["run", "again.yaml"])?.success()?;
    assert_eq!(
        names(&scene, "people")?,
        [
            ("1".to_owned(), text("Ann")),
            ("2".to_owned(), Value::Null),
            ("3".to_owned(), text("Cleo")),
            ("4".to_owned(), Value::Null),
        ]
    );

    let told = scene
        .longshore(&["dead-letters", "discard", "p.yaml"])?
        .success()?;
    assert!(told.stdout.contains("--yes"), "{told:?}");
    scene
        .longshore(&["dead-letters", "discard", "p.yaml", "--yes"])?
        .success()?;
    let none = scene
        .longshore(&["dead-letters", "list", "p.yaml"])?
        .success()?;
    assert_eq!(none.stdout, "no dead letters\n");
    Ok(())
}

#[test]
fn dead_letters_of_a_table_are_shown_and_written_again_when_the_column_is_widened() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("rows.json", ROWS)?;
    // The one table has a policy of its own, and an end to patience.
    let source = SOURCE.replace("  primary-key: id\n", "");
    let sink = "  on-bad-value.columns: people.*=dead-letter\npipeline:\n  name: p\n  \
                dead-letters.max-rows: {people: 2}\n  dead-letters.path: aside";
    write_pipeline(&scene, "p.yaml", &source, sink)?;
    let run = scene.longshore(&["run", "p.yaml"])?;
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("dead-letters.max-rows"), "{run:?}");
    assert!(scene.path().join("aside").read_dir()?.count() > 0);

    let arguments = ["dead-letters", "list", "p.yaml", "--output", "json"];
    let list = json(&scene, &arguments)?;
    let id = list["dead-letters"][0]["id"].as_str().context("an id")?;
    let arguments = ["dead-letters", "show", "p.yaml", id];
    let human = scene.longshore(&arguments)?.success()?;
    for part in ["rows.json:2", "varchar(5)", "Bartholomew", "11 characters"] {
        let found = human.stdout.to_lowercase();
        assert!(found.contains(&part.to_lowercase()), "{part}: {human:?}");
    }
    let raw = [&arguments[..], &["--raw", "row.arrow", "--output", "json"]].concat();
    let shown = json(&scene, &raw)?;
    assert_eq!(shown["column"], "name");
    assert_eq!(shown["operation"], "insert");
    let file = File::open(scene.path().join("row.arrow"))?;
    let row = StreamReader::try_new(file, None)?
        .next()
        .context("a row")??;
    assert_eq!(row["name"].as_string::<i32>().value(0), "Bartholomew");

    // Too narrow still: they stay, and nothing is written.
    let replay = ["dead-letters", "replay", "p.yaml", "--output", "json"];
    let again = scene.longshore(&replay)?;
    assert_eq!(again.code, 10, "{again:?}");
    let statement = "alter table people change column name name varchar(20)";
    Pyodps.call(&scene.server, &["sql", statement])?;
    let statement = "alter table people change column note note varchar(20)";
    Pyodps.call(&scene.server, &["sql", statement])?;
    let replayed = json(&scene, &replay)?;
    assert_eq!(replayed["tables"][0]["written"], 3, "{replayed}");
    let text = |text: &str| Value::from(text);
    let everybody = [
        ("1".to_owned(), text("Ann")),
        ("2".to_owned(), text("Bartholomew")),
        ("3".to_owned(), text("Cleo")),
        ("4".to_owned(), text("Dagobert")),
    ];
    assert_eq!(names(&scene, "people")?, everybody);
    // There is nothing left to write, and the pipeline goes on.
    json(&scene, &replay)?;
    scene.longshore(&["run", "p.yaml"])?.success()?;
    assert_eq!(names(&scene, "people")?, everybody);
    Ok(())
}

#[test]
fn a_policy_that_can_not_hold_is_told_before_a_row_is_written() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("rows.json", ROWS)?;
    write_pipeline(&scene, "p.yaml", SOURCE, "  on-bad-value.columns: id=null")?;
    let refused = scene.longshore(&["run", "p.yaml"])?;
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.stderr.contains("`id`"), "{refused:?}");
    write_pipeline(
        &scene,
        "p.yaml",
        SOURCE,
        "  on-bad-value.columns: name=drop",
    )?;
    let refused = scene.longshore(&["validate", "p.yaml"])?;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("fail, null, dead-letter"),
        "{refused:?}"
    );
    Ok(())
}
