//! A JSON Schema as a Markdown table, one row a key; keys of inner objects follow as `outer.inner`.

use serde_json::{Map, Value};

use crate::base::units;

/// Inner objects deeper than this are named, not spread out: nobody reads a key of six parts.
const MAX_DEPTH: usize = 4;

/// How an item of a list is written in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// `steps[]`, as in YAML, where a list has items without numbers.
    Any,
    /// `steps.0`, as conditions and templates write it.
    First,
}

/// The table of an object's properties.
pub fn settings(document: &Value, object: &Value) -> String {
    let mut table = Table::new(document, Item::Any);
    table.properties(object, "", 0);
    format!("| Key | Type | Default | Meaning |\n|---|---|---|---|\n{}", table.rows)
}

/// The table of an output's fields, which have no defaults.
pub fn outputs(document: &Value) -> String {
    let mut table = Table::new(document, Item::First);
    table.properties(document, "", 0);
    format!("| Field | Type | Meaning |\n|---|---|---|\n{}", table.rows)
}

struct Table<'a> {
    document: &'a Value,
    item: Item,
    rows: String,
    /// Objects whose keys stand in the table already, and under which key.
    spread: Vec<(&'a Value, String)>,
}

impl<'a> Table<'a> {
    fn new(document: &'a Value, item: Item) -> Self {
        Table { document, item, rows: String::new(), spread: Vec::new() }
    }

    fn properties(&mut self, object: &'a Value, prefix: &str, depth: usize) {
        let required: Vec<&str> =
            object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, part) in object["properties"].as_object().into_iter().flatten() {
            self.row(&format!("{prefix}{name}"), part, required.contains(&name.as_str()));
            self.inner(&format!("{prefix}{name}"), part, depth + 1);
        }
    }

    fn row(&mut self, key: &str, part: &'a Value, required: bool) {
        let kind = self.type_of(part);
        let (meaning, said) = split_default(self.description(part));
        let meaning = cell(&format!("{meaning}{}", treatment(part)));
        let default = match (required, said) {
            (true, _) => "*required*".to_owned(),
            (false, Some(said)) => cell(said),
            (false, None) => default_of(part),
        };
        self.rows.push_str(&match self.item {
            Item::Any => format!("| `{key}` | {kind} | {default} | {meaning} |\n"),
            Item::First => format!("| `{key}` | {kind} | {meaning} |\n"),
        });
    }

    /// The keys of the object that stands under a key, in a list there, or under names there.
    fn inner(&mut self, key: &str, part: &'a Value, depth: usize) {
        if depth > MAX_DEPTH || annotated(part).is_some() {
            return;
        }
        let part = self.resolve(part);
        if part["properties"].is_object() {
            return self.spread(key, part, depth);
        }
        if part["items"].is_object() {
            let item = if self.item == Item::Any { "[]" } else { ".0" };
            return self.inner(&format!("{key}{item}"), &part["items"], depth);
        }
        if part["additionalProperties"].is_object() {
            return self.inner(&format!("{key}.NAME"), &part["additionalProperties"], depth);
        }
        // `{env: …}` and the like are told in full by their type.
        for option in choices(part).into_iter().flatten() {
            if keyed(self.resolve(option)).is_none() {
                self.inner(key, option, depth);
            }
        }
    }

    /// The keys of an inner object, or where they stand already.
    fn spread(&mut self, key: &str, object: &'a Value, depth: usize) {
        if let Some((_, first)) = self.spread.iter().find(|(known, _)| *known == object) {
            let row = self.rows.trim_end_matches(" |\n").len();
            self.rows.truncate(row);
            self.rows.push_str(&format!(" Its keys are those of `{first}`. |\n"));
            return;
        }
        self.spread.push((object, key.to_owned()));
        self.properties(object, &format!("{key}."), depth);
    }

    /// Follows references, and options that only add `null`.
    fn resolve(&self, part: &'a Value) -> &'a Value {
        let target = match part["$ref"].as_str().and_then(|text| text.strip_prefix('#')) {
            Some(pointer) => self.document.pointer(pointer).unwrap_or(&Value::Null),
            None => part,
        };
        match choices(target)
            .map(|options| options.iter().filter(|option| option["type"] != "null").collect::<Vec<_>>())
        {
            Some(options) if options.len() == 1 => self.resolve(options[0]),
            _ if std::ptr::eq(target, part) => part,
            _ => self.resolve(target),
        }
    }

    fn description(&self, part: &'a Value) -> &'a str {
        let text = part["description"].as_str().or_else(|| self.resolve(part)["description"].as_str());
        text.unwrap_or_default()
    }

    fn type_of(&self, part: &'a Value) -> String {
        if let Some(named) = annotated(part) {
            return named.to_owned();
        }
        let part = self.resolve(part);
        if let Some(named) = annotated(part) {
            return named.to_owned();
        }
        if let Some(words) = part["enum"].as_array() {
            return listed(words.iter().map(constant));
        }
        if let Some(options) = choices(part) {
            return self.choice(options);
        }
        if let Some(keyed) = keyed(part) {
            return keyed;
        }
        self.plain(part)
    }

    fn choice(&self, options: &'a [Value]) -> String {
        let words = |option: &'a Value| match (option.get("const"), option["enum"].as_array()) {
            (Some(word), _) => vec![constant(word)],
            (None, Some(words)) => words.iter().map(constant).collect(),
            (None, None) => vec![self.type_of(option)],
        };
        listed(options.iter().filter(|option| option["type"] != "null").flat_map(words))
    }

    fn plain(&self, part: &'a Value) -> String {
        let name = match &part["type"] {
            Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
            name => name.as_str(),
        };
        match name {
            Some("string") => "text".into(),
            Some("integer") => "whole number".into(),
            Some("number") => "number".into(),
            Some("boolean") => "true or false".into(),
            Some("array") if part["items"].is_object() => format!("list of {}", self.type_of(&part["items"])),
            Some("array") => "list".into(),
            Some("object") if part["additionalProperties"].is_object() => {
                format!("names, each with {}", self.type_of(&part["additionalProperties"]))
            }
            Some("object") => "object".into(),
            _ => "any value".into(),
        }
    }
}

