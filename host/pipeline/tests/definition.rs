//! Reading pipeline definitions.
#![cfg(test)]

use std::{path::Path, time::Duration};

use longshore_pipeline::definition::{
    DefinitionError, FileFormat, PipelineDefinition, RouteMode, SchemaChangeBehavior, SourceKind,
    units::{parse_duration, parse_size},
};
use longshore_pipeline::source::TableId;

fn parse(text: &str) -> Result<PipelineDefinition, DefinitionError> {
    PipelineDefinition::parse(text, "p.yaml", Path::new("/data"), &|name| match name {
        "KEY" => Some("s3cr3t".to_owned()),
        "EMPTY" => Some(String::new()),
        "PARALLELISM" => Some("4".to_owned()),
        _ => None,
    })
}

fn error(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

const MINIMAL: &str = "\
source:
  type: file
  path: changes.json
sink:
  type: maxcompute
  endpoint: local
";

#[test]
fn reads_a_whole_definition() {
    let definition = parse(
        "\
source:
  type: file
  name: shop changes
  path: [a/*.json, /abs/b.json.gz]
  format: debezium-json
  primary-key:
    shop.orders: id
    shop.order_items: [order_id, line_no]
  partition-by: {shop.orders: 'year, month'}
  schema:
    shop.orders:
      price: DECIMAL(18,2)
  unknown-columns: ignore
  on-truncate: skip
  batch-size: 512kb
sink:
  type: maxcompute
  name: MaxCompute Sink
  access-key: ${KEY}
  buckets-num: 008
  note: a $${literal} and ${MISSING:-none} ${EMPTY:-default}
  list: [a, b]
  include.schema.changes: [create.table, column]
  exclude.schema.changes: drop.column
route:
  - source-table: shop.orders_\\.*
    sink-table: orders
    description: merge
pipeline:
  name: shop
  parallelism: ${PARALLELISM}
  memory-budget: 1 gb
  give-up-after: 2 h
  restarts: 7
  local-time-zone: Asia/Shanghai
  schema.change.behavior: TRY_EVOLVE
  checkpoint-interval: 3 min
  stop-timeout: 5s
  dead-letters.max-rows: {shop.orders: 10}
  dead-letters.max-ratio: 1%
  dead-letters.path: aside
  checkpoint-path: state
  route-mode: first_match
  operator.uid.prefix: x
",
    )
    .unwrap();
    let SourceKind::File(file) = &definition.source.kind else {
        panic!()
    };
    let paths: Vec<&str> = file.paths.iter().map(|path| path.value.as_str()).collect();
    assert_eq!(paths, ["/data/a/*.json", "/abs/b.json.gz"]);
    assert_eq!(file.format, Some(FileFormat::DebeziumJson));
    let items = TableId::parse("shop.order_items").unwrap();
    assert_eq!(
        file.primary_key.get(&items).unwrap().value,
        ["order_id", "line_no"]
    );
    let orders = TableId::parse("shop.orders").unwrap();
    assert_eq!(
        file.partition_by.get(&orders).unwrap().value,
        ["year", "month"]
    );
    assert_eq!(file.schema.get(&orders).unwrap().value[0].name, "price");
    assert_eq!(file.batch_bytes, 512 * 1024);
    let sink = &definition.sink;
    assert_eq!(sink.kind.value, "maxcompute");
    let option = |name: &str| sink.option(name).unwrap();
    assert_eq!(option("access-key").value, "s3cr3t");
    // Values keep their text: a component reads numbers itself.
    assert_eq!(option("buckets-num").value, "008");
    assert_eq!(option("note").value, "a ${literal} and none default");
    assert_eq!(option("list").value, "a,b");
    assert_eq!(
        (
            option("access-key").at.line,
            option("access-key").value_at.column
        ),
        (19, 15)
    );
    assert!(
        !format!("{definition:?}").contains("s3cr3t"),
        "no secret in debug output"
    );
    assert_eq!(
        sink.include_schema_changes.as_deref().unwrap(),
        ["create.table", "column"]
    );
    assert_eq!(definition.routes.len(), 1);
    let pipeline = &definition.pipeline;
    assert_eq!(pipeline.parallelism, 4);
    assert_eq!(pipeline.stop_timeout, Duration::from_secs(5));
    let limits = &pipeline.dead_letters;
    assert_eq!(limits.max_rows.get(&orders).unwrap().value, 10);
    assert!(limits.max_rows.get(&items).is_none());
    assert_eq!(limits.max_ratio.get(&items).unwrap().value, 0.01);
    assert_eq!(limits.files.as_deref(), Some(Path::new("/data/aside")));
    assert_eq!(pipeline.memory_budget.as_ref().unwrap().value, 1 << 30);
    assert_eq!(pipeline.give_up_after, Some(Duration::from_secs(7200)));
    assert_eq!(pipeline.restarts, Some(7));
    assert_eq!(
        pipeline.schema_change_behavior,
        SchemaChangeBehavior::TryEvolve
    );
    assert_eq!(pipeline.checkpoint_interval, Some(Duration::from_secs(180)));
    assert_eq!(
        pipeline.checkpoint_path.as_deref(),
        Some(Path::new("/data/state"))
    );
    assert_eq!(pipeline.route_mode, RouteMode::FirstMatch);
    assert_eq!(file.time_zone, Some(chrono_tz::Tz::Asia__Shanghai));
    let warned: Vec<(u32, &str)> = definition
        .warnings
        .iter()
        .map(|warning| {
            let (key, _) = warning.message.split_once(" has no effect: ").unwrap();
            (warning.at.line, key)
        })
        .collect();
    assert_eq!(warned, [(44, "`pipeline.operator.uid.prefix`"),]);
}

#[test]
fn reads_the_examples() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart");
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            PipelineDefinition::load(&path).unwrap();
        }
    }
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_name() {
    let text = error(&MINIMAL.replace("path:", "pth:"));
    assert!(text.contains("p.yaml:3:3: unknown key `pth`"), "{text}");
    assert!(text.contains("did you mean `path`?"), "{text}");
    assert!(
        text.contains("allowed keys: type, name, path, format"),
        "{text}"
    );
    assert!(text.contains("3 |   pth: changes.json"), "{text}");
    let text = error(&format!("{MINIMAL}pipelin:\n  name: x\n"));
    assert!(text.contains("did you mean `pipeline`?"), "{text}");
    let text = error(&format!("{MINIMAL}pipeline:\n  paralelism: 2\n"));
    assert!(
        text.contains("p.yaml:8:3") && text.contains("`parallelism`"),
        "{text}"
    );
    let text = error(&format!(
        "{MINIMAL}route:\n  - source-table: a\n    sink: b\n"
    ));
    assert!(text.contains("did you mean `sink-table`?"), "{text}");
}

#[test]
fn every_problem_is_told_at_once() {
    let problems = parse("source:\n  type: file\n  path: a.csv\n  format: cvs\n  header: maybe\nsink:\n  type: x\n  a: ${NOPE}\n")
        .unwrap_err()
        .problems;
    let lines: Vec<u32> = problems.iter().map(|problem| problem.at.line).collect();
    assert_eq!(lines, [4, 5, 8]);
    assert!(
        problems[0].message.contains("did you mean `csv`?"),
        "{}",
        problems[0]
    );
    assert!(
        problems[2].message.contains("NOPE is not set"),
        "{}",
        problems[2]
    );
    assert!(problems[2].help.as_deref().unwrap().contains("${NOPE:-…}"));
}

#[test]
fn yaml_faults_have_a_place_and_an_excerpt() {
    let text = error("source:\n  type: file\n   path: x\n");
    assert!(
        text.contains("p.yaml:3:") && text.contains("not valid YAML"),
        "{text}"
    );
    assert!(text.contains("^"), "{text}");
    assert!(error("").contains("is empty"));
    assert!(error("source: {type: file\n").contains("not valid YAML"));
    assert!(error("a: 1\n---\nb: 2\n").contains("more than one YAML document"));
    let text = error(&MINIMAL.replace("  path: changes.json\n", "  path: a\n  path: b\n"));
    assert!(
        text.contains("key `path` is given twice; the first is on line 3"),
        "{text}"
    );
    assert!(error("- a\n- b\n").contains("must be a block"));
    assert!(error("source:\n\ttype: file\n").contains("tabs"));
}

#[test]
fn missing_blocks_and_keys_are_named() {
    assert!(error("sink:\n  type: x\n").contains("has no `source` block"));
    assert!(error("source:\n  type: file\n  path: x.csv\n").contains("has no `sink` block"));
    assert!(error("source:\n  path: x\nsink:\n  type: x\n").contains("`source` has no `type`"));
    assert!(error("source:\n  type: file\nsink:\n  type: x\n").contains("`source` has no `path`"));
    let text = error("source:\n  type: mysql\n  path: x\nsink:\n  type: x\n");
    assert!(
        text.contains("source type `mysql` is not available"),
        "{text}"
    );
    let text = error(&format!(
        "{MINIMAL}route:\n  source-table: a\n  sink-table: b\n"
    ));
    assert!(text.contains("put a dash before each rule"), "{text}");
    let text = error(&format!("{MINIMAL}route:\n  - source-table: a\n"));
    assert!(text.contains("has no `sink-table`"), "{text}");
}

#[test]
fn flink_only_keys_warn_or_are_refused_with_a_reason() {
    let definition = parse(&format!(
        "{MINIMAL}pipeline:\n  execution.runtime-mode: STREAMING\n  sink.partitioning.strategy: SINK_DEFINED\n"
    ))
    .unwrap();
    assert_eq!(definition.warnings.len(), 1);
    let text = error(&format!(
        "{MINIMAL}pipeline:\n  sink.partitioning.strategy: TABLE_ID\n"
    ));
    assert!(text.contains("can only be SINK_DEFINED"), "{text}");
    let text = error(&format!(
        "{MINIMAL}pipeline:\n  user-defined-function:\n    - name: x\n"
    ));
    assert!(text.contains("not available"), "{text}");
    let text = error(&format!(
        "{MINIMAL}pipeline:\n  taskmanager.memory.size: 1g\n"
    ));
    assert!(text.contains("Flink runtime"), "{text}");
}

#[test]
fn secrets_do_not_show_in_excerpts() {
    let text = error(&MINIMAL.replace(
        "  endpoint: local\n",
        "  access-key: LTAIsecret\n  access-key: again-secret\n",
    ));
    assert!(
        !text.contains("LTAIsecret") && !text.contains("again-secret"),
        "{text}"
    );
    assert!(text.contains("***"), "{text}");
    let text = error(
        "source:\n  type: file\n  path: x.csv\nsink: {type: x, sts-token: abcdef, access-key: 'q'}\nbad: 1\nsink2: {token: \"t0k\"}\n",
    );
    assert!(!text.contains("abcdef") && !text.contains("t0k"), "{text}");
    // What a placeholder stands for is not shown either.
    let text = error(&format!("{MINIMAL}pipeline:\n  parallelism: ${{KEY}}\n"));
    assert!(
        text.contains("${KEY}") && !text.contains("s3cr3t"),
        "{text}"
    );
    // Names of columns are no secrets.
    let text = error(&MINIMAL.replace("  path: changes.json\n", "  primary-key: id\n"));
    assert!(!text.contains("***"), "{text}");
}

#[test]
fn values_are_checked() {
    let with = |lines: &str| error(&format!("{MINIMAL}pipeline:\n{lines}\n"));
    assert!(with("  parallelism: 0").contains("not a whole number from 1"));
    assert!(with("  parallelism:").contains("has no value"));
    assert!(with("  parallelism: [1]").contains("must be a single value"));
    assert!(with("  local-time-zone: Asia/Shangai").contains("did you mean `Asia/Shanghai`"));
    assert!(with("  schema.change.behavior: evolv").contains("did you mean `evolve`"));
    assert!(with("  checkpoint-interval: 3 fortnights").contains("no unit of time"));
    assert!(with("  memory-budget: much").contains("does not start with a whole number"));
    assert!(with("  restarts: -1").contains("not a whole number"));
    assert!(with("  checkpoint-interval: 0s").contains("longer than zero"));
    assert!(with("  stop-timeout: soon").contains("whole number"));
    assert!(with("  dead-letters.max-rows: many").contains("no whole number of rows"));
    assert!(with("  dead-letters.max-ratio: {orders: 200%}").contains("no ratio"));
    assert!(
        with("  checkpoint-interval: 1s\n  execution.checkpointing.interval: 2s").contains("twice")
    );
    let source = |lines: &str| {
        error(&MINIMAL.replace("  path: changes.json\n", &format!("  path: x\n{lines}\n")))
    };
    assert!(source("  schema: {id: BIGNIT}").contains("did you mean BIGINT?"));
    assert!(source("  schema: {t: TIMESTAMP(3)}").contains("ambiguous"));
    assert!(source("  schema: [a]").contains("must be a block of columns"));
    assert!(source("  table: a.b.c.d").contains("no table name"));
    assert!(source("  delimiter: ab").contains("one ASCII character"));
    assert!(source("  batch-size: 1gb").contains("not between"));
    assert!(error(&MINIMAL.replace("  endpoint: local", "  endpoint: {a: b}")).contains("dots"));
    assert!(error(&MINIMAL.replace("local", "${1BAD}")).contains("does not name"));
    assert!(error(&MINIMAL.replace("local", "${OPEN")).contains("not closed"));
    assert!(
        error(&format!("{MINIMAL}  include.schema.changes: [add.colum]\n"))
            .contains("`add.column`")
    );
}

#[test]
fn anchors_are_resolved_and_bounded() {
    let definition =
        parse("source:\n  type: file\n  path: &p a.csv\nsink:\n  type: x\n  copy: *p\n").unwrap();
    assert_eq!(definition.sink.option("copy").unwrap().value, "a.csv");
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..9 {
        let before = format!("*a{}", level - 1);
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![before; 10].join(",")
        ));
    }
    assert!(error(&bomb).contains("more than 100000 values"));
}

#[test]
fn durations_and_sizes_are_read_as_flink_does() {
    assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
    assert_eq!(parse_duration("3 min"), Ok(Duration::from_secs(180)));
    assert_eq!(parse_duration("1500"), Ok(Duration::from_millis(1500)));
    assert_eq!(parse_duration("2 Hours"), Ok(Duration::from_secs(7200)));
    assert!(parse_duration("99999999999999999 d").is_err());
    assert!(parse_duration("-1s").is_err());
    assert_eq!(parse_size("64mb"), Ok(64 << 20));
    assert_eq!(parse_size("512 KiB"), Ok(512 << 10));
    assert_eq!(parse_size("1048576"), Ok(1 << 20));
    assert!(parse_size("1.5mb").is_err());
    assert!(parse_size("99999999999tb").is_err());
}

#[test]
fn null_is_a_word_for_options_of_the_sink_and_nothing_is_none() {
    let with = |value: &str| format!("{MINIMAL}  on-bad-value: {value}\n");
    for value in ["null", "'null'", "null # kept"] {
        let definition = parse(&with(value)).unwrap();
        let option = definition.sink.options.last().unwrap();
        assert_eq!(
            (option.name.as_str(), option.value.as_str()),
            ("on-bad-value", "null")
        );
    }
    for value in ["", "~", "# null"] {
        assert!(error(&with(value)).contains("has no value"), "{value}");
    }
}
