//! Documents made to exhaust the reader: refused, soon, and with little memory. Numbers are those of the
//! reliability test plan.

use std::time::Duration;

use crate::support::Runbook;

/// The promise is a second for the released program; this one is not optimised and shares the machine
/// with the other tests. What the documents are made for takes minutes.
const SOON: Duration = Duration::from_secs(20);

/// So much memory of its own, in KiB, may the program have: what exceeds it, ends it.
const MEMORY_KIB: u32 = 64 << 10;

fn refused(name: &str, text: &str) -> String {
    let runbook = Runbook::new().file("bomb.yaml", text);
    let limited = |command: &str| {
        let program = env!("CARGO_BIN_EXE_runbook");
        runbook.write("limited.sh", format!("ulimit -d {MEMORY_KIB}; exec '{program}' {command} bomb.yaml"));
        let done = runbook.shell("limited.sh").exits(2);
        assert!(done.took < SOON, "{name}: {command} took {:?}", done.took);
        done.shown()
    };
    limited("run");
    limited("validate")
}

#[test]
fn t37_aliases_that_multiply() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='i').zip('a'..) {
        let many = vec![format!("*{before}"); 9].join(", ");
        text.push_str(&format!("{name}: &{name} [{many}]\n"));
    }
    insta::assert_snapshot!(refused("aliases", &text));
}

#[test]
fn t37_nesting_without_end() {
    for (name, text) in [("lists", "[".repeat(1_000_000)), ("mappings", "{a: ".repeat(300_000))] {
        assert!(refused(name, &text).contains("hold more than 50000"), "{name}");
    }
    for (depth, limit) in [(65, "nested deeper than 64 levels"), (10_000, "recursion limit exceeded")] {
        let text = format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(refused("deep", &text).contains(limit), "{depth}");
    }
    let indented: String = (0..3000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(refused("indented", &indented).contains("nested deeper than"));
}

#[test]
fn t37_more_than_any_playbook_has() {
    assert!(refused("long", &format!("title: {}\n", "x".repeat(17 << 20))).contains("the limit is"));
    let many: String = (0..300_000).map(|_| "- a\n").collect();
    assert!(refused("many", &format!("a:\n{many}")).contains("more than 250000 values"));
}

/// Comparing every key with every other, or showing every mistake in its line, takes minutes here.
#[test]
fn t37_one_mapping_with_many_keys() {
    let lines: String = (0..200_000).map(|key| format!("key{key}: 1\n")).collect();
    refused("lines", &lines);
    let line: String = (0..200_000).map(|key| format!("key{key}: 1, ")).collect();
    assert!(refused("line", &format!("{{{line}}}")).contains("open on line 1 hold more than 50000"));
    assert!(refused("lines in brackets", &format!("{{{}}}", line.replace(' ', "\n"))).contains("more than 50000"));
    refused("twice", &"key: 1\n".repeat(200_000));
}

#[test]
fn t37_what_is_not_text() {
    let runbook = Runbook::new().file("binary.yaml", [0xff, 0xfe, 0x00, 0x80]);
    runbook.call("validate binary.yaml").exits(2).says("cannot read binary.yaml");
    assert!(refused("control", "runbook: 1\u{0}\n").contains("error"));
    assert!(refused("tag", "runbook: !!python/object:os.system 1\n").contains("YAML tags"));
    assert!(refused("documents", "runbook: 1\n---\nrunbook: 1\n").contains("second document"));
    assert!(refused("empty", "").contains("missing"));
}

/// A pattern that a careless matcher takes forever with.
#[test]
fn t38_patterns_that_explode() {
    let playbook = "runbook: 1\nname: pattern\ntitle: A pattern\n\
                    inputs: {a: {type: string, pattern: '(a+)+$'}}\ndiagnose: {look: {file: {path: x}}}\n";
    let runbook = Runbook::new().file("pattern.yaml", playbook);
    let done = runbook.args(["run", "pattern.yaml", "--input", &format!("a={}b", "a".repeat(5000))]).done().exits(2);
    assert!(done.took < SOON, "{:?}", done.took);
}

/// Each is more than anybody writes or reads: it is refused by its size, before time or memory are spent.
#[test]
fn t38_expressions_without_end() {
    let condition = |text: &str| {
        let when = serde_json::Value::from(text);
        format!("runbook: 1\nname: endless\ntitle: Endless\ndiagnose: {{look: {{when: {when}, file: {{path: x}}}}}}\n")
    };
    let longer = "the expression is longer than 2000 characters";
    assert!(refused("sum", &condition(&format!("1 == 1{}", " + 1".repeat(100_000)))).contains(longer));
    assert!(refused("text", &condition(&format!("\"{}\" == \"\"", "x".repeat(1 << 20)))).contains(longer));
    let deep = format!("{}1 == 1{}", "(".repeat(900), ")".repeat(900));
    assert!(refused("depth", &condition(&deep)).contains("nested deeper than 100 levels"));
    let not = format!("{}true", "!".repeat(1_900));
    assert!(refused("not", &condition(&not)).contains("nested deeper than 100 levels"));
}

/// How often a block goes round depends on the data: four million times here, each with little text.
#[test]
fn t38_templates_that_multiply_end_with_a_limit() {
    for (text, limit) in [
        ("{{#each inputs.list}}{{#each ../inputs.list}}x{{/each}}{{/each}}{{inputs.list}}", "100000 times"),
        ("{{#each inputs.list}}{{#each ../inputs.list}}{{/each}}{{/each}}{{inputs.list}}", "100000 times"),
        ("{{#each inputs.list}}{{../inputs.big}}{{/each}}{{inputs.big}}", "16777216 bytes"),
    ] {
        let playbook = format!(
            "runbook: 1\nname: round\ntitle: Round\n\
             inputs: {{list: {{type: list, of: int}}, big: {{type: string, default: small}}}}\n\
             diagnose: {{look: {{file: {{path: '{text}'}}}}}}\n"
        );
        let list: Vec<u32> = (0..2_000).collect();
        let inputs = serde_json::json!({"list": list, "big": "x".repeat(100_000)});
        let runbook = Runbook::new().file("round.yaml", playbook).file("inputs.json", inputs.to_string());
        let done = runbook.call("run round.yaml --inputs inputs.json");
        assert!(done.took < SOON, "{text} took {:?}", done.took);
        drop(done.says(limit).does_not_say("panicked"));
    }
}
