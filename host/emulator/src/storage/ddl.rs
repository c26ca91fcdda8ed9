//! Changes of tables and partitions: definition in the catalog, directories on disk.

use std::collections::BTreeMap;

use super::{Store, layout};
use crate::catalog::{
    Clustering, Column, ColumnType, FileMove, PartitionSpec, StoreError, TableMeta, now_ms,
    same_name, steps,
};

/// Largest number of partition columns.
const MAX_PARTITION_COLUMNS: usize = 6;
/// Largest number of columns.
const MAX_COLUMNS: usize = 1200;
/// Buckets of a Delta table unless `write.bucket.num` says otherwise.
const DEFAULT_BUCKETS: u32 = 16;
/// Largest number of buckets.
const MAX_BUCKETS: u32 = 4096;
/// Longest column comment in bytes.
const MAX_COMMENT: usize = 1024;

/// What CREATE TABLE says.
#[derive(Debug, Clone, Default)]
pub struct TableSpec {
    /// Data columns.
    pub columns: Vec<Column>,
    /// Partition columns.
    pub partition_columns: Vec<Column>,
    /// Names of the key columns.
    pub primary_key: Vec<String>,
    /// TBLPROPERTIES.
    pub properties: BTreeMap<String, String>,
    /// COMMENT.
    pub comment: Option<String>,
    /// LIFECYCLE in days.
    pub lifecycle: Option<i64>,
    /// CLUSTERED BY.
    pub clustering: Option<Clustering>,
}

/// Where CHANGE COLUMN moves a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnPlace {
    /// To the front.
    First,
    /// Behind this column.
    After(String),
}

/// One change of a table's definition.
#[derive(Debug, Clone)]
pub enum TableChange {
    /// ADD COLUMNS.
    AddColumns {
        /// New columns, appended last.
        columns: Vec<Column>,
        /// Leave out those that exist.
        if_not_exists: bool,
    },
    /// DROP COLUMNS.
    DropColumns(Vec<String>),
    /// CHANGE COLUMN; None leaves a property as it is.
    ChangeColumn {
        /// Column to change.
        name: String,
        /// New name.
        rename: Option<String>,
        /// New type.
        ty: Option<ColumnType>,
        /// New comment.
        comment: Option<String>,
        /// New nullability; only dropping NOT NULL is possible.
        nullable: Option<bool>,
        /// New place.
        place: Option<ColumnPlace>,
    },
    /// SET COMMENT.
    Comment(String),
    /// SET LIFECYCLE.
    Lifecycle(i64),
    /// ENABLE or DISABLE LIFECYCLE.
    LifecycleEnabled(bool),
    /// SET TBLPROPERTIES.
    Properties(BTreeMap<String, String>),
    /// CHANGEOWNER TO.
    Owner(String),
    /// CLUSTERED BY or NOT CLUSTERED.
    Clustering(Option<Clustering>),
    /// TOUCH.
    Touch,
}

impl Store {
    /// Creates a table; names are stored in lower case, columns keep their letter case.
    pub fn create_table(
        &self,
        project: &str,
        schema: &str,
        name: &str,
        owner: &str,
        spec: TableSpec,
    ) -> Result<TableMeta, StoreError> {
        let (project, schema) = (project.to_lowercase(), schema.to_lowercase());
        self.require_schema(&project, &schema)?;
        let mut next_column_id = 1;
        let mut number = |mut column: Column| {
            column.column_id = next_column_id;
            next_column_id += 1;
            column
        };
        let columns: Vec<Column> = spec.columns.into_iter().map(&mut number).collect();
        let partition_columns: Vec<Column> = spec
            .partition_columns
            .into_iter()
            .map(&mut number)
            .collect();
        let mut table = TableMeta {
            id: uuid::Uuid::new_v4().simple().to_string(),
            project,
            schema,
            name: name.to_lowercase(),
            columns,
            partition_columns,
            primary_key: spec.primary_key,
            transactional: false,
            buckets: 0,
            schema_version: 1,
            next_column_id,
            properties: spec.properties,
            partition_properties: BTreeMap::new(),
            comment: spec.comment,
            lifecycle: spec.lifecycle,
            lifecycle_enabled: true,
            clustering: spec.clustering,
            owner: owner.to_owned(),
            created_ms: now_ms(),
            ddl_ms: now_ms(),
            modified_ms: now_ms(),
        };
        check_columns(&table)?;
        check_key(&mut table)?;
        self.database().insert_table(&table)?;
        let dir = self.data_dir().join(layout::table_dir(&table));
        std::fs::create_dir_all(&dir)
            .map_err(|e| StoreError::io(format!("creating {}", dir.display()), e))?;
        layout::sync_above(self.data_dir(), [dir.as_path()])?;
        Ok(table)
    }

