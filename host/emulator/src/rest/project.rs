//! Projects, schemas and authorization.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::xml::Document;
use super::{Call, OWNER, http_date, json_response, rest_error, set_header, xml_response};
use crate::catalog::{SchemaInfo, StoreError};
use crate::server::ApiError;

pub(super) async fn list(call: &Call<'_>) -> Result<Response, ApiError> {
    let projects = call
        .state
        .store()
        .blocking(|store| store.database().projects())
        .await?;
    let wanted = call.filled("name").unwrap_or("").to_lowercase();
    let projects: Vec<_> = projects
        .into_iter()
        .filter(|(name, _)| name.starts_with(&wanted))
        .collect();
    let (page, marker, size) = call.page(projects)?;
    let mut document = Document::new("Projects");
    document
        .text("Marker", &marker)
        .text("MaxItems", &size.to_string());
    for (name, created_ms) in page {
        document
            .open("Project")
            .text("Name", &name)
            .text("Type", "managed")
            .text("Owner", OWNER)
            .text("State", "AVAILABLE")
            .text("CreationTime", &http_date(created_ms))
            .close("Project");
    }
    Ok(xml_response(document.finish("Projects")))
}

pub(super) async fn show(call: &Call<'_>, name: &str) -> Result<Response, ApiError> {
    let wanted = name.to_owned();
    let created = call
        .state
        .store()
        .blocking(move |store| store.database().project_created(&wanted))
        .await?
        .unwrap_or_default();
    let date = http_date(created);
    let three_tier = call.state.options().schema_model.to_string();
    let mut document = Document::new("Project");
    document
        .text("Name", name)
        .text("Type", "managed")
        .text("Comment", "")
        .text("Owner", OWNER)
        .text("SuperAdministrator", OWNER)
        .text("CreationTime", &date)
        .text("LastModifiedTime", &date)
        .text("ProjectGroupName", name)
        .open("Properties");
    let properties = [
        ("odps.schema.model.enabled", three_tier.as_str()),
        ("odps.schema.evolution.enable", "true"),
        ("odps.sql.type.system.odps2", "true"),
        ("odps.sql.decimal.odps2", "true"),
        ("odps.sql.timezone", "UTC"),
        ("odps.table.lifecycle", "optional"),
    ];
    for (key, value) in properties {
        document
            .open("Property")
            .text("Name", key)
            .text("Value", value)
            .close("Property");
    }
    document
        .close("Properties")
        .open("ExtendedProperties")
        .close("ExtendedProperties")
        .text("State", "AVAILABLE")
        .text("Region", "local")
        .text("Allow3Tier", &three_tier);
    let mut response = xml_response(document.finish("Project"));
    set_header(&mut response, "x-odps-owner", OWNER);
    set_header(&mut response, "x-odps-creation-time", &date);
    set_header(&mut response, "last-modified", &date);
    Ok(response)
}

/// The access policy of a project; nobody can set one here.
pub(super) fn policy() -> Response {
    json_response(json!({"Version": "1", "Statement": []}).to_string())
}

/// The list of a kind of object that this server has none of.
pub(super) fn none_of(root: &str) -> Response {
    let mut document = Document::new(root);
    document.text("Marker", "").text("MaxItems", "0");
    xml_response(document.finish(root))
}

#[derive(Deserialize, Default)]
struct Authorization {
    #[serde(rename = "Query", default)]
    query: String,
    #[serde(rename = "ResponseInJsonFormat", default)]
    json: Option<String>,
}

/// Security statements and logview tokens.
pub(super) fn authorization(call: &Call<'_>) -> Result<Response, ApiError> {
    let given = quick_xml::de::from_str::<Authorization>(call.text()?).unwrap_or_default();
    let query = given.query;
    let json = given
        .json
        .is_none_or(|text| !text.trim().eq_ignore_ascii_case("false"));
    let statement = query.trim().trim_end_matches(';').trim().to_lowercase();
    let result = if call.has("sign_bearer_token") || statement.is_empty() {
        format!("local-{}", uuid::Uuid::new_v4().simple())
    } else if statement == "whoami" && json {
        json!({"DisplayName": OWNER, "ID": "1", "IsSuperAdministrator": true}).to_string()
    } else if statement == "whoami" {
        format!("DisplayName: {OWNER}\nID: 1\nIsSuperAdministrator: true\n")
    } else if statement.starts_with("set label") && json {
        json!("OK").to_string()
    } else if statement.starts_with("set label") {
        "OK".to_owned()
    } else {
        return Err(ApiError::bad_request(
            "NotImplemented",
            format!(
                "security statement `{}` is not offered by this server",
                query.trim()
            ),
        ));
    };
    let mut document = Document::new("Authorization");
    document.text("Result", &result);
    Ok(xml_response(document.finish("Authorization")))
}

