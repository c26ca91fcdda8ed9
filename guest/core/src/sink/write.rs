//! Rows of a batch into the buffers of their partition and bucket.

use std::rc::Rc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Date32Type, Int32Type, Int64Type};
use arrow_array::{
    Array as _, ArrayRef, Int8Array, Int32Array, Int64Array, RecordBatch, StringArray,
};

use super::client::Client;
use super::metrics::add;
use super::part::Part;
use super::refusal::{Nulled, Refusals, RefusedRows, RowFault};
use super::rows::Upsert;
use super::table::{Table, Version};
use crate::bucket::BoundKeys;
use crate::contract::LogLevel;
use crate::error::SinkError;
use crate::options::{DeleteOnAppend, WriteOperation};
use crate::partition::BoundPartitions;
use crate::record::{BoundRows, Operation};
use crate::schema::ValueError;

/// Where the rows of one record batch come from, for error messages.
pub(super) struct Origin {
    pub(super) sequence: u64,
    /// Rows of the batch before this record batch.
    pub(super) first_row: u32,
    /// False when rows that were counted before are spread anew.
    pub(super) count: bool,
}

/// Encode all rows; those that can not be are added to `refusals`.
pub(super) fn write(
    client: &Rc<Client>,
    table: &mut Table,
    version: u32,
    batch: &RecordBatch,
    operations: Option<&Int8Array>,
    origin: &Origin,
    refusals: &mut Refusals,
) -> Result<(), SinkError> {
    let Table {
        target,
        versions,
        mode,
        routing,
        parts,
        counters,
        layout: table_layout,
        ..
    } = table;
    let Some(layout) = versions.get(&version) else {
        return Err(SinkError::schema(
            "table.version",
            format!(
                "{}: rows of schema version {version}, which was not declared",
                target.place("")
            ),
        ));
    };
    let misfit = |e: crate::schema::SchemaMismatch| {
        SinkError::schema("table.mismatch", format!("{}: {e}", target.place("")))
    };
    let rows = layout.encoder.bind(batch).map_err(misfit)?;
    let keys = layout
        .hasher
        .as_ref()
        .map(|h| h.bind(batch))
        .transpose()
        .map_err(misfit)?;
    let partitions = layout
        .partitions
        .as_ref()
        .map(|p| p.bind(batch))
        .transpose()
        .map_err(misfit)?;
    let updated = match routing {
        Some(routing) if client.options.partial_columns => {
            let names: Vec<String> = match layout.updated.as_slice() {
                // No column at all would mean all of them.
                [] => layout.keys.iter().map(|(c, _)| c.name.clone()).collect(),
                names => names.to_vec(),
            };
            let ids = routing.ids_of(&names).map_err(|column| {
                SinkError::schema(
                    "table.partial",
                    format!(
                        "{}: the service gives column `{column}` no number to update it by",
                        target.place("")
                    ),
                )
            })?;
            Some(ids)
        }
        _ => None,
    };
    let mut writer = BatchWriter {
        client,
        layout,
        batch,
        rows,
        keys,
        updated,
        partitions,
        buckets: routing.as_ref().map_or(1, |r| r.buckets.get()),
        locate: Locate {
            text: String::new(),
            current_text: String::new(),
            current: None,
            open: &mut |text: &str, spec| Table::part(parts, client, target, mode, text, spec),
        },
        touched: Vec::new(),
        nulled: Nulled::new(client, target, table_layout),
    };
    let mut tally = Tally::default();
    let key: Vec<Same<'_>> = layout
        .keys
        .iter()
        .filter_map(|(_, source)| batch.columns().get(*source))
        .map(Same::of)
        .collect();
    let mut refused = RefusedRows::new(client, target, origin);
    let delta = routing.is_some();
    let append_only = client.options.operation == WriteOperation::AppendOnly;
    let total = batch.num_rows();
    let operation = |row: usize| match operations {
        Some(operations) if row < total => operations.value(row),
        _ => 0,
    };
    let mut row = 0;
    while row < total {
        let mut step = 1;
        let result = match (operation(row), delta) {
            (0, _) => writer
                .put(row, Operation::Upsert)
                .map(|()| tally.inserted += 1),
            (1, _) if append_only => writer.put(row, Operation::Upsert),
            (3, _) if append_only => writer
                .put(row, Operation::Upsert)
                .map(|()| tally.deleted += 1),
            (2, _) => writer
                .put(row, Operation::Upsert)
                .map(|()| tally.updated += 1),
            (1, false) => Ok(()),
            (1, true) if row + 1 >= total || operation(row + 1) != 2 => Err(whole_row(
                "an update-before row must be followed by its update-after row",
            )
            .into()),
            (1, true) => {
                let same_key = key.iter().all(|column| column.same(row, row + 1));
                if same_key && writer.same_partition(row, row + 1) {
                    Ok(())
                } else {
                    // The new row first: if it is refused the old one must stay. Both are different
                    // keys, so their order does not matter to anything else.
                    step = 2;
                    match writer.put(row + 1, Operation::Upsert) {
                        Err(fault) => {
                            refused.add(row + 1, fault)?;
                            Ok(())
                        }
                        Ok(()) => {
                            tally.updated += 1;
                            writer
                                .put(row, Operation::Delete)
                                .map(|()| tally.moved += 1)
                        }
                    }
                }
            }
            (3, true) => writer
                .put(row, Operation::Delete)
                .map(|()| tally.deleted += 1),
            (3, false) => match client.options.delete_on_append {
                DeleteOnAppend::Reject => Err(whole_row(
                    "a delete for a table without a primary key (delete-on-append is reject)",
                )
                .into()),
                DeleteOnAppend::Ignore | DeleteOnAppend::Log => {
                    tally.ignored += 1;
                    Ok(())
                }
            },
            (other, _) => {
                Err(whole_row(&format!("{other} is not a row operation (0 to 3)")).into())
            }
        };
        if let Err(fault) = result {
            refused.add(row, fault)?;
        }
        row += step;
    }
    let nulled = writer.nulled.finish(origin);
    for part in &writer.touched {
        part.touched.set(false);
        part.account();
    }
    refused.finish(batch, operations, refusals)?;
    if origin.count {
        add(&counters.nulled, nulled);
        add(&counters.inserted, tally.inserted);
        add(&counters.updated, tally.updated);
        add(&counters.deleted, tally.deleted);
        add(&counters.moved, tally.moved);
        add(&counters.ignored, tally.ignored);
        if tally.ignored > 0 && client.options.delete_on_append == DeleteOnAppend::Log {
            let rows = tally.ignored.to_string();
            let place = target.place("");
            client.log(
                LogLevel::Warn,
                format!("{place}: deletes ignored, because the table has no primary key"),
                &[("rows", &rows)],
            );
        }
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    inserted: u64,
    updated: u64,
    deleted: u64,
    moved: u64,
    ignored: u64,
}

fn whole_row(reason: &str) -> ValueError {
    ValueError {
        column: String::new(),
        reason: reason.to_owned(),
    }
}

type Spec<'s> = &'s mut dyn FnMut() -> Result<crate::partition::PartitionSpec, ValueError>;

/// Gives the part of a partition, made where there is none.
type OpenPart<'a> = dyn FnMut(&str, Spec<'_>) -> Result<Rc<Part>, RowFault> + 'a;

