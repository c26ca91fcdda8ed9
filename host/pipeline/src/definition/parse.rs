//! The blocks of a definition.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    block::Reader,
    error::{DefinitionError, Location, Problem, Text},
    file_source,
    model::{
        DecimalPrecision, PerTable, PipelineDefinition, PipelineOptions, RouteMode,
        SchemaChangeBehavior, SinkDefinition, SinkOption, SourceDefinition, SourceKind, Spanned,
    },
    transform_block,
    units::{parse_duration, parse_size},
    yaml::{self, Key, Node, NodeKind},
};
use crate::{evolution::TAGS_AND_FAMILIES, route::RouteRule, source::TableId};

const BLOCKS: [&str; 5] = ["source", "sink", "route", "transform", "pipeline"];

impl PipelineDefinition {
    /// Reads a definition from a file; relative paths in it start at the file's directory.
    ///
    /// # Errors
    ///
    /// The file can not be read, or everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, DefinitionError> {
        let name = path.display().to_string();
        let fail = |message: String, help: &str| {
            Problem::at(
                &Arc::new(Text::new(name.clone(), "")),
                Location::default(),
                message,
            )
            .with_help(help)
        };
        let bytes = std::fs::read(path).map_err(|error| {
            fail(
                format!("the pipeline definition can not be read: {error}"),
                "give the path of a YAML file, for example `longshore run pipeline.yaml`",
            )
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            fail(
                format!("the file is not UTF-8 text: {error}"),
                "save it as UTF-8",
            )
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, &name, base, &|name| std::env::var(name).ok())
    }

