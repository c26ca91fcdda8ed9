//! Commands that contact nothing.

use crate::support::{Feeding, Place};

const PIPELINE: &str = "\
source:
  type: file
  path: orders.json
  table: orders
  primary-key: id
sink:
  type: maxcompute
  endpoint: https://service.cn-hangzhou.maxcompute.aliyun.com/api
  project: p1
  access-id: me
  access-key: hush-hush
  bucketsNum: 8
route:
  - source-table: orders
    sink-table: ods_orders
";

#[test]
fn validate_says_so() {
    let place = Place::with(PIPELINE, ("orders.json", "{\"id\": 1}\n"));
    let ended = place.longshore(&["validate", "pipeline.yaml"]).expect(0);
    assert_eq!(ended.stdout, "pipeline.yaml is valid\n");
    assert!(
        !place.path().join(".longshore").exists(),
        "validate leaves nothing behind"
    );
}

#[test]
fn explain_shows_what_would_happen_and_no_secret() {
    let place = Place::with(PIPELINE, ("orders.json", "{\"id\": 1}\n"));
    let ended = place.longshore(&["explain", "pipeline.yaml"]).expect(0);
    for text in [
        "ods_orders",
        "upsert by key",
        "exactly once in effect",
        "https://*.maxcompute.aliyun.com",
        ".longshore/pipeline.db",
        "line 11",
        "<secret>",
    ] {
        assert!(
            ended.stdout.contains(text),
            "{text:?} is missing in {ended:#?}"
        );
    }
    assert!(!ended.stdout.contains("hush-hush"), "{ended:#?}");

    let ended = place
        .longshore(&["explain", "pipeline.yaml", "--output", "json"])
        .expect(0);
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["tables"][0]["sink"][0], "ods_orders");
    assert!(!ended.stdout.contains("hush-hush"));
}

#[test]
fn explain_shows_the_statements_for_transformed_tables() {
    let pipeline = format!(
        "{PIPELINE}transform:\n- source-table: orders\n  projection: id, UPPER(name) AS loud\n  \
         table-options: comment=web orders,owner.team=sales\n"
    );
    let place = Place::with(&pipeline, ("orders.json", "{\"id\": 1, \"name\": \"a\"}\n"));
    let shown = place.longshore(&["explain", "pipeline.yaml"]).expect(0);
    for text in [
        "(`id` BIGINT NOT NULL, `loud` STRING, PRIMARY KEY(`id`))",
        "COMMENT 'web orders'",
        "'owner.team'='sales'",
    ] {
        assert!(
            shown.stdout.contains(text),
            "{text:?} is missing in {shown:#?}"
        );
    }
}

#[test]
fn explain_shows_the_statements_and_where_each_value_comes_from() {
    let pipeline = PIPELINE.replace("hush-hush", "${LONGSHORE_TEST_KEY}");
    let place = Place::with(
        &pipeline,
        ("orders.json", "{\"id\": 1, \"select\": \"a\"}\n"),
    );
    let explain = |form: &str| {
        let mut command = place.command(&["explain", "pipeline.yaml", "--output", form]);
        command.env("LONGSHORE_TEST_KEY", "hush-hush");
        crate::support::Ended::of(command.output().unwrap()).expect(0)
    };
    let shown = explain("human");
    for text in [
        "CREATE TABLE IF NOT EXISTS `p1`.`ods_orders`",
        "`select`",
        "'write.bucket.num'='8'",
        "line 11, $LONGSHORE_TEST_KEY",
    ] {
        assert!(
            shown.stdout.contains(text),
            "{text:?} is missing in {shown:#?}"
        );
    }
    let explained = explain("json");
    let document: serde_json::Value = serde_json::from_str(&explained.stdout).unwrap();
    assert_eq!(document["ddl"].as_array().unwrap().len(), 1, "{document:#}");
    assert_eq!(
        document["warnings"],
        serde_json::json!(["pipeline.yaml:12: `bucketsNum` is another name of `buckets-num`"])
    );
    let options = document["sink"]["options"].as_array().unwrap();
    let origin = |name: &str| {
        let option = options.iter().find(|option| option["name"] == name);
        option.unwrap()["origin"].clone()
    };
    assert_eq!(
        origin("access-key")["definition"]["environment"],
        serde_json::json!(["LONGSHORE_TEST_KEY"])
    );
    assert_eq!(origin("buckets-num")["definition"]["name"], "bucketsNum");
    assert_eq!(origin("max-requests"), "default");
    assert!(!explained.stdout.contains("hush-hush"));
    assert!(
        !place.path().join(".longshore").exists(),
        "explain leaves nothing behind"
    );

    place.write(
        "pipeline.yaml",
        &pipeline.replace("  bucketsNum: 8\n", "  create-table: false\n"),
    );
    assert!(!explain("human").stdout.contains("CREATE TABLE"));
}

