//! Instances: SQL jobs.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::xml::Document;
use super::{Call, OWNER, http_date, json_response, set_header, xml_response};
use crate::server::ApiError;
use crate::sql::{Instance, InstanceStatus, Job};

#[derive(Deserialize)]
struct InstanceDocument {
    #[serde(rename = "Job")]
    job: JobDocument,
}

#[derive(Deserialize)]
struct JobDocument {
    #[serde(rename = "Tasks")]
    tasks: TasksDocument,
}

#[derive(Deserialize)]
struct TasksDocument {
    #[serde(rename = "SQL", default)]
    sql: Vec<SqlDocument>,
}

#[derive(Deserialize)]
struct SqlDocument {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Config", default)]
    config: ConfigDocument,
    #[serde(rename = "Query")]
    query: String,
}

#[derive(Deserialize, Default)]
struct ConfigDocument {
    #[serde(rename = "Property", default)]
    properties: Vec<PropertyDocument>,
}

#[derive(Deserialize)]
struct PropertyDocument {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Value", default)]
    value: String,
}

pub(super) async fn submit(call: &Call<'_>, project: &str) -> Result<Response, ApiError> {
    let job = job(call)?;
    let id = call
        .state
        .instances()
        .submit(project, job, call.caller.permission, call.job_fault.clone())
        .await?;
    let mut response = StatusCode::CREATED.into_response();
    set_header(&mut response, "location", &address(call, project, &id));
    set_header(&mut response, "content-type", "application/xml");
    Ok(response)
}

/// The address of an instance, as the client reaches this server.
fn address(call: &Call<'_>, project: &str, id: &str) -> String {
    let host = call
        .headers
        .get("host")
        .and_then(|v| v.to_str().ok())
        .unwrap_or("localhost");
    format!(
        "http://{host}{}/projects/{project}/instances/{id}",
        call.caller.base
    )
}

/// The SQL task of an `Instance` document.
fn job(call: &Call<'_>) -> Result<Job, ApiError> {
    let source = call.text()?;
    let document: InstanceDocument = quick_xml::de::from_str(source).map_err(|error| {
        ApiError::bad_request("MalformedXML", format!("instance document: {error}"))
    })?;
    let mut tasks = document.job.tasks.sql.into_iter();
    let (Some(task), None) = (tasks.next(), tasks.next()) else {
        return Err(ApiError::bad_request(
            "NotImplemented",
            "a job must have exactly one SQL task",
        ));
    };
    let mut settings = BTreeMap::new();
    for property in task.config.properties {
        if property.name != "settings" || property.value.trim().is_empty() {
            continue;
        }
        let hints: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&property.value).map_err(|error| {
                ApiError::bad_request(
                    "InvalidParameter",
                    format!("settings are not JSON: {error}"),
                )
            })?;
        for (name, value) in hints {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            settings.insert(name, text);
        }
    }
    if let Some(schema) = call.filled("curr_schema") {
        settings
            .entry("odps.default.schema".to_owned())
            .or_insert_with(|| schema.to_owned());
    }
    Ok(Job {
        task: task.name,
        query: task.query,
        settings,
        source: source.to_owned(),
    })
}