pub(super) async fn list_schemas(call: &Call<'_>, project: &str) -> Result<Response, ApiError> {
    let wanted = project.to_owned();
    let schemas = call
        .state
        .store()
        .blocking(move |store| store.database().schemas(&wanted))
        .await?;
    let prefix = call.filled("name").unwrap_or("").to_lowercase();
    let schemas: Vec<_> = schemas
        .into_iter()
        .filter(|s| {
            s.name.starts_with(&prefix) && call.filled("owner").is_none_or(|owner| owner == OWNER)
        })
        .collect();
    let (page, marker, size) = call.page(schemas)?;
    let mut document = Document::new("Schemas");
    document
        .text("Marker", &marker)
        .text("MaxItems", &size.to_string());
    for schema in page {
        document.open("Schema");
        schema_fields(&mut document, project, &schema);
        document.close("Schema");
    }
    Ok(xml_response(document.finish("Schemas")))
}

fn schema_fields(document: &mut Document, project: &str, schema: &SchemaInfo) {
    let date = http_date(schema.created_ms);
    document
        .text("Name", &schema.name)
        .text("Project", project)
        .text("Comment", schema.comment.as_deref().unwrap_or(""))
        .text("Type", "MANAGED")
        .text("CreateTime", &date)
        .text("ModifiedTime", &date)
        .text("Owner", OWNER);
}

pub(super) async fn show_schema(
    call: &Call<'_>,
    project: &str,
    name: &str,
) -> Result<Response, ApiError> {
    let wanted = project.to_owned();
    let schemas = call
        .state
        .store()
        .blocking(move |store| store.database().schemas(&wanted))
        .await?;
    let name = name.to_lowercase();
    let schema = schemas.into_iter().find(|s| s.name == name);
    let schema =
        schema.ok_or_else(|| rest_error(StoreError::NoSuchSchema(format!("{project}.{name}"))))?;
    let mut document = Document::new("Schema");
    schema_fields(&mut document, project, &schema);
    let mut response = xml_response(document.finish("Schema"));
    set_header(&mut response, "x-odps-owner", OWNER);
    set_header(
        &mut response,
        "x-odps-creation-time",
        &http_date(schema.created_ms),
    );
    set_header(
        &mut response,
        "last-modified",
        &http_date(schema.created_ms),
    );
    Ok(response)
}

#[derive(Deserialize)]
struct SchemaDocument {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Comment", default)]
    comment: Option<String>,
    #[serde(rename = "IfNotExists", default)]
    if_not_exists: Option<String>,
}

pub(super) async fn create_schema(call: &Call<'_>, project: &str) -> Result<Response, ApiError> {
    let given: SchemaDocument = quick_xml::de::from_str(call.text()?).map_err(|error| {
        ApiError::bad_request("MalformedXML", format!("schema document: {error}"))
    })?;
    let project = project.to_owned();
    let made = call
        .state
        .store()
        .blocking(move |store| {
            store
                .database()
                .create_schema(
                    &project,
                    &given.name.to_lowercase(),
                    given.comment.as_deref(),
                )
                .or_else(|error| match error {
                    StoreError::AlreadyExists(_)
                        if given.if_not_exists.as_deref() == Some("true") =>
                    {
                        Ok(())
                    }
                    error => Err(error),
                })
        })
        .await;
    made.map_err(rest_error)?;
    Ok(StatusCode::CREATED.into_response())
}

pub(super) async fn drop_schema(
    call: &Call<'_>,
    project: &str,
    name: &str,
) -> Result<Response, ApiError> {
    let (project, name) = (project.to_owned(), name.to_lowercase());
    let dropped = call
        .state
        .store()
        .blocking(move |store| store.database().drop_schema(&project, &name))
        .await;
    dropped.map_err(rest_error)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
