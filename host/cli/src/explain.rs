//! `longshore explain`

use longshore_pipeline::definition::SourceDefinition;
use longshore_pipeline::route::Router;
use longshore_pipeline::source::{self, SourceError, SourceEvent, SourceTable};
use serde::Serialize;
use serde_json::json;

use crate::args::{Output, PipelineArgs};
use crate::definition::{self, Loaded};
use crate::display::Table;
use crate::failure::{Exit, Failure};
use crate::run::checkpoint_interval;
use crate::sink::{Sink, Start};

/// Batches of the input that are read to find its tables.
const PEEKED_BATCHES: usize = 64;

/// One table's way.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Way {
    source: String,
    sink: Vec<String>,
    kind: &'static str,
    primary_key: Vec<String>,
    partition_by: Vec<String>,
    delivery: &'static str,
}

/// Shows what a pipeline would do.
pub(crate) async fn explain(args: PipelineArgs) -> Result<Exit, Failure> {
    let loaded = definition::load(&args)?;
    let sink = Sink::resolve(&loaded, args.component.as_deref(), Start::Nothing).await?;
    let (tables, whole) =
        tables(&loaded.definition.source).map_err(|error| loaded.source_failure(error))?;
    let mut router = Router::new(
        loaded.definition.routes.clone(),
        loaded.definition.pipeline.route_mode,
    );
    let ways = tables
        .iter()
        .map(|table| way(table, &mut router))
        .collect::<Result<Vec<_>, _>>()?;
    match args.output {
        Output::Human => print(&loaded, &sink, &ways, whole),
        Output::Json => println!("{:#}", document(&loaded, &sink, &ways, whole)),
    }
    Ok(Exit::Ok)
}

/// The tables in the first part of the input, and whether that was all of it.
fn tables(definition: &SourceDefinition) -> Result<(Vec<SourceTable>, bool), SourceError> {
    let mut source = source::open(definition, None)?;
    let mut tables: Vec<SourceTable> = Vec::new();
    for _ in 0..PEEKED_BATCHES {
        match source.next()? {
            None => return Ok((tables, true)),
            Some(SourceEvent::Table(table)) => {
                match tables.iter_mut().find(|known| known.id == table.id) {
                    Some(known) => *known = table,
                    None => tables.push(table),
                }
            }
            Some(SourceEvent::Batch(_)) => {}
        }
    }
    Ok((tables, false))
}

fn way(table: &SourceTable, router: &mut Router) -> Result<Way, Failure> {
    let sink = router
        .route(&table.path)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let keyed = !table.primary_key.is_empty();
    Ok(Way {
        source: table.path.to_string(),
        sink: sink.iter().map(ToString::to_string).collect(),
        kind: if keyed { "upsert by key" } else { "append" },
        primary_key: table.primary_key.clone(),
        partition_by: table.partition_by.clone(),
        delivery: if keyed {
            "exactly once in effect: what is repeated after a failure replaces itself by key"
        } else {
            "exactly once: what was not committed is never visible"
        },
    })
}

fn print(loaded: &Loaded, sink: &Sink, ways: &[Way], whole: bool) {
    let pipeline = &loaded.definition.pipeline;
    println!("pipeline     {}", loaded.name);
    println!("writers      {}", pipeline.parallelism);
    println!(
        "checkpoints  every {:?} and at the end, kept in {}",
        checkpoint_interval(pipeline),
        loaded.store.display()
    );
    println!("sink         {} {}", sink.info.name, sink.info.version);
    if let Some(data) = &sink.local {
        println!("local data   {}", data.display());
        println!("may contact  the embedded server on this machine");
    } else {
        println!("may contact  {}", sink.egress.join(", "));
    }
    println!();
    let mut table = Table::new(&[
        "source table",
        "sink table",
        "kind",
        "key",
        "partitioned by",
        "delivery",
    ]);
    for way in ways {
        table.row([
            way.source.as_str(),
            &way.sink.join(", "),
            way.kind,
            &way.primary_key.join(", "),
            &way.partition_by.join(", "),
            way.delivery,
        ]);
    }
    print!("{}", table.text());
    if !whole {
        println!("(tables that first appear later in the input are not listed)");
    }
    println!();
    let mut table = Table::new(&["sink option", "value", "from", "what it does"]);
    for option in &sink.effective {
        table.row([
            option.name.clone(),
            option.shown().unwrap_or_else(|| "-".into()),
            option.origin.to_string(),
            option.doc.clone(),
        ]);
    }
    print!("{}", table.text());
}

fn document(loaded: &Loaded, sink: &Sink, ways: &[Way], whole: bool) -> serde_json::Value {
    let pipeline = &loaded.definition.pipeline;
    let options: Vec<_> = sink
        .effective
        .iter()
        .map(|option| json!({ "name": option.name, "value": option.shown(), "origin": option.origin }))
        .collect();
    json!({
        "pipeline": loaded.name,
        "parallelism": pipeline.parallelism,
        "checkpoint-interval-ms": checkpoint_interval(pipeline).as_millis(),
        "checkpoint-store": loaded.store,
        "sink": { "name": sink.info.name, "version": sink.info.version, "options": options },
        "local-data": sink.local,
        "egress": sink.egress,
        "tables": ways,
        "tables-complete": whole,
    })
}
