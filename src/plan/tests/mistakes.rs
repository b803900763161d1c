//! Every mistake an author can make has a code, a place and a help.

use super::{TOP, examine, problems, source};
use crate::base::Diagnostic;

/// The text with a mark `«…»` around the place of the mistake; its code; a part of its help.
struct Mistake {
    text: &'static str,
    code: &'static str,
    help: &'static str,
}

const fn mistake(text: &'static str, code: &'static str, help: &'static str) -> Mistake {
    Mistake { text, code, help }
}

/// Mistakes in the form of a playbook.
const OF_FORM: &[Mistake] = &[
    mistake("«titel»: x\n", "unknown-key", "did you mean 'title'?"),
    mistake("diagnose:\n  a: {file: {path: x}, «timout»: 5s}\n", "unknown-key", "did you mean 'timeout'?"),
    mistake("diagnose:\n  a: {file: {«pth»: x, path: x}}\n", "unknown-key", "did you mean 'path'?"),
    mistake("diagnose:\n  a: {file: «{»pattern: x}}\n", "missing-key", "The file or folder"),
    mistake("diagnose:\n  a: {«fle»: {path: x}}\n", "unknown-key", "did you mean 'file'?"),
    mistake("diagnose:\n  «a»: {help: nothing}\n", "no-kind", "`runbook kinds`"),
    mistake("diagnose:\n  «a»: {file: {path: x}, disk: {path: x}}\n", "two-kinds", "make two steps"),
    mistake("diagnose:\n  a: {file: {path: x}}\n  «a»: {file: {path: y}}\n", "duplicate-key", "keep one"),
    mistake("diagnose:\n  a: {file: «[x]»}\n", "wrong-type", ""),
    mistake("diagnose: «[a, b]»\n", "wrong-type", ""),
    mistake("diagnose:\n  a: {file: {path: x}, needs: «a»}\n", "wrong-type", ""),
    mistake("diagnose:\n  «A-b»: {file: {path: x}}\n", "bad-name", "small letters"),
    mistake("diagnose:\n  a: {file: {path: x}, on_error: «stopp»}\n", "wrong-value", "did you mean 'stop'?"),
    mistake("remediate:\n  a: {report: {text: x}, risk: «deadly»}\n", "wrong-value", "known here: destructive"),
    mistake("severity: «urgent»\n", "wrong-value", "known here: critical"),
    mistake("diagnose:\n  a: {file: {path: x}, timeout: «5 parsecs»}\n", "wrong-value", ""),
    mistake("diagnose:\n  a: {file: {path: x}, timeout: «30»}\n", "wrong-value", ""),
    mistake("diagnose:\n  a: {file: {path: x}, retry: {attempts: «0»}}\n", "out-of-range", "from 1 to 1000"),
    mistake("parallel: «0»\n", "out-of-range", ""),
    mistake("diagnose:\n  a: {file: {path: «'{{inputs.x'»}}\n", "bad-template", "{{inputs.name}}"),
    mistake("diagnose:\n  a: {file: {path: «'{{{run.id}}}'»}}\n", "bad-template", "write '{{'"),
    mistake("remediate:\n  a: {command: {shell: «'rm {{run.id}}'»}}\n", "template-in-code", "data never becomes code"),
    mistake("remediate:\n  a: {command: {argv: [«'{{run.id}}'»]}}\n", "template-in-code", "data never becomes code"),
    mistake("remediate:\n  a: {command: {argv: [echo, «{secret: pager_key}»]}}\n", "secret-exposed", "under `env`"),
    mistake("remediate:\n  a: {command: {shell: «{secret: pager_key}»}}\n", "secret-exposed", "under `env`"),
    mistake("diagnose:\n  a: {http: {get: «{secret: pager_key}»}}\n", "secret-exposed", "under `env`"),
    mistake("diagnose:\n  a: {http: {get: x, form: {a: «{secret: pager_key}»}}}\n", "secret-exposed", "under `env`"),
    mistake("finally:\n  a: {report: {text: «{secret: pager_key}»}}\n", "secret-exposed", "under `env`"),
    mistake("diagnose:\n  a: {http: {get: x, bearer: {env: «'{{run.id}}'»}}}\n", "template-in-code", ""),
    mistake("diagnose:\n  a: {file: {path: x}, expect: «size = 0»}\n", "bad-expression", "compare with '=='"),
    mistake("diagnose:\n  a: {file: {path: x}, expect: 'path == «''x''»'}\n", "bad-expression", "double quotes"),
    mistake("detect:\n  any:\n    «a»: {file: {path: x}}\n", "no-holds", "add `holds:`"),
    mistake("detect: «{any: {}}»\n", "no-probes", "with a probe below it"),
    mistake("detect: «{}»\n", "no-probes", "with a probe below it"),
    mistake(
        "detect:\n  any: {a: {file: {path: x}, holds: exists}}\n  all: {«a»: {file: {path: y}, holds: exists}}\n",
        "duplicate-key",
        "a name of its own",
    ),
    mistake("diagnose:\n  «a»: {command: {argv: [touch, x]}}\n", "changes-while-observing", "effect: read"),
    mistake(
        "finally:\n  «a»: {report: {text: x}, fixes: [b]}\ncauses: {b: {title: B, when: 'true'}}\n",
        "fixes-outside-remediate",
        "move it to remediate",
    ),
    mistake(
        "inputs: {l: {type: list}}\ndiagnose:\n  «a»: {file: {path: x}, for_each: {in: inputs.l, as: inputs}}\n",
        "bad-name",
        "choose another one",
    ),
    mistake("inputs:\n  a: {type: «strnig»}\n", "wrong-value", "did you mean 'string'?"),
    mistake("inputs:\n  a: «{default: 1}»\n", "missing-key", ""),
    mistake("inputs:\n  a: «{type: int, default: x}»\n", "bad-input", ""),
    mistake("inputs:\n  a: «{type: int, min: 5, default: 3}»\n", "bad-input", ""),
    mistake("inputs:\n  a: «{type: enum}»\n", "bad-input", ""),
    mistake(
        "remediate:\n  a: {report: {text: x}, approve: {answers: {n: «{type: int, max: 1, default: 2}»}}}\n",
        "bad-answer",
        "",
    ),
    mistake(
        "remediate:\n  a: {report: {text: x}, approve: {answers: {n: {type: «number»}}}}\n",
        "wrong-value",
        "known here",
    ),
    mistake("inputs:\n  a: «{type: string, pattern: '('}»\n", "bad-input", ""),
];

