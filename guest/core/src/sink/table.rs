//! A declared table: how its rows are encoded and where they go.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow_array::{Array as _, Int8Array, RecordBatch};
use arrow_schema::Schema;

use super::client::Client;
use super::ipc::Decoder;
use super::metrics::TableCounters;
use super::mode::Mode;
use super::part::{Part, Routing, Target};
use crate::bucket::{BucketHasher, HasherKind};
use crate::contract::{SchemaChange, TableDecl};
use crate::error::SinkError;
use crate::partition::{PartitionReader, PartitionSpec};
use crate::record::RowEncoder;
use crate::schema::{Column, SchemaMismatch, ValueError};

/// Rows kept until a session has confirmed how a Delta table spreads them.
pub(super) struct Kept {
    pub(super) version: u32,
    pub(super) batch: RecordBatch,
    pub(super) operations: Option<Int8Array>,
}

/// What one schema version's rows look like.
pub(super) struct Version {
    pub(super) decoder: Decoder,
    pub(super) encoder: RowEncoder,
    /// Key columns with the index of their Arrow column; empty = append.
    pub(super) keys: Vec<(Column, usize)>,
    pub(super) hasher: Option<BucketHasher>,
    /// Columns of the table that the rows have, without the key.
    pub(super) updated: Vec<String>,
    pub(super) partitions: Option<Partitions>,
}

/// Reads partitions of rows.
pub(super) struct Partitions {
    pub(super) reader: PartitionReader,
    /// One reader for each column, to see which value is missing.
    singles: Vec<(String, usize, PartitionReader)>,
    pub(super) columns: Vec<usize>,
}

impl Partitions {
    pub(super) fn new(columns: &[(Column, usize)]) -> Result<Self, SchemaMismatch> {
        let single = |column: &(Column, usize)| {
            let reader = PartitionReader::new(std::slice::from_ref(column))?;
            Ok((column.0.name.clone(), column.1, reader))
        };
        Ok(Self {
            reader: PartitionReader::new(columns)?,
            singles: columns
                .iter()
                .map(single)
                .collect::<Result<_, SchemaMismatch>>()?,
            columns: columns.iter().map(|(_, source)| *source).collect(),
        })
    }

    /// The partition of a row whose NULL and empty values are replaced by `default`.
    pub(super) fn with_default(
        &self,
        batch: &RecordBatch,
        row: usize,
        default: &str,
    ) -> Result<PartitionSpec, ValueError> {
        let mut pairs = Vec::with_capacity(self.singles.len());
        for (name, source, reader) in &self.singles {
            let refuse = |reason: String| ValueError {
                column: name.clone(),
                reason,
            };
            let is_null = batch
                .columns()
                .get(*source)
                .is_none_or(|c| c.is_null(row) || is_empty_text(c, row));
            if is_null {
                pairs.push((name.clone(), default.to_owned()));
            } else {
                let bound = reader.bind(batch).map_err(|e| refuse(e.reason))?;
                pairs.extend(bound.spec(row)?.pairs().iter().cloned());
            }
        }
        let column = self
            .singles
            .first()
            .map(|(name, ..)| name.clone())
            .unwrap_or_default();
        PartitionSpec::new(pairs).map_err(|e| ValueError {
            column,
            reason: e.to_string(),
        })
    }
}

fn is_empty_text(column: &arrow_array::ArrayRef, row: usize) -> bool {
    use arrow_array::cast::AsArray as _;
    if let Some(text) = column.as_string_opt::<i32>() {
        text.value(row).is_empty()
    } else if let Some(text) = column.as_string_opt::<i64>() {
        text.value(row).is_empty()
    } else if let Some(text) = column.as_string_view_opt() {
        text.value(row).is_empty()
    } else {
        false
    }
}

/// The columns a table has at the service, as far as rows are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) columns: Vec<Column>,
    pub(super) partition_columns: Vec<Column>,
    pub(super) primary_key: Vec<String>,
}

