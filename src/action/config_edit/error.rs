//! Why a file cannot be edited, and what to do instead.

use std::path::Path;

use crate::kind::StepError;

#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum EditError {
    #[error("it is not valid: {0}")]
    Syntax(String),
    #[error("'{at}' is {found}, so it has no key '{key}'")]
    NotAMapping { at: String, found: &'static str, key: String },
    #[error("'{at}' is a list of {length}, so it has no '{key}'")]
    NotInList { at: String, length: usize, key: String },
    #[error("'{key}' is an item of a list, which cannot be removed by its number")]
    ListItem { key: String },
    #[error("'{key}' is given on lines {first} and {second}")]
    Twice { key: String, first: usize, second: usize },
    #[error("'{key}' cannot hold {value}")]
    Value { key: String, value: String },
    #[error("'{0}' is not a name for a variable")]
    Name(String),
    #[error("'{key}' is written in a way that cannot be edited without touching other things")]
    WouldDamage { key: String },
}

impl EditError {
    pub fn into_step_error(self, path: &Path) -> StepError {
        StepError::new(format!("cannot edit {}: {self}", path.display())).help(self.help())
    }

    fn help(&self) -> &'static str {
        match self {
            EditError::Syntax(_) => "correct the file, or put a good copy in its place",
            EditError::NotAMapping { .. } => "correct the key, or set the whole value above it",
            EditError::NotInList { .. } | EditError::ListItem { .. } => "set the whole list instead",
            EditError::Twice { .. } => "keep one of the two lines",
            EditError::Value { .. } => "write the value in a form that the file's format has",
            EditError::Name(_) => "use letters, digits and underscores",
            EditError::WouldDamage { .. } => "the file is untouched; edit it by hand, or replace it as a whole",
        }
    }
}
