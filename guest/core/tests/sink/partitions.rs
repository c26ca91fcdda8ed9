//! Partitions: fixed, by column, by time, mixed; moves between them; how many there may be.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int8Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use longshore_core::contract::TableDecl;
use longshore_core::error::ErrorClass;

use crate::driver::{Driver, declaration, rows, schema_message};
use crate::service::Service;

/// 2018-09-05T20:00:00Z, which is the next day in Shanghai.
const EVENING: i64 = 1_536_177_600_000;
const HOUR: i64 = 3_600_000;

/// (op, id, name, ts)
type Event = (i8, i64, &'static str, Option<i64>);

fn schema(zone: Option<&str>) -> Arc<Schema> {
    let ts = DataType::Timestamp(TimeUnit::Millisecond, zone.map(Arc::from));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("ts", ts, true),
    ]))
}

fn events(events: &[Event], zone: Option<&str>) -> RecordBatch {
    let mut fields: Vec<_> = schema(zone).fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("__op", DataType::Int8, false)));
    let ts = TimestampMillisecondArray::from_iter(events.iter().map(|e| e.3));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(events.iter().map(|e| e.1))),
        Arc::new(StringArray::from_iter_values(events.iter().map(|e| e.2))),
        Arc::new(ts.with_timezone_opt(zone)),
        Arc::new(Int8Array::from_iter_values(events.iter().map(|e| e.0))),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn of_events(table: &str, zone: Option<&str>, key: &[&str]) -> TableDecl {
    TableDecl {
        arrow_schema: schema_message(&schema(zone)),
        ..declaration(table, false, key)
    }
}

const BY_DAY: &str = "dt=date_format(ts,'yyyy-MM-dd')";

#[test]
fn instants_choose_the_day_of_the_zone_and_wall_clocks_their_own() {
    for (zone, time_zone, day) in [
        (Some("UTC"), "Asia/Shanghai", "2018-09-06"),
        (Some("UTC"), "UTC", "2018-09-05"),
        (Some("America/New_York"), "+05:30", "2018-09-06"),
        (None, "Asia/Shanghai", "2018-09-05"),
    ] {
        let mut d = Driver::new(
            Service::new(),
            &[("partition", BY_DAY), ("partition.time-zone", time_zone)],
        );
        let t = d.declare(of_events("t", zone, &[])).unwrap();
        let created = &d.service.statements[0];
        assert!(
            created.contains("`ts` TIMESTAMP") && created.contains("PARTITIONED BY (`dt` STRING)"),
            "{created}"
        );
        let batch = events(&[(0, 1, "a", Some(EVENING)), (0, 2, "b", None)], zone);
        d.write_batch(t, &batch).unwrap();
        assert_eq!(d.checkpoint(), 2);
        let in_day = format!("dt={day}");
        let expected = [
            (in_day.as_str(), 1, "a"),
            ("dt=__DEFAULT_PARTITION__", 2, "b"),
        ];
        let mut expected = rows(&expected);
        expected.sort();
        assert_eq!(d.appended("t"), expected, "{zone:?} {time_zone}");
    }
}

#[test]
fn an_update_that_moves_to_another_day_deletes_the_old_row_and_one_within_a_day_does_not() {
    let mut d = Driver::new(
        Service::new(),
        &[("partition", BY_DAY), ("buckets-num", "3")],
    );
    let zone = Some("UTC");
    let t = d.declare(of_events("d", zone, &["id"])).unwrap();
    let inserts: Vec<Event> = (1..=4).map(|id| (0, id, "old", Some(EVENING))).collect();
    d.write_batch(t, &events(&inserts, zone)).unwrap();
    d.checkpoint();
    let updates = [
        (1, 1, "old", Some(EVENING)),
        (2, 1, "same day", Some(EVENING + HOUR)),
        (1, 2, "old", Some(EVENING)),
        (2, 2, "next day", Some(EVENING + 5 * HOUR)),
        (1, 3, "old", Some(EVENING)),
        (2, 3, "no time", None),
        (3, 4, "old", Some(EVENING)),
    ];
    d.write_batch(t, &events(&updates, zone)).unwrap();
    d.checkpoint();
    let mut expected = rows(&[
        ("dt=2018-09-05", 1, "same day"),
        ("dt=2018-09-06", 2, "next day"),
        ("dt=__DEFAULT_PARTITION__", 3, "no time"),
    ]);
    expected.sort();
    assert_eq!(d.keyed("d"), expected);
    assert_eq!(d.metric("rows_written_total", "key-move"), 2.0);
}

#[test]
fn null_and_empty_are_one_partition() {
    let service = Service::new().with_table("dp", true, Some(4));
    let mut d = Driver::new(service, &[]);
    let t = d.declare(declaration("dp", true, &["id"])).unwrap();
    d.write(t, true, &[(0, 1, Some("a"), None)]).unwrap();
    d.checkpoint();
    d.write(
        t,
        true,
        &[(1, 1, Some("a"), None), (2, 1, Some("b"), Some(""))],
    )
    .unwrap();
    d.checkpoint();
    assert_eq!(d.keyed("dp"), rows(&[("pt=__DEFAULT_PARTITION__", 1, "b")]));
}