/// Mistakes that only show when several parts are looked at together.
const OF_MEANING: &[Mistake] = &[
    mistake(
        "remediate:\n  a: {report: {text: '{{«answers.numbr»}}'}, approve: {answers: {number: {type: int}}}}\n",
        "bad-template",
        "did you mean 'number'?",
    ),
    mistake(
        "remediate:\n  a: {report: {text: x}, approve: {answers: {number: {type: int}}}, expect: '«answers.other» > 1'}\n",
        "bad-expression",
        "known here: number",
    ),
    mistake(
        "remediate:\n  a: {report: {text: '{{«answers.number»}}'}}\n",
        "bad-template",
        "remediate.STEP.answers.NAME",
    ),
    mistake(
        "remediate:\n  a: {report: {text: x}, approve: {answers: {number: {type: int}}}, when: '«answers.number» > 1'}\n",
        "bad-expression",
        "before anybody is asked",
    ),
    mistake(
        "remediate:\n  a: {report: {text: '{{«remediate.a.answers.number»}}'}, approve: {answers: {number: {type: int}}}}\n",
        "bad-template",
        "written answers.number",
    ),
    mistake(
        "remediate:\n  a: {report: {text: x}, approve: {answers: {number: {type: int}}}}\n  b: {report: {text: '{{«remediate.a.answers.n»}}'}}\n",
        "bad-template",
        "did you mean 'number'?",
    ),
    mistake(
        "remediate:\n  a: {report: {text: '{{#if «answers.sure»}}x{{/if}}'}, approve: {answers: {sure: {type: bool}}}}\n",
        "answer-in-block",
        "inserted as it is",
    ),
    mistake(
        "remediate:\n  a: {report: {text: x}, approve: {answers: {n: {type: int}}}, expect: «'answers.n'»}\n",
        "wrong-type",
        "",
    ),
    mistake(
        "inputs: {name: {type: string}}\ndiagnose:\n  a: {file: {path: '{{«inputs.nmae»}}'}}\n",
        "bad-template",
        "did you mean 'name'?",
    ),
    mistake("diagnose:\n  a: {file: {path: '{{«inputs.x»}}'}}\n", "bad-template", "declare it under `inputs:`"),
    mistake(
        "inputs: {deep: {type: bool}}\ndiagnose:\n  a: {file: {path: x}, when: «deep»}\n",
        "bad-expression",
        "inputs are written inputs.deep",
    ),
    mistake(
        "diagnose:\n  look: {file: {path: x}}\n  b: {file: {path: x}, when: «diagnose.lok.exists»}\n",
        "bad-expression",
        "did you mean 'look'?",
    ),
    mistake(
        "diagnose:\n  a: {file: {path: x}}\n  b: {file: {path: x}, when: «diagnose.a.exsits»}\n",
        "bad-expression",
        "did you mean 'exists'?",
    ),
    mistake("diagnose:\n  a: {file: {path: x}, expect: «exsits» && size > 0}\n", "bad-expression", "'exists'"),
    mistake("diagnose:\n  a: {file: {path: x}, expect: «maks»(size) > 0}\n", "bad-expression", "did you mean 'max'?"),
    mistake("diagnose:\n  a: {file: {path: x}, expect: «size»}\n", "wrong-type", ""),
    mistake("diagnose:\n  a: {file: {path: x}, expect: «exists» > 3}\n", "bad-expression", ""),
    mistake("diagnose:\n  a: {file: {path: x}, expect: «size» == \"big\"}\n", "bad-expression", ""),
    mistake(
        "diagnose:\n  a: {file: {path: '{{«verify.b.path»}}'}}\nverify:\n  b: {file: {path: x}}\n",
        "bad-template",
        "only use what ran before",
    ),
    mistake("diagnose:\n  a: {file: {path: '{{«diagnose.a.path»}}'}}\n", "bad-template", ""),
    mistake(
        "diagnose:\n  a: {file: {path: x}, expect: «causes.c»}\ncauses: {c: {title: C, when: diagnose.a.failed}}\n",
        "bad-expression",
        "",
    ),
    mistake(
        "diagnose:\n  «a»: {file: {path: x}, needs: [b]}\n  b: {file: {path: x}, needs: [a]}\n",
        "cycle",
        "remove one",
    ),
    mistake(
        "diagnose:\n  «a»: {file: {path: '{{diagnose.b.path}}'}}\n  b: {file: {path: x}, needs: [a]}\n",
        "cycle",
        "or references",
    ),
    mistake("diagnose:\n  a: {file: {path: x}, needs: [«a»]}\n", "unknown-step", ""),
    mistake(
        "diagnose:\n  look: {file: {path: x}}\n  b: {file: {path: x}, needs: [«lok»]}\n",
        "unknown-step",
        "did you mean 'look'?",
    ),
    mistake("diagnose:\n  a: {file: {path: x}}\nverify:\n  b: {file: {path: x}, needs: [«a»]}\n", "unknown-step", ""),
    mistake(
        "diagnose:\n  a: {file: {path: x}}\ncauses: {gone: {title: G, when: '!diagnose.a.exists'}}\nremediate:\n  b: {report: {text: x}, fixes: [«gnoe»]}\n",
        "unknown-cause",
        "did you mean 'gone'?",
    ),
    mistake("causes: {gone: {title: G, when: «diagnose.a.exists»}}\n", "bad-expression", ""),
    mistake("severity:\n  - {when: «causes.x», is: high}\n  - {is: low}\n", "bad-expression", ""),
    mistake("escalate: {policy: p, when: «unresovled»}\n", "bad-expression", "'unresolved'"),
    mistake(
        "remediate:\n  a: {command: {argv: [x]}, check: {command: «{argv: [touch, x]}»}}\n",
        "changes-while-observing",
        "",
    ),
    mistake(
        "inputs: {one: {type: string}}\ndiagnose:\n  a: {file: {path: '{{item}}'}, for_each: {in: «inputs.one»}}\n",
        "wrong-type",
        "",
    ),
    mistake(
        "inputs: {n: {type: int}}\nverify:\n  a: {wait_until: {probe: {http: {get: 'http://x/'}}, until: status == «inputs.n»}}\n",
        "bad-expression",
        "",
    ),
];

