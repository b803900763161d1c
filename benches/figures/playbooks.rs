//! The playbooks that are measured.

use std::fmt::Write;

/// The same program in a step and in the comparison.
pub const PROGRAM: &str = "/bin/true";

/// How the steps of a phase depend on each other.
#[derive(Clone, Copy)]
pub enum Shape {
    /// Each needs the one before it.
    Chain,
    /// None needs another.
    Fan,
}

/// What a crash would make of a step that was running.
#[derive(Clone, Copy)]
pub enum Effect {
    Read,
    Once,
}

const HEADER: &str = "runbook: 1\nname: measured\ntitle: Measured\n";

/// A playbook whose steps do nothing but start a program.
pub fn processes(shape: Shape, effect: Effect, count: usize) -> String {
    let (phase, word) = match effect {
        Effect::Read => ("diagnose", "effect: read"),
        Effect::Once => ("remediate", "effect: once, risk: safe"),
    };
    let mut text = format!("{HEADER}{phase}:\n");
    for step in 0..count {
        let needs = match shape {
            Shape::Chain if step > 0 => format!(", needs: [step{}]", step - 1),
            _ => String::new(),
        };
        add(&mut text, format_args!("  step{step}: {{command: {{argv: ['{PROGRAM}']}}, {word}{needs}}}\n"));
    }
    text
}

/// Steps as real playbooks have them: an inserted value, an expectation, help, two needs.
pub fn rich(count: usize) -> String {
    let mut text = format!("{HEADER}inputs:\n  host: {{type: string, default: localhost}}\ndiagnose:\n");
    for step in 0..count {
        let needs = match step {
            0 | 1 => String::new(),
            _ => format!("    needs: [step{}, step{}]\n", step - 1, step / 2 - usize::from(step < 4)),
        };
        add(
            &mut text,
            format_args!(
                "  step{step}:\n    command: {{argv: ['{PROGRAM}', --host, '{{{{inputs.host}}}}']}}\n    effect: read\n\
                 {needs}    expect: exit_code == 0 && duration < 5s\n    help: Asks host {step}.\n"
            ),
        );
    }
    text
}

fn add(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(line);
}
