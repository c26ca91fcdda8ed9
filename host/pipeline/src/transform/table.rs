//! What the rules make of one table: its new declaration, and its rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int8Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMillisecondArray, UInt32Array,
};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use datafusion::common::DataFusionError;

use super::Context;
use super::bind::{Binder, Input, Scope};
use super::error::TransformError;
use super::expression::{Bound, message_of};
use super::rule::TransformRule;
use super::sql::Item;
use super::types;
use crate::definition::nearest;
use crate::source::types::{COMMENT_METADATA_KEY, TABLE_PROPERTY_PREFIX, utc};
use crate::source::{OP_COLUMN, Operation, SourceBatch, SourceError, SourceErrorKind, SourceTable};

const INSERT: i8 = Operation::Insert as i8;
const UPDATE_BEFORE: i8 = Operation::UpdateBefore as i8;
const UPDATE_AFTER: i8 = Operation::UpdateAfter as i8;
const DELETE: i8 = Operation::Delete as i8;

/// What the rules make of a table.
#[derive(Debug)]
pub(super) struct TableTransform {
    /// The table as the rules leave it.
    pub(super) declared: SourceTable,
    /// Things worth telling.
    pub(super) warnings: Vec<TransformError>,
    /// Rules with different filters, in order; a row takes the first whose filter it passes.
    branches: Vec<Branch>,
    /// Columns that must not be NULL, by their place, unless the source says so itself.
    required: Vec<usize>,
    soft_delete: bool,
    /// The rows stay as they are.
    identity: bool,
}

/// One rule, bound to the columns of the table.
#[derive(Debug)]
struct Branch {
    filter: Option<Part>,
    columns: Vec<OutputColumn>,
    /// What the columns are computed from.
    inputs: Vec<Input>,
    input_schema: SchemaRef,
    rule: usize,
}

/// An expression with what it reads.
#[derive(Debug)]
struct Part {
    expr: Bound,
    inputs: Vec<Input>,
    schema: SchemaRef,
}

#[derive(Debug)]
enum OutputColumn {
    /// A column of the source as it is.
    Taken(usize),
    Computed {
        name: String,
        expr: Bound,
    },
}

/// Rows that went through.
#[derive(Debug)]
pub(super) struct Transformed {
    pub(super) batch: SourceBatch,
    /// Changes that no filter let pass; an update counts once.
    pub(super) filtered: u64,
}