    /// Reads a definition from text. `name` stands for the file in messages, `base` is the
    /// directory that relative paths start at, `environment` looks placeholders up.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(
        text: &str,
        name: &str,
        base: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, DefinitionError> {
        let text = Arc::new(Text::new(name, text));
        let root = yaml::parse(&text)?;
        let root_at = root.at;
        let mut reader = Reader {
            text: Arc::clone(&text),
            environment,
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        let (mut source, mut sink, mut routes) = (None, None, Vec::new());
        let mut transforms = None;
        let mut pipeline = PipelineOptions::default();
        let (mut has_source, mut has_sink) = (false, false);
        let mut source_at = root_at;
        for (key, node) in reader.block(root, "the pipeline definition") {
            match key.name.as_str() {
                "source" => {
                    has_source = true;
                    source_at = key.at;
                    source = read_source(&mut reader, &key, node, base);
                }
                "sink" => {
                    has_sink = true;
                    sink = read_sink(&mut reader, &key, node);
                }
                "route" => routes = read_routes(&mut reader, node),
                "pipeline" => pipeline = read_pipeline(&mut reader, node, base),
                // Its expressions depend on the `pipeline` block, which may come after it.
                "transform" => transforms = Some(node),
                _ => reader.unknown_key(&key, "the pipeline definition", &BLOCKS),
            }
        }
        for (present, block, example) in [
            (has_source, "source", "type: file\n  path: changes.json"),
            (has_sink, "sink", "type: maxcompute\n  endpoint: local"),
        ] {
            if !present {
                reader.report_with_help(
                    root_at,
                    format!("the definition has no `{block}` block"),
                    format!("for example\n{block}:\n  {example}"),
                );
            }
        }
        let transforms = transforms.map_or_else(Vec::new, |node| {
            transform_block::read(&mut reader, node, &pipeline.transform_context())
        });
        if let (
            Some(SourceDefinition {
                kind: SourceKind::File(file),
                ..
            }),
            Some(zone),
        ) = (&mut source, pipeline.local_time_zone)
        {
            file.time_zone = Some(zone);
        }
        let Reader {
            mut problems,
            warnings,
            ..
        } = reader;
        problems.sort_by_key(|problem| (problem.at.line, problem.at.column));
        match (source, sink) {
            (Some(source), Some(sink)) if problems.is_empty() => Ok(Self {
                source,
                sink,
                routes,
                transforms,
                pipeline,
                warnings,
                text,
            }),
            _ => {
                if problems.is_empty() {
                    problems.push(Problem::at(
                        &text,
                        source_at,
                        "the definition is incomplete",
                    ));
                }
                Err(DefinitionError { problems })
            }
        }
    }
}

fn read_source(
    reader: &mut Reader<'_>,
    key: &Key,
    node: Node,
    base: &Path,
) -> Option<SourceDefinition> {
    let mut entries = reader.block(node, "source");
    let (kind, at) = take_type(reader, key, &mut entries, "source", "file")?;
    let name = take_name(reader, &mut entries, "source");
    match kind.as_str() {
        "file" => {
            let options = file_source::read(reader, key, entries, base)?;
            Some(SourceDefinition {
                name,
                at,
                kind: SourceKind::File(options),
            })
        }
        other => {
            reader.report_with_help(
                at,
                format!("source type `{other}` is not available"),
                "this version reads `type: file`: Debezium JSON, JSON, CSV, Parquet and Arrow \
                 from files or standard input",
            );
            None
        }
    }
}

fn take_type(
    reader: &mut Reader<'_>,
    key: &Key,
    entries: &mut Vec<(Key, Node)>,
    block: &str,
    example: &str,
) -> Option<(String, Location)> {
    let Some(node) = take(entries, "type") else {
        reader.report_with_help(
            key.at,
            format!("`{block}` has no `type`"),
            format!("for example `type: {example}`"),
        );
        return None;
    };
    let scalar = reader.scalar(&node, &format!("{block}.type"))?;
    Some((scalar.value, scalar.at))
}

fn take_name(
    reader: &mut Reader<'_>,
    entries: &mut Vec<(Key, Node)>,
    block: &str,
) -> Option<String> {
    let node = take(entries, "name")?;
    reader
        .scalar(&node, &format!("{block}.name"))
        .map(|scalar| scalar.value)
}

fn take(entries: &mut Vec<(Key, Node)>, name: &str) -> Option<Node> {
    take_entry(entries, name).map(|(_, node)| node)
}

fn take_entry(entries: &mut Vec<(Key, Node)>, name: &str) -> Option<(Key, Node)> {
    let index = entries.iter().position(|(key, _)| key.name == name)?;
    Some(entries.remove(index))
}

/// Whether the word `null` stands there.
fn says_null(reader: &Reader<'_>, at: Location) -> bool {
    let line = (at.line as usize).checked_sub(1);
    let line = line.and_then(|line| reader.text.text().lines().nth(line));
    let before = (at.column as usize).saturating_sub(1);
    line.is_some_and(|line| line.chars().skip(before).take(4).eq("null".chars()))
}

fn read_sink(reader: &mut Reader<'_>, key: &Key, node: Node) -> Option<SinkDefinition> {
    let mut entries = reader.block(node, "sink");
    let (kind, at) = take_type(reader, key, &mut entries, "sink", "maxcompute")?;
    let name = take_name(reader, &mut entries, "sink");
    let mut changes = |name: &str, reader: &mut Reader<'_>| {
        let node = take(&mut entries, name)?;
        let tags = reader.texts(&node, &format!("sink.{name}"))?;
        for tag in &tags.value {
            let known = TAGS_AND_FAMILIES.map(|(name, _)| name);
            if !known.contains(&tag.as_str()) {
                let near = super::block::nearest(tag, &known)
                    .map(|near| format!("did you mean `{near}`? "))
                    .unwrap_or_default();
                reader.report_with_help(
                    tags.at,
                    format!("`{tag}` in sink.{name} is no schema change"),
                    format!("{near}there are {}", known.join(", ")),
                );
            }
        }
        Some(tags.value)
    };
    let include_schema_changes = changes("include.schema.changes", reader);
    let exclude_schema_changes = changes("exclude.schema.changes", reader);
    let mut options = Vec::new();
    for (key, node) in entries {
        let name = format!("sink.{}", key.name);
        let mut environment = Vec::new();
        let value = match &node.kind {
            NodeKind::List(_) => reader
                .texts(&node, &name)
                .map(|texts| texts.value.join(",")),
            NodeKind::Map(_) => {
                reader.report_with_help(
                    node.at,
                    format!("`{name}` must be a single value, not a block of keys"),
                    "write nested names with dots on one line, for example `compress.algorithm: zlib`",
                );
                None
            }
            // To a sink `null` may be a word like any other; no value at all is a mistake.
            NodeKind::Null if says_null(reader, node.at) => Some("null".to_owned()),
            _ => reader.scalar(&node, &name).map(|scalar| {
                environment = scalar.environment;
                scalar.value
            }),
        };
        if let Some(value) = value {
            options.push(SinkOption {
                name: key.name,
                value,
                environment,
                at: key.at,
                value_at: node.at,
            });
        }
    }
    Some(SinkDefinition {
        kind: Spanned { value: kind, at },
        name,
        options,
        include_schema_changes,
        exclude_schema_changes,
    })
}