#[test]
fn keys_without_effect_are_told_with_their_line() {
    let pipeline = PIPELINE.replace(
        "route:",
        "pipeline:\n  operator.uid.prefix: x\n  execution.runtime-mode: BATCH\nroute:",
    );
    let place = Place::with(&pipeline, ("orders.json", "{\"id\": 1}\n"));
    place
        .longshore(&["validate", "pipeline.yaml"])
        .expect(0)
        .says(&[
            "pipeline.yaml:14: `pipeline.operator.uid.prefix` has no effect",
            "pipeline.yaml:15: `pipeline.execution.runtime-mode` has no effect",
        ]);
}

#[test]
fn standard_input_is_left_to_the_run() {
    for format in ["json", "csv", "arrow", "debezium-json"] {
        let pipeline = PIPELINE.replace(
            "  path: orders.json\n",
            &format!("  path: '-'\n  format: {format}\n"),
        );
        let place = Place::with(&pipeline, ("x", ""));
        // The test holds standard input open: a program that reads it would not end.
        let valid = Feeding::start(&place, &["validate", "pipeline.yaml"])
            .end_by_itself()
            .expect(0);
        assert_eq!(
            valid.stdout,
            "pipeline.yaml is valid\n(its input is standard input, which only `run` reads)\n"
        );
        let explained = Feeding::start(&place, &["explain", "pipeline.yaml"])
            .end_by_itself()
            .expect(0);
        assert!(
            explained
                .stdout
                .contains("standard input, which only `run` reads"),
            "{explained:#?}"
        );
        // Debezium events name their tables, for the other formats the definition does.
        assert_eq!(
            explained.stdout.contains("ods_orders"),
            format != "debezium-json",
            "{explained:#?}"
        );
        if format == "json" {
            assert!(explained.stdout.contains("upsert by key"), "{explained:#?}");
            let ended = Feeding::start(&place, &["explain", "pipeline.yaml", "--output", "json"])
                .end_by_itself()
                .expect(0);
            let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
            assert_eq!(document["input-opened"], false);
            assert_eq!(document["tables-complete"], false);
            assert_eq!(document["tables"][0]["primary-key"][0], "id");
        }
    }
}

#[test]
fn options_of_standard_input_are_checked_without_reading_it() {
    for (lines, message) in [
        ("", "the format of standard input"),
        (
            "  format: parquet\n",
            "Parquet can not be read from standard input",
        ),
    ] {
        let pipeline = PIPELINE.replace("  path: orders.json\n", &format!("  path: '-'\n{lines}"));
        let place = Place::with(&pipeline, ("x", ""));
        Feeding::start(&place, &["validate", "pipeline.yaml"])
            .end_by_itself()
            .expect(2)
            .says(&[message, "help:"]);
    }
    let pipeline = PIPELINE.replace(
        "  path: orders.json\n  table: orders\n",
        "  path: '-'\n  format: csv\n",
    );
    let place = Place::with(&pipeline, ("x", ""));
    Feeding::start(&place, &["explain", "pipeline.yaml"])
        .end_by_itself()
        .expect(2)
        .says(&["the table has no name", "help:"]);
}

