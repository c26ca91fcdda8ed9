//! Flush and prepare: rows become durable, sessions become committables.

use std::rc::Rc;

use super::client::Client;
use super::committable::{Kind, Prepared};
use super::declare::Tables;
use super::mode::Mode;
use super::part::{Part, Session};
use super::task::Slot;
use crate::contract::Committable;
use crate::error::SinkError;

/// Wait until all rows written so far are durable.
pub(super) async fn flush(client: Rc<Client>, tables: Tables) -> Result<(), SinkError> {
    confirmed(&client, &tables).await?;
    let parts: Vec<Rc<Part>> = tables
        .borrow()
        .iter()
        .flat_map(|t| t.parts.values().chain(&t.retired))
        .map(Rc::clone)
        .collect();
    for part in &parts {
        part.seal_all();
    }
    for part in &parts {
        part.durable().await?;
    }
    Ok(())
}

/// Close everything written so far, to one table or to all, into committables.
pub(super) async fn prepare(
    client: Rc<Client>,
    tables: Tables,
    only: Option<u32>,
) -> Result<Vec<Committable>, SinkError> {
    confirmed(&client, &tables).await?;
    let parts: Vec<Rc<Part>> = tables
        .borrow_mut()
        .iter_mut()
        .zip(0_u32..)
        .filter(|(_, index)| only.is_none_or(|wanted| wanted == *index))
        .flat_map(|(table, _)| match only {
            // Its columns are to change: no session outlives that.
            Some(_) => {
                table.retire();
                std::mem::take(&mut table.retired)
            }
            None => table.checkpoint(),
        })
        .collect();
    let mut results = Vec::with_capacity(parts.len());
    for part in &parts {
        let result = Slot::new();
        results.push(result.clone());
        let part = Rc::clone(part);
        client.spawn(async move { result.fill(finish(&part).await) });
    }
    let mut items = Vec::new();
    let mut fault = None;
    for result in results {
        match result.await {
            Ok(item) => items.extend(item),
            Err(error) => {
                fault.get_or_insert(error);
            }
        }
    }
    match fault {
        None => Ok(items),
        Some(error) => {
            // Sessions of this checkpoint are taken apart: only a restart can bring the rows back.
            client.fail(&error);
            abort(&client, parts).await;
            Err(error)
        }
    }
}

/// Wait until no rows may have to be spread anew.
pub(super) async fn confirmed(client: &Client, tables: &Tables) -> Result<(), SinkError> {
    let open: Vec<_> = tables
        .borrow()
        .iter()
        .filter(|t| t.is_unconfirmed())
        .filter_map(|t| t.routing.clone())
        .collect();
    for routing in open {
        let done = || (routing.confirmed.get() || client.failure().is_some()).then_some(());
        routing.changed.until(done).await;
    }
    client.failure().map_or(Ok(()), Err)
}

async fn finish(part: &Rc<Part>) -> Result<Option<Committable>, SinkError> {
    if let Mode::Stream(_) = part.mode {
        // What is durable is visible: there is nothing to commit, and the session may go on.
        let in_use = part.is_in_use();
        part.durable().await?;
        part.state().rows = 0;
        if !in_use {
            part.close();
        }
        return Ok(None);
    }
    let durable = part.durable().await;
    part.close();
    durable?;
    let (session, rows) = {
        let state = part.state();
        (state.session.clone(), state.rows)
    };
    let Session::Open {
        id,
        created_unix_ms,
    } = session
    else {
        return Ok(None);
    };
    let kind = match &part.mode {
        Mode::Records | Mode::Arrow(_) | Mode::Stream(_) => {
            part.check_blocks(&id).await?;
            Kind::Upload {
                blocks: part.state().blocks.iter().copied().collect(),
                overwrite: part.overwrites.get(),
            }
        }
        Mode::Upsert(_) => {
            let server = part
                .state()
                .slots
                .first()
                .map(|s| s.server.clone())
                .unwrap_or_default();
            Kind::Upsert { server }
        }
    };
    let prepared = Prepared {
        project: part.target.project.clone(),
        schema: part.target.schema.clone(),
        table: part.target.name.clone(),
        partition: part.partition_text.clone(),
        session: id,
        rows,
        created_unix_ms,
        kind,
    };
    prepared.encode(&part.target.path).map(Some)
}

/// Give up everything that was not prepared.
pub(super) async fn close(client: Rc<Client>, tables: Tables) -> Result<(), SinkError> {
    let parts: Vec<Rc<Part>> = {
        let mut tables = tables.borrow_mut();
        let parts = tables.iter_mut().flat_map(|t| {
            let mut parts = std::mem::take(&mut t.retired);
            parts.extend(std::mem::take(&mut t.parts).into_values());
            parts
        });
        parts.collect()
    };
    for part in &parts {
        part.close();
        part.reset_buffers();
    }
    abort(&client, parts).await;
    Ok(())
}

/// End the sessions of `parts` where the service has a call for it; others expire.
async fn abort(client: &Client, parts: Vec<Rc<Part>>) {
    let mut ended = Vec::with_capacity(parts.len());
    for part in parts {
        if !matches!(part.mode, Mode::Upsert(_)) {
            continue;
        }
        let slot = Slot::new();
        ended.push(slot.clone());
        client.spawn(async move {
            part.abort_upsert().await;
            slot.fill(());
        });
    }
    for slot in ended {
        slot.await;
    }
}