fn read_routes(reader: &mut Reader<'_>, node: Node) -> Vec<RouteRule> {
    let NodeKind::List(items) = node.kind else {
        reader.report_with_help(
            node.at,
            format!("`route` must be a list, not {}", node.describe()),
            "put a dash before each rule:\nroute:\n  - source-table: shop.orders_\\.*\n    sink-table: orders",
        );
        return Vec::new();
    };
    let mut rules = Vec::new();
    for item in items {
        let at = item.at;
        let (mut source, mut sink, mut replace) = (None, None, None);
        for (key, node) in reader.block(item, "a rule of `route`") {
            let target = match key.name.as_str() {
                "source-table" => &mut source,
                "sink-table" => &mut sink,
                "replace-symbol" => &mut replace,
                "description" => {
                    let _ = reader.scalar(&node, "description");
                    continue;
                }
                _ => {
                    reader.unknown_key(
                        &key,
                        "a rule of `route`",
                        &[
                            "source-table",
                            "sink-table",
                            "replace-symbol",
                            "description",
                        ],
                    );
                    continue;
                }
            };
            // `$1` is a capture group here, not a placeholder; only `${…}` is.
            *target = Some(reader.scalar(&node, &format!("route.{}", key.name)));
        }
        for (given, key) in [
            (source.is_some(), "source-table"),
            (sink.is_some(), "sink-table"),
        ] {
            if !given {
                reader.report(at, format!("this rule of `route` has no `{key}`"));
            }
        }
        let (Some(Some(source)), Some(Some(sink))) = (source, sink) else {
            continue;
        };
        let replace = match replace {
            Some(None) => continue,
            Some(Some(symbol)) => Some(symbol.value),
            None => None,
        };
        match RouteRule::new(&source.value, &sink.value, replace.as_deref()) {
            Ok(mut rule) => {
                rule.at = at;
                rules.push(rule);
            }
            Err(error) => {
                let at = if error.in_source_table() {
                    source.at
                } else {
                    sink.at
                };
                reader.report(at, error.to_string());
            }
        }
    }
    rules
}