impl TableTransform {
    /// Binds the rules for a table; none when no rule is about it.
    ///
    /// # Errors
    ///
    /// A rule that does not fit the table's columns.
    pub(super) fn new(
        rules: &[TransformRule],
        context: &Context,
        table: &SourceTable,
    ) -> Result<Option<Self>, TransformError> {
        let Some(first) = rules.iter().find(|rule| rule.matches(&table.path)) else {
            return Ok(None);
        };
        // The first rule that matches wins, together with those that name the same tables and sort
        // the rows by their filters.
        let group: Vec<&TransformRule> = rules
            .iter()
            .filter(|rule| rule.text.source_table.value == first.text.source_table.value)
            .collect();
        let mut warnings = Vec::new();
        let mut branches = Vec::new();
        let mut declared: Option<(SourceTable, usize)> = None;
        for rule in &group {
            let (branch, fields) = Branch::new(rule, context, table, &mut warnings)?;
            let shaped = shaped(rule, table, fields)?;
            match &declared {
                None => declared = Some((shaped, rule.number)),
                Some((first, number)) => check_same_shape(rule, &shaped, first, *number)?,
            }
            branches.push(branch);
        }
        let Some((declared, _)) = declared else {
            return Ok(None);
        };
        let required = declared
            .schema
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| !field.is_nullable())
            .filter(|(index, _)| {
                branches
                    .iter()
                    .any(|branch: &Branch| branch.may_be_null(*index, table))
            })
            .map(|(index, _)| index)
            .collect();
        let identity = !first.text.soft_delete
            && declared.schema == table.schema
            && branches.len() == 1
            && branches.iter().all(Branch::leaves_rows);
        Ok(Some(Self {
            declared,
            warnings,
            branches,
            required,
            soft_delete: first.text.soft_delete,
            identity,
        }))
    }

    /// Puts the rows of a batch through the rules.
    ///
    /// # Errors
    ///
    /// A row on which an expression fails.
    pub(super) fn apply(&self, batch: SourceBatch) -> Result<Transformed, SourceError> {
        if self.identity {
            return Ok(Transformed { batch, filtered: 0 });
        }
        let now = chrono::Utc::now().timestamp_millis();
        let operations = operations_of(&batch.batch);
        let columns = batch.batch.num_columns() - usize::from(operations.is_some());
        let source = Source {
            batch: &batch.batch,
            columns,
            operations: operations.as_ref(),
            now,
        };
        let chosen = self
            .choose(&source)
            .map_err(|fault| fault.locate(self, &batch))?;
        let (kept, operations, filtered) = self.survivors(chosen.as_deref(), &source);
        let rows = kept
            .as_ref()
            .map_or(batch.batch.num_rows(), |kept| kept.len());
        let mut arrays = self
            .project(&source, chosen.as_deref(), kept.as_ref())
            .map_err(|fault| fault.locate(self, &batch))?;
        self.check_required(&arrays, kept.as_ref(), &batch)?;
        let schema = &self.declared.schema;
        let schema = match operations {
            Some(operations) => {
                arrays.push(Arc::new(operations));
                let mut fields = schema.fields().to_vec();
                fields.push(Arc::new(Field::new(OP_COLUMN, DataType::Int8, false)));
                Arc::new(Schema::new(fields))
            }
            None => Arc::clone(schema),
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let transformed = RecordBatch::try_new_with_options(schema, arrays, &options)
            .map_err(|error| self.defect(&error.to_string()))?;
        let bytes = if filtered == 0 && rows == batch.batch.num_rows() {
            batch.bytes
        } else {
            // In proportion: what is left of what was read.
            let all = batch.batch.num_rows().max(1) as u64;
            batch.bytes.saturating_mul(rows as u64) / all
        };
        let origin = match &kept {
            Some(kept) => batch.origin.select(kept.values()),
            None => batch.origin,
        };
        Ok(Transformed {
            batch: SourceBatch {
                batch: transformed,
                bytes,
                origin,
                ..batch
            },
            filtered,
        })
    }

    /// For every row the branch it takes; none = every row takes the first.
    fn choose(&self, source: &Source<'_>) -> Result<Option<Vec<Option<usize>>>, Fault> {
        let rows = source.batch.num_rows();
        if let [branch] = self.branches.as_slice()
            && branch.filter.is_none()
        {
            return Ok(None);
        }
        let mut chosen: Vec<Option<usize>> = vec![None; rows];
        for (index, branch) in self.branches.iter().enumerate() {
            let open: Vec<u32> = (0..)
                .zip(&chosen)
                .filter(|(_, c)| c.is_none())
                .map(|(row, _)| row)
                .collect();
            if open.is_empty() {
                break;
            }
            let all = open.len() == rows;
            let open = UInt32Array::from(open);
            let passes = match &branch.filter {
                None => None,
                Some(filter) => {
                    let batch = source
                        .inputs(&filter.inputs, &filter.schema, (!all).then_some(&open))
                        .map_err(|error| Fault::of_filter(index, error))?;
                    let passes = filter
                        .expr
                        .evaluate(&batch)
                        .map_err(|error| Fault::of_filter(index, error))?;
                    Some(passes)
                }
            };
            for (place, row) in open.values().iter().enumerate() {
                let passed = passes.as_ref().is_none_or(|passes| {
                    let passes: &BooleanArray = passes.as_boolean();
                    passes.is_valid(place) && passes.value(place)
                });
                if let Some(slot) = chosen.get_mut(*row as usize).filter(|_| passed) {
                    *slot = Some(index);
                }
            }
        }
        if self.branches.len() == 1 && chosen.iter().all(Option::is_some) {
            return Ok(None);
        }
        Ok(Some(chosen))
    }

    /// The rows that stay, none = all; what they do, none = all are inserts; and how many changes
    /// are gone.
    ///
    /// An update whose rows pass both is an update. If only the row before passes it is a delete,
    /// if only the row after, an insert. Where the source does not know the row before, and the row
    /// after does not pass, the table may still hold one of that key: it is deleted.
    fn survivors(
        &self,
        chosen: Option<&[Option<usize>]>,
        source: &Source<'_>,
    ) -> (Option<UInt32Array>, Option<Int8Array>, u64) {
        let Some(operations) = source.operations else {
            let Some(chosen) = chosen else {
                return (None, None, 0);
            };
            let kept: Vec<u32> = (0..)
                .zip(chosen)
                .filter(|(_, c)| c.is_some())
                .map(|(row, _)| row)
                .collect();
            let filtered = (chosen.len() - kept.len()) as u64;
            return (Some(UInt32Array::from(kept)), None, filtered);
        };
        let deleted = if self.soft_delete { INSERT } else { DELETE };
        let values = operations.values();
        let Some(chosen) = chosen else {
            if !self.soft_delete {
                return (None, Some(operations.clone()), 0);
            }
            let soft = values
                .iter()
                .map(|op| if *op == DELETE { INSERT } else { *op });
            return (None, Some(Int8Array::from_iter_values(soft)), 0);
        };
        let keyed = !self.declared.primary_key.is_empty();
        let (mut kept, mut new, mut filtered) = (Vec::new(), Vec::new(), 0_u64);
        let mut rows = (0_u32..).zip(values.iter().zip(chosen)).peekable();
        while let Some((row, (operation, passed))) = rows.next() {
            let mut keep = |row: u32, operation: i8| {
                kept.push(row);
                new.push(operation);
            };
            match *operation {
                UPDATE_BEFORE => {
                    let after = rows.next_if(|(_, (operation, _))| **operation == UPDATE_AFTER);
                    match (passed, after) {
                        (Some(_), Some((next, (_, Some(_))))) => {
                            keep(row, UPDATE_BEFORE);
                            keep(next, UPDATE_AFTER);
                        }
                        (Some(_), _) => keep(row, deleted),
                        (None, Some((next, (_, Some(_))))) => keep(next, INSERT),
                        (None, _) => filtered += 1,
                    }
                }
                UPDATE_AFTER => match passed {
                    Some(_) => keep(row, UPDATE_AFTER),
                    None if keyed && !self.soft_delete => keep(row, DELETE),
                    None => filtered += 1,
                },
                DELETE if passed.is_some() => keep(row, deleted),
                other if passed.is_some() => keep(row, other),
                _ => filtered += 1,
            }
        }
        (
            Some(UInt32Array::from(kept)),
            Some(Int8Array::from(new)),
            filtered,
        )
    }

    /// The columns of the rows that stay.
    fn project(
        &self,
        source: &Source<'_>,
        chosen: Option<&[Option<usize>]>,
        kept: Option<&UInt32Array>,
    ) -> Result<Vec<ArrayRef>, Fault> {
        let first = self.branches.first();
        let (Some(chosen), Some(kept)) = (chosen.filter(|_| self.branches.len() > 1), kept) else {
            return first.map_or(Ok(Vec::new()), |branch| branch.project(0, source, kept));
        };
        // Each branch computes its own rows, which then take their places again.
        let mut parts = Vec::with_capacity(self.branches.len());
        let mut places = vec![(0_usize, 0_usize); kept.len()];
        for (index, branch) in self.branches.iter().enumerate() {
            let mut rows = Vec::new();
            for (place, row) in places.iter_mut().zip(kept.values()) {
                // A row that is deleted because it does not pass takes the first branch.
                let branch = chosen.get(*row as usize).copied().flatten().unwrap_or(0);
                if branch == index {
                    *place = (index, rows.len());
                    rows.push(*row);
                }
            }
            parts.push(branch.project(index, source, Some(&UInt32Array::from(rows)))?);
        }
        (0..self.declared.schema.fields().len())
            .map(|column| {
                let parts: Vec<&dyn Array> = parts
                    .iter()
                    .filter_map(|part| part.get(column).map(AsRef::as_ref))
                    .collect();
                interleave(&parts, &places).map_err(|error| Fault::of_filter(0, error.into()))
            })
            .collect()
    }

    fn check_required(
        &self,
        columns: &[ArrayRef],
        kept: Option<&UInt32Array>,
        batch: &SourceBatch,
    ) -> Result<(), SourceError> {
        for index in &self.required {
            let (Some(column), Some(field)) = (
                columns.get(*index),
                self.declared.schema.fields().get(*index),
            ) else {
                continue;
            };
            if column.null_count() == 0 {
                continue;
            }
            let row = (0..column.len())
                .find(|row| column.is_null(*row))
                .unwrap_or(0);
            let row = kept.map_or(row, |kept| {
                kept.values().get(row).map_or(0, |row| *row as usize)
            });
            let place = batch.origin.locate(u32::try_from(row).unwrap_or(0));
            let key = self.declared.primary_key.contains(field.name());
            let message = format!(
                "column `{}` of table {} is NULL, {}",
                field.name(),
                self.declared.path,
                if key {
                    "and is part of its primary key"
                } else {
                    "which its type rules out"
                }
            );
            return Err(SourceError::new(SourceErrorKind::Data, message)
                .at(place)
                .help("COALESCE it in the projection, or let `filter` leave such rows out"));
        }
        Ok(())
    }

    fn defect(&self, reason: &str) -> SourceError {
        SourceError::new(
            SourceErrorKind::Data,
            format!(
                "table {} can not be transformed: {reason}",
                self.declared.path
            ),
        )
    }
}

