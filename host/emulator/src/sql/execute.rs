//! Runs the statements of a job, one after the other.

use super::names::Names;
use super::statement::{Alter, PartitionPairs, Statement, TableName};
use super::{InstanceResult, SqlError, describe, insert, parser, query};
use crate::auth::Permission;
use crate::catalog::{Column, PartitionSpec, StoreError, TableMeta};
use crate::rest::OWNER;
use crate::storage::{Store, TableChange, TableSpec};

/// What the last statement with an answer gave.
#[derive(Debug)]
pub(super) enum Output {
    Nothing,
    Text(String),
    Rows(InstanceResult),
}

/// Runs a whole job. It is parsed before anything runs.
pub(super) async fn run(
    store: &Store,
    mut names: Names,
    text: &str,
    permission: Permission,
) -> Result<Output, SqlError> {
    let statements = parser::parse(text)?;
    let mut output = Output::Nothing;
    for (at, statement) in statements {
        if permission != Permission::Full && !statement.is_reading() {
            return Err(SqlError::new(
                super::error::NO_PERMISSION,
                at,
                "Authorization exception - no permission to change data or definitions",
            ));
        }
        let given = match statement {
            Statement::Set { key, value } => {
                names.settings.insert(key, value);
                Output::Nothing
            }
            Statement::Query { query } => {
                Output::Rows(query::run(store, &names, at, &query).await?)
            }
            Statement::Insert {
                name,
                overwrite,
                partition,
                columns,
                query,
            } => {
                let rows = query::run(store, &names, at, &query).await?;
                let names = names.clone();
                blocking(store, at, move |store| {
                    let target = insert::Target {
                        name: &name,
                        overwrite,
                        partition: &partition,
                        columns: &columns,
                    };
                    insert::run(store, &names, at, &target, &rows)
                })
                .await?;
                Output::Nothing
            }
            Statement::CreateTableAs {
                name,
                if_not_exists,
                spec,
                query,
            } => {
                create_as(store, &names, at, name, if_not_exists, *spec, &query).await?;
                Output::Nothing
            }
            other => {
                let names = names.clone();
                blocking(store, at, move |store| change(store, &names, at, other)).await?
            }
        };
        if !matches!(given, Output::Nothing) {
            output = given;
        }
    }
    Ok(output)
}

async fn blocking<T: Send + 'static>(
    store: &Store,
    at: (usize, usize),
    work: impl FnOnce(&Store) -> Result<T, SqlError> + Send + 'static,
) -> Result<T, SqlError> {
    store
        .blocking(move |store| Ok(work(store)))
        .await
        .map_err(|error| SqlError::store(at, error))?
}

async fn create_as(
    store: &Store,
    names: &Names,
    at: (usize, usize),
    name: TableName,
    if_not_exists: bool,
    mut spec: TableSpec,
    query: &str,
) -> Result<(), SqlError> {
    if !spec.columns.is_empty()
        || !spec.partition_columns.is_empty()
        || !spec.primary_key.is_empty()
    {
        return Err(SqlError::semantic(
            name.at,
            "CREATE TABLE AS takes its columns from the query",
        ));
    }
    let exists = {
        let (names, name) = (names.clone(), name.clone());
        blocking(store, at, move |store| {
            Ok(names.table(store, &name).is_ok())
        })
        .await?
    };
    if exists && if_not_exists {
        return Ok(());
    }
    let rows = query::run(store, names, at, query).await?;
    spec.columns = rows
        .columns
        .iter()
        .map(|c| Column::new(c.name.clone(), c.ty.clone()))
        .collect();
    let names = names.clone();
    blocking(store, at, move |store| {
        create_table(store, &names, &name, false, spec)?;
        let target = insert::Target {
            name: &name,
            overwrite: false,
            partition: &Vec::new(),
            columns: &[],
        };
        insert::run(store, &names, at, &target, &rows)
    })
    .await
}

fn create_table(
    store: &Store,
    names: &Names,
    name: &TableName,
    if_not_exists: bool,
    spec: TableSpec,
) -> Result<(), SqlError> {
    let full = names.full(store, name)?;
    match store.create_table(&full.project, &full.schema, &full.table, OWNER, spec) {
        Err(StoreError::AlreadyExists(_)) if if_not_exists => Ok(()),
        Err(error) => Err(SqlError::store(name.at, error)),
        Ok(_) => Ok(()),
    }
}

