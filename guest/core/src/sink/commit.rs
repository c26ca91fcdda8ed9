//! Commit and abort of what was prepared: by this sink or by one that is long gone.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::retry::{Failure, RetryClass, jittered};
use crate::session::tunnel::{UploadInfo, UploadStatus, UpsertInfo, UpsertStatus};

/// First and longest delay between two looks at a session that is being committed.
const POLL_MS: (u64, u64) = (250, 8000);

/// What to do with each item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Commit,
    Abort,
}

/// Work through `items`, several at once; outcomes in input order.
///
/// What replaces a partition goes before what else is committed to it: rows that a change of the
/// schema parted from the first ones of the run would be replaced otherwise.
pub(super) async fn run(
    client: Rc<Client>,
    items: Vec<Committable>,
    task: Task,
) -> Vec<CommitOutcome> {
    let items: Vec<Rc<Item>> = items.into_iter().map(|i| Rc::new(Item::new(i))).collect();
    let permits = Permits::new(client.options.commit_threads);
    let (later, first): (Vec<_>, Vec<_>) = (0..)
        .zip(&items)
        .partition(|(_, item)| items.iter().any(|other| other.precedes(item)));
    let mut outcomes = BTreeMap::new();
    work(&client, &permits, first, task, &mut outcomes).await;
    let (blocked, free): (Vec<_>, Vec<_>) = later.into_iter().partition(|(_, item)| {
        let open = |n: usize| !outcomes.get(&n).is_some_and(is_done);
        (0..)
            .zip(&items)
            .any(|(n, other)| other.precedes(item) && open(n))
    });
    work(&client, &permits, free, task, &mut outcomes).await;
    let wait = u32::try_from(POLL_MS.1).unwrap_or(u32::MAX);
    outcomes.extend(
        blocked
            .into_iter()
            .map(|(n, _)| (n, CommitOutcome::Retry(wait))),
    );
    outcomes.into_values().collect()
}

/// A committable and what is in it.
struct Item {
    table: TablePath,
    prepared: Result<Prepared, SinkError>,
}

impl Item {
    fn new(item: Committable) -> Self {
        Self {
            prepared: Prepared::decode(&item),
            table: item.table,
        }
    }

    /// Whether this must be committed before `other`.
    fn precedes(&self, other: &Self) -> bool {
        match (&self.prepared, &other.prepared) {
            (Ok(this), Ok(other)) => {
                this.overwrites() && !other.overwrites() && this.is_same_place(other)
            }
            _ => false,
        }
    }
}

fn is_done(outcome: &CommitOutcome) -> bool {
    matches!(
        outcome,
        CommitOutcome::Committed | CommitOutcome::AlreadyCommitted
    )
}

async fn work(
    client: &Rc<Client>,
    permits: &Rc<Permits>,
    items: Vec<(usize, &Rc<Item>)>,
    task: Task,
    outcomes: &mut BTreeMap<usize, CommitOutcome>,
) {
    let mut running = Vec::with_capacity(items.len());
    for (number, item) in items {
        let outcome = Slot::new();
        running.push((number, outcome.clone()));
        let (client, permits, item) = (Rc::clone(client), Rc::clone(permits), Rc::clone(item));
        client.clone().spawn(async move {
            let _permit = permits.acquire().await;
            outcome.fill(one(&client, &item, task).await);
        });
    }
    for (number, outcome) in running {
        outcomes.insert(number, outcome.await);
    }
}