    /// Changes the definition of a table.
    pub fn alter_table(
        &self,
        table: &TableMeta,
        change: TableChange,
    ) -> Result<TableMeta, StoreError> {
        self.with_table_lock(&table.id, || {
            let mut table = (*self.table_by_id(&table.id)?).clone();
            let columns_before = table.columns.clone();
            alter(&mut table, change)?;
            check_columns(&table)?;
            if table.columns != columns_before {
                table.schema_version += 1;
            }
            table.ddl_ms = now_ms();
            table.modified_ms = now_ms();
            self.database()
                .transaction(|t| steps::put_table(t, &table))?;
            Ok(table)
        })
    }

    /// Renames a table inside its schema.
    pub fn rename_table(&self, table: &TableMeta, name: &str) -> Result<TableMeta, StoreError> {
        self.with_table_lock(&table.id, || {
            let before = (*self.table_by_id(&table.id)?).clone();
            let mut after = before.clone();
            after.name = name.to_lowercase();
            if self
                .database()
                .table(&after.project, &after.schema, &after.name)?
                .is_some()
            {
                return Err(StoreError::AlreadyExists(format!(
                    "table {}",
                    after.full_name()
                )));
            }
            after.ddl_ms = now_ms();
            let mut moves = vec![FileMove::new(
                layout::table_dir(&before),
                layout::table_dir(&after),
            )];
            self.database().transaction(|t| {
                steps::put_table(t, &after)?;
                steps::add_moves(t, &mut moves)
            })?;
            self.finish_moves(&moves)?;
            Ok(after)
        })
    }

    /// Drops a table with its data.
    pub fn drop_table(&self, table: &TableMeta) -> Result<(), StoreError> {
        self.with_table_lock(&table.id, || {
            let table = self.table_by_id(&table.id)?;
            let mut moves = vec![retire_dir(&layout::table_dir(&table))];
            self.database().transaction(|t| {
                steps::remove_table(t, &table.id)?;
                steps::add_moves(t, &mut moves)
            })?;
            self.finish_moves(&moves)
        })
    }

    /// Removes all rows of a table, or of some partitions.
    pub fn truncate(
        &self,
        table: &TableMeta,
        partitions: Option<&[PartitionSpec]>,
    ) -> Result<(), StoreError> {
        self.with_table_lock(&table.id, || {
            let table = self.table_by_id(&table.id)?;
            let mut files = self.database().files(&table.id, None)?;
            if let Some(wanted) = partitions {
                for spec in wanted {
                    self.require_partition(&table, spec)?;
                }
                files.retain(|file| file.partition.as_ref().is_some_and(|p| wanted.contains(p)));
            }
            let mut moves: Vec<FileMove> = files
                .iter()
                .map(|file| {
                    let dir = layout::partition_dir(&table, file.partition.as_ref());
                    FileMove::new(
                        format!("{dir}/{}", file.name),
                        layout::retired_path(&file.name),
                    )
                })
                .collect();
            let mut changed = (*table).clone();
            changed.modified_ms = now_ms();
            self.database().transaction(|t| {
                for file in &files {
                    steps::remove_file(t, &file.name)?;
                }
                steps::put_table(t, &changed)?;
                steps::add_moves(t, &mut moves)
            })?;
            self.finish_moves(&moves)
        })
    }

    /// Drops a partition with its data.
    pub fn drop_partition(
        &self,
        table: &TableMeta,
        partition: &PartitionSpec,
    ) -> Result<(), StoreError> {
        self.with_table_lock(&table.id, || {
            let table = self.table_by_id(&table.id)?;
            self.require_partition(&table, partition)?;
            let mut moves = vec![retire_dir(&layout::partition_dir(&table, Some(partition)))];
            let mut changed = (*table).clone();
            changed.partition_properties.remove(&partition.directory());
            self.database().transaction(|t| {
                steps::remove_partition(t, &table.id, partition)?;
                steps::put_table(t, &changed)?;
                steps::add_moves(t, &mut moves)
            })?;
            self.finish_moves(&moves)
        })
    }

