//! Which table a name of one, two or three parts means.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::SqlError;
use super::statement::TableName;
use crate::catalog::{DEFAULT_SCHEMA, StoreError, TableMeta};
use crate::storage::Store;

/// Default project and schema of a job, and its settings.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) project: String,
    pub(super) settings: BTreeMap<String, String>,
}

/// A full name; the table need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FullName {
    pub(super) project: String,
    pub(super) schema: String,
    pub(super) table: String,
}

impl Names {
    fn flag(&self, name: &str) -> bool {
        self.settings
            .get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// True when `a.b` means schema and table.
    fn three_tier(&self) -> bool {
        self.flag("odps.namespace.schema") || self.flag("odps.sql.allow.namespace.schema")
    }

    pub(super) fn default_schema(&self) -> String {
        match self.settings.get("odps.default.schema") {
            Some(schema) if !schema.is_empty() => schema.to_lowercase(),
            _ => DEFAULT_SCHEMA.to_owned(),
        }
    }

    pub(super) fn full(&self, store: &Store, name: &TableName) -> Result<FullName, SqlError> {
        let failed = |error| SqlError::store(name.at, error);
        let lower: Vec<String> = name.parts.iter().map(|part| part.to_lowercase()).collect();
        let full = |project: &str, schema: &str, table: &str| FullName {
            project: project.to_owned(),
            schema: schema.to_owned(),
            table: table.to_owned(),
        };
        match lower.as_slice() {
            [table] => Ok(full(&self.project, &self.default_schema(), table)),
            [scope, table] => {
                let is_schema = || -> Result<bool, StoreError> {
                    Ok(store
                        .database()
                        .schemas(&self.project)?
                        .iter()
                        .any(|s| s.name == *scope))
                };
                let is_project = || -> Result<bool, StoreError> {
                    Ok(store.database().project_created(scope)?.is_some())
                };
                let schema_first = self.three_tier();
                let as_schema = if schema_first {
                    is_schema().map_err(failed)? || !is_project().map_err(failed)?
                } else {
                    !is_project().map_err(failed)? && is_schema().map_err(failed)?
                };
                Ok(if as_schema {
                    full(&self.project, scope, table)
                } else {
                    full(scope, DEFAULT_SCHEMA, table)
                })
            }
            [project, schema, table] => Ok(full(project, schema, table)),
            _ => Err(SqlError::parse(
                name.at,
                "a table name has at most three parts",
            )),
        }
    }

    pub(super) fn table(
        &self,
        store: &Store,
        name: &TableName,
    ) -> Result<Arc<TableMeta>, SqlError> {
        let full = self.full(store, name)?;
        store
            .table(&full.project, &full.schema, &full.table)
            .map_err(|error| SqlError::store(name.at, error))
    }

    /// Project and schema of a schema name of one or two parts.
    pub(super) fn schema(&self, name: &TableName) -> Result<(String, String), SqlError> {
        let lower: Vec<String> = name.parts.iter().map(|part| part.to_lowercase()).collect();
        match lower.as_slice() {
            [schema] => Ok((self.project.clone(), schema.clone())),
            [project, schema] => Ok((project.clone(), schema.clone())),
            _ => Err(SqlError::parse(
                name.at,
                "a schema name has at most two parts",
            )),
        }
    }
}
