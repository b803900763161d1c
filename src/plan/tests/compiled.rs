//! A playbook becomes the graph that its text says.

use std::time::Duration;

use super::{graph, problems};
use crate::engine::event::{Phase, Risk};
use crate::engine::graph::{Detection, Graph, Repeat, Step};

fn step<'g>(graph: &'g Graph, id: &str) -> &'g Step {
    graph.step(id).unwrap_or_else(|| panic!("there is no {id}")).1
}

fn needs(graph: &Graph, id: &str) -> Vec<String> {
    step(graph, id).needs.iter().map(|need| graph.steps[*need].id.clone()).collect()
}

#[test]
fn edges_are_written_or_implied() {
    let graph = graph(
        "\
diagnose:
  a: {file: {path: x}}
  b: {file: {path: '{{diagnose.a.path}}'}}
  c: {file: {path: x}, when: diagnose.b.exists, needs: [a]}
  d: {file: {path: x}, expect: size > diagnose.c.size}
verify:
  e: {file: {path: '{{diagnose.a.path}}'}}
",
    );
    assert_eq!(needs(&graph, "diagnose.b"), ["diagnose.a"]);
    assert_eq!(needs(&graph, "diagnose.c"), ["diagnose.a", "diagnose.b"]);
    assert_eq!(needs(&graph, "diagnose.d"), ["diagnose.c"]);
    assert!(needs(&graph, "verify.e").is_empty(), "another phase has ended anyway");
    let (_, a) = graph.step("diagnose.a").expect("a");
    assert_eq!(a.dependents.len(), 2);
    let outline = graph.header.steps.iter().find(|outline| outline.id == "diagnose.c").expect("c");
    assert_eq!(outline.needs, ["diagnose.a", "diagnose.b"]);
}

#[test]
fn a_detection_has_a_second_copy_of_its_probes() {
    let graph = graph(
        "\
detect:
  any:
    a: {file: {path: x}, holds: exists, for: 1m}
    all:
      b: {file: {path: '{{detect.a.path}}'}, holds: exists}
      c: {file: {path: x}, holds: exists}
  not: {d: {file: {path: x}, holds: exists}}
",
    );
    let names = |detection: &Detection<usize>| {
        detection.probes().iter().map(|probe| graph.steps[*probe].id.clone()).collect::<Vec<_>>()
    };
    let detection = graph.detection.as_ref().expect("a detection");
    let again = graph.recheck.as_ref().expect("its copy");
    assert_eq!(names(detection), ["detect.a", "detect.b", "detect.c", "detect.d"]);
    assert_eq!(names(again), ["recheck.a", "recheck.b", "recheck.c", "recheck.d"]);
    assert!(matches!(detection, Detection::All(parts) if matches!(parts[..], [Detection::Any(_), Detection::Not(_)])));
    let copy = step(&graph, "recheck.a");
    assert_eq!((copy.phase, copy.hold), (Phase::Verify, None), "that it is gone is seen at once");
    assert_eq!(step(&graph, "detect.a").hold, Some(Duration::from_secs(60)));
    assert_eq!(needs(&graph, "recheck.b"), ["recheck.a"]);
}

#[test]
fn steps_have_the_documented_defaults() {
    let graph = graph(
        "\
diagnose:
  look: {file: {path: x}}
remediate:
  change: {command: {argv: [touch, x]}}
  read: {file: {path: x}}
  told: {command: {argv: [touch, x]}, risk: safe, effect: idempotent, timeout: 2m, on_error: continue}
",
    );
    let look = step(&graph, "diagnose.look");
    assert_eq!((look.risk, look.repeat, look.stop_on_error, look.tolerated), (Risk::Safe, Repeat::Safe, false, false));
    assert_eq!(look.time_limit, Duration::from_secs(60));
    let change = step(&graph, "remediate.change");
    assert_eq!((change.risk, change.repeat, change.stop_on_error), (Risk::Disruptive, Repeat::Unknown, true));
    assert_eq!(step(&graph, "remediate.read").risk, Risk::Safe);
    let told = step(&graph, "remediate.told");
    assert_eq!((told.risk, told.repeat, told.stop_on_error, told.tolerated), (Risk::Safe, Repeat::Safe, false, true));
    assert_eq!(told.time_limit, Duration::from_secs(120));
    assert_eq!((graph.parallel, graph.recovery.within), (8, Duration::from_secs(30)));
}

#[test]
fn a_list_can_be_read_by_index_and_by_field() {
    let text = |condition: &str| {
        format!(
            "inputs: {{names: {{type: list, default: [a]}}}}\ndiagnose:\n  a: {{file: {{path: x}}, when: '{condition}'}}\n"
        )
    };
    assert!(problems(&text("inputs.names.0 == \"a\"")).is_empty());
    assert_eq!(problems(&text("inputs.names.0 == 1")).len(), 1, "its items are text");
    assert_eq!(problems(&text("inputs.names == \"a\"")).len(), 1, "a list is no text");
}
