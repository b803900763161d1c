//! Whatever the text is, the answer is a playbook or a list of mistakes.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{TOP, examine, graph, problems, source};
use crate::base::Source;

/// Looks at a text as `validate` does, its report included.
fn look_at(text: &str) {
    let (_, problems) = examine(&Source::new("random.yaml", text));
    for problem in problems.iter().take(5) {
        let _ = problem.render(false);
        let _ = problem.to_json();
    }
}

/// Pieces of playbooks, so that random texts get past the first mistake.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(&[
            "detect:\n", "  any:\n", "  all: ", "  not: ", "diagnose:\n", "remediate:\n", "verify:\n", "finally:\n",
            "causes:\n", "inputs:\n", "  a: ", "  b: ", "{", "}", "[", "]", "\n", ", ", ": ", "- ", "'", "\"", "|\n", ">-\n",
            "file: ", "http: ", "command: ", "wait_until: ", "playbook: ", "path: x", "get: ", "argv: ", "shell: ",
            "needs: [a]", "when: ", "expect: ", "holds: ", "for_each: ", "in: ", "as: item", "retry: ", "check: ", "undo: ",
            "{{inputs.a}}", "{{diagnose.a.path}}", "{{#if", "}}", "{{{", "inputs.a", "diagnose.a.exists", " && ", "!", "(",
            ")", "==", "severity: high", "type: int", "type: list", "default: ", "min: 1", "max: 0", "pattern: '('", "title: T",
            "escalate: ", "policy: p", "budget: ", "notify: ", "triggers: ", "extract: ", "until: ", "probe: ", "ü", "\t",
            "&x ", "*x", "!!str ", "---\n", "# ", "15m", "512MiB", "null", "true", "1e999", "-", "0x1",
        ][..]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ]
}

proptest! {
    // Failures are kept in the message; a file of seeds beside the source would only be for one machine.
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        look_at(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_pieces_of_playbooks_make_it_panic(pieces in prop::collection::vec(piece(), 0..60)) {
        look_at(&format!("{TOP}{}", pieces.concat()));
    }
}

const WHOLE: &str = "\
inputs:
  name: {type: string, pattern: '[a-z]+', default: east}
  names: {type: list, of: string, default: [a, b]}
  wait: {type: duration, default: 15m, min: 1s}
detect:
  any:
    a: {http: {get: 'http://x/{{inputs.name}}', extract: {state: '$.{{inputs.name}}'}}, holds: state != \"up\", for: 1m}
    not: {b: {file: {path: x}, holds: exists}}
diagnose:
  c: {file: {path: 'm/{{inputs.name}}'}, expect: exists && size > 1KiB, retry: {attempts: 2, on: [error, 503]}}
  d: {file: {path: '{{item}}'}, for_each: {in: inputs.names, limit: 2}, needs: [c]}
causes:
  gone: {title: Gone, when: '!diagnose.c.exists || diagnose.d.failed'}
severity: [{when: causes.gone, is: high}, {is: low}]
remediate:
  e: {command: {argv: [touch, '{{diagnose.c.path}}']}, fixes: [gone], check: {file: {path: x}, expect: exists}, undo: {command: {argv: [rm, x]}}, approve: {timeout: 5m}}
verify:
  f: {wait_until: {probe: {http: {get: 'http://x'}}, until: status == 200, within: 20s}}
escalate: {policy: p, when: unresolved || phase_elapsed > 15m}
finally:
  g: {report: {text: '{{#if causes.gone}}x{{/if}}'}}
";

#[test]
fn every_playbook_cut_short_or_changed_in_one_place_is_answered() {
    assert!(problems(WHOLE).is_empty(), "{:?}", problems(WHOLE));
    let text = source(WHOLE).text.to_string();
    // A prime step meets every kind of place without looking at all of them.
    for cut in (0..text.len()).step_by(7) {
        look_at(&text[..cut]);
        for change in ["", ":", "'", "{{"] {
            let end = cut + 1;
            look_at(&format!("{}{change}{}", &text[..cut], &text[end..]));
        }
    }
}

#[test]
fn a_playbook_of_ten_thousand_steps_is_read_checked_and_compiled() {
    let mut text = "diagnose:\n".to_owned();
    for number in 0..10_000 {
        let (need, path) = match number % 100 {
            0 => (String::new(), "x".to_owned()),
            _ => (format!(", needs: [s{}]", number - 1), format!("{{{{diagnose.s{}.path}}}}", number - 1)),
        };
        let _ = writeln!(text, "  s{number}: {{file: {{path: '{path}'}}, expect: exists && size > 0{need}}}");
    }
    let graph = graph(&text);
    assert_eq!(graph.steps.len(), 10_000);
    assert_eq!(graph.steps[9_999].needs, [9_998]);
}
