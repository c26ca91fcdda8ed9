//! Schema changes: what a source's table became, what of that a sink table becomes, and how rows
//! of the one become rows of the other. `SCHEMA-CHANGES.md` beside this crate's manifest is the
//! user's view.
//!
//! A change is told by comparing two [`TableShape`]s ([`difference`]), or by an event of its own
//! (truncate, drop). [`SchemaEvolution`] says what of it the sink's table gets. Several source
//! tables in one sink table get its [`common_shape`]. Whatever the outcome, a [`Coercion`] makes
//! the rows fit, exactly or not at all.

mod cast;
mod change;
mod coercion;
mod policy;
mod shape;
mod widest;

pub use change::{AddedColumn, ColumnPlace, TableChange, difference};
pub use coercion::{Coercion, RowFault};
pub use policy::{ChangeTag, Refusal, SchemaEvolution, TAGS_AND_FAMILIES};
pub use shape::TableShape;
pub use widest::{NoCommonType, common_shape};

#[cfg(test)]
mod tests;
