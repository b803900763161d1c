//! What the documentation shows must work: playbooks in it are valid, commands in it exist.

use std::path::{Path, PathBuf};

use crate::support::Runbook;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and everything below `docs`.
fn pages() -> Vec<(PathBuf, String)> {
    let mut files = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    let read = |path: PathBuf| std::fs::read_to_string(&path).ok().map(|text| (path, text));
    files.into_iter().filter_map(read).collect()
}

/// A fenced block: its language, the line it begins in, its text.
struct Block<'a> {
    language: &'a str,
    line: usize,
    text: String,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (number, line) in page.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { language: language.trim(), line: number + 2, text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    blocks
}

/// Writes every playbook of the documentation into the place: the file, and where it is shown.
pub fn playbooks_shown(place: &Runbook) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for (path, page) in pages() {
        for block in blocks(&page).iter().filter(|block| block.language == "yaml" && is_playbook(&block.text)) {
            let name = block.text.lines().find_map(|line| line.strip_prefix("name: ")).unwrap_or("nameless");
            let file = format!("shown/{}/{name}.yaml", shown.len());
            place.write(&file, &block.text);
            shown.push((file, format!("{}:{}", path.display(), block.line)));
        }
    }
    assert!(!shown.is_empty(), "the documentation shows no playbook");
    shown
}

#[test]
fn playbooks_in_the_documentation_are_valid() {
    let library = root().join("playbooks").display().to_string();
    let place = Runbook::new().file("runbook.yaml", format!("playbooks: ['{library}', shown]\n"));
    // One page may show a playbook that another one calls.
    for (file, place_in_page) in playbooks_shown(&place) {
        let said = place.call(&format!("validate {file}")).shown();
        assert!(said.contains("no problems"), "{place_in_page}\n{said}");
    }
}

fn is_playbook(text: &str) -> bool {
    text.lines().find(|line| !line.trim_start().starts_with('#')).is_some_and(|line| line.starts_with("runbook: 1"))
}

#[test]
fn commands_in_the_documentation_exist() {
    let place = Runbook::new();
    for (path, page) in pages() {
        for block in blocks(&page).iter().filter(|block| matches!(block.language, "console" | "sh" | "shell" | "")) {
            for line in block.text.lines().filter_map(|line| line.trim_start().strip_prefix("$ runbook ")) {
                let words: Vec<&str> = line.split_whitespace().take_while(|word| is_command(word)).collect();
                let known = known_command(&place, &words);
                assert!(known, "{}: `runbook {line}` is no command", path.display());
            }
        }
    }
}

fn is_command(word: &str) -> bool {
    word.chars().all(|letter| letter.is_ascii_lowercase())
}

/// The first word must be a command, and the second one where a command has commands of its own.
fn known_command(place: &Runbook, words: &[&str]) -> bool {
    let Some(first) = words.first() else { return true };
    let depth = if *first == "audit" { 2 } else { 1 };
    let help = place.args(words.iter().take(depth).copied().chain(["--help"])).done();
    help.stdout().contains("Usage:")
}

#[test]
fn links_between_pages_lead_somewhere() {
    let link = regex::Regex::new(r"\]\(([^)#:\s]+)(#[^)]*)?\)").expect("a pattern");
    let mut broken = Vec::new();
    for (path, page) in pages() {
        for target in link.captures_iter(&page) {
            let folder = path.parent().expect("a page is in a folder");
            if !folder.join(&target[1]).exists() {
                broken.push(format!("{}: {}", path.display(), &target[1]));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
