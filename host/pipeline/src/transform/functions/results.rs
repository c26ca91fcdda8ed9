//! Results made row by row.

use std::sync::Arc;

use arrow_array::Int32Array;
use arrow_array::builder::StringBuilder;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ColumnarValue;

use crate::transform::expression::{Evaluated, failed};

/// A text for each row; NULL where `each` returns false.
pub(super) fn texts(
    rows: usize,
    mut each: impl FnMut(usize, &mut String) -> Result<bool, DataFusionError>,
) -> Evaluated {
    let mut out = StringBuilder::with_capacity(rows, rows * 16);
    let mut text = String::new();
    for row in 0..rows {
        text.clear();
        if each(row, &mut text)? {
            out.append_value(&text);
        } else {
            out.append_null();
        }
    }
    Ok(ColumnarValue::Array(Arc::new(out.finish())))
}

/// An INT for each row.
pub(super) fn integers(
    rows: usize,
    each: impl FnMut(usize) -> Result<Option<i32>, DataFusionError>,
) -> Evaluated {
    let values = (0..rows).map(each).collect::<Result<Vec<_>, _>>()?;
    Ok(ColumnarValue::Array(Arc::new(Int32Array::from(values))))
}

/// A count that a Java `int` can hold.
pub(super) fn count(value: usize) -> Result<Option<i32>, DataFusionError> {
    i32::try_from(value)
        .map(Some)
        .map_err(|_| failed("a text is longer than 2147483647 characters"))
}