#[test]
fn the_component_describes_itself_and_asks_for_nothing_beyond_its_world() {
    let place = Place::new();
    let described = place.longshore(&["component", "describe"]).expect(0);
    assert!(
        described.stdout.starts_with("maxcompute "),
        "{described:#?}"
    );
    assert!(described.stdout.contains("compress.algorithm"));
    let imports = place.longshore(&["component", "imports"]).expect(0);
    assert!(
        imports.stdout.contains("longshore:sink/signer@0.1.0"),
        "{imports:#?}"
    );
    for forbidden in ["wasi:cli", "wasi:filesystem", "wasi:sockets"] {
        assert!(!imports.stdout.contains(forbidden), "{imports:#?}");
    }
}

#[test]
fn a_component_that_is_none_is_refused() {
    let place = Place::new();
    place.write("x.wasm", "not wasm");
    let ended = place
        .longshore(&["component", "describe", "--component", "x.wasm"])
        .expect(2);
    ended.says(&["x.wasm", "not a WebAssembly component"]);
}

#[test]
fn rules_of_transform_are_held_against_the_input() {
    let rows = ("orders.json", "{\"id\": 1, \"amount\": 5}\n");
    let pipeline = |rule: &str| {
        format!(
            "{PIPELINE}transform:\n  - source-table: orders\n    {rule}\npipeline:\n  local-time-zone: Asia/Shanghai\n"
        )
    };
    let right = pipeline("projection: \\*, amount * 2 AS twice\n    partition-keys: twice");
    let place = Place::with(&right, rows);
    place.longshore(&["validate", "pipeline.yaml"]).expect(0);
    let explained = place.longshore(&["explain", "pipeline.yaml"]).expect(0);
    for text in ["1 rule(s), times in Asia/Shanghai", "twice"] {
        assert!(
            explained.stdout.contains(text),
            "{text:?} is missing in {explained:#?}"
        );
    }

    let place = Place::with(&pipeline("filter: amuont > 3"), rows);
    let ended = place.longshore(&["validate", "pipeline.yaml"]).expect(2);
    assert!(
        ended.stderr.contains("transform rule 1, filter: column `amuont` of table orders does not exist; did you mean `amount`?"),
        "{ended:#?}"
    );
}

#[test]
fn the_memory_budget_is_shared_out_to_the_writers() {
    let row = ("orders.json", "{\"id\": 1}\n");
    let buffers = |block: &str| {
        let place = Place::with(&format!("{PIPELINE}pipeline:\n{block}"), row);
        let ended = place
            .longshore(&["explain", "pipeline.yaml", "--output", "json"])
            .expect(0);
        let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let options = document["sink"]["options"].as_array().unwrap().clone();
        let mut options = options.into_iter();
        let found = options.find(|option| option["name"] == "total.buffer-size");
        (
            found.as_ref().unwrap()["value"].clone(),
            found.unwrap()["origin"].clone(),
        )
    };
    // A few writers have room for the usual buffers, many have less each.
    assert_eq!(
        buffers("  parallelism: 3\n"),
        ("64mb".into(), "default".into())
    );
    let shared = "memory-budget".into();
    assert_eq!(
        buffers("  parallelism: 16\n"),
        ((10 << 20).to_string().into(), shared)
    );
    for (sink, block, needed) in [
        ("", "  parallelism: 4\n  memory-budget: 100mb\n", "164 MiB"),
        (
            "  totalBatchSize: 256mb\n",
            "  memory-budget: 300mb\n",
            "368 MiB",
        ),
    ] {
        let pipeline = PIPELINE.replace("route:", &format!("{sink}route:"));
        let place = Place::with(&format!("{pipeline}pipeline:\n{block}"), row);
        let ended = place.longshore(&["validate", "pipeline.yaml"]).expect(2);
        for text in ["`memory-budget` is less", "pipeline.yaml:", needed] {
            assert!(ended.stderr.contains(text), "{text:?} in {ended:#?}");
        }
    }
}
