//! Reading a source to its end, and showing what came.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{Array as _, ArrayRef, Int8Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use longshore_pipeline::{
    definition::{FileOptions, PipelineDefinition, SourceKind},
    source::{
        OP_COLUMN, Position, Source, SourceBatch, SourceError, SourceEvent, SourceStats,
        SourceTable, file,
    },
};

/// A directory of files for one test.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// Options as the lines of a `source` block give them.
    pub(crate) fn options(&self, lines: &str) -> FileOptions {
        options_in(self.0.path(), lines)
    }

    pub(crate) fn read(&self, lines: &str) -> Outcome {
        read_all(&self.options(lines), None)
    }

    pub(crate) fn error(&self, lines: &str) -> SourceError {
        match self.read(lines).error {
            Some(error) => error,
            None => panic!("no error"),
        }
    }
}

fn options_in(directory: &Path, lines: &str) -> FileOptions {
    let mut text = String::from("source:\n  type: file\n");
    for line in lines.lines() {
        text.push_str(&format!("  {line}\n"));
    }
    text.push_str("sink:\n  type: x\n");
    let definition = PipelineDefinition::parse(&text, "p.yaml", directory, &|_| None).unwrap();
    match definition.source.kind {
        SourceKind::File(options) => options,
        _ => panic!(),
    }
}

#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) tables: Vec<SourceTable>,
    pub(crate) batches: Vec<SourceBatch>,
    /// What was truncated and dropped.
    pub(crate) removed: Vec<String>,
    pub(crate) error: Option<SourceError>,
    pub(crate) stats: SourceStats,
}

pub(crate) fn read_all(options: &FileOptions, restore: Option<&Position>) -> Outcome {
    let mut outcome = Outcome::default();
    match file::open(options, restore) {
        Ok(mut source) => drain(source.as_mut(), &mut outcome),
        Err(error) => outcome.error = Some(error),
    }
    outcome
}

fn drain(source: &mut dyn Source, outcome: &mut Outcome) {
    loop {
        match source.next() {
            Ok(Some(SourceEvent::Table(table))) => outcome.tables.push(table),
            Ok(Some(SourceEvent::Batch(batch))) => {
                let known = outcome.tables.iter().any(|table| {
                    table.id == batch.table && table.schema_version == batch.schema_version
                });
                assert!(known, "a batch before its table");
                outcome.batches.push(batch);
            }
            Ok(Some(SourceEvent::Truncate(removal))) => {
                outcome.removed.push(format!("rows of {}", removal.table));
            }
            Ok(Some(SourceEvent::Drop(removal))) => {
                outcome.removed.push(format!("table {}", removal.table));
            }
            Ok(None) => break,
            Err(error) => {
                outcome.error = Some(error);
                break;
            }
        }
    }
    outcome.stats = source.stats();
}

impl Outcome {
    pub(crate) fn ok(self) -> Self {
        if let Some(error) = &self.error {
            panic!("{error}");
        }
        self
    }

    /// Rows of one table as text, operation first.
    pub(crate) fn rows(&self, table: &str) -> Vec<String> {
        self.batches
            .iter()
            .filter(|batch| self.table_name(batch) == table)
            .flat_map(|batch| rows(&batch.batch))
            .collect()
    }

    pub(crate) fn table_name(&self, batch: &SourceBatch) -> String {
        self.tables
            .iter()
            .find(|table| table.id == batch.table)
            .unwrap()
            .path
            .to_string()
    }

    /// The columns of a table and their types.
    pub(crate) fn columns(&self, table: &str) -> Vec<String> {
        use longshore_pipeline::source::types::ColumnType;
        self.tables
            .iter()
            .rfind(|known| known.path.to_string() == table)
            .unwrap()
            .schema
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), ColumnType::of_field(field)))
            .collect()
    }
}

pub(crate) fn rows(batch: &RecordBatch) -> Vec<String> {
    let operations = batch
        .column_by_name(OP_COLUMN)
        .map(|column| column.as_any().downcast_ref::<Int8Array>().unwrap().clone());
    if let Some(operations) = &operations {
        assert_eq!(batch.schema().fields().last().unwrap().name(), OP_COLUMN);
        assert!(operations.iter().any(|operation| operation != Some(0)));
    }
    let options = FormatOptions::default().with_null("NULL");
    // The formatter knows zones by offset only.
    let offsets: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Timestamp(unit, Some(zone)) => {
                assert_eq!(zone.as_ref(), "UTC");
                let data_type = DataType::Timestamp(*unit, Some("+00:00".into()));
                arrow_cast::cast(column, &data_type).unwrap()
            }
            _ => Arc::clone(column),
        })
        .collect();
    let columns: Vec<ArrayFormatter<'_>> = offsets
        .iter()
        .take(batch.num_columns() - usize::from(operations.is_some()))
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            let operation = operations
                .as_ref()
                .map_or(0, |operations| operations.value(row));
            let values: Vec<String> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            format!("{operation} {}", values.join("|"))
        })
        .collect()
}

/// Reads everything, then again from every position, and checks that nothing is lost or repeated.
pub(crate) fn check_resume(options: &FileOptions) -> usize {
    let whole = read_all(options, None).ok();
    let names = |outcome: &Outcome| {
        let mut names: Vec<String> = outcome
            .tables
            .iter()
            .map(|table| table.path.to_string())
            .collect();
        names.dedup();
        names
    };
    let mut cuts = 0;
    for (index, batch) in whole.batches.iter().enumerate() {
        let Some(position) = &batch.position else {
            continue;
        };
        cuts += 1;
        // As a checkpoint stores it.
        let position = Position::from_json(&position.to_json()).unwrap();
        let rest = read_all(options, Some(&position)).ok();
        for table in names(&whole) {
            let mut expected = Vec::new();
            for batch in whole.batches.get(index + 1..).unwrap() {
                if whole.table_name(batch) == table {
                    expected.extend(
                        rows(&batch.batch)
                            .into_iter()
                            .map(|row| (batch.schema_version, row)),
                    );
                }
            }
            let mut found = Vec::new();
            for batch in &rest.batches {
                if rest.table_name(batch) == table {
                    found.extend(
                        rows(&batch.batch)
                            .into_iter()
                            .map(|row| (batch.schema_version, row)),
                    );
                }
            }
            assert_eq!(found, expected, "table {table} after batch {index}");
        }
        for table in &rest.tables {
            assert!(
                whole.tables.contains(&SourceTable {
                    id: whole
                        .tables
                        .iter()
                        .find(|known| known.path == table.path)
                        .unwrap()
                        .id,
                    ..table.clone()
                }),
                "{table:?}"
            );
        }
    }
    cuts
}
