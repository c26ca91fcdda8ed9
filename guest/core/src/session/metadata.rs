//! Projects, tables and SQL instances, as the REST service describes them.

use std::str::FromStr;

use serde_json::Value;

use super::xml::{self, Element};
use crate::schema::Column;
use crate::types::OdpsType;

/// What the sink needs to know of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Tables belong to schemas (`odps.schema.model.enabled`).
    pub three_tier: bool,
}

impl Project {
    /// Read the answer of `GET /projects/{p}`.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let root = document(body, "Project")?;
        let three_tier = root
            .child("Properties")
            .into_iter()
            .flat_map(|p| p.all("Property"))
            .find(|p| p.text_of("Name").as_deref() == Some("odps.schema.model.enabled"))
            .and_then(|p| p.text_of("Value"))
            .is_some_and(|v| v.eq_ignore_ascii_case("true"));
        Ok(Self { three_tier })
    }
}

/// What the sink needs to know of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMeta {
    /// Data columns in table order.
    pub columns: Vec<Column>,
    /// Partition columns, outermost first.
    pub partition_columns: Vec<Column>,
    /// `MANAGED_TABLE`, `VIRTUAL_VIEW`, ...; empty when not told.
    pub kind: String,
}

impl TableMeta {
    /// Read the answer of `GET .../tables/{t}`.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let root = document(body, "Table")?;
        let json = schema_json(&root)?;
        Ok(Self {
            columns: columns(json.get("columns"))?,
            partition_columns: columns(json.get("partitionKeys"))?,
            kind: root.text_of("Type").unwrap_or_default(),
        })
    }
}

/// What `?extended` adds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableExtension {
    /// The table is transactional.
    pub transactional: bool,
    /// Primary key columns.
    pub primary_key: Vec<String>,
    /// Number of buckets, where the table has some.
    pub buckets: Option<u32>,
}

impl TableExtension {
    /// Read the answer of `GET .../tables/{t}?extended`.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let root = document(body, "Table")?;
        let json = schema_json(&root)?;
        let reserved = match json.get("Reserved") {
            Some(Value::String(text)) if !text.trim().is_empty() => serde_json::from_str(text)
                .map_err(|e| format!("its `Reserved` is not JSON: {e}"))?,
            Some(object @ Value::Object(_)) => object.clone(),
            _ => Value::Null,
        };
        let primary_key = match reserved.get("PrimaryKey") {
            Some(Value::Array(names)) => names
                .iter()
                .filter_map(|n| n.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            transactional: reserved.get("Transactional").is_some_and(is_true),
            primary_key,
            buckets: reserved
                .get("BucketNum")
                .and_then(number)
                .and_then(|n| u32::try_from(n).ok()),
        })
    }

    /// Rows are kept by primary key.
    pub fn is_delta(&self) -> bool {
        self.transactional && !self.primary_key.is_empty()
    }
}

/// State of a SQL instance's only task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskStatus {
    /// Still at work.
    Running,
    /// Done.
    Success,
    /// Failed, or cancelled from outside.
    Failed,
}

/// Whether an instance document says that the instance has ended.
pub fn instance_terminated(body: &[u8]) -> Result<bool, String> {
    let root = document(body, "Instance")?;
    Ok(root
        .text_of("Status")
        .is_some_and(|s| s.eq_ignore_ascii_case("Terminated")))
}

/// Status of the task, from `?taskstatus` or from a result document.
pub fn task_status(body: &[u8]) -> Result<TaskStatus, String> {
    let root = document(body, "Instance")?;
    let status = root
        .child("Tasks")
        .and_then(|t| t.child("Task"))
        .and_then(|t| t.text_of("Status"))
        .ok_or("it names no task status")?;
    Ok(match status.to_ascii_lowercase().as_str() {
        "success" => TaskStatus::Success,
        "failed" | "cancelled" => TaskStatus::Failed,
        _ => TaskStatus::Running,
    })
}

/// The text of the task's result, from `?result`.
pub fn task_result(body: &[u8]) -> Result<String, String> {
    use base64::Engine as _;
    let root = document(body, "Instance")?;
    let result = root
        .child("Tasks")
        .and_then(|t| t.child("Task"))
        .and_then(|t| t.child("Result"))
        .ok_or("it has no result")?;
    if result
        .attribute("Transform")
        .is_some_and(|t| t.eq_ignore_ascii_case("Base64"))
    {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(result.text.trim())
            .map_err(|e| format!("its result is not base64: {e}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    } else {
        Ok(result.text.clone())
    }
}

/// The document that submits `query` (with its `;`) under the hints `settings`.
pub fn sql_job(task: &str, query: &str, settings: &[(&str, &str)], uuid: &str) -> String {
    let settings: serde_json::Map<String, Value> = settings
        .iter()
        .map(|(k, v)| ((*k).to_owned(), Value::from(*v)))
        .collect();
    let settings = Value::Object(settings).to_string();
    let property = |name: &str, value: &str| {
        format!(
            "<Property><Name>{name}</Name><Value>{}</Value></Property>",
            xml::escape(value)
        )
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Instance><Job><Priority>9</Priority><Tasks><SQL>\
         <Name>{task}</Name><Config>{}{}{}</Config><Query>{}</Query></SQL></Tasks></Job></Instance>",
        property("type", "sql"),
        property("uuid", uuid),
        property("settings", &settings),
        xml::escape(query)
    )
}

/// The document that creates a schema.
pub fn create_schema_document(project: &str, schema: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Schema><Project>{}</Project><Name>{}</Name>\
         <Comment>created by longshore</Comment><IfNotExists>true</IfNotExists></Schema>",
        xml::escape(project),
        xml::escape(schema)
    )
}

fn document(body: &[u8], root: &str) -> Result<Element, String> {
    let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8 text".to_owned())?;
    match xml::parse(text) {
        Some(element) if element.name == root => Ok(element),
        Some(element) => Err(format!("it is a `{}` document, not `{root}`", element.name)),
        None => Err("it is not a complete XML document".to_owned()),
    }
}

fn schema_json(root: &Element) -> Result<Value, String> {
    let text = root.text_of("Schema").ok_or("it has no `Schema`")?;
    serde_json::from_str(&text).map_err(|e| format!("its `Schema` is not JSON: {e}"))
}

/// Columns of a table document or a session document.
pub(super) fn columns(value: Option<&Value>) -> Result<Vec<Column>, String> {
    let Some(Value::Array(list)) = value else {
        return Ok(Vec::new());
    };
    list.iter().map(column).collect()
}

fn column(json: &Value) -> Result<Column, String> {
    let name = json
        .get("name")
        .and_then(Value::as_str)
        .ok_or("a column has no name")?;
    let ty = json.get("type").and_then(Value::as_str).unwrap_or_default();
    let ty = OdpsType::from_str(ty).map_err(|e| format!("column `{name}`: {e}"))?;
    let nullable = json
        .get("isNullable")
        .or_else(|| json.get("nullable"))
        .is_none_or(is_true);
    let mut column = Column::new(name, ty);
    column.nullable = nullable;
    column.comment = json
        .get("comment")
        .and_then(Value::as_str)
        .filter(|c| !c.is_empty())
        .map(str::to_owned);
    column.column_id = json.get("column_id").and_then(number);
    Ok(column)
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(b) => *b,
        Value::String(s) => s.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64(),
        Value::String(s) => s.parse().ok(),
        _ => None,
    }
}
