//! Checks a YAML tree against a JSON Schema and decodes it, reporting every mistake with its place.
//!
//! The schemas are derived from our own types, so only the part of JSON Schema that `schemars` writes
//! is understood, plus four annotations: `x-unit` (a number written with a unit), `x-encode` (how a
//! template's values are encoded), `x-constant` (no templates) and `x-expression` (a condition).

use serde_json::{Map, Value};

use crate::base::{Diagnostic, Route, Source, Span, suggestion, units};
use crate::language::encoding::Encoding;
use crate::language::{Expression, LanguageError, Request, Slot, Template, Wanted, is_template};
use crate::yaml::{Data, Entry, Node};

/// Where mistakes go, and what they point into.
struct Checker<'a> {
    source: &'a Source,
    document: &'a Value,
    templates: Templates,
    problems: Vec<Diagnostic>,
    slots: Vec<Slot>,
}

/// A schema inside the document that its references point into.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    pub document: &'a Value,
    pub part: &'a Value,
}

impl<'a> Schema<'a> {
    pub fn whole(document: &'a Value) -> Self {
        Schema { document, part: document }
    }

    /// The definition of that name.
    pub fn definition(document: &'a Value, name: &str) -> Self {
        let part = document.get("$defs").and_then(|definitions| definitions.get(name));
        Schema { document, part: part.unwrap_or(&Value::Null) }
    }
}

/// What a `{{…}}` in the text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Templates {
    /// Nothing: it is text.
    Literal,
    /// A template that a later, closer look takes up.
    Skip,
    /// A template to keep as a slot.
    Collect,
}

/// Checks the form of a whole document and returns its value; templates stand in it as text.
pub fn check_document(node: &Node, document: &Value, source: &Source, problems: &mut Vec<Diagnostic>) -> Value {
    check(node, Schema::whole(document), source, Templates::Skip, problems).raw
}

/// Decodes `node`; templates stay as slots. The value is only meaningful without problems.
pub fn decode_request(node: &Node, schema: Schema<'_>, source: &Source, problems: &mut Vec<Diagnostic>) -> Request {
    check(node, schema, source, Templates::Collect, problems)
}

/// Decodes `node` where templates have no meaning (declarations, the site file).
pub fn decode_value(node: &Node, schema: Schema<'_>, source: &Source, problems: &mut Vec<Diagnostic>) -> Value {
    check(node, schema, source, Templates::Literal, problems).raw
}

fn check(
    node: &Node,
    schema: Schema<'_>,
    source: &Source,
    templates: Templates,
    problems: &mut Vec<Diagnostic>,
) -> Request {
    let mut checker = Checker { source, document: schema.document, templates, problems: Vec::new(), slots: Vec::new() };
    let raw = checker.value(node, schema.part, &Route::root());
    problems.append(&mut checker.problems);
    Request { raw, slots: checker.slots }
}

/// A mistake in an expression or template, shown inside the scalar that holds it.
pub fn language_problem(code: &'static str, problem: &LanguageError, source: &Source, span: Span) -> Diagnostic {
    let mut place = span;
    if let Some((start, length)) = problem.at {
        let text = source.text.get(span.start..span.end).unwrap_or_default();
        // A quoted scalar starts one byte later than its text; block scalars keep the whole span.
        let quote = usize::from(text.starts_with(['\'', '"']));
        if !text.starts_with(['|', '>']) && span.start + quote + start + length <= span.end {
            place = Span { start: span.start + quote + start, end: span.start + quote + start + length };
        }
    }
    Diagnostic::error(code, problem.message.clone()).at(source, place).help(problem.help.clone())
}

impl<'a> Checker<'a> {
    fn problem(&mut self, code: &'static str, message: String, span: Span, help: Option<String>) {
        self.problems.push(Diagnostic::error(code, message).at(self.source, span).help(help));
    }

