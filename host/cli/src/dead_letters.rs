//! `longshore dead-letters`: rows that could not be written and were kept aside.

mod replay;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use longshore_pipeline::checkpoint_store::{CheckpointStore, DeadLetterId, DeadLetterReader};
use longshore_pipeline::coordinator::ReplaySelection;
use longshore_pipeline::dead_letters::{ExportError, ExportForm, ShownDeadLetter, export, show};
use serde_json::json;

use crate::args::{DeadLettersCommand, Output};
use crate::definition;
use crate::display::{Table, number};
use crate::failure::{Exit, Failure};

pub(crate) async fn dead_letters(command: &DeadLettersCommand) -> Result<Exit, Failure> {
    let args = command.pipeline();
    let path = definition::store_of(args)?;
    let letters = DeadLetterReader::open(&path)?;
    match command {
        DeadLettersCommand::List { limit, .. } => list(&letters, *limit, args.output)?,
        DeadLettersCommand::Show { id, raw, .. } => {
            print_one(&letters, *id, raw.as_deref(), args.output)?;
        }
        DeadLettersCommand::Replay {
            store,
            table,
            include_keyed,
            component,
        } => {
            let selection = ReplaySelection {
                table: table.clone(),
                keyed: *include_keyed,
            };
            drop(letters);
            return replay::replay(store, component.clone(), &selection).await;
        }
        DeadLettersCommand::Export { to, rows_only, .. } => {
            let form = if *rows_only {
                ExportForm::RowsOnly
            } else {
                ExportForm::WithReasons
            };
            write_files(&letters, to, form, args.output)?;
        }
        DeadLettersCommand::Discard { yes, .. } => discard(&letters, &path, *yes, args.output)?,
    }
    Ok(Exit::Ok)
}

fn list(letters: &DeadLetterReader, limit: u32, output: Output) -> Result<(), Failure> {
    let counts = letters.counts()?;
    let first = letters.list(limit)?;
    match output {
        Output::Json => {
            let counts: Vec<_> = counts
                .iter()
                .map(|c| json!({ "table": c.table, "column": c.column, "rows": c.letters }))
                .collect();
            let first: Vec<_> = first
                .iter()
                .map(|found| {
                    json!({
                        "id": found.id.to_string(),
                        "checkpoint": found.checkpoint,
                        "table": found.table,
                        "place": found.letter.place,
                        "column": found.letter.column,
                        "reason": found.letter.reason,
                    })
                })
                .collect();
            println!("{:#}", json!({ "counts": counts, "dead-letters": first }));
        }
        Output::Human if counts.is_empty() => println!("no dead letters"),
        Output::Human => {
            let column = |column: &Option<String>| column.clone().unwrap_or_else(|| "-".into());
            let mut table = Table::new(&["table", "column", ">rows"]);
            for count in &counts {
                table.row([
                    count.table.clone(),
                    column(&count.column),
                    number(count.letters),
                ]);
            }
            println!("{}", table.text());
            let mut table = Table::new(&["id", "place", "table", "column", "reason"]);
            for found in &first {
                table.row([
                    found.id.to_string(),
                    found.letter.place.clone(),
                    found.table.clone(),
                    column(&found.letter.column),
                    found.letter.reason.clone(),
                ]);
            }
            print!("{}", table.text());
            let all: u64 = counts.iter().map(|count| count.letters).sum();
            let hidden = all.saturating_sub(first.len() as u64);
            if hidden > 0 {
                println!("...and {} more", number(hidden));
            }
        }
    }
    Ok(())
}

fn print_one(
    letters: &DeadLetterReader,
    id: DeadLetterId,
    raw: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    let Some(found) = show(letters, id).map_err(export_failure)? else {
        return Err(Failure::new(Exit::Usage, format!("there is no dead letter {id}"))
            .help("`longshore dead-letters list PIPELINE` prints their numbers; replayed ones have none any more"));
    };
    if let Some(path) = raw {
        let written = File::create_new(path).and_then(|mut file| file.write_all(&found.ipc()));
        written.map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("cannot write {}: {error}", path.display()),
            )
            .help("choose a file that does not exist yet, in a directory that can be written")
        })?;
    }
    match output {
        Output::Json => println!("{:#}", json!(found)),
        Output::Human => print!("{}", one_text(&found)),
    }
    Ok(())
}

fn one_text(found: &ShownDeadLetter) -> String {
    let mut text = format!(
        "id          {}\ntable       {}\nplace       {}\ncolumn      {}\nreason      {}\noperation   {}\ncheckpoint  {}\n\n",
        found.id,
        found.table,
        found.place,
        found.column.as_deref().unwrap_or("-"),
        found.reason,
        found.operation,
        found.checkpoint,
    );
    let mut row = Table::new(&["column", "type", "value"]);
    for value in &found.row {
        row.row([
            value.name.as_str(),
            value.ty.as_str(),
            value.value.as_deref().unwrap_or("NULL"),
        ]);
    }
    text.push_str(&row.text());
    text.push_str(&format!(
        "\nas the sink was given it, {} bytes of Arrow IPC in base64 (--raw FILE writes them):\n{}\n",
        found.ipc().len(),
        found.bytes
    ));
    text
}

fn export_failure(error: ExportError) -> Failure {
    match error {
        ExportError::Store(error) => error.into(),
        ExportError::Io { .. } => Failure::new(Exit::Usage, error.to_string())
            .help("choose a directory that can be written and does not have these files yet"),
        ExportError::Arrow { .. } => Failure::new(Exit::Store, error.to_string()),
    }
}

fn write_files(
    letters: &DeadLetterReader,
    directory: &Path,
    form: ExportForm,
    output: Output,
) -> Result<(), Failure> {
    let files = export(letters, directory, form).map_err(export_failure)?;
    match output {
        Output::Json => println!("{:#}", json!({ "files": files })),
        Output::Human if files.is_empty() => println!("no dead letters"),
        Output::Human => {
            for file in &files {
                println!(
                    "{}: {} rows of {}",
                    file.file.display(),
                    number(file.rows),
                    file.table
                );
            }
        }
    }
    Ok(())
}

fn discard(
    letters: &DeadLetterReader,
    path: &Path,
    yes: bool,
    output: Output,
) -> Result<(), Failure> {
    let counts = letters.counts()?;
    let all: u64 = counts.iter().map(|count| count.letters).sum();
    let discarded = if yes && all > 0 {
        CheckpointStore::open_existing(path)?.discard_dead_letters()?
    } else {
        0
    };
    match output {
        Output::Json => println!(
            "{:#}",
            json!({ "dead-letters": all, "discarded": discarded })
        ),
        Output::Human if all == 0 => println!("no dead letters"),
        Output::Human if yes => println!("{} dead letters discarded", number(discarded)),
        Output::Human => println!(
            "{} dead letters would be discarded; say --yes to do it",
            number(all)
        ),
    }
    Ok(())
}
