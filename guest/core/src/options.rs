//! The sink's options: names in every spelling its users know, parsed once into typed values.
//!
//! Three families of spellings exist for the same sink: the kebab-case names of today, the
//! camelCase names they replaced, and those of the SQL connector of Realtime Compute. All are
//! accepted; what is written twice under two names, unknown or out of range is an error.

mod bad_values;
mod elsewhere;
mod spec;
mod value;

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::compress::Compression;
use crate::contract::OptionSpec;
use crate::error::SinkError;
use crate::partition::{PartitionScheme, Zone};
use crate::request::Scheme;
use crate::types::TypeMapping;

pub use bad_values::{BadValuePolicy, BadValueRules};
pub use spec::specs;
use spec::{TABLE, find, nearest};

/// What to do with DELETE rows on a table without a primary key, which can not delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOnAppend {
    /// Skip the row and count it.
    Ignore,
    /// Refuse the row (error class `Data`).
    Reject,
    /// Skip, count, and log it.
    Log,
}

/// What rows do to tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOperation {
    /// Upsert where there is a primary key, else append.
    Auto,
    /// Append, whatever key the rows have.
    Insert,
    /// Upsert, and nothing else.
    Upsert,
    /// Append every change as a row of its own.
    AppendOnly,
}

/// How rows reach tables without a primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendTunnel {
    /// Blocks of records.
    Batch,
    /// Blocks of Arrow record batches.
    Arrow,
    /// Packs that are visible once they are sent.
    Stream,
}

/// A base address of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// TLS or not.
    pub scheme: Scheme,
    /// `host` or `host:port`.
    pub authority: String,
    /// Path before every request's own path, without a slash at the end; often `/api` or empty.
    pub base_path: String,
}

impl Endpoint {
    /// Parse `http[s]://host[:port][/path]`. The error says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = if let Some(rest) = text.strip_prefix("http://") {
            (Scheme::Http, rest)
        } else if let Some(rest) = text.strip_prefix("https://") {
            (Scheme::Https, rest)
        } else {
            return Err("it does not begin with http:// or https://".to_owned());
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        Self::from_parts(scheme, authority, path)
    }

    /// An endpoint of `host[:port]`, as tunnel discovery answers it.
    pub fn from_authority(scheme: Scheme, authority: &str) -> Result<Self, String> {
        Self::from_parts(scheme, authority, "")
    }

    fn from_parts(scheme: Scheme, authority: &str, path: &str) -> Result<Self, String> {
        let legal_host = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        if authority.is_empty() {
            return Err("the host is missing".to_owned());
        }
        if authority.contains('@') {
            return Err("it must not contain a user name".to_owned());
        }
        if let Some(c) = authority.chars().find(|c| !legal_host(*c)) {
            return Err(format!("`{c}` is not part of a host name"));
        }
        if !authority.ends_with(']')
            && let Some((_, port)) = authority.rsplit_once(':')
            && port.parse::<u16>().is_err()
        {
            return Err(format!("`{port}` is not a port number"));
        }
        if path.contains(['?', '#']) || path.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("its path must not have a query, a fragment or white space".to_owned());
        }
        Ok(Self {
            scheme,
            authority: authority.to_owned(),
            base_path: path.trim_end_matches('/').to_owned(),
        })
    }
}

/// Limits and delays of repeats, see [`crate::retry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryOptions {
    /// Repeats of one request after a server or connection error.
    pub max_retries: u32,
    /// Repeats of one request that was throttled; 0 = without limit.
    pub max_throttled: u32,
    /// First delay; doubles with each repeat.
    pub initial_delay_ms: u64,
    /// Longest delay.
    pub max_delay_ms: u64,
    /// Repeats of all requests of one writer in a minute; 0 = without limit.
    pub per_minute: u32,
}

