//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};
use longshore_pipeline::checkpoint_store::DeadLetterId;

const EXIT_CODES: &str = "\
Exit codes:
    0  done, also when there was nothing new, or a signal stopped the run and its checkpoint is complete
    1  internal error
    2  wrong usage, or something is wrong with the pipeline definition
    3  input data: missing, unreadable, broken, or refused by the sink
    4  the service can not be reached or does not answer
    5  credentials refused, or no permission
    6  the table at the service does not fit the rows
    7  stopped by a signal, with no complete checkpoint within pipeline.stop-timeout; run again to go on
       from the last one
    8  checkpoint store: in use, another pipeline's, or damaged
    9  the service refused a request for good
   10  done, but rows were kept aside as dead letters: see `longshore dead-letters`
  130  stopped by a second signal, at once; run again to go on from the last checkpoint";

const FAULT_RULES: &str = "\
A rule says which calls it is about, which of them it changes, and how; the file lists rules:
    faults:
      - route: upload-block        # the operation, or a list of them
        table: orders              # optional, as `partition`
        skip: 2                    # matching calls that pass first; default 0
        times: 3                   # calls that are changed, or `always`; default 1
        delay: 200ms               # before the call; `delay-answer` is after it
        effect: {answer: {status: 503, code: ServiceUnavailable}}
      - route: commit-session
        when: after                # the call is done, and then
        effect: drop               # its answer is lost
Effects: answer, answer-unread, throttle, drop, torn-request, torn-answer, slow-request,
slow-answer, corrupt-request, corrupt-answer, end-session, move-slot, fail-job, disk-full, restart.
host/emulator/FAULTS.md describes each, and has the names of all operations.";

/// Carries change streams and files into MaxCompute.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Log more: -v what happens, -vv how, -vvv everything. LONGSHORE_LOG=target=level chooses finely.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a pipeline; a run that was stopped goes on where it was.
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
    /// Check a pipeline definition and that its input can be read; contacts nothing.
    Validate(PipelineArgs),
    /// Show what a pipeline would do: options, tables, guarantees, where its progress is kept; contacts nothing.
    Explain(PipelineArgs),
    /// Look at the progress of a pipeline, forget it, or repair the file that keeps it.
    Checkpoints(CheckpointsArgs),
    /// Look at the rows that a pipeline kept aside because they could not be written, or write them again.
    DeadLetters(DeadLettersArgs),
    /// Run a local MaxCompute, or look at its tables.
    Local(LocalArgs),
    /// List every option of the sink.
    Options(OptionsArgs),
    /// Look at a sink component.
    Component(ComponentArgs),
}

