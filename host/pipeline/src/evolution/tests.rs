//! The matrix of behaviours, widest schemas and coercion, as tables.

mod coercing;
mod matrix;
mod widening;

use std::sync::Arc;

use arrow_schema::{Field, Schema};

use super::TableShape;
use crate::source::types::ColumnType;

/// A shape from lines such as `id BIGINT NOT NULL`.
fn shape(columns: &[&str]) -> TableShape {
    let fields: Vec<Field> = columns.iter().map(|text| field(text)).collect();
    TableShape {
        schema: Arc::new(Schema::new(fields)),
        primary_key: Vec::new(),
        partition_by: Vec::new(),
    }
}

fn field(text: &str) -> Field {
    let (name, ty) = text.split_once(' ').unwrap();
    ty.parse::<ColumnType>().unwrap().to_field(name)
}

fn columns(shape: &TableShape) -> Vec<String> {
    let fields = shape.schema.fields().iter();
    fields
        .map(|field| format!("{} {}", field.name(), ColumnType::of_field(field)))
        .collect()
}