/// All options, checked.
#[derive(Debug, Clone)]
pub struct Options {
    /// REST endpoint.
    pub endpoint: Endpoint,
    /// Default project.
    pub project: String,
    /// Default schema; None = the project's `default`.
    pub schema: Option<String>,
    /// Set: no tunnel discovery.
    pub tunnel_endpoint: Option<Endpoint>,
    /// Tunnel quota.
    pub quota_name: Option<String>,
    /// Set: sign with V4.
    pub region: Option<String>,
    /// `write.bucket.num` of created Delta tables.
    pub buckets_num: u32,
    /// What rows do.
    pub operation: WriteOperation,
    /// Column that receives what happened to a row, with [`WriteOperation::AppendOnly`].
    pub operation_column: Option<String>,
    /// How rows reach append tables.
    pub append_tunnel: AppendTunnel,
    /// Rows of one Arrow record batch.
    pub arrow_batch_rows: usize,
    /// The first rows of a run replace what a partition holds.
    pub overwrite: bool,
    /// Upserts touch only the columns that the rows have.
    pub partial_columns: bool,
    /// Compression of bodies.
    pub compression: Compression,
    /// Upper bound of all buffers of one writer, in bytes.
    pub total_buffer: u64,
    /// Size at which a bucket's pack is sent, in bytes before compression.
    pub bucket_buffer: u64,
    /// Size at which a block is sent, in bytes before compression.
    pub block_size: u64,
    /// Age at which buffered rows are sent however few they are; 0 = never.
    pub flush_interval_ms: u64,
    /// Number of rows at which a buffer is sent; `u64::MAX` = never.
    pub flush_rows: u64,
    /// The first buffers are as large as the later ones.
    pub full_buffers: bool,
    /// Commits at once.
    pub commit_threads: usize,
    /// Data requests at once within one session.
    pub flush_concurrent: usize,
    /// Requests in flight at once in all.
    pub max_requests: usize,
    /// Slots asked for at upsert and stream session creation.
    pub slot_num: u32,
    /// Deletes on append tables.
    pub delete_on_append: DeleteOnAppend,
    /// Create missing tables (and their schema).
    pub create_table: bool,
    /// LIFECYCLE of created tables, in days.
    pub lifecycle_days: Option<u32>,
    /// Partitions beside those by the columns that a table's declaration names.
    pub partition: PartitionScheme,
    /// Zone in which instants become partition values.
    pub partition_zone: Zone,
    /// Value for a NULL or empty partition value; None = such rows are refused.
    pub partition_default: Option<String>,
    /// Partitions of a table between two checkpoints; None = no limit.
    pub partition_limit: Option<usize>,
    /// What to do about values that do not fit.
    pub bad_values: BadValueRules,
    /// Types of created columns where there is a choice.
    pub type_mapping: TypeMapping,
    /// Partitions open at once before a checkpoint is asked for.
    pub max_open_partitions: usize,
    /// Age of a session at which a checkpoint is asked for.
    pub session_max_age_ms: u64,
    /// How long to wait for the commit of a session.
    pub commit_timeout_ms: u64,
    /// Repeats of a failed commit; `u32::MAX` = as many as there is time for.
    pub commit_max_retries: u32,
    /// An accepted commit counts as done.
    pub commit_async: bool,
    /// Life of an upsert session, in hours.
    pub session_hours: u32,
    /// How long to wait for a DDL statement.
    pub ddl_timeout_ms: u64,
    /// Connect timeout of each request.
    pub connect_timeout_ms: u64,
    /// Answer timeout of each request.
    pub response_timeout_ms: u64,
    /// Repeats.
    pub retry: RetryOptions,
}

impl Options {
    /// Check and type `pairs`; every fault found is in the error.
    pub fn parse(pairs: &[(String, String)]) -> Result<Self, Vec<SinkError>> {
        let mut reader = Reader::new(pairs);
        let options = Self::read(&mut reader);
        match options {
            Some(options) if reader.errors.is_empty() => Ok(options),
            _ => Err(reader.errors),
        }
    }

    /// Bytes that buffered rows may take. A quarter of the upper bound, as much as what is sealed
    /// and on its way: the rest is head room for the batch at hand and for what is being compressed.
    pub(crate) fn growing_limit(&self) -> u64 {
        self.total_buffer / 4
    }