#[test]
fn fixed_columns_and_times_mix() {
    let mut d = Driver::new(
        Service::new(),
        &[(
            "sink.partition",
            "env=prod, name, who=column(name), hh=date_format(ts,'HH')",
        )],
    );
    let t = d.declare(of_events("t", None, &[])).unwrap();
    let created = &d.service.statements[0];
    assert!(
        created.contains("PARTITIONED BY (`env` STRING, `name` STRING, `who` STRING, `hh` STRING)")
            && created.matches("`name`").count() == 1,
        "{created}"
    );
    // The service's decoder takes the second column for a name.
    let batch = events(&[(0, 1, "ann", None)], None);
    d.write_batch(t, &batch).unwrap();
    let items = d.prepare().unwrap();
    assert_eq!(items.len(), 1);
    assert!(
        String::from_utf8_lossy(&items[0].payload)
            .contains("env=prod,name=ann,who=ann,hh=__DEFAULT_PARTITION__"),
        "{items:?}"
    );

    let mut d = Driver::new(
        Service::new(),
        &[(
            "partition",
            "env=prod, who=column(name), hh=date_format(ts,'HH')",
        )],
    );
    let t = d.declare(of_events("t", None, &[])).unwrap();
    d.write_batch(t, &events(&[(0, 1, "ann", Some(EVENING))], None))
        .unwrap();
    d.checkpoint();
    assert_eq!(
        d.appended("t"),
        rows(&[("env=prod,who=ann,hh=20", 1, "ann")])
    );
}

#[test]
fn columns_named_by_the_declaration_follow_those_of_the_option() {
    let mut d = Driver::new(Service::new(), &[("partition", "ds=20180905")]);
    let t = d.declare(declaration("t", true, &[])).unwrap();
    d.write(t, true, &[(0, 1, Some("a"), Some("x"))]).unwrap();
    d.checkpoint();
    assert_eq!(d.appended("t"), rows(&[("ds=20180905,pt=x", 1, "a")]));
}

#[test]
fn what_does_not_fit_an_existing_table_is_told() {
    for (partition, message) in [
        ("ds=1", "partitioned by `pt`"),
        ("pt=date_format(nowhere,'yyyy')", "reads column `nowhere`"),
        ("pt=date_format(name,'yyyy')", "a timestamp or a date"),
        ("pt=a,hh=1", "`hh` does not exist"),
        ("pt=a,name=x", "`name` is a data column"),
    ] {
        let service = Service::new().with_table("t", true, None);
        let mut d = Driver::new(service, &[("partition", partition)]);
        let error = d.declare(declaration("t", false, &[])).unwrap_err();
        assert_eq!(error.class, ErrorClass::Schema, "{error}");
        assert!(error.message.contains(message), "{partition}: {error}");
    }
    let mut service = Service::new().with_table("t", true, None);
    service.tables.get_mut("t").unwrap().partition_columns[0].1 = "int".into();
    let mut d = Driver::new(service, &[("partition", "pt=abc")]);
    let error = d.declare(declaration("t", false, &[])).unwrap_err();
    assert!(
        error.message.contains("`abc` is not a value of type INT"),
        "{error}"
    );
}

#[test]
fn a_partition_column_has_one_spelling_of_each_value() {
    let mut service = Service::new().with_table("t", true, None);
    service.tables.get_mut("t").unwrap().partition_columns[0].1 = "int".into();
    service
        .tables
        .get_mut("t")
        .unwrap()
        .columns
        .push(("ts".into(), "timestamp_ntz".into(), true));
    let mut d = Driver::new(service, &[("partition", "pt=date_format(ts,'HH')")]);
    let t = d.declare(of_events("t", None, &[])).unwrap();
    let morning = EVENING + 13 * HOUR;
    d.write_batch(t, &events(&[(0, 1, "a", Some(morning))], None))
        .unwrap();
    // The default partition is no number.
    let error = d
        .write_batch(t, &events(&[(0, 2, "b", None)], None))
        .unwrap_err();
    assert!(
        error.bad_rows[0].reason.contains("__DEFAULT_PARTITION__"),
        "{error}"
    );
    d.checkpoint();
    assert_eq!(d.appended("t"), rows(&[("pt=9", 1, "a")]));
}

#[test]
fn more_partitions_than_allowed_end_the_run_and_are_named() {
    for option in [
        "dynamic-partition.limit",
        "dynamicPartitionLimit",
        "sink.dynamic-partition.limit",
    ] {
        let service = Service::new().with_table("pt", true, None);
        let mut d = Driver::new(service, &[(option, "2"), ("on-bad-value", "dead-letter")]);
        let t = d.declare(declaration("pt", true, &[])).unwrap();
        d.write(t, true, &[(0, 1, None, Some("a")), (0, 2, None, Some("b"))])
            .unwrap();
        d.checkpoint();
        d.write(t, true, &[(0, 3, None, Some("c")), (0, 4, None, Some("a"))])
            .unwrap();
        let error = d.write(t, true, &[(0, 5, None, Some("d"))]).unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        for part in [
            "too many dynamic partitions: 2",
            "pt=a",
            "pt=c",
            "pt=d",
            "dynamic-partition.limit",
        ] {
            assert!(error.message.contains(part), "{part}: {error}");
        }
    }
}
