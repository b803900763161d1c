//! Who may import whom, and other rules about the source text that no compiler checks. One crate has no
//! walls between its rooms; this table is the wall. `ARCHITECTURE.md` explains it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use regex::Regex;
use syn::visit::{self, Visit};

/// A room (a top-level module) and the rooms it may import. A room imports only rooms above it, so the
/// table has no cycles; `words` stand for what everything is made of, `doing` for what touches the world.
const ROOMS: &[(&str, &[&str])] = &[
    // Words. They import nothing that does anything.
    ("base", &[]),
    ("audit", &["base"]),
    ("language", &["base"]),
    ("yaml", &["base"]),
    ("model", &["base"]),
    ("statistics", &["base"]),
    ("site", &["base"]),
    ("schema", &["base", "language", "yaml"]),
    // The core. It sees neither YAML nor input and output.
    ("engine", &["base", "language"]),
    // What steps do and who is told.
    ("kind", &["base", "model", "site"]),
    ("http", &["base", "kind", "site"]),
    ("action", &["base", "http", "kind", "language", "model", "site", "yaml"]),
    ("probe", &["base", "http", "kind", "language", "model", "site", "statistics", "yaml"]),
    ("notify", &["base", "kind", "site"]),
    ("anchor", &["audit", "base", "http", "kind", "site"]),
    ("trigger", &["base", "engine", "kind", "language", "site"]),
    // The straight line: text to playbook to plan; events to disk and to eyes.
    (
        "playbook",
        &[
            "action", "anchor", "base", "engine", "kind", "language", "notify", "probe", "schema", "site", "trigger",
            "yaml",
        ],
    ),
    ("plan", &["base", "engine", "kind", "language", "playbook", "schema", "yaml"]),
    ("journal", &["audit", "base", "engine"]),
    ("report", &["base", "engine"]),
    // The one loop.
    (
        "runtime",
        &[
            "anchor", "audit", "base", "engine", "journal", "kind", "language", "notify", "plan", "playbook", "report",
            "site",
        ],
    ),
    ("server", &["audit", "base", "engine", "journal", "plan", "playbook", "report", "runtime", "site", "trigger"]),
    (
        "cli",
        &[
            "action", "anchor", "audit", "base", "engine", "http", "journal", "kind", "language", "model", "notify",
            "plan", "playbook", "probe", "report", "runtime", "schema", "server", "site", "yaml",
        ],
    ),
];

/// The longest a file may be without its tests; a longer one has two subjects.
const MOST_LINES: usize = 400;

/// Macros are put at the root of the crate whatever room they stand in.
const MACROS: &[(&str, &str)] = &[("step_kinds", "kind")];

#[test]
fn rooms_import_only_what_the_table_allows() {
    let violations = violations(&source("src"));
    assert!(violations.is_empty(), "see ROOMS in tests/layering.rs:\n{}", violations.join("\n"));
}

#[test]
fn the_table_has_every_room_and_no_cycle() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("the library");
    let parsed = syn::parse_file(&lib).expect("valid Rust");
    let rooms: BTreeSet<String> = parsed
        .items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Mod(module) => Some(module.ident.to_string()),
            _ => None,
        })
        .collect();
    let listed: BTreeSet<String> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(rooms, listed, "src/lib.rs and the table differ");
    for (position, (room, allowed)) in ROOMS.iter().enumerate() {
        let above: Vec<&str> = ROOMS[..position].iter().map(|(room, _)| *room).collect();
        let below: Vec<&&str> = allowed.iter().filter(|room| !above.contains(*room)).collect();
        assert!(below.is_empty(), "{room} may import {below:?}, which do not stand above it");
    }
}

