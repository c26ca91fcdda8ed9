//! What the source gives, and what the tables must hold in the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int8Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use longshore_pipeline::coordinator::OpenSource;
use longshore_pipeline::source::{
    OP_COLUMN, Operation, Origin, OriginUnit, Position, Source, SourceBatch, SourceError,
    SourceErrorKind, SourceEvent, SourceStats, SourceTable, TableId,
};
use longshore_tests::Random;

use crate::service::Rows;

/// One of the tables there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableKind {
    pub(crate) name: &'static str,
    pub(crate) partitioned: bool,
    /// Has a primary key.
    pub(crate) keyed: bool,
}

/// Append and Delta tables, partitioned and not.
pub(crate) const TABLES: [TableKind; 4] = [
    TableKind {
        name: "events",
        partitioned: false,
        keyed: false,
    },
    TableKind {
        name: "events_by_day",
        partitioned: true,
        keyed: false,
    },
    TableKind {
        name: "accounts",
        partitioned: false,
        keyed: true,
    },
    TableKind {
        name: "accounts_by_region",
        partitioned: true,
        keyed: true,
    },
];

/// Keys of a Delta table: few, so that most changes meet an earlier one.
const KEYS: u64 = 9;
const PARTITIONS: [&str; 3] = ["a", "b", "c"];

/// Everything the source has to give.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) tables: Vec<TableKind>,
    batches: Vec<Batch>,
    pub(crate) rows: u64,
}

#[derive(Debug, Clone)]
struct Batch {
    table: usize,
    changes: Vec<Change>,
    cut: bool,
}

#[derive(Debug, Clone)]
struct Change {
    operation: Operation,
    partition: &'static str,
    id: i64,
    text: String,
}

/// What the tables hold when everything has arrived.
pub(crate) type Expected = BTreeMap<&'static str, Rows>;

impl Script {
    pub(crate) fn draw(random: &mut Random) -> (Self, Expected) {
        let mut tables: Vec<TableKind> = TABLES.to_vec();
        tables.retain(|_| random.chance(500));
        if tables.is_empty() {
            tables.push(random.pick(&TABLES));
        }
        let mut expected: Expected = tables.iter().map(|t| (t.name, Rows::new())).collect();
        let count = random.range(2, 20);
        let mut batches = Vec::new();
        let mut next = 0;
        for number in 1..=count {
            let table = random.next() as usize % tables.len();
            let kind = tables[table];
            let mut changes = Vec::new();
            let state = expected.entry(kind.name).or_default();
            for _ in 0..random.range(1, 6) {
                next += 1;
                match kind.keyed {
                    true => change(random, kind, next, state, &mut changes),
                    false => append(random, kind, next, state, &mut changes),
                }
            }
            let cut = number == count || random.chance(700);
            batches.push(Batch {
                table,
                changes,
                cut,
            });
        }
        let script = Self {
            tables,
            batches,
            rows: next as u64,
        };
        (script, expected)
    }

    /// A text that stands in a row of the source.
    pub(crate) fn has(&self, table: &str, id: i64, text: Option<&str>) -> bool {
        self.batches
            .iter()
            .filter(|batch| self.tables[batch.table].name == table)
            .flat_map(|batch| &batch.changes)
            .any(|change| change.id == id && Some(change.text.as_str()) == text)
    }

    pub(crate) fn open(self: &Arc<Self>) -> OpenSource {
        let script = Arc::clone(self);
        Arc::new(move |position| {
            let next = match position.map(|position| position.to_json().parse()) {
                None => 0,
                Some(Ok(next)) => next,
                Some(Err(_)) => {
                    let why = "a position of another source";
                    return Err(SourceError::new(SourceErrorKind::Data, why));
                }
            };
            Ok(Box::new(Reader {
                script: Arc::clone(&script),
                next,
                announced: vec![false; script.tables.len()],
            }))
        })
    }
}

fn append(
    random: &mut Random,
    kind: TableKind,
    number: i64,
    state: &mut Rows,
    changes: &mut Vec<Change>,
) {
    let change = Change {
        operation: Operation::Insert,
        partition: partition(random, kind),
        id: number,
        text: format!("v{number}"),
    };
    let key = (spelt(change.partition), change.id);
    state.insert(key, Some(change.text.clone()));
    changes.push(change);
}

