//! SQL statements: submitted as an instance, polled until they end.

use super::client::{Client, Draft, Side, malformed};
use super::part::Target;
use crate::ddl::{self, TableName};
use crate::error::{ErrorClass, SinkError};
use crate::partition::PartitionSpec;
use crate::request::{Framing, Method};
use crate::session::metadata::{self, TaskStatus};

/// One statement.
pub(super) struct Statement<'a> {
    pub(super) target: &'a Target,
    /// Name of the SQL task, for example `SQLCreateTableTask`.
    pub(super) task: &'static str,
    pub(super) query: &'a str,
    pub(super) what: &'static str,
    pub(super) place: &'a str,
}

/// First and longest delay between two looks at an instance.
const POLL_MS: (u64, u64) = (50, 2000);

/// Run one statement to its end.
pub(super) async fn run(client: &Client, statement: &Statement<'_>) -> Result<(), SinkError> {
    let Statement {
        target,
        task,
        query,
        what,
        place,
    } = *statement;
    let mut settings = vec![
        ("odps.sql.type.system.odps2", "true"),
        ("odps.sql.decimal.odps2", "true"),
        ("odps.sql.allow.schema.evolution", "true"),
    ];
    if let Some(schema) = &target.schema {
        settings.push(("odps.namespace.schema", "true"));
        settings.push(("odps.sql.allow.namespace.schema", "true"));
        settings.push(("odps.default.schema", schema));
    }
    let body = metadata::sql_job(task, query, &settings, &client.uuid());
    let instances = format!("/projects/{}/instances", target.project);
    let submit = rest(target, Method::Post, instances.clone())
        .kind("sql", what, place)
        .header("Content-Type", "application/xml")
        .body(Framing::ContentLength, body.into_bytes());
    let response = client.call(&submit).await?;
    let location = response
        .header("Location")
        .and_then(|l| l.rsplit('/').next())
        .map(str::to_owned);
    let Some(id) = location.filter(|id| !id.is_empty()) else {
        // 200 and the whole result: it has ended already.
        let status = metadata::task_status(&response.body).map_err(|why| {
            malformed(
                &submit,
                &format!("no instance id, and the answer is unreadable: {why}"),
                &response,
            )
        })?;
        return match status {
            TaskStatus::Success => Ok(()),
            _ => Err(failed(
                statement,
                &metadata::task_result(&response.body).unwrap_or_default(),
            )),
        };
    };
    let get = |flag: Option<&str>| {
        let draft =
            rest(target, Method::Get, format!("{instances}/{id}")).kind("sql-poll", what, place);
        match flag {
            Some(flag) => draft.query(flag, ""),
            None => draft,
        }
    };
    let started = client.now().monotonic_ms;
    let mut delay = POLL_MS.0;
    loop {
        let draft = get(None);
        let response = client.call(&draft).await?;
        let ended = metadata::instance_terminated(&response.body).map_err(|why| {
            malformed(
                &draft,
                &format!("the instance is unreadable: {why}"),
                &response,
            )
        })?;
        if ended {
            break;
        }
        if client.now().monotonic_ms - started > client.options.ddl_timeout_ms {
            return Err(SinkError::new(
                ErrorClass::Transient(1000),
                "sql.timeout",
                format!(
                    "{place}: {what}: instance {id} did not end within ddl.timeout; look at it in the service's job list, or raise ddl.timeout"
                ),
            ));
        }
        client.sleep(delay).await;
        delay = (delay * 2).min(POLL_MS.1);
    }
    let draft = get(Some("taskstatus"));
    let response = client.call(&draft).await?;
    let status = metadata::task_status(&response.body).map_err(|why| {
        malformed(
            &draft,
            &format!("the task's status is unreadable: {why}"),
            &response,
        )
    })?;
    if status == TaskStatus::Success {
        return Ok(());
    }
    let response = client.call(&get(Some("result"))).await?;
    Err(failed(
        statement,
        &metadata::task_result(&response.body).unwrap_or_default(),
    ))
}

/// Add a partition where it does not exist.
pub(super) async fn add_partition(
    client: &Client,
    target: &Target,
    partition: &PartitionSpec,
    place: &str,
) -> Result<(), SinkError> {
    let query = ddl::add_partition(&table_name(target), partition, true);
    let statement = Statement {
        target,
        task: "SQLAddPartitionTask",
        query: &query,
        what: "adding the partition",
        place,
    };
    run(client, &statement).await
}

/// The table's name in SQL.
pub(super) fn table_name(target: &Target) -> TableName {
    TableName {
        project: target.project.clone(),
        schema: target.schema.clone(),
        table: target.name.clone(),
    }
}

/// A REST request about a table's project, with the schema where there is one.
pub(super) fn rest(target: &Target, method: Method, path: String) -> Draft {
    Draft::new(Side::Rest, method, &target.project, path)
        .query_some("curr_schema", target.schema.as_deref())
}

fn failed(statement: &Statement<'_>, result: &str) -> SinkError {
    let code = match result.split_once(':') {
        Some((code, _)) if code.starts_with("ODPS-") => code.trim(),
        _ => "failed",
    };
    let mut text = result.trim();
    if text.is_empty() {
        text = "the service gave no reason";
    }
    let remedy = match code {
        "ODPS-0130013" => "; grant this account the right to do that",
        _ => "",
    };
    SinkError::permanent(
        format!("sql.{code}"),
        format!(
            "{}: {} failed: {text}{remedy}; the statement was: {}",
            statement.place, statement.what, statement.query
        ),
    )
}