    fn value(&mut self, node: &Node, schema: &'a Value, route: &Route) -> Value {
        let schema = self.resolve(schema);
        if let Some(options) = alternatives(schema) {
            return self.one_of(node, options, schema, route);
        }
        if let Data::String(text) = &node.data
            && is_template(text)
            && self.templates != Templates::Literal
            && schema.get("x-expression").is_none()
        {
            return self.template(node, text, schema, route);
        }
        if let Some(unit) = schema.get("x-unit").and_then(Value::as_str) {
            return self.unit(node, unit);
        }
        self.typed(node, schema, route)
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let mut current = schema;
        while let Some(pointer) = current.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#')) {
            match self.document.pointer(pointer) {
                Some(target) => current = target,
                None => break,
            }
        }
        current
    }

    fn typed(&mut self, node: &Node, schema: &'a Value, route: &Route) -> Value {
        let accepted = types_of(schema);
        if !accepted.is_empty() && !accepted.iter().any(|name| is_of_type(node, name)) {
            return self.wrong_type(node, schema, &accepted, route);
        }
        match &node.data {
            Data::Map(entries) => self.object(node, entries, schema, route),
            Data::List(items) => {
                let item_schema = |index| {
                    let own = schema.get("prefixItems").and_then(|first| first.get(index));
                    own.or(schema.get("items")).unwrap_or(&ANYTHING)
                };
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.value(item, item_schema(index), &route.index(index)))
                    .collect()
            }
            Data::String(text) => {
                self.text(node, text, schema, route);
                Value::String(text.clone())
            }
            _ => {
                self.range(node, schema, route);
                node.to_json()
            }
        }
    }

    fn wrong_type(&mut self, node: &Node, schema: &Value, accepted: &[&str], route: &Route) -> Value {
        // A number or flag where text is wanted reads as that text; YAML authors forget the quotes.
        if accepted.contains(&"string") && matches!(node.data, Data::Int(_) | Data::Float(_) | Data::Bool(_)) {
            let text = self.source.text.get(node.span.start..node.span.end).unwrap_or_default().to_owned();
            self.text(node, &text, schema, route);
            return Value::String(text);
        }
        let wanted: Vec<&str> = accepted.iter().filter(|name| **name != "null").map(|name| type_name(name)).collect();
        let message = format!("'{}' must be {}, but is {}", last_name(route), wanted.join(" or "), node.describe());
        self.problem("wrong-type", message, node.span, description(schema));
        Value::Null
    }

    fn object(&mut self, node: &Node, entries: &[Entry], schema: &'a Value, route: &Route) -> Value {
        let properties = schema.get("properties").and_then(Value::as_object);
        let known = || properties.into_iter().flat_map(Map::keys).map(String::as_str);
        let additional = schema.get("additionalProperties");
        let mut result = Map::new();
        for entry in entries {
            let inner = route.key(&entry.key);
            if let Some(part) = properties.and_then(|properties| properties.get(&entry.key)) {
                result.insert(entry.key.clone(), self.value(&entry.value, part, &inner));
            } else if additional == Some(&Value::Bool(false)) {
                let help = suggestion::did_you_mean(&entry.key, known().collect::<Vec<_>>());
                self.problem(
                    "unknown-key",
                    format!("unknown key '{}' in {}", entry.key, place_name(route)),
                    entry.key_span,
                    help,
                );
            } else {
                self.member_name(entry, schema);
                result.insert(entry.key.clone(), self.value(&entry.value, additional.unwrap_or(&ANYTHING), &inner));
            }
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if node.get(name).is_none() {
                let part = properties.and_then(|properties| properties.get(name));
                let help = part.and_then(|part| description(part).or_else(|| description(self.resolve(part))));
                let span = Span { start: node.span.start, end: node.span.end.min(node.span.start + 1) };
                self.problem("missing-key", format!("'{name}' is missing in {}", place_name(route)), span, help);
            }
        }
        self.exactly_one(node, schema, route);
        Value::Object(result)
    }

    /// `oneOf` beside `properties` says which keys exclude each other.
    fn exactly_one(&mut self, node: &Node, schema: &Value, route: &Route) {
        let Some(options) = schema.get("oneOf").and_then(Value::as_array) else { return };
        let names: Vec<&str> = options.iter().filter_map(|option| option.pointer("/required/0")?.as_str()).collect();
        let given: Vec<&str> = names.iter().copied().filter(|name| node.get(name).is_some()).collect();
        let help = Some(format!("give exactly one of {}", names.join(", ")));
        match given.as_slice() {
            [_] => {}
            [] => {
                let span = Span { start: node.span.start, end: node.span.end.min(node.span.start + 1) };
                self.problem("missing-key", format!("nothing is asked for in {}", place_name(route)), span, help);
            }
            [first, second, ..] => {
                let span = node.locate_key(&Route::of([*second]));
                self.problem("excluded-key", format!("'{second}' cannot stand beside '{first}'"), span, help);
            }
        }
    }

    fn member_name(&mut self, entry: &Entry, schema: &Value) {
        let Some(pattern) = schema.pointer("/propertyNames/pattern").and_then(Value::as_str) else { return };
        if !matches_pattern(pattern, &entry.key) {
            let help = Some("use small letters, digits and underscores, beginning with a letter".to_owned());
            self.problem("bad-name", format!("'{}' cannot be a name here", entry.key), entry.key_span, help);
        }
    }

    fn text(&mut self, node: &Node, text: &str, schema: &Value, route: &Route) {
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
            let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            if !names.contains(&text) {
                let help = suggestion::did_you_mean(text, names.iter().copied())
                    .or(Some(format!("one of {}", names.join(", "))));
                self.problem("wrong-value", format!("'{}' cannot be '{text}'", last_name(route)), node.span, help);
            }
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && !matches_pattern(pattern, text)
        {
            let message = format!("'{}' cannot be '{text}'", last_name(route));
            self.problem(
                "wrong-value",
                message,
                node.span,
                description(schema).or(Some(format!("it must match {pattern}"))),
            );
        }
        if schema.get("x-expression").is_some()
            && let Err(problem) = Expression::parse(text)
        {
            self.problems.push(language_problem("bad-expression", &problem, self.source, node.span));
        }
    }

    fn range(&mut self, node: &Node, schema: &Value, route: &Route) {
        let Some(number) = node.to_json().as_f64() else { return };
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let (least, most) = (bound("minimum"), bound("maximum"));
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            let help = match (least, most) {
                (Some(least), Some(most)) => format!("it must be from {least} to {most}"),
                (Some(least), None) => format!("it must be at least {least}"),
                (_, most) => format!("it must be at most {}", most.unwrap_or(f64::INFINITY)),
            };
            self.problem("out-of-range", format!("'{}' cannot be {number}", last_name(route)), node.span, Some(help));
        }
    }

    fn unit(&mut self, node: &Node, unit: &str) -> Value {
        let text = match &node.data {
            Data::String(text) => text.clone(),
            Data::Null => return Value::Null,
            _ => self.source.text.get(node.span.start..node.span.end).unwrap_or_default().to_owned(),
        };
        let number = match unit {
            "bytes" => units::parse_bytes(&text).map(Value::from),
            _ => units::parse_duration(&text).map(|duration| Value::from(duration.as_secs_f64())),
        };
        number.unwrap_or_else(|message| {
            self.problem("wrong-value", message, node.span, None);
            Value::Null
        })
    }

    fn template(&mut self, node: &Node, text: &str, schema: &Value, route: &Route) -> Value {
        if schema.get("x-constant").is_some() {
            let message = format!("a template in '{}', which must be constant text", last_name(route));
            let help = "data never becomes code: pass it with `env:` and read it there as a variable, or use `argv:`";
            self.problem("template-in-code", message, node.span, Some(help.to_owned()));
            return Value::Null;
        }
        if self.templates == Templates::Skip {
            return Value::String(text.to_owned());
        }
        let encoding = schema.get("x-encode").and_then(Value::as_str).and_then(Encoding::named).unwrap_or_default();
        match Template::parse(&encoding.prepare(text)) {
            Ok(template) => {
                let wanted = wanted(schema);
                self.slots.push(Slot { route: route.clone(), template, encoding, wanted });
            }
            Err(problem) => self.problems.push(language_problem("bad-template", &problem, self.source, node.span)),
        }
        Value::String(text.to_owned())
    }

    fn one_of(&mut self, node: &Node, options: &'a [Value], schema: &'a Value, route: &Route) -> Value {
        let options: Vec<&'a Value> = options.iter().map(|option| self.resolve(option)).collect();
        let constants: Vec<&str> =
            options.iter().filter_map(|option| option.get("const")).filter_map(Value::as_str).collect();
        if let (false, Data::String(text)) = (constants.is_empty(), &node.data)
            && !(self.templates != Templates::Literal && is_template(text))
            && !constants.contains(&text.as_str())
            && !options.iter().any(|option| option.get("const").is_none() && is_of_schema(node, option))
        {
            let help = suggestion::did_you_mean(text, constants.iter().copied())
                .or(Some(format!("one of {}", constants.join(", "))));
            self.problem("wrong-value", format!("'{}' cannot be '{text}'", last_name(route)), node.span, help);
            return Value::Null;
        }
        if let Some(option) = best_option(node, &options) {
            return self.value(node, option, route);
        }
        let shapes: Vec<&str> =
            options.iter().flat_map(|option| types_of(option)).filter(|name| *name != "null").map(type_name).collect();
        let message = format!("'{}' must be {}, but is {}", last_name(route), shapes.join(" or "), node.describe());
        self.problem("wrong-type", message, node.span, description(schema));
        Value::Null
    }
}

