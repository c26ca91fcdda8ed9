//! One partition of one table between two checkpoints: buffers, and the session they go to.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use super::client::{Client, Draft, Side};
use super::metrics::{add, sub};
use super::mode::Mode;
use super::rows::{Records, Rows};
use super::task::{Permits, Signal};
use crate::bucket::HasherKind;
use crate::contract::{CheckpointReason, TablePath};
use crate::error::SinkError;
use crate::partition::PartitionSpec;
use crate::request::{Body, Method};
use crate::schema::same_name;
use crate::session::tunnel::Slot;

/// The table a session writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// As it was declared.
    pub(super) path: TablePath,
    pub(super) project: String,
    /// None in projects without schemas.
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

impl Target {
    /// The table's path at the tunnel.
    pub(super) fn tunnel_path(&self) -> String {
        match &self.schema {
            Some(schema) => format!(
                "/projects/{}/schemas/{schema}/tables/{}",
                self.project, self.name
            ),
            None => format!("/projects/{}/tables/{}", self.project, self.name),
        }
    }

    /// Name of the table, and of the partition where there is one, for people.
    pub(super) fn place(&self, partition: &str) -> String {
        let schema = self
            .schema
            .as_ref()
            .map(|s| format!("{s}."))
            .unwrap_or_default();
        let table = format!("table {}.{schema}{}", self.project, self.name);
        if partition.is_empty() {
            table
        } else {
            format!("{table} partition {partition}")
        }
    }
}

/// How the rows of a Delta table are spread; the service has the last word.
pub(super) struct Routing {
    pub(super) hasher: Cell<HasherKind>,
    pub(super) buckets: Cell<u32>,
    /// A session has agreed.
    pub(super) confirmed: Cell<bool>,
    /// A session said otherwise: rows must be spread anew.
    pub(super) correction: Cell<Option<(HasherKind, u32)>>,
    pub(super) changed: Signal,
    /// Primary key columns.
    pub(super) keys: Vec<String>,
    /// Numbers of the columns, told by a session, where only some of them are updated.
    pub(super) column_ids: RefCell<Vec<(String, i64)>>,
}

impl Routing {
    /// Numbers of the columns named, all of which must have one; none before a session has told them.
    pub(super) fn ids_of(&self, names: &[String]) -> Result<Vec<i64>, String> {
        let known = self.column_ids.borrow();
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let id = |name: &String| {
            let found = known.iter().find(|(n, _)| same_name(n, name));
            found.map(|(_, id)| *id).ok_or_else(|| name.clone())
        };
        names.iter().map(id).collect()
    }
}

/// A part's session.
#[derive(Debug, Clone)]
pub(super) enum Session {
    /// No row yet.
    None,
    /// Being created.
    Opening,
    /// Usable.
    Open {
        /// Its id.
        id: String,
        /// When it was created.
        created_unix_ms: i64,
    },
}

/// Rows that are being collected.
pub(super) struct Buffer {
    pub(super) rows: Rows,
    /// Bytes of `rows` that are in the gauge.
    counted: usize,
    /// Size at which the buffer is sealed; grows from seal to seal.
    pub(super) target: usize,
    /// When the first row came, on the monotonic clock.
    since_ms: Option<u64>,
}

/// Sealed rows on their way.
pub(super) struct Pack {
    pub(super) rows: u64,
    pub(super) body: Body,
}

pub(super) struct PartState {
    pub(super) session: Session,
    pub(super) buffers: Vec<Buffer>,
    /// Upsert: sealed packs by bucket, and whether a task sends them.
    pub(super) queues: Vec<(VecDeque<Pack>, bool)>,
    /// Packs and blocks sealed and not yet durable.
    pub(super) outstanding: usize,
    pub(super) next_block: u32,
    pub(super) blocks: BTreeSet<u32>,
    /// Durable rows.
    pub(super) rows: u64,
    pub(super) slots: Vec<Slot>,
    /// Of the table, as a stream session tells it.
    pub(super) schema_version: String,
    pub(super) error: Option<SinkError>,
}