impl Branch {
    fn new(
        rule: &TransformRule,
        context: &Context,
        table: &SourceTable,
        warnings: &mut Vec<TransformError>,
    ) -> Result<(Self, Vec<Field>), TransformError> {
        let scope = |computed| Scope {
            columns: Some(&table.schema),
            table: Some(&table.path),
            computed,
        };
        let mut tell = |binder: &Binder<'_>, part: &str, at| {
            for warning in binder.warnings.take() {
                warnings.push(rule.error(at, part, &format!("table {}: {warning}", table.path)));
            }
        };
        let mut columns: Vec<(String, Field, OutputColumn)> = Vec::new();
        let mut put = |name: &str, field: Field, column: OutputColumn| {
            // The last one of a name counts, at the place of the first.
            match columns.iter_mut().find(|(known, _, _)| known == name) {
                Some(known) => *known = (name.to_owned(), field, column),
                None => columns.push((name.to_owned(), field, column)),
            }
        };
        let binder = Binder::new(context, scope(HashMap::new()));
        let all = [Item::All];
        for item in rule.items.as_deref().unwrap_or(&all) {
            match item {
                Item::All => {
                    for (index, field) in table.schema.fields().iter().enumerate() {
                        put(
                            field.name(),
                            field.as_ref().clone(),
                            OutputColumn::Taken(index),
                        );
                    }
                }
                Item::Column { name, expr } => {
                    let part = format!("column `{name}`");
                    let fail = |reason: &str| rule.error(rule.projection_at(), &part, reason);
                    let bound = binder.bind_whole(expr).map_err(|reason| fail(&reason))?;
                    if bound.is_untyped() {
                        return Err(fail("its value has no type; write CAST(NULL AS …)"));
                    }
                    let field = match &bound.column {
                        Some(column) => column.as_ref().clone().with_name(name),
                        None => Field::new(name, bound.ty.clone(), bound.nullable),
                    };
                    let source = bound
                        .column
                        .as_ref()
                        .and_then(|column| table.schema.index_of(column.name()).ok());
                    let column = match source {
                        Some(source) => OutputColumn::Taken(source),
                        None => OutputColumn::Computed {
                            name: name.clone(),
                            expr: bound,
                        },
                    };
                    put(name, field, column);
                }
            }
        }
        tell(&binder, "projection", rule.projection_at());
        let filter = match &rule.filter {
            None => None,
            Some(filter) => {
                let fail = |reason: &str| rule.error(rule.filter_at(), "filter", reason);
                let binder = Binder::new(context, scope(rule.computed()));
                let expr = binder.bind_whole(filter).map_err(|reason| fail(&reason))?;
                let expr =
                    super::conditions::condition(&binder, expr).map_err(|reason| fail(&reason))?;
                tell(&binder, "filter", rule.filter_at());
                Some(Part {
                    expr,
                    inputs: binder.inputs(),
                    schema: Arc::new(Schema::new(binder.input_fields())),
                })
            }
        };
        let (fields, columns) = columns
            .into_iter()
            .map(|(_, field, column)| (field, column))
            .unzip();
        let branch = Self {
            filter,
            columns,
            inputs: binder.inputs(),
            input_schema: Arc::new(Schema::new(binder.input_fields())),
            rule: rule.number,
        };
        Ok((branch, fields))
    }

    /// Whether every row passes and every column is taken from its place.
    fn leaves_rows(&self) -> bool {
        self.filter.is_none()
            && self.columns.iter().enumerate().all(
                |(index, column)| matches!(column, OutputColumn::Taken(source) if *source == index),
            )
    }

    fn may_be_null(&self, column: usize, table: &SourceTable) -> bool {
        match self.columns.get(column) {
            Some(OutputColumn::Taken(source)) => table
                .schema
                .fields()
                .get(*source)
                .is_some_and(|field| field.is_nullable()),
            Some(OutputColumn::Computed { expr, .. }) => expr.nullable,
            None => false,
        }
    }

    /// The columns of these rows; none = all.
    fn project(
        &self,
        index: usize,
        source: &Source<'_>,
        rows: Option<&UInt32Array>,
    ) -> Result<Vec<ArrayRef>, Fault> {
        let computes = self
            .columns
            .iter()
            .any(|column| matches!(column, OutputColumn::Computed { .. }));
        let inputs = if computes {
            let fault = |error| Fault::of_filter(index, error);
            Some(
                source
                    .inputs(&self.inputs, &self.input_schema, rows)
                    .map_err(fault)?,
            )
        } else {
            None
        };
        self.columns
            .iter()
            .enumerate()
            .map(|(place, column)| {
                let fault = |error| Fault {
                    branch: index,
                    column: Some(place),
                    error,
                };
                match (column, &inputs) {
                    (OutputColumn::Computed { expr, .. }, Some(inputs)) => {
                        expr.evaluate(inputs).map_err(fault)
                    }
                    (OutputColumn::Taken(column), _) => source.column(*column, rows).map_err(fault),
                    (OutputColumn::Computed { .. }, None) => Err(fault(no_column())),
                }
            })
            .collect()
    }
}