/// The schema that accepts everything.
static ANYTHING: Value = Value::Bool(true);

/// The shapes a value may have. Beside `properties`, alternatives are no shapes but keys that exclude
/// each other; taking them for shapes would leave the properties unchecked.
fn alternatives(schema: &Value) -> Option<&[Value]> {
    if schema.get("properties").is_some() {
        return None;
    }
    ["oneOf", "anyOf"].iter().find_map(|key| schema.get(*key)?.as_array()).map(Vec::as_slice)
}

/// The alternative the author means: the constant that is equal, else the one of the same shape that
/// shares the most keys.
fn best_option<'a>(node: &Node, options: &[&'a Value]) -> Option<&'a Value> {
    if let Some(option) =
        options.iter().find(|option| option.get("const").is_some_and(|value| *value == node.to_json()))
    {
        return Some(option);
    }
    let shared = |option: &Value| {
        let properties = option.get("properties").and_then(Value::as_object);
        properties
            .map_or(0, |properties| node.entries().iter().filter(|entry| properties.contains_key(&entry.key)).count())
    };
    // max_by_key takes the last of equals; reversing makes it the first, the one written first in the type.
    options
        .iter()
        .filter(|option| option.get("const").is_none() && is_of_schema(node, option))
        .rev()
        .max_by_key(|option| shared(option))
        .copied()
}

