//! Checks what a component answers, before the host acts on it or stores it.

use crate::contract::{Batch, CommitOutcome, Committable, Metric, SinkError, SinkInfo, State};
use crate::limits::Limits;
use crate::text::printable;
use std::collections::HashSet;

/// Longest name (metric, label, option, error code), in bytes.
const MAX_NAME_BYTES: usize = 128;
/// Longest explanation for a person, in bytes; longer ones are cut, visibly.
const MAX_MESSAGE_BYTES: usize = 16 << 10;
/// Longest value of a metric's label, in bytes.
const MAX_LABEL_BYTES: usize = 1 << 10;
const MAX_OPTIONS: usize = 1_000;

/// The rules, under one instance's limits. Errors say what is wrong, for a person.
pub(crate) struct OutputCheck<'a> {
    limits: &'a Limits,
}

impl<'a> OutputCheck<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self { limits }
    }

    /// The error with its texts made printable; its code must be a plain word.
    pub(crate) fn sink_error(&self, mut error: SinkError) -> Result<SinkError, String> {
        let is_code = |b: u8| b.is_ascii_graphic();
        if error.code.is_empty()
            || error.code.len() > MAX_NAME_BYTES
            || !error.code.bytes().all(is_code)
        {
            return Err(format!(
                "{:?} is no error code: it must be 1 to {MAX_NAME_BYTES} printable ASCII characters without spaces",
                printable(&error.code, MAX_NAME_BYTES)
            ));
        }
        clean(&mut error.message, MAX_MESSAGE_BYTES);
        if let Some(request_id) = &mut error.request_id {
            clean(request_id, MAX_NAME_BYTES);
        }
        for row in &mut error.bad_rows {
            clean(&mut row.reason, MAX_MESSAGE_BYTES);
            if let Some(column) = &mut row.column {
                clean(column, MAX_LABEL_BYTES);
            }
        }
        Ok(error)
    }

    /// Refused rows must exist in the batch they name.
    pub(crate) fn rows_of(&self, batch: &Batch, error: &SinkError) -> Result<(), String> {
        let beyond = error.bad_rows.iter().find(|row| {
            row.sequence > batch.sequence
                || (row.sequence == batch.sequence && row.row >= batch.rows)
        });
        match beyond {
            Some(row) => Err(format!(
                "it refuses row {} of batch {}, but the last batch is {} with {} rows",
                row.row, row.sequence, batch.sequence, batch.rows
            )),
            None => Ok(()),
        }
    }

    pub(crate) fn committables(&self, items: Vec<Committable>) -> Result<Vec<Committable>, String> {
        for item in &items {
            if item.payload.len() > self.limits.committable_bytes {
                return Err(format!(
                    "a committable of table {} has {} bytes, the limit is {}",
                    printable(&item.table.to_string(), MAX_LABEL_BYTES),
                    item.payload.len(),
                    self.limits.committable_bytes
                ));
            }
            if item.table.table.is_empty() {
                return Err("a committable names no table".into());
            }
        }
        Ok(items)
    }

    pub(crate) fn state(&self, state: State) -> Result<State, String> {
        if state.payload.len() > self.limits.state_bytes {
            return Err(format!(
                "the writer's state has {} bytes, the limit is {}",
                state.payload.len(),
                self.limits.state_bytes
            ));
        }
        Ok(state)
    }

    /// One outcome for each committable.
    pub(crate) fn outcomes(
        &self,
        items: &[Committable],
        outcomes: Vec<CommitOutcome>,
    ) -> Result<Vec<CommitOutcome>, String> {
        if items.len() != outcomes.len() {
            return Err(format!(
                "{} outcomes for {} committables",
                outcomes.len(),
                items.len()
            ));
        }
        outcomes
            .into_iter()
            .map(|outcome| match outcome {
                CommitOutcome::Failed(error) => self.sink_error(error).map(CommitOutcome::Failed),
                other => Ok(other),
            })
            .collect()
    }

    pub(crate) fn metrics(&self, metrics: Vec<Metric>) -> Result<Vec<Metric>, String> {
        if metrics.len() > self.limits.metrics {
            return Err(format!(
                "{} metrics, the limit is {}",
                metrics.len(),
                self.limits.metrics
            ));
        }
        let mut seen = HashSet::new();
        for metric in &metrics {
            let name = printable(&metric.name, MAX_NAME_BYTES);
            if !is_metric_name(&metric.name) {
                return Err(format!("{name:?} is no metric name"));
            }
            if metric.value.is_nan() {
                return Err(format!("the value of metric {name} is not a number"));
            }
            for (label, value) in &metric.labels {
                if !is_metric_name(label) || label.contains(':') || label.starts_with("__") {
                    let label = printable(label, MAX_NAME_BYTES);
                    return Err(format!("{label:?} of metric {name} is no label name"));
                }
                if value.len() > MAX_LABEL_BYTES || value.chars().any(char::is_control) {
                    return Err(format!(
                        "label {label} of metric {name} is longer than {MAX_LABEL_BYTES} bytes or holds control characters"
                    ));
                }
            }
            if !seen.insert((&metric.name, &metric.labels)) {
                return Err(format!("metric {name} appears twice with the same labels"));
            }
        }
        Ok(metrics)
    }

    pub(crate) fn info(&self, mut info: SinkInfo) -> Result<SinkInfo, String> {
        if !is_kebab(&info.name) {
            let name = printable(&info.name, MAX_NAME_BYTES);
            return Err(format!(
                "{name:?} is no name of a sink: it must be in kebab case"
            ));
        }
        clean(&mut info.version, MAX_NAME_BYTES);
        if info.options.len() > MAX_OPTIONS {
            return Err(format!(
                "{} options, the limit is {MAX_OPTIONS}",
                info.options.len()
            ));
        }
        let mut spellings = HashSet::new();
        for option in &info.options {
            if !is_kebab(&option.name) {
                let name = printable(&option.name, MAX_NAME_BYTES);
                return Err(format!(
                    "{name:?} is no name of an option: it must be in kebab case"
                ));
            }
            for spelling in std::iter::once(&option.name).chain(&option.aliases) {
                if !spellings.insert(spelling.as_str()) {
                    let spelling = printable(spelling, MAX_NAME_BYTES);
                    return Err(format!("two options are spelled {spelling:?}"));
                }
            }
        }
        drop(spellings);
        for option in &mut info.options {
            clean(&mut option.doc, MAX_MESSAGE_BYTES);
        }
        Ok(info)
    }
}

