//! What is wrong with triggers that wait for no event: times that never come, zones that there are not, inputs that
//! the playbook does not have.

use std::collections::BTreeMap;

use serde_json::Value;

use super::inputs;
use super::model::{Playbook, Trigger};
use crate::base::{Diagnostic, Route, Source, Span};
use crate::trigger::{BadTimer, SiteTrigger, Timer};
use crate::yaml::Node;

/// Mistakes in the triggers of a playbook.
pub(super) fn check(playbook: &Playbook) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (position, trigger) in playbook.header.triggers.iter().enumerate() {
        let Some((name, timer)) = timer(trigger, &playbook.header.name) else { continue };
        let route = Route::of(["triggers"]).index(position).key(name);
        let at = |route: &Route| playbook.root.locate(route);
        match timer {
            Ok(timer) if seen.insert(timer.key.clone(), position).is_some() => {
                let problem = Diagnostic::error("bad-trigger", "the same trigger stands here twice");
                problems.push(problem.at(&playbook.source, at(&route)).help("leave one of them out".to_owned()));
            }
            Ok(timer) => {
                problems.extend(with(playbook, &timer, at(&route.key("with"))));
                problems.extend(blind(playbook, trigger, at(&route)));
            }
            Err(bad) => problems.push(problem(&playbook.source, &route, &bad, at)),
        }
    }
    problems
}

fn timer(trigger: &Trigger, playbook: &str) -> Option<(&'static str, Result<Timer, BadTimer>)> {
    match trigger {
        Trigger::Alert(_) => None,
        Trigger::Watch(watch) => Some(("watch", watch.timer(playbook))),
        Trigger::Schedule(schedule) => Some(("schedule", schedule.timer(playbook))),
    }
}

/// Mistakes in those of the site file; which playbooks there are is not known here.
pub(super) fn check_site(root: &Node, source: &Source, value: &Value) -> Vec<Diagnostic> {
    let triggers = value["serve"]["triggers"].as_array().map_or(&[][..], Vec::as_slice);
    let mut problems = Vec::new();
    for (position, trigger) in triggers.iter().enumerate() {
        // One whose form is wrong has been named already.
        let Ok(trigger) = serde_json::from_value::<SiteTrigger>(trigger.clone()) else { continue };
        let schedule = trigger.schedule.map(|schedule| ("schedule", schedule.timer(&trigger.playbook)));
        let watch = trigger.watch.map(|watch| ("watch", watch.timer(&trigger.playbook)));
        for (name, timer) in schedule.into_iter().chain(watch) {
            let route = Route::of(["serve", "triggers"]).index(position).key(name);
            problems.extend(timer.err().map(|bad| problem(source, &route, &bad, |route| root.locate(route))));
        }
    }
    problems
}

fn problem(source: &Source, route: &Route, bad: &BadTimer, at: impl Fn(&Route) -> Span) -> Diagnostic {
    let place = if bad.setting.is_empty() { at(route) } else { at(&route.key(bad.setting)) };
    Diagnostic::error("bad-trigger", bad.what.clone()).at(source, place).help(bad.help.clone())
}

/// Inputs that do not fit. One that is missing is none: a site file may give it with a trigger of its own.
fn with(playbook: &Playbook, timer: &Timer, at: Span) -> Vec<Diagnostic> {
    let problems = inputs::resolve(playbook, &inputs::given(&timer.with)).err().unwrap_or_default();
    let wrong = problems.into_iter().filter(|problem| {
        timer.with.contains_key(&problem.name) || !playbook.inputs.iter().any(|(name, _)| *name == problem.name)
    });
    wrong.map(|problem| Diagnostic::error("bad-trigger", problem.message).at(&playbook.source, at)).collect()
}

fn blind(playbook: &Playbook, trigger: &Trigger, at: Span) -> Option<Diagnostic> {
    let blind =
        matches!(trigger, Trigger::Watch(_)) && !playbook.root.entries().iter().any(|part| part.key == "detect");
    blind.then(|| {
        let help = "a watch evaluates `detect`; a `schedule` runs without one";
        Diagnostic::error("bad-trigger", "there is nothing to watch: the playbook has no `detect`")
            .at(&playbook.source, at)
            .help(help.to_owned())
    })
}
