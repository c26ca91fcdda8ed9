//! `longshore checkpoints`: the progress of a pipeline, and ways out of a damaged store.

use chrono::{DateTime, SecondsFormat};
use longshore_pipeline::checkpoint_store::{
    CheckpointReader, HistoryEntry, Overview, Rebuilt, Repair, Reset, StoreError, StoredCheckpoint,
    repair, reset,
};
use serde_json::{Value, json};

use crate::args::{CheckpointsCommand, Output};
use crate::definition;
use crate::display::{Table, bytes, number};
use crate::failure::{Exit, Failure};

pub(crate) fn checkpoints(command: &CheckpointsCommand) -> Result<Exit, Failure> {
    let args = command.store();
    let path = definition::store_of(args)?;
    let output = args.output;
    match command {
        CheckpointsCommand::List { limit, .. } => list(&path, *limit, output)?,
        CheckpointsCommand::Show { checkpoint, .. } => show(&path, *checkpoint, output)?,
        CheckpointsCommand::Reset { yes, .. } => start_anew(&path, *yes, output)?,
        CheckpointsCommand::Repair { accept_older, .. } => {
            print_repair(&path, repair(&path, *accept_older), output)?;
        }
    }
    Ok(Exit::Ok)
}

type Path = std::path::Path;

fn list(path: &Path, limit: u32, output: Output) -> Result<(), Failure> {
    let Some(reader) = CheckpointReader::open(path)? else {
        print_missing(path, output);
        return Ok(());
    };
    let overview = reader.overview()?;
    let history = reader.history(limit)?;
    match output {
        Output::Json => {
            let entries: Vec<Value> = history.iter().map(entry_document).collect();
            let mut document = overview_document(path, &overview);
            if let Some(document) = document.as_object_mut() {
                document.insert("checkpoints".into(), json!(entries));
            }
            println!("{document:#}");
        }
        Output::Human => {
            print!("{}", overview_text(path, &overview));
            if !history.is_empty() {
                let mut table = Table::new(&[">checkpoint", "stored", "visible", ">rows", ""]);
                for entry in &history {
                    let rows = entry.tables.iter().map(|table| table.written).sum();
                    let end = if entry.finished {
                        "end of the source"
                    } else {
                        ""
                    };
                    let visible = entry
                        .committed_ms
                        .map_or_else(|| "not yet".to_owned(), time);
                    table.row([
                        entry.id.to_string(),
                        time(entry.stored_ms),
                        visible,
                        number(rows),
                        end.to_owned(),
                    ]);
                }
                print!("\n{}", table.text());
            }
            let hidden = overview.checkpoints.saturating_sub(history.len() as u64);
            if hidden > 0 {
                println!("...and {} older ones", number(hidden));
            }
        }
    }
    Ok(())
}

fn show(path: &Path, id: Option<u64>, output: Output) -> Result<(), Failure> {
    let found = match CheckpointReader::open(path)? {
        Some(reader) => reader.checkpoint(id)?,
        None => None,
    };
    let Some(found) = found else {
        let what = match id {
            Some(id) => format!("{} has no checkpoint {id}", path.display()),
            None => format!("{} has no checkpoint yet", path.display()),
        };
        return Err(Failure::new(Exit::Usage, what)
            .help("`longshore checkpoints list PIPELINE` lists those there are"));
    };
    match output {
        Output::Json => println!("{:#}", checkpoint_document(&found)),
        Output::Human => print!("{}", checkpoint_text(&found)),
    }
    Ok(())
}

