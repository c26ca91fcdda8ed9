//! Commit and abort of what was prepared: by this sink or by one that is long gone.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::client::{Client, Draft, Side, malformed};
use super::committable::{Kind, Prepared};
use super::metrics::add;
use super::part::Target;
use super::task::{Permits, Slot};
use super::upload::block_mismatch;
use crate::contract::{CommitOutcome, Committable, TablePath};
use crate::error::{ErrorClass, SinkError};
use crate::request::{Method, Response};
use crate::retry::{Failure, RetryClass};
use crate::session::tunnel::{UploadInfo, UploadStatus, UpsertInfo, UpsertStatus};

/// First and longest delay between two looks at a session that is being committed.
const POLL_MS: (u64, u64) = (1000, 8000);

/// What to do with each item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Commit,
    Abort,
}

/// Work through `items`, several at once; outcomes in input order.
pub(super) async fn run(
    client: Rc<Client>,
    items: Vec<Committable>,
    task: Task,
) -> Vec<CommitOutcome> {
    let permits = Permits::new(client.options.commit_threads);
    let mut outcomes = Vec::with_capacity(items.len());
    for item in items {
        let outcome = Slot::new();
        outcomes.push(outcome.clone());
        let (client, permits) = (Rc::clone(&client), Rc::clone(&permits));
        client.clone().spawn(async move {
            let _permit = permits.acquire().await;
            outcome.fill(one(&client, &item, task).await);
        });
    }
    let mut done = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        done.push(outcome.await);
    }
    done
}

async fn one(client: &Client, item: &Committable, task: Task) -> CommitOutcome {
    let prepared = match Prepared::decode(item) {
        Ok(prepared) => prepared,
        Err(error) => return CommitOutcome::Failed(error),
    };
    let session = SessionCall::new(client, &item.table, &prepared);
    let outcome = match (&prepared.kind, task) {
        (Kind::Upload { blocks }, Task::Commit) => {
            session
                .commit_upload(&blocks.iter().copied().collect())
                .await
        }
        (Kind::Upsert { server }, Task::Commit) => session.commit_upsert(server).await,
        // There is no call for it: the session expires by itself.
        (Kind::Upload { .. }, Task::Abort) => Ok(CommitOutcome::Committed),
        (Kind::Upsert { server }, Task::Abort) => session.abort_upsert(server).await,
    };
    let outcome = outcome.unwrap_or_else(|error| match error.class {
        ErrorClass::Transient(ms) | ErrorClass::Throttled(ms) => CommitOutcome::Retry(ms.max(1000)),
        _ => CommitOutcome::Failed(error),
    });
    if outcome == CommitOutcome::Committed && task == Task::Commit {
        add(&client.counters.committed, 1);
    }
    outcome
}

/// Calls about one session.
struct SessionCall<'a> {
    client: &'a Client,
    prepared: &'a Prepared,
    target: Target,
    place: String,
}

impl<'a> SessionCall<'a> {
    fn new(client: &'a Client, path: &TablePath, prepared: &'a Prepared) -> Self {
        let target = prepared.target(path);
        let place = target.place(&prepared.partition);
        Self {
            client,
            prepared,
            target,
            place,
        }
    }

    fn draft(
        &self,
        method: Method,
        path: String,
        id: &str,
        kind: &'static str,
        what: &'static str,
    ) -> Draft {
        let partition = Some(self.prepared.partition.as_str()).filter(|p| !p.is_empty());
        Draft::new(Side::Tunnel, method, &self.target.project, path)
            .query(id, &self.prepared.session)
            .query_some("partition", partition)
            .query_some("quotaName", self.client.options.quota_name.as_deref())
            .kind(kind, what, &self.place)
    }

    fn upload_draft(&self, method: Method, kind: &'static str, what: &'static str) -> Draft {
        self.draft(method, self.target.tunnel_path(), "uploadid", kind, what)
    }

