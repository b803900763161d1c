//! Checks a YAML tree against a JSON Schema and decodes it, reporting every mistake with its place.
//!
//! The schemas are derived from our own types, so only the part of JSON Schema that `schemars` writes
//! is understood, plus five annotations: `x-unit` (a number written with a unit), `x-templates` (a part
//! whose texts may be templates), `x-encode` (how a template's values are encoded), `x-constant` (no
//! templates) and `x-expression` (a condition).

mod form;

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::base::{Diagnostic, Route, Source, Span, suggestion, units};
use crate::language::encoding::Encoding;
use crate::language::{Expression, LanguageError, Request, Slot, Template, is_template};
use crate::yaml::{Data, Entry, Node};
use form::{Form, Trail, matches_pattern};

/// Nobody reads further, and a document made of nothing but mistakes must not keep the reader busy.
const MAX_PROBLEMS: usize = 100;

/// Where mistakes go, what they point into, and what was found on the way.
struct Checker<'a> {
    source: &'a Source,
    document: &'a Value,
    problems: Vec<Diagnostic>,
    /// Inside a part with templates: how deep its top lies, and the templates found so far.
    templates: Option<(usize, Vec<Slot>)>,
    requests: HashMap<usize, Request>,
    expressions: HashMap<usize, Expression>,
}

/// What a document says, taken apart in one pass. Requests and expressions are found by their node.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The value without its parts that may hold templates; null stands for those.
    pub value: Value,
    requests: HashMap<usize, Request>,
    expressions: HashMap<usize, Expression>,
}

impl Decoded {
    /// The part with templates that this node is.
    pub fn request(&mut self, node: &Node) -> Option<Request> {
        self.requests.remove(&node.span.start)
    }

    /// The condition that this node is.
    pub fn expression(&mut self, node: &Node) -> Option<Expression> {
        self.expressions.remove(&node.span.start)
    }
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
}

