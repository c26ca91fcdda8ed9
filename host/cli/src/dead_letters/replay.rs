//! `longshore dead-letters replay`

use std::path::PathBuf;
use std::sync::Arc;

use longshore_pipeline::checkpoint_store::CheckpointStore;
use longshore_pipeline::coordinator::{ReplaySelection, Replayed, stop_channel};
use longshore_pipeline::report::LiveCounters;
use serde_json::{Value, json};

use crate::args::{Output, PipelineArgs, StoreArgs};
use crate::definition;
use crate::display::{Table, number};
use crate::failure::{Exit, Failure};
use crate::run;
use crate::sink::{Sink, Start};

pub(super) async fn replay(
    args: &StoreArgs,
    component: Option<PathBuf>,
    selection: &ReplaySelection,
) -> Result<Exit, Failure> {
    let loaded = definition::load(&PipelineArgs {
        pipeline: args.pipeline.clone(),
        output: args.output,
        checkpoint_dir: args.checkpoint_dir.clone(),
        component: component.clone(),
    })?;
    let sink = Sink::resolve(&loaded, component.as_deref(), Start::Server).await?;
    let result = replay_into(args, &loaded, &sink, selection).await;
    sink.shutdown().await;
    result
}

async fn replay_into(
    args: &StoreArgs,
    loaded: &definition::Loaded,
    sink: &Sink,
    selection: &ReplaySelection,
) -> Result<Exit, Failure> {
    let identity = loaded.identity(sink.identity(loaded));
    let store = CheckpointStore::open(&loaded.store, &identity)?;
    let (handle, stop) = stop_channel();
    let limit = loaded.definition.pipeline.stop_timeout;
    run::signals::watch(handle, limit);
    let live = Arc::new(LiveCounters::default());
    let coordinator = run::coordinator(loaded, sink, store, live, stop);
    let (replayed, result) = coordinator.replay(selection).await;
    result.map_err(|error| run::failure(loaded, sink, error).with_report(document(&replayed)))?;
    match args.output {
        Output::Json => println!("{:#}", document(&replayed)),
        Output::Human => print!("{}", text(&replayed)),
    }
    let again: u64 = replayed.tables.values().map(|rows| rows.again).sum();
    Ok(if again > 0 {
        Exit::DeadLetters
    } else {
        Exit::Ok
    })
}

fn document(replayed: &Replayed) -> Value {
    let tables: Vec<Value> = replayed
        .tables
        .iter()
        .map(|(table, rows)| {
            json!({
                "table": table,
                "written": rows.written,
                "kept-aside-again": rows.again,
                "left": rows.left,
            })
        })
        .collect();
    json!({
        "tables": tables,
        "recommitted": replayed.recommitted,
        "interrupted": replayed.interrupted,
    })
}

fn text(replayed: &Replayed) -> String {
    if replayed.tables.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let mut table = Table::new(&["table", ">written", ">kept aside again", ">left"]);
    for (name, rows) in &replayed.tables {
        table.row([
            name.clone(),
            number(rows.written),
            number(rows.again),
            number(rows.left),
        ]);
    }
    let mut text = table.text();
    if replayed.tables.values().any(|rows| rows.left > 0) {
        text.push_str(
            "\nleft: the table has a primary key, and a row that is written again takes the place of one with the same key \
             that came later; --include-keyed writes them all the same\n",
        );
    }
    if replayed.interrupted {
        text.push_str("\nstopped by a signal; replay again for the others\n");
    }
    text
}
