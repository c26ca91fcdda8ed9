//! Query results as CSV.

use super::InstanceResult;
use crate::catalog::ColumnType;
use crate::storage::value_text;

/// Rows of a CSV result; the instance tunnel gives all.
pub(super) const MAX_ROWS: u64 = 10_000;

/// Header of quoted names, then rows: text quoted, NULL as `\N`, at most [`MAX_ROWS`] rows.
pub(super) fn csv(result: &InstanceResult) -> String {
    let mut out = String::new();
    let names: Vec<String> = result
        .columns
        .iter()
        .map(|column| quoted(&column.name))
        .collect();
    out.push_str(&names.join(","));
    out.push('\n');
    let mut left = usize::try_from(MAX_ROWS).unwrap_or(usize::MAX);
    for batch in &result.batches {
        for row in 0..batch.num_rows().min(left) {
            for (index, (column, array)) in result.columns.iter().zip(batch.columns()).enumerate() {
                if index > 0 {
                    out.push(',');
                }
                match value_text(array.as_ref(), &column.ty, row) {
                    None => out.push_str("\\N"),
                    Some(text) if is_bare(&column.ty) => out.push_str(&text),
                    Some(text) => out.push_str(&quoted(&text)),
                }
            }
            out.push('\n');
        }
        left = left.saturating_sub(batch.num_rows());
    }
    out
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Types whose text needs no quotes.
fn is_bare(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::TinyInt
            | ColumnType::SmallInt
            | ColumnType::Int
            | ColumnType::BigInt
            | ColumnType::Float
            | ColumnType::Double
            | ColumnType::Boolean
            | ColumnType::Decimal { .. }
            | ColumnType::LegacyDecimal
            | ColumnType::Date
            | ColumnType::Datetime
            | ColumnType::Timestamp
            | ColumnType::TimestampNtz
            | ColumnType::IntervalDayTime
            | ColumnType::IntervalYearMonth
    )
}