fn is_of_schema(node: &Node, schema: &Value) -> bool {
    if schema.get("x-unit").is_some() {
        return matches!(node.data, Data::String(_) | Data::Int(_) | Data::Float(_));
    }
    let names = types_of(schema);
    names.is_empty()
        || names.iter().any(|name| is_of_type(node, name))
        || (node.as_str().is_some_and(is_template) && !names.contains(&"null"))
}

fn types_of(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_of_type(node: &Node, name: &str) -> bool {
    match name {
        "string" => matches!(node.data, Data::String(_)),
        "integer" => matches!(node.data, Data::Int(_)),
        "number" => matches!(node.data, Data::Int(_) | Data::Float(_)),
        "boolean" => matches!(node.data, Data::Bool(_)),
        "array" => matches!(node.data, Data::List(_)),
        "object" => matches!(node.data, Data::Map(_)),
        "null" => matches!(node.data, Data::Null),
        _ => true,
    }
}

fn type_name(name: &str) -> &str {
    match name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a mapping",
        other => other,
    }
}

fn wanted(schema: &Value) -> Wanted {
    match schema.get("x-unit").and_then(Value::as_str) {
        Some("bytes") => return Wanted::Bytes,
        Some(_) => return Wanted::Duration,
        None => {}
    }
    match types_of(schema).first() {
        Some(&"string") => Wanted::Text,
        Some(&"integer" | &"number") => Wanted::Number,
        Some(&"boolean") => Wanted::Bool,
        _ => Wanted::Any,
    }
}

fn matches_pattern(pattern: &str, text: &str) -> bool {
    regex::Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|compiled| compiled.is_match(text))
}

fn description(schema: &Value) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    Some(text.lines().next().unwrap_or(text).to_owned())
}

fn last_name(route: &Route) -> String {
    let text = route.to_string();
    let after_dot = text.rsplit('.').next().unwrap_or(&text).to_owned();
    if after_dot.is_empty() { "the document".to_owned() } else { after_dot }
}

fn place_name(route: &Route) -> String {
    let text = route.to_string();
    if text.is_empty() { "the top level".to_owned() } else { format!("'{text}'") }
}

#[cfg(test)]
mod tests;
