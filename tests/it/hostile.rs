//! Documents made to exhaust the reader: refused, and soon.

use std::time::Duration;

use crate::support::Runbook;

/// The promise is a second for the released program; this one is not optimised and shares the machine
/// with the other tests. What the documents are made for takes minutes.
const SOON: Duration = Duration::from_secs(20);

fn refused(name: &str, text: &str) -> String {
    let runbook = Runbook::new().file("bomb.yaml", text);
    for command in ["validate bomb.yaml", "run bomb.yaml"] {
        let done = runbook.call(command).exits(2);
        assert!(done.took < SOON, "{name}: {command} took {:?}", done.took);
    }
    runbook.call("validate bomb.yaml").shown()
}

#[test]
fn aliases_that_multiply() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='i').zip('a'..) {
        let many = vec![format!("*{before}"); 9].join(", ");
        text.push_str(&format!("{name}: &{name} [{many}]\n"));
    }
    insta::assert_snapshot!(refused("aliases", &text));
}

#[test]
fn nesting_without_end() {
    for (name, text) in [("lists", "[".repeat(1_000_000)), ("mappings", "{a: ".repeat(300_000))] {
        assert!(refused(name, &text).contains("recursion limit exceeded"), "{name}");
    }
    let indented: String = (0..3000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(refused("indented", &indented).contains("nested deeper than"));
}

#[test]
fn more_than_any_playbook_has() {
    assert!(refused("long", &format!("title: {}\n", "x".repeat(17 << 20))).contains("the limit is"));
    let many: String = (0..300_000).map(|_| "- a\n").collect();
    assert!(refused("many", &format!("a:\n{many}")).contains("more than 250000 values"));
}

/// Comparing every key with every other, or showing every mistake in its line, takes minutes here.
#[test]
fn one_mapping_with_many_keys() {
    let lines: String = (0..200_000).map(|key| format!("key{key}: 1\n")).collect();
    refused("lines", &lines);
    let line: String = (0..200_000).map(|key| format!("key{key}: 1, ")).collect();
    refused("line", &format!("{{{line}}}"));
    refused("twice", &"key: 1\n".repeat(200_000));
}

#[test]
fn what_is_not_text() {
    let runbook = Runbook::new().file("binary.yaml", [0xff, 0xfe, 0x00, 0x80]);
    runbook.call("validate binary.yaml").exits(2).says("cannot read binary.yaml");
    assert!(refused("control", "runbook: 1\u{0}\n").contains("error"));
    assert!(refused("tag", "runbook: !!python/object:os.system 1\n").contains("YAML tags"));
    assert!(refused("documents", "runbook: 1\n---\nrunbook: 1\n").contains("second document"));
    assert!(refused("empty", "").contains("missing"));
}

/// A pattern that a careless matcher takes forever with.
#[test]
fn patterns_that_explode() {
    let playbook = "runbook: 1\nname: pattern\ntitle: A pattern\n\
                    inputs: {a: {type: string, pattern: '(a+)+$'}}\ndiagnose: {look: {file: {path: x}}}\n";
    let runbook = Runbook::new().file("pattern.yaml", playbook);
    let done = runbook.args(["run", "pattern.yaml", "--input", &format!("a={}b", "a".repeat(5000))]).done().exits(2);
    assert!(done.took < SOON, "{:?}", done.took);
}
