//! One rule: which calls it is about, which of them it changes, and how.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use super::operation::{Call, Operation, plain_partition};
use super::yaml::{Kind, Node};

/// A rule for faults.
#[derive(Debug, Clone)]
pub struct Rule {
    operations: Vec<Operation>,
    table: Option<String>,
    partition: Option<String>,
    statement: Option<String>,
    /// Matching calls that pass first.
    pub(super) skip: u64,
    /// Calls that are changed; None = every further one.
    pub(super) times: Option<u64>,
    /// Change a call only while that many others that match are being answered.
    pub(super) above: Option<u64>,
    /// Wait so long before the call is done.
    pub(super) delay: Duration,
    /// Wait so long before its answer is sent.
    pub(super) delay_answer: Duration,
    /// Whether the call is done before the effect.
    pub(super) when: When,
    pub(super) effect: Option<Effect>,
    /// As it was written.
    pub(super) given: Value,
}

/// What is wrong with rules.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

/// Whether a call is done before it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum When {
    /// It is not done at all.
    #[default]
    Before,
    /// It is done, and only the client does not learn of it.
    After,
}

/// What happens to a call.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Effect {
    /// This is answered. The body is read to its end first.
    Answer(Answer),
    /// This is answered at once, and the connection is closed with the body unread.
    AnswerUnread(Answer),
    /// The service asks to slow down.
    Throttle(Throttle),
    /// The connection is closed without an answer.
    Drop,
    /// The connection is closed within the request's body.
    TornRequest(Torn),
    /// The connection is closed within the answer's body.
    TornAnswer(Torn),
    /// The request's body is read slowly.
    SlowRequest(Slow),
    /// The answer's body comes slowly.
    SlowAnswer(Slow),
    /// One bit at the end of the request's body is changed.
    CorruptRequest,
    /// One bit at the end of the answer's body is changed.
    CorruptAnswer,
    /// The session of the request ends before it is looked at.
    EndSession(SessionEnd),
    /// The slots of the request's session move to another server.
    MoveSlot(MoveSlot),
    /// The SQL job fails.
    FailJob(JobError),
    /// There is no space left when the body is written.
    DiskFull,
    /// The server loses all its connections and what it has in memory.
    Restart(Restart),
}

/// An answer instead of the server's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Answer {
    #[serde(deserialize_with = "status")]
    pub(super) status: StatusCode,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    /// `HoldClientMillis` of the error body.
    #[serde(default, deserialize_with = "some_duration")]
    pub(super) hold_client: Option<Duration>,
    #[serde(default, deserialize_with = "headers")]
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// 429 and how long to wait.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Throttle {
    pub(super) code: Option<String>,
    #[serde(default, deserialize_with = "some_duration")]
    pub(super) hold_client: Option<Duration>,
    #[serde(default, deserialize_with = "some_duration")]
    pub(super) retry_after: Option<Duration>,
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Torn {
    pub(super) after_bytes: u64,
}

/// How slow a body is.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Slow {
    pub(super) bytes_per_second: std::num::NonZeroU64,
}

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SessionEnd {
    /// Its status becomes `expired`.
    Expired,
    /// Its status becomes `critical`.
    Critical,
    /// Its status becomes `aborted`.
    Aborted,
    /// It is forgotten: 404.
    Gone,
}

/// A slot's new server.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct MoveSlot {
    /// Whether the 308 says which server it is; otherwise the client has to read the session again.
    #[serde(default = "yes")]
    pub(super) told: bool,
}

/// What an SQL job that fails says.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct JobError {
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
}

/// How long the server is away.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Restart {
    #[serde(default, deserialize_with = "duration")]
    pub(super) down: Duration,
}

/// How an SQL job is to fail; travels with the request that submits it.
#[derive(Debug, Clone)]
pub struct JobFault {
    /// Run its statements first.
    pub run: bool,
    /// Its result.
    pub text: String,
}

