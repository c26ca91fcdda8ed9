//! Metrics and traces of a run.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::support::{Feeding, Place, Shared};

fn pipeline(path: &str, sink: &str) -> String {
    format!(
        "source:\n  type: file\n  path: '{path}'\n  format: json\n  table: orders\n  primary-key: id\nsink:\n  \
         type: maxcompute\n  {sink}\npipeline:\n  name: orders\n"
    )
}

/// What a server answers to `GET path`: status line and body.
fn get(authority: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(authority).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn a_run_shows_its_metrics_while_it_goes_on() {
    let place = Place::new();
    place.write("pipeline.yaml", &pipeline("-", "endpoint: local"));
    let arguments = ["run", "pipeline.yaml", "--metrics", "127.0.0.1:0"];
    let mut run = Feeding::start(&place, &arguments);
    let line = run.wait_for("metrics at http://");
    let (_, url) = line.trim_end().split_once("http://").unwrap();
    let authority = url.strip_suffix("/metrics").unwrap();
    run.feed("{\"id\": 1}\n{\"id\": 2}\n");

    let wanted = [
        "longshore_rows_read_total{table=\"orders\"} 2",
        "longshore_sink_buffered_bytes{sink_instance=\"writer 0\"} ",
        "longshore_sink_open_sessions{sink_instance=\"writer 0\"} ",
        "longshore_http_requests_total{sink_instance=\"writer 0\"} ",
    ];
    let until = Instant::now() + Duration::from_secs(50);
    let text = loop {
        let (status, text) = get(authority, "/metrics");
        assert_eq!(status, "HTTP/1.1 200 OK");
        let there = |wanted: &&str| text.lines().any(|line| line.starts_with(wanted));
        if wanted.iter().all(there) {
            break text;
        }
        assert!(Instant::now() < until, "{text}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(text.ends_with("# EOF\n"), "{text}");
    // Every family of the host is there from the start, with a help text.
    for name in [
        "bytes_read",
        "rows_visible",
        "rows_skipped",
        "dead_letters",
        "retries",
        "restarts",
        "checkpoints",
        "commits",
        "checkpoint_seconds",
        "flush_seconds",
        "commit_seconds",
        "last_checkpoint_timestamp_seconds",
        "http_sent_bytes",
    ] {
        let help = format!("# HELP longshore_{name} ");
        assert!(text.contains(&help), "{help} is missing in {text}");
    }
    let (status, _) = get(authority, "/");
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    run.end().expect(0);
    assert_eq!(place.tables(), [("orders".to_owned(), 2)]);
}

#[test]
fn an_address_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = pipeline("orders.json", "endpoint: local") + &format!("  metrics: {address}\n");
    Place::with(&text, ("orders.json", "{\"id\": 1}\n"))
        .run()
        .expect(2)
        .says(&[&format!("metrics can not be shown at {address}"), "help:"]);
}

/// Takes what is sent by OTLP over HTTP, in the order of arrival.
struct Collector {
    address: String,
    requests: mpsc::Receiver<(String, Vec<u8>)>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let sender = sender.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &sender));
            }
        });
        Self { address, requests }
    }

    /// Every span that has arrived, with the paths it was sent to.
    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for (path, body) in self.requests.try_iter() {
            assert_eq!(path, "/v1/traces");
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            for resource in request.resource_spans {
                let service = resource.resource.unwrap().attributes;
                let service = service.iter().find(|pair| pair.key == "service.name");
                assert!(format!("{service:?}").contains("longshore"), "{service:?}");
                for scope in resource.scope_spans {
                    spans.extend(scope.spans);
                }
            }
        }
        spans
    }
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, requests: &mpsc::Sender<(String, Vec<u8>)>) {
    let mut answers = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let path = first.split(' ').nth(1).unwrap().to_owned();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        requests.send((path, body)).unwrap();
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
        answers.write_all(answer.as_bytes()).unwrap();
    }
}

fn attributes(span: &Span) -> HashMap<&str, String> {
    span.attributes
        .iter()
        .map(|pair| (pair.key.as_str(), format!("{:?}", pair.value)))
        .collect()
}

#[test]
fn spans_of_a_run_reach_a_collector() {
    let shared = Shared::start();
    for by_variable in [false, true] {
        let collector = Collector::start();
        let url = format!("http://{}", collector.address);
        let sink = shared.options(Shared::OWNER);
        let place = Place::with(
            &pipeline("orders.json", &sink),
            ("orders.json", "{\"id\": 1}\n{\"id\": 2}\n"),
        );
        let mut command = place.command(&["run", "pipeline.yaml"]);
        if by_variable {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
        } else {
            command.args(["--otlp", &url]);
        }
        crate::support::Ended::of(command.output().unwrap()).expect(0);

        let spans = collector.spans();
        let one = |name: &str| {
            let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
            assert_eq!(found.len(), 1, "{name}: {spans:#?}");
            found[0]
        };
        let (run, checkpoint) = (one("run"), one("checkpoint"));
        let (prepare, commit) = (one("prepare"), one("commit"));
        assert!(run.parent_span_id.is_empty());
        for (child, parent) in [
            (checkpoint, run),
            (prepare, checkpoint),
            (commit, checkpoint),
        ] {
            assert_eq!(child.parent_span_id, parent.span_id, "{child:#?}");
            assert_eq!(child.trace_id, run.trace_id);
        }
        let requests: Vec<&Span> = spans
            .iter()
            .filter(|span| attributes(span).contains_key("url.path"))
            .collect();
        for parent in [prepare, commit] {
            let sent = requests
                .iter()
                .any(|request| request.parent_span_id == parent.span_id);
            assert!(sent, "{} sent no request: {spans:#?}", parent.name);
        }
        for request in requests {
            let attributes = attributes(request);
            assert!(
                ["GET", "POST", "PUT", "DELETE"].contains(&request.name.as_str()),
                "{request:#?}"
            );
            assert!(attributes.contains_key("http.response.status_code"));
            let path = &attributes["url.path"];
            assert!(path.contains("/projects/shop"), "{path}");
            let all = format!("{request:?}");
            assert!(
                !all.contains(Shared::OWNER.1) && !all.contains("upsertid"),
                "{all}"
            );
        }
    }
}

#[test]
fn a_collector_that_is_away_does_not_end_the_run() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let place = Place::with(
        &pipeline("orders.json", "endpoint: local"),
        ("orders.json", "{\"id\": 1}\n"),
    );
    let url = format!("http://{address}");
    place
        .longshore(&["run", "pipeline.yaml", "--otlp", &url])
        .expect(0)
        .says(&["traces do not reach their collector"]);
    place
        .longshore(&["run", "pipeline.yaml", "--otlp", "collector"])
        .expect(2)
        .says(&["traces can not be sent", "help:"]);
}

#[test]
fn a_run_whose_output_goes_to_a_pipe_shows_no_progress() {
    let place = Place::with(
        &pipeline("orders.json", "endpoint: local"),
        ("orders.json", "{\"id\": 1}\n"),
    );
    let run = place.run().expect(0);
    let progress = |text: &str| text.contains('\r') || text.contains('\x1b');
    assert!(!progress(&run.stderr) && !progress(&run.stdout), "{run:#?}");
    assert!(!run.stderr.contains("rows read ("), "{run:#?}");
}