    /// Gives a partition other values.
    pub fn rename_partition(
        &self,
        table: &TableMeta,
        from: &PartitionSpec,
        to: &PartitionSpec,
    ) -> Result<(), StoreError> {
        self.with_table_lock(&table.id, || {
            let table = self.table_by_id(&table.id)?;
            self.require_partition(&table, from)?;
            if self.partition_exists(&table, to)? {
                return Err(StoreError::AlreadyExists(format!(
                    "partition {to} of table {}",
                    table.full_name()
                )));
            }
            let mut moves = vec![FileMove::new(
                layout::partition_dir(&table, Some(from)),
                layout::partition_dir(&table, Some(to)),
            )];
            let mut changed = (*table).clone();
            let properties = &mut changed.partition_properties;
            if let Some(moved) = properties.remove(&from.directory()) {
                properties.insert(to.directory(), moved);
            }
            self.database().transaction(|t| {
                steps::rename_partition(t, &table.id, from, to)?;
                steps::put_table(t, &changed)?;
                steps::add_moves(t, &mut moves)
            })?;
            self.finish_moves(&moves)
        })
    }

    /// Sets properties of a partition; those it has and that are not named stay.
    pub fn set_partition_properties(
        &self,
        table: &TableMeta,
        partition: &PartitionSpec,
        properties: BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        self.with_table_lock(&table.id, || {
            let mut table = (*self.table_by_id(&table.id)?).clone();
            self.require_partition(&table, partition)?;
            let all = &mut table.partition_properties;
            all.entry(partition.directory())
                .or_default()
                .extend(properties);
            table.ddl_ms = now_ms();
            self.database().transaction(|t| {
                steps::put_table(t, &table)?;
                steps::touch_partition(t, &table.id, partition)
            })
        })
    }

    /// Marks a partition as modified now.
    pub fn touch_partition(
        &self,
        table: &TableMeta,
        partition: &PartitionSpec,
    ) -> Result<(), StoreError> {
        self.require_partition(table, partition)?;
        self.database()
            .transaction(|t| steps::touch_partition(t, &table.id, partition))
    }

    /// Fails with [`StoreError::NoSuchPartition`] unless the partition exists.
    pub fn require_partition(
        &self,
        table: &TableMeta,
        partition: &PartitionSpec,
    ) -> Result<(), StoreError> {
        if self.partition_exists(table, partition)? {
            return Ok(());
        }
        Err(StoreError::NoSuchPartition {
            table: table.full_name(),
            partition: partition.to_string(),
        })
    }
}

fn retire_dir(dir: &str) -> FileMove {
    FileMove::new(
        dir.to_owned(),
        layout::retired_path(&format!("dir-{}", uuid::Uuid::new_v4().simple())),
    )
}

fn check_columns(table: &TableMeta) -> Result<(), StoreError> {
    let refuse = |text: String| Err(StoreError::Invalid(text));
    if table.columns.is_empty() {
        return refuse("a table needs at least one column".to_owned());
    }
    if table.columns.len() > MAX_COLUMNS {
        return refuse(format!(
            "{} columns are more than {MAX_COLUMNS}",
            table.columns.len()
        ));
    }
    if table.partition_columns.len() > MAX_PARTITION_COLUMNS {
        return refuse(format!(
            "more than {MAX_PARTITION_COLUMNS} partition columns"
        ));
    }
    let mut seen = std::collections::HashSet::new();
    for column in table.columns.iter().chain(&table.partition_columns) {
        if column.name.is_empty() || column.name.chars().count() > 128 {
            return refuse(format!(
                "column name `{}` must have 1..128 characters",
                column.name
            ));
        }
        if !seen.insert(column.name.to_lowercase()) {
            return refuse(format!("column `{}` is there twice", column.name));
        }
        if column
            .comment
            .as_ref()
            .is_some_and(|c| c.len() > MAX_COMMENT)
        {
            return refuse(format!(
                "comment of column `{}` is longer than {MAX_COMMENT} bytes",
                column.name
            ));
        }
    }
    for column in &table.partition_columns {
        let generated = column.generate_expression.is_some();
        if !column.ty.is_partition_type() && !generated {
            return refuse(format!(
                "partition column `{}` cannot be {}",
                column.name, column.ty
            ));
        }
    }
    Ok(())
}