fn change(
    store: &Store,
    names: &Names,
    at: (usize, usize),
    statement: Statement,
) -> Result<Output, SqlError> {
    let failed = |error| SqlError::store(at, error);
    match statement {
        Statement::CreateTable {
            name,
            if_not_exists,
            spec,
        } => {
            create_table(store, names, &name, if_not_exists, *spec)?;
        }
        Statement::CreateTableLike {
            name,
            if_not_exists,
            like,
            lifecycle,
        } => {
            let like = names.table(store, &like)?;
            let spec = TableSpec {
                columns: like.columns.clone(),
                partition_columns: like.partition_columns.clone(),
                primary_key: like.primary_key.clone(),
                properties: like.properties.clone(),
                comment: like.comment.clone(),
                lifecycle,
                clustering: like.clustering.clone(),
            };
            create_table(store, names, &name, if_not_exists, spec)?;
        }
        Statement::DropTable { name, if_exists } => match names.table(store, &name) {
            Ok(table) => store.drop_table(&table).map_err(failed)?,
            Err(error) if if_exists && error.code == super::error::NO_TABLE => {}
            Err(error) => return Err(error),
        },
        Statement::Truncate { name, partitions } => {
            let table = names.table(store, &name)?;
            if partitions.is_empty() {
                store.truncate(&table, None).map_err(failed)?;
            } else {
                let mut specs = Vec::new();
                for pairs in &partitions {
                    specs.extend(matching(store, &table, pairs, at)?);
                }
                store.truncate(&table, Some(&specs)).map_err(failed)?;
            }
        }
        Statement::CreateSchema {
            name,
            if_not_exists,
            comment,
        } => {
            let (project, schema) = names.schema(&name)?;
            if store
                .database()
                .project_created(&project)
                .map_err(failed)?
                .is_none()
            {
                return Err(failed(StoreError::NoSuchProject(project)));
            }
            match store
                .database()
                .create_schema(&project, &schema, comment.as_deref())
            {
                Err(StoreError::AlreadyExists(_)) if if_not_exists => {}
                other => other.map_err(failed)?,
            }
        }
        Statement::DropSchema { name, if_exists } => {
            let (project, schema) = names.schema(&name)?;
            match store.database().drop_schema(&project, &schema) {
                Err(StoreError::NoSuchSchema(_)) if if_exists => {}
                other => other.map_err(failed)?,
            }
        }
        Statement::Alter { name, change } => {
            let table = names.table(store, &name)?;
            alter(store, &table, at, change)?;
        }
        reading => return describe::run(store, names, at, &reading).map(Output::Text),
    }
    Ok(Output::Nothing)
}

fn alter(
    store: &Store,
    table: &TableMeta,
    at: (usize, usize),
    change: Alter,
) -> Result<(), SqlError> {
    let failed = |error| SqlError::store(at, error);
    match change {
        Alter::Table(change) => {
            let columns = matches!(
                change,
                TableChange::AddColumns { .. }
                    | TableChange::DropColumns(_)
                    | TableChange::ChangeColumn { .. }
            );
            store
                .alter_table(table, change)
                .map_err(|error| match error {
                    // A refused change of columns has the semantic code, whatever the reason.
                    StoreError::AlreadyExists(what) if columns => {
                        SqlError::semantic(at, format!("{what} already exists"))
                    }
                    error => failed(error),
                })?;
        }
        Alter::RenameTable(name) => {
            store.rename_table(table, &name).map_err(failed)?;
        }
        Alter::AddPartitions {
            if_not_exists,
            partitions,
        } => {
            let specs = partitions
                .iter()
                .map(|pairs| exact(table, pairs, at))
                .collect::<Result<Vec<_>, _>>()?;
            if !if_not_exists {
                for spec in &specs {
                    if store.partition_exists(table, spec).map_err(failed)? {
                        return Err(failed(StoreError::AlreadyExists(format!(
                            "partition {}",
                            spec.rest_text()
                        ))));
                    }
                }
            }
            store
                .database()
                .add_partitions(&table.id, &specs)
                .map_err(failed)?;
        }
        Alter::DropPartitions {
            if_exists,
            partitions,
        } => {
            for pairs in &partitions {
                let specs = matching(store, table, pairs, at);
                let specs = match specs {
                    Err(error) if if_exists && error.code == super::error::DDL_TASK => Vec::new(),
                    other => other?,
                };
                for spec in &specs {
                    store.drop_partition(table, spec).map_err(failed)?;
                }
            }
        }
        Alter::RenamePartition { from, to } => {
            store
                .rename_partition(table, &exact(table, &from, at)?, &exact(table, &to, at)?)
                .map_err(failed)?;
        }
        Alter::PartitionProperties {
            partition,
            properties,
        } => {
            let spec = exact(table, &partition, at)?;
            store
                .set_partition_properties(table, &spec, properties)
                .map_err(failed)?;
        }
        Alter::TouchPartition(pairs) => {
            store
                .touch_partition(table, &exact(table, &pairs, at)?)
                .map_err(failed)?;
        }
    }
    Ok(())
}

/// A PARTITION clause that names one partition.
pub(super) fn exact(
    table: &TableMeta,
    pairs: &PartitionPairs,
    at: (usize, usize),
) -> Result<PartitionSpec, SqlError> {
    let values: Vec<(String, String)> = pairs
        .iter()
        .map(|(name, value)| match value {
            Some(value) => Ok((name.clone(), value.clone())),
            None => Err(SqlError::semantic(
                at,
                format!("partition column {name} has no value"),
            )),
        })
        .collect::<Result<_, _>>()?;
    PartitionSpec::from_pairs(table, &values).map_err(|error| SqlError::store(at, error))
}

/// Existing partitions with these values; a clause may leave out columns.
fn matching(
    store: &Store,
    table: &TableMeta,
    pairs: &PartitionPairs,
    at: (usize, usize),
) -> Result<Vec<PartitionSpec>, SqlError> {
    if pairs.len() == table.partition_columns.len() {
        let spec = exact(table, pairs, at)?;
        store
            .require_partition(table, &spec)
            .map_err(|error| SqlError::store(at, error))?;
        return Ok(vec![spec]);
    }
    for (name, _) in pairs {
        if !table
            .partition_columns
            .iter()
            .any(|c| crate::catalog::same_name(&c.name, name))
        {
            return Err(SqlError::semantic(
                at,
                format!("{name} is not a partition column of {}", table.full_name()),
            ));
        }
    }
    let all = store
        .partitions(table)
        .map_err(|error| SqlError::store(at, error))?;
    let fits = |spec: &PartitionSpec| {
        pairs.iter().all(|(name, value)| {
            spec.0
                .iter()
                .any(|(n, v)| crate::catalog::same_name(n, name) && Some(v) == value.as_ref())
        })
    };
    Ok(all.into_iter().map(|p| p.spec).filter(fits).collect())
}
