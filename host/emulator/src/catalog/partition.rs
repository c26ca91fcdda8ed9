//! Partition specifications: `pt=a,ds=b` (tunnel), `pt='a',ds='b'` (REST, SQL) and directory names.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::StoreError;
use super::table::TableMeta;

/// Values of all partition columns of one partition, in table order.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct PartitionSpec(pub Vec<(String, String)>);

/// Bytes that may not stand in a directory name as they are.
const DIRECTORY: &AsciiSet = &CONTROLS
    .add(b'/')
    .add(b'\\')
    .add(b'%')
    .add(b'=')
    .add(b':')
    .add(b'*')
    .add(b'?')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'|');

impl PartitionSpec {
    /// Splits `a=1,b='2'` into pairs; quotes around a value are removed, `/` separates like `,`.
    pub fn parse_pairs(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut pairs = Vec::new();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err("it is empty".to_owned());
        }
        loop {
            let Some((name, after)) = rest.split_once('=') else {
                return Err(format!("`{rest}` has no `=`"));
            };
            let name = name.trim().trim_matches('`');
            if name.is_empty() {
                return Err("a column name is missing".to_owned());
            }
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| *c == '\'' || *c == '"');
            let (value, tail) = match quote {
                Some(quote) => {
                    let body = after.strip_prefix(quote).unwrap_or(after);
                    let (value, used) = unquote(body, quote)
                        .ok_or_else(|| format!("the value of {name} is not closed"))?;
                    (value, body.get(used..).unwrap_or("").trim_start())
                }
                None => {
                    let end = unquoted_end(after);
                    let (value, tail) = after.split_at(end);
                    (value.trim().to_owned(), tail)
                }
            };
            pairs.push((name.to_owned(), value));
            if tail.is_empty() {
                return Ok(pairs);
            }
            rest = tail
                .strip_prefix([',', '/'])
                .ok_or_else(|| format!("`{tail}` after the value of {name} is not understood"))?
                .trim_start();
        }
    }

    /// Reads a specification in either spelling and checks it against the table: every partition
    /// column exactly once (any order, any letter case), values that fit the column type.
    pub fn resolve(table: &TableMeta, text: &str) -> Result<Self, StoreError> {
        let invalid = |reason: String| StoreError::InvalidPartition {
            table: table.full_name(),
            text: text.to_owned(),
            reason,
        };
        let pairs = Self::parse_pairs(text).map_err(invalid)?;
        Self::from_pairs(table, &pairs)
    }

    /// As [`PartitionSpec::resolve`], from pairs already split.
    pub fn from_pairs(table: &TableMeta, pairs: &[(String, String)]) -> Result<Self, StoreError> {
        let text = || {
            pairs
                .iter()
                .map(|(n, v)| format!("{n}={v}"))
                .collect::<Vec<_>>()
                .join(",")
        };
        let invalid = |reason: String| StoreError::InvalidPartition {
            table: table.full_name(),
            text: text(),
            reason,
        };
        if table.partition_columns.is_empty() {
            return Err(invalid("the table is not partitioned".to_owned()));
        }
        for (name, _) in pairs {
            if !table
                .partition_columns
                .iter()
                .any(|c| c.name.eq_ignore_ascii_case(name))
            {
                return Err(invalid(format!("`{name}` is not a partition column")));
            }
        }
        let mut values = Vec::with_capacity(table.partition_columns.len());
        for column in &table.partition_columns {
            let mut given = pairs
                .iter()
                .filter(|(n, _)| n.eq_ignore_ascii_case(&column.name));
            let Some((_, value)) = given.next() else {
                return Err(invalid(format!(
                    "partition column `{}` has no value",
                    column.name
                )));
            };
            if given.next().is_some() {
                return Err(invalid(format!(
                    "partition column `{}` is given twice",
                    column.name
                )));
            }
            values.push((
                column.name.clone(),
                check_value(column, value).map_err(invalid)?,
            ));
        }
        Ok(Self(values))
    }

    /// `pt='a',ds='b'`, as REST and SQL write it.
    pub fn rest_text(&self) -> String {
        let quoted = |v: &str| v.replace('\\', "\\\\").replace('\'', "\\'");
        self.0
            .iter()
            .map(|(n, v)| format!("{n}='{}'", quoted(v)))
            .collect::<Vec<_>>()
            .join(",")
    }

    /// `pt=a/ds=b`, values as they are: how lists name partitions.
    pub fn path(&self) -> String {
        self.0
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect::<Vec<_>>()
            .join("/")
    }

    /// Directory below the table's: `pt=a/ds=b`, unusual bytes percent-encoded as Hive does.
    pub fn directory(&self) -> String {
        self.0
            .iter()
            .map(|(n, v)| {
                let value = if v == "." || v == ".." {
                    v.replace('.', "%2E")
                } else {
                    utf8_percent_encode(v, DIRECTORY).to_string()
                };
                format!("{}={value}", utf8_percent_encode(n, DIRECTORY))
            })
            .collect::<Vec<_>>()
            .join("/")
    }

    /// Reverse of [`PartitionSpec::directory`].
    pub fn from_directory(text: &str) -> Option<Self> {
        text.split('/')
            .map(|part| {
                let (name, value) = part.split_once('=')?;
                Some((
                    percent_decode_str(name).decode_utf8().ok()?.into_owned(),
                    percent_decode_str(value).decode_utf8().ok()?.into_owned(),
                ))
            })
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }
}

