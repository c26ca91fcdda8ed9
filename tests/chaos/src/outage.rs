//! The server is away for a while, at full input rate: what happens to memory, rows and speed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use arrow_array::{Int64Array, RecordBatch, StringArray, cast::AsArray as _, types::Int64Type};
use arrow_schema::{DataType, Field, Schema};
use longshore_tests::{LocalServer, signal};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::host::{Exit, Host};
use crate::run::{loopback, start_server};

/// Rows of the one file that is read again and again under many names.
const FILE_ROWS: i64 = 200_000;
/// Names of it: more rows than are ever read.
const FILES: usize = 5_000;
/// Time between two looks at the host.
const SAMPLE: Duration = Duration::from_millis(20);
/// How long the host may take to do what is waited for.
const LIMIT: Duration = Duration::from_secs(300);

/// An outage to be made.
#[derive(Clone, Debug)]
pub struct Outage {
    /// How long the server is away.
    pub away: Duration,
    /// How long to measure before and after.
    pub window: Duration,
    /// Further lines of the `sink` block, each indented by two spaces.
    pub options: String,
    /// Where it takes place; what it writes is removed, unless something fails.
    pub directory: PathBuf,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Rows read a second before the outage: the median of its seconds.
    pub rate_before: f64,
    /// Rows read a second after it.
    pub rate_after: f64,
    /// Rows read for each second of processor time of host and server, before.
    pub per_cpu_before: f64,
    /// The same after.
    pub per_cpu_after: f64,
    /// Largest resident set of the host up to the outage, in KiB.
    pub peak_before_kib: u64,
    /// During it.
    pub peak_during_kib: u64,
    /// From its end on.
    pub peak_after_kib: u64,
    /// Rows read while the server was away: what fills the buffers.
    pub rows_during: u64,
    /// From the return of the server until further rows were visible.
    pub recovery: Duration,
    /// Rows in the table in the end, each of them as often as it was read.
    pub rows: u64,
}

impl Measured {
    /// Rate after, in parts of the rate before.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.rate_after / self.rate_before
    }

    /// The same for rows by processor time, which other load on the machine does not touch.
    #[must_use]
    pub fn per_cpu_ratio(&self) -> f64 {
        self.per_cpu_after / self.per_cpu_before
    }
}

impl Outage {
    /// Makes it.
    ///
    /// # Errors
    /// When rows are lost or doubled, or the run does not come back.
    pub fn measure(&self) -> Result<Measured> {
        std::fs::create_dir_all(&self.directory)?;
        let directory = std::fs::canonicalize(&self.directory)?.join("outage");
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir(&directory)?;
        write_files(&directory)?;
        let server = start_server(&directory, &loopback())?;
        let definition = format!(
            "source:\n  type: file\n  path: in/*.parquet\n  table: t\n{}{}pipeline:\n  name: outage\n  \
             checkpoint-interval: 200ms\n",
            server.sink()?,
            self.options
        );
        std::fs::write(directory.join("pipeline.yaml"), definition)?;
        let measured = self
            .watch(&directory, server)
            .with_context(|| format!("it left {}", directory.display()))?;
        std::fs::remove_dir_all(&directory)?;
        Ok(measured)
    }

    fn watch(&self, directory: &Path, mut server: LocalServer) -> Result<Measured> {
        let address = server.address()?;
        let metrics = metrics_address()?;
        let host = Host::start(directory, &["--metrics", &metrics])?;
        let mut run = Watched {
            directory,
            host,
            metrics,
        };

        let (first, _) = run.until(|sample| sample.visible > 0)?;
        let warm = first.at + Duration::from_secs(1);
        let (start, _) = run.until(|sample| sample.at >= warm)?;
        let before = run.pace(start, self.window, &server)?;

        server.kill()?;
        let away_end = Instant::now() + self.away;
        let (during, peak_during_kib) = run.until(|sample| sample.at >= away_end)?;

        let server = start_server(directory, &address)?;
        let returned = Instant::now();
        let seen = during.visible;
        let (back, recovering_kib) = run.until(|sample| sample.visible > seen)?;
        let warm = back.at + Duration::from_secs(1);
        let (start_after, warm_kib) = run.until(|sample| sample.at >= warm)?;
        let after = run.pace(start_after, self.window, &server)?;

        run.stop()?;
        drop(server);
        let rows = check_rows(&directory.join("data"))?;
        Ok(Measured {
            rate_before: before.rate,
            rate_after: after.rate,
            per_cpu_before: before.per_cpu,
            per_cpu_after: after.per_cpu,
            peak_before_kib: before.peak_kib,
            peak_during_kib,
            peak_after_kib: recovering_kib.max(warm_kib).max(after.peak_kib),
            rows_during: during.read - before.last.read,
            recovery: back.at.duration_since(returned),
            rows,
        })
    }
}

/// The host at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    read: u64,
    visible: u64,
}

/// How fast a run was for a while.
struct Pace {
    /// Rows a second: the median of the seconds, which a moment of other load does not move.
    rate: f64,
    /// Rows for each second of processor time, over all.
    per_cpu: f64,
    peak_kib: u64,
    last: Sample,
}

struct Watched<'a> {
    directory: &'a Path,
    host: Host,
    metrics: String,
}