/// Decodes a whole document. What it holds is only meaningful without problems.
pub fn decode(node: &Node, schema: Schema<'_>, source: &Source, problems: &mut Vec<Diagnostic>) -> Decoded {
    let mut checker = Checker {
        source,
        document: schema.document,
        problems: Vec::new(),
        templates: None,
        requests: HashMap::new(),
        expressions: HashMap::new(),
    };
    let value = checker.value(node, schema.part, &Trail::Root);
    problems.append(&mut checker.problems);
    Decoded { value, requests: checker.requests, expressions: checker.expressions }
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

    fn value(&mut self, node: &Node, schema: &'a Value, trail: &Trail<'_>) -> Value {
        let form = self.form(schema);
        if form.templates && self.templates.is_none() {
            self.templates = Some((trail.depth(), Vec::new()));
            let raw = self.formed(node, &form, trail);
            let slots = self.templates.take().map(|(_, slots)| slots).unwrap_or_default();
            self.requests.insert(node.span.start, Request { raw, slots });
            return Value::Null;
        }
        self.formed(node, &form, trail)
    }

    fn formed(&mut self, node: &Node, form: &Form<'a>, trail: &Trail<'_>) -> Value {
        if let Some(options) = form.alternatives() {
            return self.one_of(node, options, form, trail);
        }
        if let Some(text) = node.as_str().filter(|text| self.is_template(text) && !form.expression) {
            return self.template(node, text, form, trail);
        }
        if let Some(unit) = form.unit {
            return self.unit(node, unit);
        }
        self.typed(node, form, trail)
    }

    fn is_template(&self, text: &str) -> bool {
        self.templates.is_some() && is_template(text)
    }

    /// The form that a schema has or refers to.
    fn form(&self, schema: &'a Value) -> Form<'a> {
        let mut form = Form::of(schema);
        while let Some(target) = form.reference.and_then(|reference| target(self.document, reference)) {
            form = Form::of(target);
        }
        form
    }

    fn typed(&mut self, node: &Node, form: &Form<'a>, trail: &Trail<'_>) -> Value {
        if !form.types.is_empty() && !form.has_type_of(node) {
            return self.wrong_type(node, form, trail);
        }
        match &node.data {
            Data::Map(entries) => self.object(node, entries, form, trail),
            Data::List(items) => {
                let values = items.iter().enumerate();
                values.map(|(index, item)| self.value(item, form.item(index), &Trail::Index(trail, index))).collect()
            }
            Data::String(text) => {
                self.text(node, text, form, trail);
                Value::String(text.clone())
            }
            _ => {
                self.range(node, form, trail);
                node.to_json()
            }
        }
    }

    fn wrong_type(&mut self, node: &Node, form: &Form<'_>, trail: &Trail<'_>) -> Value {
        // A number or flag where text is wanted reads as that text; YAML authors forget the quotes.
        if form.accepts("string") && matches!(node.data, Data::Int(_) | Data::Float(_) | Data::Bool(_)) {
            let text = self.source.text.get(node.span.start..node.span.end).unwrap_or_default().to_owned();
            self.text(node, &text, form, trail);
            return Value::String(text);
        }
        self.wrong_shape(node, form.type_names().collect(), form, trail)
    }

    fn object(&mut self, node: &Node, entries: &[Entry], form: &Form<'a>, trail: &Trail<'_>) -> Value {
        let mut result = Map::with_capacity(entries.len());
        for entry in entries {
            if self.problems.len() >= MAX_PROBLEMS {
                break;
            }
            let inner = Trail::Key(trail, &entry.key);
            if let Some(part) = form.properties.and_then(|properties| properties.get(&entry.key)) {
                result.insert(entry.key.clone(), self.value(&entry.value, part, &inner));
            } else if form.additional == Some(&Value::Bool(false)) {
                let known: Vec<&str> = form.properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
                let message = format!("unknown key '{}' in {}", entry.key, trail.place_name());
                self.problem("unknown-key", message, entry.key_span, suggestion::did_you_mean(&entry.key, known));
            } else {
                self.member_name(entry, form);
                let part = form.additional.unwrap_or(&form::ANYTHING);
                result.insert(entry.key.clone(), self.value(&entry.value, part, &inner));
            }
        }
        self.required(node, form, trail);
        self.exactly_one(node, form, trail);
        Value::Object(result)
    }

    fn required(&mut self, node: &Node, form: &Form<'a>, trail: &Trail<'_>) {
        for name in form.required.iter().filter_map(Value::as_str).filter(|name| node.get(name).is_none()) {
            let part = form.properties.and_then(|properties| properties.get(name));
            let help = part.and_then(|part| Form::of(part).help().or_else(|| self.form(part).help()));
            let span = Span { start: node.span.start, end: node.span.end.min(node.span.start + 1) };
            self.problem("missing-key", format!("'{name}' is missing in {}", trail.place_name()), span, help);
        }
    }

    /// `oneOf` beside `properties` says which keys exclude each other.
    fn exactly_one(&mut self, node: &Node, form: &Form<'_>, trail: &Trail<'_>) {
        let Some(options) = form.one_of else { return };
        let names: Vec<&str> = options.iter().filter_map(|option| option.get("required")?.get(0)?.as_str()).collect();
        let given: Vec<&str> = names.iter().copied().filter(|name| node.get(name).is_some()).collect();
        let help = Some(format!("give exactly one of {}", names.join(", ")));
        match given.as_slice() {
            [_] => {}
            [] => {
                let span = Span { start: node.span.start, end: node.span.end.min(node.span.start + 1) };
                self.problem("missing-key", format!("nothing is asked for in {}", trail.place_name()), span, help);
            }
            [first, second, ..] => {
                let span = node.locate_key(&Route::of([*second]));
                self.problem("excluded-key", format!("'{second}' cannot stand beside '{first}'"), span, help);
            }
        }
    }

    fn member_name(&mut self, entry: &Entry, form: &Form<'_>) {
        let Some(pattern) = form.names.and_then(|names| names.get("pattern")).and_then(Value::as_str) else { return };
        if !matches_pattern(pattern, &entry.key) {
            let help = Some("use small letters, digits and underscores, beginning with a letter".to_owned());
            self.problem("bad-name", format!("'{}' cannot be a name here", entry.key), entry.key_span, help);
        }
    }

    fn text(&mut self, node: &Node, text: &str, form: &Form<'_>, trail: &Trail<'_>) {
        if let Some(allowed) = form.values {
            let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            if !names.contains(&text) {
                let help = suggestion::did_you_mean(text, names.iter().copied())
                    .or(Some(format!("one of {}", names.join(", "))));
                self.problem("wrong-value", format!("'{}' cannot be '{text}'", trail.last_name()), node.span, help);
            }
        }
        if let Some(pattern) = form.pattern
            && !matches_pattern(pattern, text)
        {
            let message = format!("'{}' cannot be '{text}'", trail.last_name());
            let help = form.help().or(Some(format!("it must match {pattern}")));
            self.problem("wrong-value", message, node.span, help);
        }
        match form.expression.then(|| Expression::parse(text)) {
            Some(Ok(expression)) => drop(self.expressions.insert(node.span.start, expression)),
            Some(Err(problem)) => {
                self.problems.push(language_problem("bad-expression", &problem, self.source, node.span));
            }
            None => {}
        }
    }

    fn range(&mut self, node: &Node, form: &Form<'_>, trail: &Trail<'_>) {
        let Some(number) = node.to_json().as_f64() else { return };
        let (least, most) = (form.minimum, form.maximum);
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            let help = match (least, most) {
                (Some(least), Some(most)) => format!("it must be from {least} to {most}"),
                (Some(least), None) => format!("it must be at least {least}"),
                (_, most) => format!("it must be at most {}", most.unwrap_or(f64::INFINITY)),
            };
            let message = format!("'{}' cannot be {number}", trail.last_name());
            self.problem("out-of-range", message, node.span, Some(help));
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

    fn template(&mut self, node: &Node, text: &str, form: &Form<'_>, trail: &Trail<'_>) -> Value {
        if form.constant {
            let message = format!("a template in '{}', which must be constant text", trail.last_name());
            let help = "data never becomes code: pass it with `env:` and read it there as a variable, or use `argv:`";
            self.problem("template-in-code", message, node.span, Some(help.to_owned()));
            return Value::Null;
        }
        let encoding = form.encoding.and_then(Encoding::named).unwrap_or_default();
        match Template::parse(&encoding.prepare(text)) {
            Ok(template) => {
                if let Some((top, slots)) = &mut self.templates {
                    slots.push(Slot { route: trail.route_below(*top), template, encoding, wanted: form.wanted() });
                }
            }
            Err(problem) => self.problems.push(language_problem("bad-template", &problem, self.source, node.span)),
        }
        Value::String(text.to_owned())
    }

    fn one_of(&mut self, node: &Node, options: &'a [Value], form: &Form<'a>, trail: &Trail<'_>) -> Value {
        let options: Vec<Form<'a>> = options.iter().map(|option| self.form(option)).collect();
        if let Some(option) = options.iter().find(|option| option.is_constant(node)) {
            return self.formed(node, option, trail);
        }
        if let Some(problem) = self.no_constant(node, &options, trail) {
            self.problems.push(problem);
            return Value::Null;
        }
        if let Some(option) = form::best_option(node, &options) {
            return self.formed(node, option, trail);
        }
        self.wrong_shape(node, options.iter().flat_map(Form::type_names).collect(), form, trail)
    }

    fn wrong_shape(&mut self, node: &Node, wanted: Vec<&str>, form: &Form<'_>, trail: &Trail<'_>) -> Value {
        if is_secret(node) {
            let message = format!("a secret cannot stand in '{}', where everybody could read it", trail.last_name());
            let help = "give it to a program under `env` or `stdin`, to a service under `bearer`, `basic` or `headers`";
            self.problem("secret-exposed", message, node.span, Some(help.to_owned()));
        } else {
            let wanted = wanted.join(" or ");
            let message = format!("'{}' must be {wanted}, but is {}", trail.last_name(), node.describe());
            self.problem("wrong-type", message, node.span, form.help());
        }
        Value::Null
    }

    /// The mistake of a text that is none of the words which could stand there.
    fn no_constant(&self, node: &Node, options: &[Form<'_>], trail: &Trail<'_>) -> Option<Diagnostic> {
        let words: Vec<&str> = options.iter().filter_map(|option| option.equal_to?.as_str()).collect();
        let text = node.as_str().filter(|_| !words.is_empty())?;
        if self.is_template(text) || options.iter().any(|option| option.equal_to.is_none() && option.suits(node)) {
            return None;
        }
        let help = suggestion::did_you_mean(text, words.iter().copied());
        let help = help.or(Some(format!("one of {}", words.join(", "))));
        let message = format!("'{}' cannot be '{text}'", trail.last_name());
        Some(Diagnostic::error("wrong-value", message).at(self.source, node.span).help(help))
    }
}

/// Whether the node is `{secret: NAME}`, which takes the place of a value where one may stand.
fn is_secret(node: &Node) -> bool {
    node.entries().len() == 1 && node.get("secret").is_some_and(|name| name.as_str().is_some())
}

/// What a reference of the document refers to.
fn target<'a>(document: &'a Value, reference: &str) -> Option<&'a Value> {
    match reference.strip_prefix("#/$defs/") {
        Some(name) if !name.contains(['/', '~']) => document.get("$defs")?.get(name),
        _ => document.pointer(reference.strip_prefix('#')?),
    }
}

#[cfg(test)]
mod tests;