impl FaultError {
    pub(super) fn at(line: usize, message: impl std::fmt::Display) -> Self {
        Self(format!("line {line}: {message}"))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    route: OneOrMore,
    #[serde(default, deserialize_with = "some_text")]
    table: Option<String>,
    #[serde(default, deserialize_with = "some_text")]
    partition: Option<String>,
    statement: Option<String>,
    #[serde(default)]
    skip: u64,
    times: Option<Times>,
    above: Option<u64>,
    #[serde(default, deserialize_with = "duration")]
    delay: Duration,
    #[serde(default, deserialize_with = "duration")]
    delay_answer: Duration,
    when: Option<When>,
    effect: Option<Effect>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Times {
    Number(u64),
    Word(String),
}

impl Rule {
    /// Reads rules: YAML or JSON, a list, or a mapping with the list under `faults`.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn parse(text: &str) -> Result<Vec<Self>, FaultError> {
        let root = Node::parse(text)?;
        let line = root.line;
        let list = match root.kind {
            Kind::List(list) => list,
            Kind::Map(entries) => {
                let mut list = None;
                for (name, node) in entries {
                    match (name.as_str(), node.kind) {
                        ("faults", Kind::List(items)) => list = Some(items),
                        ("faults", _) => {
                            return Err(FaultError::at(node.line, "`faults` must be a list"));
                        }
                        _ => {
                            let message = format!("`{name}` is not known here; there is `faults`");
                            return Err(FaultError::at(node.line, message));
                        }
                    }
                }
                list.ok_or_else(|| FaultError::at(line, "there is no list `faults`"))?
            }
            Kind::Scalar(_) => {
                return Err(FaultError::at(line, "a list of faults is needed"));
            }
        };
        let rules = list.into_iter().map(|node| {
            let line = node.line;
            Self::read(node.into_value()).map_err(|message| FaultError::at(line, message))
        });
        rules.collect()
    }

    fn read(given: Value) -> Result<Self, String> {
        let written: Written =
            serde_json::from_value(given.clone()).map_err(|error| error.to_string())?;
        let names = match written.route {
            OneOrMore::One(name) => vec![name],
            OneOrMore::More(names) => names,
        };
        let mut operations = Vec::new();
        for name in names {
            let Some(found) = Operation::of_route(&name) else {
                let known: Vec<&str> = Operation::routes().collect();
                return Err(format!(
                    "route `{name}` is not known; there are {}",
                    known.join(", ")
                ));
            };
            operations.extend(found);
        }
        let times = match written.times {
            None => Some(1),
            Some(Times::Number(0)) => return Err("`times: 0` would change nothing".to_owned()),
            Some(Times::Number(times)) => Some(times),
            Some(Times::Word(word)) if word == "always" => None,
            Some(Times::Word(word)) => {
                return Err(format!("times `{word}` is neither a number nor `always`"));
            }
        };
        let rule = Self {
            operations,
            table: written.table,
            partition: written.partition.as_deref().map(plain_partition),
            statement: written.statement.map(|text| text.to_lowercase()),
            skip: written.skip,
            times,
            above: written.above,
            delay: written.delay,
            delay_answer: written.delay_answer,
            when: written.when.unwrap_or_default(),
            effect: written.effect,
            given,
        };
        rule.check(written.when.is_some())?;
        Ok(rule)
    }

    /// Refuses what could never act, or not as it is written.
    fn check(&self, when_given: bool) -> Result<(), String> {
        let only = |fits: fn(Operation) -> bool, what: &str| {
            if self.operations.iter().all(|operation| fits(*operation)) {
                Ok(())
            } else {
                Err(format!("{what} can not be had on this route"))
            }
        };
        if self.statement.is_some() {
            only(|operation| operation == Operation::Sql, "`statement`")?;
        }
        match &self.effect {
            None if self.delay.is_zero() && self.delay_answer.is_zero() => {
                return Err("there is neither an `effect` nor a delay".to_owned());
            }
            Some(Effect::FailJob(_)) => {
                only(|operation| operation == Operation::Sql, "`fail-job`")?;
            }
            Some(Effect::EndSession(_)) => only(Operation::has_session, "`end-session`")?,
            Some(Effect::MoveSlot(_)) => only(Operation::is_routed, "`move-slot`")?,
            _ => {}
        }
        let timed = matches!(
            self.effect,
            Some(Effect::Answer(_) | Effect::Drop | Effect::FailJob(_) | Effect::Restart(_))
        );
        if when_given && !timed {
            return Err(
                "`when` goes with `answer`, `drop`, `fail-job` and `restart` only".to_owned(),
            );
        }
        Ok(())
    }

    pub(super) fn matches(&self, call: &Call) -> bool {
        self.operations.contains(&call.operation)
            && self.table.as_deref().is_none_or(|table| {
                if call.operation == Operation::Sql {
                    has_word(&call.statement, &table.to_lowercase())
                } else {
                    table.eq_ignore_ascii_case(&call.table)
                }
            })
            && (self.partition.as_deref()).is_none_or(|partition| partition == call.partition)
            && (self.statement.as_deref()).is_none_or(|text| call.statement.contains(text))
    }
}

/// Whether a name stands in a text by itself.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|part| part == word)
}

