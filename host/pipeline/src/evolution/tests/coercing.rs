use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int8Array, RecordBatch, StringArray};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Schema};
use chrono_tz::Tz;

use super::{field, shape};
use crate::evolution::Coercion;

/// A column of type `ty` from texts, read by Arrow itself.
fn array(ty: &str, values: &[Option<&str>]) -> ArrayRef {
    let texts: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
    let column = field(&format!("c {ty}"));
    match column.data_type() {
        DataType::Binary => arrow_cast::cast(&texts, &DataType::Binary).unwrap(),
        other => {
            let array = arrow_cast::cast(&texts, other).unwrap();
            assert_eq!(array.null_count(), texts.null_count(), "{values:?} as {ty}");
            array
        }
    }
}

/// The value, coerced, as text; or why it can not be.
fn coerced(from: &str, value: &str, to: &str, zone: Option<Tz>) -> Result<String, String> {
    let source = shape(&[&format!("c {from}")]).schema;
    let sink = shape(&[&format!("c {to}")]).schema;
    let column = array(from, &[None, Some(value)]);
    let batch = RecordBatch::try_new(Arc::clone(&source), vec![column]).unwrap();
    let coercion = Coercion::between(&source, &sink, zone)?.expect("types differ");
    let batch = coercion.apply(&batch).map_err(|faults| {
        assert_eq!(
            (faults.len(), faults[0].row, faults[0].column.as_str()),
            (1, 1, "c")
        );
        faults[0].reason.clone()
    })?;
    assert!(batch.column(0).is_null(0));
    assert_eq!(batch.column(0).data_type(), sink.field(0).data_type());
    Ok(array_value_to_string(batch.column(0), 1).unwrap())
}

#[test]
fn values_are_kept_exactly() {
    let shanghai = Some(chrono_tz::Asia::Shanghai);
    for (from, value, to, expected) in [
        ("INT", "-2147483648", "BIGINT", "-2147483648"),
        ("INT", "7", "DECIMAL(12,2)", "7.00"),
        ("DECIMAL(10,2)", "-1.50", "DECIMAL(14,4)", "-1.5000"),
        ("DECIMAL(10,2)", "-1.50", "STRING", "-1.50"),
        ("DOUBLE", "0.1", "STRING", "0.1"),
        ("FLOAT", "0.5", "DOUBLE", "0.5"),
        ("BOOLEAN", "true", "STRING", "true"),
        ("BIGINT", "9007199254740993", "STRING", "9007199254740993"),
        ("DATE", "0001-01-01", "STRING", "0001-01-01"),
        ("BINARY", "é", "STRING", "é"),
        (
            "TIMESTAMP_NTZ(6)",
            "1969-12-31T23:59:59.999999",
            "STRING",
            "1969-12-31 23:59:59.999999",
        ),
        (
            "TIMESTAMP_NTZ(3)",
            "2024-02-29T12:30:00",
            "STRING",
            "2024-02-29 12:30:00",
        ),
        (
            "TIMESTAMP_LTZ(6)",
            "2024-02-29T04:30:00.5Z",
            "STRING",
            "2024-02-29T12:30:00.500+08:00",
        ),
        (
            "TIMESTAMP_NTZ(3)",
            "2024-02-29T12:30:00.123",
            "TIMESTAMP_NTZ(9)",
            "2024-02-29T12:30:00.123",
        ),
        (
            "TIMESTAMP_NTZ(3)",
            "2024-02-29T12:30:00",
            "TIMESTAMP_LTZ(6)",
            "2024-02-29T04:30:00Z",
        ),
        (
            "TIMESTAMP_LTZ(3)",
            "2024-02-29T04:30:00Z",
            "TIMESTAMP_NTZ(6)",
            "2024-02-29T12:30:00",
        ),
        (
            "DATE",
            "2024-02-29",
            "TIMESTAMP_NTZ(6)",
            "2024-02-29T00:00:00",
        ),
        (
            "DATE",
            "2024-02-29",
            "TIMESTAMP_LTZ(3)",
            "2024-02-28T16:00:00Z",
        ),
        // To a narrower type where the value has an equal of it.
        ("BIGINT", "2147483647", "INT", "2147483647"),
        ("DOUBLE", "3", "INT", "3"),
        ("STRING", "12.50", "DECIMAL(6,2)", "12.50"),
        (
            "STRING",
            "2024-02-29 12:30:00",
            "TIMESTAMP_NTZ(3)",
            "2024-02-29T12:30:00",
        ),
    ] {
        let found = coerced(from, value, to, shanghai);
        assert_eq!(found.as_deref(), Ok(expected), "{from} {value} to {to}");
    }
}

