use super::*;

fn base() -> Vec<(String, String)> {
    pairs(&[
        ("endpoint", "http://h:1/api"),
        ("project", "p"),
        ("access-id", "i"),
        ("access-key", "<secret>"),
    ])
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn with(list: &[(&str, &str)]) -> Result<Options, Vec<SinkError>> {
    let mut all = base();
    all.extend(pairs(list));
    Options::parse(&all)
}

fn message(result: Result<Options, Vec<SinkError>>) -> String {
    result
        .unwrap_err()
        .iter()
        .map(|e| e.message.clone())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn defaults_are_those_of_the_table() {
    let o = with(&[]).unwrap();
    assert_eq!(
        (o.buckets_num, o.total_buffer, o.bucket_buffer),
        (16, 64 << 20, 4 << 20)
    );
    assert_eq!((o.commit_threads, o.flush_concurrent), (16, 4));
    assert_eq!(o.delete_on_append, DeleteOnAppend::Ignore);
    assert!(o.create_table);
    assert_eq!(o.endpoint.base_path, "/api");
}

#[test]
fn every_spelling_means_the_same() {
    for key in [
        "bucket.buffer-size",
        "bucketBatchSize",
        "upsert.writer.bucket.buffer-size",
    ] {
        assert_eq!(
            with(&[(key, "2 MiB")]).unwrap().bucket_buffer,
            2 << 20,
            "{key}"
        );
    }
    for key in ["retry.initial-delay", "sleepMillis"] {
        assert_eq!(
            with(&[(key, "1000")]).unwrap().retry.initial_delay_ms,
            1000,
            "{key}"
        );
    }
}

#[test]
fn unknown_duplicate_and_bad_values_are_all_told() {
    let text = message(with(&[("bucketSize", "8")]));
    assert!(
        text.contains("unknown option `bucketSize`; did you mean `buckets"),
        "{text}"
    );
    let text = message(with(&[("quotaName", "a"), ("quota.name", "b")]));
    assert!(
        text.contains("given twice, as `quotaName` and as `quota.name`"),
        "{text}"
    );
    let text = message(with(&[("compressAlgorithm", "gzip"), ("buckets-num", "0")]));
    assert!(
        text.contains(
            "`compressAlgorithm` has the value `gzip`; legal is one of raw, zlib, lz4, snappy"
        ),
        "{text}"
    );
    assert!(
        text.contains("`buckets-num` has the value `0`; legal is a whole number from 1 to 4096"),
        "{text}"
    );
    let text = message(Options::parse(&[]));
    assert!(
        text.contains("`endpoint` is required") && text.contains("`project` is required"),
        "{text}"
    );
}

#[test]
fn endpoints() {
    let e = Endpoint::parse("https://service.cn-x.maxcompute.aliyun.com/api/").unwrap();
    assert_eq!((e.scheme, e.base_path.as_str()), (Scheme::Https, "/api"));
    for bad in [
        "h/api",
        "http://",
        "http://u@h/",
        "http://h:x/",
        "http://h/a?b",
    ] {
        assert!(Endpoint::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn no_spelling_is_used_twice_and_defaults_are_legal() {
    let mut seen = std::collections::BTreeSet::new();
    for spec in specs() {
        assert!(!spec.doc.is_empty());
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        assert!(spec.name.chars().all(kebab), "{}", spec.name);
        for name in std::iter::once(&spec.name).chain(&spec.aliases) {
            assert!(seen.insert(name.clone()), "{name} twice");
        }
    }
}
