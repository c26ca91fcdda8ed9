//! `longshore dead-letters`: rows that could not be written and were kept aside.

use std::path::Path;

use longshore_pipeline::checkpoint_store::{CheckpointStore, DeadLetterReader};
use longshore_pipeline::dead_letters::{ExportError, ExportForm, export};
use serde_json::json;

use crate::args::{DeadLettersCommand, Output, PipelineArgs, StoreArgs};
use crate::definition;
use crate::display::{Table, number};
use crate::failure::{Exit, Failure};

pub(crate) fn dead_letters(command: &DeadLettersCommand) -> Result<Exit, Failure> {
    let args = command.pipeline();
    let path = store_path(args)?;
    let letters = DeadLetterReader::open(&path)?;
    match command {
        DeadLettersCommand::List { limit, .. } => list(&letters, *limit, args.output)?,
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

fn store_path(args: &StoreArgs) -> Result<std::path::PathBuf, Failure> {
    let loaded = definition::load(&PipelineArgs {
        pipeline: args.pipeline.clone(),
        output: args.output,
        checkpoint_dir: args.checkpoint_dir.clone(),
        component: None,
    })?;
    Ok(loaded.store)
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
            let mut table = Table::new(&["place", "table", "column", "reason"]);
            for found in &first {
                table.row([
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

fn write_files(
    letters: &DeadLetterReader,
    directory: &Path,
    form: ExportForm,
    output: Output,
) -> Result<(), Failure> {
    let files = export(letters, directory, form).map_err(|error| match error {
        ExportError::Store(error) => error.into(),
        ExportError::Io { .. } => Failure::new(Exit::Usage, error.to_string())
            .help("choose a directory that can be written and does not have these files yet"),
        ExportError::Arrow { .. } => Failure::new(Exit::Store, error.to_string()),
    })?;
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