/// Finds the part of a row; most rows belong to the part of the row before.
struct Locate<'a> {
    text: String,
    current_text: String,
    current: Option<Rc<Part>>,
    open: &'a mut OpenPart<'a>,
}

struct BatchWriter<'a> {
    client: &'a Rc<Client>,
    layout: &'a Version,
    batch: &'a RecordBatch,
    rows: BoundRows<'a>,
    keys: Option<BoundKeys<'a>>,
    /// Numbers of the columns that upserts update; None = all.
    updated: Option<Vec<i64>>,
    partitions: Option<BoundPartitions<'a>>,
    buckets: u32,
    locate: Locate<'a>,
    touched: Vec<Rc<Part>>,
    nulled: Nulled<'a>,
}

impl BatchWriter<'_> {
    fn put(&mut self, row: usize, operation: Operation) -> Result<(), RowFault> {
        self.find(row)?;
        let Some(part) = &self.locate.current else {
            return Ok(());
        };
        let (full, packed) = {
            let bucket = match &self.keys {
                Some(keys) => keys.bucket(row, self.buckets)? as usize,
                None => 0,
            };
            let mut state = part.state();
            let Some(buffer) = state.buffers.get_mut(bucket) else {
                return Err(whole_row("its bucket does not exist").into());
            };
            let upsert = self.keys.as_ref().map(|_| Upsert {
                operation,
                columns: self.updated.as_deref(),
            });
            if let Err(error) = buffer.rows.push(&self.rows, row, upsert) {
                self.nulled.push(
                    &self.layout.encoder,
                    self.batch,
                    row,
                    upsert,
                    error,
                    &mut buffer.rows,
                )?;
            }
            let full = buffer.rows.raw_len() >= buffer.target
                || buffer.rows.rows() >= self.client.options.flush_rows;
            let packed = if full {
                Ok(())
            } else {
                buffer.rows.pack(self.client)
            };
            (full.then_some(bucket), packed)
        };
        if let Err(error) = packed {
            part.fail(error.at(&part.place));
        }
        if !part.touched.replace(true) {
            self.touched.push(Rc::clone(part));
        }
        if !part.used.get() {
            part.open();
        }
        if let Some(bucket) = full {
            part.seal(bucket);
        }
        Ok(())
    }

    fn same_partition(&self, a: usize, b: usize) -> bool {
        self.partitions.as_ref().is_none_or(|p| p.same(a, b))
    }

    /// Make the part of `row` the current one.
    fn find(&mut self, row: usize) -> Result<(), RowFault> {
        let locate = &mut self.locate;
        let Some(partitions) = &self.partitions else {
            if locate.current.is_none() {
                locate.current = Some((locate.open)("", &mut || Ok(Default::default()))?);
            }
            return Ok(());
        };
        partitions.tunnel_text(row, &mut locate.text)?;
        if locate.current.is_some() && locate.text == locate.current_text {
            return Ok(());
        }
        let part = (locate.open)(&locate.text, &mut || partitions.spec(row))?;
        locate.current = Some(part);
        locate.current_text.clone_from(&locate.text);
        Ok(())
    }
}

