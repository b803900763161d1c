//! Name patterns: `*` and `?` within a name, `**` over folders, `[abc]`, `{one,two}`.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use regex::bytes::Regex;

use super::blocking::Stop;
use super::files::{is_absent, walk};
use crate::kind::StepError;

/// Files one pattern may stand for; a pattern that names more is almost surely a slip.
const MOST_FILES: usize = 1000;

/// A pattern for paths below a folder. Paths are bytes: a name need not be UTF-8.
pub(super) struct Glob(Regex);

impl Glob {
    pub(super) fn new(pattern: &str) -> Result<Self, StepError> {
        Regex::new(&to_regex(pattern)).map(Glob).map_err(|_| {
            StepError::new(format!("'{pattern}' is not a name pattern"))
                .help("close every [ and {; write \\[ for the character itself")
        })
    }

    pub(super) fn matches(&self, path: &Path) -> bool {
        self.0.is_match(path.as_os_str().as_bytes())
    }
}

/// True when the text holds one of the pattern's special characters.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

fn to_regex(pattern: &str) -> String {
    let mut regex = String::from(r"\A(?s-u:");
    let mut rest = pattern;
    let mut in_choice = false;
    while let Some(letter) = rest.chars().next() {
        let (part, used): (&str, usize) = match letter {
            _ if rest.starts_with("**/") => ("(?:[^/]+/)*", 3),
            _ if rest.starts_with("**") => (".*", 2),
            '*' => ("[^/]*", 1),
            '?' => ("[^/]", 1),
            '{' => ("(?:", 1),
            '}' if in_choice => (")", 1),
            ',' if in_choice => ("|", 1),
            '[' => {
                let used = class_length(rest);
                push_class(&mut regex, &rest[..used]);
                ("", used)
            }
            '\\' if rest.len() > 1 => {
                rest = &rest[1..];
                ("", push_literal(&mut regex, rest))
            }
            _ => ("", push_literal(&mut regex, rest)),
        };
        in_choice = (in_choice || letter == '{') && letter != '}';
        regex.push_str(part);
        rest = &rest[used..];
    }
    regex.push_str(r")\z");
    regex
}

/// Adds the first character as itself and returns its length.
fn push_literal(regex: &mut String, text: &str) -> usize {
    let length = text.chars().next().map_or(0, char::len_utf8);
    for byte in &text.as_bytes()[..length] {
        // A byte at a time, since the regex matches bytes; a write to a string cannot fail.
        let _ = write!(regex, r"\x{byte:02x}");
    }
    length
}

/// The length of the class at the start of `text`; a `]` directly after the opening is a member.
fn class_length(text: &str) -> usize {
    let first =
        1 + usize::from(text[1..].starts_with('!')) + usize::from(text.starts_with("[]") || text.starts_with("[!]"));
    text[first..].find(']').map_or(text.len(), |end| first + end + 1)
}

fn push_class(regex: &mut String, class: &str) {
    let Some(members) = class.strip_prefix('[').and_then(|class| class.strip_suffix(']')) else {
        // Not closed: an open bracket makes the regex invalid, which is then reported.
        regex.push('[');
        return;
    };
    regex.push_str(if members.starts_with('!') { "[^/" } else { "[" });
    for letter in members.trim_start_matches('!').chars() {
        if matches!(letter, '[' | ']' | '\\' | '^' | '&' | '~') {
            regex.push('\\');
        }
        regex.push(letter);
    }
    regex.push(']');
}

