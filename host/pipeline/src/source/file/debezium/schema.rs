//! From a Kafka Connect schema to columns.

use std::{collections::HashMap, sync::Arc};

use arrow_schema::{DataType, Fields, TimeUnit};
use serde::Deserialize;

use super::super::{
    super::types::{ColumnType, map_type, utc},
    column::Wire,
    table_buffer::ColumnSpec,
};

#[derive(Debug, Deserialize)]
struct Connect {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    optional: bool,
    field: Option<String>,
    name: Option<String>,
    #[serde(default)]
    parameters: HashMap<String, String>,
    #[serde(default)]
    fields: Vec<Connect>,
    items: Option<Box<Connect>>,
    keys: Option<Box<Connect>>,
    values: Option<Box<Connect>>,
}

/// The columns of the rows of an event schema.
pub(super) fn row_columns(schema: &str) -> Result<Vec<ColumnSpec>, String> {
    let envelope: Connect = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    let row = ["after", "before"]
        .iter()
        .find_map(|image| {
            envelope
                .fields
                .iter()
                .find(|field| field.field.as_deref() == Some(image) && field.kind == "struct")
        })
        .ok_or("it has no struct `after` or `before`")?;
    row.fields
        .iter()
        .map(|field| {
            let name = field.field.clone().ok_or("a column has no name")?;
            let (ty, wire) =
                column(field).map_err(|reason| format!("column `{name}`: {reason}"))?;
            Ok(ColumnSpec { name, ty, wire })
        })
        .collect()
}

fn column(schema: &Connect) -> Result<(ColumnType, Wire), String> {
    let (data_type, wire) = match schema.name.as_deref() {
        Some(name) => match logical(name, schema)? {
            Some(known) => known,
            None => physical(schema)?,
        },
        None => physical(schema)?,
    };
    let ty = ColumnType {
        data_type,
        nullable: schema.optional,
        sink_type: None,
    };
    Ok((ty, wire))
}

/// Types by name; `None` for names that only describe, such as Enum or Uuid, whose values are
/// what their physical type says.
fn logical(name: &str, schema: &Connect) -> Result<Option<(DataType, Wire)>, String> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond};
    let wall_clock = |unit| (DataType::Timestamp(unit, None), Wire::Epoch(unit));
    let clock = |unit| (DataType::Utf8, Wire::Clock(unit));
    Ok(Some(match name {
        "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" => {
            (DataType::Date32, Wire::Days)
        }
        "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => {
            wall_clock(Millisecond)
        }
        "io.debezium.time.MicroTimestamp" => wall_clock(Microsecond),
        "io.debezium.time.NanoTimestamp" => wall_clock(Nanosecond),
        "io.debezium.time.ZonedTimestamp" => (DataType::Timestamp(Microsecond, utc()), Wire::Plain),
        "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" => clock(Millisecond),
        "io.debezium.time.MicroTime" => clock(Microsecond),
        "io.debezium.time.NanoTime" => clock(Nanosecond),
        "org.apache.kafka.connect.data.Decimal" => decimal(schema)?,
        "io.debezium.data.VariableScaleDecimal" => (DataType::Utf8, Wire::VariableDecimal),
        _ => return Ok(None),
    }))
}

fn decimal(schema: &Connect) -> Result<(DataType, Wire), String> {
    let number = |name: &str| {
        schema
            .parameters
            .get(name)
            .map(|text| {
                text.parse::<i32>()
                    .map_err(|_| format!("parameter {name} is `{text}`, which is no number"))
            })
            .transpose()
    };
    let scale = number("scale")?.ok_or("its decimal type has no scale")?;
    let precision = match number("connect.decimal.precision")? {
        Some(precision) => precision,
        // MySQL's unsigned BIGINT has 20 digits; others that do not tell get all there are.
        None => match schema.parameters.get("__debezium.source.column.type") {
            Some(text) if text.starts_with("BIGINT UNSIGNED") => 20,
            _ => 38,
        },
    };
    let wire = Wire::DecimalBytes { scale };
    Ok(match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(exact)) if (0..=precision.cast_signed()).contains(&exact) => {
            (DataType::Decimal128(precision, exact), wire)
        }
        // No column type holds it, its text does.
        _ => (DataType::Utf8, wire),
    })
}

fn physical(schema: &Connect) -> Result<(DataType, Wire), String> {
    let child = |schema: &Option<Box<Connect>>, what: &str| {
        let schema = schema
            .as_ref()
            .ok_or_else(|| format!("its type has no {what}"))?;
        column(schema)
    };
    Ok(match schema.kind.as_str() {
        "int8" => (DataType::Int8, Wire::Plain),
        "int16" => (DataType::Int16, Wire::Plain),
        "int32" => (DataType::Int32, Wire::Plain),
        "int64" => (DataType::Int64, Wire::Plain),
        "float" | "float32" => (DataType::Float32, Wire::Plain),
        "double" | "float64" => (DataType::Float64, Wire::Plain),
        "boolean" => (DataType::Boolean, Wire::Plain),
        "string" => (DataType::Utf8, Wire::Plain),
        "bytes" => (DataType::Binary, Wire::Plain),
        "array" => {
            let (element, wire) = child(&schema.items, "items")?;
            (
                DataType::List(Arc::new(element.to_field("item"))),
                Wire::List(Box::new(wire)),
            )
        }
        "map" => {
            let (key, key_wire) = child(&schema.keys, "keys")?;
            let (value, value_wire) = child(&schema.values, "values")?;
            (
                map_type(&key, &value),
                Wire::Map(Box::new(key_wire), Box::new(value_wire)),
            )
        }
        "struct" => {
            let mut fields = Vec::new();
            let mut wires = Vec::new();
            for field in &schema.fields {
                let name = field.field.clone().ok_or("a field has no name")?;
                let (ty, wire) =
                    column(field).map_err(|reason| format!("field `{name}`: {reason}"))?;
                fields.push(ty.to_field(&name));
                wires.push(wire);
            }
            (DataType::Struct(Fields::from(fields)), Wire::Struct(wires))
        }
        other => return Err(format!("type `{other}` is not known")),
    })
}