    fn read(r: &mut Reader) -> Option<Self> {
        r.required("access-id");
        r.required("access-key");
        // Read every option before giving up on one, so that all faults are told at once.
        let endpoint = r.required_endpoint("endpoint");
        let project = r.required_name("project");
        let tunnel_endpoint = r.endpoint("tunnel.endpoint");
        let schema = r.name("schema");
        let compression = match r.choice("compress.algorithm").as_deref() {
            Some("raw") => Compression::Raw,
            Some("lz4") => Compression::Lz4,
            Some("snappy") => Compression::Snappy,
            _ => Compression::Zlib { level: 1 },
        };
        let delete_on_append = match r.choice("delete-on-append").as_deref() {
            Some("reject") => DeleteOnAppend::Reject,
            Some("log") => DeleteOnAppend::Log,
            _ => DeleteOnAppend::Ignore,
        };
        r.choice("type");
        let total_buffer = r.bytes("total.buffer-size", 1 << 20);
        let mut bucket_buffer = r.bytes("bucket.buffer-size", 1 << 10);
        let mut block_size = r.bytes("block-size", 1 << 10);
        let full_buffers = r.boolean("sink.file-cached.enable");
        let rolling_size = r.bytes("sink.file-cached.rolling.max-size", 1 << 10);
        if full_buffers {
            bucket_buffer = rolling_size;
            block_size = rolling_size;
        }
        let operation = r.operation();
        let append_tunnel = r.append_tunnel();
        let flush_interval_ms = match (r.is_given("flush.interval"), append_tunnel) {
            (true, _) => r.duration("flush.interval", 0),
            (false, AppendTunnel::Stream) => 3_000,
            (false, _) if full_buffers => 0,
            (false, _) => 30_000,
        };
        let rest = Self {
            endpoint: endpoint.clone().unwrap_or(Endpoint {
                scheme: Scheme::Http,
                authority: String::new(),
                base_path: String::new(),
            }),
            project: project.clone().unwrap_or_default(),
            schema,
            tunnel_endpoint,
            quota_name: r.text("quota.name"),
            region: r.text("region"),
            buckets_num: r.integer("buckets-num", 1, 4096),
            compression,
            total_buffer,
            bucket_buffer,
            block_size,
            flush_interval_ms,
            flush_rows: match r.integer("flush.rows", 0, u32::MAX) {
                0 => u64::MAX,
                rows => rows.into(),
            },
            full_buffers,
            operation,
            operation_column: r.text("mapping.operation.type.to"),
            append_tunnel,
            arrow_batch_rows: r.integer("arrow.batch-rows", 1, 1 << 24) as usize,
            overwrite: r.boolean("overwrite"),
            partial_columns: r.boolean("upsert.partial-column.enable"),
            commit_threads: r.integer("commit.thread-num", 1, 1024) as usize,
            flush_concurrent: r.integer("flush.concurrent-num", 1, 1024) as usize,
            max_requests: r.integer("max-requests", 1, 1024) as usize,
            slot_num: r.integer("slot-num", 0, 4096).max(1),
            delete_on_append,
            create_table: r.boolean("create-table"),
            lifecycle_days: r.optional_integer("lifecycle", 1, 37_231),
            partition: r
                .parsed(
                    "partition",
                    "terms like region, ds=20180905, dt=date_format(ts,'yyyy-MM-dd')",
                )
                .unwrap_or_default(),
            partition_zone: r
                .parsed("partition.time-zone", "a time zone")
                .unwrap_or_else(Zone::utc),
            partition_default: r.text("partition.default-value"),
            partition_limit: r
                .optional_integer("dynamic-partition.limit", 1, 60_000)
                .map(|n| n as usize),
            bad_values: BadValueRules::new(
                r.choice("on-bad-value").as_deref(),
                r.parsed(
                    "on-bad-value.columns",
                    "a list like note=null, shop.orders.total=dead-letter",
                ),
            ),
            type_mapping: TypeMapping {
                char_as_string: r.choice("char-as").as_deref() == Some("string"),
                instant_as_datetime: r.choice("timestamp-as").as_deref() == Some("datetime"),
            },
            max_open_partitions: r.integer("open-partitions", 1, 60_000) as usize,
            session_max_age_ms: r.duration("session.max-age", 60_000),
            commit_timeout_ms: r.duration("commit.timeout", 1),
            commit_max_retries: r
                .optional_integer("commit.max-retries", 0, 1_000_000)
                .unwrap_or(u32::MAX),
            commit_async: r.boolean("commit.async"),
            session_hours: r.whole_hours("session.lifecycle"),
            ddl_timeout_ms: r.duration("ddl.timeout", 1),
            connect_timeout_ms: r.duration("connect.timeout", 1),
            response_timeout_ms: r.duration("response.timeout", 1),
            retry: RetryOptions {
                max_retries: r.integer("retry.max-retries", 0, 1000),
                max_throttled: r.integer("retry.max-throttled", 0, 1_000_000),
                initial_delay_ms: r.duration("retry.initial-delay", 1),
                max_delay_ms: r.duration("retry.max-delay", 1),
                per_minute: r.integer("retry.max-per-minute", 0, 1_000_000),
            },
        };
        rest.refuse_contradictions(r);
        endpoint.and(project).map(|_| rest)
    }
}