/// The files a path pattern stands for, sorted; empty when there are none. A text without special
/// characters stands for itself.
pub(super) fn expand(pattern: &str, stop: &Stop) -> Result<Vec<PathBuf>, StepError> {
    if !is_pattern(pattern) {
        let path = PathBuf::from(pattern);
        // What exists but cannot be looked at is kept: opening it gives the better error.
        let absent = path.metadata().is_err_and(|error| is_absent(&error));
        return Ok(if absent { Vec::new() } else { vec![path] });
    }
    let (base, rest) = split_base(pattern);
    let steps = Steps::new(rest)?;
    if base.metadata().is_err_and(|error| is_absent(&error)) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    walk(&base, stop, |entry| {
        let below = entry.path.strip_prefix(&base).unwrap_or(&entry.path);
        // `is_file` of the path, not of the entry: a link to a log file is a log file.
        if steps.whole.matches(below) && entry.path.is_file() {
            found.push(entry.path.clone());
        }
        if found.len() > MOST_FILES {
            return Err(StepError::new(format!("'{pattern}' stands for more than {MOST_FILES} files"))
                .help("name fewer files by a narrower pattern"));
        }
        Ok(steps.may_lead_on(below, entry.depth))
    })?;
    Ok(found)
}

/// The folder before the first special character, and the pattern below it.
fn split_base(pattern: &str) -> (PathBuf, &str) {
    let special = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
    match pattern[..special].rfind('/') {
        Some(slash) => (PathBuf::from(&pattern[..=slash]), &pattern[slash + 1..]),
        None => (PathBuf::from("."), pattern),
    }
}

/// A pattern cut at its slashes, so that folders that cannot lead to a match are not entered.
struct Steps {
    whole: Glob,
    folders: Vec<Glob>,
    any_depth: bool,
}

impl Steps {
    fn new(pattern: &str) -> Result<Self, StepError> {
        let names: Vec<&str> = pattern.split('/').collect();
        let fixed = names.iter().take_while(|name| !name.contains("**")).count();
        let any_depth = fixed < names.len();
        let folders = if any_depth { fixed } else { names.len() - 1 };
        let folders = (1..=folders).map(|length| Glob::new(&names[..length].join("/"))).collect::<Result<_, _>>()?;
        Ok(Steps { whole: Glob::new(pattern)?, folders, any_depth })
    }

    fn may_lead_on(&self, folder: &Path, depth: usize) -> bool {
        self.folders.get(depth - 1).map_or(self.any_depth, |glob| glob.matches(folder))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::new(pattern).unwrap().matches(Path::new(path))
    }

    #[test]
    fn special_characters() {
        for (pattern, path) in [
            ("*.onnx", "model.onnx"),
            ("**/*.onnx", "model.onnx"),
            ("**/*.onnx", "a/b/model.onnx"),
            ("a/**", "a/b/c"),
            ("v?.bin", "v1.bin"),
            ("*.{bin,onnx}", "x.bin"),
            ("[a-c]*[!0-9]", "beta"),
            ("[]]x", "]x"),
            (r"\*", "*"),
            ("größe(1)+.txt", "größe(1)+.txt"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.onnx", "a/model.onnx"),
            ("a?b", "a/b"),
            ("[!0-9]", "5"),
            ("a.b", "axb"),
            ("*.{bin,pt}", "x.onnx"),
            ("a", "ab"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn names_need_not_be_text() {
        assert!(Glob::new("*.log").unwrap().matches(Path::new(OsStr::from_bytes(b"\xff\xfe.log"))));
    }

    #[test]
    fn an_open_bracket_is_an_error_with_help() {
        for wrong in ["[abc", "{a,b"] {
            assert!(Glob::new(wrong).err().unwrap().help.is_some(), "{wrong}");
        }
    }

    #[test]
    fn expansion_enters_only_folders_on_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["web/logs", "api/logs", "api/other/deep"] {
            std::fs::create_dir_all(root.join(path)).unwrap();
        }
        for path in ["web/logs/app.log", "api/logs/app.log", "api/other/deep/app.log"] {
            std::fs::write(root.join(path), "").unwrap();
        }
        let found = |pattern: &str| {
            let paths = expand(&format!("{}/{pattern}", root.display()), &Stop::never()).unwrap();
            paths.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found("*/logs/*.log"), ["api/logs/app.log", "web/logs/app.log"]);
        assert_eq!(found("api/**/*.log"), ["api/logs/app.log", "api/other/deep/app.log"]);
        assert_eq!(found("web/logs/app.log"), ["web/logs/app.log"]);
        assert!(found("nowhere/*.log").is_empty());
        assert!(found("missing.log").is_empty());
    }
}
