//! The published JSON Schemas: up to date, and of one mind with the parser.

use std::path::{Path, PathBuf};

use runbook::base::Source;
use runbook::yaml;
use serde_json::Value;

use crate::support::Runbook;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_published_schemas_are_those_of_the_program() {
    for name in ["playbook", "site"] {
        let path = format!("schemas/{name}.schema.json");
        let published = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
        let now = Runbook::new().args(["schema", name]).done().exits(0).stdout();
        assert!(published == now, "{path} is out of date; write it anew:\n  cargo run -- schema {name} > {path}");
    }
}

fn schema(name: &str) -> jsonschema::Validator {
    let schema = Runbook::new().args(["schema", name]).done().exits(0).json();
    jsonschema::draft202012::meta::validate(&schema).expect("a valid JSON Schema");
    jsonschema::validator_for(&schema).expect("a usable JSON Schema")
}

fn value(name: &str, text: &str) -> Value {
    let parsed = yaml::parse(&Source::new(Path::new(name), text.to_owned()));
    parsed.unwrap_or_else(|problems| panic!("{}", problems[0].render(false))).to_json()
}

fn refusals(schema: &jsonschema::Validator, value: &Value) -> Vec<String> {
    schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Every shipped playbook and site file.
fn shipped() -> Vec<(PathBuf, String)> {
    let files = ["playbooks", "examples"].into_iter().flat_map(|folder| {
        let folder = root().join(folder);
        if folder.is_dir() { runbook::playbook::library::yaml_files(&folder) } else { Vec::new() }
    });
    files.map(|path| (path.clone(), std::fs::read_to_string(&path).expect("a readable file"))).collect()
}

fn is_playbook(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("runbook:"))
}

#[test]
fn shipped_playbooks_are_valid_and_the_schema_agrees() {
    let schema = schema("playbook");
    let runbook = Runbook::new();
    for (path, text) in shipped().into_iter().filter(|(_, text)| is_playbook(text)) {
        let name = path.display().to_string();
        assert_eq!(refusals(&schema, &value(&name, &text)), Vec::<String>::new(), "{name}");
        runbook.write("runbook.yaml", format!("playbooks: ['{}']\n", root().join("playbooks").display()));
        runbook.args(["validate".to_owned(), name]).done().exits(0).says("no problems");
    }
}

const PLAYBOOK: &str = "
runbook: 1
name: sound
title: Nothing is wrong here
inputs:
  provider: {type: string, pattern: '[a-z]+', default: text}
  limit: {type: bytes, default: 1 MiB}
detect:
  any:
    missing: {file: {path: 'models/{{inputs.provider}}'}, holds: '!exists', for: 2s}
diagnose:
  look: {file: {path: models}, timeout: 5s, retry: {attempts: 2, backoff: 100ms, on: [error, 503]}}
causes:
  gone: {title: It is gone, when: '!diagnose.look.exists'}
severity: [{when: causes.gone, is: high}, {is: low}]
remediate:
  bring_back:
    fixes: [gone]
    command: {argv: [mkdir, '{{inputs.provider}}']}
    undo: {command: {argv: [rmdir, '{{inputs.provider}}']}}
    check: {file: {path: models}, expect: exists}
    approve: {timeout: 15m}
";

#[test]
fn the_schema_and_the_parser_accept_the_same() {
    let runbook = Runbook::new().file("sound.yaml", PLAYBOOK);
    runbook.call("validate sound.yaml").exits(0);
    assert_eq!(refusals(&schema("playbook"), &value("sound.yaml", PLAYBOOK)), Vec::<String>::new());
}

/// Mistakes of form, each one change away from the sound playbook.
const MISTAKES: &[(&str, &str)] = &[
    ("runbook: 1", "runbook: 2"),
    ("runbook: 1\n", ""),
    ("name: sound", "name: Sound Playbook"),
    ("title: Nothing is wrong here\n", ""),
    ("title:", "titel:"),
    ("type: bytes", "type: byte"),
    ("{path: models}", "{paht: models}"),
    ("{path: models}", "{}"),
    ("timeout: 5s", "timout: 5s"),
    ("on: [error, 503]", "on: [errors]"),
    ("attempts: 2", "attempts: 0"),
    ("gone: {title: It is gone, ", "gone: {"),
    ("is: high", "is: hihg"),
    ("fixes: [gone]", "fixes: gone"),
    ("fixes: [gone]", "risk: dangerous"),
    ("  look: {file: {path: models},", "  look: {file: {path: models}, disk: {path: models},"),
    ("  look: {file: {path: models}, ", "  look: {"),
    ("  look:", "  Look-at:"),
    ("  any:\n    missing", "  any:\n    Missing"),
    ("holds: '!exists'", "expect: '!exists'"),
    ("detect:\n  any:", "detect:\n  some:"),
    ("argv: [mkdir, '{{inputs.provider}}']}\n    undo", "argv: mkdir}\n    undo"),
];

#[test]
fn the_schema_and_the_parser_refuse_the_same() {
    let schema = schema("playbook");
    let runbook = Runbook::new();
    for (right, wrong) in MISTAKES {
        let text = PLAYBOOK.replacen(right, wrong, 1);
        assert_ne!(text, PLAYBOOK, "'{right}' is not in the playbook");
        runbook.write("broken.yaml", &text);
        runbook.call("validate broken.yaml").exits(2);
        let refused = refusals(&schema, &value("broken.yaml", &text));
        assert!(!refused.is_empty(), "the schema accepts '{wrong}' instead of '{right}'");
    }
}

const SITE: &str = "
playbooks: [playbooks]
prometheus: {url: 'http://127.0.0.1:9090'}
parallel: 8
channels:
  console: {here: {}}
";

#[test]
fn the_schema_of_the_site_file_agrees_with_its_parser() {
    let schema = schema("site");
    let runbook = Runbook::new();
    assert_eq!(refusals(&schema, &value("runbook.yaml", SITE)), Vec::<String>::new());
    runbook.write("runbook.yaml", SITE);
    runbook.call("history").exits(0);
    for (right, wrong) in [("parallel", "paralel"), ("console", "konsole"), ("[playbooks]", "{}"), ("url:", "ulr:")] {
        let text = SITE.replacen(right, wrong, 1);
        runbook.write("runbook.yaml", &text);
        runbook.call("history").exits(2).says("runbook.yaml:");
        assert!(!refusals(&schema, &value("runbook.yaml", &text)).is_empty(), "the schema accepts '{wrong}'");
    }
}
