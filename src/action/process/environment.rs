//! The environment of a program that the engine starts: a short list taken over, the rest given by name.

use std::ffi::{OsStr, OsString};

use serde::{Deserialize, Serialize};

use crate::base::environment;

/// What programs need to find their tools, their files and the language of their messages. Everything
/// else of the engine's environment, its secrets first of all, stays with the engine.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_MESSAGES",
    "LC_MONETARY",
    "LC_NUMERIC",
    "LC_TIME",
    "TZ",
    "USER",
    "LOGNAME",
    "TMPDIR",
];

/// Used when the engine itself has no `PATH`, as under some init systems.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names that the engine gives to every program itself.
const OWN: &[&str] = &["RB_RUN", "RB_STEP", "RB_ATTEMPT", "RB_IDEMPOTENCY_KEY"];

/// Names through which a value becomes code in the loader, in a shell or in a common interpreter.
const CODE: &[&str] = &[
    "PATH",
    "ENV",
    "BASH_ENV",
    "BASHOPTS",
    "SHELLOPTS",
    "IFS",
    "PS4",
    "PROMPT_COMMAND",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PERL5LIB",
    "PERL5OPT",
    "RUBYLIB",
    "RUBYOPT",
    "NODE_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "GIT_SSH_COMMAND",
];

/// Variables for a program; nothing else is passed on.
#[derive(Clone, Serialize, Deserialize)]
pub struct Environment(Vec<(OsString, OsString)>);

impl std::fmt::Debug for Environment {
    /// The names alone: a value may be a secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Environment {
    /// What is taken over from the engine's own environment.
    pub fn inherited() -> Self {
        let taken = INHERITED.iter().filter_map(|name| {
            let value = environment::path(name)?;
            Some((OsString::from(name), value.into_os_string()))
        });
        let mut all = Environment(taken.collect());
        if all.get("PATH").is_none() {
            all.0.push(("PATH".into(), DEFAULT_PATH.into()));
        }
        all
    }

    /// Adds a variable, or replaces it.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.into(), value.into()));
    }

    /// Where programs are looked for.
    pub fn search_path(&self) -> &OsStr {
        self.get("PATH").unwrap_or(OsStr::new(DEFAULT_PATH))
    }

    pub fn variables(&self) -> &[(OsString, OsString)] {
        &self.0
    }

    /// The variable as `NAME=value`.
    pub fn line(&self, name: &str) -> Option<String> {
        Some(format!("{name}={}", self.get(name)?.to_str()?))
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }
}

/// Says why a playbook may not set the variable, if it may not.
pub fn check_name(name: &str) -> Result<(), String> {
    let starts = name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_');
    let rest = name.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_');
    if !starts || !rest {
        return Err(format!("'{name}' is not a name of capital letters, digits and underscores"));
    }
    if OWN.contains(&name) {
        return Err(format!("{name} is set by the engine"));
    }
    if CODE.contains(&name) || name.starts_with("LD_") || name.starts_with("DYLD_") {
        return Err(format!("{name} can turn data into code"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_run_code_are_refused() {
        for name in ["LD_PRELOAD", "LD_AUDIT", "PATH", "BASH_ENV", "ENV", "RB_RUN", "lower", "1A", "", "A-B", "A=B"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["RB_PROVIDER", "A1", "_X", "MODEL"] {
            assert_eq!(check_name(name), Ok(()));
        }
    }

    #[test]
    fn a_variable_is_there_once() {
        let mut environment = Environment::inherited();
        environment.set("RB_X", "1");
        environment.set("RB_X", "2");
        let values: Vec<_> = environment.variables().iter().filter(|(name, _)| name == "RB_X").collect();
        assert_eq!(values, [&(OsString::from("RB_X"), OsString::from("2"))]);
    }
}
