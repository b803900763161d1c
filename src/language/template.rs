//! Strict Handlebars templates: `{{inputs.provider}}`. They fill values and never code: only text
//! of the playbook is compiled, what is inserted is encoded for its place, and a name without a value
//! is an error instead of an empty string.

use std::sync::{Arc, Mutex, PoisonError};

use handlebars::template::{BlockParam, HelperTemplate, Parameter, TemplateElement};
use handlebars::{Handlebars, Path, Template as Compiled};
use serde_json::{Map, Value};

use super::encoding::Encoding;
use super::{LanguageError, Lookup, Names, Scope, Tainted, fuel, placeholder};
use crate::base::suggestion;

/// Nobody reads deeper templates, and the parser calls itself once a level.
const MAX_NESTING: usize = 16;

/// What a template may do beside inserting names. None of it writes or reads anything outside.
const HELPERS: [&str; 15] =
    ["if", "unless", "each", "with", "lookup", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not", "len"];

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    text: Arc<str>,
    parts: Parts,
    references: Vec<String>,
}

#[derive(Debug, Clone)]
enum Parts {
    /// Text and names only: what nearly every template is.
    Plain(Vec<Piece>),
    /// With blocks or helpers; Handlebars itself renders it.
    Blocks(Arc<Compiled>),
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Name(String),
}

/// A part of a template whose names have their values.
enum Filled {
    Text(String),
    /// A value, and the name it stands for if it has one of its own.
    Data(Tainted<Value>, Option<String>),
}

/// Around the number of a value. No template and no value holds this byte.
const MARK: char = '\0';