impl Options {
    /// Combinations that have no meaning, or not the one their writer may expect.
    fn refuse_contradictions(&self, r: &mut Reader) {
        let upsert = self.operation == WriteOperation::Upsert;
        let append = matches!(
            self.operation,
            WriteOperation::Insert | WriteOperation::AppendOnly
        );
        let stream = self.append_tunnel == AppendTunnel::Stream;
        if upsert && self.append_tunnel != AppendTunnel::Batch {
            r.contradiction(
                "tunnel",
                "`operation` is upsert, which has a tunnel of its own; remove one",
            );
        }
        if self.overwrite && upsert {
            r.contradiction("overwrite", "`operation` is upsert, and tables with a primary key can not be overwritten; truncate the table instead");
        }
        if self.overwrite && stream {
            r.contradiction(
                "overwrite",
                "the stream tunnel can not overwrite; set `tunnel` to batch or arrow",
            );
        }
        if self.partial_columns && append {
            r.contradiction("upsert.partial-column.enable", "`operation` is not upsert, and rows that are appended are always whole; remove one");
        }
        match (&self.operation_column, self.operation) {
            (None, WriteOperation::AppendOnly) => r.errors.push(SinkError::permanent(
                "option.missing",
                "option `mapping.operation.type.to` is required with `operation: append-only`: without it inserted and deleted rows would look the same; name the column that says what happened",
            )),
            (Some(_), WriteOperation::Auto | WriteOperation::Insert | WriteOperation::Upsert) => {
                r.contradiction("mapping.operation.type.to", "it needs `operation: append-only`; set that, or remove it");
            }
            _ => {}
        }
        if self.session_max_age_ms >= u64::from(self.session_hours) * HOUR_MS
            && r.is_given("session.lifecycle")
        {
            r.contradiction("session.lifecycle", "`session.max-age` must be shorter, so that there is time for a checkpoint; lower it");
        }
    }
}

const HOUR_MS: u64 = 3_600_000;

/// Given options by canonical name, and the faults found so far.
struct Reader {
    given: BTreeMap<&'static str, (String, String)>,
    errors: Vec<SinkError>,
}

impl Reader {
    fn new(pairs: &[(String, String)]) -> Self {
        let mut reader = Self {
            given: BTreeMap::new(),
            errors: Vec::new(),
        };
        for (key, value) in pairs {
            match find(key) {
                None => reader.errors.push(unknown(key)),
                Some(spec) => {
                    let new = (key.clone(), value.clone());
                    if let Some((other, _)) = reader.given.insert(spec.name, new) {
                        reader.errors.push(SinkError::permanent(
                            "option.duplicate",
                            format!(
                                "option `{}` is given twice, as `{other}` and as `{key}`; keep one",
                                spec.name
                            ),
                        ));
                    }
                }
            }
        }
        reader
    }

