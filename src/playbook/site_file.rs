//! The site file: its schema needs the channels and service backends, so it is read here.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::action::service::backend_schemas;
use crate::anchor::ANCHORS;
use crate::base::{Diagnostic, Source};
use crate::engine::event::Severity;
use crate::kind::schema_of;
use crate::notify::{self, CHANNELS, Occasion};
use crate::schema::{Schema, decode};
use crate::site::egress::Allowed;
use crate::site::{self, Site};
use crate::trigger::{SOURCES, trigger_schema};
use crate::yaml::{self, Node};

use super::{escalation, triggers};

static SCHEMA: LazyLock<Value> = LazyLock::new(build);

fn build() -> Value {
    let mut schema = schema_of::<Site>();
    let mut channels = Map::new();
    let mut definitions = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    for channel in CHANNELS {
        let mut config = (channel.config_schema)();
        lift_definitions(&mut config, &mut definitions);
        definitions.insert(format!("channel_{}", channel.name), config);
        let named = json!({"type": "object", "description": channel.summary, "additionalProperties": {"$ref": format!("#/$defs/channel_{}", channel.name)}});
        channels.insert(channel.name.to_owned(), named);
    }
    schema["properties"]["channels"] = json!({
        "type": "object",
        "description": "Notification channels: kind, then a name of your own, then the channel's settings.",
        "properties": channels,
        "additionalProperties": false,
    });
    schema["properties"]["services"] = json!({
        "type": "object",
        "description": "Services that `service` steps act on: a name of your own, then one backend with its settings.",
        "additionalProperties": backend_schemas(),
    });
    if let Some(audit) = definitions.get_mut("Audit") {
        audit["properties"]["anchors"]["items"] = anchor_schema();
    }
    insert_serve(&mut definitions);
    insert_words(&mut definitions);
    // Its place is taken by the schema with the settings of each anchor.
    definitions.remove("AnchorSetting");
    schema["$defs"] = Value::Object(definitions);
    schema["title"] = "runbook site file".into();
    schema
}

/// The words that routes know: they stand in rooms that the site file's types cannot see.
fn insert_words(definitions: &mut Map<String, Value>) {
    if let Some(wanted) = definitions.get_mut("Wanted") {
        let occasions: Vec<&str> = Occasion::ALL.iter().map(|on| on.label()).collect();
        let severities: Vec<&str> = Severity::ALL.iter().map(|severity| severity.label()).collect();
        wanted["properties"]["occasions"]["items"]["enum"] = json!(occasions);
        wanted["properties"]["severity"]["items"]["enum"] = json!(severities);
    }
}

/// The sources of hooks, and the triggers.
fn insert_serve(definitions: &mut Map<String, Value>) {
    let mut sources = Map::new();
    for source in SOURCES {
        let mut config = (source.config_schema)();
        lift_definitions(&mut config, definitions);
        config["description"] = source.summary.into();
        definitions.insert(format!("source_{}", source.name), config);
        sources.insert(source.name.into(), json!({"$ref": format!("#/$defs/source_{}", source.name)}));
    }
    let one: Vec<Value> = SOURCES.iter().map(|source| json!({"required": [source.name]})).collect();
    let hook = json!({"type": "object", "properties": sources, "additionalProperties": false, "oneOf": one});
    let mut trigger = trigger_schema();
    lift_definitions(&mut trigger, definitions);
    if let Some(serve) = definitions.get_mut("Serve") {
        serve["properties"]["hooks"]["additionalProperties"] = hook;
        serve["properties"]["triggers"]["items"] = trigger;
    }
}

fn lift_definitions(schema: &mut Value, definitions: &mut Map<String, Value>) {
    if let Some(Value::Object(inner)) = schema.as_object_mut().and_then(|schema| schema.remove("$defs")) {
        definitions.extend(inner);
    }
}

