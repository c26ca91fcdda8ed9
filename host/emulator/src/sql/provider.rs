//! Tables as DataFusion reads them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use crate::catalog::{Column, ColumnType, PartitionSpec};
use crate::storage::{Snapshot, Store, nanoseconds, partition_values};

/// Metadata of a field: its MaxCompute type.
pub(super) const TYPE: &str = "longshore:type";
/// Metadata of a field: its name with the letter case of the DDL.
pub(super) const NAME: &str = "longshore:name";

/// One table at one moment; names in lower case, data columns then partition columns.
#[derive(Debug)]
pub(super) struct SnapshotTable {
    store: Store,
    snapshot: Arc<Snapshot>,
    columns: Vec<Column>,
    schema: SchemaRef,
}

impl SnapshotTable {
    pub(super) fn new(store: Store, snapshot: Snapshot, wide: &HashSet<i64>) -> Self {
        let columns: Vec<Column> = snapshot
            .table
            .columns
            .iter()
            .chain(&snapshot.table.partition_columns)
            .cloned()
            .collect();
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| {
                let metadata = HashMap::from([
                    (TYPE.to_owned(), column.ty.to_string()),
                    (NAME.to_owned(), column.name.clone()),
                ]);
                let ty = query_type(&column.ty, wide.contains(&column.column_id));
                Field::new(column.name.to_lowercase(), ty, true).with_metadata(metadata)
            })
            .collect();
        Self {
            store,
            snapshot: Arc::new(snapshot),
            columns,
            schema: Arc::new(Schema::new(fields)),
        }
    }

    /// Leaves out the partitions that a filter excludes.
    fn pruned(&self, state: &dyn Session, filters: &[Expr]) -> Result<Snapshot> {
        let mut snapshot = (*self.snapshot).clone();
        let columns = &snapshot.table.partition_columns;
        if columns.is_empty() || filters.is_empty() {
            return Ok(snapshot);
        }
        let names: Vec<String> = columns.iter().map(|c| c.name.to_lowercase()).collect();
        let fields: Vec<Field> = self
            .schema
            .fields()
            .iter()
            .filter(|f| names.contains(f.name()))
            .map(|f| f.as_ref().clone())
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let df_schema = DFSchema::try_from(schema.as_ref().clone())?;
        let mut checks = Vec::new();
        for filter in filters {
            if filter
                .column_refs()
                .iter()
                .all(|column| names.contains(&column.name().to_owned()))
            {
                let plain = unqualified(filter.clone())?;
                checks.push(state.create_physical_expr(plain, &df_schema)?);
            }
        }
        let columns = columns.clone();
        let mut failure = None;
        let keep = |spec: &PartitionSpec| -> Result<bool> {
            let arrays = partition_values(&columns, spec).map_err(external)?;
            let row = RecordBatch::try_new(schema.clone(), arrays)?;
            for check in &checks {
                let value = check.evaluate(&row)?.into_array(1)?;
                let value = value.as_boolean();
                if !(value.iter().next().flatten().unwrap_or(false)) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let mut kept: HashMap<PartitionSpec, bool> = HashMap::new();
        for spec in snapshot
            .files
            .iter()
            .filter_map(|file| file.partition.clone())
        {
            if let Entry::Vacant(entry) = kept.entry(spec) {
                match keep(entry.key()) {
                    Ok(wanted) => entry.insert(wanted),
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                };
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        snapshot.retain(|spec| kept.get(spec).copied().unwrap_or(true));
        Ok(snapshot)
    }
}

/// Column references without their table, for evaluation against partition values alone.
fn unqualified(expr: Expr) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let transformed = expr.transform(|expr| {
        Ok(match expr {
            Expr::Column(column) if column.relation.is_some() => Transformed::yes(Expr::Column(
                datafusion::common::Column::new_unqualified(column.name),
            )),
            other => Transformed::no(other),
        })
    })?;
    Ok(transformed.data)
}

fn external(error: crate::catalog::StoreError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let snapshot = self.pruned(state, filters)?;
        let indices: Vec<usize> = match projection {
            Some(indices) => indices.clone(),
            None => (0..self.columns.len()).collect(),
        };
        let schema = Arc::new(self.schema.project(&indices)?);
        let columns = indices
            .iter()
            .filter_map(|i| self.columns.get(*i))
            .map(|c| c.name.clone())
            .collect();
        let stream = SnapshotStream {
            store: self.store.clone(),
            snapshot: Arc::new(snapshot),
            columns,
            schema: schema.clone(),
            limit,
        };
        Ok(Arc::new(StreamingTableExec::try_new(
            schema,
            vec![Arc::new(stream)],
            None,
            None,
            false,
            limit,
        )?))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

#[derive(Debug)]
struct SnapshotStream {
    store: Store,
    snapshot: Arc<Snapshot>,
    columns: Vec<String>,
    schema: SchemaRef,
    limit: Option<usize>,
}

impl PartitionStream for SnapshotStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(self.schema.clone(), 2);
        let sender = builder.tx();
        let (store, snapshot) = (self.store.clone(), self.snapshot.clone());
        let (columns, schema) = (self.columns.clone(), self.schema.clone());
        let rows = self.limit.map_or(u64::MAX, |limit| limit as u64);
        builder.spawn_blocking(move || {
            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
            let scan = store.scan(&snapshot, &names, 0..rows).map_err(external)?;
            for batch in scan {
                let batch = batch
                    .map_err(external)
                    .and_then(|batch| to_query(&schema, &batch));
                if sender.blocking_send(batch).is_err() {
                    break;
                }
            }
            Ok(())
        });
        builder.build()
    }
}

/// Type of a column inside queries: timestamps are nanoseconds when all values fit.
pub(super) fn query_type(ty: &ColumnType, wide: bool) -> DataType {
    match ty {
        ColumnType::Timestamp | ColumnType::TimestampNtz if !wide => {
            DataType::Timestamp(TimeUnit::Nanosecond, None)
        }
        other => other.arrow_type(),
    }
}

fn to_query(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    let arrays = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, array)| match field.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, None) => match array.as_struct_opt() {
                Some(pairs) => nanoseconds(pairs)
                    .map(|values| Arc::new(values) as ArrayRef)
                    .ok_or_else(|| {
                        DataFusionError::Execution(format!(
                            "a value of {} is outside the years 1678 to 2261",
                            field.name()
                        ))
                    }),
                None => Ok(array.clone()),
            },
            _ => Ok(array.clone()),
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        arrays,
        &options,
    )?)
}
