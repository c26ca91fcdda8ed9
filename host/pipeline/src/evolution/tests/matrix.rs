use super::{columns, shape};
use crate::definition::SchemaChangeBehavior::{
    self, Evolve, Exception, Ignore, Lenient, TryEvolve,
};
use crate::evolution::{
    ChangeTag, Refusal, SchemaEvolution, TAGS_AND_FAMILIES, TableChange, TableShape, difference,
};

fn policy(behavior: SchemaChangeBehavior) -> SchemaEvolution {
    SchemaEvolution::new(behavior, None, None, None)
}

fn table() -> TableShape {
    shape(&["id BIGINT NOT NULL", "a INT", "b STRING NOT NULL"])
}

/// What the sink's table is after a source's table became `after`, by behaviour.
fn outcome(
    behavior: SchemaChangeBehavior,
    after: &TableShape,
    renamed: &[(&str, &str)],
) -> Result<Vec<String>, Refusal> {
    let renamed: Vec<(String, String)> = renamed
        .iter()
        .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
        .collect();
    let mut sink = table();
    for change in difference(&table(), after, &renamed) {
        for step in policy(behavior).derive(&change, &sink)? {
            sink = sink.after(&step);
        }
    }
    Ok(columns(&sink))
}

#[test]
fn every_behaviour_meets_every_change_of_columns() {
    let same = ["id BIGINT NOT NULL", "a INT", "b STRING NOT NULL"].as_slice();
    let added = shape(&[
        "id BIGINT NOT NULL",
        "n DATE NOT NULL",
        "a INT",
        "b STRING NOT NULL",
    ]);
    let retyped = shape(&["id BIGINT NOT NULL", "a BIGINT", "b STRING NOT NULL"]);
    let loosened = shape(&["id BIGINT NOT NULL", "a INT", "b STRING"]);
    let renamed = shape(&["id BIGINT NOT NULL", "a INT", "c STRING NOT NULL"]);
    let dropped = shape(&["id BIGINT NOT NULL", "a INT"]);
    for (what, after, renames, evolve, lenient) in [
        (
            "add",
            &added,
            [].as_slice(),
            // Rows that are there have no value for it.
            ["id BIGINT NOT NULL", "n DATE", "a INT", "b STRING NOT NULL"].as_slice(),
            ["id BIGINT NOT NULL", "a INT", "b STRING NOT NULL", "n DATE"].as_slice(),
        ),
        (
            "alter type",
            &retyped,
            &[],
            &["id BIGINT NOT NULL", "a BIGINT", "b STRING NOT NULL"],
            &["id BIGINT NOT NULL", "a BIGINT", "b STRING NOT NULL"],
        ),
        (
            "allow NULL",
            &loosened,
            &[],
            &["id BIGINT NOT NULL", "a INT", "b STRING"],
            &["id BIGINT NOT NULL", "a INT", "b STRING"],
        ),
        (
            "rename",
            &renamed,
            &[("b", "c")],
            &["id BIGINT NOT NULL", "a INT", "c STRING NOT NULL"],
            &["id BIGINT NOT NULL", "a INT", "b STRING", "c STRING"],
        ),
        (
            "drop",
            &dropped,
            &[],
            &["id BIGINT NOT NULL", "a INT"],
            &["id BIGINT NOT NULL", "a INT", "b STRING"],
        ),
    ] {
        for (behavior, expected) in [
            (Evolve, evolve),
            (TryEvolve, evolve),
            (Lenient, lenient),
            (Ignore, same),
        ] {
            let found = outcome(behavior, after, renames);
            assert_eq!(found.unwrap(), expected, "{what}, {behavior:?}");
        }
        assert_eq!(outcome(Exception, after, renames), Err(Refusal), "{what}");
    }
}

#[test]
fn every_behaviour_meets_truncates_and_drops() {
    for change in [TableChange::Truncate, TableChange::Drop] {
        for (behavior, applied) in [
            (Evolve, true),
            (TryEvolve, true),
            (Lenient, false),
            (Ignore, false),
        ] {
            let derived = policy(behavior).derive(&change, &table()).unwrap();
            let expected = if applied {
                vec![change.clone()]
            } else {
                Vec::new()
            };
            assert_eq!(derived, expected, "{behavior:?}");
        }
        assert_eq!(policy(Exception).derive(&change, &table()), Err(Refusal));
    }
}