impl Command {
    pub(crate) fn wants_json(&self) -> bool {
        let output = match self {
            Self::Run(args) => args.pipeline.output,
            Self::Validate(args) | Self::Explain(args) => args.output,
            Self::Local(args) => match &args.command {
                Some(
                    LocalCommand::Tables { place, .. }
                    | LocalCommand::Show { place, .. }
                    | LocalCommand::Schema { place, .. }
                    | LocalCommand::Reset { place, .. },
                ) => place.output,
                Some(LocalCommand::Faults { output, .. }) => *output,
                None => Output::Human,
            },
            Self::Checkpoints(args) => args.command.store().output,
            Self::DeadLetters(args) => args.command.pipeline().output,
            Self::Options(args) => return args.form == Form::Json,
            Self::Component(args) => args.output,
        };
        output == Output::Json
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Human,
    /// One JSON document on standard output.
    Json,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PipelineArgs {
    /// The pipeline definition, a YAML file.
    pub(crate) pipeline: PathBuf,
    /// Form of what is printed on standard output.
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) output: Output,
    /// Directory of the checkpoint store, instead of the definition's.
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint_dir: Option<PathBuf>,
    /// Sink component to load instead of the built-in one for MaxCompute.
    #[arg(long, value_name = "FILE")]
    pub(crate) component: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    /// Forget the stored progress and read the source from its start. Rows that an earlier run wrote into
    /// append tables are written again.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Show what the run measures at http://HOST:PORT/metrics, for Prometheus; port 0 picks a free one.
    /// Wins over `pipeline.metrics`.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Send traces to a collector of OpenTelemetry by OTLP over HTTP; traces go to URL/v1/traces. The
    /// variables OTEL_EXPORTER_OTLP_ENDPOINT, …_HEADERS and OTEL_SERVICE_NAME are understood.
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CheckpointsArgs {
    #[command(subcommand)]
    pub(crate) command: CheckpointsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointsCommand {
    /// List the last checkpoints, and whose they are; also while the pipeline runs.
    List {
        #[command(flatten)]
        store: StoreArgs,
        /// Checkpoints to list at most.
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: u32,
    },
    /// Show one checkpoint: source position, rows, what is to be committed; also while the pipeline runs.
    Show {
        #[command(flatten)]
        store: StoreArgs,
        /// Its number. Default: the newest.
        checkpoint: Option<u64>,
    },
    /// Forget all progress and all dead letters: the next run reads the source from its start. A damaged file is
    /// set aside. The pipeline must not be running.
    Reset {
        #[command(flatten)]
        store: StoreArgs,
        /// Do it; without this, say what would be forgotten.
        #[arg(long)]
        yes: bool,
    },
    /// Examine the file, and rebuild a damaged one if that loses no progress; the damaged file is kept beside it.
    /// A position is never made up: where it is damaged itself, nothing is changed. The pipeline must not be
    /// running.
    Repair {
        #[command(flatten)]
        store: StoreArgs,
        /// Go on from a file that is older than the last run, for example one from a backup. Rows after its
        /// newest checkpoint are written again: append tables hold them twice then.
        #[arg(long)]
        accept_older: bool,
    },
}

impl CheckpointsCommand {
    pub(crate) fn store(&self) -> &StoreArgs {
        match self {
            Self::List { store, .. }
            | Self::Show { store, .. }
            | Self::Reset { store, .. }
            | Self::Repair { store, .. } => store,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    pub(crate) command: DeadLettersCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// Count them by table and column, and print the first ones; also while the pipeline runs.
    List {
        #[command(flatten)]
        store: StoreArgs,
        /// Dead letters to print at most.
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: u32,
    },
    /// Show one: reason, column, table, where the row came from, its columns with their types, and its bytes.
    Show {
        #[command(flatten)]
        store: StoreArgs,
        /// Its number, as `list` prints it.
        #[arg(value_name = "ID")]
        id: DeadLetterId,
        /// Write the row as the sink was given it to this file: an Arrow IPC stream. Files that exist are not
        /// overwritten.
        #[arg(long, value_name = "FILE")]
        raw: Option<PathBuf>,
    },
    /// Write the rows again, for example after a column was widened. Rows that are visible then are dead letters
    /// no longer, each exactly once, wherever it is interrupted; rows that do not fit are kept aside again.
    /// The pipeline must not be running.
    Replay {
        #[command(flatten)]
        store: StoreArgs,
        /// Only those of this table.
        #[arg(long)]
        table: Option<String>,
        /// Those of tables with a primary key too. A row that is written again takes the place of one with the
        /// same key that came later.
        #[arg(long)]
        include_keyed: bool,
        /// Sink component to load instead of the built-in one for MaxCompute.
        #[arg(long, value_name = "FILE")]
        component: Option<PathBuf>,
    },
    /// Write the rows to Arrow files, one for each table, with place, column and reason of each.
    Export {
        #[command(flatten)]
        store: StoreArgs,
        /// Directory to write to; files that exist are not overwritten.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Write the table's columns only, so that a pipeline can read the repaired file. Deletes are left out.
        #[arg(long)]
        rows_only: bool,
    },
    /// Forget all of them. The pipeline must not be running.
    Discard {
        #[command(flatten)]
        store: StoreArgs,
        /// Do it; without this, say what would be forgotten.
        #[arg(long)]
        yes: bool,
    },
}

impl DeadLettersCommand {
    pub(crate) fn pipeline(&self) -> &StoreArgs {
        match self {
            Self::List { store, .. }
            | Self::Show { store, .. }
            | Self::Replay { store, .. }
            | Self::Export { store, .. }
            | Self::Discard { store, .. } => store,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StoreArgs {
    /// The pipeline definition, a YAML file.
    pub(crate) pipeline: PathBuf,
    /// Form of what is printed on standard output.
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) output: Output,
    /// Directory of the checkpoint store, instead of the definition's.
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint_dir: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct LocalArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LocalCommand>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ServeArgs {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub(crate) listen: SocketAddr,
    /// Directory for catalog and data.
    #[arg(long, default_value = ".longshore/local", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Do not check signatures.
    #[arg(long)]
    pub(crate) no_auth: bool,
    /// Default project.
    #[arg(long, default_value = crate::local::DEFAULT_PROJECT)]
    pub(crate) project: String,
    /// Access id to require. Default: `local`.
    #[arg(long, env = "LONGSHORE_LOCAL_ACCESS_ID", value_name = "ID")]
    pub(crate) access_id: Option<String>,
    /// Access key to require. Default: a new one at each start.
    #[arg(
        long,
        env = "LONGSHORE_LOCAL_ACCESS_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub(crate) access_key: Option<String>,
    /// Fail on purpose, by the rules in this file; `longshore local faults --help` says what can be in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) faults: Option<PathBuf>,
    /// Check what is written and drop it. For benchmarks.
    #[arg(long, hide = true)]
    pub(crate) discard: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LocalCommand {
    /// List the tables.
    Tables {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Print the first rows of a table.
    Show {
        /// `table`, `schema.table` or `project.schema.table`.
        table: String,
        /// Rows to print at most.
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: u64,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Print the columns of a table.
    Schema {
        /// `table`, `schema.table` or `project.schema.table`.
        table: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// List the faults that a running server has on purpose, and how often each came.
    #[command(after_help = FAULT_RULES)]
    Faults {
        /// Add the rules of this file.
        #[arg(long, value_name = "FILE")]
        add: Option<PathBuf>,
        /// Take all rules away; those of `--add` come after that.
        #[arg(long)]
        clear: bool,
        /// Running server, as `longshore local` printed it.
        #[arg(long, value_name = "URL")]
        endpoint: String,
        /// Form of what is printed on standard output.
        #[arg(long, value_enum, default_value = "human")]
        output: Output,
    },
    /// Remove all tables.
    Reset {
        #[command(flatten)]
        place: PlaceArgs,
        /// Do it; without this, say what would be removed.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PlaceArgs {
    /// Data directory to look into; no server may be using it.
    #[arg(
        long,
        env = "LONGSHORE_LOCAL_DATA",
        default_value = ".longshore/local",
        value_name = "DIR"
    )]
    pub(crate) data: PathBuf,
    /// Running server to ask instead, as `longshore local` printed it.
    #[arg(long, conflicts_with = "data", value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Form of what is printed on standard output.
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) output: Output,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct OptionsArgs {
    /// Component to look at instead of the built-in one.
    #[arg(long, value_name = "FILE")]
    pub(crate) component: Option<PathBuf>,
    /// Form of what is printed on standard output.
    #[arg(long = "output", value_enum, default_value = "human")]
    pub(crate) form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Human,
    /// One JSON document.
    Json,
    /// A page of documentation.
    Markdown,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ComponentArgs {
    #[command(subcommand)]
    pub(crate) command: ComponentCommand,
    /// Component to look at instead of the built-in one.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) component: Option<PathBuf>,
    /// Form of what is printed on standard output.
    #[arg(long, global = true, value_enum, default_value = "human")]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ComponentCommand {
    /// Name, version, guarantee and options.
    Describe,
    /// What the component asks its host for.
    Imports,
}
