//! SELECT: names resolved here, everything else by DataFusion.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider,
};
use datafusion::common::TableReference;
use datafusion::config::Dialect;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{Expr, SelectItem, SetExpr, Statement};

use super::lexer::{Kind, tokens};
use super::names::Names;
use super::provider::{NAME, SnapshotTable, TYPE, query_type};
use super::statement::TableName;
use super::{InstanceResult, SqlError};
use crate::catalog::{Column, ColumnType};
use crate::storage::{Store, stored_type, to_memory};

/// Runs a query; rows in memory types.
pub(super) async fn run(
    store: &Store,
    names: &Names,
    at: (usize, usize),
    text: &str,
) -> Result<InstanceResult, SqlError> {
    let text = standard_text(text)?;
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_information_schema(false);
    config.options_mut().sql_parser.dialect = Dialect::Generic;
    config.options_mut().sql_parser.enable_ident_normalization = true;
    let context = SessionContext::new_with_config(config);
    let failed = |error: datafusion::error::DataFusionError| failure(at, &error);
    let statement = context
        .state()
        .sql_to_statement(&text, &Dialect::Generic)
        .map_err(|error| syntax(at, &error))?;
    for reference in context
        .state()
        .resolve_table_references(&statement)
        .map_err(failed)?
    {
        register(&context, store, names, at, &reference).await?;
    }
    let titles = titles(&statement);
    let plan = context
        .state()
        .statement_to_plan(statement)
        .await
        .map_err(failed)?;
    let options = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    options.verify_plan(&plan).map_err(failed)?;
    let frame = context.execute_logical_plan(plan).await.map_err(failed)?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.map_err(failed)?;
    result(&schema, batches, titles.as_deref()).map_err(|error| SqlError::store(at, error))
}

/// The query in standard SQL: names in double quotes and lower case, strings without backslashes.
fn standard_text(text: &str) -> Result<String, SqlError> {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for token in tokens(text)? {
        // Comments and white space between tokens stay, so that places in errors stay.
        let between = text.get(copied..token.start).unwrap_or("");
        out.push_str(between);
        copied = token.end;
        match &token.kind {
            Kind::Quoted(name) => {
                out.push('"');
                out.push_str(&name.to_lowercase().replace('"', "\"\""));
                out.push('"');
            }
            Kind::Text(value) => {
                out.push('\'');
                out.push_str(&value.replace('\'', "''"));
                out.push('\'');
            }
            Kind::Number(number) => out.push_str(number),
            // Names beyond ASCII would keep their letter case.
            Kind::Word(word) if !word.is_ascii() => out.push_str(&word.to_lowercase()),
            Kind::Word(_) | Kind::Symbol(_) => {
                out.push_str(text.get(token.start..token.end).unwrap_or(""))
            }
        }
    }
    Ok(out)
}

async fn register(
    context: &SessionContext,
    store: &Store,
    names: &Names,
    at: (usize, usize),
    reference: &TableReference,
) -> Result<(), SqlError> {
    let parts = match reference {
        TableReference::Bare { table } => vec![table.to_string()],
        TableReference::Partial { schema, table } => vec![schema.to_string(), table.to_string()],
        TableReference::Full {
            catalog,
            schema,
            table,
        } => {
            vec![catalog.to_string(), schema.to_string(), table.to_string()]
        }
    };
    let name = TableName { parts, at };
    let names = names.clone();
    let provider = store
        .blocking({
            let name = name.clone();
            move |store| {
                Ok(names.table(store, &name).and_then(|table| {
                    let failed = |error| SqlError::store(at, error);
                    let snapshot = store.snapshot(&table, None).map_err(failed)?;
                    let wide = store.wide_timestamps(&snapshot).map_err(failed)?;
                    Ok(SnapshotTable::new(store.clone(), snapshot, &wide))
                }))
            }
        })
        .await
        .map_err(|error| SqlError::store(at, error))??;
    let internal = |error: datafusion::error::DataFusionError| failure(at, &error);
    let resolved = reference.clone().resolve("datafusion", "public");
    let catalog = match context.catalog(&resolved.catalog) {
        Some(catalog) => catalog,
        None => {
            let catalog: Arc<dyn CatalogProvider> = Arc::new(MemoryCatalogProvider::new());
            context.register_catalog(resolved.catalog.to_string(), catalog.clone());
            catalog
        }
    };
    let schema = match catalog.schema(&resolved.schema) {
        Some(schema) => schema,
        None => {
            let schema: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
            catalog
                .register_schema(&resolved.schema, schema.clone())
                .map_err(internal)?;
            schema
        }
    };
    if !schema.table_exist(&resolved.table) {
        schema
            .register_table(resolved.table.to_string(), Arc::new(provider))
            .map_err(internal)?;
    }
    Ok(())
}

