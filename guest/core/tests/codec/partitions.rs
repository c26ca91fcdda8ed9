//! Partition texts, values that are none, and the partitions of rows.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, DictionaryArray, Int32Array, StringArray, types::Int8Type,
};
use longshore_core::partition::{PartitionReader, PartitionSource, PartitionSpec};
use longshore_core::schema::Column;

use crate::support::batch;

#[test]
fn both_texts() {
    let spec = PartitionSpec::parse("pt=20240615, hh='01'").unwrap();
    assert_eq!(spec.tunnel_text(), "pt=20240615,hh=01");
    assert_eq!(spec.rest_text(), "pt='20240615',hh='01'");
    assert_eq!(
        PartitionSpec::parse("pt=杭州/hh=01").unwrap().tunnel_text(),
        "pt=杭州,hh=01"
    );
    assert!(PartitionSpec::parse("").unwrap().is_empty());
    assert_eq!(PartitionSpec::parse(&spec.rest_text()).unwrap(), spec);
}

#[test]
fn values_no_partition_can_have() {
    for value in [
        "", "a=b", "a,b", "a/b", "it's", "\"", "a\\b", "a\nb", " a", "a ", "`",
    ] {
        let error = PartitionSpec::new(vec![("pt".to_owned(), value.to_owned())]).unwrap_err();
        assert!(error.to_string().contains("pt="), "{error}");
    }
    for text in ["pt", "=a", "pt=", "pt=a,"] {
        assert!(PartitionSpec::parse(text).is_err(), "{text}");
    }
}

fn reader(types: &[&str]) -> PartitionReader {
    let column = |(i, ty): (usize, &&str)| {
        let column = Column::new(format!("p{i}"), ty.parse().unwrap());
        (column, PartitionSource::Column(i))
    };
    PartitionReader::new(types.iter().enumerate().map(column).collect()).unwrap()
}

#[test]
fn partitions_of_rows() {
    let cities: DictionaryArray<Int8Type> = [Some("杭州"), Some("a b"), None].into_iter().collect();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from(vec![19_889, -719_162, 0])),
        Arc::new(Int32Array::from(vec![-5, 0, 1])),
        Arc::new(cities),
    ];
    let batch = batch(3, arrays);
    let reader = reader(&["date", "bigint", "string"]);
    let bound = reader.bind(&batch).unwrap();
    let mut text = String::new();
    bound.tunnel_text(0, &mut text).unwrap();
    assert_eq!(text, "p0=2024-06-15,p1=-5,p2=杭州");
    bound.tunnel_text(1, &mut text).unwrap();
    assert_eq!(text, "p0=0001-01-01,p1=0,p2=a b");
    assert_eq!(bound.spec(1).unwrap().tunnel_text(), text);
    let error = bound.tunnel_text(2, &mut text).unwrap_err();
    assert_eq!(error.column, "p2");
}

#[test]
fn a_value_of_a_row_that_is_no_partition_is_named() {
    let batch = batch(
        2,
        vec![Arc::new(StringArray::from(vec!["a/b", ""])) as ArrayRef],
    );
    let reader = reader(&["string"]);
    let bound = reader.bind(&batch).unwrap();
    let error = bound.tunnel_text(0, &mut String::new()).unwrap_err();
    assert!(error.reason.contains("a/b"), "{error}");
    assert!(bound.spec(1).unwrap_err().reason.contains("empty"));
}

#[test]
fn types_no_partition_column_has() {
    for ty in [
        "double",
        "timestamp",
        "json",
        "array<int>",
        "decimal(10,2)",
        "boolean",
    ] {
        let column = Column::new("p", ty.parse().unwrap());
        let columns = vec![(column, PartitionSource::Column(0))];
        assert!(PartitionReader::new(columns).is_err(), "{ty}");
    }
}