impl fmt::Display for PartitionSpec {
    /// `pt=a,ds=b`, as the tunnel writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{name}={value}")?;
        }
        Ok(())
    }
}

/// Length of a value without quotes: up to a `,` or `/` that is followed by `name=`. The tunnel's
/// spelling has no quotes, so that values may hold these characters.
fn unquoted_end(text: &str) -> usize {
    let separates = |after: &str| {
        after.split_once('=').is_some_and(|(name, _)| {
            let name = name.trim().trim_matches('`');
            !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
        })
    };
    text.match_indices([',', '/'])
        .map(|(at, separator)| (at, text.get(at + separator.len()..).unwrap_or("")))
        .find(|(_, after)| separates(after))
        .map_or(text.len(), |(at, _)| at)
}

fn unquote(body: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if escaped {
            value.push(c);
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return Some((value, at + c.len_utf8()));
        } else {
            value.push(c);
        }
    }
    None
}

fn check_value(column: &super::Column, value: &str) -> Result<String, String> {
    use super::ColumnType;
    let name = &column.name;
    if value.is_empty() {
        return Err(format!("the value of `{name}` is empty"));
    }
    let integer = |min: i64, max: i64| {
        let number: i64 = value
            .parse()
            .map_err(|_| format!("`{value}` of `{name}` is not a {}", column.ty))?;
        if number < min || number > max {
            return Err(format!("{value} of `{name}` does not fit {}", column.ty));
        }
        Ok(number.to_string())
    };
    match &column.ty {
        ColumnType::TinyInt => integer(i8::MIN.into(), i8::MAX.into()),
        ColumnType::SmallInt => integer(i16::MIN.into(), i16::MAX.into()),
        ColumnType::Int => integer(i32::MIN.into(), i32::MAX.into()),
        ColumnType::BigInt => integer(i64::MIN + 1, i64::MAX),
        ColumnType::Date => chrono::NaiveDate::parse_from_str(value, "%Y-%m-%d")
            .map(|_| value.to_owned())
            .map_err(|_| format!("`{value}` of `{name}` is not a date yyyy-mm-dd")),
        ColumnType::Varchar(limit) | ColumnType::Char(limit) => {
            if value.chars().count() > *limit as usize {
                return Err(format!(
                    "the value of `{name}` is longer than {limit} characters"
                ));
            }
            Ok(value.to_owned())
        }
        _ => {
            if value.len() > 255 {
                return Err(format!("the value of `{name}` is longer than 255 bytes"));
            }
            Ok(value.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        let pairs = |v: &[(&str, &str)]| {
            v.iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            PartitionSpec::parse_pairs("a=1,b=2").unwrap(),
            pairs(&[("a", "1"), ("b", "2")])
        );
        assert_eq!(
            PartitionSpec::parse_pairs("a='x,y', b=\"2\"").unwrap(),
            pairs(&[("a", "x,y"), ("b", "2")])
        );
        assert_eq!(
            PartitionSpec::parse_pairs("a='it\\'s'").unwrap(),
            pairs(&[("a", "it's")])
        );
        assert_eq!(
            PartitionSpec::parse_pairs("a=x/y,z %,b=1/c=2").unwrap(),
            pairs(&[("a", "x/y,z %"), ("b", "1"), ("c", "2")])
        );
        assert!(PartitionSpec::parse_pairs("a").is_err());
        assert!(PartitionSpec::parse_pairs("a='x").is_err());
    }

    #[test]
    fn directories_round_trip() {
        let spec = PartitionSpec(vec![
            ("pt".into(), "a/b=c%d 杭州".into()),
            ("ds".into(), "..".into()),
        ]);
        assert_eq!(
            PartitionSpec::from_directory(&spec.directory()),
            Some(spec.clone())
        );
        assert!(!spec.directory().contains("/.."));
    }
}
