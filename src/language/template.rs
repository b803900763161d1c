//! Strict Handlebars templates: `{{inputs.provider}}`. They fill values and never code: only text
//! of the playbook is compiled, what is inserted is encoded for its place, and a name without a value
//! is an error instead of an empty string.

use std::sync::Arc;

use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{Handlebars, Path, Template as Compiled};
use serde_json::{Map, Value};

use super::encoding::Encoding;
use super::{LanguageError, Lookup, Names, Scope};
use crate::base::value::show;

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

/// Whether the text needs rendering at all.
pub fn is_template(text: &str) -> bool {
    text.contains("{{")
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, LanguageError> {
        let compiled = Compiled::compile(text).map_err(|error| {
            LanguageError::new(format!("not a valid template: {}", error.reason()))
                .help("names are inserted as {{inputs.name}}".to_owned())
        })?;
        let mut references = Vec::new();
        collect(&compiled, &mut references)?;
        references.dedup();
        let parts = match plain_pieces(&compiled) {
            Some(pieces) => Parts::Plain(pieces),
            None => Parts::Blocks(Arc::new(compiled)),
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

    /// The text with every value inserted, each encoded for its place.
    pub fn render(&self, scope: &dyn Scope, encoding: Encoding) -> Result<String, LanguageError> {
        match &self.parts {
            Parts::Plain(pieces) => self.render_plain(pieces, scope, encoding),
            Parts::Blocks(compiled) => self.render_blocks(compiled, scope, encoding),
        }
    }

    fn render_plain(&self, pieces: &[Piece], scope: &dyn Scope, encoding: Encoding) -> Result<String, LanguageError> {
        let mut text = String::new();
        for (position, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Name(name) => {
                    let value = show(&self.lookup(scope, name)?);
                    text.push_str(&encoding.encode(&value, position == 0));
                }
            }
        }
        Ok(text)
    }

    fn render_blocks(
        &self,
        compiled: &Compiled,
        scope: &dyn Scope,
        encoding: Encoding,
    ) -> Result<String, LanguageError> {
        let mut data = Value::Object(Map::new());
        for name in &self.references {
            // Inside a condition a name may be missing: {{#if}} exists to ask that.
            if let Lookup::Value(value) = scope.lookup(name) {
                insert(&mut data, name, value);
            }
        }
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        handlebars.register_escape_fn(move |text| encoding.encode(text, false));
        handlebars.register_template("template", compiled.clone());
        handlebars
            .render("template", &data)
            .map_err(|error| LanguageError::new(format!("cannot fill the template: {}", error.reason())))
    }

    fn lookup(&self, scope: &dyn Scope, name: &str) -> Result<Value, LanguageError> {
        match scope.lookup(name) {
            Lookup::Value(Value::Null) => {
                Err(LanguageError::new(format!("'{name}' is null")).pointing_at(&self.text, name))
            }
            Lookup::Value(value) => Ok(value),
            Lookup::Missing(why) => {
                Err(LanguageError::new(format!("'{name}' has no value: {why}")).pointing_at(&self.text, name))
            }
        }
    }
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

fn collect(compiled: &Compiled, references: &mut Vec<String>) -> Result<(), LanguageError> {
    for element in &compiled.elements {
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
            TemplateElement::Expression(call) | TemplateElement::HelperBlock(call) => collect_call(call, references)?,
            TemplateElement::HtmlExpression(_) => {
                return Err(
                    LanguageError::new("'{{{' would insert a value without encoding it").help("write '{{'".to_owned())
                );
            }
            _ => return Err(LanguageError::new("partials and decorators are not part of templates")),
        }
    }
    Ok(())
}

fn collect_call(call: &HelperTemplate, references: &mut Vec<String>) -> Result<(), LanguageError> {
    if call.params.is_empty() && call.hash.is_empty() && !call.block {
        references.extend(parameter_name(&call.name));
    }
    let parameters = call.params.iter().chain(call.hash.values());
    references.extend(parameters.filter_map(|parameter| match parameter {
        Parameter::Path(_) => parameter_name(parameter),
        _ => None,
    }));
    for inner in [&call.template, &call.inverse].into_iter().flatten() {
        collect(inner, references)?;
    }
    Ok(())
}

/// The dotted name of a parameter; `None` for what is local to a block (`this`, `@index`).
fn parameter_name(parameter: &Parameter) -> Option<String> {
    let raw = match parameter {
        Parameter::Name(name) => name.as_str(),
        Parameter::Path(Path::Relative((_, raw))) => raw.as_str(),
        _ => return None,
    };
    let local = raw.is_empty() || raw == "this" || raw.starts_with("this.") || raw.starts_with("../") || raw == ".";
    (!local).then(|| raw.replace(['[', ']'], ""))
}
