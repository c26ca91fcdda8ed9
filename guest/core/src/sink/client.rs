//! Requests of the sink: built, queued, repeated as the retry rules say.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::rc::Rc;

use super::committable::OpenSession;
use super::metrics::{Counters, add};
use super::overwrite::Overwritten;
use super::task::{LocalFuture, Once, Slot, Timers};
use crate::compress::Compressor;
use crate::contract::{CheckpointReason, LogEvent, LogLevel, Now};
use crate::error::{ErrorClass, SinkError};
use crate::options::{Endpoint, Options};
use crate::request::{
    Body, Framing, Method, Request, RequestId, Response, SignScheme, SignSpec, TransportError,
};
use crate::retry::{Backoff, Failure, RetryBudget, RetryClass, Upload, UploadResult, UploadWindow};
use crate::session::metadata::Project;
use crate::signing;

/// Which of the two endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Rest,
    Tunnel,
}

impl Side {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Tunnel => "tunnel",
        }
    }
}

/// One request before it is bound to an address, a date and a signature.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) side: Side,
    /// Project whose tunnel is meant.
    pub(super) project: String,
    pub(super) method: Method,
    /// Path below the endpoint's own path, not yet percent-encoded.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    pub(super) framing: Framing,
    /// Name in metrics.
    pub(super) kind: &'static str,
    /// What it is for, in error messages: `creating the upload session`.
    pub(super) what: &'static str,
    /// Table and partition, in error messages.
    pub(super) place: String,
}

impl Draft {
    pub(super) fn new(side: Side, method: Method, project: &str, path: String) -> Self {
        Self {
            side,
            project: project.to_owned(),
            method,
            path,
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::empty(),
            framing: Framing::Empty,
            kind: "other",
            what: "a request",
            place: String::new(),
        }
    }

    pub(super) fn kind(mut self, kind: &'static str, what: &'static str, place: &str) -> Self {
        self.kind = kind;
        self.what = what;
        place.clone_into(&mut self.place);
        self
    }

    pub(super) fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// The parameter, where there is a value.
    pub(super) fn query_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn body(mut self, framing: Framing, body: impl Into<Body>) -> Self {
        self.framing = framing;
        self.body = body.into();
        self
    }
}

/// An answer that will come, for a request not yet sent.
struct Queued {
    id: RequestId,
    /// Carries rows.
    upload: bool,
    draft: Draft,
    endpoint: Endpoint,
    answer: Slot<Result<Response, TransportError>>,
}

/// A request that was sent.
struct InFlight {
    answer: Slot<Result<Response, TransportError>>,
    /// Its place in the window, where it carries rows.
    upload: Option<Upload>,
}

/// What all operations of one sink share.
pub(super) struct Client {
    pub(super) options: Options,
    pub(super) counters: Counters,
    pub(super) timers: Rc<Timers>,
    now: Cell<Now>,
    random: Cell<u64>,
    next_request: Cell<u64>,
    spawned: RefCell<Vec<LocalFuture>>,
    /// Requests that other work waits for go before data.
    control: RefCell<VecDeque<Queued>>,
    data: RefCell<VecDeque<Queued>>,
    in_flight: RefCell<BTreeMap<RequestId, InFlight>>,
    uploads: RefCell<UploadWindow>,
    retries: RefCell<RetryBudget>,
    /// Whether the endpoint has answered at least once.
    rest_reached: Cell<bool>,
    tunnel_reached: Cell<bool>,
    projects: RefCell<BTreeMap<String, Rc<Once<Project>>>>,
    tunnels: RefCell<BTreeMap<String, Rc<Once<Endpoint>>>>,
    /// All compressors share its tables.
    compressor: Compressor,
    /// Compressors that no body uses at the moment: what is not shared can be large, too.
    compressors: RefCell<Vec<Compressor>>,
    /// Records are compressed in pieces of this size, so that a large body is held compressed.
    pub(super) piece: usize,
    /// Partitions that this run has replaced.
    pub(super) overwritten: Overwritten,
    /// Sessions of a dead writer that are not ended yet, by id.
    pub(super) orphans: RefCell<BTreeMap<String, OpenSession>>,
    /// The service does not take signatures of version 4.
    version_2: Cell<bool>,
    max_requests: usize,
    /// Set once rows can no longer become durable; everything after it fails with it.
    failure: RefCell<Option<SinkError>>,
    log: RefCell<Vec<LogEvent>>,
    checkpoint: Cell<Option<CheckpointReason>>,
    /// No buffered row came before this, on the monotonic clock.
    pub(super) oldest_row_ms: Cell<Option<u64>>,
}

