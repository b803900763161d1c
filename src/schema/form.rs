//! A part of a schema as the checker reads it, and the way to the part of a document that it checks.
//!
//! Every node of a document asks for a dozen words of its schema. Going through the words that are
//! there once is several times faster than looking each of the dozen up, and a playbook of ten
//! thousand steps has a hundred thousand nodes.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use regex::Regex;
use serde_json::{Map, Value};

use crate::base::Route;
use crate::language::{Wanted, is_template};
use crate::yaml::{Data, Node};

/// The schema that accepts everything.
pub(super) static ANYTHING: Value = Value::Bool(true);

/// The words of one schema; what is not there is empty.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Form<'a> {
    pub reference: Option<&'a str>,
    /// Names of accepted types; none accept every type.
    pub types: &'a [Value],
    pub properties: Option<&'a Map<String, Value>>,
    pub additional: Option<&'a Value>,
    pub required: &'a [Value],
    /// The schema of names of properties.
    pub names: Option<&'a Value>,
    pub one_of: Option<&'a [Value]>,
    any_of: Option<&'a [Value]>,
    items: Option<&'a Value>,
    first_items: &'a [Value],
    /// `const`.
    pub equal_to: Option<&'a Value>,
    /// `enum`.
    pub values: Option<&'a [Value]>,
    pub pattern: Option<&'a str>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub unit: Option<&'a str>,
    pub encoding: Option<&'a str>,
    pub templates: bool,
    pub constant: bool,
    pub expression: bool,
    description: Option<&'a str>,
}

impl<'a> Form<'a> {
    pub fn of(schema: &'a Value) -> Self {
        let mut form = Form::default();
        for (word, value) in schema.as_object().into_iter().flatten() {
            form.read(word, value);
        }
        form
    }

    fn read(&mut self, word: &str, value: &'a Value) {
        match word {
            "$ref" => self.reference = value.as_str(),
            "type" => self.types = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice),
            "properties" => self.properties = value.as_object(),
            "additionalProperties" => self.additional = Some(value),
            "required" => self.required = list(value).unwrap_or_default(),
            "propertyNames" => self.names = Some(value),
            "oneOf" => self.one_of = list(value),
            "anyOf" => self.any_of = list(value),
            "items" => self.items = Some(value),
            "prefixItems" => self.first_items = list(value).unwrap_or_default(),
            "const" => self.equal_to = Some(value),
            "enum" => self.values = list(value),
            "pattern" => self.pattern = value.as_str(),
            "minimum" => self.minimum = value.as_f64(),
            "maximum" => self.maximum = value.as_f64(),
            "description" => self.description = value.as_str(),
            "x-unit" => self.unit = value.as_str(),
            "x-encode" => self.encoding = value.as_str(),
            "x-templates" => self.templates = true,
            "x-constant" => self.constant = true,
            "x-expression" => self.expression = true,
            _ => {}
        }
    }

    /// The shapes a value may have. Beside `properties`, alternatives are no shapes but keys that
    /// exclude each other; taking them for shapes would leave the properties unchecked.
    pub fn alternatives(&self) -> Option<&'a [Value]> {
        if self.properties.is_some() { None } else { self.one_of.or(self.any_of) }
    }

    pub fn item(&self, index: usize) -> &'a Value {
        self.first_items.get(index).or(self.items).unwrap_or(&ANYTHING)
    }

    /// The first line of the description.
    pub fn help(&self) -> Option<String> {
        let text = self.description?;
        Some(text.lines().next().unwrap_or(text).to_owned())
    }

    fn accepted(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.types.iter().filter_map(Value::as_str)
    }

    pub fn accepts(&self, name: &str) -> bool {
        self.accepted().any(|accepted| accepted == name)
    }

    /// The accepted types in words.
    pub fn type_names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.accepted().filter(|name| *name != "null").map(type_name)
    }

    pub fn has_type_of(&self, node: &Node) -> bool {
        self.accepted().any(|name| is_of_type(node, name))
    }

    /// Whether the node is the constant that this form asks for.
    pub fn is_constant(&self, node: &Node) -> bool {
        match (self.equal_to, &node.data) {
            (Some(Value::String(wanted)), Data::String(text)) => wanted == text,
            (Some(Value::String(_)) | None, _) => false,
            (Some(wanted), _) => *wanted == node.to_json(),
        }
    }

    /// Whether the node has the shape of this form, whatever is inside it.
    pub fn suits(&self, node: &Node) -> bool {
        if self.unit.is_some() {
            return matches!(node.data, Data::String(_) | Data::Int(_) | Data::Float(_));
        }
        self.types.is_empty()
            || self.has_type_of(node)
            || (node.as_str().is_some_and(is_template) && !self.accepts("null"))
    }

    /// What a template here must be filled to.
    pub fn wanted(&self) -> Wanted {
        match (self.unit, self.accepted().next()) {
            (Some("bytes"), _) => Wanted::Bytes,
            (Some(_), _) => Wanted::Duration,
            (None, Some("string")) => Wanted::Text,
            (None, Some("integer" | "number")) => Wanted::Number,
            (None, Some("boolean")) => Wanted::Bool,
            _ => Wanted::Any,
        }
    }
}

