//! `longshore explain`

mod rehearsal;

use longshore_pipeline::definition::{FileOptions, PerTable, SourceDefinition, SourceKind};
use longshore_pipeline::route::Router;
use longshore_pipeline::source::{self, Peek, Source, SourceError, SourceEvent, TableId};
use serde::Serialize;
use serde_json::json;

use crate::args::{Output, PipelineArgs};
use crate::definition::{self, Loaded};
use crate::display::Table;
use crate::failure::{Exit, Failure};
use crate::run::checkpoint_interval;
use crate::sink::{Sink, Start};
use rehearsal::{Rehearsal, rehearse};

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
    let (tables, known) =
        tables(&loaded.definition.source).map_err(|error| loaded.source_failure(error))?;
    let mut router = Router::new(
        loaded.definition.routes.clone(),
        loaded.definition.pipeline.route_mode,
    );
    let ways = tables
        .iter()
        .map(|table| way(table, &mut router, &sink))
        .collect::<Result<Vec<_>, _>>()?;
    // What a component of somebody else's would do can not be tried on a server for MaxCompute.
    let can_try = args.component.is_none() && known != Known::Defined && sink.creates_tables();
    let rehearsal = match can_try {
        true => Some(rehearse(&loaded, &sink).await?),
        false => None,
    };
    match args.output {
        Output::Human => print(&loaded, &sink, &ways, known, rehearsal.as_ref()),
        Output::Json => println!(
            "{:#}",
            document(&loaded, &sink, &ways, known, rehearsal.as_ref())
        ),
    }
    Ok(Exit::Ok)
}

/// How much is known of the input's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// All of them.
    All,
    /// Those in its first part.
    First,
    /// What the definition says; standard input is left to the run.
    Defined,
}

/// What is shown of a source table.
struct InputTable {
    id: u32,
    path: TableId,
    primary_key: Vec<String>,
    partition_by: Vec<String>,
}

/// The tables of the input, as far as they can be known without keeping anything from a run.
fn tables(definition: &SourceDefinition) -> Result<(Vec<InputTable>, Known), SourceError> {
    match source::peek(definition)? {
        Peek::Source(source) => first_tables(source),
        Peek::StandardInput(table) => {
            let table = table.map(|table| defined(definition, table));
            Ok((table.into_iter().collect(), Known::Defined))
        }
    }
}

/// A table as the definition has it.
fn defined(definition: &SourceDefinition, path: TableId) -> InputTable {
    let columns = |chosen: fn(&FileOptions) -> &PerTable<Vec<String>>| match &definition.kind {
        SourceKind::File(options) => chosen(options)
            .get(&path)
            .map_or_else(Vec::new, |columns| columns.value.clone()),
        _ => Vec::new(),
    };
    InputTable {
        id: 0,
        primary_key: columns(|options| &options.primary_key),
        partition_by: columns(|options| &options.partition_by),
        path,
    }
}

/// The tables in the first part of the input.
fn first_tables(mut source: Box<dyn Source>) -> Result<(Vec<InputTable>, Known), SourceError> {
    let mut tables: Vec<InputTable> = Vec::new();
    for _ in 0..PEEKED_BATCHES {
        match source.next()? {
            None => return Ok((tables, Known::All)),
            Some(SourceEvent::Table(table)) => {
                let table = InputTable {
                    id: table.id,
                    path: table.path,
                    primary_key: table.primary_key,
                    partition_by: table.partition_by,
                };
                match tables.iter_mut().find(|known| known.id == table.id) {
                    Some(known) => *known = table,
                    None => tables.push(table),
                }
            }
            Some(SourceEvent::Batch(_) | SourceEvent::Truncate(_) | SourceEvent::Drop(_)) => {}
        }
    }
    Ok((tables, Known::First))
}

fn way(table: &InputTable, router: &mut Router, written: &Sink) -> Result<Way, Failure> {
    let sink = router
        .route(&table.path)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let (kind, delivery) = written.delivery(!table.primary_key.is_empty());
    Ok(Way {
        source: table.path.to_string(),
        sink: sink.iter().map(ToString::to_string).collect(),
        kind,
        primary_key: table.primary_key.clone(),
        partition_by: table.partition_by.clone(),
        delivery,
    })
}

fn print(loaded: &Loaded, sink: &Sink, ways: &[Way], known: Known, rehearsal: Option<&Rehearsal>) {
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
    match known {
        Known::All => {}
        Known::First => println!("(tables that first appear later in the input are not listed)"),
        Known::Defined => println!(
            "(the input is standard input, which only `run` reads: what the definition does not name is not listed)"
        ),
    }
    println!();
    if let Some(rehearsal) = rehearsal {
        print_rehearsal(rehearsal);
    }
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

fn print_rehearsal(rehearsal: &Rehearsal) {
    if rehearsal.statements.is_empty() {
        println!("no table would be made");
    } else {
        println!("where they do not exist yet, tables would be made by");
        for statement in &rehearsal.statements {
            println!("  {}", statement.trim());
        }
    }
    if let Some(failure) = &rehearsal.failure {
        println!("warning: tried without rows, it fails: {failure}");
    }
    println!();
}

fn document(
    loaded: &Loaded,
    sink: &Sink,
    ways: &[Way],
    known: Known,
    rehearsal: Option<&Rehearsal>,
) -> serde_json::Value {
    let pipeline = &loaded.definition.pipeline;
    let options: Vec<_> = sink
        .effective
        .iter()
        .map(|option| json!({ "name": option.name, "value": option.shown(), "origin": option.origin }))
        .collect();
    let mut warnings: Vec<String> = loaded
        .definition
        .warnings
        .iter()
        .map(|warning| format!("{}:{}: {}", warning.file, warning.at.line, warning.message))
        .collect();
    warnings.extend(sink.warnings.iter().cloned());
    if let Some(failure) = rehearsal.and_then(|rehearsal| rehearsal.failure.as_ref()) {
        warnings.push(format!("tried without rows, it fails: {failure}"));
    }
    json!({
        "pipeline": loaded.name,
        "parallelism": pipeline.parallelism,
        "checkpoint-interval-ms": checkpoint_interval(pipeline).as_millis(),
        "checkpoint-store": loaded.store,
        "sink": { "name": sink.info.name, "version": sink.info.version, "options": options },
        "local-data": sink.local,
        "egress": sink.egress,
        "tables": ways,
        "tables-complete": known == Known::All,
        "input-opened": known != Known::Defined,
        "ddl": rehearsal.map(|rehearsal| &rehearsal.statements),
        "warnings": warnings,
    })
}