fn read_pipeline(reader: &mut Reader<'_>, node: Node, base: &Path) -> PipelineOptions {
    const ALLOWED: [&str; 25] = [
        "name",
        "parallelism",
        "memory-budget",
        "give-up-after",
        "restarts",
        "local-time-zone",
        "schema.change.behavior",
        "checkpoint-interval",
        "execution.checkpointing.interval",
        "checkpoint-path",
        "stop-timeout",
        "dead-letters.max-rows",
        "dead-letters.max-ratio",
        "dead-letters.path",
        "metrics",
        "route-mode",
        "execution.runtime-mode",
        "sink.partitioning.strategy",
        "schema.operator.uid",
        "operator.uid.prefix",
        "schema-operator.rpc-timeout",
        "transform.decimal.precision.mode",
        "user-defined-function",
        "model",
        "execution.checkpointing.mode",
    ];
    let mut options = PipelineOptions::default();
    if matches!(node.kind, NodeKind::Null) {
        return options;
    }
    let mut interval_at: Option<Location> = None;
    for (key, node) in reader.block(node, "pipeline") {
        let name = format!("pipeline.{}", key.name);
        match key.name.as_str() {
            "name" => options.name = reader.scalar(&node, &name).map(|scalar| scalar.value),
            "parallelism" => {
                let parallelism = reader.value(&node, &name, |text| {
                    text.parse::<u32>()
                        .ok()
                        .filter(|parallelism| (1..=1024).contains(parallelism))
                        .ok_or_else(|| format!("`{text}` is not a whole number from 1 to 1024"))
                });
                options.parallelism = parallelism.unwrap_or(1);
            }
            "local-time-zone" => {
                options.local_time_zone = reader.value(&node, &name, |text| {
                    text.parse::<chrono_tz::Tz>().map_err(|_| {
                        let zones: Vec<&str> =
                            chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
                        let near = super::block::nearest(text, &zones)
                            .map(|near| format!("; did you mean `{near}`?"))
                            .unwrap_or_default();
                        format!("`{text}` is no time zone such as Asia/Shanghai or UTC{near}")
                    })
                });
            }
            "schema.change.behavior" => {
                let choices = [
                    ("evolve", SchemaChangeBehavior::Evolve),
                    ("try_evolve", SchemaChangeBehavior::TryEvolve),
                    ("lenient", SchemaChangeBehavior::Lenient),
                    ("ignore", SchemaChangeBehavior::Ignore),
                    ("exception", SchemaChangeBehavior::Exception),
                ];
                if let Some(behavior) = reader.choice(&node, &name, &choices) {
                    options.schema_change_behavior = behavior;
                }
            }
            "checkpoint-interval" | "execution.checkpointing.interval" => {
                if let Some(first) = interval_at.replace(key.at) {
                    reader.report(
                        key.at,
                        format!("the checkpoint interval is given twice; first on line {}", first.line),
                    );
                }
                options.checkpoint_interval = reader.value(&node, &name, |text| {
                    let interval = parse_duration(text)?;
                    if interval.is_zero() {
                        Err("the checkpoint interval must be longer than zero".to_owned())
                    } else {
                        Ok(interval)
                    }
                });
            }
            "checkpoint-path" => {
                options.checkpoint_path = reader
                    .scalar(&node, &name)
                    .map(|scalar| base.join(PathBuf::from(scalar.value)));
            }
            "stop-timeout" => {
                if let Some(limit) = reader.value(&node, &name, parse_duration) {
                    options.stop_timeout = limit;
                }
            }
            "dead-letters.max-rows" => {
                options.dead_letters.max_rows = per_table(reader, &node, &name, |text| {
                    text.parse().map_err(|_| format!("`{text}` is no whole number of rows"))
                });
            }
            "dead-letters.max-ratio" => {
                options.dead_letters.max_ratio = per_table(reader, &node, &name, parse_ratio);
            }
            "dead-letters.path" => {
                options.dead_letters.files = reader
                    .scalar(&node, &name)
                    .map(|scalar| base.join(PathBuf::from(scalar.value)));
            }
            "memory-budget" => {
                options.memory_budget = reader
                    .value(&node, &name, parse_size)
                    .map(|value| Spanned { value, at: node.at });
            }
            "give-up-after" => {
                options.give_up_after = reader.value(&node, &name, parse_duration);
            }
            "restarts" => {
                options.restarts = reader.value(&node, &name, |text| {
                    text.parse().map_err(|_| format!("`{text}` is not a whole number"))
                });
            }
            "metrics" => {
                options.metrics = reader.value(&node, &name, |text| {
                    text.parse().map_err(|_| {
                        format!("`{text}` is not an address and a port, like 127.0.0.1:9464")
                    })
                });
            }
            "route-mode" => {
                let choices = [
                    ("ALL_MATCH", RouteMode::AllMatch),
                    ("FIRST_MATCH", RouteMode::FirstMatch),
                ];
                if let Some(mode) = reader.choice(&node, &name, &choices) {
                    options.route_mode = mode;
                }
            }
            "execution.runtime-mode" => {
                if reader
                    .choice(&node, &name, &[("STREAMING", ()), ("BATCH", ())])
                    .is_some()
                {
                    warn(reader, "pipeline", &key, "the source decides whether the pipeline ends");
                }
            }
            "execution.checkpointing.mode" => {
                if reader
                    .choice(&node, &name, &[("EXACTLY_ONCE", ()), ("AT_LEAST_ONCE", ())])
                    .is_some()
                {
                    warn(reader, "pipeline", &key, "every checkpoint is taken at a cut of the source");
                }
            }
            "sink.partitioning.strategy" => {
                let strategy = reader.choice(
                    &node,
                    &name,
                    &[("SINK_DEFINED", true), ("PRIMARY_KEY", false), ("TABLE_ID", false)],
                );
                if strategy == Some(false) {
                    reader.report_with_help(
                        key.at,
                        format!("`{name}` can only be SINK_DEFINED"),
                        "the MaxCompute sink places rows by bucket; remove the line",
                    );
                }
            }
            "schema.operator.uid" | "operator.uid.prefix" | "schema-operator.rpc-timeout" => {
                warn(reader, "pipeline", &key, "there are no Flink operators here");
            }
            "transform.decimal.precision.mode" => {
                let choices = [
                    ("UP_TO_19", DecimalPrecision::UpTo19),
                    ("UP_TO_38", DecimalPrecision::UpTo38),
                ];
                if let Some(precision) = reader.choice(&node, &name, &choices) {
                    options.decimal_precision = precision;
                }
            }
            "user-defined-function" => reader.report_with_help(
                key.at,
                format!("`{name}` is not available in this version"),
                "its functions are code for the JVM or Python, which is not run here; write the \
                 expression with the functions of `transform`, and remove the block",
            ),
            "model" => reader.report_with_help(
                key.at,
                format!("`{name}` is not available in this version"),
                "no expression calls a model here; remove the block",
            ),
            flink if is_flink_runtime_key(flink) => reader.report_with_help(
                key.at,
                format!("`{name}` configures the Flink runtime, which is not used here"),
                "remove the line; checkpoints are set by `checkpoint-interval` and `checkpoint-path`",
            ),
            _ => reader.unknown_key(&key, "`pipeline`", &ALLOWED),
        }
    }
    options
}

