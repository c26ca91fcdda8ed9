//! `longshore validate`

use longshore_pipeline::source;
use serde_json::json;

use crate::args::{Output, PipelineArgs};
use crate::definition;
use crate::failure::{Exit, Failure};
use crate::sink::{Sink, Start};

/// Checks a definition, the options of its sink, and that its input can be opened.
pub(crate) async fn validate(args: PipelineArgs) -> Result<Exit, Failure> {
    let loaded = definition::load(&args)?;
    Sink::resolve(&loaded, args.component.as_deref(), Start::Nothing).await?;
    source::open(&loaded.definition.source, None).map_err(|error| loaded.source_failure(error))?;
    match args.output {
        Output::Human => println!("{} is valid", args.pipeline.display()),
        Output::Json => println!(
            "{:#}",
            json!({ "outcome": "valid", "pipeline": loaded.name })
        ),
    }
    Ok(Exit::Ok)
}