pub(super) async fn get(call: &Call<'_>, project: &str, id: &str) -> Result<Response, ApiError> {
    let instance = call.state.instances().get(project, id).await?;
    if call.has("source") {
        return Ok(xml_response(job_element(&instance.job.source)));
    }
    if call.has("detail") || call.has("instancedetail") || call.has("instancesummary") {
        let name = call.filled("taskname").unwrap_or(&instance.job.task);
        return Ok(json_response(detail(
            &instance,
            name,
            !call.has("instancesummary"),
        )));
    }
    if call.has("instanceprogress") {
        return Ok(xml_response(progress(&instance)));
    }
    if call.has("info") {
        let key = call.param("key").unwrap_or("");
        let info = call.state.instances().task_info(id, key);
        return Ok(json_response(info.unwrap_or_else(|| "{}".to_owned())));
    }
    if call.has("instancequota") {
        return Ok(json_response("{}".to_owned()));
    }
    if call.has("cached") {
        return Ok(json_response(queueing(&instance)));
    }
    if call.has("taskstatus") {
        return Ok(xml_response(task_status(&instance)));
    }
    if call.has("result") {
        return Ok(xml_response(result(&instance)));
    }
    let mut document = Document::new("Instance");
    document.text("Status", status_word(&instance));
    let mut response = xml_response(document.finish("Instance"));
    set_header(&mut response, "x-odps-owner", &instance.owner);
    set_header(
        &mut response,
        "x-odps-start-time",
        &http_date(instance.start_ms),
    );
    set_header(
        &mut response,
        "x-odps-end-time",
        &instance.end_ms.map(http_date).unwrap_or_default(),
    );
    Ok(response)
}

/// The job inside the document a client sent, as it was sent.
fn job_element(source: &str) -> String {
    let element = source.find("<Job").zip(source.rfind("</Job>"));
    let job = element
        .and_then(|(start, end)| source.get(start..end))
        .map_or_else(|| "<Job>".to_owned(), str::to_owned);
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{job}</Job>")
}

fn status_word(instance: &Instance) -> &'static str {
    if instance.status == InstanceStatus::Running {
        "Running"
    } else {
        "Terminated"
    }
}

fn task_status(instance: &Instance) -> String {
    let mut document = Document::new("Instance");
    document
        .text("Status", status_word(instance))
        .open("Tasks")
        .open("Task Type=\"SQL\"")
        .text("Name", &instance.job.task)
        .text("StartTime", &http_date(instance.start_ms));
    if let Some(end) = instance.end_ms {
        document.text("EndTime", &http_date(end));
    }
    document
        .text("Status", instance.status.word())
        .raw("<Histories/>")
        .close("Task")
        .close("Tasks");
    document.finish("Instance")
}

fn result(instance: &Instance) -> String {
    let mut document = Document::new("Instance");
    document
        .open("Tasks")
        .open("Task Type=\"SQL\"")
        .text("Name", &instance.job.task)
        .open(&format!(
            "Result Transform=\"Base64\" Format=\"{}\"",
            instance.format
        ))
        .raw(&STANDARD.encode(&instance.result))
        .close("Result")
        .text("Status", instance.status.word())
        .close("Task")
        .close("Tasks");
    document.finish("Instance")
}

fn progress(instance: &Instance) -> String {
    let done = instance.status != InstanceStatus::Running;
    let mut document = Document::new("Progress");
    document
        .open("Stage ID=\"M1\"")
        .text("BackupWorkers", "0")
        .text("TerminatedWorkers", if done { "1" } else { "0" })
        .text("RunningWorkers", if done { "0" } else { "1" })
        .text("TotalWorkers", "1")
        .text("InputRecords", "0")
        .text("OutputRecords", "0")
        .text("FinishedPercentage", if done { "100" } else { "0" })
        .close("Stage");
    document.finish("Progress")
}

fn detail(instance: &Instance, task: &str, stages: bool) -> String {
    let entry = json!({"Name": task, "Status": instance.status.word()});
    if stages {
        return json!({
            "Instance": {"Name": instance.id, "Status": status_word(instance), "Tasks": [entry]},
            "Stages": [{"Name": "M1", "Status": instance.status.word()}],
        })
        .to_string();
    }
    json!({"Instance": {"TaskSummary": entry, "JsonSummary": "{}", "Summary": ""}}).to_string()
}