/// Whether two rows of a column are equal, fast for the usual key types.
enum Same<'a> {
    I32(&'a Int32Array),
    I64(&'a Int64Array),
    Text(&'a StringArray),
    Other(&'a ArrayRef),
}

impl<'a> Same<'a> {
    fn of(column: &'a ArrayRef) -> Self {
        if let Some(column) = column.as_primitive_opt::<Int64Type>() {
            Self::I64(column)
        } else if let Some(column) = column.as_primitive_opt::<Int32Type>() {
            Self::I32(column)
        } else if let Some(column) = column.as_string_opt::<i32>() {
            Self::Text(column)
        } else {
            Self::Other(column)
        }
    }

    fn same(&self, a: usize, b: usize) -> bool {
        match self {
            Self::I32(c) if c.null_count() == 0 => c.value(a) == c.value(b),
            Self::I64(c) if c.null_count() == 0 => c.value(a) == c.value(b),
            Self::Text(c) if c.null_count() == 0 => c.value(a) == c.value(b),
            Self::I32(c) => c.slice(a, 1) == c.slice(b, 1),
            Self::I64(c) => c.slice(a, 1) == c.slice(b, 1),
            Self::Text(c) => c.slice(a, 1) == c.slice(b, 1),
            Self::Other(c) => match c.as_primitive_opt::<Date32Type>() {
                Some(days) if days.null_count() == 0 => days.value(a) == days.value(b),
                _ => c.slice(a, 1).to_data() == c.slice(b, 1).to_data(),
            },
        }
    }
}