/// The text without its mark, and the byte at which the mark begins.
fn unmarked(text: &str) -> (String, usize) {
    let at = text.find('«').unwrap_or_else(|| panic!("no mark in {text}"));
    (text.replace(['«', '»'], ""), TOP.len() + at)
}

fn told(problems: &[Diagnostic]) -> String {
    problems.iter().map(|problem| problem.render(false)).collect::<Vec<_>>().join("\n")
}

fn check(Mistake { text, code, help }: &Mistake) -> Result<(), String> {
    let (text, at) = unmarked(text);
    let found = problems(&text);
    let source = source(&text);
    let wanted = source.line_column(at);
    let is_it = |problem: &&Diagnostic| {
        let place = problem.place.as_ref().map(|(source, span)| source.line_column(span.start));
        problem.code == *code && place == Some(wanted)
    };
    let Some(problem) = found.iter().find(is_it) else {
        return Err(format!("{text}wanted {code} at {wanted:?}, found:\n{}", told(&found)));
    };
    let given = problem.help.as_deref().unwrap_or_default();
    if !given.contains(help) {
        return Err(format!("{text}wanted the help '{help}', found '{given}'"));
    }
    match found.as_slice() {
        [_] => Ok(()),
        more => Err(format!("{text}one mistake, but {} reports:\n{}", more.len(), told(more))),
    }
}

