//! The files that are made from the program itself: schemas for editors, and the reference pages.

use clap::CommandFactory;
use serde_json::{Map, Value, json};

use super::table;
use crate::base::Source;
use crate::kind::KindEntry;
use crate::language::FUNCTIONS;
use crate::notify::CHANNELS;
use crate::playbook::{document, registry, site_file, site_schema};
use crate::server;

/// A path below the root of the repository, and what belongs there.
pub type Page = (&'static str, String);

/// Every generated file.
pub fn all() -> Vec<Page> {
    vec![
        ("schemas/playbook.schema.json", schema(&document::published())),
        ("schemas/site.schema.json", schema(&site_schema())),
        ("schemas/openapi.json", schema(&server::document())),
        ("docs/reference/api.md", page("The routes of the API", API, &server::routes_page())),
        ("docs/reference/commands.md", page("Commands", COMMANDS, &commands())),
        ("docs/reference/language.md", page("The playbook language, key by key", LANGUAGE, &language())),
        ("docs/reference/kinds.md", page("Step kinds", KINDS, &kinds())),
        ("docs/reference/channels.md", page("Notification channels", CHANNEL_INTRODUCTION, &channels())),
        ("docs/reference/functions.md", page("Functions of expressions", FUNCTION_INTRODUCTION, &functions())),
        ("docs/reference/site-file.md", page("The site file, key by key", SITE_FILE, &site_file())),
    ]
}

const COMMANDS: &str = "What `--help` says, on one page. [Exit codes](../exit-codes.md) have a page of their own.";
const API: &str = "Every route of `runbook serve` with the role it asks for. [The guide](../api.md) explains tokens, \
    answers and errors; [openapi.json](../../schemas/openapi.json) has every field, for programs.";
const LANGUAGE: &str = "Every key of a playbook. [The guide](../language.md) explains them with examples.";
const KINDS: &str = "What a step can do. `runbook kinds NAME` shows the same in the terminal. \
    Templates (`{{…}}`) are allowed in every text unless a key says that it must be constant.";
const CHANNEL_INTRODUCTION: &str = "Settings of each kind of channel, under `channels:` of the site file. \
    [Notifications](../notifications.md) explains when messages are sent and what they say.";
const FUNCTION_INTRODUCTION: &str = "What can be called in `when`, `expect`, `holds` and the other conditions. \
    [The guide](../language.md#expressions) explains operators, units and unknown values.";
const SITE_FILE: &str = "Every key of `runbook.yaml`. [The site file](../site-file.md) explains them with an example.";

fn page(title: &str, introduction: &str, body: &str) -> String {
    format!(
        "<!-- Made by `cargo run -- generate`; edit the doc comments in src/ instead. -->\n# {title}\n\n{introduction}\n\n{}\n",
        body.trim_end()
    )
}

fn schema(schema: &Value) -> String {
    // Writing a value that was just built in memory cannot fail.
    serde_json::to_string_pretty(schema).unwrap_or_default() + "\n"
}

fn commands() -> String {
    let mut root = super::super::Arguments::command().term_width(100);
    root.build();
    let mut text = String::new();
    command(&mut root, &mut text);
    text
}

fn command(command: &mut clap::Command, text: &mut String) {
    let help = command.render_long_help().to_string();
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!("## {name}\n\n```text\n{}\n```\n\n", lines.join("\n").trim_end()));
    let shown = |inner: &&mut clap::Command| !inner.is_hide_set() && inner.get_name() != "help";
    for inner in command.get_subcommands_mut().filter(shown) {
        // The same everywhere, so the first page is enough.
        *inner = inner.clone().mut_arg("config", |argument| argument.hide(true));
        self::command(inner, text);
    }
}

fn language() -> String {
    let document = document::schema();
    let parts = &document["$defs"];
    let mut top = document.clone();
    // Phases and inputs have sections of their own; here one row each is enough.
    for name in ["inputs", "detect", "diagnose", "causes", "remediate", "verify", "finally"] {
        let row = &mut top["properties"][name];
        *row = json!({"type": "object", "description": row["description"]});
    }
    let section = |title: &str, words: &str, part: &Value| {
        format!("## {title}\n\n{words}\n\n{}\n", table::settings(document, &without_kinds(part)))
    };
    [
        section("A playbook", "Keys at the top of the file.", &top),
        section("An input", "Under `inputs:`, each with a name.", &parts["input"]),
        section(
            "A step",
            "Under `diagnose`, `remediate`, `verify` and `finally`, each with a name: exactly one \
             [kind](kinds.md), and any of these.",
            &parts["step"],
        ),
        section(
            "A probe of a detection",
            "Under `any`, `all` or `not` of `detect`, each with a name: exactly one [kind](kinds.md) that only \
             reads, and any of these.",
            &parts["probe"],
        ),
        section("A cause", "Under `causes:`, each with a name.", &parts["cause"]),
    ]
    .join("\n")
}

