//! The progress of a pipeline as `longshore checkpoints` shows it, and ways out of damage.

use serde_json::Value;

use crate::support::{Feeding, ORDERS, Place};

const ROWS: &str = "{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3}\n";

fn json(place: &Place, args: &[&str]) -> Value {
    let mut args = args.to_vec();
    args.extend(["--output", "json"]);
    let ended = place.longshore(&args).expect(0);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn checkpoints_are_listed_and_shown() {
    let place = Place::with(ORDERS, ("orders.json", ROWS));
    let none = place
        .longshore(&["checkpoints", "list", "pipeline.yaml"])
        .expect(0);
    assert!(none.stdout.contains("no checkpoints yet"), "{none:#?}");
    place.run().expect(0);

    let list = json(&place, &["checkpoints", "list", "pipeline.yaml"]);
    assert_eq!(
        (&list["pipeline"], &list["last"]),
        (&"orders".into(), &1.into())
    );
    assert_eq!(list["pending-committables"], 0);
    assert_eq!(list["checkpoints"][0]["tables"][0]["written"], 3);
    assert_eq!(list["checkpoints"][0]["finished"], true);
    let human = place
        .longshore(&["checkpoints", "list", "pipeline.yaml"])
        .expect(0);
    assert!(human.stdout.contains("end of the source"), "{human:#?}");

    let shown = json(&place, &["checkpoints", "show", "pipeline.yaml"]);
    assert!(shown["position"].is_object(), "{shown}");
    assert_eq!(shown["committables"][0]["table"], "orders");
    let human = place
        .longshore(&["checkpoints", "show", "pipeline.yaml", "1"])
        .expect(0);
    assert!(human.stdout.contains("the source goes on at"), "{human:#?}");
    place
        .longshore(&["checkpoints", "show", "pipeline.yaml", "7"])
        .expect(2)
        .says(&["has no checkpoint 7"]);
}

#[test]
fn a_running_pipeline_can_be_looked_at_and_not_be_reset() {
    let place = Place::with(
        &ORDERS.replace("path: orders.json", "path: '-'\n  format: json"),
        ("x", ""),
    );
    let mut running = Feeding::start(&place, &["run", "pipeline.yaml"]);
    running.wait_for("local MaxCompute");
    running.feed(ROWS);
    // The store is locked soon after; before that the commands have nothing to refuse.
    let in_use = format!("in use by process {}", running.child.id());
    for command in [
        &["reset", "pipeline.yaml", "--yes"][..],
        &["repair", "pipeline.yaml"],
    ] {
        loop {
            let refused = place.longshore(&[&["checkpoints"], command].concat());
            if refused.code == Some(8) {
                refused.says(&[&in_use]);
                break;
            }
            assert_eq!(refused.code, Some(0), "{refused:#?}");
        }
    }
    place
        .longshore(&["checkpoints", "list", "pipeline.yaml"])
        .expect(0);
    running.end().expect(0);
}

#[test]
fn a_reset_pipeline_starts_anew() {
    let place = Place::with(ORDERS, ("orders.json", ROWS));
    place.run().expect(0);
    let told = place
        .longshore(&["checkpoints", "reset", "pipeline.yaml"])
        .expect(0);
    assert!(told.stdout.contains("--yes"), "{told:#?}");
    assert!(place.run().expect(0).stdout.contains("nothing new"));
    place
        .longshore(&["checkpoints", "reset", "pipeline.yaml", "--yes"])
        .expect(0);
    place.run().expect(0);
    assert_eq!(place.tables(), [("orders".to_owned(), 6)]);
}

#[test]
fn a_damaged_store_is_told_and_has_a_way_out() {
    let place = Place::with(ORDERS, ("orders.json", ROWS));
    place.run().expect(0);
    let sound = json(&place, &["checkpoints", "repair", "pipeline.yaml"]);
    assert_eq!(sound["outcome"], "sound");

    let store = place.path().join(".longshore/orders.db");
    let whole = std::fs::read(&store).unwrap();
    let mut damaged = whole.clone();
    damaged[4096..].fill(0xa5);
    std::fs::write(&store, &damaged).unwrap();
    place
        .run()
        .expect(8)
        .says(&["is damaged", "longshore checkpoints repair"]);
    place
        .longshore(&["checkpoints", "repair", "pipeline.yaml"])
        .expect(8)
        .says(&["nothing was changed", "longshore checkpoints reset"]);
    assert_eq!(std::fs::read(&store).unwrap(), damaged);
    let reset = json(&place, &["checkpoints", "reset", "pipeline.yaml", "--yes"]);
    let aside = reset["set-aside"].as_str().unwrap();
    assert_eq!(std::fs::read(place.path().join(aside)).unwrap(), damaged);
    place.run().expect(0);
    assert_eq!(place.tables(), [("orders".to_owned(), 6)]);
}

#[test]
fn a_store_from_a_backup_is_not_silently_gone_on_from() {
    let place = Place::with(ORDERS, ("orders.json", ROWS));
    place.run().expect(0);
    let store = place.path().join(".longshore/orders.db");
    let backup = std::fs::read(&store).unwrap();
    place.write("orders.json", &format!("{ROWS}{{\"id\": 4}}\n"));
    place.run().expect(0);
    std::fs::write(&store, backup).unwrap();

    place.run().expect(8).says(&[
        "ends at checkpoint 1, and checkpoint 2 was stored",
        "--accept-older",
    ]);
    assert_eq!(place.tables(), [("orders".to_owned(), 4)]);
    place
        .longshore(&["checkpoints", "repair", "pipeline.yaml", "--accept-older"])
        .expect(0);
    place.run().expect(0);
    assert_eq!(place.tables(), [("orders".to_owned(), 5)]);
}

#[test]
fn a_file_that_is_no_store_is_left_alone() {
    let pipeline = format!("{ORDERS}  checkpoint-path: notes.txt\n");
    let place = Place::with(&pipeline, ("orders.json", ROWS));
    place.write("notes.txt", "milk, bread and a lot of other things");
    for args in [
        &["run", "pipeline.yaml"][..],
        &["run", "pipeline.yaml", "--fresh"],
        &["checkpoints", "list", "pipeline.yaml"],
        &["checkpoints", "reset", "pipeline.yaml", "--yes"],
        &["checkpoints", "repair", "pipeline.yaml"],
        &["dead-letters", "list", "pipeline.yaml"],
    ] {
        place
            .longshore(args)
            .expect(8)
            .says(&["is no checkpoint store", "checkpoint-path"]);
    }
    let text = std::fs::read_to_string(place.path().join("notes.txt")).unwrap();
    assert_eq!(text, "milk, bread and a lot of other things");
    place.shows_nothing();
}