fn start_anew(path: &Path, yes: bool, output: Output) -> Result<(), Failure> {
    // What would be lost, where that can still be read.
    let overview = match CheckpointReader::open(path) {
        Ok(None) => {
            print_missing(path, output);
            return Ok(());
        }
        Ok(Some(reader)) => reader.overview().ok(),
        Err(StoreError::Corrupt { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let done = if yes { Some(reset(path)?) } else { None };
    if output == Output::Json {
        let set_aside = match &done {
            Some(Reset::SetAside(aside)) => Some(aside.display().to_string()),
            _ => None,
        };
        let mut document = overview
            .as_ref()
            .map_or_else(|| json!({}), |overview| overview_document(path, overview));
        if let Some(document) = document.as_object_mut() {
            document.insert("reset".into(), json!(done.is_some()));
            document.insert("set-aside".into(), json!(set_aside));
        }
        println!("{document:#}");
        return Ok(());
    }
    if let Some(overview) = &overview {
        print!("{}", overview_text(path, overview));
        if overview.pending > 0 {
            println!(
                "what {} committables of it hold is uploaded and not yet known to be visible: a run would commit them first",
                number(overview.pending)
            );
        }
    } else {
        println!("{} can not be read", path.display());
    }
    match done {
        None => println!(
            "all of it would be forgotten, and the next run would read the source from its start; rows that are in append \
             tables already would stand there twice. Say --yes to do it"
        ),
        Some(Reset::SetAside(aside)) => println!(
            "set aside as {}; the next run reads the source from its start",
            aside.display()
        ),
        Some(Reset::Emptied | Reset::Missing) => {
            println!("forgotten; the next run reads the source from its start");
        }
    }
    Ok(())
}

fn print_repair(
    path: &Path,
    result: Result<Repair, StoreError>,
    output: Output,
) -> Result<(), Failure> {
    let repaired = match result {
        Ok(repaired) => repaired,
        Err(error @ StoreError::Corrupt { .. }) => {
            let failure = Failure::new(Exit::Store, error.to_string())
                .because("what a run would go on from is damaged; a position is never made up, so nothing was changed")
                .help(
                    "restore the file from a backup; or `longshore checkpoints reset PIPELINE --yes` sets it aside, and the \
                     next run reads the source from its start: rows that are in append tables already stand there twice then",
                );
            return Err(failure);
        }
        Err(error) => return Err(error.into()),
    };
    match output {
        Output::Json => println!("{:#}", repair_document(&repaired)),
        Output::Human => print!("{}", repair_text(path, &repaired)),
    }
    Ok(())
}

fn repair_document(repaired: &Repair) -> Value {
    match repaired {
        Repair::Missing => json!({ "outcome": "missing" }),
        Repair::Sound => json!({ "outcome": "sound" }),
        Repair::OlderAccepted { checkpoint, stored } => {
            json!({ "outcome": "older-accepted", "checkpoint": checkpoint, "stored": stored })
        }
        Repair::Rebuilt(rebuilt) => json!({
            "outcome": "rebuilt",
            "faults": rebuilt.faults,
            "set-aside": rebuilt.damaged.display().to_string(),
            "saved": rebuilt.saved.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "incomplete": rebuilt.incomplete,
        }),
    }
}

fn repair_text(path: &Path, repaired: &Repair) -> String {
    match repaired {
        Repair::Missing => format!("{}: no checkpoints yet\n", path.display()),
        Repair::Sound => format!("{} is sound, nothing was changed\n", path.display()),
        Repair::OlderAccepted { checkpoint, stored } => format!(
            "the next run goes on from checkpoint {checkpoint}; what checkpoints {} to {stored} held is written again\n",
            checkpoint + 1
        ),
        Repair::Rebuilt(rebuilt) => rebuilt_text(path, rebuilt),
    }
}

fn rebuilt_text(path: &Path, rebuilt: &Rebuilt) -> String {
    let mut text = format!("{} was damaged:\n", path.display());
    for fault in &rebuilt.faults {
        text.push_str(&format!("  {}\n", fault.replace('\n', "\n  ")));
    }
    text.push_str(
        "rebuilt; all of what a run goes on from is whole: position, committables, states\n",
    );
    for (table, rows) in &rebuilt.saved {
        let what = match table.as_str() {
            "table_rows" => "row counts of the history",
            "writer_note" => "notes of writers about open sessions",
            "dead_letter_rows" => "groups of dead letters",
            _ => "reasons of dead letters",
        };
        let lost = if rebuilt.incomplete.contains(table) {
            "; others could not be read and are lost"
        } else {
            ""
        };
        text.push_str(&format!("saved {} {what}{lost}\n", number(*rows)));
    }
    text.push_str(&format!(
        "the damaged file is kept as {}\n",
        rebuilt.damaged.display()
    ));
    text
}

fn print_missing(path: &Path, output: Output) {
    match output {
        Output::Json => println!(
            "{:#}",
            json!({ "store": path.display().to_string(), "checkpoints": [] })
        ),
        Output::Human => println!("{}: no checkpoints yet", path.display()),
    }
}

fn overview_document(path: &Path, overview: &Overview) -> Value {
    let owner = overview.owner.as_ref();
    json!({
        "store": path.display().to_string(),
        "format": overview.format,
        "pipeline": owner.map(|owner| &owner.pipeline),
        "source": owner.map(|owner| &owner.source),
        "sink": owner.map(|owner| &owner.sink),
        "last": overview.last,
        "pending-committables": overview.pending,
        "dead-letters": overview.dead_letters,
        "fault": overview.fault,
    })
}

fn overview_text(path: &Path, overview: &Overview) -> String {
    let mut lines = vec![format!(
        "store         {} (format {})",
        path.display(),
        overview.format
    )];
    if let Some(owner) = &overview.owner {
        lines.push(format!("pipeline      {}", owner.pipeline));
        lines.push(format!("source        {}", owner.source));
        lines.push(format!("sink          {}", owner.sink));
    }
    lines.push(format!("checkpoints   {}", number(overview.checkpoints)));
    lines.push(format!(
        "to commit     {} committables",
        number(overview.pending)
    ));
    lines.push(format!("dead letters  {}", number(overview.dead_letters)));
    if let Some(fault) = &overview.fault {
        lines.push(format!("DAMAGED       {fault}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn entry_document(entry: &HistoryEntry) -> Value {
    let tables: Vec<Value> = entry
        .tables
        .iter()
        .map(|rows| {
            json!({
                "table": rows.table,
                "read": rows.read,
                "written": rows.written,
                "skipped": rows.skipped,
            })
        })
        .collect();
    json!({
        "checkpoint": entry.id,
        "stored": time(entry.stored_ms),
        "visible": entry.committed_ms.map(time),
        "finished": entry.finished,
        "tables": tables,
    })
}

fn checkpoint_document(found: &StoredCheckpoint) -> Value {
    let mut document = entry_document(&found.entry);
    let committables: Vec<Value> = found
        .committables
        .iter()
        .map(|item| {
            json!({
                "table": item.table,
                "format": item.format,
                "bytes": item.bytes,
                "committed": item.committed_ms.map(time),
            })
        })
        .collect();
    let states: Vec<Value> = found
        .states
        .iter()
        .map(|state| json!({ "format": state.format, "bytes": state.bytes }))
        .collect();
    if let Some(document) = document.as_object_mut() {
        let position = serde_json::from_str(&found.position)
            .unwrap_or_else(|_| Value::from(found.position.clone()));
        document.insert("position".into(), position);
        document.insert("committables".into(), json!(committables));
        document.insert("states".into(), json!(states));
    }
    document
}

fn checkpoint_text(found: &StoredCheckpoint) -> String {
    let entry = &found.entry;
    let visible = entry
        .committed_ms
        .map_or_else(|| "not yet".to_owned(), time);
    let mut text = format!(
        "checkpoint  {}{}\nstored      {}\nvisible     {visible}\n",
        entry.id,
        if entry.finished {
            ", at the end of the source"
        } else {
            ""
        },
        time(entry.stored_ms),
    );
    let position = serde_json::from_str::<Value>(&found.position).map_or_else(
        |_| found.position.clone(),
        |position| format!("{position:#}"),
    );
    text.push_str(&format!("the source goes on at\n{position}\n"));
    let mut tables = Table::new(&["table", ">read", ">written", ">skipped"]);
    for rows in &entry.tables {
        tables.row([
            rows.table.clone(),
            number(rows.read),
            number(rows.written),
            number(rows.skipped),
        ]);
    }
    text.push_str(&format!("\n{}", tables.text()));
    let mut items = Table::new(&["committable of", ">format", ">bytes", "committed"]);
    for item in &found.committables {
        items.row([
            item.table.clone(),
            item.format.to_string(),
            item.bytes.map_or_else(|| "-".to_owned(), bytes),
            item.committed_ms.map_or_else(|| "not yet".to_owned(), time),
        ]);
    }
    text.push_str(&format!("\n{}", items.text()));
    for (subtask, state) in found.states.iter().enumerate() {
        text.push_str(&format!(
            "\nstate of writer {subtask}: {}, format {}",
            bytes(state.bytes),
            state.format
        ));
    }
    if !found.states.is_empty() {
        text.push('\n');
    }
    text
}

/// A time in UTC, as RFC 3339 writes it.
fn time(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).map_or_else(
        || format!("{ms} ms"),
        |time| time.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}