/// Compressing less at once does not pay; more would not stay in the processor's cache.
const SMALLEST_PIECE: usize = 32 * 1024;

/// Log events kept when nobody takes them.
const MAX_LOG: usize = 1000;

impl Client {
    pub(super) fn new(
        options: Options,
        max_requests: usize,
        overwritten: Overwritten,
        seed: u64,
        now: Now,
    ) -> Rc<Self> {
        let timers = Rc::new(Timers::default());
        timers.advance(now.monotonic_ms);
        let uploads = UploadWindow::new(max_requests);
        let counters = Counters::default();
        counters.upload_window.set(uploads.size() as u64);
        let compressor = Compressor::new(options.compression);
        Rc::new(Self {
            uploads: RefCell::new(uploads),
            retries: RefCell::new(RetryBudget::new(options.retry.per_minute)),
            options,
            counters,
            piece: compressor.block_len().max(SMALLEST_PIECE),
            compressor,
            timers,
            now: Cell::new(now),
            random: Cell::new(seed),
            next_request: Cell::new(0),
            spawned: RefCell::default(),
            control: RefCell::default(),
            data: RefCell::default(),
            in_flight: RefCell::default(),
            rest_reached: Cell::new(false),
            tunnel_reached: Cell::new(false),
            projects: RefCell::default(),
            tunnels: RefCell::default(),
            compressors: RefCell::default(),
            overwritten,
            orphans: RefCell::default(),
            version_2: Cell::new(false),
            max_requests,
            failure: RefCell::default(),
            log: RefCell::default(),
            checkpoint: Cell::new(None),
            oldest_row_ms: Cell::new(None),
        })
    }

    /// A compressor at the start of a body.
    pub(super) fn take_compressor(&self) -> Compressor {
        let free = self.compressors.borrow_mut().pop();
        free.unwrap_or_else(|| self.compressor.sharing_tables())
    }

    /// For the next body; the last one was finished.
    pub(super) fn give_back(&self, compressor: Compressor) {
        self.compressors.borrow_mut().push(compressor);
    }

    pub(super) fn now(&self) -> Now {
        self.now.get()
    }

    pub(super) fn set_now(&self, now: Now) {
        self.now.set(now);
        self.timers.advance(now.monotonic_ms);
    }