async fn one(client: &Client, item: &Item, task: Task) -> CommitOutcome {
    let prepared = match &item.prepared {
        Ok(prepared) => prepared,
        Err(error) => return CommitOutcome::Failed(error.clone()),
    };
    let session = SessionCall::new(client, &item.table, prepared);
    let outcome = match (&prepared.kind, task) {
        (Kind::Upload { blocks, .. }, Task::Commit) => {
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
        let mut patience = Patience::new(self.client);
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
                    if patience.is_over() {
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
                    if patience.is_final(&failure) {
                        return Err(self.explain(&failure, &draft));
                    }
                    if patience.ends_with_failure() {
                        return Ok(CommitOutcome::Retry(
                            self.wait(failure.hold_ms.unwrap_or(delay)),
                        ));
                    }
                    let wait = self.jittered(delay).max(failure.hold_ms.unwrap_or(0));
                    let wait = self.client.repeat_in(&failure, &draft, wait);
                    self.client.sleep(wait).await;
                }
            }
            delay = (delay * 2).min(POLL_MS.1);
        }
    }

    /// An upsert commit is repeated until the service says that it is done.
    async fn commit_upsert(&self, server: &str) -> Result<CommitOutcome, SinkError> {
        let mut server = server.to_owned();
        let mut patience = Patience::new(self.client);
        let mut posted = false;
        let mut reload = true;
        let mut delay = POLL_MS.0;
        loop {
            if std::mem::take(&mut reload) {
                let draft = self.upsert_draft(
                    Method::Get,
                    "upsert-reload",
                    "reading the upsert session",
                    &server,
                );
                let response = match self.client.call_raw(&draft).await {
                    Err(failure) if posted && self.cleaned_after_commit(&failure) => {
                        return Ok(CommitOutcome::Committed);
                    }
                    other => other.map_err(|f| self.explain(&f, &draft))?,
                };
                let info = self.read_upsert(&draft, &response)?;
                match info.status {
                    UpsertStatus::Committed if posted => return Ok(CommitOutcome::Committed),
                    UpsertStatus::Committed => return Ok(CommitOutcome::AlreadyCommitted),
                    UpsertStatus::Dead => return Err(self.dead(&info.status_text)),
                    UpsertStatus::Normal | UpsertStatus::Committing => {}
                }
                if let Some(slot) = info.buckets.first().filter(|s| !s.server.is_empty()) {
                    server.clone_from(&slot.server);
                }
            }
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
                        UpsertStatus::Normal | UpsertStatus::Committing
                            if self.client.options.commit_async =>
                        {
                            return Ok(CommitOutcome::Committed);
                        }
                        UpsertStatus::Normal | UpsertStatus::Committing => {}
                    }
                }
                Err(failure) if posted && self.cleaned_after_commit(&failure) => {
                    return Ok(CommitOutcome::Committed);
                }
                Err(failure) => match failure.class {
                    _ if patience.is_final(&failure) => {
                        return Err(self.explain(&failure, &draft));
                    }
                    _ if patience.ends_with_failure() => {
                        return Ok(CommitOutcome::Retry(
                            self.wait(failure.hold_ms.unwrap_or(delay)),
                        ));
                    }
                    class => {
                        posted |= failure.may_have_been_done();
                        let moved = class == RetryClass::Moved;
                        reload = failure.wants_reload() || moved;
                        if failure.routed_server.is_some() {
                            wait = 0;
                            reload = false;
                        }
                        wait = self.jittered(wait).max(failure.hold_ms.unwrap_or(0));
                        wait = self.client.repeat_in(&failure, &draft, wait);
                        if let Some(routed) = failure.routed_server {
                            server = routed;
                        }
                    }
                },
            }
            if patience.is_over() {
                return Ok(CommitOutcome::Retry(self.wait(delay)));
            }
            self.client.sleep(wait).await;
            delay = (delay * 2).min(POLL_MS.1);
        }
    }

    /// A session is cleaned away once it is committed, and also when its time is over.
    fn cleaned_after_commit(&self, failure: &Failure) -> bool {
        const HOUR_MS: i64 = 3_600_000;
        let lifetime = i64::from(self.client.options.session_hours) * HOUR_MS;
        session_cleaned(failure)
            && self.client.now().unix_ms - self.prepared.created_unix_ms < lifetime
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

    fn jittered(&self, delay: u64) -> u64 {
        jittered(delay, self.client.random())
    }

    fn wait(&self, ms: u64) -> u32 {
        u32::try_from(ms).unwrap_or(u32::MAX)
    }
}

/// How long, and after how many failures, a commit is left to the host.
struct Patience<'a> {
    client: &'a Client,
    started_ms: u64,
    failures: u32,
    /// The credentials were refused once: the host may have renewed them meanwhile.
    refused: bool,
}

impl<'a> Patience<'a> {
    fn new(client: &'a Client) -> Self {
        Self {
            client,
            started_ms: client.now().monotonic_ms,
            failures: 0,
            refused: false,
        }
    }

    /// Whether a repeat can not help.
    fn is_final(&mut self, failure: &Failure) -> bool {
        match failure.class {
            RetryClass::Fatal | RetryClass::SessionGone => true,
            RetryClass::Unauthenticated => std::mem::replace(&mut self.refused, true),
            _ => false,
        }
    }

    fn is_over(&self) -> bool {
        self.client.now().monotonic_ms - self.started_ms > self.client.options.commit_timeout_ms
    }

    /// Counts a failure.
    fn ends_with_failure(&mut self) -> bool {
        let before = self.failures;
        self.failures = before.saturating_add(1);
        before >= self.client.options.commit_max_retries || self.is_over()
    }
}

/// Whether the service does not know the session any more.
pub(super) fn session_cleaned(failure: &Failure) -> bool {
    matches!(
        failure.code.as_str(),
        "UpsertSessionNotFound" | "StreamSessionNotFound"
    )
}