fn check_all(mistakes: &[Mistake]) {
    let wrong: Vec<String> = mistakes.iter().filter_map(|mistake| check(mistake).err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n\n{}", wrong.len(), mistakes.len(), wrong.join("\n\n"));
}

#[test]
fn mistakes_of_form_have_a_code_a_place_and_a_help() {
    check_all(OF_FORM);
}

#[test]
fn mistakes_of_meaning_have_a_code_a_place_and_a_help() {
    check_all(OF_MEANING);
}

#[test]
fn what_is_missing_at_the_top_is_said() {
    let source = crate::base::Source::new("test.yaml", "name: Not A Name\nrunbook: 2\n");
    let (_, found) = examine(&source);
    let codes: Vec<&str> = found.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["missing-key", "wrong-value", "out-of-range"], "{}", told(&found));
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once() {
    let text = "\
inputs:
  name: {type: strnig}
  size: {type: int, default: big}
detect:
  any:
    a: {http: {get: '{{inputs.name}}'}, holds: sttus != 200}
    b: {http: {get: 'http://x'}}
diagnose:
  c: {fle: {path: x}}
  d: {file: {path: x}, needs: [c, e], expect: size = 0}
  f: {file: {path: '{{diagnose.c.path}}'}, timeout: soon, expect: exsits}
  h: {file: {path: x}}
  h: {file: {path: x}}
causes:
  gone: {title: Gone, when: diagnose.c.exists &&}
remediate:
  g: {command: {shell: 'rm {{run.id}}'}, fixes: [gone, lost]}
";
    let found: Vec<(usize, &str)> = problems(text)
        .iter()
        .filter_map(|problem| {
            let (source, span) = problem.place.as_ref()?;
            Some((source.line_column(span.start).0 - 3, problem.code))
        })
        .collect();
    let wanted = [
        (2, "wrong-value"),
        (3, "bad-input"),
        (6, "bad-expression"),
        (7, "no-holds"),
        (9, "unknown-key"),
        (10, "unknown-step"),
        (10, "bad-expression"),
        (11, "wrong-value"),
        (11, "bad-expression"),
        (13, "duplicate-key"),
        (15, "bad-expression"),
        (17, "template-in-code"),
        (17, "unknown-cause"),
    ];
    assert_eq!(found, wanted, "{}", told(&problems(text)));
}

#[test]
fn a_condition_that_is_a_bare_word_or_number_counts() {
    for (text, codes) in [
        ("diagnose:\n  a: {file: {path: x}, when: false, expect: true}\n", &[][..]),
        ("diagnose:\n  a: {file: {path: x}, when: 5}\n", &["wrong-type"]),
        ("causes: {404: {title: 404, when: true}}\n", &["bad-name"]),
    ] {
        let found: Vec<&str> = problems(text).iter().map(|problem| problem.code).collect();
        assert_eq!(found, codes, "{text}");
    }
    let (playbook, _) =
        examine(&source("diagnose:\n  a: {file: {path: x}, when: false}\ncauses: {c: {title: 404, when: true}}\n"));
    let playbook = playbook.expect("a playbook");
    assert_eq!(playbook.steps[0].when.as_ref().map(|when| when.text()), Some("false"));
    assert_eq!(playbook.causes[0].title, "404");
}

#[test]
fn places_are_counted_in_characters() {
    let found = problems("help: ü {x\ndiagnose:\n  a: {file: {path: 'üü{{inputs.x}}'}}\n");
    let places: Vec<_> = found
        .iter()
        .filter_map(|problem| problem.place.as_ref())
        .map(|(source, span)| source.line_column(span.start))
        .collect();
    assert_eq!(places, [(6, 25)], "{}", told(&found));
}

/// More than twenty answers nobody gives with care.
#[test]
fn a_step_asks_for_at_most_twenty_answers() {
    let text = |count: usize| {
        let answers: String = (0..count).map(|number| format!("a{number}: {{type: int, default: 1}}, ")).collect();
        format!("remediate:\n  a: {{report: {{text: x}}, approve: {{answers: {{{answers}}}}}}}\n")
    };
    assert!(problems(&text(20)).is_empty());
    let found = problems(&text(21));
    assert_eq!(found.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["bad-answer"]);
    assert!(found[0].message.contains("21 answers"), "{}", found[0].message);
}
