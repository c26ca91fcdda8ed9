//! Kills: of the host during a run, of the server during a run. Whatever is killed, the tables end
//! equal to the source.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use longshore_tests::{Changes, Client, LocalServer, PARTITIONS, Pyodps, longshore};
use serde_json::Value;

/// Enough for many more checkpoints than there are kills.
const ROWS: u64 = 240_000;
const KEYS: u64 = 5_000;
const KILLS: usize = 3;

/// A source that takes a while, and what its table must hold in the end.
enum Source {
    /// Each row once, with these options of the sink.
    Append { sink: &'static str },
    /// Each row once, and none of those the table had before.
    Overwrite { sink: &'static str },
    /// The last version of each key.
    Delta { changes: Changes, partitioned: bool },
}

impl Source {
    fn append(directory: &Path, sink: &'static str) -> Result<Self> {
        let file = std::fs::File::create(directory.join("rows"))?;
        let mut file = std::io::BufWriter::new(file);
        for id in 0..ROWS {
            writeln!(file, r#"{{"id":{id},"part":{}}}"#, id % PARTITIONS)?;
        }
        file.flush()?;
        Ok(Self::Append { sink })
    }

    fn overwrite(directory: &Path, sink: &'static str) -> Result<Self> {
        Self::append(directory, "")?;
        let old: String = (0..PARTITIONS)
            .map(|part| format!("{{\"id\":{part},\"part\":{part}}}\n"))
            .collect();
        std::fs::write(directory.join("old"), old)?;
        Ok(Self::Overwrite { sink })
    }

    /// Fills the table that is to be overwritten.
    fn prepare(&self, directory: &Path, server: &LocalServer) -> Result<()> {
        if let Self::Overwrite { .. } = self {
            let pipeline = Self::Append { sink: "" }.pipeline(server)?;
            let pipeline = pipeline
                .replace("path: rows", "path: old")
                .replace("name: kills", "name: before");
            std::fs::write(directory.join("before.yaml"), pipeline)?;
            let run = longshore(&["run", "before.yaml"])?
                .current_dir(directory)
                .output()?;
            assert!(run.status.success(), "{run:?}");
        }
        Ok(())
    }

    fn delta(directory: &Path, partitioned: bool) -> Result<Self> {
        let changes = Changes::write(&directory.join("rows"), "t", ROWS, KEYS)?;
        Ok(Self::Delta {
            changes,
            partitioned,
        })
    }

    fn pipeline(&self, server: &LocalServer) -> Result<String> {
        let source = match self {
            Self::Append { .. } | Self::Overwrite { .. } => {
                "format: json\n  table: t\n  partition-by: part\n  schema: {id: bigint, part: int}"
            }
            Self::Delta { partitioned, .. } => &format!(
                "format: debezium-json\n  primary-key: id\n  {}\
                 schema: {{id: bigint, version: bigint, part: int, text: string}}",
                if *partitioned {
                    "partition-by: part\n  "
                } else {
                    ""
                }
            ),
        };
        let options = match self {
            Self::Append { sink } | Self::Overwrite { sink } => sink,
            Self::Delta { .. } => "",
        };
        Ok(format!(
            "source:\n  type: file\n  path: rows\n  {source}\n{}  buckets-num: 4\n{options}pipeline:\n  name: kills\n  \
             checkpoint-interval: 20ms\n",
            server.sink()?,
        ))
    }

    /// A number that grows with each checkpoint; none while there is nothing.
    fn progress(&self, server: &LocalServer) -> Result<Option<u64>> {
        let tables = server.inspect(&["tables"])?;
        let table = tables.as_array().into_iter().flatten();
        let rows = table.filter(|table| table["name"] == "t");
        let rows = rows.filter_map(|table| table["rows"].as_u64()).sum();
        match self {
            _ if rows == 0 => Ok(None),
            // The rows of before must be gone, and be more than those.
            Self::Overwrite { .. } if rows <= PARTITIONS => Ok(None),
            Self::Append { .. } | Self::Overwrite { .. } => Ok(Some(rows)),
            Self::Delta { .. } => {
                let answer = Pyodps.call(server, &["sql", "select max(version) as last from t"])?;
                let answer: Value = serde_json::from_str(&answer)?;
                Ok(answer["last"].as_str().map(str::parse).transpose()?)
            }
        }
    }

    /// Waits until a run has got further than `last`; false when it ends before.
    fn wait_beyond(
        &self,
        last: &mut Option<u64>,
        run: &mut Running,
        server: &LocalServer,
    ) -> Result<bool> {
        loop {
            if run.process.try_wait()?.is_some() {
                return Ok(false);
            }
            let now = self.progress(server)?;
            if now > *last {
                *last = now;
                return Ok(true);
            }
        }
    }

    fn assert_arrived(&self, server: &LocalServer) -> Result<()> {
        match self {
            Self::Delta {
                changes,
                partitioned,
            } => changes.assert_equals(&Pyodps, server, "t", *partitioned),
            Self::Append { .. } | Self::Overwrite { .. } => {
                let mut seen = vec![false; usize::try_from(ROWS)?];
                for part in 0..PARTITIONS {
                    let partition = format!("part={part}");
                    let rows = Pyodps.call(server, &["read", "t", "--partition", &partition])?;
                    for line in rows.lines() {
                        let row: Value = serde_json::from_str(line)?;
                        let id: usize = row["id"].as_str().context("id is there")?.parse()?;
                        assert!(
                            !std::mem::replace(&mut seen[id], true),
                            "row {id} stands twice"
                        );
                    }
                }
                assert_eq!(seen.iter().position(|seen| !seen), None, "a row is missing");
                Ok(())
            }
        }
    }
}

/// A run of the pipeline that goes on.
struct Running {
    process: Child,
    /// What it says, line by line.
    stderr: Receiver<String>,
}

impl Running {
    fn start(directory: &Path) -> Result<Self> {
        let mut process = longshore(&["run", "pipeline.yaml", "--output", "json"])?
            .current_dir(directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(process.stderr.take().context("stderr is piped")?).lines();
        let (sender, stderr) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { process, stderr })
    }

    fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Lets it come to its end; returns how many rows it read.
    fn finish(mut self) -> Result<u64> {
        let mut report = String::new();
        let mut stdout = self.process.stdout.take().context("stdout is piped")?;
        stdout.read_to_string(&mut report)?;
        let status = self.process.wait()?;
        if !status.success() {
            let stderr: Vec<String> = self.stderr.iter().collect();
            bail!("the run failed with {status}: {}", stderr.join("\n"));
        }
        let report: Value = serde_json::from_str(&report)?;
        if report["outcome"] == "nothing-new" {
            // The run before was killed between its last checkpoint and the commit.
            return Ok(0);
        }
        report["tables"][0]["read"]
            .as_u64()
            .with_context(|| report.to_string())
    }

    /// Waits until it says that it tries something again.
    fn wait_for_warning(&self) -> Result<()> {
        let mut said = Vec::new();
        loop {
            let line = self
                .stderr
                .recv_timeout(Duration::from_secs(20))
                .with_context(|| format!("the run warned of nothing; it said {said:#?}"))?;
            let repeats = line.ends_with("; repeating") || line.contains("; trying again in ");
            if line.starts_with("warning: ") && repeats {
                return Ok(());
            }
            said.push(line);
        }
    }
}

/// A directory with a pipeline in it, and where it goes.
struct Scene {
    directory: tempfile::TempDir,
    server: LocalServer,
    source: Source,
}

impl Scene {
    fn new(source: impl FnOnce(&Path) -> Result<Source>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let server = LocalServer::start(&directory.path().join("data"))?;
        let source = source(directory.path())?;
        // Starts the client, which takes longer than a checkpoint.
        Pyodps.call(&server, &["sql", "select 1 as one"])?;
        source.prepare(directory.path(), &server)?;
        std::fs::write(
            directory.path().join("pipeline.yaml"),
            source.pipeline(&server)?,
        )?;
        Ok(Self {
            directory,
            server,
            source,
        })
    }

    fn start(&self) -> Result<Running> {
        Running::start(self.directory.path())
    }

    /// Kills the host again and again, each time after it got further than the one before.
    fn kill_hosts(self) -> Result<()> {
        let mut last = None;
        for kill in 0..KILLS {
            let mut run = self.start()?;
            assert!(
                self.source.wait_beyond(&mut last, &mut run, &self.server)?,
                "run {kill} ended before it could be killed"
            );
            run.kill()?;
        }
        let read = self.start()?.finish()?;
        assert!(
            read < ROWS,
            "the last run read {read} rows: it did not go on where the one before was"
        );
        self.source.assert_arrived(&self.server)
    }

    /// Kills the server again and again during one run, each time until the run says that it noticed.
    fn kill_servers(mut self) -> Result<()> {
        let mut last = None;
        let mut run = self.start()?;
        for kill in 0..KILLS {
            assert!(
                self.source.wait_beyond(&mut last, &mut run, &self.server)?,
                "the run ended before kill {kill} of the server"
            );
            // What it said before is about the kill before.
            run.stderr.try_iter().for_each(drop);
            self.server.kill()?;
            run.wait_for_warning()
                .with_context(|| format!("kill {kill} of the server"))?;
            self.server = self.server.kill_and_restart()?;
        }
        let read = run.finish()?;
        assert!(read >= ROWS, "{read} rows were read");
        self.source.assert_arrived(&self.server)
    }
}

#[test]
fn a_delta_table_equals_its_source_after_the_host_is_killed() -> Result<()> {
    Scene::new(|directory| Source::delta(directory, false))?.kill_hosts()
}

#[test]
fn a_partitioned_delta_table_equals_its_source_after_the_host_is_killed() -> Result<()> {
    Scene::new(|directory| Source::delta(directory, true))?.kill_hosts()
}

#[test]
fn an_append_table_holds_each_row_once_after_the_host_is_killed() -> Result<()> {
    Scene::new(|directory| Source::append(directory, ""))?.kill_hosts()
}

#[test]
fn an_append_table_written_by_arrow_holds_each_row_once_after_the_host_is_killed() -> Result<()> {
    Scene::new(|directory| Source::append(directory, "  tunnel: arrow\n"))?.kill_hosts()
}

#[test]
fn an_overwritten_table_holds_each_row_once_after_the_host_is_killed() -> Result<()> {
    Scene::new(|directory| Source::overwrite(directory, "  overwrite: true\n"))?.kill_hosts()
}

#[test]
fn an_overwritten_table_holds_each_row_once_after_the_server_is_killed() -> Result<()> {
    let sink = "  overwrite: true\n  tunnel: arrow\n";
    Scene::new(|directory| Source::overwrite(directory, sink))?.kill_servers()
}

#[test]
fn a_delta_table_equals_its_source_after_the_server_is_killed() -> Result<()> {
    Scene::new(|directory| Source::delta(directory, false))?.kill_servers()
}

#[test]
fn a_partitioned_delta_table_equals_its_source_after_the_server_is_killed() -> Result<()> {
    Scene::new(|directory| Source::delta(directory, true))?.kill_servers()
}

#[test]
fn an_append_table_holds_each_row_once_after_the_server_is_killed() -> Result<()> {
    Scene::new(|directory| Source::append(directory, ""))?.kill_servers()
}