/// A checker that finds nothing proves nothing: each way to import is planted once.
#[test]
fn planted_violations_are_found() {
    let planted = [
        "use crate::cli::Exit;",
        "use crate::{base::RunId, cli::{self, Exit}};",
        "use {crate::cli::Exit, std::fmt};",
        "pub use super::super::cli::Exit;",
        "use super::super::{cli as other};",
        "fn f() { let _ = crate::cli::main(); }",
        "fn f() -> super::super::cli::Exit { todo!() }",
        "fn f() { println!(\"{}\", crate::cli::Exit::Done as u8); }",
        "macro_rules! m { () => { $crate::cli::main() }; }",
        "impl crate::cli::Trait for X {}",
        "mod inner { use super::super::super::cli::Exit; }",
        "pub(in crate::cli) struct X;",
    ];
    for text in planted {
        let found = violations(&[(PathBuf::from("src/engine/planted.rs"), text.to_owned())]);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains("src/engine/planted.rs") && found[0].contains("cli"), "{found:?}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    let allowed = [
        ("src/engine/a.rs", "use crate::base::RunId; use super::state; use self::cli; mod cli {}"),
        ("src/engine/a.rs", "#[cfg(test)] mod tests { use crate::cli::Exit; }"),
        ("src/engine/a.rs", "#[cfg(test)] use crate::cli::Exit;"),
        ("src/engine/a.rs", "use crate::engine::event::Event;"),
        ("src/action/mod.rs", "crate::step_kinds! { http, file }"),
        ("src/cli/mod.rs", "use crate::runtime::Host;"),
    ];
    for (path, text) in allowed {
        let found = violations(&[(PathBuf::from(path), text.to_owned())]);
        assert!(found.is_empty(), "{text}: {found:?}");
    }
    let apart = [
        (PathBuf::from("src/engine/a.rs"), "#[cfg(test)] mod doubles;".to_owned()),
        (PathBuf::from("src/engine/a/doubles.rs"), "use crate::cli::Exit;".to_owned()),
    ];
    assert!(violations(&apart).is_empty(), "a file that is only there for tests");
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> = everything()
        .iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "these do not start with //!: {silent:?}");
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = everything()
        .iter()
        .map(|(path, text)| (path, lines_without_tests(text)))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "more than {MOST_LINES} without tests; split them by subject:\n{}", long.join("\n"));
}

/// `cargo fmt` does not see modules that a macro declares, and the kinds are declared by one.
#[test]
fn every_file_is_formatted() {
    let files: Vec<PathBuf> = everything().into_iter().map(|(path, _)| path).collect();
    let mut command = Command::new("rustfmt");
    command.args(["--check", "--edition", "2024", "-l"]).args(&files).current_dir(root());
    match command.output() {
        Ok(done) => {
            let unformatted = String::from_utf8_lossy(&done.stdout).into_owned();
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.status.success(), "run rustfmt --edition 2024 on:\n{unformatted}{said}");
        }
        Err(error) => not_checked(&format!("the format of the source files: rustfmt: {error}")),
    }
}

/// A guard that has moved, or whose test has another name, would be proven by nothing.
#[test]
fn the_list_of_guards_fits_the_sources() {
    match Command::new("python3").args(["scripts/check-guards.py", "--check-list"]).current_dir(root()).output() {
        Ok(done) => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => not_checked(&format!("the list of guards: python3: {error}")),
    }
}

#[expect(clippy::print_stderr, reason = "a check that did not happen must be seen")]
fn not_checked(what: &str) {
    eprintln!("not checked: {what}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn everything() -> Vec<(PathBuf, String)> {
    ["src", "tests", "examples", "benches"].into_iter().flat_map(source).collect()
}

/// The Rust files below a folder, by their path from the root, with their text.
fn source(folder: &str) -> Vec<(PathBuf, String)> {
    let Ok(entries) = fs::read_dir(root().join(folder)) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let mut files = Vec::new();
    for name in names {
        let path = format!("{folder}/{name}");
        if root().join(&path).is_dir() {
            files.extend(source(&path));
        } else if path.ends_with(".rs") {
            let text = fs::read_to_string(root().join(&path)).expect("a readable source file");
            files.push((PathBuf::from(path), text));
        }
    }
    files
}

fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
    tests.unwrap_or(lines.len())
}