fn list(value: &Value) -> Option<&[Value]> {
    value.as_array().map(Vec::as_slice)
}

/// The alternative the author means: the one of the same shape that shares the most keys.
pub(super) fn best_option<'f, 'a>(node: &Node, options: &'f [Form<'a>]) -> Option<&'f Form<'a>> {
    let shared = |form: &Form<'_>| {
        let has = |properties: &Map<String, Value>| {
            node.entries().iter().filter(|entry| properties.contains_key(&entry.key)).count()
        };
        form.properties.map_or(0, has)
    };
    // max_by_key takes the last of equals; reversing makes it the first, the one written first in the type.
    let suitable = options.iter().filter(|form| form.equal_to.is_none() && form.suits(node));
    suitable.rev().max_by_key(|form| shared(form))
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

/// Compiling a pattern takes a thousand times as long as matching with it. There are as many as our own
/// types write, so none is ever dropped.
static PATTERNS: LazyLock<Mutex<HashMap<String, Option<Regex>>>> = LazyLock::new(Mutex::default);

/// Whether the whole text matches.
pub(super) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut patterns = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
    if !patterns.contains_key(pattern) {
        patterns.insert(pattern.to_owned(), Regex::new(&format!("^(?:{pattern})$")).ok());
    }
    patterns.get(pattern).is_some_and(|compiled| compiled.as_ref().is_some_and(|compiled| compiled.is_match(text)))
}

/// The way from the document to one of its parts, through the frames of those who went there. It
/// becomes a route, which has to be allocated, only when something is said about the part.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trail<'t> {
    Root,
    Key(&'t Trail<'t>, &'t str),
    Index(&'t Trail<'t>, usize),
}

impl Trail<'_> {
    pub fn route(&self) -> Route {
        self.route_below(0)
    }

    /// The route from the part that lies `top` levels deep.
    pub fn route_below(&self, top: usize) -> Route {
        match self {
            trail if trail.depth() <= top => Route::root(),
            Trail::Root => Route::root(),
            Trail::Key(before, key) => before.route_below(top).key(key),
            Trail::Index(before, index) => before.route_below(top).index(*index),
        }
    }

    pub fn depth(&self) -> usize {
        match self {
            Trail::Root => 0,
            Trail::Key(before, _) | Trail::Index(before, _) => before.depth() + 1,
        }
    }

    pub fn last_name(&self) -> String {
        let text = self.route().to_string();
        let after_dot = text.rsplit('.').next().unwrap_or(&text).to_owned();
        if after_dot.is_empty() { "the document".to_owned() } else { after_dot }
    }

    pub fn place_name(&self) -> String {
        let text = self.route().to_string();
        if text.is_empty() { "the top level".to_owned() } else { format!("'{text}'") }
    }
}
