//! Jobs: submitted, run in the background, kept with their results.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde::{Deserialize, Serialize};

use super::SqlError;
use super::execute::{self, Output};
use super::names::Names;
use crate::auth::Permission;
use crate::catalog::{Column, StoreError, now_ms};
use crate::faults::JobFault;
use crate::server::ApiError;
use crate::storage::Store;

/// Results of that many queries are kept in memory for the instance tunnel.
const KEPT_RESULTS: usize = 100;
/// Texts that clients left with tasks are kept in memory, that many.
const KEPT_INFOS: usize = 1000;

/// What a client submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Task name, given back in all answers.
    pub task: String,
    /// The statements.
    pub query: String,
    /// SQL hints.
    pub settings: BTreeMap<String, String>,
    /// The `Instance` document as it was sent.
    pub source: String,
}

/// Where an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceStatus {
    /// Still at work.
    Running,
    /// Ended well.
    Success,
    /// Ended with an error, which is its result.
    Failed,
    /// Stopped by a client.
    Cancelled,
}

impl InstanceStatus {
    /// The word of task status answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Success => "Success",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// An instance as clients ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Id.
    pub id: String,
    /// Project it runs in.
    pub project: String,
    /// The job.
    pub job: Job,
    /// State.
    pub status: InstanceStatus,
    /// Submission, epoch milliseconds.
    pub start_ms: i64,
    /// End, epoch milliseconds.
    pub end_ms: Option<i64>,
    /// `text` or `csv`.
    pub format: String,
    /// Result or error text.
    pub result: String,
    /// Owner as shown to clients.
    pub owner: String,
}

/// Rows of a query, in memory types.
#[derive(Debug, Clone)]
pub struct InstanceResult {
    /// Columns with MaxCompute types.
    pub columns: Vec<Column>,
    /// Schema of the batches.
    pub schema: SchemaRef,
    /// Rows.
    pub batches: Vec<RecordBatch>,
}

impl InstanceResult {
    /// A result of these rows.
    pub fn new(columns: Vec<Column>, schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self {
            columns,
            schema,
            batches,
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.batches
            .iter()
            .map(|batch| batch.num_rows() as u64)
            .sum()
    }
}

/// All instances of a server; cheap to clone.
#[derive(Debug, Clone)]
pub struct Instances {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    /// One job at a time: DDL of several clients keeps the order of submission.
    turn: tokio::sync::Mutex<()>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    results: HashMap<String, Arc<InstanceResult>>,
    order: VecDeque<String>,
    running: HashMap<String, tokio::task::AbortHandle>,
    /// Texts that clients left with tasks: instance, key, text. Oldest first.
    infos: VecDeque<(String, String, String)>,
}

impl Instances {
    pub(crate) fn new(store: Store, project: String) -> Self {
        let inner = Inner {
            store,
            turn: tokio::sync::Mutex::default(),
            kept: Mutex::default(),
        };
        let instances = Self {
            inner: Arc::new(inner),
        };
        instances.end_interrupted(&project);
        instances
    }

    /// Jobs of a killed server did not end.
    fn end_interrupted(&self, project: &str) {
        let documents = self
            .inner
            .store
            .database()
            .instances(project)
            .unwrap_or_default();
        for document in documents {
            if let Ok(mut instance) = serde_json::from_value::<Instance>(document)
                && instance.status == InstanceStatus::Running
            {
                instance.status = InstanceStatus::Failed;
                instance.end_ms = Some(now_ms());
                instance.result =
                    "ODPS-0010000:System internal error - the server was stopped while the job ran"
                        .to_owned();
                if let Err(error) = self.save(&instance) {
                    tracing::warn!("instance {}: {error}", instance.id);
                }
            }
        }
    }