    /// The text given, else the default; None where there is neither or it is empty.
    fn text(&mut self, name: &'static str) -> Option<String> {
        let text = match self.given.get(name) {
            Some((_, value)) => Some(value.trim().to_owned()),
            None => find(name).and_then(|s| s.default).map(str::to_owned),
        };
        text.filter(|t| !t.is_empty())
    }

    fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The name as it was written.
    fn spelled(&self, name: &'static str) -> String {
        self.given
            .get(name)
            .map_or(name, |(key, _)| key.as_str())
            .to_owned()
    }

    fn contradiction(&mut self, name: &'static str, why: &str) {
        let spelled = self.spelled(name);
        self.errors.push(SinkError::permanent(
            "option.contradiction",
            format!("option `{spelled}` does not go with the others: {why}"),
        ));
    }

    /// The choice of option `name`, or the one that a switch stands for: each switch means a choice
    /// when it is on, and says nothing when it is off.
    fn switched(
        &mut self,
        name: &'static str,
        switches: &[(&'static str, &'static str)],
    ) -> Option<String> {
        let mut chosen = self.choice(name);
        let mut by = self.is_given(name).then_some(name);
        for (switch, choice) in switches {
            if !self.boolean(switch) {
                continue;
            }
            if let Some(other) = by.filter(|_| chosen.as_deref() != Some(choice)) {
                let other = self.spelled(other);
                self.contradiction(
                    switch,
                    &format!("it means `{name}: {choice}`, and `{other}` says otherwise; keep one"),
                );
            }
            chosen = Some((*choice).to_owned());
            by = Some(switch);
        }
        chosen
    }

    fn operation(&mut self) -> WriteOperation {
        let switches = [("enable-upsert", "upsert")];
        match self.switched("operation", &switches).as_deref() {
            Some("insert") => WriteOperation::Insert,
            Some("upsert") => WriteOperation::Upsert,
            Some("append-only") => WriteOperation::AppendOnly,
            _ => WriteOperation::Auto,
        }
    }

    fn append_tunnel(&mut self) -> AppendTunnel {
        let switches = [
            ("use-stream-tunnel", "stream"),
            ("insert.arrow-writer.enable", "arrow"),
        ];
        match self.switched("tunnel", &switches).as_deref() {
            Some("arrow") => AppendTunnel::Arrow,
            Some("stream") => AppendTunnel::Stream,
            _ => AppendTunnel::Batch,
        }
    }

    /// A time of 1 to 24 whole hours.
    fn whole_hours(&mut self, name: &'static str) -> u32 {
        const LONGEST: u32 = 24;
        let Some(text) = self.text(name) else {
            return LONGEST;
        };
        let hours = value::duration_ms(&text)
            .filter(|ms| ms % HOUR_MS == 0)
            .and_then(|ms| u32::try_from(ms / HOUR_MS).ok());
        match hours {
            Some(hours @ 1..=LONGEST) => hours,
            _ => {
                self.bad(name, &text, "1 to 24 whole hours, like 2h");
                LONGEST
            }
        }
    }

    fn required(&mut self, name: &'static str) -> Option<String> {
        let text = self.text(name);
        if text.is_none() {
            let doc = find(name).map_or("", |s| s.doc);
            self.errors.push(SinkError::permanent(
                "option.missing",
                format!("option `{name}` is required: {doc}"),
            ));
        }
        text
    }

    fn bad(&mut self, name: &'static str, value: &str, legal: &str) {
        let spelled = self.spelled(name);
        let shown = if find(name).is_some_and(|s| s.secret) {
            "<secret>"
        } else {
            value
        };
        self.errors.push(SinkError::permanent(
            "option.value",
            format!("option `{spelled}` has the value `{shown}`; legal is {legal}"),
        ));
    }