/// Whether the text needs rendering at all.
pub fn is_template(text: &str) -> bool {
    text.contains("{{")
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, LanguageError> {
        if text.contains(MARK) {
            return Err(LanguageError::new("the template holds a NUL byte").help("leave it out".to_owned()));
        }
        if nesting(text) > MAX_NESTING {
            return Err(LanguageError::new(format!("the template is nested deeper than {MAX_NESTING} levels"))
                .help("prepare the value in a step of its own".to_owned()));
        }
        let mut compiled = Compiled::compile(text).map_err(|error| {
            LanguageError::new(format!("not a valid template: {}", error.reason()))
                .help("names are inserted as {{inputs.name}}".to_owned())
        })?;
        let mut references = Vec::new();
        Collector { references: &mut references, locals: Vec::new() }.template(&compiled)?;
        let mut seen = std::collections::HashSet::new();
        references.retain(|name| seen.insert(name.clone()));
        let parts = match plain_pieces(&compiled) {
            Some(pieces) => Parts::Plain(pieces),
            None => {
                fuel::count_rounds(&mut compiled).map_err(|error| LanguageError::new(error.to_string()))?;
                Parts::Blocks(Arc::new(compiled))
            }
        };
        Ok(Template { text: text.into(), parts, references })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The dotted names it inserts.
    pub fn references(&self) -> &[String] {
        &self.references
    }

    /// Every name in it that does not exist.
    pub fn check(&self, names: &dyn Names) -> Vec<LanguageError> {
        let wrong = |name: &String| names.type_of(name).err().map(|problem| problem.pointing_at(&self.text, name));
        self.references.iter().filter_map(wrong).collect()
    }

    /// When the template is nothing but one name: that name. Its value then keeps its type.
    pub fn whole(&self) -> Option<&str> {
        match &self.parts {
            Parts::Plain(pieces) => match pieces.as_slice() {
                [Piece::Name(name)] => Some(name),
                _ => None,
            },
            Parts::Blocks(_) => None,
        }
    }

    /// Whether it has blocks or helpers, so that a value may decide which of its text is used.
    pub fn has_blocks(&self) -> bool {
        matches!(self.parts, Parts::Blocks(_))
    }

    /// The text with every value inserted, each encoded for its place.
    pub fn render(&self, scope: &dyn Scope, encoding: Encoding) -> Result<String, LanguageError> {
        let parts = match &self.parts {
            Parts::Plain(pieces) => self.fill_plain(pieces, scope)?,
            Parts::Blocks(compiled) => self.fill_blocks(compiled, scope)?,
        };
        let data_first = matches!(parts.first(), Some(Filled::Data(..)));
        let mut text = String::new();
        for (position, part) in parts.into_iter().enumerate() {
            match part {
                Filled::Text(part) => text.push_str(&part),
                Filled::Data(value, name) => {
                    let before = (position > 0).then_some(text.as_str());
                    let encoded = encoding.encode(&value, before).map_err(|problem| match &name {
                        Some(name) => problem.pointing_at(&self.text, name),
                        None => problem,
                    })?;
                    text.push_str(&encoded);
                }
            }
        }
        encoding.check_whole(&text, data_first)?;
        Ok(text)
    }

    /// The names whose values may decide about the host when the text is an address; none when the text of the
    /// template names it.
    pub fn names_of_host(&self) -> Vec<&str> {
        let Parts::Plain(pieces) = &self.parts else { return self.references.iter().map(String::as_str).collect() };
        let (mut before, mut names) = (String::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Text(text) => before.push_str(text),
                // A letter stands for what will be inserted: `{{inputs.scheme}}://host/` has its host in the text.
                Piece::Name(_) if host_is_complete(&before) => break,
                Piece::Name(name) => {
                    names.push(name.as_str());
                    before.push('x');
                }
            }
        }
        names
    }

    fn fill_plain(&self, pieces: &[Piece], scope: &dyn Scope) -> Result<Vec<Filled>, LanguageError> {
        let fill = |piece: &Piece| match piece {
            Piece::Text(text) => Ok(Filled::Text(text.clone())),
            // To be read, not to be done: no place encodes it.
            Piece::Name(name) if scope.is_open(name) => Ok(Filled::Text(placeholder(name))),
            Piece::Name(name) => Ok(Filled::Data(self.lookup(scope, name)?, Some(name.clone()))),
        };
        pieces.iter().map(fill).collect()
    }

    /// Handlebars puts a mark where a value goes; values are encoded when it is known what stands before each.
    fn fill_blocks(&self, compiled: &Compiled, scope: &dyn Scope) -> Result<Vec<Filled>, LanguageError> {
        let mut data = Value::Object(Map::new());
        for name in &self.references {
            // Inside a condition a name may be missing: {{#if}} exists to ask that. Null would be shown as
            // nothing; missing, it is an error where it is inserted.
            if let Lookup::Value(value) = scope.lookup(name)
                && !value.is_null()
            {
                insert(&mut data, name, value);
            }
        }
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        let values = Arc::new(Mutex::new(Vec::new()));
        let inserted = Arc::clone(&values);
        let length = fuel::Length::default();
        let counted = length.clone();
        handlebars.register_escape_fn(move |text| {
            if !counted.has_room_for(text) {
                // Anything that is written now ends the rendering; nothing would not be written.
                return MARK.to_string();
            }
            let mut values = inserted.lock().unwrap_or_else(PoisonError::into_inner);
            values.push(Tainted::new(Value::from(text)));
            format!("{MARK}{}{MARK}", values.len() - 1)
        });
        handlebars.register_template("template", compiled.clone());
        let marked = fuel::render(&mut handlebars, "template", &data, length)
            .map_err(|error| LanguageError::new(format!("cannot fill the template: {}", error.reason())))?;
        let values = std::mem::take(&mut *values.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(unmark(&marked, &values))
    }

    fn lookup(&self, scope: &dyn Scope, name: &str) -> Result<Tainted<Value>, LanguageError> {
        match scope.lookup(name) {
            Lookup::Value(Value::Null) => {
                Err(LanguageError::new(format!("'{name}' is null")).pointing_at(&self.text, name))
            }
            Lookup::Value(value) => Ok(Tainted::new(value)),
            Lookup::Missing(why) => {
                Err(LanguageError::new(format!("'{name}' has no value: {why}")).pointing_at(&self.text, name))
            }
        }
    }
}

/// The texts between marks, and the values that the marks stand for. Every second part is the number of a value.
fn unmark(marked: &str, values: &[Tainted<Value>]) -> Vec<Filled> {
    let part = |(position, part): (usize, &str)| match part.parse().ok().and_then(|number: usize| values.get(number)) {
        Some(value) if position % 2 == 1 => Some(Filled::Data(value.clone(), None)),
        _ if part.is_empty() => None,
        _ => Some(Filled::Text(part.to_owned())),
    };
    marked.split(MARK).enumerate().filter_map(part).collect()
}

/// Whether a beginning of an address has its whole host in it. An address that does not begin with a scheme is
/// inserted whole, and what follows it is a path.
fn host_is_complete(before: &str) -> bool {
    let rest = before.split_once("://").map_or(before, |(_, rest)| rest);
    rest.contains(['/', '?', '#'])
}

/// Puts a value at a dotted name, making the objects on the way.
fn insert(data: &mut Value, name: &str, value: Value) {
    let mut place = data;
    for part in name.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(entries) = place else { return };
        place = entries.entry(part).or_insert(Value::Null);
    }
    *place = value;
}