/// One anchor with its settings, and whether it is required.
fn anchor_schema() -> Value {
    let mut properties = Map::new();
    let required = "Whether nothing is remediated while this anchor does not take checkpoints. Looking goes on.";
    properties.insert("required".into(), json!({"type": "boolean", "default": false, "description": required}));
    for anchor in ANCHORS {
        let mut config = (anchor.config_schema)();
        config["description"] = anchor.summary.into();
        properties.insert(anchor.name.into(), config);
    }
    let one: Vec<Value> = ANCHORS.iter().map(|anchor| json!({"required": [anchor.name]})).collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false, "oneOf": one})
}

/// The schema that site files are checked with.
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// The schema for editors.
pub fn site_schema() -> Value {
    let mut schema = SCHEMA.clone();
    super::publish::publish(&mut schema, |_| false);
    schema
}

/// A name of a name: a secret is kept in one place, and a circle of names in none.
fn aliases(root: &Node, source: &Source) -> Vec<Diagnostic> {
    let named = root.get("secrets").map(Node::entries).unwrap_or_default();
    let aliases = named.iter().filter_map(|entry| Some((&entry.key, entry.value.get("secret")?)));
    let problem = |(name, alias): (&String, &Node)| {
        Diagnostic::error("secret-alias", format!("the secret '{name}' is only another name"))
            .at(source, alias.span)
            .help("say where it is kept: env, file, credential, command or age".to_owned())
    };
    aliases.map(problem).collect()
}

/// Entries that would never match anything: whoever wrote one believes a host allowed that is not.
fn hosts(root: &Node, source: &Source) -> Vec<Diagnostic> {
    let entries = root.get("egress").and_then(|egress| egress.get("allow")).map(Node::items).unwrap_or_default();
    let problem = |node: &Node| {
        let bad = node.as_str()?.parse::<Allowed>().err()?;
        Some(Diagnostic::error("bad-host", bad.to_string()).at(source, node.span).help(bad.help))
    };
    entries.iter().filter_map(problem).collect()
}

/// Routes that name what the site file does not have would tell nobody.
fn routes(root: &Node, site: &Site, source: &Source) -> Vec<Diagnostic> {
    let Some(section) = root.get("notify") else { return Vec::new() };
    let problem = |code, message: String| Diagnostic::error(code, message).at(source, section.span);
    let windows = site.missing_windows().into_iter().map(|name| {
        problem("unknown-window", format!("`notify` names the window '{name}', which is not among `windows`"))
            .help(format!("add it: windows: {{{name}: {{from: '22:00', to: '06:00', timezone: Europe/Berlin}}}}"))
    });
    let channels = site.notify.channels().filter_map(|channel| {
        let wrong = notify::resolve(site, channel).err()?;
        Some(problem("unknown-channel", format!("`notify`: {}", wrong.message)).help(wrong.help.unwrap_or_default()))
    });
    windows.chain(channels).collect()
}

/// Reads a site file.
pub fn load_site(path: &Path) -> Result<Site, Vec<Diagnostic>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let help = format!("RUNBOOK_CONFIG or --config names the site file; without one, {} in the working directory is used if it is there", site::FILE_NAME);
        vec![Diagnostic::error("unreadable", format!("cannot read the site file {}: {error}", path.display())).help(help)]
    })?;
    let source = Source::new(path, text);
    let root = yaml::parse(&source)?;
    let mut problems = Vec::new();
    let value = decode(&root, Schema::whole(&SCHEMA), &source, &mut problems).value;
    problems.extend(aliases(&root, &source));
    problems.extend(hosts(&root, &source));
    problems.extend(triggers::check_site(&root, &source, &value));
    let from_file = root.get("state").is_some();
    match serde_json::from_value::<Site>(value) {
        Ok(decoded) if problems.is_empty() => {
            let problems = escalation::check_site(&root, &source, &decoded);
            if !problems.is_empty() {
                return Err(problems);
            }
            let mut site = decoded.based_at(path.parent().unwrap_or(Path::new("")));
            site.resolve_state(from_file);
            let wrong = routes(&root, &site, &source);
            if wrong.is_empty() { Ok(site) } else { Err(wrong) }
        }
        Err(error) if problems.is_empty() => {
            Err(vec![Diagnostic::error("bad-site-file", error.to_string()).at(&source, root.span)])
        }
        _ => Err(problems),
    }
}
