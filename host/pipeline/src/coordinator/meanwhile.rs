//! What goes on while a table is changed at the service: other tables' rows.
//!
//! A statement can take the service a minute. It runs in an instance of its own, and rows of tables
//! that it does not concern are handed out meanwhile; such tables can even change. What may not
//! overtake it is kept, in the order in which it came, and no checkpoint is taken before nothing is
//! kept any more.

use std::collections::VecDeque;
use std::sync::Arc;

use longshore_runtime::contract::SchemaChange;
use tokio::sync::{mpsc, oneshot};

use super::attempt::Attempt;
use super::error::RunError;
use super::instance::Command;
use super::source_thread::FromSource;
use crate::evolution::TableShape;
use crate::source::SourceEvent;

/// Events kept at most. A batch is about 1 MiB.
const KEPT: usize = 8;

/// Events of the source that came and have not been dealt with, the oldest first.
#[derive(Default)]
pub(super) struct Kept {
    events: VecDeque<FromSource>,
    /// Indices of the targets that are being changed.
    changing: Vec<usize>,
}

impl Kept {
    pub(super) fn take(&mut self) -> Option<FromSource> {
        self.events.pop_front()
    }

    /// Whether more events can be heard: there is room, and the last one kept can be overtaken.
    fn has_room(&self) -> bool {
        let last = self.events.back();
        self.events.len() < KEPT && last.is_none_or(|last| source_table(last).is_some())
    }

    /// Whether events of a source table, by its number, must wait for others of it.
    fn holds(&self, source: u32) -> bool {
        self.events
            .iter()
            .any(|said| source_table(said) == Some(source))
    }

    fn concerns(&self, targets: &[usize]) -> bool {
        targets.iter().any(|target| self.changing.contains(target))
    }
}

/// Number of the one source table that an event is about.
fn source_table(said: &FromSource) -> Option<u32> {
    match said {
        FromSource::Event(event) => match event.as_ref() {
            SourceEvent::Batch(batch) => Some(batch.table),
            SourceEvent::Table(table) => Some(table.id),
            SourceEvent::Truncate(_) | SourceEvent::Drop(_) => None,
        },
        FromSource::End(_) | FromSource::Failed(_) => None,
    }
}

impl Attempt<'_> {
    /// Makes a change at the service, while rows of other tables go on. The inner error is the
    /// sink's refusal.
    pub(super) async fn change_schema(
        &mut self,
        index: usize,
        change: SchemaChange,
        next: &TableShape,
    ) -> Result<Result<(), RunError>, RunError> {
        let Some(target) = self.targets.tables.get(index) else {
            return Ok(Ok(()));
        };
        let next = Arc::new(target.next_declaration(next)?);
        let declared = match target.declared {
            true => Some((
                Arc::new(target.declaration()?),
                Arc::clone(&target.shape.schema),
            )),
            false => None,
        };
        if let Some((table, schema)) = declared {
            let (done, _) = oneshot::channel();
            self.send_statement(Command::Declare {
                target: index,
                table,
                schema,
                done,
            })
            .await?;
        }
        let (done, mut answer) = oneshot::channel();
        self.send_statement(Command::ChangeSchema { change, next, done })
            .await?;
        // Before the first checkpoint there is nothing to say how far a table is ahead of.
        let flows = self.coordinator.store.latest()?.is_some();
        self.kept.changing.push(index);
        let answered = loop {
            let hears = flows && self.kept.has_room();
            tokio::select! {
                biased;
                answered = &mut answer => break answered,
                Some(said) = hear(&mut self.events), if hears => self.meanwhile(said).await?,
            }
        };
        self.kept.changing.pop();
        match answered {
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.first_failure().await),
        }
    }

    /// Deals with what has nothing to do with the tables that are changing; keeps all else.
    async fn meanwhile(&mut self, said: FromSource) -> Result<(), RunError> {
        self.heard(&said);
        if self.must_wait(&said)? {
            self.kept.events.push_back(said);
            return Ok(());
        }
        // The end, which has an outcome, always waits.
        Box::pin(self.take(said)).await.map(|_| ())
    }

    fn must_wait(&mut self, said: &FromSource) -> Result<bool, RunError> {
        let FromSource::Event(event) = said else {
            return Ok(true);
        };
        let (source, targets) = match event.as_ref() {
            SourceEvent::Batch(batch) => (batch.table, self.targets.of_source(batch.table)),
            SourceEvent::Table(table) => {
                let paths = self.paths_of(&table.path)?;
                (table.id, self.targets.at(&paths))
            }
            SourceEvent::Truncate(_) | SourceEvent::Drop(_) => return Ok(true),
        };
        Ok(self.kept.concerns(&targets) || self.kept.holds(source))
    }

    /// Sends to the instance that statements run in. Writers go on beside it.
    async fn send_statement(&mut self, command: Command) -> Result<(), RunError> {
        let statements = match self.statements.take() {
            Some(statements) => statements,
            None => self.open_instance("statements".into(), 0, None, 0).await?,
        };
        let sent = statements.send(command).await.is_ok();
        self.statements = Some(statements);
        if sent {
            Ok(())
        } else {
            Err(self.first_failure().await)
        }
    }
}

/// The next word of the source; `None` when it is gone.
pub(super) async fn hear(events: &mut Option<mpsc::Receiver<FromSource>>) -> Option<FromSource> {
    match events {
        Some(events) => events.recv().await,
        None => None,
    }
}