/// A declared table.
pub(super) struct Table {
    pub(super) target: Rc<Target>,
    pub(super) layout: Layout,
    pub(super) versions: BTreeMap<u32, Version>,
    pub(super) mode: Mode,
    /// Delta tables only.
    pub(super) routing: Option<Rc<Routing>>,
    /// Open partitions by their tunnel text.
    pub(super) parts: BTreeMap<String, Rc<Part>>,
    /// Parts whose sessions take no more rows, to be prepared with the next checkpoint.
    pub(super) retired: Vec<Rc<Part>>,
    pub(super) kept: Vec<Kept>,
    /// A schema change that was begun.
    pub(super) changing: Option<SchemaChange>,
    pub(super) counters: Rc<TableCounters>,
}

impl Table {
    /// The open part for a partition.
    pub(super) fn part(
        parts: &mut BTreeMap<String, Rc<Part>>,
        client: &Rc<Client>,
        target: &Rc<Target>,
        mode: &Mode,
        text: &str,
        spec: impl FnOnce() -> Result<PartitionSpec, ValueError>,
    ) -> Result<Rc<Part>, ValueError> {
        if let Some(part) = parts.get(text) {
            return Ok(Rc::clone(part));
        }
        let part = Part::new(client, target, spec()?, mode);
        parts.insert(text.to_owned(), Rc::clone(&part));
        Ok(part)
    }

    /// All open parts leave; new rows open new sessions.
    pub(super) fn detach(&mut self) -> Vec<Rc<Part>> {
        let mut parts = std::mem::take(&mut self.retired);
        parts.extend(std::mem::take(&mut self.parts).into_values());
        for part in &parts {
            part.seal_all();
        }
        parts
    }

    /// The parts of a checkpoint. Stream sessions are not tied to one, so those in use stay.
    pub(super) fn checkpoint(&mut self) -> Vec<Rc<Part>> {
        let staying = match &self.mode {
            Mode::Stream(_) => self.parts.clone(),
            _ => BTreeMap::new(),
        };
        let parts = self.detach();
        self.parts = staying;
        self.parts.retain(|_, part| part.is_in_use());
        parts
    }

    /// The table's columns changed: open sessions take no more rows.
    pub(super) fn retire(&mut self) {
        self.retired = self.detach();
        if let Mode::Stream(_) = self.mode {
            self.retired.iter().for_each(|part| part.close());
        }
    }

    /// Whether rows may still have to be spread anew.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.routing.as_ref().is_some_and(|r| !r.confirmed.get())
            && self.parts.values().any(|p| p.used.get())
    }

    /// Take note of what a session said about buckets. Returns rows to spread anew, where
    /// what was expected was wrong.
    pub(super) fn confirm(&mut self) -> Result<Option<Vec<Kept>>, SinkError> {
        let Some(routing) = &self.routing else {
            return Ok(None);
        };
        if let Some((hasher, buckets)) = routing.correction.take()
            && !routing.confirmed.get()
        {
            routing.hasher.set(hasher);
            routing.buckets.set(buckets);
            for version in self.versions.values_mut() {
                version.hasher = Some(make_hasher(hasher, &version.keys, &self.target)?);
            }
            for part in self.parts.values() {
                part.reset_buffers();
            }
            return Ok(Some(std::mem::take(&mut self.kept)));
        }
        if routing.confirmed.get() {
            self.kept.clear();
        }
        Ok(None)
    }
}

fn make_hasher(
    kind: HasherKind,
    keys: &[(Column, usize)],
    target: &Target,
) -> Result<BucketHasher, SinkError> {
    BucketHasher::new(kind, keys)
        .map_err(|e| SinkError::schema("table.key", format!("{}: {e}", target.place(""))))
}

