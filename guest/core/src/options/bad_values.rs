//! What to do about values that do not fit their column.

use std::str::FromStr;

use crate::contract::TablePath;
use crate::schema::same_name;

/// What to do with a row that has a value its column can not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BadValuePolicy {
    /// Refuse the row (error class `Data`), which ends the run.
    #[default]
    Fail,
    /// Write the row with NULL in place of the value.
    Null,
    /// Hand the row over as a dead letter.
    DeadLetter,
}

/// The policies of all columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BadValueRules {
    general: BadValuePolicy,
    columns: ColumnRules,
}

/// Policies of single columns, as option `on-bad-value.columns` lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ColumnRules(Vec<ColumnRule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct ColumnRule {
    /// Empty = every table.
    table: String,
    /// `*` = every column.
    column: String,
    policy: BadValuePolicy,
}

impl BadValueRules {
    pub(super) fn new(general: Option<&str>, columns: Option<ColumnRules>) -> Self {
        Self {
            general: general.and_then(policy).unwrap_or_default(),
            columns: columns.unwrap_or_default(),
        }
    }

    /// The policy of a column.
    #[must_use]
    pub fn of(&self, table: &TablePath, column: &str) -> BadValuePolicy {
        self.named(table, column).unwrap_or(self.general)
    }

    /// The policy of a column that a rule names.
    #[must_use]
    pub fn named(&self, table: &TablePath, column: &str) -> Option<BadValuePolicy> {
        let rules = self.columns.0.iter();
        rules
            .filter(|rule| rule.column == "*" || same_name(&rule.column, column))
            .filter(|rule| is_meant(&rule.table, table))
            .map(|rule| rule.policy)
            .next()
    }

    /// Names of all columns that a rule for this table names.
    pub fn columns_of<'a>(&'a self, table: &'a TablePath) -> impl Iterator<Item = &'a str> {
        let rules = self.columns.0.iter();
        rules
            .filter(|rule| is_meant(&rule.table, table))
            .map(|rule| rule.column.as_str())
    }
}

/// Whether `name`, which may leave out leading tiers, is this table.
fn is_meant(name: &str, table: &TablePath) -> bool {
    let path = table.to_string();
    name.is_empty()
        || same_name(name, &path)
        || path
            .char_indices()
            .filter(|(_, c)| *c == '.')
            .any(|(at, _)| path.get(at + 1..).is_some_and(|tail| same_name(name, tail)))
}

fn policy(text: &str) -> Option<BadValuePolicy> {
    match text.to_ascii_lowercase().as_str() {
        "fail" => Some(BadValuePolicy::Fail),
        "null" => Some(BadValuePolicy::Null),
        "dead-letter" => Some(BadValuePolicy::DeadLetter),
        _ => None,
    }
}

impl FromStr for ColumnRules {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = |part: &str| {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` has no `=`"))?;
            let (name, value) = (name.trim(), value.trim());
            let (table, column) = name.rsplit_once('.').unwrap_or(("", name));
            let for_all = column == "*" && table.is_empty();
            if column.is_empty() || for_all || (table.is_empty() && name.contains('.')) {
                return Err(format!(
                    "`{name}` is neither COLUMN nor TABLE.COLUMN nor TABLE.*"
                ));
            }
            let policy = policy(value)
                .ok_or_else(|| format!("`{value}` is none of fail, null, dead-letter"))?;
            Ok(ColumnRule {
                table: table.to_owned(),
                column: column.to_owned(),
                policy,
            })
        };
        text.split(',')
            .map(|part| rule(part.trim()))
            .collect::<Result<_, String>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(schema: Option<&str>, table: &str) -> TablePath {
        TablePath {
            catalog: None,
            schema: schema.map(str::to_owned),
            table: table.to_owned(),
        }
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let columns = "shop.orders.total=dead-letter, ORDERS.note = null, total=null".parse();
        let rules = BadValueRules::new(Some("fail"), Some(columns.unwrap()));
        let orders = path(Some("shop"), "orders");
        assert_eq!(rules.of(&orders, "Total"), BadValuePolicy::DeadLetter);
        assert_eq!(rules.of(&orders, "note"), BadValuePolicy::Null);
        assert_eq!(rules.of(&orders, "id"), BadValuePolicy::Fail);
        let other = path(Some("my_shop"), "orders");
        assert_eq!(rules.of(&other, "total"), BadValuePolicy::Null);
        assert_eq!(rules.of(&other, "note"), BadValuePolicy::Null);
        assert_eq!(rules.of(&path(None, "lines"), "note"), BadValuePolicy::Fail);
    }

    #[test]
    fn a_table_can_have_a_policy_of_its_own() {
        let columns = "orders.note=null, orders.*=dead-letter".parse();
        let rules = BadValueRules::new(Some("fail"), Some(columns.unwrap()));
        let orders = path(Some("shop"), "orders");
        assert_eq!(rules.of(&orders, "note"), BadValuePolicy::Null);
        assert_eq!(rules.of(&orders, "total"), BadValuePolicy::DeadLetter);
        assert_eq!(
            rules.of(&path(None, "lines"), "total"),
            BadValuePolicy::Fail
        );
    }

    #[test]
    fn what_is_no_rule_is_told() {
        for text in ["", "a", "a=drop", ".a=null", "a.=null", "a=null,", "*=null"] {
            assert!(text.parse::<ColumnRules>().is_err(), "{text}");
        }
    }
}