/// A step's own keys: the kinds stand on another page.
fn without_kinds(part: &Value) -> Value {
    let mut part = part.clone();
    if let Some(properties) = part["properties"].as_object_mut() {
        properties.retain(|name, _| registry::find(name).is_none() || name == "playbook");
        properties.remove("playbook");
    }
    part
}

fn kinds() -> String {
    let rows: Vec<String> =
        registry::kinds().map(|kind| format!("| [`{0}`](#{0}) | {1} |", kind.name, kind.summary)).collect();
    let sections: Vec<String> = registry::kinds().map(kind).collect();
    format!("| Kind | What it does |\n|---|---|\n{}\n\n{}", rows.join("\n"), sections.join("\n"))
}

fn kind(kind: &KindEntry) -> String {
    let config = (kind.config_schema)();
    let mut text = format!("## {}\n\n{}\n\n", kind.name, kind.summary);
    text.push_str(&format!("```yaml\n{}\n```\n\n", kind.example.trim_end()));
    text.push_str(&format!("Repeating this example: {}.\n\n", effect(kind)));
    let exclusive = exclusive_keys(&config);
    if !exclusive.is_empty() {
        text.push_str(&format!("Exactly one of {} is given.\n\n", exclusive.join(", ")));
    }
    text.push_str(&section("Takes", &table::settings(&config, &config), &config));
    let output = (kind.output_schema)();
    text.push_str(&section("Gives", &table::outputs(&output), &output));
    text
}

fn section(title: &str, table: &str, schema: &Value) -> String {
    match schema["properties"].as_object().is_none_or(Map::is_empty) {
        true => format!("{title} nothing.\n\n"),
        false => format!("{title}:\n\n{table}\n"),
    }
}

/// What the example's step would do when it is done again.
fn effect(kind: &KindEntry) -> &'static str {
    use crate::kind::Effect;
    let example = crate::yaml::parse(&Source::new("example.yaml", kind.example));
    let config = example.map_or(Value::Null, |node| node.to_json()[kind.name].clone());
    match (kind.effect)(&config) {
        Effect::Read => "harmless, it only reads (`read`)",
        Effect::Idempotent => "changes nothing more (`idempotent`)",
        Effect::Once => "must not happen unasked (`once`)",
    }
}

fn exclusive_keys(config: &Value) -> Vec<String> {
    let options = config["oneOf"].as_array().into_iter().flatten();
    options.filter_map(|option| option.pointer("/required/0")?.as_str()).map(|name| format!("`{name}`")).collect()
}

fn channels() -> String {
    let section = |channel: &crate::notify::ChannelEntry| {
        let config = (channel.config_schema)();
        let settings = self::section("Takes", &table::settings(&config, &config), &config);
        let example = match channel.example.trim() {
            "{}" => format!("```yaml\nnotify: {{on: [resolved], to: [{}]}}      # in a playbook\n```", channel.name),
            settings => format!("```yaml\nchannels:\n  {}:\n    my-name: {settings}\n```", channel.name),
        };
        format!("## {}\n\n{}\n\n{example}\n\n{settings}", channel.name, channel.summary)
    };
    CHANNELS.iter().map(section).collect::<Vec<_>>().join("\n")
}

fn functions() -> String {
    let row = |function: &crate::language::Function| format!("| `{}` | {} |", function.usage, function.help);
    format!("| Function | Value |\n|---|---|\n{}\n", FUNCTIONS.iter().map(row).collect::<Vec<_>>().join("\n"))
}

fn site_file() -> String {
    let mut schema = site_file::schema().clone();
    // The settings of channels stand on a page of their own.
    schema["properties"]["channels"] = json!({
        "type": "object",
        "description": "Notification channels: a kind, then a name of your own, then the settings of [that kind](channels.md).",
    });
    table::settings(&schema, &schema)
}
