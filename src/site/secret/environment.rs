//! `{env: NAME}`: a variable of this program's own environment, which steps do not inherit.

use super::SecretError;
use crate::base::{Secret, environment};

pub(super) fn fetch(name: &str) -> Result<Secret<String>, SecretError> {
    environment::variable(name).map(Secret::new).ok_or_else(|| SecretError::Unset(name.to_owned()))
}