    fn required_endpoint(&mut self, name: &'static str) -> Option<Endpoint> {
        self.required(name)?;
        self.endpoint(name)
    }

    fn endpoint(&mut self, name: &'static str) -> Option<Endpoint> {
        let text = self.text(name)?;
        match Endpoint::parse(&text) {
            Ok(endpoint) => Some(endpoint),
            Err(why) => {
                let legal = format!("an address like http://host:port/api; {why}");
                self.bad(name, &text, &legal);
                None
            }
        }
    }

    fn required_name(&mut self, name: &'static str) -> Option<String> {
        self.required(name)?;
        self.name(name)
    }

    /// Names of projects and schemas go into paths and SQL: letters, digits and `_` only.
    fn name(&mut self, name: &'static str) -> Option<String> {
        let text = self.text(name)?;
        let legal = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if legal {
            Some(text)
        } else {
            self.bad(name, &text, "a letter followed by letters, digits and `_`");
            None
        }
    }

    fn choice(&mut self, name: &'static str) -> Option<String> {
        let text = self.text(name)?;
        let lower = text.to_ascii_lowercase();
        let choices = find(name).map_or(&[][..], |s| s.choices);
        if choices.contains(&lower.as_str()) {
            Some(lower)
        } else {
            self.bad(name, &text, &format!("one of {}", choices.join(", ")));
            None
        }
    }

    /// What the text says, where there is one; `legal` describes what it may say.
    fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        name: &'static str,
        legal: &str,
    ) -> Option<T> {
        let text = self.text(name)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(why) => {
                self.bad(name, &text, &format!("{legal}: {why}"));
                None
            }
        }
    }

    fn boolean(&mut self, name: &'static str) -> bool {
        match self
            .text(name)
            .unwrap_or_default()
            .to_ascii_lowercase()
            .as_str()
        {
            "true" => true,
            "false" | "" => false,
            other => {
                self.bad(name, other, "true or false");
                false
            }
        }
    }

    fn optional_integer(&mut self, name: &'static str, low: u32, high: u32) -> Option<u32> {
        let text = self.text(name)?;
        match text.parse::<u32>() {
            Ok(n) if (low..=high).contains(&n) => Some(n),
            _ => {
                self.bad(name, &text, &format!("a whole number from {low} to {high}"));
                None
            }
        }
    }

    fn integer(&mut self, name: &'static str, low: u32, high: u32) -> u32 {
        self.optional_integer(name, low, high).unwrap_or(low)
    }

    fn bytes(&mut self, name: &'static str, low: u64) -> u64 {
        let Some(text) = self.text(name) else {
            return low;
        };
        match value::byte_size(&text) {
            Some(n) if n >= low && n <= 1 << 40 => n,
            _ => {
                let legal =
                    format!("a size of at least {low} bytes, like 64mb, 512 KiB or 1048576");
                self.bad(name, &text, &legal);
                low
            }
        }
    }

    fn duration(&mut self, name: &'static str, low: u64) -> u64 {
        let Some(text) = self.text(name) else {
            return low;
        };
        match value::duration_ms(&text) {
            Some(n) if n >= low && n <= 366 * 86_400_000 => n,
            _ => {
                let legal = format!("a time of at least {low} ms, like 30s, 500 ms or 2min");
                self.bad(name, &text, &legal);
                low
            }
        }
    }
}

fn unknown(key: &str) -> SinkError {
    if let Some(advice) = elsewhere::advice(key) {
        return SinkError::permanent("option.unknown", advice);
    }
    let hint = match nearest(key) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "`longshore options` lists every option of the sink".to_owned(),
    };
    SinkError::permanent("option.unknown", format!("unknown option `{key}`; {hint}"))
}

/// How `name` is described to the host; None for names that are no option.
pub fn describe(name: &str) -> Option<OptionSpec> {
    TABLE
        .iter()
        .find(|s| s.name == name)
        .map(spec::Spec::describe)
}

#[cfg(test)]
mod tests;
