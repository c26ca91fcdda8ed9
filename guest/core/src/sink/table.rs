//! A declared table: how its rows are encoded and where they go.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use arrow_array::{Int8Array, RecordBatch};
use arrow_schema::Schema;

use super::client::Client;
use super::ipc::Decoder;
use super::metrics::TableCounters;
use super::mode::Mode;
use super::part::{Part, Routing, Target};
use super::partitioning;
use super::refusal::RowFault;
use crate::bucket::{BucketHasher, HasherKind};
use crate::contract::{SchemaChange, TableDecl};
use crate::error::SinkError;
use crate::options::{BadValuePolicy, Options};
use crate::partition::{PartitionReader, PartitionSpec};
use crate::record::RowEncoder;
use crate::schema::{Column, ValueError, same_name, source_columns};

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
    pub(super) partitions: Option<PartitionReader>,
}

/// The columns a table has at the service, as far as rows are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) columns: Vec<Column>,
    pub(super) partition_columns: Vec<Column>,
    pub(super) primary_key: Vec<String>,
}

impl Layout {
    /// Whether there is such a data or partition column.
    fn has(&self, name: &str) -> bool {
        let all = self.columns.iter().chain(&self.partition_columns);
        all.into_iter().any(|c| same_name(&c.name, name))
    }

    /// Whether NULL is a legal value of the data column of that name.
    pub(super) fn can_be_null(&self, name: &str) -> bool {
        let is_key = self.primary_key.iter().any(|key| same_name(key, name));
        let column = self.columns.iter().find(|c| same_name(&c.name, name));
        !is_key && column.is_some_and(|c| c.nullable)
    }
}

/// A declared table.
pub(super) struct Table {
    pub(super) target: Rc<Target>,
    pub(super) layout: Layout,
    pub(super) versions: BTreeMap<u32, Version>,
    pub(super) mode: Mode,
    /// Delta tables only.
    pub(super) routing: Option<Rc<Routing>>,
    /// Open partitions by their tunnel text. Looked up for every row where partitions alternate.
    pub(super) parts: HashMap<String, Rc<Part>>,
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
        parts: &mut HashMap<String, Rc<Part>>,
        client: &Rc<Client>,
        target: &Rc<Target>,
        mode: &Mode,
        text: &str,
        spec: impl FnOnce() -> Result<PartitionSpec, ValueError>,
    ) -> Result<Rc<Part>, RowFault> {
        if let Some(part) = parts.get(text) {
            return Ok(Rc::clone(part));
        }
        if let Some(limit) = client.options.partition_limit
            && parts.len() >= limit
        {
            return Err(too_many_partitions(target, limit, parts.keys(), text).into());
        }
        let part = Part::new(client, target, spec()?, mode);
        parts.insert(text.to_owned(), Rc::clone(&part));
        Ok(part)
    }

    /// All open parts leave; new rows open new sessions.
    pub(super) fn detach(&mut self) -> Vec<Rc<Part>> {
        let mut open: Vec<_> = std::mem::take(&mut self.parts).into_values().collect();
        open.sort_by(|a, b| a.partition_text.cmp(&b.partition_text));
        let mut parts = std::mem::take(&mut self.retired);
        parts.extend(open);
        for part in &parts {
            part.seal_all();
        }
        parts
    }

    /// The parts of a checkpoint. Stream sessions are not tied to one, so those in use stay.
    pub(super) fn checkpoint(&mut self) -> Vec<Rc<Part>> {
        let staying = match &self.mode {
            Mode::Stream(_) => self.parts.clone(),
            _ => HashMap::new(),
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

    /// Bytes of the rows kept.
    pub(super) fn kept_bytes(&self) -> u64 {
        let bytes = self
            .kept
            .iter()
            .map(|kept| kept.batch.get_array_memory_size());
        bytes.sum::<usize>() as u64
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

fn too_many_partitions<'a>(
    target: &Target,
    limit: usize,
    open: impl Iterator<Item = &'a String>,
    one_more: &str,
) -> SinkError {
    let mut open: Vec<&str> = open.map(String::as_str).collect();
    open.sort_unstable();
    let first = open.get(..5).unwrap_or(&open);
    SinkError::permanent(
        "partition.limit",
        format!(
            "{}: too many dynamic partitions: {limit} are open since the last checkpoint ({}{}) and \
             {one_more} would be one more; raise dynamic-partition.limit, checkpoint more often, or \
             choose a coarser partition",
            target.place(""),
            first.join("; "),
            if limit > first.len() { "; ..." } else { "" },
        ),
    )
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
    options: &Options,
) -> Result<Version, SinkError> {
    let mut differences: Vec<String> = Vec::new();

    let columns = &layout.columns;
    let sources = source_columns(columns, schema);
    let terms = options.partition.with_columns(&decl.partition_by);
    differences.extend(partitioning::differences(layout, &terms, schema));
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
    let partitions = match partitioning::reader(layout, &terms, schema, options) {
        Ok(partitions) => partitions,
        Err(mismatch) => {
            differences.push(mismatch.to_string());
            None
        }
    };
    let key_indices: Vec<usize> = layout
        .primary_key
        .iter()
        .filter_map(|key| columns.iter().position(|c| same_name(&c.name, key)))
        .collect();
    let keys: Vec<(Column, usize)> = key_indices
        .iter()
        .filter_map(|&i| Some((columns.get(i)?.clone(), (*sources.get(i)?)?)))
        .collect();
    differences.extend(null_policy_differences(layout, decl, options));
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

/// Rules of `on-bad-value.columns` that ask for NULL where NULL can not be, or name no column.
fn null_policy_differences(layout: &Layout, decl: &TableDecl, options: &Options) -> Vec<String> {
    let mut differences = Vec::new();
    for name in options.bad_values.columns_of(&decl.path) {
        if options.bad_values.named(&decl.path, name) == Some(BadValuePolicy::Null)
            && !layout.can_be_null(name)
            && layout.has(name)
        {
            differences.push(format!(
                "on-bad-value.columns wants NULL in `{name}`, which is a key, partition or NOT NULL column; \
                 use fail or dead-letter"
            ));
        }
    }
    differences
}