fn no_column() -> DataFusionError {
    super::expression::failed("the batch does not have the columns of its table")
}

/// A batch as expressions see it.
struct Source<'a> {
    batch: &'a RecordBatch,
    /// Number of columns of the table.
    columns: usize,
    operations: Option<&'a Int8Array>,
    now: i64,
}

impl Source<'_> {
    fn column(
        &self,
        index: usize,
        rows: Option<&UInt32Array>,
    ) -> Result<ArrayRef, DataFusionError> {
        let column = self
            .batch
            .columns()
            .get(index)
            .filter(|_| index < self.columns)
            .ok_or_else(no_column)?;
        Ok(match rows {
            Some(rows) => take(column, rows, None)?,
            None => Arc::clone(column),
        })
    }

    /// The batch that expressions are evaluated on.
    fn inputs(
        &self,
        inputs: &[Input],
        schema: &SchemaRef,
        rows: Option<&UInt32Array>,
    ) -> Result<RecordBatch, DataFusionError> {
        let count = rows.map_or(self.batch.num_rows(), |rows| rows.len());
        let columns = inputs
            .iter()
            .map(|input| match input {
                Input::Column(index) => self.column(*index, rows),
                Input::EventType => self.event_types(rows),
                Input::Clock => {
                    let clock = TimestampMillisecondArray::from_value(self.now, count);
                    Ok(Arc::new(clock.with_timezone_opt(utc())) as ArrayRef)
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(schema),
            columns,
            &options,
        )?)
    }

    fn event_types(&self, rows: Option<&UInt32Array>) -> Result<ArrayRef, DataFusionError> {
        let names = StringArray::from(vec!["+I", "-U", "+U", "-D"]);
        let count = self.batch.num_rows();
        let codes: UInt32Array = match self.operations {
            None => UInt32Array::from_value(0, count),
            Some(operations) => operations
                .values()
                .iter()
                .map(|op| u32::try_from(*op).ok())
                .collect(),
        };
        let types = take(&names, &codes, None)?;
        Ok(match rows {
            Some(rows) => take(&types, rows, None)?,
            None => types,
        })
    }
}

