//! Components as `cargo xtask` makes them, run by the host library: the SDK's HTTP client against
//! servers of every temper, and the MaxCompute component as far as it goes without a service.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use longshore_runtime::contract::{ErrorClass, SinkError, TableDecl, TablePath};
use longshore_runtime::{
    CallError, Component, Credential, Credentials, EgressPolicy, Engine, EngineConfig,
    InstanceConfig,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MEBIBYTE: usize = 1 << 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The SDK's example, built and encoded the way its documentation tells third parties to.
fn probe() -> &'static Component {
    static PROBE: OnceLock<Component> = OnceLock::new();
    PROBE.get_or_init(|| {
        let build = Command::new(env!("CARGO"))
            .current_dir(root())
            .args([
                "build",
                "--quiet",
                "--package",
                "longshore-sdk",
                "--example",
                "http_probe",
            ])
            .args(["--profile", "component", "--target", "wasm32-wasip1"])
            .status()
            .unwrap();
        assert!(
            build.success(),
            "the example did not build; `cargo xtask setup` installs the target"
        );
        let output = target().join("component/http-probe.wasm");
        let encode = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .arg("encode")
            .arg(target().join("wasm32-wasip1/component/examples/http_probe.wasm"))
            .arg("--output")
            .arg(&output)
            .status()
            .unwrap();
        assert!(encode.success());
        load(&output)
    })
}

fn maxcompute() -> &'static Component {
    static MAXCOMPUTE: OnceLock<Component> = OnceLock::new();
    MAXCOMPUTE.get_or_init(|| {
        let path = std::env::var_os("LONGSHORE_COMPONENT").map_or_else(
            || target().join("component/longshore-maxcompute.wasm"),
            PathBuf::from,
        );
        assert!(
            path.is_file(),
            "there is no component at {}; build it with `cargo xtask component`",
            path.display()
        );
        load(&path)
    })
}

fn load(path: &Path) -> Component {
    let engine = Engine::new(EngineConfig::default()).unwrap();
    engine.load(&std::fs::read(path).unwrap()).unwrap()
}

fn pairs(options: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    options.iter().map(owned).collect()
}

/// Runs the probe and returns its counters as `what count` lines.
async fn probe_server(authority: &str, requests: usize, bytes: usize, allow: bool) -> Vec<String> {
    let rules: Vec<String> = allow
        .then(|| format!("http://{authority}"))
        .into_iter()
        .collect();
    let config = InstanceConfig {
        egress: EgressPolicy::allowing(rules).unwrap(),
        ..InstanceConfig::default()
    };
    let mut sink = probe().instantiate(config).await.unwrap();
    let options = pairs(&[
        ("authority", authority),
        ("requests", &requests.to_string()),
        ("bytes", &bytes.to_string()),
        ("timeout", "200"),
    ]);
    sink.open_writer(&options, 0, 1, None).await.unwrap();
    sink.flush().await.unwrap();
    let metrics = sink.metrics().await.unwrap();
    metrics
        .iter()
        .map(|metric| format!("{} {}", metric.labels[0].1, metric.value))
        .collect()
}

/// Serves each connection with `answer` until the test ends.
async fn server<F, A>(answer: F) -> String
where
    F: Fn(TcpStream) -> A + Send + 'static,
    A: Future<Output = Option<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    authority
}

/// Reads a request's head and returns the announced length of its body.
async fn read_head(stream: &mut TcpStream) -> Option<u64> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))?;
    length.trim().parse().ok()
}

async fn read_body(stream: &mut TcpStream, length: u64) -> Option<()> {
    let mut body = stream.take(length);
    (tokio::io::copy(&mut body, &mut tokio::io::sink())
        .await
        .ok()?
        == length)
        .then_some(())
}