fn check_key(table: &mut TableMeta) -> Result<(), StoreError> {
    let property = |name: &str| table.properties.get(name).map(String::as_str);
    let transactional = property("transactional").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    table.transactional = transactional;
    if table.primary_key.is_empty() {
        return Ok(());
    }
    let buckets = match property("write.bucket.num") {
        None => None,
        Some(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|n| (1..=MAX_BUCKETS).contains(n))
            .map(Some)
            .ok_or_else(|| {
                StoreError::Invalid(format!(
                    "write.bucket.num `{text}` is not a number in 1..{MAX_BUCKETS}"
                ))
            })?,
    };
    let mut key: Vec<String> = Vec::new();
    for name in &table.primary_key {
        let Some(column) = table.columns.iter_mut().find(|c| same_name(&c.name, name)) else {
            return Err(StoreError::Invalid(format!(
                "primary key column `{name}` is not a data column"
            )));
        };
        if !column.ty.is_key_type() {
            return Err(StoreError::Invalid(format!(
                "primary key column `{name}` cannot be {}",
                column.ty
            )));
        }
        if transactional && column.nullable {
            return Err(StoreError::Invalid(format!(
                "primary key column `{name}` must be NOT NULL"
            )));
        }
        column.nullable = false;
        if key.contains(&column.name) {
            return Err(StoreError::Invalid(format!(
                "primary key column `{name}` is there twice"
            )));
        }
        key.push(column.name.clone());
    }
    let buckets = match table.clustering.take() {
        None => buckets.unwrap_or(DEFAULT_BUCKETS),
        Some(clustering) => key_buckets(&clustering, &key, buckets)?,
    };
    if buckets != DEFAULT_BUCKETS {
        table
            .properties
            .entry("write.bucket.num".to_owned())
            .or_insert_with(|| buckets.to_string());
    }
    table.primary_key = key;
    // PRIMARY KEY alone makes a Delta table too.
    table.transactional = true;
    table
        .properties
        .insert("transactional".to_owned(), "true".to_owned());
    table.buckets = buckets;
    Ok(())
}

/// Buckets of a table with a primary key whose statement says CLUSTERED BY too, as the DDL does
/// that clients write of such a table: it must say what the key says.
fn key_buckets(
    clustering: &Clustering,
    key: &[String],
    buckets: Option<u32>,
) -> Result<u32, StoreError> {
    let is_key = |names: &[&String]| {
        names.len() == key.len() && names.iter().zip(key).all(|(a, b)| same_name(a, b))
    };
    let columns: Vec<&String> = clustering.columns.iter().collect();
    let sort: Vec<&String> = clustering.sort.iter().map(|(name, _)| name).collect();
    if clustering.range || !is_key(&columns) || !(sort.is_empty() || is_key(&sort)) {
        return Err(StoreError::Invalid(
            "a table with a primary key cannot be CLUSTERED BY other columns".to_owned(),
        ));
    }
    let clustered = Some(clustering.buckets).filter(|n| *n > 0);
    match (buckets, clustered) {
        (Some(a), Some(b)) if a != b => Err(StoreError::Invalid(format!(
            "write.bucket.num is {a}, CLUSTERED BY says {b} buckets"
        ))),
        (_, Some(n)) if n > MAX_BUCKETS => Err(StoreError::Invalid(format!(
            "{n} buckets are more than {MAX_BUCKETS}"
        ))),
        (given, clustered) => Ok(given.or(clustered).unwrap_or(DEFAULT_BUCKETS)),
    }
}

fn alter(table: &mut TableMeta, change: TableChange) -> Result<(), StoreError> {
    match change {
        TableChange::AddColumns {
            columns,
            if_not_exists,
        } => {
            for mut column in columns {
                if table.any_column(&column.name).is_some() {
                    if if_not_exists {
                        continue;
                    }
                    return Err(StoreError::AlreadyExists(format!(
                        "column `{}`",
                        column.name
                    )));
                }
                if !column.nullable {
                    return Err(StoreError::Invalid(format!(
                        "new column `{}` cannot be NOT NULL",
                        column.name
                    )));
                }
                column.column_id = table.next_column_id;
                table.next_column_id += 1;
                table.columns.push(column);
            }
        }
        TableChange::DropColumns(names) => {
            for name in names {
                let index = data_column(table, &name)?;
                refuse_key(table, &name, "dropped")?;
                table.columns.remove(index);
            }
        }
        TableChange::ChangeColumn {
            name,
            rename,
            ty,
            comment,
            nullable,
            place,
        } => {
            let now = rename.clone().unwrap_or_else(|| name.clone());
            change_column(table, &name, rename, ty, comment, nullable)?;
            if let Some(place) = place {
                move_column(table, &now, &place)?;
            }
        }
        TableChange::Comment(comment) => table.comment = Some(comment),
        TableChange::Lifecycle(days) => table.lifecycle = Some(days),
        TableChange::LifecycleEnabled(enabled) => table.lifecycle_enabled = enabled,
        TableChange::Properties(properties) => {
            if properties.contains_key("write.bucket.num") && table.is_delta() {
                return Err(StoreError::Invalid(
                    "write.bucket.num cannot change after creation".to_owned(),
                ));
            }
            table.properties.extend(properties);
        }
        TableChange::Owner(owner) => table.owner = owner,
        TableChange::Clustering(clustering) => {
            if clustering.is_some() && table.is_delta() {
                return Err(StoreError::Invalid(
                    "a table with a primary key cannot be CLUSTERED BY".to_owned(),
                ));
            }
            table.clustering = clustering;
        }
        TableChange::Touch => {}
    }
    Ok(())
}