impl Watched<'_> {
    /// Looks again and again until something holds; that moment, and the largest resident set in KiB.
    fn until(&mut self, holds: impl Fn(&Sample) -> bool) -> Result<(Sample, u64)> {
        let limit = Instant::now() + LIMIT;
        let mut peak = 0;
        loop {
            if let Some(exit) = self.host.ended()? {
                let log = std::fs::read_to_string(self.directory.join("run.log"))?;
                bail!("the host ended with {exit:?}: {log}");
            }
            peak = peak.max(resident_kib(self.host.id())?);
            if let Some(sample) = self.sample()
                && holds(&sample)
            {
                return Ok((sample, peak));
            }
            ensure!(Instant::now() < limit, "the host does not get further");
            std::thread::sleep(SAMPLE);
        }
    }

    /// Measures from a moment on, second by second.
    fn pace(&mut self, start: Sample, window: Duration, server: &LocalServer) -> Result<Pace> {
        let cpu_start = self.processor_time(server)?;
        let (mut last, mut peak_kib, mut rates) = (start, 0, Vec::new());
        while last.at < start.at + window {
            let end = last.at + Duration::from_secs(1);
            let (next, peak) = self.until(|sample| sample.at >= end)?;
            let seconds = next.at.duration_since(last.at).as_secs_f64();
            rates.push((next.read - last.read) as f64 / seconds);
            peak_kib = peak_kib.max(peak);
            last = next;
        }
        rates.sort_unstable_by(f64::total_cmp);
        let cpu = self.processor_time(server)? - cpu_start;
        Ok(Pace {
            rate: rates[rates.len() / 2],
            per_cpu: (last.read - start.read) as f64 / cpu,
            peak_kib,
            last,
        })
    }

    /// None while the metrics are not there yet.
    fn sample(&self) -> Option<Sample> {
        let text = get(&self.metrics).ok()?;
        let sum = |name: &str| -> u64 {
            let lines = text.lines().filter(|line| line.starts_with(name));
            let values = lines.filter_map(|line| line.rsplit(' ').next());
            values
                .filter_map(|value| value.parse::<f64>().ok())
                .sum::<f64>() as u64
        };
        Some(Sample {
            at: Instant::now(),
            read: sum("longshore_rows_read_total{"),
            visible: sum("longshore_rows_visible_total{"),
        })
    }

    /// Of host and server together, in seconds.
    fn processor_time(&self, server: &LocalServer) -> Result<f64> {
        let status = server.administer("GET", "status")?;
        let server = status["process"].as_u64().context("the server's process")?;
        Ok(processor_seconds(self.host.id())? + processor_seconds(u32::try_from(server)?)?)
    }

    /// Asks the host to stop after a checkpoint, and waits for it.
    fn stop(&mut self) -> Result<()> {
        signal(self.host.id(), "-TERM")?;
        match self.host.ended_by(Instant::now() + LIMIT)? {
            Some(Exit::Done) => Ok(()),
            exit => bail!("the host was asked to stop: {exit:?}"),
        }
    }
}

/// A free port at an address that nobody else uses.
fn metrics_address() -> Result<String> {
    let listener = std::net::TcpListener::bind(loopback())?;
    Ok(listener.local_addr()?.to_string())
}

fn get(address: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    write!(
        connection,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

fn resident_kib(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.context("a process has a resident set")?;
    Ok(text.trim().trim_end_matches("kB").trim().parse()?)
}

/// In user and kernel mode. Linux counts in hundredths of a second on all its platforms.
fn processor_seconds(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("stat names the program")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

/// One file of rows with the ids from 0 on, under many names.
fn write_files(directory: &Path) -> Result<()> {
    let directory = directory.join("in");
    std::fs::create_dir(&directory)?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("amount", DataType::Int64, false),
        Field::new("text", DataType::Utf8, false),
    ]));
    let first = directory.join("00000.parquet");
    let mut writer = ArrowWriter::try_new(File::create(&first)?, Arc::clone(&schema), None)?;
    for start in (0..FILE_ROWS).step_by(10_000) {
        let ids = start..start + 10_000;
        let scattered = |id: i64| id.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) >> 1;
        let columns = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![
                Arc::new(Int64Array::from_iter_values(ids.clone())),
                Arc::new(Int64Array::from_iter_values(ids.clone().map(scattered))),
                Arc::new(StringArray::from_iter_values(
                    ids.map(|id| format!("{:x} of {id}", scattered(id))),
                )),
            ],
        )?;
        writer.write(&columns)?;
    }
    writer.close()?;
    for name in 1..FILES {
        std::fs::hard_link(&first, directory.join(format!("{name:05}.parquet")))?;
    }
    Ok(())
}

/// Reads the server's files. Rows are read file by file in order of id, so in the end each id must be
/// there equally often, up to one id after which it is once less.
fn check_rows(data: &Path) -> Result<u64> {
    let mut times = vec![0_u64; usize::try_from(FILE_ROWS)?];
    for entry in std::fs::read_dir(data.join("local/default/t"))? {
        let file = ParquetRecordBatchReaderBuilder::try_new(File::open(entry?.path())?)?;
        for batch in file.build()? {
            let batch = batch?;
            let ids = batch.column_by_name("id").context("rows have an id")?;
            for id in ids.as_primitive::<Int64Type>().values() {
                times[usize::try_from(*id)?] += 1;
            }
        }
    }
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for count in &times {
        *counts.entry(*count).or_default() += 1;
    }
    let is_sorted = times.is_sorted_by(|a, b| a >= b);
    let spread = match (counts.keys().next(), counts.keys().next_back()) {
        (Some(least), Some(most)) => most - least,
        _ => 0,
    };
    ensure!(
        is_sorted && spread <= 1,
        "rows were lost or doubled: so many ids are there so many times: {counts:?}"
    );
    Ok(times.iter().sum())
}
