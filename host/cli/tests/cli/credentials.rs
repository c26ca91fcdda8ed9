//! Where the sink's key comes from, against a server that checks every signature.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Feeding, Place, Shared};

const KEY: (&str, &str) = ("temporary", "temporary-secret");

/// A pipeline into a server, with these further lines of the sink.
fn pipeline(path: &str, shared: &Shared, keys: &str) -> String {
    format!(
        "source:\n  type: file\n  path: '{path}'\n  format: json\n  table: orders\nsink:\n  type: maxcompute\n  \
         endpoint: {}\n  project: shop\n{keys}pipeline:\n  name: orders\n",
        shared.endpoint()
    )
}

fn place(shared: &Shared, keys: &str) -> Place {
    Place::with(
        &pipeline("orders.json", shared, keys),
        ("orders.json", "{\"id\": 1}\n{\"id\": 2}\n"),
    )
}

fn key_document(token: &str, rest: &str) -> String {
    format!(
        "{{\"AccessKeyId\": \"{}\", \"AccessKeySecret\": \"{}\", \"SecurityToken\": \"{token}\"{rest}}}",
        KEY.0, KEY.1
    )
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_run_is_renewed() {
    let shared = Shared::start();
    shared.accept_token(KEY, "token-1");
    // Counts its runs, and hands out another token each time.
    let script = format!(
        "n=$(($(cat runs 2>/dev/null || echo 0) + 1)); echo $n > runs; echo '{}' | sed s/NUMBER/$n/",
        key_document("token-NUMBER", "")
    );
    let place = Place::new();
    place.write("keys.sh", &script);
    place.write(
        "pipeline.yaml",
        &pipeline("-", &shared, "  credentials.command: sh keys.sh\n"),
    );
    let mut run = Feeding::start(&place, &["run", "pipeline.yaml"]);
    run.feed("{\"id\": 1}\n");
    shared.wait_for_table("orders");
    shared.accept_token(KEY, "token-2");
    run.feed("{\"id\": 2}\n");
    let ended = run.end().expect(0);
    for secret in [KEY.1, "token-1", "token-2"] {
        assert!(
            !ended.stderr.contains(secret) && !ended.stdout.contains(secret),
            "{ended:#?}"
        );
    }
    let runs = std::fs::read_to_string(place.path().join("runs")).unwrap();
    assert_eq!(runs.trim(), "2");
    assert_eq!(shared.tables(), [("orders".to_owned(), 2)]);
}

#[test]
fn a_file_with_a_key_is_read_from_beside_the_definition() {
    let shared = Shared::start();
    shared.accept_token(KEY, "token");
    let place = place(&shared, "  credentials.file: keys/sts.json\n");
    std::fs::create_dir(place.path().join("keys")).unwrap();
    let file = place.write(
        "keys/sts.json",
        &key_document("token", ", \"Expiration\": \"2999-01-01T00:00:00Z\""),
    );
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    place.run().expect(0);
    assert_eq!(shared.tables(), [("orders".to_owned(), 2)]);
}

#[test]
fn a_bearer_token_takes_the_place_of_a_signature() {
    for (keys, wrong) in [
        ("  bearer-token: ${TOKEN}\n", false),
        ("  bearer-token.file: token\n", false),
        ("  bearer-token: another\n", true),
    ] {
        let shared = Shared::start_with(vec!["let-me-in".into()]);
        let place = place(&shared, keys);
        place.write("token", "let-me-in\n");
        let run = place
            .command(&["run", "pipeline.yaml"])
            .env("TOKEN", "let-me-in")
            .output()
            .unwrap();
        let ended = crate::support::Ended::of(run);
        if wrong {
            ended.fails(5, &["token"]);
        } else {
            ended.expect(0);
            assert_eq!(shared.tables(), [("orders".to_owned(), 2)], "{keys}");
        }
    }
}

#[test]
fn the_environment_is_asked_under_the_names_of_the_official_tools() {
    for (id, key, token) in [
        (
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
            "ALIBABA_CLOUD_SECURITY_TOKEN",
        ),
        ("ODPS_ACCESS_ID", "ODPS_ACCESS_KEY", "ODPS_STS_TOKEN"),
    ] {
        let shared = Shared::start();
        shared.accept_token(KEY, "token");
        let place = place(&shared, "");
        let with_variables = |args: &[&str]| {
            let mut command = place.command(args);
            command.env(id, KEY.0).env(key, KEY.1).env(token, "token");
            crate::support::Ended::of(command.output().unwrap()).expect(0)
        };
        with_variables(&["run", "pipeline.yaml"]);
        let explained = with_variables(&["explain", "pipeline.yaml"]);
        assert!(
            explained.stdout.contains(&format!("environment {id}")),
            "{explained:#?}"
        );
        assert!(!explained.stdout.contains(KEY.1), "{explained:#?}");
        assert_eq!(shared.tables(), [("orders".to_owned(), 2)]);
    }
}

#[test]
fn a_source_of_keys_that_fails_is_told_without_its_output() {
    let shared = Shared::start();
    for (keys, why) in [
        (
            "  credentials.command: echo hush-hush; echo the vault is sealed >&2; exit 3\n",
            "the vault is sealed",
        ),
        ("  credentials.command: echo hush-hush\n", "not the JSON"),
        (
            "  credentials.file: nowhere.json\n",
            "nowhere.json can not be read",
        ),
        ("  bearer-token.file: empty\n", "holds no token"),
    ] {
        let place = place(&shared, keys);
        place.write("empty", "\n");
        let ended = place.run().expect(5).says(&[why, "\n help: "]);
        assert!(!ended.stderr.contains("hush-hush"), "{ended:#?}");
        place.longshore(&["validate", "pipeline.yaml"]).expect(0);
    }
}

#[test]
fn two_sources_of_keys_are_one_too_many() {
    let shared = Shared::start();
    for keys in [
        "  access-id: a\n  access-key: b\n  credentials.command: 'true'\n",
        "  credentials.file: a\n  bearer-token: b\n",
    ] {
        place(&shared, keys)
            .longshore(&["validate", "pipeline.yaml"])
            .fails(2, &["both say where the key comes from", "keep one"]);
    }
}