/// One value for all tables, or a block with one for each.
fn per_table<T>(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> PerTable<T> {
    let mut values = PerTable::default();
    let NodeKind::Map(entries) = &node.kind else {
        let value = reader.value(node, name, &parse);
        values.all = value.map(|value| Spanned { value, at: node.at });
        return values;
    };
    for (key, node) in entries {
        if TableId::parse(&key.name).is_none() {
            reader.report(key.at, format!("`{}` is no name of a table", key.name));
        }
        if let Some(value) = reader.value(node, &format!("{name}.{}", key.name), &parse) {
            let at = node.at;
            values
                .tables
                .insert(key.name.clone(), Spanned { value, at });
        }
    }
    values
}

/// `0.01` or `1%`.
fn parse_ratio(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim(), 0.01),
        None => (text, 1.0),
    };
    let ratio = number.parse::<f64>().map(|number| number * unit);
    match ratio {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(format!(
            "`{text}` is no ratio; write 0.01 or 1%, at most 1 or 100%"
        )),
    }
}

fn warn(reader: &mut Reader<'_>, block: &str, key: &Key, reason: &str) {
    let warning = reader.problem(
        key.at,
        format!("`{block}.{}` has no effect: {reason}", key.name),
    );
    reader.warnings.push(warning);
}

fn is_flink_runtime_key(key: &str) -> bool {
    [
        "execution.",
        "state.",
        "restart-strategy",
        "taskmanager.",
        "jobmanager.",
        "table.exec.",
    ]
    .iter()
    .any(|prefix| key.starts_with(prefix))
}