pub(super) struct Part {
    pub(super) client: Rc<Client>,
    pub(super) target: Rc<Target>,
    /// Empty in a table without partitions.
    pub(super) partition: PartitionSpec,
    /// The partition as the tunnel spells it.
    pub(super) partition_text: String,
    pub(super) place: String,
    pub(super) mode: Mode,
    pub(super) state: RefCell<PartState>,
    pub(super) changed: Signal,
    pub(super) closed: Cell<bool>,
    /// A session is open or being opened.
    pub(super) used: Cell<bool>,
    /// In the list of parts that the batch at hand wrote to.
    pub(super) touched: Cell<bool>,
    pub(super) permits: Rc<Permits>,
    /// The session replaces what the partition holds.
    pub(super) overwrites: Cell<bool>,
    max_target: usize,
}

/// First size of a buffer, so that the first bytes leave soon.
const FIRST_TARGET: usize = 64 * 1024;
/// Largest block of Arrow data: lengths in it have 31 bits.
const MAX_ARROW_BLOCK: u64 = 1 << 30;
/// Blocks a session can have.
const MAX_BLOCKS: u32 = 20_000;
/// Blocks after which a checkpoint is asked for.
const MANY_BLOCKS: u32 = 18_000;

impl Part {
    pub(super) fn new(
        client: &Rc<Client>,
        target: &Rc<Target>,
        partition: PartitionSpec,
        mode: &Mode,
    ) -> Rc<Self> {
        let options = &client.options;
        let size = match mode {
            Mode::Records | Mode::Stream(_) => options.block_size,
            Mode::Arrow(_) => options.block_size.min(MAX_ARROW_BLOCK),
            // Hashing fills all buckets at the same pace: together they keep to half of what may be
            // held at all, unless few large files matter more.
            Mode::Upsert(_) if options.full_buffers => options.bucket_buffer,
            Mode::Upsert(routing) => {
                let buckets = u64::from(routing.buckets.get().max(1));
                let share = options.growing_limit() / 2 / buckets;
                options.bucket_buffer.min(share.max(1))
            }
        };
        let partition_text = partition.tunnel_text();
        let part = Self {
            client: Rc::clone(client),
            target: Rc::clone(target),
            place: target.place(&partition_text),
            partition,
            partition_text,
            mode: mode.clone(),
            state: RefCell::new(PartState {
                session: Session::None,
                buffers: Vec::new(),
                queues: Vec::new(),
                outstanding: 0,
                next_block: 0,
                blocks: BTreeSet::new(),
                rows: 0,
                slots: Vec::new(),
                schema_version: String::new(),
                error: None,
            }),
            changed: Signal::default(),
            closed: Cell::new(false),
            used: Cell::new(false),
            touched: Cell::new(false),
            permits: Permits::new(options.flush_concurrent),
            overwrites: Cell::new(false),
            max_target: usize::try_from(size).unwrap_or(usize::MAX),
        };
        part.reset_buffers();
        Rc::new(part)
    }

    /// Forget all buffered rows and start with as many buffers as there are buckets.
    pub(super) fn reset_buffers(&self) {
        let count = match &self.mode {
            Mode::Records | Mode::Arrow(_) | Mode::Stream(_) => 1,
            Mode::Upsert(routing) => routing.buckets.get().max(1) as usize,
        };
        let mut state = self.state.borrow_mut();
        for buffer in &state.buffers {
            sub(&self.client.counters.growing, buffer.counted as u64);
        }
        let dropped: u64 = state
            .queues
            .iter()
            .flat_map(|(q, _)| q)
            .map(|p| p.body.len() as u64)
            .sum();
        let packs: usize = state.queues.iter().map(|(q, _)| q.len()).sum();
        sub(&self.client.counters.sealed, dropped);
        state.outstanding -= packs.min(state.outstanding);
        let first = if self.client.options.full_buffers {
            self.max_target
        } else {
            FIRST_TARGET.min(self.max_target)
        };
        state.buffers.clear();
        state.buffers.resize_with(count, || Buffer {
            rows: match &self.mode {
                Mode::Arrow(empty) => Rows::Columns(empty.as_ref().clone()),
                _ => Rows::Records(Records::default()),
            },
            counted: 0,
            target: first,
            since_ms: None,
        });
        // A task that waits to send a bucket goes on with the bucket's new queue.
        for (queue, _) in &mut state.queues {
            queue.clear();
        }
        state.queues.resize_with(count, Default::default);
    }