fn yes() -> bool {
    true
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StatusCode, D::Error> {
    let number = u16::deserialize(deserializer)?;
    let status = StatusCode::from_u16(number)
        .ok()
        .filter(|_| (200..600).contains(&number));
    status.ok_or_else(|| D::Error::custom(format!("{number} is no status of an HTTP answer")))
}

fn some_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        other => Err(D::Error::custom(format!("{other} is no text"))),
    }
}

fn headers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(HeaderName, HeaderValue)>, D::Error> {
    let given = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let header = |(name, value): (String, Value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let parsed = name.parse().ok().zip(text.parse().ok());
        parsed.ok_or_else(|| D::Error::custom(format!("`{name}: {text}` is no header")))
    };
    given.into_iter().map(header).collect()
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// `200ms`, `2s` or `1min`; a bare number is milliseconds.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit.trim() {
        "" | "ms" => Some(1),
        "s" => Some(1000),
        "min" => Some(60_000),
        _ => None,
    };
    let duration = number.parse::<u64>().ok().zip(millis);
    let duration = duration.and_then(|(number, millis)| number.checked_mul(millis));
    duration.map(Duration::from_millis).ok_or_else(|| {
        D::Error::custom(format!("`{text}` is no duration; write 200ms, 2s or 1min"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Rule::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_line() {
        for (rules, line, says) in [
            ("- route: upload-blok\n  effect: drop", 1, "upload-block"),
            (
                "- route: sql\n  effect: drop\n- rout: sql",
                3,
                "unknown field `rout`",
            ),
            (
                "- route: sql\n  effect: explode",
                1,
                "unknown variant `explode`",
            ),
            ("- route: sql\n  effect: {answer: {status: 42}}", 1, "42"),
            (
                "- route: sql\n  effect: {answer: {status: 503, body: x}}",
                1,
                "`body`",
            ),
            ("- route: sql\n  times: never\n  effect: drop", 1, "never"),
            ("- route: sql\n  times: 0\n  effect: drop", 1, "times: 0"),
            ("- route: sql\n  delay: 2 fortnights", 1, "fortnights"),
            ("- route: sql", 1, "neither"),
            ("- route: sql\n  effect: {move-slot: {}}", 1, "move-slot"),
            (
                "- route: table\n  effect: {end-session: gone}",
                1,
                "end-session",
            ),
            (
                "- route: table\n  statement: ALTER\n  effect: drop",
                1,
                "statement",
            ),
            (
                "- route: table\n  when: after\n  effect: disk-full",
                1,
                "when",
            ),
            ("faults: 1", 1, "list"),
            ("rules:\n  - route: sql", 2, "faults"),
        ] {
            let error = error(rules);
            assert!(
                error.starts_with(&format!("line {line}: ")),
                "{rules}: {error}"
            );
            assert!(error.contains(says), "{rules}: {error}");
        }
    }

    #[test]
    fn the_page_names_every_route_and_its_example_is_right() {
        let page = include_str!("../../FAULTS.md");
        for route in Operation::routes() {
            assert!(page.contains(&format!("`{route}`")), "{route}");
        }
        let example = page.split("```yaml\n").nth(1).unwrap();
        let example = example.split("```").next().unwrap();
        assert_eq!(Rule::parse(example).unwrap().len(), 2);
    }

    #[test]
    fn a_rule_matches_by_route_table_partition_and_statement() {
        let rule = |text: &str| Rule::parse(text).unwrap().remove(0);
        let call = |operation, table: &str, partition: &str, statement: &str| Call {
            operation,
            table: table.into(),
            partition: partition.into(),
            session: None,
            statement: statement.into(),
        };
        let block = call(Operation::UploadBlock, "orders", "day=1", "");
        assert!(rule("- {route: write-data, effect: drop}").matches(&block));
        assert!(!rule("- {route: commit-session, effect: drop}").matches(&block));
        assert!(
            rule("- {route: [sql, upload-block], table: Orders, effect: drop}").matches(&block)
        );
        assert!(!rule("- {route: tunnel, table: order, effect: drop}").matches(&block));
        assert!(rule("- {route: tunnel, partition: day='1', effect: drop}").matches(&block));
        assert!(!rule("- {route: tunnel, partition: day=2, effect: drop}").matches(&block));
        let sql = call(
            Operation::Sql,
            "",
            "",
            "alter table `p`.`orders` add columns",
        );
        assert!(
            rule("- {route: sql, table: orders, statement: ALTER, effect: drop}").matches(&sql)
        );
        assert!(!rule("- {route: sql, table: order, effect: drop}").matches(&sql));
        assert!(!rule("- {route: sql, statement: create, effect: drop}").matches(&sql));
    }
}