async fn write(stream: &mut TcpStream, answer: &str) -> Option<()> {
    stream.write_all(answer.as_bytes()).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_in_flight_together_and_bodies_arrive_whole() {
    const REQUESTS: usize = 6;
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(REQUESTS));
    let authority = server(move |mut stream| {
        let barrier = std::sync::Arc::clone(&barrier);
        async move {
            let length = read_head(&mut stream).await?;
            // Nobody is answered before all have asked.
            barrier.wait().await;
            read_body(&mut stream, length).await?;
            let status = if length == 3 * MEBIBYTE as u64 {
                "200 OK"
            } else {
                "400 Bad"
            };
            write(
                &mut stream,
                &format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok"),
            )
            .await
        }
    })
    .await;
    assert_eq!(
        probe_server(&authority, REQUESTS, 3 * MEBIBYTE, true).await,
        ["200 6"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_before_the_body_is_read_is_that_answer() {
    for status in [308, 403, 429, 503] {
        let authority = server(move |mut stream| async move {
            read_head(&mut stream).await?;
            write(
                &mut stream,
                &format!("HTTP/1.1 {status} No\r\ncontent-length: 3\r\n\r\nwhy"),
            )
            .await
        })
        .await;
        let outcome = probe_server(&authority, 3, 8 * MEBIBYTE, true).await;
        assert_eq!(outcome, [format!("{status} 3")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_apart() {
    let silent = server(|mut stream| async move {
        let length = read_head(&mut stream).await?;
        read_body(&mut stream, length).await?;
        std::future::pending().await
    })
    .await;
    let waiting = "timeout while waiting for the answer 2";
    assert_eq!(probe_server(&silent, 2, 10, true).await, [waiting]);

    let rude = server(|mut stream| async move {
        read_head(&mut stream).await?;
        write(
            &mut stream,
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        )
        .await
    })
    .await;
    let broken = probe_server(&rude, 1, 0, true).await;
    assert_eq!(broken, ["the answer broke off: connection terminated 1"]);

    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    assert_eq!(
        probe_server(&closed, 1, 10, true).await,
        ["connection refused 1"]
    );

    let denied = "the host's egress policy does not allow this target 1";
    assert_eq!(probe_server(&silent, 1, 10, false).await, [denied]);
}

#[tokio::test]
async fn the_maxcompute_component_describes_itself_without_any_power() {
    let info = maxcompute().describe().await.unwrap();
    assert_eq!(info.name, "maxcompute");
    let endpoint = info
        .options
        .iter()
        .find(|option| option.name == "endpoint")
        .unwrap();
    assert!(endpoint.required && !endpoint.doc.is_empty());
    let secrets = info.options.iter().filter(|option| option.secret).count();
    assert!(secrets > 0, "the access key must be marked secret");

    let errors = maxcompute()
        .validate(&pairs(&[("endpiont", "http://h/api")]))
        .await
        .unwrap()
        .unwrap_err();
    assert!(
        errors
            .iter()
            .any(|error| error.message.contains("endpiont"))
    );
    assert!(
        errors
            .iter()
            .all(|error| error.class == ErrorClass::Permanent)
    );
}

/// Declares a table at `authority` and returns the error that comes back.
async fn declare(authority: &str, allow: bool) -> SinkError {
    let rules: Vec<String> = allow
        .then(|| format!("http://{authority}"))
        .into_iter()
        .collect();
    let config = InstanceConfig {
        egress: EgressPolicy::allowing(rules).unwrap(),
        signer: std::sync::Arc::new(
            Credentials::new().with("default", Credential::new("the-id", "the-key".to_owned())),
        ),
        ..InstanceConfig::default()
    };
    let mut sink = maxcompute().instantiate(config).await.unwrap();
    let endpoint = format!("http://{authority}/api");
    let options = pairs(&[
        ("endpoint", &endpoint),
        ("project", "p"),
        ("access-id", "the-id"),
        ("access-key", "<secret>"),
    ]);
    sink.open_writer(&options, 0, 1, None).await.unwrap();
    let table = TableDecl {
        path: TablePath {
            catalog: None,
            schema: None,
            table: "t".to_owned(),
        },
        arrow_schema: one_column(),
        primary_key: Vec::new(),
        partition_by: Vec::new(),
        schema_version: 0,
    };
    match sink.declare_table(&table).await {
        Err(CallError::Sink(error)) => *error,
        other => panic!("a sink error was expected, not {other:?}"),
    }
}

/// An encapsulated Arrow schema message with one `int64` column `id`.
fn one_column() -> Vec<u8> {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    let writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer.get_ref().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_the_policy_forbids_is_a_permanent_error() {
    let error = declare("127.0.0.1:9", false).await;
    assert_eq!(error.class, ErrorClass::Permanent, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_signed_and_the_services_refusal_reaches_the_host() {
    let (heads, mut received) = tokio::sync::mpsc::unbounded_channel();
    let authority = server(move |mut stream| {
        let heads = heads.clone();
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.ok()?);
            }
            heads.send(String::from_utf8(head).ok()?).ok()?;
            let text = "<Error><Code>ODPS-0410051</Code><Message>Invalid credentials</Message></Error>";
            let head = format!(
                "HTTP/1.1 401 Unauthorized\r\nx-odps-request-id: req-1\r\ncontent-length: {}\r\n\r\n",
                text.len()
            );
            write(&mut stream, &(head + text)).await
        }
    })
    .await;
    let error = declare(&authority, true).await;
    assert_eq!(error.class, ErrorClass::Unauthenticated, "{error:?}");
    assert_eq!(error.request_id.as_deref(), Some("req-1"));
    let head = received.recv().await.unwrap();
    assert!(
        head.to_ascii_lowercase()
            .contains("authorization: odps the-id"),
        "{head}"
    );
}
