//! Standard input. The test binary runs itself as the reading process.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use longshore_pipeline::source::{Position, SourceEvent, file};

use super::support::{Files, read_all, rows};

const SOURCE: &str = "path: '-'\nformat: json\ntable: t\nschema: {x: INT}\nbatch-rows: 2";

/// Where the reading process goes on.
const POSITION: &str = "LONGSHORE_TEST_POSITION";

#[test]
#[ignore = "the reading process of the test below"]
fn reader() {
    let options = Files::new().options(SOURCE);
    let position = std::env::var(POSITION)
        .ok()
        .map(|text| Position::from_json(&text).unwrap());
    let mut source = file::open(&options, position.as_ref()).unwrap();
    while let Some(event) = source.next().unwrap() {
        if let SourceEvent::Batch(batch) = event {
            for row in rows(&batch.batch) {
                println!("ROW {row}");
            }
            println!("POSITION {}", batch.position.unwrap().to_json());
        }
    }
}

#[test]
fn rows_do_not_wait_for_rows_to_come_and_only_the_end_can_be_continued() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["stdin::reader", "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut next = |prefix: &str| {
        let line = output.find(|line| line.starts_with(prefix)).unwrap();
        line.strip_prefix(prefix).unwrap().trim().to_owned()
    };
    // A batch has two rows, but the input stays open behind the first.
    input.write_all(b"{\"x\":1}\n").unwrap();
    assert_eq!(next("ROW"), "0 1");
    let midway = Position::from_json(&next("POSITION")).unwrap();
    // A full batch at the very end must still say that it is the last.
    input.write_all(b"{\"x\":2}\n{\"x\":3}\n").unwrap();
    drop(input);
    assert_eq!(next("ROW"), "0 2");
    let mut last = next("POSITION");
    while !last.contains("\"ended\":true") {
        last = next("POSITION");
    }
    assert!(child.wait().unwrap().success());
    let options = Files::new().options(SOURCE);
    let error = read_all(&options, Some(&midway)).error.unwrap();
    assert!(error.message.contains("can not be continued"), "{error}");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["stdin::reader", "--exact", "--ignored"])
        .env(POSITION, last)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(
        status.success(),
        "what comes after the end of an input is a new one"
    );
}
