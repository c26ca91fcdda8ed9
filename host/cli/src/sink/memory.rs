//! The memory of a run, shared out to the buffers of its writers.

use longshore_pipeline::definition::units::parse_size;
use longshore_pipeline::definition::{PipelineDefinition, SinkOption};
use longshore_runtime::contract::SinkInfo;

use super::options;
use crate::failure::Failure;

/// The option of the sink that bounds the buffers of one writer.
pub(super) const BUFFERS: &str = "total.buffer-size";
/// What a run takes beside its writers: the program, the compiled component, the source and the
/// batches on their way.
const RUN: u64 = 96 << 20;
/// What a writer takes beside its buffers.
const WRITER: u64 = 16 << 20;
/// Buffers that a writer has at least.
const LEAST: u64 = 1 << 20;

/// The memory budget where the definition gives none.
const DEFAULT: u64 = 512 << 20;

/// What to give each writer for its buffers, where that is less than the component's default.
///
/// # Errors
/// When a budget is given that is too small for the writers, or for the buffers given.
pub(super) fn buffers(
    info: &SinkInfo,
    given: &[SinkOption],
    definition: &PipelineDefinition,
) -> Result<Option<String>, Failure> {
    let Some(default) = options::default_of(info, BUFFERS) else {
        return Ok(None);
    };
    let pipeline = &definition.pipeline;
    let writers = u64::from(pipeline.parallelism.max(1));
    let needs = |buffers: u64| RUN + writers * (WRITER + buffers);
    let explicit = options::find(info, given, BUFFERS);
    // What is no size is for the component to complain of.
    let explicit = explicit.and_then(|option| Some((option, parse_size(&option.value).ok()?)));
    let budget = pipeline.memory_budget.as_ref();
    let wanted = match explicit {
        Some((_, buffers)) => buffers,
        None if budget.is_some() => LEAST,
        None => 0,
    };
    if let Some(budget) = budget
        && needs(wanted) > budget.value
    {
        let message = format!(
            "`memory-budget` is less than what {writers} writer(s) with buffers of {} need",
            mebibytes(wanted)
        );
        let help = format!(
            "raise it to {} at least, lower `{BUFFERS}`, or lower `parallelism`",
            mebibytes(needs(wanted))
        );
        return Err(definition
            .problem_at(budget.at, message)
            .with_help(help)
            .into());
    }
    if explicit.is_some() {
        return Ok(None);
    }
    let budget = budget.map_or(DEFAULT, |budget| budget.value);
    let share = (budget.saturating_sub(RUN) / writers).saturating_sub(WRITER);
    let share = share.max(LEAST);
    let default = parse_size(default).unwrap_or(share);
    Ok((share < default).then(|| share.to_string()))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