/// Names of the output columns where the query text decides them; None for those of the plan.
fn titles(statement: &Parsed) -> Option<Vec<Option<String>>> {
    let Parsed::Statement(statement) = statement else {
        return None;
    };
    let Statement::Query(query) = statement.as_ref() else {
        return None;
    };
    let mut body = query.body.as_ref();
    loop {
        body = match body {
            SetExpr::SetOperation { left, .. } => left.as_ref(),
            SetExpr::Query(query) => query.body.as_ref(),
            SetExpr::Select(select) => {
                let wild = |item: &SelectItem| {
                    matches!(
                        item,
                        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
                    )
                };
                if select.projection.iter().any(wild) {
                    return None;
                }
                let title = |(index, item): (usize, &SelectItem)| match item {
                    SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => {
                        None
                    }
                    SelectItem::UnnamedExpr(_) => Some(format!("_c{index}")),
                    _ => None,
                };
                return Some(select.projection.iter().enumerate().map(title).collect());
            }
            SetExpr::Values(_) => return None,
            _ => return None,
        };
    }
}

fn result(
    schema: &Schema,
    batches: Vec<RecordBatch>,
    titles: Option<&[Option<String>]>,
) -> Result<InstanceResult, crate::catalog::StoreError> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (index, field) in schema.fields().iter().enumerate() {
        let title = titles.and_then(|titles| titles.get(index).cloned().flatten());
        let original = field
            .metadata()
            .get(NAME)
            .filter(|name| name.to_lowercase() == *field.name());
        let name = title
            .or_else(|| original.cloned())
            .unwrap_or_else(|| field.name().clone());
        let mut column = Column::new(name, column_type(field)?);
        column.column_id = i64::try_from(index).unwrap_or_default() + 1;
        columns.push(column);
    }
    let fields: Vec<Field> = columns.iter().map(Column::field).collect();
    let memory = Arc::new(Schema::new(fields));
    let mut converted = Vec::with_capacity(batches.len());
    for batch in batches {
        let arrays = columns
            .iter()
            .zip(batch.columns())
            .map(|(column, array)| memory_form(array, &column.ty))
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        converted.push(RecordBatch::try_new_with_options(
            memory.clone(),
            arrays,
            &options,
        )?);
    }
    Ok(InstanceResult::new(columns, memory, converted))
}

/// The MaxCompute type of an output column.
fn column_type(field: &Field) -> Result<ColumnType, crate::catalog::StoreError> {
    if let Some(ty) = field
        .metadata()
        .get(TYPE)
        .and_then(|text| text.parse::<ColumnType>().ok())
        && (query_type(&ty, false) == *field.data_type() || ty.arrow_type() == *field.data_type())
    {
        return Ok(ty);
    }
    plain_type(field.data_type())
        .and_then(|ty| stored_type(&ty))
        .ok_or_else(|| {
            crate::catalog::StoreError::Invalid(format!(
                "a result of type {} has no MaxCompute type",
                field.data_type()
            ))
        })
}

/// The storage type nearest to a query's type.
fn plain_type(ty: &DataType) -> Option<DataType> {
    Some(match ty {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::Interval(_)
        | DataType::Duration(_)
        | DataType::Time32(_)
        | DataType::Time64(_) => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            DataType::Timestamp(TimeUnit::Millisecond, None)
        }
        // An instant: stored_type() tells TIMESTAMP by the zone.
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Decimal256(p, s) => DataType::Decimal128((*p).min(38), *s),
        DataType::Dictionary(_, value) => plain_type(value)?,
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::FixedSizeList(f, _)
        | DataType::ListView(f) => DataType::List(Arc::new(Field::new(
            "element",
            plain_type(f.data_type())?,
            true,
        ))),
        other => other.clone(),
    })
}

/// An output array in the memory form of its type.
pub(super) fn memory_form(
    array: &ArrayRef,
    ty: &ColumnType,
) -> Result<ArrayRef, crate::catalog::StoreError> {
    let strict = CastOptions {
        safe: false,
        ..Default::default()
    };
    if *array.data_type() == ty.arrow_type() {
        return Ok(array.clone());
    }
    match ty {
        ColumnType::Timestamp | ColumnType::TimestampNtz => {
            let nanos = cast_with_options(
                array,
                &DataType::Timestamp(TimeUnit::Nanosecond, None),
                &strict,
            )?;
            to_memory(&nanos, ty)
        }
        ColumnType::Datetime => {
            let millis = cast_with_options(
                array,
                &DataType::Timestamp(TimeUnit::Millisecond, None),
                &strict,
            )?;
            to_memory(&millis, ty)
        }
        _ => Ok(cast_with_options(array, &ty.arrow_type(), &strict)?),
    }
}

fn syntax(at: (usize, usize), error: &datafusion::error::DataFusionError) -> SqlError {
    let text = clean(error);
    // The parser appends ` at Line: 1, Column: 8`.
    let place = text.rsplit_once(" at Line: ").and_then(|(_, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
        Some((line.trim().parse().ok()?, digits.parse().ok()?))
    });
    SqlError::parse(place.unwrap_or(at), text)
}

fn failure(at: (usize, usize), error: &datafusion::error::DataFusionError) -> SqlError {
    SqlError::semantic(at, clean(error))
}

fn clean(error: &datafusion::error::DataFusionError) -> String {
    let text = error.strip_backtrace();
    [
        "Error during planning: ",
        "SQL error: ",
        "Schema error: ",
        "Execution error: ",
    ]
    .iter()
    .fold(text, |text, prefix| {
        text.strip_prefix(prefix).map(str::to_owned).unwrap_or(text)
    })
}