    fn upsert_draft(
        &self,
        method: Method,
        kind: &'static str,
        what: &'static str,
        server: &str,
    ) -> Draft {
        let path = format!("{}/upserts", self.target.tunnel_path());
        self.draft(method, path, "upsertid", kind, what)
            .header("odps-tunnel-routed-server", server)
    }

    /// An upload session tells what became of it, so it is asked before and after each attempt.
    async fn commit_upload(&self, blocks: &BTreeSet<u32>) -> Result<CommitOutcome, SinkError> {
        let mut posted = false;
        let started = self.client.now().monotonic_ms;
        let mut delay = POLL_MS.0;
        loop {
            let draft = self
                .upload_draft(Method::Get, "upload-status", "reading the upload session")
                .query("getblockid", "true");
            let response = self
                .client
                .call_raw(&draft)
                .await
                .map_err(|f| self.explain(&f, &draft))?;
            let info = self.read_upload(&draft, &response)?;
            match info.status {
                UploadStatus::Closed if posted => return Ok(CommitOutcome::Committed),
                UploadStatus::Closed => return Ok(CommitOutcome::AlreadyCommitted),
                UploadStatus::Dead => return Err(self.dead(&info.status_text)),
                UploadStatus::Committing => {
                    if self.client.now().monotonic_ms - started
                        > self.client.options.commit_timeout_ms
                    {
                        return Ok(CommitOutcome::Retry(self.wait(delay)));
                    }
                    self.client.sleep(delay).await;
                    delay = (delay * 2).min(POLL_MS.1);
                    continue;
                }
                UploadStatus::Normal => {}
            }
            if info.blocks != *blocks {
                return Err(block_mismatch(
                    &self.place,
                    &self.prepared.session,
                    blocks,
                    &info,
                ));
            }
            let draft = self.upload_draft(
                Method::Post,
                "upload-commit",
                "committing the upload session",
            );
            posted = true;
            match self
                .client
                .send(&draft)
                .await
                .map_err(|f| self.explain(&f, &draft))?
            {
                Ok(response) => {
                    if self.read_upload(&draft, &response)?.status == UploadStatus::Closed {
                        return Ok(CommitOutcome::Committed);
                    }
                }
                Err(failure) => {
                    if matches!(failure.class, RetryClass::Fatal | RetryClass::SessionGone) {
                        return Err(self.explain(&failure, &draft));
                    }
                    if self.client.now().monotonic_ms - started
                        > self.client.options.commit_timeout_ms
                    {
                        return Ok(CommitOutcome::Retry(
                            self.wait(failure.hold_ms.unwrap_or(delay)),
                        ));
                    }
                    self.client.counters.retry(failure.class.as_str());
                    let wait = delay.max(failure.hold_ms.unwrap_or(0));
                    self.client.log_repeat(&failure, &draft, wait);
                    self.client.sleep(wait).await;
                }
            }
            delay = (delay * 2).min(POLL_MS.1);
        }
    }