    /// SplitMix64: spread is all that is asked of it.
    pub(super) fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A random UUID, version 4.
    pub(super) fn uuid(&self) -> String {
        let (a, b) = (self.random(), self.random());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | ((b >> 48) & 0x3fff),
            b & 0xffff_ffff_ffff
        )
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.spawned.borrow_mut().push(Box::pin(task));
    }

    pub(super) fn spawned(&self) -> &RefCell<Vec<LocalFuture>> {
        &self.spawned
    }

    pub(super) fn log(&self, level: LogLevel, message: String, fields: &[(&str, &str)]) {
        let mut log = self.log.borrow_mut();
        if log.len() < MAX_LOG {
            log.push(LogEvent {
                level,
                target: "maxcompute",
                message,
                fields: fields
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                    .collect(),
            });
        }
    }

    pub(super) fn take_log(&self) -> Vec<LogEvent> {
        self.log.take()
    }

    /// Rows were lost: only a new writer, from the last checkpoint, can go on. Whatever passes by
    /// itself does not help this one any more, so later calls must not be repeated.
    pub(super) fn fail(&self, error: &SinkError) {
        self.failure.borrow_mut().get_or_insert_with(|| {
            let mut error = error.clone();
            if let ErrorClass::Transient(_) | ErrorClass::Throttled(_) = error.class {
                error.class = ErrorClass::Fenced;
            }
            error
        });
    }

    pub(super) fn failure(&self) -> Option<SinkError> {
        self.failure.borrow().clone()
    }

    pub(super) fn request_checkpoint(&self, why: CheckpointReason) {
        self.checkpoint.set(Some(why));
    }

    pub(super) fn take_checkpoint_request(&self) -> Option<CheckpointReason> {
        self.checkpoint.take()
    }

    pub(super) fn sleep(&self, ms: u64) -> super::task::Sleep {
        self.timers.sleep(ms)
    }

    /// Send `draft` and repeat it as the rules for its failures say.
    pub(super) async fn call(&self, draft: &Draft) -> Result<Response, SinkError> {
        self.call_raw(draft)
            .await
            .map_err(|f| f.error(draft.side.as_str(), draft.what, &draft.place))
    }

    /// As `call`, with the failure as it was.
    pub(super) async fn call_raw(&self, draft: &Draft) -> Result<Response, Failure> {
        let mut backoff = Backoff::new(self.options.retry);
        loop {
            let failure = match self.send(draft).await? {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            self.pause(&mut backoff, failure.without_route(), draft)
                .await?;
        }
    }

    /// Wait as long as the failure asks for; gives it back when it is not to be repeated.
    pub(super) async fn pause(
        &self,
        backoff: &mut Backoff,
        failure: Failure,
        draft: &Draft,
    ) -> Result<(), Failure> {
        let reached = self.reached(draft.side).get();
        let Some(delay) = backoff.next(&failure, reached, self.random()) else {
            return Err(failure);
        };
        self.sleep(self.repeat_in(&failure, draft, delay)).await;
        Ok(())
    }

    /// Counts a repeat of `draft`, and says so, that a run does not wait in silence. Returns how long
    /// to wait before it, in milliseconds: `delay`, or longer where there are too many repeats.
    pub(super) fn repeat_in(&self, failure: &Failure, draft: &Draft, delay: u64) -> u64 {
        self.counters.retry(failure.class.as_str());
        let turn = self.retries.borrow_mut().take(self.now().monotonic_ms);
        if turn > 0 {
            add(&self.counters.retries_over_budget, 1);
        }
        let delay = delay.max(turn);
        let delay_text = delay.to_string();
        let level = if failure.class == RetryClass::Moved {
            LogLevel::Debug
        } else {
            LogLevel::Warn
        };
        self.log(
            level,
            format!(
                "{}: {} failed, {}: {}; repeating",
                draft.place, draft.what, failure.code, failure.message
            ),
            &[("delay_ms", &delay_text), ("class", failure.class.as_str())],
        );
        delay
    }

    /// Send `draft` once. The outer error is a failure to learn where to send it.
    pub(super) async fn send(&self, draft: &Draft) -> Result<Result<Response, Failure>, Failure> {
        let endpoint = match draft.side {
            Side::Rest => self.options.endpoint.clone(),
            Side::Tunnel => self.tunnel(&draft.project, &draft.place).await?,
        };
        Ok(self.send_to(draft, endpoint).await)
    }

    fn reached(&self, side: Side) -> &Cell<bool> {
        match side {
            Side::Rest => &self.rest_reached,
            Side::Tunnel => &self.tunnel_reached,
        }
    }

    async fn send_to(&self, draft: &Draft, endpoint: Endpoint) -> Result<Response, Failure> {
        let version_4 = self.region().is_some();
        let result = self.exchange(draft, endpoint.clone()).await;
        match result {
            Err(failure) if version_4 && failure.refuses_version_4() => {
                if !self.version_2.replace(true) {
                    self.log(
                        LogLevel::Info,
                        format!(
                            "the service refuses signatures of version 4, {}: {}; going on with version 2",
                            failure.code, failure.message
                        ),
                        &[],
                    );
                }
                self.exchange(draft, endpoint).await
            }
            other => other,
        }
    }

    /// Region to sign for with version 4.
    fn region(&self) -> Option<&str> {
        let region = self.options.region.as_deref();
        region.filter(|_| !self.version_2.get())
    }

    async fn exchange(&self, draft: &Draft, endpoint: Endpoint) -> Result<Response, Failure> {
        let number = self.next_request.get();
        self.next_request.set(number + 1);
        let answer = Slot::new();
        let queued = Queued {
            id: RequestId(number),
            upload: draft.method == Method::Put,
            draft: draft.clone(),
            endpoint,
            answer: answer.clone(),
        };
        let queue = if draft.body.len() > 64 * 1024 {
            &self.data
        } else {
            &self.control
        };
        queue.borrow_mut().push_back(queued);
        let result = answer.await;
        if result.is_ok() {
            self.reached(draft.side).set(true);
        }
        let judged = Failure::judge(result);
        if let Err(failure) = &judged {
            self.counters.failure(failure.class.as_str());
        }
        judged
    }

    /// The tunnel endpoint of a project, discovered once.
    async fn tunnel(&self, project: &str, place: &str) -> Result<Endpoint, Failure> {
        if let Some(endpoint) = &self.options.tunnel_endpoint {
            return Ok(endpoint.clone());
        }
        let once = Rc::clone(
            self.tunnels
                .borrow_mut()
                .entry(project.to_owned())
                .or_default(),
        );
        once.get(async || {
            let path = format!("/projects/{project}/tunnel");
            let draft = Draft::new(Side::Rest, Method::Get, project, path)
                .query("service", "")
                .query_some("quotaName", self.options.quota_name.as_deref())
                .kind("discover", "asking for the tunnel endpoint", place);
            let response = Box::pin(self.call_rest(&draft)).await?;
            let text = String::from_utf8_lossy(&response.body).trim().to_owned();
            Endpoint::from_authority(self.options.endpoint.scheme, &text).map_err(|why| {
                Failure::malformed(&format!("`{text}` is no tunnel address: {why}"), &response)
            })
        })
        .await
    }

    /// Whether a project has schemas, asked once.
    pub(super) async fn project(&self, project: &str, place: &str) -> Result<Project, SinkError> {
        let once = Rc::clone(
            self.projects
                .borrow_mut()
                .entry(project.to_owned())
                .or_default(),
        );
        once.get(async || {
            let draft = Draft::new(
                Side::Rest,
                Method::Get,
                project,
                format!("/projects/{project}"),
            )
            .kind("project", "reading the project", place);
            let response = self.call(&draft).await?;
            Project::read(&response.body).map_err(|why| {
                malformed(
                    &draft,
                    &format!("the project's description is unreadable: {why}"),
                    &response,
                )
            })
        })
        .await
    }

    /// `call_raw` for REST only; breaks the cycle send → tunnel → send.
    async fn call_rest(&self, draft: &Draft) -> Result<Response, Failure> {
        let mut backoff = Backoff::new(self.options.retry);
        loop {
            match self.send_to(draft, self.options.endpoint.clone()).await {
                Ok(response) => return Ok(response),
                Err(failure) => {
                    self.pause(&mut backoff, failure.without_route(), draft)
                        .await?;
                }
            }
        }
    }

    /// The next request to send, dated and ready to be signed.
    pub(super) fn next_request(&self) -> Option<Request> {
        if self.in_flight.borrow().len() >= self.max_requests {
            return None;
        }
        let mut uploads = self.uploads.borrow_mut();
        let may_go = |queued: &Queued| !queued.upload || uploads.has_room();
        let queued = [&self.control, &self.data].into_iter().find_map(|queue| {
            let mut queue = queue.borrow_mut();
            let at = queue.iter().position(may_go)?;
            queue.remove(at)
        })?;
        let upload = queued.upload.then(|| uploads.send());
        let answer = queued.answer;
        self.in_flight
            .borrow_mut()
            .insert(queued.id, InFlight { answer, upload });
        self.counters.request(queued.draft.kind);
        add(&self.counters.bytes_sent, queued.draft.body.len() as u64);
        Some(self.build(queued.id, &queued.draft, &queued.endpoint))
    }

    pub(super) fn answer(&self, id: RequestId, result: Result<Response, TransportError>) {
        let waiting = self.in_flight.borrow_mut().remove(&id);
        // Answers of another life of the driver are none of our business.
        let Some(InFlight { answer, upload }) = waiting else {
            return;
        };
        if let Some(upload) = upload {
            let mut uploads = self.uploads.borrow_mut();
            uploads.settle(upload, upload_result(&result));
            self.counters.upload_window.set(uploads.size() as u64);
        }
        answer.fill(result);
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.in_flight.borrow().is_empty()
            || !self.control.borrow().is_empty()
            || !self.data.borrow().is_empty()
    }

    fn build(&self, id: RequestId, draft: &Draft, endpoint: &Endpoint) -> Request {
        let unix_ms = self.now().unix_ms;
        let agent = concat!("longshore/", env!("CARGO_PKG_VERSION"));
        let mut headers = vec![
            ("Date".to_owned(), signing::http_date(unix_ms)),
            ("User-Agent".to_owned(), agent.to_owned()),
            ("x-odps-user-agent".to_owned(), agent.to_owned()),
        ];
        if draft.side == Side::Tunnel {
            headers.push(("x-odps-tunnel-version".to_owned(), "6".to_owned()));
            headers.push(("odps-tunnel-date-transform".to_owned(), "v1".to_owned()));
            headers.push((
                "odps-tunnel-sdk-support-schema-evolution".to_owned(),
                "true".to_owned(),
            ));
        }
        headers.extend(draft.headers.iter().cloned());
        let mut query = draft.query.clone();
        query.push(("curr_project".to_owned(), self.options.project.clone()));

        let path_and_query = format!(
            "{}{}?{}",
            endpoint.base_path,
            signing::encode_path(&draft.path),
            signing::encode_query(&query)
        );
        let canonical =
            signing::string_to_sign(draft.method.as_str(), &draft.path, &query, &headers);
        let sign = match self.region() {
            None => SignSpec {
                scheme: SignScheme::HmacSha1,
                scope: String::new(),
                payload: canonical.into_bytes(),
            },
            Some(region) => SignSpec {
                scheme: SignScheme::AliyunV4,
                scope: format!("{}/{region}/odps", signing::v4_date(unix_ms)),
                payload: canonical.into_bytes(),
            },
        };
        Request {
            id,
            method: draft.method,
            scheme: endpoint.scheme,
            authority: endpoint.authority.clone(),
            path_and_query,
            headers,
            body: draft.body.clone(),
            framing: draft.framing,
            sign: Some(sign),
            connect_timeout_ms: self.options.connect_timeout_ms,
            response_timeout_ms: self.options.response_timeout_ms,
        }
    }
}

fn upload_result(result: &Result<Response, TransportError>) -> UploadResult {
    match result {
        Ok(response) if (200..300).contains(&response.status) => UploadResult::Passed,
        Ok(response) if Failure::of_response(response).class == RetryClass::Throttled => {
            UploadResult::Throttled
        }
        _ => UploadResult::Failed,
    }
}

/// An answer that is not what it must be.
pub(super) fn malformed(draft: &Draft, what: &str, response: &Response) -> SinkError {
    Failure::malformed(what, response).error(draft.side.as_str(), draft.what, &draft.place)
}
