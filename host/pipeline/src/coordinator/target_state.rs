//! What is kept of the target tables from run to run.
//!
//! With a checkpoint: what each looks like at the sink, and its source tables where the source goes
//! on from. When a table is committed between checkpoints, because its schema changes, also how far
//! it is ahead of the source.

use arrow_ipc::reader::StreamReader;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use longshore_runtime::contract::TablePath;
use serde::{Deserialize, Serialize};

use super::encode::schema_message;
use super::error::RunError;
use super::targets::{Count, Feed, Target, Targets};
use crate::evolution::TableShape;

#[derive(Serialize, Deserialize)]
struct State {
    targets: Vec<TargetState>,
}

#[derive(Serialize, Deserialize)]
struct TargetState {
    path: TablePath,
    created: bool,
    shape: ShapeState,
    feeds: Vec<FeedState>,
}

#[derive(Serialize, Deserialize)]
struct FeedState {
    name: String,
    base: Option<ShapeState>,
    done: Count,
}

#[derive(Serialize, Deserialize)]
struct ShapeState {
    /// An IPC schema message.
    schema: String,
    primary_key: Vec<String>,
    partition_by: Vec<String>,
}

impl ShapeState {
    fn of(shape: &TableShape) -> Self {
        Self {
            // A schema that was announced as a message before is one.
            schema: BASE64.encode(schema_message(&shape.schema).unwrap_or_default()),
            primary_key: shape.primary_key.clone(),
            partition_by: shape.partition_by.clone(),
        }
    }

    fn shape(self) -> Option<TableShape> {
        let message = BASE64.decode(self.schema).ok()?;
        let reader = StreamReader::try_new(message.as_slice(), None).ok()?;
        Some(TableShape {
            schema: reader.schema(),
            primary_key: self.primary_key,
            partition_by: self.partition_by,
        })
    }
}

impl Targets {
    /// The state that goes with a checkpoint at what has been read so far.
    pub(super) fn state_at_checkpoint(&self) -> String {
        self.state(|feed| {
            let ahead = feed.done.beyond(feed.since);
            (feed.seen.as_ref(), ahead)
        })
    }

    /// That checkpoint is stored.
    pub(super) fn checkpoint_stored(&mut self) {
        for feed in self.tables.iter_mut().flat_map(|table| &mut table.feeds) {
            feed.base.clone_from(&feed.seen);
            feed.done = feed.done.beyond(feed.since);
            feed.since = Count::default();
        }
    }

    /// The state that goes with all rows of one table that have been read so far.
    pub(super) fn state_ahead(&mut self, index: usize) -> String {
        if let Some(target) = self.tables.get_mut(index) {
            for feed in &mut target.feeds {
                feed.done = feed.done.at_least(feed.since);
            }
        }
        self.state(|feed| (feed.base.as_ref(), feed.done))
    }

    fn state(
        &self,
        of_feed: impl for<'f> Fn(&'f Feed) -> (Option<&'f TableShape>, Count),
    ) -> String {
        let feed_state = |feed: &Feed| {
            let (base, done) = of_feed(feed);
            FeedState {
                name: feed.name.clone(),
                base: base.map(ShapeState::of),
                done,
            }
        };
        let targets = self.tables.iter().map(|target| TargetState {
            path: target.path.clone(),
            created: target.created,
            shape: ShapeState::of(&target.shape),
            feeds: target.feeds.iter().map(feed_state).collect(),
        });
        let state = State {
            targets: targets.collect(),
        };
        serde_json::to_string(&state).unwrap_or_default()
    }

    /// Goes on from what [`Self::state_at_checkpoint`] or [`Self::state_ahead`] wrote.
    pub(super) fn restore(&mut self, state: &str) -> Result<(), RunError> {
        let unreadable = || RunError::Encode {
            table: "in the checkpoint".to_owned(),
            reason: "its schema is unreadable; start anew with --fresh".to_owned(),
        };
        let state: State = serde_json::from_str(state).map_err(|_| unreadable())?;
        for stored in state.targets {
            let index = self.tables.len();
            let mut target = Target::new(stored.path);
            for stored in stored.feeds {
                let mut feed = Feed::new(stored.name, None);
                feed.base = match stored.base {
                    Some(base) => Some(base.shape().ok_or_else(unreadable)?),
                    None => None,
                };
                feed.seen.clone_from(&feed.base);
                feed.done = stored.done;
                target.feeds.push(feed);
            }
            target.created = stored.created;
            self.tables.push(target);
            let shape = stored.shape.shape().ok_or_else(unreadable)?;
            self.adopt(index, shape)?;
        }
        Ok(())
    }
}

impl Count {
    fn beyond(self, other: Self) -> Self {
        Self {
            rows: self.rows.saturating_sub(other.rows),
            changes: self.changes.saturating_sub(other.changes),
        }
    }

    fn at_least(self, other: Self) -> Self {
        Self {
            rows: self.rows.max(other.rows),
            changes: self.changes.max(other.changes),
        }
    }
}