fn clean(text: &mut String, max_bytes: usize) {
    if let std::borrow::Cow::Owned(cleaned) = printable(text, max_bytes) {
        *text = cleaned;
    }
}

/// Prometheus' form of a metric name.
fn is_metric_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b':'))
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
}

/// Lower-case words joined by `-`; a `.` may group them.
fn is_kebab(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.split(['-', '.']).all(|word| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{BadRow, ErrorClass, MetricKind};

    fn metric(name: &str, labels: &[(&str, &str)], value: f64) -> Metric {
        Metric {
            name: name.into(),
            kind: MetricKind::Gauge,
            labels: labels
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect(),
            value,
        }
    }

    #[test]
    fn metrics_must_be_printable_as_prometheus_text() {
        let limits = Limits::default();
        let check = OutputCheck::new(&limits);
        assert!(
            check
                .metrics(vec![metric("rows_total", &[("table", "a b")], 1.0)])
                .is_ok()
        );
        for bad in [
            metric("rows total", &[], 1.0),
            metric("", &[], 1.0),
            metric("1x", &[], 1.0),
            metric("x", &[("a-b", "")], 1.0),
            metric("x", &[("a", "line\nbreak")], 1.0),
            metric("x", &[], f64::NAN),
        ] {
            assert!(check.metrics(vec![bad.clone()]).is_err(), "{bad:?}");
        }
        let twice = metric("x", &[("a", "1")], 1.0);
        assert!(check.metrics(vec![twice.clone(), twice]).is_err());
    }

    #[test]
    fn refused_rows_must_exist() {
        let limits = Limits::default();
        let check = OutputCheck::new(&limits);
        let batch = Batch {
            table: 0,
            schema_version: 0,
            sequence: 7,
            rows: 2,
            ipc: vec![],
        };
        let error = |sequence, row| SinkError {
            class: ErrorClass::Data,
            code: "x".into(),
            message: String::new(),
            request_id: None,
            bad_rows: vec![BadRow {
                sequence,
                row,
                column: None,
                reason: String::new(),
            }],
        };
        assert!(check.rows_of(&batch, &error(7, 1)).is_ok());
        assert!(check.rows_of(&batch, &error(6, 100)).is_ok());
        assert!(check.rows_of(&batch, &error(7, 2)).is_err());
        assert!(check.rows_of(&batch, &error(8, 0)).is_err());
    }

    #[test]
    fn error_texts_cannot_carry_terminal_escapes() {
        let limits = Limits::default();
        let check = OutputCheck::new(&limits);
        let error = SinkError {
            class: ErrorClass::Permanent,
            code: "a.B".into(),
            message: "\u{1b}[31mred".into(),
            request_id: Some("id\n".into()),
            bad_rows: vec![],
        };
        let cleaned = check.sink_error(error.clone()).unwrap();
        assert_eq!(cleaned.message, "\\u{1b}[31mred");
        assert_eq!(cleaned.request_id.as_deref(), Some("id\\n"));
        for code in ["", "a b", "a\u{1b}"] {
            assert!(
                check
                    .sink_error(SinkError {
                        code: code.into(),
                        ..error.clone()
                    })
                    .is_err()
            );
        }
    }
}
