//! `longshore validate`

use longshore_pipeline::source::{self, Peek};
use serde_json::json;

use crate::args::{Output, PipelineArgs};
use crate::definition;
use crate::explain;
use crate::failure::{Exit, Failure};
use crate::sink::{Sink, Start};

/// Checks a definition, the options of its sink, that its input can be opened, and that the rules
/// of `transform` fit the tables at its start; standard input is left alone.
pub(crate) async fn validate(args: PipelineArgs) -> Result<Exit, Failure> {
    let loaded = definition::load(&args)?;
    Sink::resolve(&loaded, args.component.as_deref(), Start::Nothing).await?;
    let peek =
        source::peek(&loaded.definition.source).map_err(|error| loaded.source_failure(error))?;
    let input_opened = matches!(peek, Peek::Source(_));
    if let Peek::Source(source) = peek
        && !loaded.definition.transforms.is_empty()
    {
        // Whether the rules fit the columns shows in the tables only.
        explain::first_tables(loaded.definition.transforms().wrap(source))
            .map_err(|error| loaded.source_failure(error))?;
    }
    match args.output {
        Output::Human => {
            println!("{} is valid", args.pipeline.display());
            if !input_opened {
                println!("(its input is standard input, which only `run` reads)");
            }
        }
        Output::Json => println!(
            "{:#}",
            json!({ "outcome": "valid", "pipeline": loaded.name, "input-opened": input_opened })
        ),
    }
    Ok(Exit::Ok)
}