/// What a list of queued instances says of this one; it waits for nothing else.
fn queueing(instance: &Instance) -> String {
    let done = instance.status != InstanceStatus::Running;
    let start = chrono::DateTime::from_timestamp_millis(instance.start_ms).unwrap_or_default();
    json!({
        "instanceId": instance.id,
        "projectName": instance.project,
        "status": status_word(instance),
        "taskName": instance.job.task,
        "taskType": "SQL",
        "startTime": start.format("%Y-%m-%d %H:%M:%S +0000").to_string(),
        "userAccount": instance.owner,
        "instancePriority": 9,
        "instanceProcess": if done { 1.0 } else { 0.0 },
    })
    .to_string()
}

#[derive(Deserialize)]
struct InfoDocument {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Value", default)]
    value: String,
}

/// Keeps a text under a key of a task, for whoever asks for that key.
pub(super) async fn put_info(
    call: &Call<'_>,
    project: &str,
    id: &str,
) -> Result<Response, ApiError> {
    let given: InfoDocument = quick_xml::de::from_str(call.text()?).map_err(|error| {
        ApiError::bad_request("MalformedXML", format!("task info document: {error}"))
    })?;
    let instances = call.state.instances();
    let instance = instances.get(project, id).await?;
    instances.put_task_info(&instance.id, given.key, given.value);
    let mut response = StatusCode::OK.into_response();
    set_header(&mut response, "location", &address(call, project, id));
    Ok(response)
}

pub(super) async fn list(call: &Call<'_>, project: &str) -> Result<Response, ApiError> {
    let instances = call.state.instances().list(project).await?;
    let (from, to) = date_range(call.filled("daterange").unwrap_or(":"))?;
    let fits = |instance: &Instance| {
        call.filled("status")
            .is_none_or(|word| word.eq_ignore_ascii_case(status_word(instance)))
            && from.is_none_or(|from| instance.start_ms >= from.saturating_mul(1000))
            && to.is_none_or(|to| instance.start_ms < to.saturating_add(1).saturating_mul(1000))
    };
    let instances: Vec<Instance> = instances.into_iter().filter(fits).collect();
    let (page, marker, size) = call.page(instances)?;
    let mut document = Document::new("Instances");
    document
        .text("Marker", &marker)
        .text("MaxItems", &size.to_string());
    for instance in page {
        document
            .open("Instance")
            .text("Name", &instance.id)
            .text("Owner", OWNER)
            .text("StartTime", &http_date(instance.start_ms));
        if let Some(end) = instance.end_ms {
            document.text("EndTime", &http_date(end));
        }
        document
            .text("Status", status_word(&instance))
            .close("Instance");
    }
    Ok(xml_response(document.finish("Instances")))
}

/// `from:to` in epoch seconds, either may be missing.
fn date_range(text: &str) -> Result<(Option<i64>, Option<i64>), ApiError> {
    let bound = |text: &str| match text.trim() {
        "" => Ok(None),
        text => text
            .parse::<f64>()
            .ok()
            .filter(|v| v.is_finite())
            // Seconds far below 2^53: exact.
            .map(|v| Some(v.floor() as i64))
            .ok_or_else(|| {
                ApiError::bad_request(
                    "InvalidParameter",
                    format!("daterange: `{text}` is not a time"),
                )
            }),
    };
    let (from, to) = text.split_once(':').unwrap_or((text, ""));
    Ok((bound(from)?, bound(to)?))
}

#[derive(Deserialize)]
struct StatusDocument {
    #[serde(rename = "Status")]
    status: String,
}

pub(super) async fn stop(call: &Call<'_>, project: &str, id: &str) -> Result<Response, ApiError> {
    let given: StatusDocument = quick_xml::de::from_str(call.text()?).map_err(|error| {
        ApiError::bad_request("MalformedXML", format!("instance document: {error}"))
    })?;
    if !given.status.eq_ignore_ascii_case("Terminated") {
        return Err(ApiError::bad_request(
            "InvalidStateSetting",
            format!(
                "an instance can only be set to Terminated, not {}",
                given.status
            ),
        ));
    }
    call.state.instances().cancel(project, id).await?;
    Ok(StatusCode::OK.into_response())
}
