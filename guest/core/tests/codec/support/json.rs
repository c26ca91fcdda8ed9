//! Values as the vectors' index writes them.

use longshore_core::types::OdpsType;
use serde_json::Value as Json;

use super::{Value, calendar};

/// A value of type `ty`.
pub(crate) fn value(ty: &OdpsType, json: &Json) -> Value {
    if json.is_null() {
        return Value::Null;
    }
    match ty {
        OdpsType::TinyInt | OdpsType::SmallInt | OdpsType::Int | OdpsType::BigInt => {
            Value::Integer(json.as_i64().unwrap())
        }
        OdpsType::Float => Value::Float((number(json) as f32).to_bits()),
        OdpsType::Double => Value::Double(number(json).to_bits()),
        OdpsType::Boolean => Value::Boolean(json.as_bool().unwrap()),
        OdpsType::String | OdpsType::Varchar(_) | OdpsType::Char(_) => Value::text(text(json)),
        OdpsType::Binary => Value::Bytes(hex(json["hex"].as_str().unwrap_or_else(|| text(json)))),
        OdpsType::Json => Value::text(&python_json(json)),
        OdpsType::Decimal { .. } => Value::text(&plain_decimal(text(json))),
        OdpsType::Date => Value::Integer(calendar::date(text(json))),
        OdpsType::Datetime => {
            let (seconds, nanoseconds) = calendar::timestamp(text(json));
            Value::Integer(seconds * 1_000 + i64::from(nanoseconds) / 1_000_000)
        }
        OdpsType::Timestamp | OdpsType::TimestampNtz => {
            let (seconds, nanoseconds) = calendar::timestamp(text(json));
            Value::Time(seconds, nanoseconds)
        }
        OdpsType::IntervalDayTime => interval(text(json)),
        OdpsType::IntervalYearMonth => Value::Integer(json["months"].as_i64().unwrap()),
        OdpsType::Array(element) => Value::List(
            json.as_array()
                .unwrap()
                .iter()
                .map(|v| value(element, v))
                .collect(),
        ),
        OdpsType::Map(key, item) => {
            let entries = json.get("map").unwrap_or(json).as_array().unwrap();
            Value::Map(
                entries
                    .iter()
                    .map(|e| (value(key, &e[0]), value(item, &e[1])))
                    .collect(),
            )
        }
        OdpsType::Struct(fields) => Value::Struct(
            fields
                .iter()
                .enumerate()
                .map(|(i, (name, ty))| value(ty, json.get(name).unwrap_or_else(|| &json[i])))
                .collect(),
        ),
    }
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}

fn number(json: &Json) -> f64 {
    match json.as_str() {
        Some("nan") => f64::NAN,
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        Some(other) => other.parse().unwrap(),
        None => json.as_f64().unwrap(),
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16).unwrap()).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

/// Without zeros at the end of the fraction.
fn plain_decimal(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

/// `1 days 10:17:36.000654321`, or `seconds,nanos`.
fn interval(text: &str) -> Value {
    if let Some((seconds, nanoseconds)) = text.split_once(',') {
        return Value::Time(seconds.parse().unwrap(), nanoseconds.parse().unwrap());
    }
    let (days, time) = text.split_once(" days ").unwrap();
    let (seconds, nanoseconds) = calendar::time_of_day(time);
    Value::Time(days.parse::<i64>().unwrap() * 86_400 + seconds, nanoseconds)
}

/// JSON with the spaces Python writes.
fn python_json(json: &Json) -> String {
    match json {
        Json::Object(object) if object.contains_key("map") => {
            let entries: Vec<String> = object["map"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| format!("{}: {}", e[0], python_json(&e[1])))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Json::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(python_json).collect::<Vec<_>>().join(", ")
            )
        }
        other => other.to_string(),
    }
}
