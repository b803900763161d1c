//! The two small languages inside a playbook: expressions (`when`, `expect`, `holds`) and templates
//! (`{{…}}`). Both are pure and look names up in a [`Scope`]; both are checked against [`Names`]
//! before anything runs.

pub mod declaration;
pub mod encoding;
mod evaluate;
mod expression;
mod fuel;
mod functions;
mod promql;
mod request;
mod tainted;
mod template;
#[cfg(test)]
mod tests;
mod typecheck;

use serde_json::Value;

use crate::base::Type;
pub use declaration::{Declaration, DeclaredType, Given, GivenProblem};
pub use encoding::Encoding;
pub use evaluate::Truth;
pub use expression::Expression;
pub use functions::{FUNCTIONS, Function};
pub use request::{Request, Slot, Wanted};
pub use tainted::Tainted;
pub use template::{Template, is_template};

/// What is wrong with an expression or template, and at which byte of it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct LanguageError {
    pub message: String,
    pub help: Option<String>,
    /// Byte offset and length inside the text; `None` for the whole of it.
    pub at: Option<(usize, usize)>,
}

impl LanguageError {
    pub fn new(message: impl Into<String>) -> Self {
        LanguageError { message: message.into(), help: None, at: None }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// Points at the first place where `word` stands as a whole name.
    #[must_use]
    pub fn pointing_at(mut self, text: &str, word: &str) -> Self {
        self.at = find_name(text, word).map(|start| (start, word.len()));
        self
    }
}

/// The values that names have while a run goes on.
pub trait Scope {
    fn lookup(&self, name: &str) -> Lookup;

    /// Whether a placeholder stands for the value of the name, because it is not given yet.
    fn is_open(&self, _name: &str) -> bool {
        false
    }
}

/// What stands for a value that is not given yet: `‹answers.replicas›`.
pub fn placeholder(name: &str) -> String {
    format!("‹{name}›")
}

/// What a name stands for right now.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    Value(Value),
    /// There is no value, for this reason: "diagnose.file did not answer".
    Missing(String),
}

/// The types that names have before a run.
pub trait Names {
    /// The type of a dotted name, or what is wrong with the name.
    fn type_of(&self, name: &str) -> Result<Type, LanguageError>;
}

fn find_name(text: &str, word: &str) -> Option<usize> {
    let is_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '.');
    text.match_indices(word).map(|(start, _)| start).find(|start| {
        let before = text[..*start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}