fn violations(files: &[(PathBuf, String)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut only_for_tests = Vec::new();
    for (path, text) in files {
        let module = module_of(path);
        if module.is_empty() {
            continue;
        }
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut imports = Imports { module: module.clone(), rooms: BTreeSet::new(), only_for_tests: Vec::new() };
        imports.visit_file(&parsed);
        only_for_tests.append(&mut imports.only_for_tests);
        found.push((path, module, imports.rooms));
    }
    found.retain(|(_, module, _)| !only_for_tests.iter().any(|tests| module.starts_with(tests)));
    let forbidden = |room: &str, imported: &String| {
        let allowed = ROOMS.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, allowed)| allowed);
        imported != room && !allowed.contains(&imported.as_str())
    };
    let report = |(path, module, rooms): &(&PathBuf, Vec<String>, BTreeSet<String>)| {
        let imported = rooms.iter().filter(|imported| forbidden(&module[0], imported));
        imported
            .map(|imported| format!("{}: {} must not use {imported}", path.display(), module[0]))
            .collect::<Vec<_>>()
    };
    found.iter().flat_map(report).collect()
}

/// `src/engine/state.rs` is `engine::state`; the roots of library and program are no room.
fn module_of(path: &Path) -> Vec<String> {
    let parts = path.with_extension("");
    let mut module: Vec<String> = parts.iter().skip(1).map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    if matches!(module.as_slice(), [root] if root == "lib" || root == "main") { Vec::new() } else { module }
}

/// Collects the rooms a file names, in `use`, in paths and in macros, tests left out.
struct Imports {
    module: Vec<String>,
    rooms: BTreeSet<String>,
    only_for_tests: Vec<Vec<String>>,
}

impl Imports {
    fn name(&mut self, path: &[String]) {
        if let Some(room) = self.room(path) {
            let of_macro = MACROS.iter().find(|(name, _)| *name == room).map(|(_, room)| (*room).to_owned());
            self.rooms.insert(of_macro.unwrap_or(room));
        }
    }

    /// The top-level name that a path starting at `crate` or climbing up to it goes to.
    fn room(&self, path: &[String]) -> Option<String> {
        if path.first()? == "crate" {
            return path.get(1).cloned();
        }
        let climbs = path.iter().take_while(|part| *part == "super").count();
        if climbs > 0 && climbs == self.module.len() { path.get(climbs).cloned() } else { None }
    }

    fn tree(&mut self, tree: &syn::UseTree, before: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.tree(&path.tree, before);
                before.pop();
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(item, before)),
            syn::UseTree::Name(name) => self.leaf(&name.ident.to_string(), before),
            syn::UseTree::Rename(name) => self.leaf(&name.ident.to_string(), before),
            syn::UseTree::Glob(_) => self.name(before),
        }
    }

    fn leaf(&mut self, name: &str, before: &[String]) {
        let mut path = before.to_vec();
        path.push(name.to_owned());
        self.name(&path);
    }
}

/// Inside a macro there are only tokens.
static IN_MACRO: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bcrate\s*::\s*(\w+)").expect("a pattern"));

impl Visit<'_> for Imports {
    fn visit_item(&mut self, item: &syn::Item) {
        if !only_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        } else if let syn::Item::Mod(module) = item {
            self.only_for_tests.push(self.module.iter().cloned().chain([module.ident.to_string()]).collect());
        }
    }

    fn visit_item_mod(&mut self, module: &syn::ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        self.tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.name(&parts);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, found: &syn::Macro) {
        let tokens = found.tokens.to_string();
        for named in IN_MACRO.captures_iter(&tokens) {
            self.name(&["crate".to_owned(), named[1].to_owned()]);
        }
        visit::visit_macro(self, found);
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        _ => &[],
    }
}

fn only_for_tests(attributes: &[syn::Attribute]) -> bool {
    let is_test = |attribute: &syn::Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    };
    attributes.iter().any(is_test)
}