fn operations_of(batch: &RecordBatch) -> Option<Int8Array> {
    batch
        .column_by_name(OP_COLUMN)
        .and_then(|column| column.as_primitive_opt::<Int8Type>())
        .cloned()
}

/// An expression that failed.
struct Fault {
    branch: usize,
    /// The column that it computes; none = it is the filter.
    column: Option<usize>,
    error: DataFusionError,
}

impl Fault {
    fn of_filter(branch: usize, error: DataFusionError) -> Self {
        Self {
            branch,
            column: None,
            error,
        }
    }

    /// Finds the row by evaluating one after the other.
    fn locate(self, table: &TableTransform, batch: &SourceBatch) -> SourceError {
        let branch = table.branches.get(self.branch);
        let rule = branch.map_or(0, |branch| branch.rule);
        let column = branch
            .and_then(|branch| branch.columns.get(self.column?))
            .and_then(|column| match column {
                OutputColumn::Computed { name, expr } => Some((name, expr)),
                OutputColumn::Taken(_) => None,
            });
        let part = match column {
            Some((name, _)) => format!("column `{name}`"),
            None => "filter".to_owned(),
        };
        let message = message_of(&self.error);
        let error = SourceError::new(
            SourceErrorKind::Data,
            format!(
                "transform rule {rule}, {part}, table {}: {message}",
                table.declared.path
            ),
        );
        match branch.and_then(|branch| branch.first_failing(column.map(|(_, expr)| expr), batch)) {
            Some(row) => error.at(batch.origin.locate(row)),
            None => error.at(batch.origin.file()),
        }
    }
}

