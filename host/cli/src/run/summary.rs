//! What a run did, for people.

use std::fmt::Write as _;
use std::path::Path;

use longshore_pipeline::report::{Outcome, Report, TableReport};

use crate::display::{Table, bytes, number, seconds};

/// The table at the end of a run, and a sentence about it.
pub(super) fn text(report: &Report, outcome: Outcome, pipeline: &Path) -> String {
    let mut text = String::new();
    if !report.tables.is_empty() {
        let mut table = Table::new(&[
            "table", ">read", ">written", ">skipped", ">bytes", ">seconds",
        ]);
        for rows in &report.tables {
            table.row(cells(&rows.table, rows));
        }
        if report.tables.len() > 1 {
            table.row(cells("total", &report.rows()));
        }
        text.push_str(&table.text());
        text.push('\n');
    }
    // Writing to a String does not fail.
    let _ = sentence(&mut text, report, outcome);
    for (count, what) in [
        (report.left_out.tombstones, "tombstones"),
        (report.left_out.truncates, "truncate events"),
        (report.left_out.other, "events that are no rows"),
        (
            report.left_out.filtered,
            "changes by filters of `transform`",
        ),
    ] {
        if count > 0 {
            let _ = writeln!(text, "left out: {} {what}", number(count));
        }
    }
    let all = report.rows();
    if all.nulled > 0 {
        let _ = writeln!(
            text,
            "written as NULL because they did not fit: {} values",
            number(all.nulled)
        );
    }
    if all.dead_letters > 0 {
        let _ = writeln!(
            text,
            "kept aside: {} rows; `longshore dead-letters list {}` says why",
            number(all.dead_letters),
            pipeline.display()
        );
    }
    text
}

fn cells(name: &str, rows: &TableReport) -> [String; 6] {
    [
        name.to_owned(),
        number(rows.read),
        number(rows.written),
        number(rows.skipped),
        bytes(rows.bytes),
        format!("{:.2}", rows.seconds),
    ]
}

fn sentence(text: &mut String, report: &Report, outcome: Outcome) -> std::fmt::Result {
    let time = seconds(report.seconds);
    let rate = report.rows().read as f64 / report.seconds.max(0.001);
    match outcome {
        Outcome::NothingNew => {
            write!(
                text,
                "nothing new since checkpoint {}",
                report.resumed_from.unwrap_or(0)
            )?;
            if report.recommitted > 0 {
                write!(text, "; made visible what the last run had prepared")?;
            }
            writeln!(text, " (--fresh reads the source again from its start)")
        }
        Outcome::Finished => writeln!(
            text,
            "finished in {time}: {} rows/s, {} sent, {} checkpoint(s)",
            number(rate as u64),
            bytes(report.bytes_sent),
            report.checkpoints
        ),
        Outcome::Interrupted => writeln!(
            text,
            "stopped after {time}; everything above is visible, run again to go on"
        ),
    }
}
