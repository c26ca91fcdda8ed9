//! Commands that contact nothing.

use crate::support::Place;

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
