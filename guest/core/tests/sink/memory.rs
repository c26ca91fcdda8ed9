//! What is held in memory while the service is slow or away: within the budget, whatever there is.

use longshore_core::request::Method;

use crate::driver::{Driver, Row, declaration};
use crate::service::{Fault, Service, error};

const MIB: f64 = 1024.0 * 1024.0;

/// Rows of about 100 bytes, spread over this many partitions.
fn batch(first: i64, rows: i64, partitions: &[&'static str]) -> Vec<Row> {
    let text: &'static str = Box::leak("x".repeat(100).into_boxed_str());
    let row = |id: i64| {
        let partition = partitions.get(id as usize % partitions.len().max(1));
        (0, id, Some(text), partition.copied())
    };
    (first..first + rows).map(row).collect()
}

fn names(count: usize) -> Vec<&'static str> {
    (0..count)
        .map(|i| &*Box::leak(format!("p{i:04}").into_boxed_str()))
        .collect()
}

/// Writes as long as there is credit and lets the clock turn; returns the rows written, and the
/// most bytes that were buffered.
fn fill(d: &mut Driver, table: u32, partitions: &[&'static str]) -> (i64, f64) {
    let (mut written, mut peak) = (0, 0.0);
    for _ in 0..2000 {
        if d.sink.progress(d.clock()).credit.bytes > 0 {
            d.write(
                table,
                !partitions.is_empty(),
                &batch(written, 500, partitions),
            )
            .unwrap();
            written += 500;
        } else {
            // No credit: the host drives, and time passes.
            d.pump();
            d.now += 10;
        }
        peak = f64::max(peak, d.metric("buffered_bytes", ""));
    }
    (written, peak)
}

#[test]
fn an_outage_stops_the_writer_within_its_budget_whatever_the_number_of_partitions() {
    for (table, count) in [("t", 0), ("pt", 1), ("pt", 1500), ("d", 0)] {
        let key: &[&str] = if table == "d" { &["id"] } else { &[] };
        let mut d = Driver::new(
            Service::usual(),
            &[("total.buffer-size", "4mb"), ("retry.max-retries", "1000")],
        );
        let t = d.declare(declaration(table, count > 0, key)).unwrap();
        let partitions = names(count);
        // A first row, so that the service was there once.
        d.write(t, count > 0, &batch(-1, 1, &names(1))).unwrap();
        d.checkpoint();
        for method in [Method::Put, Method::Post, Method::Get] {
            for _ in 0..20_000 {
                d.service.fail(method, "tables", Fault::Refused);
            }
        }
        let (written, peak) = fill(&mut d, t, &partitions);
        assert!(peak <= 4.0 * MIB, "{table} {count}: {peak}");
        assert!(written < 100_000, "{table} {count}: {written}");
        d.service.faults.clear();
        let before = d.now;
        d.checkpoint();
        let took = d.now - before;
        // Each session that waits takes its turn: ten a second by default.
        let limit = 100_000 + 100 * count as u64;
        assert!(took < limit, "{table} {count}: back after {took} ms");
        let arrived = d.appended(table).len() + d.keyed(table).len();
        assert_eq!(arrived as i64, written + 1, "{table} {count}");
        assert_eq!(d.metric("buffered_bytes", ""), 0.0);
    }
}

#[test]
fn rows_kept_until_their_spread_is_known_count_as_buffered() {
    let mut d = Driver::new(
        Service::usual(),
        &[
            ("total.buffer-size", "4mb"),
            ("retry.max-retries", "1000"),
            ("compress.algorithm", "zlib"),
        ],
    );
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    for _ in 0..2_000 {
        d.service
            .fail(Method::Post, "upserts", error(503, "ServiceUnavailable"));
    }
    // Compressed they would hardly count.
    let (written, peak) = fill(&mut d, t, &[]);
    assert!(peak <= 4.0 * MIB, "{peak}");
    assert!(written < 40_000, "{written}");
    d.service.faults.clear();
    d.checkpoint();
    assert_eq!(d.keyed("d").len() as i64, written);
    assert_eq!(d.metric("buffered_bytes", ""), 0.0);
}
