//! Tables.

use std::sync::Arc;

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::xml::{Document, cdata};
use super::{Call, STORAGE_TIER, http_date, partition, plain, rest_error, xml_response};
use crate::catalog::{Column, PartitionSpec, StoreError, TableMeta};
use crate::server::ApiError;
use crate::sql::trunc_time;
use crate::storage::{Snapshot, preview_text};

/// Tables of one batch load, at most.
const MAX_LOAD: usize = 100;
/// Rows of the old preview, at most.
const MAX_PREVIEW: u64 = 10_000;

pub(super) async fn get(
    call: &Call<'_>,
    project: &str,
    schema: &str,
    name: &str,
) -> Result<Response, ApiError> {
    let table = find(call, project, schema, name).await?;
    if call.has("partitions") {
        return partition::list(call, &table).await;
    }
    if call.has("data") {
        return preview(call, &table).await;
    }
    if call.has("partition") {
        return partition::show(call, &table).await;
    }
    let extended = call.has("extended");
    let document = load_document(call, table, extended).await?;
    Ok(xml_response(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>{document}"
    )))
}

async fn find(
    call: &Call<'_>,
    project: &str,
    schema: &str,
    name: &str,
) -> Result<Arc<TableMeta>, ApiError> {
    let (project, schema, name) = (project.to_owned(), schema.to_owned(), name.to_owned());
    call.state
        .store()
        .blocking(move |store| store.table(&project, &schema, &name))
        .await
        .map_err(rest_error)
}

async fn load_document(
    call: &Call<'_>,
    table: Arc<TableMeta>,
    extended: bool,
) -> Result<String, ApiError> {
    let wanted = table.clone();
    let snapshot = call
        .state
        .store()
        .blocking(move |store| store.snapshot(&wanted, None))
        .await
        .map_err(rest_error)?;
    Ok(table_element(
        &table,
        Some(&schema_json(&table, &snapshot, extended).to_string()),
    ))
}

/// The `Table` element; `json` goes into `Schema`.
fn table_element(table: &TableMeta, json: Option<&str>) -> String {
    let mut parts = Parts(String::new());
    parts.text("Name", &table.name);
    parts.text("TableId", &table.id);
    parts.text("Project", &table.project);
    parts.text("SchemaName", &table.schema);
    parts.text("Comment", table.comment.as_deref().unwrap_or(""));
    parts.text("Owner", &table.owner);
    parts.text("TableLabel", "");
    parts.text("CryptoAlgo", "");
    parts.text("CreationTime", &http_date(table.created_ms));
    parts.text("LastModifiedTime", &http_date(table.modified_ms));
    parts.text("LastAccessTime", &http_date(table.modified_ms));
    parts.text("Type", "MANAGED_TABLE");
    if let Some(json) = json {
        parts
            .0
            .push_str(&format!("<Schema format=\"Json\">{}</Schema>", cdata(json)));
    }
    format!("<Table format=\"Json\">{}</Table>", parts.0)
}

struct Parts(String);

impl Parts {
    fn text(&mut self, name: &str, text: &str) {
        self.0
            .push_str(&format!("<{name}>{}</{name}>", super::xml::escape(text)));
    }
}

fn column_json(table: &TableMeta, column: &Column) -> Value {
    let mut json = json!({
        "name": column.name,
        // Names inside STRUCT keep their letter case.
        "type": lower_keywords(&column.ty),
        "comment": column.comment.as_deref().unwrap_or(""),
        "label": "",
        "isNullable": column.nullable,
        "hasDefaultValue": column.default_value.is_some(),
    });
    if let Some(object) = json.as_object_mut() {
        if let Some(default) = &column.default_value {
            object.insert("defaultValue".to_owned(), json!(default));
        }
        if let Some(expression) = expression_json(table, column) {
            object.insert("hasGenerateExpression".to_owned(), json!(true));
            object.insert("generateExpression".to_owned(), json!(expression));
        }
    }
    json
}

/// The expression of an automatic partition column as clients parse it: a list in post-order, as
/// text.
fn expression_json(table: &TableMeta, column: &Column) -> Option<String> {
    let (source, unit) = trunc_time(column.generate_expression.as_deref()?)?;
    let source = table.columns.get(table.column_index(&source)?)?;
    let list = json!([
        {"leafExprDesc": {
            "reference": {"name": source.name},
            "type": lower_keywords(&source.ty),
        }},
        {"leafExprDesc": {"constant": unit, "type": "string"}},
        {"functionCall": {"name": "trunc_time", "type": "string"}},
    ]);
    Some(list.to_string())
}