#[test]
fn only_try_evolve_goes_on_after_a_failure() {
    for behavior in [Evolve, TryEvolve, Lenient, Ignore, Exception] {
        let tolerates = policy(behavior).tolerates_failures();
        assert_eq!(tolerates, behavior == TryEvolve, "{behavior:?}");
    }
}

fn applied(
    behavior: SchemaChangeBehavior,
    include: Option<&[&str]>,
    exclude: Option<&[&str]>,
) -> Vec<ChangeTag> {
    let owned = |names: &[&str]| -> Vec<String> { names.iter().map(|&n| n.to_owned()).collect() };
    let (include, exclude) = (include.map(owned), exclude.map(owned));
    let policy = SchemaEvolution::new(behavior, include.as_deref(), exclude.as_deref(), None);
    let all = [
        difference(
            &table(),
            &shape(&["id BIGINT NOT NULL", "a INT", "b STRING NOT NULL", "n INT"]),
            &[],
        ),
        difference(
            &table(),
            &shape(&["id BIGINT NOT NULL", "a BIGINT", "b STRING NOT NULL"]),
            &[],
        ),
        difference(
            &table(),
            &shape(&["id BIGINT NOT NULL", "b STRING NOT NULL"]),
            &[],
        ),
        vec![
            TableChange::RenameColumns(vec![("a".to_owned(), "z".to_owned())]),
            TableChange::SetComment(None),
            TableChange::Truncate,
            TableChange::Drop,
        ],
    ];
    let changes = all.iter().flatten();
    changes
        .filter(|change| !policy.derive(change, &table()).unwrap().is_empty())
        .map(TableChange::tag)
        .collect()
}

#[test]
fn changes_are_included_and_excluded_by_tag_and_family() {
    use ChangeTag::{
        AddColumn, AlterColumnType, AlterTableComment, DropColumn, DropTable, RenameColumn,
        TruncateTable,
    };
    assert_eq!(
        applied(Evolve, None, None),
        [
            AddColumn,
            AlterColumnType,
            DropColumn,
            RenameColumn,
            AlterTableComment,
            TruncateTable,
            DropTable
        ]
    );
    assert_eq!(
        applied(Evolve, Some(&["column"]), Some(&["drop"])),
        [AddColumn, AlterColumnType, RenameColumn]
    );
    assert_eq!(
        applied(Evolve, Some(&["truncate.table", "alter"]), None),
        [AlterColumnType, AlterTableComment, TruncateTable]
    );
    assert_eq!(applied(Evolve, Some(&["none"]), None), []);
    assert_eq!(applied(Evolve, None, Some(&["all"])), []);
    // Lenient leaves tables and their rows alone, unless asked otherwise.
    let lenient = [AddColumn, AlterColumnType, RenameColumn, AlterTableComment];
    assert_eq!(applied(Lenient, None, None), lenient);
    assert_eq!(
        applied(Lenient, Some(&["table"]), None),
        [AlterTableComment, TruncateTable, DropTable]
    );
    assert_eq!(
        applied(Lenient, None, Some(&["alter.table.comment"])),
        [
            AddColumn,
            AlterColumnType,
            RenameColumn,
            TruncateTable,
            DropTable
        ]
    );
    for (name, _) in TAGS_AND_FAMILIES {
        let only = applied(Evolve, Some(&[name]), None);
        let all_but = applied(Evolve, None, Some(&[name]));
        assert_eq!(only.len() + all_but.len(), 7, "{name}");
    }
}

#[test]
fn places_of_new_columns_are_told() {
    let after = shape(&[
        "x INT",
        "id BIGINT NOT NULL",
        "y INT",
        "a INT",
        "b STRING NOT NULL",
        "z INT",
    ]);
    let sink = difference(&table(), &after, &[])
        .iter()
        .fold(table(), |sink, change| sink.after(change));
    assert_eq!(columns(&sink), columns(&after));
}

#[test]
fn a_swap_is_one_change_and_keys_follow_a_rename() {
    let mut before = table();
    before.primary_key = vec!["id".to_owned()];
    let renamed = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    };
    let mut after = shape(&["key BIGINT NOT NULL", "b INT", "a STRING NOT NULL"]);
    after.primary_key = vec!["key".to_owned()];
    let pairs = renamed(&[("id", "key"), ("a", "b"), ("b", "a")]);
    let changes = difference(&before, &after, &pairs);
    assert_eq!(changes, [TableChange::RenameColumns(pairs)]);
    assert_eq!(before.after(&changes[0]), after);
}
