//! `longshore options`

use std::fmt::Write as _;

use longshore_runtime::contract::{OptionKind, OptionSpec, SinkInfo};
use serde_json::json;

use crate::args::{Form, OptionsArgs};
use crate::component::{self, option_table};
use crate::failure::{Exit, Failure};
use crate::sink::host_options;

/// Lists the options of a sink: the component's own, and those this host adds.
pub(crate) async fn options(args: OptionsArgs) -> Result<Exit, Failure> {
    let component = component::load(args.component.as_deref()).await?;
    let info = component::describe(&component).await?;
    let host = host_options();
    match args.form {
        Form::Human => print!(
            "{}\nof this host, for every sink\n\n{}",
            option_table(&info.options),
            option_table(&host)
        ),
        Form::Json => println!("{:#}", json!({ "sink": info.options, "host": host })),
        Form::Markdown => print!("{}", page(&info, &host)),
    }
    Ok(Exit::Ok)
}

fn page(info: &SinkInfo, host: &[OptionSpec]) -> String {
    let mut page = format!(
        "# Options of the sink `{}`\n\n\
         Made by `longshore options --output markdown` from what the component says about itself. They are \
         written under `sink` of a pipeline; `longshore explain` shows the values in effect and where each \
         comes from. A size is a number with a unit (`64mb`, `512 KiB`), a bare number is bytes; a time is a \
         number with a unit (`30s`, `500 ms`, `2min`), a bare number is milliseconds. What is unknown, given \
         twice or out of range is an error.\n\n",
        info.name
    );
    section(&mut page, &info.options);
    page.push_str(
        "\n## Options of the host\n\n\
         `longshore` itself takes these, for every sink; the component never sees them.\n\n",
    );
    section(&mut page, host);
    page
}

/// A table of options. Writing to a String does not fail.
fn section(page: &mut String, options: &[OptionSpec]) {
    page.push_str("| Option | Value | Default | What it does |\n| --- | --- | --- | --- |\n");
    for option in options {
        let mut doc = escaped(&option.doc);
        if option.secret {
            doc.push_str(" A secret.");
        }
        if !option.aliases.is_empty() {
            let aliases: Vec<String> = option
                .aliases
                .iter()
                .map(|alias| format!("`{alias}`"))
                .collect();
            let _ = write!(doc, " Also spelled {}.", aliases.join(", "));
        }
        let default = match &option.default_value {
            Some(value) => format!("`{value}`"),
            None if option.required => "required".to_owned(),
            None => String::new(),
        };
        let _ = writeln!(
            page,
            "| `{}` | {} | {default} | {doc} |",
            option.name,
            kind(option)
        );
    }
}

fn kind(option: &OptionSpec) -> String {
    match option.kind {
        OptionKind::Text => "text".to_owned(),
        OptionKind::Integer => "whole number".to_owned(),
        OptionKind::Boolean => "true, false".to_owned(),
        OptionKind::ByteSize => "size".to_owned(),
        OptionKind::Duration => "time".to_owned(),
        OptionKind::Choice => option.choices.join(", "),
    }
}

/// Text inside a cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