/// Type text in lower case, field names as they are.
fn lower_keywords(ty: &crate::catalog::ColumnType) -> String {
    use crate::catalog::{ColumnType, is_plain_identifier};
    match ty {
        ColumnType::Array(element) => format!("array<{}>", lower_keywords(element)),
        ColumnType::Map(key, value) => {
            format!("map<{},{}>", lower_keywords(key), lower_keywords(value))
        }
        ColumnType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, ty)| {
                    let name = if is_plain_identifier(name) {
                        name.clone()
                    } else {
                        format!("`{}`", name.replace('`', "``"))
                    };
                    format!("{name}:{}", lower_keywords(ty))
                })
                .collect();
            format!("struct<{}>", fields.join(","))
        }
        other => other.to_string().to_lowercase(),
    }
}

fn schema_json(table: &TableMeta, snapshot: &Snapshot, extended: bool) -> Value {
    if extended {
        return json!({
            "IsArchived": false,
            "PhysicalSize": snapshot.bytes(),
            "FileNum": snapshot.files.len(),
            "Reserved": reserved(table).to_string(),
        });
    }
    let columns = |columns: &[Column]| -> Vec<Value> {
        columns
            .iter()
            .map(|column| column_json(table, column))
            .collect()
    };
    json!({
        "columns": columns(&table.columns),
        "partitionKeys": columns(&table.partition_columns),
        "comment": table.comment.as_deref().unwrap_or(""),
        "owner": table.owner,
        "createTime": table.created_ms / 1000,
        "lastModifiedTime": table.modified_ms / 1000,
        "lastDDLTime": table.ddl_ms / 1000,
        "lastAccessTime": table.modified_ms / 1000,
        "isVirtualView": false,
        "isMaterializedView": false,
        // Go reads these two as text.
        "isMaterializedViewRewriteEnabled": "false",
        "isMaterializedViewOutdated": "false",
        "isExternal": false,
        "isObjectTable": false,
        "lifecycle": table.lifecycle.unwrap_or(-1),
        "hubLifecycle": -1,
        "size": snapshot.bytes(),
        "recordNum": snapshot.rows(),
        "tableLabel": "",
        "shardExist": false,
        // An object as text.
        "tableProperties": json!(table.properties).to_string(),
    })
}

fn reserved(table: &TableMeta) -> Value {
    let mut map = Map::new();
    for (key, value) in &table.properties {
        map.insert(key.clone(), json!(value));
        if key == STORAGE_TIER {
            map.insert("StorageTier".to_owned(), json!(value));
        }
    }
    map.insert(
        "schema_version".to_owned(),
        json!(table.schema_version.to_string()),
    );
    if table.transactional {
        map.insert("Transactional".to_owned(), json!("true"));
    }
    if table.is_delta() {
        map.insert("PrimaryKey".to_owned(), json!(table.primary_key));
        map.insert("ClusterType".to_owned(), json!("hash"));
        map.insert("BucketNum".to_owned(), json!(table.buckets));
        map.insert("ClusterCols".to_owned(), json!(table.primary_key));
        map.entry("acid.data.retain.hours".to_owned())
            .or_insert_with(|| json!("24"));
    }
    if let Some(clustering) = &table.clustering {
        let kind = if clustering.range { "range" } else { "hash" };
        map.insert("ClusterType".to_owned(), json!(kind));
        map.insert("BucketNum".to_owned(), json!(clustering.buckets));
        map.insert("ClusterCols".to_owned(), json!(clustering.columns));
        let sort: Vec<Value> = clustering
            .sort
            .iter()
            .map(|(name, order)| json!({"col": name, "order": order}))
            .collect();
        map.insert("SortCols".to_owned(), json!(sort));
    }
    map.insert("HasRowAccessPolicy".to_owned(), json!(false));
    Value::Object(map)
}