impl Branch {
    fn first_failing(&self, column: Option<&Bound>, batch: &SourceBatch) -> Option<u32> {
        let (expr, inputs, schema) = match (column, &self.filter) {
            (Some(expr), _) => (expr, &self.inputs, &self.input_schema),
            (None, Some(filter)) => (&filter.expr, &filter.inputs, &filter.schema),
            (None, None) => return None,
        };
        let operations = operations_of(&batch.batch);
        let source = Source {
            batch: &batch.batch,
            columns: batch.batch.num_columns() - usize::from(operations.is_some()),
            operations: operations.as_ref(),
            now: 0,
        };
        let rows = source.inputs(inputs, schema, None).ok()?;
        // A row that the filter leaves out was not evaluated, and may fail just the same.
        let passes = |row: usize| match (column, &self.filter) {
            (Some(_), Some(filter)) => {
                let one = UInt32Array::from(vec![u32::try_from(row).unwrap_or(0)]);
                let batch = source
                    .inputs(&filter.inputs, &filter.schema, Some(&one))
                    .ok();
                let passes = batch.and_then(|batch| filter.expr.evaluate(&batch).ok());
                passes.is_some_and(|passes| passes.is_valid(0) && passes.as_boolean().value(0))
            }
            _ => true,
        };
        (0..rows.num_rows())
            .find(|row| expr.evaluate(&rows.slice(*row, 1)).is_err() && passes(*row))
            .and_then(|row| u32::try_from(row).ok())
    }
}

