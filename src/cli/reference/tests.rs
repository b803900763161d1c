//! The generated files are current, and no code is without a section.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::{pages, sections};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn generated_files_are_current() {
    for (name, text) in pages::all() {
        let found = std::fs::read_to_string(root().join(name)).unwrap_or_default();
        assert!(found == text, "{name} is not what the program says now; run `cargo run -- generate`");
    }
}

#[test]
fn every_setting_has_a_meaning() {
    for (name, text) in pages::all().iter().filter(|(name, _)| name.ends_with(".md")) {
        let empty: Vec<&str> = text.lines().filter(|line| line.starts_with("| `") && line.ends_with("|  |")).collect();
        assert!(empty.is_empty(), "{name} has keys without a doc comment:\n{}", empty.join("\n"));
    }
}

#[test]
fn every_code_has_a_section_and_every_section_a_code() {
    let documented: BTreeSet<String> = sections().map(|(code, _)| code.to_owned()).collect();
    assert_eq!(documented, codes_in_source());
}

/// The codes that are given to a diagnostic anywhere in the sources.
fn codes_in_source() -> BTreeSet<String> {
    let given = Regex::new(r#"(?:Diagnostic::error|Diagnostic::warning|problem|language)\(\s*"([a-z]+(?:-[a-z]+)*)""#);
    let given = given.unwrap();
    let mut codes = BTreeSet::new();
    let of_tests =
        |file: &PathBuf| file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
    for file in files_below(&root().join("src"), "rs").into_iter().filter(|file| !of_tests(file)) {
        let text = std::fs::read_to_string(&file).unwrap();
        // Tests make diagnostics of their own.
        let text = text.split("#[cfg(test)]").next().unwrap();
        codes.extend(given.captures_iter(text).map(|found| found[1].to_owned()));
    }
    codes
}

fn files_below(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let inner = |path: PathBuf| match path.is_dir() {
        true => files_below(&path, end),
        false => vec![path],
    };
    entries.flat_map(inner).filter(|path| path.extension().is_some_and(|found| found == end)).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#]+)(#[^)]*)?\)").unwrap();
    let mut pages: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| root().join(name)).into();
    pages.extend(files_below(&root().join("docs"), "md"));
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for found in link.captures_iter(&text).filter(|found| !found[1].contains("://")) {
            let target = page.parent().unwrap().join(&found[1]);
            assert!(target.exists(), "{}: there is no {}", page.display(), &found[1]);
        }
    }
}
