//! Statements the emulator runs.

use std::collections::BTreeMap;

use crate::storage::{TableChange, TableSpec};

/// A table name of one to three parts, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableName {
    pub(super) parts: Vec<String>,
    pub(super) at: (usize, usize),
}

/// Pairs of one PARTITION clause; the value is missing for a dynamic partition.
pub(super) type PartitionPairs = Vec<(String, Option<String>)>;

#[derive(Debug, Clone)]
pub(super) enum Statement {
    CreateTable {
        name: TableName,
        if_not_exists: bool,
        spec: Box<TableSpec>,
    },
    CreateTableLike {
        name: TableName,
        if_not_exists: bool,
        like: TableName,
        lifecycle: Option<i64>,
    },
    CreateTableAs {
        name: TableName,
        if_not_exists: bool,
        spec: Box<TableSpec>,
        query: String,
    },
    DropTable {
        name: TableName,
        if_exists: bool,
    },
    Truncate {
        name: TableName,
        partitions: Vec<PartitionPairs>,
    },
    CreateSchema {
        name: TableName,
        if_not_exists: bool,
        comment: Option<String>,
    },
    DropSchema {
        name: TableName,
        if_exists: bool,
    },
    Alter {
        name: TableName,
        change: Alter,
    },
    Describe {
        name: TableName,
        extended: bool,
        partition: Option<PartitionPairs>,
    },
    ShowTables {
        scope: Option<TableName>,
        like: Option<String>,
    },
    ShowSchemas {
        project: Option<String>,
    },
    ShowPartitions {
        name: TableName,
    },
    ShowCreateTable {
        name: TableName,
    },
    Insert {
        name: TableName,
        overwrite: bool,
        partition: PartitionPairs,
        columns: Vec<String>,
        query: String,
    },
    Query {
        query: String,
    },
    /// `SET key=value`.
    Set {
        key: String,
        value: String,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Alter {
    Table(TableChange),
    RenameTable(String),
    AddPartitions {
        if_not_exists: bool,
        partitions: Vec<PartitionPairs>,
    },
    DropPartitions {
        if_exists: bool,
        partitions: Vec<PartitionPairs>,
    },
    RenamePartition {
        from: PartitionPairs,
        to: PartitionPairs,
    },
    TouchPartition(PartitionPairs),
    PartitionProperties {
        partition: PartitionPairs,
        properties: BTreeMap<String, String>,
    },
}

impl Statement {
    /// True when the statement changes nothing.
    pub(super) fn is_reading(&self) -> bool {
        matches!(
            self,
            Self::Describe { .. }
                | Self::ShowTables { .. }
                | Self::ShowSchemas { .. }
                | Self::ShowPartitions { .. }
                | Self::ShowCreateTable { .. }
                | Self::Query { .. }
                | Self::Set { .. }
        )
    }
}
