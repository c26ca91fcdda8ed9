//! The values of one cell on their way from a slot to its column.

use crate::record::cell::ValueSink;

/// The values of one cell, in the order a slot gives them.
#[derive(Debug, Default, Clone)]
pub(crate) struct CellValues {
    pub(super) values: Vec<Value>,
    pub(super) bytes: Vec<u8>,
}

impl CellValues {
    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.bytes.clear();
    }
}

/// One step of a cell.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Integer(i64),
    Boolean(bool),
    Float(f32),
    Double(f64),
    /// A range of the cell's bytes.
    Bytes(usize, usize),
    Decimal(i128),
    Days(i64),
    Milliseconds(i64),
    Timestamp(i64, i32),
    Interval,
    List(usize),
    Struct,
    IsNull(bool),
}

impl ValueSink for CellValues {
    fn integer(&mut self, value: i64) {
        self.values.push(Value::Integer(value));
    }

    fn boolean(&mut self, value: bool) {
        self.values.push(Value::Boolean(value));
    }

    fn float(&mut self, value: f32) {
        self.values.push(Value::Float(value));
    }

    fn double(&mut self, value: f64) {
        self.values.push(Value::Double(value));
    }

    fn bytes(&mut self, value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.values.push(Value::Bytes(start, self.bytes.len()));
    }

    fn decimal(&mut self, unscaled: i128, _precision: u8, _scale: u8) {
        self.values.push(Value::Decimal(unscaled));
    }

    fn date(&mut self, days: i64) {
        self.values.push(Value::Days(days));
    }

    fn datetime(&mut self, milliseconds: i64) {
        self.values.push(Value::Milliseconds(milliseconds));
    }

    fn timestamp(&mut self, seconds: i64, nanoseconds: i32) {
        self.values.push(Value::Timestamp(seconds, nanoseconds));
    }

    fn day_time(&mut self, _seconds: i64, _nanoseconds: i32) {
        self.values.push(Value::Interval);
    }

    fn months(&mut self, _months: i64) {
        self.values.push(Value::Interval);
    }

    fn list(&mut self, length: usize) {
        self.values.push(Value::List(length));
    }

    fn structure(&mut self) {
        self.values.push(Value::Struct);
    }

    fn null_flag(&mut self, is_null: bool) {
        self.values.push(Value::IsNull(is_null));
    }
}
