//! What came of it, for people and for machines.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::campaign::{Campaign, Failure, Totals};
use crate::moment::MOMENTS;
use crate::outage::Measured;
use crate::plan::VICTIMS;
use crate::table::TABLES;

impl Failure {
    /// The command that makes this run again.
    #[must_use]
    pub fn repeat(&self, campaign: &Campaign) -> String {
        format!(
            "cargo xtask chaos --runs 1 --seed {} --within {}{}",
            self.seed,
            campaign.within.as_millis(),
            if campaign.stream { " --stream" } else { "" }
        )
    }

    /// What is wrong and how to look at it.
    #[must_use]
    pub fn text(&self, campaign: &Campaign) -> String {
        format!(
            "seed {}, {}: {}\n  it left {}\n  again: {}\n",
            self.seed,
            self.table.name(),
            self.reason,
            self.directory.display(),
            self.repeat(campaign)
        )
    }
}

impl Totals {
    /// Tables for a person.
    #[must_use]
    pub fn text(&self, campaign: &Campaign) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.write(campaign, &mut text);
        text
    }

    fn write(&self, campaign: &Campaign, text: &mut String) -> std::fmt::Result {
        let first = campaign.seed;
        writeln!(
            text,
            "{} runs in {:.0} s, {} at once; seeds {first} to {}, kills within {} ms of each start",
            self.runs(),
            self.elapsed.as_secs_f64(),
            campaign.jobs,
            first.wrapping_add(self.runs().saturating_sub(1)),
            campaign.within.as_millis()
        )?;
        writeln!(text, "\n{:<22}{:>8}{:>10}", "table", "equal", "failed")?;
        for table in TABLES {
            let failed = self.failures.iter().filter(|f| f.table == table).count();
            let equal = self.equal.get(&table).copied().unwrap_or(0);
            writeln!(text, "{:<22}{equal:>8}{failed:>10}", table.name())?;
        }
        write!(text, "\n{:<30}", "kill -9 of")?;
        for victim in VICTIMS {
            write!(text, "{:>9}", victim.name())?;
        }
        writeln!(text, "{:>9}", "all")?;
        for moment in MOMENTS {
            let counts = VICTIMS.map(|victim| self.kills.get(&(victim, moment)).unwrap_or(&0));
            if counts.iter().any(|count| **count > 0) {
                line(text, moment.name(), &counts.map(|count| *count))?;
            }
        }
        let all = VICTIMS.map(|victim| {
            let kills = self.kills.iter().filter(|((of, _), _)| *of == victim);
            kills.map(|(_, count)| count).sum()
        });
        line(text, "all", &all)?;
        writeln!(
            text,
            "\nrestarts: {} of hosts, {} of servers; {} kills came too late, {} runs ended without one; \
             {} rows compared",
            self.host_restarts, self.server_restarts, self.late, self.unkilled, self.rows
        )?;
        writeln!(
            text,
            "each server was killed once more at the end, before its files were read"
        )
    }

    /// The same for machines.
    #[must_use]
    pub fn json(&self, campaign: &Campaign) -> Value {
        let kills: Vec<Value> = self
            .kills
            .iter()
            .map(|((victim, moment), count)| {
                json!({ "victim": victim.name(), "moment": moment.name(), "count": count })
            })
            .collect();
        let equal = self.equal.iter();
        let equal: Vec<Value> = equal
            .map(|(table, runs)| json!({ "table": table.name(), "runs": runs }))
            .collect();
        let failures: Vec<Value> = self
            .failures
            .iter()
            .map(|failure| {
                json!({
                    "seed": failure.seed,
                    "table": failure.table.name(),
                    "reason": failure.reason,
                    "directory": failure.directory.display().to_string(),
                    "repeat": failure.repeat(campaign),
                })
            })
            .collect();
        json!({
            "runs": self.runs(),
            "seed": campaign.seed,
            "jobs": campaign.jobs,
            "within_ms": campaign.within.as_millis() as u64,
            "seconds": self.elapsed.as_secs_f64(),
            "equal": equal,
            "kills": kills,
            "kills_too_late": self.late,
            "runs_without_kill": self.unkilled,
            "host_restarts": self.host_restarts,
            "server_restarts": self.server_restarts,
            "rows_compared": self.rows,
            "failures": failures,
        })
    }
}

fn line(text: &mut String, name: &str, counts: &[u64]) -> std::fmt::Result {
    write!(text, "{name:<30}")?;
    for count in counts {
        write!(text, "{count:>9}")?;
    }
    writeln!(text, "{:>9}", counts.iter().sum::<u64>())
}

impl Measured {
    /// For a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mib = |kib: u64| kib / 1024;
        format!(
            "{:<36}{:>12}{:>12}{:>12}\n\
             {:<36}{:>12.0}{:>12}{:>12.0}   ratio {:.3}\n\
             {:<36}{:>12.0}{:>12}{:>12.0}   ratio {:.3}\n\
             {:<36}{:>12}{:>12}{:>12}\n\
             {} rows were read during the outage; rows were visible again {:.1} s after it\n\
             {} rows in the table, each as often as it was read\n",
            "",
            "before",
            "during",
            "after",
            "rows/s",
            self.rate_before,
            "-",
            self.rate_after,
            self.ratio(),
            "rows per second of processor time",
            self.per_cpu_before,
            "-",
            self.per_cpu_after,
            self.per_cpu_ratio(),
            "resident set of the host, peak, MiB",
            mib(self.peak_before_kib),
            mib(self.peak_during_kib),
            mib(self.peak_after_kib),
            self.rows_during,
            self.recovery.as_secs_f64(),
            self.rows
        )
    }

    /// For machines.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "rows_per_second": { "before": self.rate_before, "after": self.rate_after, "ratio": self.ratio() },
            "rows_per_cpu_second": {
                "before": self.per_cpu_before, "after": self.per_cpu_after, "ratio": self.per_cpu_ratio(),
            },
            "peak_kib": {
                "before": self.peak_before_kib, "during": self.peak_during_kib, "after": self.peak_after_kib,
            },
            "rows_read_during_outage": self.rows_during,
            "recovery_seconds": self.recovery.as_secs_f64(),
            "rows": self.rows,
        })
    }
}