#[test]
fn what_has_no_equal_is_refused_with_its_row() {
    for (from, value, to, part) in [
        (
            "BIGINT",
            "2147483648",
            "INT",
            "`2147483648` has no equal of type INT",
        ),
        ("BIGINT", "9007199254740993", "DOUBLE", "has no equal"),
        ("DOUBLE", "1.5", "BIGINT", "has no equal"),
        ("DOUBLE", "0.1", "FLOAT", "has no equal"),
        ("DECIMAL(10,2)", "1.25", "DECIMAL(10,1)", "has no equal"),
        ("STRING", "1.239", "DECIMAL(10,2)", "1.239"),
        ("STRING", "many", "INT", "has no equal"),
        (
            "TIMESTAMP_NTZ(6)",
            "2024-01-01T00:00:00.000001",
            "TIMESTAMP_NTZ(3)",
            "finer fractions",
        ),
        (
            "TIMESTAMP_NTZ(3)",
            "3000-01-01T00:00:00",
            "TIMESTAMP_NTZ(9)",
            "out of range",
        ),
        // Clocks went forward, and back.
        (
            "TIMESTAMP_NTZ(3)",
            "2024-03-31T02:30:00",
            "TIMESTAMP_LTZ(3)",
            "does not exist or exists twice",
        ),
        (
            "TIMESTAMP_LTZ(3)",
            "2024-10-27T00:30:00Z",
            "TIMESTAMP_NTZ(3)",
            "does not exist or exists twice",
        ),
    ] {
        let reason = coerced(from, value, to, Some(chrono_tz::Europe::Berlin)).unwrap_err();
        assert!(reason.contains(part), "{from} {value} to {to}: {reason}");
    }
    let reason = coerced("DATE", "2024-01-01", "TIMESTAMP_LTZ(3)", None).unwrap_err();
    assert!(reason.contains("set pipeline.local-time-zone"), "{reason}");
}

#[test]
fn columns_go_by_name_and_operations_stay() {
    let source = shape(&["gone INT", "id INT NOT NULL"]).schema;
    let sink = shape(&["id BIGINT NOT NULL", "new STRING"]).schema;
    let mut fields: Vec<Field> = source.fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Field::new("__op", DataType::Int8, false));
    let batch = RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![
            array("INT", &[Some("1")]),
            array("INT", &[Some("2")]),
            Arc::new(Int8Array::from(vec![3])),
        ],
    )
    .unwrap();
    let coercion = Coercion::between(&source, &sink, None).unwrap().unwrap();
    let rows = coercion.apply(&batch).unwrap();
    let names: Vec<String> = rows
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    assert_eq!(names, ["id", "new", "__op"]);
    assert_eq!(array_value_to_string(rows.column(0), 0).unwrap(), "2");
    assert!(rows.column(1).is_null(0));
    assert!(Coercion::between(&source, &source, None).unwrap().is_none());
}

#[test]
fn null_is_refused_where_the_sink_has_none() {
    let source = shape(&["c INT"]).schema;
    let sink = shape(&["c INT NOT NULL"]).schema;
    let batch = RecordBatch::try_new(Arc::clone(&source), vec![array("INT", &[Some("1"), None])]);
    let coercion = Coercion::between(&source, &sink, None).unwrap().unwrap();
    let faults = coercion.apply(&batch.unwrap()).unwrap_err();
    assert_eq!((faults.len(), faults[0].row), (1, 1));
    let without = shape(&["other INT"]).schema;
    let reason = Coercion::between(&without, &sink, None).unwrap_err();
    assert!(reason.contains("no longer has column `c`"), "{reason}");
}
