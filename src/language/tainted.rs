//! Data that came from outside the playbook. It becomes text only through the encoder of a place.

use serde_json::Value;

use super::{Encoding, LanguageError};
use crate::base::value::show;

/// A value that a name stood for while a run went on: an input, the output of a step, a word about the run.
/// Only the text of the playbook is trusted, and it is so when it is loaded; nothing that is computed from data
/// ever becomes trusted.
///
/// There is no way to the text inside except [`Encoding::encode`], so a place without an encoder does not compile:
///
/// ```compile_fail
/// use runbook::language::Tainted;
/// let label = Tainted::new(serde_json::json!("$(reboot)"));
/// let shell_text: String = format!("echo {label}");
/// ```
///
/// ```compile_fail
/// use runbook::language::Tainted;
/// let label = Tainted::new(serde_json::json!("$(reboot)"));
/// let text: &str = label.0.as_str().unwrap();
/// ```
///
/// ```
/// use runbook::language::{Encoding, Tainted};
/// let label = Tainted::new(serde_json::json!("a b/c"));
/// assert_eq!(Encoding::Url.encode(&label, Some("http://x/")).unwrap(), "a%20b%2Fc");
/// ```
#[derive(Clone, PartialEq)]
pub struct Tainted<T>(T);

impl<T> Tainted<T> {
    /// Anything may become tainted; nothing becomes trusted again.
    pub fn new(value: T) -> Self {
        Tainted(value)
    }
}

impl Tainted<Value> {
    /// The value as data for a place that takes JSON, which no text can leave.
    pub fn into_json(self) -> Value {
        self.0
    }

    /// Whether it is text, which needs the encoder of its place.
    pub fn is_text(&self) -> bool {
        self.0.is_string()
    }

    /// The plain text, for the encoders. No place takes a NUL byte: programs and file names end there, so what
    /// was checked and what is used would differ.
    pub(super) fn shown(&self) -> Result<String, LanguageError> {
        let text = show(&self.0);
        if text.contains('\0') {
            return Err(LanguageError::new("the inserted value holds a NUL byte")
                .help("nothing takes it; find out where the value comes from".to_owned()));
        }
        Ok(text)
    }
}

/// Only that there is one: logs are a place, too.
impl<T> std::fmt::Debug for Tainted<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tainted(…)")
    }
}

impl Encoding {
    /// The value as text for this place; `before` is what stands before it there, `None` when nothing does.
    pub fn encode(self, value: &Tainted<Value>, before: Option<&str>) -> Result<String, LanguageError> {
        self.encode_text(&value.shown()?, before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_a_nul_byte_becomes_no_text() {
        for encoding in [Encoding::Plain, Encoding::Argument, Encoding::Path, Encoding::Regex] {
            assert!(encoding.encode(&Tainted::new("a\0b".into()), Some("x")).is_err(), "{encoding:?}");
            assert!(encoding.encode(&Tainted::new("a b".into()), Some("x")).is_ok(), "{encoding:?}");
        }
    }
}