/// The name of a type that an annotation of our own gives, or a definition with a section of its own.
fn annotated(part: &Value) -> Option<&'static str> {
    let definition = part["x-definition"].as_str().or_else(|| part["$ref"].as_str()?.strip_prefix("#/$defs/"));
    match (part["x-unit"].as_str(), definition) {
        (Some("bytes"), _) => Some("size"),
        (Some(_), _) => Some("duration"),
        (_, Some("check")) => Some("a kind, and `expect`"),
        (_, Some("action")) => Some("a kind"),
        _ => part.get("x-expression").map(|_| "expression"),
    }
}

/// What happens to a template in the field.
fn treatment(part: &Value) -> String {
    match (part["x-encode"].as_str(), part.get("x-constant")) {
        (Some(encoding), _) => format!(" Inserted values are encoded for their place ({encoding})."),
        (_, Some(_)) => " Constant text: a template in it is refused.".to_owned(),
        _ => String::new(),
    }
}

/// Meaning and default of a description that ends with `Default: 30s.`, which has a column of its own.
fn split_default(text: &str) -> (&str, Option<&str>) {
    let last = text.rfind("Default").map(|start| text.split_at(start));
    let said = last.and_then(|(before, said)| {
        let said = said.trim_start_matches("Default").trim_start_matches(':').trim().strip_suffix('.')?;
        (!said.contains(". ")).then_some((before.trim_end(), Some(said)))
    });
    said.unwrap_or((text, None))
}

/// Alternatives. A `oneOf` beside `properties` says which keys exclude each other and is none of them.
fn choices(part: &Value) -> Option<&[Value]> {
    if part.get("properties").is_some() {
        return None;
    }
    ["oneOf", "anyOf"].iter().find_map(|key| part[key].as_array()).map(Vec::as_slice)
}

/// `{env: text}`: an alternative that is told by its one key.
fn keyed(part: &Value) -> Option<String> {
    let properties: &Map<String, Value> = part["properties"].as_object()?;
    let (name, _) = properties.iter().next().filter(|_| properties.len() == 1)?;
    (part["required"] == serde_json::json!([name])).then(|| format!("`{{{name}: …}}`"))
}

fn constant(word: &Value) -> String {
    format!("`{}`", word.as_str().map_or_else(|| word.to_string(), str::to_owned))
}

fn listed(words: impl Iterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for word in words {
        if !seen.contains(&word) {
            seen.push(word);
        }
    }
    match seen.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => seen.concat(),
    }
}

fn default_of(part: &Value) -> String {
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    match part.get("default").filter(|value| !nothing(value)) {
        None => String::new(),
        Some(Value::Object(_)) => "as below".into(),
        Some(value) => match (part["x-unit"].as_str(), value.as_f64()) {
            (Some("bytes"), Some(bytes)) => units::show_bytes(bytes as u64),
            (Some(_), Some(seconds)) => format!("{seconds} s"),
            _ => constant(value),
        },
    }
}

/// Text inside a cell: one line, and no bar that would end the cell.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