fn plain_pieces(compiled: &Compiled) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    for element in &compiled.elements {
        match element {
            TemplateElement::RawString(text) => pieces.push(Piece::Text(text.clone())),
            TemplateElement::Expression(call) if call.params.is_empty() && call.hash.is_empty() && !call.block => {
                pieces.push(Piece::Name(parameter_name(&call.name)?));
            }
            TemplateElement::Comment(_) => {}
            _ => return None,
        }
    }
    Some(pieces)
}

/// How deep blocks and parentheses in tags are nested.
fn nesting(text: &str) -> usize {
    let (mut blocks, mut deepest) = (0_usize, 0);
    for tag in text.split("{{").skip(1) {
        let tag = tag.split("}}").next().unwrap_or(tag);
        match tag.trim_start_matches(['~', '{']).bytes().next() {
            Some(b'#') => blocks += 1,
            Some(b'/') => blocks = blocks.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(blocks + tag.matches('(').count());
    }
    deepest
}

/// Finds every name that a template reads, and what is not part of templates.
struct Collector<'a> {
    references: &'a mut Vec<String>,
    /// Names that blocks give to their items: `{{#each inputs.names as |name|}}`.
    locals: Vec<String>,
}

impl Collector<'_> {
    fn template(&mut self, compiled: &Compiled) -> Result<(), LanguageError> {
        compiled.elements.iter().try_for_each(|element| self.element(element))
    }

    fn element(&mut self, element: &TemplateElement) -> Result<(), LanguageError> {
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => Ok(()),
            TemplateElement::Expression(call) | TemplateElement::HelperBlock(call) => self.call(call),
            TemplateElement::HtmlExpression(_) => {
                Err(LanguageError::new("'{{{' would insert a value without encoding it").help("write '{{'".to_owned()))
            }
            _ => Err(LanguageError::new("partials and decorators are not part of templates")),
        }
    }

    fn call(&mut self, call: &HelperTemplate) -> Result<(), LanguageError> {
        if call.params.is_empty() && call.hash.is_empty() && !call.block {
            self.name(&call.name);
            return Ok(());
        }
        known_helper(&call.name)?;
        call.params.iter().chain(call.hash.values()).try_for_each(|parameter| self.parameter(parameter))?;
        let before = self.locals.len();
        match &call.block_param {
            Some(BlockParam::Single(name)) => self.locals.extend(plain_name(name)),
            Some(BlockParam::Pair((first, second))) => {
                self.locals.extend(plain_name(first).into_iter().chain(plain_name(second)));
            }
            _ => {}
        }
        [&call.template, &call.inverse].into_iter().flatten().try_for_each(|inner| self.template(inner))?;
        self.locals.truncate(before);
        Ok(())
    }

    fn parameter(&mut self, parameter: &Parameter) -> Result<(), LanguageError> {
        match parameter {
            Parameter::Path(_) => self.name(parameter),
            Parameter::Subexpression(inner) => self.element(&inner.element)?,
            _ => {}
        }
        Ok(())
    }

    fn name(&mut self, parameter: &Parameter) {
        let Some(name) = parameter_name(parameter) else { return };
        let head = name.split('.').next().unwrap_or(&name);
        if !self.locals.iter().any(|local| local == head) {
            self.references.push(name);
        }
    }
}

fn known_helper(name: &Parameter) -> Result<(), LanguageError> {
    let Some(name) = plain_name(name) else { return Ok(()) };
    if HELPERS.contains(&name.as_str()) {
        return Ok(());
    }
    Err(LanguageError::new(format!("templates have no '{name}'")).help(suggestion::did_you_mean(&name, HELPERS)))
}

/// The name that a block or its item has.
fn plain_name(parameter: &Parameter) -> Option<String> {
    match parameter {
        Parameter::Name(name) => Some(name.clone()),
        Parameter::Path(Path::Relative((_, raw))) => Some(raw.clone()),
        _ => None,
    }
}

/// The dotted name of a parameter; `None` for what is local to a block (`this`, `@index`).
fn parameter_name(parameter: &Parameter) -> Option<String> {
    let raw = match parameter {
        Parameter::Name(name) => name.as_str(),
        Parameter::Path(Path::Relative((_, raw))) => raw.as_str(),
        _ => return None,
    };
    // `../name` leaves a block; outside of every block it is a name like any other.
    let raw = raw.trim_start_matches("../");
    let local = raw.is_empty() || raw == "this" || raw.starts_with("this.") || raw == ".";
    (!local).then(|| raw.replace(['[', ']'], ""))
}