    pub(super) fn state(&self) -> RefMut<'_, PartState> {
        self.state.borrow_mut()
    }

    /// Requests of this part's session begin like this.
    pub(super) fn draft(
        &self,
        method: Method,
        path: String,
        kind: &'static str,
        what: &'static str,
    ) -> Draft {
        let partition = Some(self.partition_text.as_str()).filter(|p| !p.is_empty());
        Draft::new(Side::Tunnel, method, &self.target.project, path)
            .query_some("partition", partition)
            .query_some("quotaName", self.client.options.quota_name.as_deref())
            .kind(kind, what, &self.place)
    }

    /// Make sure that a session is being opened: called when the first row has come.
    pub(super) fn open(self: &Rc<Self>) {
        if self.used.replace(true) {
            return;
        }
        self.state.borrow_mut().session = Session::Opening;
        let overwrites = self.client.options.overwrite
            && self
                .client
                .overwritten
                .is_first(&self.target, &self.partition_text);
        self.overwrites.set(overwrites);
        let part = Rc::clone(self);
        self.client.spawn(async move {
            let opened = match &part.mode {
                Mode::Records | Mode::Arrow(_) => part.open_upload().await,
                Mode::Stream(columns) => part.open_stream(&Rc::clone(columns)).await,
                Mode::Upsert(routing) => part.open_upsert(&Rc::clone(routing)).await,
            };
            match opened {
                Ok(()) => part.watch(),
                Err(error) => part.fail(error),
            }
            part.changed.notify();
        });
    }

    fn watch(self: &Rc<Self>) {
        add(&self.client.counters.open_sessions, 1);
        let part = Rc::clone(self);
        self.client.spawn(async move {
            let age = part.client.sleep(part.client.options.session_max_age_ms);
            if age.unless(&part.changed, || part.closed.get()).await {
                // A stream session holds nothing that a checkpoint could save.
                if !matches!(part.mode, Mode::Stream(_)) {
                    part.client.request_checkpoint(CheckpointReason::SessionAge);
                }
                part.changed.until(|| part.closed.get().then_some(())).await;
            }
            sub(&part.client.counters.open_sessions, 1);
        });
    }

    /// The session's id, or None when the part has failed.
    pub(super) async fn session_id(&self) -> Option<String> {
        self.changed
            .until(|| {
                let state = self.state.borrow();
                if state.error.is_some() {
                    return Some(None);
                }
                match &state.session {
                    Session::Open { id, .. } => Some(Some(id.clone())),
                    _ => None,
                }
            })
            .await
    }

    /// The part's rows can not become durable any more.
    pub(super) fn fail(&self, error: SinkError) {
        self.client.fail(&error);
        self.state.borrow_mut().error.get_or_insert(error);
        self.changed.notify();
        if let Mode::Upsert(routing) = &self.mode {
            routing.changed.notify();
        }
    }

    /// Bring the gauge up to date after rows were added.
    pub(super) fn account(&self) {
        let now = self.client.now().monotonic_ms;
        for buffer in &mut self.state.borrow_mut().buffers {
            let len = buffer.rows.len();
            if len != buffer.counted {
                sub(&self.client.counters.growing, buffer.counted as u64);
                add(&self.client.counters.growing, len as u64);
                buffer.counted = len;
                buffer.since_ms.get_or_insert(now);
                let oldest = &self.client.oldest_row_ms;
                oldest.set(Some(oldest.get().map_or(now, |oldest| oldest.min(now))));
            }
        }
    }

    /// Size and index of the largest buffer.
    pub(super) fn largest(&self) -> Option<(usize, usize)> {
        let state = self.state.borrow();
        let sizes = state
            .buffers
            .iter()
            .enumerate()
            .map(|(i, b)| (b.rows.len(), i));
        sizes.filter(|(len, _)| *len > 0).max()
    }

    /// When the oldest buffered row came.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        self.state
            .borrow()
            .buffers
            .iter()
            .filter_map(|b| b.since_ms)
            .min()
    }

    /// Seal every buffer whose first row came at or before `since_ms`.
    pub(super) fn seal_older(self: &Rc<Self>, since_ms: u64) {
        let old: Vec<usize> = self
            .state
            .borrow()
            .buffers
            .iter()
            .enumerate()
            .filter(|(_, b)| b.since_ms.is_some_and(|s| s <= since_ms))
            .map(|(i, _)| i)
            .collect();
        old.into_iter().for_each(|i| self.seal(i));
    }

    /// Seal every buffer that has rows.
    pub(super) fn seal_all(self: &Rc<Self>) {
        let count = self.state.borrow().buffers.len();
        (0..count).for_each(|i| self.seal(i));
    }

    /// Compress a buffer's rows and put them on their way.
    pub(super) fn seal(self: &Rc<Self>, index: usize) {
        let counters = &self.client.counters;
        let pack = {
            let mut state = self.state.borrow_mut();
            let Some(buffer) = state.buffers.get_mut(index).filter(|b| !b.rows.is_empty()) else {
                return;
            };
            let rows = buffer.rows.rows();
            let body = buffer.rows.take_body(&self.client);
            sub(&counters.growing, buffer.counted as u64);
            buffer.counted = 0;
            buffer.since_ms = None;
            buffer.target = buffer.target.saturating_mul(2).min(self.max_target);
            let (body, raw) = match body {
                Ok(body) => body,
                Err(error) => {
                    drop(state);
                    self.fail(error.at(&self.place));
                    return;
                }
            };
            add(&counters.bytes_raw, raw as u64);
            add(&counters.bytes_compressed, body.len() as u64);
            add(&counters.sealed, body.len() as u64);
            state.outstanding += 1;
            Pack { rows, body }
        };
        match &self.mode {
            Mode::Records | Mode::Arrow(_) => self.send_block(pack),
            Mode::Stream(_) => self.send_stream(pack),
            Mode::Upsert(_) => self.send_pack(index, pack),
        }
    }

    /// The number of the next block or pack.
    fn next_number(&self) -> u32 {
        let mut state = self.state.borrow_mut();
        let number = state.next_block;
        state.next_block = number.wrapping_add(1);
        number
    }

    fn send_stream(self: &Rc<Self>, pack: Pack) {
        let number = self.next_number();
        let part = Rc::clone(self);
        self.client
            .spawn(async move { part.put_stream(number, pack).await });
    }

    fn send_block(self: &Rc<Self>, pack: Pack) {
        let block = self.next_number();
        if block == MANY_BLOCKS {
            self.client
                .request_checkpoint(CheckpointReason::SessionBlocks);
        }
        if block >= MAX_BLOCKS {
            self.settle(&pack, false);
            self.fail(SinkError::permanent(
                "session.blocks",
                format!(
                    "{}: the upload session has no block left of {MAX_BLOCKS}; raise block-size or \
                     take checkpoints more often",
                    self.place
                ),
            ));
            return;
        }
        let part = Rc::clone(self);
        self.client
            .spawn(async move { part.put_block(block, pack).await });
    }

    fn send_pack(self: &Rc<Self>, bucket: usize, pack: Pack) {
        let start = {
            let mut state = self.state.borrow_mut();
            let Some((queue, busy)) = state.queues.get_mut(bucket) else {
                return;
            };
            queue.push_back(pack);
            !std::mem::replace(busy, true)
        };
        if start {
            let part = Rc::clone(self);
            self.client
                .spawn(async move { part.drain_bucket(bucket).await });
        }
    }

    /// A pack is durable, or given up.
    pub(super) fn settle(&self, pack: &Pack, durable: bool) {
        sub(&self.client.counters.sealed, pack.body.len() as u64);
        let mut state = self.state.borrow_mut();
        state.outstanding -= 1.min(state.outstanding);
        if durable {
            state.rows += pack.rows;
        }
    }

    /// Whether rows came since the last checkpoint; buffers must have been sealed.
    pub(super) fn is_in_use(&self) -> bool {
        let state = self.state.borrow();
        state.rows > 0 || state.outstanding > 0
    }

    /// Wait until everything sealed is durable.
    pub(super) async fn durable(&self) -> Result<(), SinkError> {
        self.changed
            .until(|| {
                let state = self.state.borrow();
                match &state.error {
                    Some(error) => Some(Err(error.clone())),
                    None if state.outstanding == 0
                        && !matches!(state.session, Session::Opening) =>
                    {
                        Some(Ok(()))
                    }
                    None => None,
                }
            })
            .await
    }

    /// End the timers of this part.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.changed.notify();
    }

    /// `Content-Encoding`, where the body is compressed.
    pub(super) fn with_encoding(&self, draft: Draft) -> Draft {
        let compression = self.client.options.compression;
        let name = match &self.mode {
            Mode::Arrow(_) => compression.arrow_content_encoding(),
            _ => compression.content_encoding(),
        };
        match name {
            Some(name) => draft.header("Content-Encoding", name),
            None => draft,
        }
    }
}