/// The table with the columns and keys that a rule gives it.
fn shaped(
    rule: &TransformRule,
    table: &SourceTable,
    mut fields: Vec<Field>,
) -> Result<SourceTable, TransformError> {
    let keys =
        |option: &str, given: &Option<crate::definition::Spanned<Vec<String>>>, own: &[String]| {
            let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            let missing = |column: &str| !names.contains(&column);
            if let Some(given) = given {
                if let Some(column) = given.value.iter().find(|column| missing(column)) {
                    let near = nearest(column, &names)
                        .map(|near| format!("; did you mean `{near}`?"))
                        .unwrap_or_default();
                    let reason = format!("table {} has no column `{column}`{near}", table.path);
                    return Err(rule.error(given.at, option, &reason));
                }
                return Ok(given.value.clone());
            }
            if let Some(column) = own.iter().find(|column| missing(column)) {
                let what = if option == "primary-keys" {
                    "primary key"
                } else {
                    "partition"
                };
                let reason = format!(
                    "column `{column}` of table {} belongs to its {what} and is missing",
                    table.path
                );
                return Err(rule
                    .error(rule.projection_at(), "projection", &reason)
                    .help(format!("add the column, or name others in `{option}`")));
            }
            Ok(own.to_vec())
        };
    let primary_key = keys("primary-keys", &rule.text.primary_keys, &table.primary_key)?;
    let partition_by = keys(
        "partition-keys",
        &rule.text.partition_keys,
        &table.partition_by,
    )?;
    for field in &mut fields {
        if primary_key.contains(field.name()) {
            if types::is_nested(field.data_type()) {
                let reason = format!(
                    "column `{}` is {}, which can be no key",
                    field.name(),
                    types::name(field.data_type())
                );
                return Err(rule.error(rule.text.source_table.at, "primary-keys", &reason));
            }
            field.set_nullable(false);
        }
    }
    if fields.is_empty() {
        return Err(rule.error(rule.projection_at(), "projection", "it leaves no column"));
    }
    let has = |name: &str| fields.iter().any(|field| field.name() == name);
    let renamed = table
        .renamed
        .iter()
        .filter(|(old, new)| has(new) && !has(old))
        .cloned()
        .collect();
    let mut metadata = table.schema.metadata().clone();
    metadata.extend(rule.text.table_options.iter().map(|(name, value)| {
        let key = match name.as_str() {
            "comment" => COMMENT_METADATA_KEY.to_owned(),
            _ => format!("{TABLE_PROPERTY_PREFIX}{name}"),
        };
        (key, value.clone())
    }));
    Ok(SourceTable {
        renamed,
        schema: Arc::new(Schema::new_with_metadata(Fields::from(fields), metadata)),
        primary_key,
        partition_by,
        ..table.clone()
    })
}

/// Rules that share a table give it one shape.
fn check_same_shape(
    rule: &TransformRule,
    shaped: &SourceTable,
    first: &SourceTable,
    number: usize,
) -> Result<(), TransformError> {
    let columns = |table: &SourceTable| {
        let column = |field: &Arc<Field>| {
            let ty = crate::source::types::ColumnType::of_field(field);
            format!("{} {ty}", field.name())
        };
        table
            .schema
            .fields()
            .iter()
            .map(column)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (ours, theirs) = (columns(shaped), columns(first));
    let reason = if ours != theirs {
        format!(
            "it makes ({ours}) of table {}, rule {number} makes ({theirs})",
            first.path
        )
    } else if shaped.primary_key != first.primary_key {
        format!("its primary keys are others than those of rule {number}")
    } else if shaped.partition_by != first.partition_by {
        format!("its partition keys are others than those of rule {number}")
    } else {
        return Ok(());
    };
    Err(rule
        .error(rule.projection_at(), "projection", &reason)
        .help("rules for the same tables sort rows by their filters and must give them the same columns"))
}
