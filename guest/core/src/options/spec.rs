//! The table of options: names, spellings, defaults and what they do.

use crate::contract::{OptionKind, OptionSpec};

/// One option as this module declares it.
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) kind: OptionKind,
    pub(super) required: bool,
    pub(super) default: Option<&'static str>,
    pub(super) secret: bool,
    pub(super) doc: &'static str,
    pub(super) aliases: &'static [&'static str],
    pub(super) choices: &'static [&'static str],
}

impl Spec {
    const fn new(
        name: &'static str,
        kind: OptionKind,
        default: Option<&'static str>,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            required: false,
            default,
            secret: false,
            doc,
            aliases: &[],
            choices: &[],
        }
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    pub(super) fn describe(&self) -> OptionSpec {
        OptionSpec {
            name: self.name.to_owned(),
            kind: self.kind,
            required: self.required,
            default_value: self.default.map(str::to_owned),
            secret: self.secret,
            doc: self.doc.to_owned(),
            aliases: self.aliases.iter().map(|&a| a.to_owned()).collect(),
            choices: self.choices.iter().map(|&c| c.to_owned()).collect(),
        }
    }
}

use OptionKind::{Boolean, ByteSize, Choice, Duration, Integer, Text};

pub(super) const TABLE: &[Spec] = &[
    Spec::new("type", Choice, Some("maxcompute"), "Name of the sink.")
        .aliases(&["connector"])
        .choices(&["maxcompute", "odps"]),
    Spec::new("name", Text, None, "Name of the sink in reports."),
    Spec::new("endpoint", Text, None, "REST endpoint of MaxCompute, usually ending in /api.")
        .required()
        .aliases(&["odps.end.point"]),
    Spec::new("project", Text, None, "Project that tables without a project of their own belong to.")
        .required()
        .aliases(&["odps.project.name"]),
    Spec::new("schema", Text, None, "Schema of tables without one of their own, in projects with schemas; unset = `default`.")
        .aliases(&["schemaName"]),
    Spec::new("access-id", Text, None, "AccessKey id. The host signs with it.")
        .required()
        .aliases(&["accessId", "odps.access.id", "access_id"]),
    Spec::new("access-key", Text, None, "AccessKey secret. Stays with the host.")
        .required()
        .secret()
        .aliases(&["accessKey", "odps.access.key", "access_key"]),
    Spec::new("sts-token", Text, None, "Security token of temporary credentials. Stays with the host.")
        .secret()
        .aliases(&["stsToken"]),
    Spec::new("region", Text, None, "Region, for example cn-hangzhou; set = requests are signed with version 4."),
    Spec::new("tunnel.endpoint", Text, None, "Data endpoint; unset = asked of the REST endpoint.")
        .aliases(&["tunnelEndpoint", "odps.tunnel.end.point", "tunnel_endpoint"]),
    Spec::new("quota.name", Text, None, "Tunnel quota to use.")
        .aliases(&["quotaName", "odps.tunnel.quota.name"]),
    Spec::new("operation", Choice, Some("auto"), "What rows do. auto: upsert tables with a primary key, append to others. insert: append only tables without a primary key, also from sources with one; a new version of a row is another row. upsert: refuse tables and rows without a primary key. append-only: every change becomes a row of its own, whose column named by `mapping.operation.type.to` says what happened.")
        .aliases(&["sink.operation"])
        .choices(&["auto", "insert", "upsert", "append-only"]),
    Spec::new("enable-upsert", Boolean, None, "true: the same as `operation: upsert`; false says nothing.")
        .aliases(&["enableUpsert"]),
    Spec::new("mapping.operation.type.to", Text, None, "With `operation: append-only`, the STRING column that receives INSERT, UPDATE_BEFORE, UPDATE_AFTER or DELETE; it is added to tables that the sink creates."),
    Spec::new("tunnel", Choice, Some("batch"), "How rows reach tables without a primary key. batch: blocks of records, visible with the checkpoint, each row once. arrow: the same with Arrow record batches. stream: packs that are visible as soon as they are sent, before the checkpoint; after a failure rows can stand in the table twice. Tables with a primary key always take the upsert tunnel.")
        .choices(&["batch", "arrow", "stream"]),
    Spec::new("use-stream-tunnel", Boolean, None, "true: the same as `tunnel: stream`; false says nothing.")
        .aliases(&["useStreamTunnel", "use_streaming"]),
    Spec::new("insert.arrow-writer.enable", Boolean, None, "true: the same as `tunnel: arrow`; false says nothing."),
    Spec::new("arrow.batch-rows", Integer, Some("16384"), "With `tunnel: arrow`, the rows of one record batch; a block holds several.")
        .aliases(&["insert.arrow-writer.batch-size"]),
    Spec::new("overwrite", Boolean, Some("false"), "Replace what a partition (or a table without partitions) of an append table holds: the first checkpoint of a run that has rows for it replaces, the later ones append. Partitions without rows in the run stay as they are. A run that goes on after a failure or an interrupt is the same run. Needs `tunnel: batch` or `arrow` and a single writer (pipeline.parallelism 1)."),
    Spec::new("upsert.partial-column.enable", Boolean, Some("false"), "Update only the columns that the rows have; others keep their values, and are NULL where the key is new. The table needs the property acid.partial.fields.update.enable=true, which tables created by the sink then get."),
    Spec::new("compress.algorithm", Choice, Some("zlib"), "Compression of what is sent.")
        .aliases(&["compressAlgorithm"])
        .choices(&["raw", "zlib", "lz4", "snappy"]),
    Spec::new("buckets-num", Integer, Some("16"), "Number of buckets of Delta tables created by the sink; existing tables keep theirs.")
        .aliases(&["bucketsNum", "upsert.write.bucket.num"]),
    Spec::new("total.buffer-size", ByteSize, Some("64mb"), "Upper bound of all buffers of one writer; usual use stays far below it.")
        .aliases(&["totalBatchSize", "upsert.writer.buffer-size", "insert.writer.buffer-size", "sink.file-cached.memory"]),
    Spec::new("bucket.buffer-size", ByteSize, Some("4mb"), "Size at which one bucket of a Delta table is sent, before compression; less where all buckets together would take more than an eighth of total.buffer-size.")
        .aliases(&["bucketBatchSize", "upsert.writer.bucket.buffer-size"]),
    Spec::new("block-size", ByteSize, Some("8mb"), "Size of a block of an append table, before compression; the first blocks of a session are smaller.")
        .aliases(&["batchSize", "sink.buffer-flush.max-size", "mutation.buffer.space"]),
    Spec::new("flush.interval", Duration, None, "Age at which buffered rows are sent however few they are, also when no more come; 0 = only by size and at checkpoints. Unset = 30s; 3s with `tunnel: stream`; 0 with `sink.file-cached.enable`.")
        .aliases(&["flushIntervalMs", "sink.buffer-flush.interval", "insert.arrow-writer.flush-interval", "mutation.flush.interval"]),
    Spec::new("flush.rows", Integer, Some("0"), "Rows at which a buffer (a partition's block, a bucket's pack) is sent; 0 = by size and age only.")
        .aliases(&["sink.buffer-flush.max-rows", "mutation.buffer.lines.num"]),
    Spec::new("sink.file-cached.enable", Boolean, Some("false"), "Few large files instead of early ones: buffers are full-sized from the first on and wait for `sink.file-cached.rolling.max-size` or the checkpoint, so that a partition (or bucket) usually gets one file per checkpoint. Short memory (`total.buffer-size`) still sends the largest buffers."),
    Spec::new("sink.file-cached.rolling.max-size", ByteSize, Some("16mb"), "With `sink.file-cached.enable`, the size at which a buffer is sent, before compression; replaces `block-size` and `bucket.buffer-size`."),
    Spec::new("commit.thread-num", Integer, Some("16"), "Sessions committed at once; commits do not wait for each other below that.")
        .aliases(&["numCommitThreads", "upsert.commit.thread-num", "insert.commit.thread-num"]),
    Spec::new("flush.concurrent-num", Integer, Some("4"), "Data requests at once within one session.")
        .aliases(&["numFlushConcurrent", "upsert.flush.concurrent", "numFlushThreads"]),
    Spec::new("max-requests", Integer, Some("16"), "Requests in flight at once of one writer, in all; data requests are halved down to 1 while the service throttles, and come back one by one; a committer has as many as `commit.thread-num`, if that is more.")
        .aliases(&["sink.file-cached.writer.num"]),
    Spec::new("slot-num", Integer, Some("1"), "Slots asked for by an upsert or stream session; 0 = 1.")
        .aliases(&["upsert.write.slot-num", "slotNum"]),
    Spec::new("delete-on-append", Choice, Some("ignore"), "What to do with deletes on a table without a primary key: skip and count, refuse the row, or skip, count and log.")
        .choices(&["ignore", "reject", "log"]),
    Spec::new("create-table", Boolean, Some("true"), "Create missing tables, and their schema."),
    Spec::new("lifecycle", Integer, None, "LIFECYCLE of created tables, in days; unset = kept for ever."),
    Spec::new("partition", Text, None, "Partition of the rows of every table, outermost column first: `COLUMN` by that column, `NAME=column(COLUMN)` too but keeping it as a data column, `NAME=VALUE` always this one, `NAME=date_format(COLUMN,'yyyy-MM-dd')` by a time (letters y M d H m s). Columns that the source or the transform names as partition keys follow.")
        .aliases(&["sink.partition"]),
    Spec::new("partition.time-zone", Text, Some("UTC"), "Time zone in which date_format of option partition shows instants, for example Asia/Shanghai or +08:00; times without a zone are shown as they are."),
    Spec::new("partition.default-value", Text, Some("__DEFAULT_PARTITION__"), "Partition value for rows whose value is NULL or empty; an empty text = such rows are refused.")
        .aliases(&["sink.partition.default-value"]),
    Spec::new("open-partitions", Integer, Some("20000"), "Partitions written between two checkpoints before an early checkpoint is asked for."),
    Spec::new("dynamic-partition.limit", Integer, None, "Partitions of one table that one writer may write between two checkpoints; one more ends the run. Unset = no limit.")
        .aliases(&["dynamicPartitionLimit", "sink.dynamic-partition.limit"]),
    Spec::new("on-bad-value", Choice, Some("fail"), "What to do with a row that has a value its column can not hold: end the run; write the row with NULL in place of the value, and count it; or keep the row aside as a dead letter, and count it. NULL never replaces values of key, partition and NOT NULL columns: there `null` means `fail`.")
        .choices(&["fail", "null", "dead-letter"]),
    Spec::new("on-bad-value.columns", Text, None, "The same for single columns, as a list like `note=null, shop.orders.total=dead-letter`: COLUMN in every table, TABLE.COLUMN, or TABLE.* for all columns of a table; the first that fits counts."),
    Spec::new("char-as", Choice, Some("char"), "Type of columns created for CHAR(n) and VARCHAR(n): the same with its length, or STRING.")
        .choices(&["char", "string"]),
    Spec::new("timestamp-as", Choice, Some("timestamp"), "Type of columns created for instants of millisecond precision or less: TIMESTAMP or DATETIME.")
        .choices(&["timestamp", "datetime"]),
    Spec::new("session.max-age", Duration, Some("18h"), "Age of a session at which an early checkpoint is asked for; the service ends sessions after 24 hours."),
    Spec::new("commit.timeout", Duration, Some("120s"), "How long to wait for the commit of one upsert session before it is reported as unfinished.")
        .aliases(&["upsertCommitTimeoutMs", "upsert.commit.timeout"]),
    Spec::new("commit.max-retries", Integer, None, "Repeats of a failed commit of one session before it is reported as unfinished, to be committed again by the host; unset = as many as `commit.timeout` has time for.")
        .aliases(&["upsert.commit.max-retries"]),
    Spec::new("commit.async", Boolean, Some("false"), "Count an upsert session as committed once the service has accepted the commit: checkpoints are faster, the rows may be visible a little later, and a commit that fails at the service after that is not noticed.")
        .aliases(&["upsertAsyncCommit"]),
    Spec::new("session.lifecycle", Duration, Some("24h"), "Life of an upsert session at the service, 1 to 24 whole hours: sessions that a killed writer left behind end by then, and prepared rows must be committed by then."),
    Spec::new("ddl.timeout", Duration, Some("10min"), "How long to wait for one SQL statement."),
    Spec::new("connect.timeout", Duration, Some("10s"), "How long to wait for a connection."),
    Spec::new("response.timeout", Duration, Some("300s"), "How long to wait for an answer after a request was sent."),
    Spec::new("retry.max-retries", Integer, Some("8"), "Repeats of a request after server and connection errors.")
        .aliases(&["retryTimes", "upsert.writer.max-retries", "sink.file-cached.write.max-retries", "sink.max-retries", "retry_times"]),
    Spec::new("retry.max-throttled", Integer, Some("0"), "Repeats of a throttled request; 0 = without limit."),
    Spec::new("retry.initial-delay", Duration, Some("500ms"), "Delay before the first repeat; doubles with each.")
        .aliases(&["sleepMillis"]),
    Spec::new("retry.max-delay", Duration, Some("64s"), "Longest delay between repeats."),
    Spec::new("retry.max-per-minute", Integer, Some("600"), "Repeats of all requests of one writer together, per minute in the long run; as many may come at once. More wait for their turn, so that an outage does not end in a storm of requests. 0 = without limit."),
];

/// Every option, described for the host.
pub fn specs() -> Vec<OptionSpec> {
    TABLE.iter().map(Spec::describe).collect()
}

/// The option of that canonical name or alias.
pub(super) fn find(key: &str) -> Option<&'static Spec> {
    TABLE
        .iter()
        .find(|s| s.name == key || s.aliases.contains(&key))
}

/// The spelling closest to a misspelt key, if any is close.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    let plain = |s: &str| s.to_ascii_lowercase().replace(['-', '.', '_'], "");
    let wanted = plain(key);
    TABLE
        .iter()
        .flat_map(|s| std::iter::once(&s.name).chain(s.aliases))
        .map(|&name| (distance(&wanted, &plain(name)), name))
        .filter(|(d, name)| *d <= 1 + name.len() / 4)
        .min_by_key(|(d, _)| *d)
        .map(|(_, name)| name)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, cb) in row.iter_mut().skip(1).zip(&b) {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = *cell;
            *cell = change.min(diagonal + 1).min(left + 1);
            left = *cell;
        }
    }
    row.last().copied().unwrap_or(0)
}