fn data_column(table: &TableMeta, name: &str) -> Result<usize, StoreError> {
    table.column_index(name).ok_or_else(|| {
        StoreError::Invalid(format!(
            "table {} has no column `{name}`",
            table.full_name()
        ))
    })
}

fn refuse_key(table: &TableMeta, name: &str, what: &str) -> Result<(), StoreError> {
    if table.primary_key.iter().any(|key| same_name(key, name)) {
        return Err(StoreError::Invalid(format!(
            "primary key column `{name}` cannot be {what}"
        )));
    }
    Ok(())
}

fn change_column(
    table: &mut TableMeta,
    name: &str,
    rename: Option<String>,
    ty: Option<ColumnType>,
    comment: Option<String>,
    nullable: Option<bool>,
) -> Result<(), StoreError> {
    let index = match data_column(table, name) {
        Ok(index) => index,
        // Comments of partition columns may change, nothing else.
        Err(error) => {
            let column = table
                .partition_columns
                .iter_mut()
                .find(|c| same_name(&c.name, name));
            let same_type = |column: &Column| ty.as_ref().is_none_or(|ty| *ty == column.ty);
            let keeps_name = rename.as_ref().is_none_or(|new| same_name(new, name));
            return match column {
                Some(column) if keeps_name && nullable.is_none() && same_type(column) => {
                    if comment.is_some() {
                        column.comment = comment;
                    }
                    Ok(())
                }
                Some(_) => Err(StoreError::Invalid(format!(
                    "partition column `{name}` cannot be changed"
                ))),
                None => Err(error),
            };
        }
    };
    let retyped = ty.filter(|ty| table.columns.get(index).is_some_and(|c| c.ty != *ty));
    if retyped.is_some() {
        refuse_key(table, name, "retyped")?;
    }
    let renamed = rename.filter(|new| !same_name(new, name));
    if let Some(new) = &renamed {
        refuse_key(table, name, "renamed")?;
        if table.any_column(new).is_some() {
            return Err(StoreError::AlreadyExists(format!("column `{new}`")));
        }
    }
    let Some(column) = table.columns.get_mut(index) else {
        return Ok(());
    };
    if let Some(ty) = retyped {
        if !column.ty.can_become(&ty) {
            return Err(StoreError::Invalid(format!(
                "column `{name}` cannot change its type from {} to {ty}",
                column.ty
            )));
        }
        column.ty = ty;
    }
    if let Some(new) = renamed {
        column.name = new;
    }
    if let Some(comment) = comment {
        column.comment = Some(comment);
    }
    match nullable {
        Some(true) if !column.nullable => {
            let name = column.name.clone();
            refuse_key(table, &name, "nullable")?;
            if let Some(column) = table.columns.get_mut(index) {
                column.nullable = true;
            }
        }
        Some(false) if column.nullable => {
            return Err(StoreError::Invalid(format!(
                "column `{name}` cannot become NOT NULL"
            )));
        }
        _ => {}
    }
    Ok(())
}

fn move_column(table: &mut TableMeta, name: &str, place: &ColumnPlace) -> Result<(), StoreError> {
    let from = data_column(table, name)?;
    let column = table.columns.remove(from);
    let to = match place {
        ColumnPlace::First => 0,
        ColumnPlace::After(other) => data_column(table, other)? + 1,
    };
    table.columns.insert(to, column);
    Ok(())
}