    /// An upsert commit is repeated until the service says that it is done.
    async fn commit_upsert(&self, server: &str) -> Result<CommitOutcome, SinkError> {
        let mut server = server.to_owned();
        let started = self.client.now().monotonic_ms;
        let draft = self.upsert_draft(
            Method::Get,
            "upsert-reload",
            "reading the upsert session",
            &server,
        );
        let response = self
            .client
            .call_raw(&draft)
            .await
            .map_err(|f| self.explain(&f, &draft))?;
        let info = self.read_upsert(&draft, &response)?;
        match info.status {
            UpsertStatus::Committed => return Ok(CommitOutcome::AlreadyCommitted),
            UpsertStatus::Dead => return Err(self.dead(&info.status_text)),
            UpsertStatus::Normal | UpsertStatus::Committing => {}
        }
        if let Some(slot) = info.buckets.first().filter(|s| !s.server.is_empty()) {
            server.clone_from(&slot.server);
        }
        let mut posted = false;
        let mut delay = POLL_MS.0;
        loop {
            let draft = self.upsert_draft(
                Method::Post,
                "upsert-commit",
                "committing the upsert session",
                &server,
            );
            let mut wait = delay;
            match self
                .client
                .send(&draft)
                .await
                .map_err(|f| self.explain(&f, &draft))?
            {
                Ok(response) => {
                    posted = true;
                    let info = self.read_upsert(&draft, &response)?;
                    match info.status {
                        UpsertStatus::Committed => return Ok(CommitOutcome::Committed),
                        UpsertStatus::Dead => return Err(self.dead(&info.status_text)),
                        UpsertStatus::Normal | UpsertStatus::Committing => {}
                    }
                }
                // The session is cleaned away once it is committed.
                Err(failure) if posted && session_cleaned(&failure) => {
                    return Ok(CommitOutcome::Committed);
                }
                Err(failure) => match failure.class {
                    RetryClass::Fatal | RetryClass::SessionGone | RetryClass::Unauthenticated => {
                        return Err(self.explain(&failure, &draft));
                    }
                    class => {
                        self.client.counters.retry(class.as_str());
                        // Without an answer, or with a late one, the commit may have happened.
                        posted |= matches!(class, RetryClass::Transient | RetryClass::Damaged);
                        if failure.routed_server.is_some() {
                            wait = 0;
                        }
                        wait = wait.max(failure.hold_ms.unwrap_or(0));
                        self.client.log_repeat(&failure, &draft, wait);
                        if let Some(routed) = failure.routed_server {
                            server = routed;
                        }
                    }
                },
            }
            if self.client.now().monotonic_ms - started > self.client.options.commit_timeout_ms {
                return Ok(CommitOutcome::Retry(self.wait(delay)));
            }
            self.client.sleep(wait).await;
            delay = (delay * 2).min(POLL_MS.1);
        }
    }

    async fn abort_upsert(&self, server: &str) -> Result<CommitOutcome, SinkError> {
        let draft = self.upsert_draft(
            Method::Delete,
            "upsert-abort",
            "aborting the upsert session",
            server,
        );
        match self.client.call_raw(&draft).await {
            Ok(_) => Ok(CommitOutcome::Committed),
            // Gone is what was asked for.
            Err(failure) if session_cleaned(&failure) => Ok(CommitOutcome::Committed),
            Err(failure) => Err(self.explain(&failure, &draft)),
        }
    }

    fn read_upload(&self, draft: &Draft, response: &Response) -> Result<UploadInfo, SinkError> {
        UploadInfo::read(&response.body).map_err(|why| {
            malformed(
                draft,
                &format!("the session is unreadable: {why}"),
                response,
            )
        })
    }

    fn read_upsert(&self, draft: &Draft, response: &Response) -> Result<UpsertInfo, SinkError> {
        UpsertInfo::read(&response.body).map_err(|why| {
            malformed(
                draft,
                &format!("the session is unreadable: {why}"),
                response,
            )
        })
    }

    /// A failed call, with the session's name where the session is the trouble.
    fn explain(&self, failure: &Failure, draft: &Draft) -> SinkError {
        let mut error = failure.error("tunnel", draft.what, &self.place);
        if matches!(failure.class, RetryClass::SessionGone) || failure.is_not_found() {
            error.class = ErrorClass::Permanent;
            error.message.push_str(&self.lost());
        }
        error
    }

    fn dead(&self, status: &str) -> SinkError {
        SinkError::permanent(
            "session.status",
            format!(
                "{}: session {} is {status} and can not be committed{}",
                self.place,
                self.prepared.session,
                self.lost()
            ),
        )
    }

    fn lost(&self) -> String {
        let age_h = (self.client.now().unix_ms - self.prepared.created_unix_ms).max(0) / 3_600_000;
        format!(
            "; session {} with {} rows, {age_h} h old, is lost: read these rows again from an older checkpoint",
            self.prepared.session, self.prepared.rows
        )
    }

    fn wait(&self, ms: u64) -> u32 {
        u32::try_from(ms).unwrap_or(u32::MAX)
    }
}

fn session_cleaned(failure: &Failure) -> bool {
    matches!(
        failure.code.as_str(),
        "UpsertSessionNotFound" | "StreamSessionNotFound"
    )
}