    /// Forgets what is in memory only, as a server that is started anew has: running jobs have
    /// failed, results are no longer kept.
    pub(crate) async fn forget_running(&self, project: &str) {
        let kept = std::mem::take(&mut *self.kept());
        for job in kept.running.into_values() {
            job.abort();
        }
        let (this, project) = (self.clone(), project.to_owned());
        let ended = self.inner.store.blocking(move |_| {
            this.end_interrupted(&project);
            Ok(())
        });
        if let Err(error) = ended.await {
            tracing::error!("ending jobs: {error}");
        }
    }

    fn save(&self, instance: &Instance) -> Result<(), StoreError> {
        let document = serde_json::to_value(instance)?;
        self.inner.store.database().put_instance(
            &instance.id,
            &instance.project,
            instance.start_ms,
            &document,
        )
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.inner
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a job. Returns when it ended or after a short while, whichever is first: most DDL is
    /// over by the first poll.
    pub async fn submit(
        &self,
        project: &str,
        job: Job,
        permission: Permission,
        fault: Option<JobFault>,
    ) -> Result<String, ApiError> {
        const HEAD_START: Duration = Duration::from_millis(500);
        let now = now_ms();
        let stamp = chrono::DateTime::from_timestamp_millis(now)
            .unwrap_or_default()
            .format("%Y%m%d%H%M%S%3f");
        let random: String = uuid::Uuid::new_v4()
            .simple()
            .to_string()
            .chars()
            .take(10)
            .collect();
        let instance = Instance {
            id: format!("{stamp}g{random}"),
            project: project.to_owned(),
            job,
            status: InstanceStatus::Running,
            start_ms: now,
            end_ms: None,
            format: "text".to_owned(),
            result: String::new(),
            owner: crate::rest::OWNER.to_owned(),
        };
        let id = instance.id.clone();
        let (this, saved) = (self.clone(), instance.clone());
        self.inner
            .store
            .blocking(move |_| this.save(&saved))
            .await?;
        let this = self.clone();
        let task = tokio::spawn(async move { this.run(instance, permission, fault).await });
        self.kept().running.insert(id.clone(), task.abort_handle());
        // The job goes on in the background when the time is over.
        let _ = tokio::time::timeout(HEAD_START, task).await;
        Ok(id)
    }

    async fn run(&self, mut instance: Instance, permission: Permission, fault: Option<JobFault>) {
        let _turn = self.inner.turn.lock().await;
        let names = Names {
            project: instance.project.clone(),
            settings: instance.job.settings.clone(),
        };
        let query = &instance.job.query;
        let outcome = match fault {
            None => execute::run(&self.inner.store, names, query, permission)
                .await
                .map_err(|error| error.to_string()),
            Some(fault) => {
                if fault.run
                    && let Err(error) =
                        execute::run(&self.inner.store, names, query, permission).await
                {
                    tracing::debug!("a job that fails on purpose failed by itself: {error}");
                }
                Err(fault.text)
            }
        };
        instance.end_ms = Some(now_ms());
        match outcome {
            Ok(Output::Nothing) => instance.status = InstanceStatus::Success,
            Ok(Output::Text(text)) => {
                instance.status = InstanceStatus::Success;
                instance.result = text;
            }
            Ok(Output::Rows(rows)) => {
                instance.status = InstanceStatus::Success;
                instance.format = "csv".to_owned();
                instance.result = super::csv::csv(&rows);
                self.keep(&instance.id, rows);
            }
            Err(error) => {
                instance.status = InstanceStatus::Failed;
                instance.result = error;
            }
        }
        self.end(instance).await;
    }

    async fn end(&self, instance: Instance) {
        let (this, id) = (self.clone(), instance.id.clone());
        let saved = self
            .inner
            .store
            .blocking(move |_| this.save(&instance))
            .await;
        if let Err(error) = saved {
            tracing::error!("instance {id}: {error}");
        }
        self.kept().running.remove(&id);
    }

    fn keep(&self, id: &str, rows: InstanceResult) {
        let mut kept = self.kept();
        kept.results.insert(id.to_owned(), Arc::new(rows));
        kept.order.push_back(id.to_owned());
        while kept.order.len() > KEPT_RESULTS {
            if let Some(old) = kept.order.pop_front() {
                kept.results.remove(&old);
            }
        }
    }

    /// The instance, or 404 `NoSuchObject`.
    pub async fn get(&self, project: &str, id: &str) -> Result<Instance, ApiError> {
        let (owner, wanted) = (project.to_owned(), id.to_owned());
        let document = self
            .inner
            .store
            .blocking(move |store| store.database().instance(&owner, &wanted))
            .await?;
        let document = document.ok_or_else(|| no_such_instance(id))?;
        serde_json::from_value(document)
            .map_err(|error| ApiError::internal(format!("instance {id}: {error}")))
    }

    /// The text a client left under a key of an instance's task.
    pub fn task_info(&self, id: &str, key: &str) -> Option<String> {
        let kept = self.kept();
        let found = kept.infos.iter().find(|(i, k, _)| i == id && k == key);
        found.map(|(_, _, text)| text.clone())
    }

    /// Keeps a text under a key of an instance's task, as long as the server runs; of all texts the
    /// newest 1000.
    pub fn put_task_info(&self, id: &str, key: String, text: String) {
        let mut kept = self.kept();
        kept.infos.retain(|(i, k, _)| i != id || *k != key);
        kept.infos.push_back((id.to_owned(), key, text));
        if kept.infos.len() > KEPT_INFOS {
            kept.infos.pop_front();
        }
    }

    /// Instances of a project, newest first.
    pub async fn list(&self, project: &str) -> Result<Vec<Instance>, ApiError> {
        let project = project.to_owned();
        let documents = self
            .inner
            .store
            .blocking(move |store| store.database().instances(&project))
            .await?;
        documents
            .into_iter()
            .map(|d| {
                serde_json::from_value(d).map_err(|e| ApiError::internal(format!("instance: {e}")))
            })
            .collect()
    }

    /// Stops an instance. One that ended is 400 `InvalidStateSetting`.
    pub async fn cancel(&self, project: &str, id: &str) -> Result<(), ApiError> {
        let mut instance = self.get(project, id).await?;
        let running = self.kept().running.remove(id);
        let Some(task) = running.filter(|_| instance.status == InstanceStatus::Running) else {
            return Err(ApiError::bad_request(
                "InvalidStateSetting",
                format!("instance {id} is terminated: its status cannot be set"),
            ));
        };
        task.abort();
        instance.status = InstanceStatus::Cancelled;
        instance.end_ms = Some(now_ms());
        self.end(instance).await;
        Ok(())
    }

    /// Rows of an ended query. Blocks on the catalog only for instances without rows in memory.
    pub fn result(&self, project: &str, id: &str) -> Result<Arc<InstanceResult>, ApiError> {
        if let Some(result) = self.kept().results.get(id) {
            return Ok(result.clone());
        }
        let document = self
            .inner
            .store
            .database()
            .instance(&project.to_lowercase(), id)?;
        let instance: Instance = document.ok_or_else(|| no_such_instance(id)).and_then(|d| {
            serde_json::from_value(d).map_err(|e| ApiError::internal(e.to_string()))
        })?;
        Err(match instance.status {
            InstanceStatus::Running => ApiError::bad_request(
                "InstanceNotTerminate",
                format!("instance {id} is still running"),
            ),
            InstanceStatus::Failed | InstanceStatus::Cancelled => ApiError::bad_request(
                "TaskFailed",
                format!("instance {id} failed: {}", instance.result),
            ),
            InstanceStatus::Success => ApiError::bad_request(
                "InstanceTypeNotSupported",
                format!(
                    "instance {id} is not a query, or its rows are no longer kept: read its result text"
                ),
            ),
        })
    }
}

fn no_such_instance(id: &str) -> ApiError {
    ApiError::not_found("NoSuchObject", format!("instance {id} not found"))
}

impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> Self {
        Self::bad_request(error.code, error.to_string())
    }
}