fn change(
    random: &mut Random,
    kind: TableKind,
    number: i64,
    state: &mut Rows,
    changes: &mut Vec<Change>,
) {
    let id = random.range(1, KEYS) as i64;
    let text = format!("v{number}");
    let at = |operation, partition, text: &str| Change {
        operation,
        partition,
        id,
        text: text.to_owned(),
    };
    let held = PARTITIONS
        .into_iter()
        .chain([""])
        .find_map(|p| Some((p, state.get(&(spelt(p), id))?.clone()?)));
    let Some((old_partition, old_text)) = held else {
        let partition = partition(random, kind);
        state.insert((spelt(partition), id), Some(text.clone()));
        return changes.push(at(Operation::Insert, partition, &text));
    };
    match random.range(0, 3) {
        0 => {
            state.remove(&(spelt(old_partition), id));
            changes.push(at(Operation::Delete, old_partition, &old_text));
        }
        1 => {
            state.insert((spelt(old_partition), id), Some(text.clone()));
            changes.push(at(Operation::UpdateAfter, old_partition, &text));
        }
        _ => {
            let new_partition = partition(random, kind);
            state.remove(&(spelt(old_partition), id));
            state.insert((spelt(new_partition), id), Some(text.clone()));
            changes.push(at(Operation::UpdateBefore, old_partition, &old_text));
            changes.push(at(Operation::UpdateAfter, new_partition, &text));
        }
    }
}

fn partition(random: &mut Random, kind: TableKind) -> &'static str {
    match kind.partitioned {
        true => random.pick(&PARTITIONS),
        false => "",
    }
}

/// A partition as the service spells it.
fn spelt(partition: &str) -> String {
    match partition {
        "" => String::new(),
        value => format!("pt={value}"),
    }
}

/// The source, somewhere in its script.
struct Reader {
    script: Arc<Script>,
    next: usize,
    announced: Vec<bool>,
}

impl Source for Reader {
    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        let Some(batch) = self.script.batches.get(self.next) else {
            return Ok(None);
        };
        let kind = self.script.tables[batch.table];
        if !std::mem::replace(&mut self.announced[batch.table], true) {
            return Ok(Some(SourceEvent::Table(describe(batch.table, kind))));
        }
        self.next += 1;
        let event = batch.event(kind, self.next).map_err(|error| {
            SourceError::new(SourceErrorKind::Data, format!("a batch: {error}"))
        })?;
        Ok(Some(SourceEvent::Batch(event)))
    }

    fn stats(&self) -> SourceStats {
        SourceStats::default()
    }
}

fn schema(kind: TableKind) -> SchemaRef {
    let mut fields = vec![Field::new("id", DataType::Int64, !kind.keyed)];
    if kind.partitioned {
        fields.push(Field::new("pt", DataType::Utf8, false));
    }
    fields.push(Field::new("text", DataType::Utf8, true));
    Arc::new(Schema::new(fields))
}

fn describe(number: usize, kind: TableKind) -> SourceTable {
    SourceTable {
        id: number as u32,
        path: TableId {
            namespace: None,
            schema: None,
            table: kind.name.to_owned(),
        },
        schema: schema(kind),
        primary_key: if kind.keyed {
            vec!["id".to_owned()]
        } else {
            Vec::new()
        },
        partition_by: if kind.partitioned {
            vec!["pt".to_owned()]
        } else {
            Vec::new()
        },
        schema_version: 1,
        renamed: Vec::new(),
    }
}

impl Batch {
    fn event(
        &self,
        kind: TableKind,
        next: usize,
    ) -> Result<SourceBatch, Box<dyn std::error::Error>> {
        let changes = &self.changes;
        let texts = changes.iter().map(|c| Some(c.text.as_str()));
        let partitions = changes.iter().map(|c| Some(c.partition));
        let mut fields: Vec<Field> = schema(kind)
            .fields()
            .iter()
            .map(|field| field.as_ref().clone())
            .collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(
            changes.iter().map(|c| c.id),
        ))];
        if kind.partitioned {
            columns.push(Arc::new(StringArray::from_iter(partitions)));
        }
        columns.push(Arc::new(StringArray::from_iter(texts)));
        if changes.iter().any(|c| c.operation != Operation::Insert) {
            fields.push(Field::new(OP_COLUMN, DataType::Int8, false));
            let operations = changes.iter().map(|c| c.operation as i8);
            columns.push(Arc::new(Int8Array::from_iter_values(operations)));
        }
        let mut origin = Origin::new(Arc::from("script"), OriginUnit::Row);
        for (row, _) in (0..).zip(changes) {
            origin.push(row, next as u64 * 100 + u64::from(row));
        }
        let position = self
            .cut
            .then(|| Position::from_json(&next.to_string()))
            .transpose()?;
        Ok(SourceBatch {
            table: self.table as u32,
            schema_version: 1,
            batch: RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?,
            position,
            bytes: changes.len() as u64 * 16,
            origin,
        })
    }
}