pub(super) async fn list(call: &Call<'_>, project: &str) -> Result<Response, ApiError> {
    let (wanted, schema) = (project.to_owned(), call.schema());
    let tables = call
        .state
        .store()
        .blocking(move |store| {
            store.require_schema(&wanted, &schema)?;
            store.database().tables(&wanted, Some(&schema))
        })
        .await
        .map_err(rest_error)?;
    let prefix = call.filled("name").unwrap_or("").to_lowercase();
    let fits = |table: &TableMeta| {
        table.name.starts_with(&prefix)
            && call
                .filled("owner")
                .is_none_or(|owner| owner.eq_ignore_ascii_case(&table.owner))
            && call
                .filled("type")
                .is_none_or(|ty| ty.eq_ignore_ascii_case("MANAGED_TABLE"))
    };
    let tables: Vec<TableMeta> = tables.into_iter().filter(fits).collect();
    let (page, marker, size) = call.page(tables)?;
    let mut document = Document::new("Tables");
    document
        .text("Marker", &marker)
        .text("MaxItems", &size.to_string());
    for table in page {
        if call.has("extended") {
            let element = load_document(call, Arc::new(table), false).await?;
            document.raw(&element);
        } else {
            document.raw(&table_element(&table, None));
        }
    }
    Ok(xml_response(document.finish("Tables")))
}

#[derive(Deserialize)]
struct LoadDocument {
    #[serde(rename = "Table", default)]
    tables: Vec<LoadTable>,
}

#[derive(Deserialize)]
struct LoadTable {
    #[serde(rename = "Project", default)]
    project: Option<String>,
    #[serde(rename = "Schema", default)]
    schema: Option<String>,
    #[serde(rename = "Name")]
    name: String,
}

/// Batch load: full documents of up to 100 tables.
pub(super) async fn load(call: &Call<'_>, project: &str) -> Result<Response, ApiError> {
    let given: LoadDocument = quick_xml::de::from_str(call.text()?).map_err(|error| {
        ApiError::bad_request("MalformedXML", format!("tables document: {error}"))
    })?;
    if given.tables.len() > MAX_LOAD {
        return Err(ApiError::bad_request(
            "InvalidParameter",
            format!(
                "{} tables are asked for, the limit is {MAX_LOAD}",
                given.tables.len()
            ),
        ));
    }
    let mut document = Document::new("Tables");
    for wanted in given.tables {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let owner = filled(wanted.project).unwrap_or_else(|| project.to_owned());
        let schema = filled(wanted.schema).unwrap_or_else(|| call.schema());
        let table = find(call, &owner, &schema, &wanted.name).await?;
        document.raw(&load_document(call, table, false).await?);
    }
    Ok(xml_response(document.finish("Tables")))
}

/// The old preview: CSV with a header.
async fn preview(call: &Call<'_>, table: &Arc<TableMeta>) -> Result<Response, ApiError> {
    let limit = match call.filled("linenum") {
        None => MAX_PREVIEW,
        Some(text) => text
            .parse::<i64>()
            .map(|n| u64::try_from(n).unwrap_or(MAX_PREVIEW).min(MAX_PREVIEW))
            .map_err(|_| {
                ApiError::bad_request(
                    "InvalidParameter",
                    format!("linenum `{text}` is not a number"),
                )
            })?,
    };
    let columns: Vec<String> = match call.filled("cols") {
        Some(list) => list.split(',').map(|name| name.trim().to_owned()).collect(),
        None => table
            .columns
            .iter()
            .chain(&table.partition_columns)
            .map(|c| c.name.clone())
            .collect(),
    };
    let partition = call
        .filled("partition")
        .map(|text| PartitionSpec::resolve(table, text))
        .transpose()?;
    let table = table.clone();
    let text = call
        .state
        .store()
        .blocking(move |store| {
            if let Some(partition) = &partition {
                store.require_partition(&table, partition)?;
            }
            let snapshot = store.snapshot(&table, partition.as_ref())?;
            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
            let scan = store.scan(&snapshot, &names, 0..limit)?;
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let shown = scan.columns().to_vec();
            let mut out = shown
                .iter()
                .map(|c| quoted(&c.name))
                .collect::<Vec<_>>()
                .join(",");
            out.push('\n');
            for batch in scan {
                let batch = batch?;
                for row in 0..batch.num_rows() {
                    let cells: Vec<String> = shown
                        .iter()
                        .zip(batch.columns())
                        .map(|(column, array)| {
                            preview_text(array.as_ref(), &column.ty, row)
                                .map_or_else(|| "\\N".to_owned(), |text| quoted(&text))
                        })
                        .collect();
                    out.push_str(&cells.join(","));
                    out.push('\n');
                }
            }
            Ok::<_, StoreError>(out)
        })
        .await
        .map_err(rest_error)?;
    Ok(plain(text))
}
