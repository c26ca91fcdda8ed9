//! Rows that could not be written and are kept aside, with where they came from and why.

mod export;
mod files;
mod policy;
mod show;

pub use export::{ExportError, ExportForm, ExportedFile, export};
pub(crate) use files::write_files;
pub use policy::DeadLetterPolicy;
pub use show::{ShownDeadLetter, show};

/// Rows of one table that were kept aside together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterBatch {
    /// The target table, dotted.
    pub table: String,
    /// One for each row of `ipc`, in the same order.
    pub letters: Vec<DeadLetter>,
    /// An Arrow IPC stream, with schema: the rows, with their operations in a column `__op`.
    pub ipc: Vec<u8>,
}

/// Why one row was kept aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where the row came from: `orders.json:17` or `flights.parquet, row 1200`.
    pub place: String,
    /// The column at fault, where one is.
    pub column: Option<String>,
    /// Why, for a person.
    pub reason: String,
}