/// Make the encoder of one schema version, or tell every difference between rows and table.
pub(super) fn fit(
    target: &Target,
    layout: &Layout,
    decl: &TableDecl,
    schema: &Schema,
    hasher: HasherKind,
) -> Result<Version, SinkError> {
    use crate::schema::{same_name, source_columns};
    let mut differences: Vec<String> = Vec::new();

    let columns = &layout.columns;
    let sources = source_columns(columns, schema);
    let partition_sources = source_columns(&layout.partition_columns, schema);
    let is_partition = |name: &str| decl.partition_by.iter().any(|p| same_name(p, name));

    for field in schema.fields() {
        let name = field.name();
        let in_columns = columns.iter().any(|c| same_name(&c.name, name));
        let in_partitions = layout
            .partition_columns
            .iter()
            .any(|c| same_name(&c.name, name));
        if is_partition(name) {
            if !in_partitions {
                let why = if in_columns {
                    "is a data column"
                } else {
                    "does not exist"
                };
                differences.push(format!("partition column `{name}` {why} in the table"));
            }
        } else if in_partitions {
            differences.push(format!(
                "column `{name}` is a partition column in the table; name it in partition-by"
            ));
        } else if !in_columns {
            differences.push(format!("column `{name}` does not exist in the table"));
        }
    }
    for name in &decl.partition_by {
        if !schema.fields().iter().any(|f| same_name(f.name(), name)) {
            differences.push(format!(
                "partition-by names `{name}`, which the rows do not have"
            ));
        }
    }
    for column in &layout.partition_columns {
        if !is_partition(&column.name) {
            differences.push(format!(
                "the table is partitioned by `{}`, the rows are not (partition-by)",
                column.name
            ));
        }
    }
    let sorted = |names: &[String]| {
        let mut names: Vec<String> = names.iter().map(|n| n.to_lowercase()).collect();
        names.sort();
        names
    };
    if sorted(&layout.primary_key) != sorted(&decl.primary_key) {
        let show = |key: &[String]| match key {
            [] => "none (an append table)".to_owned(),
            key => format!("({})", key.join(", ")),
        };
        differences.push(format!(
            "the table's primary key is {}, the rows' is {}",
            show(&layout.primary_key),
            match decl.primary_key.as_slice() {
                [] => "none".to_owned(),
                key => format!("({})", key.join(", ")),
            }
        ));
    }
    // One column at a time, so that every misfit is told and not only the first.
    for (column, source) in columns.iter().zip(&sources) {
        if let Err(mismatch) = RowEncoder::new(schema, std::slice::from_ref(column), &[*source]) {
            differences.push(mismatch.to_string());
        }
    }
    let pair = |(column, source): (&Column, &Option<usize>)| source.map(|s| (column.clone(), s));
    let partition_columns: Vec<_> = layout
        .partition_columns
        .iter()
        .zip(&partition_sources)
        .filter_map(pair)
        .collect();
    let partitions = match partition_columns.as_slice() {
        [] => None,
        columns => match Partitions::new(columns) {
            Ok(partitions) => Some(partitions),
            Err(mismatch) => {
                differences.push(mismatch.to_string());
                None
            }
        },
    };
    let key_indices: Vec<usize> = layout
        .primary_key
        .iter()
        .filter_map(|key| columns.iter().position(|c| same_name(&c.name, key)))
        .collect();
    let keys: Vec<(Column, usize)> = key_indices
        .iter()
        .filter_map(|&i| pair((columns.get(i)?, sources.get(i)?)))
        .collect();
    let mut bucket_hasher = None;
    if !keys.is_empty() {
        let made = BucketHasher::new(hasher, &keys).and_then(|h| h.check(schema).map(|()| h));
        match made {
            Ok(made) => bucket_hasher = Some(made),
            Err(mismatch) => differences.push(mismatch.to_string()),
        }
    }
    if differences.is_empty() {
        match RowEncoder::new(schema, columns, &sources) {
            Ok(encoder) => {
                let updated = columns.iter().zip(&sources).enumerate();
                let updated = updated
                    .filter(|(i, (_, source))| source.is_some() && !key_indices.contains(i))
                    .map(|(_, (column, _))| column.name.clone())
                    .collect();
                return Ok(Version {
                    decoder: Decoder::new(Arc::new(schema.clone())),
                    encoder: encoder.keys(&key_indices),
                    updated,
                    keys,
                    hasher: bucket_hasher,
                    partitions,
                });
            }
            Err(mismatch) => differences.push(mismatch.to_string()),
        }
    }
    Err(SinkError::schema(
        "table.mismatch",
        format!(
            "{}: the rows do not fit the table: {}; change the table or the route, or let the sink create \
             another table",
            target.place(""),
            differences.join("; ")
        ),
    ))
}
