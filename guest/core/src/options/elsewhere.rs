//! Options of other connectors that this sink has no use for, each with the reason.
//!
//! Who comes from one of them finds here what to write instead. The same list, with the options that
//! are understood, stands in `tests/options/options.tsv`; a test holds the two together.

const REALTIME_COMPUTE: &str = "Realtime Compute";
const MAXCOMPUTE_FLINK: &str = "the MaxCompute Flink connector";
const OLDER_MAXCOMPUTE_FLINK: &str = "the older MaxCompute Flink connector";
const KAFKA_SINK: &str = "the Kafka sink connector";
const CLICKZETTA: &str = "the ClickZetta Lakehouse connector";

/// Connector, names, reason and remedy.
type Entry = (&'static str, &'static [&'static str], &'static str);

const ENTRIES: &[Entry] = &[
    (
        REALTIME_COMPUTE,
        &["tableName"],
        "tables are named by the source; to name them otherwise add a rule to `route`",
    ),
    (
        REALTIME_COMPUTE,
        &[
            "maxPartitionCount",
            "useArrow",
            "splitSize",
            "compressCodec",
            "dynamicLoadBalance",
            "startPartition",
            "subscribeIntervalInSec",
            "modifiedTableOperation",
        ],
        "it is about reading from MaxCompute; this sink only writes; remove it",
    ),
    (
        REALTIME_COMPUTE,
        &["sink.parallelism"],
        "set `parallelism` under `pipeline`: it is a matter of the whole pipeline",
    ),
    (
        REALTIME_COMPUTE,
        &["sink.bucket.check-interval"],
        "sizes are looked at with every row; remove it",
    ),
    (
        REALTIME_COMPUTE,
        &[
            "sink.file-cached.memory.segment-size",
            "sink.file-cached.flush.always",
        ],
        "buffers are in memory and bounded by `total.buffer-size`; remove it",
    ),
    (
        REALTIME_COMPUTE,
        &[
            "cache",
            "cacheSize",
            "cacheTTLMs",
            "cacheReloadTimeBlackList",
            "maxLoadRetries",
        ],
        "it is about looking rows up in MaxCompute; this sink only writes; remove it",
    ),
    (
        MAXCOMPUTE_FLINK,
        &["table.name"],
        "tables are named by the source; to name them otherwise add a rule to `route`",
    ),
    (
        MAXCOMPUTE_FLINK,
        &["odps.namespace.schema"],
        "the project itself says whether it has schemas; name one with `schema`",
    ),
    (
        MAXCOMPUTE_FLINK,
        &["sink.meta.cache.time", "sink.meta.cache.expire.time"],
        "a table is looked up once, when its first rows come; remove it",
    ),
    (
        MAXCOMPUTE_FLINK,
        &["sink.coordinator.enable"],
        "sessions and commits are always coordinated; remove it",
    ),
    (
        MAXCOMPUTE_FLINK,
        &["sink.group-partition.enable"],
        "rows are dealt to the writers by key, and each writer sorts its rows by partition; remove it",
    ),
    (
        MAXCOMPUTE_FLINK,
        &["sink.partition.assigner.class"],
        "Java classes can not be loaded; say it with `partition`, which computes partitions from columns and event times",
    ),
    (
        MAXCOMPUTE_FLINK,
        &["sink.file-cached.tmp.dirs"],
        "buffers are in memory and bounded by `total.buffer-size`; remove it",
    ),
    (
        MAXCOMPUTE_FLINK,
        &[
            "upsert.major-compact.enable",
            "upsert.major-compact.min-commits",
        ],
        "the service compacts Delta tables by itself; for more run ALTER TABLE … COMPACT MAJOR",
    ),
    (
        OLDER_MAXCOMPUTE_FLINK,
        &["table-name"],
        "tables are named by the source; to name them otherwise add a rule to `route`",
    ),
    (
        OLDER_MAXCOMPUTE_FLINK,
        &["odps.input.split.size"],
        "it is about reading from MaxCompute; this sink only writes; remove it",
    ),
    (
        OLDER_MAXCOMPUTE_FLINK,
        &["odps.cupid.writer.buffer.enable"],
        "rows are always buffered; remove it",
    ),
    (
        OLDER_MAXCOMPUTE_FLINK,
        &["odps.cupid.writer.buffer.size"],
        "write `block-size`, with the same value",
    ),
    (
        OLDER_MAXCOMPUTE_FLINK,
        &[
            "lookup.cache.ttl",
            "lookup.max-retries",
            "lookup.max-retrie",
        ],
        "it is about looking rows up in MaxCompute; this sink only writes; remove it",
    ),
    (
        KAFKA_SINK,
        &["table"],
        "tables are named by the source; to name them otherwise add a rule to `route`",
    ),
    (
        KAFKA_SINK,
        &["account_id", "region_id", "role_name", "sts.endpoint"],
        "roles are assumed by Alibaba's CLI or your own tool, which `credentials.command` runs and runs again before the token expires",
    ),
    (
        KAFKA_SINK,
        &["account_type"],
        "the kind of key follows from what is given: `access-id`, `credentials.command`, `credentials.file`, `bearer-token` or the environment; remove it",
    ),
    (
        KAFKA_SINK,
        &["client_timeout_ms"],
        "tokens are renewed before they expire, by what they say themselves; remove it",
    ),
    (
        KAFKA_SINK,
        &[
            "runtime.error.topic.bootstrap.servers",
            "runtime.error.topic.name",
        ],
        "rows that do not fit are put aside with `on-bad-value: dead-letter`, with reason, column and place, beside the checkpoints and not in a topic",
    ),
    (
        KAFKA_SINK,
        &["format", "mode"],
        "it is about what a message is; that is for the source: see `format` of `source`",
    ),
    (
        KAFKA_SINK,
        &[
            "partition_window_type",
            "use_new_partition_format",
            "time_zone",
        ],
        "write `partition`, for example pt=date_format(ts,'yyyy-MM-dd HH'), and `partition.time-zone`: partitions come from a column's time, not from the clock, so that a replay lands in the same ones",
    ),
    (
        KAFKA_SINK,
        &["buffer_size_kb"],
        "write `block-size`, with a unit: `65536 kb`",
    ),
    (
        KAFKA_SINK,
        &["sink_pool_size"],
        "write `max-requests`: requests of one writer at once; the number of writers is `parallelism` under `pipeline`",
    ),
    (
        KAFKA_SINK,
        &["record_batch_size"],
        "write `flush.rows`, or leave it out: batches are bounded by bytes and age",
    ),
    (
        KAFKA_SINK,
        &["skip_error"],
        "nothing is dropped in silence; write `on-bad-value: dead-letter`, or `null`",
    ),
    (
        CLICKZETTA,
        &["curl"],
        "this sink writes to MaxCompute: give `endpoint` and `project`",
    ),
    (
        CLICKZETTA,
        &["schema-name"],
        "write `schema`, or name the schema in `route`",
    ),
    (
        CLICKZETTA,
        &[
            "properties",
            "properites",
            "workspace",
            "instance-id",
            "worker-addrs",
            "tablet-num",
            "tablet.rpc.heartbeat",
            "protocol.type",
            "stream-id",
            "prefer.internal.endpoint",
        ],
        "it is about Lakehouse's own protocol, which MaxCompute has no counterpart of; remove it",
    ),
    (
        CLICKZETTA,
        &["flush.mode"],
        "buffers are always sent in the background, and each checkpoint waits for them; remove it",
    ),
    (
        CLICKZETTA,
        &["showDebugLog"],
        "give `-v`, `-vv` or LONGSHORE_LOG to the program",
    ),
    (
        CLICKZETTA,
        &["mutation.buffer.max.num"],
        "write `total.buffer-size`, which bounds all buffers of a writer in bytes",
    ),
    (
        CLICKZETTA,
        &["error.type.handler"],
        "write `on-bad-value`: `fail` ends the run, `dead-letter` keeps the rows aside; nothing is dropped in silence",
    ),
    (
        CLICKZETTA,
        &["request.failed.retry.enable"],
        "requests are always repeated; for none write `retry.max-retries: 0`",
    ),
    (
        CLICKZETTA,
        &["request.failed.retry.times"],
        "write `retry.max-retries`",
    ),
    (
        CLICKZETTA,
        &["request.failed.retry.internal.ms"],
        "write `retry.initial-delay`; delays double up to `retry.max-delay`",
    ),
    (
        CLICKZETTA,
        &["request.failed.retry.status"],
        "which answers are repeated is decided by the service's own codes: whatever may pass is repeated; remove it",
    ),
    (
        CLICKZETTA,
        &["request.failed.retry.logDebug.enable"],
        "give `-v`, `-vv` or LONGSHORE_LOG to the program",
    ),
    (
        CLICKZETTA,
        &["mapping.schema.type.to"],
        "add the column with `transform`: `__schema_name__ AS …`",
    ),
    (
        CLICKZETTA,
        &["mapping.table.type.to"],
        "add the column with `transform`: `__table_name__ AS …`",
    ),
    (
        CLICKZETTA,
        &["mapping.source.data.type.to", "cdc.data.mode"],
        "it is about what a message is; that is for the source: see `format` of `source`",
    ),
    (
        CLICKZETTA,
        &["ckp.abort.strict.mode"],
        "a checkpoint that fails ends the run, which then goes on from the last one; remove it",
    ),
    (
        CLICKZETTA,
        &["operator", "partition.specs", "record.key"],
        "write `operation`, `overwrite` and `partition`; keys come from the source or from `transform`",
    ),
];

/// Why `key`, an option of another connector, is none of this sink, and what to do instead.
pub(super) fn advice(key: &str) -> Option<String> {
    let (connector, _, why) = ENTRIES.iter().find(|(_, names, _)| names.contains(&key))?;
    Some(format!(
        "option `{key}` of {connector} is not for this sink; {why}"
    ))
}
