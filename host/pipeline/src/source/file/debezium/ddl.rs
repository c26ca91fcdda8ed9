//! Records of Debezium's schema-change topic.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use super::super::{super::table::TableId, tables::Alteration};

/// What happened to one table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TableChange {
    pub(super) table: TableId,
    pub(super) kind: ChangeKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum ChangeKind {
    Create,
    Alter(Alteration),
    Drop,
}

#[derive(Deserialize)]
struct Change {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    table: Option<Table>,
}

#[derive(Deserialize)]
struct Table {
    columns: Option<Vec<Column>>,
    comment: Option<String>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

/// Reads `tableChanges`, with the renames that the statement `ddl`, a JSON text, tells. `None` when
/// it is none.
pub(super) fn read_changes(table_changes: &str, ddl: &str) -> Option<Vec<TableChange>> {
    let changes: Vec<Change> = serde_json::from_str(table_changes).ok()?;
    let ddl: Option<String> = serde_json::from_str(ddl).ok().flatten();
    changes
        .into_iter()
        .map(|change| {
            let table = table_of(&change.id)?;
            let kind = match change.kind.as_str() {
                "DROP" => ChangeKind::Drop,
                "ALTER" => ChangeKind::Alter(Alteration {
                    renamed: ddl.as_deref().map(renames).unwrap_or_default(),
                    comment: change.table.as_ref().map(|table| {
                        let comment = table.comment.clone();
                        comment.filter(|text| !text.is_empty())
                    }),
                    columns: change
                        .table
                        .and_then(|table| table.columns)
                        .map(|columns| columns.into_iter().map(|column| column.name).collect()),
                }),
                _ => ChangeKind::Create,
            };
            Some(TableChange { table, kind })
        })
        .collect()
}

/// The table of an id such as `"db"."t"` or `"db"."schema"."t"`. With two levels the database is
/// the schema, as in the rows' events.
fn table_of(id: &str) -> Option<TableId> {
    let mut levels: Vec<String> = Vec::new();
    let mut rest = id;
    while !rest.is_empty() {
        let (level, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"')?;
                (quoted.get(..end)?, quoted.get(end + 1..)?)
            }
            None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        levels.push(level.to_owned());
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    let mut levels = levels.into_iter().rev();
    Some(TableId {
        table: levels.next()?,
        schema: levels.next(),
        namespace: levels.next(),
    })
}

static RENAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let name = r#"(?:`([^`]+)`|"([^"]+)"|([\w$]+))"#;
    Regex::new(&format!(
        r"(?i)\b(?:RENAME\s+COLUMN\s+(?:IF\s+EXISTS\s+)?{name}\s+TO\s+{name}|CHANGE\s+(?:COLUMN\s+)?(?:IF\s+EXISTS\s+)?{name}\s+{name}\s)"
    ))
    .ok()
});

/// The columns that a statement renames.
fn renames(ddl: &str) -> Vec<(String, String)> {
    let Some(rename) = RENAME.as_ref() else {
        return Vec::new();
    };
    rename
        .captures_iter(ddl)
        .filter_map(|captures| {
            let mut names = captures.iter().skip(1).flatten();
            let (from, to) = (names.next()?.as_str(), names.next()?.as_str());
            (from != to).then(|| (from.to_owned(), to.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_tell_renames() {
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            let list = list.iter();
            list.map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect()
        };
        for (ddl, expected) in [
            ("ALTER TABLE t RENAME COLUMN a TO b", pairs(&[("a", "b")])),
            (
                "alter table `t` change `a b` `c` int not null",
                pairs(&[("a b", "c")]),
            ),
            ("ALTER TABLE t CHANGE COLUMN a a BIGINT", pairs(&[])),
            (
                "ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a",
                pairs(&[("a", "b"), ("b", "a")]),
            ),
            (
                r#"ALTER TABLE "t" RENAME COLUMN "x" TO "y""#,
                pairs(&[("x", "y")]),
            ),
            ("ALTER TABLE t ADD COLUMN c INT", pairs(&[])),
            ("ALTER TABLE t RENAME TO u", pairs(&[])),
        ] {
            assert_eq!(renames(ddl), expected, "{ddl}");
        }
    }

    #[test]
    fn ids_name_tables_of_two_and_three_levels() {
        for (id, name) in [
            (r#""db"."t""#, "db.t"),
            (r#""db"."s"."t.u""#, "db.s.t.u"),
            ("t", "t"),
        ] {
            assert_eq!(table_of(id).unwrap().to_string(), name);
        }
    }
}
